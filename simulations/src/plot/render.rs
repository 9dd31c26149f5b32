//! A figure as SVG and as PNG.
//!
//! The PNG is drawn here and not made of the SVG: `resvg` (0.45, with the same font) gives pictures that
//! look the same, but files of 2.5 to 3.1 times the bytes, for 28 more crates and two minutes more
//! of compiling; it would not save the lettering, whose widths the layout needs.

use std::fmt::Write as _;

use plotters::drawing::IntoDrawingArea;
use plotters::prelude::{BitMapBackend, DrawingBackend, SVGBackend};

use super::canvas::{Canvas, SCALE};
use super::layout::{self, HEIGHT, WIDTH};
use super::{Figure, PlotError};

/// Pixels of a PNG in a point, where nothing else is asked for: sharp on dense screens.
const PIXELS: u32 = 2;
/// Points in an inch, and inches in a metre.
const POINTS_PER_INCH: u32 = 72;
const INCHES_PER_METRE: f64 = 1.0 / 0.0254;

/// The pixels in an inch that a PNG may have, the usual one first.
pub const DENSITIES: [u32; 3] = [
    PIXELS * POINTS_PER_INCH,
    POINTS_PER_INCH,
    SCALE * POINTS_PER_INCH,
];

impl Figure {
    /// The figure as an SVG file, with its title and origin as text in it.
    ///
    /// # Errors
    /// [`PlotError::Nothing`], [`PlotError::TooManySeries`], [`PlotError::Drawing`].
    pub fn svg(&self) -> Result<String, PlotError> {
        let shown = self.shown()?;
        let (width, height) = units();
        let mut drawn = String::new();
        draw(
            SVGBackend::with_string(&mut drawn, (width, height)),
            &shown,
            true,
        )?;
        let (_, body) = drawn
            .split_once('\n')
            .ok_or_else(|| PlotError::Drawing("an empty drawing".to_owned()))?;
        let mut svg = format!(
            "<svg width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {width} {height}\" \
             xmlns=\"http://www.w3.org/2000/svg\">\n<title>{}</title>\n<desc>",
            escaped(&self.title)
        );
        for (key, value) in &self.metadata {
            // Writing to a String does not fail.
            let _ = writeln!(svg, "{}={}", escaped(key), escaped(value));
        }
        svg.push_str("</desc>\n");
        svg.push_str(body);
        Ok(svg)
    }

    /// The figure as a PNG file, 1440 by 900 pixels, with its title and origin as text in it, and its
    /// density, so that it is as large in print as the SVG: 10 by 6.25 inches.
    ///
    /// # Errors
    /// As [`Figure::svg`].
    pub fn png(&self) -> Result<Vec<u8>, PlotError> {
        self.png_of(PIXELS * POINTS_PER_INCH)
    }

    /// The same with so many pixels in an inch, one of [`DENSITIES`].
    ///
    /// # Errors
    /// As [`Figure::svg`], and [`PlotError::Drawing`] for another density.
    pub fn png_of(&self, density: u32) -> Result<Vec<u8>, PlotError> {
        if !DENSITIES.contains(&density) {
            let reason = format!("{density} dots per inch: must be one of {DENSITIES:?}");
            return Err(PlotError::Drawing(reason));
        }
        let pixels_per_point = density / POINTS_PER_INCH;
        let shown = self.shown()?;
        let (width, height) = units();
        let mut fine = vec![0; width as usize * height as usize * 3];
        let backend = BitMapBackend::with_buffer(&mut fine, (width, height));
        draw(backend, &shown, false)?;
        let factor = SCALE / pixels_per_point;
        let pixels = shrunk(&fine, width as usize, factor as usize);
        let size = (width / factor, height / factor);
        encoded(&pixels, size, density, self).map_err(|error| PlotError::Drawing(error.to_string()))
    }
}

/// The page in units of the drawing back end.
fn units() -> (u32, u32) {
    (WIDTH as u32 * SCALE, HEIGHT as u32 * SCALE)
}

fn draw<B: DrawingBackend>(backend: B, figure: &Figure, texts: bool) -> Result<(), PlotError> {
    let area = backend.into_drawing_area();
    layout::draw(&Canvas::new(&area, texts)?, figure)?;
    let presented = area.present();
    presented.map_err(|error| PlotError::Drawing(error.to_string()))
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}

/// Each pixel the mean of `factor` times `factor` of a finer picture: smooth edges.
fn shrunk(fine: &[u8], width: usize, factor: usize) -> Vec<u8> {
    let area = (factor * factor) as u32;
    let rows = fine.chunks_exact(width * 3 * factor);
    let mut pixels = Vec::with_capacity(fine.len() / (factor * factor));
    for band in rows {
        let mut sums = vec![0_u32; width * 3 / factor];
        for line in band.chunks_exact(width * 3) {
            for (pixel, sum) in line.chunks_exact(3 * factor).zip(sums.chunks_exact_mut(3)) {
                for (index, value) in pixel.iter().enumerate() {
                    if let Some(sum) = sum.get_mut(index % 3) {
                        *sum += u32::from(*value);
                    }
                }
            }
        }
        pixels.extend(sums.iter().map(|sum| ((sum + area / 2) / area) as u8));
    }
    pixels
}

fn encoded(
    pixels: &[u8],
    (width, height): (u32, u32),
    density: u32,
    figure: &Figure,
) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let per_metre = (f64::from(density) * INCHES_PER_METRE).round() as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_metre,
        yppu: per_metre,
        unit: png::Unit::Meter,
    }));
    encoder.add_itxt_chunk("Title".to_owned(), figure.title.clone())?;
    for (key, value) in &figure.metadata {
        let text = format!("{key}={value}");
        encoder.add_itxt_chunk("Source".to_owned(), text)?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}
