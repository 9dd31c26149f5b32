//! Forming documents: when, and from what. The forming itself is a job.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::CryptoRng;
use shoal_proto::{Epoch, NodeId, Span, Time};

use super::archive::{Considered, enough_genesis};
use super::jobs::{Recipe, Task};
use super::pool::{covers, eligible};
use super::{Desk, Directory, DirectoryAction, DirectoryChange, DirectoryWarning, JOB_PATIENCE};
use crate::{Document, DocumentError, MAX_STALE_EPOCHS, SignedDescriptor};

/// How long a node that has no document waits for its neighbours' answers before it takes part
/// in forming the first one: they may have one already.
pub(super) const PATIENCE: Span = Span::from_secs(3);

/// How long a node may take to hear of the epoch's document, after its start and after the switch, before
/// that is worth a warning.
const CATCH_UP: Span = Span::from_secs(10);

/// A document that is being formed.
pub(super) struct Forming {
    since: Time,
    recipe: Arc<Recipe>,
    /// The epoch whose document in force was looked at.
    under: Epoch,
    /// Whether it is a first document, or the next.
    first: bool,
}

impl Forming {
    /// Whether its result has not come for too long.
    pub(super) fn is_lost(&self, now: Time) -> bool {
        now >= self.deadline()
    }

    pub(super) fn deadline(&self) -> Time {
        self.since + JOB_PATIENCE
    }
}

impl<R: CryptoRng> Directory<R> {
    /// Has formed what can be formed now, one document at a time.
    pub(super) fn form_documents(&mut self, now: Time) {
        let next = self.epoch.next();
        if now >= self.rules.params.freeze_time(next) && !self.own.freeze_passed(next) {
            self.own.note_freeze(next);
            self.unformed = true;
        }
        if self.late_until.take_if(|until| now >= *until).is_some() {
            self.unformed = true;
        }
        if !self.unformed
            || !matches!(self.desk, Desk::Free)
            || self.waits_for_neighbours() && now < self.patience_until
        {
            return;
        }
        self.unformed = false;
        self.late_until = None;
        let first = self.archive.view().in_force(self.epoch).is_none() && self.form_first(now);
        if !first {
            self.form_next(now);
        }
    }

    /// The first document, or the first after a time without: as soon as all genesis members have
    /// been heard of, and of nobody else, so that it is the same everywhere. False if it can't be
    /// formed yet.
    fn form_first(&mut self, now: Time) -> bool {
        let epoch = self.epoch;
        if self.rules.genesis().len() == 0 || !self.lacking.is_empty() {
            return false;
        }
        let params = &self.rules.params;
        let latest = |id| {
            let mut known = self.pool.of(id).iter();
            known.rfind(|signed| covers(params, epoch, signed)).cloned()
        };
        let descriptors = self.rules.genesis().filter_map(latest).collect();
        self.form(now, (None, epoch), descriptors, true);
        true
    }

    /// The next epoch's document, on top of the one in force. If there is none, two thirds of the
    /// genesis members are enough to start again. Descriptors that were late are taken into account
    /// until the switch is near.
    fn form_next(&mut self, now: Time) {
        let (params, epoch) = (&self.rules.params, self.epoch.next());
        let near = now + params.switch_margin() >= params.start_of(epoch);
        if now < params.freeze_time(epoch) || near && self.archive.get(epoch).is_some() {
            return;
        }
        let base = self.archive.view().in_force(self.epoch).cloned();
        let mut chosen: BTreeMap<NodeId, &SignedDescriptor> = BTreeMap::new();
        let listed = base.iter().flat_map(|document| document.descriptors());
        for signed in self.pool.iter().chain(listed) {
            let newer = chosen
                .get(&signed.id())
                .is_none_or(|c| c.sequence() < signed.sequence());
            if newer && eligible(params, epoch, base.as_deref(), signed) {
                chosen.insert(signed.id(), signed);
            }
        }
        let genesis = chosen.keys().filter(|id| self.rules.is_genesis(id)).count();
        if base.is_none() && !enough_genesis(&self.rules, genesis) {
            return;
        }
        let descriptors = chosen.into_values().cloned().collect();
        self.form(now, (base, epoch), descriptors, false);
    }

    fn form(
        &mut self,
        now: Time,
        (base, epoch): (Option<Arc<Document>>, Epoch),
        descriptors: Vec<SignedDescriptor>,
        first: bool,
    ) {
        let recipe = Arc::new(Recipe {
            epoch,
            base,
            descriptors,
        });
        self.job(Task::Form(Arc::clone(&recipe)));
        self.desk = Desk::Forming(Forming {
            since: now,
            recipe,
            under: self.epoch,
            first,
        });
    }

    /// A document has been formed: ours, or to see whether a neighbour's follows.
    pub(super) fn formed(
        &mut self,
        now: Time,
        recipe: &Arc<Recipe>,
        formed: Result<Arc<Document>, DocumentError>,
    ) {
        let forming = match std::mem::replace(&mut self.desk, Desk::Free) {
            Desk::Forming(forming) if forming.recipe == *recipe => forming,
            other => {
                self.desk = other;
                return self.derived(now, recipe, &formed);
            }
        };
        let base = self.archive.view().in_force(forming.under);
        if base.map(|base| base.hash()) == recipe.base.as_ref().map(|base| base.hash()) {
            self.take_formed(now, recipe.epoch, formed);
        } else {
            // The document that it was to follow is gone.
            self.unformed = true;
        }
        if forming.first && self.archive.view().in_force(self.epoch).is_none() {
            self.form_next(now);
        }
        // Answers have their turn between two documents.
        self.next_answer(now);
    }

    fn take_formed(
        &mut self,
        now: Time,
        epoch: Epoch,
        formed: Result<Arc<Document>, DocumentError>,
    ) {
        match formed {
            Ok(document) => {
                let derived = self.archive.base(&self.rules, now, &document).is_some();
                let considered = self.consider(now, document, None, derived);
                if considered.is_ok_and(|c| c != Considered::Known) {
                    self.counters.formed += 1;
                }
            }
            Err(reason) => self.warn(DirectoryWarning::NotFormed { epoch, reason }),
        }
    }

    /// A descriptor is new: forms what can be formed for the first time with it at once, and a document
    /// anew with all that come late in a hundredth of an epoch.
    pub(super) fn note_new(&mut self, now: Time, signed: &SignedDescriptor) {
        let base = self.archive.view().in_force(self.epoch);
        let complete = base.is_none() && self.lacking.is_empty();
        if complete && self.rules.is_genesis(&signed.id()) {
            self.unformed = true;
            return;
        }
        let (params, next) = (&self.rules.params, self.epoch.next());
        let frozen = self.own.freeze_passed(next);
        if !frozen || !eligible(params, next, base.map(Arc::as_ref), signed) {
            return;
        }
        if self.archive.get(next).is_none() {
            self.unformed = true;
            return;
        }
        // The last time just before the switch is near.
        let last = params.start_of(next) - params.switch_margin() - Span::from_micros(1);
        let until = (now + params.epoch.scale(1, 100)).min(last).max(now);
        self.late_until = Some(self.late_until.map_or(until, |sooner| sooner.min(until)));
    }

    /// Forms anew what was lost while it was being formed.
    pub(super) fn give_up_forming(&mut self, now: Time) {
        if matches!(&self.desk, Desk::Forming(forming) if forming.is_lost(now)) {
            self.note_lost();
            self.desk = Desk::Free;
            self.unformed = true;
        }
    }

    /// Looks whether a genesis member has a descriptor for this epoch.
    pub(super) fn look_at(&mut self, id: &NodeId) {
        if !self.rules.is_genesis(id) {
            return;
        }
        let (params, epoch) = (&self.rules.params, self.epoch);
        let mut known = self.pool.of(id).iter();
        if known.any(|signed| covers(params, epoch, signed)) {
            self.lacking.remove(id);
        } else {
            self.lacking.insert(*id);
        }
    }

    /// Looks at all genesis members.
    pub(super) fn look_at_all(&mut self) {
        let rules = Arc::clone(&self.rules);
        rules.genesis().for_each(|id| self.look_at(id));
    }

    /// Weighs a verified document, and spreads the news if it is taken.
    pub(super) fn consider(
        &mut self,
        now: Time,
        document: Arc<Document>,
        from: Option<NodeId>,
        derived: bool,
    ) -> Result<Considered, DocumentError> {
        let epoch = document.epoch();
        let known: Vec<_> = self.archive.documents().map(|d| d.epoch()).collect();
        let considered =
            self.archive
                .consider(&self.rules, now, Arc::clone(&document), from, derived)?;
        if from.is_some() && matches!(considered, Considered::Replaced | Considered::Kept) {
            let replaced = considered == Considered::Replaced;
            self.warn(DirectoryWarning::Contradiction { epoch, replaced });
        }
        if matches!(considered, Considered::Added | Considered::Replaced) {
            let gone = known
                .into_iter()
                .filter(|known| self.archive.get(*known).is_none());
            for epoch in gone.collect::<Vec<_>>() {
                self.persist(DirectoryChange::RemoveDocument { epoch });
            }
            let bytes = document.shared();
            self.persist(DirectoryChange::Document { epoch, bytes });
            // The next one may follow from this one.
            self.unformed |= epoch <= self.epoch;
            self.refresh_view();
        }
        Ok(considered)
    }

    /// Whether it would be rash to form a first document: neighbours that have not been heard may
    /// have one.
    pub(super) fn waits_for_neighbours(&self) -> bool {
        self.unformed
            && self.archive.view().in_force(self.epoch).is_none()
            && !self.peers.all_heard()
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

    /// Puts an action into the queue.
    pub(super) fn push(&mut self, action: DirectoryAction) {
        self.actions.push_back(action);
    }
}
