//! The marks of points: one shape for each series, beside its colour.

use plotters::prelude::DrawingBackend;

use super::PlotError;
use super::canvas::{Canvas, Place};
use super::palette;

/// Draws the mark of the series `index` at a place.
pub(super) fn mark<B: DrawingBackend>(
    canvas: &Canvas<'_, B>,
    index: usize,
    (x, y): Place,
) -> Result<(), PlotError> {
    let colour = palette::colour(index);
    let corners = |offsets: &[Place]| -> Vec<Place> {
        offsets.iter().map(|(dx, dy)| (x + dx, y + dy)).collect()
    };
    let shape = match index % 5 {
        0 => return canvas.disc((x, y), 3.2, colour, 1.0),
        1 => corners(&[(-2.9, -2.9), (2.9, -2.9), (2.9, 2.9), (-2.9, 2.9)]),
        2 => corners(&[(0.0, -3.9), (3.7, 2.8), (-3.7, 2.8)]),
        3 => corners(&[(0.0, -4.2), (4.2, 0.0), (0.0, 4.2), (-4.2, 0.0)]),
        _ => corners(&[(0.0, 3.9), (3.7, -2.8), (-3.7, -2.8)]),
    };
    canvas.polygon(&shape, colour, 1.0)
}
