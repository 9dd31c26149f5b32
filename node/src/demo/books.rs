//! The nodes' metrics, read as an operator's Prometheus would read them.

use std::collections::BTreeMap;

/// What the nodes call what is read here.
mod names {
    pub(super) const RECEIVED: &str = "shoal_mix_received_packets_total";
    pub(super) const FORWARDED: &str = "shoal_mix_forwarded_packets_total";
    pub(super) const DELIVERED: &str = "shoal_mix_delivered_packets_total";
    pub(super) const LOOPS_RETURNED: &str = "shoal_mix_loops_returned_packets_total";
    pub(super) const DROPPED: &str = "shoal_mix_dropped_packets_total";
    pub(super) const INSIDE: &str = "shoal_mix_inside_packets";
    pub(super) const ORIGINATED: &str = "shoal_mix_originated_packets_total";
    pub(super) const PROVIDER_DROPPED: &str = "shoal_provider_dropped_packets_total";

    /// What the provider role answers and streams, by kind.
    pub(super) const PROVIDER_REPLIES: [(&str, &str); 6] = [
        ("receipt_stored", "shoal_provider_stored_receipts_total"),
        ("receipt_refused", "shoal_provider_refused_receipts_total"),
        ("dummy", "shoal_provider_dummy_replies_total"),
        ("late", "shoal_provider_late_replies_total"),
        (
            "stream_entry",
            "shoal_provider_stream_entries_packets_total",
        ),
        ("stream_idle", "shoal_provider_stream_idle_packets_total"),
    ];
    /// What entries send to clients, by kind.
    pub(super) const PROVIDER_DOWNLINK: [(&str, &str); 3] = [
        ("payload", "shoal_provider_downlink_payload_frames_total"),
        ("notice", "shoal_provider_downlink_notice_frames_total"),
        ("filler", "shoal_provider_downlink_filler_frames_total"),
    ];

    /// All of them.
    #[cfg(test)]
    pub(super) fn all() -> impl Iterator<Item = &'static str> {
        let by_kind = PROVIDER_REPLIES.into_iter().chain(PROVIDER_DOWNLINK);
        [
            RECEIVED,
            FORWARDED,
            DELIVERED,
            LOOPS_RETURNED,
            DROPPED,
            INSIDE,
            ORIGINATED,
            PROVIDER_DROPPED,
        ]
        .into_iter()
        .chain(by_kind.map(|(_, name)| name))
    }
}

/// A metric's name and labels.
type Key = (String, BTreeMap<String, String>);

/// One node's samples.
type Samples = BTreeMap<Key, f64>;

/// The metrics of all nodes.
#[derive(Default)]
pub(super) struct Books {
    nodes: BTreeMap<String, Samples>,
}

impl Books {
    /// Takes a node's page.
    pub(super) fn add(&mut self, node: &str, page: &str) {
        self.nodes
            .insert(node.to_owned(), page.lines().filter_map(sample).collect());
    }

    /// The parts of the equation that every node's packets obey, summed over all nodes.
    pub(super) fn totals(&self) -> BTreeMap<&'static str, u64> {
        let mut totals = BTreeMap::new();
        for samples in self.nodes.values() {
            for (part, count) in parts(samples) {
                *totals.entry(part).or_default() += count;
            }
        }
        totals
    }

    /// Whether received = forwarded + delivered + loops returned + dropped + inside, at each node.
    pub(super) fn balanced(&self) -> bool {
        !self.nodes.is_empty()
            && self.nodes.values().all(|samples| {
                let parts = parts(samples);
                let part = |name: &str| parts.get(name).copied().unwrap_or(0);
                let accounted = part("forwarded")
                    + part("delivered")
                    + part("loops_returned")
                    + part("dropped")
                    + part("inside");
                part("received") > 0 && part("received") == accounted
            })
    }

    /// Dropped packets of all nodes by reason; reasons that never occurred are left out.
    pub(super) fn drops_by_reason(&self) -> BTreeMap<String, u64> {
        let mut drops = self.by_label(names::DROPPED, "reason");
        for (reason, count) in self.by_label(names::PROVIDER_DROPPED, "reason") {
            *drops.entry(reason).or_default() += count;
        }
        drops.retain(|_, count| *count > 0);
        drops
    }

    /// What nodes sent on their own account, by kind.
    pub(super) fn sent_by_kind(&self) -> BTreeMap<String, u64> {
        let own = self.by_label(names::ORIGINATED, "kind");
        let mut sent = BTreeMap::new();
        sent.insert(
            "node_loop".to_owned(),
            own.get("loop").copied().unwrap_or(0),
        );
        for (kind, name) in names::PROVIDER_REPLIES {
            sent.insert(format!("provider_{kind}"), self.total(name));
        }
        sent
    }

    /// Frames that entry providers sent to their clients, by kind: one a tick, full or filler.
    pub(super) fn downlink_by_kind(&self) -> BTreeMap<String, u64> {
        let by_kind = names::PROVIDER_DOWNLINK.into_iter();
        by_kind
            .map(|(kind, name)| (kind.to_owned(), self.total(name)))
            .collect()
    }

    fn total(&self, name: &str) -> u64 {
        self.nodes.values().map(|samples| sum(samples, name)).sum()
    }

    fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for ((metric, labels), value) in self.nodes.values().flatten() {
            if metric == name
                && let Some(label) = labels.get(label)
            {
                *counts.entry(label.clone()).or_default() += whole(*value);
            }
        }
        counts
    }
}

fn parts(samples: &Samples) -> BTreeMap<&'static str, u64> {
    [
        ("received", names::RECEIVED),
        ("forwarded", names::FORWARDED),
        ("delivered", names::DELIVERED),
        ("loops_returned", names::LOOPS_RETURNED),
        ("dropped", names::DROPPED),
        ("inside", names::INSIDE),
    ]
    .into_iter()
    .map(|(part, name)| (part, sum(samples, name)))
    .collect()
}

fn sum(samples: &Samples, name: &str) -> u64 {
    samples
        .iter()
        .filter(|((metric, _), _)| metric == name)
        .map(|(_, value)| whole(*value))
        .sum()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counters are whole and far below 2^53; `as` saturates"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

/// One line of the text format: `name{label="value",…} number`.
fn sample(line: &str) -> Option<(Key, f64)> {
    if line.starts_with('#') {
        return None;
    }
    let (key, value) = line.rsplit_once(' ')?;
    let (name, labels) = match key.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (key, ""),
    };
    let label = |text: &str| {
        let (name, value) = text.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('"').to_owned()))
    };
    let labels = labels.split(',').filter_map(label).collect();
    Some(((name.to_owned(), labels), value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(received: u64) -> String {
        format!(
            "# HELP x y\n{} {received}\n{} 5\n{} 2\n{}{{reason=\"mac\"}} 2\n{}{{stage=\"pooled\"}} 1\n",
            names::RECEIVED,
            names::FORWARDED,
            names::DELIVERED,
            names::DROPPED,
            names::INSIDE,
        )
    }

    #[test]
    fn what_is_read_is_declared() {
        for name in names::all() {
            let mut declared = crate::metrics::declared();
            assert!(declared.any(|metric| metric.name == name), "{name}");
        }
    }

    #[test]
    fn a_packet_that_is_missing_shows() {
        let mut books = Books::default();
        assert!(!books.balanced(), "nothing is no proof");
        books.add("a", &page(10));
        assert!(books.balanced());
        assert_eq!(
            books.drops_by_reason(),
            BTreeMap::from([("mac".to_owned(), 2)])
        );
        assert_eq!(books.totals().get("received"), Some(&10));
        books.add("b", &page(11));
        assert!(!books.balanced());
    }
}
