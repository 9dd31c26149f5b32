//! The directory's state on a thread of its own, so that no packet waits for these writes.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use shoal_topology::DirectoryChange;

use crate::state::{DirectoryFiles, ReplayWriter};

/// Changes that wait for the disk: several epochs' worth of the largest directory.
const BOUND: usize = 8192;

/// How long the thread waits for a change before it does what was put off.
const LATER: Duration = Duration::from_secs(3);

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
    let mut later = Vec::new();
    loop {
        match queue.recv_timeout(LATER) {
            Ok((change, done)) => {
                apply(&mut files, log, change, &mut later);
                if let Some(done) = done {
                    // Whoever waited has stopped.
                    let _ = done.send(());
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                for change in std::mem::take(&mut later) {
                    finish(&mut files, log, change, &mut later);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    for change in std::mem::take(&mut later) {
        finish(&mut files, log, change, &mut later);
    }
}

/// Applies a change now, unless it is one that has to wait: packets of the epoch may still be on
/// their way to the replay log when the epoch's key is given up.
fn apply(
    files: &mut DirectoryFiles,
    log: &ReplayWriter,
    change: DirectoryChange,
    later: &mut Vec<DirectoryChange>,
) {
    if matches!(change, DirectoryChange::RemoveKey { .. }) {
        later.push(change);
    } else {
        finish(files, log, change, later);
    }
}

/// Applies a change. A key that could not be saved is tried again until it is: packets of its epoch
/// are dropped meanwhile, because their tags can't be logged either.
fn finish(
    files: &mut DirectoryFiles,
    log: &ReplayWriter,
    change: DirectoryChange,
    later: &mut Vec<DirectoryChange>,
) {
    if let Err(error) = files.apply(&change, log) {
        tracing::error!(%error, "the directory's state could not be saved");
        if matches!(
            change,
            DirectoryChange::Key { .. } | DirectoryChange::RemoveKey { .. }
        ) {
            later.push(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use shoal_proto::Epoch;
    use zeroize::Zeroizing;

    use super::*;
    use crate::state::ReplayLog;

    fn thread(dir: &Path) -> FilesThread {
        let mut log = ReplayLog::open(dir).expect("log");
        let files = DirectoryFiles::open(dir).expect("files");
        files.load(&mut log).expect("load");
        let log = ReplayWriter::spawn(log, 16, |_| {}).expect("writer");
        FilesThread::spawn(files, Arc::new(log)).expect("thread")
    }

    fn key(epoch: u64) -> DirectoryChange {
        DirectoryChange::Key {
            epoch: Epoch::new(epoch),
            secret: Zeroizing::new([7; 32]),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_key_outlasts_what_is_under_way_and_no_longer() {
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("epoch-keys/1.key");
        let thread = thread(dir.path());
        thread.apply(key(1));
        assert!(file.exists(), "it is there before anybody uses it");
        let epoch = Epoch::new(1);
        thread.apply(DirectoryChange::RemoveKey { epoch });
        thread.apply(key(2)); // waits for everything before it
        assert!(file.exists());
        thread.stop();
        assert!(!file.exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    #[expect(
        clippy::disallowed_methods,
        reason = "a deadline for a test that fails"
    )]
    async fn a_key_that_could_not_be_saved_is_tried_again() {
        let dir = tempfile::tempdir().expect("dir");
        let (keys, away) = (dir.path().join("epoch-keys"), dir.path().join("away"));
        let thread = thread(dir.path());
        std::fs::rename(&keys, &away).expect("rename");
        thread.apply(key(1));
        std::fs::rename(&away, &keys).expect("rename");
        assert!(!keys.join("1.key").exists());
        let start = Instant::now();
        while !keys.join("1.key").exists() {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "never tried again"
            );
            tokio::task::yield_now().await;
        }
        thread.stop();
    }
}
