//! The mailbox store on a thread of its own: what is there becomes one commit.

use std::collections::VecDeque;
use std::io;

use shoal_provider::{Store, StoreOp};
use shoal_roles::node::NodeInput;
use tokio::sync::mpsc;

use super::queue::{Found, Queue};
use super::worker::Worker;
use crate::runtime::clock::Clock;

/// Most operations in one commit.
const GROUP: usize = 256;

/// An operation with its ticket.
type Operation = (u64, StoreOp);

/// The way to the store's thread. The provider role bounds how many operations there can be.
pub(super) struct StoreThread(Worker<Operation>);

impl StoreThread {
    /// Moves the store to a thread of its own. Results come out of `done`.
    pub(super) fn spawn(
        store: Box<dyn Store>,
        clock: Clock,
        done: mpsc::Sender<NodeInput>,
    ) -> io::Result<Self> {
        Worker::spawn("store", move |ops| run(store, clock, ops, &done)).map(Self)
    }

    /// Queues an operation, behind those that were queued before.
    pub(super) fn apply(&self, ticket: u64, op: StoreOp) {
        self.0.give((ticket, op));
    }

    /// Lets the thread finish what is queued.
    pub(super) fn stop(self) {
        self.0.stop();
    }
}

fn run(
    mut store: Box<dyn Store>,
    clock: Clock,
    ops: &Queue<VecDeque<Operation>>,
    done: &mpsc::Sender<NodeInput>,
) {
    let group = |ops: &mut VecDeque<Operation>, _: bool| match ops.is_empty() {
        true => Found::Nothing,
        false => {
            let group: (Vec<u64>, Vec<StoreOp>) = ops.drain(..ops.len().min(GROUP)).unzip();
            Found::Some(group, false)
        }
    };
    while let Some((tickets, ops)) = ops.take(group) {
        let results = store.apply(clock.now(), ops);
        for (ticket, result) in tickets.into_iter().zip(results) {
            // The loop is gone while the node stops: what was committed is found again.
            let _ = done.blocking_send(NodeInput::Stored { ticket, result });
        }
    }
}
