//! The client's rows on a thread of their own: what is there becomes one commit.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use shoal_client::Change;
use tokio::sync::mpsc;

use crate::state::ClientDb;

/// Changes that wait for the disk.
const BOUND: usize = 1024;
/// Most tickets in one commit.
const GROUP: usize = 128;

/// Most changes whose fate has not been told.
pub(super) const OUTSTANDING: usize = BOUND + GROUP;

/// What became of a change.
pub(super) enum Written {
    /// It is on disk.
    Done { ticket: u64 },
    /// It is not.
    Failed { ticket: u64, reason: String },
}

/// The way to the database's thread.
pub(super) struct Database {
    changes: SyncSender<(u64, Vec<Change>)>,
    thread: JoinHandle<ClientDb>,
}

impl Database {
    /// Moves the database to a thread of its own.
    pub(super) fn spawn(db: ClientDb, written: mpsc::Sender<Written>) -> io::Result<Self> {
        let (changes, queue) = sync_channel(BOUND);
        let thread = std::thread::Builder::new()
            .name("client-db".to_owned())
            .spawn(move || run(db, &queue, &written))?;
        Ok(Self { changes, thread })
    }

    /// Queues changes; false if the queue is full or the thread is gone.
    pub(super) fn write(&self, ticket: u64, changes: Vec<Change>) -> bool {
        self.changes.try_send((ticket, changes)).is_ok()
    }

    /// Writes what is queued and gives the database back. `None` if its thread panicked.
    pub(super) fn finish(self) -> Option<ClientDb> {
        drop(self.changes);
        self.thread.join().ok()
    }
}

fn run(
    mut db: ClientDb,
    queue: &Receiver<(u64, Vec<Change>)>,
    written: &mpsc::Sender<Written>,
) -> ClientDb {
    while let Ok(first) = queue.recv() {
        let group: Vec<_> = std::iter::once(first)
            .chain(queue.try_iter())
            .take(GROUP)
            .collect();
        for done in write_group(&mut db, group) {
            // Nobody waits any more while the daemon stops.
            let _ = written.blocking_send(done);
        }
    }
    db
}

/// One commit for all; if it fails, one for each, so that a single bad change harms no other.
fn write_group(db: &mut ClientDb, group: Vec<(u64, Vec<Change>)>) -> Vec<Written> {
    let all = group.iter().flat_map(|(_, changes)| changes);
    if db.apply(all).is_ok() {
        return group
            .into_iter()
            .map(|(ticket, _)| Written::Done { ticket })
            .collect();
    }
    let one = |(ticket, changes): (u64, Vec<Change>)| match db.apply(&changes) {
        Ok(()) => Written::Done { ticket },
        Err(error) => Written::Failed {
            ticket,
            reason: error.to_string(),
        },
    };
    group.into_iter().map(one).collect()
}
