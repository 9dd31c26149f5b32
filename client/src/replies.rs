//! The keys to reply blocks that are out: each opens one answer, once.

use std::collections::{BTreeMap, VecDeque};

use shoal_packet::SurbKeys;
use shoal_proto::{Epoch, MessageId, SurbId, Time};

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
    /// It has counted as lost already.
    pub(crate) overdue: bool,
}

/// All reply blocks that are out; at most `limit`.
pub(crate) struct ReplyBook {
    by_id: BTreeMap<SurbId, (u64, Outstanding)>,
    by_age: BTreeMap<u64, SurbId>,
    timeouts: VecDeque<(Time, SurbId)>,
    next: u64,
    limit: usize,
}

impl ReplyBook {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            by_id: BTreeMap::new(),
            by_age: BTreeMap::new(),
            timeouts: VecDeque::new(),
            next: 0,
            limit: limit.max(1),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Adds one. What is not back by `timeout` is told by [`ReplyBook::overdue`]; `None` for the
    /// stock, whose blocks wait at the mailbox. Returns how many old ones had to go.
    pub(crate) fn insert(&mut self, outstanding: Outstanding, timeout: Option<Time>) -> u64 {
        let mut evicted = 0;
        while self.by_id.len() >= self.limit {
            let Some((_, oldest)) = self.by_age.pop_first() else {
                break;
            };
            self.by_id.remove(&oldest);
            evicted += 1;
        }
        let id = outstanding.keys.id();
        if let Some(time) = timeout {
            self.timeouts.push_back((time, id));
        }
        self.by_age.insert(self.next, id);
        self.by_id.insert(id, (self.next, outstanding));
        self.next += 1;
        evicted
    }

    /// Takes the keys for an answer that came: a second one with this identifier finds nothing.
    pub(crate) fn take(&mut self, id: &SurbId) -> Option<Outstanding> {
        let (age, outstanding) = self.by_id.remove(id)?;
        self.by_age.remove(&age);
        Some(outstanding)
    }

    /// The next whose answer is overdue. Its keys stay, for the answer may still come.
    pub(crate) fn overdue(&mut self, now: Time) -> Option<Purpose> {
        while self.timeouts.front().is_some_and(|(time, _)| *time <= now) {
            let (_, id) = self.timeouts.pop_front()?;
            if let Some((_, outstanding)) = self.by_id.get_mut(&id) {
                outstanding.overdue = true;
                return Some(outstanding.purpose);
            }
        }
        None
    }

    /// Forgets the keys of epochs that are void.
    pub(crate) fn retain_epochs(&mut self, keep: impl Fn(Epoch) -> bool) {
        self.by_id
            .retain(|_, (_, outstanding)| keep(outstanding.epoch));
        self.by_age.retain(|_, id| self.by_id.contains_key(id));
    }

    /// Forgets all: the handle they lead to is gone.
    pub(crate) fn clear(&mut self) {
        self.by_id.clear();
        self.by_age.clear();
        self.timeouts.clear();
    }
}
