//! The runs of a reproduction: plans, each repeated independently.

use blake2::{Blake2b, Digest, digest::consts::U32};
use data_encoding::HEXLOWER;

use super::{Effort, Point, ReproduceError};
use crate::engine::{self, Observer, Outcome, Plan, mass::Mass};
use crate::run::{Watch, parallel};

/// Repetitions that one stream has room for.
pub(super) const STREAM: u32 = 10_000;

/// The largest probability that a target may keep to itself at the end of a run.
const RESIDUAL: f64 = 1e-6;

/// How to run a reproduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The seed; every seed should hold.
    pub seed: u64,
    /// Threads; 0 for one per core. The result does not depend on it.
    pub threads: usize,
    /// How much work.
    pub effort: Effort,
    /// Repetitions of each run, instead of the reproduction's own; 2 to 10,000. Standard errors go
    /// with one over their square root.
    pub repetitions: Option<u32>,
}

impl Setup {
    /// Sets the repetitions that are asked for.
    pub(super) fn repeat(&self, jobs: &mut [Job]) {
        if let Some(repetitions) = self.repetitions {
            for job in jobs {
                job.repetitions = repetitions.clamp(2, STREAM);
            }
        }
    }
}

/// A plan and how often it is run.
pub(super) struct Job {
    /// What its points are called.
    pub name: String,
    /// Where they lie on the horizontal axis.
    pub x: f64,
    /// What is run.
    pub plan: Plan,
    /// How often, at least twice.
    pub repetitions: u32,
    /// Jobs of one stream have their random numbers in common, repetition by repetition; others
    /// are independent.
    pub stream: u32,
}

impl Job {
    pub(super) fn virtual_seconds(&self) -> f64 {
        f64::from(self.repetitions) * self.plan.phases.total()
    }
}

/// What a reproduction found.
#[derive(Default)]
pub(super) struct Findings {
    pub points: Vec<Point>,
    /// The same values, as curves for a figure.
    pub curves: Curves,
}

/// Curves over one parameter.
#[derive(Clone, Debug, Default)]
pub(super) struct Curves {
    pub x: String,
    pub y: String,
    pub log_x: bool,
    pub lines: Vec<Line>,
}

/// One curve.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub name: String,
    /// x, and what was measured there.
    pub points: Vec<(f64, Point)>,
}

/// The runs of one reproduction.
pub(super) struct Work<'a> {
    pub jobs: Vec<Job>,
    pub setup: &'a Setup,
    watch: &'a dyn Watch,
}

impl<'a> Work<'a> {
    pub(super) fn new(mut jobs: Vec<Job>, setup: &'a Setup, watch: &'a dyn Watch) -> Self {
        setup.repeat(&mut jobs);
        Self { jobs, setup, watch }
    }

    /// A hash of all plans and their repetitions, BLAKE2b-256 in hexadecimal.
    pub(super) fn hash(&self) -> String {
        let mut hash = Blake2b::<U32>::new();
        hash.update(b"shoal-sim reproduce 1");
        for job in &self.jobs {
            let (name, plan) = (&job.name, &job.plan);
            let (repetitions, stream) = (job.repetitions, job.stream);
            hash.update(format!("{name}\n{repetitions} {stream}\n{plan:?}\n"));
        }
        HEXLOWER.encode(&hash.finalize())
    }

    /// Makes every run, on all threads, and gives the results by job and repetition.
    pub(super) fn all<T: Send>(
        &self,
        one: impl Fn(&Run<'_>) -> Result<T, ReproduceError> + Sync,
    ) -> Result<Vec<Vec<T>>, ReproduceError> {
        let runs: Vec<(&Job, u32)> = self
            .jobs
            .iter()
            .flat_map(|job| (0..job.repetitions).map(move |index| (job, index)))
            .collect();
        let each = |at: usize| {
            let Some(&(job, index)) = runs.get(at) else {
                return Err(ReproduceError::Stopped);
            };
            if self.watch.stop() {
                return Err(ReproduceError::Stopped);
            }
            let seed = self.setup.seed;
            let repetition = job.stream * STREAM + index;
            let run = Run {
                job,
                seed,
                repetition,
                watch: self.watch,
            };
            let result = one(&run)?;
            self.watch.ended();
            Ok(result)
        };
        let threads = match self.setup.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        };
        let mut results = parallel::in_order(runs.len(), threads, each)?.into_iter();
        let take = |job: &Job| results.by_ref().take(job.repetitions as usize).collect();
        Ok(self.jobs.iter().map(take).collect())
    }
}

/// One repetition of a job.
pub(super) struct Run<'a> {
    pub job: &'a Job,
    pub seed: u64,
    pub repetition: u32,
    watch: &'a dyn Watch,
}

impl Run<'_> {
    /// Runs the plan before an observer.
    pub(super) fn observe<O: Observer>(&self, observer: &mut O) -> Result<Outcome, ReproduceError> {
        let plan = &self.job.plan;
        let outcome = engine::run(plan, self.seed, self.repetition, observer);
        let outcome = outcome.map_err(|source| ReproduceError::Engine {
            job: self.job.name.clone(),
            source,
        })?;
        self.watch.advanced(plan.phases.total(), outcome.hops);
        Ok(outcome)
    }

    /// The mean entropy of the plan's targets over outputs, in bits, for an adversary who sees all
    /// links and has corrupted nothing.
    pub(super) fn mean_entropy(&self) -> Result<f64, ReproduceError> {
        let mut mass = Mass::new(&self.job.plan, &[]);
        self.observe(&mut mass)?;
        let job = || self.job.name.clone();
        self.check_choice(&mass)?;
        let worst = mass.results().iter().map(|target| target.residual);
        let residual = worst.fold(0.0, f64::max);
        if residual > RESIDUAL {
            return Err(ReproduceError::Residual {
                job: job(),
                residual,
            });
        }
        let entropies: Vec<f64> = mass.results().iter().map(|target| target.entropy).collect();
        crate::stats::mean(&entropies).ok_or_else(|| ReproduceError::Nothing { job: job() })
    }

    /// Whether the targets are exactly the messages that the plan names. One that was passed over
    /// because too many were alive would bias the rest towards times of little traffic.
    fn check_choice(&self, mass: &Mass) -> Result<(), ReproduceError> {
        let Some(targets) = self.job.plan.targets else {
            return Ok(());
        };
        let mut expected = targets.first;
        for target in mass.results() {
            if target.message != expected {
                let job = self.job.name.clone();
                return Err(ReproduceError::PassedOver {
                    job,
                    message: expected,
                });
            }
            expected = expected.saturating_add(targets.every);
        }
        Ok(())
    }
}
