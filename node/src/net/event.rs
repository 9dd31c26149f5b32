//! What networking says, and what names a request, a message or the right to answer.

use std::fmt;
use std::net::IpAddr;

use libp2p::gossipsub::MessageId as GossipId;
use libp2p::request_response::ResponseChannel;
use libp2p::{Multiaddr, PeerId};
use shoal_proto::{NetworkHash, NodeId};
use shoal_roles::RequestKind;
use shoal_topology::{Address, Dialled};

use super::error::{DialFailure, RequestFailure};
use super::place::Place;

/// Names a request of ours until its response or failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

/// The right to answer one request of a peer. Dropped unanswered, it refuses the request.
pub struct Channel {
    pub(super) kind: RequestKind,
    pub(super) channel: ResponseChannel<Vec<u8>>,
    /// Counts the requests that wait; its drop gives the place back.
    pub(super) _place: Place,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({:?})", self.kind)
    }
}

/// Names a gossip message until its verdict.
#[derive(Clone)]
pub struct GossipToken {
    pub(super) id: GossipId,
    pub(super) source: PeerId,
}

/// Redacted: says not from whom.
impl fmt::Debug for GossipToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GossipToken(..)")
    }
}

/// What happens on the network, packets excepted.
#[derive(Debug)]
#[non_exhaustive]
pub enum NetEvent {
    /// We listen on this address (the port that the system chose, if it was 0).
    Listening(Multiaddr),
    /// The first connection to this peer is up.
    Connected {
        /// The peer, authenticated.
        peer: NodeId,
        /// `tcp` or `quic`.
        transport: &'static str,
        /// Where it is. Of a client, this is never to be logged.
        ip: IpAddr,
    },
    /// The last connection to this peer closed.
    Disconnected {
        /// The peer.
        peer: NodeId,
    },
    /// Frames can be sent to this peer.
    PacketLinkUp {
        /// The peer.
        peer: NodeId,
    },
    /// Frames cannot be sent to this peer any more.
    PacketLinkDown {
        /// The peer.
        peer: NodeId,
    },
    /// A node has been dialled at its addresses, as [`probe`](super::NetHandle::probe) asked for.
    Probed {
        /// Which.
        peer: NodeId,
        /// What came of each, in their order.
        at: Vec<(Address, Dialled)>,
    },
    /// A gossip message: waits for [`report_gossip`](super::NetHandle::report_gossip).
    Gossip {
        /// To report the verdict with.
        token: GossipToken,
        /// The neighbour that it came from, which need not have made it.
        from: NodeId,
        /// The message.
        bytes: Vec<u8>,
    },
    /// A peer asks; answer with [`respond`](super::NetHandle::respond).
    Request {
        /// Who asks.
        from: NodeId,
        /// What kind of request it is.
        kind: RequestKind,
        /// To answer with.
        channel: Channel,
        /// The request.
        bytes: Vec<u8>,
    },
    /// A peer answered.
    Response {
        /// Who answered.
        from: NodeId,
        /// Which request.
        id: RequestId,
        /// The response.
        bytes: Vec<u8>,
    },
    /// A request of ours got no response.
    RequestFailed {
        /// Who was asked.
        from: NodeId,
        /// Which request.
        id: RequestId,
        /// Why.
        why: RequestFailure,
    },
    /// Where a member should be, somebody says to be of another network, unauthenticated.
    OtherNetwork {
        /// The member.
        peer: NodeId,
        /// The hash of that network's parameters.
        network: NetworkHash,
        /// How many seconds its clock is ahead of ours, as it says; below 0 if it is behind.
        ahead_secs: i64,
    },
    /// What was last published reached nobody: try again after
    /// [`GossipPeerSubscribed`](Self::GossipPeerSubscribed).
    PublishFailed,
    /// A peer subscribed to our gossip.
    GossipPeerSubscribed,
    /// Dialling this peer failed; members are dialled again by themselves.
    DialFailed {
        /// The peer.
        peer: NodeId,
        /// Why.
        why: DialFailure,
    },
}
