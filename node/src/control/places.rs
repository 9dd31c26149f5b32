//! Places of connections: how many there are, and who goes when there are too many.
//!
//! What works has priority. A connection that asks nothing is closed when its place is needed, the one
//! that has been idle for longest first; those that wait for something to happen have a bound of their
//! own below that of all. So a request is served however many connections idle or wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

/// How many there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Connections.
    pub(super) connections: usize,
    /// Of them, those that wait; fewer than all.
    pub(super) waits: usize,
}

/// All places.
pub(super) struct Places {
    bounds: Bounds,
    table: Mutex<Table>,
    /// A place is free, or idle.
    free: Notify,
}

#[derive(Default)]
struct Table {
    open: usize,
    waits: usize,
    next: u64,
    /// Idle since, and how each is told to go.
    idle: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Places {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            table: Mutex::default(),
            free: Notify::new(),
        })
    }

    /// Takes a place for a connection; an idle one is closed for it if need be. Until there is a place
    /// or an idle one, it waits: that is, while all of them work.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        let mut one_goes = false;
        loop {
            {
                let mut table = self.table();
                if table.open < self.bounds.connections {
                    table.open += 1;
                    return Place {
                        places: Arc::clone(self),
                        idle: None,
                    };
                }
                if !one_goes && let Some((_, go)) = table.idle.pop_first() {
                    // Its place is free once it has gone.
                    one_goes = go.send(()).is_ok();
                }
            }
            self.free.notified().await;
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing in here panics.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place, until it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    idle: Option<u64>,
}

impl Place {
    /// The connection asks nothing from now on. Resolves when it has to go.
    pub(super) fn rest(&mut self) -> oneshot::Receiver<()> {
        let (go, told) = oneshot::channel();
        let mut table = self.places.table();
        let since = table.next;
        table.next += 1;
        table.idle.insert(since, go);
        drop(table);
        self.idle = Some(since);
        self.places.free.notify_one();
        told
    }

    /// The connection asks something. False if it has to go already.
    pub(super) fn work(&mut self) -> bool {
        let since = self.idle.take();
        since.is_none_or(|since| self.places.table().idle.remove(&since).is_some())
    }

    /// Leave to wait for something to happen, until it is dropped; `None` if too many do.
    pub(super) fn wait(&self) -> Option<Wait> {
        let mut table = self.places.table();
        let room = table.waits < self.places.bounds.waits;
        table.waits += usize::from(room);
        drop(table);
        room.then(|| Wait(Arc::clone(&self.places)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.table();
        table.open -= 1;
        if let Some(since) = self.idle {
            table.idle.remove(&since);
        }
        drop(table);
        self.places.free.notify_one();
    }
}

/// Leave to wait.
pub(super) struct Wait(Arc<Places>);

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.table().waits -= 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures::FutureExt as _;

    use super::*;

    fn places() -> Arc<Places> {
        Places::new(Bounds {
            connections: 2,
            waits: 1,
        })
    }

    #[tokio::test]
    async fn the_longest_idle_goes_first_and_who_works_stays() {
        let places = places();
        let (mut first, mut second) = (places.take().await, places.take().await);
        let mut first_told = first.rest();
        let mut second_told = second.rest();
        assert!(first.work());
        drop(first_told);
        first_told = first.rest();
        let mut third = Box::pin(places.take());
        assert!(third.as_mut().now_or_never().is_none());
        assert!(second_told.try_recv().is_ok(), "idle for longest");
        assert!(first_told.try_recv().is_err());
        assert!(!second.work(), "it has to go");
        drop(second);
        let _third = third.await;
        // All work: the next waits until one idles, and then until that has gone.
        assert!(first.work());
        let mut fourth = Box::pin(places.take());
        assert!(fourth.as_mut().now_or_never().is_none());
        let told = first.rest();
        assert!(fourth.as_mut().now_or_never().is_none());
        told.await.unwrap();
        drop(first);
        let _fourth = fourth.await;
    }

    #[tokio::test]
    async fn waits_are_bounded_apart() {
        let places = places();
        let (first, second) = (places.take().await, places.take().await);
        let wait = first.wait().unwrap();
        assert!(second.wait().is_none());
        drop(wait);
        assert!(second.wait().is_some());
    }
}
