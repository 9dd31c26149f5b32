//! Work of the processor that a node does beside its packets: signatures of documents and
//! descriptors on one thread, commands for the provider role on another, so that neither waits for
//! the other.

use std::collections::VecDeque;
use std::io;

use shoal_roles::node::{NodeInput, NodeJob};
use tokio::sync::mpsc;

use super::queue::Queue;
use super::worker::Worker;

/// The ways to the threads.
pub(super) struct JobThreads {
    directory: Worker<NodeJob>,
    commands: Worker<NodeJob>,
}

impl JobThreads {
    /// Starts the threads. What comes of jobs comes out of `done`.
    pub(super) fn spawn(done: &mpsc::Sender<NodeInput>) -> io::Result<Self> {
        let spawn = |name| {
            let done = done.clone();
            Worker::spawn(name, move |jobs| work(jobs, &done))
        };
        Ok(Self {
            directory: spawn("documents")?,
            commands: spawn("commands")?,
        })
    }

    /// Has a job done.
    pub(super) fn give(&self, job: NodeJob) {
        match job {
            NodeJob::Command(..) => self.commands.give(job),
            _ => self.directory.give(job),
        }
    }

    /// Ends the threads. What they have not begun is left.
    pub(super) fn stop(self) {
        self.directory.stop();
        self.commands.stop();
    }
}

fn work(jobs: &Queue<VecDeque<NodeJob>>, done: &mpsc::Sender<NodeInput>) {
    while let Some(job) = jobs.take_one() {
        if done.is_closed() {
            return; // the loop is gone while the node stops
        }
        let _ = done.blocking_send(NodeInput::Done(job.run()));
    }
}
