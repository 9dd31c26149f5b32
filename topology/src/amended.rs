//! The amendments that are known, and what documents are with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shoal_proto::{NodeId, Time};

use crate::agreement::{AMENDMENT_SLOTS, CertifiedAmendment};
use crate::{Document, NetworkParameters, Slot, View};

/// How far ahead of its slot an amendment is taken: it is proposed two slots before, and clocks differ.
const AHEAD: u64 = 4;

/// An amendment, and whom it suspends.
struct Known {
    bytes: Arc<[u8]>,
    suspended: Arc<BTreeSet<NodeId>>,
}

/// The amendment that holds, and those that are to take effect: at most six.
#[derive(Default)]
pub struct Amendments {
    known: BTreeMap<Slot, Known>,
}

impl Amendments {
    /// Whether an amendment for this slot could matter: it is none of another time, and is not known.
    #[must_use]
    pub fn lacks(&self, params: &NetworkParameters, now: Time, slot: Slot) -> bool {
        let at = params.slot_at(now);
        let timely = slot <= at.after(AHEAD) && slot.after(AMENDMENT_SLOTS) > at;
        let newest = self.known.range(..=at).next_back();
        timely && !self.known.contains_key(&slot) && newest.is_none_or(|(known, _)| *known < slot)
    }

    /// Takes an amendment whose signatures have been verified, if its document is one of these. False if it changes
    /// nothing.
    pub fn take<'a>(
        &mut self,
        params: &NetworkParameters,
        now: Time,
        certified: &CertifiedAmendment,
        documents: impl IntoIterator<Item = &'a Arc<Document>>,
    ) -> bool {
        let amendment = certified.amendment();
        if !self.lacks(params, now, amendment.slot) {
            return false;
        }
        let mut documents = documents.into_iter();
        let Some(suspended) = documents.find_map(|it| amendment.suspended(it)) else {
            return false;
        };
        let known = Known {
            bytes: certified.encode().into(),
            suspended: Arc::new(suspended),
        };
        self.known.insert(amendment.slot, known);
        self.forget(params, now);
        true
    }

    /// Forgets what another has taken the place of, or is over.
    fn forget(&mut self, params: &NetworkParameters, now: Time) {
        let at = params.slot_at(now);
        if let Some((newest, _)) = self.known.range(..=at).next_back() {
            let newest = *newest;
            self.known = self.known.split_off(&newest);
        }
        self.known
            .retain(|slot, _| slot.after(AMENDMENT_SLOTS) > at);
    }

    /// Whom the amendment suspends that holds in a slot, and since which.
    #[must_use]
    pub fn at(&self, slot: Slot) -> Option<(Slot, &Arc<BTreeSet<NodeId>>)> {
        let (since, known) = self.known.range(..=slot).next_back()?;
        (since.after(AMENDMENT_SLOTS) > slot).then_some((*since, &known.suspended))
    }

    /// Whom the amendment suspends that holds now; nobody where there is none.
    #[must_use]
    pub fn suspended(&self, params: &NetworkParameters, now: Time) -> Arc<BTreeSet<NodeId>> {
        let held = self.at(params.slot_at(now));
        held.map_or_else(Arc::default, |(_, suspended)| Arc::clone(suspended))
    }

    /// When another one takes effect, or one ends.
    #[must_use]
    pub fn next_change(&self, params: &NetworkParameters, now: Time) -> Option<Time> {
        let at = params.slot_at(now);
        let begin = self.known.range(at.after(1)..).next();
        let begin = begin.map(|(slot, _)| *slot);
        let end = self.known.range(..=at).next_back();
        let end = end.map(|(slot, _)| slot.after(AMENDMENT_SLOTS));
        let next = begin.into_iter().chain(end).filter(|slot| *slot > at).min();
        next.map(|slot| params.start_of_slot(slot))
    }

    /// Those that hold or will, encoded, oldest first.
    pub fn encoded(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        self.known.values().map(|known| &known.bytes)
    }
}

impl View {
    /// These documents while these nodes are suspended.
    #[must_use]
    pub fn without(&self, suspended: &BTreeSet<NodeId>) -> Self {
        let documents = self.documents.iter().map(|(epoch, document)| {
            let same = document.suspended().is_empty()
                && !suspended.iter().any(|id| document.member(id).is_some());
            let document = match same {
                true => Arc::clone(document),
                false => Arc::new(document.without(suspended)),
            };
            (*epoch, document)
        });
        Self {
            documents: documents.collect(),
        }
    }
}
