//! What leaves a directory as a job: nothing is taken before it is done, nothing is harmed by what
//! is done twice or too late, and nodes in one process share what was found out.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use shoal_proto::{Epoch, NodeId, Time, wire};
use shoal_topology::sample::Network;
use shoal_topology::{
    Descriptor, Directory, DirectoryAction, DirectoryDone, DirectoryInput, DirectoryJob, Document,
    MAX_JOBS, NetworkParameters, Restored, Role, SignedDescriptor, Ticket, Verdict,
};

use crate::documents::{describe, identity};

const EPOCH: Epoch = Epoch::new(5);

/// A directory that no node runs, and what it wants done.
struct Observer {
    directory: Directory<ChaCha20Rng>,
    now: Time,
    jobs: Vec<DirectoryJob>,
    verdicts: Vec<(u64, Verdict)>,
    asked: Vec<NodeId>,
    kept: usize,
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
        }
    }

    fn input(&mut self, input: DirectoryInput) {
        self.directory.handle_input(self.now, input);
        while let Some(action) = self.directory.poll_action(self.now) {
            match action {
                DirectoryAction::Job(job) => self.jobs.push(job),
                DirectoryAction::Verdict { of, verdict } => self.verdicts.push((of.0, verdict)),
                DirectoryAction::Request { to, .. } => self.asked.push(to),
                DirectoryAction::Persist(_) => self.kept += 1,
                _ => {}
            }
        }
    }

    fn gossip(&mut self, from: u8, ticket: u64, bytes: &[u8]) {
        self.input(DirectoryInput::Gossip {
            from: NodeId::new([from; 32]),
            ticket: Ticket(ticket),
            bytes: bytes.to_vec(),
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

/// A neighbour is not asked again while its answer is being taken, but when it has more.
#[test]
fn a_neighbour_is_asked_on_when_its_answer_is_taken() {
    let params = params();
    let mut observer = Observer::new(&params);
    observer.connect(7);
    let answer = wire::SyncResponse {
        descriptors: vec![signed(&params, 1).encode().to_vec()],
        more: true,
        ..Default::default()
    };
    observer.answer(7, &answer);
    observer.now = observer.directory.poll_deadline().unwrap();
    observer.answer(7, &answer);
    assert_eq!(observer.asked.len(), 1, "the answer is not taken yet");
    observer.work(&mut BTreeMap::new());
    assert_eq!(observer.asked.len(), 2);
    observer.answer(7, &answer);
    assert_eq!(observer.asked.len(), 2, "it brought nothing new");
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

#[test]
fn jobs_that_wait_are_bounded() {
    let params = params();
    let mut observer = Observer::new(&params);
    for ticket in 0..400_u64 {
        let from = u8::try_from(ticket / 100).unwrap();
        if ticket % 100 == 0 {
            observer.connect(from);
        }
        observer.gossip(from, ticket, &ticket.to_le_bytes());
    }
    let descriptors = (0..400_u32).map(|i| i.to_le_bytes().to_vec()).collect();
    observer.answer(
        0,
        &wire::SyncResponse {
            descriptors,
            ..Default::default()
        },
    );
    assert_eq!(observer.jobs.len(), MAX_JOBS);
    let ignored = observer.verdicts.len();
    assert_eq!(ignored, 144, "400 pieces of gossip, of which 256 may wait");
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

#[test]
fn answers_that_wait_are_bounded() {
    let params = params();
    let mut observer = Observer::new(&params);
    for peer in 0..6 {
        observer.connect(peer);
        let documents = (0..6).map(|index| vec![16 * peer + index; 1_390_000]);
        let answer = wire::SyncResponse {
            documents: documents.collect(),
            ..Default::default()
        };
        observer.answer(peer, &answer);
    }
    assert_eq!(observer.jobs.len(), 1, "one is being taken");
    assert_eq!(observer.directory.counters().abandoned, 1, "four wait");
    observer.work(&mut BTreeMap::new());
    assert_eq!(observer.directory.counters().refused, 30);
}

/// A thousand nodes' documents and descriptors are in memory once, however many directories of a
/// process know them, and each is verified once.
#[test]
fn a_thousand_members_are_shared() {
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let mut net = Network::new(&mut rng, NetworkParameters::example(), 250, 250);
    let document: Arc<Document> = net.document(&mut rng, EPOCH, None).unwrap();
    let descriptors: Vec<_> = document.descriptors().collect();
    assert_eq!(descriptors.len(), 1000);
    let answer = wire::SyncResponse {
        documents: vec![document.encode().to_vec()],
        descriptors: descriptors.iter().map(|d| d.encode().to_vec()).collect(),
        ..Default::default()
    };
    let mut done = BTreeMap::new();
    let observers = [(); 2].map(|()| {
        let mut observer = Observer::new(&net.params);
        observer.connect(7);
        observer.answer(7, &answer);
        observer.work(&mut done);
        observer
    });
    assert_eq!(
        done.len(),
        1000 + 2,
        "signatures, and verifying and deriving"
    );
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
