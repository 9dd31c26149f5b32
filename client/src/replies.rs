//! The keys to reply blocks that are out: each opens one answer, once.

use std::collections::{BTreeMap, VecDeque};

use shoal_packet::SurbKeys;
use shoal_proto::{Epoch, MessageId, Span, SurbId, Time};

use crate::clock::ClockStep;
use crate::event::HopTrace;
use crate::rows::BoxId;

/// What a reply block was given out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A loop to oneself.
    Loop,
    /// The answer to a deposit of this fragment, under this deposit id.
    Deposit {
        message: MessageId,
        index: u16,
        deposit: MessageId,
    },
    /// The answer to a dummy deposit.
    Dummy,
    /// The stream of a mailbox.
    Stock(BoxId),
    /// The answer to a question for this mailbox' token.
    Token(BoxId),
}

/// A reply block that is out.
pub(crate) struct Outstanding {
    pub(crate) keys: SurbKeys,
    pub(crate) purpose: Purpose,
    pub(crate) epoch: Epoch,
    /// The way back.
    pub(crate) trace: Vec<HopTrace>,
}

struct Entry {
    age: u64,
    block: Outstanding,
    /// It has counted as lost already.
    overdue: bool,
}

/// All reply blocks that are out; at most `limit`.
pub(crate) struct ReplyBook {
    by_id: BTreeMap<SurbId, Entry>,
    by_age: BTreeMap<u64, SurbId>,
    timeouts: VecDeque<(Time, SurbId)>,
    next: u64,
    limit: usize,
    /// When an answer that has not come counts as lost.
    patience: Span,
    evicted: u64,
    sweep_every: Span,
    next_sweep: Time,
}

impl ReplyBook {
    pub(crate) fn new(limit: usize, patience: Span, sweep_every: Span, now: Time) -> Self {
        Self {
            by_id: BTreeMap::new(),
            by_age: BTreeMap::new(),
            timeouts: VecDeque::new(),
            next: 0,
            limit: limit.max(1),
            patience,
            evicted: 0,
            sweep_every,
            next_sweep: now,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// How many had to go because there were too many.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Adds one; the oldest go if there are too many. What is not back in time is told by
    /// [`ReplyBook::overdue`], but for the stock, whose blocks wait at the mailbox.
    pub(crate) fn insert(&mut self, now: Time, block: Outstanding) {
        while self.by_id.len() >= self.limit {
            let Some((_, oldest)) = self.by_age.pop_first() else {
                break;
            };
            self.by_id.remove(&oldest);
            self.evicted += 1;
        }
        let (id, age) = (block.keys.id(), self.next);
        self.next += 1;
        if !matches!(block.purpose, Purpose::Stock(_)) {
            self.timeouts.push_back((now + self.patience, id));
        }
        self.by_age.insert(age, id);
        let entry = Entry {
            age,
            block,
            overdue: false,
        };
        self.by_id.insert(id, entry);
    }

    /// Takes the block of an answer that came, and whether it had counted as lost: a second answer
    /// with this identifier finds nothing.
    pub(crate) fn take(&mut self, id: &SurbId) -> Option<(Outstanding, bool)> {
        let entry = self.by_id.remove(id)?;
        self.by_age.remove(&entry.age);
        Some((entry.block, entry.overdue))
    }

    /// The next whose answer is overdue. Its keys stay, for the answer may still come.
    pub(crate) fn overdue(&mut self, now: Time) -> Option<Purpose> {
        while self.timeouts.front().is_some_and(|(time, _)| *time <= now) {
            let (_, id) = self.timeouts.pop_front()?;
            if let Some(entry) = self.by_id.get_mut(&id) {
                entry.overdue = true;
                return Some(entry.block.purpose);
            }
        }
        None
    }

    /// Forgets the keys of epochs that are void, now and then: those that counted until so long
    /// ago that no answer is on its way any more.
    pub(crate) fn sweep(&mut self, now: Time, counts_until: impl Fn(Epoch) -> Time) {
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + self.sweep_every;
        let patience = self.patience;
        self.by_id
            .retain(|_, entry| counts_until(entry.block.epoch) + patience >= now);
        self.by_age.retain(|_, id| self.by_id.contains_key(id));
    }

    /// Forgets all: the handle they lead to is gone.
    pub(crate) fn clear(&mut self) {
        self.by_id.clear();
        self.by_age.clear();
        self.timeouts.clear();
    }

    /// The next sweep is as far away as before.
    pub(crate) fn clock_moved(&mut self, step: ClockStep) {
        self.next_sweep = step.apply(self.next_sweep);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;
    use shoal_packet::{Hop, SphinxSecret, build_surb};
    use shoal_proto::{ClientHandle, NodeId};

    use super::*;

    const STOCK: Purpose = Purpose::Stock(BoxId { place: 0, copy: 0 });
    const PATIENCE: Span = Span::from_secs(30);

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    fn book(limit: usize) -> ReplyBook {
        ReplyBook::new(limit, PATIENCE, Span::from_secs(60), at(1000))
    }

    fn block(number: u8, purpose: Purpose, epoch: u64) -> Outstanding {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let hop = Hop {
            node: NodeId::new([1; 32]),
            key: SphinxSecret::generate(&mut rng).public(),
            delay: Span::ZERO,
        };
        let (id, handle) = (SurbId::new([number; 16]), ClientHandle::new([2; 32]));
        let (_, keys) = build_surb(&mut rng, &[hop.clone(), hop], &handle, id).unwrap();
        Outstanding {
            keys,
            purpose,
            epoch: Epoch::new(epoch),
            trace: Vec::new(),
        }
    }

    #[test]
    fn an_answer_is_taken_once_and_is_overdue_once() {
        let mut book = book(9);
        book.insert(at(1000), block(1, Purpose::Loop, 1));
        book.insert(at(1001), block(2, Purpose::Dummy, 1));
        book.insert(at(1001), block(3, STOCK, 1));
        assert_eq!(book.overdue(at(1029)), None);
        assert_eq!(book.overdue(at(1040)), Some(Purpose::Loop));
        assert_eq!(book.overdue(at(1040)), Some(Purpose::Dummy));
        // The stock waits at the mailbox.
        assert_eq!(book.overdue(at(9999)), None);
        let id = SurbId::new([1; 16]);
        assert!(book.take(&id).is_some_and(|(_, overdue)| overdue));
        assert!(book.take(&id).is_none());
        let stock = book.take(&SurbId::new([3; 16]));
        assert!(stock.is_some_and(|(_, overdue)| !overdue));
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let mut book = book(2);
        (1..=4).for_each(|number| book.insert(at(1000), block(number, STOCK, 1)));
        assert_eq!((book.len(), book.evicted()), (2, 2));
        assert!(book.take(&SurbId::new([2; 16])).is_none());
        assert!(book.take(&SurbId::new([3; 16])).is_some());
    }

    #[test]
    fn void_keys_are_swept_when_it_is_time_by_whichever_clock() {
        for ahead in [true, false] {
            let mut book = book(9);
            book.sweep(at(1000), |_| Time::MAX);
            book.insert(at(1000), block(1, STOCK, 1));
            book.insert(at(1000), block(2, STOCK, 2));
            let void = |epoch: Epoch| match epoch.number() {
                1 => at(0),
                _ => Time::MAX,
            };
            // The next sweep is in 60 s.
            book.clock_moved(ClockStep::new(ahead, Span::from_secs(500)));
            let now = if ahead { 1500 } else { 500 };
            book.sweep(at(now + 59), void);
            assert_eq!(book.len(), 2);
            book.sweep(at(now + 60), void);
            assert_eq!(book.len(), 1);
            assert!(book.take(&SurbId::new([2; 16])).is_some());
        }
    }
}
