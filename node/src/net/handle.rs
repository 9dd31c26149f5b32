//! How the rest of the process speaks to networking.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use libp2p::Multiaddr;
use shoal_packet::Frame;
use shoal_proto::NodeId;
use shoal_roles::RequestKind;
use shoal_topology::{Address, Verdict};

use super::error::{RequestError, SendError};
use super::event::{Channel, GossipToken, RequestId};
use super::shared::{Command, Shared};
use super::stats::NetStats;
use super::way::OpenConnections;

/// The way to the networking task, and past it to the peers' rings. Cheap to clone, usable from
/// any thread, never blocks.
#[derive(Clone)]
pub struct NetHandle(Arc<Shared>);

impl NetHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Our own identity.
    #[must_use]
    pub fn local(&self) -> NodeId {
        self.0.local
    }

    /// Puts a frame into the ring of this peer. It does not pass the swarm loop, and a peer that
    /// does not read fills only its own ring.
    ///
    /// # Errors
    /// Gives the frame back if no packet link to the peer is up, or its ring is full.
    pub fn try_send(&self, to: &NodeId, frame: Frame) -> Result<(), SendError> {
        self.0.rings.try_send(to, frame)
    }

    /// The members to stay connected to, with their addresses: they are dialled, and dialled
    /// again with a growing, jittered wait. Replaces what was set before. Others that were
    /// connected stay so until they are idle. Ourselves is left out.
    pub fn set_peers(&self, peers: BTreeMap<NodeId, Vec<Multiaddr>>) {
        self.0.want(|wanted| wanted.peers = Some(peers));
    }

    /// The peers to exchange packets with: members and attached clients; for a client, its
    /// provider. A substream is opened to each while it is connected, and theirs are read. The
    /// substreams of others wait unread for a short time and are then closed. Replaces what was
    /// set before; links to peers that are no longer named are closed.
    pub fn set_packet_peers(&self, allowed: BTreeSet<NodeId>) {
        self.0.want(|wanted| wanted.packet_peers = Some(allowed));
    }

    /// Dials this peer once, unless it is connected. Ends in
    /// [`Connected`](super::NetEvent::Connected) or [`DialFailed`](super::NetEvent::DialFailed).
    pub fn dial(&self, peer: NodeId, addresses: Vec<Multiaddr>) {
        self.0.command(Command::Dial(peer, addresses));
    }

    /// Dials a node at each of these addresses by a connection of its own, to see whether it is there. Ends in
    /// [`Probed`](super::NetEvent::Probed); of one that finds too many others nothing is said.
    pub fn probe(&self, peer: NodeId, addresses: Vec<Address>) {
        self.0.command(Command::Probe(peer, addresses));
    }

    /// Closes all connections to this peer. Members are dialled again.
    pub fn disconnect(&self, peer: NodeId) {
        self.0.command(Command::Disconnect(peer));
    }

    /// Publishes a gossip message. If nobody is there to hear it:
    /// [`PublishFailed`](super::NetEvent::PublishFailed).
    pub fn publish(&self, bytes: Vec<u8>) {
        self.0.command(Command::Publish(bytes));
    }

    /// Sends a request to a connected peer. Ends in [`Response`](super::NetEvent::Response) or
    /// [`RequestFailed`](super::NetEvent::RequestFailed).
    ///
    /// # Errors
    /// If it is too long, or too many commands wait already.
    pub fn request(
        &self,
        to: NodeId,
        kind: RequestKind,
        bytes: Vec<u8>,
    ) -> Result<RequestId, RequestError> {
        let most = match kind {
            RequestKind::Directory => self.0.limits.directory_request_bytes,
            RequestKind::Attach => self.0.limits.attach_bytes,
        };
        if bytes.len() > most {
            return Err(RequestError::TooLarge {
                bytes: bytes.len(),
                most,
            });
        }
        let id = self.0.request_id();
        if self.0.command(Command::Request {
            to,
            kind,
            id,
            bytes,
        }) {
            Ok(id)
        } else {
            Err(RequestError::Busy)
        }
    }

    /// Answers a request. An answer that is too long, or comes too late, is dropped, and counted
    /// in [`NetStats::lost`].
    pub fn respond(&self, channel: Channel, bytes: Vec<u8>) {
        self.0.command(Command::Respond(channel, bytes));
    }

    /// Says what becomes of a gossip message.
    pub fn report_gossip(&self, token: GossipToken, verdict: Verdict) {
        self.0.command(Command::Verdict(token, verdict));
    }

    /// Stops in order: takes no more frames, lets the rings empty themselves, closes every
    /// connection. Done when the receiver of events ends.
    pub fn shutdown(&self) {
        self.0.want(|wanted| wanted.shutdown = true);
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> NetStats {
        self.0.stats.snapshot()
    }

    /// The connections that are open now, by transport and family.
    #[must_use]
    pub fn open_connections(&self) -> OpenConnections {
        self.0.stats.open_connections()
    }
}
