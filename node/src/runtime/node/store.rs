//! The mailbox store on a thread of its own: what is there becomes one commit.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use shoal_provider::{Store, StoreOp, StoreResult, Usage};
use tokio::sync::mpsc;

use crate::runtime::clock::Clock;

/// Most operations in one commit.
const GROUP: usize = 256;
/// Operations that wait for the disk; past that the provider is told at once.
const BOUND: usize = 4096;

/// What the store says of one operation.
pub(super) struct StoreDone {
    pub(super) ticket: u64,
    pub(super) result: StoreResult,
}

/// The way to the store's thread.
pub(super) struct StoreThread {
    ops: SyncSender<(u64, StoreOp)>,
    thread: JoinHandle<Usage>,
}

impl StoreThread {
    /// Moves the store to a thread of its own. Results come out of `done`.
    pub(super) fn spawn(
        store: Box<dyn Store>,
        clock: Clock,
        done: mpsc::Sender<StoreDone>,
    ) -> io::Result<Self> {
        let (ops, queue) = sync_channel(BOUND);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || run(store, clock, &queue, &done))?;
        Ok(Self { ops, thread })
    }

    /// Queues an operation; false if the queue is full or the thread is gone.
    pub(super) fn apply(&self, ticket: u64, op: StoreOp) -> bool {
        match self.ops.try_send((ticket, op)) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// Lets the thread finish what is queued.
    pub(super) fn stop(self) {
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
    done: &mpsc::Sender<StoreDone>,
) -> Usage {
    while let Ok(first) = queue.recv() {
        let group = std::iter::once(first).chain(queue.try_iter()).take(GROUP);
        let (tickets, ops): (Vec<_>, Vec<_>) = group.unzip();
        let results = store.apply(clock.now(), ops);
        for (ticket, result) in tickets.into_iter().zip(results) {
            // The provider is gone while the node stops: what was committed is found again.
            let _ = done.blocking_send(StoreDone { ticket, result });
        }
    }
    store.usage()
}
