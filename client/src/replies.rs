//! The keys to reply blocks that are out: each opens one answer, once.

use std::collections::{BTreeMap, VecDeque};

use shoal_packet::SurbKeys;
use shoal_proto::{Epoch, MessageId, Span, SurbId, Time};

use crate::clock::ClockStep;
use crate::event::HopTrace;

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
    /// The stream of the mailbox.
    Stock,
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
        if block.purpose != Purpose::Stock {
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
