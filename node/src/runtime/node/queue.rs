//! From tasks that never wait to threads that do: one bounded queue.
//!
//! Readers of links (one task per peer) push frames, unwrap workers (threads) take what is there, up to
//! a batch; nobody waits for a full batch. What does not fit is dropped and counted where it arrives,
//! so that one peer who sends too much costs the node a counter and no memory. The loop gives its work
//! to [`Worker`](super::worker::Worker)s in the same way.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A bounded queue between async producers that never wait and threads that do.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    bound: usize,
}

struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    /// A queue of at most `bound` items.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                closed: false,
            }),
            filled: Condvar::new(),
            bound,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item, or gives it back if the queue is full or closed.
    pub(super) fn push(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed || state.items.len() >= self.bound {
            return Err(item);
        }
        state.items.push_back(item);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for items and takes what `gather` takes of them. None once the queue is closed and empty.
    pub(super) fn take<C>(&self, gather: impl FnOnce(&mut VecDeque<T>) -> C) -> Option<C> {
        let mut state = self.lock();
        while state.items.is_empty() {
            if state.closed {
                return None;
            }
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        Some(gather(&mut state.items))
    }

    /// Waits for one item. None once the queue is closed and empty.
    pub(super) fn take_one(&self) -> Option<T> {
        self.take(VecDeque::pop_front).flatten()
    }

    /// Refuses what comes and lets the workers finish what is there.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn what_does_not_fit_comes_back() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(1), Ok(()));
        assert_eq!(queue.push(2), Ok(()));
        assert_eq!(queue.push(3), Err(3));
        let all = queue.take(std::mem::take).expect("two");
        assert!(all.into_iter().eq([1, 2]));
        assert_eq!(queue.push(3), Ok(()));
    }

    #[test]
    fn closing_lets_the_rest_out_and_wakes_who_waits() {
        let queue = Arc::new(Queue::new(100));
        let worker = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || {
                let mut all = Vec::new();
                while let Some(some) = queue.take(std::mem::take) {
                    all.extend(some);
                }
                all
            })
        };
        for item in 0..100 {
            while queue.push(item).is_err() {}
        }
        queue.close();
        assert_eq!(queue.push(100), Err(100));
        let all = worker.join().expect("worker");
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }
}
