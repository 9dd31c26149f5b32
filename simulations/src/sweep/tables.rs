//! The three tables of a sweep, in CSV and Parquet.

use std::path::Path;

use serde_json::Value;

use super::claims::cells;
use super::collected::{Collected, Meta};
use super::error::SweepError;
use super::plan::Plan;
use crate::scenario::Seconds;
use crate::table::{Table, TableBuilder, Values};

/// The endings of the four columns of a metric in `results`.
const ENDINGS: [&str; 4] = ["", ".low", ".high", ".se"];

/// Writes `results`, `runs` and `claims`.
pub(super) fn write(
    plan: &Plan,
    meta: &Meta,
    collected: Collected,
    out: &Path,
) -> Result<(), SweepError> {
    let Collected { values, claims, .. } = collected;
    let mut results = begin("results", meta).u64("point", (0..count(plan.points.len())).collect());
    let repetitions = usize::try_from(plan.repetitions).unwrap_or(usize::MAX);
    let points = plan.jobs().map(|job| count(job.point)).collect();
    let repetition = plan.jobs().map(|job| u64::from(job.repetition)).collect();
    let mut runs = begin("runs", meta)
        .u64("point", points)
        .u64("repetition", repetition);
    for (index, key) in plan.keys.iter().enumerate() {
        results = results.column(key, swept(plan, index, 1));
        runs = runs.column(key, swept(plan, index, repetitions));
    }
    let hashes = plan.points.iter().map(|point| point.scenario_hash.clone());
    results = results.string("scenario_hash", hashes.collect());
    for (metric, values) in meta.metrics.iter().zip(values) {
        for (ending, column) in ENDINGS.iter().zip(values.points) {
            results = results.nullable(format!("{}{ending}", metric.column), column);
        }
        runs = runs.nullable(&metric.column, values.runs);
    }
    finish("results", results, out)?;
    finish("runs", runs, out)?;

    let claims = claims.finish();
    let text = |cell: &dyn Fn(usize) -> String| (0..claims.len()).map(cell).collect::<Vec<_>>();
    let metric = |row: usize| {
        claims
            .get(row)
            .and_then(|claim| meta.metrics.get(claim.metric))
    };
    let of_metric = |cell: fn(&super::Metric) -> &str| {
        text(&|row| metric(row).map_or_else(String::new, |metric| cell(metric).to_owned()))
    };
    let table = begin("claims", meta)
        .string("column", of_metric(|metric| &metric.column))
        .string("metric", of_metric(|metric| &metric.name))
        .string(
            "adversary",
            of_metric(|metric| metric.adversary.as_deref().unwrap_or_default()),
        )
        .string("unit", of_metric(|metric| &metric.unit))
        .u64(
            "first_point",
            claims.iter().map(|claim| count(claim.first)).collect(),
        )
        .u64(
            "last_point",
            claims.iter().map(|claim| count(claim.last)).collect(),
        )
        .string(
            "claim",
            claims
                .iter()
                .map(|row| cells(&row.claim).0.to_owned())
                .collect(),
        )
        .string("of", claims.iter().map(|row| cells(&row.claim).1).collect())
        .string(
            "knowledge",
            claims.iter().map(|row| row.knowledge.clone()).collect(),
        )
        .string(
            "absent",
            claims
                .iter()
                .map(|row| row.absent.clone().unwrap_or_default())
                .collect(),
        );
    finish("claims", table, out)
}

/// A table with what every file says.
fn begin(name: &str, meta: &Meta) -> TableBuilder {
    Table::builder(name)
        .metadata("version", &meta.version)
        .metadata("scenario_hash", &meta.scenario_hash)
        .metadata("sweep_hash", &meta.sweep_hash)
        .metadata("seed", meta.seed)
        .metadata("repetitions", meta.repetitions)
}

fn finish(name: &'static str, table: TableBuilder, out: &Path) -> Result<(), SweepError> {
    let written = table.build().and_then(|table| table.write_both(out));
    written.map_err(|source| SweepError::Table { name, source })
}

/// The column of a key, each point `times` times: whole numbers, numbers, lengths of
/// time in seconds, truth values, or text.
fn swept(plan: &Plan, key: usize, times: usize) -> Values {
    let cell = |point: &super::Point| point.values.get(key).cloned().unwrap_or_default();
    let cells: Vec<Value> = plan.points.iter().map(cell).collect();
    column(&cells, Value::as_u64, times)
        .map(Values::U64)
        .or_else(|| column(&cells, Value::as_i64, times).map(Values::I64))
        .or_else(|| column(&cells, Value::as_f64, times).map(Values::F64))
        .or_else(|| column(&cells, as_seconds, times).map(Values::F64))
        .or_else(|| column(&cells, Value::as_bool, times).map(Values::Bool))
        .unwrap_or_else(|| Values::String(column(&cells, as_text, times).unwrap_or_default()))
}

/// All cells as one type, if they are of it.
fn column<T: Clone>(
    cells: &[Value],
    read: impl Fn(&Value) -> Option<T>,
    times: usize,
) -> Option<Vec<T>> {
    let values: Vec<T> = cells.iter().map(read).collect::<Option<_>>()?;
    Some(
        values
            .into_iter()
            .flat_map(|value| std::iter::repeat_n(value, times))
            .collect(),
    )
}

/// A length of time in seconds, as `0.05` for `"50ms"`.
fn as_seconds(value: &Value) -> Option<f64> {
    value.as_str().and_then(Seconds::parse).map(Seconds::get)
}

/// Text without quotes; lists and tables as JSON.
fn as_text(value: &Value) -> Option<String> {
    Some(
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned),
    )
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::swept;
    use crate::sweep::plan::{Plan, Point};
    use crate::table::Values;

    fn column(values: Value) -> Values {
        let Value::Array(values) = values else {
            panic!("a list");
        };
        let point = |value: Value| Point {
            values: vec![value],
            scenario_hash: String::new(),
        };
        let points = values.into_iter().map(point).collect();
        let plan = Plan::new("s".into(), 1, 2, vec!["key".into()], points);
        assert_eq!(swept(&plan, 0, 2).len(), 2 * plan.points.len());
        swept(&plan, 0, 1)
    }

    #[test]
    fn a_column_has_the_narrowest_type_that_holds_its_values() {
        assert_eq!(column(json!([1, 2])), Values::U64(vec![1, 2]));
        assert_eq!(column(json!([1, -2])), Values::I64(vec![1, -2]));
        assert_eq!(column(json!([1, 2.5])), Values::F64(vec![1.0, 2.5]));
        assert_eq!(column(json!([1.0, 2.0])), Values::F64(vec![1.0, 2.0]));
        assert_eq!(
            column(json!([true, false])),
            Values::Bool(vec![true, false])
        );
        assert_eq!(column(json!(["50ms", "1m"])), Values::F64(vec![0.05, 60.0]));
        let text = ["50ms", "1", "{\"a\":[1]}"].map(str::to_owned);
        assert_eq!(
            column(json!(["50ms", 1, { "a": [1] }])),
            Values::String(text.into())
        );
    }
}
