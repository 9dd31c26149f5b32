//! From the links into the gate, and through it on worker threads.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use shoal_mix::{Admitted, DropReason, Gate, Origin, Processed};
use shoal_packet::Frame;
use shoal_proto::{ClientHandle, NodeId, Time};
use tokio::sync::mpsc;

use super::queue::Queue;
use crate::net::FrameSink;
use crate::runtime::clock::Clock;

/// How much faster than its profile a client may send before its frames are dropped.
const RATE_MARGIN: f64 = 2.0;
/// Frames that a client may send at once, after a pause of its machine or of a link.
const BURST: f64 = 64.0;

/// Which connections are attached clients. The readers look here for the origin of each frame.
#[derive(Default)]
pub(super) struct Attachments(RwLock<BTreeMap<NodeId, Attached>>);

struct Attached {
    handle: ClientHandle,
    budget: Mutex<Budget>,
}

/// A token bucket: no client can use more of this node than a few others do.
struct Budget {
    /// Tokens per second.
    rate: f64,
    tokens: f64,
    at: Time,
}

impl Budget {
    fn take(&mut self, now: Time) -> bool {
        let since = now.since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.tokens = (self.tokens + since * self.rate).min(BURST);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

impl Attachments {
    /// The connection's client is attached under this handle from now on, and sends at `rate`
    /// frames per second. Gives the handle that it had before.
    pub(super) fn insert(
        &self,
        now: Time,
        peer: NodeId,
        handle: ClientHandle,
        rate: f64,
    ) -> Option<ClientHandle> {
        let budget = Budget {
            rate: rate * RATE_MARGIN,
            tokens: BURST,
            at: now,
        };
        let attached = Attached {
            handle,
            budget: Mutex::new(budget),
        };
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        map.insert(peer, attached).map(|old| old.handle)
    }

    /// The connection is gone.
    pub(super) fn remove(&self, peer: &NodeId) -> Option<ClientHandle> {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        map.remove(peer).map(|old| old.handle)
    }

    /// The connections of all attached clients.
    pub(super) fn peers(&self) -> Vec<NodeId> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.keys().copied().collect()
    }

    /// Where a frame of this connection comes from; none if it is a client's that sends too much.
    fn origin(&self, now: Time, peer: NodeId) -> Option<Origin> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(client) = map.get(&peer) else {
            return Some(Origin::Member(peer));
        };
        let mut budget = client.budget.lock().unwrap_or_else(PoisonError::into_inner);
        budget.take(now).then_some(Origin::Client(client.handle))
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
        while let Some(batch) = self.queue.take() {
            // What is there is unwrapped together; nobody waits for a full batch.
            let outcomes = self.gate.unwrap_batch(self.clock.now(), batch);
            // What the gate refuses it has counted.
            for processed in outcomes.into_iter().flatten() {
                if let Err(refused) = out.blocking_send(processed) {
                    refused.0.drop_as(DropReason::Abandoned);
                }
            }
        }
    }
}

impl FrameSink for Intake {
    fn frame(&self, from: NodeId, frame: Frame) {
        let now = self.clock.now();
        let Some(origin) = self.attachments.origin(now, from) else {
            self.gate
                .accounting()
                .receive()
                .drop_as(DropReason::OverRate);
            return;
        };
        if let Ok(admitted) = self.gate.admit(now, origin, frame)
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

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_proto::Span;

    #[test]
    fn a_client_that_sends_too_much_is_cut_to_its_budget_and_no_other() {
        let (greedy, member) = (NodeId::new([1; 32]), NodeId::new([2; 32]));
        let attachments = Attachments::default();
        let start = Time::from_micros(1_000_000);
        attachments.insert(start, greedy, ClientHandle::new([3; 32]), 4.0);
        let mut passed = 0;
        for millis in 0..10_000 {
            let now = start + Span::from_millis(millis);
            passed += usize::from(attachments.origin(now, greedy).is_some());
            assert!(attachments.origin(now, member).is_some());
        }
        // 10 s at twice the rate, and the burst.
        assert!((140..=146).contains(&passed), "{passed}");
    }

    #[test]
    fn a_client_at_its_rate_loses_nothing() {
        let peer = NodeId::new([1; 32]);
        let attachments = Attachments::default();
        let mut now = Time::from_micros(1_000_000);
        attachments.insert(now, peer, ClientHandle::new([3; 32]), 4.0);
        for frame in 0..1_000 {
            // After a pause, what waited comes at once.
            let gap = if frame % 40 == 0 { 10_000 } else { 250 };
            now += Span::from_millis(if frame % 40 < 20 { gap } else { 0 });
            assert!(attachments.origin(now, peer).is_some(), "frame {frame}");
        }
    }
}
