//! What a directory has computed elsewhere: signatures to check, documents to verify and to form.
//! A job is a plain value, and what it finds out is told apart by what the job was made of, so that
//! nodes in one process may share it.

use std::fmt;
use std::sync::Arc;

use shoal_proto::{DocumentHash, NetworkHash};

use super::judge::{Candidate, Judged, judge};
use super::read::{Chain, Reading};
use crate::agreement::{
    AmendmentVote, CertifiedAmendment, Evidence, Message, MessageError, Seats, UnverifiedEvidence,
    Verified,
};
use crate::canonical::Canonical;
use crate::chain::{Followed, Trust, follow};
use crate::document::Place;
use crate::rules::Rules;
use crate::work::{Applicant, Work};
use crate::{
    DescriptorError, Document, DocumentError, Offences, Report, ReportError, SignedDescriptor,
    SuccessionError, Successor,
};

/// What a document is formed from.
#[derive(PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) place: Place<Arc<Document>>,
    pub(super) descriptors: Vec<SignedDescriptor>,
}

pub(super) enum Task {
    /// Decode a descriptor and check its signature.
    Descriptor(Arc<[u8]>),
    /// Check the signatures of a message of the agreement.
    Message(Arc<[u8]>, Message, Seats),
    /// Check the signatures of evidence.
    Evidence(Arc<[u8]>, Box<UnverifiedEvidence>, Seats),
    /// Read a neighbour's answer, and check the signatures of the evidence in it.
    Answer(Arc<[u8]>, Option<Trust>),
    /// Follow the chain.
    Chain(Arc<[u8]>, Trust, Vec<Arc<Document>>),
    /// Read a file that is to follow on the network's, and look whether one of these seats have signed it.
    Successor(Arc<[u8]>, Vec<Seats>),
    /// Form a document.
    Form(Arc<Recipe>),
    /// Verify a document that was proposed.
    Judge(Box<Candidate>),
    /// Try a nonce for a place in the network.
    Work(Applicant, u32),
    /// Check the signature of a report.
    Report(Arc<[u8]>),
    /// Check the signature of a seat.
    AmendmentVote(Arc<[u8]>, Box<AmendmentVote>, Seats),
    /// Check the signatures of an amendment.
    Amendment(Box<CertifiedAmendment>, Seats),
}

/// Something slow for another thread: a signature to check, a document to verify or to form.
pub struct DirectoryJob {
    rules: Arc<Rules>,
    task: Task,
}

impl DirectoryJob {
    pub(super) const fn new(rules: Arc<Rules>, task: Task) -> Self {
        Self { rules, task }
    }

    /// Does it. The same job finds out the same at any time and in any place.
    #[must_use]
    pub fn run(self) -> DirectoryDone {
        let Self { rules, task } = self;
        let found = match task {
            Task::Descriptor(bytes) => {
                let checked = SignedDescriptor::decode(&bytes, &rules);
                Found::Descriptor(bytes, checked)
            }
            Task::Message(bytes, message, seats) => {
                let verified = message.verify(&seats);
                Found::Message(bytes, verified)
            }
            Task::Evidence(bytes, evidence, seats) => {
                let verified = evidence.verify(&seats).map(Box::new);
                Found::Evidence(bytes, verified)
            }
            Task::Answer(bytes, trust) => {
                let reading = Reading::of(&bytes, trust.as_ref()).map(Arc::new);
                Found::Answer(bytes, reading)
            }
            Task::Chain(bytes, trust, known) => {
                let followed = Chain::of(&bytes).map(|chain| {
                    let (handovers, documents) = (&chain.handovers, &chain.documents);
                    let before = trust.before().cloned();
                    let followed = follow(&rules, trust, handovers, documents, &known);
                    let successor = followed.0.successor(&rules, before, &chain.successor);
                    Arc::new((followed, successor))
                });
                Found::Chain(bytes, followed)
            }
            Task::Successor(text, seats) => {
                let read = Successor::read(&text, &rules.params);
                let checked = read.and_then(|successor| {
                    successor.check_signed_by_one(&seats)?;
                    Ok(successor)
                });
                Found::Successor(Box::new(checked))
            }
            Task::Form(recipe) => {
                let formed = Document::form_by(&rules, &recipe.place, &recipe.descriptors);
                let formed = formed.map(|(document, seats)| (Arc::new(document), seats));
                Found::Formed(recipe, formed)
            }
            Task::Judge(candidate) => {
                let hash = candidate.hash;
                let judged = judge(&rules, *candidate);
                Found::Judged(hash, judged)
            }
            Task::Work(applicant, nonce) => {
                let work = applicant.seek(nonce, rules.params.work);
                Found::Worked(applicant, nonce, work)
            }
            Task::Report(bytes) => {
                let checked = Report::verify(&bytes, &rules.network);
                Found::Report(bytes, checked)
            }
            Task::AmendmentVote(bytes, vote, seats) => {
                let checked = vote.verify(&seats).map(|()| vote);
                Found::AmendmentVote(bytes, checked)
            }
            Task::Amendment(certified, seats) => {
                let sound = certified.verify(&seats).is_ok();
                Found::Amendment(sound.then_some(certified))
            }
        };
        DirectoryDone {
            network: rules.network,
            found,
        }
    }

    /// Whether it takes seconds, and about 200 MB: it must keep no others waiting.
    #[must_use]
    pub const fn is_long(&self) -> bool {
        matches!(self.task, Task::Work(..))
    }

    /// BLAKE2b-256 of all that the job is made of, the network's parameters among it. A host of
    /// many nodes may run one job of each key and hand its result to all that asked.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        let next = self.rules.successor();
        let next = next.map_or([0; 32], |next| *next.hash().as_bytes());
        let key = Canonical::new("shoal directory job 3")
            .bytes(self.rules.hash.as_bytes())
            .bytes(&next);
        let of = |document: Option<&Arc<Document>>| {
            document.map_or([0; 32], |document| *document.hash().as_bytes())
        };
        match &self.task {
            Task::Descriptor(bytes) => key.number(1).bytes(bytes),
            Task::Message(bytes, _, seats) => key.number(2).bytes(bytes).bytes(&seats.hash()),
            Task::Evidence(bytes, _, seats) => key.number(7).bytes(bytes).bytes(&seats.hash()),
            Task::Answer(bytes, trust) => {
                let key = key.number(3).bytes(bytes);
                match trust {
                    None => key,
                    Some(trust) => {
                        let before = trust.before().map_or([0; 32], Seats::hash);
                        let key = key.number(trust.since().number());
                        key.bytes(&trust.seats().hash()).bytes(&before)
                    }
                }
            }
            Task::Chain(bytes, trust, known) => {
                let key = key.number(4).bytes(bytes).number(trust.since().number());
                let key = key.bytes(&trust.seats().hash());
                let hashes = known.iter().map(|document| document.hash().as_bytes());
                hashes.fold(key, |key, hash| key.bytes(hash))
            }
            Task::Form(recipe) => {
                let place = &recipe.place;
                let (round, proof) = match &place.reveal {
                    Some(reveal) => (u64::from(reveal.round), reveal.proof.as_bytes().as_slice()),
                    None => (0, &[][..]),
                };
                let key = key
                    .number(5)
                    .number(place.epoch.number())
                    .bytes(&of(place.base.as_ref()))
                    .bytes(&place.seats.hash())
                    .number(round)
                    .bytes(proof);
                add(place.offences.add_to(key), &recipe.descriptors)
            }
            Task::Judge(candidate) => {
                let key = key
                    .number(6)
                    .bytes(candidate.hash.as_bytes())
                    .bytes(candidate.body.bytes())
                    .bytes(&of(candidate.base.as_ref()))
                    .bytes(&candidate.seats.hash());
                let (epoch, proven) = &candidate.proven;
                let proven = Offences::new(candidate.before.clone(), (**proven).clone());
                let key = proven.add_to(key.number(epoch.number()));
                let fetched = candidate.fetched.iter();
                let key = fetched.fold(key.number(candidate.decided.into()), |key, bytes| {
                    key.bytes(bytes)
                });
                let (epoch, held) = &candidate.held;
                add(add(key.number(epoch.number()), held), &candidate.known)
            }
            Task::Work(applicant, nonce) => key
                .number(8)
                .bytes(&applicant.input())
                .number((*nonce).into()),
            Task::Report(bytes) => key.number(9).bytes(bytes),
            Task::AmendmentVote(bytes, _, seats) => {
                key.number(10).bytes(bytes).bytes(&seats.hash())
            }
            Task::Amendment(certified, seats) => key
                .number(11)
                .bytes(&certified.encode())
                .bytes(&seats.hash()),
            Task::Successor(text, seats) => {
                let seats = seats.iter().map(Seats::hash);
                seats.fold(key.number(12).bytes(text), |key, hash| key.bytes(&hash))
            }
        }
        .finish()
    }
}

fn add(key: Canonical, descriptors: &[SignedDescriptor]) -> Canonical {
    let (key, descriptors) = (key.number(descriptors.len() as u64), descriptors.iter());
    descriptors.fold(key, |key, signed| key.bytes(signed.digest()))
}

/// Says what kind of job it is.
impl fmt::Debug for DirectoryJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Task::Descriptor(_) => f.write_str("Descriptor"),
            Task::Message(..) => f.write_str("Message"),
            Task::Evidence(..) => f.write_str("Evidence"),
            Task::Answer(..) => f.write_str("Answer"),
            Task::Chain(..) => f.write_str("Chain"),
            Task::Form(recipe) => write!(f, "Form({})", recipe.place.epoch),
            Task::Judge(_) => f.write_str("Judge"),
            Task::Work(..) => f.write_str("Work"),
            Task::Report(_) => f.write_str("Report"),
            Task::AmendmentVote(..) => f.write_str("AmendmentVote"),
            Task::Amendment(..) => f.write_str("Amendment"),
            Task::Successor(..) => f.write_str("Successor"),
        }
    }
}

/// What a [`DirectoryJob`] has found out. Copies share their memory.
#[derive(Clone)]
pub struct DirectoryDone {
    pub(super) network: NetworkHash,
    pub(super) found: Found,
}

/// What was followed, why no further, and a file that follows on the network's, or why it does not.
pub(super) type Chained = (
    (Followed, Option<DocumentError>),
    Result<Option<Successor>, SuccessionError>,
);

/// What was found out, with what it was found out about.
#[derive(Clone)]
pub(super) enum Found {
    Descriptor(Arc<[u8]>, Result<SignedDescriptor, DescriptorError>),
    Message(Arc<[u8]>, Result<Verified, MessageError>),
    Evidence(Arc<[u8]>, Result<Box<Evidence>, MessageError>),
    Answer(Arc<[u8]>, Option<Arc<Reading>>),
    Chain(Arc<[u8]>, Option<Arc<Chained>>),
    Successor(Box<Result<Successor, SuccessionError>>),
    Formed(Arc<Recipe>, Result<(Arc<Document>, Seats), DocumentError>),
    Judged(DocumentHash, Result<Judged, DocumentError>),
    Worked(Applicant, u32, Option<Work>),
    Report(Arc<[u8]>, Result<Report, ReportError>),
    AmendmentVote(Arc<[u8]>, Result<Box<AmendmentVote>, MessageError>),
    /// None if its signatures are not right.
    Amendment(Option<Box<CertifiedAmendment>>),
}

/// Says what kind of job it was, and why it failed if it did.
impl fmt::Debug for DirectoryDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Found::Descriptor(_, checked) => {
                write!(f, "Descriptor({:?})", checked.as_ref().map(|_| ()))
            }
            Found::Message(_, verified) => write!(f, "Message({:?})", verified.is_ok()),
            Found::Evidence(_, verified) => write!(f, "Evidence({:?})", verified.is_ok()),
            Found::Answer(_, reading) => write!(f, "Answer({})", reading.is_some()),
            Found::Chain(_, followed) => write!(f, "Chain({})", followed.is_some()),
            Found::Formed(_, formed) => {
                write!(
                    f,
                    "Formed({:?})",
                    formed.as_ref().map(|(document, _)| document)
                )
            }
            Found::Judged(_, Ok(Judged::Lacks(lacks))) => write!(f, "Lacks({})", lacks.len()),
            Found::Judged(_, Ok(Judged::Sound(sound))) => {
                write!(f, "Judged({:?})", sound.document)
            }
            Found::Worked(_, _, work) => write!(f, "Worked({})", work.is_some()),
            Found::Report(_, checked) => write!(f, "Report({})", checked.is_ok()),
            Found::AmendmentVote(_, checked) => write!(f, "AmendmentVote({})", checked.is_ok()),
            Found::Amendment(certified) => write!(f, "Amendment({})", certified.is_some()),
            Found::Successor(checked) => write!(f, "Successor({})", checked.is_ok()),
            Found::Judged(_, Err(error)) => write!(f, "Judged({error:?})"),
        }
    }
}
