//! What the handle, the networking task and the links share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use libp2p::Multiaddr;
use shoal_proto::NodeId;
use shoal_roles::RequestKind;
use shoal_topology::{Address, Verdict};
use tokio::sync::{Notify, mpsc};

use super::config::NetLimits;
use super::event::{Channel, GossipToken, RequestId};
use super::rings::Rings;
use super::stats::{Stats, count};

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
    Probe(NodeId, Vec<Address>),
}

/// What is wanted now; only the newest counts, so it needs no queue.
#[derive(Default)]
pub(super) struct Wanted {
    /// New members to stay connected to.
    pub(super) peers: Option<BTreeMap<NodeId, Vec<Multiaddr>>>,
    /// New peers to exchange packets with.
    pub(super) packet_peers: Option<BTreeSet<NodeId>>,
    /// The orderly stop; once wanted, it stays so.
    pub(super) shutdown: bool,
}

pub(super) struct Shared {
    pub(super) local: NodeId,
    pub(super) limits: NetLimits,
    pub(super) rings: Rings,
    pub(super) stats: Arc<Stats>,
    wanted: Mutex<Wanted>,
    changed: Notify,
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
            changed: Notify::new(),
            next_request: AtomicU64::new(0),
            commands,
        }
    }

    /// Changes what is wanted, and wakes the networking task.
    pub(super) fn want(&self, change: impl FnOnce(&mut Wanted)) {
        change(&mut self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    /// Waits until something else is wanted.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What is newly wanted.
    pub(super) fn wanted(&self) -> Wanted {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        Wanted {
            peers: wanted.peers.take(),
            packet_peers: wanted.packet_peers.take(),
            shutdown: wanted.shutdown,
        }
    }

    /// A name for a request that no other has.
    pub(super) fn request_id(&self) -> RequestId {
        RequestId(self.next_request.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether it was taken. A command that finds the queue full is dropped and counted: the
    /// networking task is stuck then.
    pub(super) fn command(&self, command: Command) -> bool {
        let taken = self.commands.try_send(command).is_ok();
        if !taken {
            count(&self.stats.dropped);
        }
        taken
    }
}
