//! The networking task: the swarm, its timers, and what the handle asks of it. No frame passes
//! here.

mod alive;
mod commands;
mod events;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use libp2p::gossipsub::IdentTopic;
use libp2p::request_response::OutboundRequestId;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, Swarm};
use shoal_proto::NodeId;
use shoal_roles::RequestKind;
use shoal_topology::Reach;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::alive::Alive;
use super::clock::now;
use super::config::{Mode, NetConfig};
use super::dialer::Dialer;
use super::error::NetError;
use super::event::{NetEvent, RequestId};
use super::handle::NetHandle;
use super::id::{identity, peer_of};
use super::links::Links;
use super::listen::listen;
use super::metered::Hearing;
use super::network::{Asking, Hello};
use super::probe::Prober;
use super::shared::{Command, Shared};
use super::sink::FrameSink;
use super::standing::Standing;
use super::stats::{Stats, count, count_many};
use super::strangers::Strangers;
use super::transport::{Parts, Protocols, swarm};
use super::{gossip, packets};

/// How often what is due is looked for.
const TICK: Duration = Duration::from_millis(100);
/// How often the standing of neighbours in gossip is looked at.
const LOOK: Duration = Duration::from_secs(1);

struct Driver {
    swarm: Swarm<Protocols>,
    shared: Arc<Shared>,
    links: Links,
    dialer: Dialer,
    strangers: Strangers,
    standing: Standing,
    /// When the standing of neighbours is looked at again.
    look_at: Instant,
    alive: Alive,
    hearing: Arc<Hearing>,
    /// None for clients, who ask nobody.
    asking: Option<Asking>,
    /// None for clients, who watch nobody.
    prober: Option<Prober>,
    /// Which addresses are dialled.
    reach: Reach,
    topic: IdentTopic,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<NetEvent>,
    /// Events that found no room yet. Bounded: while they are many the swarm is not polled.
    pending: VecDeque<NetEvent>,
    /// Our own requests under way.
    asked: BTreeMap<(RequestKind, OutboundRequestId), RequestId>,
    /// Requests of peers that wait for an answer, by kind: who asks for documents keeps no client from
    /// attaching.
    waiting: BTreeMap<RequestKind, Arc<AtomicUsize>>,
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
    let hearing = Arc::new(Hearing::default());
    let parts = Parts {
        keypair,
        local,
        names: &config.names,
        clock: config.clock,
        mode: config.mode,
        limits: &limits,
        stats: Arc::clone(&shared.stats),
        hearing: Arc::clone(&hearing),
        seed,
    };
    let mut swarm = swarm(&parts)?;
    let prober = match config.mode {
        Mode::Node => Some(Prober::new(&parts, config.reach)?),
        Mode::Client => None,
    };
    if config.mode == Mode::Node {
        listen(&mut swarm, &config.listen)?;
    }
    let driver = Driver {
        swarm,
        links: Links::new(Arc::clone(&shared), frames),
        dialer: Dialer::new(local, &limits, seed.wrapping_add(1)),
        strangers: Strangers::new(
            usize::try_from(limits.strangers).unwrap_or(usize::MAX),
            limits.stranger_deadline,
        ),
        standing: Standing::default(),
        look_at: now(),
        alive: Alive::default(),
        hearing,
        asking: (config.mode == Mode::Node)
            .then(|| Asking::new(config.names.network, config.clock)),
        prober,
        reach: config.reach,
        topic: gossip::topic(&config.names.network),
        shared: Arc::clone(&shared),
        commands,
        events: event_sender,
        pending: VecDeque::new(),
        asked: BTreeMap::new(),
        waiting: BTreeMap::new(),
        stopping: None,
    };
    runtime.spawn(driver.run());
    Ok((NetHandle::new(shared), events))
}

/// Waits for a member that says that it is of another network.
async fn other_network(asking: &mut Option<Asking>) -> (NodeId, Hello) {
    match asking {
        Some(asking) => asking.other().await,
        None => std::future::pending().await,
    }
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
                () = shared.changed() => self.wanted(),
                Some(command) = self.commands.recv() => self.command(command),
                (peer, hello) = other_network(&mut self.asking) => {
                    let Hello { network, ahead_secs } = hello;
                    self.say(NetEvent::OtherNetwork { peer, network, ahead_secs });
                }
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
        let now = now();
        self.stopping = Some(now + self.shared.limits.shutdown_deadline);
        self.prober = None;
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
        if now() >= deadline {
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
        let wanted = self.shared.wanted();
        if self.stopping.is_some() {
            return;
        }
        let others = wanted.peers.is_some() || wanted.packet_peers.is_some();
        if let Some(peers) = wanted.peers {
            self.set_peers(peers);
        }
        if let Some(allowed) = wanted.packet_peers {
            self.set_packet_peers(allowed);
        }
        if others {
            self.sort_strangers();
        }
        if wanted.shutdown {
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
        self.dialer.set(now(), peers, is_connected);
    }

    fn set_packet_peers(&mut self, allowed: BTreeSet<NodeId>) {
        for node in self.packets().set_allowed(allowed, now()) {
            self.links.stop_reading(&node);
            if self.links.stop_writing(&node) {
                self.say(NetEvent::PacketLinkDown { peer: node });
            }
        }
    }

    /// Others are strangers now.
    fn sort_strangers(&mut self) {
        let packets = &self.swarm.behaviour().packets;
        let crowded = self.strangers.sort(now(), |node| !packets.keep(node));
        count_many(&self.stats().strangers_crowded, crowded.len());
        self.close(crowded);
    }

    /// Closes connections of strangers that have lost their places.
    fn close(&mut self, connections: impl IntoIterator<Item = ConnectionId>) {
        for connection in connections {
            // It may be closing already.
            self.swarm.close_connection(connection);
        }
        self.count_strangers();
    }

    fn count_strangers(&self) {
        let strangers = u64::try_from(self.strangers.len()).unwrap_or(u64::MAX);
        self.stats().strangers.store(strangers, Ordering::Relaxed);
    }

    /// Counts the neighbours that have lost their standing in gossip, and says so when one is not heard any
    /// more.
    fn look_at_standing(&mut self) {
        let Some(gossip) = self.swarm.behaviour().gossip.as_ref() else {
            return;
        };
        let fallen = self.standing.look(gossip);
        let level = |peers: usize| u64::try_from(peers).unwrap_or(u64::MAX);
        let stats = self.stats();
        stats
            .gossip_pruned
            .store(level(fallen.pruned), Ordering::Relaxed);
        stats
            .gossip_graylisted
            .store(level(fallen.graylisted), Ordering::Relaxed);
        if fallen.newly > 0 {
            tracing::info!(
                peers = fallen.newly,
                "not listening to the gossip of peers any more: too much of it was invalid"
            );
        }
    }

    fn tick(&mut self) {
        let now = now();
        self.packets().tick(now);
        if self.stopping.is_some() {
            return;
        }
        if now >= self.look_at {
            self.look_at = now + LOOK;
            self.look_at_standing();
        }
        self.ask_whether_alive(now);
        self.dial_beside(now);
        let most = usize::try_from(self.shared.limits.pending_connections).unwrap_or(usize::MAX);
        let most = (most / 2).max(1).saturating_sub(self.dialer.dialling());
        for (node, addresses) in self.dialer.due(now, most) {
            self.dial(node, &addresses);
        }
        let put_off = self.dialer.put_off();
        count_many(&self.stats().put_off, put_off);
        let silent = self.strangers.silent(now);
        count_many(&self.stats().strangers_silent, silent.len());
        self.close(silent);
        for node in self.links.silent(now, self.shared.limits.idle_deadline) {
            if !self.packets().is_kept(&node) {
                count(&self.stats().idle_closed);
                self.disconnect(&node);
            }
        }
    }
}
