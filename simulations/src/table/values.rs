//! A column: one type, many values.

use std::fmt::{self, Write as _};

/// A name and its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The column's name, with its unit as the last part: `latency_s`, `entropy_bits`.
    pub name: String,
    /// The values, a row each.
    pub values: Values,
}

/// The values of a column.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Values {
    /// Numbers.
    F64(Vec<f64>),
    /// Numbers, of which some are missing.
    NullableF64(Vec<Option<f64>>),
    /// Counts.
    U64(Vec<u64>),
    /// Integers.
    I64(Vec<i64>),
    /// Text.
    String(Vec<String>),
    /// Truth values.
    Bool(Vec<bool>),
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnType {
    /// A 64-bit float.
    F64,
    /// A 64-bit float or nothing.
    NullableF64,
    /// An unsigned 64-bit integer.
    U64,
    /// A signed 64-bit integer.
    I64,
    /// UTF-8.
    String,
    /// True or false.
    Bool,
}

impl ColumnType {
    /// The type's name in a CSV file's first line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::NullableF64 => "f64?",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::String => "string",
            Self::Bool => "bool",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        let all = [
            Self::F64,
            Self::NullableF64,
            Self::U64,
            Self::I64,
            Self::String,
            Self::Bool,
        ];
        all.into_iter().find(|kind| kind.name() == name)
    }

    /// No values of this type.
    #[must_use]
    pub fn empty(self) -> Values {
        match self {
            Self::F64 => Values::F64(Vec::new()),
            Self::NullableF64 => Values::NullableF64(Vec::new()),
            Self::U64 => Values::U64(Vec::new()),
            Self::I64 => Values::I64(Vec::new()),
            Self::String => Values::String(Vec::new()),
            Self::Bool => Values::Bool(Vec::new()),
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Values {
    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F64(values) => values.len(),
            Self::NullableF64(values) => values.len(),
            Self::U64(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::String(values) => values.len(),
            Self::Bool(values) => values.len(),
        }
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type.
    #[must_use]
    pub fn kind(&self) -> ColumnType {
        match self {
            Self::F64(_) => ColumnType::F64,
            Self::NullableF64(_) => ColumnType::NullableF64,
            Self::U64(_) => ColumnType::U64,
            Self::I64(_) => ColumnType::I64,
            Self::String(_) => ColumnType::String,
            Self::Bool(_) => ColumnType::Bool,
        }
    }

    /// The values as numbers; `None` for text.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a figure or a mean needs no more than 53 bits"
    )]
    pub fn numbers(&self) -> Option<Vec<Option<f64>>> {
        Some(match self {
            Self::F64(values) => values.iter().map(|v| Some(*v)).collect(),
            Self::NullableF64(values) => values.clone(),
            Self::U64(values) => values.iter().map(|v| Some(*v as f64)).collect(),
            Self::I64(values) => values.iter().map(|v| Some(*v as f64)).collect(),
            Self::Bool(values) => values.iter().map(|v| Some(f64::from(*v))).collect(),
            Self::String(_) => return None,
        })
    }

    /// One value as a CSV file prints it: floats as the shortest text that reads back to the same
    /// bits, nothing for a value that is missing or beyond the end.
    #[must_use]
    pub fn text(&self, row: usize) -> String {
        let mut text = String::new();
        self.print(row, &mut text);
        text
    }

    /// As [`Values::text`], added to a string.
    pub(super) fn print(&self, row: usize, to: &mut String) {
        // Writing to a String does not fail.
        let _ = match self {
            Self::F64(values) => values.get(row).map(|v| write!(to, "{v:?}")),
            Self::NullableF64(values) => values
                .get(row)
                .copied()
                .flatten()
                .map(|v| write!(to, "{v:?}")),
            Self::U64(values) => values.get(row).map(|v| write!(to, "{v}")),
            Self::I64(values) => values.get(row).map(|v| write!(to, "{v}")),
            Self::String(values) => values.get(row).map(|v| to.write_str(v)),
            Self::Bool(values) => values.get(row).map(|v| write!(to, "{v}")),
        };
    }

    /// Adds the values from `start` to `end` of another column of the same type; whether it is.
    pub(super) fn extend_from(&mut self, other: &Self, start: usize, end: usize) -> bool {
        fn add<T: Clone>(to: &mut Vec<T>, from: &[T], start: usize, end: usize) {
            to.extend(from.iter().take(end).skip(start).cloned());
        }
        match (self, other) {
            (Self::F64(to), Self::F64(from)) => add(to, from, start, end),
            (Self::NullableF64(to), Self::NullableF64(from)) => add(to, from, start, end),
            (Self::U64(to), Self::U64(from)) => add(to, from, start, end),
            (Self::I64(to), Self::I64(from)) => add(to, from, start, end),
            (Self::String(to), Self::String(from)) => add(to, from, start, end),
            (Self::Bool(to), Self::Bool(from)) => add(to, from, start, end),
            _ => return false,
        }
        true
    }
}
