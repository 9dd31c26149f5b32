//! Making a table, with columns that fit each other.

use super::{Column, Metadata, Table, TableError, Values};

/// Collects metadata and columns; [`TableBuilder::build`] checks them.
#[derive(Clone, Debug)]
pub struct TableBuilder {
    name: String,
    metadata: Metadata,
    columns: Vec<Column>,
}

impl TableBuilder {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            metadata: Metadata::new(),
            columns: Vec::new(),
        }
    }

    /// Sets a key of the metadata; a key that is set again keeps its place.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        let (key, value) = (key.into(), value.to_string());
        match self.metadata.iter_mut().find(|(name, _)| *name == key) {
            Some(found) => found.1 = value,
            None => self.metadata.push((key, value)),
        }
        self
    }

    /// Sets all of these keys of the metadata, in order.
    #[must_use]
    pub fn metadata_all(mut self, all: &[(String, String)]) -> Self {
        for (key, value) in all {
            self = self.metadata(key.as_str(), value);
        }
        self
    }

    /// Adds a column.
    #[must_use]
    pub fn column(mut self, name: impl Into<String>, values: Values) -> Self {
        self.columns.push(Column {
            name: name.into(),
            values,
        });
        self
    }

    /// Adds a column of numbers.
    #[must_use]
    pub fn f64(self, name: impl Into<String>, values: Vec<f64>) -> Self {
        self.column(name, Values::F64(values))
    }

    /// Adds a column of numbers of which some are missing.
    #[must_use]
    pub fn nullable(self, name: impl Into<String>, values: Vec<Option<f64>>) -> Self {
        self.column(name, Values::NullableF64(values))
    }

    /// Adds a column of counts.
    #[must_use]
    pub fn u64(self, name: impl Into<String>, values: Vec<u64>) -> Self {
        self.column(name, Values::U64(values))
    }

    /// Adds a column of integers.
    #[must_use]
    pub fn i64(self, name: impl Into<String>, values: Vec<i64>) -> Self {
        self.column(name, Values::I64(values))
    }

    /// Adds a column of text.
    #[must_use]
    pub fn string(self, name: impl Into<String>, values: Vec<String>) -> Self {
        self.column(name, Values::String(values))
    }

    /// Adds a column of truth values.
    #[must_use]
    pub fn bool(self, name: impl Into<String>, values: Vec<bool>) -> Self {
        self.column(name, Values::Bool(values))
    }

    /// Checks that the columns have names of their own and one length.
    ///
    /// # Errors
    /// [`TableError::Length`], [`TableError::DuplicateColumn`], [`TableError::EmptyName`].
    pub fn build(self) -> Result<Table, TableError> {
        let rows = self.columns.first().map_or(0, |c| c.values.len());
        for (index, column) in self.columns.iter().enumerate() {
            if column.name.is_empty() {
                return Err(TableError::EmptyName { index });
            }
            if column.values.len() != rows {
                return Err(TableError::Length {
                    column: column.name.clone(),
                    rows: column.values.len(),
                    expected: rows,
                });
            }
            if self
                .columns
                .iter()
                .take(index)
                .any(|c| c.name == column.name)
            {
                return Err(TableError::DuplicateColumn {
                    column: column.name.clone(),
                });
            }
        }
        Ok(Table {
            name: self.name,
            metadata: self.metadata,
            columns: self.columns,
            rows,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_different_length_are_refused() {
        let built = Table::builder("t")
            .u64("a", vec![1, 2])
            .f64("b", vec![1.0])
            .build();
        let said = built.unwrap_err().to_string();
        assert_eq!(said, "column `b` has 1 rows where the others have 2");
    }

    #[test]
    fn a_name_is_used_once() {
        let twice = Table::builder("t").u64("a", vec![]).bool("a", vec![]);
        assert!(matches!(
            twice.build(),
            Err(TableError::DuplicateColumn { .. })
        ));
        let nameless = Table::builder("t").u64("", vec![]);
        assert!(matches!(
            nameless.build(),
            Err(TableError::EmptyName { index: 0 })
        ));
    }

    #[test]
    fn metadata_keeps_its_order() {
        let table = Table::builder("t")
            .metadata("b", 1)
            .metadata("a", 2)
            .metadata("b", 3)
            .build()
            .unwrap();
        let keys: Vec<_> = table.metadata().iter().map(|(k, _)| k.as_str()).collect();
        assert_eq!(keys, ["b", "a"]);
        assert_eq!(table.metadata_value("b"), Some("3"));
    }
}
