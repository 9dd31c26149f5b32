//! What a provider did since it started, and how much it holds: the counters of all its parts.

use shoal_proto::{Metric, Sample};

use crate::desk::StoreCounters;
use crate::entry::EntryCounters;
use crate::mailboxes::MailboxCounters;
use crate::reason::{DropReason, Drops};
use crate::replies::ReplyCounters;
use crate::tokens::{RefusedTokens, TokenCounters};

shoal_proto::counters! {
    /// Packets that were delivered to the role, by what they are.
    pub struct PacketCounters("provider") {
        /// Packets that were delivered to the role.
        received: counter "packets";
        /// Deposits.
        deposits: counter "packets";
        /// Dummies in the stead of deposits.
        dummies: counter "packets";
        /// Drop cover.
        drop_cover: counter "packets";
        /// Requests for tokens.
        token_requests: counter "packets";
    }
}

/// What a provider did since it started, and how much it holds now, part by part.
///
/// Every delivered packet is counted once: see [`balanced`](Self::balanced).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// What came in.
    pub packets: PacketCounters,
    /// Answers to deposits and dummies.
    pub replies: ReplyCounters,
    /// Mailboxes that are being delivered.
    pub mailboxes: MailboxCounters,
    /// Tokens.
    pub tokens: TokenCounters,
    /// Requests for tokens that were refused.
    pub refused_tokens: RefusedTokens,
    /// Clients that are attached.
    pub entry: EntryCounters,
    /// What was asked of the store.
    pub store: StoreCounters,
    /// What was dropped.
    pub drops: Drops,
}

impl Counters {
    /// Packets dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.of(reason)
    }

    /// Packets dropped for any reason.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.drops.total()
    }

    /// Whether every received packet is counted once: as one of the six kinds, as dropped, or as a
    /// command that waits for the store.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.packets.received
            == self.packets.deposits
                + self.packets.dummies
                + self.packets.drop_cover
                + self.packets.token_requests
                + self.mailboxes.mailbox_commands
                + self.mailboxes.mailbox_pending
                + self.entry.queued
                + self.dropped_total()
    }

    /// All that is exported.
    pub fn metrics() -> impl Iterator<Item = &'static Metric> {
        const LABELLED: [&Metric; 2] = [&RefusedTokens::METRIC, &Drops::METRIC];
        [
            PacketCounters::METRICS,
            ReplyCounters::METRICS,
            MailboxCounters::METRICS,
            TokenCounters::METRICS,
            EntryCounters::METRICS,
            StoreCounters::METRICS,
        ]
        .into_iter()
        .flatten()
        .chain(LABELLED)
    }

    /// The numbers, in the order of [`metrics`](Self::metrics); of the last two a number for each
    /// reason.
    pub fn samples(&self) -> impl Iterator<Item = Sample> + use<> {
        self.packets
            .samples()
            .chain(self.replies.samples())
            .chain(self.mailboxes.samples())
            .chain(self.tokens.samples())
            .chain(self.entry.samples())
            .chain(self.store.samples())
            .chain(self.refused_tokens.samples())
            .chain(self.drops.samples())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::tokens::RefusedToken;

    #[test]
    fn parts_do_not_share_names_and_all_are_sampled() {
        let names: Vec<&str> = Counters::metrics().map(|metric| metric.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        let counters = Counters::default();
        let mut sampled: Vec<&str> = counters.samples().map(|s| s.metric.name).collect();
        assert_eq!(
            sampled.len(),
            names.len() - 2 + DropReason::ALL.len() + RefusedToken::ALL.len()
        );
        sampled.dedup();
        assert_eq!(sampled, names);
    }
}
