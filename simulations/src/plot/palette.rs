//! Colours: Okabe and Ito, "Color Universal Design" (2008), without the yellow that white swallows.

use plotters::style::RGBColor;

/// Of the series, in order.
const SERIES: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(60, 60, 60),
];

/// The colour of a series.
pub(super) fn colour(index: usize) -> RGBColor {
    let [first, ..] = SERIES;
    SERIES.get(index % SERIES.len()).copied().unwrap_or(first)
}

/// Of text.
pub(super) const TEXT: RGBColor = RGBColor(34, 34, 34);
/// Of notes and the origin.
pub(super) const FAINT_TEXT: RGBColor = RGBColor(110, 110, 110);
/// Of the axes.
pub(super) const AXIS: RGBColor = RGBColor(80, 80, 80);
/// Of the grid.
pub(super) const GRID: RGBColor = RGBColor(228, 228, 228);
/// Of the grid between the labels.
pub(super) const MINOR_GRID: RGBColor = RGBColor(243, 243, 243);
