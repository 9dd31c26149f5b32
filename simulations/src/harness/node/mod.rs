//! A simulated node: the cores of a mix or a provider, and the host around them.

mod actions;
mod inputs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use shoal_mix::{Accounting, Gate, Relay, RelayLimits, Snapshot};
use shoal_packet::ReplayTag;
use shoal_proto::{ClientHandle, Epoch, NodeId, Time};
use shoal_provider::{Counters, Limits, MemoryStore, Provider, Store, StoreLimits, StoreOp};
use shoal_topology::{
    Address, Directory, DirectoryCounters, Identity, LocalNode, Role, Ticket, View,
};

use crate::harness::disk::{NodeDisk, Writer};
use crate::harness::trace::Kind;
use crate::harness::world::{Connection, Event, Job, World, is_due};
use crate::harness::{Party, SimulationError};

/// A node, up or down.
pub(crate) struct Node {
    pub(crate) party: Party,
    pub(crate) id: NodeId,
    identity: Arc<Identity>,
    role: Role,
    addresses: Vec<Address>,
    neighbours: Vec<Party>,
    limits: (RelayLimits, Limits),
    disk: NodeDisk,
    process: Option<Process>,
    incarnations: u64,
    past: Vec<Snapshot>,
    past_provider: Vec<Counters>,
}

/// What a crash ends.
struct Process {
    incarnation: u64,
    books: Arc<Accounting>,
    directory: Directory<ChaCha20Rng>,
    gate: Gate,
    relay: Relay<ChaCha20Rng>,
    provider: Option<Provider<ChaCha20Rng>>,
    view: Arc<View>,
    gossip: BTreeSet<[u8; 32]>,
    /// Gossip that waits for the directory's verdict.
    judging: BTreeMap<Ticket, (Party, Arc<[u8]>)>,
    /// Questions to neighbours that wait for their answer.
    asked: BTreeMap<u64, Party>,
    /// Questions of others that wait for ours.
    asking: BTreeMap<u64, Party>,
    clients: BTreeMap<ClientHandle, Connection>,
    tags: Writer<(u64, Epoch, ReplayTag)>,
    store: Writer<(u64, StoreOp)>,
    wake: Option<Time>,
}

/// What a node is made of.
pub(crate) struct Plan {
    pub(crate) party: Party,
    pub(crate) identity: Identity,
    pub(crate) role: Role,
    pub(crate) addresses: Vec<Address>,
    pub(crate) neighbours: Vec<Party>,
    pub(crate) relay: RelayLimits,
    pub(crate) provider: Limits,
    pub(crate) store: StoreLimits,
}

impl Node {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            party: plan.party,
            id: plan.identity.id(),
            identity: Arc::new(plan.identity),
            role: plan.role,
            addresses: plan.addresses,
            neighbours: plan.neighbours,
            limits: (plan.relay, plan.provider),
            disk: NodeDisk::new(MemoryStore::new(plan.store)),
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
        let process = self.boot(world);
        if let Some(presence) = world.presence.get_mut(self.party.index()) {
            *presence = Some(process.incarnation);
        }
        self.process = Some(process);
        world.note_own(self.party, Kind::Started, self.incarnations);
        for other in self.neighbours.clone() {
            if world.is_up(other) {
                world.meet(self.party, other, true);
                world.meet(other, self.party, true);
            }
        }
    }

    fn boot(&self, world: &World) -> Process {
        let (params, incarnation) = (Arc::clone(&world.params), self.incarnations);
        let rng = |purpose| world.generator(purpose, u64::from(self.party.0), incarnation);
        let local = LocalNode {
            identity: Arc::clone(&self.identity),
            role: self.role,
            addresses: self.addresses.clone(),
            family: String::new(),
            capacity_class: 0,
            storage_mib: 0,
        };
        let (relay_limits, provider_limits) = self.limits.clone();
        let books = Accounting::new();
        let gate = Gate::new(
            params.clone(),
            self.id,
            self.role,
            relay_limits.clone(),
            books.clone(),
        );
        for (epoch, tags) in self.disk.tags() {
            gate.restore_tags(epoch, tags.iter().copied());
        }
        let relay = Relay::new(
            params.clone(),
            self.id,
            relay_limits,
            books.clone(),
            rng("relay"),
            world.now,
        );
        let provider = (self.role == Role::Provider).then(|| {
            Provider::new(
                params.clone(),
                self.id,
                provider_limits,
                rng("provider"),
                world.now,
            )
        });
        let restored = self.disk.restored();
        Process {
            incarnation,
            books,
            directory: Directory::new(params, Some(local), rng("directory"), restored, world.now),
            gate,
            relay,
            provider,
            view: Arc::default(),
            gossip: BTreeSet::new(),
            judging: BTreeMap::new(),
            asked: BTreeMap::new(),
            asking: BTreeMap::new(),
            clients: BTreeMap::new(),
            tags: Writer::new(),
            store: Writer::new(),
            wake: None,
        }
    }

    /// Ends the process without warning. What the disk was doing is done or not done.
    pub(crate) fn crash(&mut self, world: &mut World) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        if let Some(presence) = world.presence.get_mut(self.party.index()) {
            *presence = None;
        }
        world.note_own(self.party, Kind::Crashed, 0);
        if world.was_written(self.party) {
            process.tags.end().into_iter().for_each(|(_, epoch, tag)| {
                self.disk.write_tag(epoch, tag);
            });
        }
        if world.was_written(self.party) {
            let ops = process.store.end().into_iter().map(|(_, op)| op).collect();
            self.disk.store.apply(world.now, ops);
        }
        for connection in std::mem::take(&mut process.clients).into_values() {
            let client = connection.client;
            world.signal(
                self.party,
                client,
                Event::Gone {
                    party: client,
                    connection,
                },
            );
        }
        for other in self.neighbours.clone() {
            world.meet(other, self.party, false);
        }
        self.past_provider
            .extend(process.provider.as_ref().map(|p| p.counters().clone()));
        let books = Arc::clone(&process.books);
        // What it still held counts as abandoned.
        drop(process);
        self.past.push(books.snapshot());
    }

    pub(crate) fn neighbours(&self) -> &[Party] {
        &self.neighbours
    }

    /// Does what the cores want done, and sets the next wake.
    pub(crate) fn settle(&mut self, world: &mut World) -> Result<(), SimulationError> {
        let mut busy = true;
        while busy {
            busy = self.settle_directory(world);
            busy |= self.settle_relay(world);
            busy |= self.settle_provider(world);
        }
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        for (begun, job) in [
            (process.tags.begin(), Job::Tags),
            (process.store.begin(), Job::Store),
        ] {
            if begun {
                world.write(self.party, process.incarnation, job);
            }
        }
        let deadlines = [
            process.directory.poll_deadline(),
            process.relay.poll_deadline(),
            process.provider.as_ref().and_then(Provider::poll_deadline),
        ];
        let deadline = deadlines.into_iter().flatten().min();
        world.wake(
            self.party,
            deadline.filter(|at| *at < Time::MAX),
            &mut process.wake,
        )
    }

    /// Whether this wake is the one that was set last.
    pub(crate) fn woken(&mut self, now: Time) -> bool {
        let process = self.process.as_mut();
        process.is_some_and(|process| is_due(&mut process.wake, now))
    }

    /// The books of all its processes, the last one's last.
    pub(crate) fn books(&self) -> Vec<Snapshot> {
        let running = self
            .process
            .as_ref()
            .map(|process| process.books.snapshot());
        self.past.iter().cloned().chain(running).collect()
    }

    /// What the provider role of each process did.
    pub(crate) fn provider_counters(&self) -> Vec<Counters> {
        let process = self.process.as_ref();
        let running = process
            .and_then(|p| p.provider.as_ref())
            .map(|p| p.counters().clone());
        self.past_provider.iter().cloned().chain(running).collect()
    }

    pub(crate) fn directory_counters(&self) -> Option<DirectoryCounters> {
        self.process
            .as_ref()
            .map(|process| *process.directory.counters())
    }

    /// The documents that the running process knows.
    pub(crate) fn view(&self) -> Option<&Arc<View>> {
        self.process.as_ref().map(|process| &process.view)
    }

    pub(crate) fn store(&self) -> &MemoryStore {
        &self.disk.store
    }
}
