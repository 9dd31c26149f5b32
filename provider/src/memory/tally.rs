//! How many entries there are in a mailbox or under a drop id.

use crate::store::Freed;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    waiting: u64,
    remembered: u64,
    freed: Freed,
}

impl Tally {
    /// As it was saved.
    #[cfg(feature = "postgres")]
    pub(crate) const fn from_parts(waiting: u64, remembered: u64, freed: Freed) -> Self {
        Self {
            waiting,
            remembered,
            freed,
        }
    }

    /// Entries that wait.
    pub(crate) const fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Acknowledged entries whose room is not free yet.
    #[cfg(feature = "postgres")]
    pub(crate) const fn freed(&self) -> Freed {
        self.freed
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.waiting == 0 && self.remembered == 0
    }

    pub(crate) const fn remembered(&self) -> u64 {
        self.remembered
    }

    /// Entries that take up room in this step.
    pub(crate) const fn occupied(&self, step: u64) -> u64 {
        self.waiting.saturating_add(self.freed.held(step))
    }

    pub(crate) const fn added(&mut self) {
        self.waiting += 1;
    }

    pub(crate) const fn acknowledged(&mut self, step: u64) {
        self.waiting = self.waiting.saturating_sub(1);
        self.remembered += 1;
        self.freed.add(step);
    }

    pub(crate) const fn removed(&mut self, waited: bool) {
        let count = if waited {
            &mut self.waiting
        } else {
            &mut self.remembered
        };
        *count = count.saturating_sub(1);
    }
}
