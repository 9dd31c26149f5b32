//! From the links into the composition's intake, and through it on worker threads.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::JoinHandle;

use rand_chacha::ChaCha20Rng;
use shoal_mix::{Admitted, DropReason, Processed};
use shoal_packet::{Batch, Frame};
use shoal_proto::NodeId;
use shoal_roles::node::Intake;
use tokio::sync::mpsc;

use super::queue::{Found, Queue};
use crate::net::FrameSink;
use crate::runtime::clock::Clock;

type UnwrapQueue = shoal_mix::UnwrapQueue<ChaCha20Rng>;

/// Where readers bring frames, and where workers take them.
pub(super) struct Frames {
    intake: Arc<Intake>,
    clock: Clock,
    queue: Queue<UnwrapQueue>,
}

impl Frames {
    pub(super) fn new(intake: Arc<Intake>, clock: Clock, rng: ChaCha20Rng) -> Arc<Self> {
        let queue = Queue::new(intake.queue(rng));
        Arc::new(Self {
            intake,
            clock,
            queue,
        })
    }

    /// Lets the workers finish what is queued, and then end. What comes later is dropped.
    pub(super) fn close(&self) {
        self.queue.close();
    }

    /// Starts the unwrap workers. What goes on goes to `out`.
    pub(super) fn spawn_workers(
        self: &Arc<Self>,
        threads: NonZeroUsize,
        out: &mpsc::Sender<Processed>,
    ) -> io::Result<Vec<JoinHandle<()>>> {
        let spawn = |index| {
            let (frames, out) = (Arc::clone(self), out.clone());
            std::thread::Builder::new()
                .name(format!("unwrap-{index}"))
                .spawn(move || frames.work(&out))
        };
        (0..threads.get()).map(spawn).collect()
    }

    fn work(&self, out: &mpsc::Sender<Processed>) {
        while let Some(batch) = self.queue.take(|items, closed| self.look(items, closed)) {
            for processed in self.intake.unwrap(self.clock.now(), batch) {
                if let Err(refused) = out.blocking_send(processed) {
                    refused.0.drop_as(DropReason::Abandoned);
                }
            }
        }
    }

    /// What is to be unwrapped now; a few wait for others.
    fn look(&self, items: &mut UnwrapQueue, closed: bool) -> Found<Batch<Admitted>> {
        let Some(due) = items.due() else {
            return Found::Nothing;
        };
        let now = self.clock.now();
        if due > now && !closed {
            return Found::Soon(due.since(now).into());
        }
        let batch = items.take(now);
        Found::Some(batch, items.len() >= UnwrapQueue::GROUP)
    }
}

impl FrameSink for Frames {
    fn frame(&self, from: NodeId, frame: Frame) {
        if let Some(admitted) = self.intake.admit(self.clock.now(), from, frame) {
            // What it has no room for, it has counted.
            self.queue.put(|queue| {
                let added = queue.push(admitted).is_ok();
                // One waits from the first on; another is worth waking for each group.
                added && (queue.len() == 1 || queue.len().is_multiple_of(UnwrapQueue::GROUP))
            });
        }
    }

    fn malformed(&self, _from: NodeId) {
        self.intake.malformed();
    }
}
