use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use libp2p::Multiaddr;
use shoal_packet::Frame;
use shoal_proto::NodeId;
use tokio::sync::{Notify, mpsc};

use super::config::NetLimits;
use super::error::{RequestError, SendError};
use super::event::{Channel, GossipToken, RequestId, RequestKind};
use super::rings::Rings;
use super::stats::{NetStats, Stats};

/// What the networking task is asked to do.
pub(super) enum Command {
    Dial(NodeId, Vec<Multiaddr>),
    Disconnect(NodeId),
    Publish(Vec<u8>),
    Request {
        to: NodeId,
        kind: RequestKind,
        id: RequestId,
        bytes: Vec<u8>,
    },
    Respond(Channel, Vec<u8>),
    Verdict(GossipToken, Verdict),
}

/// What is wanted now; only the newest counts, so it needs no queue.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) peers: Option<BTreeMap<NodeId, Vec<Multiaddr>>>,
    pub(super) packet_peers: Option<BTreeSet<NodeId>>,
    pub(super) shutdown: bool,
}

pub(super) struct Shared {
    pub(super) local: NodeId,
    pub(super) limits: NetLimits,
    pub(super) rings: Rings,
    pub(super) stats: Arc<Stats>,
    pub(super) wanted: Mutex<Wanted>,
    pub(super) wanted_changed: Notify,
    next_request: AtomicU64,
    commands: mpsc::Sender<Command>,
}

impl Shared {
    pub(super) fn new(local: NodeId, limits: NetLimits, commands: mpsc::Sender<Command>) -> Self {
        Self {
            local,
            limits,
            rings: Rings::default(),
            stats: Arc::default(),
            wanted: Mutex::default(),
            wanted_changed: Notify::new(),
            next_request: AtomicU64::new(0),
            commands,
        }
    }
}

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
        self.lock_wanted().peers = Some(peers);
        self.0.wanted_changed.notify_one();
    }

    /// The peers to exchange packets with: members and attached clients; for a client, its
    /// provider. A substream is opened to each while it is connected, and theirs are read. The
    /// substreams of others wait unread for a short time and are then closed. Replaces what was
    /// set before; links to peers that are no longer named are closed.
    pub fn set_packet_peers(&self, allowed: BTreeSet<NodeId>) {
        self.lock_wanted().packet_peers = Some(allowed);
        self.0.wanted_changed.notify_one();
    }

    /// Dials this peer once, unless it is connected. Ends in
    /// [`Connected`](super::NetEvent::Connected) or [`DialFailed`](super::NetEvent::DialFailed).
    pub fn dial(&self, peer: NodeId, addresses: Vec<Multiaddr>) {
        self.command(Command::Dial(peer, addresses));
    }

    /// Closes all connections to this peer. Members are dialled again.
    pub fn disconnect(&self, peer: NodeId) {
        self.command(Command::Disconnect(peer));
    }

    /// Publishes a gossip message. If nobody is there to hear it:
    /// [`PublishFailed`](super::NetEvent::PublishFailed).
    pub fn publish(&self, bytes: Vec<u8>) {
        self.command(Command::Publish(bytes));
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
        let id = RequestId(self.0.next_request.fetch_add(1, Ordering::Relaxed));
        if self.command(Command::Request {
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
    /// in [`NetStats::responses_lost`].
    pub fn respond(&self, channel: Channel, bytes: Vec<u8>) {
        self.command(Command::Respond(channel, bytes));
    }

    /// Says what becomes of a gossip message.
    pub fn report_gossip(&self, token: GossipToken, verdict: Verdict) {
        self.command(Command::Verdict(token, verdict));
    }

    /// Stops in order: takes no more frames, lets the rings empty themselves, closes every
    /// connection. Done when the receiver of events ends.
    pub fn shutdown(&self) {
        self.lock_wanted().shutdown = true;
        self.0.wanted_changed.notify_one();
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> NetStats {
        self.0.stats.snapshot()
    }

    /// Whether it was taken. A command that finds the queue full is dropped and counted: the
    /// networking task is stuck then.
    fn command(&self, command: Command) -> bool {
        let taken = self.0.commands.try_send(command).is_ok();
        if !taken {
            self.0
                .stats
                .commands_dropped
                .fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    fn lock_wanted(&self) -> std::sync::MutexGuard<'_, Wanted> {
        self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
