use std::fmt;

/// Whose doing a drop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// The sender of the packet broke a rule, or somebody altered the packet.
    Peer,
    /// There was more than a bound allows, here or at a neighbour.
    Overload,
    /// This node can't do its work: no document, no disk, no connection, or it is stopping.
    Local,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $fault:ident;)+) => {
        /// Why a packet was dropped: a bounded set, fit to be a metric's label.
        ///
        /// Every dropped packet is counted once, under one of these. What the provider role drops
        /// after a delivery has its own table; see [`crate::Accounting::provider_dropped`].
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

            /// Whose doing it is.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self {
                    $(Self::$name => Fault::$fault,)+
                }
            }
        }
    };
}

reasons! {
    /// Not a frame: a wrong size, or bytes that no packet starts with.
    Malformed = "malformed", Peer;
    /// The epoch byte names no epoch that is accepted now, or one whose key this node lacks.
    UnknownEpoch = "unknown_epoch", Peer;
    /// This node has no document yet.
    NoView = "no_view", Local;
    /// This node is no member of the epoch that the frame names.
    NotListed = "not_listed", Local;
    /// The sender is no member of the epoch that the frame names.
    NotAMember = "not_a_member", Peer;
    /// The sender is a member, but not in the position before this node's.
    WrongLayer = "wrong_layer", Peer;
    /// A client sent to a node that is no provider, or without being attached.
    NotAttached = "not_attached", Peer;
    /// An attached client sends far more than its profile says.
    OverRate = "over_rate", Peer;
    /// More packets wait for the unwrap workers than the bound allows.
    QueueFull = "queue_full", Overload;
    /// Packets wait for the unwrap workers longer than the mean delay: what comes is shed, or
    /// the mix would turn into a first-in-first-out queue.
    Overload = "overload", Overload;
    /// The group element has a low order.
    LowOrder = "low_order", Peer;
    /// The header's MAC does not fit: altered, or for another key.
    Mac = "mac", Peer;
    /// Seen before in this epoch.
    Replayed = "replayed", Peer;
    /// The epoch's replay filter holds as many tags as it may.
    FilterFull = "filter_full", Overload;
    /// Another version of Sphinx than 260.
    Version = "version", Peer;
    /// The routing information or the payload makes no sense, or a client's packet ends at the
    /// provider that it entered by, unmixed.
    Routing = "routing", Peer;
    /// The next hop is not in the position after this node's.
    NextHop = "next_hop", Peer;
    /// A packet ended at a mix and is no loop of its own.
    FinalAtMix = "final_at_mix", Peer;
    /// A loop that this node does not wait for: late, sent before a restart, or made up.
    LoopUnknown = "loop_unknown", Peer;
    /// The replay log can't be written, so nothing may leave.
    LogUnavailable = "log_unavailable", Local;
    /// The delay pool holds as many packets as it may.
    PoolFull = "pool_full", Overload;
    /// The ring to the next hop is full: the neighbour reads too slowly.
    RingFull = "ring_full", Overload;
    /// There is no connection to the next hop.
    Unreachable = "unreachable", Local;
    /// It waited in a ring past the ring's deadline.
    Expired = "expired", Overload;
    /// The node was stopping.
    Abandoned = "abandoned", Local;
    /// Provider: no attached client has this handle.
    UnknownDestination = "unknown_destination", Peer;
    /// Provider: the plaintext is no command, or its proof does not hold.
    BadCommand = "bad_command", Peer;
    /// Provider: the queue for the client's downlink is full.
    DownlinkFull = "downlink_full", Overload;
    /// Provider: too many packets wait for their reply, or the store is too far behind.
    ProviderBusy = "provider_busy", Overload;
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for DropReason {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

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

    #[test]
    fn the_position_in_all_is_the_discriminant() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }
}
