//! A whole network, and what drives it.

use std::sync::Arc;

use shoal_client::{Invitation, Label, PeerKey, UserRequest};
use shoal_packet::Frame;
use shoal_proto::{Epoch, Span, Time};
use shoal_roles::node::Trouble;
use shoal_topology::NetworkParameters;

use crate::client::ClientHost;
use crate::error::SimulationError;
use crate::faults::Faults;
use crate::mesh::Mesh;
use crate::node::NodeHost;
use crate::observe::Observer;
use crate::party::Party;
use crate::report::{Happening, Notice};
use crate::world::World;

/// Clients that go online at one moment, and how long after them the next ones do: what many are
/// told about a large network at once does not fit in memory.
const WAVE: (usize, Span) = (64, Span::from_millis(200));

/// A whole network in virtual time.
///
/// Built by [`Network::builder`](crate::NetworkBuilder). Nothing happens but in [`run_until`](Self::run_until) and its
/// kin; one seed and the same calls give the same trace. Memory grows with the happenings, with
/// what is in flight, and with the trace if it is kept.
pub struct Network {
    pub(crate) world: World,
    pub(crate) nodes: Vec<NodeHost>,
    pub(crate) clients: Vec<ClientHost>,
    mixes: usize,
    pub(crate) observer: Observer,
    pub(crate) faults: Faults,
    happenings: Vec<Happening>,
    notices: Vec<Notice>,
    next_request: u64,
    events: u64,
}

impl Network {
    pub(crate) fn assemble(
        mut world: World,
        nodes: Vec<NodeHost>,
        clients: Vec<ClientHost>,
        mixes: usize,
        observe: bool,
    ) -> Result<Self, SimulationError> {
        world.mesh = Mesh::new(nodes.len());
        world.ids = nodes.iter().map(|node| node.id).collect();
        world.parties = nodes.iter().map(|node| (node.id, node.party)).collect();
        let mut network = Self {
            world,
            nodes,
            clients,
            mixes,
            observer: Observer::new(observe),
            faults: Faults::default(),
            happenings: Vec::new(),
            notices: Vec::new(),
            next_request: 1,
            events: 0,
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

    /// Has a client attach now, and again whenever its connection is gone; or detach.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] for a node, or a fault of a core.
    pub fn set_online(&mut self, client: Party, online: bool) -> Result<(), SimulationError> {
        let now = self.world.now;
        host(&mut self.clients, self.nodes.len(), client)?.set_online(online, now);
        self.settle(client)
    }

    /// Has a client send a text to another; the number names the request in
    /// [`ClientEvent::Accepted`](shoal_client::ClientEvent::Accepted).
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] unless both are clients that are up.
    pub fn send(
        &mut self,
        from: Party,
        to: Party,
        text: impl Into<Vec<u8>>,
    ) -> Result<u64, SimulationError> {
        let whom = self.public_key(to)?;
        if self.client(from)?.knows(&whom) {
            return self.send_to(from, whom, text);
        }
        let invitation = self.invite(to)?;
        self.send_by(from, &invitation, text)
    }

    /// Has a client send a text to who made an invitation, which it accepts with that if it does not know him.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] unless it is a client that is up.
    pub fn send_by(
        &mut self,
        from: Party,
        invitation: &Invitation,
        text: impl Into<Vec<u8>>,
    ) -> Result<u64, SimulationError> {
        if self.client(from)?.knows(&invitation.key) {
            return self.send_to(from, invitation.key, text);
        }
        let what = UserRequest::Accept {
            invitation: Box::new(invitation.clone()),
            label: Label::default(),
            text: Some(text.into()),
        };
        self.ask(from, what)
    }

    /// Has a client make an invitation for many, which is good for a year. It is on the disk some time later.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] unless it is a client that is up and has a mailbox.
    pub fn invite(&mut self, client: Party) -> Result<Invitation, SimulationError> {
        let what = UserRequest::Invite {
            once: false,
            life: Span::from_secs(365 * 86_400),
            label: Label::default(),
        };
        self.ask(client, what)?;
        let made = self.client(client)?.last_invitation();
        made.ok_or(SimulationError::WrongParty {
            party: client,
            expected: "a client that is up, and has a mailbox",
        })
    }

    /// Has a client send a text to a contact.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] unless it is a client that is up.
    pub fn send_to(
        &mut self,
        from: Party,
        to: PeerKey,
        text: impl Into<Vec<u8>>,
    ) -> Result<u64, SimulationError> {
        let (text, life) = (text.into(), None);
        self.ask(from, UserRequest::Send { to, text, life })
    }

    /// Has a client send a part of a file to a client that it knows; it has to have written to it.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] unless both are clients, and the first one is up.
    pub fn send_data(
        &mut self,
        from: Party,
        to: Party,
        data: Vec<u8>,
    ) -> Result<u64, SimulationError> {
        let to = self.public_key(to)?;
        self.ask(from, UserRequest::SendData { to, data })
    }

    /// Has a client do what its user wants; the number names the request in the
    /// [`ClientEvent`](shoal_client::ClientEvent) that answers it.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] unless it is a client that is up.
    pub fn ask(&mut self, from: Party, what: UserRequest) -> Result<u64, SimulationError> {
        let (request, now) = (self.next_request, self.world.now);
        let client = host(&mut self.clients, self.nodes.len(), from)?;
        if !client.ask(request, what, now) {
            return Err(SimulationError::WrongParty {
                party: from,
                expected: "a client that is up",
            });
        }
        self.next_request += 1;
        self.settle(from)?;
        Ok(request)
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
        if self.is_up(party) {
            self.faults.crashes.push((self.world.now, party));
        }
        if let Some(node) = self.nodes.get_mut(party.index()) {
            node.crash(&mut self.world);
        } else if let Ok(client) = host(&mut self.clients, self.nodes.len(), party) {
            client.crash(&mut self.world);
        }
    }

    /// Has a node leave: it says so, serves on until no document lists it, or for so long at most, and ends in good
    /// order.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] for a client, and a fault of a core.
    pub fn leave(&mut self, party: Party, patience: Span) -> Result<(), SimulationError> {
        let expected = "a node";
        let node = self.nodes.get_mut(party.index());
        let node = node.ok_or(SimulationError::WrongParty { party, expected })?;
        node.leave(self.world.now, patience);
        self.settle(party)
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

    /// Has everything happen that happens up to `until`, and moves the time there.
    ///
    /// # Errors
    /// A fault of a core.
    pub fn run_until(&mut self, until: Time) -> Result<(), SimulationError> {
        while self.next_time().is_some_and(|at| at <= until) {
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
            if self.next_time().is_none_or(|at| at > until) {
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
        let mut listed = Roll::default();
        let listed = |network: &Self| listed.all(&network.nodes, |node| network.is_listed(node));
        if !self.run_until_done(limit, listed)? {
            return Ok(false);
        }
        let clients: Vec<Party> = self
            .clients()
            .filter(|client| self.is_up(*client))
            .collect();
        for (place, wave) in clients.chunks(WAVE.0).enumerate() {
            if place > 0 {
                self.run_for(WAVE.1)?;
            }
            for client in wave {
                self.set_online(*client, true)?;
            }
        }
        let mut attached = Roll::default();
        let attached = |network: &Self| {
            let is_attached =
                |client: &ClientHost| client.attached().is_some() || !network.is_up(client.party);
            attached.all(&network.clients, is_attached)
        };
        self.run_until_done(until.since(self.world.now), attached)
    }

    fn is_listed(&self, node: &NodeHost) -> bool {
        let (params, now) = (&self.world.params, self.world.now);
        match node.view() {
            Some(view) => view
                .current(params, now)
                .is_some_and(|d| d.member(&node.id).is_some()),
            None => true,
        }
    }

    /// Ends every process and lets the links run empty: nothing is in flight or inside after it.
    ///
    /// # Errors
    /// A fault of a core.
    pub fn stop(&mut self) -> Result<(), SimulationError> {
        self.faults.forget_plans();
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

    /// What nodes told their operators, oldest first.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// What keeps a node from its work now; none while it is down.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] for a client.
    pub fn troubles(&mut self, node: Party) -> Result<Option<Vec<Trouble>>, SimulationError> {
        let host = self
            .nodes
            .get_mut(node.index())
            .ok_or_else(|| not_a_node(node))?;
        Ok(host.troubles(&self.world))
    }

    /// The disk of a node that is down is put back to a copy without any keys.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] for a client.
    pub fn lose_keys(&mut self, node: Party) -> Result<(), SimulationError> {
        let host = self
            .nodes
            .get_mut(node.index())
            .ok_or_else(|| not_a_node(node))?;
        host.lose_keys();
        Ok(())
    }

    /// Events that have happened so far.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Jobs of directories and clients that were asked for, and how many of them were different.
    #[must_use]
    pub const fn jobs(&self) -> (u64, u64) {
        self.world.workshop.jobs
    }

    pub(crate) fn client(&self, party: Party) -> Result<&ClientHost, SimulationError> {
        let index = party.index().checked_sub(self.nodes.len());
        index
            .and_then(|index| self.clients.get(index))
            .ok_or(SimulationError::WrongParty {
                party,
                expected: "a client",
            })
    }

    pub(crate) fn settle(&mut self, party: Party) -> Result<(), SimulationError> {
        let world = &mut self.world;
        if let Some(node) = self.nodes.get_mut(party.index()) {
            return node.settle(world, &mut self.notices);
        }
        let client = host(&mut self.clients, self.nodes.len(), party)?;
        client.settle(world, &mut self.observer, &mut self.happenings)
    }

    fn next_time(&self) -> Option<Time> {
        let times = [self.faults.next_time(), self.world.queue.next_time()];
        times.into_iter().flatten().min()
    }

    /// Has the next event happen; at one instant, what goes wrong comes first.
    fn step(&mut self) -> Result<(), SimulationError> {
        if let Some(at) = self.faults.next_time()
            && self.world.queue.next_time().is_none_or(|next| at <= next)
        {
            return self.step_fault();
        }
        let Some((at, event)) = self.world.queue.pop() else {
            return Ok(());
        };
        self.world.now = at;
        self.events += 1;
        let (party, first_client) = (event.party(), self.nodes.len());
        let (world, observer) = (&mut self.world, &mut self.observer);
        if !world.is_up(party) {
            world.land_nowhere(&event);
            return Ok(());
        }
        let follows = match self.nodes.get_mut(party.index()) {
            Some(node) => node.happen(event, world, observer),
            None => {
                let client = host(&mut self.clients, first_client, party)?;
                client.happen(event, world, observer)
            }
        };
        if follows { self.settle(party) } else { Ok(()) }
    }
}

/// Waits for something to be true of all at one moment, without looking at all after every event.
#[derive(Default)]
struct Roll {
    /// Of those before, it was true when they were looked at last.
    place: usize,
}

impl Roll {
    fn all<T>(&mut self, items: &[T], is: impl Fn(&T) -> bool) -> bool {
        if items.get(self.place).is_some_and(|item| !is(item)) {
            return false;
        }
        let missing = items.iter().position(|item| !is(item));
        self.place = missing.unwrap_or(items.len());
        missing.is_none()
    }
}

const fn not_a_node(party: Party) -> SimulationError {
    SimulationError::WrongParty {
        party,
        expected: "a node",
    }
}

fn host(
    clients: &mut [ClientHost],
    nodes: usize,
    party: Party,
) -> Result<&mut ClientHost, SimulationError> {
    let index = party.index().checked_sub(nodes);
    index
        .and_then(|index| clients.get_mut(index))
        .ok_or(SimulationError::WrongParty {
            party,
            expected: "a client",
        })
}

fn parties(from: usize, to: usize) -> impl Iterator<Item = Party> {
    (from..to).filter_map(Party::at)
}
