//! The behaviour that negotiates packet substreams. It hands out open streams and touches no
//! frame.
//!
//! Which connection carries our frames to a peer is chosen here, where all of them are known, and
//! stays as chosen until that connection or the stream on it ends: then another one is opened. The
//! peer chooses for its direction. Two members that have dialled each other at once both leave for the
//! connection that the lower identity dialled, and close the other one: what is asked on one says nothing
//! of the other. A connection that is made while an older one has been up for
//! some time means that the peer lost the older one: it is replaced.

mod handler;
mod peer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use handler::{Ask, Handler, OpenFailure, Tell};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::ConnectionEstablished;
use libp2p::swarm::{
    CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, Stream, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use peer::{Peer, Waiting};
use shoal_proto::NodeId;
use thiserror::Error;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::clock::now;
use super::config::NetLimits;
use super::id::node_of;
use super::stats::{Stats, count};

/// A link that lasted this long was no failure.
const STEADY: Duration = Duration::from_secs(5);
/// First and longest wait before a substream that was refused is opened again.
const REOPEN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));

/// Names one outgoing substream, so that what ends late is not mistaken for its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkId(pub(super) u64);

/// What the behaviour hands out.
#[derive(Debug)]
pub(crate) enum Event {
    /// A substream to read frames from; the peer is allowed to have one.
    Inbound {
        node: NodeId,
        connection: ConnectionId,
        stream: Stream,
    },
    /// A member is to be written to on another connection than on this one.
    Leave {
        node: NodeId,
        connection: ConnectionId,
    },
    /// The peer has lost this connection, and made another one.
    Replaced {
        node: NodeId,
        connection: ConnectionId,
    },
    /// The substream to write frames to.
    Outbound {
        node: NodeId,
        link: LinkId,
        connection: ConnectionId,
        stream: Stream,
    },
    /// A substream to write to could not be opened; it is tried again later.
    OpenFailed {
        node: NodeId,
        /// The connection, if nothing came on it in time.
        silent: Option<ConnectionId>,
    },
}

#[derive(Debug, Error)]
enum Refused {
    #[error("the identity is not an Ed25519 key")]
    Identity,
    #[error("too many connections to this peer")]
    TooMany,
}

/// Negotiates packet substreams with the peers that packets are exchanged with.
pub(crate) struct Behaviour {
    protocol: StreamProtocol,
    local: NodeId,
    connections_per_peer: usize,
    waiting_deadline: Duration,
    peers: BTreeMap<PeerId, Peer>,
    /// Whom packets are exchanged with.
    allowed: BTreeSet<NodeId>,
    /// Whose connections are kept although nothing is open on them.
    kept: BTreeSet<NodeId>,
    actions: VecDeque<ToSwarm<Event, Ask>>,
    waker: Option<Waker>,
    backoff: Backoff,
    next_link: u64,
    stats: Arc<Stats>,
}

impl Behaviour {
    pub(crate) fn new(
        protocol: StreamProtocol,
        local: NodeId,
        limits: &NetLimits,
        seed: u64,
        stats: Arc<Stats>,
    ) -> Self {
        Self {
            protocol,
            local,
            connections_per_peer: usize::try_from(limits.connections_per_peer)
                .unwrap_or(1)
                .max(1),
            waiting_deadline: limits.waiting_deadline,
            peers: BTreeMap::new(),
            allowed: BTreeSet::new(),
            kept: BTreeSet::new(),
            actions: VecDeque::new(),
            waker: None,
            backoff: Backoff::new(REOPEN.0, REOPEN.1, seed),
            next_link: 0,
            stats,
        }
    }

    /// Replaces the set of peers that packets are exchanged with. Gives those that are no longer
    /// in it: the caller ends their links.
    pub(crate) fn set_allowed(&mut self, allowed: BTreeSet<NodeId>, now: Instant) -> Vec<NodeId> {
        let before = std::mem::replace(&mut self.allowed, allowed);
        let ids: Vec<PeerId> = self.peers.keys().copied().collect();
        for id in ids {
            let Some(peer) = self.peers.get_mut(&id) else {
                continue;
            };
            let (was, is) = (
                before.contains(&peer.node),
                self.allowed.contains(&peer.node),
            );
            if was && !is {
                peer.forbid(now);
            } else if is && !was {
                peer.allow(now);
                if let Some(waiting) = peer.waiting.take() {
                    let inbound = Event::Inbound {
                        node: peer.node,
                        connection: waiting.connection,
                        stream: waiting.stream,
                    };
                    self.act(ToSwarm::GenerateEvent(inbound));
                }
                self.open_if_due(id, now);
            }
            self.tell_keep(id);
        }
        before.difference(&self.allowed).copied().collect()
    }

    /// Replaces the set of peers whose connections are kept although nothing is open on them.
    /// Gives what it was before.
    pub(crate) fn set_kept(&mut self, kept: BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        let before = std::mem::replace(&mut self.kept, kept);
        let ids: Vec<PeerId> = self.peers.keys().copied().collect();
        for id in ids {
            self.tell_keep(id);
        }
        before
    }

    pub(crate) fn is_allowed(&self, node: &NodeId) -> bool {
        self.allowed.contains(node)
    }

    pub(crate) fn is_kept(&self, node: &NodeId) -> bool {
        self.kept.contains(node)
    }

    /// The writer of this link has ended. Says whether another one is being opened at once.
    pub(crate) fn link_ended(&mut self, id: PeerId, link: LinkId, now: Instant) -> bool {
        let Some(peer) = self.peers.get_mut(&id) else {
            return false;
        };
        peer.link_ended(link, now, &mut self.backoff);
        self.open_if_due(id, now);
        self.peers.get(&id).is_some_and(Peer::is_opening)
    }

    /// This connection is being closed: nothing is opened on it any more.
    pub(crate) fn closing(&mut self, id: PeerId, connection: ConnectionId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.closing(connection);
        }
    }

    /// Does what is due: opens again what was refused, and gives up waiting substreams.
    pub(crate) fn tick(&mut self, now: Instant) {
        let ids: Vec<PeerId> = self.peers.keys().copied().collect();
        for id in ids {
            if let Some(peer) = self.peers.get_mut(&id)
                && peer
                    .waiting
                    .as_ref()
                    .is_some_and(|waiting| waiting.until <= now)
            {
                peer.waiting = None;
                count(&self.stats.refused);
            }
            self.replace(id, now);
            self.settle(id, now);
            self.open_if_due(id, now);
        }
    }

    /// Brings two members that have several connections to one: frames go on the one that both ends prefer,
    /// and then the others are closed. Clients are left alone.
    fn settle(&mut self, id: PeerId, now: Instant) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let node = peer.node;
        if !self.kept.contains(&node) {
            return;
        }
        let spare = peer.spare(self.local < node, now);
        if let Some(connection) = peer.to_leave(now) {
            self.act(ToSwarm::GenerateEvent(Event::Leave { node, connection }));
        }
        for connection in spare {
            self.close(id, connection);
        }
    }

    /// Closes the connections that a later one has taken the place of.
    fn replace(&mut self, id: PeerId, now: Instant) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let node = peer.node;
        for connection in peer.replaced(now) {
            self.act(ToSwarm::GenerateEvent(Event::Replaced { node, connection }));
            self.close(id, connection);
        }
    }

    fn close(&mut self, peer_id: PeerId, connection: ConnectionId) {
        let connection = CloseConnection::One(connection);
        self.act(ToSwarm::CloseConnection {
            peer_id,
            connection,
        });
    }

    /// How many connections this peer has, those that are being closed included.
    pub(crate) fn connections(&self, id: &PeerId) -> usize {
        let peer = self.peers.get(id);
        peer.map_or(0, |peer| peer.connection_ids().count())
    }

    /// Whether this peer has a connection that is not being closed.
    pub(crate) fn has_usable(&self, id: &PeerId) -> bool {
        self.peers.get(id).is_some_and(Peer::has_usable)
    }

    fn act(&mut self, action: ToSwarm<Event, Ask>) {
        self.actions.push_back(action);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn ask(&mut self, peer_id: PeerId, connection: ConnectionId, event: Ask) {
        let handler = NotifyHandler::One(connection);
        self.act(ToSwarm::NotifyHandler {
            peer_id,
            handler,
            event,
        });
    }

    fn open_if_due(&mut self, id: PeerId, now: Instant) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if !self.allowed.contains(&peer.node) {
            return;
        }
        if let Some(connection) = peer.start_opening(now) {
            self.ask(id, connection, Ask::Open);
        }
    }

    /// Whether this is a peer that we want to be connected with.
    pub(crate) fn keep(&self, node: &NodeId) -> bool {
        self.allowed.contains(node) || self.kept.contains(node)
    }

    fn tell_keep(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(&id) else {
            return;
        };
        let keep = self.keep(&peer.node);
        if peer.keep == keep {
            return;
        }
        let connections: Vec<ConnectionId> = peer.connection_ids().collect();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.keep = keep;
        }
        for connection in connections {
            self.ask(id, connection, Ask::Keep(keep));
        }
    }

    fn admit(&self, id: &PeerId) -> Result<Handler, ConnectionDenied> {
        let node = node_of(id).ok_or_else(|| ConnectionDenied::new(Refused::Identity))?;
        let room = self
            .peers
            .get(id)
            .is_none_or(|peer| peer.has_room(self.connections_per_peer, now()));
        if !room {
            return Err(ConnectionDenied::new(Refused::TooMany));
        }
        Ok(Handler::new(self.protocol.clone(), self.keep(&node)))
    }

    fn established(&mut self, event: &ConnectionEstablished<'_>) {
        let (id, connection, now) = (event.peer_id, event.connection_id, now());
        let Some(node) = node_of(&id) else { return };
        let by_lower = event.endpoint.is_dialer() == (self.local < node);
        let keep = self.keep(&node);
        let peer = self.peers.entry(id).or_insert_with(|| Peer::new(node, now));
        peer.add(connection, by_lower, now);
        peer.keep = keep;
        self.replace(id, now);
        self.settle(id, now);
        self.ask(id, connection, Ask::Keep(keep));
        self.open_if_due(id, now);
    }

    fn closed(&mut self, id: PeerId, connection: ConnectionId) {
        let now = now();
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.remove(connection, now);
        if peer.is_gone() {
            self.peers.remove(&id);
        } else {
            self.open_if_due(id, now);
        }
    }

    fn inbound(&mut self, id: PeerId, connection: ConnectionId, stream: Stream) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let node = peer.node;
        peer.used(connection);
        self.replace(id, now());
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if self.allowed.contains(&node) {
            self.act(ToSwarm::GenerateEvent(Event::Inbound {
                node,
                connection,
                stream,
            }));
        } else if peer.waiting.is_none() {
            let until = now() + self.waiting_deadline;
            peer.waiting = Some(Waiting {
                stream,
                connection,
                until,
            });
        } else {
            count(&self.stats.refused);
        }
    }

    fn outbound(&mut self, id: PeerId, connection: ConnectionId, stream: Stream) {
        let link = LinkId(self.next_link);
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if peer.opened(connection, link, now()) {
            self.next_link = self.next_link.wrapping_add(1);
            let node = peer.node;
            self.act(ToSwarm::GenerateEvent(Event::Outbound {
                node,
                link,
                connection,
                stream,
            }));
        }
    }

    fn open_failed(&mut self, id: PeerId, connection: ConnectionId, why: OpenFailure) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let unsupported = why == OpenFailure::Unsupported;
        if peer.open_failed(connection, unsupported, now(), &mut self.backoff) {
            let node = peer.node;
            self.act(ToSwarm::GenerateEvent(Event::OpenFailed {
                node,
                silent: (why == OpenFailure::Silent).then_some(connection),
            }));
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(&peer)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(&peer)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.established(&event),
            FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id,
                connection_id,
                ..
            }) => {
                self.closed(peer_id, connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        id: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Tell::Inbound(stream) => self.inbound(id, connection, stream),
            Tell::Outbound(stream) => self.outbound(id, connection, stream),
            Tell::OpenFailed(why) => self.open_failed(id, connection, why),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        if let Some(action) = self.actions.pop_front() {
            return Poll::Ready(action);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
