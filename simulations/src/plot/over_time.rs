//! What changes over the time of a run: traffic, occupancy, the targets' entropy.

use std::collections::{BTreeMap, BTreeSet};

use crate::table::Table;

use super::aggregate::{Ordered, means};
use super::distribution::{name_of, names, posteriors};
use super::{Axis, Figure, PlotError, Point, Series, Style, label, said};

/// Dots of a series; of more targets, every n-th is drawn.
const MOST_DOTS: usize = 3000;
/// Spans of time whose means are joined: as many as give each this many targets of a repetition,
/// within the bounds.
const TARGETS_OF_A_SPAN: usize = 4;
const SPANS: std::ops::RangeInclusive<usize> = 5..=30;
/// What the shaded bands are.
const BAND: &str = "mean of the repetitions; band: 95% interval by Student's t";

/// Each column of the time bins whose name is `prefix` or begins with it and a dot, divided by
/// `divisor`, averaged over the repetitions.
pub(super) fn bins(
    table: &Table,
    prefixes: &[&str],
    divisor: f64,
    title: &str,
    y: &str,
) -> Result<Option<Figure>, PlotError> {
    let starts = table.numbers("start_s")?;
    let chosen = |name: &str| {
        prefixes.iter().any(|prefix| {
            let rest = name.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let mut series = Vec::new();
    for column in table.column_names().into_iter().filter(|name| chosen(name)) {
        let values = table.numbers(column)?;
        let pairs = starts.iter().zip(&values);
        let points = means(pairs.filter_map(|(x, y)| Some(((*x)?, (*y)? / divisor))));
        series.push(Series {
            name: column.replace(['_', '.'], " "),
            points,
            style: Style::Line,
            colour: series.len(),
        });
    }
    if series.is_empty() {
        return Ok(None);
    }
    if let [only] = series.as_mut_slice() {
        only.name.clear();
    }
    let banded = |s: &Series| s.points.iter().any(|p| p.interval.is_some());
    let notes = series.iter().any(banded).then(|| BAND.to_owned());
    Ok(Some(Figure {
        title: title.to_owned(),
        x: Axis::new("start of the time bin (s)"),
        y: Axis {
            from_zero: true,
            ..Axis::new(y)
        },
        series,
        notes: notes.into_iter().collect(),
        metadata: table.metadata().to_vec(),
    }))
}

/// The width of the time bins: the least distance of two starts.
pub(super) fn bin_width(table: &Table) -> Result<f64, PlotError> {
    let starts = table.numbers("start_s")?;
    let mut starts: Vec<f64> = starts.into_iter().flatten().collect();
    starts.sort_by(f64::total_cmp);
    let widths = starts.windows(2).filter_map(|pair| match pair {
        [a, b] if b > a => Some(b - a),
        _ => None,
    });
    let width = widths.fold(f64::INFINITY, f64::min);
    Ok(if width.is_finite() { width } else { 1.0 })
}

/// A measure of the targets by the time of sending: a dot each, and the means of spans of time. What
/// may be claimed of it is said below.
pub(super) fn targets(table: &Table, column: &str, claims: &[String]) -> Result<Figure, PlotError> {
    let (sent, values) = (table.numbers("sent_s")?, table.numbers(column)?);
    let repetitions = names(table, "repetition").unwrap_or_default();
    let whose = posteriors(table);
    let mut found: Vec<(String, Vec<Dot>)> = Vec::new();
    for (row, (x, y)) in sent.iter().zip(&values).enumerate() {
        let (Some(x), Some(y)) = (*x, *y) else {
            continue;
        };
        let text = |all: &[String]| all.get(row).cloned().unwrap_or_default();
        let dot = (text(&repetitions), x, y);
        let whose = text(&whose);
        match found.iter_mut().find(|(name, _)| *name == whose) {
            Some((_, dots)) => dots.push(dot),
            None => found.push((whose, vec![dot])),
        }
    }
    let mut series = Vec::new();
    let mut notes =
        vec!["line: means of spans of time, with 95% intervals of the repetitions".to_owned()];
    notes.extend(said::of_targets(table, &values));
    notes.extend_from_slice(claims);
    for (colour, (_, dots)) in found.iter().enumerate() {
        let every = dots.len().div_ceil(MOST_DOTS).max(1);
        let note = format!("one target in {every} is drawn");
        if every > 1 && !notes.contains(&note) {
            notes.push(note);
        }
        let shown = dots.iter().step_by(every);
        series.push(Series {
            name: String::new(),
            points: shown.map(|(_, x, y)| Point::new(*x, *y)).collect(),
            style: Style::Dots,
            colour,
        });
    }
    for (colour, (name, dots)) in found.iter().enumerate() {
        series.push(Series {
            name: name.clone(),
            points: span_means(dots),
            style: Style::Line,
            colour,
        });
    }
    let limits = limits(&series);
    let cut = |point: &Point| {
        let beyond = |(low, high): (f64, f64)| limits.is_some_and(|l| low < l.0 || high > l.1);
        point.interval.is_some_and(beyond)
    };
    if series.iter().flat_map(|s| &s.points).any(cut) {
        notes.push("intervals that are much wider than all values are cut at the frame".to_owned());
    }
    Ok(Figure {
        title: format!("{} of the targets over time", name_of(column)),
        x: Axis::new("time of sending (s)"),
        y: Axis {
            limits,
            ..Axis::new(label(column))
        },
        series,
        notes,
        metadata: table.metadata().to_vec(),
    })
}

/// A range in which all values can be told apart, however wide a few intervals are: theirs and half as
/// much on each side, or what the intervals need if that is less. None if all values are one.
fn limits(series: &[Series]) -> Option<(f64, f64)> {
    let points = || series.iter().flat_map(|series| &series.points);
    let range = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        })
    };
    let (low, high) = range(&mut points().map(|point| point.y));
    let mut ends = points().filter_map(|point| point.interval);
    let (least, most) = range(&mut ends.by_ref().flat_map(|(low, high)| [low, high]));
    let room = 0.5 * (high - low);
    let edge = 0.04 * (high - low);
    (room > 0.0 && room.is_finite()).then(|| {
        (
            (low - room).max(least.min(low) - edge),
            (high + room).min(most.max(high) + edge),
        )
    })
}

/// Repetition, time and value of a target.
type Dot = (String, f64, f64);

/// For each span of time the mean over the repetitions of each one's mean: targets of one
/// repetition are not independent.
fn span_means(dots: &[Dot]) -> Vec<Point> {
    let first = dots.iter().map(|d| d.1).fold(f64::INFINITY, f64::min);
    let last = dots.iter().map(|d| d.1).fold(f64::NEG_INFINITY, f64::max);
    let repetitions: BTreeSet<&str> = dots.iter().map(|d| d.0.as_str()).collect();
    let of_each = dots.len() / repetitions.len().max(1);
    let spans = (of_each / TARGETS_OF_A_SPAN).clamp(*SPANS.start(), *SPANS.end()) as f64;
    let width = ((last - first) / spans).max(f64::MIN_POSITIVE);
    let mut sums: BTreeMap<(Ordered, &str), (f64, f64)> = BTreeMap::new();
    for (repetition, x, y) in dots {
        let span = ((x - first) / width).floor().min(spans - 1.0);
        let middle = first + (span + 0.5) * width;
        let (sum, count) = sums.entry((Ordered(middle), repetition)).or_default();
        *sum += y;
        *count += 1.0;
    }
    means(
        sums.into_iter()
            .map(|((Ordered(x), _), (sum, count))| (x, sum / count)),
    )
}
