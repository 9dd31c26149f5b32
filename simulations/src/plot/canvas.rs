//! A page to draw on, in points of which each is [`SCALE`] units of the drawing back end, so that
//! what back ends place at whole units is placed exactly enough.

use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontDesc, FontFamily, FontStyle, FontTransform, RGBColor, ShapeStyle, TextStyle,
};

use super::PlotError;
use super::lettering::Fonts;

/// Units of the back end in a point.
pub(super) const SCALE: u32 = 4;

/// The height of capitals in ems.
const CAPITALS: f64 = 0.714;

/// How far below its place the back end for SVG puts the base line of a text, in ems.
const TOP: f64 = 0.76;

/// A place in points from the upper left corner.
pub(super) type Place = (f64, f64);

pub(super) struct Canvas<'a, B: DrawingBackend> {
    area: &'a DrawingArea<B, Shift>,
    fonts: Fonts,
    /// Whether text is given to the back end as text, rather than drawn.
    texts: bool,
}

/// A text's look, and where it stands by its place.
#[derive(Clone, Copy)]
pub(super) struct Lettering {
    /// The em in points.
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) colour: RGBColor,
    pub(super) across: HPos,
    /// From bottom to top.
    pub(super) upright: bool,
}

impl Lettering {
    pub(super) fn new(size: f64, colour: RGBColor) -> Self {
        Self {
            size,
            bold: false,
            colour,
            across: HPos::Left,
            upright: false,
        }
    }

    pub(super) fn at(self, across: HPos) -> Self {
        Self { across, ..self }
    }
}

impl<'a, B: DrawingBackend> Canvas<'a, B> {
    pub(super) fn new(area: &'a DrawingArea<B, Shift>, texts: bool) -> Result<Self, PlotError> {
        let fonts = Fonts::new()?;
        Ok(Self { area, fonts, texts })
    }

    pub(super) fn line(
        &self,
        points: &[Place],
        colour: RGBColor,
        width: f64,
    ) -> Result<(), PlotError> {
        let style = ShapeStyle {
            color: colour.to_rgba(),
            filled: false,
            stroke_width: units(width).max(1).unsigned_abs(),
        };
        let path: Vec<_> = points.iter().map(|p| place(*p)).collect();
        self.draw(&PathElement::new(path, style))
    }

    pub(super) fn polygon(
        &self,
        corners: &[Place],
        colour: RGBColor,
        opacity: f64,
    ) -> Result<(), PlotError> {
        let path: Vec<_> = corners.iter().map(|p| place(*p)).collect();
        self.draw(&Polygon::new(path, colour.mix(opacity).filled()))
    }

    pub(super) fn rectangle(
        &self,
        from: Place,
        to: Place,
        colour: RGBColor,
    ) -> Result<(), PlotError> {
        self.draw(&Rectangle::new([place(from), place(to)], colour.filled()))
    }

    pub(super) fn disc(
        &self,
        centre: Place,
        radius: f64,
        colour: RGBColor,
        opacity: f64,
    ) -> Result<(), PlotError> {
        let style = colour.mix(opacity).filled();
        self.draw(&Circle::new(place(centre), units(radius), style))
    }

    /// Writes a text whose middle, from the base line to the capitals' height, is at a place.
    pub(super) fn text(&self, text: &str, (x, y): Place, look: Lettering) -> Result<(), PlotError> {
        let down = look.size * CAPITALS / 2.0;
        let base = if look.upright {
            (x + down, y)
        } else {
            (x, y + down)
        };
        if self.texts {
            self.give_text(text, base, look)
        } else {
            self.draw_text(text, base, look)
        }
    }

    fn give_text(&self, text: &str, (x, y): Place, look: Lettering) -> Result<(), PlotError> {
        let weight = if look.bold {
            FontStyle::Bold
        } else {
            FontStyle::Normal
        };
        // The back end divides the size by this to get the em.
        let size = look.size * 1.24 * f64::from(SCALE);
        let font = FontDesc::new(FontFamily::SansSerif, size, weight);
        let up = look.size * TOP;
        let (font, at) = if look.upright {
            (font.transform(FontTransform::Rotate270), (x - up, y))
        } else {
            (font, (x, y - up))
        };
        let style = TextStyle {
            font,
            color: look.colour.to_backend_color(),
            pos: Pos::new(look.across, VPos::Top),
        };
        self.draw(&Text::new(text.to_owned(), place(at), style))
    }

    fn draw_text(&self, text: &str, at: Place, look: Lettering) -> Result<(), PlotError> {
        let em = look.size * f64::from(SCALE);
        let width = self.fonts.width(text, em, look.bold);
        let back = match look.across {
            HPos::Left => 0.0,
            HPos::Center => width / 2.0,
            HPos::Right => width,
        };
        let back = back.round() as i32;
        let (x, y) = place(at);
        self.fonts.cover(text, em, look.bold, |right, down, share| {
            let (right, colour) = (right - back, look.colour.mix(share));
            let pixel = if look.upright {
                (x + down, y - right)
            } else {
                (x + right, y + down)
            };
            let drawn = self.area.draw_pixel(pixel, &colour);
            drawn.map_err(|error| PlotError::Drawing(error.to_string()))
        })
    }

    /// The width of a text in points.
    pub(super) fn width(&self, text: &str, look: Lettering) -> f64 {
        self.fonts.width(text, look.size, look.bold)
    }

    fn draw<'e, E>(&self, element: &'e E) -> Result<(), PlotError>
    where
        &'e E: plotters::element::PointCollection<'e, (i32, i32)>,
        E: plotters::element::Drawable<B>,
    {
        let drawn = self.area.draw(element);
        drawn.map_err(|error| PlotError::Drawing(error.to_string()))
    }
}

fn place((x, y): Place) -> (i32, i32) {
    (units(x), units(y))
}

fn units(points: f64) -> i32 {
    // Pages are a few thousand units wide; `as` saturates.
    (points * f64::from(SCALE)).round() as i32
}
