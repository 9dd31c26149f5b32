//! What a run gives, and its files.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::{Repetition, RunError, Summary, summarise};
use crate::memory;
use crate::scenario::Scenario;
use crate::table::{Table, write_atomically};

/// Where a result comes from. In every file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Meta {
    /// Of the program.
    pub version: String,
    /// The scenario's hash: everything that could change a result, but the seed.
    pub scenario_hash: String,
    /// The seed.
    pub seed: u64,
    /// How many repetitions.
    pub repetitions: u32,
}

impl Meta {
    /// For a scenario.
    #[must_use]
    pub fn new(scenario: &Scenario, seed: u64, repetitions: u32) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            scenario_hash: scenario.hash(),
            seed,
            repetitions,
        }
    }

    /// As a table's metadata.
    #[must_use]
    pub fn pairs(&self) -> Vec<(String, String)> {
        vec![
            ("version".to_owned(), self.version.clone()),
            ("scenario_hash".to_owned(), self.scenario_hash.clone()),
            ("seed".to_owned(), self.seed.to_string()),
            ("repetitions".to_owned(), self.repetitions.to_string()),
        ]
    }
}

/// How long a run took and what it needed; in a file of its own, because it never comes out the
/// same twice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// Seconds from start to end.
    pub wall_s: f64,
    /// Hops of all repetitions.
    pub hops: u64,
    /// Hops per second, of all threads together.
    pub hops_per_s: f64,
    /// Threads that were used.
    pub threads: usize,
    /// The most memory that the process had, in bytes, where the system says it.
    pub peak_bytes: Option<u64>,
}

/// What a run gives.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where it comes from.
    pub meta: Meta,
    /// Every metric over all repetitions.
    pub summaries: Vec<Summary>,
    /// The repetitions, in order.
    pub repetitions: Vec<Repetition>,
    /// How long it took.
    pub timing: Timing,
}

#[derive(Serialize)]
struct SummaryFile<'a> {
    meta: &'a Meta,
    metrics: &'a [Summary],
}

#[derive(Serialize)]
struct TimingFile<'a> {
    meta: &'a Meta,
    #[serde(flatten)]
    timing: &'a Timing,
}

impl Report {
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    pub(super) fn new(
        meta: Meta,
        repetitions: Vec<Repetition>,
        threads: usize,
        elapsed: Duration,
    ) -> Result<Self, RunError> {
        let measured: Vec<_> = repetitions.iter().map(|r| r.measured.clone()).collect();
        let hops: u64 = repetitions.iter().map(|repetition| repetition.hops).sum();
        let wall_s = elapsed.as_secs_f64();
        Ok(Self {
            meta,
            summaries: summarise(&measured),
            repetitions,
            timing: Timing {
                wall_s,
                hops,
                hops_per_s: hops as f64 / wall_s.max(1e-9),
                threads,
                peak_bytes: memory::peak(),
            },
        })
    }

    /// A metric over all repetitions, by its name and adversary.
    #[must_use]
    pub fn summary(&self, name: &str, adversary: Option<&str>) -> Option<&Summary> {
        let mut all = self.summaries.iter();
        all.find(|summary| summary.name == name && summary.adversary.as_deref() == adversary)
    }

    /// The summary as JSON, with a line break at its end.
    ///
    /// # Errors
    /// A fault of the program.
    pub fn summary_json(&self) -> Result<String, RunError> {
        let file = SummaryFile {
            meta: &self.meta,
            metrics: &self.summaries,
        };
        Ok(serde_json::to_string_pretty(&file).map_err(RunError::Json)? + "\n")
    }

    /// The repetitions' tables of one name joined, for each name, with the metadata; and `runs`,
    /// with a row for each repetition and a column for each metric.
    ///
    /// # Errors
    /// When repetitions disagree on a table's columns: a fault of the program.
    pub fn tables(&self) -> Result<Vec<Table>, RunError> {
        let mut joined: BTreeMap<&str, Table> = BTreeMap::new();
        for table in self.repetitions.iter().flat_map(|r| &r.tables) {
            let whole = match joined.remove(table.name()) {
                Some(mut before) => {
                    before.append(table)?;
                    before
                }
                None => table.clone(),
            };
            joined.insert(table.name(), whole);
        }
        let mut tables = vec![self.runs()?];
        tables.extend(joined.into_values());
        let pairs = self.meta.pairs();
        Ok(tables
            .into_iter()
            .map(|table| table.with_metadata(&pairs))
            .collect())
    }

    fn runs(&self) -> Result<Table, RunError> {
        let indices = self.repetitions.iter().map(|r| u64::from(r.index));
        let mut builder = Table::builder("runs").u64("repetition", indices.collect());
        for summary in &self.summaries {
            let value = |repetition: &Repetition| {
                let mut all = repetition.measured.iter();
                let found =
                    all.find(|m| m.name == summary.name && m.adversary == summary.adversary);
                found.and_then(|measured| measured.value)
            };
            let column = self.repetitions.iter().map(value).collect();
            builder = builder.nullable(summary.key(), column);
        }
        Ok(builder.build()?)
    }

    /// Writes the scenario, the summary, all tables as CSV and Parquet, and the timing into a
    /// folder that exists.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, scenario: &Scenario, folder: &Path) -> Result<(), RunError> {
        let text = |name: &str, text: &str| {
            let path = folder.join(name);
            write_atomically(&path, text.as_bytes()).map_err(|source| RunError::Io {
                path: path.display().to_string(),
                source,
            })
        };
        let scenario = scenario.clone().with_seed(self.meta.seed)?;
        let pairs = self.meta.pairs();
        let head: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let head = format!("# {}\n\n", head.join("; "));
        text("scenario.toml", &(head + &scenario.to_toml()?))?;
        text("summary.json", &self.summary_json()?)?;
        for table in self.tables()? {
            table.write_both(folder)?;
        }
        let timing = TimingFile {
            meta: &self.meta,
            timing: &self.timing,
        };
        text(
            "timing.json",
            &(serde_json::to_string_pretty(&timing).map_err(RunError::Json)? + "\n"),
        )
    }
}
