//! What a reproduction leaves: its points, and what is needed to repeat them.

use std::path::Path;

use serde::Serialize;

use super::figure;
use super::work::{Curves, Findings, Work};
use super::{Effort, Point, ReproduceError, Reproduction, Setup};
use crate::table::{Table, TableError, write_atomically};

/// Where a report comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Meta {
    /// Version of the simulator.
    pub version: String,
    /// The seed.
    pub seed: u64,
    /// How much work was done.
    pub effort: Effort,
    /// Runs of the engine.
    pub runs: u64,
    /// BLAKE2b-256 of all plans that were run and their repetitions, in hexadecimal.
    pub plan_hash: String,
}

/// Points with what became of them. It does not depend on the number of threads.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The reproduction.
    pub name: String,
    /// What it is, in a line.
    pub what: String,
    /// Where it comes from.
    pub meta: Meta,
    /// Whether every gated point holds; `true` where none is gated.
    pub holds: bool,
    /// The points.
    pub points: Vec<Point>,
    #[serde(skip)]
    pub(super) curves: Curves,
}

impl Report {
    pub(super) fn new(of: &Reproduction, setup: &Setup, work: &Work<'_>, found: Findings) -> Self {
        let fails = |point: &Point| point.verdict(setup.effort).fails();
        Self {
            name: of.name.to_owned(),
            what: of.what.to_owned(),
            meta: Meta {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                seed: setup.seed,
                effort: setup.effort,
                runs: work.jobs.iter().map(|job| u64::from(job.repetitions)).sum(),
                plan_hash: work.hash(),
            },
            holds: !found.points.iter().any(fails),
            points: found.points,
            curves: found.curves,
        }
    }

    /// All of it as JSON, without a line break at the end.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The points as a table.
    ///
    /// # Errors
    /// None that a reproduction can cause: the columns are of one length.
    pub fn table(&self) -> Result<Table, TableError> {
        let points = || self.points.iter();
        let text = |of: fn(&Point) -> String| points().map(of).collect();
        let numbers = |of: fn(&Point) -> Option<f64>| points().map(of).collect();
        Table::builder(self.name.as_str())
            .metadata("version", &self.meta.version)
            .metadata("seed", self.meta.seed)
            .metadata("plan_hash", &self.meta.plan_hash)
            .string("name", text(|point| point.name.clone()))
            .string("unit", text(|point| point.unit.clone()))
            .nullable("ours", numbers(|point| point.ours))
            .nullable("standard_error", numbers(|point| point.standard_error))
            .nullable("reference", numbers(|point| point.reference))
            .nullable("tolerance", numbers(|point| point.tolerance))
            .bool("gated", points().map(|point| point.gated).collect())
            .build()
    }

    /// Writes `NAME.csv`, `NAME.parquet`, `NAME.json` and, where there are curves, `NAME.svg` and
    /// `NAME.png` into a folder that exists. Files of the same names are replaced.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, folder: &Path) -> Result<(), ReproduceError> {
        let table = self.table().and_then(|table| table.write_both(folder));
        table.map_err(|source| ReproduceError::Table {
            name: self.name.clone(),
            source,
        })?;
        let path = folder.join(format!("{}.json", self.name));
        let written = write_atomically(&path, format!("{}\n", self.json()).as_bytes());
        written.map_err(|source| ReproduceError::File { path, source })?;
        let pair = |key: &str, value: String| (key.to_owned(), value);
        let metadata = vec![
            pair("version", self.meta.version.clone()),
            pair("plan_hash", self.meta.plan_hash.clone()),
            pair("seed", self.meta.seed.to_string()),
        ];
        let Some(figure) = figure::of(&self.what, &self.curves, metadata) else {
            return Ok(());
        };
        let drawn = |source| ReproduceError::Figure {
            name: self.name.clone(),
            source,
        };
        let svg = figure.svg().map_err(drawn)?.into_bytes();
        let png = figure.png().map_err(drawn)?;
        for (extension, bytes) in [("svg", svg), ("png", png)] {
            let path = folder.join(format!("{}.{extension}", self.name));
            let written = write_atomically(&path, &bytes);
            written.map_err(|source| ReproduceError::File { path, source })?;
        }
        Ok(())
    }
}
