//! Doing the runs that are missing: on all cores, each written as soon as it has ended.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::error::{SweepError, files};
use super::part::{self, Found, Part};
use super::plan::Job;
use super::shard::Shard;
use super::{Sweep, disk, results};
use crate::clock::{self, Stopwatch};
use crate::run::{self, Watch, parallel};

/// A sweep, or one shard of it, with what its folder holds already.
#[derive(Debug)]
pub struct Work<'a> {
    sweep: &'a Sweep,
    out: &'a Path,
    shard: Shard,
    missing: Vec<Job>,
    survey: Survey,
}

/// How far a sweep or a shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The runs that belong to it; points with the same scenario share theirs.
    pub runs: usize,
    /// Those whose results are there.
    pub present: usize,
    /// Those whose results are there but damaged: they are done again.
    pub damaged: usize,
}

impl Survey {
    /// The runs to be done.
    #[must_use]
    pub const fn missing(self) -> usize {
        self.runs - self.present
    }
}

impl<'a> Work<'a> {
    /// Makes the folder, writes the plan into it, and reads every part that is there.
    ///
    /// # Errors
    /// [`SweepError::Files`].
    pub(super) fn survey(sweep: &'a Sweep, out: &'a Path, shard: Shard) -> Result<Self, SweepError> {
        disk::folder(&part::folder(out))?;
        sweep.plan.write(out)?;
        let mut names = BTreeSet::new();
        let mut survey = Survey { runs: 0, present: 0, damaged: 0 };
        let mut missing = Vec::new();
        for job in sweep.plan.jobs_of(shard) {
            let identity = sweep.plan.identity(job);
            if !names.insert(identity.file_name()) {
                continue;
            }
            survey.runs += 1;
            match identity.find(out)? {
                Found::Part(_) => survey.present += 1,
                Found::Nothing => missing.push(job),
                Found::Damaged => {
                    survey.damaged += 1;
                    missing.push(job);
                }
            }
        }
        if !missing.is_empty() {
            results::remove(out)?;
        }
        Ok(Self { sweep, out, shard, missing, survey })
    }

    /// What is there and what is not.
    #[must_use]
    pub const fn found(&self) -> Survey {
        self.survey
    }

    /// The virtual time of the missing runs, in seconds: what a [`Watch`] will be told of.
    ///
    /// # Errors
    /// [`SweepError::Point`], which [`Sweep::read`] has already excluded.
    pub fn seconds(&self) -> Result<f64, SweepError> {
        let mut seconds = 0.0;
        let mut last = None;
        for job in &self.missing {
            let span = match last {
                Some((point, span)) if point == job.point => span,
                _ => self.sweep.scenario(job.point)?.run.total_seconds(),
            };
            last = Some((job.point, span));
            seconds += span;
        }
        Ok(seconds)
    }

    /// Does the missing runs on up to `threads` threads (0: all cores). Each result is durable
    /// before the thread takes its next run, so an interrupt loses at most the runs in flight.
    /// After a failure no further run is begun; those in flight are finished and kept.
    ///
    /// # Errors
    /// [`SweepError::Run`], [`SweepError::Files`]; [`SweepError::Stopped`] if `watch` says so.
    pub fn run(&self, threads: usize, watch: &dyn Watch) -> Result<(), SweepError> {
        let watch_all = Stopwatch::start();
        let threads = run::threads(threads);
        let log = Log::open(self.out, self.shard)?;
        let hops = AtomicU64::new(0);
        let result = parallel::in_order(self.missing.len(), threads, |index| {
            let Some(job) = self.missing.get(index) else {
                return Ok(());
            };
            let hops_here = self.one(*job, watch, &log)?;
            hops.fetch_add(hops_here, Ordering::Relaxed);
            Ok(())
        });
        log.line(&json!({
            "threads": threads,
            "missing_runs": self.missing.len(),
            "complete": result.is_ok(),
            "wall_s": watch_all.elapsed().as_secs_f64(),
            "hops": hops.load(Ordering::Relaxed),
            "peak_bytes": clock::peak_memory(),
        }))?;
        result.map(|_: Vec<()>| ())
    }

    /// One run, from its scenario to its durable part; gives the hops.
    fn one(&self, job: Job, watch: &dyn Watch, log: &Log) -> Result<u64, SweepError> {
        let stopped = || if watch.stop() { Err(SweepError::Stopped) } else { Ok(()) };
        stopped()?;
        let watched = Hops { watch, hops: AtomicU64::new(0) };
        let time = Stopwatch::start();
        let scenario = self.sweep.scenario(job.point)?;
        let plan = &self.sweep.plan;
        let done = run::repetition(&scenario, plan.seed, job.repetition, &watched);
        let done = done.map_err(|source| match stopped() {
            Err(stop) => stop,
            Ok(()) => SweepError::Run {
                point: job.point,
                settings: plan.settings(job.point),
                repetition: job.repetition,
                source,
            },
        })?;
        Part::new(plan.identity(job), done.measured).write(self.out)?;
        let hops = watched.hops.into_inner();
        log.line(&json!({
            "point": job.point,
            "repetition": job.repetition,
            "wall_s": time.elapsed().as_secs_f64(),
            "hops": hops,
        }))?;
        Ok(hops)
    }
}

/// Passes on what happens and counts the hops of one run.
struct Hops<'a> {
    watch: &'a dyn Watch,
    hops: AtomicU64,
}

impl Watch for Hops<'_> {
    fn advanced(&self, seconds: f64, hops: u64) {
        self.hops.fetch_add(hops, Ordering::Relaxed);
        self.watch.advanced(seconds, hops);
    }

    fn ended(&self) {
        self.watch.ended();
    }

    fn stop(&self) -> bool {
        self.watch.stop()
    }
}

/// The times of runs, a line of JSON for each, added to at every start. Not part of any result.
struct Log {
    file: Mutex<File>,
    path: PathBuf,
}

impl Log {
    fn open(out: &Path, shard: Shard) -> Result<Self, SweepError> {
        let name = if shard.is_whole() {
            "timing.jsonl".to_owned()
        } else {
            format!("timing-{}.jsonl", shard.to_string().replace('/', "-of-"))
        };
        let path = out.join(name);
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        let file = Mutex::new(opened.map_err(files("cannot write", &path))?);
        Ok(Self { file, path })
    }

    fn line(&self, entry: &serde_json::Value) -> Result<(), SweepError> {
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let line = format!("{entry}\n");
        file.write_all(line.as_bytes()).map_err(files("cannot write", &self.path))
    }
}
