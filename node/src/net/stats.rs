//! What networking counts, from any of its tasks.

use std::sync::atomic::{AtomicU64, Ordering};

use super::way::{OpenConnections, Way};

/// Declares [`NetStats`] and, with the same fields, the atomics behind it.
macro_rules! shared_counters {
    ($($(#[doc = $doc:literal])+ $field:ident: $kind:ident $unit:literal $(, $advice:literal)?;)*) => {
        shoal_proto::counters! {
            /// Counters since the start. Nothing in them names a peer.
            #[non_exhaustive]
            pub struct NetStats("node") {
                $($(#[doc = $doc])+ $field: $kind $unit $(, $advice)?;)*
            }
        }

        #[derive(Default)]
        pub(super) struct Stats {
            $(pub(super) $field: AtomicU64,)*
            /// Connections that are open, by the way that they go.
            by_way: [AtomicU64; Way::ALL.len()],
        }

        impl Stats {
            pub(super) fn snapshot(&self) -> NetStats {
                NetStats { $($field: self.$field.load(Ordering::Relaxed),)* }
            }
        }
    };
}

impl Stats {
    /// Connections that go this way.
    pub(super) fn open_by(&self, way: Way) -> &AtomicU64 {
        let [tcp4, tcp6, quic4, quic6] = &self.by_way;
        match way {
            Way::Tcp4 => tcp4,
            Way::Tcp6 => tcp6,
            Way::Quic4 => quic4,
            Way::Quic6 => quic6,
        }
    }

    pub(super) fn open_connections(&self) -> OpenConnections {
        let mut open = OpenConnections::default();
        for way in Way::ALL {
            open.add(*way, self.open_by(*way).load(Ordering::Relaxed));
        }
        open
    }
}

shared_counters! {
    /// Bytes read from connections: packets, gossip and requests, without what the transports add.
    received: counter "bytes";
    /// Bytes written to connections, of the same.
    sent: counter "bytes", "Compare both with what your provider of traffic counts; transports add a few per cent.";
    /// Frames read from peers.
    read: counter "frames";
    /// Frames handed to connections.
    written: counter "frames";
    /// Writes to connections; frames written over writes says how well they are coalesced.
    coalesced: counter "writes";
    /// Frames that were in a ring, or in a write that failed, when their link closed.
    abandoned: counter "frames", "Some are lost whenever a peer restarts. If it grows all the time, look at the machine's network.";
    /// Frames handed to connections that then gave no sign of their peer any more, or that it has lost and
    /// replaced: written, and as far as is known never read. They are among those written.
    unconfirmed: counter "frames", "The way to a peer was cut without a word. If it grows all the time, look at the machine's network.";
    /// Connections closed because a member did not answer on them within 3 s, twice in a row, and nothing
    /// else came on them.
    dead_closed: counter "connections", "The way to a peer was cut without a word, or the peer stood still. If it grows all the time, look at the machine's network.";
    /// Incoming packet substreams that are read no more: they ended, or others took their place.
    ended: counter "streams";
    /// Incoming packet substreams that ended in the middle of a frame.
    malformed: counter "streams", "A peer runs other software. Tell the other operators if it goes on.";
    /// Incoming packet substreams that were closed because their peer may have none, or too many
    /// waited.
    refused: counter "streams", "Somebody who is no member tries to send packets. Nothing is lost.";
    /// Connections closed because no frame came from a peer that is not to be kept connected.
    idle_closed: counter "connections";
    /// Connections closed because the peer did not take a write in time.
    stalled_closed: counter "connections", "The peer is overloaded, or the way to it is too slow.";
    /// Incoming connections whose handshake is not over.
    handshaking: gauge "connections", "Near its bound of 128 for TCP and for QUIC each, somebody holds places. Newcomers from elsewhere get in all the same.";
    /// Incoming connections that were closed in their handshake because others came when all places were
    /// taken.
    handshakes_crowded: counter "connections", "Somebody opens connections and leaves them silent. Block where they come from if it costs you bandwidth.";
    /// Connected peers that are neither members nor attached clients.
    strangers: gauge "connections";
    /// Connections of strangers that were closed because others came when all places were taken.
    strangers_crowded: counter "connections", "Somebody connects and does nothing, often. Clients and members have other places.";
    /// Connections of strangers that were closed because they did nothing.
    strangers_silent: counter "connections";
    /// Connected peers that are kept out of the mesh of gossip, because they passed on something invalid or
    /// broke promises; those that are not heard at all are among them.
    gossip_pruned: gauge "peers", "A few run other software. If it is most of them, update this node.";
    /// Connected peers whose gossip is not heard at all, because they passed on more than four invalid messages
    /// within minutes. They are heard again when that has faded.
    gossip_graylisted: gauge "peers", "A peer is broken or hostile. If it is most of them, update this node.";
    /// Dials put off because the machine or network was dialled often already, for no success.
    put_off: counter "dials", "Many descriptors name one place, or many members at one place are down.";
    /// Dials that failed.
    failed: counter "dials", "A member is down or can't be reached. If all are, look at this machine's network and firewall.";
    /// Incoming connections that failed or were refused.
    incoming_failed: counter "connections", "Raise connections.nodes or connections.clients if the node is full.";
    /// Requests of peers dropped because too many waited.
    unanswered: counter "requests", "The node is overloaded, or somebody asks it too much.";
    /// Responses of ours that were too long or came too late.
    lost: counter "responses", "The node is too slow for its load.";
    /// Commands dropped because the queue was full.
    dropped: counter "commands", "The networking task is stuck. Restart the node and report it.";
}

/// One less, of a level.
pub(super) fn count_less(level: &AtomicU64) {
    level.fetch_sub(1, Ordering::Relaxed);
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    count_many(counter, 1);
}

/// So many more.
pub(super) fn count_many(counter: &AtomicU64, more: usize) {
    counter.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Ordering::Relaxed);
}
