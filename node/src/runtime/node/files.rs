//! The directory's state on a thread of its own, so that no packet waits for these writes.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use shoal_topology::DirectoryChange;

use crate::state::{DirectoryFiles, ReplayWriter};

/// Changes that wait for the disk: several epochs' worth of the largest directory.
const BOUND: usize = 8192;

/// A change, and who waits for it.
type Job = (DirectoryChange, Option<SyncSender<()>>);

/// The way to the thread.
pub(super) struct FilesThread {
    jobs: SyncSender<Job>,
    thread: JoinHandle<()>,
}

impl FilesThread {
    pub(super) fn spawn(files: DirectoryFiles, log: Arc<ReplayWriter>) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(BOUND);
        let thread = std::thread::Builder::new()
            .name("directory-files".to_owned())
            .spawn(move || run(files, &log, &queue))?;
        Ok(Self { jobs, thread })
    }

    /// Queues a change. For a key it waits until the key and its replay log are on disk, so that
    /// nobody uses it before; and for the number of the own descriptor, so that no crash lets the
    /// node sign two with one number. Both are rare, and wait on a thread that may block.
    pub(super) fn apply(&self, change: DirectoryChange) {
        let awaited = matches!(
            change,
            DirectoryChange::Key { .. } | DirectoryChange::Sequence(_)
        );
        let sent = if awaited {
            let (done, wait) = sync_channel(1);
            let sent = self.jobs.try_send((change, Some(done)));
            if sent.is_ok() {
                // The sender is dropped if the thread is gone; tags fail to be written then.
                let _ = tokio::task::block_in_place(|| wait.recv());
            }
            sent
        } else {
            self.jobs.try_send((change, None))
        };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = sent {
            tracing::error!("the disk is too far behind to save the directory's state");
        }
    }

    /// Lets the thread write what is queued.
    pub(super) fn stop(self) {
        drop(self.jobs);
        if self.thread.join().is_err() {
            tracing::error!("the thread of the directory's files panicked");
        }
    }
}

fn run(mut files: DirectoryFiles, log: &ReplayWriter, queue: &Receiver<Job>) {
    while let Ok((change, done)) = queue.recv() {
        if let Err(error) = files.apply(&change, log) {
            tracing::error!(%error, "the directory's state could not be saved");
        }
        if let Some(done) = done {
            // Whoever waited has stopped.
            let _ = done.send(());
        }
    }
}
