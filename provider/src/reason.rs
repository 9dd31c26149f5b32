use std::fmt;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        /// Why the provider role dropped a packet that was delivered to it: a bounded set, fit to
        /// be a metric's label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum DropReason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl DropReason {
            /// Every reason, in a fixed order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
            /// How many reasons there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The label of this reason in metrics: lower case, words joined by underscores.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

reasons! {
    /// No attached client has this handle.
    UnknownDestination = "unknown_destination";
    /// The queue for the client's downlink is full.
    DownlinkFull = "downlink_full";
    /// The plaintext is no command.
    BadCommand = "bad_command";
    /// A node's loop that ended here and is not this node's.
    ForeignLoop = "foreign_loop";
    /// A command for a mailbox that its owner did not sign: somebody asks for another's mailbox,
    /// or the command is for another provider or network.
    MailboxSignature = "mailbox_signature";
    /// A command for a mailbox that was received before, or is too old to tell.
    MailboxReplayed = "mailbox_replayed";
    /// A command for a mailbox names a profile that the network does not have.
    MailboxProfile = "mailbox_profile";
    /// No room for another mailbox, in the store or among those being delivered.
    MailboxFull = "mailbox_full";
    /// More replies are held, or more operations wait for the store, than the bounds allow.
    Busy = "provider_busy";
    /// The store failed at a command for a mailbox.
    StoreFailed = "store_failed";
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn labels_are_distinct_and_plain() {
        let labels: BTreeSet<_> = DropReason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(labels.len(), DropReason::COUNT);
        for label in labels {
            assert!(
                label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{label}"
            );
        }
    }
}
