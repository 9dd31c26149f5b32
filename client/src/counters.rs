/// What a client has done since it was made, for metrics. All grow, but those at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Fragments of messages sent, retransmissions included.
    pub sent_real: u64,
    /// Dummy deposits sent.
    pub sent_dummy: u64,
    /// Loops sent.
    pub sent_loop: u64,
    /// Drop cover sent.
    pub sent_drop: u64,
    /// Mailbox packets sent.
    pub sent_mailbox: u64,
    /// Of `sent_real`, those sent again.
    pub retransmissions: u64,
    /// Ticks skipped because the host woke too late.
    pub missed_ticks: u64,
    /// Ticks at which no packet could be built: no document, no path.
    pub skipped_ticks: u64,
    /// Frames received whose identifier is none of ours: filler.
    pub filler: u64,
    /// Loops that came back.
    pub loops_returned: u64,
    /// Loops that did not in time.
    pub loops_lost: u64,
    /// "Stored" receipts.
    pub receipts_stored: u64,
    /// "Refused" receipts.
    pub receipts_refused: u64,
    /// Dummy answers to deposits, to dummies or because the commit was late.
    pub answers_dummy: u64,
    /// Deposits that were not answered in time.
    pub receipts_lost: u64,
    /// Packets of the mailbox's stream.
    pub stream_items: u64,
    /// Of those, the ones with a message's fragment.
    pub stream_entries: u64,
    /// Packets of the mailbox's stream that did not come.
    pub stream_gaps: u64,
    /// Times that the mailbox's stream paused.
    pub stream_pauses: u64,
    /// Answers later than the wait after which they counted as lost.
    pub late: u64,
    /// Frames with an identifier of ours whose payload did not open.
    pub corrupted: u64,
    /// Answers that make no sense: undecodable, or to another question.
    pub unexpected: u64,
    /// Blobs that did not open, or held no fragment.
    pub undecryptable: u64,
    /// Fragments that were here already.
    pub duplicates: u64,
    /// Fragments dropped with incomplete messages that did not fit.
    pub partial_dropped: u64,
    /// Keys of reply blocks forgotten because there were too many.
    pub keys_evicted: u64,
    /// Messages accepted.
    pub accepted: u64,
    /// Messages stored at their receiver's mailbox.
    pub stored: u64,
    /// Messages expired.
    pub expired: u64,
    /// Messages received.
    pub received: u64,
    /// Changes that the host failed to save.
    pub persist_failures: u64,
    /// Now: fragments waiting for their receipt.
    pub outbox_fragments: u64,
    /// Now: keys of reply blocks not used yet.
    pub reply_keys: u64,
    /// Now: reply blocks at the mailbox, as it last said.
    pub stock: u64,
    /// Now: messages received and not read.
    pub unread: u64,
    /// Now: acks that the mailbox has not confirmed.
    pub pending_acks: u64,
    /// Now: contacts whose drop ids the mailbox has not confirmed.
    pub pending_registrations: u64,
}
