//! Tables of results, and their files in Parquet and CSV.
//!
//! A [`Table`] is a list of named columns of one length, each of one type, and an ordered list of
//! metadata (version, scenario hash, seed). [`Table::write`] and [`Table::read`] choose the format
//! by the file's extension; [`TableWriter`] takes a table in pieces, in bounded memory. The bytes
//! of a file depend on the table alone: they hold no time, no host and no path.
//!
//! ```
//! use shoal_simulations::table::Table;
//!
//! let table = Table::builder("runs")
//!     .metadata("seed", 7)
//!     .u64("repetition", vec![0, 1])
//!     .f64("latency_s", vec![0.8, 0.9])
//!     .build()?;
//! let dir = tempfile::tempdir()?;
//! table.write_both(dir.path())?;
//! assert_eq!(Table::read(&dir.path().join("runs.parquet"))?, table);
//! assert_eq!(Table::read(&dir.path().join("runs.csv"))?, table);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod append;
mod builder;
mod csv;
mod error;
mod file;
mod format;
mod parquet;
mod schema;
mod values;
mod writer;

pub use builder::TableBuilder;
pub use error::TableError;
pub(crate) use file::create_beside;
pub use file::write_atomically;
pub use format::{Format, Limits};
pub use values::{Column, ColumnType, Values};
pub use writer::TableWriter;

use std::path::Path;

/// Ordered pairs of key and value that say where a table comes from.
pub type Metadata = Vec<(String, String)>;

/// Named columns of one length, with metadata. Made by [`Table::builder`].
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    name: String,
    metadata: Metadata,
    columns: Vec<Column>,
    rows: usize,
}

impl Table {
    /// Starts a table; the name is also the file's name in [`Table::write_both`].
    pub fn builder(name: impl Into<String>) -> TableBuilder {
        TableBuilder::new(name.into())
    }

    /// The table's name: `runs`, `targets`, ….
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The columns in order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The metadata in order.
    #[must_use]
    pub fn metadata(&self) -> &[(String, String)] {
        &self.metadata
    }

    /// The metadata's value of a key.
    #[must_use]
    pub fn metadata_value(&self, key: &str) -> Option<&str> {
        let found = self.metadata.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }

    /// The table with these keys of metadata instead of its own.
    #[must_use]
    pub fn with_metadata(mut self, metadata: &[(String, String)]) -> Self {
        self.metadata = metadata.to_vec();
        self
    }

    /// Whether there is a column of this name.
    #[must_use]
    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|c| c.name == column)
    }

    /// The column of this name.
    ///
    /// # Errors
    /// [`TableError::UnknownColumn`], which names those that exist.
    pub fn column(&self, name: &str) -> Result<&Values, TableError> {
        let found = self.columns.iter().find(|c| c.name == name);
        found
            .map(|c| &c.values)
            .ok_or_else(|| TableError::UnknownColumn {
                column: name.to_owned(),
                table: self.name.clone(),
                available: self.main_columns().join(", "),
            })
    }

    /// The columns' names in order, without those that are the interval or the error of another:
    /// `NAME.low`, `NAME.high`, `NAME.se`.
    #[must_use]
    pub fn main_columns(&self) -> Vec<&str> {
        let endings = [".low", ".high", ".se"];
        let belongs = |name: &str| {
            let mut bases = endings
                .iter()
                .filter_map(|ending| name.strip_suffix(ending));
            bases.any(|base| self.has(base))
        };
        let names = self.column_names().into_iter();
        names.filter(|name| !belongs(name)).collect()
    }

    /// The columns' names in order.
    #[must_use]
    pub fn column_names(&self) -> Vec<&str> {
        self.columns.iter().map(|c| c.name.as_str()).collect()
    }

    /// A column as numbers: integers are rounded to the nearest f64, false is 0 and true is 1.
    ///
    /// # Errors
    /// [`TableError::UnknownColumn`]; [`TableError::NotNumeric`] for a column of strings.
    pub fn numbers(&self, name: &str) -> Result<Vec<Option<f64>>, TableError> {
        let numbers = self.column(name)?.numbers();
        numbers.ok_or_else(|| TableError::NotNumeric {
            column: name.to_owned(),
        })
    }

    /// Writes the table in the format of the path's extension, `.csv` or `.parquet`.
    ///
    /// # Errors
    /// [`TableError::UnknownFormat`], and what the file system says. The file is complete or is
    /// not there.
    pub fn write(&self, path: &Path) -> Result<(), TableError> {
        let mut writer = TableWriter::create(path, self)?;
        writer.append(self)?;
        writer.finish()?;
        Ok(())
    }

    /// Writes `NAME.csv` and `NAME.parquet` in a folder that exists.
    ///
    /// # Errors
    /// As [`Table::write`].
    pub fn write_both(&self, folder: &Path) -> Result<(), TableError> {
        self.write(&folder.join(format!("{}.csv", self.name)))?;
        self.write(&folder.join(format!("{}.parquet", self.name)))
    }

    /// Reads a table, in the format of the path's extension, within the default [`Limits`].
    ///
    /// # Errors
    /// [`TableError`]: unknown format, unreadable, malformed (with the line or the column), or
    /// beyond the limits.
    pub fn read(path: &Path) -> Result<Self, TableError> {
        Self::read_within(path, Limits::default())
    }

    /// As [`Table::read`], with limits of the caller's.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn read_within(path: &Path, limits: Limits) -> Result<Self, TableError> {
        match Format::of(path)? {
            Format::Csv => csv::read(path, limits),
            Format::Parquet => parquet::read(path, limits),
        }
    }
}
