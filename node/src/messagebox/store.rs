//! The database on a thread of its own, so that nobody who serves waits for a disk.

use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::db::{Bounds, BoxDb};
use crate::state::{BoxRows, StateError};

/// What may wait for the disk; who asks for more waits.
const QUEUE: usize = 64;

type Job = Box<dyn FnOnce(&mut BoxDb) + Send>;

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// The disk, or what is on it.
    #[error(transparent)]
    State(#[from] StateError),
    /// The daemon stops.
    #[error("the daemon is stopping")]
    Stopped,
}

/// The way to the database.
pub(super) struct Store {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens these rows, and moves them to a thread of its own.
    pub(super) fn open<T>(
        rows: BoxRows,
        bounds: Bounds,
        first: impl FnOnce(&mut BoxDb) -> Result<T, StateError>,
    ) -> Result<(Self, T), StateError> {
        let mut db = BoxDb::open(rows, bounds)?;
        let value = first(&mut db)?;
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        let thread = std::thread::Builder::new()
            .name("messagebox-db".to_owned())
            .spawn(move || {
                while let Some(job) = queue.blocking_recv() {
                    job(&mut db);
                }
            })
            .map_err(|error| StateError::Io {
                action: "start a thread for",
                path: "messagebox.db".into(),
                error,
            })?;
        let store = Self {
            jobs: Mutex::new(Some(jobs)),
            thread: Mutex::new(Some(thread)),
        };
        Ok((store, value))
    }

    /// Does something with the database, and gives what it said.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut BoxDb) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let jobs = self
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let jobs = jobs.ok_or(StoreError::Stopped)?;
        let (answer, wait) = oneshot::channel();
        let job: Job = Box::new(move |db| {
            // Who asked may be gone.
            drop(answer.send(work(db)));
        });
        jobs.send(job).await.map_err(|_| StoreError::Stopped)?;
        drop(jobs);
        Ok(wait.await.map_err(|_| StoreError::Stopped)??)
    }

    /// Does what is queued and closes the database; nothing more is done. Blocks.
    pub(super) fn close(&self) {
        drop(
            self.jobs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the message box's thread panicked");
        }
    }
}
