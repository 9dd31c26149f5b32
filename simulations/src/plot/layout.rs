//! A figure's parts on the page.

use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::HPos;

use super::canvas::{Canvas, Lettering, Place};
use super::marks::mark;
use super::palette::{self, AXIS, FAINT_TEXT, GRID, MINOR_GRID, TEXT};
use super::scale::{Scale, Tick};
use super::{Figure, PlotError, Point, Series, Style};

/// The page in points.
pub(super) const WIDTH: f64 = 720.0;
/// The page in points.
pub(super) const HEIGHT: f64 = 450.0;

const MARGIN: f64 = 14.0;
const LABELS: f64 = 11.0;
const NOTES: f64 = 8.5;
const LEGEND_ROW: f64 = 17.0;
const NOTE_ROW: f64 = 12.0;

/// The rectangle of the axes, in points, and what they show.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Scale,
    y: Scale,
}

impl Frame {
    fn place(&self, x: f64, y: f64) -> Place {
        (self.across(x), self.up(y))
    }

    fn across(&self, x: f64) -> f64 {
        self.left + self.x.place(x) * (self.right - self.left)
    }

    fn up(&self, y: f64) -> f64 {
        self.bottom - self.y.place(y) * (self.bottom - self.top)
    }
}

/// Labels along the horizontal axis at most, and what is between two at least, in points.
const MOST_LABELS: usize = 8;
const BETWEEN_LABELS: f64 = 10.0;

/// Draws a figure whose points are all within its axes.
pub(super) fn draw<B: DrawingBackend>(
    canvas: &Canvas<'_, B>,
    figure: &Figure,
) -> Result<(), PlotError> {
    let points = || figure.series.iter().flat_map(|series| &series.points);
    let x = Scale::of(&figure.x, points().map(|p| p.x));
    let ends = |p: &Point| {
        let (low, high) = p.interval.unwrap_or((p.y, p.y));
        [low, p.y, high]
    };
    let y = Scale::of(&figure.y, points().flat_map(ends));
    let y_ticks = y.ticks(6);
    let notes = note_lines(canvas, figure);
    let legend = legend(canvas, figure);
    let (left, right) = (
        MARGIN + 20.0 + widest(canvas, &y_ticks) + 8.0,
        WIDTH - MARGIN - 10.0,
    );
    let x_ticks = apart(canvas, &x, right - left);
    let frame = Frame {
        left,
        right,
        top: 48.0 + legend.rows * LEGEND_ROW,
        bottom: HEIGHT - MARGIN - 40.0 - notes.len() as f64 * NOTE_ROW,
        x,
        y,
    };
    canvas.rectangle((0.0, 0.0), (WIDTH, HEIGHT), plotters::style::WHITE)?;
    let mut title = Lettering::new(15.0, TEXT);
    title.bold = true;
    canvas.text(
        &fitting(canvas, &figure.title, title),
        (MARGIN + 2.0, 22.0),
        title,
    )?;
    draw_legend(canvas, &legend)?;
    draw_axes(canvas, figure, &frame, &x_ticks, &y_ticks)?;
    for series in &figure.series {
        draw_series(canvas, series, &frame)?;
    }
    for (row, note) in notes.iter().rev().enumerate() {
        let at = (MARGIN + 2.0, HEIGHT - MARGIN + 2.0 - row as f64 * NOTE_ROW);
        canvas.text(note, at, Lettering::new(NOTES, FAINT_TEXT))?;
    }
    Ok(())
}

/// As many labels along the horizontal axis as leave each other room, in so many points of width.
fn apart<B: DrawingBackend>(canvas: &Canvas<'_, B>, x: &Scale, width: f64) -> Vec<Tick> {
    let look = Lettering::new(LABELS, TEXT);
    let fits = |ticks: &Vec<Tick>| {
        let labelled = ticks.iter().filter(|tick| !tick.label.is_empty());
        let ends: Vec<(f64, f64)> = labelled
            .map(|tick| {
                let (middle, half) = (
                    x.place(tick.value) * width,
                    canvas.width(&tick.label, look) / 2.0,
                );
                (middle - half, middle + half)
            })
            .collect();
        let mut pairs = ends.iter().zip(ends.iter().skip(1));
        pairs.all(|(before, after)| after.0 - before.1 >= BETWEEN_LABELS)
    };
    let mut tried = (2..=MOST_LABELS).rev().map(|wanted| x.ticks(wanted));
    tried.find(fits).unwrap_or_else(|| x.ticks(2))
}

fn widest<B: DrawingBackend>(canvas: &Canvas<'_, B>, ticks: &[Tick]) -> f64 {
    let look = Lettering::new(LABELS, TEXT);
    let widths = ticks.iter().map(|tick| canvas.width(&tick.label, look));
    widths.fold(0.0, f64::max)
}

/// A text cut to the width of the page.
fn fitting<B: DrawingBackend>(canvas: &Canvas<'_, B>, text: &str, look: Lettering) -> String {
    let mut kept: String = text.chars().take(200).collect();
    let mut cut = kept.len() < text.len();
    while canvas.width(&kept, look) > WIDTH - 2.0 * MARGIN - 12.0 && kept.pop().is_some() {
        cut = true;
    }
    if cut {
        kept.push('…');
    }
    kept
}

/// The notes, and in short where the numbers come from.
fn note_lines<B: DrawingBackend>(canvas: &Canvas<'_, B>, figure: &Figure) -> Vec<String> {
    let mut lines = Vec::new();
    if !figure.notes.is_empty() {
        lines.push(figure.notes.join(" · "));
    }
    let value = |key: &str| {
        let found = figure.metadata.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    };
    let mut origin = match value("version") {
        Some(version) => vec![format!("shoal-sim {version}")],
        None => Vec::new(),
    };
    if let Some(hash) = value("scenario_hash") {
        let short: String = hash.chars().take(16).collect();
        origin.push(format!("scenario {short}"));
    }
    origin.extend(value("seed").map(|seed| format!("seed {seed}")));
    if !origin.is_empty() {
        lines.push(origin.join(" · "));
    }
    let look = Lettering::new(NOTES, FAINT_TEXT);
    lines
        .iter()
        .map(|line| fitting(canvas, line, look))
        .collect()
}

/// Where each name of the legend stands.
struct Legend {
    entries: Vec<(usize, Style, String, Place)>,
    rows: f64,
}

fn legend<B: DrawingBackend>(canvas: &Canvas<'_, B>, figure: &Figure) -> Legend {
    let look = Lettering::new(LABELS, TEXT);
    let mut entries = Vec::new();
    let (mut x, mut row) = (MARGIN + 2.0, 0.0);
    for series in figure.series.iter().filter(|s| !s.name.is_empty()) {
        let name = fitting(canvas, &series.name, look);
        let wide = 30.0 + canvas.width(&name, look) + 18.0;
        if x + wide > WIDTH && x > MARGIN + 2.0 {
            (x, row) = (MARGIN + 2.0, row + 1.0);
        }
        let at = (x, 45.0 + row * LEGEND_ROW);
        entries.push((series.colour, series.style, name, at));
        x += wide;
    }
    let rows = if entries.is_empty() { 0.0 } else { row + 1.0 };
    Legend { entries, rows }
}

fn draw_legend<B: DrawingBackend>(
    canvas: &Canvas<'_, B>,
    legend: &Legend,
) -> Result<(), PlotError> {
    for (colour, style, name, (x, y)) in &legend.entries {
        if *style == Style::Dots {
            canvas.disc((x + 11.0, *y), 3.0, palette::colour(*colour), 1.0)?;
        } else {
            let line = [(*x, *y), (x + 22.0, *y)];
            canvas.line(&line, palette::colour(*colour), 1.8)?;
            mark(canvas, *colour, (x + 11.0, *y))?;
        }
        let look = Lettering::new(LABELS, TEXT);
        canvas.text(name, (x + 29.0, *y), look)?;
    }
    Ok(())
}

fn draw_axes<B: DrawingBackend>(
    canvas: &Canvas<'_, B>,
    figure: &Figure,
    frame: &Frame,
    x_ticks: &[Tick],
    y_ticks: &[Tick],
) -> Result<(), PlotError> {
    let grid = |tick: &Tick| {
        if tick.label.is_empty() {
            MINOR_GRID
        } else {
            GRID
        }
    };
    let label = Lettering::new(LABELS, TEXT);
    for tick in x_ticks {
        let x = frame.across(tick.value);
        canvas.line(&[(x, frame.top), (x, frame.bottom)], grid(tick), 0.8)?;
    }
    for tick in y_ticks {
        let y = frame.up(tick.value);
        canvas.line(&[(frame.left, y), (frame.right, y)], grid(tick), 0.8)?;
    }
    for tick in x_ticks {
        let x = frame.across(tick.value);
        let length = if tick.label.is_empty() { 2.5 } else { 4.0 };
        canvas.line(&[(x, frame.bottom), (x, frame.bottom + length)], AXIS, 1.0)?;
        let at = (x, frame.bottom + 12.0);
        canvas.text(&tick.label, at, label.at(HPos::Center))?;
    }
    for tick in y_ticks {
        let y = frame.up(tick.value);
        let length = if tick.label.is_empty() { 2.5 } else { 4.0 };
        canvas.line(&[(frame.left - length, y), (frame.left, y)], AXIS, 1.0)?;
        let at = (frame.left - 7.0, y);
        canvas.text(&tick.label, at, label.at(HPos::Right))?;
    }
    let corner = (frame.left, frame.bottom);
    canvas.line(
        &[(frame.left, frame.top), corner, (frame.right, frame.bottom)],
        AXIS,
        1.0,
    )?;
    let name = Lettering::new(12.0, TEXT);
    let middle = f64::midpoint(frame.left, frame.right);
    let below = (middle, frame.bottom + 31.0);
    canvas.text(&figure.x.label, below, name.at(HPos::Center))?;
    let mut upright = name.at(HPos::Center);
    upright.upright = true;
    let beside = (MARGIN + 6.0, f64::midpoint(frame.top, frame.bottom));
    canvas.text(&figure.y.label, beside, upright)
}

fn draw_series<B: DrawingBackend>(
    canvas: &Canvas<'_, B>,
    series: &Series,
    frame: &Frame,
) -> Result<(), PlotError> {
    let colour = palette::colour(series.colour);
    let places: Vec<Place> = series
        .points
        .iter()
        .map(|p| frame.place(p.x, p.y))
        .collect();
    match series.style {
        Style::Dots => {
            for place in places {
                canvas.disc(place, 1.5, colour, 0.35)?;
            }
            return Ok(());
        }
        Style::Marked => error_bars(canvas, series, frame)?,
        Style::Line | Style::Steps => band(canvas, series, frame)?,
    }
    let path = match series.style {
        Style::Steps => steps(&places),
        _ => places.clone(),
    };
    if path.len() > 1 {
        canvas.line(&path, colour, 1.8)?;
    }
    let every = match series.style {
        Style::Marked => 1,
        _ => places.len().div_ceil(8).max(1),
    };
    // The marks of two lines that lie on each other should not.
    let first = if every > 1 {
        (series.colour * every / 3 + every / 2) % every
    } else {
        0
    };
    for place in places.iter().skip(first).step_by(every) {
        mark(canvas, series.colour, *place)?;
    }
    Ok(())
}

fn steps(places: &[Place]) -> Vec<Place> {
    let mut path: Vec<Place> = Vec::with_capacity(places.len() * 2);
    for &(x, y) in places {
        if let Some(&(_, before)) = path.last() {
            path.push((x, before));
        }
        path.push((x, y));
    }
    path
}

fn error_bars<B: DrawingBackend>(
    canvas: &Canvas<'_, B>,
    series: &Series,
    frame: &Frame,
) -> Result<(), PlotError> {
    let colour = palette::colour(series.colour);
    for point in &series.points {
        let Some((low, high)) = point.interval else {
            continue;
        };
        let (x, from, to) = (frame.across(point.x), frame.up(low), frame.up(high));
        canvas.line(&[(x, from), (x, to)], colour, 1.2)?;
        for y in [from, to] {
            canvas.line(&[(x - 3.5, y), (x + 3.5, y)], colour, 1.2)?;
        }
    }
    Ok(())
}

fn band<B: DrawingBackend>(
    canvas: &Canvas<'_, B>,
    series: &Series,
    frame: &Frame,
) -> Result<(), PlotError> {
    let with_interval = || {
        let points = series.points.iter();
        points.filter_map(|p| p.interval.map(|interval| (p.x, interval)))
    };
    let mut edge: Vec<Place> = with_interval()
        .map(|(x, (_, high))| frame.place(x, frame.y.within(high)))
        .collect();
    let back: Vec<Place> = with_interval()
        .map(|(x, (low, _))| frame.place(x, frame.y.within(low)))
        .collect();
    edge.extend(back.into_iter().rev());
    if edge.len() < 4 {
        return Ok(());
    }
    canvas.polygon(&edge, palette::colour(series.colour), 0.2)
}
