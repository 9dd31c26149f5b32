//! What the demo shows: lines as things happen, and a summary or a JSON object at the end.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde_json::{Value, json};

use super::books::Books;
use crate::control::protocol::{Hop, Status};
use crate::page::PageLink;

/// Kinds of packets that a client sends.
const CLIENT_KINDS: [&str; 5] = ["real", "dummy", "loop", "drop", "mailbox"];

/// Kinds of packets that a message needs.
const REAL: [&str; 4] = [
    "client_real",
    "provider_receipt_stored",
    "provider_receipt_refused",
    "provider_stream_entry",
];

/// A path that one of the two clients chose, as it alone knows it.
pub(super) struct Leg(pub(super) Vec<Hop>);

/// How the story ended.
pub(super) struct Outcome {
    pub(super) delivered: bool,
    pub(super) received: String,
    pub(super) reply_received: bool,
    pub(super) reply: String,
    pub(super) stored_ms: u64,
    pub(super) latency_ms: u64,
    /// From Alice to Bob's mailbox.
    pub(super) there: Leg,
    /// From the mailbox to Bob.
    pub(super) out: Leg,
    /// Alice's and Bob's.
    pub(super) clients: [Status; 2],
    pub(super) books: Books,
}

impl Outcome {
    /// Everything arrived, and every packet is accounted for.
    pub(super) fn complete(&self) -> bool {
        self.delivered && self.reply_received && self.books.balanced()
    }

    fn hops(&self) -> usize {
        self.there.0.len() + self.out.0.len()
    }

    /// Packets sent by the clients and nodes, by kind.
    fn packets(&self) -> BTreeMap<String, u64> {
        let mut packets = self.books.sent_by_kind();
        for status in &self.clients {
            for kind in CLIENT_KINDS {
                let name = format!("sent_{kind}");
                let sent = status.counters.get(&name).copied().unwrap_or(0);
                *packets.entry(format!("client_{kind}")).or_default() += sent;
            }
        }
        packets
    }

    /// Packets that carried a part of a message or a receipt for one, and those that were cover or
    /// kept a mailbox supplied, which goes on whether or not there is a message.
    fn real_and_cover(&self) -> (u64, u64) {
        let packets = self.packets();
        let real = REAL.iter().filter_map(|kind| packets.get(*kind)).sum();
        (real, packets.values().sum::<u64>().saturating_sub(real))
    }

    fn json(&self) -> Value {
        let trace = |leg: &Leg| serde_json::to_value(&leg.0).unwrap_or_default();
        let (real, cover) = self.real_and_cover();
        json!({
            "delivered": self.delivered,
            "received": self.received,
            "reply_received": self.reply_received,
            "reply": self.reply,
            "stored_ms": self.stored_ms,
            "latency_ms": self.latency_ms,
            "hops": self.hops(),
            "trace": { "to_mailbox": trace(&self.there), "from_mailbox": trace(&self.out) },
            "packets": self.packets(),
            "downlink": self.books.downlink_by_kind(),
            "real": real,
            "cover": cover,
            "drops": self.books.drops_by_reason(),
            "balance": self.books.totals(),
            "balanced": self.books.balanced(),
        })
    }
}

/// Prints what happens: to standard output for people, to standard error if the output is for a
/// program.
#[derive(Clone, Copy)]
pub(super) struct Narrator {
    json: bool,
}

impl Narrator {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    pub(super) fn line(self, text: &str) {
        // A reader that went away misses the story, nothing more.
        let _ = if self.json {
            writeln!(std::io::stderr().lock(), "{text}")
        } else {
            writeln!(std::io::stdout().lock(), "{text}")
        };
    }

    pub(super) fn quote(self, text: &str) {
        const SHOWN: usize = 400;
        let shown: String = text.chars().take(SHOWN).collect();
        let rest = text.chars().count().saturating_sub(SHOWN);
        let more = if rest > 0 {
            format!(" … and {rest} more characters")
        } else {
            String::new()
        };
        self.line(&format!("  | {shown}{more}"));
    }

    /// A path with the delay at each mix; the last hop has none in its header.
    pub(super) fn route(self, what: &str, hops: &[Hop]) {
        let hop = |(index, hop): (usize, &Hop)| {
            let place = match hop.layer {
                0 => "provider".to_owned(),
                layer => format!("layer {layer}"),
            };
            let short: String = hop.node.chars().take(6).collect();
            let last = index + 1 == hops.len();
            let delay = if last {
                String::new()
            } else {
                format!(" {} ms", hop.delay_us / 1000)
            };
            format!("{place} {short}…{delay}")
        };
        let path: Vec<String> = hops.iter().enumerate().map(hop).collect();
        self.line(&format!("{what} {}", path.join(" → ")));
    }

    pub(super) fn summary(self, outcome: &Outcome) {
        let (real, cover) = outcome.real_and_cover();
        self.line(&format!(
            "\nDelivered over {} hops to somebody who was offline: stored after {:.1} s, read after {:.1} s.",
            outcome.hops(),
            outcome.stored_ms as f64 / 1000.0,
            outcome.latency_ms as f64 / 1000.0,
        ));
        self.line(&format!(
            "Packets sent: {real} real and {cover} cover, by kind:"
        ));
        for (kind, count) in outcome.packets() {
            self.line(&format!("  {count:>7} {kind}"));
        }
        let downlink = outcome.books.downlink_by_kind();
        let frames = |kind: &str| downlink.get(kind).copied().unwrap_or(0);
        self.line(&format!(
            "Entry providers sent their clients {} frames, {} of them filler.",
            frames("payload") + frames("filler"),
            frames("filler"),
        ));
        let drops = outcome.books.drops_by_reason();
        if drops.is_empty() {
            self.line("No packet was dropped.");
        } else {
            self.line("Packets dropped, by reason:");
            for (reason, count) in drops {
                self.line(&format!("  {count:>7} {reason}"));
            }
        }
        let totals = outcome.books.totals();
        let total = |name: &str| totals.get(name).copied().unwrap_or(0);
        self.line(&format!(
            "Over all nodes: {} received = {} forwarded + {} delivered + {} own loops back + {} dropped \
             + {} still inside{}.",
            total("received"),
            total("forwarded"),
            total("delivered"),
            total("loops_returned"),
            total("dropped"),
            total("inside"),
            if outcome.books.balanced() { "" } else { ": THIS DOES NOT BALANCE" },
        ));
    }

    pub(super) fn json(self, outcome: &Outcome, pages: &[(&str, PageLink)]) {
        let mut told = outcome.json();
        if !pages.is_empty() {
            let links = pages.iter().map(|(name, page)| (*name, page.url()));
            told["pages"] = links.collect::<Value>();
        }
        let _ = writeln!(std::io::stdout().lock(), "{told}");
    }
}
