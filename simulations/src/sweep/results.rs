//! From parts to tables: one row per point, one row per run, and what may be claimed.

use std::path::Path;

use super::collected::{Collected, Meta};
use super::error::SweepError;
use super::part::Part;
use super::plan::{Job, Plan};
use super::{disk, tables};

/// The files of a finished sweep, besides its plan and parts.
const FILES: [&str; 7] = [
    "sweep.json",
    "results.csv",
    "results.parquet",
    "runs.csv",
    "runs.parquet",
    "claims.csv",
    "claims.parquet",
];

/// Writes all tables of a sweep whose every part `find` can give, and `sweep.json` last.
pub(super) fn write(
    plan: &Plan,
    out: &Path,
    mut find: impl FnMut(Job) -> Result<Part, SweepError>,
) -> Result<Meta, SweepError> {
    remove(out)?;
    let mut collected = Collected::default();
    for point in 0..plan.points.len() {
        let jobs = (0..plan.repetitions).map(|repetition| Job { point, repetition });
        collected.add(jobs.map(&mut find).collect::<Result<_, _>>()?);
    }
    let mut collected = collected.finish();
    let meta = Meta {
        version: plan.version.clone(),
        scenario_hash: plan.scenario_hash.clone(),
        sweep_hash: plan.sweep_hash.clone(),
        seed: plan.seed,
        repetitions: plan.repetitions,
        points: plan.points.len(),
        keys: plan.keys.clone(),
        metrics: std::mem::take(&mut collected.metrics),
    };
    tables::write(plan, &meta, collected, out)?;
    #[expect(clippy::expect_used, reason = "text and whole numbers")]
    let text = serde_json::to_string_pretty(&meta).expect("has a JSON form") + "\n";
    disk::write_whole(&out.join("sweep.json"), text.as_bytes())?;
    Ok(meta)
}

/// Removes the tables of an earlier sweep, so that none lie beside a plan that they don't follow.
pub(super) fn remove(out: &Path) -> Result<(), SweepError> {
    FILES
        .iter()
        .try_for_each(|name| disk::remove(&out.join(name)))
}

#[cfg(test)]
mod tests {
    use super::Collected;
    use crate::measure::{Claim, Measured};
    use crate::sweep::part::{Identity, Part};

    fn part(repetition: u32, values: &[(&str, f64)]) -> Part {
        let measured = |(name, value): &(&str, f64)| Measured {
            name: (*name).to_owned(),
            adversary: Some("a".to_owned()),
            unit: "1".to_owned(),
            value: Some(*value),
            claim: Claim::Counted,
            knowledge: String::new(),
            absent: None,
        };
        let run = Identity {
            version: String::new(),
            scenario_hash: String::new(),
            seed: 0,
            repetition,
        };
        Part::new(run, values.iter().map(measured).collect())
    }

    #[test]
    fn a_metric_that_some_points_lack_leaves_empty_cells_there() {
        let mut collected = Collected::default();
        collected.add(vec![
            part(0, &[("x", 1.0)]),
            part(1, &[("x", 3.0), ("y", 7.0)]),
        ]);
        collected.add(vec![part(0, &[("z", 5.0)]), part(1, &[("z", 5.0)])]);
        collected.add(vec![part(0, &[("x", 4.0)]), part(1, &[("x", f64::NAN)])]);
        let collected = collected.finish();
        let columns: Vec<&str> = collected
            .metrics
            .iter()
            .map(|m| m.column.as_str())
            .collect();
        assert_eq!(columns, ["x.a", "y.a", "z.a"]);
        let [x, y, z] = &collected.values[..] else {
            panic!("three metrics");
        };
        assert_eq!(x.points[0], [Some(2.0), None, Some(4.0)]);
        assert_eq!(x.points[3], [Some(1.0), None, None]);
        assert_eq!(x.runs, [Some(1.0), Some(3.0), None, None, Some(4.0), None]);
        assert_eq!(y.points[0], [Some(7.0), None, None]);
        assert_eq!(y.runs, [None, Some(7.0), None, None, None, None]);
        assert_eq!(z.points[0], [None, Some(5.0), None]);
        assert_eq!(z.runs, [None, None, Some(5.0), Some(5.0), None, None]);
    }
}
