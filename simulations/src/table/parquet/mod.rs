//! Parquet, without Arrow: a flat schema, snappy, metadata as key and value.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::types::{ColumnPath, Type};

use super::schema::{Schema, io_error};
use super::{ColumnType, Table, TableError, Values};

mod read;
pub(super) use read::read;

/// Rows in a row group: what a [`super::TableWriter`] holds in memory.
pub(super) const GROUP_ROWS: usize = 1 << 18;

/// The key under which a file keeps the table's name.
const TABLE_KEY: &str = "table";

pub(super) struct ParquetSink {
    writer: SerializedFileWriter<File>,
    group: Vec<Values>,
    path: PathBuf,
}

impl ParquetSink {
    pub(super) fn new(file: File, path: &Path, schema: &Schema) -> Result<Self, TableError> {
        let failed = |error| write_error(path, error);
        let root = message_type(schema).map_err(failed)?;
        let properties = Arc::new(properties(schema));
        let writer = SerializedFileWriter::new(file, Arc::new(root), properties).map_err(failed)?;
        Ok(Self {
            writer,
            group: schema.columns.iter().map(|(_, k)| k.empty()).collect(),
            path: path.to_owned(),
        })
    }

    /// Adds rows of the schema's columns, and writes each row group that becomes full.
    pub(super) fn append(&mut self, piece: &Table) -> Result<(), TableError> {
        let mut start = 0;
        while start < piece.rows() {
            let held = self.group.first().map_or(0, Values::len);
            let end = piece.rows().min(start + (GROUP_ROWS - held));
            for (held, column) in self.group.iter_mut().zip(piece.columns()) {
                held.extend_from(&column.values, start, end);
            }
            if held + (end - start) == GROUP_ROWS {
                self.flush()?;
            }
            start = end;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TableError> {
        let written = write_group(&mut self.writer, &self.group);
        for values in &mut self.group {
            *values = values.kind().empty();
        }
        written.map_err(|error| write_error(&self.path, error))
    }

    pub(super) fn finish(mut self) -> Result<(), TableError> {
        if self.group.first().is_some_and(|values| !values.is_empty()) {
            self.flush()?;
        }
        let closed = self.writer.close();
        closed
            .map(|_| ())
            .map_err(|error| write_error(&self.path, error))
    }
}

fn write_error(path: &Path, error: ParquetError) -> TableError {
    io_error(path, std::io::Error::other(error))
}

fn properties(schema: &Schema) -> WriterProperties {
    let pairs = std::iter::once((TABLE_KEY, schema.table.as_str()));
    let pairs = pairs.chain(
        schema
            .metadata
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str())),
    );
    let pairs = pairs.map(|(key, value)| KeyValue::new(key.to_owned(), value.to_owned()));
    let mut builder = WriterProperties::builder()
        .set_created_by(format!("shoal-sim {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_key_value_metadata(Some(pairs.collect()));
    for (name, kind) in &schema.columns {
        // Measured numbers seldom repeat: a dictionary of them costs time and saves nothing.
        if matches!(kind, ColumnType::F64 | ColumnType::NullableF64) {
            let path = ColumnPath::from(name.as_str());
            builder = builder.set_column_dictionary_enabled(path, false);
        }
    }
    builder.build()
}

fn message_type(schema: &Schema) -> Result<Type, ParquetError> {
    let fields = schema.columns.iter().map(|(name, kind)| {
        let (physical, logical) = match kind {
            ColumnType::F64 | ColumnType::NullableF64 => (Physical::DOUBLE, None),
            ColumnType::U64 => (Physical::INT64, Some(LogicalType::integer(64, false))),
            ColumnType::I64 => (Physical::INT64, Some(LogicalType::integer(64, true))),
            ColumnType::String => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            ColumnType::Bool => (Physical::BOOLEAN, None),
        };
        let repetition = match kind {
            ColumnType::NullableF64 => Repetition::OPTIONAL,
            _ => Repetition::REQUIRED,
        };
        let field = Type::primitive_type_builder(name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical);
        field.build().map(Arc::new)
    });
    Type::group_type_builder("schema")
        .with_fields(fields.collect::<Result<_, _>>()?)
        .build()
}

fn write_group(
    writer: &mut SerializedFileWriter<File>,
    columns: &[Values],
) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    for values in columns {
        match values {
            Values::F64(values) => write_column::<DoubleType>(&mut group, values, None)?,
            Values::NullableF64(values) => {
                let present: Vec<f64> = values.iter().flatten().copied().collect();
                let levels: Vec<i16> = values.iter().map(|v| v.is_some().into()).collect();
                write_column::<DoubleType>(&mut group, &present, Some(&levels))?;
            }
            Values::U64(values) => {
                let bits: Vec<i64> = values.iter().map(|v| v.cast_signed()).collect();
                write_column::<Int64Type>(&mut group, &bits, None)?;
            }
            Values::I64(values) => write_column::<Int64Type>(&mut group, values, None)?,
            Values::String(values) => {
                let bytes: Vec<_> = values.iter().map(|v| ByteArray::from(v.as_str())).collect();
                write_column::<ByteArrayType>(&mut group, &bytes, None)?;
            }
            Values::Bool(values) => write_column::<BoolType>(&mut group, values, None)?,
        }
    }
    group.close().map(|_| ())
}

fn write_column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let mut column = group
        .next_column()?
        .ok_or_else(|| ParquetError::General("more columns than the schema has".to_owned()))?;
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}
