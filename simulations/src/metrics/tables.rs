//! Tables of metrics that have more than one row.

use super::intersection::Step;
use super::roc::{Point, Roc};
use crate::engine::NONE;
use crate::engine::mass::TargetResult;
use crate::math;
use crate::table::{Table, TableBuilder, TableError};

/// Starts a table with the columns that all have.
fn begun<T>(name: &str, repetition: u32, rows: &[(&str, T)]) -> TableBuilder {
    let names = rows.iter().map(|(name, _)| (*name).to_owned()).collect();
    Table::builder(name)
        .u64("repetition", vec![u64::from(repetition); rows.len()])
        .string("adversary", names)
}

fn column<T, V>(rows: &[(&str, T)], of: impl Fn(&T) -> V) -> Vec<V> {
    rows.iter().map(|(_, row)| of(row)).collect()
}

/// One row for each adversary that infers, each direction and each target.
pub(super) fn targets(
    repetition: u32,
    all: &[(&str, (&str, &TargetResult))],
) -> Result<Table, TableError> {
    let directions = column(all, |(direction, _)| (*direction).to_owned());
    let rows: Vec<(&str, &TargetResult)> = all.iter().map(|(name, (_, r))| (*name, *r)).collect();
    let rows = rows.as_slice();
    let receiver = |r: &&TargetResult| (r.receiver != NONE).then(|| f64::from(r.receiver));
    begun("targets", repetition, rows)
        .string("direction", directions)
        .u64("message", column(rows, |r| u64::from(r.message)))
        .u64("sender", column(rows, |r| u64::from(r.sender)))
        .nullable("receiver", column(rows, receiver))
        .f64("sent_s", column(rows, |r| r.sent))
        .nullable("latency_s", column(rows, |r| r.latency))
        .f64("entropy_bits", column(rows, |r| r.over_outputs().0))
        .f64(
            "min_entropy_bits",
            column(rows, |r| -math::log2(r.over_outputs().1)),
        )
        .f64("largest_probability", column(rows, |r| r.over_outputs().1))
        .nullable(
            "user_entropy_bits",
            column(rows, |r| Some(r.over_users()?.0)),
        )
        .nullable(
            "user_largest_probability",
            column(rows, |r| Some(r.over_users()?.1)),
        )
        .nullable("probability_of_truth", column(rows, |r| r.truth))
        .f64("residual", column(rows, |r| r.residual))
        .build()
}

/// One row for each message of the pseudonym at which somebody fell out.
pub(super) fn intersection(
    repetition: u32,
    all: &[(&str, Vec<Step>)],
) -> Result<Table, TableError> {
    let rows: Vec<(&str, Step)> = all
        .iter()
        .flat_map(|(name, steps)| steps.iter().map(move |step| (*name, *step)))
        .collect();
    begun("intersection", repetition, &rows)
        .u64("messages", column(&rows, |step| step.messages))
        .u64("candidates", column(&rows, |step| step.candidates))
        .build()
}

/// One row for each point of each curve.
pub(super) fn roc(repetition: u32, all: &[(&str, Roc)]) -> Result<Table, TableError> {
    let rows: Vec<(&str, Point)> = all
        .iter()
        .flat_map(|(name, roc)| roc.points.iter().map(move |point| (*name, *point)))
        .collect();
    // The first point's threshold is above every score.
    let threshold = |point: &Point| point.threshold.is_finite().then_some(point.threshold);
    begun("roc", repetition, &rows)
        .nullable("threshold", column(&rows, threshold))
        .f64("false_positive_rate", column(&rows, |p| p.false_positives))
        .f64("true_positive_rate", column(&rows, |p| p.true_positives))
        .build()
}
