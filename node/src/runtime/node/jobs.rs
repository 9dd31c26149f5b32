//! Work of the processor that a node does beside its packets: signatures of documents and
//! descriptors on one thread, commands for the provider role on another, so that neither waits for
//! the other.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use shoal_roles::node::{NodeInput, NodeJob};
use tokio::sync::mpsc;

use super::queue::Queue;
use super::worker::Worker;

/// The ways to the threads.
pub(super) struct JobThreads {
    directory: Worker<NodeJob>,
    commands: Worker<NodeJob>,
    /// What takes seconds, which happens only while a node asks for a place.
    long: Worker<NodeJob>,
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
            long: spawn("long jobs")?,
        })
    }

    /// Has a job done.
    pub(super) fn give(&self, job: NodeJob) {
        match job {
            _ if job.is_long() => self.long.give(job),
            NodeJob::Command(..) => self.commands.give(job),
            _ => self.directory.give(job),
        }
    }

    /// Ends the threads. What they have not begun is left.
    pub(super) fn stop(self) {
        self.directory.stop();
        self.commands.stop();
        self.long.stop();
    }
}

fn work(jobs: &Queue<VecDeque<NodeJob>>, done: &mpsc::Sender<NodeInput>) {
    while let Some(job) = jobs.take_one() {
        if done.is_closed() {
            return; // the loop is gone while the node stops
        }
        if let Some(result) = survive(|| job.run()) {
            let _ = done.blocking_send(NodeInput::Done(result));
        }
    }
}

/// Does a job. None if it panicked: that is a fault of this program, but the jobs after it are no worse
/// for it, and the composition goes on without what does not come. A job shares nothing that it changes.
fn survive<T>(job: impl FnOnce() -> T) -> Option<T> {
    let result = catch_unwind(AssertUnwindSafe(job));
    if result.is_err() {
        tracing::error!(
            "a job panicked, and is left out: please report this with the message before"
        );
    }
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_panics_takes_no_other_with_it() {
        let done = std::thread::spawn(|| {
            let odd = |number: u32| assert!(number % 2 == 1, "even");
            let jobs = (0..6).filter_map(|number| survive(|| odd(number)));
            jobs.count()
        });
        assert_eq!(done.join().expect("the thread lives"), 3);
    }
}
