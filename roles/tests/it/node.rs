//! A node before a scripted disk and network: what is said when, and what is not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use shoal_packet::{Engine, Frame};
use shoal_proto::{ClientHandle, Epoch, NetworkHash, NodeId, Span, Time, wire};
use shoal_provider::{Issuer, MemoryStore, Store as _, StoreLimits};
use shoal_roles::RequestKind;
use shoal_roles::node::{Node, NodeAction, NodeEvent, NodeInput, NodeSetup, Place, Trouble};
use shoal_topology::agreement::Height;
use shoal_topology::sample::Network;
use shoal_topology::{
    Address, Descriptor, DirectoryChange, FamilyKey, Identity, LocalNode, NetworkParameters,
    PACKET_VERSION, Restored, Role, SignedDescriptor, Ticket, TokenDemand, chain_request,
};

/// What the scripted disk says when it fails.
const FULL: &str = "No space left on device";

/// What a client asks that knows nothing.
fn question() -> Vec<u8> {
    let file = NetworkHash::new([0; 32]);
    chain_request(Height::default(), Height::default(), file)
}

/// What the scripted disk does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disk {
    Works,
    Fails,
    /// It takes for ever.
    Hangs,
}

/// What a node starts from.
struct Start {
    with_key: bool,
    with_document: bool,
    /// This long after the beginning of epoch 0.
    after: Span,
    /// The document in force is the first that lists it.
    comes: bool,
    /// Where others reach it; as the document says, if none.
    addresses: Option<Vec<Address>>,
    /// It is of the family of one with this role, and not in the document.
    beside: Option<Role>,
    /// It issues tokens.
    issues: bool,
    /// It has voted for two things.
    expelled: bool,
}

impl Default for Start {
    fn default() -> Self {
        Self {
            with_key: true,
            with_document: true,
            after: Span::from_secs(10),
            comes: false,
            addresses: None,
            beside: None,
            issues: false,
            expelled: false,
        }
    }
}

pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) node: Node,
    pub(crate) now: Time,
    disk: Disk,
    store: MemoryStore,
    pub(crate) published: usize,
    /// What its last gossip was.
    last_published: Vec<u8>,
    /// Whom it last said to exchange packets with.
    packet_peers: BTreeSet<NodeId>,
    keys_made: usize,
    answers: Vec<(Ticket, Vec<u8>)>,
    refused: Vec<Ticket>,
    pub(crate) events: Vec<NodeEvent>,
    /// Neighbours that answer for the directory, and how far their clocks are ahead, in microseconds.
    pub(crate) clocks: BTreeMap<NodeId, i64>,
    removed: Vec<(Time, Epoch)>,
    down: usize,
    hung_up: Vec<NodeId>,
    drained: bool,
    /// Groups of changes that a disk which hangs has not written.
    pending: Vec<u64>,
    /// What the groups were: how many changes, and whether they were keys and numbers.
    groups: Vec<(usize, bool)>,
    /// Jobs that the loop has given away.
    jobs: usize,
}

impl World {
    /// A node that restarts into a network of nine with a document in force; `with_key` says whether
    /// its disk still has its key.
    pub(crate) fn new(role: Role, with_key: bool) -> Self {
        let start = Start {
            with_key,
            ..Start::default()
        };
        Self::start(role, start)
    }

    /// One that has its key, and has waited long enough for neighbours' clocks to go by its own.
    fn trusting(role: Role) -> Self {
        let mut world = Self::new(role, true);
        world.run_for(Span::from_secs(5));
        world
    }

    /// The same, reached at these addresses.
    pub(crate) fn with_addresses(role: Role, addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        let start = Start {
            addresses: Some(addresses.collect()),
            ..Start::default()
        };
        Self::start(role, start)
    }

    /// A mix whose keys are lost so long after the epoch's beginning, and whose descriptor is not.
    pub(crate) fn lost_keys(after: Span) -> Self {
        let start = Start {
            with_key: false,
            after,
            ..Start::default()
        };
        Self::start(Role::Mix, start)
    }

    /// A node that comes, of the family of one with the other role that stands in the document.
    pub(crate) fn beside(role: Role, other: Role) -> Self {
        let start = Start {
            beside: Some(other),
            ..Start::default()
        };
        Self::start(role, start)
    }

    /// A new mix of a network that has no document yet.
    pub(crate) fn without_document() -> Self {
        let start = Start {
            with_key: false,
            with_document: false,
            ..Start::default()
        };
        Self::start(Role::Mix, start)
    }

    /// One that the document in force expels.
    pub(crate) fn expelled(role: Role) -> Self {
        let start = Start {
            expelled: true,
            ..Start::default()
        };
        Self::start(role, start)
    }

    /// One that the document in force lists for the first time.
    pub(crate) fn coming(role: Role) -> Self {
        let start = Start {
            comes: true,
            ..Start::default()
        };
        Self::start(role, start)
    }

    fn start(role: Role, start: Start) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut network = Network::new(&mut rng, NetworkParameters::example(), 2, 3);
        let epoch = Epoch::new(u64::from(start.comes));
        let now = network.params.start_of(epoch) + start.after;
        let id = network.ids(role).next().unwrap();
        let family = start.beside.map(|other| {
            let key = Arc::new(FamilyKey::from_bytes(&[7; 32]));
            let other = network.ids(other).last().unwrap();
            network.nodes.get_mut(&other).unwrap().family = Some(Arc::clone(&key));
            network.nodes.get_mut(&id).unwrap().family = Some(Arc::clone(&key));
            key.prove(&network.params.hash(), &id)
        });
        if start.expelled {
            network.contradict(&id);
        }
        let before = network.document(&mut rng, Epoch::new(0), None).unwrap();
        let own = network.nodes.remove(&id).unwrap();
        let document = match family {
            // It comes when the other stands.
            Some(_) => network.document(&mut rng, Epoch::new(0), None).unwrap(),
            None => before,
        };
        let (document, own) = match start.comes {
            false => (document, own),
            true => {
                let first = network.document(&mut rng, Epoch::new(0), None).unwrap();
                network.nodes.insert(id, own);
                let next = network.document(&mut rng, epoch, Some(&*first)).unwrap();
                (next, network.nodes.remove(&id).unwrap())
            }
        };
        let (handovers, documents) = network.answer(&[document]);
        let listed = network
            .params
            .genesis_members
            .iter()
            .find(|member| member.id == id);
        let addresses = listed.unwrap().addresses.clone();
        let addresses = start.addresses.unwrap_or(addresses);
        let local = LocalNode {
            identity: Arc::new(own.identity),
            role,
            addresses,
            family,
            invitation: None,
            capacity_class: 0,
            storage_mib: 0,
            tokens: None,
        };
        let secret = own.keys.secret(epoch).unwrap().to_bytes();
        let keys = start.with_key.then_some((epoch, secret));
        let kept = |rows: Vec<Vec<u8>>| {
            let rows = rows.into_iter().filter(|_| start.with_document);
            rows.map(Into::into).collect()
        };
        let setup = NodeSetup {
            params: Arc::clone(&network.params),
            local,
            relay: Default::default(),
            provider: Default::default(),
            engine: Engine::best(),
            restored: Restored {
                keys: keys.into_iter().collect(),
                documents: kept(documents),
                handovers: kept(handovers),
                ..Restored::default()
            },
            tags: Vec::new(),
        };
        let node = Node::new(setup, &mut rng, now);
        let node = match start.issues {
            false => node,
            true => {
                let seed = zeroize::Zeroizing::new([3; 32]);
                node.with_issuer(now, Issuer::new(seed, TokenDemand::Open, Vec::new()))
            }
        };
        let mut world = Self {
            node,
            network,
            now,
            disk: Disk::Works,
            store: MemoryStore::new(StoreLimits::default()),
            published: 0,
            last_published: Vec::new(),
            packet_peers: BTreeSet::new(),
            keys_made: 0,
            answers: Vec::new(),
            refused: Vec::new(),
            events: Vec::new(),
            clocks: BTreeMap::new(),
            removed: Vec::new(),
            down: 0,
            hung_up: Vec::new(),
            drained: false,
            pending: Vec::new(),
            groups: Vec::new(),
            jobs: 0,
        };
        world.settle();
        world
    }

    pub(crate) fn input(&mut self, input: NodeInput) {
        self.node.handle_input(self.now, input);
        self.settle();
    }

    pub(crate) fn run_for(&mut self, span: Span) {
        let until = self.now + span;
        while let Some(at) = self.node.poll_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.settle();
        }
        self.now = until;
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(action) = self.node.poll_action(self.now) {
            self.act(action);
        }
    }

    fn act(&mut self, action: NodeAction) {
        let now = self.now;
        match action {
            NodeAction::Send { passage, .. } => passage.sent(),
            NodeAction::SendDown { .. } => self.down += 1,
            NodeAction::Disconnect(peer) => self.hung_up.push(peer),
            NodeAction::LogTag { sequence, .. } => {
                let told = NodeInput::TagsDurable { upto: sequence };
                self.node.handle_input(now, told);
            }
            NodeAction::Store { ticket, op } => {
                for result in self.store.apply(now, vec![op]) {
                    self.node
                        .handle_input(now, NodeInput::Stored { ticket, result });
                }
            }
            NodeAction::Persist { ticket, changes } => self.write(ticket, changes),
            NodeAction::Job(job) => {
                self.jobs += 1;
                self.node.handle_input(now, NodeInput::Done(job.run()));
            }
            NodeAction::Publish(bytes) => {
                self.published += 1;
                self.last_published = bytes;
            }
            NodeAction::PacketPeers(peers) => self.packet_peers = peers,
            NodeAction::Request { to, .. } => {
                let answer = self.clocks.get(&to).map(|ahead| wire::SyncResponse {
                    now_us: now.shifted(*ahead).as_micros(),
                    ..Default::default()
                });
                let told = match answer {
                    Some(answer) => NodeInput::Response {
                        from: to,
                        bytes: answer.encode_to_vec(),
                    },
                    None => NodeInput::RequestFailed { from: to },
                };
                self.node.handle_input(now, told);
            }
            NodeAction::Respond { to, bytes } => self.answers.push((to, bytes)),
            NodeAction::Refuse { to } => self.refused.push(to),
            NodeAction::Event(event) => self.events.push(event),
            NodeAction::Drained => self.drained = true,
            _ => {}
        }
    }

    fn write(&mut self, ticket: u64, changes: Vec<DirectoryChange>) {
        for change in &changes {
            self.keys_made += usize::from(matches!(change, DirectoryChange::Key { .. }));
            if let DirectoryChange::RemoveKey { epoch } = change {
                self.removed.push((self.now, *epoch));
            }
        }
        use DirectoryChange::{Descriptor, Document, Handover, RemoveDescriptor, RemoveDocument};
        let own = |change: &DirectoryChange| {
            let others = matches!(
                change,
                Descriptor { .. } | Document { .. } | Handover { .. }
            );
            !others && !matches!(change, RemoveDescriptor { .. } | RemoveDocument { .. })
        };
        self.groups.push((changes.len(), changes.iter().all(own)));
        let told = match self.disk {
            Disk::Works => NodeInput::Persisted { ticket },
            Disk::Fails => NodeInput::PersistFailed {
                ticket,
                changes,
                why: FULL.to_owned(),
            },
            Disk::Hangs => return self.pending.push(ticket),
        };
        self.node.handle_input(self.now, told);
    }

    /// Links to everybody whom it sends to.
    pub(crate) fn link_up(&mut self) {
        let document = self.node.view().documents.values().next_back().unwrap();
        let ids: Vec<NodeId> = document.members().map(|member| member.id).collect();
        for id in ids {
            self.input(NodeInput::LinkUp(id));
        }
    }

    /// Keys that it has had written.
    pub(crate) const fn keys_made(&self) -> usize {
        self.keys_made
    }

    /// The members that it sends to.
    pub(crate) fn after(&self) -> Vec<NodeId> {
        let document = self.node.view().documents.values().next_back().unwrap();
        let ids = document.members().map(|member| member.id);
        ids.filter(|id| document.position_ok(&self.node.id(), id))
            .collect()
    }

    fn ask(&mut self, from: NodeId, number: u64, bytes: &[u8]) {
        self.input(NodeInput::Request {
            from,
            kind: RequestKind::Directory,
            ticket: Ticket(number),
            bytes: bytes.to_vec(),
        });
    }

    /// Somebody new asks from a place what clients ask. Whether it was answered at once.
    fn visit(&mut self, number: u64, place: u64) -> bool {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        let (peer, answers) = (NodeId::new(id), self.answers.len());
        let place = Place(place);
        self.input(NodeInput::Located { peer, place });
        self.input(NodeInput::Connected(peer));
        self.ask(peer, number, &question());
        self.answers.len() > answers
    }

    /// A descriptor of somebody new comes by gossip.
    fn gossip(&mut self, number: u64, sequence: u64) {
        let params = Arc::clone(&self.network.params);
        let mut rng = ChaCha20Rng::seed_from_u64(number);
        let identity = Identity::generate(&mut rng);
        let key = shoal_packet::SphinxSecret::generate(&mut rng).public();
        let first_epoch = params.epoch_at(self.now);
        let descriptor = Descriptor {
            identity: identity.id(),
            role: Role::Mix,
            sequence,
            issued_at: self.now,
            expires_at: params.start_of(Epoch::new(first_epoch.number() + 3)),
            first_epoch,
            keys: vec![key; 3],
            addresses: self
                .node
                .view()
                .documents
                .values()
                .next()
                .map_or_else(Vec::new, |document| {
                    document.members().next().unwrap().addresses.clone()
                }),
            versions: vec![PACKET_VERSION],
            capacity_class: 0,
            storage_mib: 0,
            tokens: None,
            family: None,
            admission: Vec::new(),
            vrf_key: identity.vrf_key().public(),
            seat_key: identity.id(),
            leaving: false,
        };
        let signed = SignedDescriptor::sign(&identity, &params, descriptor).unwrap();
        self.input(NodeInput::Gossip {
            from: peer(1),
            ticket: Ticket(number << 32 | sequence),
            bytes: wire::Gossip {
                what: Some(wire::gossip::What::Descriptor(signed.encode().to_vec())),
                again: 0,
            }
            .encode_to_vec(),
        });
    }

    fn attach(&mut self, peer: NodeId, handle: ClientHandle, profile: &str) -> wire::AttachStatus {
        let request = wire::AttachRequest {
            handle: handle.as_bytes().to_vec(),
            profile: profile.to_owned(),
        };
        let ticket = Ticket(1000 + self.answers.len() as u64);
        self.input(NodeInput::Request {
            from: peer,
            kind: RequestKind::Attach,
            ticket,
            bytes: request.encode_to_vec(),
        });
        let (to, bytes) = self.answers.last().unwrap();
        assert_eq!(*to, ticket);
        wire::AttachResponse::decode(bytes.as_slice())
            .unwrap()
            .status()
    }

    pub(crate) fn troubles(&mut self) -> Vec<Trouble> {
        self.node.troubles(self.now)
    }

    pub(crate) fn is_ready(&self) -> bool {
        let last = self
            .events
            .iter()
            .rev()
            .find(|event| matches!(event, NodeEvent::Ready { .. } | NodeEvent::NotReady(_)));
        matches!(last, Some(NodeEvent::Ready { .. }))
    }
}

fn peer(number: u8) -> NodeId {
    NodeId::new([number; 32])
}

#[test]
fn ready_is_said_once_its_links_are_up_or_it_has_waited() {
    let mut world = World::new(Role::Mix, true);
    assert!(!world.is_ready());
    assert!(matches!(
        world.troubles()[..],
        [Trouble::Links { missing: 2 | 3 }]
    ));
    world.link_up();
    assert!(world.is_ready());
    let mut waits = World::new(Role::Mix, true);
    let one = waits.after()[0];
    waits.input(NodeInput::LinkUp(one));
    waits.run_for(Span::from_secs(9));
    assert!(!waits.is_ready());
    waits.run_for(Span::from_secs(2));
    assert!(waits.is_ready());
}

#[test]
fn packets_are_exchanged_with_adjacent_members_only() {
    for role in [Role::Mix, Role::Provider] {
        let world = World::new(role, true);
        let document = world.node.view().documents.values().next().unwrap();
        let id = world.node.id();
        let ids = document.members().map(|member| member.id);
        let adjacent = ids
            .filter(|other| document.position_ok(&id, other) || document.position_ok(other, &id));
        assert_eq!(world.packet_peers, adjacent.collect());
        assert!(world.packet_peers.len() < document.members().len() - 1);
    }
}

#[test]
fn a_node_without_its_key_is_not_ready_until_the_switch() {
    let mut world = World::new(Role::Mix, false);
    world.link_up();
    world.run_for(Span::from_secs(60));
    assert!(!world.is_ready());
    let next = world.network.params.start_of(Epoch::new(1));
    assert_eq!(
        world.troubles(),
        [Trouble::NoKey {
            epoch: Epoch::new(0),
            next
        }]
    );
}

#[test]
fn nobody_hears_of_a_descriptor_whose_number_is_not_on_disk() {
    let mut world = World::trusting(Role::Mix);
    assert_eq!(world.published, 1, "the disk works");
    world.disk = Disk::Hangs;
    world.run_for(world.network.params.epoch.scale(3, 2));
    assert!(!world.pending.is_empty());
    assert_eq!(world.published, 1);
    world.disk = Disk::Works;
    for ticket in std::mem::take(&mut world.pending) {
        world.input(NodeInput::Persisted { ticket });
    }
    assert_eq!(world.published, 2);
}

#[test]
fn a_provider_that_issues_tokens_says_so_in_its_descriptor() {
    let mut world = World::start(
        Role::Provider,
        Start {
            issues: true,
            ..Start::default()
        },
    );
    world.run_for(world.network.params.epoch.scale(3, 2));
    let gossip = wire::Gossip::decode(world.last_published.as_slice()).unwrap();
    let Some(wire::gossip::What::Descriptor(bytes)) = gossip.what else {
        panic!("a descriptor");
    };
    let params = &world.network.params;
    let said = SignedDescriptor::decode_verified(&bytes, params, world.now).unwrap();
    let tokens = said.descriptor().tokens.unwrap();
    assert_eq!(tokens.demand, TokenDemand::Open);
    let period = shoal_topology::token_period(world.now);
    assert_eq!(tokens.key.number(), period);
}

#[test]
fn what_could_not_be_saved_is_a_reason_and_tried_again() {
    let mut world = World::trusting(Role::Mix);
    world.link_up();
    world.disk = Disk::Fails;
    world.run_for(world.network.params.epoch.scale(3, 2));
    let unsaved = Trouble::Directory {
        why: FULL.to_owned(),
    };
    assert!(world.troubles().contains(&unsaved));
    assert_eq!(world.published, 1);
    world.disk = Disk::Works;
    world.run_for(Span::from_secs(10));
    assert!(!world.troubles().contains(&unsaved));
    assert_eq!(world.published, 2);
}

#[test]
fn a_client_is_attached_under_one_handle_and_dismissed_with_its_connection() {
    use wire::AttachStatus::{Accepted, Malformed, NotAProvider, UnknownProfile};
    let mut world = World::new(Role::Provider, true);
    let handle = ClientHandle::new([7; 32]);
    assert_eq!(world.attach(peer(1), handle, "none such"), UnknownProfile);
    assert_eq!(world.attach(peer(1), handle, "default"), Accepted);
    assert_eq!(world.attach(peer(2), handle, "default"), Malformed, "taken");
    world.run_for(Span::from_secs(10));
    assert!(
        (40..130).contains(&world.down),
        "8 a second: {}",
        world.down
    );
    let figures = world.node.figures(world.now);
    assert_eq!((figures.node.attached, figures.node.turned_away), (1, 2));
    world.input(NodeInput::Disconnected(peer(1)));
    let down = world.down;
    world.run_for(Span::from_secs(10));
    assert_eq!(world.down, down);
    assert_eq!(world.attach(peer(2), handle, "default"), Accepted);
    let mut mix = World::new(Role::Mix, true);
    assert_eq!(mix.attach(peer(1), handle, "default"), NotAProvider);
}

#[test]
fn a_client_above_its_rate_is_cut_and_one_at_its_rate_is_not() {
    let mut world = World::new(Role::Provider, true);
    let (greedy, modest) = (peer(1), peer(2));
    let accepted = wire::AttachStatus::Accepted;
    let handles = [ClientHandle::new([7; 32]), ClientHandle::new([8; 32])];
    assert_eq!(world.attach(greedy, handles[0], "default"), accepted);
    assert_eq!(world.attach(modest, handles[1], "default"), accepted);
    let intake = Arc::clone(world.node.intake());
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let mut passed = [0, 0];
    for millis in 0..10_000_u64 {
        let now = world.now + Span::from_millis(millis);
        let senders = [(greedy, true), (modest, millis % 277 == 0)];
        for (index, (from, sends)) in senders.into_iter().enumerate() {
            // 3.75 a second are in the profile.
            if sends {
                let frame = Frame::filler(&mut rng, Epoch::new(0).byte());
                passed[index] += usize::from(intake.admit(now, from, frame).is_some());
            }
        }
    }
    // A quarter above the rate for 10 s, and the first burst.
    assert!((74..=80).contains(&passed[0]), "{passed:?}");
    assert_eq!(passed[1], 10_000_usize.div_ceil(277));
    let books = world.node.figures(world.now).books;
    assert_eq!(
        books.dropped(shoal_mix::DropReason::OverRate),
        10_000 - passed[0] as u64
    );
}

#[test]
fn clients_beyond_what_the_node_carries_are_told_that_it_is_full() {
    use wire::AttachStatus::{Accepted, Full};
    let mut world = World::new(Role::Provider, true);
    // Half of 1,500 packets a second are for clients, and a client counts for 4.875: a quarter more than
    // its profile's 3.9.
    let answers = (0..200_u8).map(|number| {
        let handle = ClientHandle::new([number; 32]);
        world.attach(
            NodeId::new([number.wrapping_add(50); 32]),
            handle,
            "default",
        )
    });
    let answers: Vec<_> = answers.collect();
    assert_eq!(answers.iter().filter(|it| **it == Accepted).count(), 153);
    assert!(answers[153..].iter().all(|answer| *answer == Full));
    // In what is left eight fit that send a tenth, and no ninth. Who leaves makes room.
    let small = |number: u8| {
        let node = NodeId::new([number; 32]);
        (node, ClientHandle::new([number + 200; 32]))
    };
    for (node, handle) in (1..9).map(small) {
        assert_eq!(world.attach(node, handle, "mobile"), Accepted);
    }
    let (node, handle) = small(9);
    assert_eq!(world.attach(node, handle, "mobile"), Full);
    world.input(NodeInput::Disconnected(NodeId::new([60; 32])));
    let again = ClientHandle::new([240; 32]);
    assert_eq!(
        world.attach(NodeId::new([10; 32]), again, "default"),
        Accepted
    );
}

#[test]
fn a_client_that_goes_on_sending_too_much_is_not_attached_any_more() {
    let mut world = World::new(Role::Provider, true);
    let (greedy, modest) = (peer(1), peer(2));
    let accepted = wire::AttachStatus::Accepted;
    for (client, handle) in [(greedy, 7), (modest, 8)] {
        let handle = ClientHandle::new([handle; 32]);
        assert_eq!(world.attach(client, handle, "default"), accepted);
    }
    let intake = Arc::clone(world.node.intake());
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    for second in 0..60 {
        // Fifteen times the 3.6 of the profile, and less than that.
        for (from, frames) in [(greedy, 54), (modest, 3)] {
            for _ in 0..frames {
                let frame = Frame::filler(&mut rng, Epoch::new(0).byte());
                drop(intake.admit(world.now, from, frame));
            }
        }
        world.run_for(Span::from_secs(1));
        // A burst, half a minute, and up to five seconds until it is noticed.
        match second {
            0..30 => assert_eq!(world.hung_up, [], "{second}"),
            37.. => assert_eq!(world.hung_up, [greedy], "{second}"),
            _ => {}
        }
    }
    assert_eq!(world.node.figures(world.now).node.overdone, 1);
    world.input(NodeInput::Disconnected(greedy));
    let handle = ClientHandle::new([9; 32]);
    assert_eq!(world.attach(peer(3), handle, "default"), accepted);
}

#[test]
fn questions_are_answered_and_refused_when_the_disk_is_far_behind() {
    let mut world = World::new(Role::Mix, true);
    world.input(NodeInput::Request {
        from: peer(1),
        kind: RequestKind::Directory,
        ticket: Ticket(7),
        bytes: question(),
    });
    let (to, bytes) = world.answers.pop().unwrap();
    assert_eq!(to, Ticket(7));
    let answer = wire::SyncResponse::decode(bytes.as_slice()).unwrap();
    assert_eq!(answer.documents.len(), 1);
    assert_eq!(answer.now_us, world.now.as_micros());

    // An answer must not overtake what it may tell of: it waits for the disk, up to a bound.
    world.disk = Disk::Hangs;
    world.run_for(world.network.params.epoch.scale(3, 2));
    for number in 0..300 {
        world.input(NodeInput::Request {
            from: peer(1),
            kind: RequestKind::Directory,
            ticket: Ticket(100 + number),
            bytes: question(),
        });
    }
    assert!(world.answers.is_empty());
    let refused = world.refused.len();
    assert!(refused > 0 && refused < 300, "{refused}");
    world.disk = Disk::Works;
    for ticket in std::mem::take(&mut world.pending) {
        world.input(NodeInput::Persisted { ticket });
    }
    assert_eq!(world.answers.len() + world.refused.len(), 300);
}

#[test]
fn a_node_that_stops_admits_nothing_and_says_when_it_is_empty() {
    let mut world = World::new(Role::Mix, true);
    world.link_up();
    world.input(NodeInput::Stop);
    assert!(world.drained, "nothing was inside");
    let frame = Frame::filler(&mut ChaCha20Rng::seed_from_u64(2), 0);
    assert!(
        world
            .node
            .intake()
            .admit(world.now, peer(1), frame)
            .is_none()
    );
    assert!(world.troubles().contains(&Trouble::Stopping));
}

#[test]
fn keys_that_are_over_are_deleted_by_a_deadline() {
    let mut world = World::new(Role::Mix, true);
    let params = world.network.params.clone();
    let (first, linger) = (Epoch::new(0), Span::from_secs(3));
    // Nobody else issues descriptors: the document stays in force for want of another, with its
    // keys, and for so long as documents do.
    let over = world.node.view().counts_until(&params, first);
    let removed = |world: &World| -> Vec<Time> {
        let of_first = world.removed.iter().filter(|(_, epoch)| *epoch == first);
        of_first.map(|(at, _)| *at).collect()
    };
    world.run_for((over + linger).since(world.now) - Span::from_millis(1));
    assert!(removed(&world).is_empty(), "packets may still name it");
    world.run_for(Span::from_secs(1));
    assert_eq!(removed(&world), [over + linger]);
}

#[test]
fn what_others_make_a_node_write_delays_no_key_and_no_number() {
    let mut world = World::trusting(Role::Mix);
    let epoch = world.network.params.epoch;
    // A disk that takes for ever, and a flood of descriptors from more and more identities.
    world.disk = Disk::Hangs;
    world.groups.clear();
    for number in 0..200 {
        world.gossip(number, 1);
    }
    assert_eq!(world.groups, [(1, false)], "one group at a time");
    // The next epoch's key and the number of the next descriptor are not behind them.
    world.run_for(epoch.scale(13, 10));
    let own: Vec<_> = world.groups.iter().filter(|(_, own)| *own).collect();
    assert_eq!(own.len(), 1, "{:?}", world.groups);
    assert_eq!(world.published, 1);
    world.disk = Disk::Works;
    for ticket in std::mem::take(&mut world.pending) {
        world.input(NodeInput::Persisted { ticket });
    }
    assert_eq!(world.published, 2);
    // What came meanwhile went together.
    let largest = world.groups.iter().map(|(changes, _)| *changes).max();
    assert!(largest >= Some(199), "{:?}", world.groups);
}

#[test]
fn a_flood_of_one_identity_is_written_once_in_a_twentieth_of_an_epoch() {
    let mut world = World::trusting(Role::Mix);
    world.groups.clear();
    let jobs = world.jobs;
    for sequence in 1..=300 {
        world.gossip(7, sequence);
        world.run_for(Span::from_secs(1));
    }
    // Four in 300 s, three of them at once, each but the last of which goes when another comes.
    let written: usize = world.groups.iter().map(|(changes, _)| changes).sum();
    assert_eq!(written, 7, "{:?}", world.groups);
    assert!(world.jobs - jobs <= 5, "nor are others' signatures checked");
    assert_eq!(world.node.directory_counters().too_soon, 296);
}

#[test]
fn keys_are_deleted_by_their_deadline_through_a_flood() {
    let mut world = World::new(Role::Mix, true);
    let params = world.network.params.clone();
    let first = Epoch::new(0);
    let over = world.node.view().counts_until(&params, first) + Span::from_secs(3);
    world.run_for(over.since(world.now) - Span::from_secs(20));
    // Every 20 ms somebody new, and whoever was there says more.
    for number in 0..1500 {
        world.gossip(number, number + 1);
        world.gossip(7, 10_000 + number);
        world.run_for(Span::from_millis(20));
    }
    let of_first = world.removed.iter().filter(|(_, epoch)| *epoch == first);
    let removed: Vec<Time> = of_first.map(|(at, _)| *at).collect();
    assert_eq!(removed, [over]);
}

#[test]
fn who_asks_badly_is_answered_nothing() {
    let mut world = World::new(Role::Mix, true);
    for (number, bytes) in [&[0x78, 0x01][..], &[0x18, 0x00], &[0xff; 2], &[0x12, 1, 9]]
        .into_iter()
        .enumerate()
    {
        world.ask(peer(number as u8 + 1), number as u64, bytes);
    }
    assert!(world.answers.is_empty());
    assert_eq!(world.refused.len(), 4);
    assert_eq!(world.node.directory_counters().malformed, 4);
    // That costs as much as a long answer: it is soon refused without being read.
    for number in 0..2000 {
        world.input(NodeInput::Connected(peer(9)));
        world.ask(peer(9), 100 + number, &[0x78, 0x01]);
        world.run_for(Span::from_millis(1));
    }
    assert!(world.answers.is_empty());
    let read = world.node.directory_counters().malformed;
    assert!((256..300).contains(&read), "16 MiB at 64 kB each: {read}");
}

#[test]
fn who_asks_too_much_uses_up_the_part_of_its_own_place() {
    let mut world = World::new(Role::Mix, true);
    assert!(world.visit(1, 1));
    let length = world.answers[0].1.len();
    let mut visits = 1;
    while world.visit(visits + 1, 1) {
        visits += 1;
        assert!(visits < 20_000, "nothing stops it");
    }
    let answered = world
        .answers
        .iter()
        .map(|(_, bytes)| bytes.len())
        .sum::<usize>();
    assert!(
        answered <= (16 << 20) && answered > (16 << 20) / 2,
        "{answered} of {length}"
    );
    // Everybody else is answered as before, and it, too, after a while: 128 KiB a second.
    assert!(world.visit(100_000, 2));
    assert!(!world.visit(100_001, 1));
    let waited = world.answers.len();
    world.run_for(Span::from_secs(3));
    assert!(
        world.answers.len() > waited,
        "what waits is answered in its turn"
    );
    assert!(world.visit(100_002, 2), "others do not wait for it");
    // Each that was asked is answered or refused.
    world.run_for(Span::from_secs(10));
    let figures = world.node.figures(world.now);
    assert_eq!(
        world.refused.len() as u64,
        figures.node.over_budget + figures.node.refused
    );
    assert_eq!(
        world.answers.len() + world.refused.len(),
        visits as usize + 4
    );
}
