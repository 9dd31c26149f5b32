use std::sync::Arc;

use shoal_client::{Address, ClientEvent};
use shoal_packet::Frame;
use shoal_proto::{ClientHandle, Epoch, NodeId, Span, Time};
use shoal_topology::{NetworkParameters, View};

use crate::audit::{Audit, Parts};
use crate::builder::NetworkBuilder;
use crate::client::ClientHost;
use crate::node::Node;
use crate::observe::{Observation, Observer};
use crate::trace::{Kind, TraceEvent, TraceHash};
use crate::world::{Event, Job, Lane, World};
use crate::{Imbalance, Party, SimulationError};

/// Something that a client told its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: Time,
    /// Which client.
    pub client: Party,
    /// What.
    pub event: ClientEvent,
}

/// A whole network in virtual time.
///
/// Built by [`Network::builder`]. Nothing happens but in [`run_until`](Self::run_until) and its
/// kin; one seed and the same calls give the same trace. Memory grows with the happenings, with
/// what is in flight, and with the trace if it is kept.
pub struct Network {
    world: World,
    nodes: Vec<Node>,
    clients: Vec<ClientHost>,
    mixes: usize,
    observer: Observer,
    happenings: Vec<Happening>,
    next_request: u64,
}

impl Network {
    /// A network to be built from a seed.
    #[must_use]
    pub fn builder(seed: u64) -> NetworkBuilder {
        NetworkBuilder::new(seed)
    }

    pub(crate) fn assemble(
        mut world: World,
        nodes: Vec<Node>,
        clients: Vec<ClientHost>,
        mixes: usize,
        observe: bool,
    ) -> Result<Self, SimulationError> {
        world.ids = nodes.iter().map(|node| node.id).collect();
        world.parties = nodes.iter().map(|node| (node.id, node.party)).collect();
        let mut network = Self {
            world,
            nodes,
            clients,
            mixes,
            observer: Observer::new(observe),
            happenings: Vec::new(),
            next_request: 1,
        };
        for party in network.nodes().chain(network.clients()).collect::<Vec<_>>() {
            network.start(party)?;
        }
        Ok(network)
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.world.now
    }

    /// The network's parameters.
    #[must_use]
    pub const fn params(&self) -> &Arc<NetworkParameters> {
        &self.world.params
    }

    /// The epoch now.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.world.params.epoch_at(self.world.now)
    }

    /// All nodes: mixes, then providers.
    pub fn nodes(&self) -> impl Iterator<Item = Party> + use<> {
        parties(0, self.nodes.len())
    }

    /// The mixes.
    pub fn mixes(&self) -> impl Iterator<Item = Party> + use<> {
        parties(0, self.mixes)
    }

    /// The providers.
    pub fn providers(&self) -> impl Iterator<Item = Party> + use<> {
        parties(self.mixes, self.nodes.len())
    }

    /// The clients.
    pub fn clients(&self) -> impl Iterator<Item = Party> + use<> {
        parties(self.nodes.len(), self.nodes.len() + self.clients.len())
    }

    /// The identity of a node; none for a client.
    #[must_use]
    pub fn id(&self, party: Party) -> Option<NodeId> {
        self.world.ids.get(party.index()).copied()
    }

    /// The node of this identity.
    #[must_use]
    pub fn party(&self, id: &NodeId) -> Option<Party> {
        self.world.parties.get(id).copied()
    }

    /// The documents that a node knows; none while it is down, and for clients.
    #[must_use]
    pub fn view(&self, party: Party) -> Option<&Arc<View>> {
        self.nodes.get(party.index())?.view()
    }

    /// The entry provider of a client.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] for a node.
    pub fn entry(&self, client: Party) -> Result<Party, SimulationError> {
        Ok(self.client(client)?.entry)
    }

    /// The handle of the connection that a client is attached by; none if it is not attached.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] for a node.
    pub fn handle(&self, client: Party) -> Result<Option<ClientHandle>, SimulationError> {
        Ok(self.client(client)?.connection().map(|connection| connection.handle))
    }

    /// Has a client attach now, and again whenever its connection is gone; or detach.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] for a node, or a fault of a core.
    pub fn set_online(&mut self, client: Party, online: bool) -> Result<(), SimulationError> {
        let world = &mut self.world;
        host(&mut self.clients, self.nodes.len(), client)?.set_online(online, world);
        self.settle(client)
    }

    /// Has a client send a text to another; the number names the request in
    /// [`ClientEvent::Accepted`].
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] unless both are clients that are up.
    pub fn send(
        &mut self,
        from: Party,
        to: Party,
        text: impl Into<Vec<u8>>,
    ) -> Result<u64, SimulationError> {
        let address = self.address(to)?;
        self.send_to(from, address, text)
    }

    /// Has a client send a text to an address.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] unless it is a client that is up.
    pub fn send_to(
        &mut self,
        from: Party,
        to: Address,
        text: impl Into<Vec<u8>>,
    ) -> Result<u64, SimulationError> {
        let (request, now) = (self.next_request, self.world.now);
        let client = host(&mut self.clients, self.nodes.len(), from)?;
        if !client.send(request, to, text.into(), now) {
            return Err(SimulationError::WrongParty { party: from, expected: "a client that is up" });
        }
        self.next_request += 1;
        self.settle(from)?;
        Ok(request)
    }

    /// The address that a client hands out.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] unless it is a client that is up.
    pub fn address(&self, client: Party) -> Result<Address, SimulationError> {
        let address = self.client(client)?.address(self.world.now);
        address
            .ok_or(SimulationError::WrongParty { party: client, expected: "a client that is up" })
    }

    /// Has a client put this frame on its uplink at once, and skip the core's next frame: a
    /// client broken on purpose, to see that a test can fail. False if it is not attached.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] for a node.
    pub fn send_at_once(&mut self, client: Party, frame: Frame) -> Result<bool, SimulationError> {
        let world = &mut self.world;
        Ok(host(&mut self.clients, self.nodes.len(), client)?.send_at_once(frame, world))
    }

    /// Ends a party's process without warning: only its disk survives, and of what the disk was
    /// just writing all or nothing.
    pub fn crash(&mut self, party: Party) {
        if let Some(node) = self.nodes.get_mut(party.index()) {
            node.crash(&mut self.world);
        } else if let Ok(client) = host(&mut self.clients, self.nodes.len(), party) {
            client.crash(&mut self.world);
        }
    }

    /// Starts a party's process from what its disk has, unless it is up.
    ///
    /// # Errors
    /// When a client's rows do not make a client, or a core is at fault.
    pub fn start(&mut self, party: Party) -> Result<(), SimulationError> {
        if let Some(node) = self.nodes.get_mut(party.index()) {
            node.start(&mut self.world);
        } else {
            host(&mut self.clients, self.nodes.len(), party)?.start(&mut self.world)?;
        }
        self.settle(party)
    }

    /// Whether a party's process is up.
    #[must_use]
    pub fn is_up(&self, party: Party) -> bool {
        self.world.is_up(party)
    }

    /// Has everything happen that happens up to `until`, and moves the time there.
    ///
    /// # Errors
    /// A fault of a core.
    pub fn run_until(&mut self, until: Time) -> Result<(), SimulationError> {
        while self.world.queue.next_time().is_some_and(|at| at <= until) {
            self.step()?;
        }
        self.world.now = self.world.now.max(until);
        Ok(())
    }

    /// Has everything happen that happens within this time.
    ///
    /// # Errors
    /// A fault of a core.
    pub fn run_for(&mut self, span: Span) -> Result<(), SimulationError> {
        self.run_until(self.world.now + span)
    }

    /// Runs until `done` says so, looking after every event; false if it has not after `limit`.
    ///
    /// # Errors
    /// A fault of a core.
    pub fn run_until_done(
        &mut self,
        limit: Span,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<bool, SimulationError> {
        let until = self.world.now + limit;
        loop {
            if done(self) {
                return Ok(true);
            }
            if self.world.queue.next_time().is_none_or(|at| at > until) {
                self.world.now = self.world.now.max(until);
                return Ok(false);
            }
            self.step()?;
        }
    }

    /// Runs until every node that is up has the document of the epoch now, has every client that
    /// is up go online, and runs on until all are attached; false if that takes longer than
    /// `limit`.
    ///
    /// # Errors
    /// A fault of a core.
    pub fn bring_up(&mut self, limit: Span) -> Result<bool, SimulationError> {
        let until = self.world.now + limit;
        let listed = |network: &Self| network.nodes.iter().all(|node| network.is_listed(node));
        if !self.run_until_done(limit, listed)? {
            return Ok(false);
        }
        for client in self.clients().filter(|client| self.is_up(*client)).collect::<Vec<_>>() {
            self.set_online(client, true)?;
        }
        let attached = |network: &Self| {
            let mut clients = network.clients.iter();
            clients.all(|c| c.connection().is_some() || !network.is_up(c.party))
        };
        self.run_until_done(until.since(self.world.now), attached)
    }

    fn is_listed(&self, node: &Node) -> bool {
        let (params, now) = (&self.world.params, self.world.now);
        match node.view() {
            Some(view) => view.current(params, now).is_some_and(|d| d.member(&node.id).is_some()),
            None => true,
        }
    }

    /// Ends every process and lets the links run empty: nothing is in flight or inside after it.
    ///
    /// # Errors
    /// A fault of a core.
    pub fn stop(&mut self) -> Result<(), SimulationError> {
        for party in self.nodes().chain(self.clients()).collect::<Vec<_>>() {
            self.crash(party);
        }
        while !self.world.queue.is_empty() {
            self.step()?;
        }
        Ok(())
    }

    /// What clients told their users, oldest first.
    #[must_use]
    pub fn happenings(&self) -> &[Happening] {
        &self.happenings
    }

    /// The same, and forgets it.
    pub fn take_happenings(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.happenings)
    }

    /// What the trace is so far, in 32 bytes.
    #[must_use]
    pub fn trace_hash(&self) -> TraceHash {
        self.world.trace.hash()
    }

    /// How many lines the trace has so far.
    #[must_use]
    pub fn trace_lines(&self) -> u64 {
        self.world.trace.count()
    }

    /// The trace so far; empty unless [`NetworkBuilder::keep_trace`] was called.
    #[must_use]
    pub fn trace(&self) -> &[TraceEvent] {
        self.world.trace.kept()
    }

    /// When frames were put on the link from one party to another: from the trace, which has to be
    /// kept.
    #[must_use]
    pub fn sent_at(&self, from: Party, to: Party) -> Vec<Time> {
        let sent = |line: &&TraceEvent| {
            line.kind == Kind::FrameSent && (line.party, line.other) == (from.0, to.0)
        };
        self.trace().iter().filter(sent).map(|line| line.at).collect()
    }

    /// Bytes of frames put on the link from one party to another.
    #[must_use]
    pub fn bytes(&self, from: Party, to: Party) -> u64 {
        self.world.bytes(from, to)
    }

    /// What entries saw; empty unless [`NetworkBuilder::observe`] was called.
    #[must_use]
    pub fn observations(&self) -> &[Observation] {
        self.observer.seen()
    }

    /// The books of a node, one for each process it had, the last one's last; none for a client.
    #[must_use]
    pub fn books(&self, node: Party) -> Vec<shoal_mix::Snapshot> {
        self.nodes.get(node.index()).map(Node::books).unwrap_or_default()
    }

    /// What the provider role of a node did, one for each process it had.
    #[must_use]
    pub fn provider_counters(&self, node: Party) -> Vec<shoal_provider::Counters> {
        self.nodes.get(node.index()).map(Node::provider_counters).unwrap_or_default()
    }

    /// What the directory of a node's running process did.
    #[must_use]
    pub fn directory_counters(&self, node: Party) -> Option<shoal_topology::DirectoryCounters> {
        self.nodes.get(node.index())?.directory_counters()
    }

    /// What the store of a provider holds.
    #[must_use]
    pub fn store_usage(&self, node: Party) -> Option<shoal_provider::Usage> {
        use shoal_provider::Store;
        self.nodes.get(node.index()).map(|node| node.store().usage())
    }

    /// What a client did, one for each process it had.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] for a node.
    pub fn client_counters(
        &self,
        client: Party,
    ) -> Result<Vec<shoal_client::Counters>, SimulationError> {
        Ok(self.client(client)?.counters())
    }

    /// The books of the whole network.
    #[must_use]
    pub fn audit(&self) -> Audit {
        Audit::of(&Parts { world: &self.world, nodes: &self.nodes, clients: &self.clients })
    }

    /// Whether every packet is accounted for, by the links and by those at their ends.
    ///
    /// # Errors
    /// The first sum that does not come out.
    pub fn check(&self) -> Result<Audit, Imbalance> {
        let audit = self.audit();
        audit.check().map(|()| audit)
    }

    fn client(&self, party: Party) -> Result<&ClientHost, SimulationError> {
        let index = party.index().checked_sub(self.nodes.len());
        index
            .and_then(|index| self.clients.get(index))
            .ok_or(SimulationError::WrongParty { party, expected: "a client" })
    }

    fn settle(&mut self, party: Party) -> Result<(), SimulationError> {
        if let Some(node) = self.nodes.get_mut(party.index()) {
            node.settle(&mut self.world)
        } else {
            let happenings = &mut self.happenings;
            host(&mut self.clients, self.nodes.len(), party)?.settle(&mut self.world, happenings)
        }
    }

    /// Has the next event happen.
    fn step(&mut self) -> Result<(), SimulationError> {
        let Some((at, event)) = self.world.queue.pop() else { return Ok(()) };
        self.world.now = at;
        let party = event.party();
        let first_client = self.nodes.len();
        if let Some(node) = self.nodes.get_mut(party.index()) {
            if !happen_to_node(node, event, &mut self.world, &mut self.observer) {
                return Ok(());
            }
        } else {
            let client = host(&mut self.clients, first_client, party)?;
            if !happen_to_client(client, event, &mut self.world, &mut self.observer) {
                return Ok(());
            }
        }
        self.settle(party)
    }
}

impl Event {
    /// Whom it happens to.
    const fn party(&self) -> Party {
        match self {
            Self::Wake { party }
            | Self::AskTimeout { party, .. }
            | Self::Neighbour { party, .. }
            | Self::Disk { party, .. }
            | Self::Gone { party, .. }
            | Self::Housekeeping { party, .. } => *party,
            Self::Frame { to, .. }
            | Self::Gossip { to, .. }
            | Self::Ask { to, .. }
            | Self::Answer { to, .. } => *to,
            Self::Attach { connection, .. } => connection.entry,
            Self::AttachAnswer { connection, .. } => connection.client,
        }
    }
}

/// False if nothing follows from it.
fn happen_to_node(
    node: &mut Node,
    event: Event,
    world: &mut World,
    observer: &mut Observer,
) -> bool {
    match event {
        Event::Wake { .. } => return node.woken(world.now),
        Event::Frame { from, lane, frame, .. } => node.frame(from, lane, frame, world, observer),
        Event::Gossip { from, bytes, .. } => node.gossip(from, &bytes, world),
        Event::Ask { from, number, request, .. } => node.asked(from, number, request, world),
        Event::Answer { number, response, .. } => node.answered(number, Some(response), world),
        Event::AskTimeout { number, .. } => node.answered(number, None, world),
        Event::Neighbour { other, there, .. } => node.neighbour(other, there, world),
        Event::Disk { incarnation, job, .. } => node.written(incarnation, job, world),
        Event::Attach { connection, profile } => node.attach(connection, profile, world),
        Event::Gone { connection, .. } => node.detached(&connection, world),
        Event::AttachAnswer { .. } | Event::Housekeeping { .. } => return false,
    }
    true
}

/// False if nothing follows from it.
fn happen_to_client(
    client: &mut ClientHost,
    event: Event,
    world: &mut World,
    observer: &mut Observer,
) -> bool {
    match event {
        Event::Wake { .. } => return client.woken(world.now),
        Event::Frame { from, lane, frame, .. } => client.frame(from, lane, frame, world, observer),
        Event::Answer { number, response, .. } => client.answered(number, response, world),
        Event::Disk { incarnation, job: Job::Rows, .. } => client.written(incarnation, world),
        Event::AttachAnswer { connection, accepted } => {
            client.attach_answered(&connection, accepted, world);
        }
        Event::Gone { connection, .. } => client.gone(&connection, world),
        Event::Housekeeping { incarnation, .. } => client.housekeeping(incarnation, world),
        _ => return false,
    }
    true
}

fn host(
    clients: &mut [ClientHost],
    nodes: usize,
    party: Party,
) -> Result<&mut ClientHost, SimulationError> {
    let index = party.index().checked_sub(nodes);
    index
        .and_then(|index| clients.get_mut(index))
        .ok_or(SimulationError::WrongParty { party, expected: "a client" })
}

fn parties(from: usize, to: usize) -> impl Iterator<Item = Party> {
    (from..to).filter_map(|index| u32::try_from(index).ok()).map(Party)
}

/// Frames on links, counted one by one.
pub(crate) fn frames_in_queue(world: &World) -> (u64, u64, u64) {
    let mut counts = (0, 0, 0);
    for event in world.queue.iter() {
        if let Event::Frame { lane, .. } = event {
            match lane {
                Lane::Members(_) => counts.0 += 1,
                Lane::Uplink(_) => counts.1 += 1,
                Lane::Downlink(_) => counts.2 += 1,
            }
        }
    }
    counts
}
