//! The figures of a sweep's folder: the main metrics over the key with the most values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::table::Table;

use super::aggregate::Ordered;
use super::standard::{Drawn, find};
use super::{ColumnChoice, PlotError, from_columns, said};

/// How the names of the metrics begin that get a figure. Others are drawn by name.
const DRAWN: [&str; 7] = [
    "entropy_",
    "min_entropy_p5_",
    "latency_mean.",
    "latency_p99.",
    "epsilon.",
    "delivered.",
    "bytes_per_message.",
];

/// The last column before the metrics.
const BEFORE_METRICS: &str = "scenario_hash";

/// The figures of a sweep's table `results`, or `None` if the folder has none: each main metric
/// over the swept key with the most values, a series for each combination of the other keys. Keys
/// that move together count as one.
///
/// # Errors
/// [`PlotError::Table`]; [`PlotError::Nothing`] if no key has numbers or no main metric a value.
pub fn sweep_figures(folder: &Path) -> Result<Option<Drawn>, PlotError> {
    let Some(table) = find(folder, "results")? else {
        return Ok(None);
    };
    let names = table.column_names();
    let keys = names.iter().skip_while(|name| **name == "point");
    let keys: Vec<&str> = keys.copied().take_while(|n| *n != BEFORE_METRICS).collect();
    let x = longest(&table, &keys)?.ok_or_else(|| {
        let reason = format!("no swept key has numbers ({})", keys.join(", "));
        PlotError::Nothing(reason)
    })?;
    let group = others(&table, &keys, x)?;
    let drawn = |name: &&str| {
        DRAWN.iter().any(|start| name.starts_with(start)) && table.has(&format!("{name}.low"))
    };
    let mut all = Drawn::default();
    let claims = find(folder, "claims")?;
    for metric in names.iter().copied().filter(drawn) {
        if table.numbers(metric)?.iter().all(Option::is_none) {
            all.lacks(
                metric,
                "no point has a value of it: the table claims says why",
            );
            continue;
        }
        let choice = ColumnChoice {
            x: x.to_owned(),
            y: vec![metric.to_owned()],
            group: group.iter().map(|key| (*key).to_owned()).collect(),
            log_x: is_geometric(&table, x)?,
            ..ColumnChoice::default()
        };
        let mut figure = from_columns(&table, &choice)?;
        if let Some(claims) = &claims {
            figure.notes.extend(said::of_sweep(claims, metric)?);
        }
        all.add(metric, figure, "no point has a place on the axes");
    }
    if all.figures.is_empty() {
        let reason = "the sweep has none of the main metrics; name one with --y".to_owned();
        return Err(PlotError::Nothing(reason));
    }
    let others = names
        .iter()
        .filter(|name| table.has(&format!("{name}.low")) && !drawn(name));
    let others = others.count();
    if others > 0 {
        all.lacks(
            format!("{others} other metrics"),
            "they are drawn by name: --x COLUMN --y COLUMN",
        );
    }
    Ok(Some(all))
}

/// The key of numbers with the most values, the first of several.
fn longest<'a>(table: &Table, keys: &[&'a str]) -> Result<Option<&'a str>, PlotError> {
    let mut best = None;
    let mut most = 0;
    for key in keys {
        if table.column(key)?.numbers().is_none() {
            continue;
        }
        let values = distinct(table, &[key])?;
        if values > most {
            (best, most) = (Some(*key), values);
        }
    }
    Ok(best)
}

/// The keys besides `x` that tell points apart.
fn others<'a>(table: &Table, keys: &[&'a str], x: &str) -> Result<Vec<&'a str>, PlotError> {
    let mut chosen = vec![x];
    let mut others = Vec::new();
    for key in keys.iter().filter(|key| **key != x) {
        let before = distinct(table, &chosen)?;
        chosen.push(*key);
        if distinct(table, &chosen)? > before {
            others.push(*key);
        } else {
            chosen.pop();
        }
    }
    Ok(others)
}

/// How many combinations of values some columns have.
fn distinct(table: &Table, keys: &[&str]) -> Result<usize, PlotError> {
    let columns: Vec<_> = keys
        .iter()
        .map(|key| table.column(key))
        .collect::<Result<_, _>>()?;
    let row = |row: usize| columns.iter().map(|c| c.text(row)).collect::<Vec<_>>();
    let combinations: BTreeSet<Vec<String>> = (0..table.rows()).map(row).collect();
    Ok(combinations.len())
}

/// Whether a logarithmic axis suits: values above zero whose distances grow with them.
fn is_geometric(table: &Table, x: &str) -> Result<bool, PlotError> {
    let values = table.numbers(x)?.into_iter().flatten();
    let places: BTreeMap<Ordered, ()> = values.map(|v| (Ordered(v), ())).collect();
    let sorted: Vec<f64> = places.into_keys().map(|Ordered(v)| v).collect();
    let (Some([first, second]), Some([before, last])) =
        (sorted.first_chunk::<2>(), sorted.last_chunk::<2>())
    else {
        return Ok(false);
    };
    let grows = (last - before) >= 3.0 * (second - first);
    Ok(*first > 0.0 && grows && sorted.len() > 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::NamedFigure;

    fn sweep(folder: &Path, rows: usize) {
        let numbers = |of: &dyn Fn(usize) -> f64| (0..rows).map(of).collect::<Vec<_>>();
        let maybe = |value: f64| vec![Some(value); rows];
        Table::builder("results")
            .u64("point", (0..rows as u64).collect())
            .f64("rate", numbers(&|row| 2.0_f64.powi((row % 4) as i32)))
            .f64(
                "loop_rate",
                numbers(&|row| 3.0 * 2.0_f64.powi((row % 4) as i32)),
            )
            .f64("layers", numbers(&|row| (row / 4) as f64))
            .string("scenario_hash", vec![String::new(); rows])
            .nullable("entropy_forward_messages.gpa", maybe(3.0))
            .nullable("entropy_forward_messages.gpa.low", maybe(2.0))
            .nullable("entropy_forward_messages.gpa.high", maybe(4.0))
            .nullable("residual", maybe(0.0))
            .nullable("latency_mean.real", vec![None; rows])
            .nullable("latency_mean.real.low", vec![None; rows])
            .build()
            .unwrap()
            .write_both(folder)
            .unwrap();
    }

    #[test]
    fn the_key_with_the_most_values_is_along_and_the_others_make_series() {
        let dir = tempfile::tempdir().unwrap();
        assert!(sweep_figures(dir.path()).unwrap().is_none());
        sweep(dir.path(), 12);
        let drawn = sweep_figures(dir.path()).unwrap().unwrap();
        let [NamedFigure { name, figure }] = drawn.figures.as_slice() else {
            panic!("{drawn:?}");
        };
        let [(absent, why)] = drawn.absent.as_slice() else {
            panic!("{:?}", drawn.absent);
        };
        assert_eq!(absent, "latency_mean.real");
        assert!(why.contains("claims"), "{why}");
        assert_eq!(name, "entropy_forward_messages.gpa");
        assert_eq!(figure.x.label, "rate");
        assert!(figure.x.log);
        let names: Vec<_> = figure.series.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["layers = 0", "layers = 1", "layers = 2"]);
        assert!(figure.series.iter().all(|s| s.points.len() == 4));
    }

    #[test]
    fn more_layers_than_rates_are_along() {
        let dir = tempfile::tempdir().unwrap();
        sweep(dir.path(), 20);
        let drawn = sweep_figures(dir.path()).unwrap().unwrap();
        let figure = &drawn.figures[0].figure;
        assert_eq!(figure.x.label, "layers");
        assert!(!figure.x.log);
        assert_eq!(figure.series.len(), 4);
    }
}
