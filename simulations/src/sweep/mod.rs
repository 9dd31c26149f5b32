//! Sweeps: one scenario with some of its keys varied, all points with the same random numbers.
//!
//! A sweep file names a scenario, the keys that vary and their values; that makes a list of
//! points, each a scenario of its own, all checked before anything runs. A run is one repetition
//! of one point; the seed and the repetition are the same for every point, so that points differ
//! by their keys and not by luck (common random numbers: Law, "Simulation Modeling and Analysis",
//! section 11.2).
//!
//! Every run that ends is written at once as a file named by what it depends on: version, hash of
//! the point's scenario, seed, repetition. A start after an interrupt, or with a changed sweep
//! file, does what is missing. Tables are made from these files alone, so they are the same bytes
//! whatever the threads, shards and interruptions were.
//!
//! `docs/simulator/sweep.md` describes the file and the results.

mod axis;
mod claims;
mod collected;
mod disk;
mod error;
mod file;
mod merge;
mod part;
mod plan;
mod results;
mod shard;
mod tables;
mod work;

use std::path::Path;
use std::thread::available_parallelism;

use crate::run::parallel;
use crate::scenario::{PRESETS, Preset, Scenario};
use file::{Base, SweepFile};
use plan::{Plan, Point};

pub use axis::MAX_VALUES;
pub use collected::{Meta, Metric};
pub use error::SweepError;
pub use file::{MAX_POINTS, MAX_REPETITIONS, MAX_RUNS};
pub use merge::merge;
pub use shard::{NotAShard, Shard};
pub use work::{Load, Survey, Work};

/// A sweep whose every point is a valid scenario.
#[derive(Debug)]
pub struct Sweep {
    base: Scenario,
    file: SweepFile,
    plan: Plan,
}

impl Sweep {
    /// Reads a sweep file and checks every point of it, on up to `threads` threads (0: all cores).
    /// `seed` and `repetitions` come before those of the file, and those before the scenario's.
    ///
    /// Memory: the values of the points and one scenario.
    ///
    /// # Errors
    /// [`SweepError::Syntax`], [`SweepError::Invalid`], [`SweepError::Base`],
    /// [`SweepError::Point`] (the first point that is refused), [`SweepError::Files`].
    pub fn read(
        path: &Path,
        seed: Option<u64>,
        repetitions: Option<u32>,
        threads: usize,
    ) -> Result<Self, SweepError> {
        let file = SweepFile::read(path)?;
        let mut base = load(&file.base, path)?;
        base.set_all(&file.common).map_err(SweepError::Base)?;
        let run = &base.model().run;
        let seed = seed.or(file.seed).unwrap_or(run.seed);
        let repetitions = repetitions.or(file.repetitions).unwrap_or(run.repetitions);
        file::check_seed(seed)?;
        file::check_size(file.points.len(), repetitions)?;
        let (count, keys) = (file.points.len(), file.keys.clone());
        let threads = if threads == 0 {
            available_parallelism().map_or(1, usize::from)
        } else {
            threads
        };
        let draft = Plan::new(base.hash(), seed, repetitions, keys, Vec::new());
        let mut sweep = Self {
            base,
            file,
            plan: draft,
        };
        let points = parallel::in_order(count, threads, |index| sweep.point(index))?;
        sweep.plan = sweep.plan.with_points(points);
        Ok(sweep)
    }

    fn point(&self, index: usize) -> Result<Point, SweepError> {
        let values = self.file.points.get(index).map_or(&[][..], Vec::as_slice);
        Ok(Point {
            values: values.iter().map(plan::json).collect(),
            scenario_hash: self.scenario(index)?.hash(),
        })
    }

    /// How many points there are.
    #[must_use]
    pub fn points(&self) -> usize {
        self.file.points.len()
    }

    /// Points times repetitions.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.plan.runs()
    }

    /// BLAKE2b-256 in hex over keys, points with their scenarios' hashes, and repetitions.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.plan.sweep_hash
    }

    /// Independent runs of every point.
    #[must_use]
    pub const fn repetitions(&self) -> u32 {
        self.plan.repetitions
    }

    /// The seed of every point.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.plan.seed
    }

    /// The scenario of a point, from 0.
    ///
    /// # Errors
    /// [`SweepError::Point`] if there is no such point, or a file that it names has changed since
    /// the sweep was read.
    pub fn scenario(&self, point: usize) -> Result<Scenario, SweepError> {
        let values = self.file.points.get(point).map_or(&[][..], Vec::as_slice);
        let settings: Vec<_> = self
            .file
            .keys
            .iter()
            .cloned()
            .zip(values.iter().cloned())
            .collect();
        let mut scenario = self.base.clone();
        let set = scenario.set_all(&settings);
        set.map_err(|source| SweepError::Point {
            point,
            settings: self.file.settings(point),
            source,
        })?;
        Ok(scenario)
    }

    /// Looks into a sweep's folder (made if it is not there) for what is done already.
    ///
    /// # Errors
    /// [`SweepError::Files`].
    pub fn survey<'a>(&'a self, out: &'a Path, shard: Shard) -> Result<Work<'a>, SweepError> {
        Work::survey(self, out, shard)
    }

    /// Writes the tables of a sweep whose every run is there.
    ///
    /// # Errors
    /// [`SweepError::Missing`], [`SweepError::Files`], [`SweepError::Table`].
    pub fn finish(&self, out: &Path) -> Result<Meta, SweepError> {
        merge::write(&self.plan, &[out.to_owned()], out)
    }
}

/// The scenario that all points start from.
fn load(base: &Base, path: &Path) -> Result<Scenario, SweepError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let loaded = match base {
        Base::File(file) => Scenario::open(file),
        Base::Preset(name) => Scenario::parse(preset(name)?),
        Base::Inline(table) => Scenario::from_table(table.clone(), folder),
    };
    loaded.map_err(SweepError::Base)
}

fn preset(name: &str) -> Result<&'static str, SweepError> {
    let found = Preset::find(name).map(|preset| preset.text);
    found.ok_or_else(|| {
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        error::invalid("preset", name, format!("allowed: {}", names.join(", ")))
            .hint("scenario = \"file.toml\" names a file")
    })
}
