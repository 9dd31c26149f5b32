//! Lengths of time as people write them in files: `"50ms"`, `"1h"`.

use shoal_proto::Span;

const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Reads a whole number with a unit: `us`, `ms`, `s`, `m`, `h` or `d`. None if it is something
/// else or does not fit.
#[must_use]
pub fn parse(text: &str) -> Option<Span> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, micros) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number
        .parse::<u64>()
        .ok()?
        .checked_mul(*micros)
        .map(Span::from_micros)
}

/// Writes a length of time with the largest unit that leaves a whole number.
#[must_use]
pub fn format(span: Span) -> String {
    let micros = span.as_micros();
    let fits = UNITS
        .iter()
        .find(|(_, unit)| micros != 0 && micros.is_multiple_of(*unit));
    fits.map_or_else(
        || "0s".to_owned(),
        |(name, unit)| format!("{}{name}", micros / unit),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip() {
        for text in ["50ms", "1h", "90s", "7d", "1us", "1500ms", "0s"] {
            assert_eq!(parse(text).map(format).as_deref(), Some(text));
        }
        assert_eq!(parse("60s").map(format).as_deref(), Some("1m"));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "50",
            "ms",
            "1.5s",
            "-1s",
            "1 s",
            "1S",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
