//! CSV: a first line `# key=value; …`, a header, a row each.
//!
//! The first line holds the table's name (`table`), the columns' types (`types`) and the metadata.
//! In its keys and values `%`, `;`, `=`, and what is not printable are written as `%` and two
//! hexadecimal digits. A file without the line is read too: each column gets the narrowest type
//! that holds all of its values.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::schema::{Schema, io_error};
use super::{ColumnType, Limits, Table, TableError, Values};

/// What some programs put before a text to say that it is UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

pub(super) struct CsvSink {
    writer: ::csv::Writer<BufWriter<File>>,
    path: PathBuf,
}

impl CsvSink {
    pub(super) fn new(file: File, path: &Path, schema: &Schema) -> Result<Self, TableError> {
        let mut file = BufWriter::with_capacity(1 << 16, file);
        let line = first_line(schema);
        file.write_all(line.as_bytes())
            .map_err(|source| io_error(path, source))?;
        let mut sink = Self {
            writer: ::csv::WriterBuilder::new().from_writer(file),
            path: path.to_owned(),
        };
        let names: Vec<_> = schema.columns.iter().map(|(name, _)| name).collect();
        if !names.is_empty() {
            sink.record(&names)?;
        }
        Ok(sink)
    }

    fn record(&mut self, fields: &[impl AsRef<[u8]>]) -> Result<(), TableError> {
        let written = self.writer.write_record(fields);
        written.map_err(|error| io_error(&self.path, error.into()))
    }

    pub(super) fn append(&mut self, piece: &Table) -> Result<(), TableError> {
        let mut fields = vec![String::new(); piece.columns().len()];
        for row in 0..piece.rows() {
            for (field, column) in fields.iter_mut().zip(piece.columns()) {
                field.clear();
                column.values.print(row, field);
            }
            self.record(&fields)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), TableError> {
        let flushed = self.writer.flush();
        flushed.map_err(|source| io_error(&self.path, source))
    }
}

fn first_line(schema: &Schema) -> String {
    let mut line = format!("# table={}", escape(&schema.table));
    for (key, value) in &schema.metadata {
        line.push_str("; ");
        line.push_str(&escape(key));
        line.push('=');
        line.push_str(&escape(value));
    }
    let types: Vec<_> = schema.columns.iter().map(|(_, kind)| kind.name()).collect();
    line.push_str("; types=");
    line.push_str(&types.join(" "));
    line.push('\n');
    line
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | ';' | '=' | '\u{7f}') || c < ' ' {
            // Writing to a String does not fail.
            let _ = write!(escaped, "%{:02x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.get(..2)?;
        plain.push(char::from(u8::from_str_radix(digits, 16).ok()?));
        plain.push_str(part.get(2..)?);
    }
    Some(plain)
}

/// What a first line says.
#[derive(Default)]
struct Head {
    table: Option<String>,
    types: Option<Vec<ColumnType>>,
    metadata: Vec<(String, String)>,
}

impl Head {
    fn parse(line: &str) -> Option<Self> {
        let mut head = Self::default();
        for pair in line.strip_prefix('#')?.split(';') {
            let pair = pair.strip_prefix(' ').unwrap_or(pair);
            let (key, value) = pair.split_once('=')?;
            let (key, value) = (unescape(key)?, unescape(value)?);
            match key.as_str() {
                "table" if head.table.is_none() => head.table = Some(value),
                "types" if head.types.is_none() => {
                    let types = value.split_whitespace().map(ColumnType::named);
                    head.types = Some(types.collect::<Option<_>>()?);
                }
                _ => head.metadata.push((key, value)),
            }
        }
        Some(head)
    }
}

pub(super) fn read(path: &Path, limits: Limits) -> Result<Table, TableError> {
    let file = File::open(path).map_err(|source| io_error(path, source))?;
    let mut reader = BufReader::new(file);
    let head = read_head(&mut reader, path, limits)?;
    let (names, cells) = read_cells(reader, path, limits)?;
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let name = head.table.as_deref().or(stem).unwrap_or("table");
    let mut table = Table::builder(name).metadata_all(&head.metadata);
    if let Some(types) = &head.types
        && types.len() != names.len()
    {
        let reason = format!("{} types for {} columns", types.len(), names.len());
        return Err(malformed(path, reason));
    }
    for (index, (name, cells)) in names.into_iter().zip(cells).enumerate() {
        let said = head.types.as_ref().and_then(|types| types.get(index));
        let kind = said.copied().unwrap_or_else(|| narrowest(&cells));
        let values = parse(&cells, kind).map_err(|row| {
            let cell = cells.get(row).map_or("", String::as_str);
            let reason = format!("column `{name}`, row {}: `{cell}` is no {kind}", row + 1);
            malformed(path, reason)
        })?;
        table = table.column(name, values);
    }
    table
        .build()
        .map_err(|error| malformed(path, error.to_string()))
}

/// Reads the first line if it is a comment, and leaves the reader after it.
fn read_head(
    reader: &mut BufReader<File>,
    path: &Path,
    limits: Limits,
) -> Result<Head, TableError> {
    let mut start = reader.fill_buf().map_err(|source| io_error(path, source))?;
    if start.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
        start = reader.fill_buf().map_err(|source| io_error(path, source))?;
    }
    if start.first() != Some(&b'#') {
        return Ok(Head::default());
    }
    let mut line = String::new();
    let mut bounded = std::io::Read::take(reader, limits.text);
    bounded
        .read_line(&mut line)
        .map_err(|source| io_error(path, source))?;
    Head::parse(line.trim_end_matches(['\r', '\n'])).ok_or_else(|| {
        let reason = "the first line begins with `#` but is not `# key=value; …`".to_owned();
        malformed(path, reason)
    })
}

type Cells = (Vec<String>, Vec<Vec<String>>);

/// The header, and the text of each column.
fn read_cells(reader: BufReader<File>, path: &Path, limits: Limits) -> Result<Cells, TableError> {
    let mut reader = ::csv::ReaderBuilder::new().from_reader(reader);
    let header = reader.headers().map_err(|error| csv_error(path, error))?;
    let names: Vec<String> = header.iter().map(str::to_owned).collect();
    let mut cells = vec![Vec::new(); names.len()];
    let (mut count, mut text) = (0_u64, 0_u64);
    for record in reader.records() {
        let record = record.map_err(|error| csv_error(path, error))?;
        count += record.len() as u64;
        text += record.as_slice().len() as u64;
        limits.check(path, count, text)?;
        for (column, cell) in cells.iter_mut().zip(record.iter()) {
            column.push(cell.to_owned());
        }
    }
    Ok((names, cells))
}

fn csv_error(path: &Path, error: ::csv::Error) -> TableError {
    if error.is_io_error() {
        return io_error(path, error.into());
    }
    malformed(path, error.to_string())
}

pub(super) fn malformed(path: &Path, reason: String) -> TableError {
    TableError::Malformed {
        path: path.to_owned(),
        reason,
    }
}

fn narrowest(cells: &[String]) -> ColumnType {
    let order = [
        ColumnType::U64,
        ColumnType::I64,
        ColumnType::F64,
        ColumnType::Bool,
        ColumnType::NullableF64,
    ];
    let fitting = order.into_iter().find(|kind| parse(cells, *kind).is_ok());
    fitting.unwrap_or(ColumnType::String)
}

/// The values, or the first row whose text is of another type.
fn parse(cells: &[String], kind: ColumnType) -> Result<Values, usize> {
    fn all<T>(cells: &[String], parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, usize> {
        let parsed = cells.iter().enumerate();
        parsed.map(|(row, cell)| parse(cell).ok_or(row)).collect()
    }
    let nullable = |cell: &str| match cell {
        "" => Some(None),
        number => number.parse().ok().map(Some),
    };
    Ok(match kind {
        ColumnType::F64 => Values::F64(all(cells, |cell| cell.parse().ok())?),
        ColumnType::NullableF64 => Values::NullableF64(all(cells, nullable)?),
        ColumnType::U64 => Values::U64(all(cells, |cell| cell.parse().ok())?),
        ColumnType::I64 => Values::I64(all(cells, |cell| cell.parse().ok())?),
        ColumnType::String => Values::String(cells.to_vec()),
        ColumnType::Bool => Values::Bool(all(cells, |cell| match cell {
            "true" | "True" => Some(true),
            "false" | "False" => Some(false),
            _ => None,
        })?),
    })
}
