//! What follows from one node's answers: whose signatures count, and the documents that they have signed.

use std::collections::BTreeMap;
use std::sync::Arc;

use shoal_proto::{DocumentHash, Epoch, NetworkHash, NodeId};
use shoal_topology::agreement::{Height, Seat, Seats, SeatsError};
use shoal_topology::{
    Certified, Document, DocumentError, Looked, NetworkParameters, Terms, Trust, View,
    chain_request,
};

/// Documents that are remembered, the newest.
const REMEMBERED: usize = 16;

/// The documents that the same seats decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Counted from 1.
    pub number: u64,
    /// The last height, whose document ends with the seats of the next term.
    pub last: Height,
}

/// What a node has shown, followed and verified from the network's parameters on. Of documents the newest 16
/// are remembered, of handovers 40 bytes each.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The newest file of the network that is known.
    file: NetworkHash,
    terms: Terms,
    trust: Trust,
    /// The hash of the seats after each handover.
    handovers: BTreeMap<Height, [u8; 32]>,
    /// The seats themselves, as far back as documents are remembered.
    seats: BTreeMap<Height, Seats>,
    documents: BTreeMap<(Height, DocumentHash), Certified>,
    fault: Option<DocumentError>,
}

impl Chain {
    /// Of who knows the parameters and nothing else.
    ///
    /// # Errors
    /// The network starts with nobody, or with more than can sit.
    pub fn new(params: &NetworkParameters) -> Result<Self, SeatsError> {
        Ok(Self {
            file: params.hash(),
            terms: Terms::of(params),
            trust: Trust::first(params)?,
            handovers: BTreeMap::new(),
            seats: BTreeMap::new(),
            documents: BTreeMap::new(),
            fault: None,
        })
    }

    /// Whose signatures count now.
    #[must_use]
    pub const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The question that clients ask, for what comes after.
    pub(super) fn question(&self) -> Vec<u8> {
        chain_request(self.trust.since(), Height::default(), self.file)
    }

    /// Takes an answer. Whether it led to other seats.
    pub fn take(&mut self, looked: &Looked) -> bool {
        let since = self.trust.since();
        self.fault = None;
        for (followed, error) in looked.each() {
            self.trust = followed.trust.clone();
            let seats = followed.seats.iter();
            self.handovers
                .extend(seats.map(|(height, seats)| (*height, seats.hash())));
            self.seats.extend(followed.seats.clone());
            for certified in &followed.documents {
                let document = &certified.document;
                let place = (document.height(), *document.hash());
                self.documents
                    .entry(place)
                    .or_insert_with(|| certified.clone());
            }
            self.fault = error.cloned();
        }
        while self.documents.len() > REMEMBERED {
            self.documents.pop_first();
        }
        let oldest = self.documents.keys().next().map(|(height, _)| *height);
        let oldest = oldest.unwrap_or_else(|| self.trust.since().next());
        let deciding = self.seats.range(..oldest).next_back();
        if let Some(from) = deciding.map(|(from, _)| *from) {
            self.seats.retain(|height, _| *height >= from);
        }
        self.trust.since() > since
    }

    /// What was wrong with the last answer, from where on it was not looked at.
    #[must_use]
    pub const fn fault(&self) -> Option<&DocumentError> {
        self.fault.as_ref()
    }

    /// The handovers that were followed.
    #[must_use]
    pub fn handovers(&self) -> usize {
        let followed = self.handovers.keys();
        followed.filter(|height| **height >= Height::FIRST).count()
    }

    /// The hash of the seats that decide after each height of a handover.
    pub(super) fn successions(&self) -> impl Iterator<Item = (Height, [u8; 32])> + '_ {
        self.handovers.iter().map(|(height, hash)| (*height, *hash))
    }

    /// The documents, oldest first.
    pub fn documents(&self) -> impl DoubleEndedIterator<Item = &Certified> {
        self.documents.values()
    }

    /// The document that counts in this epoch, which may be one of up to three epochs before.
    #[must_use]
    pub fn in_force(&self, epoch: Epoch) -> Option<&Certified> {
        let documents = self.documents().map(|certified| &certified.document);
        let documents = documents.map(|document| (document.epoch(), Arc::clone(document)));
        let view = View {
            documents: documents.collect(),
        };
        let document = view.in_force(epoch)?;
        self.documents.get(&(document.height(), *document.hash()))
    }

    /// The seats that decide the height of a document that is remembered.
    #[must_use]
    pub fn seats(&self, document: &Document) -> Option<&Seats> {
        let seats = self.seats.range(..document.height()).next_back();
        seats.map(|(_, seats)| seats)
    }

    /// Who has a seat and has not signed.
    #[must_use]
    pub fn missing(&self, certified: &Certified) -> Vec<NodeId> {
        let Some(seats) = self.seats(&certified.document) else {
            return Vec::new();
        };
        let signed = Vec::from_iter(certified.certificate.seats());
        let missing = seats.all().filter(|seat| !signed.contains(seat));
        let holder = |seat: Seat| seats.holder(seat).map(|holder| holder.id);
        missing.filter_map(holder).collect()
    }

    /// Who made a document: none for the first, and if the one before it is not known, by whose seed it was
    /// whose turn.
    #[must_use]
    pub fn proposer(&self, document: &Document) -> Option<NodeId> {
        let reveal = document.header().reveal.as_ref()?;
        let before = (
            Height::new(document.height().number().checked_sub(1)?),
            *document.previous(),
        );
        let before = self.documents.get(&before)?;
        let seats = self.seats(document)?;
        let seat = reveal.proposer(&seats.proposers(before.document.seed()));
        seats.holder(seat).map(|holder| holder.id)
    }

    /// The term of a height.
    #[must_use]
    pub fn term(&self, height: Height) -> Term {
        Term {
            number: self.terms.number(height),
            // The first height has seats of its own, and is of the first term all the same.
            last: self.terms.end(height.max(Height::FIRST.next())),
        }
    }
}
