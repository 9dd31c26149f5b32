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

/// Units of the metrics whose names begin so; their columns have no unit at the end.
const METRICS: [(&str, &str); 3] = [
    ("entropy_", "bits"),
    ("min_entropy_", "bits"),
    ("latency_", "s"),
];

/// A column's name as a label: `latency_s` is "latency (s)", and `latency_p99.real`, a metric,
/// "latency p99.real (s)".
#[must_use]
pub fn label(column: &str) -> String {
    let found = UNITS.iter().find_map(|(suffix, unit)| {
        let rest = column.strip_suffix(suffix)?;
        (!rest.is_empty()).then_some((rest, unit))
    });
    match found {
        Some((rest, unit)) => format!("{} ({unit})", rest.replace('_', " ")),
        None => {
            let name = column.replace('_', " ");
            let metric = METRICS.iter().find(|(start, _)| column.starts_with(start));
            metric.map_or(name.clone(), |(_, unit)| format!("{name} ({unit})"))
        }
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
        assert_eq!(label("latency_p99.real"), "latency p99.real (s)");
        assert_eq!(
            label("entropy_forward_users.gpa"),
            "entropy forward users.gpa (bits)"
        );
        assert_eq!(label("_s"), " s");
    }
}
