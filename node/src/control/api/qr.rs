//! A QR code, for a face that draws it.

use qrcode::{Color, EcLevel, QrCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::protocol::{Refusal, RefusalCode};
use super::super::wire::{Given, Json};

/// What is to be in a QR code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QrText {
    /// A text of 2,953 bytes at most. In capitals an invitation takes fewer modules.
    text: String,
}

/// A QR code, without the light margin of four modules that it needs.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct QrModules {
    /// Its rows from the top, a character for each module: `1` is dark, `0` light.
    rows: Vec<String>,
}

/// A QR code of a text, as its modules. Nothing is kept.
#[utoipa::path(post, path = "/v1/qr", tag = "people", request_body = QrText, responses(
    (status = 200, description = "It", body = QrModules),
    (status = 422, description = "The text is too long", body = Refusal)))]
pub(super) async fn qr(Given(QrText { text }): Given<QrText>) -> Result<Json<QrModules>, Refusal> {
    modules(&text).map(Json)
}

fn modules(text: &str) -> Result<QrModules, Refusal> {
    let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::L);
    let code = code.map_err(|error| {
        let words = format!("no QR code of this text: {error}");
        Refusal::new(RefusalCode::Invalid, words)
    })?;
    let colors = code.to_colors();
    let rows = colors.chunks(code.width()).map(|row| {
        let module = |color: &Color| color.select('1', '0');
        row.iter().map(module).collect()
    });
    Ok(QrModules {
        rows: rows.collect(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_invitation_in_capitals_is_a_square_with_its_three_corners() {
        let longest = format!("SHOAL:{}", "A7".repeat(187));
        let QrModules { rows } = modules(&longest).unwrap();
        assert_eq!(rows.len(), 57);
        assert!(rows.iter().all(|row| row.len() == 57));
        assert!(rows[0].starts_with("11111110") && rows[0].ends_with("01111111"));
        assert!(rows[56].starts_with("11111110") && !rows[56].ends_with("01111111"));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(modules(&"x".repeat(2_953)).is_ok());
        let refused = modules(&"x".repeat(2_954)).unwrap_err();
        assert_eq!(refused.code, RefusalCode::Invalid);
    }
}
