//! The loop around a node's cores: events and deadlines go in, actions come out.
//!
//! Packets reach the loop unwrapped and leave it into rings, so nothing here waits for a socket or a
//! cryptographic operation, and for a disk only when a new epoch's key has to be safe before it is
//! used.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use shoal_mix::{
    Accounting, Delivery, DropReason, Gate, OwnKind, Passage, Processed, Relay, RelayAction,
    RelayInput,
};
use shoal_packet::Frame;
use shoal_proto::{ClientHandle, NodeId, Span, Time};
use shoal_provider::{Delivered, Provider, ProviderAction, ProviderInput, StoreError, StoreOp};
use shoal_topology::{
    Address, Directory, DirectoryAction, DirectoryInput, DirectoryWarning, NetworkParameters, View,
};
use tokio::sync::{mpsc, oneshot};

use super::events::Attaching;
use super::files::FilesThread;
use super::intake::Attachments;
use super::store::{StoreDone, StoreThread};
use crate::metrics;
use crate::net::{Multiaddr, NetEvent, NetHandle, RequestKind, SendError};
use crate::runtime::announce::{Announce, Announcer};
use crate::runtime::clock::Clock;
use crate::state::ReplayWriter;

/// How long a node waits for its neighbours before it says that it is ready without some.
const NEIGHBOURS_PATIENCE: Span = Span::from_secs(10);

/// What a metrics page is made of: everything at one instant.
pub(super) struct Figures {
    pub(super) books: shoal_mix::Snapshot,
    pub(super) loop_ratio: f64,
    pub(super) provider: Option<shoal_provider::Counters>,
    pub(super) directory: shoal_topology::DirectoryCounters,
    pub(super) net: crate::net::NetStats,
    pub(super) epoch: u64,
    pub(super) members: u64,
    pub(super) replay_log_failures: u64,
}

impl Figures {
    /// Hands everything to the metrics page.
    pub(super) fn export(&self) {
        metrics::export_relay(&self.books, self.loop_ratio);
        if let Some(counters) = &self.provider {
            metrics::export_provider(counters);
        }
        metrics::export_directory(&self.directory);
        metrics::export_net(&self.net);
        metrics::export_node(self.epoch, self.members, self.replay_log_failures);
    }
}

/// What the loop waits for besides deadlines.
pub(super) struct Inputs {
    pub(super) net: mpsc::Receiver<NetEvent>,
    pub(super) processed: mpsc::Receiver<Processed>,
    pub(super) durable: mpsc::Receiver<Durable>,
    pub(super) store: mpsc::Receiver<StoreDone>,
    pub(super) figures: mpsc::Receiver<oneshot::Sender<Figures>>,
}

/// What the replay log says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Durable {
    /// Every tag up to this sequence is on disk.
    Upto(u64),
    /// A write failed.
    Failed,
}

/// The provider role and its store.
pub(super) struct ProviderSide {
    pub(super) core: Provider<ChaCha20Rng>,
    pub(super) store: StoreThread,
}

/// A node's cores and what they act on.
pub(super) struct Core {
    pub(super) params: Arc<NetworkParameters>,
    pub(super) local: NodeId,
    pub(super) clock: Clock,
    pub(super) net: NetHandle,
    pub(super) gate: Arc<Gate>,
    pub(super) accounting: Arc<Accounting>,
    pub(super) attachments: Arc<Attachments>,
    pub(super) relay: Relay<ChaCha20Rng>,
    pub(super) directory: Directory<ChaCha20Rng>,
    pub(super) provider: Option<ProviderSide>,
    pub(super) replay: Arc<ReplayWriter>,
    pub(super) files: FilesThread,
    pub(super) announcer: Announcer,
    pub(super) desk: Desk,
}

/// Requests that wait for an answer of a core, and who is attached.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) tickets: BTreeMap<u64, crate::net::Ticket>,
    pub(super) next_ticket: u64,
    pub(super) attaching: BTreeMap<ClientHandle, Attaching>,
    pub(super) clients: BTreeMap<ClientHandle, NodeId>,
    pub(super) links: BTreeSet<NodeId>,
    pub(super) ready: bool,
    /// When it says that it is ready though some neighbours are not there.
    pub(super) ready_by: Option<Time>,
    pub(super) replay_log_failures: u64,
}

impl Core {
    /// Runs until `stop` resolves. Then what is in the pool and due soon is let out. Gives back the
    /// events of networking, which end when it has closed.
    pub(super) async fn run(
        &mut self,
        mut inputs: Inputs,
        stop: impl Future<Output = ()>,
        close_admission: impl FnOnce(),
    ) -> mpsc::Receiver<NetEvent> {
        tokio::pin!(stop);
        let mut batch = Vec::new();
        loop {
            self.pump();
            self.announce_ready();
            let deadline = self.clock.instant(self.deadline());
            tokio::select! {
                () = &mut stop => break,
                Some(event) = inputs.net.recv() => self.on_net(event),
                count = inputs.processed.recv_many(&mut batch, 64), if !inputs.processed.is_closed() => {
                    if count > 0 {
                        self.on_processed(batch.drain(..));
                    }
                }
                Some(durable) = inputs.durable.recv() => self.on_durable(durable),
                Some(done) = inputs.store.recv() => self.on_store(done),
                Some(reply) = inputs.figures.recv() => {
                    // Who asked may have gone away.
                    let _ = reply.send(self.figures());
                }
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
        close_admission();
        self.drain(&mut inputs).await;
        inputs.net
    }

    /// Lets out what was accepted: a packet in the pool leaves at its moment, up to a bound.
    async fn drain(&mut self, inputs: &mut Inputs) {
        let until = self.clock.now() + self.params.mean_delay.scale(5, 1);
        let mut batch = Vec::new();
        while self.accounting.snapshot().inside_total() > 0 && self.clock.now() < until {
            self.pump();
            let deadline = self.clock.instant(self.deadline().min(until));
            tokio::select! {
                count = inputs.processed.recv_many(&mut batch, 64), if !inputs.processed.is_closed() => {
                    if count > 0 {
                        self.on_processed(batch.drain(..));
                    }
                }
                Some(durable) = inputs.durable.recv() => self.on_durable(durable),
                Some(done) = inputs.store.recv() => self.on_store(done),
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
        // Deposits that reached the provider are committed; their receipts go with the network.
        self.pump();
    }

    fn deadline(&self) -> Time {
        let provider = self
            .provider
            .as_ref()
            .and_then(|side| side.core.poll_deadline());
        let now = self.clock.now();
        let ready = self
            .desk
            .ready_by
            .filter(|by| !self.desk.ready && *by > now);
        [
            self.relay.poll_deadline(),
            self.directory.poll_deadline(),
            provider,
            ready,
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(Time::MAX)
    }

    /// Carries out what the cores want until they want nothing more.
    fn pump(&mut self) {
        loop {
            let now = self.clock.now();
            let mut idle = true;
            while let Some(action) = self.relay.poll_action(now) {
                idle = false;
                self.relay_action(action);
            }
            while let Some(action) = self
                .provider
                .as_mut()
                .and_then(|side| side.core.poll_action(now))
            {
                idle = false;
                self.provider_action(now, action);
            }
            while let Some(action) = self.directory.poll_action(now) {
                idle = false;
                self.directory_action(now, action);
            }
            if idle {
                return;
            }
        }
    }

    fn on_processed(&mut self, batch: impl Iterator<Item = Processed>) {
        let now = self.clock.now();
        for packet in batch {
            self.relay.handle_input(now, RelayInput::Processed(packet));
        }
    }

    fn on_durable(&mut self, durable: Durable) {
        let input = match durable {
            Durable::Upto(upto) => RelayInput::TagsDurable { upto },
            Durable::Failed => {
                self.desk.replay_log_failures = self.desk.replay_log_failures.saturating_add(1);
                RelayInput::TagsFailed
            }
        };
        self.relay.handle_input(self.clock.now(), input);
    }

    fn on_store(&mut self, done: StoreDone) {
        let now = self.clock.now();
        if let Some(side) = &mut self.provider {
            let StoreDone { ticket, result } = done;
            side.core
                .handle_input(now, ProviderInput::StoreDone { ticket, result });
        }
    }

    fn relay_action(&mut self, action: RelayAction) {
        match action {
            RelayAction::Send {
                to, frame, passage, ..
            } => self.send(&to, frame, passage),
            RelayAction::LogTag {
                sequence,
                epoch,
                tag,
            } => self.log_tag(sequence, epoch, tag),
            RelayAction::Deliver(delivery) => self.deliver(delivery),
            RelayAction::LoopAlarm(returns) => tracing::warn!(
                returned = returns.returned,
                lost = returns.lost,
                "own loops do not come back: packets are lost, or somebody drops them"
            ),
            RelayAction::LoopRecovered(_) => tracing::info!("own loops come back again"),
        }
    }

    fn send(&self, to: &NodeId, frame: Frame, passage: Passage) {
        match self.net.try_send(to, frame) {
            Ok(()) => passage.sent(),
            Err(SendError::Full(_)) => passage.drop_as(DropReason::RingFull),
            Err(SendError::NotConnected(_)) => passage.drop_as(DropReason::Unreachable),
        }
    }

    fn log_tag(&mut self, sequence: u64, epoch: shoal_proto::Epoch, tag: shoal_packet::ReplayTag) {
        if !self.replay.append(sequence, epoch, tag) {
            self.on_durable(Durable::Failed);
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        let now = self.clock.now();
        let Some(side) = &mut self.provider else {
            return; // the gate lets nothing but loops end at a mix
        };
        let delivered = Delivered {
            destination: delivery.destination,
            id: delivery.id,
            payload: delivery.payload,
            plaintext: delivery.plaintext,
            epoch_byte: delivery.epoch.byte(),
            arrival: delivery.arrival,
        };
        side.core
            .handle_input(now, ProviderInput::Delivered(delivered));
    }

    fn provider_action(&mut self, now: Time, action: ProviderAction) {
        match action {
            ProviderAction::Send { to, frame, .. } => {
                let passage = self.accounting.originate(OwnKind::Provider);
                self.send(&to, frame, passage);
            }
            ProviderAction::ToClient { handle, frame } => self.send_down(now, handle, frame),
            ProviderAction::Store { ticket, op } => self.store(now, ticket, op),
            ProviderAction::Attach { handle, answer } => self.attached(handle, answer),
            ProviderAction::StoreTrouble(error) => {
                tracing::error!(%error, "the mailbox store is in trouble");
            }
            ProviderAction::StoreRecovered => tracing::info!("the mailbox store works again"),
            // Counted by the provider; what it will come to say later changes nothing here.
            _ => {}
        }
    }

    fn send_down(&mut self, now: Time, handle: ClientHandle, frame: Frame) {
        let peer = self.desk.clients.get(&handle);
        let sent = peer.is_some_and(|peer| self.net.try_send(peer, frame).is_ok());
        if !sent && let Some(side) = &mut self.provider {
            side.core
                .handle_input(now, ProviderInput::LinkFull { handle });
        }
    }

    fn store(&mut self, now: Time, ticket: u64, op: StoreOp) {
        if let Some(side) = &mut self.provider
            && !side.store.apply(ticket, op)
        {
            let result = Err(StoreError::Busy);
            side.core
                .handle_input(now, ProviderInput::StoreDone { ticket, result });
        }
    }

    fn directory_action(&mut self, now: Time, action: DirectoryAction) {
        match action {
            DirectoryAction::Publish(bytes) => self.net.publish(bytes),
            DirectoryAction::Request { to, request } => {
                if self
                    .net
                    .request(to, RequestKind::Directory, request)
                    .is_err()
                {
                    self.directory
                        .handle_input(now, DirectoryInput::SyncFailed { from: to });
                }
            }
            DirectoryAction::Respond { to, response } => {
                if let Some(ticket) = self.desk.tickets.remove(&to.0) {
                    self.net.respond(ticket, response);
                }
            }
            DirectoryAction::View(view) => self.on_view(now, &view),
            DirectoryAction::Keys(keys) => self.gate.set_keys(&keys),
            DirectoryAction::Persist(change) => {
                self.files.apply(change);
            }
            DirectoryAction::Warn(warning) => warn(&warning),
        }
    }

    fn on_view(&mut self, now: Time, view: &Arc<View>) {
        self.gate.set_view(Arc::clone(view));
        self.relay
            .handle_input(now, RelayInput::View(Arc::clone(view)));
        if let Some(side) = &mut self.provider {
            side.core
                .handle_input(now, ProviderInput::View(Arc::clone(view)));
        }
        self.net
            .set_peers(wanted_peers(&self.params, view, &self.local));
        self.allow_packets();
    }

    /// Who may send us packets: members of the documents, and attached clients.
    pub(super) fn allow_packets(&self) {
        let members = self
            .directory
            .view()
            .documents
            .values()
            .flat_map(|document| {
                document
                    .members()
                    .map(|member| member.id)
                    .collect::<Vec<_>>()
            });
        let allowed = members.chain(self.attachments.peers()).collect();
        self.net.set_packet_peers(allowed);
    }

    /// Says once that this node can do its work: it is a member of the document in force, and has
    /// links to everybody in the position after its own, or has waited for them long enough.
    fn announce_ready(&mut self) {
        if self.desk.ready {
            return;
        }
        let view = self.directory.view();
        let Some(document) = view.current(&self.params, self.clock.now()) else {
            return;
        };
        let Some(own) = document.member(&self.local) else {
            return;
        };
        let mut after = document
            .members()
            .filter(|m| document.position_ok(&own.id, &m.id));
        let alone = after.any(|member| !self.desk.links.contains(&member.id));
        let now = self.clock.now();
        let ready_by = *self.desk.ready_by.get_or_insert(now + NEIGHBOURS_PATIENCE);
        if alone && now < ready_by {
            return;
        }
        self.desk.ready = true;
        tracing::info!(
            epoch = document.epoch().number(),
            layer = own.layer,
            "ready"
        );
        self.announcer.say(&Announce::Ready {
            node: self.local.to_string(),
            role: own.role.as_str(),
            layer: own.layer,
            epoch: document.epoch().number(),
        });
    }

    fn figures(&self) -> Figures {
        let now = self.clock.now();
        let document = self.directory.view().current(&self.params, now);
        Figures {
            books: self.accounting.snapshot(),
            loop_ratio: self.relay.loop_returns().ratio(),
            provider: self
                .provider
                .as_ref()
                .map(|side| side.core.counters().clone()),
            directory: self.directory.counters().clone(),
            net: self.net.stats(),
            epoch: self.params.epoch_at(now).number(),
            members: document.map_or(0, |document| document.members().len() as u64),
            replay_log_failures: self.desk.replay_log_failures,
        }
    }
}

fn texts(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

/// Members of the documents and, to be found by newcomers and to find them, the genesis members.
fn wanted_peers(
    params: &NetworkParameters,
    view: &View,
    local: &NodeId,
) -> BTreeMap<NodeId, Vec<Multiaddr>> {
    let parse = |addresses: &[String]| {
        addresses
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect::<Vec<Multiaddr>>()
    };
    let genesis = params
        .genesis_members
        .iter()
        .map(|m| (m.id, parse(&texts(&m.addresses))));
    let members = view.documents.values().flat_map(|document| {
        document
            .members()
            .map(|m| (m.id, parse(&m.addresses)))
            .collect::<Vec<_>>()
    });
    let mut peers: BTreeMap<_, _> = genesis.chain(members).collect();
    peers.remove(local);
    peers
}

/// Peers to connect to before there is a document.
pub(super) fn first_peers(
    params: &NetworkParameters,
    local: &NodeId,
) -> BTreeMap<NodeId, Vec<Multiaddr>> {
    wanted_peers(
        params,
        &View {
            documents: BTreeMap::new(),
        },
        local,
    )
}

fn warn(warning: &DirectoryWarning) {
    match warning {
        DirectoryWarning::WaitingForGenesis { .. } => tracing::info!("{warning}"),
        DirectoryWarning::Stale { .. } | DirectoryWarning::NoDocument { .. } => {
            tracing::error!("{warning}");
        }
        _ => tracing::warn!("{warning}"),
    }
}
