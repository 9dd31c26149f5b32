//! Which format a file has, and how much of it is read.

use std::path::Path;

use super::TableError;

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text, a first line of metadata.
    Csv,
    /// Apache Parquet, snappy.
    Parquet,
}

impl Format {
    /// The format by the path's extension.
    ///
    /// # Errors
    /// [`TableError::UnknownFormat`].
    pub fn of(path: &Path) -> Result<Self, TableError> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(TableError::UnknownFormat {
                path: path.to_owned(),
            }),
        }
    }
}

/// How much a reader takes into memory before it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows times columns; 16 bytes each at most. Default 100,000,000.
    pub cells: u64,
    /// Bytes of text in all. Default 1 GiB.
    pub text: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cells: 100_000_000,
            text: 1 << 30,
        }
    }
}

impl Limits {
    pub(super) fn check(&self, path: &Path, cells: u64, text: u64) -> Result<(), TableError> {
        let beyond = |what, limit| {
            Err(TableError::TooLarge {
                path: path.to_owned(),
                what,
                limit,
            })
        };
        if cells > self.cells {
            return beyond("cells", self.cells);
        }
        if text > self.text {
            return beyond("bytes of text", self.text);
        }
        Ok(())
    }
}
