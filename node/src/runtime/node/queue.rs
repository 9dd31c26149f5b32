//! From tasks that never wait to threads that do: one queue under one lock.
//!
//! Readers of links (one task per peer) put frames in, unwrap workers (threads) take what is there, up to
//! a batch; nobody waits for a full batch. What it holds says itself what it takes and from whom. The
//! loop gives its work to [`Worker`](super::worker::Worker)s in the same way.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A queue between async producers that never wait and threads that do.
pub(super) struct Queue<C> {
    state: Mutex<State<C>>,
    filled: Condvar,
}

struct State<C> {
    items: C,
    closed: bool,
}

impl<C> Queue<C> {
    /// A queue that holds its items in this.
    pub(super) const fn new(items: C) -> Self {
        let state = State {
            items,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            filled: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `add` add something, and wakes who waits. Does nothing if the queue is closed.
    pub(super) fn put(&self, add: impl FnOnce(&mut C)) {
        let mut state = self.lock();
        if !state.closed {
            add(&mut state.items);
            drop(state);
            self.filled.notify_one();
        }
    }

    /// Waits until `gather` takes something of the items, and gives that. None once the queue is closed
    /// and there is nothing to take.
    pub(super) fn take<T>(&self, mut gather: impl FnMut(&mut C) -> Option<T>) -> Option<T> {
        let mut state = self.lock();
        loop {
            let taken = gather(&mut state.items);
            if taken.is_some() || state.closed {
                return taken;
            }
            let woken = self.filled.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Refuses what comes and lets the workers finish what is there.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }
}

impl<T> Queue<VecDeque<T>> {
    /// Waits for one item. None once the queue is closed and empty.
    pub(super) fn take_one(&self) -> Option<T> {
        self.take(VecDeque::pop_front)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn closing_lets_the_rest_out_and_wakes_who_waits() {
        let queue = Arc::new(Queue::new(VecDeque::new()));
        let worker = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || {
                let mut all = Vec::new();
                let all_of =
                    |items: &mut VecDeque<i32>| (!items.is_empty()).then(|| std::mem::take(items));
                while let Some(some) = queue.take(all_of) {
                    all.extend(some);
                }
                all
            })
        };
        for item in 0..100 {
            queue.put(|items| items.push_back(item));
        }
        queue.close();
        queue.put(|items| items.push_back(100));
        let all = worker.join().expect("worker");
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(queue.take_one(), None);
    }
}
