//! A client with its session: documents, the clock, the entry, and when to try again.
//!
//! ```text
//!  connections, frames, user, disk, jobs ──> SessionInput ──> Session ──> SessionAction ──> host
//! ```

mod clock;
mod documents;
mod entries;
mod entry;
mod error;
mod io;
mod job;
mod trust;
mod wait;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand::{CryptoRng, Rng as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use shoal_client::{
    Alarm, Change, Client, ClientAction, ClientConfig, ClientError, ClientInput, ClientKeys,
    Counters, MessageStatus, PeerKey, Row,
};
use shoal_packet::{Frame, NoticePiece};
use shoal_proto::{Epoch, MessageId, NodeId, Span, Time};
use shoal_topology::agreement::CertifiedAmendment;
use shoal_topology::{Looked, NetworkParameters, Role, Successor};
use zeroize::Zeroizing;

use self::clock::Offset;
use self::documents::{Documents, Progress};
use self::entries::Entries;
pub use self::entries::{forget_entries, kept_entries};
use self::entry::Entry;
pub use self::error::{Refusal, SessionError};
pub use self::io::{ConnectionId, Opening, SessionAction, SessionEvent, SessionInput};
use self::job::{Found, Work};
pub use self::job::{SessionDone, SessionJob};
use self::trust::Written;
pub use self::trust::{forget_trust, kept_successors, kept_trust, newest_seen};
use self::wait::Wait;
use crate::request::RequestKind;

/// Waits between attempts to connect: the first, and the longest after doubling. A connection that
/// lasted longer than that starts over.
const RETRY: (Span, Span) = (Span::from_millis(500), Span::from_secs(60));

/// A client and its session. See the [crate's documentation](crate) for what drives it.
///
/// Every time that goes in or comes out is the machine's; inside, the network's is used. Each
/// connection has an identity of its own, made for it and forgotten with it.
pub struct Session {
    params: Arc<NetworkParameters>,
    rng: ChaCha20Rng,
    client: Client<ChaCha20Rng>,
    profile: String,
    entries: Entries,
    documents: Documents,
    /// What the disk has of them.
    trust: Written,
    state: State,
    offset: Offset,
    /// When the epoch ends, and with it perhaps the entry.
    switch: Time,
    /// When another amendment takes effect, or one ends.
    amend_at: Option<Time>,
    /// The client role was told that it is attached.
    online: bool,
    /// That other values count was said.
    succeeded: bool,
    retry: Wait,
    connections: u64,
    tickets: u64,
    /// What waits for the disk: the client role's by its own ticket, the list of entries, or whose signatures
    /// count.
    writes: BTreeMap<u64, Writing>,
    /// The latest time of the network that the client role was told.
    last: Time,
    /// Just before the client role's next tick, while its timer has not fired.
    before: Option<Time>,
    actions: VecDeque<SessionAction>,
}

/// Whose changes wait for the disk.
enum Writing {
    Role(u64),
    Entries,
    Trust,
}

/// Where a session stands.
enum State {
    /// The user does not want to be online.
    Off,
    /// It tries again at this time.
    Waiting(Time),
    /// It asks for documents first.
    Fetching { since: Time },
    /// It has drawn entries, and waits until they are on disk.
    Drawing { since: Time, ticket: u64 },
    /// It has an entry, which may have accepted it.
    Entered { since: Time, entry: Entry },
}

impl Session {
    /// A session of a client with what its disk has. It is offline until
    /// [`SessionInput::Online`].
    ///
    /// # Errors
    /// When the configuration or a row makes no client. What was kept of the directory and can't be gone on
    /// from is an error, too: see [`kept_trust`].
    pub fn new<R: CryptoRng>(
        params: Arc<NetworkParameters>,
        config: ClientConfig,
        keys: ClientKeys,
        rng: &mut R,
        rows: &[Row],
        now: Time,
    ) -> Result<Self, ClientError> {
        let entries = Entries::new(config.entry, rows)?;
        let kept = kept_trust(&params, rows)?;
        let here = params.hash();
        let next = kept_successors(rows);
        let next = next.into_iter().find(|it| it.succession().follows == here);
        let profile = config.profile.clone();
        let own = ChaCha20Rng::from_rng(rng);
        let client = ChaCha20Rng::from_rng(rng);
        let mut client = Client::new(Arc::clone(&params), config, keys, client, rows, now)?;
        client.handle_input(now, ClientInput::Entries(entries.nodes()));
        Ok(Self {
            trust: Written::of(rows, next.as_ref()),
            documents: Documents::new(Arc::clone(&params), kept, next),
            params,
            rng: own,
            client,
            profile,
            entries,
            state: State::Off,
            offset: Offset::default(),
            switch: now,
            amend_at: None,
            succeeded: false,
            online: false,
            retry: Wait::new(RETRY.0, RETRY.1),
            connections: 0,
            tickets: 0,
            writes: BTreeMap::new(),
            last: now,
            before: None,
            actions: VecDeque::new(),
        })
    }

    /// Takes what happened. Until [`handle_timeout`](Self::handle_timeout) the client role's clocks
    /// do not tick: else whatever wakes a host, the user too, would let a packet that is due leave a
    /// little sooner than the timer does.
    pub fn handle_input(&mut self, now: Time, input: SessionInput) {
        let network = self.offset.network(now);
        match input {
            SessionInput::Online(true) => self.go_online(network),
            SessionInput::Online(false) => self.go_offline(network),
            SessionInput::Connected(connection) => self.connected(connection),
            SessionInput::LinkUp(connection) => self.linked(network, connection, true),
            SessionInput::LinkDown(connection) => self.linked(network, connection, false),
            SessionInput::Closed(connection) => self.closed(network, connection, false),
            SessionInput::RequestFailed(connection) => self.closed(network, connection, true),
            SessionInput::Response { connection, bytes } => {
                self.answered(network, connection, bytes);
            }
            SessionInput::Frame { connection, frame } => {
                if self.is_attached_by(connection) {
                    self.look_for_notice(network, &frame);
                    self.tell(network, ClientInput::Frame(frame));
                }
            }
            SessionInput::Done(done) => match done.found {
                Found::Looked(looked) => self.verified(network, done.number, &looked),
                Found::Amendment(certified) => self.amended(network, certified.as_ref()),
                Found::Token(work, Some(proof)) => {
                    self.tell(network, ClientInput::Worked { work, proof });
                }
                // Its place is given up after a day.
                Found::Token(_, None) => {}
            },
            SessionInput::Ask { request, what } => {
                self.tell(network, ClientInput::Ask { request, what });
            }
            SessionInput::RenewInvitations => self.tell(network, ClientInput::RenewInvitations),
            SessionInput::Read { message } => self.tell(network, ClientInput::Read { message }),
            SessionInput::Persisted { ticket } => self.written(network, ticket, Ok(())),
            SessionInput::PersistFailed { ticket, reason } => {
                self.written(network, ticket, Err(reason));
            }
        }
    }

    /// The time of [`poll_deadline`](Self::poll_deadline) has come.
    pub fn handle_timeout(&mut self, now: Time) {
        self.before = None;
        let network = self.offset.network(now);
        match &self.state {
            State::Waiting(until) if *until <= network => self.connect(network),
            State::Entered { entry, .. } if entry.deadline().is_some_and(|at| at <= network) => {
                self.fail(network, SessionError::AttachTimeout);
            }
            State::Entered { .. } if self.documents.is_due(network) => self.fetch(network),
            _ => {}
        }
        if network >= self.switch {
            self.check_documents(network);
        }
        if self.amend_at.is_some_and(|at| network >= at) {
            self.amend(network);
        }
        if self.succeeds_at().is_some_and(|at| network >= at) {
            self.succeeded = true;
            self.event(SessionEvent::Succeeded);
        }
        self.advance_fetch(network);
    }

    /// The next thing to do. Call it until it gives none, after every input and timeout.
    pub fn poll_action(&mut self, now: Time) -> Option<SessionAction> {
        let network = self.offset.network(now);
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Some(action);
            }
            let core = self.core_time(network);
            let Some(action) = self.client.poll_action(core) else {
                self.before = self
                    .client
                    .poll_deadline()
                    .map(|at| at - Span::from_micros(1));
                return None;
            };
            self.client_action(action);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if no input comes before.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Time> {
        let own = match &self.state {
            State::Off | State::Fetching { .. } | State::Drawing { .. } => None,
            State::Waiting(until) => Some(*until),
            State::Entered { entry, .. } => entry.deadline().or(Some(self.switch)),
        };
        let parts = [
            own,
            self.amend_at,
            self.succeeds_at(),
            self.documents.deadline(),
            self.client.poll_deadline(),
        ];
        let earliest = parts.into_iter().flatten().min();
        earliest.map(|at| self.offset.machine(at))
    }

    /// When other values count, by the network's time, unless that was said.
    fn succeeds_at(&self) -> Option<Time> {
        let next = self.documents.next().filter(|_| !self.succeeded);
        next.map(Successor::begins)
    }

    /// The file that follows on the network's, if one was fetched that was signed by those who sit.
    #[must_use]
    pub const fn successor(&self) -> Option<&Successor> {
        self.documents.next()
    }

    /// The network's time at a time of the machine.
    #[must_use]
    pub fn network_time(&self, now: Time) -> Time {
        self.offset.network(now)
    }

    /// How far the network's time is ahead of the machine's, in microseconds.
    #[must_use]
    pub fn clock_offset_us(&self) -> i64 {
        self.offset.micros()
    }

    /// The client role: what it knows of contacts, invitations, messages and mailboxes.
    #[must_use]
    pub const fn client(&self) -> &Client<ChaCha20Rng> {
        &self.client
    }

    /// Whether the user names the providers of the mailboxes, so that they stay.
    #[must_use]
    pub fn names_mailboxes(&self) -> bool {
        self.client.names_mailboxes()
    }

    /// Whether what is sent to the address is taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.client.is_open()
    }

    /// The providers of the own mailboxes: none before there are documents, one or two.
    pub fn mailbox_providers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.client.mailbox_providers()
    }

    /// All own places: those that are written to, those to come, and those that are left.
    #[must_use]
    pub fn places(&self) -> Vec<shoal_client::PlaceStatus> {
        self.client.places()
    }

    /// The key by which others know this client.
    #[must_use]
    pub fn public_key(&self) -> PeerKey {
        self.client.public_key()
    }

    /// How far a sent message has come; `None` if it is not remembered (any more).
    #[must_use]
    pub fn status(&self, message: &MessageId) -> Option<MessageStatus> {
        self.client.status(message)
    }

    /// All sent messages that are remembered, oldest first.
    pub fn sent_messages(&self) -> impl Iterator<Item = MessageStatus> + '_ {
        self.client.sent_messages()
    }

    /// What is wrong now, each thing once.
    #[must_use]
    pub fn alarms(&self) -> &[Alarm] {
        self.client.alarms()
    }

    /// What the client role did so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.client.counters()
    }

    /// Whether cover traffic runs: attached, with a document.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.client.is_running()
    }

    /// The entry that this client is attached to.
    #[must_use]
    pub fn entry(&self) -> Option<NodeId> {
        match &self.state {
            State::Entered { entry, .. } if entry.is_attached() => Some(entry.node),
            _ => None,
        }
    }

    /// What the entry knows this client by, while it is attached.
    #[must_use]
    pub fn handle(&self) -> Option<shoal_proto::ClientHandle> {
        match &self.state {
            State::Entered { entry, .. } if entry.is_attached() => Some(entry.handle),
            _ => None,
        }
    }

    /// The epoch of the document in force.
    #[must_use]
    pub fn document_epoch(&self, now: Time) -> Option<Epoch> {
        let (view, now) = (self.documents.view(), self.offset.network(now));
        view.current(&self.params, now)
            .map(|document| document.epoch())
    }

    fn go_online(&mut self, now: Time) {
        if matches!(self.state, State::Off) {
            self.retry.reset();
            self.connect(now);
        }
    }

    fn go_offline(&mut self, now: Time) {
        self.hang_up(now);
        if matches!(self.state, State::Drawing { .. }) {
            // Nothing of it is used before it is on disk.
            self.entries.forget();
        }
        self.state = State::Off;
    }

    /// Asks for documents, and then for an entry.
    fn connect(&mut self, now: Time) {
        self.state = State::Fetching { since: now };
        self.fetch(now);
    }

    fn fetch(&mut self, now: Time) {
        let mut waiting = BTreeMap::new();
        for (to, addresses) in self.documents.choose(now, &mut self.rng) {
            let connection = self.open(to, addresses, false);
            waiting.insert(connection, to);
        }
        self.documents.begin(now, waiting);
        self.advance_fetch(now);
    }

    fn open(
        &mut self,
        to: NodeId,
        addresses: Vec<shoal_topology::Address>,
        packets: bool,
    ) -> ConnectionId {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        let mut secret = Zeroizing::new([0; 32]);
        self.rng.fill_bytes(secret.as_mut());
        self.act(SessionAction::Open(Opening {
            connection,
            secret,
            to,
            addresses,
            packets,
        }));
        connection
    }

    fn connected(&mut self, connection: ConnectionId) {
        let (kind, bytes) = match &self.state {
            State::Entered { entry, .. } if entry.connection == connection => {
                (RequestKind::Attach, entry.request(&self.profile))
            }
            _ if self.documents.awaits(connection) => {
                (RequestKind::Directory, self.documents.question())
            }
            _ => return,
        };
        self.act(SessionAction::Request {
            connection,
            kind,
            bytes,
        });
    }

    fn answered(&mut self, now: Time, connection: ConnectionId, bytes: Vec<u8>) {
        if self.documents.awaits(connection) {
            self.documents.answered(now, connection, bytes);
            self.act(SessionAction::Close(connection));
            return self.advance_fetch(now);
        }
        let State::Entered { entry, .. } = &mut self.state else {
            return;
        };
        if entry.connection != connection || entry.is_attached() {
            return;
        }
        match entry.answered(&bytes) {
            Ok(()) => self.enter(now),
            Err(error) => self.fail(now, error),
        }
    }

    fn linked(&mut self, now: Time, connection: ConnectionId, up: bool) {
        let State::Entered { entry, .. } = &mut self.state else {
            return;
        };
        if entry.connection != connection {
            return;
        }
        let was = entry.is_attached();
        entry.link(up);
        if was && !up {
            self.fail(now, SessionError::Closed);
        } else if !was {
            self.enter(now);
        }
    }

    /// The connection is gone, or its question is not answered.
    fn closed(&mut self, now: Time, connection: ConnectionId, open: bool) {
        if self.documents.awaits(connection) {
            self.documents.failed(connection);
            if open {
                self.act(SessionAction::Close(connection));
            }
            return self.advance_fetch(now);
        }
        if matches!(&self.state, State::Entered { entry, .. } if entry.connection == connection) {
            self.fail(now, SessionError::Closed);
        }
    }

    /// Looks whether the fetch under way has come to something.
    fn advance_fetch(&mut self, now: Time) {
        let (late, progress) = self.documents.progress(now);
        for connection in late {
            self.act(SessionAction::Close(connection));
        }
        match progress {
            Progress::Waits => {}
            Progress::Verify(job) => self.act(SessionAction::Job(job)),
            Progress::Failed(error) => self.fetch_failed(now, error),
        }
    }

    fn fetch_failed(&mut self, now: Time, error: SessionError) {
        // Who is shown two networks sends nothing more, and says so.
        let contradicted = matches!(&error, SessionError::Adopt(error) if error.is_contradiction());
        if matches!(self.state, State::Entered { .. }) && !contradicted {
            self.documents.plan_again(now, &mut self.rng);
            self.event(SessionEvent::NotRenewed(error));
        } else {
            self.fail(now, error);
        }
    }

    /// The documents of the answers were looked at.
    fn verified(&mut self, now: Time, number: u64, looked: &Looked) {
        match self.documents.verified(now, number, looked) {
            Some(Ok(ahead_us)) => self.take_documents(now, ahead_us),
            Some(Err(error)) => self.fetch_failed(now, error),
            None => return,
        }
        self.keep_trust();
    }

    /// A frame from the entry may carry what all its clients are told. Nothing is sent for it, and nothing sooner or
    /// later: what changes is over whom new routes lead.
    fn look_for_notice(&mut self, now: Time, frame: &Frame) {
        let piece = NoticePiece::of(frame);
        if let Some(job) = piece.and_then(|piece| self.documents.shown(now, piece)) {
            self.act(SessionAction::Job(job));
        }
    }

    /// The signatures of an amendment have been looked at.
    fn amended(&mut self, now: Time, certified: Option<&CertifiedAmendment>) {
        if let Some(certified) = certified {
            self.documents.amended(now, certified);
            self.amend(now);
        }
    }

    /// The client role goes by the amendment that holds now.
    fn amend(&mut self, now: Time) {
        if self.documents.amend(now) {
            let view = Arc::clone(self.documents.view());
            self.tell(now, ClientInput::View(view));
        }
        self.amend_at = self.documents.amendment_deadline(now);
    }

    /// Has on disk what the next run has to know. Nothing waits for it: that nobody hears when it is written,
    /// and a crash before that costs no more than asking for the same again.
    fn keep_trust(&mut self) {
        let kept = self.documents.kept();
        let next = self.documents.next();
        let changes = kept.map(|kept| self.trust.changes(kept, next, &self.params));
        let changes = changes.unwrap_or_default();
        if !changes.is_empty() {
            self.persist(Writing::Trust, changes);
        }
    }

    fn take_documents(&mut self, now: Time, ahead_us: i64) {
        let now = match self.offset.correct(ahead_us) {
            true => self.move_clock(now, ahead_us),
            false => now,
        };
        let view = Arc::clone(self.documents.view());
        if let Some(document) = view.current(&self.params, now) {
            let in_force = document.epoch();
            let newest = view.documents.keys().next_back().copied();
            let newest = newest.unwrap_or(in_force);
            self.event(SessionEvent::Documents { in_force, newest });
        }
        self.tell(now, ClientInput::View(Arc::clone(&view)));
        self.amend_at = self.documents.amendment_deadline(now);
        match self.state {
            State::Fetching { since } => self.approach(now, since),
            State::Entered { .. } => {
                self.documents.renewed(now, &mut self.rng);
                self.check_entry(now);
            }
            State::Off | State::Waiting(_) | State::Drawing { .. } => {}
        }
    }

    /// The machine's clock was off: from now on the time is another one, everything that waits
    /// waits as long as before, and who is attached attaches anew. Gives the time.
    fn move_clock(&mut self, now: Time, ahead_us: i64) -> Time {
        let parts = |micros: i64| (micros >= 0, Span::from_micros(micros.unsigned_abs()));
        let (ahead, by) = parts(self.offset.micros());
        self.event(SessionEvent::ClockCorrected { ahead, by });
        let (ahead, by) = parts(ahead_us);
        let shift = |at: Time| at.shifted(ahead_us);
        if matches!(self.state, State::Entered { .. }) {
            self.hang_up(now);
            self.state = State::Fetching { since: now };
        }
        let now = shift(now);
        self.last = now;
        self.before = None;
        self.client
            .handle_input(now, ClientInput::ClockMoved { ahead, by });
        self.documents.shift(shift);
        self.amend_at = self.amend_at.map(shift);
        self.entries.shift(shift);
        match &mut self.state {
            State::Waiting(until) => *until = shift(*until),
            State::Fetching { since } | State::Drawing { since, .. } => *since = shift(*since),
            State::Entered { since, entry } => {
                *since = shift(*since);
                entry.shift(shift);
            }
            State::Off => {}
        }
        now
    }

    /// Has documents: asks an entry to be attached, or draws entries first.
    fn approach(&mut self, now: Time, since: Time) {
        let document = match self.documents.current(now) {
            Ok(document) => Arc::clone(document),
            Err(error) => return self.fail(now, error),
        };
        let mailboxes: Vec<NodeId> = self.client.mailbox_providers().collect();
        if self.entries.is_over(now) {
            let drawn = self.entries.draw(now, &document, &mailboxes, &mut self.rng);
            match drawn {
                Ok(change) => {
                    let entries = self.entries.nodes();
                    self.tell(now, ClientInput::Entries(entries));
                    let ticket = self.persist(Writing::Entries, vec![change]);
                    self.state = State::Drawing { since, ticket };
                }
                Err(error) => self.fail(now, error),
            }
            return;
        }
        let chosen = self.entries.choose(now, &document, &mailboxes);
        match chosen.map(|member| (member.id, member.addresses.clone())) {
            Ok((node, addresses)) => {
                let connection = self.open(node, addresses, true);
                let entry = Entry::new(now, connection, node, &mut self.rng);
                self.switch = self.params.start_of(self.params.epoch_at(now).next());
                self.state = State::Entered { since, entry };
            }
            Err(error) => self.fail(now, error),
        }
    }

    /// The disk has written something, or could not.
    fn written(&mut self, now: Time, ticket: u64, outcome: Result<(), String>) {
        match (self.writes.remove(&ticket), outcome) {
            (Some(Writing::Role(ticket)), Ok(())) => {
                self.tell(now, ClientInput::Persisted { ticket });
            }
            (Some(Writing::Role(ticket)), Err(reason)) => {
                self.tell(now, ClientInput::PersistFailed { ticket, reason });
            }
            (Some(Writing::Entries), Ok(())) => {
                if let State::Drawing {
                    since,
                    ticket: drawn,
                } = self.state
                    && drawn == ticket
                {
                    self.approach(now, since);
                }
            }
            (Some(Writing::Entries), Err(reason)) => {
                if matches!(self.state, State::Drawing { ticket: drawn, .. } if drawn == ticket) {
                    self.entries.forget();
                    self.fail(now, SessionError::NotKept(reason));
                }
            }
            (Some(Writing::Trust), Err(reason)) => {
                self.trust.failed();
                self.event(SessionEvent::TrustNotKept { reason });
            }
            (Some(Writing::Trust), Ok(())) | (None, _) => {}
        }
    }

    fn persist(&mut self, whose: Writing, changes: Vec<Change>) -> u64 {
        self.tickets += 1;
        let ticket = self.tickets;
        self.writes.insert(ticket, whose);
        self.act(SessionAction::Persist { ticket, changes });
        ticket
    }

    /// Attached, if the entry has accepted us and the link is up.
    fn enter(&mut self, now: Time) {
        let State::Entered { entry, .. } = &self.state else {
            return;
        };
        if !entry.is_attached() {
            return;
        }
        let (entry, handle) = (entry.node, entry.handle);
        self.online = true;
        self.tell(now, ClientInput::Attached { entry, handle });
        self.documents.plan(now, &mut self.rng);
        self.event(SessionEvent::Online { entry });
    }

    /// A switch: without a document for the new epoch it would mark its frames as nobody else does.
    fn check_documents(&mut self, now: Time) {
        match self.documents.current(now).err() {
            Some(error) if matches!(self.state, State::Entered { .. }) => self.fail(now, error),
            _ => self.check_entry(now),
        }
    }

    /// From a switch on, an entry that the document in force does not list is of no use: every packet
    /// would lead nowhere.
    fn check_entry(&mut self, now: Time) {
        let State::Entered { entry, .. } = &self.state else {
            return;
        };
        self.switch = self.params.start_of(self.params.epoch_at(now).next());
        let view = self.documents.view();
        let gone = view.current(&self.params, now).is_some_and(|document| {
            let member = document.member(&entry.node);
            member.is_none_or(|member| member.role != Role::Provider)
        });
        if gone {
            self.fail(now, SessionError::EntryGone);
        }
    }

    fn is_attached_by(&self, connection: ConnectionId) -> bool {
        matches!(&self.state, State::Entered { entry, .. }
            if entry.is_attached() && entry.connection == connection)
    }

    /// Says why, and tries again later.
    fn fail(&mut self, now: Time, error: SessionError) {
        let since = match &self.state {
            State::Fetching { since }
            | State::Drawing { since, .. }
            | State::Entered { since, .. } => *since,
            State::Off | State::Waiting(_) => return,
        };
        let lasted = now.since(since) > RETRY.1;
        let by_entry = matches!(
            error,
            SessionError::AttachTimeout | SessionError::Refused(_) | SessionError::Closed
        );
        let failed = match &self.state {
            State::Entered { entry, .. } if by_entry => Some(entry.node),
            _ => None,
        };
        let was_online = self.hang_up(now);
        if let Some(node) = failed {
            self.entries.failed(now, &node);
        }
        if lasted {
            self.retry.reset();
        }
        self.state = State::Waiting(now + self.retry.draw(&mut self.rng));
        let reason = error;
        self.event(SessionEvent::Offline { reason, was_online });
    }

    /// Closes every connection. Whether cover traffic ran until now.
    fn hang_up(&mut self, now: Time) -> bool {
        for connection in self.documents.give_up() {
            self.act(SessionAction::Close(connection));
        }
        if let State::Entered { entry, since } = &self.state {
            let connection = entry.connection;
            if self.online && now.since(*since) > RETRY.1 {
                self.entries.served(&entry.node);
            }
            self.act(SessionAction::Close(connection));
        }
        if self.online {
            self.tell(now, ClientInput::Detached);
        }
        std::mem::take(&mut self.online)
    }

    /// Tells the client role something.
    fn tell(&mut self, now: Time, input: ClientInput) {
        let now = self.core_time(now);
        self.client.handle_input(now, input);
    }

    /// The time, as far as the client role may know it: until the timer fires, it stays before the
    /// next tick, and it never goes back.
    fn core_time(&mut self, now: Time) -> Time {
        let now = self.before.map_or(now, |before| now.min(before));
        self.last = self.last.max(now);
        self.last
    }

    fn client_action(&mut self, action: ClientAction) {
        match action {
            ClientAction::SendFrame(frame) => self.send(frame),
            ClientAction::Persist { ticket, changes } => {
                self.persist(Writing::Role(ticket), changes);
            }
            ClientAction::Event(event) => self.event(SessionEvent::Client(event)),
            ClientAction::Work(labour) => self.act(SessionAction::Job(SessionJob {
                params: Arc::clone(&self.params),
                number: 0,
                work: Work::Token(labour),
            })),
            // What it will come to say later changes nothing here.
            _ => {}
        }
    }

    fn send(&mut self, frame: Frame) {
        if let State::Entered { entry, .. } = &self.state {
            let connection = entry.connection;
            self.act(SessionAction::Send { connection, frame });
        }
    }

    fn event(&mut self, event: SessionEvent) {
        self.act(SessionAction::Event(event));
    }

    fn act(&mut self, action: SessionAction) {
        self.actions.push_back(action);
    }
}
