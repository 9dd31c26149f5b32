//! The loop that carries a node's composition: what happens goes in, what it wants done is done.
//!
//! Packets reach the loop unwrapped and leave it into rings; signatures, documents and disks are on
//! threads of their own. So nothing here waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shoal_mix::{DropReason, Passage, Processed};
use shoal_packet::{Backend, Frame};
use shoal_proto::{MailboxId, NodeId, Span, Time};
use shoal_provider::{StoreError, StoreOp};
use shoal_roles::RequestKind;
use shoal_roles::node::{
    Figures, Node, NodeAction, NodeEvent, NodeInput, Place, Standing, Trouble, TroubleKind,
};
use shoal_topology::{Address, DirectoryWarning, NetworkParameters, Ticket};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use super::disk::DiskThread;
use super::jobs::JobThreads;
use super::store::StoreThread;
use super::successor::SuccessorFile;
use crate::metrics::{EpochFigures, MachineFigures, PlacedMembers};
use crate::net::{
    Channel, GossipToken, NetEvent, NetHandle, OpenConnections, SendError, multiaddr,
};
use crate::runtime::announce::{Announce, Announcer};
use crate::runtime::clock::Clock;
use crate::runtime::stop::{Stop, Stops};
use crate::state::{Overtaken, ReplayWriter};

/// What a metrics page and `/healthz` are made of: everything at one instant.
pub(super) struct Report {
    pub(super) figures: Figures,
    pub(super) net: crate::net::NetStats,
    pub(super) open: OpenConnections,
    pub(super) placed: PlacedMembers,
    pub(super) epoch: EpochFigures,
    /// What the machine was found to do.
    pub(super) machine: MachineFigures,
    /// What unwraps packets.
    pub(super) backend: &'static str,
    /// Where it stands among the others.
    pub(super) standing: Standing,
    /// What keeps it from its work, a line each; nothing if it does it.
    pub(super) troubles: Vec<(TroubleKind, String)>,
}

/// What the loop waits for besides deadlines.
pub(super) struct Inputs {
    pub(super) net: mpsc::Receiver<NetEvent>,
    pub(super) processed: mpsc::Receiver<Processed>,
    /// What threads have done: tags, store, directory, jobs.
    pub(super) done: mpsc::Receiver<NodeInput>,
    pub(super) reports: mpsc::Receiver<oneshot::Sender<Report>>,
}

/// Threads that a node's composition has its work done by.
pub(super) struct Threads {
    pub(super) store: Option<StoreThread>,
    pub(super) replay: Arc<ReplayWriter>,
    pub(super) disk: DiskThread,
    pub(super) jobs: JobThreads,
}

/// How often it is looked whether the machine's clock has been set.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(2);
/// The ticket of what nobody waits for: whether the mailboxes are still this process's. The composition
/// counts its own from 0.
const LOOK_AT_STORE: u64 = u64::MAX;

/// Why a node has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was asked to.
    Stopped,
    /// The machine's clock was off, and has been set.
    ClockSet,
    /// Other values of the network count.
    Succeeded,
    /// Another process of this node has the mailboxes.
    Overtaken,
}

/// The composition and what it acts on.
pub(super) struct Host {
    pub(super) clock: Clock,
    pub(super) node: Node,
    pub(super) net: NetHandle,
    pub(super) threads: Threads,
    pub(super) announcer: Announcer,
    /// What the machine was found to do.
    pub(super) machine: MachineFigures,
    params: Arc<NetworkParameters>,
    backend: Backend,
    /// If another process may take over what this one keeps: whether one has.
    pub(super) overtaken: Option<Overtaken>,
    /// It is being looked whether one has.
    looks_at_store: bool,
    /// Why it ends, once it does.
    ended: Ended,
    tickets: BTreeMap<u64, Waiting>,
    next_ticket: u64,
}

/// What waits for the composition's word.
enum Waiting {
    Answer(Channel),
    Verdict(GossipToken),
}

impl Host {
    pub(super) fn new(
        clock: Clock,
        node: Node,
        net: NetHandle,
        threads: Threads,
        announcer: Announcer,
        (params, backend): (Arc<NetworkParameters>, Backend),
    ) -> Self {
        Self {
            clock,
            node,
            net,
            threads,
            announcer,
            machine: MachineFigures::default(),
            params,
            backend,
            overtaken: None,
            looks_at_store: false,
            ended: Ended::Stopped,
            tickets: BTreeMap::new(),
            next_ticket: 0,
        }
    }

    /// Runs until it is asked to stop and what can leave has left. Gives back the events of networking,
    /// which end when it has closed.
    pub(super) async fn run(
        &mut self,
        mut inputs: Inputs,
        (stops, drain): (&mut Stops, Span),
        (moved, successor): (&mut Option<watch::Receiver<Vec<Address>>>, &SuccessorFile),
    ) -> (Ended, mpsc::Receiver<NetEvent>) {
        let mut batch = Vec::new();
        let mut looks = tokio::time::interval(LOOK_AT_CLOCK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.pump() {
            let deadline = self.node.poll_deadline().unwrap_or(Time::MAX);
            let deadline = self.clock.instant(deadline);
            tokio::select! {
                asked = stops.next() => self.asked_to_stop(asked, drain),
                Some(event) = inputs.net.recv() => self.on_net(event),
                count = inputs.processed.recv_many(&mut batch, 64), if !inputs.processed.is_closed() => {
                    if count > 0 {
                        self.on_processed(batch.drain(..));
                    }
                }
                Some(input) = inputs.done.recv() => self.on_done(input),
                addresses = moved_to(moved) => {
                    self.tell(NodeInput::Moved(addresses));
                    successor.look();
                }
                Some(reply) = inputs.reports.recv() => {
                    // Who asked may have gone away.
                    let _ = reply.send(self.report());
                }
                _ = looks.tick() => {
                    if self.clock_was_set_right() {
                        self.begin_anew(Ended::ClockSet);
                    }
                    self.look_at_store();
                }
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
        (self.ended, inputs.net)
    }

    /// A thread has done something. Whoever has lost the mailboxes stops: two nodes of one identity would
    /// contradict each other.
    fn on_done(&mut self, input: NodeInput) {
        let (mut lost, mut own) = (false, false);
        match &input {
            NodeInput::Stored { ticket, result } => {
                lost = self.overtaken.is_some() && *result == Err(StoreError::Busy);
                own = *ticket == LOOK_AT_STORE;
            }
            NodeInput::TagsFailed { .. } | NodeInput::PersistFailed { .. } => {
                lost = self.overtaken.as_ref().is_some_and(Overtaken::is_so);
            }
            _ => {}
        }
        if own {
            self.looks_at_store = false;
        } else {
            self.tell(input);
        }
        if lost {
            self.begin_anew(Ended::Overtaken);
        }
    }

    /// Who has nothing to store would notice late that another process has the mailboxes.
    fn look_at_store(&mut self) {
        if let Some(store) = &self.threads.store
            && self.overtaken.is_some()
            && !self.looks_at_store
        {
            self.looks_at_store = true;
            let mailbox = MailboxId::new([0; MailboxId::BYTES]);
            store.apply(LOOK_AT_STORE, StoreOp::Waiting { mailbox });
        }
    }

    /// Stops, to be started again; unless it stops for another reason already.
    fn begin_anew(&mut self, why: Ended) {
        if self.ended == Ended::Stopped && !self.node.is_stopping() {
            self.ended = why;
            self.tell(NodeInput::Stop);
        }
    }

    /// It was asked to leave before it began anew, and has so long for it still.
    pub(super) fn go_on_leaving(&mut self, patience: Option<Span>) {
        if let Some(patience) = patience {
            self.tell(NodeInput::Leave { patience });
        }
    }

    /// Whether the node's clock is off or it does not do its work, and the machine's has been set since the node began. What waits for its time
    /// would wait for another one, so that the node begins anew.
    fn clock_was_set_right(&mut self) -> bool {
        // By a clock that is far off it may go by a file that nobody answers any more, and hear no other clock.
        let now = self.clock.now();
        let is_lost = |node: &mut Node| node.clock_is_off() || !node.troubles(now).is_empty();
        self.clock.was_set() && is_lost(&mut self.node)
    }

    /// SIGTERM has the node leave in its time, whatever that is the second time; other signals, and the end of whoever
    /// started it, end it.
    fn asked_to_stop(&mut self, asked: Stop, drain: Span) {
        let at_once = asked == Stop::AtOnce || drain == Span::ZERO;
        if at_once || self.node.leaves_by().is_some() {
            // Also if it was to be started again.
            self.ended = Ended::Stopped;
        }
        self.tell(match asked {
            Stop::InTime => NodeInput::Leave { patience: drain },
            Stop::AtOnce => NodeInput::Stop,
        });
    }

    fn on_processed(&mut self, batch: impl Iterator<Item = Processed>) {
        let now = self.clock.now();
        for packet in batch {
            self.node.handle_input(now, NodeInput::Processed(packet));
        }
    }

    fn on_net(&mut self, event: NetEvent) {
        let input = match event {
            NetEvent::Listening(address) => {
                tracing::info!(%address, "listening");
                let address = address.to_string();
                return self.announcer.say(&Announce::Listening { address });
            }
            NetEvent::Connected { peer, ip, .. } => {
                let place = Place::of(ip);
                self.tell(NodeInput::Located { peer, place });
                NodeInput::Connected(peer)
            }
            NetEvent::Disconnected { peer } => NodeInput::Disconnected(peer),
            NetEvent::PacketLinkUp { peer } => NodeInput::LinkUp(peer),
            NetEvent::PacketLinkDown { peer } => NodeInput::LinkDown(peer),
            NetEvent::Gossip { token, from, bytes } => {
                let ticket = self.ticket(Waiting::Verdict(token));
                NodeInput::Gossip {
                    from,
                    ticket,
                    bytes,
                }
            }
            NetEvent::Request {
                from,
                kind,
                channel,
                bytes,
            } => {
                let ticket = self.ticket(Waiting::Answer(channel));
                NodeInput::Request {
                    from,
                    kind,
                    ticket,
                    bytes,
                }
            }
            NetEvent::Response { from, bytes, .. } => NodeInput::Response { from, bytes },
            NetEvent::RequestFailed { from, .. } => NodeInput::RequestFailed { from },
            NetEvent::OtherNetwork {
                peer,
                network,
                ahead_secs,
            } => NodeInput::OtherNetwork {
                peer,
                network,
                ahead_secs,
            },
            NetEvent::PublishFailed => NodeInput::PublishFailed,
            NetEvent::Probed { peer: id, at } => NodeInput::Dialled { id, at },
            NetEvent::GossipPeerSubscribed | NetEvent::DialFailed { .. } => return,
        };
        self.node.handle_input(self.clock.now(), input);
    }

    fn ticket(&mut self, waiting: Waiting) -> Ticket {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.tickets.insert(self.next_ticket, waiting);
        Ticket(self.next_ticket)
    }

    /// Does what the composition wants done. True once the node is drained.
    fn pump(&mut self) -> bool {
        let mut drained = false;
        while let Some(action) = self.node.poll_action(self.clock.now()) {
            drained |= matches!(action, NodeAction::Drained);
            self.act(action);
        }
        drained
    }

    fn act(&mut self, action: NodeAction) {
        match action {
            NodeAction::Send { to, frame, passage } => self.send(&to, frame, passage),
            NodeAction::SendDown { to, handle, frame } => {
                let sent = self.net.try_send(&to, frame);
                if sent.is_err() {
                    self.tell(NodeInput::LinkFull { handle });
                }
            }
            NodeAction::LogTag {
                sequence,
                epoch,
                tag,
            } => {
                let taken = self.threads.replay.append(sequence, epoch, tag);
                if !taken {
                    let why = "more packets wait for the disk than links.log_tags".to_owned();
                    self.tell(NodeInput::TagsFailed { why });
                }
            }
            NodeAction::Store { ticket, op } => match &self.threads.store {
                Some(store) => store.apply(ticket, op),
                None => {
                    let result = Err(StoreError::Busy);
                    self.tell(NodeInput::Stored { ticket, result });
                }
            },
            NodeAction::Persist { ticket, changes } => self.threads.disk.write(ticket, changes),
            NodeAction::Job(job) => self.threads.jobs.give(job),
            NodeAction::Publish(bytes) => self.net.publish(bytes),
            NodeAction::Verdict { of, verdict } => {
                if let Some(Waiting::Verdict(token)) = self.tickets.remove(&of.0) {
                    self.net.report_gossip(token, verdict);
                }
            }
            NodeAction::Request { to, bytes } => {
                let asked = self.net.request(to, RequestKind::Directory, bytes);
                if asked.is_err() {
                    self.tell(NodeInput::RequestFailed { from: to });
                }
            }
            NodeAction::Respond { to, bytes } => {
                if let Some(Waiting::Answer(channel)) = self.tickets.remove(&to.0) {
                    self.net.respond(channel, bytes);
                }
            }
            NodeAction::Refuse { to } => {
                self.tickets.remove(&to.0);
            }
            NodeAction::Peers(peers) => {
                let peers = peers.into_iter();
                let dialled = |(id, addresses): (NodeId, Vec<_>)| {
                    (id, addresses.iter().map(multiaddr).collect())
                };
                self.net.set_peers(peers.map(dialled).collect());
            }
            NodeAction::PacketPeers(peers) => self.net.set_packet_peers(peers),
            NodeAction::Dial { id, addresses } => self.net.probe(id, addresses),
            NodeAction::Disconnect(peer) => self.net.disconnect(peer),
            NodeAction::Event(NodeEvent::Succeeded) => self.begin_anew(Ended::Succeeded),
            NodeAction::Event(event) => self.on_event(event),
            // The loop has seen it; and what it will come to want later changes nothing here.
            _ => {}
        }
    }

    fn tell(&mut self, input: NodeInput) {
        self.node.handle_input(self.clock.now(), input);
    }

    fn send(&self, to: &NodeId, frame: Frame, passage: Passage) {
        match self.net.try_send(to, frame) {
            Ok(()) => passage.sent(),
            Err(SendError::Full(_)) => passage.drop_as(DropReason::RingFull),
            Err(SendError::NotConnected(_)) => passage.drop_as(DropReason::Unreachable),
        }
    }

    fn on_event(&self, event: NodeEvent) {
        match event {
            NodeEvent::Ready { role, layer, epoch } => {
                match role {
                    shoal_topology::Role::Mix => {
                        tracing::info!(epoch = epoch.number(), layer, "ready: mix");
                    }
                    shoal_topology::Role::Provider => {
                        tracing::info!(epoch = epoch.number(), "ready: provider");
                    }
                }
                self.announcer.say(&Announce::Ready {
                    node: self.node.id().to_string(),
                    role: role.as_str(),
                    layer: (layer > 0).then_some(layer),
                    epoch: epoch.number(),
                });
            }
            NodeEvent::NotReady(troubles) => {
                let reasons = in_words(&troubles, self.clock.now()).join("; ");
                tracing::warn!(%reasons, "not ready");
                self.announcer.say(&Announce::NotReady { reasons });
            }
            NodeEvent::Apart { members } => tracing::warn!(
                members,
                "neighbours that can't be reached: they have no address of a family (IPv4, IPv6) that \
                 this node advertises; what is routed over them and this node is lost"
            ),
            NodeEvent::Directory(warning) => warn(&warning),
            NodeEvent::LoopsLost(returns) => tracing::warn!(
                returned = returns.returned,
                lost = returns.lost,
                "own loops do not come back: packets are lost, or somebody drops them"
            ),
            NodeEvent::LoopsBack(_) => tracing::info!("own loops come back again"),
            NodeEvent::LogSlow { wait } => tracing::warn!(
                %wait,
                "the disk is so slow with the replay log that packets miss their moments: delays are drawn anew, and \
                 fewer packets are taken"
            ),
            NodeEvent::LogQuick => tracing::info!("the replay log is in time again"),
            // What it will come to say later is no news here.
            _ => {}
        }
    }

    fn report(&mut self) -> Report {
        let now = self.clock.now();
        let troubles = self.node.troubles(now).into_iter();
        let troubles = troubles.map(|trouble| (trouble.kind(), trouble.told(now)));
        Report {
            figures: self.node.figures(now),
            net: self.net.stats(),
            open: self.net.open_connections(),
            placed: PlacedMembers::in_document(
                self.node
                    .view()
                    .current(&self.params, now)
                    .map(|document| &**document),
            ),
            epoch: EpochFigures {
                until_epoch: until_epoch(&self.params, now),
            },
            machine: self.machine,
            backend: self.backend.name(),
            standing: self.node.standing(now),
            troubles: troubles.collect(),
        }
    }
}

/// Where the node is from now on, once that is said.
async fn moved_to(moved: &mut Option<watch::Receiver<Vec<Address>>>) -> Vec<Address> {
    if let Some(moved) = moved
        && moved.changed().await.is_ok()
    {
        return moved.borrow_and_update().clone();
    }
    // Nobody is left who could say it.
    std::future::pending().await
}

/// Whole seconds until the next epoch begins.
fn until_epoch(params: &NetworkParameters, now: Time) -> u64 {
    let next = params.start_of(params.epoch_at(now).next());
    next.since(now).as_micros().div_ceil(1_000_000)
}

/// A line for each.
fn in_words(troubles: &[Trouble], now: Time) -> Vec<String> {
    troubles.iter().map(|trouble| trouble.told(now)).collect()
}

fn warn(warning: &DirectoryWarning) {
    match warning {
        DirectoryWarning::Stale { .. }
        | DirectoryWarning::Contradiction { .. }
        | DirectoryWarning::DamagedLog(_) => tracing::error!("{warning}"),
        _ => tracing::warn!("{warning}"),
    }
}
