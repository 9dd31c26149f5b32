//! One provider in virtual time: its core, a store, and a network around it that exists as keys
//! and documents only. What it sends is unwrapped hop by hop with the real keys.

use std::collections::BTreeMap;
use std::num::NonZeroU8;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use rand::CryptoRng;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use shoal_packet::command::{
    Command, Deposit, DropChange, MailboxPacket, MailboxRequest, ReceiptStatus, Reply, Share,
    TokenAnswer, TokenAsk, TokenProof,
};
use shoal_packet::token::{IssuerSecret, PendingToken, Token, TokenCode};
use shoal_packet::{
    Delivery, Frame, Packet, Payload, Surb, SurbKeys, Unwrapped, build_surb, unwrap,
};
use shoal_proto::{ClientHandle, DropId, Epoch, MailboxId, MessageId, NodeId, Span, SurbId, Time};
use shoal_provider::{
    AttachAnswer, Counters, DropReason, Issuer, IssuerCode, Limits, MemoryStore, Provider,
    ProviderAction, ProviderInput, Store, StoreLimits, StoreOp, StoreResult,
};
use shoal_topology::sample::Network;
use shoal_topology::{NetworkParameters, Role, TokenDemand, View, path, token_period};
use zeroize::Zeroizing;

use crate::operations::{blob, set};

pub const FIRST: Epoch = Epoch::new(100);
const ISSUER_SEED: [u8; 32] = [7; 32];

/// A frame on its way to layer 1.
pub struct Sent {
    pub at: Time,
    pub to: NodeId,
    pub frame: Frame,
}

pub struct World {
    pub rng: ChaCha20Rng,
    pub network: Network,
    pub params: Arc<NetworkParameters>,
    pub view: Arc<View>,
    pub local: NodeId,
    pub entry: NodeId,
    pub provider: Provider<ChaCha20Rng>,
    pub store: Box<dyn Store>,
    /// How long the store takes.
    pub store_delay: Span,
    /// What the store answers instead of working.
    pub store_fails: Option<shoal_provider::StoreError>,
    waiting_for_store: BTreeMap<(Time, u64), StoreOp>,
    pub now: Time,
    pub sent: Vec<Sent>,
    pub to_client: Vec<(Time, ClientHandle, Frame)>,
    pub dropped: Vec<DropReason>,
    counted: Counters,
    pub attached: Vec<AttachAnswer>,
    pub troubles: usize,
    pub limits: Limits,
    /// What it wants for tokens, if it issues some.
    pub demand: Option<TokenDemand>,
    keys: BTreeMap<SurbId, SurbKeys>,
    next_id: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self::with(seed, Limits::default(), StoreLimits::default())
    }

    pub fn with(seed: u64, limits: Limits, quotas: StoreLimits) -> Self {
        let life = NetworkParameters::example().time_to_live;
        Self::with_life(seed, limits, quotas, life)
    }

    /// In a network where messages are kept for so long.
    pub fn with_life(seed: u64, limits: Limits, quotas: StoreLimits, life: Span) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut params = NetworkParameters::example();
        params.epoch = Span::from_secs(600);
        params.time_to_live = life;
        let mut network = Network::new(&mut rng, params, 2, 2);
        let params = Arc::clone(&network.params);
        let view = network.view(&mut rng, [FIRST, FIRST.next()]).unwrap();
        let providers: Vec<NodeId> = network.ids(Role::Provider).collect();
        let now = params.start_of(FIRST) + Span::from_secs(100);
        let local = providers[0];
        let core = Self::core(&params, &view, local, &limits, seed, now);
        Self {
            rng,
            network,
            params,
            view,
            local,
            entry: providers[1],
            provider: core,
            store: Box::new(MemoryStore::new(quotas)),
            store_delay: Span::from_millis(5),
            store_fails: None,
            waiting_for_store: BTreeMap::new(),
            now,
            sent: Vec::new(),
            to_client: Vec::new(),
            dropped: Vec::new(),
            counted: Counters::default(),
            attached: Vec::new(),
            troubles: 0,
            limits,
            demand: None,
            keys: BTreeMap::new(),
            next_id: 1,
        }
    }

    /// The same, with an issuer.
    pub fn issuing(seed: u64, limits: Limits, quotas: StoreLimits, demand: TokenDemand) -> Self {
        let mut world = Self::with(seed, limits, quotas);
        world.demand = Some(demand);
        world.restart();
        world
    }

    /// What the provider makes tokens with in a period.
    pub fn secret(&self, period: u32) -> IssuerSecret {
        IssuerSecret::derive(&ISSUER_SEED, period).unwrap()
    }

    /// A good token of a period.
    pub fn token_of(&mut self, period: u32) -> Token {
        let secret = self.secret(period);
        let (pending, blinded) = PendingToken::blind(&mut self.rng).unwrap();
        let answer = secret.evaluate(&mut self.rng, &blinded).unwrap();
        pending.finish(&secret.public(), &answer).unwrap()
    }

    /// A good token.
    pub fn token(&mut self) -> Token {
        self.token_of(token_period(self.now))
    }

    /// Asks for a token.
    pub fn ask(&mut self, number: u32, blinded: [u8; 32], proof: TokenProof) {
        let (surb_epoch, surb) = (FIRST.byte(), self.surb(FIRST));
        let ask = TokenAsk {
            surb_epoch,
            surb,
            number,
            blinded,
            proof,
        };
        self.command(&Command::Token(Box::new(ask)));
    }

    /// What those who asked for tokens were answered since, and when.
    pub fn token_answers(&mut self) -> Vec<(Time, TokenAnswer)> {
        let replies = self.open_all().into_iter();
        let answers = replies.filter_map(|(at, reply)| match reply {
            Reply::Token(answer) => Some((at, answer)),
            _ => None,
        });
        answers.collect()
    }

    fn core(
        params: &Arc<NetworkParameters>,
        view: &Arc<View>,
        local: NodeId,
        limits: &Limits,
        seed: u64,
        now: Time,
    ) -> Provider<ChaCha20Rng> {
        let rng = ChaCha20Rng::seed_from_u64(seed ^ 0xc0fe);
        let mut core = Provider::new(Arc::clone(params), local, limits.clone(), rng, now);
        core.handle_input(now, ProviderInput::View(Arc::clone(view)));
        core
    }

    /// The core dies with all it held; the store stays.
    pub fn restart(&mut self) {
        self.waiting_for_store.clear();
        self.counted = Counters::default();
        let (params, view) = (&self.params, &self.view);
        self.provider = Self::core(params, view, self.local, &self.limits, 77, self.now);
        if let Some(demand) = self.demand {
            let codes = [
                ("letmein", None),
                ("friends", None),
                ("myfriend", NonZeroU8::new(2)),
            ];
            let codes = codes.map(|(text, most)| IssuerCode {
                code: TokenCode::of(&self.local, text),
                most,
            });
            let issuer = Issuer::new(Zeroizing::new(ISSUER_SEED), demand, codes.into());
            let rng = ChaCha20Rng::seed_from_u64(78);
            let (params, limits) = (Arc::clone(&self.params), self.limits.clone());
            let core = Provider::new(params, self.local, limits, rng, self.now);
            self.provider = core.with_issuer(issuer);
            let view = ProviderInput::View(Arc::clone(&self.view));
            self.provider.handle_input(self.now, view);
        }
    }

    pub fn input(&mut self, input: ProviderInput) {
        self.provider.handle_input(self.now, input);
        self.drain();
    }

    /// Checks what is delivered, as a host does, and gives it to the core.
    pub fn deliver(&mut self, delivery: Delivery) {
        let checked = self.provider.checker().check(delivery);
        self.input(ProviderInput::Delivered(checked));
    }

    fn drain(&mut self) {
        while let Some(action) = self.provider.poll_action(self.now) {
            match action {
                ProviderAction::Send { to, frame } => {
                    let at = self.now;
                    self.sent.push(Sent { at, to, frame });
                }
                ProviderAction::ToClient { handle, frame } => {
                    self.to_client.push((self.now, handle, frame));
                }
                ProviderAction::Store { ticket, op } => {
                    self.waiting_for_store
                        .insert((self.now + self.store_delay, ticket), op);
                }
                ProviderAction::Attach { answer, .. } => self.attached.push(answer),
                ProviderAction::StoreTrouble(_) | ProviderAction::StoreRecovered => {
                    self.troubles += 1;
                }
                _ => panic!("an action that the tests do not know"),
            }
        }
        let counters = self.provider.counters();
        assert!(counters.balanced());
        assert!(counters.mailboxes.stock <= 2 * self.limits.stock as u64);
        self.note_drops(counters);
    }

    /// One input drops at most one packet, so what is new comes in order.
    fn note_drops(&mut self, counters: Counters) {
        for reason in DropReason::ALL {
            let new = counters.dropped(*reason) - self.counted.dropped(*reason);
            self.dropped.extend((0..new).map(|_| *reason));
        }
        self.counted = counters;
    }

    pub fn run(&mut self, span: Span) {
        let end = self.now + span;
        loop {
            let store = self.waiting_for_store.keys().next().map(|(at, _)| *at);
            let deadline = self.provider.poll_deadline();
            let next = [store, deadline].into_iter().flatten().min().unwrap_or(end);
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if store.is_some_and(|at| at <= self.now) {
                let ((_, ticket), op) = self.waiting_for_store.pop_first().unwrap();
                let result: StoreResult = match &self.store_fails {
                    Some(error) => Err(error.clone()),
                    None => self.store.apply(self.now, vec![op]).pop().unwrap(),
                };
                self.provider
                    .handle_input(self.now, ProviderInput::StoreDone { ticket, result });
            }
            self.drain();
        }
        self.now = end;
    }

    /// The process is stopped for a while, and does at once what became due.
    pub fn sleep(&mut self, span: Span) {
        self.now += span;
        self.drain();
    }

    pub fn run_secs(&mut self, secs: u64) {
        self.run(Span::from_secs(secs));
    }

    /// A reply block of this epoch, back to a client at the other provider.
    pub fn surb(&mut self, epoch: Epoch) -> Surb {
        let document = Arc::clone(&self.view.documents[&epoch]);
        let route = path::reply(&mut self.rng, &document, &self.params, &self.entry).unwrap();
        self.surb_on(&route, ClientHandle::new([0xcc; 32]))
    }

    pub fn surb_on(&mut self, route: &[shoal_packet::Hop], handle: ClientHandle) -> Surb {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.next_id.to_be_bytes());
        self.next_id += 1;
        let id = SurbId::new(id);
        let (surb, keys) = build_surb(&mut self.rng, route, &handle, id).unwrap();
        self.keys.insert(id, keys);
        surb
    }

    pub fn surbs(&mut self, epoch: Epoch) -> [Surb; 4] {
        std::array::from_fn(|_| self.surb(epoch))
    }

    /// Carries a packet through the network to where it ends.
    pub fn travel(
        &mut self,
        epoch: Epoch,
        mut to: NodeId,
        mut packet: Packet,
    ) -> (NodeId, [u8; 32], SurbId, Payload) {
        for _ in 0..5 {
            let secret = self.network.nodes[&to].keys.secret(epoch).unwrap();
            match unwrap(secret, packet, |_| true).unwrap() {
                Unwrapped::Forward {
                    next,
                    packet: inner,
                    ..
                } => {
                    assert!(self.view.documents[&epoch].position_ok(&to, &next));
                    to = next;
                    packet = inner;
                }
                Unwrapped::Final {
                    destination,
                    id,
                    payload,
                } => {
                    return (to, destination, id, payload);
                }
            }
        }
        panic!("it never ends");
    }

    /// What the client at the end of the way reads; each reply block serves once.
    pub fn open(&mut self, sent: &Sent) -> Reply {
        let (id, reply) = self.read(sent);
        self.keys
            .remove(&id)
            .expect("never two answers by one reply block");
        reply
    }

    /// The same for reply blocks that are brought twice.
    pub fn read(&mut self, sent: &Sent) -> (SurbId, Reply) {
        let byte = sent.frame.epoch_byte();
        let epoch = [FIRST, FIRST.next()]
            .into_iter()
            .find(|epoch| epoch.byte() == byte)
            .unwrap();
        assert_eq!(
            self.view.documents[&epoch].member(&sent.to).unwrap().layer,
            1
        );
        let (at, _, id, payload) = self.travel(epoch, sent.to, sent.frame.clone().into_packet());
        assert_eq!(at, self.entry);
        let keys = self
            .keys
            .get(&id)
            .expect("never two answers by one reply block");
        (id, Reply::decode(&keys.open(&payload).unwrap()).unwrap())
    }

    pub fn open_all(&mut self) -> Vec<(Time, Reply)> {
        let sent = std::mem::take(&mut self.sent);
        sent.iter().map(|sent| (sent.at, self.open(sent))).collect()
    }

    pub fn command(&mut self, command: &Command) {
        let plaintext = command.encode(&mut self.rng);
        self.plaintext(plaintext.to_vec());
    }

    pub fn plaintext(&mut self, plaintext: Vec<u8>) {
        let nothing = payload(&mut ChaCha20Rng::seed_from_u64(1));
        self.deliver(delivery(Some(plaintext), [0; 32], nothing, self.now));
    }

    pub fn deposit(&mut self, drop: u8, message: u32) {
        let surb = self.surb(FIRST);
        self.deposit_with(surb, drop, message);
    }

    pub fn deposit_with(&mut self, surb: Surb, drop: u8, message: u32) {
        self.command(&put_command(surb, drop, message));
    }

    pub fn owner_command(&mut self, owner: &Owner, request: MailboxRequest) {
        let packet = MailboxPacket::sign(
            &mut self.rng,
            &owner.key,
            &self.params.hash(),
            &self.local,
            request,
        )
        .unwrap();
        self.command(&Command::Mailbox(Box::new(packet)));
    }

    /// A command that says it is another's, and is signed by this owner.
    pub fn forge(&mut self, signer: &Owner, request: MailboxRequest) {
        let (network, local, claimed) = (self.params.hash(), self.local, request.mailbox);
        let packet =
            MailboxPacket::sign(&mut self.rng, &signer.key, &network, &local, request).unwrap();
        let command = Command::Mailbox(Box::new(packet));
        let mut plaintext = command.encode(&mut self.rng).to_vec();
        let is_signer = |window: &[u8]| window == signer.mailbox().as_bytes();
        let at = plaintext.windows(32).position(is_signer).unwrap();
        plaintext[at..at + 32].copy_from_slice(claimed.as_bytes());
        self.plaintext(plaintext);
    }

    /// The owner's next command, with a token.
    pub fn attend_with(&mut self, owner: &mut Owner, token: Option<Token>) {
        let surbs = self.surbs(owner.epoch);
        let request = MailboxRequest {
            token,
            ..owner.request(surbs, &[], &[])
        };
        self.owner_command(owner, request);
    }

    /// The owner's next command.
    pub fn attend(&mut self, owner: &mut Owner, acks: &[u64], drops: &[DropChange]) {
        let surbs = self.surbs(owner.epoch);
        let request = owner.request(surbs, acks, drops);
        self.owner_command(owner, request);
    }
}

/// The owner of a mailbox.
pub struct Owner {
    pub key: SigningKey,
    pub generation: u64,
    pub counter: u64,
    pub epoch: Epoch,
}

impl Owner {
    pub fn new(n: u8) -> Self {
        Self {
            key: SigningKey::from_bytes(&[n; 32]),
            generation: 1,
            counter: 0,
            epoch: FIRST,
        }
    }

    pub fn mailbox(&self) -> MailboxId {
        MailboxId::new(self.key.verifying_key().to_bytes())
    }

    /// The first drop id of a set.
    pub fn drop_id(&self, n: u8) -> DropId {
        set(n).id(&self.mailbox(), 0)
    }

    pub fn request(
        &mut self,
        surbs: [Surb; 4],
        acks: &[u64],
        drops: &[DropChange],
    ) -> MailboxRequest {
        self.counter += 1;
        MailboxRequest {
            surb_epoch: self.epoch.byte(),
            surbs,
            mailbox: self.mailbox(),
            generation: self.generation,
            counter: self.counter,
            profile: 0,
            share: Share::First,
            acks: acks.to_vec(),
            drops: drops.to_vec(),
            token: None,
        }
    }
}

/// A deposit for the first owner, not yet sent.
fn put_command(surb: Surb, drop: u8, message: u32) -> Command {
    Command::Deposit(Box::new(Deposit {
        surb_epoch: FIRST.byte(),
        surb,
        drop: Owner::new(1).drop_id(drop),
        message: message_id(message),
        blob: blob(message.to_be_bytes()[3]),
    }))
}

pub fn message_id(n: u32) -> MessageId {
    let mut id = [7; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    MessageId::new(id)
}

pub fn payload<R: CryptoRng>(rng: &mut R) -> Payload {
    let mut bytes = [0; 2048];
    rng.fill_bytes(&mut bytes);
    Payload::from_bytes(&bytes).unwrap()
}

pub fn delivery(
    plaintext: Option<Vec<u8>>,
    destination: [u8; 32],
    payload: Payload,
    arrival: Time,
) -> Delivery {
    Delivery {
        destination,
        id: SurbId::new([3; 16]),
        payload,
        plaintext: plaintext.map(Into::into),
        epoch: FIRST,
        arrival,
    }
}

pub fn statuses(replies: &[(Time, Reply)]) -> Vec<Option<ReceiptStatus>> {
    replies
        .iter()
        .map(|(_, reply)| match reply {
            Reply::Receipt { status, .. } => Some(*status),
            Reply::Dummy => None,
            _ => panic!("a stream packet"),
        })
        .collect()
}
