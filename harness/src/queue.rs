//! What is to come, in order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use shoal_proto::Time;

/// The future: events ordered by time, and at one instant by the order in which they were put
/// in, so that a run replays exactly. Bounded only by what the network has in flight.
pub(crate) struct EventQueue<E> {
    heap: BinaryHeap<Entry<E>>,
    sequence: u64,
}

struct Entry<E> {
    at: Time,
    sequence: u64,
    event: E,
}

impl<E> EventQueue<E> {
    /// With nothing in it.
    pub(crate) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            sequence: 0,
        }
    }

    /// Has `event` happen at `at`, after everything that was put in for that instant before.
    pub(crate) fn push(&mut self, at: Time, event: E) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.heap.push(Entry {
            at,
            sequence,
            event,
        });
    }

    /// When the next event happens.
    pub(crate) fn next_time(&self) -> Option<Time> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// Takes the next event.
    pub(crate) fn pop(&mut self) -> Option<(Time, E)> {
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }

    /// All that is to come, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &E> {
        self.heap.iter().map(|entry| &entry.event)
    }

    /// Whether there is nothing to come.
    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

impl<E> Entry<E> {
    fn key(&self) -> (Time, u64) {
        (self.at, self.sequence)
    }
}

// The heap gives the greatest first; the soonest is the greatest.
impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn events_come_by_time_and_then_by_order_of_insertion(
            times in proptest::collection::vec(0_u64..20, 0..100),
        ) {
            let mut queue = EventQueue::new();
            for (index, time) in times.iter().enumerate() {
                queue.push(Time::from_micros(*time), index);
            }
            let mut expected: Vec<(u64, usize)> =
                times.iter().copied().zip(0..).collect();
            expected.sort_unstable();
            let mut found = Vec::new();
            while let Some((at, index)) = queue.pop() {
                found.push((at.as_micros(), index));
            }
            prop_assert_eq!(found, expected);
            prop_assert!(queue.is_empty());
        }
    }
}
