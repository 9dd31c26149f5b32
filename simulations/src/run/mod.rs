//! Runs of a scenario: repetitions on all threads, metrics with their intervals, files.
//!
//! A repetition is one engine run from the scenario's seed and the repetition's number, on one
//! thread. Repetitions are independent, so they are what threads divide among them and what
//! intervals are made of; the result is the same bytes at any number of threads.

mod error;
pub mod parallel;
mod report;
mod summary;
mod tables;
mod watch;

use std::borrow::Cow;
use std::path::PathBuf;
use std::thread::available_parallelism;

pub use error::RunError;
pub use report::{Meta, Report};
pub use summary::{Summary, summarise};
pub use watch::{Counted, Unwatched, Watch};

use crate::clock::Stopwatch;
use crate::engine::{self, Observer};
use crate::measure::Measured;
use crate::memory;
use crate::metrics::Judges;
use crate::scenario::{Scenario, repeated};
use crate::table::Table;

/// How a scenario is run, where that is not the scenario's to say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The seed, instead of the scenario's.
    pub seed: Option<u64>,
    /// The number of repetitions, instead of the scenario's.
    pub repetitions: Option<u32>,
    /// Threads; 0 for one per core. Fewer are used where memory or repetitions do not suffice.
    pub threads: usize,
    /// A folder that exists, for what the scenario asks to have observed; without one nothing is
    /// written while a run goes on.
    pub observe: Option<PathBuf>,
}

/// What one repetition gave.
#[derive(Clone, Debug)]
pub struct Repetition {
    /// Its number, from 0.
    pub index: u32,
    /// Every metric's value.
    pub measured: Vec<Measured>,
    /// Tables with a row for each target, time bin, latency bucket and so on; each has its
    /// repetition in its first column.
    pub tables: Vec<Table>,
    /// Hops that were simulated.
    pub hops: u64,
}

/// Runs one repetition of a scenario from a seed.
///
/// # Errors
/// When the engine refuses the plan or runs out of what it may hold, or observations can't be
/// written.
pub fn repetition(
    scenario: &Scenario,
    seed: u64,
    index: u32,
    watch: &dyn Watch,
) -> Result<Repetition, RunError> {
    observed_repetition(scenario, seed, index, None, watch)
}

fn observed_repetition(
    scenario: &Scenario,
    seed: u64,
    index: u32,
    observe: Option<&PathBuf>,
    watch: &dyn Watch,
) -> Result<Repetition, RunError> {
    let scenario = &reseeded(scenario, seed)?;
    let plan = scenario.plan(index);
    let judges = Judges::new(scenario, &plan, seed, index, observe.map(PathBuf::as_path))?;
    let mut observer = (judges, Reporter::new(watch));
    let outcome = engine::run(&plan, seed, index, &mut observer)?;
    let (judges, mut reporter) = observer;
    let judged = judges.finish(&outcome)?;
    reporter.hops(outcome.hops);
    watch.ended();
    let mut tables = judged.tables;
    tables.push(tables::latency(scenario, &outcome, index)?);
    tables.push(tables::bins(&outcome, index)?);
    Ok(Repetition {
        index,
        measured: judged.measured,
        tables,
        hops: outcome.hops,
    })
}

/// The scenario with this seed: placements and receivers are drawn from it too.
fn reseeded(scenario: &Scenario, seed: u64) -> Result<Cow<'_, Scenario>, RunError> {
    if scenario.model().run.seed == seed {
        Ok(Cow::Borrowed(scenario))
    } else {
        Ok(Cow::Owned(scenario.clone().with_seed(seed)?))
    }
}

/// Runs all repetitions of a scenario.
///
/// # Errors
/// As [`repetition`], and when the run would not fit into the memory that is there.
pub fn execute(
    scenario: &Scenario,
    options: &Options,
    watch: &dyn Watch,
) -> Result<Report, RunError> {
    let stopwatch = Stopwatch::start();
    let run = &scenario.model().run;
    let seed = options.seed.unwrap_or(run.seed);
    let count = options.repetitions.unwrap_or(run.repetitions).max(1);
    let threads = threads_that_fit(scenario, options.threads, count)?;
    let scenario = &reseeded(scenario, seed)?;
    let meta = Meta::new(scenario, seed, count);
    let job = |index: usize| {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        observed_repetition(scenario, seed, index, options.observe.as_ref(), watch)
    };
    let repetitions = parallel::in_order(count as usize, threads, job)?;
    Report::new(meta, repetitions, threads, stopwatch.elapsed())
}

/// How many repetitions may run at once: as many as were asked for, as there are, and as there is
/// memory for, beside the results of all.
///
/// # Errors
/// When not even one fits.
pub fn threads_that_fit(
    scenario: &Scenario,
    wanted: usize,
    repetitions: u32,
) -> Result<usize, RunError> {
    let needed = |threads: u32| repeated(scenario, threads as usize, repetitions).bytes;
    fitting(wanted, repetitions, needed)
}

/// The same for runs whose results are not kept in memory.
///
/// # Errors
/// When not even one fits.
pub fn threads_for_runs(scenario: &Scenario, wanted: usize, runs: u32) -> Result<usize, RunError> {
    let needed = |threads: u32| repeated(scenario, threads as usize, threads).bytes;
    fitting(wanted, runs, needed)
}

/// The most threads, up to those wanted (0: all cores) and the number of jobs, whose memory there
/// is room for.
///
/// # Errors
/// When one thread needs more than there is.
pub fn fitting(wanted: usize, jobs: u32, needed: impl Fn(u32) -> u64) -> Result<usize, RunError> {
    let cores = available_parallelism().map_or(1, usize::from);
    let wanted = if wanted == 0 { cores } else { wanted };
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(jobs).max(1);
    let Some(available) = memory::available() else {
        return Ok(wanted as usize);
    };
    let fits = (1..=wanted).rev().find(|n| available.holds(needed(*n)));
    fits.map(|threads| threads as usize)
        .ok_or_else(|| RunError::Memory {
            needed: needed(1),
            available,
        })
}

/// Tells a watch how far a run is, window by window.
struct Reporter<'a> {
    watch: &'a dyn Watch,
    last: f64,
    told: f64,
}

impl<'a> Reporter<'a> {
    /// Seconds of virtual time between two reports.
    const STEP: f64 = 0.5;

    fn new(watch: &'a dyn Watch) -> Self {
        Self {
            watch,
            last: 0.0,
            told: 0.0,
        }
    }

    fn hops(&mut self, hops: u64) {
        self.watch.advanced(self.last - self.told, hops);
        self.told = self.last;
    }
}

impl Observer for Reporter<'_> {
    fn window(&mut self, end: f64) {
        self.last = end;
        if end - self.told >= Self::STEP {
            self.hops(0);
        }
    }
}
