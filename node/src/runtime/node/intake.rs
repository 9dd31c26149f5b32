//! From the links into the gate, and through it on worker threads.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use shoal_mix::{Admitted, DropReason, Gate, Origin, Processed};
use shoal_packet::Frame;
use shoal_proto::{ClientHandle, NodeId};
use tokio::sync::mpsc;

use super::queue::Queue;
use crate::net::FrameSink;
use crate::runtime::clock::Clock;

/// Which connections are attached clients. The readers look here for the origin of each frame.
#[derive(Default)]
pub(super) struct Attachments(RwLock<BTreeMap<NodeId, ClientHandle>>);

impl Attachments {
    /// The connection's client is attached under this handle from now on.
    pub(super) fn insert(&self, peer: NodeId, handle: ClientHandle) -> Option<ClientHandle> {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        map.insert(peer, handle)
    }

    /// The connection is gone.
    pub(super) fn remove(&self, peer: &NodeId) -> Option<ClientHandle> {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        map.remove(peer)
    }

    /// The connections of all attached clients.
    pub(super) fn peers(&self) -> Vec<NodeId> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.keys().copied().collect()
    }

    fn origin(&self, peer: NodeId) -> Origin {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.get(&peer)
            .map_or(Origin::Member(peer), |handle| Origin::Client(*handle))
    }
}

/// Where readers bring frames: cheap checks, then the bounded queue.
pub(super) struct Intake {
    gate: Arc<Gate>,
    clock: Clock,
    attachments: Arc<Attachments>,
    queue: Queue<Admitted>,
}

impl Intake {
    pub(super) fn new(
        gate: Arc<Gate>,
        clock: Clock,
        attachments: Arc<Attachments>,
        bound: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            gate,
            clock,
            attachments,
            queue: Queue::new(bound),
        })
    }

    /// Lets the workers finish what is queued, and then end. What comes later is dropped.
    pub(super) fn close(&self) {
        self.queue.close();
    }

    /// Starts the unwrap workers. What comes out of the gate goes to `out`.
    pub(super) fn spawn_workers(
        self: &Arc<Self>,
        threads: NonZeroUsize,
        out: &mpsc::Sender<Processed>,
    ) -> io::Result<Vec<JoinHandle<()>>> {
        let spawn = |index| {
            let (intake, out) = (Arc::clone(self), out.clone());
            std::thread::Builder::new()
                .name(format!("unwrap-{index}"))
                .spawn(move || intake.work(&out))
        };
        (0..threads.get()).map(spawn).collect()
    }

    fn work(&self, out: &mpsc::Sender<Processed>) {
        let mut batch = Vec::new();
        while self.queue.take(&mut batch) {
            for admitted in batch.drain(..) {
                // What the gate refuses it has counted.
                if let Ok(processed) = self.gate.unwrap(self.clock.now(), admitted)
                    && let Err(refused) = out.blocking_send(processed)
                {
                    refused.0.drop_as(DropReason::Abandoned);
                }
            }
        }
    }
}

impl FrameSink for Intake {
    fn frame(&self, from: NodeId, frame: Frame) {
        let origin = self.attachments.origin(from);
        if let Ok(admitted) = self.gate.admit(self.clock.now(), origin, frame)
            && let Err(admitted) = self.queue.push(admitted)
        {
            admitted.drop_as(DropReason::QueueFull);
        }
    }

    fn malformed(&self, _from: NodeId) {
        self.gate
            .accounting()
            .receive()
            .drop_as(DropReason::Malformed);
    }

    fn closed(&self, _from: NodeId) {}
}
