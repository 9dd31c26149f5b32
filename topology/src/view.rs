//! The documents that are known, and which of them count at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use shoal_proto::{Epoch, Time};

use crate::{Document, NetworkParameters};

/// For how many further epochs a document stays in force if no newer one could be formed.
pub const MAX_STALE_EPOCHS: u64 = 3;

/// The documents that are known: of the epoch in force, and of those before and after it.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// By epoch.
    pub documents: BTreeMap<Epoch, Arc<Document>>,
}

impl View {
    /// The document in force: that of the epoch now, else the last one before it for at most
    /// [`MAX_STALE_EPOCHS`] further epochs.
    #[must_use]
    pub fn current(&self, params: &NetworkParameters, now: Time) -> Option<&Arc<Document>> {
        self.in_force(params.epoch_at(now))
    }

    /// The document in force during this epoch, as far as is known.
    #[must_use]
    pub fn in_force(&self, epoch: Epoch) -> Option<&Arc<Document>> {
        let oldest = Epoch::new(epoch.number().saturating_sub(MAX_STALE_EPOCHS));
        self.documents
            .range(oldest..=epoch)
            .next_back()
            .map(|(_, document)| document)
    }

    /// The document that is in force next, once the switch is so near that both count.
    #[must_use]
    pub fn next(&self, params: &NetworkParameters, now: Time) -> Option<&Arc<Document>> {
        let next = params.epoch_at(now).next();
        let near = now + params.switch_margin() >= params.start_of(next);
        if near {
            self.documents.get(&next)
        } else {
            None
        }
    }

    /// The document that was in force before, while the switch is so recent that both count.
    #[must_use]
    pub fn previous(&self, params: &NetworkParameters, now: Time) -> Option<&Arc<Document>> {
        let epoch = params.epoch_at(now);
        let recent = now < params.start_of(epoch) + params.switch_margin();
        let previous = if recent {
            self.in_force(epoch.previous()?)
        } else {
            None
        }?;
        // A document that stays in force for want of a newer one is not its own predecessor.
        let current = self.in_force(epoch).map(|document| document.epoch());
        (current != Some(previous.epoch())).then_some(previous)
    }

    /// Every document that counts now: the one in force, and within the switch margin its
    /// neighbour.
    pub fn accepted(
        &self,
        params: &NetworkParameters,
        now: Time,
    ) -> impl Iterator<Item = &Arc<Document>> {
        let around = [
            self.previous(params, now),
            self.current(params, now),
            self.next(params, now),
        ];
        around.into_iter().flatten()
    }

    /// The document that a frame's epoch byte names, if it counts now.
    #[must_use]
    pub fn by_epoch_byte(
        &self,
        params: &NetworkParameters,
        now: Time,
        byte: u8,
    ) -> Option<&Arc<Document>> {
        self.accepted(params, now)
            .find(|document| document.epoch().byte() == byte)
    }

    /// How long a document of this epoch counts at most, if it counts at all: to the end of the
    /// epoch that it is in force in, and the margin after that.
    #[must_use]
    pub fn counts_until(&self, params: &NetworkParameters, epoch: Epoch) -> Time {
        let successor = self
            .documents
            .range(epoch.next()..)
            .next()
            .map(|(epoch, _)| *epoch);
        let longest = Epoch::new(epoch.number().saturating_add(MAX_STALE_EPOCHS + 1));
        let end = successor.map_or(longest, |successor| successor.min(longest));
        params.start_of(end) + params.switch_margin()
    }
}
