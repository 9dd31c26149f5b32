//! The mailbox store on a thread of its own: what is there becomes one commit.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use shoal_provider::{Store, StoreOp};
use shoal_roles::node::NodeInput;
use tokio::sync::mpsc;

use crate::runtime::clock::Clock;

/// Most operations in one commit.
const GROUP: usize = 256;
/// Operations on their way to the thread. What does not fit waits in the loop; the provider role
/// bounds how many there can be.
const BOUND: usize = 4096;

/// The way to the store's thread.
pub(super) struct StoreThread {
    ops: SyncSender<(u64, StoreOp)>,
    waiting: VecDeque<(u64, StoreOp)>,
    thread: JoinHandle<()>,
}

impl StoreThread {
    /// Moves the store to a thread of its own. Results come out of `done`.
    pub(super) fn spawn(
        store: Box<dyn Store>,
        clock: Clock,
        done: mpsc::Sender<NodeInput>,
    ) -> io::Result<Self> {
        let (ops, queue) = sync_channel(BOUND);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || run(store, clock, &queue, &done))?;
        Ok(Self {
            ops,
            waiting: VecDeque::new(),
            thread,
        })
    }

    /// Queues an operation, behind those that were queued before.
    pub(super) fn apply(&mut self, ticket: u64, op: StoreOp) {
        self.waiting.push_back((ticket, op));
        self.push();
    }

    /// Hands on what waits, as far as there is room. Called again whenever an operation is done.
    pub(super) fn push(&mut self) {
        while let Some(op) = self.waiting.pop_front() {
            match self.ops.try_send(op) {
                Ok(()) => {}
                Err(TrySendError::Full(op) | TrySendError::Disconnected(op)) => {
                    return self.waiting.push_front(op);
                }
            }
        }
    }

    /// Lets the thread finish what is queued.
    pub(super) fn stop(self) {
        for op in self.waiting {
            // The thread takes what there is and waits for nobody.
            let _ = self.ops.send(op);
        }
        drop(self.ops);
        if self.thread.join().is_err() {
            tracing::error!("the store's thread panicked");
        }
    }
}

fn run(
    mut store: Box<dyn Store>,
    clock: Clock,
    queue: &Receiver<(u64, StoreOp)>,
    done: &mpsc::Sender<NodeInput>,
) {
    while let Ok(first) = queue.recv() {
        let group = std::iter::once(first).chain(queue.try_iter()).take(GROUP);
        let (tickets, ops): (Vec<_>, Vec<_>) = group.unzip();
        let results = store.apply(clock.now(), ops);
        for (ticket, result) in tickets.into_iter().zip(results) {
            // The loop is gone while the node stops: what was committed is found again.
            let _ = done.blocking_send(NodeInput::Stored { ticket, result });
        }
    }
}
