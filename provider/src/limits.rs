//! What a store and the core hold at most.

use shoal_proto::size::BLOB_BYTES;
use shoal_proto::{Span, Time};

/// What a store counts for one entry that waits: its blob and what surrounds it in the database.
pub const ENTRY_BYTES: u64 = BLOB_BYTES as u64 + REMEMBERED_BYTES;
/// What a store counts for one entry of which only the name is remembered.
pub const REMEMBERED_BYTES: u64 = 160;

/// A mailbox whose owner has come back after so long is one that somebody uses: an hour. Since only the hours of both are
/// known, it is one whose owner has come back in the second hour after that in which it was opened.
pub(crate) const TRIAL: Span = Span::from_secs(3600);

/// Idle mailboxes that one expiry gives up at most.
pub(crate) const IDLE_BATCH: u32 = 16;

/// The quotas of a store. Beyond each, it refuses and keeps what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Entries under one drop id that wait or were acknowledged within the last `room_step`.
    pub entries_per_drop: u64,
    /// Acknowledged entries that one drop id remembers, so that a late duplicate is not delivered
    /// again. Beyond it the oldest is forgotten.
    pub remembered_per_drop: u64,
    /// The same in one mailbox.
    pub entries_per_mailbox: u64,
    /// Sets of drop ids of one mailbox.
    pub sets_per_mailbox: u64,
    /// Mailboxes.
    pub mailboxes: u64,
    /// Bytes of everything: [`ENTRY_BYTES`] for an entry that waits, [`REMEMBERED_BYTES`] for one
    /// that is only remembered.
    pub bytes: u64,
    /// A mailbox is given up when it is empty and nobody put anything in or asked for it this
    /// long; since only the hour of the last time is kept, up to an hour later. So it is with the two below.
    pub mailbox_idle: Span,
    /// It is given up after this long already if nothing was ever put into it and its owner has not asked for it after
    /// the first hour: many of those are somebody's who fills the store up.
    pub mailbox_trial: Span,
    /// One that its owner has closed is given up when nothing waits in it and its owner has not asked for it this long:
    /// an owner looks for some time whether it is empty, and asking for what is not known would open another.
    pub mailbox_closed: Span,
    /// When room comes free that owners make by acknowledging: at whole multiples of this since the
    /// Unix epoch, so that nobody can tell from a quota when an owner is there but by this much. It
    /// also is for how long at least the quotas have to last a busy sender.
    pub room_step: Span,
    /// Rows that one expiry removes at most, so that a group of operations stays short.
    pub expire_batch: u32,
}

const DAY: Span = Span::from_secs(24 * 60 * 60);

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            entries_per_drop: 1024,
            remembered_per_drop: 4096,
            entries_per_mailbox: 8192,
            sets_per_mailbox: 16,
            mailboxes: 10_000,
            bytes: 1 << 30,
            mailbox_idle: DAY.scale(90, 1),
            mailbox_trial: DAY,
            mailbox_closed: DAY,
            room_step: Span::from_secs(3600),
            expire_batch: 1000,
        }
    }
}

impl StoreLimits {
    /// The number of the step that a time is in.
    pub(crate) const fn step(&self, now: Time) -> u64 {
        let length = self.room_step.as_micros();
        match now.as_micros().checked_div(length) {
            Some(step) => step,
            None => now.as_micros(),
        }
    }
}

/// The bounds of the provider's core. Each names what is bounded; the memory bound is stated where
/// it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Clients attached at once.
    pub clients: usize,
    /// Payloads that wait for one client's downlink clock: about 2 KiB each.
    pub downlink_queue: usize,
    /// Replies held at once: about 500 bytes each.
    pub replies: usize,
    /// Operations that the store has not finished: at most about 2 KiB each.
    pub store_operations: usize,
    /// Mailboxes that are being delivered: about 100 KiB each at most.
    pub active_mailboxes: usize,
    /// Mailboxes that are opened in one hour.
    pub openings_per_hour: u64,
    /// Tokens that are issued in one hour, by a provider that issues some.
    pub tokens_per_hour: u64,
    /// SURBs in stock for one mailbox and epoch.
    pub stock: usize,
    /// Entries of one drop id that were pushed and not acknowledged.
    pub unacknowledged_per_drop: usize,
    /// An entry that was pushed and not acknowledged is pushed again after this long.
    pub push_again: Span,
    /// A mailbox's clock stops when its stock was empty for this long.
    pub linger: Span,
    /// How often the store is asked to remove what expired.
    pub expire_every: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 1000,
            downlink_queue: 64,
            replies: 20_000,
            store_operations: 10_000,
            active_mailboxes: 2000,
            openings_per_hour: 240,
            tokens_per_hour: 60,
            stock: 120,
            unacknowledged_per_drop: 32,
            push_again: Span::from_secs(20),
            linger: Span::from_secs(600),
            expire_every: Span::from_secs(60),
        }
    }
}
