//! Declarations of crates that do not declare their counters themselves.

use std::collections::BTreeMap;

use shoal_mix::{DropReason, OwnKind, Snapshot, Stage};
use shoal_proto::{Metric, MetricKind, Sample};
use shoal_topology::DirectoryCounters;

macro_rules! metrics {
    ($($name:ident = $text:literal, $kind:ident, $unit:literal, $label:expr, $values:expr, $help:literal;)*) => {
        $(pub(super) static $name: Metric = Metric {
            name: $text,
            kind: MetricKind::$kind,
            unit: $unit,
            label: $label,
            values: $values,
            help: $help,
            advice: "",
        };)*

        /// All of them.
        pub(super) static METRICS: &[&Metric] = &[$(&$name),*];
    };
}

/// The names of a bounded set, as values of a label.
macro_rules! named {
    ($type:ty) => {{
        const NAMES: [(&str, &str); <$type>::ALL.len()] = {
            let mut names = [("", ""); <$type>::ALL.len()];
            let mut at = 0;
            while at < names.len() {
                names[at].0 = <$type>::ALL[at].as_str();
                at += 1;
            }
            names
        };
        &NAMES
    }};
}

/// The names of fields as values of a label, and their numbers.
macro_rules! table {
    ($values:ident, fn $function:ident($type:ty): $($field:ident),* $(,)?) => {
        const $values: &[(&str, &str)] = &[$((stringify!($field), "")),*];

        fn $function(counters: &$type) -> Vec<(&'static str, u64)> {
            vec![$((stringify!($field), counters.$field)),*]
        }
    };
}

/// Why descriptors are refused.
const REFUSALS: &[(&str, &str)] = &[
    ("size", ""),
    ("malformed", ""),
    ("identity", ""),
    ("signature", ""),
    ("issued_in_future", ""),
    ("expired", ""),
    ("lifetime", ""),
    ("key_epochs", ""),
    ("keys", ""),
    ("role", ""),
    ("address_count", ""),
    ("address", ""),
    ("versions", ""),
    ("family", ""),
    ("admission", ""),
];

metrics! {
    RECEIVED = "shoal_mix_received_packets_total", Counter, "packets", None, &[],
        "Frames that came in, well-formed or not.";
    FORWARDED = "shoal_mix_forwarded_packets_total", Counter, "packets", None, &[],
        "Packets handed to the link to their next hop.";
    DELIVERED = "shoal_mix_delivered_packets_total", Counter, "packets", None, &[],
        "Packets that ended here and went to the provider role.";
    LOOPS_RETURNED = "shoal_mix_loops_returned_packets_total", Counter, "packets", None, &[],
        "Own loops that came back.";
    LOOPS_LOST = "shoal_mix_loops_lost_packets_total", Counter, "packets", None, &[],
        "Own loops that did not come back in time.";
    LATE = "shoal_mix_late_packets_total", Counter, "packets", None, &[],
        "Packets that left later after their moment than the limit for lateness allows.";
    DROPPED = "shoal_mix_dropped_packets_total", Counter, "packets", Some("reason"), named!(DropReason),
        "Received packets that were dropped, by reason.";
    INSIDE = "shoal_mix_inside_packets", Gauge, "packets", Some("stage"), named!(Stage),
        "Packets inside now, by where they are.";
    ORIGINATED = "shoal_mix_originated_packets_total", Counter, "packets", Some("kind"), named!(OwnKind),
        "Packets that the node made itself, by kind.";
    OWN_SENT = "shoal_mix_own_sent_packets_total", Counter, "packets", Some("kind"), named!(OwnKind),
        "Packets of the node's own that were handed to a link, by kind.";
    OWN_DROPPED = "shoal_mix_own_dropped_packets_total", Counter, "packets", Some("kind"), named!(OwnKind),
        "Packets of the node's own that no link took, by kind.";
    OWN_DEPARTING = "shoal_mix_own_departing_packets", Gauge, "packets", Some("kind"), named!(OwnKind),
        "Packets of the node's own that wait for a link now, by kind.";
    LOOP_RATIO = "shoal_mix_loops_return_ratio", Gauge, "ratio", None, &[],
        "Of the last own loops, the part that came back: 0 to 1.";
    EXCESS = "shoal_mix_delay_excess_seconds", Histogram, "seconds", None, &[],
        "How much later than at their moment packets left the delay pool.";
    PROVIDER_DROPPED = "shoal_provider_dropped_packets_total", Counter, "packets", Some("reason"), named!(shoal_provider::DropReason),
        "Packets that were delivered to the provider role and dropped by it, by reason.";
    PROVIDER_REPLIES = "shoal_provider_replies_packets_total", Counter, "packets", Some("kind"),
        &[("receipt_stored", ""), ("receipt_refused", ""), ("dummy", ""), ("late", ""), ("stream_entry", ""), ("stream_idle", "")],
        "Packets of the provider role against reply blocks, by kind: receipts, dummies, stream.";
    PROVIDER_DOWNLINK = "shoal_provider_downlink_packets_total", Counter, "packets", Some("kind"),
        &[("payload", ""), ("filler", "")],
        "Frames to attached clients, by kind: payload or filler.";
    PROVIDER_EVENTS = "shoal_provider_events_total", Counter, "events", Some("event"), PROVIDER_EVENT_NAMES,
        "What the provider role did, by event.";
    PROVIDER_LEVELS = "shoal_provider_held_items", Gauge, "items", Some("item"), PROVIDER_LEVEL_NAMES,
        "What the provider role holds now, by item.";
    DESCRIPTORS_REFUSED = "shoal_topology_refused_descriptors_total", Counter, "descriptors", Some("reason"), REFUSALS,
        "Descriptors of others that were refused, by reason.";
    DIRECTORY_EVENTS = "shoal_topology_directory_events_total", Counter, "events", Some("event"), DIRECTORY_NAMES,
        "What the directory's state machine did, by event.";
    CLIENT_EVENTS = "shoal_client_events_total", Counter, "events", Some("event"), CLIENT_EVENT_NAMES,
        "What the client did and saw, by event: packets sent by kind, answers, losses, messages.";
    CLIENT_LEVELS = "shoal_client_held_items", Gauge, "items", Some("item"), CLIENT_LEVEL_NAMES,
        "What the client holds now, by item.";
}
shoal_proto::counters! {
    /// Where a node stands.
    pub struct NodeFigures("node") {
        /// The epoch now.
        epoch: gauge "number", "If nodes differ for longer than a moment, look at their clocks.";
        /// Members of the document in force.
        members: gauge "nodes", "0 means that there is no document: look at the clock and at the connections to other nodes.";
        /// Failed writes of the replay log; packets are dropped until it works again.
        replay_log: counter "failures", "Look at the disk of the state directory, and at the log.";
    }
}

table! {
    PROVIDER_EVENT_NAMES, fn provider_events(shoal_provider::Counters):
    received, deposits, dummies, drops, mailbox_commands, client_payloads, replies_void, stream_again, ticks_without_stock, stock_added, stock_overflow, stock_void, grants_invalid, changes_refused, acknowledged, downlink_abandoned, link_full, store_errors, expired,
}

table! {
    PROVIDER_LEVEL_NAMES, fn provider_levels(shoal_provider::Counters):
    mailbox_pending, replies_held, stock, mailboxes_active, clients, store_pending,
}

table! {
    DIRECTORY_NAMES, fn directory_events(DirectoryCounters):
    accepted, known, rate_limited, no_room, equivocations, formed, adopted, documents_refused, requests, malformed_responses, malformed_requests, requests_dropped,
}

table! {
    CLIENT_EVENT_NAMES, fn client_events(shoal_client::Counters):
    sent_real, sent_dummy, sent_loop, sent_drop, sent_mailbox, retransmissions, missed_ticks, skipped_ticks, filler, loops_returned, loops_lost, receipts_stored, receipts_refused, answers_dummy, receipts_lost, stream_items, stream_entries, stream_gaps, stream_pauses, late, corrupted, unexpected, undecryptable, duplicates, partial_dropped, keys_evicted, accepted, stored, expired, received, persist_failures,
}

table! {
    CLIENT_LEVEL_NAMES, fn client_levels(shoal_client::Counters):
    outbox_fragments, reply_keys, stock, unread, pending_acks, pending_registrations,
}

/// A client's counters by name: what the control protocol's status has and what is exported.
#[must_use]
pub fn client_counters(counters: &shoal_client::Counters) -> Vec<(&'static str, u64)> {
    let mut all = client_events(counters);
    all.extend(client_levels(counters));
    all
}

fn one(metric: &'static Metric, value: u64) -> Sample {
    Sample {
        metric,
        label: None,
        value,
    }
}

fn each(
    metric: &'static Metric,
    counts: impl IntoIterator<Item = (&'static str, u64)>,
) -> impl Iterator<Item = Sample> {
    counts.into_iter().map(move |(label, value)| Sample {
        metric,
        label: Some(label),
        value,
    })
}

/// A relay's books.
pub fn relay(books: &Snapshot) -> impl Iterator<Item = Sample> {
    let mut samples = vec![
        one(&RECEIVED, books.received),
        one(&FORWARDED, books.forwarded),
        one(&DELIVERED, books.delivered),
        one(&LOOPS_RETURNED, books.loops_returned),
        one(&LOOPS_LOST, books.loops_lost),
        one(&LATE, books.late),
    ];
    let dropped = DropReason::ALL.iter();
    samples.extend(each(
        &DROPPED,
        dropped.map(|r| (r.as_str(), books.dropped(*r))),
    ));
    let inside = Stage::ALL.iter();
    samples.extend(each(
        &INSIDE,
        inside.map(|s| (s.as_str(), books.inside(*s))),
    ));
    for kind in OwnKind::ALL {
        let own = books.own(*kind);
        for (metric, count) in [
            (&ORIGINATED, own.originated),
            (&OWN_SENT, own.sent),
            (&OWN_DROPPED, own.dropped),
            (&OWN_DEPARTING, own.departing),
        ] {
            samples.extend(each(metric, [(kind.as_str(), count)]));
        }
    }
    samples.into_iter()
}

/// What a provider did.
pub fn provider(counters: &shoal_provider::Counters) -> impl Iterator<Item = Sample> {
    let dropped = shoal_provider::DropReason::ALL.iter();
    let dropped: Vec<_> = dropped
        .map(|r| (r.as_str(), counters.dropped(*r)))
        .collect();
    let replies = [
        ("receipt_stored", counters.receipts_stored),
        ("receipt_refused", counters.receipts_refused),
        ("dummy", counters.replies_dummy),
        ("late", counters.replies_late),
        ("stream_entry", counters.stream_entries),
        ("stream_idle", counters.stream_idle),
    ];
    let downlink = [
        ("payload", counters.downlink_payloads),
        ("filler", counters.downlink_filler),
    ];
    each(&PROVIDER_DROPPED, dropped)
        .chain(each(&PROVIDER_REPLIES, replies))
        .chain(each(&PROVIDER_DOWNLINK, downlink))
        .chain(each(&PROVIDER_EVENTS, provider_events(counters)))
        .chain(each(&PROVIDER_LEVELS, provider_levels(counters)))
}

/// What the directory's state machine did.
pub fn directory(counters: &DirectoryCounters) -> impl Iterator<Item = Sample> {
    let count =
        |(name, _): &(&'static str, _)| (*name, counters.refused.get(name).copied().unwrap_or(0));
    let refused: Vec<_> = REFUSALS.iter().map(count).collect();
    each(&DESCRIPTORS_REFUSED, refused).chain(each(&DIRECTORY_EVENTS, directory_events(counters)))
}

/// A client's counters, by the names that [`client_counters`] gives them.
pub(super) fn client(counters: &BTreeMap<String, u64>) -> impl Iterator<Item = Sample> {
    let of = |metric, names: &'static [(&'static str, &'static str)]| {
        let found = |(name, _): &(&'static str, _)| Some((*name, *counters.get(*name)?));
        each(metric, names.iter().filter_map(found).collect::<Vec<_>>())
    };
    let levels = of(&CLIENT_LEVELS, CLIENT_LEVEL_NAMES);
    of(&CLIENT_EVENTS, CLIENT_EVENT_NAMES).chain(levels)
}
