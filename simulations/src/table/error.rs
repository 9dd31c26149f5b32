//! What can be wrong with a table or its file.

use std::path::PathBuf;

use super::ColumnType;

/// An error of a table or its file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The columns differ in length.
    #[error("column `{column}` has {rows} rows where the others have {expected}")]
    Length {
        /// Its name.
        column: String,
        /// Its length.
        rows: usize,
        /// The first column's length.
        expected: usize,
    },
    /// Two columns have one name.
    #[error("two columns are called `{column}`")]
    DuplicateColumn {
        /// The name.
        column: String,
    },
    /// A column has no name.
    #[error("column {index} (from 0) has no name")]
    EmptyName {
        /// Its place, from 0.
        index: usize,
    },
    /// There is no such column.
    #[error("there is no column `{column}` in `{table}`; its columns are: {available}")]
    UnknownColumn {
        /// The name that was asked for.
        column: String,
        /// The table's name.
        table: String,
        /// The names that exist.
        available: String,
    },
    /// A column of text where numbers are needed.
    #[error("column `{column}` holds text where numbers are needed")]
    NotNumeric {
        /// Its name.
        column: String,
    },
    /// Two tables that were to be joined have different columns.
    #[error("the tables don't have the same columns: {left} and {right}")]
    DifferentColumns {
        /// The columns of the one.
        left: String,
        /// The columns of the other.
        right: String,
    },
    /// A column has two types that don't fit.
    #[error("column `{column}` is {left} in one table and {right} in the other")]
    DifferentTypes {
        /// Its name.
        column: String,
        /// The one type.
        left: ColumnType,
        /// The other type.
        right: ColumnType,
    },
    /// The extension names no format.
    #[error("{}: a table's file ends in .csv or .parquet", path.display())]
    UnknownFormat {
        /// The path.
        path: PathBuf,
    },
    /// The file system's error.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The error.
        source: std::io::Error,
    },
    /// The file's content is not a table.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The path.
        path: PathBuf,
        /// What is wrong and where.
        reason: String,
    },
    /// The file needs more memory than the limit.
    #[error("{}: more than {limit} {what}; split the table or read it with another tool", path.display())]
    TooLarge {
        /// The path.
        path: PathBuf,
        /// `cells` or `bytes of text`.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}
