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

/// Keys of scenarios as sweeps name them, without the class or adversary that they are of: in words,
/// and their unit.
const KEYS: [(&str, &str, &str); 33] = [
    ("delay.mixes.mean", "mean delay at a mix", "s"),
    ("delay.mixes.shape", "shape of the delay at a mix", ""),
    (
        "delay.mixes.deviation",
        "deviation of the delay at a mix",
        "s",
    ),
    ("delay.mixes.min", "least delay at a mix", "s"),
    ("delay.mixes.max", "longest delay at a mix", "s"),
    ("delay.providers.mean", "mean delay at a provider", "s"),
    ("links.delay", "delay of a link", "s"),
    ("links.delay.mean", "mean delay of a link", "s"),
    ("links.base", "least delay of a link", "s"),
    ("links.loss", "share of packets that a link loses", ""),
    ("topology.layers", "layers", ""),
    ("topology.width", "mixes in a layer", ""),
    ("topology.hops", "mixes on a path", ""),
    ("topology.providers", "providers", ""),
    ("mixes.loop_rate", "loops of a mix", "1/s"),
    ("mixes.capacity", "capacity of a mix", "packets/s"),
    ("mixes.queue", "queue of a mix", "packets"),
    ("run.warm_up", "warm-up", "s"),
    ("run.measure", "measurement", "s"),
    ("run.drain", "drain", "s"),
    ("targets.max_alive", "targets at a time", ""),
    ("clients.count", "clients", ""),
    ("clients.rates.real", "real packets of a client", "1/s"),
    ("clients.rates.loop", "loops of a client", "1/s"),
    ("clients.rates.drop", "drops of a client", "1/s"),
    ("clients.workload.rate", "messages of a client", "1/s"),
    ("clients.receivers.count", "contacts of a client", ""),
    ("clients.churn.online", "mean time online", "s"),
    ("clients.churn.offline", "mean time offline", "s"),
    ("adversaries.corrupt_mixes.count", "corrupt mixes", ""),
    (
        "adversaries.corrupt_mixes.share",
        "corrupt share of the mixes",
        "",
    ),
    ("adversaries.corrupt_providers", "corrupt providers", ""),
    ("adversaries.drops", "share of packets that are dropped", ""),
];

/// How the names of metrics begin, in words, and their unit.
const MEASURES: [(&str, &str, &str); 14] = [
    ("entropy_p5_", "5th percentile of the entropy", "bits"),
    ("entropy_", "mean entropy", "bits"),
    (
        "min_entropy_p5_",
        "5th percentile of the min-entropy",
        "bits",
    ),
    ("min_entropy_least_", "least min-entropy", "bits"),
    ("min_entropy_", "mean min-entropy", "bits"),
    (
        "latency_with_buffer_mean.",
        "mean latency with the wait in the buffer,",
        "s",
    ),
    ("latency_mean.", "mean latency,", "s"),
    (
        "latency_deviation.",
        "standard deviation of the latency,",
        "s",
    ),
    ("epsilon.", "epsilon of clients", ""),
    ("delivered.", "share delivered,", ""),
    ("lost.", "share lost,", ""),
    (
        "bytes_per_message.",
        "bytes per message delivered,",
        "bytes",
    ),
    (
        "packets_per_message.",
        "packets per message delivered,",
        "packets",
    ),
    (
        "largest_probability_",
        "mean of the largest probability",
        "",
    ),
];

/// A column's name as a label: `latency_s` is "latency (s)"; a key of a scenario or a metric is put
/// into words.
#[must_use]
pub fn label(column: &str) -> String {
    if let Some(label) = of_key(column).or_else(|| of_metric(column)) {
        return label;
    }
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

fn with_unit(words: &str, unit: &str) -> String {
    if unit.is_empty() {
        words.to_owned()
    } else {
        format!("{words} ({unit})")
    }
}

/// A key path of a scenario in words; `clients.NAME.` and `clients[0].` say whose it is.
fn of_key(path: &str) -> Option<String> {
    let (list, rest) = path.split_once(['.', '['])?;
    let (key, whose) = match list {
        "clients" | "adversaries" => {
            let (name, rest) = rest.split_once('.')?;
            let name = match name.strip_suffix(']') {
                Some(number) => format!("number {number}"),
                None => name.to_owned(),
            };
            (format!("{list}.{rest}"), Some(name))
        }
        _ => (path.to_owned(), None),
    };
    let (_, words, unit) = KEYS.iter().find(|(known, ..)| *known == key)?;
    let label = with_unit(words, unit);
    Some(match whose {
        Some(name) => format!("{label}, {name}"),
        None => label,
    })
}

/// A metric of a run in words: `entropy_forward_users.gpa` is "mean entropy over receivers (bits), gpa".
fn of_metric(column: &str) -> Option<String> {
    let quantile = column.strip_prefix("latency_p").and_then(|rest| {
        let (percent, kind) = rest.rsplit_once('.')?;
        percent.parse::<f64>().ok()?;
        let of = words_of(kind);
        Some(format!("{percent}% quantile of the latency, {of} (s)"))
    });
    if quantile.is_some() {
        return quantile;
    }
    // A column of targets' own values.
    if column.ends_with("_bits") {
        return None;
    }
    let (start, words, unit) = MEASURES
        .iter()
        .find(|(start, ..)| column.starts_with(start))?;
    let rest = column.strip_prefix(start)?;
    let (what, adversary) = match rest.split_once('.') {
        Some((what, adversary)) => (what, format!(", {adversary}")),
        None => (rest, String::new()),
    };
    let over = match what {
        "forward_messages" => "over messages".to_owned(),
        "forward_users" => "over receivers".to_owned(),
        "backward_messages" => "over messages, backward".to_owned(),
        "backward_users" => "over senders".to_owned(),
        kind => words_of(kind),
    };
    Some(with_unit(&format!("{words} {over}"), unit) + &adversary)
}

/// A kind of traffic, or a pair of clients.
fn words_of(kind: &str) -> String {
    match kind {
        "real" => "messages".to_owned(),
        "dummy" => "dummies".to_owned(),
        "loop" => "loops".to_owned(),
        "drop" => "drops".to_owned(),
        "mix_loop" => "loops of mixes".to_owned(),
        "all" => "all packets".to_owned(),
        pair => pair.replace('_', " and "),
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
        assert_eq!(label("latency_odd.real"), "latency odd.real (s)");
        assert_eq!(label("_s"), " s");
    }

    #[test]
    fn keys_and_metrics_are_put_into_words() {
        for (name, words) in [
            ("delay.mixes.mean", "mean delay at a mix (s)"),
            (
                "clients.users.rates.real",
                "real packets of a client (1/s), users",
            ),
            ("clients[0].count", "clients, number 0"),
            (
                "adversaries.gpa.corrupt_mixes.share",
                "corrupt share of the mixes, gpa",
            ),
            ("topology.width", "mixes in a layer"),
            ("metrics.fifo.rate", "metrics.fifo.rate"),
            (
                "latency_p99.real",
                "99% quantile of the latency, messages (s)",
            ),
            ("latency_mean.loop", "mean latency, loops (s)"),
            (
                "entropy_forward_users.gpa",
                "mean entropy over receivers (bits), gpa",
            ),
            (
                "min_entropy_p5_forward_messages.a",
                "5th percentile of the min-entropy over messages (bits), a",
            ),
            ("epsilon.0_1.gpa", "epsilon of clients 0 and 1, gpa"),
            ("delivered.real", "share delivered, messages"),
        ] {
            assert_eq!(label(name), words);
        }
    }
}
