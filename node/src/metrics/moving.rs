//! Each declared series has a line of code that moves it: a counter that nothing counts would stay 0 for
//! ever, and be read as good news.
//!
//! It is looked for in the text of the crates: tests at the ends of files and the declarations
//! themselves do not count.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::declared;

/// Declared without a macro, because they are no whole numbers, or have the labels of another: the
/// books' own tests see them move.
const BY_HAND: [&str; 6] = [
    "shoal_mix_delay_excess_seconds",
    "shoal_mix_loops_return_ratio",
    "shoal_mix_own_departing_packets",
    "shoal_mix_own_dropped_packets_total",
    "shoal_mix_own_sent_packets_total",
    "shoal_node_build_info",
];

/// A field of `counters!` or a label of `labels!`.
#[derive(Debug)]
struct Declared {
    krate: String,
    /// The metric, with the label's value if there is one.
    series: String,
    /// The field, or the type and the variant.
    name: Name,
}

#[derive(Debug)]
enum Name {
    Field(String),
    Variant(String, String),
}

/// The sources of one crate, without tests, comments and declarations.
#[derive(Default)]
struct Sources {
    declared: Vec<Declared>,
    /// By crate.
    code: BTreeMap<String, String>,
}

impl Sources {
    fn of_workspace() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut sources = Self::default();
        for entry in std::fs::read_dir(root).unwrap() {
            let krate = entry.unwrap().path();
            if krate.join("Cargo.toml").exists() && krate.join("src").exists() {
                let name = krate.file_name().unwrap().to_str().unwrap().to_owned();
                sources.read(&name, &krate.join("src"));
            }
        }
        sources
    }

    fn read(&mut self, krate: &str, dir: &Path) {
        let mut entries: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                self.read(krate, &path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                self.take(krate, &std::fs::read_to_string(path).unwrap());
            }
        }
    }

    fn take(&mut self, krate: &str, text: &str) {
        let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap();
        let mut lines = text.lines();
        let code = self.code.entry(krate.to_owned()).or_default();
        while let Some(line) = lines.next() {
            let indent = line.len() - line.trim_start().len();
            let opens =
                line.trim_end().ends_with("counters! {") || line.trim_end().ends_with("labels! {");
            if opens && !line.contains("macro_rules!") {
                let end = format!("{}}}", " ".repeat(indent));
                let block: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
                self.declared.extend(declarations(krate, &block));
                continue;
            }
            let line = line.split("//").next().unwrap();
            code.push_str(line.trim());
            code.push(' ');
        }
    }
}

/// What a block of `counters!` or `labels!` declares.
fn declarations(krate: &str, block: &[&str]) -> Vec<Declared> {
    let words = |line: &str| -> Vec<String> {
        let part = |c: char| !(c.is_alphanumeric() || c == '_');
        line.split(part)
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let code = block
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.starts_with("//"));
    // `shared_counters!` of networking has no head: it is the node's.
    let mut prefix = "node".to_owned();
    let mut labelled = None;
    let mut found = Vec::new();
    for line in code {
        let words = words(line);
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [.., "struct", _, of] => prefix = of.to_owned(),
            ["pub", "enum", of, .., metric, "in", _] | ["enum", of, .., metric, "in", _] => {
                labelled = Some((of.to_owned(), metric.to_owned()));
            }
            [field, kind @ ("counter" | "gauge"), unit, ..]
                if line.starts_with(&format!("{field}: ")) =>
            {
                let total = if kind == "counter" { "_total" } else { "" };
                found.push(Declared {
                    krate: krate.to_owned(),
                    series: format!("shoal_{prefix}_{field}_{unit}{total}"),
                    name: Name::Field(field.to_owned()),
                });
            }
            [variant, value, ..] if line.starts_with(&format!("{variant} = ")) => {
                let (of, metric) = labelled.clone().unwrap();
                found.push(Declared {
                    krate: krate.to_owned(),
                    series: format!("{metric} {value}"),
                    name: Name::Variant(of, variant.to_owned()),
                });
            }
            _ => {}
        }
    }
    found
}

/// Whether some code may change this field: it is assigned to, lent to be changed, or filled in.
fn moves(code: &str, field: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(field).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + field.len()..]);
        if before.ends_with(word) || after.starts_with(word) {
            return false;
        }
        let after = after.trim_start();
        let place = before.ends_with('.');
        let path = before.trim_end_matches(|c| word(c) || matches!(c, '.' | '(' | ')' | ' '));
        let assigned = ["+= ", "-= ", "= ", ".fetch_add(", ".store("]
            .iter()
            .any(|with| after.starts_with(with));
        let lent = path.ends_with('&') && before[path.len()..].starts_with("mut ")
            || ["count(", "count_many("]
                .iter()
                .any(|with| path.trim_end_matches('&').trim_end().ends_with(with));
        let filled = after
            .strip_prefix(": ")
            .is_some_and(|value| !value.starts_with("u64"));
        place && (assigned || lent) || !place && filled
    })
}

/// Whether this label is named somewhere: in its own crate, or in one that has no other set of that
/// name.
fn named(sources: &Sources, of: &Declared, set: &str, variant: &str) -> bool {
    let has_another = |krate: &str| {
        let mut declared = sources.declared.iter();
        krate != of.krate
            && declared.any(|other| {
                other.krate == krate && matches!(&other.name, Name::Variant(name, _) if name == set)
            })
    };
    let name = format!("{set}::{variant}");
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut codes = sources.code.iter().filter(|(krate, _)| !has_another(krate));
    codes.any(|(_, code)| {
        let mut after = code.match_indices(&name);
        after.any(|(at, _)| !code[at + name.len()..].starts_with(word))
    })
}

#[test]
fn every_declared_series_can_move() {
    let sources = Sources::of_workspace();
    let mut stuck = Vec::new();
    for declared in &sources.declared {
        let moved = match &declared.name {
            Name::Field(field) => moves(&sources.code[&declared.krate], field),
            Name::Variant(set, variant) => named(&sources, declared, set, variant),
        };
        if !moved {
            stuck.push((&declared.krate, &declared.series));
        }
    }
    assert!(
        stuck.is_empty(),
        "declared, and nothing moves it: {stuck:#?}"
    );
}

/// The test above would be blind to what it does not find.
#[test]
fn every_declaration_is_found_in_the_sources() {
    let sources = Sources::of_workspace();
    let found: BTreeSet<&str> = sources
        .declared
        .iter()
        .map(|declared| declared.series.as_str())
        .collect();
    for metric in declared() {
        let by_hand = BY_HAND.contains(&metric.name);
        let all: Vec<String> = match metric.label {
            Some(_) => metric
                .values
                .iter()
                .map(|(value, _)| format!("{} {value}", metric.name))
                .collect(),
            None => vec![metric.name.to_owned()],
        };
        for series in all {
            assert!(by_hand || found.contains(series.as_str()), "{series}");
        }
    }
}

#[test]
fn what_moves_a_field_is_told_from_what_reads_it() {
    for moving in [
        "self.counters.late += 1;",
        "self.counters.late = self.held();",
        "count(&self.shared.stats.late);",
        "grow(&mut books.late);",
        "self.late .fetch_add(1, Relaxed)",
        "Counters { late: self.pool.len() }",
    ] {
        assert!(moves(moving, "late"), "{moving}");
    }
    for still in [
        "let n = counters.late;",
        "if counters.late == 1 {",
        "pub late: u64,",
        "self.later += 1;",
        "self.too_late += 1;",
        "let late = 5;",
    ] {
        assert!(!moves(still, "late"), "{still}");
    }
}
