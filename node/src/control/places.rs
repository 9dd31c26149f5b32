//! Places of connections: how many there are, and who goes when there are too many.
//!
//! What works has priority. A connection that asks nothing, or not yet, is closed when its place is needed, the one
//! that has been idle for longest first. One that waits for something to happen holds no place among these: it is one
//! of those that are open, and of these there may be as many as the system lets the process have.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{Notify, oneshot};

/// Open files that the daemon's own work never needs more of than this.
const OWN_FILES: u64 = 256;

/// How many there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Connections that ask, or don't; those that wait are none of them.
    pub(super) places: usize,
    /// Connections, those that wait among them.
    pub(super) open: usize,
}

/// So many connections as the system lets this process have files, but for its own.
pub(super) fn open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let spare = limit.current.unwrap_or(u64::MAX).saturating_sub(OWN_FILES);
    usize::try_from(spare)
        .unwrap_or(usize::MAX)
        .max(OWN_FILES as usize)
}

/// Has the system allow as many files as it does at most: each wait is an open one.
pub(super) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
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
    /// Of these, those that wait.
    waits: usize,
    /// Those that have been told to go and have not gone.
    going: usize,
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
    ///
    /// It begins as an idle one, with what tells it to go.
    pub(super) async fn take(self: &Arc<Self>) -> (Seat, oneshot::Receiver<()>) {
        loop {
            {
                let mut table = self.table();
                let held = table.open - table.waits;
                if held < self.bounds.places && table.open < self.bounds.open {
                    table.open += 1;
                    let (go, told) = oneshot::channel();
                    let since = table.rest(go);
                    let state = Mutex::new(State {
                        idle: Some(since),
                        ..State::default()
                    });
                    let places = Arc::clone(self);
                    return (Seat(Arc::new(Inner { places, state })), told);
                }
                let over = (held + 1).saturating_sub(self.bounds.places);
                let over = over.max((table.open + 1).saturating_sub(self.bounds.open));
                // Places are free once those have gone that had them. Several go together, as each may take a moment.
                let together = over.max(self.bounds.places / 4);
                while table.going < together && table.send_one() {}
            }
            self.free.notified().await;
        }
    }

    /// Closes the one that has been idle for longest, if there is one: there are no more files.
    pub(super) fn spare_one(&self) {
        self.table().send_one();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing in here panics.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn rest(&mut self, go: oneshot::Sender<()>) -> u64 {
        let since = self.next;
        self.next += 1;
        self.idle.insert(since, go);
        since
    }

    /// Tells the one to go that has been idle for longest. False if none is.
    fn send_one(&mut self) -> bool {
        let Some((_, go)) = self.idle.pop_first() else {
            return false;
        };
        self.going += usize::from(go.send(()).is_ok());
        true
    }
}

/// A connection's place, until the last copy of it is dropped.
#[derive(Clone)]
pub(super) struct Seat(Arc<Inner>);

struct Inner {
    places: Arc<Places>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// So much of it is being answered.
    busy: usize,
    /// What tells it to go, while it is.
    go: Option<oneshot::Sender<()>>,
    /// If nothing is, since then.
    idle: Option<u64>,
    /// Something was, or is.
    asked: bool,
}

impl Seat {
    /// The connection asks something, until this is dropped.
    pub(super) fn work(&self) -> Busy {
        let mut state = self.state();
        state.busy += 1;
        state.asked = true;
        if let Some(since) = state.idle.take() {
            state.go = self.0.places.table().idle.remove(&since);
        }
        drop(state);
        Busy(self.clone())
    }

    /// Whether the connection has asked anything yet.
    pub(super) fn has_asked(&self) -> bool {
        self.state().asked
    }

    /// It waits for something to happen, until this is dropped.
    pub(super) fn wait(&self) -> Wait {
        self.0.places.table().waits += 1;
        self.0.places.free.notify_one();
        Wait(self.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut table = self.places.table();
        table.open -= 1;
        let idle = state
            .idle
            .is_some_and(|since| table.idle.remove(&since).is_some());
        let stayed = idle || state.go.is_some();
        table.going -= usize::from(!stayed && table.going > 0);
        drop(table);
        self.places.free.notify_one();
    }
}

/// A request is being answered.
pub(super) struct Busy(Seat);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.busy -= 1;
        if state.busy == 0
            && let Some(go) = state.go.take()
        {
            state.idle = Some(self.0.0.places.table().rest(go));
        }
        drop(state);
        self.0.0.places.free.notify_one();
    }
}

/// A request waits for something to happen.
pub(super) struct Wait(Seat);

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.0.places.table().waits -= 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures::FutureExt as _;

    use super::*;

    fn places() -> Arc<Places> {
        Places::new(Bounds { places: 2, open: 4 })
    }

    #[tokio::test]
    async fn the_longest_idle_goes_first_and_who_works_stays() {
        let places = places();
        let (first, mut first_told) = places.take().await;
        let (second, mut second_told) = places.take().await;
        // Whoever was answered just now has been idle for less long.
        drop(first.work());
        let mut third = Box::pin(places.take());
        assert!(third.as_mut().now_or_never().is_none());
        assert!(second_told.try_recv().is_ok(), "idle for longest");
        assert!(first_told.try_recv().is_err());
        drop(second);
        let (third, _third_told) = third.await;
        // All work: the next waits until one idles, and then until that has gone.
        let (work, _other) = (first.work(), third.work());
        let mut fourth = Box::pin(places.take());
        assert!(fourth.as_mut().now_or_never().is_none());
        drop(work);
        assert!(fourth.as_mut().now_or_never().is_none());
        first_told.await.unwrap();
        assert!(
            fourth.as_mut().now_or_never().is_none(),
            "it has not gone yet"
        );
        drop(first);
        let _fourth = fourth.await;
    }

    #[tokio::test]
    async fn who_waits_holds_no_place() {
        let places = places();
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let (seat, told) = places.take().await;
            let busy = seat.work();
            waiting.push((seat.wait(), busy, seat, told));
        }
        let (first, _told) = places.take().await;
        let (second, _also_told) = places.take().await;
        let _work = (first.work(), second.work());
        assert!(places.take().now_or_never().is_none(), "all are open");
        drop(waiting.pop());
        // One that comes back from its wait may be one too many, until another goes.
        let (wait, _busy, _seat, _told) = waiting.pop().unwrap();
        assert!(places.take().now_or_never().is_none(), "two work");
        drop(wait);
        assert!(places.take().now_or_never().is_none(), "three do");
    }

    #[tokio::test]
    async fn as_many_go_as_are_too_many() {
        let places = places();
        let mut seats = Vec::new();
        for _ in 0..4 {
            let (seat, told) = places.take().await;
            let busy = seat.work();
            seats.push((seat.wait(), busy, told, seat));
        }
        // All come back at once, and ask nothing more.
        let mut told = Vec::new();
        for (wait, busy, go, seat) in seats {
            drop((wait, busy));
            told.push((go, seat));
        }
        let mut next = Box::pin(places.take());
        for _ in 0..3 {
            assert!(next.as_mut().now_or_never().is_none());
            // The one that has been told goes.
            let at = told.iter_mut().position(|(go, _)| go.try_recv().is_ok());
            told.remove(at.unwrap());
        }
        let _next = next.await;
    }
}
