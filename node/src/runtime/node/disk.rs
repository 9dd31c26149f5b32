//! The directory's state on a thread of its own, so that no packet waits for these writes. What to
//! try again, and when, is the composition's to say.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use shoal_roles::node::NodeInput;
use shoal_topology::DirectoryChange;
use tokio::sync::mpsc;

use crate::state::{DirectoryFiles, ReplayWriter};

/// Changes on their way to the thread. What does not fit waits in the loop, which never drops one.
const BOUND: usize = 1024;

/// A change with its ticket.
type Change = (u64, DirectoryChange);

/// The way to the thread.
pub(super) struct DiskThread {
    jobs: SyncSender<Change>,
    waiting: VecDeque<Change>,
    thread: JoinHandle<()>,
}

impl DiskThread {
    /// Starts the thread. What became of changes comes out of `done`.
    pub(super) fn spawn(
        files: DirectoryFiles,
        log: Arc<ReplayWriter>,
        done: mpsc::Sender<NodeInput>,
    ) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(BOUND);
        let thread = std::thread::Builder::new()
            .name("directory-files".to_owned())
            .spawn(move || run(files, &log, &queue, &done))?;
        Ok(Self {
            jobs,
            waiting: VecDeque::new(),
            thread,
        })
    }

    /// Queues a change, behind those that were queued before.
    pub(super) fn write(&mut self, ticket: u64, change: DirectoryChange) {
        self.waiting.push_back((ticket, change));
        self.push();
    }

    /// Hands on what waits, as far as there is room. Called again whenever a change is done.
    pub(super) fn push(&mut self) {
        while let Some(change) = self.waiting.pop_front() {
            match self.jobs.try_send(change) {
                Ok(()) => {}
                Err(TrySendError::Full(change) | TrySendError::Disconnected(change)) => {
                    return self.waiting.push_front(change);
                }
            }
        }
    }

    /// Lets the thread write what is queued.
    pub(super) fn stop(self) {
        for change in self.waiting {
            // The thread takes what there is and waits for nobody; if it is gone, so is the disk.
            let _ = self.jobs.send(change);
        }
        drop(self.jobs);
        if self.thread.join().is_err() {
            tracing::error!("the thread of the directory's files panicked");
        }
    }
}

fn run(
    mut files: DirectoryFiles,
    log: &ReplayWriter,
    queue: &Receiver<Change>,
    done: &mpsc::Sender<NodeInput>,
) {
    while let Ok((ticket, change)) = queue.recv() {
        let told = match files.apply(&change, log) {
            Ok(()) => NodeInput::Persisted { ticket },
            Err(error) => {
                tracing::error!(%error, "the directory's state could not be saved; it is tried again");
                NodeInput::PersistFailed { ticket, change }
            }
        };
        // The loop is gone while the node stops.
        let _ = done.blocking_send(told);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use shoal_proto::Epoch;
    use zeroize::Zeroizing;

    use super::*;
    use crate::state::ReplayLog;

    fn thread(dir: &Path) -> (DiskThread, mpsc::Receiver<NodeInput>) {
        let mut log = ReplayLog::open(dir).expect("log");
        let files = DirectoryFiles::open(dir).expect("files");
        files.load(&mut log).expect("load");
        let log = ReplayWriter::spawn(log, 16, |_| {}).expect("writer");
        let (told, done) = mpsc::channel(16);
        let thread = DiskThread::spawn(files, Arc::new(log), told).expect("thread");
        (thread, done)
    }

    fn key(epoch: u64) -> DirectoryChange {
        DirectoryChange::Key {
            epoch: Epoch::new(epoch),
            secret: Zeroizing::new([7; 32]),
        }
    }

    #[test]
    fn what_is_told_to_be_on_disk_is() {
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("epoch-keys/1.key");
        let (mut thread, mut done) = thread(dir.path());
        thread.write(1, key(1));
        let told = done.blocking_recv();
        assert!(matches!(told, Some(NodeInput::Persisted { ticket: 1 })));
        assert!(file.exists());
        let epoch = Epoch::new(1);
        thread.write(2, DirectoryChange::RemoveKey { epoch });
        let told = done.blocking_recv();
        assert!(matches!(told, Some(NodeInput::Persisted { ticket: 2 })));
        assert!(!file.exists());
        thread.stop();
    }

    #[test]
    fn what_failed_comes_back_whole() {
        let dir = tempfile::tempdir().expect("dir");
        let (keys, away) = (dir.path().join("epoch-keys"), dir.path().join("away"));
        let (mut thread, mut done) = thread(dir.path());
        std::fs::rename(&keys, &away).expect("rename");
        thread.write(1, key(1));
        let Some(NodeInput::PersistFailed { ticket: 1, change }) = done.blocking_recv() else {
            panic!("it did not fail");
        };
        std::fs::rename(&away, &keys).expect("rename");
        thread.write(1, change);
        let told = done.blocking_recv();
        assert!(matches!(told, Some(NodeInput::Persisted { ticket: 1 })));
        assert!(keys.join("1.key").exists());
        thread.stop();
    }

    #[test]
    fn what_finds_no_room_is_written_later_and_in_order() {
        let dir = tempfile::tempdir().expect("dir");
        let (mut thread, mut done) = thread(dir.path());
        let all = 2 * BOUND as u64;
        for number in 0..all {
            thread.write(number, DirectoryChange::Sequence(number));
        }
        for number in 0..all {
            let told = done.blocking_recv();
            assert!(matches!(told, Some(NodeInput::Persisted { ticket }) if ticket == number));
            thread.push();
        }
        thread.stop();
    }
}
