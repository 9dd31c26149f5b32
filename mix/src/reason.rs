//! Why packets are dropped.

shoal_proto::labels! {
    /// Received packets that were dropped, each counted once and under one reason.
    pub enum DropReason("reason") counted by Dropped as counter "shoal_mix_dropped_packets_total" in "packets" {
        /// Not a frame: a wrong size, or bytes that no packet starts with.
        Malformed = "malformed";
        /// The epoch byte names no epoch that is accepted now, or one whose key this node lacks.
        UnknownEpoch = "unknown_epoch", "If it goes on, compare this machine's clock with the time, and look whether its descriptor was published for the epoch.";
        /// This node has no document yet.
        NoView = "no_view", "Look whether it reaches other nodes; after a start it is normal for seconds.";
        /// This node is no member of the epoch that the frame names.
        NotListed = "not_listed", "A new node is listed from the epoch after its descriptor on; after that, look whether others hear of its descriptor.";
        /// The sender is no member of the epoch that the frame names.
        NotAMember = "not_a_member", "If many neighbours' frames end here, the documents differ: compare the epochs that nodes know.";
        /// The sender is a member, but not in the position before this node's.
        WrongLayer = "wrong_layer";
        /// A client sent to a node that is no provider, or without being attached.
        NotAttached = "not_attached";
        /// An attached client sends more than its profile says and a quarter of that.
        OverRate = "over_rate";
        /// As many packets of its sender wait for the unwrap workers as there are places left.
        QueueFull = "queue_full", "One neighbour floods this node, or the machine is too slow for its traffic: give it more unwrap workers or cores.";
        /// Its sender's packets have waited for the unwrap workers too long for a while: of what that one sends
        /// chance picks what is shed, or the mix would turn into a first-in-first-out queue.
        Overload = "overload", "The machine is too slow for its traffic, or one neighbour sends more than its turn: give it more unwrap workers or cores.";
        /// The group element has a low order.
        LowOrder = "low_order";
        /// The header's MAC does not fit: altered, or for another key.
        Mac = "mac", "If it goes on with members that are honest, this node's key is not the one in the document.";
        /// Seen before in this epoch.
        Replayed = "replayed", "Somebody sends packets twice, to see where they go: look from which neighbour they come.";
        /// The epoch's replay filter has no room left for its sender: there has been more traffic, or more
        /// of that sender's, than the configured rate stands for. Room comes with time.
        FilterFull = "filter_full", "If it goes on, raise queues.packets_per_second and, as far as there is memory, queues.replay_memory.";
        /// Another version of Sphinx than 260.
        Version = "version";
        /// The routing information or the payload makes no sense, or a client's packet ends at the
        /// provider that it entered by, unmixed.
        Routing = "routing";
        /// The next hop is not in the position after this node's.
        NextHop = "next_hop";
        /// A packet ended at a mix and is no loop of its own.
        FinalAtMix = "final_at_mix";
        /// A loop that this node does not wait for: late, sent before a restart, or made up.
        LoopUnknown = "loop_unknown";
        /// The replay log can't be written, so nothing may leave.
        LogUnavailable = "log_unavailable", "Look at the disk of the state directory: nothing is forwarded until it takes writes again.";
        /// Replay tags take longer than the mean delay until they are on disk: chance picks what is dropped, the
        /// more the longer they take. So is what waited for that for long after its moment.
        LogSlow = "log_slow", "The disk of the state directory is too slow: move the directory, or find what else writes to that disk.";
        /// The delay pool holds as many packets of its sender as there are places left.
        PoolFull = "pool_full", "Raise the pool's bound, as far as there is memory, or look why the replay log is slow.";
        /// The ring to the next hop is full: the neighbour reads too slowly.
        RingFull = "ring_full", "Look at the link to that neighbour, and at the neighbour.";
        /// There is no connection to the next hop.
        Unreachable = "unreachable", "Look whether this machine reaches the others, and they it; single neighbours come and go.";
        /// The node was stopping.
        Abandoned = "abandoned";
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
        assert_eq!(labels.len(), DropReason::ALL.len());
        for label in labels {
            assert!(
                label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{label}"
            );
        }
    }
}
