use crate::{DropReason, Excess};

/// Where a packet is while it is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Admitted, waits for an unwrap worker.
    Queued,
    /// An unwrap worker has it, or the way from there to the pool.
    Unwrapping,
    /// In the delay pool, and its replay tag is not durable yet.
    AwaitingLog,
    /// In the delay pool, waits for its moment only.
    Pooled,
    /// Left the pool, waits in a ring for the link to take it.
    Departing,
}

impl Stage {
    /// Every stage, in the order in which a packet passes them.
    pub const ALL: &'static [Self] = &[
        Self::Queued,
        Self::Unwrapping,
        Self::AwaitingLog,
        Self::Pooled,
        Self::Departing,
    ];
    const COUNT: usize = Self::ALL.len();

    /// The label of this stage in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Unwrapping => "unwrapping",
            Self::AwaitingLog => "awaiting_log",
            Self::Pooled => "pooled",
            Self::Departing => "departing",
        }
    }
}

/// What a node sends on its own account, beside what it relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnKind {
    /// A loop of the node's own.
    Loop,
    /// A packet of the provider role: receipt, dummy or mailbox stream.
    Provider,
}

impl OwnKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::Loop, Self::Provider];
    const COUNT: usize = Self::ALL.len();

    /// The label of this kind in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::Provider => "provider",
        }
    }
}

/// The books at one instant. Every number but [`inside`](Self::inside) and
/// [`OwnTraffic::departing`] only grows.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Frames that came in, from peers and attached clients, well-formed or not.
    pub received: u64,
    /// Packets that left for their next hop: handed to the link.
    pub forwarded: u64,
    /// Packets that ended here and went to the provider role.
    pub delivered: u64,
    /// The node's own loops that came back.
    pub loops_returned: u64,
    /// The node's own loops that did not come back in time.
    pub loops_lost: u64,
    /// Ticks of the loop clock without a loop: no document, no route, or too many under way.
    pub loops_skipped: u64,
    /// Received packets that left later than the limit for lateness allows.
    pub late: u64,
    /// How much later than at their moment received packets left the pool.
    pub excess: Excess,
    pub(crate) dropped: Counts<{ DropReason::COUNT }>,
    pub(crate) provider_dropped: Counts<{ DropReason::COUNT }>,
    pub(crate) inside: Counts<{ Stage::COUNT }>,
    pub(crate) own: [OwnTraffic; OwnKind::COUNT],
}

/// What the node sent on its own account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnTraffic {
    /// Packets made.
    pub originated: u64,
    /// Packets handed to a link.
    pub sent: u64,
    /// Packets that no link took.
    pub dropped: u64,
    /// Packets that wait in a ring.
    pub departing: u64,
}

/// A counter for each of a bounded set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts<const N: usize>([u64; N]);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Counts<N> {
    fn of(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }

    fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn add(&mut self, index: usize) {
        if let Some(count) = self.0.get_mut(index) {
            *count = count.saturating_add(1);
        }
    }

    pub(crate) fn remove(&mut self, index: usize) {
        if let Some(count) = self.0.get_mut(index) {
            *count = count.saturating_sub(1);
        }
    }
}

impl Snapshot {
    /// Received packets that were dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.of(reason as usize)
    }

    /// Received packets that were dropped, for any reason.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.total()
    }

    /// Delivered packets that the provider role dropped for this reason.
    #[must_use]
    pub fn provider_dropped(&self, reason: DropReason) -> u64 {
        self.provider_dropped.of(reason as usize)
    }

    /// Received packets that are in this stage.
    #[must_use]
    pub fn inside(&self, stage: Stage) -> u64 {
        self.inside.of(stage as usize)
    }

    /// Received packets that are in any stage.
    #[must_use]
    pub fn inside_total(&self) -> u64 {
        self.inside.total()
    }

    /// What the node sent on its own account.
    #[must_use]
    pub fn own(&self, kind: OwnKind) -> OwnTraffic {
        self.own.get(kind as usize).copied().unwrap_or_default()
    }

    /// Whether every packet is accounted for, the received ones and the node's own.
    #[must_use]
    pub fn balanced(&self) -> bool {
        let ended = self.forwarded + self.delivered + self.loops_returned + self.dropped_total();
        self.received == ended + self.inside_total()
            && self
                .own
                .iter()
                .all(|own| own.originated == own.sent + own.dropped + own.departing)
    }
}
