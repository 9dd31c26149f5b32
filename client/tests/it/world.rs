//! The network that the test plays: mixes that forward, providers with mailboxes in memory, and
//! hosts that keep each client's rows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand::{CryptoRng, Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use shoal_client::{
    Client, ClientAction, ClientConfig, ClientEvent, ClientInput, ClientKeys, Invitation, Label,
    Labour, PeerKey, Row, Table, UserRequest,
};
use shoal_packet::command::{
    Blob, Command, DropChange, MailboxPacket, MailboxRequest, ReceiptStatus, Reply, Share,
    StreamEntry, StreamItem, TokenAnswer, TokenAsk, TokenProof, TokenRefusal,
};
use shoal_packet::token::{IssuerSecret, TokenCode};
use shoal_packet::{Frame, Payload, Surb, Unwrapped, unwrap};
use shoal_proto::{ClientHandle, DropId, Epoch, MailboxId, MessageId, NodeId, Span, SurbId, Time};
use shoal_topology::sample::Network;
use shoal_topology::{NetworkParameters, Profile, Role, TokenDemand, TokenTerms, TokenWork, View};
use zeroize::Zeroizing;

pub(crate) type Host = ClientHost<ChaCha20Rng>;

/// The epoch that tests start in.
pub(crate) const EPOCH: Epoch = Epoch::new(10);

/// To whom somebody writes: who made an invitation, which is accepted first if it was not, or a contact.
#[derive(Clone, Copy)]
pub(crate) enum To<'a> {
    Invitation(&'a Invitation),
    Contact(PeerKey),
}

impl<'a> From<&'a Invitation> for To<'a> {
    fn from(invitation: &'a Invitation) -> Self {
        Self::Invitation(invitation)
    }
}

impl From<&PeerKey> for To<'_> {
    fn from(contact: &PeerKey) -> Self {
        Self::Contact(*contact)
    }
}

/// What a user sends, with no end of its own.
pub(crate) fn to_send<'a, R: CryptoRng>(
    client: &Client<R>,
    request: u64,
    to: impl Into<To<'a>>,
    text: &[u8],
) -> ClientInput {
    let text = text.to_vec();
    let to = match to.into() {
        To::Contact(contact) => contact,
        To::Invitation(invitation) if client.contact(&invitation.key).is_some() => invitation.key,
        To::Invitation(invitation) => {
            let what = UserRequest::Accept {
                invitation: Box::new(invitation.clone()),
                label: Label::default(),
                text: Some(text),
            };
            return ClientInput::Ask { request, what };
        }
    };
    let life = None;
    let what = UserRequest::Send { to, text, life };
    ClientInput::Ask { request, what }
}

/// An invitation for many, for as long as a test may last.
pub(crate) fn to_invite(request: u64) -> ClientInput {
    let what = UserRequest::Invite {
        once: false,
        life: Span::from_secs(365 * 86_400),
        label: Label::default(),
    };
    ClientInput::Ask { request, what }
}

pub(crate) fn secs(secs: f64) -> Span {
    Span::from_secs_f64(secs)
}

/// A client, and what a host does for it.
pub(crate) struct ClientHost<R> {
    pub(crate) client: Client<R>,
    pub(crate) keys: Vec<u8>,
    pub(crate) config: ClientConfig,
    pub(crate) rows: BTreeMap<(Table, Vec<u8>), Zeroizing<Vec<u8>>>,
    pub(crate) events: Vec<(Time, ClientEvent)>,
    /// When a frame was sent.
    pub(crate) frames: Vec<Time>,
    pub(crate) link: Option<(NodeId, ClientHandle)>,
    /// What the disk does next.
    pub(crate) disk_full: bool,
    /// Frames to drop between entry and client.
    pub(crate) deaf: bool,
    /// What it hands out.
    pub(crate) invitation: Option<Invitation>,
}

impl Host {
    pub(crate) fn texts(&self) -> Vec<Vec<u8>> {
        self.received().map(|(text, _)| text).collect()
    }

    pub(crate) fn received(&self) -> impl Iterator<Item = (Vec<u8>, PeerKey)> + '_ {
        self.events.iter().filter_map(|(_, event)| match event {
            ClientEvent::Received { text, from, .. } => Some((text.to_vec(), *from)),
            _ => None,
        })
    }

    pub(crate) fn count(&self, is: impl Fn(&ClientEvent) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| is(event)).count()
    }
}

struct Entry {
    number: u64,
    blob: Box<Blob>,
    pushed: Option<Time>,
}

#[derive(Default)]
struct Mailbox {
    generation: u64,
    /// It has a smaller share: of so many ticks it has one; 0 for all.
    every: u32,
    ticks: u32,
    closed: bool,
    next_number: u64,
    highest: u64,
    received: Vec<u64>,
    /// Packets of which a drop id was refused.
    refused: Vec<u64>,
    drops: BTreeSet<DropId>,
    stock: BTreeMap<u8, VecDeque<Surb>>,
    entries: BTreeMap<(DropId, MessageId), Entry>,
}

/// A deposit as the provider saw it.
#[derive(Clone)]
pub(crate) struct SeenDeposit {
    pub(crate) at: Time,
    pub(crate) provider: NodeId,
    pub(crate) drop: DropId,
    pub(crate) message: MessageId,
    pub(crate) blob: Vec<u8>,
    pub(crate) surb: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Honest,
    Refuse,
    /// Stores, and answers with a dummy.
    Late,
    /// Stores nothing, says nothing.
    Silent,
}

enum Happening {
    Command(NodeId, Command),
    Frame(ClientHandle, Frame),
    Clock,
}

/// Has what was deposited for mailboxes that were not opened yet.
const NOBODY: MailboxId = MailboxId::new([0; 32]);

pub(crate) struct World {
    pub(crate) params: Arc<NetworkParameters>,
    pub(crate) network: Network,
    pub(crate) view: Arc<View>,
    pub(crate) now: Time,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) hosts: Vec<Host>,
    pub(crate) answer: Answer,
    pub(crate) push: bool,
    /// Share of packets lost.
    pub(crate) loss: f64,
    pub(crate) deposits: Vec<SeenDeposit>,
    pub(crate) commands: BTreeMap<&'static str, usize>,
    pub(crate) drop_sets: Vec<(Time, Vec<DropChange>)>,
    /// Drop ids of one mailbox.
    pub(crate) drop_limit: usize,
    /// Drop ids that take nothing more, and when that was said.
    pub(crate) revoked: Vec<(Time, NodeId, DropId)>,
    /// Deposits under drop ids that nobody has registered are refused, and not kept for who will.
    pub(crate) strict: bool,
    /// Providers that issue tokens, each with its key, and open mailboxes for them alone.
    pub(crate) issuers: BTreeMap<NodeId, IssuerSecret>,
    /// They evaluate with another key than the document says.
    pub(crate) forge: bool,
    /// What was asked for tokens, when: by provider, and what was blinded.
    pub(crate) asked: Vec<(Time, NodeId, [u8; 32])>,
    /// Mailbox packets without a token that would have needed one.
    pub(crate) closed_doors: usize,
    /// When a token was spent, and where.
    pub(crate) spent: Vec<(Time, NodeId, [u8; 32])>,
    /// A provider that is gone, though the documents have it.
    pub(crate) dead: Option<NodeId>,
    /// Mailbox packets, by provider.
    pub(crate) mailbox_packets: BTreeMap<NodeId, usize>,
    /// Which shares each mailbox was said to have, and how often.
    pub(crate) shares: BTreeMap<MailboxId, BTreeMap<u32, usize>>,
    /// The generations that mailboxes saw.
    pub(crate) generations: Vec<u64>,
    /// What a mailbox says of a command that it does not take: the newest generation, or something else.
    pub(crate) behind: fn(u64) -> u64,
    /// Mailboxes take every command for one that they had.
    pub(crate) deaf_mailboxes: bool,
    pub(crate) bad_epochs: usize,
    pub(crate) void_surbs: usize,
    /// Ticks of a mailbox that had blocks before, and has none.
    pub(crate) dry_ticks: usize,
    /// Entries alter every payload.
    pub(crate) tamper: bool,
    pub(crate) tampered: Vec<(SurbId, Payload)>,
    drops: BTreeMap<(NodeId, DropId), MailboxId>,
    mailboxes: BTreeMap<(NodeId, MailboxId), Mailbox>,
    next_entry: u64,
    agenda: BTreeMap<(Time, u64), Happening>,
    next_happening: u64,
}

pub(crate) fn params(epoch_secs: u64) -> NetworkParameters {
    let mut params = NetworkParameters::example();
    params.epoch = Span::from_secs(epoch_secs);
    params.mean_delay = Span::from_millis(20);
    let quick = Profile {
        real: 2.5,
        loops: 0.5,
        drops: 0.3,
        mailbox: 0.8,
        mailbox_clock: 2.5,
        downlink: 40.0,
        copies: 2,
    };
    // For who receives: less cover, so that tests are quick.
    let calm = Profile {
        real: 0.5,
        loops: 0.2,
        drops: 0.1,
        ..quick
    };
    params.profiles.insert("quick".into(), quick);
    params.profiles.insert("calm".into(), calm);
    params
}

/// The same for tests that go on for long: one layer of mixes. Nearly all that a test takes is the packets' keys,
/// hop by hop, and how many hops there are shows to nobody but the packets.
pub(crate) fn one_layer(epoch_secs: u64) -> NetworkParameters {
    NetworkParameters {
        layers: 1,
        ..params(epoch_secs)
    }
}

impl World {
    pub(crate) fn new(seed: u64, params: NetworkParameters) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut network = Network::new(&mut rng, params, 2, 4);
        let view = network.view(&mut rng, [EPOCH]).unwrap();
        let now = network.params.start_of(EPOCH) + secs(1.0);
        let mut world = Self {
            params: Arc::clone(&network.params),
            network,
            view,
            now,
            rng,
            hosts: Vec::new(),
            answer: Answer::Honest,
            push: true,
            loss: 0.0,
            deposits: Vec::new(),
            commands: BTreeMap::new(),
            drop_sets: Vec::new(),
            drop_limit: 1024,
            revoked: Vec::new(),
            strict: false,
            issuers: BTreeMap::new(),
            forge: false,
            asked: Vec::new(),
            closed_doors: 0,
            spent: Vec::new(),
            dead: None,
            mailbox_packets: BTreeMap::new(),
            shares: BTreeMap::new(),
            generations: Vec::new(),
            behind: |generation| generation,
            deaf_mailboxes: false,
            bad_epochs: 0,
            void_surbs: 0,
            dry_ticks: 0,
            tamper: false,
            tampered: Vec::new(),
            drops: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            next_entry: 1,
            agenda: BTreeMap::new(),
            next_happening: 0,
        };
        world.schedule(now, Happening::Clock);
        world
    }

    /// All providers issue tokens from now on, for what they demand.
    pub(crate) fn issue(&mut self, demand: TokenDemand) {
        for (number, provider) in self.providers().into_iter().enumerate() {
            let issuer = IssuerSecret::derive(&[number as u8; 32], 9).unwrap();
            let key = issuer.public();
            let node = self.network.nodes.get_mut(&provider).unwrap();
            node.tokens = Some(TokenTerms { key, demand });
            self.issuers.insert(provider, issuer);
        }
        let mut rng = ChaCha20Rng::seed_from_u64(78);
        self.view = self.network.view(&mut rng, [EPOCH]).unwrap();
    }

    /// All mailboxes are gone.
    pub(crate) fn forget_mailboxes(&mut self) {
        self.mailboxes.clear();
        self.drops.clear();
    }

    pub(crate) fn providers(&self) -> Vec<NodeId> {
        self.network.ids(Role::Provider).collect()
    }

    /// Adds a client with a mailbox at the provider of this number.
    pub(crate) fn add(&mut self, mailbox: usize, profile: &str) -> usize {
        let mut config = ClientConfig::new(self.providers()[mailbox]);
        config.profile = profile.into();
        config.retry_after = Some(Span::from_secs(2));
        config.retry_max = Span::from_secs(20);
        self.add_with(config)
    }

    /// Adds a client with two mailboxes.
    pub(crate) fn add_two(&mut self, mailboxes: [usize; 2], profile: &str) -> usize {
        let providers = self.providers();
        self.add_with(ClientConfig {
            mailboxes: mailboxes.map(|at| providers[at]).to_vec(),
            profile: profile.into(),
            retry_after: Some(Span::from_secs(2)),
            retry_max: Span::from_secs(20),
            ..ClientConfig::default()
        })
    }

    pub(crate) fn add_with(&mut self, config: ClientConfig) -> usize {
        let mut rng = ChaCha20Rng::from_rng(&mut self.rng);
        let keys = ClientKeys::generate(&mut rng).to_bytes().to_vec();
        let client = self.make(&config, &keys, &BTreeMap::new());
        self.hosts.push(ClientHost {
            client,
            keys,
            config,
            rows: BTreeMap::new(),
            events: Vec::new(),
            frames: Vec::new(),
            link: None,
            disk_full: false,
            deaf: false,
            invitation: None,
        });
        self.hosts.len() - 1
    }

    /// The rows of a client, as it would be made of them.
    pub(crate) fn rows(&self, who: usize) -> Vec<Row> {
        as_read(&self.hosts[who].rows)
    }

    fn make(
        &mut self,
        config: &ClientConfig,
        keys: &[u8],
        rows: &BTreeMap<(Table, Vec<u8>), Zeroizing<Vec<u8>>>,
    ) -> Client<ChaCha20Rng> {
        let rows = as_read(rows);
        let keys = ClientKeys::from_bytes(keys).unwrap();
        let rng = ChaCha20Rng::from_rng(&mut self.rng);
        Client::new(
            Arc::clone(&self.params),
            config.clone(),
            keys,
            rng,
            &rows,
            self.now,
        )
        .unwrap()
    }

    /// The process dies; what it had not saved is gone. A new one starts from the rows.
    pub(crate) fn crash(&mut self, who: usize) {
        let (config, keys) = (self.hosts[who].config.clone(), self.hosts[who].keys.clone());
        let rows = self.hosts[who].rows.clone();
        self.hosts[who].client = self.make(&config, &keys, &rows);
        self.hosts[who].link = None;
        self.pump(who, usize::MAX);
    }

    /// Somebody starts a copy of a client's directory elsewhere.
    pub(crate) fn copy(&mut self, who: usize) -> usize {
        let (config, keys) = (self.hosts[who].config.clone(), self.hosts[who].keys.clone());
        let rows = self.hosts[who].rows.clone();
        let client = self.make(&config, &keys, &rows);
        self.hosts.push(ClientHost {
            client,
            keys,
            config,
            rows,
            events: Vec::new(),
            frames: Vec::new(),
            link: None,
            disk_full: false,
            deaf: false,
            invitation: None,
        });
        self.hosts.len() - 1
    }

    /// A mailbox loses an entry of this deposit.
    pub(crate) fn lose(&mut self, deposit: &SeenDeposit) {
        for mailbox in self.mailboxes.values_mut() {
            mailbox.entries.remove(&(deposit.drop, deposit.message));
        }
    }

    /// A client that others can write to, and that is never online.
    pub(crate) fn stranger(&mut self, mailbox: usize) -> Invitation {
        let config = ClientConfig::new(self.providers()[mailbox]);
        let mut rng = ChaCha20Rng::from_rng(&mut self.rng);
        let keys = ClientKeys::generate(&mut rng);
        let mut client =
            Client::new(self.params.clone(), config, keys, rng, &[], self.now).unwrap();
        client.handle_input(self.now, to_invite(0));
        client.invitations().remove(0).invitation
    }

    pub(crate) fn attach(&mut self, who: usize, entry: usize) {
        let mut handle = [0; 32];
        self.rng.fill_bytes(&mut handle);
        let (entry, handle) = (self.providers()[entry], ClientHandle::new(handle));
        self.hosts[who].link = Some((entry, handle));
        let view = Arc::clone(&self.view);
        self.input(who, ClientInput::View(view));
        self.input(who, ClientInput::Attached { entry, handle });
    }

    pub(crate) fn detach(&mut self, who: usize) {
        self.hosts[who].link = None;
        self.input(who, ClientInput::Detached);
    }

    pub(crate) fn set_view(&mut self, epochs: std::ops::RangeInclusive<u64>) {
        let mut rng = ChaCha20Rng::seed_from_u64(77);
        let epochs = epochs.map(Epoch::new);
        let fresh = self.network.view(&mut rng, epochs).unwrap();
        let mut view = View::clone(&self.view);
        for (epoch, document) in &fresh.documents {
            view.documents
                .entry(*epoch)
                .or_insert_with(|| Arc::clone(document));
        }
        self.view = Arc::new(view);
        for who in 0..self.hosts.len() {
            let view = Arc::clone(&self.view);
            self.input(who, ClientInput::View(view));
        }
    }

    pub(crate) fn send<'a>(
        &mut self,
        from: usize,
        request: u64,
        to: impl Into<To<'a>>,
        text: &[u8],
    ) {
        let input = to_send(&self.hosts[from].client, request, to, text);
        self.input(from, input);
    }

    /// A new invitation to write to somebody.
    pub(crate) fn invite(&mut self, who: usize) -> Invitation {
        self.input(who, to_invite(0));
        let last = self.hosts[who].client.invitations().pop();
        last.expect("there is a mailbox").invitation
    }

    /// The invitation that somebody hands out.
    pub(crate) fn invitation(&mut self, who: usize) -> Invitation {
        let known = self.hosts[who].invitation.clone();
        let invitation = known.unwrap_or_else(|| self.invite(who));
        self.hosts[who].invitation = Some(invitation.clone());
        invitation
    }

    pub(crate) fn input(&mut self, who: usize, input: ClientInput) {
        self.hosts[who].client.handle_input(self.now, input);
        self.pump(who, usize::MAX);
    }

    /// Does up to `most` of what the client asks for. Less than all, and then a crash, is how a
    /// process dies in the middle.
    pub(crate) fn pump(&mut self, who: usize, most: usize) {
        for _ in 0..most {
            let Some(action) = self.hosts[who].client.poll_action(self.now) else {
                return;
            };
            match action {
                ClientAction::SendFrame(frame) => {
                    self.hosts[who].frames.push(self.now);
                    let (entry, _) = self.hosts[who].link.expect("frames only while attached");
                    self.travel(self.now, None, entry, frame);
                }
                ClientAction::Persist { ticket, changes } => {
                    let host = &mut self.hosts[who];
                    if host.disk_full {
                        let reason = "the disk is full".into();
                        let failed = ClientInput::PersistFailed { ticket, reason };
                        host.client.handle_input(self.now, failed);
                        continue;
                    }
                    for change in changes {
                        let key = (change.table, change.key);
                        match change.value {
                            Some(value) => host.rows.insert(key, value),
                            None => host.rows.remove(&key),
                        };
                    }
                    let now = self.now;
                    host.client
                        .handle_input(now, ClientInput::Persisted { ticket });
                }
                ClientAction::Work(Labour { work, bits }) => {
                    let proof = (0..).find_map(|nonce| work.seek(nonce, bits)).unwrap();
                    let worked = ClientInput::Worked { work, proof };
                    self.hosts[who].client.handle_input(self.now, worked);
                }
                ClientAction::Event(event) => {
                    let now = self.now;
                    self.hosts[who].events.push((now, event));
                }
                _ => panic!("unknown action"),
            }
        }
    }

    /// Runs for this long.
    pub(crate) fn run(&mut self, span: Span) {
        let end = self.now + span;
        loop {
            let clients = self
                .hosts
                .iter()
                .filter_map(|host| host.client.poll_deadline())
                .min();
            let agenda = self.agenda.first_key_value().map(|((time, _), _)| *time);
            let next = clients.into_iter().chain(agenda).min().unwrap_or(end);
            if next >= end {
                break;
            }
            self.now = self.now.max(next);
            while self
                .agenda
                .first_key_value()
                .is_some_and(|((time, _), _)| *time <= self.now)
            {
                let (_, happening) = self.agenda.pop_first().unwrap();
                self.happen(happening);
            }
            for who in 0..self.hosts.len() {
                if self.hosts[who]
                    .client
                    .poll_deadline()
                    .is_some_and(|time| time <= self.now)
                {
                    self.pump(who, usize::MAX);
                }
            }
        }
        self.now = end;
    }

    /// Runs until it holds; false if it does not within `most`.
    pub(crate) fn run_until(&mut self, most: Span, holds: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + most;
        while self.now < end {
            if holds(self) {
                return true;
            }
            self.run(secs(0.25));
        }
        holds(self)
    }

    fn schedule(&mut self, at: Time, happening: Happening) {
        self.agenda.insert((at, self.next_happening), happening);
        self.next_happening += 1;
    }

    /// One packet's way through the network, with the keys and layers of the epoch it names.
    fn travel(&mut self, mut at: Time, mut from: Option<NodeId>, mut node: NodeId, frame: Frame) {
        if self.loss > 0.0 && self.rng.random_bool(self.loss) {
            return;
        }
        let byte = frame.epoch_byte();
        let mut packet = frame.into_packet();
        loop {
            let document = self.view.by_epoch_byte(&self.params, at, byte);
            let Some(document) = document.cloned() else {
                self.bad_epochs += 1;
                return;
            };
            if let Some(from) = from {
                assert!(document.position_ok(&from, &node), "off the layers");
            }
            let secret = self.network.nodes[&node]
                .keys
                .secret(document.epoch())
                .unwrap();
            match unwrap(secret, packet, |_| true).expect("built for this node and epoch") {
                Unwrapped::Forward {
                    next,
                    delay,
                    packet: inner,
                } => {
                    at += delay + secs(0.005);
                    from = Some(node);
                    node = next;
                    packet = inner;
                }
                Unwrapped::Final {
                    destination,
                    id,
                    payload,
                } => {
                    self.arrived(at, node, byte, destination, id, &payload);
                    return;
                }
            }
        }
    }

    fn arrived(
        &mut self,
        at: Time,
        node: NodeId,
        byte: u8,
        destination: [u8; 32],
        id: SurbId,
        payload: &Payload,
    ) {
        if let Some(plaintext) = payload.plaintext() {
            let command = Command::decode(&plaintext).expect("a command");
            return self.schedule(at, Happening::Command(node, command));
        }
        let handle = ClientHandle::new(destination);
        let attached = |host: &&Host| host.link == Some((node, handle));
        if self.hosts.iter().find(attached).is_some() {
            let frame = if self.tamper {
                let (id, payload) = crate::acceptance::altered(id, payload);
                let frame = Frame::last_link(&mut self.rng, byte, id, payload.clone());
                self.tampered.push((id, payload));
                frame
            } else {
                Frame::last_link(&mut self.rng, byte, id, payload.clone())
            };
            self.schedule(at, Happening::Frame(handle, frame));
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Command(node, command) => self.command(node, command),
            Happening::Frame(handle, frame) => {
                let is = |host: &Host| host.link.is_some_and(|(_, known)| known == handle);
                if let Some(who) = self.hosts.iter().position(is)
                    && !self.hosts[who].deaf
                {
                    self.input(who, ClientInput::Frame(frame));
                }
            }
            Happening::Clock => {
                self.clock();
                self.schedule(self.now + secs(0.4), Happening::Clock);
            }
        }
    }

    fn command(&mut self, node: NodeId, command: Command) {
        if self.dead == Some(node) {
            return;
        }
        let name = match &command {
            Command::Deposit(_) => "deposit",
            Command::Dummy { .. } => "dummy",
            Command::Drop => "drop",
            Command::Mailbox(_) => "mailbox",
            Command::Token(_) => "token",
            _ => panic!("not a client's command"),
        };
        *self.commands.entry(name).or_default() += 1;
        match command {
            Command::Deposit(deposit) => {
                self.deposits.push(SeenDeposit {
                    at: self.now,
                    provider: node,
                    drop: deposit.drop,
                    message: deposit.message,
                    blob: deposit.blob.as_bytes().to_vec(),
                    surb: deposit.surb.to_bytes().to_vec(),
                });
                let registered = self.drops.get(&(node, deposit.drop)).copied();
                // As if its owner had been here and gone.
                let early = (!self.strict).then_some(NOBODY);
                let takes = |id: &MailboxId| {
                    let mailbox = self.mailboxes.get(&(node, *id));
                    mailbox.is_none_or(|mailbox| !mailbox.closed)
                };
                let of = (node, deposit.drop);
                let is_revoked = self
                    .revoked
                    .iter()
                    .any(|(_, node, drop)| (*node, *drop) == of);
                let mailbox = registered.or(early).filter(takes);
                let mailbox = mailbox.filter(|_| !is_revoked);
                let message = deposit.message;
                let reply = match (self.answer, mailbox) {
                    (Answer::Silent, _) => return,
                    (Answer::Refuse, _) | (_, None) => Reply::Receipt {
                        message,
                        status: ReceiptStatus::Refused,
                    },
                    (answer, Some(mailbox)) => {
                        let number = self.next_entry;
                        self.next_entry += 1;
                        let entries =
                            &mut self.mailboxes.entry((node, mailbox)).or_default().entries;
                        let entry = Entry {
                            number,
                            blob: deposit.blob,
                            pushed: None,
                        };
                        entries.entry((deposit.drop, message)).or_insert(entry);
                        if answer == Answer::Late {
                            Reply::Dummy
                        } else {
                            Reply::Receipt {
                                message,
                                status: ReceiptStatus::Stored,
                            }
                        }
                    }
                };
                self.reply(node, deposit.surb_epoch, deposit.surb, &reply);
            }
            Command::Dummy { surb_epoch, surb } => {
                self.reply(node, surb_epoch, surb, &Reply::Dummy)
            }
            Command::Mailbox(packet) => self.mailbox(node, *packet),
            Command::Token(ask) => self.token(node, *ask),
            _ => {}
        }
    }

    fn token(&mut self, node: NodeId, ask: TokenAsk) {
        self.asked.push((self.now, node, ask.blinded));
        let issuer = match self.forge {
            true => &IssuerSecret::derive(&[99; 32], ask.number).unwrap(),
            false => &self.issuers[&node],
        };
        let demand = self.network.nodes[&node].tokens.unwrap().demand;
        let shown = match (demand, &ask.proof) {
            (TokenDemand::Open, _) => true,
            (TokenDemand::Code, proof) => {
                *proof == TokenProof::Code(TokenCode::of(&node, "friend"))
            }
            (TokenDemand::Work { bits }, TokenProof::Work(proof)) => {
                let work = TokenWork {
                    network: self.params.chain(),
                    provider: node,
                    number: ask.number,
                    blinded: ask.blinded,
                };
                work.proves(proof, bits)
            }
            _ => false,
        };
        let answer = match shown {
            true => TokenAnswer::Issued {
                number: ask.number,
                evaluation: issuer.evaluate(&mut self.rng, &ask.blinded).unwrap(),
            },
            false => TokenAnswer::Refused(TokenRefusal::Proof),
        };
        self.reply(node, ask.surb_epoch, ask.surb, &Reply::Token(answer));
    }

    /// Whether a mailbox is there, or is opened with a token that was not spent.
    fn opens(&mut self, node: NodeId, request: &MailboxRequest) -> bool {
        let Some(issuer) = self.issuers.get(&node) else {
            return true;
        };
        if self.mailboxes.contains_key(&(node, request.mailbox)) {
            return true;
        }
        let good = request.token.as_ref().filter(|token| issuer.verify(token));
        let Some(spent) = good.map(shoal_packet::token::Token::spent) else {
            return false;
        };
        let fresh = self.spent.iter().all(|(_, _, before)| *before != spent);
        self.spent.push((self.now, node, spent));
        fresh
    }

    fn mailbox(&mut self, node: NodeId, packet: MailboxPacket) {
        assert!(packet.verify(&self.params.hash(), &node));
        let request = packet.into_request();
        if !self.opens(node, &request) {
            self.closed_doors += 1;
            return;
        }
        *self.mailbox_packets.entry(node).or_default() += 1;
        let shares = self.shares.entry(request.mailbox).or_default();
        *shares.entry(request.share.weight()).or_default() += 1;
        let mailbox = self.mailboxes.entry((node, request.mailbox)).or_default();
        if request.generation > mailbox.generation {
            self.generations.push(request.generation);
            *mailbox = Mailbox {
                generation: request.generation,
                entries: std::mem::take(&mut mailbox.entries),
                drops: std::mem::take(&mut mailbox.drops),
                closed: mailbox.closed,
                ..Mailbox::default()
            };
            for entry in mailbox.entries.values_mut() {
                entry.pushed = None;
            }
        }
        let had = self.deaf_mailboxes || mailbox.received.contains(&request.counter);
        if request.generation < mailbox.generation || had {
            let generation = (self.behind)(mailbox.generation);
            let [surb, ..] = request.surbs;
            return self.reply(
                node,
                request.surb_epoch,
                surb,
                &Reply::Behind { generation },
            );
        }
        mailbox.every = Share::First.weight() / request.share.weight();
        mailbox.highest = mailbox.highest.max(request.counter);
        mailbox.received.push(request.counter);
        mailbox
            .entries
            .retain(|_, entry| !request.acks.contains(&entry.number));
        for surb in request.surbs {
            let stock = mailbox.stock.entry(request.surb_epoch).or_default();
            stock.push_back(surb);
            if stock.len() > 120 {
                stock.pop_front();
            }
        }
        if !request.drops.is_empty() {
            self.drop_sets.push((self.now, request.drops.clone()));
        }
        for change in request.drops {
            let set = match change {
                DropChange::Register(set) => set,
                DropChange::Close => {
                    mailbox.closed = true;
                    continue;
                }
                DropChange::Revoke(drop) => {
                    self.revoked.push((self.now, node, drop));
                    continue;
                }
            };
            let ids: BTreeSet<DropId> = set.ids(&request.mailbox).map(|(_, id)| id).collect();
            let fits = mailbox.drops.len() + ids.len() <= self.drop_limit;
            if !fits && !ids.is_subset(&mailbox.drops) {
                mailbox.refused.push(request.counter);
                continue;
            }
            for drop in &ids {
                self.drops.insert((node, *drop), request.mailbox);
            }
            mailbox.drops.extend(ids);
        }
        let drops = mailbox.drops.clone();
        let Some(nobodys) = self.mailboxes.get_mut(&(node, NOBODY)) else {
            return;
        };
        let early: Vec<_> = nobodys
            .entries
            .extract_if(.., |(drop, _), _| drops.contains(drop))
            .collect();
        if let Some(mailbox) = self.mailboxes.get_mut(&(node, request.mailbox)) {
            mailbox.entries.extend(early);
        }
    }

    /// One tick of every mailbox's clock.
    fn clock(&mut self) {
        if !self.push {
            return;
        }
        let ids: Vec<_> = self.mailboxes.keys().copied().collect();
        for (node, id) in ids {
            if self.dead == Some(node) {
                continue;
            }
            let now = self.now;
            let epoch = self.view.current(&self.params, now).unwrap().epoch();
            let (byte, next) = (epoch.byte(), epoch.next().byte());
            let mailbox = self.mailboxes.get_mut(&(node, id)).unwrap();
            mailbox.ticks += 1;
            if !mailbox.ticks.is_multiple_of(mailbox.every.max(1)) {
                continue;
            }
            for (_, void) in mailbox
                .stock
                .iter()
                .filter(|(key, _)| ![byte, next].contains(key))
            {
                self.void_surbs += void.len();
            }
            mailbox.stock.retain(|key, _| [byte, next].contains(key));
            let Some(surb) = mailbox.stock.get_mut(&byte).and_then(VecDeque::pop_front) else {
                self.dry_ticks += usize::from(mailbox.next_number > 0);
                continue;
            };
            let left = mailbox.stock.get(&byte).map_or(0, VecDeque::len);
            let due = |entry: &Entry| entry.pushed.is_none_or(|at| now.since(at) > secs(5.0));
            let found = mailbox.entries.iter_mut().find(|(_, entry)| due(entry));
            let entry = found.map(|((drop, message), entry)| {
                entry.pushed = Some(now);
                let blob = entry.blob.clone();
                StreamEntry {
                    entry: entry.number,
                    drop: *drop,
                    message: *message,
                    blob,
                }
            });
            let bit = |back: u64| mailbox.highest.checked_sub(back + 1);
            let has = |counter: u64| mailbox.received.contains(&counter);
            let item = StreamItem {
                generation: mailbox.generation,
                number: mailbox.next_number,
                window_highest: mailbox.highest,
                window_bits: (0..64)
                    .filter(|back| bit(*back).is_some_and(has))
                    .fold(0, |bits, back| bits | 1 << back),
                refused_bits: (0..64)
                    .filter(|back| {
                        let counter = mailbox.highest.checked_sub(*back);
                        counter.is_some_and(|counter| mailbox.refused.contains(&counter))
                    })
                    .fold(0, |bits, back| bits | 1 << back),
                stock: u16::try_from(left).unwrap(),
                entry,
            };
            mailbox.next_number += 1;
            self.reply(node, byte, surb, &Reply::Stream(Box::new(item)));
        }
    }

    fn reply(&mut self, node: NodeId, epoch_byte: u8, surb: Surb, reply: &Reply) {
        let document = self.view.by_epoch_byte(&self.params, self.now, epoch_byte);
        let Some(document) = document.cloned() else {
            self.void_surbs += 1;
            return;
        };
        let plaintext = reply.encode(&mut self.rng);
        let (first, packet) = surb.into_packet(&plaintext).unwrap();
        let frame = Frame::new(document.epoch(), packet);
        self.travel(self.now, Some(node), first, frame);
    }

    /// Everything that lies in mailboxes has lain there for too long.
    pub(crate) fn expire(&mut self) {
        self.mailboxes
            .values_mut()
            .for_each(|it| it.entries.clear());
    }

    /// What lies in all mailboxes.
    pub(crate) fn stored(&self) -> usize {
        self.mailboxes
            .values()
            .map(|mailbox| mailbox.entries.len())
            .sum()
    }

    /// Puts a deposit back that was acknowledged.
    pub(crate) fn replay(&mut self, deposit: &SeenDeposit) {
        let blob = deposit.blob.clone();
        self.put(deposit.provider, deposit.drop, deposit.message, &blob);
    }

    fn put(&mut self, node: NodeId, drop: DropId, message: MessageId, blob: &[u8]) {
        let number = self.next_entry;
        self.next_entry += 1;
        let blob = Box::new(Blob::from_bytes(blob).unwrap());
        for ((at, _), mailbox) in &mut self.mailboxes {
            if *at == node {
                let entry = Entry {
                    number,
                    blob: blob.clone(),
                    pushed: None,
                };
                mailbox.entries.insert((drop, message), entry);
            }
        }
    }

    /// Puts a blob into somebody's mailbox, as a malicious provider could.
    pub(crate) fn plant(&mut self, node: NodeId, drop: DropId, blob: &[u8]) {
        let mut message = [0; 16];
        self.rng.fill_bytes(&mut message);
        self.put(node, drop, MessageId::new(message), blob);
    }
}

pub(crate) fn random_bytes<R: CryptoRng>(rng: &mut R, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn as_read(rows: &BTreeMap<(Table, Vec<u8>), Zeroizing<Vec<u8>>>) -> Vec<Row> {
    let row = |((table, key), value): (&(Table, Vec<u8>), &Zeroizing<Vec<u8>>)| Row {
        table: *table,
        key: key.clone(),
        value: value.clone(),
    };
    rows.iter().map(row).collect()
}
