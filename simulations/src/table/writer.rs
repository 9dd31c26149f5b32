//! Writing a table in pieces.

use std::path::{Path, PathBuf};

use super::file::PendingFile;
use super::schema::{Schema, io_error};
use super::{Format, Table, TableError, csv, parquet};

enum Sink {
    Csv(csv::CsvSink),
    Parquet(parquet::ParquetSink),
}

/// Writes one file from any number of pieces. Memory is bounded by the largest piece and, for
/// Parquet, one row group of 262,144 rows. The file gets its name in [`TableWriter::finish`];
/// a writer that is dropped before leaves nothing. How the rows were cut into pieces does not show
/// in the bytes.
pub struct TableWriter {
    sink: Sink,
    schema: Schema,
    pending: PendingFile,
    path: PathBuf,
    rows: u64,
}

impl TableWriter {
    /// Begins a file with the name, metadata and columns of `like`; its rows are not written. The
    /// format is that of the path's extension.
    ///
    /// # Errors
    /// [`TableError::UnknownFormat`], [`TableError::Io`].
    pub fn create(path: &Path, like: &Table) -> Result<Self, TableError> {
        let format = Format::of(path)?;
        let schema = Schema::of(like);
        let pending = PendingFile::create(path).map_err(|source| io_error(path, source))?;
        let file = pending.handle().map_err(|source| io_error(path, source))?;
        let sink = match format {
            Format::Csv => Sink::Csv(csv::CsvSink::new(file, path, &schema)?),
            Format::Parquet => Sink::Parquet(parquet::ParquetSink::new(file, path, &schema)?),
        };
        Ok(Self {
            sink,
            schema,
            pending,
            path: path.to_owned(),
            rows: 0,
        })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// [`TableError::DifferentColumns`] unless names, order and types are those of the file;
    /// [`TableError::Io`].
    pub fn append(&mut self, piece: &Table) -> Result<(), TableError> {
        if !self.schema.fits(piece) {
            let own = self.schema.columns.iter().map(|(n, k)| (n.as_str(), *k));
            let others = piece.columns().iter();
            return Err(TableError::DifferentColumns {
                left: Schema::describe(own),
                right: Schema::describe(others.map(|c| (c.name.as_str(), c.values.kind()))),
            });
        }
        self.rows += piece.rows() as u64;
        match &mut self.sink {
            Sink::Csv(sink) => sink.append(piece),
            Sink::Parquet(sink) => sink.append(piece),
        }
    }

    /// Completes the file and gives it its name; the number of rows.
    ///
    /// # Errors
    /// [`TableError::Io`].
    pub fn finish(self) -> Result<u64, TableError> {
        match self.sink {
            Sink::Csv(sink) => sink.finish()?,
            Sink::Parquet(sink) => sink.finish()?,
        }
        let path = self.path;
        self.pending
            .commit()
            .map_err(|source| io_error(&path, source))?;
        Ok(self.rows)
    }
}

impl std::fmt::Debug for TableWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableWriter")
            .field("path", &self.path)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}
