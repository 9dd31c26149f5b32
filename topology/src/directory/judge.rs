//! What is thought of a document that was proposed.

use std::collections::BTreeMap;
use std::sync::Arc;

use shoal_proto::{DocumentHash, Epoch, NodeId};

use super::pool::{Door, salts};
use crate::agreement::{Evidence, Seats};
use crate::delta::Body;
use crate::document::Place;
use crate::inviters;
use crate::rules::Rules;
use crate::{Document, DocumentError, Member, Offences, SignedDescriptor};

/// A document that was proposed.
pub(super) struct Candidate {
    /// What names it: that is what was agreed on.
    pub(super) hash: DocumentHash,
    pub(super) body: Body,
    /// The document before.
    pub(super) base: Option<Arc<Document>>,
    /// Who decides on it.
    pub(super) seats: Seats,
    /// It is agreed on: what nodes say of themselves is not for us to judge.
    pub(super) decided: bool,
    /// The descriptors that are known and count.
    pub(super) known: Vec<SignedDescriptor>,
    /// Descriptors that were asked for, as they came.
    pub(super) fetched: Vec<Arc<[u8]>>,
    /// What it may not leave out, if it is for this epoch.
    pub(super) held: (Epoch, Arc<Vec<SignedDescriptor>>),
    /// The seats of the term before.
    pub(super) before: Option<Seats>,
    /// The evidence that it may not leave out, if it is for this epoch.
    pub(super) proven: (Epoch, Arc<BTreeMap<NodeId, Evidence>>),
}

/// What is thought of a document.
#[derive(Clone)]
pub(super) enum Judged {
    Sound(Sound),
    /// These descriptors of members are not known, by sequence: it can't be told.
    Lacks(Arc<[(NodeId, u64)]>),
}

/// A document that breaks no rule that is the same for everybody.
#[derive(Clone)]
pub(super) struct Sound {
    pub(super) document: Arc<Document>,
    /// Of its members, for who lacks them; none if it was decided before it was here.
    pub(super) descriptors: Arc<Vec<SignedDescriptor>>,
    /// Who decides the next height.
    pub(super) seats: Seats,
    /// Whether it has all that this node held.
    pub(super) complete: bool,
}

/// Verifies a document that was proposed: by itself, whether it is what anybody would make of its members
/// at this place, and whether they have said so of themselves.
pub(super) fn judge(rules: &Rules, candidate: Candidate) -> Result<Judged, DocumentError> {
    // What can't be read is not what was named, whoever sent it.
    let header = candidate.body.header();
    let header = header.map_err(|_| DocumentError::NotAsNamed)?;
    if header.hash(rules) != candidate.hash {
        return Err(DocumentError::NotAsNamed);
    }
    let epoch = header.epoch;
    let mut place = Place {
        epoch,
        base: candidate.base,
        seats: candidate.seats,
        reveal: header.reveal,
        offences: Offences::default(),
    };
    let base = place.base.as_deref();
    if base.is_some_and(|base| epoch <= base.epoch()) {
        return Err(DocumentError::Epoch(epoch));
    }
    let before = |hash: &DocumentHash| base.filter(|base| base.hash() == hash);
    let document = candidate.body.open(rules, before)?;
    let salts = salts(Some(&place.seats), candidate.before.as_ref());
    // Signatures are the same for everybody who knows the seats.
    let offences = Offences::of(rules, &document, (&place.seats, candidate.before));
    place.offences = offences?;
    let seats = document.follows(&place, rules);
    let mut sound = Sound {
        descriptors: Arc::default(),
        seats: seats.ok_or(DocumentError::NotDerived)?,
        complete: true,
        document: Arc::new(document),
    };
    if candidate.decided {
        return Ok(Judged::Sound(sound));
    }
    let fetched = candidate.fetched.iter();
    let fetched = fetched.filter_map(|bytes| SignedDescriptor::decode(bytes, rules).ok());
    let known: Vec<SignedDescriptor> = candidate.known.into_iter().chain(fetched).collect();
    let door = Door::new(rules.at(epoch), epoch, place.base(), salts);
    match said(&door, &sound.document, &known)? {
        Ok(descriptors) => sound.descriptors = Arc::new(descriptors),
        Err(lacks) => return Ok(Judged::Lacks(lacks.into())),
    }
    let (of, held) = &candidate.held;
    let newer = |signed: &&SignedDescriptor| {
        let member = sound.document.member(&signed.id());
        member.is_none_or(|member| member.sequence < signed.sequence())
    };
    let omitted: Vec<_> = held.iter().filter(newer).filter(|_| *of == epoch).collect();
    let proven = &candidate.proven.1;
    let accused = candidate.proven.0 == epoch && !proven.is_empty();
    if accused {
        place.offences.add(proven);
    }
    // Whether anything would be different if what was held were added. Some of it may have no place.
    sound.complete = !accused && omitted.is_empty() || {
        let all = sound.descriptors.iter().chain(omitted);
        Document::form_by(rules, &place, all)
            .is_ok_and(|(formed, _)| formed.hash() == sound.document.hash())
    };
    Ok(Judged::Sound(sound))
}

/// The descriptors in which the members say what a document says of them, or those that are not known: a
/// node may have signed two of one sequence, and only one of them here.
///
/// # Errors
/// One of them does not count.
#[expect(
    clippy::type_complexity,
    reason = "either list, where nothing is wrong"
)]
fn said(
    door: &Door<'_>,
    document: &Document,
    known: &[SignedDescriptor],
) -> Result<Result<Vec<SignedDescriptor>, Vec<(NodeId, u64)>>, DocumentError> {
    let mut by_id: BTreeMap<NodeId, Vec<&SignedDescriptor>> = BTreeMap::new();
    for signed in known {
        by_id.entry(signed.id()).or_default().push(signed);
    }
    let (epoch, mut found, mut lacks) = (document.epoch(), Vec::new(), Vec::new());
    for member in document.members() {
        let says_so = |signed: &&&SignedDescriptor| {
            let said = Member::of(signed.descriptor(), epoch);
            let (layer, since) = (member.layer, member.since);
            let before = door.base.and_then(|base| base.member(&member.id));
            said.is_some_and(|said| {
                let mut said = Member {
                    layer,
                    since,
                    invited_by: inviters::named(door.rules, signed.descriptor()),
                    ..said
                };
                said.invited_by = inviters::recorded(door.rules, document.height(), before, &said);
                said == *member
            })
        };
        let mut known = by_id.get(&member.id).into_iter().flatten();
        match known.find(says_so) {
            Some(signed) if !door.admits(signed) => {
                return Err(DocumentError::NotDerived);
            }
            Some(signed) => found.push((*signed).clone()),
            None => lacks.push((member.id, member.sequence)),
        }
    }
    Ok(if lacks.is_empty() {
        Ok(found)
    } else {
        Err(lacks)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::sample::Network;
    use crate::{FamilyKey, Identity, NetworkParameters};

    const EPOCH: Epoch = Epoch::new(5);

    struct World {
        rules: Rules,
        seats: Seats,
        descriptors: Vec<SignedDescriptor>,
    }

    impl World {
        fn new() -> (Self, Network) {
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            let mut net = Network::new(&mut rng, NetworkParameters::example(), 2, 2);
            let rules = Rules::new(Arc::clone(&net.params));
            let world = Self {
                seats: Seats::first(rules.network, rules.genesis().copied()).unwrap(),
                descriptors: net.descriptors(&mut rng, EPOCH).unwrap(),
                rules,
            };
            (world, net)
        }

        fn form(&self, of: &[SignedDescriptor]) -> Document {
            let place = Place::<Document> {
                epoch: EPOCH,
                base: None,
                seats: self.seats.clone(),
                reveal: None,
                offences: Offences::default(),
            };
            Document::form_by(&self.rules, &place, of).unwrap().0
        }

        /// By somebody who knows these descriptors, and got these.
        fn judge(
            &self,
            document: &Document,
            known: &[SignedDescriptor],
            fetched: &[&SignedDescriptor],
        ) -> Result<Judged, DocumentError> {
            let candidate = Candidate {
                hash: *document.hash(),
                body: Body::Whole(document.shared()),
                base: None,
                seats: self.seats.clone(),
                decided: false,
                known: known.to_vec(),
                fetched: fetched.iter().map(|signed| signed.shared()).collect(),
                held: (EPOCH, Arc::new(known.to_vec())),
                before: None,
                proven: (EPOCH, Arc::default()),
            };
            judge(&self.rules, candidate)
        }
    }

    fn lacks(judged: Result<Judged, DocumentError>) -> Vec<NodeId> {
        match judged.unwrap() {
            Judged::Lacks(lacks) => lacks.iter().map(|(id, _)| *id).collect(),
            Judged::Sound(_) => Vec::new(),
        }
    }

    fn is_complete(judged: Result<Judged, DocumentError>) -> bool {
        matches!(judged.unwrap(), Judged::Sound(sound) if sound.complete)
    }

    #[test]
    fn what_a_member_has_not_said_is_waited_for() {
        let (world, net) = World::new();
        let all = &world.descriptors;
        let document = world.form(all);
        assert!(is_complete(world.judge(&document, all, &[])));
        let (one, others) = all.split_first().unwrap();
        assert_eq!(lacks(world.judge(&document, others, &[])), [one.id()]);
        assert!(is_complete(world.judge(&document, others, &[one])));

        // A proposer that makes a member say something else: another class, another's family.
        let node = &net.nodes[&one.id()];
        let stranger = FamilyKey::from_bytes(&[9; 32]);
        let sign = |change: &dyn Fn(&mut crate::Descriptor), by: &Identity| {
            let mut descriptor = one.descriptor().clone();
            descriptor.identity = by.id();
            change(&mut descriptor);
            SignedDescriptor::sign_by(by, &world.rules, descriptor).unwrap()
        };
        let other = sign(&|it| it.capacity_class = 7, &node.identity);
        let made_up = world.form(&[std::slice::from_ref(&other), others].concat());
        assert_eq!(lacks(world.judge(&made_up, all, &[])), [one.id()]);
        // The node has signed both: whoever gets to see the other one takes it.
        assert!(is_complete(world.judge(&made_up, all, &[&other])));
        let of_family = |it: &mut crate::Descriptor| {
            it.family = Some(stranger.prove(&world.rules.network, &one.id()));
        };
        let claimed = world.form(&[&[sign(&of_family, &node.identity)], others].concat());
        assert_eq!(lacks(world.judge(&claimed, all, &[])), [one.id()]);
    }

    /// It shows what it need not, so that what a document says of it might seem to be another thing.
    #[test]
    fn a_first_member_that_shows_an_invitation_is_a_member_like_others() {
        let (mut world, net) = World::new();
        let mut params = (*world.rules.params).clone();
        params.admission = crate::Admission::Invitation;
        world.rules = Rules::of(&params);
        let network = world.rules.network;
        world.seats = Seats::first(network, world.rules.genesis().copied()).unwrap();
        let by = Identity::from_bytes(&[9; 32]);
        let sign = |signed: &SignedDescriptor| {
            let mut descriptor = signed.descriptor().clone();
            let shown = crate::Invitation::sign(&by, &network, &signed.id(), EPOCH);
            descriptor.admission = shown.encode();
            let identity = &net.nodes[&signed.id()].identity;
            SignedDescriptor::sign_by(identity, &world.rules, descriptor).unwrap()
        };
        let all: Vec<_> = world.descriptors.iter().map(sign).collect();
        let document = world.form(&all);
        assert!(document.members().all(|member| member.invited_by.is_none()));
        assert!(is_complete(world.judge(&document, &all, &[])));
    }

    #[test]
    fn what_is_left_out_is_missed_by_who_held_it() {
        let (world, _) = World::new();
        let all = &world.descriptors;
        let (mix, others) = all.split_first().unwrap();
        let without = world.form(others);
        assert!(!is_complete(world.judge(&without, all, &[])));
        assert!(is_complete(world.judge(&without, others, &[])));
        assert!(without.member(&mix.id()).is_none());
    }

    #[test]
    fn what_is_agreed_on_needs_no_descriptors() {
        let (world, _) = World::new();
        let document = world.form(&world.descriptors);
        let candidate = |decided, hash| Candidate {
            hash,
            body: Body::Whole(document.shared()),
            base: None,
            seats: world.seats.clone(),
            decided,
            known: Vec::new(),
            fetched: Vec::new(),
            held: (EPOCH, Arc::default()),
            before: None,
            proven: (EPOCH, Arc::default()),
        };
        let judge = |decided| judge(&world.rules, candidate(decided, *document.hash()));
        assert!(is_complete(judge(true)));
        assert_eq!(lacks(judge(false)).len(), 8);
        let other = candidate(true, DocumentHash::new([7; 32]));
        let judged = super::judge(&world.rules, other).map(|_| ());
        assert_eq!(judged, Err(DocumentError::NotAsNamed));
    }
}

#[cfg(test)]
mod expelling {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rand::SeedableRng as _;
    use rand_chacha::ChaCha20Rng;
    use shoal_proto::NetworkHash;

    use super::*;
    use crate::NetworkParameters;
    use crate::agreement::{Height, MessageError};
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
            descriptors: net.descriptors(&mut rng, Epoch::new(0)).unwrap(),
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
                hash: crate::document::header_of(&bytes)
                    .unwrap()
                    .hash(&self.rules),
                body: Body::Whole(bytes),
                base: None,
                seats: self.seats.clone(),
                decided: false,
                known: self.descriptors.clone(),
                fetched: Vec::new(),
                held: (Epoch::new(0), Arc::default()),
                before: None,
                proven: (Epoch::new(0), Arc::new(proven.clone())),
            };
            judge(&self.rules, candidate).map(|judged| match judged {
                Judged::Sound(sound) => sound,
                Judged::Lacks(lacks) => panic!("{} are lacking", lacks.len()),
            })
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
