//! What an axis is called, from a column's name.

/// Units at the end of a column's name.
const UNITS: [(&str, &str); 9] = [
    ("_packets_per_s", "packets/s"),
    ("_bytes_per_s", "bytes/s"),
    ("_per_s", "1/s"),
    ("_bits", "bits"),
    ("_bytes", "bytes"),
    ("_ms", "ms"),
    ("_days", "days"),
    ("_share", "share"),
    ("_s", "s"),
];

/// A column's name as a label: `latency_s` is "latency (s)".
#[must_use]
pub fn label(column: &str) -> String {
    let found = UNITS.iter().find_map(|(suffix, unit)| {
        let rest = column.strip_suffix(suffix)?;
        (!rest.is_empty()).then_some((rest, unit))
    });
    match found {
        Some((rest, unit)) => format!("{} ({unit})", rest.replace('_', " ")),
        None => column.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_apart() {
        assert_eq!(label("latency_s"), "latency (s)");
        assert_eq!(label("user_entropy_bits"), "user entropy (bits)");
        assert_eq!(label("rates.real_per_s"), "rates.real (1/s)");
        assert_eq!(label("layers"), "layers");
        assert_eq!(label("_s"), " s");
    }
}
