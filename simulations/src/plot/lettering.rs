//! Text: how wide it is, and its pixels.
//!
//! A bitmap gets its glyphs from Noto Sans (Apache-2.0) here, at their exact places; an SVG gets
//! text that can be searched and edited, in the viewer's own font.

use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};

use super::PlotError;

/// The one sign of figures that the font lacks: a smaller minus, higher up, in its place.
const RAISED_MINUS: char = '⁻';
/// Its size, of the minus.
const SMALL: f32 = 0.6;
/// How far up it is, in ems.
const RAISE: f32 = 0.27;

/// The two weights.
pub(super) struct Fonts {
    regular: FontRef<'static>,
    bold: FontRef<'static>,
}

impl Fonts {
    pub(super) fn new() -> Result<Self, PlotError> {
        let font = |bytes| {
            FontRef::try_from_slice(bytes).map_err(|error| PlotError::Drawing(error.to_string()))
        };
        Ok(Self {
            regular: font(ttf_noto_sans::REGULAR)?,
            bold: font(ttf_noto_sans::BOLD)?,
        })
    }

    /// The width of a text whose em has this size.
    pub(super) fn width(&self, text: &str, em: f64, bold: bool) -> f64 {
        self.glyphs(text, em, bold).1
    }

    /// Hands over how much of each pixel a text covers, from the start of its base line.
    pub(super) fn cover(
        &self,
        text: &str,
        em: f64,
        bold: bool,
        mut pixel: impl FnMut(i32, i32, f64) -> Result<(), PlotError>,
    ) -> Result<(), PlotError> {
        let font = self.font(bold);
        let (glyphs, _) = self.glyphs(text, em, bold);
        for outline in glyphs.into_iter().filter_map(|g| font.outline_glyph(g)) {
            let corner = outline.px_bounds().min;
            let mut covered = Vec::new();
            outline.draw(|x, y, share| {
                if share > 0.0 {
                    covered.push((x, y, share));
                }
            });
            for (x, y, share) in covered {
                let place = |from: f32, by: u32| (from as i32).saturating_add_unsigned(by);
                let share = f64::from(share).min(1.0);
                pixel(place(corner.x, x), place(corner.y, y), share)?;
            }
        }
        Ok(())
    }

    fn font(&self, bold: bool) -> &FontRef<'static> {
        if bold { &self.bold } else { &self.regular }
    }

    fn glyphs(&self, text: &str, em: f64, bold: bool) -> (Vec<Glyph>, f64) {
        let font = self.font(bold);
        let per_em = font.units_per_em().unwrap_or(1000.0);
        let scale = PxScale::from(em as f32 * font.height_unscaled() / per_em);
        let scaled = font.as_scaled(scale);
        let (mut glyphs, mut x) = (Vec::new(), 0.0);
        let mut before = None;
        for letter in text.chars() {
            if letter == RAISED_MINUS {
                let id = font.glyph_id('−');
                let small = PxScale::from(scale.x * SMALL);
                let up = em as f32 * RAISE;
                glyphs.push(id.with_scale_and_position(small, point(x, -up)));
                x += scaled.h_advance(id) * SMALL;
                before = None;
                continue;
            }
            let id = font.glyph_id(letter);
            if let Some(before) = before {
                x += scaled.kern(before, id);
            }
            glyphs.push(id.with_scale_and_position(scale, point(x, 0.0)));
            x += scaled.h_advance(id);
            before = Some(id);
        }
        (glyphs, f64::from(x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sign_of_a_figure_has_a_glyph() {
        let fonts = Fonts::new().unwrap();
        for letter in "aZ09 ·…−×⁰¹²³⁴⁵⁶⁷⁸⁹µλρéß%()".chars().filter(|c| *c != ' ')
        {
            assert_ne!(fonts.regular.glyph_id(letter).0, 0, "{letter}");
            assert_ne!(fonts.bold.glyph_id(letter).0, 0, "{letter}");
        }
    }

    #[test]
    fn the_minus_of_a_power_is_drawn() {
        let fonts = Fonts::new().unwrap();
        let mut lowest = i32::MIN;
        let pixel = |_, y, _| {
            lowest = lowest.max(y);
            Ok(())
        };
        fonts.cover("⁻", 40.0, false, pixel).unwrap();
        assert!((-30..-14).contains(&lowest), "{lowest}");
    }

    #[test]
    fn a_longer_text_is_wider() {
        let fonts = Fonts::new().unwrap();
        let narrow = fonts.width("entropy", 11.0, false);
        assert!(fonts.width("entropy (bits)", 11.0, false) > narrow);
        assert!((fonts.width("entropy", 22.0, false) / narrow - 2.0).abs() < 1e-3);
        assert!(narrow > 30.0 && narrow < 60.0, "{narrow}");
    }
}
