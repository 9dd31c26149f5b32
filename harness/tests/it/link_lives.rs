//! Clients that are watched for hours of virtual time, each with a user, and what is done to their
//! links and processes meanwhile.

use std::collections::BTreeMap;

use rand::RngExt as _;
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution as _, Exp1};
use shoal_client::{ClientEvent, MAX_TEXT_BYTES};
use shoal_harness::{Kind, Network, Party};
use shoal_packet::Frame;
use shoal_proto::size::FRAME_BYTES;
use shoal_proto::{ClientHandle, Epoch, Span, Time};

use crate::support::{START, close_books, secs};

/// Time from one cut of a client's link to the next: longer than the minute after which a client
/// waits no longer than at first before it connects again.
const CUTS: Span = Span::from_secs(62);
/// Time from one end of a client's process to the next.
const RESTARTS: Span = Span::from_secs(42);
/// How long a process stays away.
const AWAY: Span = Span::from_secs(2);
/// Epochs where the switch is watched.
const SHORT_EPOCH: Span = Span::from_secs(60);
/// Frames that a broken client sends at once.
const BURST: usize = 2;
/// Mean time between two texts of a user: most of what the profile `mobile` can send.
const PAUSE: Span = Span::from_secs(7);

/// How a file is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// Of so many bytes.
    bytes: usize,
    /// Mean time between two: most of what the profile `mobile` can send.
    pause: Span,
}

impl Pieces {
    /// As large as they may be: 128 packets.
    pub(crate) const LARGE: Self = Self {
        bytes: MAX_TEXT_BYTES,
        pause: Span::from_secs(640),
    };
    /// Smaller and more often, so that more moments are looked at: 12 packets.
    pub(crate) const SMALL: Self = Self {
        bytes: 7_000,
        pause: Span::from_secs(64),
    };
}

/// What happens to the clients, whatever their users do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happens {
    Nothing,
    /// The link is cut; the client connects again by itself.
    Cuts,
    /// The process ends without warning and starts again from its rows.
    Restarts,
    /// The epoch ends.
    Switches,
}

/// What a client's user does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    /// The place of the client that they write to, if they do.
    pub(crate) writes_to: Option<usize>,
    /// It is a file that they send there, and no texts.
    pub(crate) file: Option<Pieces>,
    /// The client is broken on purpose: frames leave at once for each text or piece, after each attaching or at
    /// each switch, and as many of the next ones are left out.
    pub(crate) broken: bool,
}

impl User {
    pub(crate) const IDLE: Self = Self {
        writes_to: None,
        file: None,
        broken: false,
    };

    pub(crate) const fn writing_to(other: usize) -> Self {
        Self {
            writes_to: Some(other),
            ..Self::IDLE
        }
    }

    pub(crate) const fn sending_a_file_to(other: usize, pieces: Pieces) -> Self {
        Self {
            writes_to: Some(other),
            file: Some(pieces),
            ..Self::IDLE
        }
    }

    pub(crate) const fn broken(self) -> Self {
        Self {
            broken: true,
            ..self
        }
    }
}

/// What is seen on one client's link, and what happened to the client. All in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) from: Time,
    pub(crate) to: Time,
    /// Frames to entries.
    pub(crate) up: Vec<Time>,
    /// Frames from entries.
    pub(crate) down: Vec<Time>,
    /// Questions for documents.
    pub(crate) asks: Vec<Time>,
    /// When what [`Happens`] happened.
    pub(crate) events: Vec<Time>,
    /// When the user wrote or handed a piece over, or would have, had the process been there.
    pub(crate) writes: Vec<Time>,
    /// When the user was told something of a message.
    pub(crate) told: Vec<Time>,
    /// Texts that came.
    pub(crate) received: usize,
    /// Bytes of files that came.
    pub(crate) file_bytes: usize,
}

enum Act {
    Write(usize),
    Happen(usize),
    Start(usize),
}

/// A network whose clients are watched.
pub(crate) struct Play {
    network: Network,
    happens: Happens,
    users: Vec<User>,
    clients: Vec<Party>,
    seen: Vec<Seen>,
    agenda: BTreeMap<(Time, u64), Act>,
    acts: u64,
    users_rng: ChaCha20Rng,
    events_rng: ChaCha20Rng,
    filler: ChaCha20Rng,
    handles: Vec<Option<ClientHandle>>,
}

impl Play {
    /// Clients of the profile `mobile`, one for each user, in a network of one layer: how many mixes
    /// a packet passes does not show on a client's link.
    pub(crate) fn new(seed: u64, happens: Happens, users: &[User]) -> Self {
        let mut builder = Network::builder(seed)
            .mixes(1, 3)
            .providers(3)
            .loop_rate(0.01)
            // Who looks for what is due goes through all that was sent.
            .client_config(|config| config.limits.sent_history = 20)
            .keep_trace();
        if happens == Happens::Switches {
            builder = builder.epoch(SHORT_EPOCH);
        }
        for place in 0..users.len() {
            builder = builder.client_with("mobile", None, &[place % 3, (place + 1) % 3]);
        }
        let mut network = builder.build().unwrap();
        assert!(network.bring_up(START).unwrap());
        let clients: Vec<Party> = network.clients().collect();
        for (from, user) in clients.iter().zip(users) {
            // Files go to contacts.
            if let Some(to) = user.writes_to.filter(|_| user.file.is_some()) {
                network.send(*from, clients[to], "who I am").unwrap();
            }
        }
        network.run_for(secs(30)).unwrap();
        let generator = |purpose| network.generator(purpose, clients[0]);
        let handles = clients
            .iter()
            .map(|client| network.handle(*client).unwrap());
        let now = network.now();
        let seen = Seen {
            from: now,
            ..Seen::default()
        };
        Self {
            happens,
            users: users.to_vec(),
            seen: vec![seen; users.len()],
            agenda: BTreeMap::new(),
            acts: 0,
            users_rng: generator("users"),
            events_rng: generator("events"),
            filler: generator("filler"),
            handles: handles.collect(),
            clients,
            network,
        }
    }

    /// Goes on for so long, and gives what was seen of each client.
    pub(crate) fn watch(mut self, length: Span) -> Vec<Seen> {
        let until = self.network.now() + length;
        for place in 0..self.users.len() {
            self.plan_write(place);
            self.plan_event(place);
        }
        while let Some(next) = self
            .agenda
            .first_entry()
            .filter(|next| next.key().0 < until)
        {
            let ((at, _), act) = next.remove_entry();
            self.run_until(at);
            self.act(act);
            self.take_told();
        }
        self.run_until(until);
        self.take_told();
        self.gather(until)
    }

    fn plan(&mut self, at: Time, act: Act) {
        self.acts += 1;
        self.agenda.insert((at, self.acts), act);
    }

    fn plan_write(&mut self, place: usize) {
        let unit: f64 = Exp1.sample(&mut self.users_rng);
        if self.users[place].writes_to.is_some() {
            let pause = self.users[place].file.map_or(PAUSE, |it| it.pause);
            let wait = Span::from_secs_f64(unit * pause.as_secs_f64());
            self.plan(self.network.now() + wait, Act::Write(place));
        }
    }

    fn plan_event(&mut self, place: usize) {
        let jitter = Span::from_micros(self.events_rng.random_range(0..4_000_000));
        let now = self.network.now();
        let at = match self.happens {
            Happens::Nothing => return,
            Happens::Cuts => now + CUTS + jitter,
            Happens::Restarts => now + RESTARTS + jitter,
            Happens::Switches => {
                let next = self.network.epoch().number() + 1;
                self.network.params().start_of(Epoch::new(next))
            }
        };
        self.plan(at, Act::Happen(place));
    }

    /// Runs on; a broken client sends as soon as it is attached anew.
    fn run_until(&mut self, at: Time) {
        let breaks_on_attaching = matches!(self.happens, Happens::Cuts | Happens::Restarts);
        let broken: Vec<usize> = (0..self.users.len())
            .filter(|place| self.users[*place].broken && breaks_on_attaching)
            .collect();
        while !broken.is_empty() {
            let (clients, handles) = (&self.clients, &self.handles);
            let anew = |network: &Network, place: usize| {
                let handle = network.handle(clients[place]).unwrap();
                handle.is_some() && handle != handles[place]
            };
            let limit = at.since(self.network.now());
            let found = self.network.run_until_done(limit, |network| {
                broken.iter().any(|place| anew(network, *place))
            });
            if !found.unwrap() {
                return;
            }
            for place in &broken {
                let handle = self.network.handle(self.clients[*place]).unwrap();
                if handle.is_some() && handle != self.handles[*place] {
                    self.handles[*place] = handle;
                    self.send_at_once(*place);
                }
            }
        }
        self.network.run_until(at).unwrap();
    }

    fn act(&mut self, act: Act) {
        let now = self.network.now();
        match act {
            Act::Write(place) => {
                self.seen[place].writes.push(now);
                self.write(place);
                self.plan_write(place);
            }
            Act::Happen(place) => {
                self.seen[place].events.push(now);
                self.happen(place);
                self.plan_event(place);
            }
            Act::Start(place) => self.network.start(self.clients[place]).unwrap(),
        }
    }

    fn write(&mut self, place: usize) {
        let from = self.clients[place];
        let to = self.users[place].writes_to.map(|to| self.clients[to]);
        let Some(to) = to.filter(|to| self.network.is_up(from) && self.network.is_up(*to)) else {
            return;
        };
        match self.users[place].file {
            None => self.network.send(from, to, "a text").unwrap(),
            Some(pieces) => {
                let piece = vec![0x5a; pieces.bytes];
                self.network.send_data(from, to, piece).unwrap()
            }
        };
        if self.users[place].broken && self.happens == Happens::Nothing {
            let accepted = |network: &Network| {
                let mut events = network.happenings().iter().filter(|h| h.client == from);
                events.any(|h| matches!(h.client_event(), Some(ClientEvent::Accepted { .. })))
            };
            let taken = self
                .network
                .run_until_done(Span::from_millis(100), accepted);
            assert!(taken.unwrap());
            self.send_at_once(place);
        }
    }

    fn happen(&mut self, place: usize) {
        let client = self.clients[place];
        match self.happens {
            Happens::Nothing => {}
            Happens::Cuts => self.network.cut(client).unwrap(),
            Happens::Restarts => {
                self.network.crash(client);
                self.plan(self.network.now() + AWAY, Act::Start(place));
            }
            Happens::Switches if self.users[place].broken => self.send_at_once(place),
            Happens::Switches => {}
        }
    }

    fn send_at_once(&mut self, place: usize) {
        let byte = self.network.epoch().byte();
        for _ in 0..BURST {
            let frame = Frame::filler(&mut self.filler, byte);
            let client = self.clients[place];
            self.network.send_at_once(client, frame).unwrap();
        }
    }

    fn take_told(&mut self) {
        for happening in self.network.take_happenings() {
            let Some(place) = self.clients.iter().position(|c| *c == happening.client) else {
                continue;
            };
            let seen = &mut self.seen[place];
            match happening.client_event() {
                Some(ClientEvent::Received { .. }) => {
                    seen.received += 1;
                    seen.told.push(happening.at);
                }
                Some(ClientEvent::ReceivedData { data, .. }) => {
                    seen.file_bytes += data.len();
                    seen.told.push(happening.at);
                }
                Some(ClientEvent::Stored { .. }) => seen.told.push(happening.at),
                _ => {}
            }
        }
    }

    /// What the trace tells of each link.
    fn gather(mut self, until: Time) -> Vec<Seen> {
        let first = self.clients[0].number() as usize;
        let place = |party: u32| (party as usize).checked_sub(first);
        for line in self.network.trace() {
            let (own, other) = (place(line.party), place(line.other));
            let (place, part) = match (line.kind, own, other) {
                (Kind::FrameSent, Some(place), None) => (place, 0),
                (Kind::FrameSent, None, Some(place)) => (place, 1),
                (Kind::SyncAsked, Some(place), None) => (place, 2),
                _ => continue,
            };
            let seen = &mut self.seen[place];
            if seen.from <= line.at && line.at < until {
                [&mut seen.up, &mut seen.down, &mut seen.asks][part].push(line.at);
            }
        }
        self.seen.iter_mut().for_each(|seen| seen.to = until);
        self.check_bytes();
        close_books(&mut self.network);
        self.seen
    }

    /// All frames are of one size.
    fn check_bytes(&self) {
        for client in &self.clients {
            let providers = || self.network.providers();
            let sent = |from, to| self.network.sent_at(from, to).len() * FRAME_BYTES;
            let frames: usize = providers()
                .map(|p| sent(*client, p) + sent(p, *client))
                .sum();
            let bytes = |from, to| self.network.bytes(from, to);
            let bytes: u64 = providers()
                .map(|p| bytes(*client, p) + bytes(p, *client))
                .sum();
            assert_eq!(frames as u64, bytes);
        }
    }
}
