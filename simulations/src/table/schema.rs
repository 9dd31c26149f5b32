//! What every kind of table file starts with, and how its errors are told.

use std::path::Path;

use super::{ColumnType, Metadata, Table, TableError};

/// What a file's columns are, and what it says of itself.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    pub(super) table: String,
    pub(super) metadata: Metadata,
    pub(super) columns: Vec<(String, ColumnType)>,
}

impl Schema {
    pub(super) fn of(table: &Table) -> Self {
        let columns = table.columns().iter();
        Self {
            table: table.name().to_owned(),
            metadata: table.metadata().to_vec(),
            columns: columns.map(|c| (c.name.clone(), c.values.kind())).collect(),
        }
    }

    pub(super) fn fits(&self, table: &Table) -> bool {
        let columns = table.columns();
        columns.len() == self.columns.len()
            && columns
                .iter()
                .zip(&self.columns)
                .all(|(c, (name, kind))| c.name == *name && c.values.kind() == *kind)
    }

    pub(super) fn describe<'a>(columns: impl Iterator<Item = (&'a str, ColumnType)>) -> String {
        let described: Vec<_> = columns
            .map(|(name, kind)| format!("{name} ({kind})"))
            .collect();
        described.join(", ")
    }
}

pub(super) fn io_error(path: &Path, source: std::io::Error) -> TableError {
    TableError::Io {
        path: path.to_owned(),
        source,
    }
}
