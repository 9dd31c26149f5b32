//! The document in force: whether it is old, and what is missing.

use std::sync::Arc;

use rand::CryptoRng;
use shoal_proto::{NodeId, Span, Time};

use super::council::Council;
use super::{Directory, DirectoryWarning};
use crate::MAX_STALE_EPOCHS;

/// How long a node may take to hear of the epoch's document, after its start and after the switch, before
/// that is worth a warning.
const CATCH_UP: Span = Span::from_secs(10);

impl<R: CryptoRng> Directory<R> {
    /// Looks whether a genesis member, or one that sits, has a descriptor for this epoch.
    pub(super) fn look_at(&mut self, id: &NodeId) {
        let covers = self.pool.covers(&self.rules.params, self.epoch, id);
        if let Some(council) = &mut self.council {
            council.note_heard(id, covers);
        }
        if !self.rules.is_genesis(id) {
            return;
        }
        if covers {
            self.lacking.remove(id);
        } else {
            self.lacking.insert(*id);
        }
    }

    /// Looks at all genesis members, and all that sit.
    pub(super) fn look_at_all(&mut self) {
        let rules = Arc::clone(&self.rules);
        rules.genesis().for_each(|id| self.look_at(id));
        self.look_at_seats();
    }

    /// Looks at all that sit.
    pub(super) fn look_at_seats(&mut self) {
        let holders = self.council.as_ref().map(Council::holders);
        let holders = holders.unwrap_or_default();
        holders.iter().for_each(|id| self.look_at(id));
    }

    /// Says so when the document in force is old, but not while a node that has just started, or an epoch
    /// that has just begun, has to hear of the newer one.
    pub(super) fn warn_of_state(&mut self, now: Time) {
        let epoch = self.epoch;
        let Some(document) = self.archive.view().in_force(epoch).cloned() else {
            return;
        };
        let age = epoch.number().saturating_sub(document.epoch().number());
        if age > 0 && self.stale_at().is_some_and(|at| now >= at) {
            self.warned_stale = Some(epoch);
            let left = MAX_STALE_EPOCHS.saturating_sub(age);
            let document = document.epoch();
            self.warn(DirectoryWarning::Stale {
                document,
                now: epoch,
                left,
            });
        }
    }

    /// From when on it is worth a warning that the document in force is not this epoch's; none if it is.
    pub(super) fn stale_at(&self) -> Option<Time> {
        let params = &self.rules.params;
        let document = self.archive.view().in_force(self.epoch)?;
        let begun = self.started.max(params.start_of(self.epoch));
        let patience = CATCH_UP.min(params.epoch.scale(1, 4));
        (document.epoch() != self.epoch).then(|| begun + patience)
    }

    /// Whether anything is missing that neighbours may have.
    pub(super) fn incomplete(&self, now: Time) -> bool {
        let next = self.epoch.next();
        self.archive
            .view()
            .in_force(self.epoch)
            .is_none_or(|d| d.epoch() != self.epoch)
            || now >= self.rules.params.freeze_time(next) && self.archive.get(next).is_none()
    }
}
