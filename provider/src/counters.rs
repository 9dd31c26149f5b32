use crate::DropReason;

/// What a provider did, since it started. Plain numbers: the node exports them.
///
/// Every delivered packet is counted once: `received` is the sum of the five kinds, of the drops,
/// and of the commands that wait for the store; see [`balanced`](Self::balanced).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Packets that were delivered to the role.
    pub received: u64,
    /// Deposits.
    pub deposits: u64,
    /// Dummies in the stead of deposits.
    pub dummies: u64,
    /// Drop cover.
    pub drops: u64,
    /// Commands from owners of mailboxes that were done.
    pub mailbox_commands: u64,
    /// Payloads for attached clients: replies and loops, which can't be told apart.
    pub client_payloads: u64,
    /// Commands from owners that wait for the store. A level.
    pub mailbox_pending: u64,
    pub(crate) dropped: [u64; DropReason::COUNT],

    /// Deposits that were on disk when they were answered.
    pub receipts_stored: u64,
    /// Deposits that were refused.
    pub receipts_refused: u64,
    /// Answers that say nothing, to dummies.
    pub replies_dummy: u64,
    /// Answers that say nothing because the store was late or failed; the sender tries again.
    pub replies_late: u64,
    /// Answers that were not sent: the reply block is of an epoch or for a first hop that does
    /// not count.
    pub replies_void: u64,
    /// Replies held now. A level.
    pub replies_held: u64,

    /// Stream packets with an entry.
    pub stream_entries: u64,
    /// Entries pushed again, among `stream_entries`.
    pub stream_again: u64,
    /// Stream packets without an entry.
    pub stream_idle: u64,
    /// Ticks of mailboxes' clocks that found no reply block.
    pub ticks_without_stock: u64,
    /// Reply blocks taken into stock.
    pub stock_added: u64,
    /// Reply blocks dropped because newer ones filled the stock.
    pub stock_overflow: u64,
    /// Reply blocks dropped unused: of an epoch or for a first hop that does not count, or of an
    /// older generation.
    pub stock_void: u64,
    /// Reply blocks in stock now. A level.
    pub stock: u64,
    /// Mailboxes being delivered now. A level.
    pub mailboxes_active: u64,
    /// Grants in deposits that did not hold: wrongly signed, expired, or lasting too long.
    pub grants_invalid: u64,
    /// Changes of drop ids that the store did not do.
    pub changes_refused: u64,
    /// Entries acknowledged by owners, as they say.
    pub acknowledged: u64,

    /// Clients attached now. A level.
    pub clients: u64,
    /// Frames to clients with a payload.
    pub downlink_payloads: u64,
    /// Frames to clients with random filler.
    pub downlink_filler: u64,
    /// Payloads that waited for a client that left.
    pub downlink_abandoned: u64,
    /// Frames to clients that the link could not take.
    pub link_full: u64,

    /// Operations that the store failed at.
    pub store_errors: u64,
    /// Operations that the store has not finished. A level.
    pub store_pending: u64,
    /// Rows that expired.
    pub expired: u64,
}

impl Counters {
    /// Packets dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or(0)
    }

    /// Packets dropped for any reason.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Whether every received packet is counted once.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.received
            == self.deposits
                + self.dummies
                + self.drops
                + self.mailbox_commands
                + self.client_payloads
                + self.mailbox_pending
                + self.dropped_total()
    }

    pub(crate) fn drop_packet(&mut self, reason: DropReason) {
        if let Some(count) = self.dropped.get_mut(reason as usize) {
            *count += 1;
        }
    }
}
