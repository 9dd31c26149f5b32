//! Who is no member for a while, because it said two things in its seat where an honest one says one.
//!
//! A document lists who is expelled and for how long, and has the evidence for those whose expulsion begins
//! with it, so that whoever judges it sees why. What it lists follows from the document before, the evidence and
//! the members, and from nothing else.
//!
//! An expulsion lasts a term, from the epoch of the document that begins it. Who is expelled is no member, and
//! so gets no seat; the seat that it has it keeps until its term ends, and the quorum stays as it is: a
//! quorum that depended on who was heard of would be two quorums. What it said in its seat up to the end of that term is
//! paid for with it. Then it comes back as anybody comes.

use std::collections::BTreeMap;

use shoal_proto::{Epoch, NodeId, wire};

use crate::agreement::UnverifiedEvidence;
use crate::agreement::{Evidence, Height, MAX_EVIDENCE_BYTES, MAX_SEATS, MessageError, Seats};
use crate::canonical::Canonical;
use crate::document::Place;
use crate::header::members_hash;
use crate::rules::Rules;
use crate::{Document, DocumentError, Member, Role};

/// Most entries of a document's list. Fewer than a third of the seats of three terms are not honest.
pub const MAX_EXPELLED: usize = MAX_SEATS;

/// Most bytes that expulsions take in a document.
pub(crate) const MAX_EXPELLED_BYTES: usize = MAX_EXPELLED * (64 + MAX_EVIDENCE_BYTES + 8);

/// An entry of a document's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expulsion {
    /// The last epoch whose document can't list it. An expulsion that is over stays in the list for as long
    /// as evidence for it could count.
    pub last: Epoch,
    /// What it said in its seat up to this height counts against it no more.
    pub height: Height,
}

impl Expulsion {
    /// Whether it keeps its node out of a document for this epoch.
    #[must_use]
    pub fn holds(&self, epoch: Epoch) -> bool {
        epoch <= self.last
    }
}

/// What can be held against seats at a place in the chain: evidence that has been verified, one piece of each
/// identity, and the seats of the term before, whose word still counts. Without either nobody is expelled.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Offences {
    before: Option<Seats>,
    evidence: BTreeMap<NodeId, Evidence>,
}

impl Offences {
    /// These pieces of evidence, by whom they are against.
    #[must_use]
    pub const fn new(before: Option<Seats>, evidence: BTreeMap<NodeId, Evidence>) -> Self {
        Self { before, evidence }
    }

    /// Those of a document that was proposed, each verified against the seats of its height: those that
    /// decide `height`, or the ones before.
    ///
    /// # Errors
    /// [`DocumentError::Evidence`], [`DocumentError::Expelled`].
    pub(crate) fn of(
        rules: &Rules,
        document: &Document,
        (seats, before): (&Seats, Option<Seats>),
    ) -> Result<Self, DocumentError> {
        let mut offences = Self::new(before, BTreeMap::new());
        for bytes in &document.expelled().evidence {
            let read = UnverifiedEvidence::read(bytes).map_err(DocumentError::Evidence)?;
            let sat = offences.sat(rules, (document.height(), seats), read.height());
            let sat = sat
                .ok_or(DocumentError::Evidence(MessageError::NoSeat))?
                .clone();
            let evidence = read.verify(&sat).map_err(DocumentError::Evidence)?;
            let holder = sat.holder(evidence.seat());
            let holder = holder.ok_or(DocumentError::Evidence(MessageError::NoSeat))?;
            if offences.evidence.insert(holder.id, evidence).is_some() {
                return Err(DocumentError::Expelled);
            }
        }
        Ok(offences)
    }

    /// Also these, where there is none of the same identity.
    pub(crate) fn add(&mut self, evidence: &BTreeMap<NodeId, Evidence>) {
        for (id, evidence) in evidence {
            let known = self.evidence.entry(*id);
            known.or_insert_with(|| evidence.clone());
        }
    }

    /// For the key of a job.
    pub(crate) fn add_to(&self, key: Canonical) -> Canonical {
        let before = self.before.as_ref().map_or([0; 32], Seats::hash);
        let key = key.bytes(&before);
        let each = self.evidence.values();
        each.fold(key, |key, evidence| key.bytes(&evidence.encode()))
    }

    /// Who sat at a height, as seen from where `seats` decide: at most a term back, and never ahead.
    fn sat<'a>(
        &'a self,
        rules: &Rules,
        (height, seats): (Height, &'a Seats),
        at: Height,
    ) -> Option<&'a Seats> {
        let began = rules.terms.since(height);
        if at > height || at <= rules.terms.since(began) {
            return None;
        }
        match at > began {
            true => Some(seats),
            false => self.before.as_ref(),
        }
    }
}

/// The list of a document.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Expelled {
    listed: BTreeMap<NodeId, Expulsion>,
    /// Encoded, of those whose expulsion begins with the document, in the order of their identities.
    evidence: Vec<Vec<u8>>,
}

impl Expelled {
    /// The entry of a node.
    pub(crate) fn of(&self, id: &NodeId) -> Option<&Expulsion> {
        self.listed.get(id)
    }

    /// Whether a node can't be a member in this epoch.
    pub(crate) fn holds(&self, epoch: Epoch, id: &NodeId) -> bool {
        self.of(id).is_some_and(|it| it.holds(epoch))
    }

    /// All entries, ascending by identity.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeId, &Expulsion)> {
        self.listed.iter()
    }

    pub(crate) fn to_wire(&self) -> (Vec<wire::Expelled>, Vec<Vec<u8>>) {
        let entry = |(id, it): (&NodeId, &Expulsion)| wire::Expelled {
            identity: id.as_bytes().to_vec(),
            last_epoch: it.last.number(),
            height: it.height.number(),
        };
        (
            self.listed.iter().map(entry).collect(),
            self.evidence.clone(),
        )
    }

    /// Reads the list of a document, and whether there is something in the form of evidence for each
    /// expulsion that begins with it. Whether that is evidence is for who knows the seats.
    ///
    /// # Errors
    /// [`DocumentError::Expelled`], [`DocumentError::Evidence`].
    pub(crate) fn read(
        rules: &Rules,
        (epoch, height): (Epoch, Height),
        wire: &wire::Document,
    ) -> Result<Self, DocumentError> {
        if wire.expelled.len() > MAX_EXPELLED {
            return Err(DocumentError::Expelled);
        }
        let newest = newest(rules, (epoch, height));
        let (mut listed, mut last, mut begin) = (BTreeMap::new(), None, 0);
        for entry in &wire.expelled {
            let id = NodeId::try_from(entry.identity.as_slice());
            let id = id.map_err(|_| DocumentError::Expelled)?;
            let expulsion = Expulsion {
                last: Epoch::new(entry.last_epoch),
                height: Height::new(entry.height),
            };
            let fits = expulsion.last <= newest.last && expulsion.height <= newest.height;
            if last >= Some(id) || !fits {
                return Err(DocumentError::Expelled);
            }
            begin += usize::from(expulsion.last == newest.last);
            last = Some(id);
            listed.insert(id, expulsion);
        }
        // One that began earlier ends earlier.
        if wire.evidence.len() != begin {
            return Err(DocumentError::Expelled);
        }
        for bytes in &wire.evidence {
            UnverifiedEvidence::read(bytes).map_err(DocumentError::Evidence)?;
        }
        let evidence = wire.evidence.clone();
        Ok(Self { listed, evidence })
    }
}

/// An expulsion that begins with a document.
fn newest(rules: &Rules, (epoch, height): (Epoch, Height)) -> Expulsion {
    let term = u64::from(rules.params.term);
    let last = epoch.number().saturating_add(term.saturating_sub(1));
    Expulsion {
        last: Epoch::new(last),
        height: rules.terms.end(height),
    }
}

/// The hash of all of a document but its header: BLAKE2b-256 of the hash of the members, and of the
/// entries and the evidence.
#[must_use]
pub fn contents_hash(document: &wire::Document) -> [u8; 32] {
    let hash = Canonical::new("shoal contents 1").bytes(&members_hash(&document.members));
    let count = u64::try_from(document.expelled.len()).unwrap_or(u64::MAX);
    let expelled = document.expelled.iter();
    let hash = expelled.fold(hash.number(count), |hash, it| {
        hash.bytes(&it.identity)
            .number(it.last_epoch)
            .number(it.height)
    });
    let evidence = document.evidence.iter();
    evidence.fold(hash, |hash, it| hash.bytes(it)).finish()
}

/// The list of a document that is being formed.
pub(crate) struct Forming {
    epoch: Epoch,
    listed: BTreeMap<NodeId, Expulsion>,
    /// Those that begin: the evidence, and the entry that it takes the place of.
    begin: BTreeMap<NodeId, (Vec<u8>, Option<Expulsion>)>,
}

impl Forming {
    /// All who could be expelled at a place: those of the document before that are not over, or for which
    /// evidence could count again, and those against whom there is evidence now, as far as there is room.
    pub(crate) fn at<D: AsRef<Document>>(rules: &Rules, place: &Place<D>) -> Self {
        let (epoch, height) = (place.epoch, place.height());
        let oldest = rules.terms.since(rules.terms.since(height));
        let stays = |it: &Expulsion| it.holds(epoch) || it.height > oldest;
        let before = place
            .base()
            .into_iter()
            .flat_map(|base| base.expelled().iter());
        let before = before.filter(|(_, it)| stays(it));
        let mut listed = BTreeMap::from_iter(before.map(|(id, it)| (*id, *it)));
        let mut begin = BTreeMap::new();
        for (id, evidence) in &place.offences.evidence {
            let at = evidence.height();
            let sat = place.offences.sat(rules, (height, &place.seats), at);
            let holder = sat.and_then(|sat| sat.holder(evidence.seat()));
            let known = listed.get(id).copied();
            let counts = known.is_none_or(|known| at > known.height && !known.holds(epoch));
            let room = known.is_some() || listed.len() < MAX_EXPELLED;
            if holder.is_some_and(|holder| holder.id == *id) && counts && room {
                listed.insert(*id, newest(rules, (epoch, height)));
                begin.insert(*id, (evidence.encode(), known));
            }
        }
        Self {
            epoch,
            listed,
            begin,
        }
    }

    /// Has those stand that are not expelled.
    ///
    /// Nobody's expulsion leaves a layer empty, or the network without a provider. As long as it would, it is put
    /// off for one that could fill the position: of those whose expulsion would begin now the first by
    /// identity, which a later document may still expel; for want of a provider then the one whose
    /// expulsion ends first, of equals the first by identity: it is over for good. A mix that has been out already would have no layer
    /// in this document, so its expulsion stays.
    ///
    /// # Errors
    /// What `stand` says where nobody else could fill a position.
    pub(crate) fn settle<T>(
        mut self,
        base: Option<&Document>,
        candidates: &BTreeMap<NodeId, Member>,
        stand: impl Fn(BTreeMap<NodeId, Member>) -> Result<T, DocumentError>,
    ) -> Result<(Expelled, T), DocumentError> {
        loop {
            let mut free = candidates.clone();
            free.retain(|id, _| !self.holds(id));
            let error = match stand(free) {
                Ok(standing) => return Ok((self.settled(), standing)),
                Err(error) => error,
            };
            let role = match error.empty_position() {
                Some(0) => Role::Provider,
                Some(_) => Role::Mix,
                None => return Err(error),
            };
            let stood = |id: &NodeId| base.is_none_or(|base| base.member(id).is_some());
            let fills = |id: &NodeId| {
                let candidate = candidates.get(id);
                let is_it = candidate.is_some_and(|it| it.role == role);
                is_it && (role == Role::Provider || stood(id))
            };
            if !self.put_off(fills) {
                return Err(error);
            }
        }
    }

    fn holds(&self, id: &NodeId) -> bool {
        self.listed.get(id).is_some_and(|it| it.holds(self.epoch))
    }

    /// False if there is nobody whose expulsion could be put off.
    fn put_off(&mut self, fills: impl Fn(&NodeId) -> bool) -> bool {
        let begins = self.begin.keys().find(|id| fills(id)).copied();
        if let Some(id) = begins {
            let known = self.begin.remove(&id).and_then(|(_, known)| known);
            match known {
                Some(known) => self.listed.insert(id, known),
                None => self.listed.remove(&id),
            };
            return true;
        }
        let (epoch, before) = (self.epoch, self.epoch.previous());
        let listed = self.listed.iter_mut();
        let out = listed.filter(|(id, it)| it.holds(epoch) && fills(id));
        let first = out.min_by_key(|(id, it)| (it.last, **id));
        match first.zip(before) {
            Some(((_, expulsion), before)) => {
                expulsion.last = before;
                true
            }
            None => false,
        }
    }

    fn settled(self) -> Expelled {
        Expelled {
            listed: self.listed,
            evidence: self.begin.into_values().map(|(bytes, _)| bytes).collect(),
        }
    }
}
