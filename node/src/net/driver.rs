//! The networking task: the swarm, its timers, and what the handle asks of it. No frame passes
//! here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use libp2p::gossipsub::{self, IdentTopic, MessageAcceptance, PublishError};
use libp2p::request_response::{self, OutboundFailure, OutboundRequestId};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{DialError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm};
use shoal_proto::NodeId;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::dialer::Dialer;
use super::error::{DialFailure, NetError, RequestFailure};
use super::event::{FrameSink, GossipToken, NetEvent, RequestId, RequestKind, Ticket, Verdict};
use super::handle::{Command, NetHandle, Shared};
use super::id::{identity, node_of, peer_of};
use super::links::{Ended, Links};
use super::stats::{Stats, count};
use super::transport::{Parts, Protocols, ProtocolsEvent, dialable, listen, swarm, transport_of};
use super::{Mode, NetConfig, gossip, packets};

/// How often what is due is looked for.
const TICK: Duration = Duration::from_millis(100);

/// A place among the requests that wait for an answer; its drop gives it back.
pub(super) struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let free = |taken| (taken < most).then_some(taken + 1);
        taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, free)
            .ok()?;
        Some(Self(Arc::clone(taken)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

type Requests = request_response::Event<Vec<u8>, Vec<u8>>;

struct Driver {
    swarm: Swarm<Protocols>,
    shared: Arc<Shared>,
    links: Links,
    dialer: Dialer,
    topic: IdentTopic,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<NetEvent>,
    /// Events that found no room yet. Bounded: while they are many the swarm is not polled.
    pending: VecDeque<NetEvent>,
    /// Our own requests under way.
    asked: BTreeMap<(RequestKind, OutboundRequestId), RequestId>,
    /// Requests of peers that wait for an answer.
    waiting: Arc<AtomicUsize>,
    /// When the orderly stop has to be over.
    stopping: Option<Instant>,
}

pub(super) fn spawn(
    mut config: NetConfig,
    frames: Arc<dyn FrameSink>,
) -> Result<(NetHandle, mpsc::Receiver<NetEvent>), NetError> {
    let runtime = tokio::runtime::Handle::try_current().map_err(|_| NetError::NoRuntime)?;
    let (keypair, local) = identity(&mut config.secret).ok_or(NetError::Identity)?;
    let limits = config.limits;
    let (command_sender, commands) = mpsc::channel(limits.commands.max(1));
    let (event_sender, events) = mpsc::channel(limits.events.max(1));
    let seed = seed()?;
    let shared = Arc::new(Shared::new(local, limits.clone(), command_sender));
    let mut swarm = swarm(&Parts {
        keypair,
        local,
        network: &config.network,
        mode: config.mode,
        limits: &limits,
        stats: Arc::clone(&shared.stats),
        seed,
    })?;
    if config.mode == Mode::Node {
        for address in &config.listen {
            listen(&mut swarm, address)?;
        }
    }
    let driver = Driver {
        swarm,
        links: Links::new(Arc::clone(&shared), frames),
        dialer: Dialer::new(local, &limits, seed.wrapping_add(1)),
        topic: gossip::topic(&config.network),
        shared: Arc::clone(&shared),
        commands,
        events: event_sender,
        pending: VecDeque::new(),
        asked: BTreeMap::new(),
        waiting: Arc::default(),
        stopping: None,
    };
    runtime.spawn(driver.run());
    Ok((NetHandle::new(shared), events))
}

/// For jitter only.
fn seed() -> Result<u64, NetError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| NetError::Setup {
        what: "randomness",
        why: error.to_string(),
    })?;
    Ok(u64::from_le_bytes(bytes))
}

impl Driver {
    async fn run(mut self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (shared, events) = (Arc::clone(&self.shared), self.events.clone());
        while !self.is_done() {
            tokio::select! {
                room = events.reserve(), if !self.pending.is_empty() => {
                    match (room, self.pending.pop_front()) {
                        (Ok(room), Some(event)) => room.send(event),
                        _ => self.pending.clear(),
                    }
                }
                () = events.closed(), if self.stopping.is_none() => self.stop(),
                () = shared.wanted_changed.notified() => self.wanted(),
                Some(command) = self.commands.recv() => self.command(command),
                ended = self.links.ended() => {
                    if let Some(ended) = ended {
                        self.link_ended(ended);
                    }
                }
                event = self.swarm.select_next_some(), if self.has_room() => self.swarm_event(event),
                _ = ticks.tick() => self.tick(),
            }
        }
        for event in std::mem::take(&mut self.pending) {
            // Who waits for the end reads what it can; the rest is not news any more.
            let _ = self.events.try_send(event);
        }
    }

    fn has_room(&self) -> bool {
        self.pending.len() < self.shared.limits.events
    }

    fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    fn say(&mut self, event: NetEvent) {
        if !self.events.is_closed() {
            self.pending.push_back(event);
        }
    }

    fn packets(&mut self) -> &mut packets::Behaviour {
        &mut self.swarm.behaviour_mut().packets
    }

    /// Starts the orderly stop: no new links, rings empty themselves, then connections close.
    fn stop(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        let now = Instant::now();
        self.stopping = Some(now + self.shared.limits.shutdown_deadline);
        self.dialer.set(now, BTreeMap::new(), |_| false);
        self.packets().set_kept(BTreeSet::new());
        self.packets().set_allowed(BTreeSet::new(), now);
        self.links.stop_all_writing();
    }

    /// Goes on with the orderly stop, once nothing is to be written any more.
    fn is_done(&mut self) -> bool {
        let Some(deadline) = self.stopping else {
            return false;
        };
        if Instant::now() >= deadline {
            return true;
        }
        if self.links.is_writing() {
            return false;
        }
        let connected: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in &connected {
            // Fails only for who is gone already.
            let _ = self.swarm.disconnect_peer_id(*peer);
        }
        connected.is_empty()
    }

    fn wanted(&mut self) {
        let mut wanted = self
            .shared
            .wanted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (peers, packet_peers) = (wanted.peers.take(), wanted.packet_peers.take());
        let shutdown = wanted.shutdown;
        drop(wanted);
        if self.stopping.is_some() {
            return;
        }
        if let Some(peers) = peers {
            self.set_peers(peers);
        }
        if let Some(allowed) = packet_peers {
            self.set_packet_peers(allowed);
        }
        if shutdown {
            self.stop();
        }
    }

    fn set_peers(&mut self, peers: BTreeMap<NodeId, Vec<Multiaddr>>) {
        let kept: BTreeSet<NodeId> = peers.keys().copied().collect();
        let protocols = self.swarm.behaviour_mut();
        let before = protocols.packets.set_kept(kept.clone());
        // Strangers cannot take up the room of members.
        for peer in before.difference(&kept).filter_map(peer_of) {
            protocols.limits.remove_peer_id(&peer);
        }
        for peer in kept.difference(&before).filter_map(peer_of) {
            protocols.limits.bypass_peer_id(&peer);
        }
        let swarm = &self.swarm;
        let is_connected =
            |node: &NodeId| peer_of(node).is_some_and(|peer| swarm.is_connected(&peer));
        self.dialer.set(Instant::now(), peers, is_connected);
    }

    fn set_packet_peers(&mut self, allowed: BTreeSet<NodeId>) {
        for node in self.packets().set_allowed(allowed, Instant::now()) {
            self.links.stop_reading(&node);
            if self.links.stop_writing(&node) {
                self.say(NetEvent::PacketLinkDown { peer: node });
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.packets().tick(now);
        if self.stopping.is_some() {
            return;
        }
        let most = usize::try_from(self.shared.limits.pending_connections).unwrap_or(usize::MAX);
        let most = (most / 2).max(1).saturating_sub(self.dialer.dialling());
        for (node, addresses) in self.dialer.due(now, most) {
            self.dial(node, &addresses);
        }
        for node in self.links.silent(now, self.shared.limits.idle_deadline) {
            if !self.packets().is_kept(&node) {
                count(&self.stats().idle_closed);
                self.disconnect(&node);
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Dial(node, addresses) => self.dial(node, &addresses),
            Command::Disconnect(node) => self.disconnect(&node),
            Command::Publish(bytes) => self.publish(bytes),
            Command::Request {
                to,
                kind,
                id,
                bytes,
            } => self.request(to, kind, id, bytes),
            Command::Respond(ticket, bytes) => self.respond(ticket, bytes),
            Command::Verdict(token, verdict) => self.verdict(&token, verdict),
        }
    }

    fn dial(&mut self, node: NodeId, addresses: &[Multiaddr]) {
        if self.stopping.is_some() {
            return;
        }
        let Some(peer) = peer_of(&node) else {
            return self.dial_failed(node, DialFailure::NoAddress);
        };
        let addresses = dialable(addresses, &peer, self.shared.limits.addresses_per_peer);
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses)
            // From the listening port, two that dial each other at once would both be the
            // dialler of one connection, and fail to agree on anything.
            .allocate_new_port()
            .build();
        match self.swarm.dial(options) {
            Ok(()) => {}
            Err(DialError::DialPeerConditionFalse(_)) => {
                if self.swarm.is_connected(&peer) {
                    self.dialer.connected(Instant::now(), &node);
                }
            }
            Err(error) => self.dial_failed(node, dial_failure(&error)),
        }
    }

    fn dial_failed(&mut self, node: NodeId, why: DialFailure) {
        count(&self.stats().dials_failed);
        self.dialer.failed(Instant::now(), &node);
        self.say(NetEvent::DialFailed { peer: node, why });
    }

    fn disconnect(&mut self, node: &NodeId) {
        if let Some(peer) = peer_of(node) {
            // Fails only for who is not connected.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    fn publish(&mut self, bytes: Vec<u8>) {
        let Some(gossip) = self.swarm.behaviour_mut().gossip.as_mut() else {
            return self.say(NetEvent::PublishFailed);
        };
        match gossip.publish(self.topic.clone(), bytes) {
            Ok(_) | Err(PublishError::Duplicate) => {}
            Err(error) => {
                tracing::debug!(%error, "gossip not published");
                self.say(NetEvent::PublishFailed);
            }
        }
    }

    fn requests(
        &mut self,
        kind: RequestKind,
    ) -> &mut request_response::Behaviour<super::codec::Codec> {
        let protocols = self.swarm.behaviour_mut();
        match kind {
            RequestKind::Directory => &mut protocols.directory,
            RequestKind::Attach => &mut protocols.attach,
        }
    }

    fn request(&mut self, to: NodeId, kind: RequestKind, id: RequestId, bytes: Vec<u8>) {
        let connected = peer_of(&to).filter(|peer| self.swarm.is_connected(peer));
        let Some(peer) = connected else {
            let why = RequestFailure::NotConnected;
            return self.say(NetEvent::RequestFailed { from: to, id, why });
        };
        let asked = self.requests(kind).send_request(&peer, bytes);
        self.asked.insert((kind, asked), id);
    }

    fn respond(&mut self, ticket: Ticket, bytes: Vec<u8>) {
        let Ticket { kind, channel, .. } = ticket;
        let most = match kind {
            RequestKind::Directory => self.shared.limits.directory_response_bytes,
            RequestKind::Attach => self.shared.limits.attach_bytes,
        };
        let fits = bytes.len() <= most;
        if !fits || self.requests(kind).send_response(channel, bytes).is_err() {
            count(&self.stats().responses_lost);
        }
    }

    fn verdict(&mut self, token: &GossipToken, verdict: Verdict) {
        let verdict = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => MessageAcceptance::Reject,
        };
        if let Some(gossip) = self.swarm.behaviour_mut().gossip.as_mut() {
            gossip.report_message_validation_result(&token.id, &token.source, verdict);
        }
    }

    fn link_ended(&mut self, ended: Ended) {
        let node = ended.node;
        if let Some(connection) = ended.stalled {
            self.swarm.close_connection(connection);
        }
        let link = ended.link;
        let reopening = peer_of(&node)
            .is_some_and(|peer| self.packets().link_ended(peer, link, Instant::now()));
        if reopening {
            self.links.keep_ring(ended);
        } else {
            self.links.drop_ring(ended);
        }
        self.say(NetEvent::PacketLinkDown { peer: node });
    }

    fn swarm_event(&mut self, event: SwarmEvent<ProtocolsEvent>) {
        match event {
            SwarmEvent::Behaviour(ProtocolsEvent::Packets(event)) => self.packets_event(event),
            SwarmEvent::Behaviour(ProtocolsEvent::Directory(event)) => {
                self.requests_event(RequestKind::Directory, event);
            }
            SwarmEvent::Behaviour(ProtocolsEvent::Attach(event)) => {
                self.requests_event(RequestKind::Attach, event);
            }
            SwarmEvent::Behaviour(ProtocolsEvent::Gossip(event)) => self.gossip_event(event),
            SwarmEvent::NewListenAddr { address, .. } => self.say(NetEvent::Listening(address)),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                endpoint,
                num_established,
                ..
            } => {
                if num_established.get() == 1 {
                    self.connected(&peer_id, transport_of(&endpoint));
                }
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established: 0,
                ..
            } => {
                self.disconnected(&peer_id);
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error,
                ..
            } => {
                tracing::debug!(%error, "dial failed");
                if let Some(node) = node_of(&peer).filter(|_| !self.swarm.is_connected(&peer)) {
                    self.dial_failed(node, dial_failure(&error));
                }
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                tracing::debug!(%error, "incoming connection failed");
                count(&self.stats().incoming_failed);
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "listener"),
            SwarmEvent::ListenerClosed {
                reason: Err(error), ..
            } => {
                tracing::error!(%error, "a listener closed");
            }
            _ => {}
        }
    }

    fn connected(&mut self, peer: &PeerId, transport: &'static str) {
        if let Some(peer) = node_of(peer) {
            self.dialer.connected(Instant::now(), &peer);
            self.say(NetEvent::Connected { peer, transport });
        }
    }

    fn disconnected(&mut self, peer: &PeerId) {
        let Some(peer) = node_of(peer) else { return };
        if self.links.stop_writing(&peer) {
            self.say(NetEvent::PacketLinkDown { peer });
        }
        self.dialer.disconnected(Instant::now(), &peer);
        self.say(NetEvent::Disconnected { peer });
    }

    fn packets_event(&mut self, event: packets::Event) {
        match event {
            packets::Event::Inbound { node, stream } => {
                if self.packets().is_allowed(&node) {
                    self.links.read(node, stream);
                }
            }
            packets::Event::Outbound {
                node,
                link,
                connection,
                stream,
            } => {
                if self.packets().is_allowed(&node) {
                    self.links.write(node, link, connection, stream);
                    self.say(NetEvent::PacketLinkUp { peer: node });
                }
            }
            packets::Event::OpenFailed { node } => self.links.forget_spare(&node),
        }
    }

    fn requests_event(&mut self, kind: RequestKind, event: Requests) {
        match event {
            request_response::Event::Message { peer, message, .. } => {
                let Some(from) = node_of(&peer) else { return };
                match message {
                    request_response::Message::Request {
                        request, channel, ..
                    } => {
                        let most = self.shared.limits.waiting_requests;
                        let Some(place) = Place::take(&self.waiting, most) else {
                            return count(&self.stats().requests_refused);
                        };
                        let ticket = Ticket {
                            kind,
                            channel,
                            _place: place,
                        };
                        self.say(NetEvent::Request {
                            from,
                            kind,
                            ticket,
                            bytes: request,
                        });
                    }
                    request_response::Message::Response {
                        request_id,
                        response,
                    } => {
                        if let Some(id) = self.asked.remove(&(kind, request_id)) {
                            self.say(NetEvent::Response {
                                from,
                                id,
                                bytes: response,
                            });
                        }
                    }
                }
            }
            request_response::Event::OutboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                let asked = self.asked.remove(&(kind, request_id));
                if let (Some(id), Some(from)) = (asked, node_of(&peer)) {
                    let why = request_failure(&error);
                    self.say(NetEvent::RequestFailed { from, id, why });
                }
            }
            request_response::Event::InboundFailure { error, .. } => {
                tracing::debug!(%error, "a peer's request failed");
            }
            request_response::Event::ResponseSent { .. } => {}
        }
    }

    fn gossip_event(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            } => {
                let Some(from) = node_of(&propagation_source) else { return };
                let token = GossipToken {
                    id: message_id,
                    source: propagation_source,
                };
                self.say(NetEvent::Gossip {
                    token,
                    from,
                    bytes: message.data,
                });
            }
            gossipsub::Event::Subscribed { .. } => self.say(NetEvent::GossipPeerSubscribed),
            _ => {}
        }
    }
}

fn dial_failure(error: &DialError) -> DialFailure {
    match error {
        DialError::NoAddresses | DialError::LocalPeerId { .. } => DialFailure::NoAddress,
        DialError::WrongPeerId { .. } => DialFailure::WrongPeer,
        DialError::Denied { .. } => DialFailure::Limit,
        _ => DialFailure::Unreachable,
    }
}

fn request_failure(error: &OutboundFailure) -> RequestFailure {
    match error {
        OutboundFailure::DialFailure => RequestFailure::NotConnected,
        OutboundFailure::Timeout => RequestFailure::Timeout,
        OutboundFailure::ConnectionClosed => RequestFailure::Closed,
        OutboundFailure::UnsupportedProtocols => RequestFailure::Unsupported,
        OutboundFailure::Io(_) => RequestFailure::Malformed,
    }
}
