//! An invitation as a QR code in a terminal.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use shoal_node::Failure;

/// Light modules around the code, on each side.
const MARGIN: usize = 4;

/// The code in half blocks, with an empty line behind it; nothing if the terminal is not as wide, with a word why.
/// Light on dark as terminals mostly are: readers take either.
pub(super) fn in_blocks(invitation: &str, width: Option<usize>) -> Result<String, Failure> {
    // In capitals it takes fewer modules: they and digits have a denser form.
    let text = invitation.to_uppercase();
    let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::L);
    let code = code.map_err(Failure::failed)?;
    let wide = code.width() + 2 * MARGIN;
    if width.is_some_and(|width| width < wide) {
        crate::cli::output::note(&format!(
            "a terminal of {wide} columns shows the QR code: widen it, or pass the link on"
        ));
        return Ok(String::new());
    }
    let image = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Dark)
        .light_color(Dense1x2::Light)
        .build();
    Ok(format!("{image}\n\n"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// An invitation of the longest form, in capitals: version 10 at most, which every camera reads.
    #[test]
    fn the_longest_invitation_fits_a_terminal_of_66_columns() {
        let longest = format!("shoal:{}", "a7".repeat(187));
        let code = in_blocks(&longest, Some(66)).unwrap();
        let lines: Vec<&str> = code.trim_end().lines().collect();
        assert!((30..=33).contains(&lines.len()), "{}", lines.len());
        assert!(lines.iter().all(|line| line.chars().count() <= 66));
        assert_eq!(in_blocks(&longest, Some(60)).unwrap(), "");
    }
}
