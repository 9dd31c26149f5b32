//! The reply blocks that an owner brought, by the epoch that they are for.

use std::collections::{BTreeMap, VecDeque};

use shoal_packet::Surb;
use shoal_proto::{Span, Time};

/// The stock of one mailbox: at most so many reply blocks for each epoch.
pub(super) struct Stock {
    by_epoch: BTreeMap<u8, VecDeque<Surb>>,
    most: usize,
    /// When there were some last.
    last: Time,
}

impl Stock {
    pub(super) const fn new(most: usize, now: Time) -> Self {
        Self {
            by_epoch: BTreeMap::new(),
            most,
            last: now,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_epoch.values().map(VecDeque::len).sum()
    }

    /// How many there are for one epoch.
    pub(super) fn len_of(&self, epoch_byte: u8) -> usize {
        self.by_epoch.get(&epoch_byte).map_or(0, VecDeque::len)
    }

    /// Takes reply blocks in. Returns how many older ones had to go.
    pub(super) fn add(
        &mut self,
        now: Time,
        epoch_byte: u8,
        surbs: impl IntoIterator<Item = Surb>,
    ) -> usize {
        let queue = self.by_epoch.entry(epoch_byte).or_default();
        queue.extend(surbs);
        let over = queue.len().saturating_sub(self.most);
        queue.drain(..over);
        self.last = now;
        over
    }

    /// Drops the reply blocks of all epochs but these. Returns how many.
    pub(super) fn keep(&mut self, now: Time, epochs: &[u8]) -> usize {
        let before = self.len();
        self.by_epoch
            .retain(|epoch_byte, _| epochs.contains(epoch_byte));
        let left = self.len();
        if left > 0 {
            self.last = now;
        }
        before.saturating_sub(left)
    }

    /// The oldest of an epoch.
    pub(super) fn take(&mut self, epoch_byte: u8) -> Option<Surb> {
        self.by_epoch.get_mut(&epoch_byte)?.pop_front()
    }

    /// How long it has been empty.
    pub(super) const fn dry_for(&self, now: Time) -> Span {
        now.since(self.last)
    }
}
