//! Shards of one sweep put together.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::collected::Meta;
use super::disk;
use super::error::SweepError;
use super::part::{self, Found, Part};
use super::plan::{Job, Plan};
use super::results;

/// How many missing runs are listed by name.
const LISTED: usize = 10;

/// Puts the folders of shards of one sweep together in `out` (which may be one of them): checks
/// that they are of one version, sweep and seed and that no run is missing, and writes what the
/// sweep would have written without shards, to the byte.
///
/// # Errors
/// [`SweepError::NotASweep`], [`SweepError::Disagree`] if plans differ or a run has different
/// results in two folders, [`SweepError::Missing`], [`SweepError::Files`], [`SweepError::Table`].
pub fn merge(folders: &[PathBuf], out: &Path) -> Result<Meta, SweepError> {
    let plan = agreed(folders)?;
    write(&plan, folders, out)
}

/// Writes the tables, and the parts that are not in `out` already.
pub(super) fn write(plan: &Plan, folders: &[PathBuf], out: &Path) -> Result<Meta, SweepError> {
    check_complete(plan, folders)?;
    disk::folder(&part::folder(out))?;
    plan.write(out)?;
    results::write(plan, out, |job| {
        let part = find(plan, folders, job)?.ok_or_else(|| missing(plan, &[job], 1))?;
        match part.run.find(out)? {
            Found::Part(there) if there == part => {}
            _ => part.write(out)?,
        }
        Ok(part)
    })
}

/// The plan that all folders have.
fn agreed(folders: &[PathBuf]) -> Result<Plan, SweepError> {
    let mut agreed: Option<(&Path, Plan)> = None;
    for folder in folders {
        let plan = Plan::read(folder)?;
        let own = env!("CARGO_PKG_VERSION");
        if plan.version != own {
            return Err(SweepError::NotASweep {
                path: folder.clone(),
                problem: format!(
                    "of version {}; this is shoal-sim {own}, and versions are never mixed",
                    plan.version
                ),
            });
        }
        match &agreed {
            None => agreed = Some((folder, plan)),
            Some((first, other)) => {
                if let Some(problem) = difference(other, &plan) {
                    return Err(SweepError::Disagree {
                        first: (*first).to_owned(),
                        second: folder.clone(),
                        problem,
                    });
                }
            }
        }
    }
    let plan = agreed.map(|(_, plan)| plan);
    plan.ok_or_else(|| SweepError::NotASweep {
        path: PathBuf::new(),
        problem: "no folder is named".to_owned(),
    })
}

/// How two plans differ, if they do.
fn difference(one: &Plan, other: &Plan) -> Option<String> {
    if one == other {
        return None;
    }
    Some(if one.seed != other.seed {
        format!("the seeds are {} and {}", one.seed, other.seed)
    } else if one.repetitions != other.repetitions {
        format!(
            "the repetitions are {} and {}",
            one.repetitions, other.repetitions
        )
    } else {
        format!(
            "the sweeps' hashes are {} and {}",
            one.sweep_hash, other.sweep_hash
        )
    })
}

fn check_complete(plan: &Plan, folders: &[PathBuf]) -> Result<(), SweepError> {
    let mut count = 0;
    let mut first = Vec::new();
    for job in plan.jobs() {
        if find(plan, folders, job)?.is_none() {
            count += 1;
            if first.len() < LISTED {
                first.push(job);
            }
        }
    }
    if count == 0 {
        return Ok(());
    }
    Err(missing(plan, &first, count))
}

fn missing(plan: &Plan, first: &[Job], count: usize) -> SweepError {
    let mut list = String::new();
    for job in first {
        let settings = plan.settings(job.point);
        let _ = write!(
            list,
            "\n  point {} ({settings}), repetition {}",
            job.point, job.repetition
        );
    }
    if count > first.len() {
        let _ = write!(list, "\n  and {} more", count - first.len());
    }
    SweepError::Missing {
        count,
        total: plan.runs(),
        list,
    }
}

/// The part of a run from whichever folder has it whole; those that have it must agree.
fn find(plan: &Plan, folders: &[PathBuf], job: Job) -> Result<Option<Part>, SweepError> {
    let identity = plan.identity(job);
    let mut found: Option<(&Path, Part)> = None;
    for folder in folders {
        let Found::Part(part) = identity.find(folder)? else {
            continue;
        };
        match &found {
            None => found = Some((folder, part)),
            Some((_, other)) if *other == part => {}
            Some((first, _)) => {
                return Err(SweepError::Disagree {
                    first: (*first).to_owned(),
                    second: folder.clone(),
                    problem: format!(
                        "point {} ({}), repetition {} has different results in them",
                        job.point,
                        plan.settings(job.point),
                        job.repetition
                    ),
                });
            }
        }
    }
    Ok(found.map(|(_, part)| part))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Plan, SweepError, merge};
    use crate::measure::{Claim, Measured};
    use crate::sweep::part::{self, Part};
    use crate::sweep::plan::Point;

    /// A sweep of one run with this result, in a folder of its own.
    fn sweep(folder: &tempfile::TempDir, value: f64) -> PathBuf {
        let point = Point {
            values: vec![1.into()],
            scenario_hash: "s".to_owned(),
        };
        let plan = Plan::new("s".to_owned(), 1, 1, vec!["key".to_owned()], vec![point]);
        let measured = Measured {
            name: "m".to_owned(),
            adversary: None,
            unit: "1".to_owned(),
            value: Some(value),
            claim: Claim::Counted,
            knowledge: String::new(),
            absent: None,
        };
        std::fs::create_dir(part::folder(folder.path())).unwrap();
        plan.write(folder.path()).unwrap();
        let job = plan.jobs().next().unwrap();
        let part = Part::new(plan.identity(job), vec![measured]);
        part.write(folder.path()).unwrap();
        folder.path().to_owned()
    }

    #[test]
    fn folders_that_contradict_each_other_are_not_merged() {
        let [one, same, other] = [1.0, 1.0, 2.0].map(|value| {
            let folder = tempfile::tempdir().unwrap();
            let path = sweep(&folder, value);
            (folder, path)
        });
        let out = tempfile::tempdir().unwrap();
        merge(&[one.1.clone(), same.1], out.path()).unwrap();
        let refused = merge(&[one.1.clone(), other.1.clone()], out.path());
        let Err(SweepError::Disagree { problem, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert!(
            problem.contains("point 0 (key = 1), repetition 0"),
            "{problem}"
        );
        // What lies in `out` from before does not count, and gives way.
        merge(&[other.1], out.path()).unwrap();
        assert!(merge(&[one.1, out.path().to_owned()], out.path()).is_err());
    }
}
