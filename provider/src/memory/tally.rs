//! How many entries there are in a mailbox or under a drop id.

use crate::store::Freed;

#[derive(Debug, Default)]
pub(super) struct Tally {
    waiting: u64,
    remembered: u64,
    freed: Freed,
}

impl Tally {
    pub(super) const fn is_empty(&self) -> bool {
        self.waiting == 0 && self.remembered == 0
    }

    pub(super) const fn remembered(&self) -> u64 {
        self.remembered
    }

    /// Entries that take up room in this step.
    pub(super) const fn occupied(&self, step: u64) -> u64 {
        self.waiting.saturating_add(self.freed.held(step))
    }

    pub(super) const fn added(&mut self) {
        self.waiting += 1;
    }

    pub(super) const fn acknowledged(&mut self, step: u64) {
        self.waiting = self.waiting.saturating_sub(1);
        self.remembered += 1;
        self.freed.add(step);
    }

    pub(super) const fn removed(&mut self, waited: bool) {
        let count = if waited {
            &mut self.waiting
        } else {
            &mut self.remembered
        };
        *count = count.saturating_sub(1);
    }
}
