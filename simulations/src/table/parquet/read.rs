//! Reading Parquet: flat tables of numbers, text and truth values, whoever wrote them.

use std::fs::File;
use std::path::Path;

use ::parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::DataType;
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::{FileMetaData, RowGroupMetaData};
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::schema::types::ColumnDescriptor;

use super::TABLE_KEY;
use crate::table::csv::malformed;
use crate::table::schema::io_error;
use crate::table::{ColumnType, Limits, Metadata, Table, TableError, Values};

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 1 << 14;

pub(in crate::table) fn read(path: &Path, limits: Limits) -> Result<Table, TableError> {
    let bad = |error: ParquetError| malformed(path, error.to_string());
    let file = File::open(path).map_err(|source| io_error(path, source))?;
    let reader = SerializedFileReader::new(file).map_err(bad)?;
    let metadata = reader.metadata().file_metadata();
    let columns = metadata.schema_descr().columns();
    let rows = u64::try_from(metadata.num_rows())
        .map_err(|_| malformed(path, "a negative number of rows".to_owned()))?;
    limits.check(path, rows.saturating_mul(columns.len() as u64), 0)?;
    if !reader.metadata().row_groups().iter().all(is_plausible) {
        let reason = "the footer has negative sizes or places".to_owned();
        return Err(malformed(path, reason));
    }

    let mut text = 0;
    let (name, pairs) = name_and_metadata(path, metadata);
    let mut table = Table::builder(name).metadata_all(&pairs);
    for (index, column) in columns.iter().enumerate() {
        let kind = Kind::of(column)
            .map_err(|reason| malformed(path, format!("column `{}`: {reason}", column.path())))?;
        let mut gathered = Gathered::new(kind);
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).map_err(bad)?;
            let rows = group.metadata().num_rows();
            let source = group.get_column_reader(index).map_err(bad)?;
            text += gathered
                .read(
                    source,
                    kind,
                    usize::try_from(rows).unwrap_or(0),
                    limits.text - text,
                )
                .map_err(|fault| fault.into_error(path, column.name(), limits))?;
        }
        let values = gathered
            .values(kind)
            .map_err(|fault| fault.into_error(path, column.name(), limits))?;
        table = table.column(column.name(), values);
    }
    let table = table
        .build()
        .map_err(|error| malformed(path, error.to_string()))?;
    if table.rows() as u64 != rows && !table.columns().is_empty() {
        let reason = format!("{} rows where the footer says {rows}", table.rows());
        return Err(malformed(path, reason));
    }
    Ok(table)
}

/// What the decoder takes for granted.
fn is_plausible(group: &RowGroupMetaData) -> bool {
    group.num_rows() >= 0
        && group.columns().iter().all(|column| {
            column.compressed_size() >= 0
                && column.data_page_offset() >= 0
                && column.dictionary_page_offset().is_none_or(|at| at >= 0)
                && column.num_values() >= 0
        })
}

fn name_and_metadata(path: &Path, metadata: &FileMetaData) -> (String, Metadata) {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let mut name = stem.unwrap_or("table").to_owned();
    let mut pairs = Metadata::new();
    for pair in metadata.key_value_metadata().into_iter().flatten() {
        let value = pair.value.clone().unwrap_or_default();
        match pair.key.as_str() {
            TABLE_KEY => name = value,
            // How other tools repeat the schema.
            "ARROW:schema" | "pandas" => {}
            key => pairs.push((key.to_owned(), value)),
        }
    }
    (name, pairs)
}

/// What a column of the file becomes.
#[derive(Clone, Copy)]
struct Kind {
    becomes: ColumnType,
    optional: bool,
}

impl Kind {
    fn of(column: &ColumnDescriptor) -> Result<Self, String> {
        let nested = column.path().parts().len() != 1
            || column.max_rep_level() != 0
            || column.max_def_level() > 1;
        if nested {
            return Err("nested columns are not read".to_owned());
        }
        let optional = column.max_def_level() == 1;
        let becomes = match (column.physical_type(), column.logical_type_ref()) {
            (Physical::BOOLEAN, _) => ColumnType::Bool,
            (Physical::FLOAT | Physical::DOUBLE, None) if optional => ColumnType::NullableF64,
            (Physical::FLOAT | Physical::DOUBLE, None) => ColumnType::F64,
            (Physical::BYTE_ARRAY, Some(LogicalType::String) | None) => ColumnType::String,
            (Physical::INT32 | Physical::INT64, Some(LogicalType::Integer(integer))) => {
                if integer.is_signed {
                    ColumnType::I64
                } else {
                    ColumnType::U64
                }
            }
            (Physical::INT32 | Physical::INT64, None) => match column.converted_type() {
                ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64 => ColumnType::U64,
                _ => ColumnType::I64,
            },
            (physical, logical) => {
                return Err(format!(
                    "of type {physical} ({logical:?}), which is not read; \
                     write it as numbers, text or truth values"
                ));
            }
        };
        Ok(Self { becomes, optional })
    }
}

/// Why a column can't be read.
enum Fault {
    Parquet(ParquetError),
    Text,
    Missing(ColumnType),
    Encoding,
    Type,
}

impl Fault {
    fn into_error(self, path: &Path, column: &str, limits: Limits) -> TableError {
        let reason = match self {
            Self::Text => {
                return TableError::TooLarge {
                    path: path.to_owned(),
                    what: "bytes of text",
                    limit: limits.text,
                };
            }
            Self::Parquet(error) => error.to_string(),
            Self::Missing(kind) => format!("a value of type {kind} is missing"),
            Self::Encoding => "text that is not UTF-8".to_owned(),
            Self::Type => "the data is not of the type that the schema says".to_owned(),
        };
        malformed(path, format!("column `{column}`: {reason}"))
    }
}

/// A column while it is read, row group by row group.
enum Gathered {
    Float(Vec<Option<f64>>),
    Integer(Vec<Option<i64>>),
    Text(Vec<Option<String>>),
    Truth(Vec<Option<bool>>),
}

impl Gathered {
    fn new(kind: Kind) -> Self {
        match kind.becomes {
            ColumnType::F64 | ColumnType::NullableF64 => Self::Float(Vec::new()),
            ColumnType::U64 | ColumnType::I64 => Self::Integer(Vec::new()),
            ColumnType::String => Self::Text(Vec::new()),
            ColumnType::Bool => Self::Truth(Vec::new()),
        }
    }

    /// Reads one column of a row group; the bytes of text that it held.
    fn read(
        &mut self,
        source: ColumnReader,
        kind: Kind,
        rows: usize,
        budget: u64,
    ) -> Result<u64, Fault> {
        let mut text = 0;
        let unsigned = kind.becomes == ColumnType::U64;
        match (self, source) {
            (Self::Float(to), ColumnReader::DoubleColumnReader(from)) => {
                pull(from, rows, |value| {
                    to.push(value.copied());
                    Ok(())
                })?;
            }
            (Self::Float(to), ColumnReader::FloatColumnReader(from)) => {
                pull(from, rows, |value| {
                    to.push(value.map(|v| f64::from(*v)));
                    Ok(())
                })?;
            }
            (Self::Integer(to), ColumnReader::Int64ColumnReader(from)) => {
                pull(from, rows, |value| {
                    to.push(value.copied());
                    Ok(())
                })?;
            }
            (Self::Integer(to), ColumnReader::Int32ColumnReader(from)) => {
                pull(from, rows, |value| {
                    to.push(value.map(|v| match unsigned {
                        true => i64::from(v.cast_unsigned()),
                        false => i64::from(*v),
                    }));
                    Ok(())
                })?;
            }
            (Self::Truth(to), ColumnReader::BoolColumnReader(from)) => {
                pull(from, rows, |value| {
                    to.push(value.copied());
                    Ok(())
                })?;
            }
            (Self::Text(to), ColumnReader::ByteArrayColumnReader(from)) => {
                pull(from, rows, |value| {
                    let Some(value) = value else {
                        to.push(None);
                        return Ok(());
                    };
                    text += value.len() as u64;
                    if text > budget {
                        return Err(Fault::Text);
                    }
                    let utf8 = value.as_utf8().map_err(|_| Fault::Encoding)?;
                    to.push(Some(utf8.to_owned()));
                    Ok(())
                })?;
            }
            _ => return Err(Fault::Type),
        }
        Ok(text)
    }

    /// The column. Numbers of which some are missing become nullable floats, missing text becomes
    /// empty.
    fn values(self, kind: Kind) -> Result<Values, Fault> {
        fn all<T>(values: Vec<Option<T>>, kind: Kind) -> Result<Vec<T>, Fault> {
            let all: Option<Vec<T>> = values.into_iter().collect();
            all.ok_or(Fault::Missing(kind.becomes))
        }
        Ok(match self {
            Self::Float(values) if kind.optional => Values::NullableF64(values),
            Self::Float(values) => Values::F64(all(values, kind)?),
            Self::Truth(values) => Values::Bool(all(values, kind)?),
            Self::Text(values) => {
                Values::String(values.into_iter().map(Option::unwrap_or_default).collect())
            }
            Self::Integer(values) => integers(values, kind.becomes == ColumnType::U64),
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "integers of which some are missing are read as floats, as pandas does"
)]
fn integers(values: Vec<Option<i64>>, unsigned: bool) -> Values {
    if values.iter().any(Option::is_none) {
        let number = |v: i64| {
            if unsigned {
                v.cast_unsigned() as f64
            } else {
                v as f64
            }
        };
        return Values::NullableF64(values.into_iter().map(|v| v.map(number)).collect());
    }
    let present = values.into_iter().flatten();
    if unsigned {
        Values::U64(present.map(i64::cast_unsigned).collect())
    } else {
        Values::I64(present.collect())
    }
}

/// Hands each value of a column, or `None` where it is missing, to `take`.
fn pull<T: DataType>(
    mut column: ColumnReaderImpl<T>,
    rows: usize,
    mut take: impl FnMut(Option<&T::T>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let mut left = rows;
    while left > 0 {
        values.clear();
        levels.clear();
        let batch = left.min(BATCH_ROWS);
        let (records, _, _) = column
            .read_records(batch, Some(&mut levels), None, &mut values)
            .map_err(Fault::Parquet)?;
        if records == 0 {
            break;
        }
        left -= records.min(left);
        if levels.is_empty() {
            values.iter().try_for_each(|value| take(Some(value)))?;
            continue;
        }
        let mut present = values.iter();
        for level in &levels {
            take(if *level == 0 { None } else { present.next() })?;
        }
    }
    Ok(())
}
