//! The books of a node's packets, and each packet's line in them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shoal_proto::Span;

use crate::{DropReason, OwnKind, Snapshot, Stage};

/// The books of a node's packets, shared by all its threads.
///
/// One lock guards them, and each move of a packet from one place to another is one change under
/// it. So a [`Snapshot`] taken at any moment balances:
/// received = forwarded + delivered + loops returned + dropped + inside. The places inside are
/// counted apart, by the packets' own [`Passage`]s, and not as the difference of the rest.
#[derive(Default)]
pub struct Accounting {
    books: Mutex<Snapshot>,
}

/// Where a packet's books stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Inside(Stage),
    Own(OwnKind),
}

/// One packet's line in the books. It goes with the packet from thread to thread and ends in
/// exactly one way; dropped without a word it counts as [`DropReason::Abandoned`].
#[must_use = "a passage that is let go counts its packet as abandoned"]
pub struct Passage {
    accounting: Arc<Accounting>,
    place: Option<Place>,
}

impl Accounting {
    /// Empty books.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The books as they are at this instant.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.lock().clone()
    }

    /// A frame came in. The gate calls this on admission; call it only for what never reaches the
    /// gate.
    pub fn receive(self: &Arc<Self>) -> Passage {
        let mut books = self.lock();
        add(&mut books.counters.received, 1);
        books.inside.add(Stage::Queued, 1);
        drop(books);
        self.passage(Place::Inside(Stage::Queued))
    }

    /// The node made a packet itself; it waits for a link from now on.
    pub fn originate(self: &Arc<Self>, kind: OwnKind) -> Passage {
        let mut books = self.lock();
        books.own.originated.add(kind, 1);
        books.own.departing.add(kind, 1);
        drop(books);
        self.passage(Place::Own(kind))
    }

    pub(crate) fn loops_lost(&self, count: u64) {
        add(&mut self.lock().counters.loops_lost, count);
    }

    pub(crate) fn loop_skipped(&self) {
        add(&mut self.lock().counters.loops_skipped, 1);
    }

    pub(crate) fn redrawn(&self, count: u64) {
        if count > 0 {
            add(&mut self.lock().counters.redrawn, count);
        }
    }

    pub(crate) fn departed(&self, excess: Span, late_after: Span) {
        let mut books = self.lock();
        books.excess.record(excess);
        add(&mut books.counters.late, u64::from(excess > late_after));
    }

    fn passage(self: &Arc<Self>, place: Place) -> Passage {
        Passage {
            accounting: Arc::clone(self),
            place: Some(place),
        }
    }

    /// Counters are whole after each single change, so those of a thread that panicked are as
    /// good as any.
    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn add(counter: &mut u64, count: u64) {
    *counter = counter.saturating_add(count);
}

impl Passage {
    /// The packet was handed to a link: forwarded if it was received, sent if it is the node's own.
    pub fn sent(mut self) {
        self.end(|books, place| match place {
            Place::Inside(_) => add(&mut books.counters.forwarded, 1),
            Place::Own(kind) => books.own.sent.add(kind, 1),
        });
    }

    /// The packet is dropped, for this reason.
    pub fn drop_as(mut self, reason: DropReason) {
        self.end_dropped(reason);
    }

    pub(crate) fn delivered(mut self) {
        self.end(|books, _| add(&mut books.counters.delivered, 1));
    }

    pub(crate) fn loop_returned(mut self) {
        self.end(|books, _| add(&mut books.counters.loops_returned, 1));
    }

    /// The packet moved on inside.
    pub(crate) fn enter(&mut self, stage: Stage) {
        if let Some(Place::Inside(before)) = self.place {
            let mut books = self.accounting.lock();
            books.inside.take(before, 1);
            books.inside.add(stage, 1);
            self.place = Some(Place::Inside(stage));
        }
    }

    fn end_dropped(&mut self, reason: DropReason) {
        self.end(|books, place| match place {
            Place::Inside(_) => books.dropped.add(reason, 1),
            Place::Own(kind) => books.own.dropped.add(kind, 1),
        });
    }

    fn end(&mut self, count: impl FnOnce(&mut Snapshot, Place)) {
        let Some(place) = self.place.take() else {
            return;
        };
        let mut books = self.accounting.lock();
        match place {
            Place::Inside(stage) => books.inside.take(stage, 1),
            Place::Own(kind) => books.own.departing.take(kind, 1),
        }
        count(&mut books, place);
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.end_dropped(DropReason::Abandoned);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn a_passage_ends_once() {
        let accounting = Accounting::new();
        let mut passage = accounting.receive();
        passage.enter(Stage::Unwrapping);
        assert_eq!(accounting.snapshot().inside(Stage::Unwrapping), 1);
        passage.sent();
        let books = accounting.snapshot();
        assert_eq!(
            (
                books.counters.received,
                books.counters.forwarded,
                books.inside_total()
            ),
            (1, 1, 0)
        );
        assert_eq!(books.dropped_total(), 0);
        assert!(books.balanced());
    }

    #[test]
    fn a_passage_that_is_let_go_is_abandoned() {
        let accounting = Accounting::new();
        drop(accounting.receive());
        drop(accounting.originate(OwnKind::Loop));
        let books = accounting.snapshot();
        assert_eq!(books.dropped(DropReason::Abandoned), 1);
        assert_eq!(books.own(OwnKind::Loop).dropped, 1);
        assert!(books.balanced());
    }

    #[test]
    fn own_packets_have_books_of_their_own() {
        let accounting = Accounting::new();
        accounting.originate(OwnKind::Loop).sent();
        let waiting = accounting.originate(OwnKind::Provider);
        let books = accounting.snapshot();
        assert_eq!(
            (
                books.counters.received,
                books.counters.forwarded,
                books.inside_total()
            ),
            (0, 0, 0)
        );
        assert_eq!(books.own(OwnKind::Loop).sent, 1);
        assert_eq!(books.own(OwnKind::Provider).departing, 1);
        assert!(books.balanced());
        waiting.drop_as(DropReason::RingFull);
        assert_eq!(accounting.snapshot().own(OwnKind::Provider).dropped, 1);
        assert_eq!(accounting.snapshot().dropped_total(), 0);
    }

    #[test]
    fn snapshots_balance_while_threads_move_packets() {
        let accounting = Accounting::new();
        std::thread::scope(|scope| {
            for thread in 0..4_u32 {
                let accounting = &accounting;
                scope.spawn(move || {
                    for round in 0..2_000_u32 {
                        let mut passage = accounting.receive();
                        passage.enter(Stage::Unwrapping);
                        passage.enter(Stage::Pooled);
                        match (round + thread) % 3 {
                            0 => passage.sent(),
                            1 => passage.drop_as(DropReason::RingFull),
                            _ => passage.delivered(),
                        }
                    }
                });
            }
            for _ in 0..2_000 {
                assert!(accounting.snapshot().balanced());
            }
        });
        let books = accounting.snapshot();
        assert_eq!((books.counters.received, books.inside_total()), (8_000, 0));
        assert!(books.balanced());
    }

    #[test]
    fn a_panicking_thread_does_not_close_the_books() {
        let accounting = Accounting::new();
        let inner = Arc::clone(&accounting);
        let result = std::thread::spawn(move || {
            let _guard = inner.lock();
            panic!("on purpose");
        })
        .join();
        assert!(result.is_err());
        accounting.receive().sent();
        assert!(accounting.snapshot().balanced());
    }
}
