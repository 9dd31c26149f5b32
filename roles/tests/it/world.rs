//! A session and a scripted network around it: who answers, what, and how fast.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use shoal_client::{Change, ClientConfig, ClientError, ClientKeys, Label, Row, Table, UserRequest};
use shoal_proto::{Epoch, NodeId, Span, Time, wire};
use shoal_roles::RequestKind;
use shoal_roles::client::{
    ConnectionId, Opening, Session, SessionAction, SessionEvent, SessionInput, kept_successors,
};
use shoal_topology::sample::Network;
use shoal_topology::{Document, NetworkParameters, Role};
use zeroize::Zeroizing;

/// How long everything takes that somebody else does.
const ROUND_TRIP: Span = Span::from_millis(80);

/// What a node answers to a question for the directory.
#[derive(Clone)]
pub(crate) enum Answer {
    /// These documents, and a clock that is ahead by so many microseconds.
    Documents(Vec<Arc<Document>>, i64),
    /// Nothing: the connection is refused.
    Nothing,
    /// Nothing ever.
    Silence,
}

/// What an entry answers to a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Open,
    Shut(wire::AttachStatus),
}

/// The user invites somebody.
pub(crate) fn to_invite() -> SessionInput {
    let what = UserRequest::Invite {
        once: false,
        life: Span::from_secs(365 * 86_400),
        label: Label::default(),
    };
    SessionInput::Ask { request: 0, what }
}

pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) session: Session,
    pub(crate) now: Time,
    pub(crate) answers: BTreeMap<NodeId, Answer>,
    pub(crate) default: Answer,
    pub(crate) door: Door,
    /// Entries that can't be reached.
    pub(crate) dead: BTreeSet<NodeId>,
    /// Questions that were asked: when, whom, what.
    pub(crate) asked: Vec<(Time, NodeId, RequestKind)>,
    /// Those for the directory, as they were sent.
    pub(crate) questions: Vec<Vec<u8>>,
    pub(crate) events: Vec<(Time, SessionEvent)>,
    /// When frames left.
    pub(crate) frames: Vec<Time>,
    /// How long each job takes.
    pub(crate) job: Span,
    /// What is on the client's disk.
    pub(crate) rows: BTreeMap<(Table, Vec<u8>), Zeroizing<Vec<u8>>>,
    /// How often each table was written.
    pub(crate) writes: BTreeMap<Table, u32>,
    /// The table that can't be written.
    pub(crate) full: Option<Table>,
    /// The file that follows on the network's, for who asks and has none newer.
    pub(crate) successor: Vec<u8>,
    /// Only the first who is asked, of those who are asked at once, shows it.
    pub(crate) shown_by_one: bool,
    config: ClientConfig,
    secret: Zeroizing<Vec<u8>>,
    open: BTreeMap<ConnectionId, Opening>,
    coming: Vec<(Time, SessionInput)>,
}

impl World {
    /// Eleven nodes with the documents of epoch 0 and 1; everybody answers with the first.
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(seed, |_| {})
    }

    pub(crate) fn with(seed: u64, configure: impl FnOnce(&mut ClientConfig)) -> Self {
        Self::of(seed, NetworkParameters::example(), configure)
    }

    /// The same with a term of so many documents.
    pub(crate) fn of_term(seed: u64, term: u32) -> Self {
        let params = NetworkParameters {
            term,
            ..NetworkParameters::example()
        };
        Self::of(seed, params, |_| {})
    }

    fn of(seed: u64, params: NetworkParameters, configure: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut network = Network::new(&mut rng, params, 2, 5);
        let first = network.document(&mut rng, Epoch::new(0), None).unwrap();
        let now = network.params.genesis + Span::from_secs(10);
        let mailbox = network.ids(Role::Provider).next().unwrap();
        let mut config = ClientConfig::new(mailbox);
        configure(&mut config);
        let keys = ClientKeys::generate(&mut rng);
        let secret = keys.to_bytes();
        let params = Arc::clone(&network.params);
        let session = Session::new(params, config.clone(), keys, &mut rng, &[], now).unwrap();
        Self {
            network,
            rng,
            session,
            now,
            answers: BTreeMap::new(),
            default: Answer::Documents(vec![first], 0),
            door: Door::Open,
            dead: BTreeSet::new(),
            rows: BTreeMap::new(),
            writes: BTreeMap::new(),
            full: None,
            successor: Vec::new(),
            shown_by_one: false,
            config,
            secret,
            asked: Vec::new(),
            questions: Vec::new(),
            events: Vec::new(),
            frames: Vec::new(),
            job: Span::ZERO,
            open: BTreeMap::new(),
            coming: Vec::new(),
        }
    }

    /// The documents that everybody answers with by default.
    pub(crate) fn documents(&self) -> Vec<Arc<Document>> {
        match &self.default {
            Answer::Documents(documents, _) => documents.clone(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn input(&mut self, input: SessionInput) {
        self.session.handle_input(self.now, input);
        self.settle();
    }

    pub(crate) fn run_for(&mut self, span: Span) {
        let until = self.now + span;
        loop {
            let next = self.coming.iter().map(|(at, _)| *at).min();
            let timer = self.session.poll_deadline();
            let at = next.into_iter().chain(timer).min().unwrap_or(Time::MAX);
            if at > until {
                self.now = until;
                return;
            }
            self.now = self.now.max(at);
            if let Some(place) = self.coming.iter().position(|(due, _)| *due <= self.now) {
                let (_, input) = self.coming.remove(place);
                self.session.handle_input(self.now, input);
            } else {
                self.session.handle_timeout(self.now);
            }
            self.settle();
        }
    }

    /// Runs until it says something that is wanted.
    pub(crate) fn run_until(
        &mut self,
        limit: Span,
        wanted: impl Fn(&SessionEvent) -> bool,
    ) -> bool {
        let until = self.now + limit;
        let seen = self.events.len();
        while self.now < until {
            self.run_for(Span::from_millis(10));
            if self
                .events
                .iter()
                .skip(seen)
                .any(|(_, event)| wanted(event))
            {
                return true;
            }
        }
        false
    }

    pub(crate) fn is_online(&self) -> bool {
        self.session.entry().is_some()
    }

    /// The packet connection is cut.
    pub(crate) fn cut(&mut self) {
        let cut: Vec<ConnectionId> = self.open.keys().copied().collect();
        for connection in cut {
            self.open.remove(&connection);
            self.input(SessionInput::Closed(connection));
        }
    }

    /// The client's process ends and starts again from its disk.
    pub(crate) fn restart(&mut self) {
        self.try_restart().unwrap();
    }

    /// What is on its disk.
    pub(crate) fn all_rows(&self) -> Vec<Row> {
        let row = |((table, key), value): (&(Table, Vec<u8>), &Zeroizing<Vec<u8>>)| Row {
            table: *table,
            key: key.clone(),
            value: value.clone(),
        };
        self.rows.iter().map(row).collect()
    }

    /// The same, where it may not start.
    pub(crate) fn try_restart(&mut self) -> Result<(), ClientError> {
        let rows = self.all_rows();
        let params = (*self.network.params).clone();
        let params = params.at(&kept_successors(&rows), self.now, None);
        let params = Arc::new(params);
        let keys = ClientKeys::from_bytes(&self.secret).unwrap();
        let config = self.config.clone();
        let session = Session::new(params, config, keys, &mut self.rng, &rows, self.now);
        self.session = session?;
        self.open.clear();
        self.coming.clear();
        Ok(())
    }

    fn later(&mut self, input: SessionInput) {
        self.coming.push((self.now + ROUND_TRIP, input));
    }

    fn settle(&mut self) {
        while let Some(action) = self.session.poll_action(self.now) {
            match action {
                SessionAction::Open(opening) => self.dial(opening),
                SessionAction::Request {
                    connection,
                    kind,
                    bytes,
                } => {
                    if kind == RequestKind::Directory {
                        self.questions.push(bytes);
                    }
                    self.ask(connection, kind);
                }
                SessionAction::Send { connection, .. } => {
                    assert!(self.open.contains_key(&connection));
                    self.frames.push(self.now);
                }
                SessionAction::Close(connection) => {
                    self.open.remove(&connection);
                }
                SessionAction::Persist { ticket, changes } => self.write(ticket, changes),
                SessionAction::Job(job) => {
                    let done = SessionInput::Done(job.run());
                    self.coming.push((self.now + self.job, done));
                }
                SessionAction::Event(event) => self.events.push((self.now, event)),
                _ => panic!("an action that the test does not know"),
            }
        }
    }

    fn write(&mut self, ticket: u64, changes: Vec<Change>) {
        if changes.iter().any(|change| Some(change.table) == self.full) {
            let reason = "no space left".to_owned();
            return self.later(SessionInput::PersistFailed { ticket, reason });
        }
        for change in changes {
            *self.writes.entry(change.table).or_default() += 1;
            let key = (change.table, change.key);
            match change.value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
        self.later(SessionInput::Persisted { ticket });
    }

    /// The answer to the question that was asked last.
    fn with_successor(&self, answer: Vec<u8>) -> Vec<u8> {
        let asked = self.questions.last().unwrap();
        let asked = wire::SyncRequest::decode(asked.as_slice()).unwrap();
        let mut answer = wire::SyncResponse::decode(answer.as_slice()).unwrap();
        let first = self.asked.iter().filter(|(at, ..)| *at == self.now).count() == 1;
        let shows = first || !self.shown_by_one;
        if shows && asked.file == self.network.params.hash().as_bytes() {
            answer.successor.clone_from(&self.successor);
        }
        answer.encode_to_vec()
    }

    fn answer_of(&self, id: &NodeId) -> Answer {
        self.answers.get(id).unwrap_or(&self.default).clone()
    }

    fn dial(&mut self, opening: Opening) {
        let (connection, to) = (opening.connection, opening.to);
        assert!(!opening.addresses.is_empty());
        let refused = match opening.packets {
            true => self.dead.contains(&to),
            false => matches!(self.answer_of(&to), Answer::Nothing),
        };
        if refused {
            return self.later(SessionInput::Closed(connection));
        }
        if opening.packets {
            self.later(SessionInput::LinkUp(connection));
        }
        self.later(SessionInput::Connected(connection));
        self.open.insert(connection, opening);
    }

    fn ask(&mut self, connection: ConnectionId, kind: RequestKind) {
        let Some(to) = self.open.get(&connection).map(|opening| opening.to) else {
            panic!("asked on a connection that is not open");
        };
        self.asked.push((self.now, to, kind));
        let bytes = match kind {
            RequestKind::Directory => match self.answer_of(&to) {
                Answer::Documents(documents, ahead) => {
                    let answer = answer(&self.network, self.now, &documents, ahead);
                    self.with_successor(answer)
                }
                Answer::Nothing | Answer::Silence => return,
            },
            RequestKind::Attach => {
                let status = match self.door {
                    Door::Open => wire::AttachStatus::Accepted,
                    Door::Shut(status) => status,
                };
                let status = status.into();
                wire::AttachResponse { status, now_us: 0 }.encode_to_vec()
            }
        };
        self.later(SessionInput::Response { connection, bytes });
    }
}

fn answer(network: &Network, now: Time, documents: &[Arc<Document>], ahead: i64) -> Vec<u8> {
    let half = ROUND_TRIP.as_micros();
    let clock = (now.as_micros() + half).saturating_add_signed(ahead);
    let newest = documents.iter().max_by_key(|it| it.height());
    let tip = newest.map(|document| wire::Tip {
        height: document.height().number(),
        epoch: document.epoch().number(),
        hash: document.hash().as_bytes().to_vec(),
    });
    let (handovers, documents) = network.answer(documents);
    let response = wire::SyncResponse {
        handovers,
        documents,
        now_us: clock,
        tip,
        ..Default::default()
    };
    response.encode_to_vec()
}
