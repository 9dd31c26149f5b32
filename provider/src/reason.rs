//! Why the provider role drops a packet.

shoal_proto::labels! {
    /// Packets that were delivered to the provider role and dropped by it, by reason.
    pub enum DropReason("reason") counted by Drops as counter "shoal_provider_dropped_packets_total" in "packets" {
        /// No attached client has this handle.
        UnknownDestination = "unknown_destination";
        /// The queue for the client's downlink is full.
        DownlinkFull = "downlink_full";
        /// The plaintext is no command.
        BadCommand = "bad_command",
            "Some client speaks another version, or somebody tries things: nothing is to be done.";
        /// A node's loop that ended here and is not this node's.
        ForeignLoop = "foreign_loop";
        /// A command for a mailbox that its owner did not sign: somebody asks for another's mailbox,
        /// or the command is for another provider or network.
        MailboxSignature = "mailbox_signature";
        /// A command for a mailbox that was received before, is too old to tell, or is of a generation
        /// that is over. Its owner is told.
        MailboxReplayed = "mailbox_replayed",
            "A few when clients reconnect are normal; more come from clients that were restored from an old copy, or run twice.";
        /// A command for a mailbox names a profile that the network does not have.
        MailboxProfile = "mailbox_profile";
        /// A command for a mailbox that is not known brings no token of this provider that still counts.
        MailboxToken = "mailbox_token",
            "Clients bring one with their first commands. If it grows, look at the clock and whether documents arrive.";
        /// A command for a mailbox that is not known, and as many were opened in this hour as may be.
        MailboxOpenings = "mailbox_openings",
            "Ask for tokens, or raise openings_per_hour if there is room for more mailboxes.";
        /// A command for a mailbox that is not known brings a token that was spent before.
        TokenSpent = "token_spent",
            "A few come from clients that were restored from an old copy; more from somebody who tries.";
        /// No room for another mailbox, in the store or among those being delivered.
        MailboxFull = "mailbox_full",
            "Raise the number of mailboxes if the machine has room, or let others run providers.";
        /// More replies are held, or more operations wait for the store, than the bounds allow.
        Busy = "provider_busy",
            "The disk is too slow for the load: look at the operations that wait for the store.";
        /// The store failed at a command for a mailbox.
        StoreFailed = "store_failed", "The log names the error and what to do about it.";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn labels_are_distinct_and_plain() {
        let labels: BTreeSet<_> = DropReason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(labels.len(), DropReason::ALL.len());
        for label in labels {
            assert!(
                label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{label}"
            );
        }
    }
}
