//! The delay pool.

use std::collections::BTreeMap;

use shoal_proto::{Span, Time};

use crate::Origin;
use crate::share::may_take;

/// Packets on their way out: each leaves when its moment has come and its replay tag is durable,
/// whichever is later. Ordered by moment, and by sequence within one, so that a seed replays. A
/// sender may have as many in it as places are left, so that nobody fills it for others with packets
/// that want to stay long.
///
/// Insertion, departure: O(log n).
pub(crate) struct Pool<T> {
    bound: usize,
    issued: u64,
    /// By sequence: the tag is not durable yet.
    awaiting_log: BTreeMap<u64, Awaiting<T>>,
    /// By moment: the tag is durable.
    ready: BTreeMap<(Time, u64), Entry<T>>,
    /// How many each sender has in it; none has 0.
    held: BTreeMap<Origin, usize>,
}

struct Entry<T> {
    from: Origin,
    item: T,
}

struct Awaiting<T> {
    /// When it came.
    since: Time,
    due: Time,
    entry: Entry<T>,
}

impl<T> Pool<T> {
    pub(crate) const fn new(bound: usize) -> Self {
        Self {
            bound,
            issued: 0,
            awaiting_log: BTreeMap::new(),
            ready: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    /// Takes a sender's item now that may leave at `due`, once the sequence returned is durable. Sequences
    /// start at 1 and grow by 1.
    ///
    /// # Errors
    /// Gives the item back if the pool is full for this sender.
    pub(crate) fn insert(
        &mut self,
        since: Time,
        due: Time,
        (from, item): (Origin, T),
    ) -> Result<u64, T> {
        let held = self.held.get(&from).copied().unwrap_or_default();
        if !may_take(held, self.bound.saturating_sub(self.len())) {
            return Err(item);
        }
        self.held.insert(from, held + 1);
        self.issued = self.issued.saturating_add(1);
        let entry = Entry { from, item };
        let awaiting = Awaiting { since, due, entry };
        self.awaiting_log.insert(self.issued, awaiting);
        Ok(self.issued)
    }

    /// The tags of everything up to `upto` are durable. A sequence that was never issued is
    /// durable to nobody: what comes later still waits. `moved` is told each item, when it came and when it was to
    /// leave, and says when it leaves; what is not to leave any more is given back.
    pub(crate) fn durable(
        &mut self,
        upto: u64,
        mut moved: impl FnMut((Time, Time), &mut T) -> Option<Time>,
    ) -> Vec<T> {
        let later = self.awaiting_log.split_off(&upto.saturating_add(1));
        let mut over = Vec::new();
        for (sequence, awaiting) in std::mem::replace(&mut self.awaiting_log, later) {
            let Awaiting {
                since,
                due,
                mut entry,
            } = awaiting;
            match moved((since, due), &mut entry.item) {
                Some(due) => drop(self.ready.insert((due, sequence), entry)),
                None => over.push(self.let_go(entry)),
            }
        }
        over
    }

    /// How long the oldest item whose tag is not durable has waited for that.
    pub(crate) fn longest_wait(&self, now: Time) -> Span {
        let oldest = self.awaiting_log.first_key_value();
        oldest.map_or(Span::ZERO, |(_, awaiting)| now.since(awaiting.since))
    }

    /// Everything whose tag is not durable, taken out.
    pub(crate) fn take_undurable(&mut self) -> impl Iterator<Item = T> {
        let taken = std::mem::take(&mut self.awaiting_log);
        taken.into_values().map(|it| self.let_go(it.entry))
    }

    /// The earliest item that may leave by now, with the moment at which it was to leave.
    pub(crate) fn pop(&mut self, now: Time) -> Option<(Time, T)> {
        let first = self.ready.first_entry()?;
        let (due, _) = *first.key();
        if due > now {
            return None;
        }
        let entry = first.remove();
        Some((due, self.let_go(entry)))
    }

    fn let_go(&mut self, entry: Entry<T>) -> T {
        if let Some(held) = self.held.get_mut(&entry.from) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&entry.from);
            }
        }
        entry.item
    }

    /// When the next item may leave, as far as it is known: those that wait for the log have no
    /// moment of their own.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.ready.first_key_value().map(|((due, _), _)| *due)
    }

    pub(crate) fn len(&self) -> usize {
        self.awaiting_log.len() + self.ready.len()
    }

    pub(crate) fn awaiting_log(&self) -> usize {
        self.awaiting_log.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;
    use shoal_proto::NodeId;
    use std::collections::BTreeMap;

    fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    fn from(number: u8) -> Origin {
        Origin::Member(NodeId::new([number; 32]))
    }

    /// Everything leaves at its moment.
    #[expect(clippy::unnecessary_wraps, reason = "as the pool asks for it")]
    const fn same<T>((_, due): (Time, Time), _: &mut T) -> Option<Time> {
        Some(due)
    }

    #[test]
    fn what_is_durable_too_late_leaves_when_it_is_told_to_or_never() {
        let mut pool = Pool::new(10);
        for (since, due) in [(1, 4), (2, 5), (3, 6)] {
            pool.insert(at(since), at(due), (from(0), due)).unwrap();
        }
        assert_eq!(pool.longest_wait(at(9)), Span::from_micros(8));
        let over = pool.durable(2, |(_, due), _| (due > at(4)).then_some(at(30)));
        assert_eq!(
            (over, pool.longest_wait(at(9))),
            (vec![4], Span::from_micros(6))
        );
        pool.durable(3, same);
        assert_eq!(pool.longest_wait(at(9)), Span::ZERO);
        assert_eq!(pool.pop(at(29)), Some((at(6), 6)));
        assert_eq!(pool.pop(at(29)), None);
        assert_eq!(pool.pop(at(30)), Some((at(30), 5)));
        assert_eq!((pool.len(), pool.held.len()), (0, 0));
    }

    #[test]
    fn leaves_by_moment_and_then_by_sequence() {
        let mut pool = Pool::new(10);
        for (due, name) in [(30, 'a'), (10, 'b'), (30, 'c'), (20, 'd')] {
            pool.insert(at(0), at(due), (from(0), name)).unwrap();
        }
        pool.durable(4, same);
        assert_eq!(pool.next_due(), Some(at(10)));
        assert_eq!(pool.pop(at(9)), None);
        let mut order = Vec::new();
        while let Some((_, name)) = pool.pop(at(30)) {
            order.push(name);
        }
        assert_eq!(order, ['b', 'd', 'a', 'c']);
    }

    #[test]
    fn what_is_not_durable_stays() {
        let mut pool = Pool::new(10);
        assert_eq!(pool.insert(at(0), at(1), (from(0), 'a')), Ok(1));
        assert_eq!(pool.insert(at(0), at(1), (from(0), 'b')), Ok(2));
        assert_eq!((pool.pop(at(9)), pool.next_due()), (None, None));
        pool.durable(1, same);
        assert_eq!(pool.pop(at(9)), Some((at(1), 'a')));
        assert_eq!(pool.pop(at(9)), None);
        assert_eq!(pool.take_undurable().collect::<Vec<_>>(), ['b']);
        assert_eq!(pool.len(), 0);
    }

    #[test]
    fn durability_is_not_promised_ahead() {
        let mut pool = Pool::new(10);
        pool.durable(u64::MAX, same);
        pool.insert(at(0), at(1), (from(0), 'a')).unwrap();
        assert_eq!(pool.pop(at(9)), None);
    }

    #[test]
    fn a_full_pool_gives_back() {
        let mut pool = Pool::new(1);
        assert_eq!(pool.insert(at(0), at(1), (from(0), 'a')), Ok(1));
        assert_eq!(pool.insert(at(0), at(1), (from(0), 'b')), Err('b'));
        assert_eq!(pool.insert(at(0), at(1), (from(1), 'c')), Err('c'));
        pool.durable(1, same);
        assert_eq!(pool.pop(at(1)), Some((at(1), 'a')));
        assert_eq!(pool.insert(at(0), at(1), (from(0), 'd')), Ok(2));
    }

    #[test]
    fn nobody_fills_it_for_others() {
        let mut pool = Pool::new(1_000);
        let takes = |pool: &mut Pool<()>, sender| {
            let all = (0..1_000).filter(|_| pool.insert(at(0), at(9), (from(sender), ())).is_ok());
            all.count()
        };
        assert_eq!(takes(&mut pool, 0), 500);
        assert_eq!(takes(&mut pool, 1), 250);
        assert_eq!(takes(&mut pool, 0), 0);
        // What leaves makes room, however it leaves.
        pool.durable(400, same);
        while pool.pop(at(9)).is_some() {}
        assert_eq!(takes(&mut pool, 0), 275);
        assert_eq!(pool.take_undurable().count(), 625);
        assert_eq!((takes(&mut pool, 0), pool.held.len()), (500, 1));
    }

    proptest! {
        /// Against a list that is searched: the same departures, in the same order.
        #[test]
        fn agrees_with_a_plain_list(steps in prop::collection::vec((0u8..4, 0u64..50), 0..200)) {
            let mut pool = Pool::new(20);
            let mut list: BTreeMap<u64, (u64, bool)> = BTreeMap::new();
            let mut now = 0;
            for (kind, value) in steps {
                match kind {
                    0 => match pool.insert(at(now), at(now + value), (from(0), now + value)) {
                        Ok(sequence) => { list.insert(sequence, (now + value, false)); }
                        // One sender alone gets half.
                        Err(_) => prop_assert_eq!(list.len(), 10),
                    },
                    1 => {
                        pool.durable(value, same);
                        list.range_mut(..=value).for_each(|(_, entry)| entry.1 = true);
                    }
                    2 => {
                        let expected = list.values().filter(|entry| !entry.1).count();
                        prop_assert_eq!(pool.take_undurable().count(), expected);
                        list.retain(|_, entry| entry.1);
                    }
                    _ => {
                        now += value;
                        while let Some((due, item)) = pool.pop(at(now)) {
                            prop_assert_eq!(due, at(item));
                            let first = list.iter().filter(|(_, entry)| entry.1)
                                .min_by_key(|(sequence, entry)| (entry.0, **sequence))
                                .map(|(sequence, entry)| (*sequence, entry.0)).unwrap();
                            prop_assert_eq!(first.1, item);
                            list.remove(&first.0);
                        }
                        prop_assert!(list.values().all(|entry| !entry.1 || entry.0 > now));
                    }
                }
                prop_assert_eq!(pool.len(), list.len());
            }
        }
    }
}
