//! A node before a scripted disk and network: what is said when, and what is not.

use std::sync::Arc;

use prost::Message as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use shoal_packet::{Engine, Frame};
use shoal_proto::{ClientHandle, Epoch, NodeId, Span, Time, wire};
use shoal_provider::{MemoryStore, Store as _, StoreLimits};
use shoal_roles::RequestKind;
use shoal_roles::node::{Node, NodeAction, NodeEvent, NodeInput, NodeSetup, Trouble};
use shoal_topology::sample::Network;
use shoal_topology::{DirectoryChange, LocalNode, NetworkParameters, Restored, Role, Ticket};

/// What the scripted disk does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disk {
    Works,
    Fails,
    /// It takes for ever.
    Hangs,
}

struct World {
    network: Network,
    node: Node,
    now: Time,
    disk: Disk,
    store: MemoryStore,
    published: usize,
    answers: Vec<(Ticket, Vec<u8>)>,
    refused: Vec<Ticket>,
    events: Vec<NodeEvent>,
    removed: Vec<(Time, Epoch)>,
    down: usize,
    hung_up: Vec<NodeId>,
    drained: bool,
    /// Tickets of changes that a disk which hangs has not written.
    pending: Vec<u64>,
}

impl World {
    /// A node that restarts into a network of nine with a document in force; `with_key` says whether
    /// its disk still has its key.
    fn new(role: Role, with_key: bool) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut network = Network::new(&mut rng, NetworkParameters::example(), 2, 3);
        let document = network.document(&mut rng, Epoch::new(0), None).unwrap();
        let now = network.params.genesis + Span::from_secs(10);
        let id = network.ids(role).next().unwrap();
        let own = network.nodes.remove(&id).unwrap();
        let member = document.member(&id).unwrap();
        let local = LocalNode {
            identity: Arc::new(own.identity),
            role,
            addresses: member.addresses.clone(),
            family: String::new(),
            capacity_class: 0,
            storage_mib: 0,
        };
        let secret = own.keys.secret(Epoch::new(0)).unwrap().to_bytes();
        let keys = with_key.then(|| (Epoch::new(0), secret));
        let setup = NodeSetup {
            params: Arc::clone(&network.params),
            local,
            relay: Default::default(),
            provider: Default::default(),
            engine: Engine::best(),
            restored: Restored {
                keys: keys.into_iter().collect(),
                documents: vec![document.encode().into()],
                ..Restored::default()
            },
            tags: Vec::new(),
        };
        let mut world = Self {
            node: Node::new(setup, &mut rng, now),
            network,
            now,
            disk: Disk::Works,
            store: MemoryStore::new(StoreLimits::default()),
            published: 0,
            answers: Vec::new(),
            refused: Vec::new(),
            events: Vec::new(),
            removed: Vec::new(),
            down: 0,
            hung_up: Vec::new(),
            drained: false,
            pending: Vec::new(),
        };
        world.settle();
        world
    }

    fn input(&mut self, input: NodeInput) {
        self.node.handle_input(self.now, input);
        self.settle();
    }

    fn run_for(&mut self, span: Span) {
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
            NodeAction::Persist { ticket, change } => self.write(ticket, change),
            NodeAction::Job(job) => self.node.handle_input(now, NodeInput::Done(job.run())),
            NodeAction::Publish(_) => self.published += 1,
            NodeAction::Request { to, .. } => {
                self.node
                    .handle_input(now, NodeInput::RequestFailed { from: to });
            }
            NodeAction::Respond { to, bytes } => self.answers.push((to, bytes)),
            NodeAction::Refuse { to } => self.refused.push(to),
            NodeAction::Event(event) => self.events.push(event),
            NodeAction::Drained => self.drained = true,
            _ => {}
        }
    }

    fn write(&mut self, ticket: u64, change: DirectoryChange) {
        if let DirectoryChange::RemoveKey { epoch } = &change {
            self.removed.push((self.now, *epoch));
        }
        let told = match self.disk {
            Disk::Works => NodeInput::Persisted { ticket },
            Disk::Fails => NodeInput::PersistFailed { ticket, change },
            Disk::Hangs => return self.pending.push(ticket),
        };
        self.node.handle_input(self.now, told);
    }

    /// Links to everybody whom it sends to.
    fn link_up(&mut self) {
        let document = self.node.view().documents.values().next_back().unwrap();
        let ids: Vec<NodeId> = document.members().map(|member| member.id).collect();
        for id in ids {
            self.input(NodeInput::LinkUp(id));
        }
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

    fn troubles(&mut self) -> Vec<Trouble> {
        self.node.troubles(self.now)
    }

    fn is_ready(&self) -> bool {
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
    waits.run_for(Span::from_secs(9));
    assert!(!waits.is_ready());
    waits.run_for(Span::from_secs(2));
    assert!(waits.is_ready());
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
fn a_replay_log_that_fails_is_a_reason_and_it_heals() {
    let mut world = World::new(Role::Mix, true);
    world.link_up();
    assert!(world.is_ready());
    world.input(NodeInput::TagsFailed);
    assert_eq!(world.troubles(), [Trouble::ReplayLog]);
    assert!(!world.is_ready());
    assert_eq!(world.node.figures(world.now).node.replay_log, 1);
    world.input(NodeInput::TagsDurable { upto: 1 });
    assert!(world.is_ready());
}

#[test]
fn nobody_hears_of_a_descriptor_whose_number_is_not_on_disk() {
    let mut world = World::new(Role::Mix, true);
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
fn what_could_not_be_saved_is_a_reason_and_tried_again() {
    let mut world = World::new(Role::Mix, true);
    world.link_up();
    world.disk = Disk::Fails;
    world.run_for(world.network.params.epoch.scale(3, 2));
    assert!(world.troubles().contains(&Trouble::Directory));
    assert_eq!(world.published, 1);
    world.disk = Disk::Works;
    world.run_for(Span::from_secs(10));
    assert!(!world.troubles().contains(&Trouble::Directory));
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
            // 3.6 a second are in the profile.
            if sends {
                let frame = Frame::filler(&mut rng, Epoch::new(0).byte());
                passed[index] += usize::from(intake.admit(now, from, frame).is_some());
            }
        }
    }
    // Twice the rate for 10 s, and the burst.
    assert!((130..=140).contains(&passed[0]), "{passed:?}");
    assert_eq!(passed[1], 10_000_usize.div_ceil(277));
    let books = world.node.figures(world.now).books;
    assert_eq!(
        books.dropped(shoal_mix::DropReason::OverRate),
        10_000 - passed[0] as u64
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
        bytes: Vec::new(),
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
            bytes: Vec::new(),
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
