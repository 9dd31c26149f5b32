//! A simulated client: its core, and the host around it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::Rng;
use rand_chacha::ChaCha20Rng;
use shoal_client::{
    Address, Change, Client, ClientAction, ClientConfig, ClientEvent, ClientInput, ClientKeys,
    Counters,
};
use shoal_packet::Frame;
use shoal_proto::{ClientHandle, MessageId, Span, Time};
use shoal_topology::{View, adopt_documents};
use zeroize::Zeroizing;

use crate::disk::ClientDisk;
use crate::node::Writer;
use crate::observe::{Observer, Truth};
use crate::trace::Kind;
use crate::world::{Connection, Event, Fate, Job, Lane, World};
use crate::{Happening, Party, SimulationError};

/// How often a host looks whether it should fetch documents or attach.
const HOUSEKEEPING: Span = Span::from_secs(1);
/// How long it waits for answers.
const PATIENCE: Span = Span::from_secs(5);
/// How many nodes it asks for documents.
const ASKED: usize = 3;

/// A client, up or down.
pub(crate) struct ClientHost {
    pub(crate) party: Party,
    pub(crate) entry: Party,
    config: ClientConfig,
    keys: Zeroizing<Vec<u8>>,
    /// Whom to ask for documents: the entry first.
    sources: Vec<Party>,
    disk: ClientDisk,
    process: Option<Process>,
    online: bool,
    incarnations: u64,
    connections: u64,
    past: Vec<Counters>,
    requests: BTreeMap<MessageId, u64>,
    shim: Shim,
}

/// What a test does to the uplink.
#[derive(Clone, Copy, Default)]
pub(crate) struct Shim {
    pub(crate) injected: u64,
    pub(crate) suppressed: u64,
    to_suppress: u64,
}

struct Process {
    incarnation: u64,
    client: Client<ChaCha20Rng>,
    view: Option<Arc<View>>,
    connection: Option<Connection>,
    attaching: Option<(Connection, Time)>,
    fetch: Option<Fetch>,
    next_fetch: Time,
    rows: Writer<(u64, Vec<Change>)>,
    wake: Option<Time>,
}

/// Questions for documents under way.
struct Fetch {
    waiting: BTreeSet<u64>,
    answers: Vec<Vec<u8>>,
    until: Time,
}

/// What a client is made of.
pub(crate) struct Plan {
    pub(crate) party: Party,
    pub(crate) entry: Party,
    pub(crate) config: ClientConfig,
    pub(crate) keys: ClientKeys,
    pub(crate) sources: Vec<Party>,
}

impl ClientHost {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut sources = plan.sources;
        sources.retain(|source| *source != plan.entry);
        sources.insert(0, plan.entry);
        sources.truncate(ASKED);
        Self {
            party: plan.party,
            entry: plan.entry,
            config: plan.config,
            keys: plan.keys.to_bytes(),
            sources,
            disk: ClientDisk::default(),
            process: None,
            online: false,
            incarnations: 0,
            connections: 0,
            past: Vec::new(),
            requests: BTreeMap::new(),
            shim: Shim::default(),
        }
    }

    /// Starts the process from what the disk has.
    pub(crate) fn start(&mut self, world: &mut World) -> Result<(), SimulationError> {
        if self.process.is_some() {
            return Ok(());
        }
        self.incarnations += 1;
        let incarnation = self.incarnations;
        let failed = |source| SimulationError::Client { party: self.party, source };
        let keys = ClientKeys::from_bytes(&self.keys).map_err(failed)?;
        let rng = world.generator("client", u64::from(self.party.0), incarnation);
        let (params, rows) = (Arc::clone(&world.params), self.disk.rows());
        let client = Client::new(params, self.config.clone(), keys, rng, &rows, world.now)
            .map_err(failed)?;
        self.process = Some(Process {
            incarnation,
            client,
            view: None,
            connection: None,
            attaching: None,
            fetch: None,
            next_fetch: world.now,
            rows: Writer::new(),
            wake: None,
        });
        if let Some(presence) = world.presence.get_mut(self.party.index()) {
            *presence = Some(incarnation);
        }
        world.note_own(self.party, Kind::Started, incarnation);
        self.housekeep(world);
        world.after(HOUSEKEEPING, Event::Housekeeping { party: self.party, incarnation });
        Ok(())
    }

    /// Ends the process without warning.
    pub(crate) fn crash(&mut self, world: &mut World) {
        let Some(mut process) = self.process.take() else { return };
        if let Some(presence) = world.presence.get_mut(self.party.index()) {
            *presence = None;
        }
        world.note_own(self.party, Kind::Crashed, 0);
        if world.was_written(self.party) {
            process.rows.end().into_iter().for_each(|(_, changes)| self.disk.write(changes));
        }
        for connection in
            process.connection.into_iter().chain(process.attaching.map(|(attaching, _)| attaching))
        {
            hang_up(self.party, connection, world);
        }
        self.past.push(process.client.counters());
    }

    /// Attaches, now and whenever the connection is gone; or detaches.
    pub(crate) fn set_online(&mut self, online: bool, world: &mut World) {
        self.online = online;
        if online {
            return self.housekeep(world);
        }
        let Some(process) = &mut self.process else { return };
        if let Some((attaching, _)) = process.attaching.take() {
            hang_up(self.party, attaching, world);
        }
        if let Some(connection) = process.connection.take() {
            hang_up(self.party, connection, world);
            world.note(self.party, Kind::Detached, connection.entry, 0);
            process.client.handle_input(world.now, ClientInput::Detached);
        }
    }

    /// Time to look whether documents or a connection are missing.
    pub(crate) fn housekeeping(&mut self, incarnation: u64, world: &mut World) {
        if self.process.as_ref().is_some_and(|process| process.incarnation == incarnation) {
            self.housekeep(world);
            world.after(HOUSEKEEPING, Event::Housekeeping { party: self.party, incarnation });
        }
    }

    fn housekeep(&mut self, world: &mut World) {
        let Some(process) = &mut self.process else { return };
        if !self.online {
            return;
        }
        if process.fetch.as_ref().is_some_and(|fetch| world.now >= fetch.until) {
            process.adopt(world, self.party);
        }
        if process.fetch.is_none() && world.now >= process.next_fetch {
            self.fetch(world);
        }
        let Some(process) = &mut self.process else { return };
        if process.attaching.is_some_and(|(_, until)| world.now >= until)
            && let Some((given_up, _)) = process.attaching.take()
        {
            hang_up(self.party, given_up, world);
        }
        if process.connection.is_none() && process.attaching.is_none() && process.ready(world) {
            self.attach(world);
        }
    }

    /// Documents are fetched whole and on a schedule, whatever is missing.
    fn fetch(&mut self, world: &mut World) {
        let mut waiting = BTreeSet::new();
        for source in &self.sources {
            let number = world.number();
            waiting.insert(number);
            world.note(self.party, Kind::SyncAsked, *source, 0);
            let (from, to) = (self.party, *source);
            let event = Event::Ask { from, to, number, request: Vec::new() };
            world.send_message(from, to, 0, event);
        }
        if let Some(process) = &mut self.process {
            let until = world.now + PATIENCE;
            process.fetch = Some(Fetch { waiting, answers: Vec::new(), until });
        }
    }

    pub(crate) fn answered(&mut self, number: u64, response: Vec<u8>, world: &mut World) {
        let Some(process) = &mut self.process else { return };
        let Some(fetch) = &mut process.fetch else { return };
        if fetch.waiting.remove(&number) {
            fetch.answers.push(response);
            if fetch.waiting.is_empty() {
                process.adopt(world, self.party);
                self.housekeep(world);
            }
        }
    }

    fn attach(&mut self, world: &mut World) {
        self.connections += 1;
        let mut handle = [0; ClientHandle::BYTES];
        world
            .generator("handle", u64::from(self.party.0), self.connections)
            .fill_bytes(&mut handle);
        let connection = Connection {
            number: world.number(),
            client: self.party,
            entry: self.entry,
            handle: ClientHandle::new(handle),
        };
        let Some(process) = &mut self.process else { return };
        process.attaching = Some((connection, world.now + PATIENCE));
        let event = Event::Attach { connection, profile: self.config.profile.clone() };
        world.signal(self.party, self.entry, event);
    }

    pub(crate) fn attach_answered(
        &mut self,
        connection: &Connection,
        accepted: bool,
        world: &mut World,
    ) {
        let Some(process) = &mut self.process else { return };
        if process.attaching.is_none_or(|(attaching, _)| attaching != *connection) {
            return;
        }
        process.attaching = None;
        if !accepted {
            return;
        }
        process.connection = Some(*connection);
        world.note(self.party, Kind::Attached, connection.entry, 0);
        let (entry, handle) = (world.ids.get(connection.entry.index()), connection.handle);
        if let Some(entry) = entry.copied() {
            process.client.handle_input(world.now, ClientInput::Attached { entry, handle });
        }
    }

    /// The entry is gone.
    pub(crate) fn gone(&mut self, connection: &Connection, world: &mut World) {
        let Some(process) = &mut self.process else { return };
        if process.attaching.is_some_and(|(attaching, _)| attaching == *connection) {
            process.attaching = None;
        }
        if process.connection == Some(*connection) {
            process.connection = None;
            world.note(self.party, Kind::Detached, connection.entry, 0);
            process.client.handle_input(world.now, ClientInput::Detached);
        }
    }

    /// Takes a frame that came out of the downlink; none if it was lost there.
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
        let process = self.process.as_mut().filter(|process| {
            process.connection.is_some_and(|connection| lane == Lane::Downlink(connection.number))
        });
        let Some(process) = process else {
            return world.land_frame(from, self.party, lane, Fate::Unclaimed);
        };
        world.land_frame(from, self.party, lane, Fate::Received);
        if !observer.enabled() {
            return process.client.handle_input(world.now, ClientInput::Frame(frame));
        }
        let (id, _) = frame.parse_last_link();
        let before = process.client.counters();
        process.client.handle_input(world.now, ClientInput::Frame(frame));
        observer.learn(&id, truth(&before, &process.client.counters()));
    }

    pub(crate) fn send(&mut self, request: u64, to: Address, text: Vec<u8>, now: Time) -> bool {
        let Some(process) = &mut self.process else { return false };
        let to = Box::new(to);
        process.client.handle_input(now, ClientInput::Send { request, to, text });
        true
    }

    /// The disk has written rows.
    pub(crate) fn written(&mut self, incarnation: u64, world: &mut World) {
        let Some(process) = &mut self.process else { return };
        if process.incarnation != incarnation {
            return;
        }
        for (ticket, changes) in process.rows.end() {
            self.disk.write(changes);
            world.note_own(self.party, Kind::Persisted, ticket);
            process.client.handle_input(world.now, ClientInput::Persisted { ticket });
        }
    }

    /// Does what the core wants done, and sets the next wake.
    pub(crate) fn settle(
        &mut self,
        world: &mut World,
        happenings: &mut Vec<Happening>,
    ) -> Result<(), SimulationError> {
        while let Some(process) = &mut self.process
            && let Some(action) = process.client.poll_action(world.now)
        {
            match action {
                ClientAction::SendFrame(frame) => self.send_frame(frame, world),
                ClientAction::Persist { ticket, changes } => process.rows.push((ticket, changes)),
                ClientAction::Event(event) => {
                    // The user reads at once: what was told once is not told again.
                    if let ClientEvent::Received { message, .. } = &event {
                        let message = *message;
                        process.client.handle_input(world.now, ClientInput::Read { message });
                    }
                    self.note(&event, world);
                    happenings.push(Happening { at: world.now, client: self.party, event });
                }
                _ => {}
            }
        }
        let Some(process) = &mut self.process else { return Ok(()) };
        if process.rows.begin() {
            world.write(self.party, process.incarnation, Job::Rows);
        }
        let deadline = process.client.poll_deadline().filter(|at| *at < Time::MAX);
        world.wake(self.party, deadline, &mut process.wake)
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

    fn send_frame(&mut self, frame: Frame, world: &mut World) {
        if self.shim.to_suppress > 0 {
            self.shim.to_suppress -= 1;
            self.shim.suppressed += 1;
            return;
        }
        if let Some(connection) = self.process.as_ref().and_then(|process| process.connection) {
            let lane = Lane::Uplink(connection.number);
            world.send_frame(self.party, connection.entry, lane, frame);
        }
    }

    /// Puts a frame on the uplink in place of the core's next one. False if there is none.
    pub(crate) fn send_at_once(&mut self, frame: Frame, world: &mut World) -> bool {
        let Some(connection) = self.process.as_ref().and_then(|process| process.connection) else {
            return false;
        };
        self.shim.injected += 1;
        self.shim.to_suppress += 1;
        let lane = Lane::Uplink(connection.number);
        world.send_frame(self.party, connection.entry, lane, frame);
        true
    }

    fn note(&mut self, event: &ClientEvent, world: &mut World) {
        let request = |message: &MessageId| self.requests.get(message).copied().unwrap_or(0);
        let (kind, detail) = match event {
            ClientEvent::Accepted { request, message } => {
                self.requests.insert(*message, *request);
                (Kind::Accepted, *request)
            }
            ClientEvent::Sent { fragment, .. } => (Kind::Sent, u64::from(*fragment)),
            ClientEvent::Stored { message } => (Kind::Stored, request(message)),
            ClientEvent::Expired { message } => (Kind::Expired, request(message)),
            ClientEvent::Received { text, .. } => (Kind::Received, text.len() as u64),
            ClientEvent::Alarm(_) => (Kind::Alarm, 0),
            _ => (Kind::Reported, 0),
        };
        world.note_own(self.party, kind, detail);
    }

    /// The address to hand out; none while the process is down.
    pub(crate) fn address(&self, now: Time) -> Option<Address> {
        self.process.as_ref().map(|process| process.client.address(now))
    }

    pub(crate) fn counters(&self) -> Vec<Counters> {
        let running = self.process.as_ref().map(|process| process.client.counters());
        self.past.iter().copied().chain(running).collect()
    }

    pub(crate) const fn shim(&self) -> Shim {
        self.shim
    }

    pub(crate) fn connection(&self) -> Option<&Connection> {
        self.process.as_ref()?.connection.as_ref()
    }
}

impl Process {
    /// Whether a document is in force.
    fn ready(&self, world: &World) -> bool {
        let current = |view: &Arc<View>| view.current(&world.params, world.now).is_some();
        self.view.as_ref().is_some_and(current)
    }

    /// Takes what the answers agree on.
    fn adopt(&mut self, world: &mut World, party: Party) {
        let Some(fetch) = self.fetch.take() else { return };
        self.next_fetch = world.now + HOUSEKEEPING;
        let Ok(adopted) = adopt_documents(&world.params, &fetch.answers, world.now) else { return };
        self.next_fetch = world.now + world.params.epoch.scale(1, 10).max(HOUSEKEEPING);
        let newest = adopted.documents.keys().next_back().map_or(0, |epoch| epoch.number());
        world.note_own(party, Kind::View, newest);
        let view = adopted.view();
        self.view = Some(Arc::clone(&view));
        self.client.handle_input(world.now, ClientInput::View(view));
    }
}

fn hang_up(party: Party, connection: Connection, world: &mut World) {
    let entry = connection.entry;
    world.signal(party, entry, Event::Gone { party: entry, connection });
}

/// What a frame was, from what the client counted.
fn truth(before: &Counters, after: &Counters) -> Option<Truth> {
    let replies = |counters: &Counters| {
        counters.receipts_stored
            + counters.receipts_refused
            + counters.answers_dummy
            + counters.stream_items
    };
    if after.loops_returned > before.loops_returned {
        Some(Truth::Loop)
    } else if replies(after) > replies(before) {
        Some(Truth::Reply)
    } else {
        None
    }
}
