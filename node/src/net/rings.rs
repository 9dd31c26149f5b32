//! The bounded queues of frames, one for each peer with a packet link.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use shoal_packet::Frame;
use shoal_proto::NodeId;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::error::SendError;

/// The bounded rings of all peers with a packet link. Senders read the table without a lock; only
/// the networking task changes it.
#[derive(Default)]
pub(super) struct Rings(ArcSwap<BTreeMap<NodeId, Sender<Frame>>>);

impl Rings {
    pub(super) fn try_send(&self, to: &NodeId, frame: Frame) -> Result<(), SendError> {
        match self.0.load().get(to) {
            None => Err(SendError::NotConnected(frame)),
            Some(ring) => ring.try_send(frame).map_err(|error| match error {
                TrySendError::Full(frame) => SendError::Full(frame),
                TrySendError::Closed(frame) => SendError::NotConnected(frame),
            }),
        }
    }

    /// Makes a ring for this peer in place of the one it had; gives the end that the writer reads.
    pub(super) fn open(&self, peer: NodeId, frames: usize) -> Receiver<Frame> {
        let (sender, receiver) = channel(frames.max(1));
        self.change(|rings| {
            rings.insert(peer, sender.clone());
        });
        receiver
    }

    /// Removes the ring: frames for this peer are refused from now on.
    pub(super) fn remove(&self, peer: &NodeId) {
        self.change(|rings| {
            rings.remove(peer);
        });
    }

    /// Removes every ring.
    pub(super) fn clear(&self) {
        self.0.store(Arc::default());
    }

    fn change(&self, change: impl Fn(&mut BTreeMap<NodeId, Sender<Frame>>)) {
        self.0.rcu(|rings| {
            let mut rings = BTreeMap::clone(rings);
            change(&mut rings);
            rings
        });
    }
}
