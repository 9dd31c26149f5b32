//! Doing the runs that are missing: on all cores, each written as soon as it has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::json;

use super::error::{SweepError, files};
use super::part::{self, Found, Part};
use super::plan::Job;
use super::shard::Shard;
use super::{Sweep, disk, results};
use crate::clock::Stopwatch;
use crate::memory;
use crate::run::{self, Watch, parallel};
use crate::scenario::repeated;

/// A sweep, or one shard of it, with what its folder holds already.
#[derive(Debug)]
pub struct Work<'a> {
    sweep: &'a Sweep,
    out: &'a Path,
    shard: Shard,
    missing: Vec<Job>,
    survey: Survey,
}

/// What the missing runs take.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Runs at a time.
    pub threads: usize,
    /// Virtual time of all runs, in seconds: what a [`Watch`] will be told of.
    pub seconds: f64,
    /// Seconds that they will take, about.
    pub expected: f64,
    /// What the authors of their scenarios may not expect, each sentence once.
    pub warnings: Vec<String>,
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
    pub(super) fn survey(
        sweep: &'a Sweep,
        out: &'a Path,
        shard: Shard,
    ) -> Result<Self, SweepError> {
        disk::folder(&part::folder(out))?;
        sweep.plan.write(out)?;
        let mut names = BTreeSet::new();
        let mut survey = Survey {
            runs: 0,
            present: 0,
            damaged: 0,
        };
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
        Ok(Self {
            sweep,
            out,
            shard,
            missing,
            survey,
        })
    }

    /// What is there and what is not.
    #[must_use]
    pub const fn found(&self) -> Survey {
        self.survey
    }

    /// Looks at the scenarios of the missing runs: how much virtual time they are, and how many of
    /// up to `threads` threads (0: all cores) there is memory for.
    ///
    /// # Errors
    /// [`SweepError::Memory`] for a point of which not even one run fits, [`SweepError::Point`] if
    /// a file that a scenario names has changed.
    pub fn prepare(&self, threads: usize) -> Result<Load, SweepError> {
        let mut points: BTreeMap<usize, u32> = BTreeMap::new();
        for job in &self.missing {
            *points.entry(job.point).or_default() += 1;
        }
        let runs = u32::try_from(self.missing.len()).unwrap_or(u32::MAX);
        let mut load = Load {
            threads: self.missing.len().max(1),
            seconds: 0.0,
            expected: 0.0,
            warnings: Vec::new(),
        };
        for (point, count) in points {
            let scenario = self.sweep.scenario(point)?;
            let fit = run::threads_for_runs(&scenario, threads, runs);
            let fit = fit.map_err(|source| SweepError::Memory {
                point,
                settings: self.sweep.plan.settings(point),
                source,
            })?;
            load.threads = load.threads.min(fit);
            load.seconds += scenario.model().run.length() * f64::from(count);
            load.expected += repeated(&scenario, 1, 1).seconds * f64::from(count);
            for warning in scenario.warnings() {
                // The sweep has repetitions of its own.
                if !load.warnings.contains(warning) && !warning.starts_with("run.repetitions") {
                    load.warnings.push(warning.clone());
                }
            }
        }
        load.expected /= load.threads as f64;
        Ok(load)
    }

    /// Does the missing runs. Each result is durable before its thread takes the next run, so an
    /// interrupt loses at most the runs in flight. After a failure no further run is begun; those
    /// in flight are finished and kept.
    ///
    /// # Errors
    /// [`SweepError::Run`], [`SweepError::Files`]; [`SweepError::Stopped`] if `watch` says so.
    pub fn run(&self, load: &Load, watch: &dyn Watch) -> Result<(), SweepError> {
        let watch_all = Stopwatch::start();
        let log = Log::open(self.out, self.shard)?;
        let result = parallel::in_order(self.missing.len(), load.threads, |index| {
            match self.missing.get(index) {
                Some(job) => self.one(*job, watch, &log),
                None => Ok(0),
            }
        });
        let hops = result.as_ref().map_or(0, |hops| hops.iter().sum());
        log.line(&json!({
            "threads": load.threads,
            "missing_runs": self.missing.len(),
            "complete": result.is_ok(),
            "wall_s": watch_all.elapsed().as_secs_f64(),
            "hops": hops,
            "peak_bytes": memory::peak(),
        }))?;
        result.map(|_: Vec<u64>| ())
    }

    /// One run, from its scenario to its durable part; gives the hops.
    fn one(&self, job: Job, watch: &dyn Watch, log: &Log) -> Result<u64, SweepError> {
        if watch.stop() {
            return Err(SweepError::Stopped);
        }
        let time = Stopwatch::start();
        let scenario = self.sweep.scenario(job.point)?;
        let plan = &self.sweep.plan;
        let done = run::repetition(&scenario, plan.seed, job.repetition, watch);
        let done = done.map_err(|source| SweepError::Run {
            point: job.point,
            settings: plan.settings(job.point),
            repetition: job.repetition,
            source,
        })?;
        Part::new(plan.identity(job), done.measured).write(self.out)?;
        log.line(&json!({
            "point": job.point,
            "repetition": job.repetition,
            "wall_s": time.elapsed().as_secs_f64(),
            "hops": done.hops,
        }))?;
        Ok(done.hops)
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
        let mut file = self
            .file
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let line = format!("{entry}\n");
        file.write_all(line.as_bytes())
            .map_err(files("cannot write", &self.path))
    }
}
