//! A reproduction's curves as a figure: what was measured, beside what was published.

use super::Point;
use super::work::{Curves, Line};
use crate::plot::{self, Axis, Figure, Series, Style};

/// Standard errors that a bar has to each side.
const BAR: f64 = 2.0;

/// The figure of curves; `None` where no parameter varies. The metadata goes into its files.
pub(super) fn of(title: &str, curves: &Curves, metadata: Vec<(String, String)>) -> Option<Figure> {
    if curves.lines.is_empty() {
        return None;
    }
    let mut series = Vec::new();
    for (index, line) in curves.lines.iter().enumerate() {
        series.push(measured(line, index));
        series.extend(published(line, index));
    }
    Some(Figure {
        title: title.to_owned(),
        x: Axis {
            log: curves.log_x,
            ..Axis::new(curves.x.clone())
        },
        y: Axis {
            from_zero: true,
            ..Axis::new(curves.y.clone())
        },
        series,
        notes: notes(curves),
        metadata,
    })
}

fn notes(curves: &Curves) -> Vec<String> {
    let mut notes = vec!["Bars are two standard errors to each side.".to_owned()];
    let points = curves.lines.iter().flat_map(|line| &line.points);
    if points
        .into_iter()
        .any(|(_, point)| point.reference.is_some())
    {
        notes.push("Dots are the references.".to_owned());
    }
    notes
}

fn measured(line: &Line, colour: usize) -> Series {
    let placed = |(x, point): &(f64, Point)| {
        let y = point.ours?;
        let bar = point.standard_error.map(|error| BAR * error);
        Some(plot::Point {
            x: *x,
            y,
            interval: bar.map(|bar| (y - bar, y + bar)),
        })
    };
    Series {
        name: line.name.clone(),
        points: line.points.iter().filter_map(placed).collect(),
        style: Style::Marked,
        colour,
    }
}

fn published(line: &Line, colour: usize) -> Option<Series> {
    let placed = |(x, point): &(f64, Point)| Some(plot::Point::new(*x, point.reference?));
    let points: Vec<plot::Point> = line.points.iter().filter_map(placed).collect();
    (!points.is_empty()).then(|| Series {
        name: String::new(),
        points,
        style: Style::Dots,
        colour,
    })
}
