//! What a directory has computed elsewhere: signatures to check, documents to verify and to form.
//! A job is a plain value, and what it finds out is told apart by what the job was made of, so that
//! nodes in one process may share it.

use std::fmt;
use std::sync::Arc;

use shoal_proto::{DocumentHash, NetworkHash};

use super::pool::counts;
use super::read::{Chain, Reading};
use std::collections::BTreeMap;

use crate::agreement::{Evidence, Message, MessageError, Seats, UnverifiedEvidence, Verified};
use crate::canonical::Canonical;
use crate::chain::{Followed, Trust, follow};
use crate::document::{Place, UnverifiedDocument};
use crate::rules::Rules;
use crate::{DescriptorError, Document, DocumentError, Offences, SignedDescriptor};

/// What a document is formed from.
#[derive(PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) place: Place<Arc<Document>>,
    pub(super) descriptors: Vec<SignedDescriptor>,
}

/// A document that was proposed.
pub(super) struct Candidate {
    /// What names it: that is what was agreed on.
    pub(super) hash: DocumentHash,
    pub(super) bytes: Arc<[u8]>,
    /// The document before.
    pub(super) base: Option<Arc<Document>>,
    /// Who decides on it.
    pub(super) seats: Seats,
    /// What it may not leave out, by the epoch that it is for.
    pub(super) held: Vec<(shoal_proto::Epoch, Arc<Vec<SignedDescriptor>>)>,
    /// The seats of the term before.
    pub(super) before: Option<Seats>,
    /// The evidence that it may not leave out, by the epoch that it is for.
    pub(super) proven: (
        shoal_proto::Epoch,
        Arc<BTreeMap<shoal_proto::NodeId, Evidence>>,
    ),
}

/// A document that breaks no rule that is the same for everybody.
#[derive(Clone)]
pub(super) struct Sound {
    pub(super) document: Arc<Document>,
    /// Who decides the next height.
    pub(super) seats: Seats,
    /// Whether it has all that this node held.
    pub(super) complete: bool,
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
    Chain(Arc<[u8]>, Trust),
    /// Form a document.
    Form(Arc<Recipe>),
    /// Verify a document that was proposed.
    Judge(Candidate),
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
            Task::Chain(bytes, trust) => {
                let followed = Chain::of(&bytes).map(|chain| {
                    Arc::new(follow(&rules, trust, &chain.handovers, &chain.documents))
                });
                Found::Chain(bytes, followed)
            }
            Task::Form(recipe) => {
                let formed = Document::form_by(&rules, &recipe.place, &recipe.descriptors);
                let formed = formed.map(|(document, seats)| (Arc::new(document), seats));
                Found::Formed(recipe, formed)
            }
            Task::Judge(candidate) => {
                let hash = candidate.hash;
                let sound = judge(&rules, candidate);
                Found::Judged(hash, sound)
            }
        };
        DirectoryDone {
            network: rules.network,
            found,
        }
    }

    /// BLAKE2b-256 of all that the job is made of, the network's parameters among it. A host of
    /// many nodes may run one job of each key and hand its result to all that asked.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        let key = Canonical::new("shoal directory job 2").bytes(self.rules.network.as_bytes());
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
            Task::Chain(bytes, trust) => {
                let key = key.number(4).bytes(bytes).number(trust.since().number());
                key.bytes(&trust.seats().hash())
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
                    .bytes(&candidate.bytes)
                    .bytes(&of(candidate.base.as_ref()))
                    .bytes(&candidate.seats.hash());
                let (epoch, proven) = &candidate.proven;
                let proven = Offences::new(candidate.before.clone(), (**proven).clone());
                let key = proven.add_to(key.number(epoch.number()));
                let held = candidate.held.iter();
                held.fold(key, |key, (epoch, held)| {
                    add(key.number(epoch.number()), held)
                })
            }
        }
        .finish()
    }
}

fn add(key: Canonical, descriptors: &[SignedDescriptor]) -> Canonical {
    let descriptors = descriptors.iter();
    descriptors.fold(key, |key, signed| key.bytes(signed.digest()))
}

/// Verifies a document that was proposed. What is cheap to see comes first; then the signatures, and
/// whether it is what anybody would make of its descriptors at this place.
fn judge(rules: &Rules, candidate: Candidate) -> Result<Sound, DocumentError> {
    let unverified = UnverifiedDocument::read(&candidate.bytes, rules)?;
    let header = unverified.header();
    if header.hash(rules) != candidate.hash {
        return Err(DocumentError::NotAsNamed);
    }
    let epoch = header.epoch;
    let mut place = Place {
        epoch,
        base: candidate.base,
        seats: candidate.seats,
        reveal: header.reveal.clone(),
        offences: Offences::default(),
    };
    let base = place.base.as_deref();
    if base.is_some_and(|base| epoch <= base.epoch()) {
        return Err(DocumentError::Epoch(epoch));
    }
    let document = unverified.verify(rules)?;
    if !document
        .descriptors()
        .all(|signed| counts(rules, epoch, base, signed))
    {
        return Err(DocumentError::NotDerived);
    }
    // Signatures are the same for everybody who knows the seats.
    place.offences = Offences::of(rules, &document, (&place.seats, candidate.before))?;
    let seats = document.follows(&place, rules);
    let seats = seats.ok_or(DocumentError::NotDerived)?;
    let held = candidate.held.iter().find(|(held, _)| *held == epoch);
    let held = held.into_iter().flat_map(|(_, held)| held.iter());
    // Whether anything would be different if what was held were added. Some of it may have no place.
    let all = document.descriptors().chain(held);
    if candidate.proven.0 == epoch {
        place.offences.add(&candidate.proven.1);
    }
    let complete = Document::form_by(rules, &place, all)
        .is_ok_and(|(formed, _)| formed.hash() == document.hash());
    Ok(Sound {
        document: Arc::new(document),
        seats,
        complete,
    })
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
        }
    }
}

/// What a [`DirectoryJob`] has found out. Copies share their memory.
#[derive(Clone)]
pub struct DirectoryDone {
    pub(super) network: NetworkHash,
    pub(super) found: Found,
}

/// What was found out, with what it was found out about.
#[derive(Clone)]
pub(super) enum Found {
    Descriptor(Arc<[u8]>, Result<SignedDescriptor, DescriptorError>),
    Message(Arc<[u8]>, Result<Verified, MessageError>),
    Evidence(Arc<[u8]>, Result<Box<Evidence>, MessageError>),
    Answer(Arc<[u8]>, Option<Arc<Reading>>),
    Chain(Arc<[u8]>, Option<Arc<(Followed, Option<DocumentError>)>>),
    Formed(Arc<Recipe>, Result<(Arc<Document>, Seats), DocumentError>),
    Judged(DocumentHash, Result<Sound, DocumentError>),
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
            Found::Judged(_, sound) => {
                write!(
                    f,
                    "Judged({:?})",
                    sound.as_ref().map(|sound| &sound.document)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rand::SeedableRng as _;
    use rand_chacha::ChaCha20Rng;
    use shoal_proto::{Epoch, NetworkHash, NodeId};

    use super::*;
    use crate::NetworkParameters;
    use crate::agreement::Height;
    use crate::sample::Network;

    type Proven = BTreeMap<NodeId, Evidence>;

    struct World {
        rules: Rules,
        seats: Seats,
        place: Place<Arc<Document>>,
        descriptors: Vec<SignedDescriptor>,
        liar: NodeId,
        evidence: Evidence,
    }

    /// A first document, all of whose members sit, and one that has voted twice.
    fn world() -> World {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut net = Network::new(&mut rng, NetworkParameters::example(), 2, 2);
        let document = net.document(&mut rng, Epoch::new(0), None).unwrap();
        let rules = Rules::of(&net.params);
        let seats = Seats::first(rules.network, rules.genesis().copied()).unwrap();
        let liar = document.mixes(1)[0];
        let identity = &net.nodes[&liar].identity;
        let evidence = Evidence::sign(&seats, identity, Height::FIRST).unwrap();
        World {
            place: Place {
                epoch: Epoch::new(0),
                base: None,
                seats: seats.clone(),
                reveal: None,
                offences: Offences::default(),
            },
            descriptors: document.descriptors().cloned().collect(),
            rules,
            seats,
            liar,
            evidence,
        }
    }

    impl World {
        fn form(&mut self, evidence: &Proven) -> Arc<[u8]> {
            self.place.offences = Offences::new(None, evidence.clone());
            let formed = Document::form_by(&self.rules, &self.place, &self.descriptors);
            formed.unwrap().0.shared()
        }

        fn judge(&self, bytes: Arc<[u8]>, proven: &Proven) -> Result<Sound, DocumentError> {
            let candidate = Candidate {
                hash: crate::document::hash_of(&bytes, &self.rules).unwrap(),
                bytes,
                base: None,
                seats: self.seats.clone(),
                held: Vec::new(),
                before: None,
                proven: (Epoch::new(0), Arc::new(proven.clone())),
            };
            judge(&self.rules, candidate)
        }

        fn against(&self, id: NodeId, evidence: &Evidence) -> Proven {
            Proven::from([(id, evidence.clone())])
        }
    }

    #[test]
    fn a_document_expels_whom_it_has_evidence_against_and_nobody_else() {
        let mut world = world();
        let known = world.against(world.liar, &world.evidence);
        let none = Proven::new();
        let expels = world.form(&known);
        let sound = world.judge(Arc::clone(&expels), &known).unwrap();
        assert!(sound.complete && sound.document.member(&world.liar).is_none());
        // Who has heard nothing of it sees why.
        assert!(world.judge(expels, &none).unwrap().complete);
        let keeps = world.form(&none);
        assert!(world.judge(Arc::clone(&keeps), &none).unwrap().complete);
        assert!(!world.judge(keeps, &known).unwrap().complete);
    }

    #[test]
    fn a_document_with_evidence_that_does_not_verify_is_invalid() {
        let mut world = world();
        // What it said in another network, where the same members sit.
        let elsewhere = NetworkHash::new([9; 32]);
        let other = Seats::first(elsewhere, world.rules.genesis().copied()).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let net = Network::new(&mut rng, NetworkParameters::example(), 2, 2);
        let identity = &net.nodes[&world.liar].identity;
        let wrong = Evidence::sign(&other, identity, Height::FIRST).unwrap();
        let bytes = world.form(&world.against(world.liar, &wrong));
        let judged = world.judge(bytes, &Proven::new()).err();
        let signature = DocumentError::Evidence(MessageError::Signature);
        assert_eq!(judged, Some(signature));
        // Of a height that those who decide know no seats of.
        let ahead = Evidence::sign(&world.seats, identity, Height::new(2)).unwrap();
        let known = world.against(world.liar, &ahead);
        let (with, without) = (world.form(&known), world.form(&Proven::new()));
        assert_eq!(with, without, "it is not taken");
    }
}
