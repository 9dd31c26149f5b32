//! An invitation as a QR code in a terminal.

use qrcode::render::unicode::Dense1x2;
use qrcode::types::QrError;
use qrcode::{EcLevel, QrCode};

/// The rows of the code in half blocks, each of [`columns`]. Light on dark as terminals mostly are: readers take either.
///
/// # Errors
/// [`QrError`] if the text is longer than a code can be, which no invitation is.
pub fn in_blocks(invitation: &str) -> Result<Vec<String>, QrError> {
    // In capitals it takes fewer modules: they and digits have a denser form.
    let text = invitation.to_uppercase();
    let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::L)?;
    let image = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Dark)
        .light_color(Dense1x2::Light)
        .build();
    Ok(image.lines().map(str::to_owned).collect())
}

/// The columns of a code in these rows.
#[must_use]
pub fn columns(rows: &[String]) -> usize {
    rows.first().map_or(0, |row| row.chars().count())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// An invitation of the longest form, in capitals: version 10 at most, which every camera reads.
    #[test]
    fn the_longest_invitation_fits_a_terminal_of_66_columns() {
        let longest = format!("shoal:{}", "a7".repeat(187));
        let rows = in_blocks(&longest).unwrap();
        assert!((30..=33).contains(&rows.len()), "{}", rows.len());
        let wide = columns(&rows);
        assert!((61..=66).contains(&wide), "{wide}");
        assert!(rows.iter().all(|row| row.chars().count() == wide));
    }
}
