//! Distributions: of latency by kind, of the targets' entropy by adversary
//! and direction.

use std::collections::BTreeMap;

use crate::table::Table;

use super::aggregate::Ordered;
use super::{Axis, Figure, PlotError, Point, Series, Style, label, said};

/// Points that a curve keeps.
const CURVE: f64 = 500.0;
/// Bins of a density.
const DENSITY_BINS: usize = 80;
/// The share of a distribution that is shown.
const SHOWN: f64 = 0.999;

/// Counts by value, of one kind or adversary.
struct Counts {
    name: String,
    /// By the upper bound of a bucket: the lower bound, the count.
    values: BTreeMap<Ordered, (f64, f64)>,
}

impl Counts {
    fn total(&self) -> f64 {
        self.values.values().map(|(_, count)| count).sum()
    }

    fn quantile(&self, share: f64) -> f64 {
        let (mut seen, mut last) = (0.0, 0.0);
        for (Ordered(value), (_, count)) in &self.values {
            (seen, last) = (seen + count, *value);
            if seen >= share * self.total() {
                break;
            }
        }
        last
    }

    /// The share of what is at most x, thinned to what the eye can tell apart.
    fn cumulative(&self, up_to: f64) -> Vec<Point> {
        let total = self.total();
        let mut points = Vec::new();
        let (mut seen, mut drawn) = (0.0, f64::NEG_INFINITY);
        for (Ordered(value), (_, count)) in &self.values {
            if *value > up_to {
                break;
            }
            if points.is_empty() {
                points.push(Point::new(*value, 0.0));
            }
            seen += count;
            if (seen - drawn) * CURVE >= total {
                points.push(Point::new(*value, seen / total));
                drawn = seen;
            }
        }
        points
    }

    /// The density in bins of one width from 0, at their middles.
    fn density(&self, up_to: f64) -> Vec<Point> {
        let width = up_to / DENSITY_BINS as f64;
        let total = self.total();
        let mut bins = [0.0; DENSITY_BINS];
        for (Ordered(upper), (lower, count)) in &self.values {
            spread(&mut bins, width, (*lower, *upper), *count);
        }
        let middle = |index: usize| (index as f64 + 0.5) * width;
        bins.iter()
            .enumerate()
            .map(|(index, count)| Point::new(middle(index), count / (total * width)))
            .collect()
    }
}

/// Shares a bucket's count among the bins that it overlaps.
fn spread(bins: &mut [f64], width: f64, (lower, upper): (f64, f64), count: f64) {
    let span = upper - lower;
    let first = (lower / width) as usize;
    for (index, bin) in bins.iter_mut().enumerate().skip(first) {
        let (from, to) = (index as f64 * width, (index as f64 + 1.0) * width);
        if from > upper {
            break;
        }
        if span <= 0.0 {
            *bin += count;
            break;
        }
        *bin += count * ((upper.min(to) - lower.max(from)) / span).max(0.0);
    }
}

/// A value with its weight: the upper bound of a bucket, the lower bound, the count.
type Bucket = (f64, f64, f64);

/// Sums the weights of values by name, the names in order of appearance.
fn counts(rows: impl Iterator<Item = (String, Bucket)>) -> Vec<Counts> {
    let mut found: Vec<Counts> = Vec::new();
    for (name, (upper, lower, weight)) in rows {
        if !upper.is_finite() || weight <= 0.0 {
            continue;
        }
        let index = found.iter().position(|c| c.name == name);
        let index = index.unwrap_or_else(|| {
            let values = BTreeMap::new();
            found.push(Counts { name, values });
            found.len() - 1
        });
        if let Some(counts) = found.get_mut(index) {
            let entry = counts.values.entry(Ordered(upper)).or_insert((lower, 0.0));
            *entry = (entry.0.min(lower), entry.1 + weight);
        }
    }
    found
}

/// The rows of a table of latencies: what was measured, and the bucket.
fn buckets(table: &Table) -> Result<Vec<(String, Bucket)>, PlotError> {
    let upper = table.numbers(if table.has("to_s") {
        "to_s"
    } else {
        "latency_s"
    })?;
    let lower = match table.has("from_s") {
        true => table.numbers("from_s")?,
        false => upper.clone(),
    };
    let weights = table.numbers("count")?;
    let (kinds, measured) = (names(table, "kind"), names(table, "measured"));
    let text = |column: &Option<Vec<String>>, row: usize| {
        column
            .as_ref()
            .and_then(|c| c.get(row))
            .cloned()
            .unwrap_or_default()
    };
    let bucket = |row: usize| {
        let at = |values: &[Option<f64>]| values.get(row).copied().flatten();
        let kind = text(&kinds, row).replace('_', " ");
        let name = match text(&measured, row).as_str() {
            "with_buffer" => format!("{kind} with its wait in the buffer"),
            _ => kind,
        };
        Some((name, (at(&upper)?, at(&lower)?, at(&weights)?)))
    };
    Ok((0..table.rows()).filter_map(bucket).collect())
}

/// A column as text, if there is one.
pub(super) fn names(table: &Table, column: &str) -> Option<Vec<String>> {
    let values = table.column(column).ok()?;
    Some((0..table.rows()).map(|row| values.text(row)).collect())
}

fn series(all: &[Counts], style: Style, points: impl Fn(&Counts) -> Vec<Point>) -> Vec<Series> {
    let each = all.iter().enumerate();
    each.map(|(colour, counts)| Series {
        name: counts.name.clone(),
        points: points(counts),
        style,
        colour,
    })
    .collect()
}

/// Latency by kind: the share of what arrived that did so within a time, and the density. What was
/// cut off is said below.
pub(super) fn latency(table: &Table, said: Vec<String>) -> Result<[Figure; 2], PlotError> {
    let all = counts(buckets(table)?.into_iter());
    let up_to = all.iter().map(|c| c.quantile(SHOWN)).fold(0.0, f64::max);
    let mut notes = vec![format!(
        "up to the {}% quantile of the slowest kind",
        SHOWN * 100.0
    )];
    notes.extend(said);
    let share = Axis {
        limits: Some((0.0, 1.0)),
        ..Axis::new("share of those delivered")
    };
    let from_zero = |label: &str| Axis {
        from_zero: true,
        ..Axis::new(label)
    };
    let cumulative = Figure {
        title: "Latency by kind of traffic".to_owned(),
        x: from_zero("latency (s)"),
        y: share,
        series: series(&all, Style::Steps, |c| c.cumulative(up_to)),
        notes,
        metadata: table.metadata().to_vec(),
    };
    let density = Figure {
        title: "Density of the latency by kind of traffic".to_owned(),
        y: from_zero("density (1/s)"),
        series: series(&all, Style::Line, |c| c.density(up_to)),
        ..cumulative.clone()
    };
    Ok([cumulative, density])
}

/// Of each row of a table of targets whose posterior it is: the adversary and, where the table has
/// both, the direction. Forward and backward are two questions, and have no distribution together.
pub(super) fn posteriors(table: &Table) -> Vec<String> {
    let adversaries = names(table, "adversary").unwrap_or_default();
    let directions = names(table, "direction").unwrap_or_default();
    let both = directions
        .iter()
        .any(|other| Some(other) != directions.first());
    let row = |row: usize| {
        let text = |all: &[String]| all.get(row).cloned().unwrap_or_default();
        if both {
            format!("{}, {}", text(&adversaries), text(&directions))
        } else {
            text(&adversaries)
        }
    };
    (0..table.rows()).map(row).collect()
}

/// How a measure of the targets is distributed, by adversary and direction. What may be claimed of it
/// is said below.
pub(super) fn of_targets(
    table: &Table,
    column: &str,
    claims: &[String],
) -> Result<Figure, PlotError> {
    let values = table.numbers(column)?;
    let cut = said::of_targets(table, &values);
    let row = |(name, value): (String, Option<f64>)| Some((name, (value?, value?, 1.0)));
    let all = counts(posteriors(table).into_iter().zip(values).filter_map(row));
    let targets: f64 = all.iter().map(Counts::total).sum();
    let mut notes = vec![format!("{targets} values of all repetitions")];
    notes.extend(cut);
    notes.extend_from_slice(claims);
    Ok(Figure {
        title: format!("{} of the targets", name_of(column)),
        x: Axis::new(label(column)),
        y: Axis {
            limits: Some((0.0, 1.0)),
            ..Axis::new("share of targets at or below")
        },
        series: series(&all, Style::Steps, |c| c.cumulative(f64::INFINITY)),
        notes,
        metadata: table.metadata().to_vec(),
    })
}

/// A column's name for a title: without the unit, with a capital first letter.
pub(super) fn name_of(column: &str) -> String {
    let label = label(column);
    let name = label.split(" (").next().unwrap_or(&label);
    let mut letters = name.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_density_has_area_one_and_a_cumulative_share_ends_at_one() {
        let value = |i: i32| f64::from(i) / 1000.0;
        let rows = (1..=4000).map(|i| (String::new(), (value(i), value(i - 1), 2.0)));
        let all = counts(rows);
        let [of_all] = all.as_slice() else {
            panic!("one kind");
        };
        let density = of_all.density(4.0);
        let area: f64 = density.iter().map(|p| p.y * 4.0 / 80.0).sum();
        assert!((area - 1.0).abs() < 1e-9, "{area}");
        assert!(density.iter().all(|p| (p.y - 0.25).abs() < 0.03));
        let cumulative = of_all.cumulative(f64::INFINITY);
        assert!(cumulative.len() < 600);
        assert!(cumulative.last().unwrap().y > 0.997);
        assert_eq!(of_all.quantile(0.5), 2.0);
    }
}
