//! Joining tables end to end: the shards of a sweep.

use super::{Column, ColumnType, Table, TableError, Values};

impl Table {
    /// Adds the rows of another table, which has the same columns in the same order. Where the
    /// types differ, the wider one is taken: a column without a missing value joins one with some;
    /// integers join floats. The name and the metadata stay.
    ///
    /// # Errors
    /// [`TableError::DifferentColumns`], [`TableError::DifferentTypes`]; the table is as before.
    pub fn append(&mut self, other: &Self) -> Result<(), TableError> {
        if self.column_names() != other.column_names() {
            return Err(TableError::DifferentColumns {
                left: self.column_names().join(", "),
                right: other.column_names().join(", "),
            });
        }
        let pairs = || self.columns.iter().zip(&other.columns);
        let types: Vec<ColumnType> = pairs()
            .map(|(left, right)| joined_type(left, right))
            .collect::<Result<_, _>>()?;
        for ((left, right), kind) in self.columns.iter_mut().zip(&other.columns).zip(types) {
            if left.values.kind() != kind
                && let Some(widened) = widen(&left.values, kind)
            {
                left.values = widened;
            }
            if right.values.kind() == kind {
                left.values
                    .extend_from(&right.values, 0, right.values.len());
            } else if let Some(widened) = widen(&right.values, kind) {
                left.values.extend_from(&widened, 0, widened.len());
            }
        }
        self.rows += other.rows;
        Ok(())
    }

    /// The rows of `self`, then those of `other`, as [`Table::append`] joins them.
    ///
    /// # Errors
    /// As [`Table::append`].
    pub fn concatenate(&self, other: &Self) -> Result<Self, TableError> {
        let mut joined = self.clone();
        joined.append(other)?;
        Ok(joined)
    }
}

/// The type that holds the values of both columns.
fn joined_type(left: &Column, right: &Column) -> Result<ColumnType, TableError> {
    let unlike = || TableError::DifferentTypes {
        column: left.name.clone(),
        left: left.values.kind(),
        right: right.values.kind(),
    };
    let kind = wider(left.values.kind(), right.values.kind()).ok_or_else(unlike)?;
    let fits =
        |column: &Column| column.values.kind() == kind || widen(&column.values, kind).is_some();
    if fits(left) && fits(right) {
        Ok(kind)
    } else {
        Err(unlike())
    }
}

fn wider(left: ColumnType, right: ColumnType) -> Option<ColumnType> {
    use ColumnType::{Bool, F64, I64, NullableF64, String, U64};
    match (left, right) {
        (l, r) if l == r => Some(l),
        (String | Bool, _) | (_, String | Bool) => None,
        (NullableF64, _) | (_, NullableF64) => Some(NullableF64),
        (F64, _) | (_, F64) => Some(F64),
        (U64 | I64, _) => Some(I64),
    }
}

/// The values in a wider type; `None` where one does not fit (an unsigned integer above `i64::MAX`).
fn widen(values: &Values, kind: ColumnType) -> Option<Values> {
    Some(match (values, kind) {
        (same, kind) if same.kind() == kind => same.clone(),
        (Values::U64(from), ColumnType::I64) => Values::I64(
            from.iter()
                .map(|v| i64::try_from(*v).ok())
                .collect::<Option<_>>()?,
        ),
        (from, ColumnType::NullableF64) => Values::NullableF64(from.numbers()?),
        (from, ColumnType::F64) => Values::F64(from.numbers()?.into_iter().collect::<Option<_>>()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(values: Values) -> Table {
        Table::builder("t").column("a", values).build().unwrap()
    }

    #[test]
    fn the_wider_type_is_taken() {
        let joined = table(Values::F64(vec![1.0]))
            .concatenate(&table(Values::NullableF64(vec![None])))
            .unwrap();
        let expected = Values::NullableF64(vec![Some(1.0), None]);
        assert_eq!(joined.column("a").unwrap(), &expected);

        let joined = table(Values::U64(vec![3]))
            .concatenate(&table(Values::I64(vec![-1])))
            .unwrap();
        assert_eq!(joined.column("a").unwrap(), &Values::I64(vec![3, -1]));
        assert_eq!(joined.rows(), 2);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let text = table(Values::String(vec!["x".into()]));
        let numbers = table(Values::U64(vec![u64::MAX]));
        assert!(matches!(
            text.concatenate(&numbers),
            Err(TableError::DifferentTypes { .. })
        ));
        assert!(numbers.concatenate(&table(Values::I64(vec![0]))).is_err());
        let other = Table::builder("t").u64("b", vec![]).build().unwrap();
        assert!(matches!(
            numbers.concatenate(&other),
            Err(TableError::DifferentColumns { .. })
        ));
    }
}
