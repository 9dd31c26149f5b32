//! What a figure shows.

use super::PlotError;

/// Series that a figure holds at most.
pub const MOST_SERIES: usize = 16;

/// An axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    /// What it measures, with the unit.
    pub label: String,
    /// Logarithmic: points at zero or below are left out.
    pub log: bool,
    /// A linear axis begins at zero even if no point is near.
    pub from_zero: bool,
    /// Shown whatever the points are; they are left out beyond.
    pub limits: Option<(f64, f64)>,
}

impl Axis {
    /// A linear axis that fits the points.
    #[must_use]
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            ..Self::default()
        }
    }

    /// Whether a value has a place on the axis.
    pub(super) fn shows(&self, value: f64) -> bool {
        let inside = |(low, high): (f64, f64)| low <= value && value <= high;
        value.is_finite() && (!self.log || value > 0.0) && self.limits.is_none_or(inside)
    }
}

/// A point, with the interval of its y value where there is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Along.
    pub x: f64,
    /// Up.
    pub y: f64,
    /// The lower and upper end of the interval.
    pub interval: Option<(f64, f64)>,
}

impl Point {
    /// A point without an interval.
    #[must_use]
    pub fn new(x: f64, y: f64) -> Self {
        Self {
            x,
            y,
            interval: None,
        }
    }
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A line with marks; intervals are error bars.
    Marked,
    /// A line with a few marks; intervals are a band.
    Line,
    /// As a line, constant up to the next point.
    Steps,
    /// Small dots.
    Dots,
}

/// Points that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// For the legend; empty for none.
    pub name: String,
    /// In the order in which they are joined.
    pub points: Vec<Point>,
    /// How they are drawn.
    pub style: Style,
    /// Which colour and mark, from 0; two series may share one.
    pub colour: usize,
}

/// A figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figure {
    /// Its title.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is shown.
    pub series: Vec<Series>,
    /// What a reader must know: what the bars mean, what was left out. Below the figure.
    pub notes: Vec<String>,
    /// Where the numbers come from: below the figure in short, and in the file in full.
    pub metadata: Vec<(String, String)>,
}

impl Figure {
    /// The figure without the points that its axes have no place for, which it then says.
    ///
    /// # Errors
    /// [`PlotError::Nothing`], [`PlotError::TooManySeries`].
    pub(super) fn shown(&self) -> Result<Self, PlotError> {
        let mut shown = self.clone();
        let mut omitted = 0;
        for series in &mut shown.series {
            let before = series.points.len();
            series
                .points
                .retain(|p| self.x.shows(p.x) && self.y.shows(p.y));
            omitted += before - series.points.len();
            for point in &mut series.points {
                let drawable = |(low, high): &(f64, f64)| self.y.shows(*low) && self.y.shows(*high);
                point.interval = point.interval.filter(drawable);
            }
        }
        shown.series.retain(|series| !series.points.is_empty());
        if shown.series.is_empty() {
            let reason = match omitted {
                0 => "no row has both values".to_owned(),
                n => format!(
                    "none of the {n} points has a place on the axes (a logarithmic one shows only what is above zero)"
                ),
            };
            return Err(PlotError::Nothing(reason));
        }
        let colours = shown.series.iter().map(|s| s.colour + 1).max().unwrap_or(0);
        if colours > MOST_SERIES {
            return Err(PlotError::TooManySeries {
                found: colours,
                most: MOST_SERIES,
            });
        }
        if omitted > 0 {
            let points = if omitted == 1 {
                "point has"
            } else {
                "points have"
            };
            let note = format!("{omitted} {points} no place on the axes");
            shown.notes.push(note);
        }
        Ok(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(series: usize, y: f64) -> Figure {
        let one = |colour| Series {
            name: String::new(),
            points: vec![Point::new(1.0, y), Point::new(f64::NAN, y)],
            style: Style::Marked,
            colour,
        };
        Figure {
            series: (0..series).map(one).collect(),
            ..Figure::default()
        }
    }

    #[test]
    fn points_without_a_place_are_counted() {
        let shown = figure(2, 1.0).shown().unwrap();
        assert_eq!(shown.notes, ["2 points have no place on the axes"]);
        assert!(shown.series.iter().all(|s| s.points.len() == 1));
        let nothing = figure(2, f64::INFINITY).shown();
        assert!(matches!(nothing, Err(PlotError::Nothing(_))));
    }

    #[test]
    fn series_that_cannot_be_told_apart_are_refused() {
        assert!(figure(MOST_SERIES, 1.0).shown().is_ok());
        let refused = figure(MOST_SERIES + 1, 1.0).svg();
        assert!(matches!(
            refused,
            Err(PlotError::TooManySeries {
                found: 17,
                most: 16
            })
        ));
    }
}
