//! The host of a node: what survives a crash of its process, and what a process is started from.

mod gossip;
mod process;
mod questions;
mod visitors;
mod writes;

use std::sync::Arc;

use shoal_mix::{RelayLimits, Snapshot};
use shoal_packet::Engine;
use shoal_proto::{NodeId, Span, Time};
use shoal_provider::{Counters, Limits, MemoryStore, Store, StoreLimits};
use shoal_roles::node::{Node, NodeInput, NodeSetup, Trouble};
use shoal_topology::{Address, Identity, LocalNode, Role, View};

use self::process::{Birth, Process};
use crate::disk::NodeDisk;
use crate::error::SimulationError;
use crate::event::{Connection, DiskJob, Event};
use crate::observe::Observer;
use crate::party::Party;
use crate::report::Notice;
use crate::trace::Kind;
use crate::world::World;

/// Packets per second that a node is made for: more than a scenario sends to any, unless it means to.
const BUSIEST: u32 = 50_000;

/// A node, up or down.
pub(crate) struct NodeHost {
    pub(crate) party: Party,
    pub(crate) id: NodeId,
    identity: Arc<Identity>,
    role: Role,
    addresses: Vec<Address>,
    neighbours: Vec<Party>,
    disk: NodeDisk,
    process: Option<Process>,
    incarnations: u64,
    past: Vec<Snapshot>,
    past_provider: Vec<Counters>,
}

/// What a node is made of.
pub(crate) struct Plan {
    pub(crate) party: Party,
    pub(crate) identity: Identity,
    pub(crate) role: Role,
    pub(crate) addresses: Vec<Address>,
    pub(crate) neighbours: Vec<Party>,
}

impl NodeHost {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            party: plan.party,
            id: plan.identity.id(),
            identity: Arc::new(plan.identity),
            role: plan.role,
            addresses: plan.addresses,
            neighbours: plan.neighbours,
            disk: NodeDisk::new(MemoryStore::new(StoreLimits::default())),
            process: None,
            incarnations: 0,
            past: Vec::new(),
            past_provider: Vec::new(),
        }
    }

    /// Starts the process from what the disk has.
    pub(crate) fn start(&mut self, world: &mut World) {
        if self.process.is_some() {
            return;
        }
        self.incarnations += 1;
        let mut rng = world.generator("node", u64::from(self.party.0), self.incarnations);
        let node = Node::new(self.setup(world), &mut rng, world.now);
        let birth = Birth {
            party: self.party,
            incarnation: self.incarnations,
            neighbours: self.neighbours.clone(),
        };
        self.process = Some(Process::new(birth, node));
        world.set_presence(self.party, Some(self.incarnations));
        world.note_own(self.party, Kind::Started, self.incarnations);
    }

    fn setup(&self, world: &World) -> NodeSetup {
        NodeSetup {
            params: Arc::clone(&world.params),
            local: LocalNode {
                identity: Arc::clone(&self.identity),
                role: self.role,
                addresses: self.addresses.clone(),
                family: None,
                invitation: None,
                capacity_class: 0,
                storage_mib: 0,
                tokens: None,
            },
            relay: RelayLimits {
                packets_per_second: BUSIEST,
                ..RelayLimits::default()
            },
            provider: Limits::default(),
            engine: Engine::best(),
            restored: self.disk.restored(),
            tags: self.disk.tags(),
        }
    }

    /// Asks the process to leave, as an operator's first signal does. False if it is down.
    pub(crate) fn leave(&mut self, now: Time, patience: Span) -> bool {
        let process = self.process.as_mut();
        process.is_some_and(|process| {
            let input = NodeInput::Leave { patience };
            process.node_mut().handle_input(now, input);
            true
        })
    }

    /// Ends the process without warning. What the disk was doing is done or not done.
    pub(crate) fn crash(&mut self, world: &mut World) {
        self.end(world, false);
    }

    /// Ends the process, in good order or not: then what the disk was doing is done, or done or not.
    fn end(&mut self, world: &mut World, in_order: bool) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        world.set_presence(self.party, None);
        world.note_own(self.party, Kind::Crashed, 0);
        for job in [DiskJob::Tags, DiskJob::Store, DiskJob::State] {
            let written = in_order || world.was_written(self.party);
            if written && !world.conditions.disk_fails(self.party) {
                process.writes().apply(job, world.now, &mut self.disk);
            }
        }
        for connection in process.connections() {
            let party = connection.client;
            world.signal(self.party, party, Event::Gone { party, connection });
        }
        for other in &self.neighbours {
            world.meet(*other, self.party, false);
        }
        for other in world.mesh.leave(self.party) {
            world.tell_link(other, self.party);
        }
        let node = process.node();
        self.past_provider.extend(node.provider_counters());
        let books = Arc::clone(node.accounting());
        // What it still held counts as abandoned.
        drop(process);
        self.past.push(books.snapshot());
    }

    /// Has an event happen. False if nothing follows from it.
    pub(crate) fn happen(
        &mut self,
        event: Event,
        world: &mut World,
        observer: &mut Observer,
    ) -> bool {
        let Some(process) = &mut self.process else {
            return false;
        };
        match event {
            Event::Disk {
                incarnation, job, ..
            } => {
                process.written(incarnation, job, world, &mut self.disk);
                true
            }
            event => process.happen(event, world, observer),
        }
    }

    /// Does what the node wants done, and sets the next wake.
    pub(crate) fn settle(
        &mut self,
        world: &mut World,
        notices: &mut Vec<Notice>,
    ) -> Result<(), SimulationError> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        process.settle(world, notices)?;
        if process.is_drained() {
            self.end(world, true);
        }
        Ok(())
    }

    /// The disk of a node that is down is put back to before it had any keys.
    pub(crate) fn lose_keys(&mut self) {
        self.disk.lose_keys();
    }

    pub(crate) fn neighbours(&self) -> &[Party] {
        &self.neighbours
    }

    /// Clients' connections that stand.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        let process = self.process.as_ref();
        process.map(Process::connections).unwrap_or_default()
    }

    /// The books of all its processes, the last one's last.
    pub(crate) fn books(&self) -> Vec<Snapshot> {
        let running = self.running().map(|node| node.accounting().snapshot());
        self.past.iter().cloned().chain(running).collect()
    }

    /// What the provider role of each process did.
    pub(crate) fn provider_counters(&self) -> Vec<Counters> {
        let running = self.running().and_then(Node::provider_counters);
        self.past_provider.iter().copied().chain(running).collect()
    }

    /// What keeps the running process from its work.
    pub(crate) fn troubles(&mut self, world: &World) -> Option<Vec<Trouble>> {
        let process = self.process.as_mut()?;
        Some(process.node_mut().troubles(world.now))
    }

    /// The documents that the running process knows.
    pub(crate) fn view(&self) -> Option<&Arc<View>> {
        self.running().map(Node::view)
    }

    pub(crate) fn usage(&self) -> shoal_provider::Usage {
        self.disk.store.usage()
    }

    fn running(&self) -> Option<&Node> {
        self.process.as_ref().map(Process::node)
    }
}
