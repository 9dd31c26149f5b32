//! From the links into the composition's intake, and through it on worker threads.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::JoinHandle;

use shoal_mix::{DropReason, Processed, UnwrapQueue};
use shoal_packet::Frame;
use shoal_proto::NodeId;
use shoal_roles::node::Intake;
use tokio::sync::mpsc;

use super::queue::Queue;
use crate::net::FrameSink;
use crate::runtime::clock::Clock;

/// Where readers bring frames, and where workers take them.
pub(super) struct Frames {
    intake: Arc<Intake>,
    clock: Clock,
    queue: Queue<UnwrapQueue>,
}

impl Frames {
    pub(super) fn new(intake: Arc<Intake>, clock: Clock) -> Arc<Self> {
        let queue = Queue::new(intake.queue());
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
        let gather =
            |items: &mut UnwrapQueue| (!items.is_empty()).then(|| items.take(self.clock.now()));
        while let Some(batch) = self.queue.take(gather) {
            // What is there is unwrapped together; nobody waits for a full batch.
            for processed in self.intake.unwrap(self.clock.now(), batch) {
                if let Err(refused) = out.blocking_send(processed) {
                    refused.0.drop_as(DropReason::Abandoned);
                }
            }
        }
    }
}

impl FrameSink for Frames {
    fn frame(&self, from: NodeId, frame: Frame) {
        if let Some(admitted) = self.intake.admit(self.clock.now(), from, frame) {
            // What it has no room for, it has counted.
            self.queue.put(|queue| {
                let _ = queue.push(admitted);
            });
        }
    }

    fn malformed(&self, _from: NodeId) {
        self.intake.malformed();
    }
}
