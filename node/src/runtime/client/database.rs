//! The client's rows on a thread of their own: what is there becomes one commit.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use shoal_client::Change;
use tokio::sync::mpsc;

use super::files::Looked;
use crate::state::ClientDb;

/// Changes that wait for the disk.
const BOUND: usize = 1024;
/// Most tickets in one commit.
const GROUP: usize = 128;

/// Most changes whose fate has not been told.
pub(super) const OUTSTANDING: usize = BOUND + GROUP;

/// Whose changes they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ticket {
    /// The session's.
    Session(u64),
    /// Those of files.
    Files(u64),
    /// Those of conversations.
    Talks(u64),
}

/// What became of a change, or what was found.
pub(super) enum Written {
    /// It is on disk.
    Done { ticket: Ticket },
    /// It is not.
    Failed { ticket: Ticket, reason: String },
    /// What was looked for, of files.
    Looked(Looked),
}

/// What the thread does with the database between two commits: what it found, if the loop is to hear of it.
pub(super) type Look = Box<dyn FnOnce(&ClientDb) -> Option<Looked> + Send>;

enum Job {
    Write(Ticket, Vec<Change>),
    Look(Look),
}

/// The way to the database's thread.
pub(super) struct Database {
    jobs: SyncSender<Job>,
    thread: JoinHandle<ClientDb>,
}

impl Database {
    /// Moves the database to a thread of its own.
    pub(super) fn spawn(db: ClientDb, written: mpsc::Sender<Written>) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(BOUND);
        let thread = std::thread::Builder::new()
            .name("client-db".to_owned())
            .spawn(move || run(db, &queue, &written))?;
        Ok(Self { jobs, thread })
    }

    /// Queues changes; false if the queue is full or the thread is gone.
    pub(super) fn write(&self, ticket: Ticket, changes: Vec<Change>) -> bool {
        self.jobs.try_send(Job::Write(ticket, changes)).is_ok()
    }

    /// Looks at what is there once the changes before it are made; false as above.
    pub(super) fn look(&self, look: Look) -> bool {
        self.jobs.try_send(Job::Look(look)).is_ok()
    }

    /// Writes what is queued and gives the database back. `None` if its thread panicked.
    pub(super) fn finish(self) -> Option<ClientDb> {
        drop(self.jobs);
        self.thread.join().ok()
    }
}

fn run(mut db: ClientDb, queue: &Receiver<Job>, written: &mpsc::Sender<Written>) -> ClientDb {
    let tell = |told| {
        // Nobody waits any more while the daemon stops.
        let _ = written.blocking_send(told);
    };
    while let Ok(first) = queue.recv() {
        let jobs = std::iter::once(first).chain(queue.try_iter()).take(GROUP);
        let mut group = Vec::new();
        for job in jobs.collect::<Vec<_>>() {
            match job {
                Job::Write(ticket, changes) => group.push((ticket, changes)),
                Job::Look(look) => {
                    // It sees what was asked for before it.
                    let before = std::mem::take(&mut group);
                    write_group(&mut db, before).into_iter().for_each(tell);
                    look(&db).map(Written::Looked).into_iter().for_each(tell);
                }
            }
        }
        write_group(&mut db, group).into_iter().for_each(tell);
    }
    db
}

/// One commit for all; if it fails, one for each, so that a single bad change harms no other.
fn write_group(db: &mut ClientDb, group: Vec<(Ticket, Vec<Change>)>) -> Vec<Written> {
    if group.is_empty() {
        return Vec::new();
    }
    let all = group.iter().flat_map(|(_, changes)| changes);
    if db.apply(all).is_ok() {
        return group
            .into_iter()
            .map(|(ticket, _)| Written::Done { ticket })
            .collect();
    }
    let one = |(ticket, changes): (Ticket, Vec<Change>)| match db.apply(&changes) {
        Ok(()) => Written::Done { ticket },
        Err(error) => Written::Failed {
            ticket,
            reason: error.to_string(),
        },
    };
    group.into_iter().map(one).collect()
}
