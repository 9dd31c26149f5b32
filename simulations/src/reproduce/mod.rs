//! Published results, measured anew: each reproduction runs the engine with a paper's parameters
//! and holds the numbers against the published ones.
//!
//! [`catalogue`] names them. [`Reproduction::run`] gives a [`Report`] of [`Point`]s, of which the
//! gated ones decide whether it holds ([`Point::verdict`] is the rule). Each has a page in
//! `docs/simulator/reproduce/` that says what was published, how ours is computed, what differs,
//! and why the tolerance is what it is.
//!
//! It never fits a parameter to a published value.

mod epsilon;
mod error;
mod figure;
mod layered;
mod plans;
mod point;
mod report;
mod shape;
mod single;
mod testbed;
mod work;

pub use error::ReproduceError;
pub use point::{Effort, Point, Verdict};
pub use report::{Meta, Report};
pub use work::Setup;

use crate::run::Watch;
use work::{Findings, Job, Work};

/// A published result that can be measured anew.
#[derive(Debug)]
pub struct Reproduction {
    /// Its name on the command line, and its page's.
    pub name: &'static str,
    /// What it is, in a line.
    pub what: &'static str,
    /// Whether some of its points decide if it holds.
    pub gated: bool,
    /// About how long it takes on two cores of 2020s hardware, in seconds.
    pub seconds: u32,
    /// The runs that it needs.
    jobs: fn(Effort) -> Vec<Job>,
    /// Makes them, and points of their results.
    measure: fn(&Work<'_>) -> Result<Findings, ReproduceError>,
}

/// All reproductions, in the order in which they are listed.
#[must_use]
pub fn catalogue() -> &'static [&'static Reproduction] {
    &[
        &single::SINGLE_MIX,
        &single::LOOPIX_FIG4,
        &epsilon::FIG5,
        &epsilon::FIG6,
        &epsilon::FIG7,
        &testbed::LOOPIX_FIG8,
        &testbed::LOOPIX_FIG10,
        &layered::MIXIM_FIG7,
        &layered::PIOTROWSKA,
    ]
}

/// The reproduction of this name.
///
/// # Errors
/// [`ReproduceError::Unknown`], which lists the names.
pub fn find(name: &str) -> Result<&'static Reproduction, ReproduceError> {
    let found = catalogue().iter().find(|known| known.name == name);
    found.copied().ok_or_else(|| ReproduceError::Unknown {
        name: name.to_owned(),
        known: catalogue().iter().map(|known| known.name).collect(),
    })
}

/// The catalogue as JSON, without a line break at the end.
#[must_use]
pub fn catalogue_json() -> String {
    let listed: Vec<_> = catalogue()
        .iter()
        .map(|known| {
            serde_json::json!({
                "name": known.name,
                "what": known.what,
                "gated": known.gated,
                "seconds": known.seconds,
            })
        })
        .collect();
    serde_json::to_string_pretty(&listed).unwrap_or_default()
}

impl Reproduction {
    /// What the runs will be: how many, and how much virtual time in all, in seconds.
    #[must_use]
    pub fn extent(&self, setup: &Setup) -> (u64, f64) {
        let mut jobs = (self.jobs)(setup.effort);
        setup.repeat(&mut jobs);
        let runs = jobs.iter().map(|job| u64::from(job.repetitions)).sum();
        let seconds = jobs.iter().map(Job::virtual_seconds).sum();
        (runs, seconds)
    }

    /// Makes the runs and judges their results.
    ///
    /// # Errors
    /// [`ReproduceError::Engine`] when a run fails, [`ReproduceError::Residual`] when a target was
    /// lost sight of, [`ReproduceError::Stopped`] when the watch said so.
    pub fn run(&self, setup: &Setup, watch: &dyn Watch) -> Result<Report, ReproduceError> {
        let work = Work::new((self.jobs)(setup.effort), setup, watch);
        let findings = (self.measure)(&work)?;
        Ok(Report::new(self, setup, &work, findings))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        let names: BTreeSet<&str> = catalogue().iter().map(|known| known.name).collect();
        assert_eq!(names.len(), catalogue().len());
        for known in catalogue() {
            assert_eq!(find(known.name).unwrap().name, known.name);
        }
        let message = find("loopix-fig9").unwrap_err().to_string();
        assert!(message.contains("loopix-fig9") && message.contains("mixim-fig7"));
    }

    #[test]
    fn every_plan_can_be_run_and_streams_do_not_overlap() {
        for known in catalogue() {
            for effort in [Effort::Full, Effort::Quick] {
                for job in (known.jobs)(effort) {
                    assert_eq!(job.plan.validate(), Ok(()), "{} {}", known.name, job.name);
                    assert!(job.repetitions >= 2, "{} {}", known.name, job.name);
                    assert!(job.repetitions <= work::STREAM, "{}", known.name);
                }
            }
        }
    }
}
