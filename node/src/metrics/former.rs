//! Declarations of crates that do not declare their counters themselves.

use std::collections::BTreeMap;

use shoal_mix::{DropReason, OwnKind, Snapshot, Stage};
use shoal_proto::{Metric, MetricKind, Sample};
use shoal_topology::DirectoryCounters;

macro_rules! metrics {
    ($($name:ident = $text:literal, $kind:ident, $unit:literal, $label:expr, $values:expr, $help:literal;)*) => {
        $(static $name: Metric = Metric {
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
    DIRECTORY_EVENTS = "shoal_topology_directory_events_total", Counter, "events", Some("event"), DIRECTORY_NAMES,
        "What the directory's state machine did, by event.";
    CLIENT_EVENTS = "shoal_client_events_total", Counter, "events", Some("event"), CLIENT_EVENT_NAMES,
        "What the client did and saw, by event: packets sent by kind, answers, losses, messages.";
    CLIENT_LEVELS = "shoal_client_held_items", Gauge, "items", Some("item"), CLIENT_LEVEL_NAMES,
        "What the client holds now, by item.";
}
@@
