//! Work of the processor that a node does beside its packets: signatures of documents and
//! descriptors on one thread, commands for the provider role on another, so that neither waits for
//! the other. How much there can be is the composition's to bound.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use shoal_roles::node::{NodeInput, NodeJob};
use tokio::sync::mpsc;

/// The ways to the threads.
pub(super) struct JobThreads {
    directory: Worker,
    commands: Worker,
}

struct Worker {
    desk: Arc<Desk>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<NodeJob>,
    closed: bool,
}

impl JobThreads {
    /// Starts the threads. What comes of jobs comes out of `done`.
    pub(super) fn spawn(done: &mpsc::Sender<NodeInput>) -> io::Result<Self> {
        Ok(Self {
            directory: Worker::spawn("documents", done.clone())?,
            commands: Worker::spawn("commands", done.clone())?,
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
        for worker in [self.directory, self.commands] {
            worker.stop();
        }
    }
}

impl Worker {
    fn spawn(name: &str, done: mpsc::Sender<NodeInput>) -> io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let thread = {
            let desk = Arc::clone(&desk);
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work(&desk, &done))?
        };
        Ok(Self { desk, thread })
    }

    fn give(&self, job: NodeJob) {
        let mut state = self
            .desk
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.jobs.push_back(job);
        drop(state);
        self.desk.filled.notify_one();
    }

    fn stop(self) {
        let mut state = self
            .desk
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        state.jobs.clear();
        drop(state);
        self.desk.filled.notify_all();
        if self.thread.join().is_err() {
            tracing::error!("a thread that checks signatures panicked");
        }
    }
}

fn work(desk: &Desk, done: &mpsc::Sender<NodeInput>) {
    while let Some(job) = next(desk) {
        // The loop is gone while the node stops.
        let _ = done.blocking_send(NodeInput::Done(job.run()));
    }
}

/// Waits for a job; none once there will be no more.
fn next(desk: &Desk) -> Option<NodeJob> {
    let mut state = desk.state.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(job) = state.jobs.pop_front() {
            return Some(job);
        }
        if state.closed {
            return None;
        }
        state = desk
            .filled
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
    }
}
