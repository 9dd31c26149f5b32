//! What a client counts.

shoal_proto::counters! {
    /// What a client has done since it was made. All grow, but those at the end.
    #[non_exhaustive]
    pub struct Counters("client") {
        /// Fragments of messages sent, retransmissions included.
        sent_real: counter "packets";
        /// Dummy deposits sent.
        sent_dummy: counter "packets";
        /// Questions for tokens sent.
        sent_token: counter "packets";
        /// Loops sent.
        sent_loop: counter "packets";
        /// Drop cover sent.
        sent_drop: counter "packets";
        /// Mailbox packets sent.
        sent_mailbox: counter "packets";
        /// Of the fragments sent, those that were due before.
        retransmissions: counter "packets",
            "If it grows as fast as the fragments sent, packets or receipts are lost: look at the losses of loops and receipts, and try another entry.";
        /// Ticks skipped because the host woke too late.
        missed_ticks: counter "ticks",
            "The machine slept or has too much to do; while it does, its silence is seen on the link.";
        /// Ticks at which no packet could be built: no document, no path.
        skipped_ticks: counter "ticks",
            "Look at the alarms: no document is in force, or the entry has left the network.";
        /// Frames received whose identifier is none of ours: filler.
        filler: counter "packets";
        /// Loops that came back.
        loops_returned: counter "packets";
        /// Loops that did not in time.
        loops_lost: counter "packets",
            "The entry or the mixes lose packets: try another entry.";
        /// "Stored" receipts.
        receipts_stored: counter "packets";
        /// "Refused" receipts.
        receipts_refused: counter "packets",
            "The receiver's mailbox takes nothing more, or the contact is not written to there any more: ask for a new invitation.";
        /// Dummy answers to deposits, to dummies or because the commit was late.
        answers_dummy: counter "packets";
        /// Deposits that were not answered in time.
        receipts_lost: counter "packets",
            "If loops are not lost as well, the providers of the receivers lose packets.";
        /// Packets of the mailbox's stream.
        stream_items: counter "packets";
        /// Of those, the ones with a message's fragment.
        stream_entries: counter "packets";
        /// Packets of the mailbox's stream that did not come.
        stream_gaps: counter "packets",
            "If loops are not lost as well, the mailbox's provider loses packets: have the mailbox elsewhere.";
        /// Times that the mailbox's stream paused.
        stream_pauses: counter "events",
            "The mailbox's provider is down or withholds: have the mailbox elsewhere if it goes on.";
        /// Answers later than the wait after which they counted as lost.
        late: counter "packets",
            "The network is slower than `reply_timeout` allows for.";
        /// Frames with an identifier of ours whose payload did not open.
        corrupted: counter "packets",
            "Somebody on the way alters packets: try another entry.";
        /// Answers that make no sense: undecodable, or to another question.
        unexpected: counter "packets",
            "A provider answers what it was not asked: look for one with another version.";
        /// Blobs that did not open, or held no fragment; and messages whose fragments are of several.
        undecryptable: counter "items",
            "Somebody deposits rubbish under a drop id of this client.";
        /// Fragments of senders who are blocked, or whom no invitation lets in.
        unwelcome: counter "items",
            "Somebody has a link that he was not to have, or writes on though he is blocked: `shoal contact list --invitations`.";
        /// Fragments that came when the time that their sender gave them was over.
        late_texts: counter "items";
        /// Notices of contacts that they are elsewhere, each copy and each time it came.
        notices: counter "items";
        /// Keys of outer layers that contacts offered or answered to, each time that they came.
        controls: counter "items";
        /// Tokens got, each of which opens a mailbox.
        tokens: counter "tokens";
        /// Answers of issuers of tokens that the key in the document did not make.
        tokens_forged: counter "tokens",
            "A provider tries to know this client again, or has lost its key: it is not gone to.";
        /// Places made to move to.
        places_made: counter "places",
            "About one a month. More often: mailboxes' providers fail, or are not open to this client.";
        /// Fragments that were here already.
        duplicates: counter "items";
        /// Fragments of messages that were whole without them.
        spare: counter "items";
        /// Fragments dropped with incomplete messages that did not fit.
        partial_dropped: counter "items",
            "Somebody sends parts of messages that never become whole.";
        /// Keys of reply blocks forgotten because there were too many.
        keys_evicted: counter "keys",
            "Answers to them look like filler: more reply blocks are out than `reply_keys` allows for.";
        /// Messages accepted.
        accepted: counter "messages";
        /// Messages stored at their receiver's mailbox.
        stored: counter "messages";
        /// Messages expired.
        expired: counter "messages",
            "Their receivers' mailboxes could not be reached for the whole time to live.";
        /// Messages received.
        received: counter "messages";
        /// Changes that the host failed to save.
        persist_failures: counter "failures",
            "Look at the disk: it is full, read-only or failing.";
        /// Now: fragments waiting for their receipt.
        outbox_fragments: gauge "fragments";
        /// Now: keys of reply blocks not used yet.
        reply_keys: gauge "keys";
        /// Now: reply blocks at the mailbox, as it last said.
        stock: gauge "blocks",
            "While it is 0 the mailbox can send nothing.";
        /// Now: messages received and not read.
        unread: gauge "messages",
            "At the bound, more stay at the mailbox: read them.";
        /// Now: of these, those that wait for what their sender wrote before them.
        held: gauge "messages",
            "A minute at most, or longer while parts of what is before them come.";
        /// Now: acks that the mailbox has not confirmed.
        pending_acks: gauge "items";
        /// Now: drop ids that the mailboxes have not confirmed, however many contacts there are.
        drops_unconfirmed: gauge "drop_ids";
        /// Now: drop ids that the mailboxes refuse.
        drops_refused: gauge "drop_ids",
            "The mailbox's provider allows too few: have the mailbox elsewhere.";
    }
}
