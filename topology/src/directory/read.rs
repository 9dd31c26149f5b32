//! Questions and answers as they come: read strictly, and never into more memory than their bytes and
//! a bounded number of entries.

use std::sync::Arc;

use prost::Message;
use shoal_proto::{DocumentHash, Epoch, NetworkHash, NodeId, Time, size, wire};

use super::repair;
use super::wanted::MOST_LACKING;
use super::{MAX_DOCUMENTS, MAX_HANDOVERS, MAX_SYNC_REQUEST_BYTES, MAX_SYNC_RESPONSE_BYTES};
use crate::agreement::{
    self, AmendmentVote, CertifiedAmendment, Evidence, Height, MAX_SEATS, UnverifiedEvidence,
};
use crate::bounded::has_at_most;
use crate::chain::Trust;
use crate::delta::Body;
use crate::{DescriptorError, Document};

/// What somebody asks.
pub(super) enum Question {
    /// A neighbour: what it lacks, and the document that we go by. A message of Negentropy.
    Reconcile(Vec<u8>),
    /// The descriptors with these hashes.
    Named(Vec<[u8; 32]>),
    /// The document with this hash.
    Fetch(DocumentHash),
    /// The descriptors with these sequences.
    Want(Vec<(NodeId, u64)>),
    /// The handovers after a height, and the documents that count beyond another one.
    Chain {
        after: Height,
        known: Height,
        /// The newest file of the network that the asker has.
        file: NetworkHash,
    },
}

impl Question {
    /// None if it is none, in exactly the form that we would give it.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let fits = bytes.len() <= MAX_SYNC_REQUEST_BYTES;
        if !fits || !has_at_most(MOST_LACKING, bytes) {
            return None;
        }
        let request = wire::SyncRequest::decode(bytes).ok()?;
        // What we don't know is not to be answered as if it had not been said.
        if request.encoded_len() != bytes.len() {
            return None;
        }
        let asks = [
            !request.reconcile.is_empty(),
            !request.named.is_empty(),
            !request.fetch.is_empty(),
            request.chain > 0,
            !request.want.is_empty(),
        ];
        let chain = request.chain > 0;
        let fitting = chain == (request.known > 0) && chain != request.file.is_empty();
        if !fitting || asks.into_iter().filter(|asks| *asks).count() != 1 {
            return None;
        }
        if request.chain > 0 {
            let file = request.file.as_slice().try_into().ok()?;
            return Some(Self::Chain {
                after: Height::new(request.chain - 1),
                known: Height::new(request.known - 1),
                file: NetworkHash::new(file),
            });
        }
        if !request.reconcile.is_empty() {
            let fits = request.reconcile.len() <= repair::MAX_MESSAGE_BYTES;
            return fits.then_some(Self::Reconcile(request.reconcile));
        }
        if !request.named.is_empty() {
            let named = request.named.iter().map(|hash| hash.as_slice().try_into());
            return named.collect::<Result<_, _>>().ok().map(Self::Named);
        }
        if !request.want.is_empty() {
            let fits = request.want.len() <= MOST_LACKING;
            let named = |wanted: &wire::DescriptorId| {
                let id = NodeId::try_from(wanted.identity.as_slice()).ok()?;
                Some((id, wanted.sequence))
            };
            let wanted = request.want.iter().map(named).collect::<Option<_>>();
            return wanted.filter(|_| fits).map(Self::Want);
        }
        let hash = request.fetch.as_slice().try_into().ok();
        hash.map(|hash| Self::Fetch(DocumentHash::new(hash)))
    }
}

/// The question for the chain: the handovers after this height, and the documents that count beyond
/// `known`; and the file that follows on this one, which is the newest that the asker has.
#[must_use]
pub fn chain_request(after: Height, known: Height, file: NetworkHash) -> Vec<u8> {
    wire::SyncRequest {
        chain: after.number().saturating_add(1),
        known: known.number().saturating_add(1),
        file: file.as_bytes().to_vec(),
        ..Default::default()
    }
    .encode_to_vec()
}

/// What came by gossip.
pub(super) enum News {
    Descriptor(Vec<u8>),
    Agreement(Vec<u8>),
    Evidence(Vec<u8>),
    Report(Vec<u8>),
    Amendment(Vec<u8>),
}

impl News {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        if !has_at_most(2, bytes) {
            return None;
        }
        let gossip = wire::Gossip::decode(bytes).ok()?;
        if gossip.encoded_len() != bytes.len() {
            return None;
        }
        match gossip.what? {
            wire::gossip::What::Descriptor(bytes) => Some(Self::Descriptor(bytes)),
            wire::gossip::What::Agreement(bytes) => Some(Self::Agreement(bytes)),
            wire::gossip::What::Evidence(bytes) => Some(Self::Evidence(bytes)),
            wire::gossip::What::Report(bytes) => Some(Self::Report(bytes)),
            wire::gossip::What::Amendment(bytes) => Some(Self::Amendment(bytes)),
        }
    }
}

fn gossip(what: wire::gossip::What, again: u32) -> Vec<u8> {
    let what = Some(what);
    wire::Gossip { what, again }.encode_to_vec()
}

pub(super) fn descriptor_gossip(descriptor: Vec<u8>) -> Vec<u8> {
    gossip(wire::gossip::What::Descriptor(descriptor), 0)
}

pub(super) fn agreement_gossip(message: &agreement::Message, again: u32) -> Vec<u8> {
    gossip(wire::gossip::What::Agreement(message.encode()), again)
}

pub(super) fn evidence_gossip(evidence: &Evidence) -> Vec<u8> {
    gossip(wire::gossip::What::Evidence(evidence.encode()), 0)
}

/// What a watcher says, encoded with its signature: gossip passes it on once.
pub(super) fn report_gossip(report: Vec<u8>) -> Vec<u8> {
    gossip(wire::gossip::What::Report(report), 0)
}

pub(super) fn amendment_gossip(vote: &AmendmentVote) -> Vec<u8> {
    gossip(wire::gossip::What::Amendment(vote.encode()), 0)
}

/// A descriptor of which nothing is verified: what it claims decides whether that is worth it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) id: NodeId,
    pub(super) sequence: u64,
    pub(super) issued_at: Time,
    pub(super) expires_at: Time,
}

impl Claim {
    /// # Errors
    /// What is plainly wrong: its size, or its form.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, DescriptorError> {
        if bytes.len() > size::MAX_DESCRIPTOR_BYTES {
            return Err(DescriptorError::Size(bytes.len()));
        }
        let malformed = |_| DescriptorError::Malformed;
        let outer = wire::SignedDescriptor::decode(bytes).map_err(malformed)?;
        let inner = wire::Descriptor::decode(outer.descriptor.as_slice()).map_err(malformed)?;
        let id = NodeId::try_from(inner.identity.as_slice());
        Ok(Self {
            id: id.map_err(|_| DescriptorError::Identity)?,
            sequence: inner.sequence,
            issued_at: Time::from_micros(inner.issued_at_us),
            expires_at: Time::from_micros(inner.expires_at_us),
        })
    }
}

/// Most entries of an answer.
const MOST_ENTRIES: usize =
    MOST_LACKING + MAX_HANDOVERS + MAX_DOCUMENTS + MAX_SEATS + MAX_AMENDMENTS + 7;
/// Most amendments of an answer.
pub(super) const MAX_AMENDMENTS: usize = 6;

/// The time that an answer says, without reading the rest of it. None if it has none, or more entries
/// than an answer may have: looking at an entry costs nanoseconds, and of empty ones there could be
/// millions.
#[must_use]
pub fn answer_time(answer: &[u8]) -> Option<Time> {
    /// That field of an answer.
    #[derive(Clone, PartialEq, Eq, Message)]
    struct Said {
        #[prost(uint64, tag = "3")]
        now_us: u64,
    }
    let said = has_at_most(MOST_ENTRIES, answer).then(|| Said::decode(answer).ok());
    let time = Time::from_micros(said??.now_us);
    (time > Time::default()).then_some(time)
}

/// The newest document that a neighbour goes by, as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(super) height: Height,
    pub(super) epoch: Epoch,
    pub(crate) hash: DocumentHash,
}

impl Tip {
    pub(super) fn of(document: &Document) -> Self {
        Self {
            height: document.height(),
            epoch: document.epoch(),
            hash: *document.hash(),
        }
    }

    /// Its place, as it says.
    pub(crate) const fn height(self) -> Height {
        self.height
    }

    fn read(wire: &wire::Tip) -> Option<Self> {
        Some(Self {
            height: Height::new(wire.height),
            epoch: Epoch::new(wire.epoch),
            hash: DocumentHash::new(wire.hash.as_slice().try_into().ok()?),
        })
    }

    pub(super) fn to_wire(self) -> wire::Tip {
        wire::Tip {
            height: self.height.number(),
            epoch: self.epoch.number(),
            hash: self.hash.as_bytes().to_vec(),
        }
    }
}

/// An answer of a neighbour that was asked what it has, or for a document, read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) tip: Option<Tip>,
    pub(super) descriptors: Vec<(Claim, Arc<[u8]>)>,
    /// Descriptors that are plainly wrong, and why.
    pub(super) refused: Vec<DescriptorError>,
    pub(super) document: Option<Body>,
    /// A message of Negentropy; empty for none.
    pub(super) reconcile: Vec<u8>,
    /// Evidence whose signatures are right, of heights whose seats are known.
    pub(super) evidence: Vec<Evidence>,
    /// Whether there was something in the place of evidence that is none.
    pub(super) made_up: bool,
    /// Amendments whose signatures have not been looked at.
    pub(super) amendments: Vec<CertifiedAmendment>,
    /// The newest file of the network that it has, as it says.
    pub(super) file: Option<NetworkHash>,
}

impl Reading {
    /// With evidence verified up to the first that is none, if it is known whose signatures count. None if
    /// it can't be read.
    pub(super) fn of(bytes: &[u8], trust: Option<&Trust>) -> Option<Self> {
        if !has_at_most(MOST_ENTRIES, bytes) {
            return None;
        }
        let wire = wire::SyncResponse::decode(bytes).ok()?;
        let mut reading = Self {
            reconcile: wire.reconcile,
            amendments: amendments(&wire.amendments)?,
            document: Body::of(
                wire.documents.into_iter().next().unwrap_or_default(),
                wire.delta,
            ),
            ..Self::default()
        };
        if let Some(tip) = &wire.tip {
            reading.tip = Some(Tip::read(tip)?);
        }
        if !wire.file.is_empty() {
            let hash = wire.file.as_slice().try_into().ok()?;
            reading.file = Some(NetworkHash::new(hash));
        }
        for bytes in wire.descriptors {
            match Claim::of(&bytes) {
                Ok(claim) => reading.descriptors.push((claim, bytes.into())),
                Err(error) => reading.refused.push(error),
            }
        }
        if wire.evidence.len() > MAX_SEATS {
            return None;
        }
        if let Some(trust) = trust {
            let verified = wire.evidence.iter().map(|bytes| verify(bytes, trust));
            match verified.collect::<Result<Vec<_>, _>>() {
                Ok(evidence) => reading.evidence = evidence.into_iter().flatten().collect(),
                Err(_) => reading.made_up = true,
            }
        }
        Some(reading)
    }

    /// What keeping it costs.
    pub(super) fn bytes(&self) -> usize {
        let descriptors = self.descriptors.iter().map(|(_, bytes)| bytes.len());
        let each = size_of::<(Claim, Arc<[u8]>)>();
        descriptors.sum::<usize>() + each * self.descriptors.len() + self.reconcile.len()
    }
}

/// Amendments of an answer, whose signatures have not been looked at. None if one is none, or they are too many.
fn amendments(wire: &[Vec<u8>]) -> Option<Vec<CertifiedAmendment>> {
    let fits = wire.len() <= MAX_AMENDMENTS;
    let read = wire
        .iter()
        .map(|bytes| CertifiedAmendment::decode(bytes).ok());
    read.collect::<Option<_>>().filter(|_| fits)
}

/// Evidence that a neighbour sent. None where the seats of its height are not known.
fn verify(bytes: &[u8], trust: &Trust) -> Result<Option<Evidence>, agreement::MessageError> {
    let read = UnverifiedEvidence::read(bytes)?;
    match trust.seats_of(read.height()) {
        Some(seats) => read.verify(seats).map(Some),
        None => Ok(None),
    }
}

/// An answer to the question for the chain, read.
pub(crate) struct Chain {
    pub(crate) handovers: Vec<Vec<u8>>,
    pub(crate) documents: Vec<Vec<u8>>,
    pub(crate) now: Time,
    pub(crate) more: bool,
    /// What the answerer says that it goes by.
    pub(crate) tip: Option<Tip>,
    /// Amendments whose signatures have not been looked at.
    pub(crate) amendments: Vec<CertifiedAmendment>,
    /// A file that is to follow on the asker's, unread; empty for none.
    pub(crate) successor: Vec<u8>,
}

impl Chain {
    /// None if it can't be read.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_SYNC_RESPONSE_BYTES
            || !has_at_most(MAX_HANDOVERS + MAX_DOCUMENTS + MAX_AMENDMENTS + 6, bytes)
        {
            return None;
        }
        let wire = wire::SyncResponse::decode(bytes).ok()?;
        let fits = wire.handovers.len() <= MAX_HANDOVERS && wire.documents.len() <= MAX_DOCUMENTS;
        let tip = match &wire.tip {
            Some(tip) => Some(Tip::read(tip)?),
            None => None,
        };
        let amendments = amendments(&wire.amendments)?;
        fits.then_some(Self {
            amendments,
            successor: wire.successor,
            tip,
            handovers: wire.handovers,
            documents: wire.documents,
            now: Time::from_micros(wire.now_us),
            more: wire.more,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: NetworkHash = NetworkHash::new([9; 32]);

    #[test]
    fn the_time_of_an_answer_is_found_if_it_is_one() {
        let time = |documents: usize, now_us| {
            let response = wire::SyncResponse {
                documents: vec![vec![7; 9]; documents],
                now_us,
                ..Default::default()
            };
            answer_time(&response.encode_to_vec())
        };
        assert_eq!(time(2, 5), Some(Time::from_micros(5)));
        assert_eq!(time(2, 0), None);
        assert_eq!(time(MOST_ENTRIES - 1, 5), Some(Time::from_micros(5)));
        assert_eq!(time(MOST_ENTRIES, 5), None);
        assert_eq!(answer_time(&[0xff; 9]), None);
    }

    #[test]
    fn empty_entries_are_not_decoded() {
        assert!(Reading::of(&[0x0a, 0x00].repeat(4000), None).is_none());
        assert!(Question::read(&[0x0a, 0x00].repeat(5000)).is_none());
    }

    #[test]
    fn nonsense_is_no_question() {
        // A field that there is not, a number where there is none, a hash that is none.
        for bytes in [
            &[0x78, 0x01][..],
            &[0x08, 0x01],
            &[0x12, 0x01, 7],
            &[0xff; 100],
            &[0x0a, 0],
        ] {
            assert!(Question::read(bytes).is_none(), "{bytes:?}");
        }
        assert!(Question::read(&[]).is_none());
        let chain = chain_request(Height::new(0), Height::new(7), FILE);
        let read = Question::read(&chain);
        assert!(matches!(read, Some(Question::Chain { after, known, file })
            if after == Height::new(0) && known == Height::new(7) && file == FILE));
        for (after, known) in [(1 << 40, 7), (0, 0), (u64::MAX, u64::MAX)] {
            let other = chain_request(Height::new(after), Height::new(known), FILE);
            assert_eq!(other.len(), chain.len(), "{after} {known}");
        }
        let fetch = wire::SyncRequest {
            fetch: vec![7; 32],
            ..Default::default()
        };
        let read = Question::read(&fetch.encode_to_vec());
        assert!(matches!(read, Some(Question::Fetch(hash)) if hash == DocumentHash::new([7; 32])));
        let both = wire::SyncRequest {
            named: vec![vec![1; 32]],
            ..fetch
        };
        assert!(Question::read(&both.encode_to_vec()).is_none());
        let named = |count: usize, length| {
            let request = wire::SyncRequest {
                named: vec![vec![1; length]; count],
                ..Default::default()
            };
            Question::read(&request.encode_to_vec()).is_some()
        };
        assert!(named(1, 32) && named(1024, 32));
        assert!(!named(1025, 32) && !named(1, 31) && !named(2, 0));
        let reconcile = |length| {
            let request = wire::SyncRequest {
                reconcile: vec![0x61; length],
                ..Default::default()
            };
            Question::read(&request.encode_to_vec()).is_some()
        };
        assert!(reconcile(1) && reconcile(49_152) && !reconcile(49_153));
    }
}
