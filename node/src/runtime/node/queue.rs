//! From tasks that never wait to threads that do: one queue under one lock.
//!
//! Readers of links (one task per peer) put frames in, unwrap workers (threads) take what is there, up to
//! a batch. What it holds says itself what it takes and from whom, and until when it is worth waiting for more. The
//! loop gives its work to [`Worker`](super::worker::Worker)s in the same way.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A queue between async producers that never wait and threads that do.
pub(super) struct Queue<C> {
    state: Mutex<State<C>>,
    filled: Condvar,
}

/// What there is for a thread.
pub(super) enum Found<T> {
    /// This, and whether there is enough left for another one.
    Some(T, bool),
    /// Something, once so long has passed or it is told of more.
    Soon(Duration),
    /// Nothing.
    Nothing,
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

    /// Has `add` add something, and wakes one who waits if it says so. Does nothing if the queue is closed.
    pub(super) fn put(&self, add: impl FnOnce(&mut C) -> bool) {
        let mut state = self.lock();
        if !state.closed {
            let wakes = add(&mut state.items);
            drop(state);
            if wakes {
                self.filled.notify_one();
            }
        }
    }

    /// Waits until `look` finds something in the items, and gives that. It is told whether the queue is closed, when
    /// there is nothing to wait for. None once it is, and there is nothing.
    pub(super) fn take<T>(&self, mut look: impl FnMut(&mut C, bool) -> Found<T>) -> Option<T> {
        let mut state = self.lock();
        loop {
            let closed = state.closed;
            state = match look(&mut state.items, closed) {
                Found::Some(taken, more) => {
                    drop(state);
                    if more {
                        self.filled.notify_one();
                    }
                    return Some(taken);
                }
                Found::Nothing if closed => return None,
                Found::Nothing => {
                    let woken = self.filled.wait(state);
                    woken.unwrap_or_else(PoisonError::into_inner)
                }
                Found::Soon(wait) => {
                    let woken = self.filled.wait_timeout(state, wait);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
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
        self.take(|items, _| match items.pop_front() {
            Some(item) => Found::Some(item, false),
            None => Found::Nothing,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn push(items: &mut VecDeque<i32>, item: i32) -> bool {
        items.push_back(item);
        true
    }

    /// Those that wait for more are woken by it, and by the end of the wait.
    #[test]
    fn what_is_worth_waiting_for_is_waited_for() {
        let queue = Arc::new(Queue::new(VecDeque::new()));
        let worker = {
            let queue = Arc::clone(&queue);
            let pair = |patience| {
                move |items: &mut VecDeque<i32>, closed: bool| match items.len() {
                    0 => Found::Nothing,
                    1 if !closed => Found::Soon(patience),
                    _ => Found::Some(std::mem::take(items).len(), false),
                }
            };
            std::thread::spawn(move || {
                let long = queue.take(pair(Duration::from_secs(3600)));
                (long, queue.take(pair(Duration::from_secs(3600))))
            })
        };
        queue.put(|items| push(items, 1));
        queue.put(|items| push(items, 2));
        while !queue.lock().items.is_empty() {
            std::thread::yield_now();
        }
        queue.put(|items| push(items, 3));
        queue.close();
        assert_eq!(worker.join().expect("worker"), (Some(2), Some(1)));
        queue.lock().closed = false;
        let mut waited = false;
        queue.put(|items| push(items, 4));
        let taken = queue.take(|items, _| match std::mem::replace(&mut waited, true) {
            false => Found::Soon(Duration::from_millis(1)),
            true => Found::Some(items.len(), false),
        });
        assert_eq!(taken, Some(1));
    }

    #[test]
    fn closing_lets_the_rest_out_and_wakes_who_waits() {
        let queue = Arc::new(Queue::new(VecDeque::new()));
        let worker = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || {
                let mut all = Vec::new();
                let all_of = |items: &mut VecDeque<i32>, _: bool| match items.is_empty() {
                    true => Found::Nothing,
                    false => Found::Some(std::mem::take(items), false),
                };
                while let Some(some) = queue.take(all_of) {
                    all.extend(some);
                }
                all
            })
        };
        for item in 0..100 {
            queue.put(|items| push(items, item));
        }
        queue.close();
        queue.put(|items| push(items, 100));
        let all = worker.join().expect("worker");
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(queue.take_one(), None);
    }
}
