//! A running node: the composition, and what carries its frames, gossip, questions and writes.

use std::collections::BTreeSet;
use std::sync::Arc;

use shoal_mix::{DropReason, Passage, Processed, ProcessedKind};
use shoal_packet::{Batch, Frame};
use shoal_proto::{ClientHandle, NodeId, Span, Time};
use shoal_roles::RequestKind;
use shoal_roles::node::{Node, NodeAction, NodeEvent, NodeInput, Place};
use shoal_topology::{Address, Dialled, Ticket, Verdict, View};

use super::gossip::Gossip;
use super::questions::Questions;
use super::visitors::Visitors;
use super::writes::Writes;
use crate::bits::Bits;
use crate::disk::NodeDisk;
use crate::error::SimulationError;
use crate::event::{Asker, Connection, DiskJob, Event, Lane, Rumour};
use crate::flow::Flow;
use crate::observe::{Observation, Observer};
use crate::party::Party;
use crate::report::Notice;
use crate::trace::Kind;
use crate::world::{Fate, World, is_due};

/// What a crash ends.
pub(super) struct Process {
    party: Party,
    incarnation: u64,
    node: Node,
    neighbours: Vec<Party>,
    /// Neighbours that the node wants to be connected to.
    wanted: BTreeSet<Party>,
    /// Whom it exchanges packets with.
    packet_peers: BTreeSet<NodeId>,
    /// Members that it was told it has a link with.
    linked: Bits,
    view: Arc<View>,
    gossip: Gossip,
    questions: Questions,
    visitors: Visitors,
    writes: Writes,
    wake: Option<Time>,
    /// It was asked to stop, and everything that could leave has left.
    is_drained: bool,
}

/// How long it takes to see that a node is there, and that it is not.
const ANSWERS: Span = Span::from_millis(200);
const GIVES_UP: Span = Span::from_secs(5);

/// Whose process it is.
pub(super) struct Birth {
    pub(super) party: Party,
    pub(super) incarnation: u64,
    pub(super) neighbours: Vec<Party>,
}

impl Process {
    pub(super) fn new(birth: Birth, node: Node) -> Self {
        Self {
            party: birth.party,
            incarnation: birth.incarnation,
            node,
            neighbours: birth.neighbours,
            wanted: BTreeSet::new(),
            packet_peers: BTreeSet::new(),
            linked: Bits::default(),
            view: Arc::default(),
            gossip: Gossip::default(),
            questions: Questions::default(),
            visitors: Visitors::default(),
            writes: Writes::new(),
            wake: None,
            is_drained: false,
        }
    }

    pub(super) const fn is_drained(&self) -> bool {
        self.is_drained
    }

    pub(super) const fn node(&self) -> &Node {
        &self.node
    }

    pub(super) const fn node_mut(&mut self) -> &mut Node {
        &mut self.node
    }

    pub(super) const fn writes(&mut self) -> &mut Writes {
        &mut self.writes
    }

    pub(super) fn connections(&self) -> Vec<Connection> {
        self.visitors.connections()
    }

    /// Has an event happen. False if nothing follows from it.
    pub(super) fn happen(
        &mut self,
        event: Event,
        world: &mut World,
        observer: &mut Observer,
    ) -> bool {
        let now = world.now;
        match event {
            Event::Wake { .. } => return is_due(&mut self.wake, now),
            Event::Frame {
                from, lane, frame, ..
            } => self.frame(from, lane, frame, world, observer),
            Event::Gossip { from, rumour, .. } => return self.heard(from, rumour, world),
            Event::Ask {
                by,
                number,
                kind,
                request,
                ..
            } => return self.asked(by, number, kind, request, world),
            Event::Answer {
                number, response, ..
            } => return self.answered(number, response, world),
            Event::AskTimeout { number, .. } => return self.answered(number, None, world),
            Event::Neighbour { other, there, .. } => self.neighbour(other, there, world),
            Event::Links { .. } => {
                for other in world.mesh.take_news(self.party) {
                    self.look_at_link(other, world);
                }
            }
            Event::Probed {
                incarnation,
                id,
                addresses,
                ..
            } => {
                if incarnation != self.incarnation {
                    return false;
                }
                let how = match self.reaches(&id, world) {
                    true => Dialled::Reached,
                    false => Dialled::Missed,
                };
                let at = addresses.into_iter().map(|it| (it, how)).collect();
                self.node.handle_input(now, NodeInput::Dialled { id, at });
            }
            Event::Dial { connection } => self.dialled(connection, world),
            Event::Gone { connection, .. } => return self.gone(&connection, now),
            _ => return false,
        }
        true
    }

    /// Takes a frame that came out of a link; none if it was lost there.
    fn frame(
        &mut self,
        from: Party,
        lane: Lane,
        frame: Option<Frame>,
        world: &mut World,
        observer: &mut Observer,
    ) {
        let (own, now) = (self.party, world.now);
        let Some(frame) = frame else {
            return world.land_frame(from, own, lane, Fate::Lost);
        };
        let Some(peer) = self.sender(from, lane, world) else {
            return world.land_frame(from, own, lane, Fate::Unclaimed);
        };
        world.land_frame(from, own, lane, Fate::Received);
        let number = world.flow.arrived(now, own, &frame);
        let intake = self.node.intake();
        let admitted = intake.admit(now, peer, frame);
        let unwrapped = intake
            .unwrap(now, Batch::fill(&mut admitted.into_iter()))
            .next();
        let Some(packet) = unwrapped else {
            world.flow.ends(now, number, Flow::Lost);
            return world.note(own, Kind::FrameDropped, from, 0);
        };
        match &packet.kind {
            ProcessedKind::Forward { frame, .. } => world.flow.goes_on(number, frame),
            _ => world.flow.ends(now, number, Flow::Ended { node: own }),
        }
        observe(own, from, &packet, observer);
        self.node.handle_input(now, NodeInput::Processed(packet));
    }

    /// Who a frame comes from, if it is on a link that still stands.
    fn sender(&self, from: Party, lane: Lane, world: &World) -> Option<NodeId> {
        match lane {
            Lane::Members(incarnation) => {
                let stands = incarnation == self.incarnation && world.mesh.allows(self.party, from);
                stands.then(|| world.id(from)).flatten()
            }
            Lane::Uplink(number) => self.visitors.sender(number),
            Lane::Downlink(_) => None,
        }
    }

    fn heard(&mut self, from: Party, rumour: Rumour, world: &World) -> bool {
        let bytes = Arc::clone(&rumour.bytes);
        let (Some(id), Some(ticket)) = (world.id(from), self.gossip.heard(from, rumour)) else {
            return false;
        };
        let input = NodeInput::Gossip {
            from: id,
            ticket,
            bytes: bytes.to_vec(),
        };
        self.node.handle_input(world.now, input);
        true
    }

    fn judged(&mut self, ticket: Ticket, verdict: Verdict, world: &mut World) {
        let Some((from, rumour)) = self.gossip.judged(ticket) else {
            return;
        };
        world.note(self.party, Kind::GossipReceived, from, verdict as u64);
        if verdict == Verdict::Accept {
            self.gossip.spread(self.party, &rumour, Some(from), world);
        }
    }

    fn publish(&mut self, bytes: Vec<u8>, world: &mut World) {
        let rumour = world.rumour(bytes);
        if !self.gossip.publish(self.party, &rumour, world) {
            self.node.handle_input(world.now, NodeInput::PublishFailed);
        }
    }

    fn asked(
        &mut self,
        by: Asker,
        number: u64,
        kind: RequestKind,
        bytes: Vec<u8>,
        world: &World,
    ) -> bool {
        let from = match by {
            Asker::Node(party) => world.id(party),
            Asker::Client(connection) => {
                let stands = self.visitors.stands(&connection);
                stands.then_some(connection.peer)
            }
        };
        let Some(from) = from else { return false };
        let input = NodeInput::Request {
            from,
            kind,
            ticket: self.questions.asked(number, by, kind),
            bytes,
        };
        self.node.handle_input(world.now, input);
        true
    }

    fn answered(&mut self, number: u64, response: Option<Vec<u8>>, world: &mut World) -> bool {
        let Some(other) = self.questions.answered(number) else {
            return false;
        };
        let Some(from) = world.id(other) else {
            return false;
        };
        let input = match response {
            Some(bytes) => NodeInput::Response { from, bytes },
            None => {
                world.note(self.party, Kind::SyncFailed, other, 0);
                NodeInput::RequestFailed { from }
            }
        };
        self.node.handle_input(world.now, input);
        true
    }

    fn ask(&mut self, to: &NodeId, request: Vec<u8>, world: &mut World) {
        match world.parties.get(to).copied() {
            Some(party) => self.questions.ask(self.party, party, request, world),
            None => {
                let input = NodeInput::RequestFailed { from: *to };
                self.node.handle_input(world.now, input);
            }
        }
    }

    fn neighbour(&mut self, other: Party, there: bool, world: &World) {
        let Some(id) = world.id(other) else { return };
        if !self.gossip.neighbour(other, there) {
            return;
        }
        if there {
            return self.node.handle_input(world.now, NodeInput::Connected(id));
        }
        self.node
            .handle_input(world.now, NodeInput::Disconnected(id));
        // No link outlives that; if there is one again, it is a new one.
        self.linked.remove(other.index());
        self.look_at_link(other, world);
    }

    /// Tells the node of its link with another, if that is news.
    fn look_at_link(&mut self, other: Party, world: &World) {
        let Some(id) = world.id(other) else { return };
        let up = world.linked(self.party, other);
        let (news, input) = match up {
            true => (self.linked.insert(other.index()), NodeInput::LinkUp(id)),
            false => (self.linked.remove(other.index()), NodeInput::LinkDown(id)),
        };
        if news {
            self.node.handle_input(world.now, input);
        }
    }

    fn dialled(&mut self, connection: Connection, world: &mut World) {
        self.visitors.connect(connection);
        // Each client is at another place.
        let located = NodeInput::Located {
            peer: connection.peer,
            place: Place(connection.client.0.into()),
        };
        self.node.handle_input(world.now, located);
        self.node
            .handle_input(world.now, NodeInput::Connected(connection.peer));
        world.signal(self.party, connection.client, Event::Dialled { connection });
    }

    /// A client's connection is gone. False if it was before.
    fn gone(&mut self, connection: &Connection, now: Time) -> bool {
        let was_there = self.visitors.disconnect(connection);
        if was_there {
            self.questions.forget(connection.number);
            self.node
                .handle_input(now, NodeInput::Disconnected(connection.peer));
        }
        was_there
    }

    /// Closes the connection with a client.
    fn hang_up(&mut self, peer: &NodeId, world: &mut World) {
        if let Some(connection) = self.visitors.of(peer) {
            let party = connection.client;
            world.signal(self.party, party, Event::Gone { party, connection });
            self.gone(&connection, world.now);
        }
    }

    /// The disk has done a job, or could not.
    pub(super) fn written(
        &mut self,
        incarnation: u64,
        job: DiskJob,
        world: &mut World,
        disk: &mut NodeDisk,
    ) {
        if incarnation != self.incarnation {
            return;
        }
        let told = if world.conditions.disk_fails(self.party) {
            world.note_own(self.party, Kind::DiskFailed, job as u64);
            self.writes.fail(job)
        } else {
            let (kind, detail, told) = self.writes.apply(job, world.now, disk);
            world.note_own(self.party, kind, detail);
            told
        };
        for input in told {
            self.node.handle_input(world.now, input);
        }
    }

    /// Does what the node wants done, and sets the next wake.
    pub(super) fn settle(
        &mut self,
        world: &mut World,
        notices: &mut Vec<Notice>,
    ) -> Result<(), SimulationError> {
        while let Some(action) = self.node.poll_action(world.now) {
            if let NodeAction::Event(event) = action {
                self.note(&event, world);
                notices.push(Notice {
                    at: world.now,
                    node: self.party,
                    event,
                });
            } else {
                self.act(action, world);
            }
        }
        self.note_view(world);
        self.writes.begin(self.party, self.incarnation, world);
        world.wake(self.party, self.node.poll_deadline(), &mut self.wake)
    }

    fn act(&mut self, action: NodeAction, world: &mut World) {
        match action {
            NodeAction::Send { to, frame, passage } => self.send(&to, frame, passage, world),
            NodeAction::SendDown { to, handle, frame } => self.send_down(&to, handle, frame, world),
            NodeAction::LogTag {
                sequence,
                epoch,
                tag,
            } => self.writes.tag(sequence, epoch, tag),
            NodeAction::Store { ticket, op } => self.writes.operation(ticket, op),
            NodeAction::Persist { ticket, changes } => self.writes.changes(ticket, changes),
            NodeAction::Job(job) => {
                let done = world.workshop.node(job);
                self.node.handle_input(world.now, NodeInput::Done(done));
            }
            NodeAction::Publish(bytes) => self.publish(bytes, world),
            NodeAction::Verdict { of, verdict } => self.judged(of, verdict, world),
            NodeAction::Request { to, bytes } => self.ask(&to, bytes, world),
            NodeAction::Respond { to, bytes } => {
                self.questions.answer(self.party, to, Some(bytes), world);
            }
            NodeAction::Refuse { to } => self.questions.answer(self.party, to, None, world),
            NodeAction::Peers(peers) => self.meet(|id| peers.contains_key(id), world),
            NodeAction::PacketPeers(peers) => self.exchange_with(peers, world),
            NodeAction::Disconnect(peer) => self.hang_up(&peer, world),
            NodeAction::Dial { id, addresses } => self.probe(id, addresses, world),
            NodeAction::Drained => self.is_drained = true,
            // What it will come to want later changes nothing here.
            _ => {}
        }
    }

    /// Dials a node at its addresses: that takes a moment where it is there, and patience where it is not.
    fn probe(&self, id: NodeId, addresses: Vec<Address>, world: &mut World) {
        let span = match self.reaches(&id, world) {
            true => ANSWERS,
            false => GIVES_UP,
        };
        let event = Event::Probed {
            party: self.party,
            incarnation: self.incarnation,
            id,
            addresses,
        };
        world.after(span, event);
    }

    /// Whether a node that is dialled answers. All its addresses are of one machine here.
    fn reaches(&self, id: &NodeId, world: &World) -> bool {
        let other = world.parties.get(id).copied();
        other.is_some_and(|other| {
            let cut = world.conditions.cuts(self.party, other)
                || world.conditions.cuts(other, self.party);
            world.is_up(other) && !cut
        })
    }

    /// Puts a frame on the link to a member, if there is one.
    fn send(&mut self, to: &NodeId, frame: Frame, passage: Passage, world: &mut World) {
        let party = world.parties.get(to).copied();
        let linked = party.filter(|party| world.linked(self.party, *party));
        let incarnation = linked.and_then(|party| world.incarnation(party));
        if let (Some(party), Some(incarnation)) = (linked, incarnation) {
            world.send_frame(self.party, party, Lane::Members(incarnation), frame);
            passage.sent();
        } else {
            let other = party.unwrap_or(self.party);
            world.note(self.party, Kind::FrameUnreachable, other, 0);
            passage.drop_as(DropReason::Unreachable);
        }
    }

    fn send_down(&mut self, to: &NodeId, handle: ClientHandle, frame: Frame, world: &mut World) {
        match self.visitors.link_to(to) {
            Some(link) => {
                let lane = Lane::Downlink(link.number);
                world.send_frame(self.party, link.client, lane, frame);
            }
            None => {
                let input = NodeInput::LinkFull { handle };
                self.node.handle_input(world.now, input);
            }
        }
    }

    /// Connects to neighbours that the node wants to be connected to.
    fn meet(&mut self, wants: impl Fn(&NodeId) -> bool, world: &mut World) {
        let neighbours = self.neighbours.iter().copied();
        let wanted = neighbours.filter(|other| world.id(*other).is_some_and(|id| wants(&id)));
        let wanted: BTreeSet<Party> = wanted.collect();
        for other in wanted.difference(&self.wanted) {
            if world.is_up(*other) {
                world.meet(self.party, *other, true);
                world.meet(*other, self.party, true);
            }
        }
        self.wanted = wanted;
    }

    /// Makes and ends links. What costs is what has changed.
    fn exchange_with(&mut self, peers: BTreeSet<NodeId>, world: &mut World) {
        let known = std::mem::replace(&mut self.packet_peers, peers);
        for id in known.symmetric_difference(&self.packet_peers) {
            let may = self.packet_peers.contains(id);
            if let Some(party) = world.parties.get(id).copied() {
                world.allow(self.party, party, may);
            } else if self.visitors.link(self.party, id, may, world).is_some() {
                let input = match may {
                    true => NodeInput::LinkUp(*id),
                    false => NodeInput::LinkDown(*id),
                };
                self.node.handle_input(world.now, input);
            }
        }
    }

    fn note(&self, event: &NodeEvent, world: &mut World) {
        let (kind, detail) = match event {
            NodeEvent::Ready { layer, .. } => (Kind::Ready, u64::from(*layer)),
            NodeEvent::NotReady(troubles) => (Kind::NotReady, troubles.len() as u64),
            NodeEvent::LoopsLost(_)
            | NodeEvent::LoopsBack(_)
            | NodeEvent::LogSlow { .. }
            | NodeEvent::LogQuick => (Kind::Alarm, 0),
            _ => (Kind::Reported, 0),
        };
        world.note_own(self.party, kind, detail);
    }

    fn note_view(&mut self, world: &mut World) {
        let view = self.node.view();
        if !Arc::ptr_eq(view, &self.view) {
            let newest = view.documents.keys().next_back();
            let newest = newest.map_or(0, |epoch| epoch.number());
            self.view = Arc::clone(view);
            world.note_own(self.party, Kind::View, newest);
        }
    }
}

/// Notes what the entry can see of a packet for one of its clients.
fn observe(entry: Party, from: Party, packet: &Processed, observer: &mut Observer) {
    let ProcessedKind::Final(delivery) = &packet.kind else {
        return;
    };
    let handle = ClientHandle::new(delivery.destination);
    if observer.enabled() && (observer.knows(&handle) || delivery.plaintext.is_none()) {
        observer.saw(Observation {
            entry,
            from,
            arrival: packet.arrival,
            epoch_byte: packet.epoch.byte(),
            destination: delivery.destination,
            id: delivery.id,
            payload: delivery.payload.clone(),
            readable: delivery.plaintext.is_some(),
            truth: None,
        });
    }
}
