//! A running client: the session, and what carries its connections, frames and rows.

use std::collections::BTreeMap;

use shoal_client::{Change, ClientEvent, Counters, UserRequest};
use shoal_packet::Frame;
use shoal_proto::{ClientHandle, MessageId, Time};
use shoal_roles::RequestKind;
use shoal_roles::client::{
    ConnectionId, Opening, Session, SessionAction, SessionEvent, SessionInput,
};

use super::connections::{Connections, hang_up};
use super::shim::Shim;
use crate::disk::{ClientDisk, Writer};
use crate::error::SimulationError;
use crate::event::{Asker, Connection, DiskJob, Event, Lane};
use crate::flow::kind_of;
use crate::observe::{Observer, Truth};
use crate::party::Party;
use crate::report::Happening;
use crate::trace::Kind;
use crate::world::{Fate, World, is_due};

/// What a crash ends.
pub(super) struct Process {
    party: Party,
    incarnation: u64,
    session: Session,
    connections: Connections,
    /// Questions that wait for their answer.
    asked: BTreeMap<u64, ConnectionId>,
    rows: Writer<(u64, Vec<Change>)>,
    /// The entry as it was noted last.
    attached: Option<(Party, ClientHandle)>,
    /// Frames for which there was no link.
    lost: u64,
    wake: Option<Time>,
    /// What was counted at the last frame.
    counted: Counters,
}

/// What a process leaves to its host.
pub(super) struct Outlet<'a> {
    pub(super) shim: &'a mut Shim,
    pub(super) requests: &'a mut BTreeMap<MessageId, u64>,
    pub(super) happenings: &'a mut Vec<Happening>,
}

impl Process {
    pub(super) fn new(party: Party, incarnation: u64, session: Session) -> Self {
        Self {
            party,
            incarnation,
            session,
            connections: Connections::default(),
            asked: BTreeMap::new(),
            rows: Writer::new(),
            attached: None,
            lost: 0,
            wake: None,
            counted: Counters::default(),
        }
    }

    pub(super) const fn session(&self) -> &Session {
        &self.session
    }

    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    pub(super) const fn attached(&self) -> Option<(Party, ClientHandle)> {
        self.attached
    }

    pub(super) fn connections(&self) -> Vec<Connection> {
        self.connections.all()
    }

    pub(super) fn link(&self) -> Option<Connection> {
        self.connections.any_link()
    }

    /// What the disk was writing when the process ended; every connection ends with it.
    pub(super) fn end(&mut self, world: &mut World) -> Vec<(u64, Vec<Change>)> {
        for connection in self.connections.all() {
            hang_up(connection, world);
        }
        self.rows.end()
    }

    pub(super) fn set_online(&mut self, online: bool, now: Time) {
        self.session.handle_input(now, SessionInput::Online(online));
    }

    pub(super) fn want(&mut self, request: u64, what: UserRequest, now: Time) {
        self.session
            .handle_input(now, SessionInput::Ask { request, what });
    }

    /// Has an event happen. False if nothing follows from it.
    pub(super) fn happen(
        &mut self,
        event: Event,
        world: &mut World,
        observer: &mut Observer,
    ) -> bool {
        let now = world.now;
        let input = match event {
            Event::Wake { .. } => {
                let due = is_due(&mut self.wake, now);
                if due {
                    self.session.handle_timeout(now);
                }
                return due;
            }
            Event::Frame {
                from, lane, frame, ..
            } => return self.frame(from, lane, frame, world, observer),
            Event::Answer {
                number, response, ..
            } => self.answered(number, response),
            Event::AskTimeout { number, .. } => self.answered(number, None),
            Event::Dialled { connection } => {
                let stands = self.connections.dialled(&connection, world);
                stands.map(SessionInput::Connected)
            }
            Event::DialTimeout { connection } => {
                let given_up = self.connections.timed_out(&connection);
                if given_up.is_some() {
                    hang_up(connection, world);
                }
                given_up.map(SessionInput::Closed)
            }
            Event::Linked { connection, up } => {
                let linked = self.connections.link(&connection, up);
                linked.map(if up {
                    SessionInput::LinkUp
                } else {
                    SessionInput::LinkDown
                })
            }
            Event::Gone { connection, .. } => {
                self.connections.gone(&connection).map(SessionInput::Closed)
            }
            _ => None,
        };
        let Some(input) = input else { return false };
        self.session.handle_input(now, input);
        true
    }

    /// Takes a frame that came out of the downlink; none if it was lost there.
    fn frame(
        &mut self,
        from: Party,
        lane: Lane,
        frame: Option<Frame>,
        world: &mut World,
        observer: &mut Observer,
    ) -> bool {
        let Some(frame) = frame else {
            world.land_frame(from, self.party, lane, Fate::Lost);
            return false;
        };
        let connection = match lane {
            Lane::Downlink(number) => self.connections.receiver(number),
            Lane::Members(_) | Lane::Uplink(_) => None,
        };
        let Some(connection) = connection else {
            world.land_frame(from, self.party, lane, Fate::Unclaimed);
            return false;
        };
        world.land_frame(from, self.party, lane, Fate::Received);
        let (id, before) = (frame.last_link_id(), self.session.counters());
        let input = SessionInput::Frame { connection, frame };
        self.session.handle_input(world.now, input);
        if observer.enabled() {
            observer.learn(&id, truth(&before, &self.session.counters()));
        }
        true
    }

    fn answered(&mut self, number: u64, response: Option<Vec<u8>>) -> Option<SessionInput> {
        let connection = self.asked.remove(&number)?;
        Some(match response {
            Some(bytes) => SessionInput::Response { connection, bytes },
            None => SessionInput::RequestFailed(connection),
        })
    }

    /// The disk has written rows, or could not.
    pub(super) fn written(&mut self, incarnation: u64, world: &mut World, disk: &mut ClientDisk) {
        if incarnation != self.incarnation {
            return;
        }
        let fails = world.conditions.disk_fails(self.party);
        for (ticket, changes) in self.rows.end() {
            let input = if fails {
                world.note_own(self.party, Kind::DiskFailed, ticket);
                let reason = "the disk fails".to_owned();
                SessionInput::PersistFailed { ticket, reason }
            } else {
                disk.write(changes);
                world.note_own(self.party, Kind::Persisted, ticket);
                SessionInput::Persisted { ticket }
            };
            self.session.handle_input(world.now, input);
        }
    }

    /// Does what the session wants done, and sets the next wake.
    pub(super) fn settle(
        &mut self,
        outlet: &mut Outlet<'_>,
        world: &mut World,
        observer: &mut Observer,
    ) -> Result<(), SimulationError> {
        while let Some(action) = self.session.poll_action(world.now) {
            self.act(action, outlet, world);
            self.note_entry(world, observer);
        }
        if self.rows.begin() {
            world.write(self.party, self.incarnation, DiskJob::Rows);
        }
        world.wake(self.party, self.session.poll_deadline(), &mut self.wake)
    }

    fn act(&mut self, action: SessionAction, outlet: &mut Outlet<'_>, world: &mut World) {
        match action {
            SessionAction::Open(opening) => self.open(&opening, world),
            SessionAction::Request {
                connection,
                kind,
                bytes,
            } => self.ask(connection, kind, bytes, world),
            SessionAction::Send { connection, frame } => {
                self.send_frame(connection, frame, outlet.shim, world);
            }
            SessionAction::Close(connection) => {
                self.asked.retain(|_, asked| *asked != connection);
                self.connections.close(connection, world);
            }
            SessionAction::Persist { ticket, changes } => self.rows.push((ticket, changes)),
            SessionAction::Job(job) => {
                let done = world.workshop.client(job);
                self.session
                    .handle_input(world.now, SessionInput::Done(done));
            }
            SessionAction::Event(event) => self.tell(event, outlet, world),
            // What it will come to say later is not for a host in virtual time.
            _ => {}
        }
    }

    fn open(&mut self, opening: &Opening, world: &mut World) {
        if !self.connections.open(self.party, opening, world) {
            let input = SessionInput::Closed(opening.connection);
            self.session.handle_input(world.now, input);
        }
    }

    fn ask(&mut self, id: ConnectionId, kind: RequestKind, request: Vec<u8>, world: &mut World) {
        let Some(connection) = self.connections.get(id) else {
            let input = SessionInput::RequestFailed(id);
            return self.session.handle_input(world.now, input);
        };
        let number = world.ask(Asker::Client(connection), connection.node, kind, request);
        self.asked.insert(number, id);
    }

    fn send_frame(&mut self, id: ConnectionId, frame: Frame, shim: &mut Shim, world: &mut World) {
        if world.flow.enabled() {
            let kind = kind_of(&mut self.counted, &self.session.counters());
            world.flow.announce(kind);
        }
        if shim.suppresses() {
            return;
        }
        match self.connections.link_of(id) {
            Some(link) => {
                let lane = Lane::Uplink(link.number);
                world.send_frame(self.party, link.node, lane, frame);
            }
            None => self.lost += 1,
        }
    }

    /// Tells the user, or a program. Both read at once: what was told once is not told again.
    fn tell(&mut self, event: SessionEvent, outlet: &mut Outlet<'_>, world: &mut World) {
        if let SessionEvent::Client(
            ClientEvent::Received { message, .. } | ClientEvent::ReceivedData { message, .. },
        ) = &event
        {
            let input = SessionInput::Read { message: *message };
            self.session.handle_input(world.now, input);
        }
        let (kind, detail) = match &event {
            SessionEvent::Client(event) => role_kind(event, outlet.requests),
            SessionEvent::Documents { newest, .. } => (Kind::View, newest.number()),
            SessionEvent::Offline { .. } | SessionEvent::NotRenewed(_) => (Kind::Failed, 0),
            _ => (Kind::Reported, 0),
        };
        world.note_own(self.party, kind, detail);
        outlet.happenings.push(Happening {
            at: world.now,
            client: self.party,
            event,
        });
    }

    /// Notes whom the client is attached to, if that has changed.
    fn note_entry(&mut self, world: &mut World, observer: &mut Observer) {
        let entry = self.session.entry();
        let entry = entry.and_then(|id| world.parties.get(&id).copied());
        let attached = entry.zip(self.session.handle());
        if attached == self.attached {
            return;
        }
        if let Some((old, _)) = std::mem::replace(&mut self.attached, attached) {
            world.note(self.party, Kind::Detached, old, 0);
        }
        if let Some((entry, handle)) = attached {
            observer.attached(handle);
            world.note(self.party, Kind::Attached, entry, 0);
        }
    }
}

/// How the trace puts what the client role says.
fn role_kind(event: &ClientEvent, requests: &mut BTreeMap<MessageId, u64>) -> (Kind, u64) {
    let known = |message: &MessageId| requests.get(message).copied().unwrap_or(0);
    match event {
        ClientEvent::Accepted { request, message } => {
            requests.insert(*message, *request);
            (Kind::Accepted, *request)
        }
        ClientEvent::Sent { fragment, .. } => (Kind::Sent, u64::from(*fragment)),
        ClientEvent::Stored { message } => (Kind::Stored, known(message)),
        ClientEvent::Expired { message } => (Kind::Expired, known(message)),
        ClientEvent::Received { text, .. } => (Kind::Received, text.len() as u64),
        ClientEvent::Alarm(_) => (Kind::Alarm, 0),
        _ => (Kind::Reported, 0),
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
