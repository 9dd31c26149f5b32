//! What leaves a directory as a job: nothing is taken before it is done, nothing is harmed by what
//! is done twice or too late, and nodes in one process share what was found out.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use shoal_proto::{Epoch, NodeId, Span, Time, wire};
use shoal_topology::agreement::Height;
use shoal_topology::sample::Network;
use shoal_topology::{
    Answers, Descriptor, Directory, DirectoryAction, DirectoryDone, DirectoryInput, DirectoryJob,
    DirectoryWarning, Document, GenesisMember, MAX_JOBS, NetworkParameters, Response, Restored,
    Role, SignedDescriptor, Ticket, Trust, Verdict, View,
};

use crate::documents::{describe, identity};

const EPOCH: Epoch = Epoch::new(5);

/// A directory that no node runs, and what it wants done.
struct Observer {
    directory: Directory<ChaCha20Rng>,
    now: Time,
    jobs: Vec<DirectoryJob>,
    verdicts: Vec<(u64, Verdict)>,
    asked: Vec<(NodeId, wire::SyncRequest)>,
    kept: usize,
    warnings: Vec<DirectoryWarning>,
}

impl Observer {
    fn new(params: &Arc<NetworkParameters>) -> Self {
        let now = params.start_of(EPOCH);
        let rng = ChaCha20Rng::seed_from_u64(1);
        let params = Arc::clone(params);
        Self {
            directory: Directory::new(params, None, rng, Restored::default(), now),
            now,
            jobs: Vec::new(),
            verdicts: Vec::new(),
            asked: Vec::new(),
            kept: 0,
            warnings: Vec::new(),
        }
    }

    fn of_network(params: NetworkParameters) -> Self {
        Self::new(&Arc::new(params))
    }

    fn input(&mut self, input: DirectoryInput) {
        self.directory.handle_input(self.now, input);
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(action) = self.directory.poll_action(self.now) {
            match action {
                DirectoryAction::Job(job) => self.jobs.push(job),
                DirectoryAction::Verdict { of, verdict } => self.verdicts.push((of.0, verdict)),
                DirectoryAction::Request { to, request } => {
                    let request = wire::SyncRequest::decode(request.as_slice()).unwrap();
                    self.asked.push((to, request));
                }
                DirectoryAction::Warn(warning) => self.warnings.push(warning),
                DirectoryAction::Persist(_) => self.kept += 1,
                _ => {}
            }
        }
    }

    fn gossip(&mut self, from: u8, ticket: u64, bytes: &[u8]) {
        self.input(DirectoryInput::Gossip {
            from: NodeId::new([from; 32]),
            ticket: Ticket(ticket),
            bytes: wire::Gossip {
                what: Some(wire::gossip::What::Descriptor(bytes.to_vec())),
                again: 0,
            }
            .encode_to_vec(),
        });
    }

    fn connect(&mut self, peer: u8) {
        self.input(DirectoryInput::PeerConnected(NodeId::new([peer; 32])));
    }

    fn answer(&mut self, from: u8, answer: &wire::SyncResponse) {
        self.input(DirectoryInput::SyncResponse {
            from: NodeId::new([from; 32]),
            response: answer.encode_to_vec(),
        });
    }

    /// The answer to a question.
    fn respond(&mut self, request: &wire::SyncRequest) -> wire::SyncResponse {
        let input = DirectoryInput::SyncRequest {
            from: Ticket(0),
            request: request.encode_to_vec(),
        };
        self.directory.handle_input(self.now, input);
        while let Some(action) = self.directory.poll_action(self.now) {
            if let DirectoryAction::Respond { response, .. } = action {
                return wire::SyncResponse::decode(response.as_slice()).unwrap();
            }
        }
        panic!("no answer");
    }

    /// Answers with a document that was asked for.
    fn give(&mut self, from: u8, document: &[u8]) {
        let answer = wire::SyncResponse {
            documents: vec![document.to_vec()],
            ..Default::default()
        };
        self.answer(from, &answer);
    }

    /// Does what is due up to this time, jobs included.
    fn run_until(&mut self, until: Time) {
        while let Some(at) = self.directory.poll_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.settle();
            self.work(&mut BTreeMap::new());
        }
        self.now = until;
    }

    /// Runs the jobs that wait, but each only once for all that share these results.
    fn work(&mut self, done: &mut BTreeMap<[u8; 32], DirectoryDone>) {
        while let Some(job) = self.jobs.pop() {
            let done = done.entry(job.key()).or_insert_with(|| job.run());
            self.input(DirectoryInput::Done(done.clone()));
        }
    }
}

fn params() -> Arc<NetworkParameters> {
    Arc::new(NetworkParameters::example())
}

fn signed(params: &NetworkParameters, index: u32) -> SignedDescriptor {
    let descriptor: Descriptor = describe(params, index, Role::Mix);
    SignedDescriptor::sign(&identity(index), params, descriptor).unwrap()
}

#[test]
fn nothing_is_taken_before_its_job_is_done() {
    let params = params();
    let mut observer = Observer::new(&params);
    let (first, second) = (signed(&params, 1), signed(&params, 2));
    observer.gossip(7, 1, first.encode());
    observer.connect(7);
    let answer = wire::SyncResponse {
        descriptors: vec![second.encode().to_vec()],
        ..Default::default()
    };
    observer.answer(7, &answer);
    assert_eq!(observer.jobs.len(), 2);
    assert_eq!((observer.directory.known_nodes(), observer.kept), (0, 0));
    assert!(observer.verdicts.is_empty());
    observer.work(&mut BTreeMap::new());
    assert_eq!((observer.directory.known_nodes(), observer.kept), (2, 2));
    assert_eq!(observer.verdicts, [(1, Verdict::Accept)]);
    assert_eq!(observer.directory.counters().accepted, 2);
}

/// What the other one lacks is asked for by name once the answer that says so is taken, and nothing twice
/// that brings nothing new.
#[test]
fn a_neighbour_is_asked_on_when_its_answer_is_taken() {
    let params = params();
    let (mut observer, mut other) = (Observer::new(&params), Observer::new(&params));
    other.connect(9);
    for index in 1..=3 {
        other.gossip(
            9,
            index,
            signed(&params, u32::try_from(index).unwrap()).encode(),
        );
    }
    other.work(&mut BTreeMap::new());
    observer.connect(7);
    let begun = other.respond(&observer.asked[0].1);
    observer.answer(7, &begun);
    observer.now = observer.directory.poll_deadline().unwrap();
    observer.answer(7, &begun);
    assert_eq!(observer.asked.len(), 1, "the answer is not taken yet");
    observer.work(&mut BTreeMap::new());
    assert_eq!(observer.asked.len(), 2);
    assert_eq!(observer.asked[1].1.named.len(), 3);
    let named = other.respond(&observer.asked[1].1);
    assert_eq!(named.descriptors.len(), 3);
    observer.answer(7, &named);
    assert_eq!(observer.asked.len(), 2);
    observer.work(&mut BTreeMap::new());
    assert_eq!(observer.directory.known_nodes(), 3);
    // There may be more: it is asked until there is nothing new.
    assert_eq!(observer.asked.len(), 3);
    observer.answer(7, &other.respond(&observer.asked[2].1));
    observer.work(&mut BTreeMap::new());
    assert_eq!(observer.asked.len(), 3);
}

/// Who names what it does not have is asked for it once.
#[test]
fn names_without_descriptors_are_not_asked_for_again() {
    let params = params();
    let (mut observer, mut other) = (Observer::new(&params), Observer::new(&params));
    other.connect(9);
    other.gossip(9, 1, signed(&params, 1).encode());
    other.work(&mut BTreeMap::new());
    observer.connect(7);
    let begun = other.respond(&observer.asked[0].1);
    observer.answer(7, &begun);
    observer.work(&mut BTreeMap::new());
    observer.answer(7, &wire::SyncResponse::default());
    observer.work(&mut BTreeMap::new());
    assert_eq!(observer.asked.len(), 2);
    // What is no message of the kind is no answer.
    observer.run_until(observer.now + Span::from_secs(20));
    let asked = observer.asked.len();
    let nonsense = wire::SyncResponse {
        reconcile: vec![0x61, 0, 0, 9],
        ..Default::default()
    };
    observer.answer(7, &nonsense);
    observer.work(&mut BTreeMap::new());
    assert_eq!(observer.directory.counters().unreadable, 1);
    assert_eq!(observer.asked.len(), asked);
}

#[test]
fn copies_are_checked_once() {
    let params = params();
    let mut observer = Observer::new(&params);
    let descriptor = signed(&params, 1);
    for from in 1..4 {
        observer.gossip(from, from.into(), descriptor.encode());
    }
    let mut bad = descriptor.encode().to_vec();
    *bad.last_mut().unwrap() ^= 1;
    observer.gossip(4, 4, &bad);
    observer.gossip(5, 5, &bad);
    assert_eq!(observer.jobs.len(), 2);
    observer.work(&mut BTreeMap::new());
    observer.verdicts.sort_by_key(|(ticket, _)| *ticket);
    use Verdict::{Accept, Ignore, Reject};
    let verdicts: Vec<_> = observer.verdicts.iter().map(|(_, v)| *v).collect();
    assert_eq!(verdicts, [Accept, Ignore, Ignore, Reject, Reject]);
    observer.gossip(6, 6, descriptor.encode());
    assert!(observer.jobs.is_empty(), "what is known needs no check");
    assert_eq!(observer.verdicts.last(), Some(&(6, Ignore)));
    assert_eq!(observer.directory.counters().known, 3);
}

#[test]
fn what_is_done_twice_or_for_others_changes_nothing() {
    let params = params();
    let mut observer = Observer::new(&params);
    let descriptor = signed(&params, 1);
    observer.gossip(1, 1, descriptor.encode());
    let key = observer.jobs[0].key();
    let done = observer.jobs.pop().unwrap().run();
    observer.input(DirectoryInput::Done(done.clone()));
    let counters = *observer.directory.counters();
    observer.input(DirectoryInput::Done(done.clone()));
    // Of a job that this one has not asked for.
    let mut other = Observer::new(&params);
    other.gossip(1, 1, signed(&params, 2).encode());
    assert_ne!(other.jobs[0].key(), key);
    observer.input(DirectoryInput::Done(other.jobs.pop().unwrap().run()));
    assert_eq!(*observer.directory.counters(), counters);
    assert_eq!((observer.directory.known_nodes(), observer.kept), (1, 1));
    assert_eq!(observer.verdicts.len(), 1);
    // Of another network, where the same bytes are no good.
    let elsewhere = Arc::new(NetworkParameters {
        name: "elsewhere".to_owned(),
        ..NetworkParameters::example()
    });
    let mut stranger = Observer::new(&elsewhere);
    stranger.gossip(1, 1, descriptor.encode());
    assert_ne!(stranger.jobs[0].key(), key);
    let waiting = stranger.jobs.pop().unwrap();
    stranger.input(DirectoryInput::Done(done));
    assert!(stranger.verdicts.is_empty());
    stranger.input(DirectoryInput::Done(waiting.run()));
    assert_eq!(stranger.verdicts, [(1, Verdict::Reject)]);
}

/// A descriptor whose signature is not its issuer's, one of as many as there are numbers.
fn forged(params: &NetworkParameters, number: u32) -> Vec<u8> {
    let mut bytes = signed(params, 1).encode().to_vec();
    let end = bytes.len();
    for (byte, number) in bytes[end - 40..].iter_mut().zip(number.to_le_bytes()) {
        *byte ^= number;
    }
    bytes[end - 30] ^= 1;
    bytes
}

#[test]
fn jobs_that_wait_are_bounded() {
    let params = params();
    let mut observer = Observer::new(&params);
    for ticket in 0..400_u32 {
        let from = u8::try_from(ticket / 100).unwrap();
        if ticket % 100 == 0 {
            observer.connect(from);
        }
        observer.gossip(from, ticket.into(), &forged(&params, ticket));
    }
    let descriptors = (1000..1400).map(|number| forged(&params, number));
    observer.answer(
        0,
        &wire::SyncResponse {
            descriptors: descriptors.collect(),
            ..Default::default()
        },
    );
    let read = observer.jobs.pop().unwrap();
    observer.input(DirectoryInput::Done(read.run()));
    assert_eq!(observer.jobs.len(), 256 + 64);
    assert!(observer.jobs.len() <= MAX_JOBS);
    let ignored = observer.verdicts.len();
    assert_eq!(
        ignored, 144,
        "400 pieces of gossip, of which 64 of each neighbour may wait"
    );
    assert!(observer.verdicts.iter().all(|(_, v)| *v == Verdict::Ignore));
    assert_eq!(observer.directory.counters().overflowed, 144);
    observer.work(&mut BTreeMap::new());
    let mut tickets: Vec<u64> = observer
        .verdicts
        .iter()
        .map(|(ticket, _)| *ticket)
        .collect();
    tickets.sort_unstable();
    assert!(tickets.into_iter().eq(0..400), "one verdict for each");
    assert_eq!(observer.directory.refusals().total(), 256 + 400);
}

/// One that floods leaves room for the others.
#[test]
fn a_neighbour_fills_a_quarter_of_the_places_for_gossip() {
    let params = params();
    let mut observer = Observer::new(&params);
    observer.connect(1);
    observer.connect(2);
    for ticket in 0..200 {
        observer.gossip(1, ticket.into(), &forged(&params, ticket));
    }
    assert_eq!(observer.jobs.len(), 64);
    observer.gossip(2, 1000, signed(&params, 7).encode());
    assert_eq!(observer.jobs.len(), 65);
    observer.work(&mut BTreeMap::new());
    assert!(observer.verdicts.contains(&(1000, Verdict::Accept)));
}

/// Each has an identity of its own that has signed it, and a proof of work that is none: it costs a job, and nothing is
/// remembered of it.
#[test]
fn a_flood_of_proofs_of_work_that_are_none_keeps_nobody_out() {
    let member = |index: u32| GenesisMember {
        id: identity(index).id(),
        role: Role::Mix,
        addresses: Vec::new(),
        family: None,
    };
    let params = Arc::new(NetworkParameters {
        work: 12,
        genesis_members: (0..20).map(member).collect(),
        ..NetworkParameters::example()
    });
    let mut observer = Observer::new(&params);
    observer.connect(1);
    observer.connect(2);
    // Honest code signs none such.
    let mut flood = (1000..).map(|index: u32| {
        let signed = signed(&params, index);
        let mut outer = wire::SignedDescriptor::decode(signed.encode()).unwrap();
        let mut inner = wire::Descriptor::decode(outer.descriptor.as_slice()).unwrap();
        inner.admission = vec![index.to_le_bytes()[0]; 104];
        outer.descriptor = inner.encode_to_vec();
        let network = params.chain();
        let parts: [&[u8]; 3] = [b"shoal descriptor 1", network.as_bytes(), &outer.descriptor];
        outer.signature = identity(index).sign(&parts.concat()).to_vec();
        outer.encode_to_vec()
    });
    for index in 0..20 {
        for ticket in 0..50 {
            observer.gossip(1, 1000 + ticket, &flood.next().unwrap());
        }
        observer.gossip(2, index.into(), signed(&params, index).encode());
        assert!(observer.jobs.len() <= 65);
        observer.work(&mut BTreeMap::new());
        assert!(observer.verdicts.contains(&(index.into(), Verdict::Accept)));
        observer.now += Span::from_secs(1);
    }
    assert_eq!(observer.directory.known_nodes(), 20, "the members alone");
    let refused = observer.directory.refusals().total();
    assert!(refused > 500, "{refused}");
    let accepted = observer
        .verdicts
        .iter()
        .filter(|(_, it)| *it == Verdict::Accept);
    assert_eq!(accepted.count(), 20);
}

#[test]
fn answers_that_wait_are_bounded() {
    let params = params();
    let mut observer = Observer::new(&params);
    for peer in 0..40 {
        observer.connect(peer);
        let descriptors = (0..1000_u32).map(|index| vec![u8::try_from(index % 7).unwrap(); 1000]);
        let answer = wire::SyncResponse {
            descriptors: descriptors.collect(),
            now_us: peer.into(),
            ..Default::default()
        };
        observer.answer(peer, &answer);
    }
    assert_eq!(observer.jobs.len(), 33, "as many as 32 MiB hold");
    assert_eq!(observer.directory.counters().abandoned, 7);
    observer.work(&mut BTreeMap::new());
    assert_eq!(observer.directory.refusals().total(), 33_000);
    // What is too large is not even looked at.
    observer.connect(50);
    observer.give(50, &vec![7; 3_000_000]);
    assert!(observer.jobs.is_empty());
    assert_eq!(observer.directory.counters().unreadable, 1);
}

fn tip(document: &Document) -> wire::SyncResponse {
    wire::SyncResponse {
        tip: Some(wire::Tip {
            height: document.height().number(),
            epoch: document.epoch().number(),
            hash: document.hash().as_bytes().to_vec(),
        }),
        ..Default::default()
    }
}

/// Documents that follow each other, and the answer to who knows none of them.
fn chain(net: &mut Network, count: u64) -> (Vec<Arc<Document>>, wire::SyncResponse) {
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let mut documents: Vec<Arc<Document>> = Vec::new();
    for epoch in (EPOCH.number() + 1 - count)..=EPOCH.number() {
        let base = documents.last().cloned();
        let next = net.document(&mut rng, Epoch::new(epoch), base.as_deref());
        documents.push(next.unwrap());
    }
    let handovers = documents.iter().filter_map(|it| net.handover(it));
    let answer = wire::SyncResponse {
        handovers: handovers.map(|handover| handover.encode()).collect(),
        documents: documents
            .iter()
            .map(|it| net.certify(it).encode())
            .collect(),
        ..Default::default()
    };
    (documents, answer)
}

fn network(term: u32) -> Network {
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let params = NetworkParameters {
        term,
        ..NetworkParameters::example()
    };
    Network::new(&mut rng, params, 2, 2)
}

#[test]
fn the_chain_is_asked_of_who_is_further_on_and_of_nobody_else() {
    let mut net = network(2);
    let (documents, answer) = chain(&mut net, 5);
    let last = documents.last().unwrap();
    let mut observer = Observer::new(&net.params);
    observer.connect(1);
    observer.answer(1, &tip(last));
    observer.work(&mut BTreeMap::new());
    let asked = observer.asked.last().unwrap();
    assert_eq!((asked.1.chain, asked.1.known), (1, 1));
    observer.answer(1, &answer);
    observer.work(&mut BTreeMap::new());
    let counters = observer.directory.counters();
    assert_eq!((counters.adopted, counters.refused), (5, 0));
    let in_force = observer.directory.view().in_force(EPOCH);
    assert_eq!(in_force.unwrap().hash(), last.hash());
    // Nobody is asked again for what is here.
    for peer in 2..5 {
        observer.connect(peer);
        observer.answer(peer, &tip(last));
        observer.work(&mut BTreeMap::new());
        assert!(!observer.asked.last().unwrap().1.reconcile.is_empty());
    }
    // Who asks from there on gets what it needs, and all of it leads to the same.
    let serves = |after, known| {
        let bytes =
            observer
                .directory
                .chain_response(observer.now, (after, known), &net.params.hash());
        wire::SyncResponse::decode(bytes.as_slice()).unwrap()
    };
    let all = serves(Height::default(), Height::default());
    assert_eq!(all.handovers, answer.handovers);
    let is_delta = |bytes: &Vec<u8>| {
        let certified = wire::CertifiedDocument::decode(bytes.as_slice()).unwrap();
        certified.document.is_empty()
    };
    // The first one whole, and the others as what has changed.
    let deltas: Vec<bool> = all.documents.iter().map(is_delta).collect();
    assert_eq!(deltas, [false, true]);
    let rest = serves(Height::new(2), Height::new(4));
    assert_eq!((rest.handovers.len(), rest.documents.len()), (1, 1));
    assert!(
        is_delta(&rest.documents[0])
            && !is_delta(&serves(Height::new(2), Height::new(2)).documents[0])
    );
    let mut late = Observer::new(&net.params);
    late.connect(1);
    late.answer(1, &tip(last));
    late.work(&mut BTreeMap::new());
    late.answer(1, &all);
    late.work(&mut BTreeMap::new());
    let in_force = late.directory.view().in_force(EPOCH);
    assert_eq!(in_force.unwrap().hash(), last.hash());
    // Also for who has followed the handovers and has no document: the first one of those is of a term that
    // is over, and the next is what has changed since.
    let response = Response {
        from: NodeId::new([1; 32]),
        came: observer.now,
        bytes: all.encode_to_vec(),
    };
    let answers = Answers::read(&[response]).unwrap();
    let look = |trust: &Trust| answers.look(&net.params, trust, &View::default());
    let begun = look(&Trust::first(&net.params).unwrap());
    let again = look(begun.furthest().unwrap());
    let (followed, error) = again.each().next().unwrap();
    assert_eq!(error, None);
    assert_eq!((followed.passed.len(), followed.documents.len()), (1, 1));
    assert_eq!(followed.documents[0].document.hash(), last.hash());
}

#[test]
fn a_chain_with_a_wrong_link_leads_up_to_there() {
    let mut net = network(2);
    let (_, answer) = chain(&mut net, 5);
    // First document, second and fourth: terms of two.
    assert_eq!(answer.handovers.len(), 3);
    let adopted = |answer: &wire::SyncResponse| {
        let mut observer = Observer::new(&net.params);
        observer.connect(1);
        let ahead = wire::Tip {
            height: 9,
            epoch: 9,
            hash: vec![1; 32],
        };
        observer.answer(
            1,
            &wire::SyncResponse {
                tip: Some(ahead),
                ..Default::default()
            },
        );
        observer.work(&mut BTreeMap::new());
        observer.answer(1, answer);
        observer.work(&mut BTreeMap::new());
        let counters = observer.directory.counters();
        assert!(counters.unreadable == 0);
        (counters.adopted, counters.refused)
    };
    assert_eq!(adopted(&answer), (5, 0));
    let mut skips = answer.clone();
    skips.handovers.remove(1);
    assert_eq!(adopted(&skips), (2, 1), "a handover is missing");
    let mut forged = answer.clone();
    let mut handover = wire::Handover::decode(answer.handovers[1].as_slice()).unwrap();
    // The first two seats with each other's keys: sound ones, and of nobody else.
    let (one, two) = handover.seats.split_at_mut(96);
    one[32..].swap_with_slice(&mut two[32..96]);
    forged.handovers[1] = handover.encode_to_vec();
    assert_eq!(adopted(&forged), (2, 1), "other seats than were signed");
    forged.documents.clear();
    forged.handovers.pop();
    assert_eq!(adopted(&forged), (0, 1), "though nothing comes of them yet");
    let mut forged = answer.clone();
    let end = forged.documents[3].len();
    forged.documents[3][end - 1] ^= 1;
    assert_eq!(adopted(&forged), (3, 1), "a signature that is none");
    let mut swapped = answer.clone();
    swapped.documents.swap(1, 2);
    assert_eq!(
        adopted(&swapped).1,
        0,
        "what is older than known is passed over"
    );
    let few = wire::SyncResponse {
        documents: answer.documents.clone(),
        ..Default::default()
    };
    assert_eq!(adopted(&few), (1, 1), "no handovers");
}

/// A neighbour that always says that it has more has us ask six times, and then once in a twentieth of an
/// epoch.
#[test]
fn chains_that_are_made_up_are_asked_for_rarely() {
    let net = network(2);
    let mut observer = Observer::new(&net.params);
    observer.connect(1);
    let asked = |observer: &Observer| observer.asked.iter().filter(|(_, it)| it.chain > 0).count();
    for number in 0..40 {
        let ahead = wire::Tip {
            height: 10 + number,
            epoch: 9,
            hash: vec![1; 32],
        };
        let before = asked(&observer);
        observer.answer(
            1,
            &wire::SyncResponse {
                tip: Some(ahead),
                ..Default::default()
            },
        );
        observer.work(&mut BTreeMap::new());
        if asked(&observer) > before {
            observer.answer(1, &wire::SyncResponse::default());
            observer.work(&mut BTreeMap::new());
        }
        observer.run_until(observer.now + Span::from_secs(1));
    }
    let asked = asked(&observer);
    assert!((5..=6).contains(&asked), "{asked}");
    assert!(observer.directory.counters().not_fetched > 0);
}

/// Genesis members so that a document can be formed, and others.
fn forming() -> (
    NetworkParameters,
    impl Fn(&NetworkParameters, u32) -> SignedDescriptor,
) {
    let role = |index: u32| match index < 2 {
        true => Role::Provider,
        false => Role::Mix,
    };
    let mut params = NetworkParameters::example();
    params.genesis_members = (0..5)
        .map(|index| shoal_topology::GenesisMember {
            id: identity(index).id(),
            role: role(index),
            addresses: Vec::new(),
            family: None,
        })
        .collect();
    let signed = move |params: &NetworkParameters, index: u32| {
        let descriptor = describe(params, index, role(index));
        SignedDescriptor::sign(&identity(index), params, descriptor).unwrap()
    };
    (params, signed)
}

#[test]
fn what_a_lost_job_was_for_is_done_without_it() {
    let (params, signed) = forming();
    let mut observer = Observer::of_network(params.clone());
    observer.connect(1);
    let lose = |observer: &mut Observer, kind: &str| {
        assert_eq!(format!("{:?}", observer.jobs.pop().unwrap()), kind);
        let until = observer.now + Span::from_secs(30);
        observer.run_until(until);
    };
    observer.gossip(1, 7, signed(&params, 0).encode());
    lose(&mut observer, "Descriptor");
    assert_eq!(observer.verdicts, [(7, Verdict::Ignore)]);
    observer.gossip(1, 8, signed(&params, 0).encode());
    observer.work(&mut BTreeMap::new());
    assert_eq!(
        observer.verdicts.last(),
        Some(&(8, Verdict::Accept)),
        "it is checked anew"
    );
    // An answer that is never read: the neighbour is asked again.
    observer.answer(1, &wire::SyncResponse::default());
    let asked = observer.asked.len();
    if !observer.jobs.is_empty() {
        lose(&mut observer, "Answer");
    }
    observer.run_until(observer.now + params.epoch.scale(1, 10));
    assert!(observer.asked.len() > asked);
    assert!(observer.warnings.contains(&DirectoryWarning::JobLost));
    assert!(observer.directory.counters().lost >= 2);
}

/// A flood of descriptors of one identity costs the network three, and then one in a twentieth of an epoch.
#[test]
fn an_identity_that_floods_is_heard_once_in_a_twentieth_of_an_epoch() {
    let params = params();
    let mut observer = Observer::new(&params);
    observer.connect(1);
    for sequence in 1..=100 {
        let mut descriptor = describe(&params, 1, Role::Mix);
        descriptor.sequence = sequence;
        descriptor.issued_at = observer.now;
        let signed = SignedDescriptor::sign(&identity(1), &params, descriptor).unwrap();
        observer.gossip(1, sequence, signed.encode());
        observer.work(&mut BTreeMap::new());
        observer.run_until(observer.now + Span::from_secs(4));
    }
    // 400 s, of which a twentieth is 180, and three at once.
    let counters = *observer.directory.counters();
    assert_eq!((counters.accepted, counters.too_soon), (5, 95));
    let written = observer.kept;
    assert_eq!(written, 5 + 4, "and each but the last is deleted");
}

/// A thousand nodes' documents and descriptors are in memory once, however many directories of a
/// process know them, and each is verified once.
#[test]
fn a_thousand_members_are_shared() {
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let mut net = Network::new(&mut rng, NetworkParameters::example(), 250, 250);
    let (documents, chain) = chain(&mut net, 1);
    let document = &documents[0];
    let descriptors = net.descriptors(&mut rng, EPOCH).unwrap();
    assert_eq!(descriptors.len(), 1000);
    let answer = wire::SyncResponse {
        descriptors: descriptors.iter().map(|d| d.encode().to_vec()).collect(),
        ..tip(document)
    };
    let mut done = BTreeMap::new();
    let observers = [(); 2].map(|()| {
        let mut observer = Observer::new(&net.params);
        observer.connect(7);
        observer.answer(7, &answer);
        observer.work(&mut done);
        observer.answer(7, &chain);
        observer.work(&mut done);
        observer
    });
    assert_eq!(done.len(), 1000 + 2, "signatures, and two answers");
    let [one, other] = &observers.each_ref().map(|observer| &observer.directory);
    assert_eq!((one.known_nodes(), one.counters().adopted), (1000, 1));
    let in_force =
        |directory: &Directory<ChaCha20Rng>| Arc::clone(directory.view().in_force(EPOCH).unwrap());
    assert!(Arc::ptr_eq(&in_force(one), &in_force(other)));
    assert_eq!(in_force(one).hash(), document.hash());
    for id in net.nodes.keys() {
        let (a, b) = (one.descriptor(id).unwrap(), other.descriptor(id).unwrap());
        assert!(a.ptr_eq(b));
    }
}
