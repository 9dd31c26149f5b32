//! A simulated node: the cores of a mix or a provider, and the host around them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use blake2::{Blake2s256, Digest};
use rand_chacha::ChaCha20Rng;
use shoal_mix::{
    Accounting, DropReason, Gate, Origin, OwnKind, Processed, ProcessedKind, Relay, RelayAction,
    RelayInput, RelayLimits, Snapshot,
};
use shoal_packet::{Frame, ReplayTag};
use shoal_proto::{ClientHandle, Epoch, NodeId, Span, Time};
use shoal_provider::{
    AttachAnswer, Counters, Delivered, Limits, MemoryStore, Provider, ProviderAction,
    ProviderInput, Store, StoreLimits, StoreOp,
};
use shoal_topology::{
    Directory, DirectoryAction, DirectoryCounters, DirectoryInput, Identity, LocalNode, Role,
    Ticket, Verdict, View,
};

use crate::disk::NodeDisk;
use crate::observe::{Observation, Observer};
use crate::trace::Kind;
use crate::world::{Connection, Event, Fate, Job, Lane, World};
use crate::{Party, SimulationError};

/// How long a directory waits for an answer.
const ASK_TIMEOUT: Span = Span::from_secs(5);

/// A node, up or down.
pub(crate) struct Node {
    pub(crate) party: Party,
    pub(crate) id: NodeId,
    identity: Arc<Identity>,
    role: Role,
    address: String,
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
    /// Questions to neighbours that wait for their answer.
    asked: BTreeMap<u64, Party>,
    /// Questions of others that wait for ours.
    asking: BTreeMap<u64, Party>,
    clients: BTreeMap<ClientHandle, Connection>,
    tags: Writer<(u64, Epoch, ReplayTag)>,
    store: Writer<(u64, StoreOp)>,
    wake: Option<Time>,
}

/// A disk that does one group at a time: what comes meanwhile makes the next one.
pub(crate) struct Writer<T> {
    waiting: Vec<T>,
    writing: Option<Vec<T>>,
}

impl<T> Writer<T> {
    pub(crate) const fn new() -> Self {
        Self { waiting: Vec::new(), writing: None }
    }

    pub(crate) fn push(&mut self, item: T) {
        self.waiting.push(item);
    }

    /// Begins the next group, if there is one and the last is done. True if one began.
    pub(crate) fn begin(&mut self) -> bool {
        let begins = self.writing.is_none() && !self.waiting.is_empty();
        if begins {
            self.writing = Some(std::mem::take(&mut self.waiting));
        }
        begins
    }

    /// The group that is being written; none is from then on.
    pub(crate) fn end(&mut self) -> Vec<T> {
        self.writing.take().unwrap_or_default()
    }
}

/// What a node is made of.
pub(crate) struct Plan {
    pub(crate) party: Party,
    pub(crate) identity: Identity,
    pub(crate) role: Role,
    pub(crate) address: String,
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
            address: plan.address,
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
                self.greet(world, self.party, other, true);
                self.greet(world, other, self.party, true);
            }
        }
    }

    fn boot(&self, world: &World) -> Process {
        let (params, incarnation) = (Arc::clone(&world.params), self.incarnations);
        let rng = |purpose| world.generator(purpose, u64::from(self.party.0), incarnation);
        let local = LocalNode {
            identity: Arc::clone(&self.identity),
            role: self.role,
            addresses: vec![self.address.clone()],
            family: String::new(),
            capacity_class: 0,
            storage_mib: 0,
        };
        let (relay_limits, provider_limits) = self.limits.clone();
        let books = Accounting::new();
        let gate =
            Gate::new(params.clone(), self.id, self.role, relay_limits.clone(), books.clone());
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
            Provider::new(params.clone(), self.id, provider_limits, rng("provider"), world.now)
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
        let Some(mut process) = self.process.take() else { return };
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
            world.signal(self.party, client, Event::Gone { party: client, connection });
        }
        for other in self.neighbours.clone() {
            self.greet(world, other, self.party, false);
        }
        self.past_provider.extend(process.provider.as_ref().map(|p| p.counters().clone()));
        let books = Arc::clone(&process.books);
        // What it still held counts as abandoned.
        drop(process);
        self.past.push(books.snapshot());
    }

    fn greet(&self, world: &mut World, party: Party, other: Party, there: bool) {
        world.signal(other, party, Event::Neighbour { party, other, there });
    }

    pub(crate) fn neighbour(&mut self, other: Party, there: bool, world: &World) {
        let (Some(process), Some(id)) = (&mut self.process, world.ids.get(other.index())) else {
            return;
        };
        let input = match there {
            true => DirectoryInput::PeerConnected(*id),
            false => DirectoryInput::PeerDisconnected(*id),
        };
        process.directory.handle_input(world.now, input);
    }

    /// Takes a frame that came out of a link; none if it was lost there.
    pub(crate) fn frame(
        &mut self,
        from: Party,
        lane: Lane,
        frame: Option<Frame>,
        world: &mut World,
        observer: &mut Observer,
    ) {
        let Some(frame) = frame else {
            return world.land_frame(from, self.party, lane, Fate::Lost);
        };
        let origin = self.process.as_ref().and_then(|process| process.origin(from, lane, world));
        let (Some(process), Some(origin)) = (&mut self.process, origin) else {
            return world.land_frame(from, self.party, lane, Fate::Unclaimed);
        };
        world.land_frame(from, self.party, lane, Fate::Received);
        let now = world.now;
        let admitted = process.gate.admit(now, origin, frame);
        let unwrapped = admitted.and_then(|admitted| process.gate.unwrap(now, admitted));
        match unwrapped {
            Ok(packet) => {
                if observer.enabled() {
                    process.observe(self.party, from, &packet, observer);
                }
                process.relay.handle_input(now, RelayInput::Processed(packet));
            }
            Err(reason) => {
                world.note(self.party, Kind::FrameDropped, from, reason as u64);
            }
        }
    }

    /// Takes a descriptor that came by gossip.
    pub(crate) fn gossip(&mut self, from: Party, bytes: &Arc<[u8]>, world: &mut World) {
        let (Some(process), Some(id)) = (&mut self.process, world.ids.get(from.index())) else {
            return;
        };
        if !process.gossip.insert(fingerprint(bytes)) {
            return;
        }
        let verdict = process.directory.handle_gossip(world.now, id, bytes);
        world.note(self.party, Kind::GossipReceived, from, verdict as u64);
        if verdict == Verdict::Accept {
            self.spread(bytes, Some(from), world);
        }
    }

    fn spread(&self, bytes: &Arc<[u8]>, except: Option<Party>, world: &mut World) {
        for other in self.neighbours.iter().copied().filter(|other| Some(*other) != except) {
            world.note(self.party, Kind::GossipSent, other, 0);
            let event = Event::Gossip { from: self.party, to: other, bytes: Arc::clone(bytes) };
            world.send_message(self.party, other, bytes.len(), event);
        }
    }

    /// Takes a question for the directory. Clients get the documents only.
    pub(crate) fn asked(&mut self, from: Party, number: u64, request: Vec<u8>, world: &mut World) {
        let Some(process) = &mut self.process else { return };
        if world.ids.get(from.index()).is_some() {
            process.asking.insert(number, from);
            let input = DirectoryInput::SyncRequest { from: Ticket(number), request };
            process.directory.handle_input(world.now, input);
        } else {
            let response = process.directory.client_response(world.now);
            answer(self.party, from, number, response, world);
        }
    }

    pub(crate) fn answered(&mut self, number: u64, response: Option<Vec<u8>>, world: &mut World) {
        let Some(process) = &mut self.process else { return };
        let Some(other) = process.asked.remove(&number) else { return };
        let Some(from) = world.ids.get(other.index()).copied() else { return };
        let input = match response {
            Some(response) => DirectoryInput::SyncResponse { from, response },
            None => {
                world.note(self.party, Kind::SyncFailed, other, 0);
                DirectoryInput::SyncFailed { from }
            }
        };
        process.directory.handle_input(world.now, input);
    }

    /// The disk has done a job.
    pub(crate) fn written(&mut self, incarnation: u64, job: Job, world: &mut World) {
        let Some(process) = &mut self.process else { return };
        if process.incarnation != incarnation {
            return;
        }
        let now = world.now;
        match job {
            Job::Tags => {
                let mut upto = 0;
                for (sequence, epoch, tag) in process.tags.end() {
                    self.disk.write_tag(epoch, tag);
                    upto = sequence;
                }
                world.note_own(self.party, Kind::TagsDurable, upto);
                process.relay.handle_input(now, RelayInput::TagsDurable { upto });
            }
            Job::Store => {
                let (tickets, ops): (Vec<u64>, Vec<StoreOp>) =
                    process.store.end().into_iter().unzip();
                let results = self.disk.store.apply(now, ops);
                world.note_own(self.party, Kind::StoreDone, results.len() as u64);
                let Some(provider) = &mut process.provider else { return };
                for (ticket, result) in tickets.into_iter().zip(results) {
                    provider.handle_input(now, ProviderInput::StoreDone { ticket, result });
                }
            }
            Job::Rows => {}
        }
    }

    /// A client asks to be attached.
    pub(crate) fn attach(&mut self, connection: Connection, profile: String, world: &mut World) {
        if let Some(process) = &mut self.process
            && let Some(provider) = &mut process.provider
        {
            let handle = connection.handle;
            process.clients.insert(handle, connection);
            provider.handle_input(world.now, ProviderInput::Attached { handle, profile });
        } else {
            refuse(self.party, connection, world);
        }
    }

    /// A client's connection is gone.
    pub(crate) fn detached(&mut self, connection: &Connection, world: &World) {
        let Some(process) = &mut self.process else { return };
        let handle = connection.handle;
        if process.clients.get(&handle).is_some_and(|known| known.number == connection.number) {
            process.clients.remove(&handle);
            if let Some(provider) = &mut process.provider {
                provider.handle_input(world.now, ProviderInput::Detached { handle });
            }
        }
    }

    /// Does what the cores want done, and sets the next wake.
    pub(crate) fn settle(&mut self, world: &mut World) -> Result<(), SimulationError> {
        let mut busy = true;
        while busy {
            busy = self.settle_directory(world);
            busy |= self.settle_relay(world);
            busy |= self.settle_provider(world);
        }
        let Some(process) = &mut self.process else { return Ok(()) };
        for (begun, job) in
            [(process.tags.begin(), Job::Tags), (process.store.begin(), Job::Store)]
        {
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
        world.wake(self.party, deadline.filter(|at| *at < Time::MAX), &mut process.wake)
    }

    /// Whether this wake is the one that was set last.
    pub(crate) fn woken(&mut self, now: Time) -> bool {
        let Some(process) = &mut self.process else { return false };
        let due = process.wake == Some(now);
        if due {
            process.wake = None;
        }
        due
    }

    fn settle_directory(&mut self, world: &mut World) -> bool {
        let mut busy = false;
        while let Some(process) = &mut self.process
            && let Some(action) = process.directory.poll_action(world.now)
        {
            busy = true;
            match action {
                DirectoryAction::Publish(bytes) => {
                    process.gossip.insert(fingerprint(&bytes));
                    self.spread(&bytes.into(), None, world);
                }
                DirectoryAction::Request { to, request } => self.ask(&to, request, world),
                DirectoryAction::Respond { to: Ticket(number), response } => {
                    if let Some(asker) = process.asking.remove(&number) {
                        answer(self.party, asker, number, response, world);
                    }
                }
                DirectoryAction::View(view) => self.take_view(view, world),
                DirectoryAction::Keys(keys) => process.gate.set_keys(&keys),
                DirectoryAction::Persist(change) => self.disk.change(change),
                DirectoryAction::Warn(_) => world.note_own(self.party, Kind::Reported, 0),
            }
        }
        busy
    }

    fn take_view(&mut self, view: Arc<View>, world: &mut World) {
        let Some(process) = &mut self.process else { return };
        let newest = view.documents.keys().next_back().map_or(0, |epoch| epoch.number());
        world.note_own(self.party, Kind::View, newest);
        process.gate.set_view(Arc::clone(&view));
        process.relay.handle_input(world.now, RelayInput::View(Arc::clone(&view)));
        if let Some(provider) = &mut process.provider {
            provider.handle_input(world.now, ProviderInput::View(Arc::clone(&view)));
        }
        process.view = view;
    }

    fn ask(&mut self, to: &NodeId, request: Vec<u8>, world: &mut World) {
        let Some(process) = &mut self.process else { return };
        let Some(other) = world.parties.get(to).copied() else {
            return process
                .directory
                .handle_input(world.now, DirectoryInput::SyncFailed { from: *to });
        };
        let number = world.number();
        process.asked.insert(number, other);
        world.note(self.party, Kind::SyncAsked, other, 0);
        world.after(ASK_TIMEOUT, Event::AskTimeout { party: self.party, number });
        let bytes = request.len();
        let event = Event::Ask { from: self.party, to: other, number, request };
        world.send_message(self.party, other, bytes, event);
    }

    fn settle_relay(&mut self, world: &mut World) -> bool {
        let mut busy = false;
        while let Some(process) = &mut self.process
            && let Some(action) = process.relay.poll_action(world.now)
        {
            busy = true;
            match action {
                RelayAction::Send { to, frame, passage, .. } => {
                    if send(self.party, &to, frame, world) {
                        passage.sent();
                    } else {
                        passage.drop_as(DropReason::Unreachable);
                    }
                }
                RelayAction::LogTag { sequence, epoch, tag } => {
                    process.tags.push((sequence, epoch, tag));
                }
                RelayAction::Deliver(delivery) => {
                    world.note_own(self.party, Kind::Delivered, 0);
                    let Some(provider) = &mut process.provider else { continue };
                    let delivered = Delivered {
                        destination: delivery.destination,
                        id: delivery.id,
                        payload: delivery.payload,
                        plaintext: delivery.plaintext,
                        epoch_byte: delivery.epoch.byte(),
                        arrival: delivery.arrival,
                    };
                    provider.handle_input(world.now, ProviderInput::Delivered(delivered));
                }
                RelayAction::LoopAlarm(_) | RelayAction::LoopRecovered(_) => {
                    world.note_own(self.party, Kind::Alarm, 0);
                }
            }
        }
        busy
    }

    fn settle_provider(&mut self, world: &mut World) -> bool {
        let mut busy = false;
        while let Some(process) = &mut self.process
            && let Some(provider) = &mut process.provider
            && let Some(action) = provider.poll_action(world.now)
        {
            busy = true;
            match action {
                ProviderAction::Attach { handle, answer } => {
                    self.answer_attach(&handle, answer, world);
                }
                ProviderAction::ToClient { handle, frame } => {
                    let link = process.clients.get(&handle).copied();
                    match link {
                        Some(connection) => world.send_frame(
                            self.party,
                            connection.client,
                            Lane::Downlink(connection.number),
                            frame,
                        ),
                        None => provider.handle_input(world.now, ProviderInput::LinkFull { handle }),
                    }
                }
                ProviderAction::Send { to, frame, .. } => {
                    let passage = process.books.originate(OwnKind::Provider);
                    if send(self.party, &to, frame, world) {
                        passage.sent();
                    } else {
                        passage.drop_as(DropReason::Unreachable);
                    }
                }
                ProviderAction::Store { ticket, op } => process.store.push((ticket, op)),
                ProviderAction::Dropped(reason) => {
                    world.note_own(self.party, Kind::Reported, 100 + reason as u64);
                }
                _ => world.note_own(self.party, Kind::Reported, 1),
            }
        }
        busy
    }

    fn answer_attach(&mut self, handle: &ClientHandle, answer: AttachAnswer, world: &mut World) {
        let Some(process) = &mut self.process else { return };
        let accepted = answer == AttachAnswer::Accepted;
        let connection = match accepted {
            true => process.clients.get(handle).copied(),
            false => process.clients.remove(handle),
        };
        let Some(connection) = connection else { return };
        if accepted {
            let event = Event::AttachAnswer { connection, accepted };
            world.signal(self.party, connection.client, event);
        } else {
            refuse(self.party, connection, world);
        }
    }

    /// The books of all its processes, the last one's last.
    pub(crate) fn books(&self) -> Vec<Snapshot> {
        let running = self.process.as_ref().map(|process| process.books.snapshot());
        self.past.iter().cloned().chain(running).collect()
    }

    /// What the provider role of each process did.
    pub(crate) fn provider_counters(&self) -> Vec<Counters> {
        let process = self.process.as_ref();
        let running = process.and_then(|p| p.provider.as_ref()).map(|p| p.counters().clone());
        self.past_provider.iter().cloned().chain(running).collect()
    }

    pub(crate) fn directory_counters(&self) -> Option<DirectoryCounters> {
        self.process.as_ref().map(|process| process.directory.counters().clone())
    }

    /// The documents that the running process knows.
    pub(crate) fn view(&self) -> Option<&Arc<View>> {
        self.process.as_ref().map(|process| &process.view)
    }

    pub(crate) fn store(&self) -> &MemoryStore {
        &self.disk.store
    }
}

impl Process {
    /// Who a frame comes from, if it is on a connection that still stands.
    fn origin(&self, from: Party, lane: Lane, world: &World) -> Option<Origin> {
        match lane {
            Lane::Members(incarnation) => {
                let id = world.ids.get(from.index())?;
                (incarnation == self.incarnation).then_some(Origin::Member(*id))
            }
            Lane::Uplink(number) => {
                let connection = self.clients.values().find(|known| known.number == number)?;
                Some(Origin::Client(connection.handle))
            }
            Lane::Downlink(_) => None,
        }
    }

    /// Notes what the entry can see of a packet for one of its clients.
    fn observe(&self, entry: Party, from: Party, packet: &Processed, observer: &mut Observer) {
        let ProcessedKind::Final(hop) = &packet.kind else { return };
        let known = self.clients.contains_key(&ClientHandle::new(hop.destination));
        if known || hop.plaintext.is_none() {
            observer.saw(Observation {
                entry,
                from,
                arrival: packet.arrival,
                epoch_byte: packet.epoch.byte(),
                destination: hop.destination,
                id: hop.id,
                payload: hop.payload.clone(),
                readable: hop.plaintext.is_some(),
                truth: None,
            });
        }
    }
}

/// Puts a frame on the link to a member; false if it is not there.
fn send(from: Party, to: &NodeId, frame: Frame, world: &mut World) -> bool {
    let Some(party) = world.parties.get(to).copied() else { return false };
    match world.incarnation(party) {
        Some(incarnation) => {
            world.send_frame(from, party, Lane::Members(incarnation), frame);
            true
        }
        None => {
            world.note(from, Kind::FrameUnreachable, party, 0);
            false
        }
    }
}

fn answer(from: Party, to: Party, number: u64, response: Vec<u8>, world: &mut World) {
    world.note(from, Kind::SyncAnswered, to, response.len() as u64);
    let bytes = response.len();
    world.send_message(from, to, bytes, Event::Answer { to, number, response });
}

fn refuse(party: Party, connection: Connection, world: &mut World) {
    let event = Event::AttachAnswer { connection, accepted: false };
    world.signal(party, connection.client, event);
}

fn fingerprint(bytes: &[u8]) -> [u8; 32] {
    Blake2s256::digest(bytes).into()
}
