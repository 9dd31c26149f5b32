//! The marks of points: one shape for each series, beside its colour.

use plotters::prelude::DrawingBackend;

use super::PlotError;
use super::canvas::{Canvas, Place};
use super::palette;

/// How many shapes there are.
pub(super) const SHAPES: usize = 8;

/// The corners of a plus; turned, of a cross.
const PLUS: [Place; 12] = [
    (-1.3, -4.2),
    (1.3, -4.2),
    (1.3, -1.3),
    (4.2, -1.3),
    (4.2, 1.3),
    (1.3, 1.3),
    (1.3, 4.2),
    (-1.3, 4.2),
    (-1.3, 1.3),
    (-4.2, 1.3),
    (-4.2, -1.3),
    (-1.3, -1.3),
];

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
    // Eight shapes and seven colours: the first 56 series differ in one of them at least.
    let shape = match index % SHAPES {
        0 => return canvas.disc((x, y), 3.2, colour, 1.0),
        1 => corners(&[(-2.9, -2.9), (2.9, -2.9), (2.9, 2.9), (-2.9, 2.9)]),
        2 => corners(&[(0.0, -3.9), (3.7, 2.8), (-3.7, 2.8)]),
        3 => corners(&[(0.0, -4.2), (4.2, 0.0), (0.0, 4.2), (-4.2, 0.0)]),
        4 => corners(&[(0.0, 3.9), (3.7, -2.8), (-3.7, -2.8)]),
        5 => corners(&PLUS),
        6 => corners(&PLUS.map(|(dx, dy)| (0.75 * (dx - dy), 0.75 * (dx + dy)))),
        _ => corners(&[
            (-3.8, 0.0),
            (-1.9, -3.3),
            (1.9, -3.3),
            (3.8, 0.0),
            (1.9, 3.3),
            (-1.9, 3.3),
        ]),
    };
    canvas.polygon(&shape, colour, 1.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::SHAPES;
    use crate::plot::figure::MOST_SERIES;
    use crate::plot::palette::colour;

    #[test]
    fn no_two_series_look_alike() {
        let looks = (0..MOST_SERIES).map(|index| {
            let colour = colour(index);
            (index % SHAPES, colour.0, colour.1, colour.2)
        });
        assert_eq!(looks.collect::<BTreeSet<_>>().len(), MOST_SERIES);
        // Without colour too, as far as there are shapes.
        let (sixth, first) = (5 % SHAPES, 0);
        assert_ne!(sixth, first);
    }
}
