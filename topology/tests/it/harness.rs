//! Directories in virtual time: the real state machine on links that lose, delay and break.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message as _;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use shoal_proto::{DocumentHash, Epoch, NodeId, Span, Time, wire};
use shoal_topology::agreement::{Height, Message, Seat, VoteKind};
use shoal_topology::{
    Address, Directory, DirectoryAction, DirectoryChange, DirectoryDone, DirectoryInput,
    DirectoryJob, DirectoryWarning, Document, FamilyKey, GenesisMember, Identity, LocalNode,
    NetworkParameters, Restored, Role, Ticket, Verdict,
};
use zeroize::Zeroizing;

/// What a node has on its disk.
#[derive(Default, Clone)]
pub(crate) struct Disk {
    pub(crate) keys: BTreeMap<Epoch, Zeroizing<[u8; 32]>>,
    pub(crate) documents: BTreeMap<Epoch, Arc<[u8]>>,
    pub(crate) descriptors: BTreeMap<(NodeId, u64), Arc<[u8]>>,
    pub(crate) sequence: u64,
    pub(crate) handovers: BTreeMap<Height, Arc<[u8]>>,
    pub(crate) records: BTreeMap<(Height, u64), Vec<u8>>,
    pub(crate) proposals: BTreeMap<DocumentHash, Arc<[u8]>>,
    pub(crate) evidence: BTreeMap<NodeId, Arc<[u8]>>,
    pub(crate) seat_keys: Option<Zeroizing<Vec<u8>>>,
}

impl Disk {
    fn apply(&mut self, change: DirectoryChange) {
        match change {
            DirectoryChange::Key { epoch, secret } => {
                self.keys.insert(epoch, secret);
            }
            DirectoryChange::RemoveKey { epoch } => assert!(self.keys.remove(&epoch).is_some()),
            DirectoryChange::Document { epoch, bytes } => {
                self.documents.insert(epoch, bytes);
            }
            DirectoryChange::RemoveDocument { epoch } => {
                assert!(self.documents.remove(&epoch).is_some());
            }
            DirectoryChange::Descriptor {
                id,
                sequence,
                bytes,
            } => {
                self.descriptors.insert((id, sequence), bytes);
            }
            DirectoryChange::RemoveDescriptor { id, sequence } => {
                assert!(self.descriptors.remove(&(id, sequence)).is_some());
            }
            DirectoryChange::Sequence(sequence) => {
                assert!(sequence > self.sequence, "a sequence number is used once");
                self.sequence = sequence;
            }
            DirectoryChange::Handover { height, bytes } => {
                assert!(self.handovers.insert(height, bytes).is_none());
            }
            DirectoryChange::Record {
                height,
                number,
                bytes,
            } => {
                let row = self.records.insert((height, number), bytes.to_vec());
                assert!(row.is_none(), "a record is written once");
            }
            DirectoryChange::RemoveRecord { height, number } => {
                assert!(self.records.remove(&(height, number)).is_some());
            }
            DirectoryChange::Proposal { hash, bytes } => {
                assert!(self.proposals.insert(hash, bytes).is_none());
            }
            DirectoryChange::RemoveProposal { hash } => {
                assert!(self.proposals.remove(&hash).is_some());
            }
            DirectoryChange::Evidence { id, bytes } => {
                assert!(self.evidence.insert(id, bytes).is_none());
            }
            DirectoryChange::RemoveEvidence { id } => {
                assert!(self.evidence.remove(&id).is_some());
            }
            DirectoryChange::SeatKeys { kept } => self.seat_keys = Some(kept),
        }
    }

    fn restored(&self) -> Restored {
        Restored {
            keys: self
                .keys
                .iter()
                .map(|(epoch, secret)| (*epoch, secret.clone()))
                .collect(),
            documents: self.documents.values().cloned().collect(),
            descriptors: self.descriptors.values().cloned().collect(),
            sequence: self.sequence,
            handovers: self.handovers.values().cloned().collect(),
            records: self.records.clone(),
            proposals: self.proposals.values().cloned().collect(),
            evidence: self.evidence.clone(),
            seat_keys: self.seat_keys.clone(),
        }
    }
}

pub(crate) struct Node {
    pub(crate) identity: Arc<Identity>,
    pub(crate) id: NodeId,
    role: Role,
    pub(crate) family: Option<FamilyKey>,
    pub(crate) directory: Option<Directory<ChaCha20Rng>>,
    pub(crate) disk: Disk,
    /// Nodes with different numbers can't reach each other.
    pub(crate) side: u8,
    /// How far its clock is ahead.
    pub(crate) ahead: Span,
    starts: u64,
}

enum Event {
    Gossip {
        to: usize,
        from: usize,
        bytes: Vec<u8>,
    },
    Request {
        to: usize,
        from: usize,
        request: Vec<u8>,
    },
    Response {
        to: usize,
        from: usize,
        response: Vec<u8>,
    },
    Failed {
        to: usize,
        from: usize,
    },
    Publish {
        from: usize,
        bytes: Vec<u8>,
    },
    PublishFailed {
        to: usize,
    },
    Done {
        to: usize,
        done: DirectoryDone,
    },
}

pub(crate) fn loopback(port: usize) -> Address {
    format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
}

/// The network.
pub(crate) struct Harness {
    pub(crate) params: Arc<NetworkParameters>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) now: Time,
    rng: ChaCha20Rng,
    seed: u64,
    /// In thousandths.
    pub(crate) loss: u32,
    events: BTreeMap<(Time, u64), Event>,
    counter: u64,
    tickets: BTreeMap<Ticket, (usize, usize)>,
    /// Gossip that waits for its verdict: at whom, and what.
    judged: BTreeMap<Ticket, (usize, Vec<u8>)>,
    /// Jobs take up to this long, each another time, so that they end in another order; at zero they
    /// are run at once.
    pub(crate) job_time: Span,
    /// Every job is run once for all nodes, as a host of many nodes does.
    done: BTreeMap<[u8; 32], DirectoryDone>,
    pub(crate) trace: Vec<String>,
    pub(crate) warnings: Vec<(usize, DirectoryWarning)>,
    /// What each seat has said in each step: an honest one says one thing, whatever happens to it.
    said: BTreeMap<Step, Word>,
    /// By whom and in which bytes.
    pub(crate) spoken: Vec<(usize, Vec<u8>)>,
}

/// Height, round, seat, and which of three words.
type Step = (Height, u32, Seat, &'static str);
/// A document, if it is for one, and the round of its lock, if it has one.
type Word = (Option<DocumentHash>, Option<u32>);

impl Harness {
    /// A network of so many mixes and providers, all of them down. The first `genesis` of the
    /// mixes and all providers are genesis members.
    pub(crate) fn new(seed: u64, mixes: usize, providers: usize, genesis: usize) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut params = NetworkParameters {
            epoch: Span::from_secs(60),
            term: 4,
            layers: 2,
            ..NetworkParameters::example()
        };
        let mut nodes = Vec::new();
        for index in 0..mixes + providers {
            let role = if index < mixes {
                Role::Mix
            } else {
                Role::Provider
            };
            let identity = Arc::new(Identity::generate(&mut rng));
            let id = identity.id();
            if index < genesis || index >= mixes {
                params.genesis_members.push(GenesisMember {
                    id,
                    role,
                    addresses: Vec::new(),
                    family: None,
                });
            }
            nodes.push(Node {
                identity,
                id,
                role,
                family: None,
                directory: None,
                disk: Disk::default(),
                side: 0,
                ahead: Span::ZERO,
                starts: 0,
            });
        }
        params.validate().unwrap();
        Self {
            now: params.genesis + Span::from_secs(5),
            params: Arc::new(params),
            nodes,
            rng,
            seed,
            loss: 0,
            events: BTreeMap::new(),
            counter: 0,
            tickets: BTreeMap::new(),
            judged: BTreeMap::new(),
            job_time: Span::ZERO,
            done: BTreeMap::new(),
            trace: Vec::new(),
            warnings: Vec::new(),
            said: BTreeMap::new(),
            spoken: Vec::new(),
        }
    }

    /// Nobody here contradicts itself.
    fn listen(&mut self, index: usize, bytes: &[u8]) {
        let gossip = wire::Gossip::decode(bytes).unwrap();
        let Some(wire::gossip::What::Agreement(message)) = gossip.what else {
            return;
        };
        self.spoken.push((index, bytes.to_vec()));
        let (step, word) = match Message::decode(&message).unwrap() {
            Message::Vote(vote) => {
                let kind = match vote.kind {
                    VoteKind::Prevote => "prevotes",
                    VoteKind::Precommit => "precommits",
                };
                (
                    (vote.height, vote.round, vote.seat, kind),
                    (vote.document, None),
                )
            }
            Message::Proposal(it) => (
                (it.height, it.round, it.seat, "proposes"),
                (Some(it.document), it.locked),
            ),
            _ => return,
        };
        let before = *self.said.entry(step).or_insert(word);
        assert_eq!(before, word, "a seat says two things: {step:?}");
    }

    pub(crate) fn start_all(&mut self) {
        for index in 0..self.nodes.len() {
            self.start(index);
        }
    }

    pub(crate) fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.starts += 1;
        let local = LocalNode {
            identity: Arc::clone(&node.identity),
            role: node.role,
            addresses: vec![loopback(4000 + index)],
            family: node
                .family
                .as_ref()
                .map(|key| key.prove(&self.params.hash(), &node.id)),
            capacity_class: 0,
            storage_mib: 0,
        };
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
        rng.set_stream(1 + u64::try_from(index).unwrap() + 1000 * node.starts);
        let params = Arc::clone(&self.params);
        let now = self.now + node.ahead;
        let directory = Directory::new(params, Some(local), rng, node.disk.restored(), now);
        node.directory = Some(directory);
        self.drain(index);
        for other in 0..self.nodes.len() {
            if other != index && self.linked(index, other) {
                self.connect(index, other);
            }
        }
    }

    pub(crate) fn stop(&mut self, index: usize) {
        self.nodes[index].directory = None;
        let id = self.nodes[index].id;
        for other in 0..self.nodes.len() {
            self.input(other, DirectoryInput::PeerDisconnected(id));
        }
    }

    /// Puts nodes on sides that can't reach each other.
    pub(crate) fn partition(&mut self, side: impl Fn(usize) -> u8) {
        for index in 0..self.nodes.len() {
            self.nodes[index].side = side(index);
        }
        for a in 0..self.nodes.len() {
            for b in 0..self.nodes.len() {
                if a != b && self.nodes[a].side != self.nodes[b].side {
                    let id = self.nodes[b].id;
                    self.input(a, DirectoryInput::PeerDisconnected(id));
                }
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        let sides: Vec<u8> = self.nodes.iter().map(|node| node.side).collect();
        self.nodes.iter_mut().for_each(|node| node.side = 0);
        for a in 0..self.nodes.len() {
            for b in 0..a {
                if sides[a] != sides[b] && self.linked(a, b) {
                    self.connect(a, b);
                }
            }
        }
    }

    fn connect(&mut self, a: usize, b: usize) {
        let (id_a, id_b) = (self.nodes[a].id, self.nodes[b].id);
        self.input(a, DirectoryInput::PeerConnected(id_b));
        self.input(b, DirectoryInput::PeerConnected(id_a));
    }

    fn linked(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.nodes[a], &self.nodes[b]);
        a.directory.is_some() && b.directory.is_some() && a.side == b.side
    }

    /// Hands a node a piece of gossip of another.
    pub(crate) fn tell(&mut self, to: usize, from: usize, bytes: Vec<u8>) {
        self.handle(Event::Gossip { to, from, bytes });
    }

    fn lost(&mut self) -> bool {
        self.rng.random_range(0..1000) < self.loss
    }

    fn schedule(&mut self, after: Span, event: Event) {
        let jitter = Span::from_micros(self.rng.random_range(5_000..80_000));
        self.counter += 1;
        self.events
            .insert((self.now + after + jitter, self.counter), event);
    }

    fn index(&self, id: &NodeId) -> usize {
        self.nodes.iter().position(|node| node.id == *id).unwrap()
    }

    fn input(&mut self, index: usize, input: DirectoryInput) {
        let now = self.now + self.nodes[index].ahead;
        if let Some(directory) = &mut self.nodes[index].directory {
            directory.handle_input(now, input);
            self.drain(index);
        }
    }

    fn drain(&mut self, index: usize) {
        loop {
            let now = self.now + self.nodes[index].ahead;
            let Some(directory) = &mut self.nodes[index].directory else {
                return;
            };
            let Some(action) = directory.poll_action(now) else {
                return;
            };
            self.trace
                .push(format!("{} {index} {action:?}", self.now.as_micros()));
            self.act(index, action);
        }
    }

    fn act(&mut self, index: usize, action: DirectoryAction) {
        match action {
            DirectoryAction::Publish(bytes) => {
                self.listen(index, &bytes);
                self.schedule(Span::ZERO, Event::Publish { from: index, bytes });
            }
            DirectoryAction::Request { to, request } => {
                let to = self.index(&to);
                let event = if self.lost() {
                    Event::Failed {
                        to: index,
                        from: to,
                    }
                } else {
                    Event::Request {
                        to,
                        from: index,
                        request,
                    }
                };
                self.schedule(Span::ZERO, event);
            }
            DirectoryAction::Verdict { of, verdict } => {
                let (at, bytes) = self.judged.remove(&of).expect("one verdict for each");
                assert_eq!(at, index);
                if verdict == Verdict::Accept {
                    self.flood(index, &bytes);
                }
            }
            DirectoryAction::Job(job) => self.run(index, job),
            DirectoryAction::Respond { to, response } => {
                let (asker, answerer) = self.tickets.remove(&to).unwrap();
                assert_eq!(answerer, index);
                let event = if self.lost() {
                    Event::Failed {
                        to: asker,
                        from: index,
                    }
                } else {
                    Event::Response {
                        to: asker,
                        from: index,
                        response,
                    }
                };
                self.schedule(Span::ZERO, event);
            }
            DirectoryAction::Refuse { to } => {
                let (asker, answerer) = self.tickets.remove(&to).unwrap();
                let failed = Event::Failed {
                    to: asker,
                    from: answerer,
                };
                self.schedule(Span::ZERO, failed);
            }
            DirectoryAction::View(view) => {
                for (epoch, document) in &view.documents {
                    self.trace.push(format!("  {epoch} {:?}", document.hash()));
                }
            }
            DirectoryAction::Keys(_) => {}
            DirectoryAction::Persist(change) => self.nodes[index].disk.apply(change),
            DirectoryAction::Warn(warning) => self.warnings.push((index, warning)),
        }
    }

    /// Runs a job, now or later.
    fn run(&mut self, index: usize, job: DirectoryJob) {
        let done = self.done.entry(job.key()).or_insert_with(|| job.run());
        let done = done.clone();
        let most = self.job_time.as_micros();
        if most == 0 {
            return self.input(index, DirectoryInput::Done(done));
        }
        let after = Span::from_micros(self.rng.random_range(0..most));
        self.schedule(after, Event::Done { to: index, done });
    }

    /// Sends gossip on to all that are linked.
    fn flood(&mut self, from: usize, bytes: &[u8]) -> usize {
        let mut sent = 0;
        for to in 0..self.nodes.len() {
            if to != from && self.linked(from, to) {
                sent += 1;
                if !self.lost() {
                    self.schedule(
                        Span::ZERO,
                        Event::Gossip {
                            to,
                            from,
                            bytes: bytes.to_vec(),
                        },
                    );
                }
            }
        }
        sent
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Publish { from, bytes } => {
                if self.flood(from, &bytes) == 0 {
                    self.schedule(Span::ZERO, Event::PublishFailed { to: from });
                }
            }
            Event::PublishFailed { to } => self.input(to, DirectoryInput::PublishFailed),
            Event::Gossip { to, from, bytes } if self.linked(from, to) => {
                let from = self.nodes[from].id;
                self.counter += 1;
                let ticket = Ticket(self.counter);
                self.judged.insert(ticket, (to, bytes.clone()));
                self.input(
                    to,
                    DirectoryInput::Gossip {
                        from,
                        ticket,
                        bytes,
                    },
                );
            }
            Event::Done { to, done } => self.input(to, DirectoryInput::Done(done)),
            Event::Request { to, from, request } if self.linked(from, to) => {
                self.counter += 1;
                let ticket = Ticket(self.counter);
                self.tickets.insert(ticket, (from, to));
                self.input(
                    to,
                    DirectoryInput::SyncRequest {
                        from: ticket,
                        request,
                    },
                );
            }
            Event::Response { to, from, response } if self.linked(from, to) => {
                let from = self.nodes[from].id;
                self.input(to, DirectoryInput::SyncResponse { from, response });
            }
            Event::Failed { to, from }
            | Event::Request {
                to: from, from: to, ..
            } => {
                let from = self.nodes[from].id;
                self.input(to, DirectoryInput::SyncFailed { from });
            }
            Event::Gossip { .. } | Event::Response { .. } => {}
        }
    }

    /// Runs until this time.
    pub(crate) fn run_until(&mut self, end: Time) {
        loop {
            let deadline = |(index, node): (usize, &Node)| {
                let at = node.directory.as_ref()?.poll_deadline()?;
                Some(((at - node.ahead).max(self.now), index))
            };
            let timer = self.nodes.iter().enumerate().filter_map(deadline).min();
            let event = self.events.keys().next().copied();
            let (at, is_event) = match (timer, event) {
                (Some((timer, _)), Some((event, _))) => (timer.min(event), event <= timer),
                (Some((timer, _)), None) => (timer, false),
                (None, Some((event, _))) => (event, true),
                (None, None) => break,
            };
            if at > end {
                break;
            }
            self.now = at;
            if is_event {
                let (_, event) = self.events.pop_first().unwrap();
                self.handle(event);
            } else if let Some((_, index)) = timer {
                let before = self.trace.len();
                self.drain(index);
                let directory = self.nodes[index].directory.as_ref().unwrap();
                let stuck = self.trace.len() == before
                    && directory.poll_deadline().unwrap() <= self.now + self.nodes[index].ahead;
                assert!(
                    !stuck,
                    "a deadline in the past and nothing to do: a busy loop"
                );
            }
        }
        self.now = end;
    }

    /// Runs until a thousandth share of an epoch has passed in it.
    pub(crate) fn run_to(&mut self, epoch: u64, per_mille: u64) {
        let end =
            self.params.start_of(Epoch::new(epoch)) + self.params.epoch.scale(per_mille, 1000);
        self.run_until(end);
    }

    /// The document in force at a node.
    pub(crate) fn document(&self, index: usize) -> Option<Arc<Document>> {
        let node = &self.nodes[index];
        let view = node.directory.as_ref()?.view();
        view.current(&self.params, self.now + node.ahead).cloned()
    }

    /// The one document that is in force at all nodes that are up, which must be of this epoch.
    pub(crate) fn agreed(&self, epoch: u64) -> Arc<Document> {
        let up: Vec<usize> = (0..self.nodes.len())
            .filter(|i| self.nodes[*i].directory.is_some())
            .collect();
        let documents: Vec<_> = up.iter().map(|index| self.document(*index)).collect();
        for (index, document) in up.iter().zip(&documents) {
            let found = document.as_ref().map(|document| document.epoch().number());
            assert_eq!(
                found,
                Some(epoch),
                "node {index}; warnings: {:?}",
                self.warnings
            );
        }
        let hashes: BTreeSet<_> = documents.iter().flatten().map(|d| *d.hash()).collect();
        assert_eq!(
            hashes.len(),
            1,
            "different documents of epoch {epoch}: {documents:?}"
        );
        documents.into_iter().flatten().next().unwrap()
    }
}
