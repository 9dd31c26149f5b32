//! A scenario: what is simulated and what is measured, as one TOML file, checked once and then a
//! type.
//!
//! [`Scenario::parse`] refuses what is impossible or contradicts itself, with the key, the value,
//! what would be allowed and a hint; a scenario that exists can be run. `docs/simulator/scenario.md`
//! describes every key.

mod change;
mod check;
mod error;
mod estimate;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod hash;
mod keypath;
mod model;
mod plan;
mod presets;
mod read;
mod seconds;
mod tail;
mod trace;

use std::path::Path;

pub(crate) use error::Problems;
pub use error::{Problem, ScenarioError};
pub use estimate::{Estimate, Traffic, estimate, plan_bytes, repeated};
use files::Files;
pub use files::Matrix;
pub use model::{
    Adversary, Churn, ClientClass, Compromise, CorruptMixes, CorruptProvider, Delays, Disclosure,
    Distribution, Droppers, Entropy, Epsilon, Fifo, FlowMatching, Intersection, Knowledge, Latency,
    Links, LoopAlarm, Metrics, Mixes, Model, NMinusOne, Observe, Overhead, Placement, Rates,
    Receivers, Run, Sees, TargetKind, Targets, Topology, TopologyKind, Workload,
};
pub use presets::{PRESETS, Preset};
pub use seconds::Seconds;
pub use trace::{Trace, TraceMessage};

use crate::input::{MAX_SCENARIO_BYTES, read_text};

/// A scenario that has been checked.
#[derive(Clone, Debug)]
pub struct Scenario {
    model: Model,
    files: Files,
    warnings: Vec<String>,
}

impl Scenario {
    /// Reads a scenario from TOML. Trace and matrix files are found from the current directory.
    ///
    /// # Errors
    /// Everything that is wrong with it, as far as it could be read.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        Self::new(read::toml(text)?, Files::beside(Path::new("")))
    }

    /// Reads a scenario from TOML that names no files: for text that somebody else wrote.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and for each file that it names.
    pub fn parse_alone(text: &str) -> Result<Self, ScenarioError> {
        Self::new(read::toml(text)?, Files::none())
    }

    /// Reads a scenario from JSON with the same keys. It names no files; [`open`](Self::open) one
    /// that does.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and for each file that it names.
    pub fn parse_json(text: &str) -> Result<Self, ScenarioError> {
        Self::new(read::json(text)?, Files::none())
    }

    /// Reads a scenario from a file, JSON if its name ends so and TOML otherwise. Trace and matrix
    /// files are found from the file's directory.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), or that the file can't be read.
    pub fn open(path: &Path) -> Result<Self, ScenarioError> {
        let text = read_text(path, MAX_SCENARIO_BYTES).map_err(|error| {
            ScenarioError::one("", None, format!("{}: {error}", path.display()), None)
        })?;
        let is_json = path.extension().is_some_and(|end| end == "json");
        let model = if is_json {
            read::json(&text)
        } else {
            read::toml(&text)
        }?;
        Self::new(model, Files::beside(path.parent().unwrap_or(Path::new(""))))
    }

    /// Takes a model that was made in a program. Files are found from the current directory.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_model(model: Model) -> Result<Self, ScenarioError> {
        Self::new(model, Files::beside(Path::new("")))
    }

    fn new(model: Model, mut files: Files) -> Result<Self, ScenarioError> {
        let mut problems = Problems::default();
        check::check(&model, &mut problems);
        files.load(&model, &mut problems);
        let warnings = problems.finish()?;
        let scenario = Self {
            model,
            files,
            warnings,
        };
        // What was checked has a sound plan; should the engine think otherwise, it says so here
        // and not in the middle of a sweep.
        match scenario.plan(0).validate() {
            Ok(()) => Ok(scenario),
            Err(error) => Err(ScenarioError::one("", None, error.to_string(), None)),
        }
    }

    /// What the scenario says.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// What its author may not expect of it, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The messages of a class whose workload is a trace.
    #[must_use]
    pub fn trace(&self, class: &ClientClass) -> Option<&Trace> {
        self.files.trace(&class.workload)
    }

    /// The delays between nodes, where the scenario names a matrix.
    #[must_use]
    pub fn matrix(&self) -> Option<&Matrix> {
        self.files.matrix(&self.model.links)
    }

    /// All clients of all classes.
    #[must_use]
    pub fn client_count(&self) -> u64 {
        self.model
            .clients
            .iter()
            .map(|class| u64::from(class.count))
            .sum()
    }

    /// Changes the value at a key path, as `clients[0].rates.real`, `clients.NAME.rates.real` or
    /// `delay.mixes.mean`, and checks the scenario again. A key that is left out may be set.
    ///
    /// # Errors
    /// That the path leads nowhere, or what is wrong with the changed scenario; then this one is as
    /// it was.
    pub fn set(&mut self, path: &str, value: toml::Value) -> Result<(), ScenarioError> {
        let mut table = self.table()?;
        keypath::set(&mut table, path, value)?;
        *self = Self::new(read::model(table)?, self.files.clone())?;
        Ok(())
    }

    /// The scenario with another seed.
    ///
    /// # Errors
    /// That the seed is above 2^63 - 1.
    pub fn with_seed(mut self, seed: u64) -> Result<Self, ScenarioError> {
        self.model.run.seed = seed;
        let mut problems = Problems::default();
        self.model.run.check(&mut problems);
        problems.finish()?;
        Ok(self)
    }

    /// The scenario as TOML, every key written out: [`parse`](Self::parse) gives the same scenario.
    ///
    /// # Errors
    /// None for a scenario that was checked; the serialiser's own.
    pub fn to_toml(&self) -> Result<String, ScenarioError> {
        toml::to_string(&self.table()?).map_err(unwritable)
    }

    /// BLAKE2b-256 in hex over what is simulated: every key but the seed, and the contents of
    /// files instead of their names. Scenarios that differ in anything that could change a result
    /// differ in their hash.
    #[must_use]
    pub fn hash(&self) -> String {
        hash::hash(&self.model, &self.files)
    }

    fn table(&self) -> Result<toml::Table, ScenarioError> {
        toml::Table::try_from(&self.model).map_err(unwritable)
    }
}

fn unwritable(error: toml::ser::Error) -> ScenarioError {
    ScenarioError::one("", None, error.to_string(), None)
}
