//! Tables keep their values, names and types through both formats, and give the same bytes.

use std::path::Path;

use shoal_simulations::table::{Limits, Table, TableError, TableWriter, Values};

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|v| (*v).to_owned()).collect()
}

/// Every type, and values that are hard to print.
fn table() -> Table {
    let floats = vec![0.1 + 0.2, -0.0, 1e300, 5e-324, 4.0];
    Table::builder("runs")
        .metadata("version", "0.1.0")
        .metadata("odd key=;%", " a;b=c%\nd\té ")
        .metadata("seed", u64::MAX)
        .f64("latency_s", floats)
        .nullable(
            "entropy_bits",
            vec![None, Some(1.5), None, Some(f64::INFINITY), None],
        )
        .nullable("none_missing", vec![Some(1.0); 5])
        .u64("repetition", vec![0, 1, 2, u64::MAX, 9_007_199_254_740_993])
        .i64("shift", vec![0, -1, i64::MIN, i64::MAX, 3])
        .string(
            "adversary",
            strings(&["", "a,b", "say \"x\"", "two\nlines", "12"]),
        )
        .bool("alarm", vec![true, false, true, true, false])
        .build()
        .unwrap()
}

fn bits(values: &Values) -> Vec<Option<u64>> {
    let numbers = values.numbers().unwrap();
    numbers.iter().map(|v| v.map(f64::to_bits)).collect()
}

#[test]
fn both_formats_give_the_table_back() {
    let dir = tempfile::tempdir().unwrap();
    let table = table();
    table.write_both(dir.path()).unwrap();
    for file in ["runs.csv", "runs.parquet"] {
        let read = Table::read(&dir.path().join(file)).unwrap();
        assert_eq!(read, table, "{file}");
        let (ours, theirs) = (table.column("latency_s"), read.column("latency_s"));
        assert_eq!(bits(ours.unwrap()), bits(theirs.unwrap()), "{file}");
    }
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "no temporary file is left");
}

#[test]
fn the_text_is_as_documented() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    let table = Table::builder("t")
        .metadata("seed", 7)
        .metadata("note", "a;b")
        .nullable("x_s", vec![Some(0.1), None, Some(1e-7)])
        .u64("n", vec![1, 2, 3])
        .build()
        .unwrap();
    table.write(&path).unwrap();
    let expected = "# table=t; seed=7; note=a%3bb; types=f64? u64\nx_s,n\n0.1,1\n,2\n1e-7,3\n";
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
}

#[test]
fn an_empty_table_keeps_its_columns() {
    let dir = tempfile::tempdir().unwrap();
    let table = Table::builder("targets")
        .u64("repetition", vec![])
        .string("adversary", vec![])
        .build()
        .unwrap();
    table.write_both(dir.path()).unwrap();
    for file in ["targets.csv", "targets.parquet"] {
        assert_eq!(Table::read(&dir.path().join(file)).unwrap(), table);
    }
}

fn numbered(from: u64, to: u64) -> Table {
    Table::builder("big")
        .u64("n", (from..to).collect())
        .bool("odd", (from..to).map(|n| n % 2 == 1).collect())
        .build()
        .unwrap()
}

fn write_in_pieces(path: &Path, ends: &[u64]) -> Vec<u8> {
    let mut writer = TableWriter::create(path, &numbered(0, 0)).unwrap();
    let mut from = 0;
    for &to in ends {
        writer.append(&numbered(from, to)).unwrap();
        from = to;
    }
    assert!(!path.exists(), "the name is given at the end");
    assert_eq!(writer.finish().unwrap(), from);
    std::fs::read(path).unwrap()
}

#[test]
fn pieces_do_not_show_in_the_bytes() {
    let dir = tempfile::tempdir().unwrap();
    for extension in ["csv", "parquet"] {
        let path = dir.path().join(format!("a.{extension}"));
        let at_once = write_in_pieces(&path, &[600_000]);
        let _ = std::fs::remove_file(&path);
        let pieces = write_in_pieces(&path, &[1, 262_143, 262_145, 262_145, 599_000, 600_000]);
        assert!(at_once == pieces, "{extension}");
        let read = Table::read(&path).unwrap();
        assert_eq!(read, numbered(0, 600_000), "{extension}");
    }
}

#[test]
fn a_piece_with_other_columns_is_refused_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big.parquet");
    let mut writer = TableWriter::create(&path, &numbered(0, 0)).unwrap();
    let other = Table::builder("big").f64("n", vec![1.0]).build().unwrap();
    let said = writer.append(&other).unwrap_err().to_string();
    assert!(said.contains("n (u64), odd (bool) and n (f64)"), "{said}");
    drop(writer);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn foreign_csv_gets_the_narrowest_types() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other.csv");
    let text = "count,shift,x,gap,ok,who\r\n1,-1,1,,True,alice\r\n2,2,0.5,3,False,7\r\n";
    std::fs::write(&path, text).unwrap();
    let read = Table::read(&path).unwrap();
    assert_eq!(read.name(), "other");
    let kinds: Vec<_> = read
        .columns()
        .iter()
        .map(|c| c.values.kind().name())
        .collect();
    assert_eq!(kinds, ["u64", "i64", "f64", "f64?", "bool", "string"]);
    // A mark that some programs put first is no part of a name.
    std::fs::write(&path, format!("\u{feff}{text}")).unwrap();
    assert_eq!(Table::read(&path).unwrap(), read);
}

#[test]
fn malformed_files_are_refused_with_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8], expected: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let said = Table::read(&path).unwrap_err().to_string();
        assert!(said.contains(expected), "{name}: {said}");
        assert!(said.contains(name), "{said}");
    };
    refused(
        "a.csv",
        b"# table=a; types=u64\nn\n1\nx\n",
        "column `n`, row 2: `x` is no u64",
    );
    refused(
        "b.csv",
        b"# table=a; types=u64 u64\nn\n1\n",
        "2 types for 1 columns",
    );
    refused("c.csv", b"a,b\n1\n", "line: 2");
    refused("d.csv", b"# remark\na\n1\n", "the first line");
    refused("e.csv", b"a,a\n1,2\n", "two columns are called `a`");
    refused("f.parquet", b"PAR1 but no more", "Parquet");
    refused("g.parquet", b"", "Parquet");
    refused("h.xlsx", b"", "ends in .csv or .parquet");
}

#[test]
fn truncated_or_altered_parquet_is_an_error_or_another_table() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("runs.parquet");
    table().write(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for length in (0..bytes.len()).step_by(7) {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(Table::read(&path).is_err(), "{length} bytes");
    }
    for index in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[index] ^= 0x15;
        std::fs::write(&path, &altered).unwrap();
        // It may still be a table; it must not be a panic.
        let _ = Table::read(&path);
    }
}

#[test]
fn readers_stay_within_their_limits() {
    let dir = tempfile::tempdir().unwrap();
    let table = table();
    table.write_both(dir.path()).unwrap();
    let few = Limits {
        cells: 34,
        ..Limits::default()
    };
    let short = Limits {
        text: 20,
        ..Limits::default()
    };
    for file in ["runs.csv", "runs.parquet"] {
        let path = dir.path().join(file);
        for limits in [few, short] {
            let read = Table::read_within(&path, limits);
            assert!(
                matches!(
                    read,
                    Err(TableError::TooLarge { .. } | TableError::Malformed { .. })
                ),
                "{file} {read:?}"
            );
        }
        assert!(Table::read_within(&path, Limits { cells: 35, ..few }).is_ok());
    }
}
