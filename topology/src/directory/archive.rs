//! The documents that count, who signed them, and how their seats followed from each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use shoal_proto::{DocumentHash, Epoch, Time};

use super::Restored;
use crate::agreement::{Height, Seats};
use crate::chain::{Certified, Followed, Handover, Trust, height_of};
use crate::delta::delta;
use crate::rules::Rules;
use crate::{Document, MAX_STALE_EPOCHS, NetworkParameters, RecoveryError, View};

/// The documents that are known, at most one for each epoch: more than two thirds of the seats have
/// signed each, so there are no two.
pub(super) struct Archive {
    view: View,
    /// Of the documents in the view, and of the newest.
    certified: BTreeMap<Height, Certified>,
    /// What makes each of them of the one before, if that was known.
    deltas: BTreeMap<Height, Arc<[u8]>>,
    /// Encoded, of all terms: who starts anew follows them one by one.
    handovers: BTreeMap<Height, Arc<[u8]>>,
    /// None for a network that names nobody who could have a seat: it has no documents.
    trust: Option<Trust>,
}

/// An encoded handover, and its height.
type Encoded = (Height, Arc<[u8]>);

impl Archive {
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            view: View::default(),
            certified: BTreeMap::new(),
            deltas: BTreeMap::new(),
            handovers: BTreeMap::new(),
            trust: Trust::first_by(rules).ok(),
        }
    }

    pub(super) const fn view(&self) -> &View {
        &self.view
    }

    pub(super) fn get(&self, epoch: Epoch) -> Option<&Arc<Document>> {
        self.view.documents.get(&epoch)
    }

    /// The newest document, however old it is.
    pub(super) fn tip(&self) -> Option<&Certified> {
        self.certified.values().next_back()
    }

    /// The height that is decided next.
    pub(super) fn next_height(&self) -> Height {
        self.tip()
            .map_or(Height::FIRST, |tip| tip.document.height().next())
    }

    pub(super) const fn trust(&self) -> Option<&Trust> {
        self.trust.as_ref()
    }

    /// The height of the last handover; 0 for none.
    pub(super) fn since(&self) -> Height {
        self.trust.as_ref().map_or(Height::default(), Trust::since)
    }

    /// The seats that decide the next height, if they are known.
    pub(super) fn seats(&self) -> Option<&Seats> {
        let (next, trust) = (self.next_height(), self.trust.as_ref()?);
        let known = trust.since() < next && next <= trust.until();
        known.then(|| trust.seats())
    }

    /// The seats of the term before that one.
    pub(super) fn before(&self) -> Option<&Seats> {
        self.trust.as_ref().and_then(Trust::before)
    }

    /// The seats of a height, if they are those of this term or of the one before.
    pub(super) fn seats_of(&self, height: Height) -> Option<&Seats> {
        self.trust.as_ref().and_then(|trust| trust.seats_of(height))
    }

    pub(super) fn by_hash(&self, hash: &DocumentHash) -> Option<&Arc<Document>> {
        let mut documents = self.certified.values().map(|certified| &certified.document);
        documents.find(|document| document.hash() == hash)
    }

    /// Handovers above a height, oldest first.
    pub(super) fn handovers(&self, after: Height) -> impl Iterator<Item = &Arc<[u8]>> {
        self.handovers.range(after.next()..).map(|(_, bytes)| bytes)
    }

    /// Documents above a height, oldest first.
    pub(super) fn documents(&self, after: Height) -> impl Iterator<Item = &Certified> {
        self.certified
            .range(after.next()..)
            .map(|(_, certified)| certified)
    }

    /// What makes the document of a height of the one before, if that was known.
    pub(super) fn delta(&self, height: Height) -> Option<&Arc<[u8]>> {
        self.deltas.get(&height)
    }

    /// The hash of the seats after a handover, if that is here.
    pub(super) fn seats_after(&self, rules: &Rules, height: Height) -> Option<[u8; 32]> {
        let handover = Handover::decode(self.handovers.get(&height)?, rules).ok()?;
        Some(handover.seats.hash())
    }

    /// Takes a document that was decided here, with the seats that follow. Gives the handover, if
    /// they are others.
    pub(super) fn decided(
        &mut self,
        rules: &Rules,
        certified: &Certified,
        seats: Seats,
    ) -> Option<Encoded> {
        let height = certified.document.height();
        self.add(certified.clone());
        // After a recovery's document others sit: see `recover`.
        if !rules.terms.hands_over(height) || rules.recovery(height).is_some() {
            return None;
        }
        let handover = Handover {
            header: certified.document.header().clone(),
            certificate: certified.certificate.clone(),
            seats: seats.clone(),
        };
        let bytes: Arc<[u8]> = handover.encode().into();
        self.handovers.insert(height, Arc::clone(&bytes));
        // It may be known already, and what follows from it, by a neighbour's chain.
        if let Some(trust) = self.trust.as_mut().filter(|it| it.until() == height) {
            trust.go_on(height, seats);
        }
        Some((height, bytes))
    }

    /// Takes what was followed from what was known. Gives what of it is new.
    pub(super) fn followed(&mut self, followed: Followed) -> Followed {
        let mut new = followed;
        if new.trust.since() < self.since() {
            // More was decided here meanwhile.
            new.handovers.clear();
        } else {
            self.trust = Some(new.trust.clone());
        }
        new.handovers
            .retain(|(height, _)| !self.handovers.contains_key(height));
        self.handovers.extend(new.handovers.iter().cloned());
        let next = self.next_height();
        new.documents
            .retain(|certified| certified.document.height() >= next);
        for certified in &new.documents {
            self.add(certified.clone());
        }
        new
    }

    /// Hands over by the recovery that goes on from a document that is here, if there is one.
    ///
    /// # Errors
    /// The height of a document that is here where a recovery goes on from another one.
    pub(super) fn recover(&mut self, rules: &Rules) -> Result<Option<Encoded>, Height> {
        let Some(trust) = &mut self.trust else {
            return Ok(None);
        };
        let height = trust.until();
        let from = self.certified.get(&height);
        let Some((recovery, certified)) = rules.recovery(height).zip(from) else {
            return Ok(None);
        };
        let handover = recovery.hand_over(rules.network, certified);
        let handover = handover.ok_or(height)?;
        let bytes: Arc<[u8]> = handover.encode().into();
        trust.go_on(height, handover.seats);
        self.handovers.insert(height, Arc::clone(&bytes));
        Ok(Some((height, bytes)))
    }

    /// Takes a handover from the own disk.
    pub(super) fn restore_handover(&mut self, rules: &Rules, bytes: Arc<[u8]>) {
        if let Ok(handover) = Handover::decode(&bytes, rules)
            && let Some(trust) = &mut self.trust
        {
            let height = handover.header.height;
            // By a file that follows on another the chain goes on from here, and others still come from before.
            if height <= trust.since() {
                trust.was_before(height, handover.seats);
                self.handovers.insert(height, bytes);
                return;
            }
            if height != trust.until() {
                return;
            }
            let recovery = rules.recovery(height);
            if recovery.is_some_and(|recovery| !recovery.is_of(&handover.seats)) {
                return;
            }
            trust.go_on(height, handover.seats);
            self.handovers.insert(height, bytes);
        }
    }

    /// Takes a document.
    pub(super) fn add(&mut self, certified: Certified) {
        let document = &certified.document;
        let base = self.certified.values().map(|it| &it.document);
        let base = base.rev().find(|base| base.hash() == document.previous());
        if let Some(delta) = base.and_then(|base| delta(base, document)) {
            self.deltas.insert(document.height(), delta.into());
        }
        self.view
            .documents
            .insert(document.epoch(), Arc::clone(document));
        self.certified.insert(document.height(), certified);
    }

    /// Forgets documents that can't be in force any more, but for the newest. Gives their epochs.
    pub(super) fn prune(&mut self, params: &NetworkParameters, now: Time) -> Vec<Epoch> {
        let oldest = oldest(params, now);
        let tip = self.tip().map(|tip| tip.document.height());
        let mut removed = Vec::new();
        self.certified.retain(|height, certified| {
            let epoch = certified.document.epoch();
            let kept = epoch >= oldest || Some(*height) == tip;
            if !kept {
                removed.push(epoch);
            }
            kept
        });
        self.deltas
            .retain(|height, _| self.certified.contains_key(height));
        self.view.documents = self.view.documents.split_off(&oldest);
        removed
    }
}

impl Restored {
    /// Whether what was kept goes together with the recoveries of a network's file.
    ///
    /// # Errors
    /// [`RecoveryError::Late`]: what was agreed on here after the document that one goes on from.
    pub fn check(&self, params: &NetworkParameters) -> Result<(), RecoveryError> {
        if params.recoveries.is_empty() {
            return Ok(());
        }
        let rules = Rules::of(params);
        let mut archive = Archive::new(&rules);
        for handover in &self.handovers {
            archive.restore_handover(&rules, Arc::clone(handover));
        }
        let heights = self.documents.iter().filter_map(|bytes| height_of(bytes));
        let until = archive.trust.as_ref().map(Trust::until);
        let (Some(newest), Some(until)) = (heights.max(), until) else {
            return Ok(());
        };
        match newest > until && rules.recovery(until).is_some() {
            true => Err(RecoveryError::Late {
                recovery: until,
                newest,
            }),
            false => Ok(()),
        }
    }
}

/// The oldest epoch whose document can still be in force, here or at a neighbour.
fn oldest(params: &NetworkParameters, now: Time) -> Epoch {
    let epoch = params.epoch_at(now).number();
    Epoch::new(epoch.saturating_sub(MAX_STALE_EPOCHS + 1))
}
