//! Directories in virtual time: the real state machine on links that lose, delay and break.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message as _;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use shoal_proto::{DocumentHash, Epoch, NetworkHash, NodeId, Span, Time, wire};
use shoal_topology::agreement::{Height, Message, Seat, VoteKind};
use shoal_topology::{
    Address, Dialled, Directory, DirectoryAction, DirectoryChange, DirectoryDone, DirectoryInput,
    DirectoryJob, DirectoryWarning, Document, FamilyKey, GenesisMember, Identity, Invitation,
    LocalNode, NetworkParameters, Restored, Role, Successor, Ticket, Verdict,
};
use zeroize::Zeroizing;

use crate::mesh::{Cost, Done, Mesh};

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
    pub(crate) successors: BTreeMap<NetworkHash, Arc<[u8]>>,
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
                let before = self.handovers.insert(height, Arc::clone(&bytes));
                assert!(before.is_none_or(|before| before != bytes), "written once");
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
            DirectoryChange::Successor { hash, text } => {
                assert!(self.successors.insert(hash, text).is_none());
            }
        }
    }

    pub(crate) fn restored(&self) -> Restored {
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
            successors: self.successors.values().cloned().collect(),
        }
    }
}

pub(crate) struct Node {
    pub(crate) identity: Arc<Identity>,
    pub(crate) id: NodeId,
    pub(crate) role: Role,
    pub(crate) family: Option<FamilyKey>,
    /// What it has of a member, if it was invited.
    pub(crate) invitation: Option<Invitation>,
    pub(crate) directory: Option<Directory<ChaCha20Rng>>,
    pub(crate) disk: Disk,
    /// Nodes with different numbers can't reach each other.
    pub(crate) side: u8,
    /// How far its clock is ahead.
    pub(crate) ahead: Span,
    /// And how far it is behind.
    pub(crate) behind: Span,
    /// How much longer all takes that comes from it or goes to it.
    pub(crate) slow: Span,
    /// What it does that an honest node does not.
    pub(crate) lie: Option<Lie>,
    /// Documents of its own, which it gives to whoever asks.
    pub(crate) serves: BTreeMap<DocumentHash, Vec<u8>>,
    /// Nothing is kept of it: it is never started again.
    pub(crate) forgets: bool,
    /// The network's file that it goes by since it was last started.
    pub(crate) file: Option<Arc<NetworkParameters>>,
    /// Its hash, which takes long where it is asked for at each message.
    speaks: Option<NetworkHash>,
    /// Nobody gets through to it, and it gets through to others.
    pub(crate) unreachable: bool,
    /// Where it is, if not where it says that it is by its number.
    pub(crate) port: Option<usize>,
    starts: u64,
}

impl Node {
    pub(crate) fn new(identity: Arc<Identity>, role: Role) -> Self {
        Self {
            id: identity.id(),
            identity,
            role,
            family: None,
            invitation: None,
            directory: None,
            disk: Disk::default(),
            side: 0,
            ahead: Span::ZERO,
            behind: Span::ZERO,
            slow: Span::ZERO,
            lie: None,
            serves: BTreeMap::new(),
            forgets: false,
            file: None,
            speaks: None,
            unreachable: false,
            port: None,
            starts: 0,
        }
    }

    /// What its clock says.
    pub(crate) fn clock(&self, now: Time) -> Time {
        now + self.ahead - self.behind
    }

    /// When its clock says this.
    fn when(&self, clock: Time) -> Time {
        clock + self.behind - self.ahead
    }

    pub(crate) fn is_honest(&self) -> bool {
        self.lie.is_none()
    }
}

/// What a lying node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Says what it likes: nothing is asserted of it, and the test speaks for it.
    Speaks,
    /// Proposes and votes, but tells nobody of what it proposes, gives nobody a document, and passes nothing on.
    Withholds,
    /// Takes part in nothing but issues its descriptors.
    Silent,
    /// Does none of the work for a place.
    Idle,
    /// As a watcher it says that it reaches nobody.
    Slanders,
    /// As a watcher it says that it reaches everybody.
    Covers,
}

enum Event {
    Gossip {
        to: usize,
        from: usize,
        bytes: Arc<[u8]>,
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
        bytes: Arc<[u8]>,
    },
    PublishFailed {
        to: usize,
    },
    Done {
        to: usize,
        done: DirectoryDone,
    },
    Dialled {
        to: usize,
        id: NodeId,
        addresses: Vec<Address>,
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
    /// When each node wants to be looked at, by its own account.
    due: BTreeSet<(Time, usize)>,
    due_at: Vec<Option<Time>>,
    by_id: BTreeMap<NodeId, Vec<usize>>,
    /// Pairs that never meet.
    pub(crate) apart: BTreeSet<(usize, usize)>,
    /// Who is linked with whom where not all are, and what gossip keeps account of there.
    pub(crate) mesh: Option<Mesh>,
    pub(crate) cost: Cost,
    /// How many actions there were.
    acted: u64,
    tickets: BTreeMap<Ticket, (usize, usize)>,
    /// Gossip that waits for its verdict: at whom, and what.
    judged: BTreeMap<Ticket, (usize, Arc<[u8]>)>,
    /// Whether nodes watch each other.
    pub(crate) watches: bool,
    /// Jobs take up to this long, each another time, so that they end in another order; at zero they
    /// are run at once.
    pub(crate) job_time: Span,
    /// Every job is run once for all nodes, as a host of many nodes does.
    done: Done,
    /// What all have done, but for networks with a mesh.
    pub(crate) trace: Vec<String>,
    pub(crate) warnings: Vec<(usize, DirectoryWarning)>,
    /// What each seat has said in each step: an honest one says one thing, whatever happens to it.
    pub(crate) said: BTreeMap<Step, Word>,
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
            nodes.push(Node::new(identity, role));
        }
        Self::of(seed, params, nodes, rng)
    }

    /// A network of these nodes, all of them down.
    pub(crate) fn of(
        seed: u64,
        params: NetworkParameters,
        nodes: Vec<Node>,
        rng: ChaCha20Rng,
    ) -> Self {
        params.validate().unwrap();
        let mut by_id: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
        for (index, node) in nodes.iter().enumerate() {
            by_id.entry(node.id).or_default().push(index);
        }
        Self {
            now: params.genesis + Span::from_secs(5),
            params: Arc::new(params),
            rng,
            seed,
            loss: 0,
            events: BTreeMap::new(),
            counter: 0,
            due: BTreeSet::new(),
            due_at: vec![None; nodes.len()],
            by_id,
            apart: BTreeSet::new(),
            mesh: None,
            cost: Cost::default(),
            acted: 0,
            tickets: BTreeMap::new(),
            judged: BTreeMap::new(),
            watches: false,
            job_time: Span::ZERO,
            done: Done::default(),
            trace: Vec::new(),
            warnings: Vec::new(),
            said: BTreeMap::new(),
            spoken: Vec::new(),
            nodes,
        }
    }

    /// One more node, which is down.
    pub(crate) fn add(&mut self, node: Node) {
        self.by_id
            .entry(node.id)
            .or_default()
            .push(self.nodes.len());
        self.nodes.push(node);
        self.due_at.push(None);
    }

    /// A second node with the identity of another, and with the keys of its seat: those who hear the one do
    /// not hear the other by itself, so that the two say different things to them. Before anybody starts.
    pub(crate) fn twin(&mut self, of: usize) -> usize {
        let index = self.nodes.len();
        let mut kept = vec![0; 16];
        kept.extend([u8::try_from(of).unwrap(); 32]);
        self.nodes[of].disk.seat_keys = Some(Zeroizing::new(kept));
        self.nodes[of].lie = Some(Lie::Speaks);
        let original = &self.nodes[of];
        let mut twin = Node::new(Arc::clone(&original.identity), original.role);
        twin.disk.seat_keys.clone_from(&original.disk.seat_keys);
        twin.lie = Some(Lie::Speaks);
        self.by_id.entry(twin.id).or_default().push(index);
        self.nodes.push(twin);
        self.due_at.push(None);
        self.apart.insert((of, index));
        for other in (0..index).filter(|other| *other != of) {
            let side = if other % 2 == 0 { of } else { index };
            self.apart.insert((side.min(other), side.max(other)));
        }
        index
    }

    /// Nobody here contradicts itself.
    fn listen(&mut self, index: usize, bytes: &[u8]) {
        let gossip = wire::Gossip::decode(bytes).unwrap();
        let Some(wire::gossip::What::Agreement(message)) = gossip.what else {
            return;
        };
        if self.mesh.is_none() {
            self.spoken.push((index, bytes.to_vec()));
        }
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
        if !self.nodes[index].is_honest() {
            return;
        }
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
            addresses: vec![loopback(node.port.unwrap_or(4000 + index))],
            family: node
                .family
                .as_ref()
                .map(|key| key.prove(&self.params.chain(), &node.id)),
            invitation: node.invitation,
            capacity_class: 0,
            storage_mib: 0,
            tokens: None,
        };
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
        rng.set_stream(1 + u64::try_from(index).unwrap() + 100_000 * node.starts);
        let now = node.clock(self.now);
        let successors = node.disk.successors.values();
        let successors = successors.filter_map(|text| Successor::parse(text).ok());
        let successors = Vec::from_iter(successors);
        let params = Arc::new((*self.params).clone().at(&successors, now, None));
        node.file = Some(Arc::clone(&params));
        node.speaks = Some(params.hash());
        let mut directory = Directory::new(params, Some(local), rng, node.disk.restored(), now);
        if self.watches {
            directory.watch();
        }
        node.directory = Some(directory);
        self.drain(index);
        for other in self.neighbours(index) {
            self.connect(index, other);
        }
    }

    pub(crate) fn stop(&mut self, index: usize) {
        let others = self.neighbours(index);
        self.nodes[index].directory = None;
        self.note_due(index);
        let id = self.nodes[index].id;
        for other in others {
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

    fn linked(&self, index_a: usize, index_b: usize) -> bool {
        let (a, b) = (&self.nodes[index_a], &self.nodes[index_b]);
        let up = a.directory.is_some() && b.directory.is_some();
        let pair = || (index_a.min(index_b), index_a.max(index_b));
        up && a.side == b.side && !self.apart.contains(&pair())
    }

    /// Those that a node is linked with now.
    fn neighbours(&self, index: usize) -> Vec<usize> {
        let linked = |other: &usize| *other != index && self.linked(index, *other);
        match &self.mesh {
            Some(mesh) => mesh.links[index].iter().copied().filter(linked).collect(),
            None => (0..self.nodes.len()).filter(linked).collect(),
        }
    }

    /// Hands a node a piece of gossip of another.
    pub(crate) fn tell(&mut self, to: usize, from: usize, bytes: impl Into<Arc<[u8]>>) {
        let bytes = bytes.into();
        self.handle(Event::Gossip { to, from, bytes });
    }

    /// Has a node publish a piece of gossip.
    pub(crate) fn publish(&mut self, from: usize, bytes: impl Into<Arc<[u8]>>) {
        let bytes = bytes.into();
        self.schedule(Span::ZERO, Event::Publish { from, bytes });
    }

    fn lost(&mut self) -> bool {
        self.rng.random_range(0..1000) < self.loss
    }

    /// How long a message takes.
    fn delay(&mut self) -> Span {
        Span::from_micros(self.rng.random_range(5_000..80_000))
    }

    fn schedule(&mut self, after: Span, event: Event) {
        let at = self.now + after + self.delay();
        self.schedule_at(at, event);
    }

    fn schedule_at(&mut self, at: Time, event: Event) {
        self.counter += 1;
        self.events.insert((at, self.counter), event);
    }

    /// Whom a node means by an identity.
    fn index(&self, from: usize, id: &NodeId) -> usize {
        let nodes = &self.by_id[id];
        let linked = nodes.iter().find(|index| self.linked(from, **index));
        *linked.unwrap_or(&nodes[0])
    }

    fn input(&mut self, index: usize, input: DirectoryInput) {
        let now = self.nodes[index].clock(self.now);
        if let Some(directory) = &mut self.nodes[index].directory {
            self.cost.timed(|| directory.handle_input(now, input));
            self.drain(index);
        }
    }

    fn drain(&mut self, index: usize) {
        loop {
            let now = self.nodes[index].clock(self.now);
            let Some(directory) = &mut self.nodes[index].directory else {
                break;
            };
            let Some(action) = self.cost.timed(|| directory.poll_action(now)) else {
                break;
            };
            self.acted += 1;
            if self.mesh.is_none() {
                self.trace
                    .push(format!("{} {index} {action:?}", self.now.as_micros()));
            }
            self.act(index, action);
        }
        self.note_due(index);
        let node = &self.nodes[index];
        let now = node.clock(self.now);
        if node
            .directory
            .as_ref()
            .is_some_and(|it| it.is_succeeded(now))
        {
            self.stop(index);
            self.start(index);
        }
    }

    /// The hash by which a node names what it speaks.
    fn speaks(&self, index: usize) -> Option<NetworkHash> {
        self.nodes[index].speaks
    }

    /// Whether a node answers another: who goes by a file answers those of the file before, too.
    fn answers(&self, index: usize, asker: usize) -> bool {
        let (asks, speaks) = (self.speaks(asker), self.speaks(index));
        asks == speaks || asks == self.before(index) || self.before(asker) == speaks
    }

    fn before(&self, index: usize) -> Option<NetworkHash> {
        let file = self.nodes[index].file.as_ref()?;
        Some(file.succession.as_ref()?.follows)
    }

    /// Notes when a node is to be looked at if nothing happens before.
    fn note_due(&mut self, index: usize) {
        let node = &self.nodes[index];
        let directory = node.directory.as_ref();
        let due = directory.and_then(|directory| directory.poll_deadline());
        let due = due.map(|due| node.when(due));
        let before = std::mem::replace(&mut self.due_at[index], due);
        if before != due {
            before.map(|before| self.due.remove(&(before, index)));
            due.map(|due| self.due.insert((due, index)));
        }
    }

    fn act(&mut self, index: usize, action: DirectoryAction) {
        match action {
            DirectoryAction::Publish(bytes) => {
                self.listen(index, &bytes);
                if self.withholds(index, &bytes) {
                    return;
                }
                self.publish(index, bytes);
            }
            DirectoryAction::Request { to, request } => {
                let to = self.index(index, &to);
                self.cost.requests.add(request.len());
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
                let slow = self.nodes[index].slow + self.nodes[to].slow;
                self.schedule(slow, event);
            }
            DirectoryAction::Verdict { of, verdict } => {
                let (at, bytes) = self.judged.remove(&of).expect("one verdict for each");
                assert_eq!(at, index);
                if verdict == Verdict::Accept && self.nodes[index].lie != Some(Lie::Withholds) {
                    self.flood(index, &bytes);
                }
            }
            DirectoryAction::Job(job) => self.run(index, job),
            DirectoryAction::Respond { to, response } => {
                let (asker, answerer) = self.tickets.remove(&to).unwrap();
                assert_eq!(answerer, index);
                self.cost.responses.add(response.len());
                let refuses = self.nodes[index].lie == Some(Lie::Withholds);
                let event = if self.lost() || refuses {
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
                let slow = self.nodes[index].slow + self.nodes[asker].slow;
                self.schedule(slow, event);
            }
            DirectoryAction::Refuse { to } => {
                let (asker, answerer) = self.tickets.remove(&to).unwrap();
                let failed = Event::Failed {
                    to: asker,
                    from: answerer,
                };
                self.schedule(Span::ZERO, failed);
            }
            DirectoryAction::View(_) if self.mesh.is_some() => {}
            DirectoryAction::View(view) => {
                for (epoch, document) in &view.documents {
                    self.trace.push(format!("  {epoch} {:?}", document.hash()));
                }
            }
            DirectoryAction::Keys(_)
            | DirectoryAction::Amendments(_)
            | DirectoryAction::Moved(_) => {}
            DirectoryAction::Dial { id, addresses } => {
                let to = index;
                let event = Event::Dialled { to, id, addresses };
                self.schedule(Span::ZERO, event);
            }
            DirectoryAction::Persist(_) if self.nodes[index].forgets => {}
            DirectoryAction::Persist(change) => self.nodes[index].disk.apply(change),
            DirectoryAction::Warn(warning) => self.warnings.push((index, warning)),
        }
    }

    /// What comes of dialling a node at an address.
    fn dialled(&self, from: usize, to: usize, address: &Address) -> Dialled {
        let node = &self.nodes[to];
        let there = *address == loopback(node.port.unwrap_or(4000 + to));
        let up = node.directory.is_some() && self.linked(from, to);
        match self.nodes[from].lie {
            Some(Lie::Slanders) => Dialled::Missed,
            Some(Lie::Covers) => Dialled::Reached,
            _ if up && there && !node.unreachable => Dialled::Reached,
            _ => Dialled::Missed,
        }
    }

    /// Hands something in at a node.
    pub(crate) fn hand_in(&mut self, index: usize, input: DirectoryInput) {
        self.input(index, input);
    }

    /// Runs a job, now or later.
    fn run(&mut self, index: usize, job: DirectoryJob) {
        if job.is_long() && self.nodes[index].lie == Some(Lie::Idle) {
            return;
        }
        let done = self.done.of(job, &mut self.cost);
        let most = self.job_time.as_micros();
        if most == 0 {
            return self.input(index, DirectoryInput::Done(done));
        }
        let after = Span::from_micros(self.rng.random_range(0..most));
        self.schedule(after, Event::Done { to: index, done });
    }

    /// Whether a lying node keeps to itself what an honest one would say.
    fn withholds(&self, index: usize, bytes: &[u8]) -> bool {
        let agreement = || match wire::Gossip::decode(bytes).unwrap().what {
            Some(wire::gossip::What::Agreement(message)) => Message::decode(&message).ok(),
            _ => None,
        };
        match self.nodes[index].lie {
            None | Some(Lie::Speaks | Lie::Idle | Lie::Slanders | Lie::Covers) => false,
            Some(Lie::Withholds) => matches!(agreement(), Some(Message::Proposal(_))),
            Some(Lie::Silent) => agreement().is_some(),
        }
    }

    /// The answer of a lying node, if it was asked for a document of its own.
    fn served(&self, index: usize, request: &[u8]) -> Option<Vec<u8>> {
        let request = wire::SyncRequest::decode(request).ok()?;
        let hash = DocumentHash::new(request.fetch.as_slice().try_into().ok()?);
        let response = wire::SyncResponse {
            documents: vec![self.nodes[index].serves.get(&hash)?.clone()],
            now_us: self.now.as_micros(),
            ..Default::default()
        };
        Some(response.encode_to_vec())
    }

    /// Sends gossip on to all that are linked.
    fn flood(&mut self, from: usize, bytes: &Arc<[u8]>) -> usize {
        let neighbours = self.neighbours(from);
        if let Some(mesh) = &mut self.mesh {
            mesh.begin(self.now, from, bytes);
        }
        for to in &neighbours {
            self.cost.gossip(bytes);
            if self.lost() {
                continue;
            }
            let (to, slow) = (*to, self.nodes[from].slow + self.nodes[*to].slow);
            let at = self.now + slow + self.delay();
            let mesh = self.mesh.as_mut();
            if mesh.is_none_or(|mesh| mesh.comes_first(to, at, bytes)) {
                let bytes = Arc::clone(bytes);
                self.schedule_at(at, Event::Gossip { to, from, bytes });
            }
        }
        neighbours.len()
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Publish { from, bytes } => {
                if self.flood(from, &bytes) == 0 {
                    self.schedule(Span::ZERO, Event::PublishFailed { to: from });
                }
            }
            Event::PublishFailed { to } => self.input(to, DirectoryInput::PublishFailed),
            Event::Gossip { to, from, bytes }
                if self.linked(from, to) && self.speaks(from) == self.speaks(to) =>
            {
                let (at, mesh) = (self.now, self.mesh.as_ref());
                if mesh.is_some_and(|mesh| mesh.is_known(to, at, &bytes)) {
                    return;
                }
                let from = self.nodes[from].id;
                self.counter += 1;
                let ticket = Ticket(self.counter);
                self.judged.insert(ticket, (to, Arc::clone(&bytes)));
                let bytes = bytes.to_vec();
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
            Event::Dialled { to, id, addresses } => {
                let at = self.index(to, &id);
                let found = addresses.into_iter().map(|address| {
                    let how = self.dialled(to, at, &address);
                    (address, how)
                });
                let at = found.collect();
                self.input(to, DirectoryInput::Dialled { id, at });
            }
            Event::Request { to, from, request }
                if self.linked(from, to) && self.answers(to, from) =>
            {
                if let Some(response) = self.served(to, &request) {
                    let (to, from) = (from, to);
                    return self.schedule(Span::ZERO, Event::Response { to, from, response });
                }
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
            let timer = self.due.first();
            let timer = timer.map(|(at, index)| ((*at).max(self.now), *index));
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
                let before = self.acted;
                self.drain(index);
                let due = self.due_at[index].unwrap();
                let stuck = self.acted == before && due <= self.now;
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

    /// What a node answers somebody who is no neighbour.
    pub(crate) fn asked(&mut self, index: usize, request: Vec<u8>) -> Vec<u8> {
        let from = Ticket(u64::MAX);
        let node = &mut self.nodes[index];
        let now = node.clock(self.now);
        let directory = node.directory.as_mut().unwrap();
        directory.handle_input(now, DirectoryInput::SyncRequest { from, request });
        let (mut answer, mut others) = (None, Vec::new());
        while let Some(action) = directory.poll_action(now) {
            match action {
                DirectoryAction::Respond { to, response } if to == from => answer = Some(response),
                DirectoryAction::Job(job) => {
                    directory.handle_input(now, DirectoryInput::Done(job.run()));
                }
                other => others.push(other),
            }
        }
        others
            .into_iter()
            .for_each(|action| self.act(index, action));
        answer.unwrap()
    }

    /// The document in force at a node.
    pub(crate) fn document(&self, index: usize) -> Option<Arc<Document>> {
        let node = &self.nodes[index];
        let view = node.directory.as_ref()?.view();
        let params = node.file.as_ref().unwrap_or(&self.params);
        view.current(params, node.clock(self.now)).cloned()
    }

    /// The one document that is in force at all honest nodes that are up, which must be of this epoch.
    pub(crate) fn agreed(&self, epoch: u64) -> Arc<Document> {
        let up: Vec<usize> = (0..self.nodes.len())
            .filter(|i| self.nodes[*i].directory.is_some() && self.nodes[*i].is_honest())
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
