//! What a daemon counts, in the names under which Prometheus sees it:
//! `shoal_<crate>_<noun>_<unit>[_total]`. Labels have few values, never a peer or a path.
//!
//! The roles keep their own books. Before each rendering the daemon takes one snapshot and passes
//! it to the `export_*` functions here, so a page shows one instant, and its numbers balance:
//!
//! received = forwarded + delivered + loops returned + dropped + inside,
//! the names being [`names::RECEIVED`], [`names::FORWARDED`], [`names::DELIVERED`], [`names::LOOPS_RETURNED`], the sum of
//! [`names::DROPPED`] over its reasons, and the sum of [`names::INSIDE`] over its stages. [`ALL`] lists them all.

use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use shoal_mix::{DropReason, Excess, OwnKind, Snapshot, Stage};
use shoal_topology::DirectoryCounters;
use thiserror::Error;

use self::names::*;
use crate::control::protocol::Status;
use crate::net::NetStats;

/// Something else counts in this process already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the metrics of this process are taken already")]
pub struct Installed;

/// Whether a metric only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It grows until the process ends.
    Counter,
    /// It is a level.
    Gauge,
}

/// A metric: its name, kind, labels and meaning.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its labels; none for most.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $const:ident = $name:literal, $kind:ident, $labels:expr, $help:literal;)*) => {
        /// The names of metrics.
        pub mod names {
            $(
                #[doc = $help]
                pub const $const: &str = $name;
            )*
        }
        /// Every metric that is not one of a table of counters below.
        pub const ALL: &[Metric] = &[
            $(Metric { name: $name, kind: Kind::$kind, labels: &$labels, help: $help },)*
        ];
    };
}

metrics! {
    RECEIVED = "shoal_mix_received_packets_total", Counter, [],
        "Frames that came in, well-formed or not.";
    FORWARDED = "shoal_mix_forwarded_packets_total", Counter, [],
        "Packets handed to the link to their next hop.";
    DELIVERED = "shoal_mix_delivered_packets_total", Counter, [],
        "Packets that ended here and went to the provider role.";
    LOOPS_RETURNED = "shoal_mix_loops_returned_packets_total", Counter, [],
        "Own loops that came back.";
    LOOPS_LOST = "shoal_mix_loops_lost_packets_total", Counter, [],
        "Own loops that did not come back in time.";
    LOOP_RATIO = "shoal_mix_loops_return_ratio", Gauge, [],
        "Of the last own loops, the part that came back: 0 to 1.";
    LATE = "shoal_mix_late_packets_total", Counter, [],
        "Packets that left later after their moment than the limit for lateness allows.";
    DROPPED = "shoal_mix_dropped_packets_total", Counter, ["reason"],
        "Received packets that were dropped, by reason.";
    INSIDE = "shoal_mix_inside_packets", Gauge, ["stage"],
        "Packets inside now, by where they are.";
    LOOPS_SENT = "shoal_mix_loops_sent_packets_total", Counter, [],
        "Own loops that were handed to a link.";
    ORIGINATED = "shoal_mix_originated_packets_total", Counter, ["kind"],
        "Packets that the node made itself, by kind.";
    OWN_SENT = "shoal_mix_own_sent_packets_total", Counter, ["kind"],
        "Packets of the node's own that were handed to a link, by kind.";
    OWN_DROPPED = "shoal_mix_own_dropped_packets_total", Counter, ["kind"],
        "Packets of the node's own that no link took, by kind.";
    OWN_DEPARTING = "shoal_mix_own_departing_packets", Gauge, ["kind"],
        "Packets of the node's own that wait for a link now, by kind.";
    EXCESS_BUCKET = "shoal_mix_delay_excess_seconds_bucket", Counter, ["le"],
        "Packets that left at most this much later than at their moment: a histogram's buckets.";
    EXCESS_SUM = "shoal_mix_delay_excess_seconds_sum", Gauge, [],
        "The sum of what packets left later than at their moment.";
    EXCESS_COUNT = "shoal_mix_delay_excess_seconds_count", Counter, [],
        "Packets that left the delay pool.";
    PROVIDER_DROPPED = "shoal_provider_dropped_packets_total", Counter, ["reason"],
        "Packets that were delivered to the provider role and dropped by it, by reason.";
    PROVIDER_REPLIES = "shoal_provider_replies_packets_total", Counter, ["kind"],
        "Packets of the provider role against reply blocks, by kind: receipts, dummies, stream.";
    PROVIDER_DOWNLINK = "shoal_provider_downlink_packets_total", Counter, ["kind"],
        "Frames to attached clients, by kind: payload or filler.";
    DESCRIPTORS_REFUSED = "shoal_topology_refused_descriptors_total", Counter, ["reason"],
        "Descriptors of others that were refused, by reason.";
    EPOCH = "shoal_node_epoch_number", Gauge, [],
        "The epoch now.";
    MEMBERS = "shoal_node_members_nodes", Gauge, [],
        "Members of the document in force.";
    REPLAY_LOG_FAILURES = "shoal_node_replay_log_failures_total", Counter, [],
        "Failed writes of the replay log; packets are dropped until it works again.";
    NET = "shoal_node_net_events_total", Counter, ["event"],
        "What happened on connections and links, by event.";
    CLIENT_ONLINE = "shoal_client_online_clients", Gauge, [],
        "1 while the entry provider has this client attached.";
    CLIENT_EVENTS = "shoal_client_events_total", Counter, ["event"],
        "What the client did and saw, by event: packets sent by kind, answers, losses, messages.";
    CLIENT_LEVELS = "shoal_client_held_items", Gauge, ["item"],
        "What the client holds now, by item.";
    PROVIDER_EVENTS = "shoal_provider_events_total", Counter, ["event"],
        "What the provider role did, by event.";
    PROVIDER_LEVELS = "shoal_provider_held_items", Gauge, ["item"],
        "What the provider role holds now, by item.";
    DIRECTORY_EVENTS = "shoal_topology_directory_events_total", Counter, ["event"],
        "What the directory's state machine did, by event.";
}

/// Starts counting, once for the process, and describes every metric.
///
/// # Errors
/// [`Installed`].
pub fn install() -> Result<PrometheusHandle, Installed> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| Installed)?;
    describe();
    Ok(handle)
}

fn describe() {
    for metric in ALL {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
        }
    }
}

/// Exports a relay's books, and the part of its last loops that came back.
pub fn export_relay(books: &Snapshot, loop_ratio: f64) {
    counter!(RECEIVED).absolute(books.counters.received);
    counter!(FORWARDED).absolute(books.counters.forwarded);
    counter!(DELIVERED).absolute(books.counters.delivered);
    counter!(LOOPS_RETURNED).absolute(books.counters.loops_returned);
    counter!(LOOPS_LOST).absolute(books.counters.loops_lost);
    counter!(LATE).absolute(books.counters.late);
    gauge!(LOOP_RATIO).set(loop_ratio);
    for reason in DropReason::ALL {
        counter!(DROPPED, "reason" => reason.as_str()).absolute(books.dropped(*reason));
    }
    for stage in Stage::ALL {
        gauge!(INSIDE, "stage" => stage.as_str()).set(level(books.inside(*stage)));
    }
    for kind in OwnKind::ALL {
        let own = books.own(*kind);
        counter!(ORIGINATED, "kind" => kind.as_str()).absolute(own.originated);
        counter!(OWN_SENT, "kind" => kind.as_str()).absolute(own.sent);
        counter!(OWN_DROPPED, "kind" => kind.as_str()).absolute(own.dropped);
        gauge!(OWN_DEPARTING, "kind" => kind.as_str()).set(level(own.departing));
    }
    counter!(LOOPS_SENT).absolute(books.own(OwnKind::Loop).sent);
    export_excess(&books.excess);
}

fn export_excess(excess: &Excess) {
    let bounds = Excess::BOUNDS_MS
        .iter()
        .map(|millis| format!("{}", level(*millis) / 1000.0));
    let mut below = 0u64;
    for (count, bound) in excess
        .counts()
        .iter()
        .zip(bounds.chain(["+Inf".to_owned()]))
    {
        below = below.saturating_add(*count);
        counter!(EXCESS_BUCKET, "le" => bound).absolute(below);
    }
    counter!(EXCESS_COUNT).absolute(excess.count());
    gauge!(EXCESS_SUM).set(excess.sum().as_secs_f64());
}

/// Exports what a provider did.
pub fn export_provider(counters: &shoal_provider::Counters) {
    for reason in shoal_provider::DropReason::ALL {
        counter!(PROVIDER_DROPPED, "reason" => reason.as_str()).absolute(counters.dropped(*reason));
    }
    for (kind, count) in [
        ("receipt_stored", counters.receipts_stored),
        ("receipt_refused", counters.receipts_refused),
        ("dummy", counters.replies_dummy),
        ("late", counters.replies_late),
        ("stream_entry", counters.stream_entries),
        ("stream_idle", counters.stream_idle),
    ] {
        counter!(PROVIDER_REPLIES, "kind" => kind).absolute(count);
    }
    for (kind, count) in [
        ("payload", counters.downlink_payloads),
        ("filler", counters.downlink_filler),
    ] {
        counter!(PROVIDER_DOWNLINK, "kind" => kind).absolute(count);
    }
    for (event, count) in provider_events(counters) {
        counter!(PROVIDER_EVENTS, "event" => event).absolute(count);
    }
    for (item, count) in provider_levels(counters) {
        gauge!(PROVIDER_LEVELS, "item" => item).set(level(count));
    }
}

/// Exports what the directory's state machine did.
pub fn export_directory(counters: &DirectoryCounters) {
    for (reason, count) in &counters.refused {
        counter!(DESCRIPTORS_REFUSED, "reason" => *reason).absolute(*count);
    }
    for (event, count) in directory_events(counters) {
        counter!(DIRECTORY_EVENTS, "event" => event).absolute(count);
    }
}

/// Exports what happened on connections and links.
pub fn export_net(stats: &NetStats) {
    for (event, count) in net_events(stats) {
        counter!(NET, "event" => event).absolute(count);
    }
}

/// Exports where a node stands: the epoch, the members of the document in force, and how often
/// the replay log failed.
pub fn export_node(epoch: u64, members: u64, replay_log_failures: u64) {
    gauge!(EPOCH).set(level(epoch));
    gauge!(MEMBERS).set(level(members));
    counter!(REPLAY_LOG_FAILURES).absolute(replay_log_failures);
}

/// Exports how a client is: its counters as [`client_counters`] names them.
pub fn export_client(status: &Status) {
    gauge!(CLIENT_ONLINE).set(f64::from(u8::from(status.online)));
    gauge!(EPOCH).set(level(status.epoch));
    for (name, value) in &status.counters {
        if CLIENT_LEVEL_NAMES.contains(&name.as_str()) {
            gauge!(CLIENT_LEVELS, "item" => name.clone()).set(level(*value));
        } else {
            counter!(CLIENT_EVENTS, "event" => name.clone()).absolute(*value);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn level(value: u64) -> f64 {
    value as f64
}

/// Names of fields, and their values.
macro_rules! table {
    ($(#[$doc:meta])* $vis:vis fn $function:ident($type:ty): $($field:ident),* $(,)?) => {
        $(#[$doc])*
        #[must_use]
        $vis fn $function(counters: &$type) -> Vec<(&'static str, u64)> {
            vec![$((stringify!($field), counters.$field)),*]
        }
    };
}

/// Those of [`client_counters`] that are levels.
const CLIENT_LEVEL_NAMES: [&str; 6] = [
    "outbox_fragments",
    "reply_keys",
    "stock",
    "unread",
    "pending_acks",
    "pending_registrations",
];

table! {
    /// A client's counters by name: what [`Status::counters`] has and what is exported.
    pub fn client_counters(shoal_client::Counters):
    sent_real, sent_dummy, sent_loop, sent_drop, sent_mailbox, retransmissions, missed_ticks,
    skipped_ticks, filler, loops_returned, loops_lost, receipts_stored, receipts_refused,
    answers_dummy, receipts_lost, stream_items, stream_entries, stream_gaps, stream_pauses, late,
    corrupted, unexpected, undecryptable, duplicates, partial_dropped, keys_evicted, accepted,
    stored, expired, received, persist_failures, outbox_fragments, reply_keys, stock, unread,
    pending_acks, pending_registrations,
}

table! {
    fn provider_events(shoal_provider::Counters):
    received, deposits, dummies, drops, mailbox_commands, client_payloads, replies_void,
    stream_again, ticks_without_stock, stock_added, stock_overflow, stock_void, grants_invalid,
    changes_refused, acknowledged, downlink_abandoned, link_full, store_errors, expired,
}

table! {
    fn provider_levels(shoal_provider::Counters):
    mailbox_pending, replies_held, stock, mailboxes_active, clients, store_pending,
}

table! {
    fn directory_events(DirectoryCounters):
    accepted, known, rate_limited, no_room, equivocations, formed, adopted, documents_refused,
    requests, malformed_responses, malformed_requests, requests_dropped,
}

table! {
    fn net_events(NetStats):
    frames_read, frames_written, writes, frames_abandoned, streams_malformed, streams_refused,
    idle_closed, stalled_closed, dials_failed, incoming_failed, requests_refused, responses_lost,
    commands_dropped,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_rule() {
        let units = [
            "packets",
            "items",
            "events",
            "seconds",
            "ratio",
            "nodes",
            "number",
            "failures",
            "clients",
            "descriptors",
        ];
        let mut seen = BTreeSet::new();
        for metric in ALL {
            assert!(seen.insert(metric.name), "{} twice", metric.name);
            let rest = metric.name.strip_prefix("shoal_").unwrap();
            let histogram = rest.contains("_seconds_");
            let crates = ["mix", "provider", "topology", "client", "node"];
            assert!(
                crates
                    .iter()
                    .any(|name| rest.starts_with(&format!("{name}_")))
            );
            let unit = rest.strip_suffix("_total").unwrap_or(rest);
            assert!(
                histogram || units.iter().any(|u| unit.ends_with(&format!("_{u}"))),
                "{rest}"
            );
            let total = rest.ends_with("_total");
            assert!(
                histogram || total == (metric.kind == Kind::Counter),
                "{rest}"
            );
        }
    }

    #[test]
    fn a_page_balances_and_names_only_what_is_documented() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe();
            let books = shoal_mix::Accounting::new();
            let passages = [books.receive(), books.receive(), books.receive()];
            for (passage, reason) in passages.into_iter().zip(DropReason::ALL) {
                passage.drop_as(*reason);
            }
            let still_inside = books.receive();
            export_relay(&books.snapshot(), 1.0);
            drop(still_inside);
        });
        let page = handle.render();
        let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        let sum = |name: &str| -> f64 {
            let of = |line: &&str| {
                line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}{{"))
            };
            page.lines().filter(of).map(value).sum()
        };
        assert_eq!(sum(RECEIVED), 4.0);
        let out = sum(FORWARDED) + sum(DELIVERED) + sum(LOOPS_RETURNED) + sum(DROPPED);
        assert_eq!(sum(RECEIVED), out + sum(INSIDE));
        for line in page
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
        {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(ALL.iter().any(|metric| metric.name == name), "{name}");
        }
    }
}
