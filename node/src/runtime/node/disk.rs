//! The directory's state on a thread of its own, so that no packet waits for these writes. What to
//! try again, and when, is the composition's to say.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use shoal_roles::node::NodeInput;
use shoal_topology::DirectoryChange;
use tokio::sync::mpsc;

use super::queue::Queue;
use super::worker::Worker;
use crate::state::{DirectoryState, NotKept, ReplayWriter};

/// Changes that go together, with their ticket.
type Group = (u64, Vec<DirectoryChange>);

/// The way to the thread.
pub(super) struct DiskThread(Worker<Group>);

impl DiskThread {
    /// Starts the thread. What became of changes comes out of `done`.
    pub(super) fn spawn(
        files: Box<dyn DirectoryState>,
        log: Arc<ReplayWriter>,
        done: mpsc::Sender<NodeInput>,
    ) -> io::Result<Self> {
        Worker::spawn("directory-files", move |groups| {
            run(files, &log, groups, &done);
        })
        .map(Self)
    }

    /// Queues a group of changes, behind those that were queued before.
    pub(super) fn write(&self, ticket: u64, changes: Vec<DirectoryChange>) {
        self.0.give((ticket, changes));
    }

    /// Lets the thread write what is queued.
    pub(super) fn stop(self) {
        self.0.stop();
    }
}

fn run(
    mut files: Box<dyn DirectoryState>,
    log: &ReplayWriter,
    groups: &Queue<VecDeque<Group>>,
    done: &mpsc::Sender<NodeInput>,
) {
    while let Some((ticket, changes)) = groups.take_one() {
        let told = match files.apply(changes, log) {
            Ok(()) => NodeInput::Persisted { ticket },
            Err(NotKept { changes, why }) => NodeInput::PersistFailed {
                ticket,
                changes,
                why: why.to_string(),
            },
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
    use crate::state::{DirectoryFiles, ReplayLog};

    fn thread(dir: &Path) -> (DiskThread, mpsc::Receiver<NodeInput>) {
        let mut log = ReplayLog::open(dir).expect("log");
        let files = DirectoryFiles::open(dir).expect("files");
        files.load(&mut log).expect("load");
        let log = ReplayWriter::spawn(log, 16, |_| {}).expect("writer");
        let (told, done) = mpsc::channel(16);
        let thread = DiskThread::spawn(Box::new(files), Arc::new(log), told).expect("thread");
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
        let (thread, mut done) = thread(dir.path());
        thread.write(1, vec![key(1)]);
        let told = done.blocking_recv();
        assert!(matches!(told, Some(NodeInput::Persisted { ticket: 1 })));
        assert!(file.exists());
        let epoch = Epoch::new(1);
        thread.write(2, vec![DirectoryChange::RemoveKey { epoch }]);
        let told = done.blocking_recv();
        assert!(matches!(told, Some(NodeInput::Persisted { ticket: 2 })));
        assert!(!file.exists());
        thread.stop();
    }

    #[test]
    fn what_failed_comes_back_whole() {
        let dir = tempfile::tempdir().expect("dir");
        let (keys, away) = (dir.path().join("epoch-keys"), dir.path().join("away"));
        let (thread, mut done) = thread(dir.path());
        std::fs::rename(&keys, &away).expect("rename");
        thread.write(1, vec![key(1), DirectoryChange::Sequence(7)]);
        let Some(NodeInput::PersistFailed {
            ticket: 1,
            changes,
            why,
        }) = done.blocking_recv()
        else {
            panic!("it did not fail");
        };
        assert!(
            matches!(changes[..], [DirectoryChange::Key { .. }]),
            "the number is on disk"
        );
        assert!(why.contains("epoch-keys"), "{why}");
        std::fs::rename(&away, &keys).expect("rename");
        thread.write(1, changes);
        let told = done.blocking_recv();
        assert!(matches!(told, Some(NodeInput::Persisted { ticket: 1 })));
        assert!(keys.join("1.key").exists());
        thread.stop();
    }

    #[test]
    fn what_finds_no_room_is_written_later_and_in_order() {
        let dir = tempfile::tempdir().expect("dir");
        let (thread, mut done) = thread(dir.path());
        let all = 2048;
        for number in 0..all {
            thread.write(number, vec![DirectoryChange::Sequence(number)]);
        }
        for number in 0..all {
            let told = done.blocking_recv();
            assert!(matches!(told, Some(NodeInput::Persisted { ticket }) if ticket == number));
        }
        thread.stop();
    }
}
