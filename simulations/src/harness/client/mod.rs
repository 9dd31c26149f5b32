//! A simulated client: its core, and the host around it.

mod connect;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use shoal_client::{
    Address, Change, Client, ClientAction, ClientConfig, ClientEvent, ClientInput, ClientKeys,
    Counters,
};
use shoal_packet::Frame;
use shoal_proto::{MessageId, Time};
use shoal_topology::View;
use zeroize::Zeroizing;

use self::connect::{ASKED, HOUSEKEEPING, hang_up};
use crate::harness::disk::{ClientDisk, Writer};
use crate::harness::flow::kind_of;
use crate::harness::observe::{Observer, Truth};
use crate::harness::trace::Kind;
use crate::harness::world::{Connection, Event, Fate, Job, Lane, World, is_due};
use crate::harness::{Happening, Party, SimulationError};

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
    /// What was counted at the last frame.
    counted: Counters,
}

/// Questions for documents under way.
struct Fetch {
    waiting: BTreeSet<u64>,
    answers: Vec<(Time, Vec<u8>)>,
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
        let failed = |source| SimulationError::Client {
            party: self.party,
            source,
        };
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
            counted: Counters::default(),
        });
        if let Some(presence) = world.presence.get_mut(self.party.index()) {
            *presence = Some(incarnation);
        }
        world.note_own(self.party, Kind::Started, incarnation);
        self.housekeep(world);
        world.after(
            HOUSEKEEPING,
            Event::Housekeeping {
                party: self.party,
                incarnation,
            },
        );
        Ok(())
    }

    /// Ends the process without warning.
    pub(crate) fn crash(&mut self, world: &mut World) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        if let Some(presence) = world.presence.get_mut(self.party.index()) {
            *presence = None;
        }
        world.note_own(self.party, Kind::Crashed, 0);
        if world.was_written(self.party) {
            process
                .rows
                .end()
                .into_iter()
                .for_each(|(_, changes)| self.disk.write(changes));
        }
        for connection in process
            .connection
            .into_iter()
            .chain(process.attaching.map(|(attaching, _)| attaching))
        {
            hang_up(self.party, connection, world);
        }
        self.past.push(process.client.counters());
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
            process
                .connection
                .is_some_and(|connection| lane == Lane::Downlink(connection.number))
        });
        let Some(process) = process else {
            return world.land_frame(from, self.party, lane, Fate::Unclaimed);
        };
        world.land_frame(from, self.party, lane, Fate::Received);
        if !observer.enabled() {
            return process
                .client
                .handle_input(world.now, ClientInput::Frame(frame));
        }
        let id = frame.last_link_id();
        let before = process.client.counters();
        process
            .client
            .handle_input(world.now, ClientInput::Frame(frame));
        observer.learn(&id, truth(&before, &process.client.counters()));
    }

    pub(crate) fn send(&mut self, request: u64, to: Address, text: Vec<u8>, now: Time) -> bool {
        let Some(process) = &mut self.process else {
            return false;
        };
        let to = Box::new(to);
        process
            .client
            .handle_input(now, ClientInput::Send { request, to, text });
        true
    }

    /// The disk has written rows.
    pub(crate) fn written(&mut self, incarnation: u64, world: &mut World) {
        let Some(process) = &mut self.process else {
            return;
        };
        if process.incarnation != incarnation {
            return;
        }
        for (ticket, changes) in process.rows.end() {
            self.disk.write(changes);
            world.note_own(self.party, Kind::Persisted, ticket);
            process
                .client
                .handle_input(world.now, ClientInput::Persisted { ticket });
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
                ClientAction::SendFrame(frame) => {
                    if world.flow.enabled() {
                        let counters = process.client.counters();
                        world
                            .flow
                            .announce(kind_of(&mut process.counted, &counters));
                    }
                    self.send_frame(frame, world);
                }
                ClientAction::Persist { ticket, changes } => process.rows.push((ticket, changes)),
                ClientAction::Event(event) => {
                    // The user reads at once: what was told once is not told again.
                    if let ClientEvent::Received { message, .. } = &event {
                        let message = *message;
                        process
                            .client
                            .handle_input(world.now, ClientInput::Read { message });
                    }
                    self.note(&event, world);
                    happenings.push(Happening {
                        at: world.now,
                        client: self.party,
                        event,
                    });
                }
                _ => {}
            }
        }
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        if process.rows.begin() {
            world.write(self.party, process.incarnation, Job::Rows);
        }
        let deadline = process.client.poll_deadline().filter(|at| *at < Time::MAX);
        world.wake(self.party, deadline, &mut process.wake)
    }

    /// Whether this wake is the one that was set last.
    pub(crate) fn woken(&mut self, now: Time) -> bool {
        let process = self.process.as_mut();
        process.is_some_and(|process| is_due(&mut process.wake, now))
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
        self.process
            .as_ref()
            .map(|process| process.client.address(now))
    }

    pub(crate) fn counters(&self) -> Vec<Counters> {
        let running = self
            .process
            .as_ref()
            .map(|process| process.client.counters());
        self.past.iter().copied().chain(running).collect()
    }

    pub(crate) const fn shim(&self) -> Shim {
        self.shim
    }

    pub(crate) fn connection(&self) -> Option<&Connection> {
        self.process.as_ref()?.connection.as_ref()
    }
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
