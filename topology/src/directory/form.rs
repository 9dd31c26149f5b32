use std::collections::BTreeMap;
use std::sync::Arc;

use rand::CryptoRng;
use shoal_proto::{NodeId, Span, Time};

use super::archive::{Considered, enough_genesis};
use super::pool::{covers, eligible};
use super::{Directory, DirectoryAction, DirectoryChange, DirectoryWarning};
use crate::{Document, DocumentError, MAX_STALE_EPOCHS, SignedDescriptor};

/// How long a node that has no document waits for its neighbours' answers before it takes part
/// in forming the first one: they may have one already.
pub(super) const PATIENCE: Span = Span::from_secs(3);

/// How long a network may take to start before that is worth a warning.
const START_UP: Span = Span::from_secs(10);

impl<R: CryptoRng> Directory<R> {
    /// Forms what can be formed now.
    pub(super) fn form_documents(&mut self, now: Time) {
        let next = self.epoch.next();
        let freeze = now >= self.params.freeze_time(next);
        if freeze && !self.own.freeze_passed(next) {
            self.own.note_freeze(next);
            self.unformed = true;
        }
        if !self.unformed || self.waits_for_neighbours() && now < self.patience_until {
            return;
        }
        self.unformed = false;
        if self.archive.view().in_force(self.epoch).is_none() {
            self.form_first(now);
        }
        // Descriptors that were late are taken into account until the switch is near.
        let near = now + self.params.switch_margin() >= self.params.start_of(next);
        if freeze && (!near || self.archive.get(next).is_none()) {
            self.form_next(now);
        }
    }

    /// The first document, or the first after a time without: as soon as all genesis members have
    /// been heard of, and of nobody else, so that it is the same everywhere.
    fn form_first(&mut self, now: Time) {
        let epoch = self.epoch;
        let mut descriptors: Vec<&SignedDescriptor> = Vec::new();
        for member in &self.params.genesis_members {
            let known = self.pool.of(&member.id);
            descriptors.extend(
                known
                    .iter()
                    .rfind(|signed| covers(&self.params, epoch, signed)),
            );
        }
        let missing = self.params.genesis_members.len() - descriptors.len();
        if self.params.genesis_members.is_empty() {
            return;
        }
        self.missing = missing;
        if missing > 0 {
            return;
        }
        match Document::form(&self.params, epoch, None, descriptors) {
            Ok(document) => self.formed(now, document),
            Err(reason) => self.warn(DirectoryWarning::NotFormed { epoch, reason }),
        }
    }

    /// The next epoch's document, on top of the one in force. If there is none, two thirds of the
    /// genesis members are enough to start again.
    fn form_next(&mut self, now: Time) {
        let epoch = self.epoch.next();
        let base = self.archive.view().in_force(self.epoch).cloned();
        let mut chosen: BTreeMap<NodeId, &SignedDescriptor> = BTreeMap::new();
        let listed = base.iter().flat_map(|document| document.descriptors());
        for signed in self.pool.iter().chain(listed) {
            let newer = chosen
                .get(&signed.id())
                .is_none_or(|c| c.sequence() < signed.sequence());
            if newer && eligible(&self.params, epoch, base.as_deref(), signed) {
                chosen.insert(signed.id(), signed);
            }
        }
        let genesis = chosen
            .keys()
            .filter(|id| self.params.is_genesis(id))
            .count();
        if base.is_none() && !enough_genesis(&self.params, genesis) {
            return;
        }
        match Document::form(&self.params, epoch, base.as_deref(), chosen.into_values()) {
            Ok(document) => self.formed(now, document),
            Err(reason) => self.warn(DirectoryWarning::NotFormed { epoch, reason }),
        }
    }

    fn formed(&mut self, now: Time, document: Document) {
        if self
            .consider(now, document, None)
            .is_ok_and(|c| c != Considered::Known)
        {
            self.counters.formed += 1;
        }
    }

    /// Weighs a verified document, and spreads the news if it is taken.
    pub(super) fn consider(
        &mut self,
        now: Time,
        document: Document,
        from: Option<NodeId>,
    ) -> Result<Considered, DocumentError> {
        let epoch = document.epoch();
        let document = Arc::new(document);
        let known: Vec<_> = self.archive.documents().map(|d| d.epoch()).collect();
        let considered = self
            .archive
            .consider(&self.params, now, Arc::clone(&document), from)?;
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
            let bytes = document.encode().to_vec();
            self.persist(DirectoryChange::Document { epoch, bytes });
            // The next one may follow from this one.
            self.unformed = true;
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

    /// Says so when the document in force is old, or there is none, or it leaves us out.
    pub(super) fn warn_of_state(&mut self, now: Time) {
        let epoch = self.epoch;
        let Some(document) = self.archive.view().in_force(epoch).cloned() else {
            let ever = self.archive.documents().next().is_some();
            if ever {
                self.warn(DirectoryWarning::NoDocument { epoch });
            }
            if self.missing > 0 && now >= self.started + START_UP {
                let missing = self.missing;
                self.warn(DirectoryWarning::WaitingForGenesis { missing });
            }
            return;
        };
        let age = epoch.number().saturating_sub(document.epoch().number());
        if age > 0 {
            let left = MAX_STALE_EPOCHS.saturating_sub(age);
            let document = document.epoch();
            self.warn(DirectoryWarning::Stale {
                document,
                now: epoch,
                left,
            });
        }
        let own = self.local.as_ref().map(|local| local.identity.id());
        if own.is_some_and(|own| document.member(&own).is_none()) {
            self.warn(DirectoryWarning::NotAMember {
                epoch: document.epoch(),
            });
        }
    }

    /// Whether anything is missing that neighbours may have.
    pub(super) fn incomplete(&self, now: Time) -> bool {
        let next = self.epoch.next();
        self.archive
            .view()
            .in_force(self.epoch)
            .is_none_or(|d| d.epoch() != self.epoch)
            || now >= self.params.freeze_time(next) && self.archive.get(next).is_none()
    }

    /// Puts an action into the queue.
    pub(super) fn push(&mut self, action: DirectoryAction) {
        self.actions.push_back(action);
    }
}
