//! A client's connections: fetching the documents, and staying attached to an entry provider.
//!
//! Each connection has an identity of its own, made for it and forgotten with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use rand::seq::SliceRandom as _;
use rand::{CryptoRng, Rng, RngExt as _};
use rand_chacha::ChaCha20Rng;
use shoal_packet::Frame;
use shoal_proto::{ClientHandle, NodeId, Time, wire};
use shoal_topology::{
    AdoptError, ClientDirectory, GenesisMember, NetworkParameters, Role, adopt_documents,
};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use zeroize::Zeroizing;

use crate::net::{
    FrameSink, Mode, Multiaddr, NetConfig, NetError, NetEvent, NetHandle, RequestKind, spawn,
};
use crate::runtime::clock::Clock;

/// Nodes that are asked for the documents each time; their answers have to agree.
const ASKED: usize = 3;
/// How long to wait for the documents of all who are asked.
const DIRECTORY_PATIENCE: Duration = Duration::from_secs(8);
/// How long the slower ones get once one has answered.
const STRAGGLERS: Duration = Duration::from_millis(1500);
/// How long dialling and attaching may take.
const ATTACH_PATIENCE: Duration = Duration::from_secs(15);
/// How long connections may take to close in good order.
const CLOSE_PATIENCE: Duration = Duration::from_secs(4);
/// Waits between attempts: the first, and the longest after doubling.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// How far the local clock may be off the nodes' median before it is corrected. Epochs and dates
/// need minutes; answers are off by the time they take.
const TOLERANCE_US: u64 = 1_000_000;

/// What the session tells the loop around the client core.
pub(super) enum SessionEvent {
    /// Documents, checked, and a clock that agrees with the nodes' within [`TOLERANCE_US`].
    Directory(ClientDirectory, Clock),
    /// Attached; frames for the entry go out by this handle.
    Attached {
        entry: NodeId,
        handle: ClientHandle,
        net: NetHandle,
    },
    /// Not attached any more, or not yet, and why.
    Detached(String),
    /// A frame from the entry.
    Frame(Frame),
}

/// Why a step of the session failed.
#[derive(Debug, Error)]
enum SessionError {
    #[error("networking could not start: {0}")]
    Net(#[source] NetError),
    #[error("none of the nodes that were asked for the directory answered")]
    NobodyAnswered,
    #[error("only one of the nodes that were asked for the directory answered; one is not enough")]
    OneAnswer,
    #[error(
        "the document in force has {found} of the network's {all} first members, and does not follow \
         from one that is known: somebody may be showing us another network"
    )]
    Strangers { found: usize, all: usize },
    #[error("the local clock was off the network's")]
    ClockMoved,
    #[error("{0}")]
    Adopt(#[source] AdoptError),
    #[error("there is no entry provider besides the mailbox's own")]
    NoEntry,
    #[error("the entry provider did not answer in time")]
    AttachTimeout,
    #[error("the entry provider refused: {0}")]
    Refused(&'static str),
    #[error("the connection to the entry provider closed")]
    Closed,
}

/// What a session needs to know.
pub(super) struct Session {
    pub(super) params: Arc<NetworkParameters>,
    pub(super) clock: Clock,
    pub(super) entry: Option<NodeId>,
    pub(super) mailbox: NodeId,
    pub(super) profile: String,
    pub(super) rng: ChaCha20Rng,
    pub(super) events: mpsc::Sender<SessionEvent>,
}

impl Session {
    /// Fetches documents, attaches, and starts again when the connection is lost, until the
    /// receiver of the events is gone.
    pub(super) async fn run(mut self) {
        let mut known = None;
        let mut wait = RETRY.0;
        loop {
            let started = Instant::from_std(self.clock.now_instant());
            let error = match self.once(&mut known).await {
                Ok(()) => return,
                Err(error) => error,
            };
            let reason = error.to_string();
            if self
                .events
                .send(SessionEvent::Detached(reason))
                .await
                .is_err()
            {
                return;
            }
            if started.elapsed() > RETRY.1 {
                wait = RETRY.0;
            }
            sleep(wait.mul_f64(self.rng.random_range(0.5..1.5))).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    /// One connection's life. `Ok` when nobody listens to the events any more.
    async fn once(&mut self, known: &mut Option<ClientDirectory>) -> Result<(), SessionError> {
        let directory = self.fetch(known.as_ref()).await?;
        *known = Some(directory.clone());
        let entry = self.choose_entry(&directory)?;
        if self
            .events
            .send(SessionEvent::Directory(directory.clone(), self.clock))
            .await
            .is_err()
        {
            return Ok(());
        }
        let (net, mut events, handle) = self.attach(&directory, entry).await?;
        let attached = SessionEvent::Attached {
            entry,
            handle,
            net: net.clone(),
        };
        let outcome = match self.events.send(attached).await {
            Ok(()) => self.stay(&mut events, entry, known).await,
            Err(_) => Ok(()),
        };
        closed(&net, &mut events).await;
        outcome
    }

    /// Stays until the link is lost; fetches the documents of each coming epoch on the way.
    async fn stay(
        &mut self,
        events: &mut mpsc::Receiver<NetEvent>,
        entry: NodeId,
        known: &mut Option<ClientDirectory>,
    ) -> Result<(), SessionError> {
        let clock = self.clock;
        let mut refresh = self.refresh_time();
        loop {
            let at = self.clock.instant(refresh);
            tokio::select! {
                event = events.recv() => match event {
                    None => return Err(SessionError::Closed),
                    Some(NetEvent::Disconnected { peer } | NetEvent::PacketLinkDown { peer })
                        if peer == entry => return Err(SessionError::Closed),
                    Some(_) => {}
                },
                () = self.events.closed() => return Ok(()),
                () = sleep_until(at) => {
                    refresh = self.refresh_time();
                    match self.fetch(known.as_ref()).await {
                        Ok(directory) => {
                            *known = Some(directory.clone());
                            let event = SessionEvent::Directory(directory, self.clock);
                            if self.events.send(event).await.is_err() {
                                return Ok(());
                            }
                            if self.clock.ahead_of(&clock) != 0 {
                                // The core starts anew, and has to be attached anew.
                                return Err(SessionError::ClockMoved);
                            }
                        }
                        Err(error) => tracing::warn!(%error, "the directory was not renewed"),
                    }
                }
            }
        }
    }

    /// Some random moment after the next epoch's document is complete, on a schedule that depends
    /// on nothing that the user does.
    fn refresh_time(&mut self) -> Time {
        let now = self.clock.now();
        let epoch = self.params.epoch_at(now);
        let window = self.params.epoch.scale(1, 8);
        let spread = window.scale(self.rng.random_range(1_000..=10_000), 10_000);
        let [this, next] = [epoch.next(), epoch.next().next()]
            .map(|epoch| self.params.freeze_time(epoch) + spread);
        // Not twice for one document: the window has to be ahead as a whole.
        if this > now + window { this } else { next }
    }

    fn choose_entry(&mut self, directory: &ClientDirectory) -> Result<NodeId, SessionError> {
        if let Some(entry) = self.entry {
            return Ok(entry);
        }
        let view = directory.view();
        let document = view.current(&self.params, self.clock.now());
        let providers = document.map_or(&[][..], |document| document.providers());
        let mut candidates: Vec<NodeId> = providers
            .iter()
            .copied()
            .filter(|id| *id != self.mailbox)
            .collect();
        candidates.shuffle(&mut self.rng);
        candidates.first().copied().ok_or(SessionError::NoEntry)
    }

    /// Asks several nodes for the documents over a connection that is used for nothing else.
    async fn fetch(
        &mut self,
        known: Option<&ClientDirectory>,
    ) -> Result<ClientDirectory, SessionError> {
        let mut nodes = self.addresses(known);
        nodes.shuffle(&mut self.rng);
        nodes.truncate(ASKED);
        let (net, mut events) = self.network(Arc::new(NoFrames))?;
        let asked = nodes.len();
        for (node, addresses) in nodes {
            net.dial(node, addresses);
        }
        let mut answers: BTreeMap<NodeId, (Time, Vec<u8>)> = BTreeMap::new();
        let mut failed = 0;
        let mut until = Instant::from_std(self.clock.now_instant()) + DIRECTORY_PATIENCE;
        while answers.len() + failed < asked {
            let Ok(Some(event)) = timeout_at(until, events.recv()).await else {
                break;
            };
            match event {
                NetEvent::Connected { peer, .. } => {
                    let asked = net.request(peer, RequestKind::Directory, Vec::new());
                    failed += usize::from(asked.is_err());
                }
                NetEvent::Response { from, bytes, .. } => {
                    answers.insert(from, (self.clock.now(), bytes));
                    let soon = Instant::from_std(self.clock.now_instant()) + STRAGGLERS;
                    until = until.min(soon);
                }
                NetEvent::RequestFailed { .. } | NetEvent::DialFailed { .. } => failed += 1,
                _ => {}
            }
        }
        closed(&net, &mut events).await;
        if answers.is_empty() {
            return Err(SessionError::NobodyAnswered);
        }
        if answers.len() < asked.min(2) {
            return Err(SessionError::OneAnswer);
        }
        let answers: Vec<(Time, Vec<u8>)> = answers.into_values().collect();
        let directory = adopt_documents(&self.params, &answers, self.clock.now());
        let directory = directory.map_err(SessionError::Adopt)?;
        if directory.clock_offset_us.unsigned_abs() > TOLERANCE_US {
            self.clock = self.clock.corrected(directory.clock_offset_us);
        }
        self.check_members(known, &directory)?;
        Ok(directory)
    }

    /// The document in force has most of the members that the network file names, or follows from
    /// one that was checked before. Without this, whoever answers could make up a network.
    fn check_members(
        &self,
        known: Option<&ClientDirectory>,
        directory: &ClientDirectory,
    ) -> Result<(), SessionError> {
        let view = directory.view();
        let Some(document) = view.current(&self.params, self.clock.now()) else {
            return Ok(());
        };
        let follows = known.is_some_and(|known| {
            let mut hashes = known.documents.values().map(|document| document.hash());
            hashes.any(|hash| hash == document.hash() || hash == document.previous())
        });
        let genesis = &self.params.genesis_members;
        let listed = |id: &NodeId| document.member(id).is_some();
        let found = genesis.iter().filter(|member| listed(&member.id)).count();
        if follows || found * 2 > genesis.len() {
            return Ok(());
        }
        let all = genesis.len();
        Err(SessionError::Strangers { found, all })
    }

    /// Who can be asked for the documents: mixes that are known, or those among the genesis members.
    /// No provider, so that who is asked does not depend on where the mailbox is, and the mailbox's
    /// provider does not see from where its owner comes.
    fn addresses(&self, known: Option<&ClientDirectory>) -> Vec<(NodeId, Vec<Multiaddr>)> {
        let view = known.map(ClientDirectory::view);
        let now = self.clock.now();
        if let Some(document) = view
            .as_ref()
            .and_then(|view| view.current(&self.params, now))
        {
            let mixes = document.members().filter(|member| member.role == Role::Mix);
            return mixes.map(|mix| (mix.id, parse(&mix.addresses))).collect();
        }
        let genesis = self.params.genesis_members.iter();
        let mixes = genesis.filter(|member| member.role == Role::Mix);
        let texts = |mix: &GenesisMember| -> Vec<String> {
            mix.addresses.iter().map(ToString::to_string).collect()
        };
        mixes.map(|mix| (mix.id, parse(&texts(mix)))).collect()
    }

    async fn attach(
        &mut self,
        directory: &ClientDirectory,
        entry: NodeId,
    ) -> Result<(NetHandle, mpsc::Receiver<NetEvent>, ClientHandle), SessionError> {
        let view = directory.view();
        let document = view.current(&self.params, self.clock.now());
        let member = document
            .and_then(|document| document.member(&entry))
            .filter(|member| member.role == Role::Provider)
            .ok_or(SessionError::NoEntry)?;
        let addresses = parse(&member.addresses);
        let sink = FrameChannel {
            entry,
            events: self.events.clone(),
        };
        let (net, mut events) = self.network(Arc::new(sink))?;
        net.set_packet_peers([entry].into());
        net.dial(entry, addresses);
        let mut handle = [0; ClientHandle::BYTES];
        self.rng.fill_bytes(&mut handle);
        let handle = ClientHandle::new(handle);
        let until = Instant::from_std(self.clock.now_instant()) + ATTACH_PATIENCE;
        match timeout_at(until, self.introduce(&net, &mut events, entry, handle)).await {
            Ok(Ok(())) => Ok((net, events, handle)),
            Ok(Err(error)) => {
                net.shutdown();
                Err(error)
            }
            Err(_) => {
                net.shutdown();
                Err(SessionError::AttachTimeout)
            }
        }
    }

    /// Until the entry has accepted us and the packet link is up.
    async fn introduce(
        &self,
        net: &NetHandle,
        events: &mut mpsc::Receiver<NetEvent>,
        entry: NodeId,
        handle: ClientHandle,
    ) -> Result<(), SessionError> {
        let request = wire::AttachRequest {
            handle: handle.as_bytes().to_vec(),
            profile: self.profile.clone(),
        };
        let (mut accepted, mut linked) = (false, false);
        while !(accepted && linked) {
            match events.recv().await {
                Some(NetEvent::Connected { peer, .. }) if peer == entry => {
                    if net
                        .request(entry, RequestKind::Attach, request.encode_to_vec())
                        .is_err()
                    {
                        return Err(SessionError::Closed);
                    }
                }
                Some(NetEvent::Response { bytes, .. }) => {
                    check_answer(&bytes)?;
                    accepted = true;
                }
                Some(NetEvent::PacketLinkUp { .. }) => linked = true,
                Some(NetEvent::PacketLinkDown { .. }) => linked = false,
                Some(
                    NetEvent::RequestFailed { .. }
                    | NetEvent::DialFailed { .. }
                    | NetEvent::Disconnected { .. },
                )
                | None => return Err(SessionError::Closed),
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn network(
        &mut self,
        sink: Arc<dyn FrameSink>,
    ) -> Result<(NetHandle, mpsc::Receiver<NetEvent>), SessionError> {
        let config = NetConfig {
            secret: ephemeral(&mut self.rng),
            network: self.params.hash(),
            mode: Mode::Client,
            listen: Vec::new(),
            limits: crate::runtime::net_limits(),
        };
        spawn(config, sink).map_err(SessionError::Net)
    }
}

/// Closes connections and waits until they are.
async fn closed(net: &NetHandle, events: &mut mpsc::Receiver<NetEvent>) {
    net.shutdown();
    let all = async { while events.recv().await.is_some() {} };
    // What does not close in time is closed with the sockets.
    let _ = tokio::time::timeout(CLOSE_PATIENCE, all).await;
}

fn ephemeral<R: CryptoRng>(rng: &mut R) -> Zeroizing<[u8; 32]> {
    let mut secret = Zeroizing::new([0; 32]);
    rng.fill_bytes(secret.as_mut());
    secret
}

fn parse(addresses: &[String]) -> Vec<Multiaddr> {
    addresses
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect()
}

fn check_answer(bytes: &[u8]) -> Result<(), SessionError> {
    use wire::AttachStatus as Status;
    let answer = wire::AttachResponse::decode(bytes)
        .map_err(|_| SessionError::Refused("its answer makes no sense"))?;
    match answer.status() {
        Status::Accepted => Ok(()),
        Status::UnknownProfile => Err(SessionError::Refused("it does not know the profile")),
        Status::Full => Err(SessionError::Refused("it is full")),
        Status::NotAProvider => Err(SessionError::Refused("it is no provider")),
        Status::Malformed | Status::Unspecified => {
            Err(SessionError::Refused("it does not understand us"))
        }
    }
}

/// Takes frames from the entry and from nobody else. When the loop is far behind, frames are lost
/// as on any link.
struct FrameChannel {
    entry: NodeId,
    events: mpsc::Sender<SessionEvent>,
}

impl FrameSink for FrameChannel {
    fn frame(&self, from: NodeId, frame: Frame) {
        if from == self.entry && self.events.try_send(SessionEvent::Frame(frame)).is_err() {
            tracing::warn!("frames from the entry come faster than they are processed");
        }
    }

    fn malformed(&self, _from: NodeId) {}

    fn closed(&self, _from: NodeId) {}
}

/// For connections that carry no packets.
struct NoFrames;

impl FrameSink for NoFrames {
    fn frame(&self, _from: NodeId, _frame: Frame) {}

    fn malformed(&self, _from: NodeId) {}

    fn closed(&self, _from: NodeId) {}
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use shoal_proto::Epoch;
    use shoal_topology::sample::Network;

    use super::*;

    /// A network of nine nodes, and a session of a client of it.
    fn session(strangers: usize) -> (Network, Session, ClientDirectory) {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut params = NetworkParameters::example();
        let clock = Clock::start();
        params.genesis = Time::from_micros(clock.now().as_secs() * 1_000_000);
        let mut network = Network::new(&mut rng, params, 2, 3);
        let view = network.view(&mut rng, [Epoch::new(0)]).expect("view");
        let mut params = (*network.params).clone();
        for index in 0..strangers {
            let mut member = params.genesis_members[0].clone();
            member.id = NodeId::new([u8::try_from(index).expect("few"); 32]);
            params.genesis_members.push(member);
        }
        let directory = ClientDirectory {
            documents: view.documents.clone(),
            clock_offset_us: 0,
        };
        let session = Session {
            params: Arc::new(params),
            clock,
            entry: None,
            mailbox: network.ids(Role::Provider).next().expect("provider"),
            profile: "default".to_owned(),
            rng,
            events: mpsc::channel(1).0,
        };
        (network, session, directory)
    }

    #[test]
    fn a_network_of_strangers_is_refused_unless_it_follows_from_a_known_one() {
        let (_, session, directory) = session(8);
        assert!(session.check_members(None, &directory).is_ok());
        let (_, session, directory) = self::session(9);
        let refused = session.check_members(None, &directory);
        assert!(matches!(
            refused,
            Err(SessionError::Strangers { found: 9, all: 18 })
        ));
        assert!(session.check_members(Some(&directory), &directory).is_ok());
    }

    #[test]
    fn who_is_asked_says_nothing_of_where_the_mailbox_is() {
        let (network, session, directory) = session(0);
        let mixes: Vec<NodeId> = network.ids(Role::Mix).collect();
        for known in [None, Some(&directory)] {
            let mut asked: Vec<NodeId> = session
                .addresses(known)
                .into_iter()
                .map(|(id, _)| id)
                .collect();
            asked.sort();
            assert_eq!(asked, mixes);
        }
    }

    #[test]
    fn the_entry_is_never_the_mailboxs_provider() {
        let (_, mut session, directory) = session(0);
        for _ in 0..50 {
            let entry = session.choose_entry(&directory).expect("entry");
            assert_ne!(entry, session.mailbox);
        }
    }

    #[test]
    fn documents_are_renewed_after_the_freeze_and_once_an_epoch() {
        let (_, mut session, _) = session(0);
        for _ in 0..50 {
            let next = session.refresh_time();
            let frozen = session.params.freeze_time(Epoch::new(1));
            assert!(next > frozen);
            assert!(next.since(frozen) <= session.params.epoch.scale(1, 8));
        }
    }
}
