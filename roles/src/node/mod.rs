//! A whole node: relay, provider role, directory, and who is attached.
//!
//! ```text
//!  links ──> Intake ──> host's queue ──> Intake::unwrap (threads) ──> NodeInput::Processed
//!                                                                          │
//!  connections, gossip, requests, disk, jobs ──> NodeInput ──> Node ──> NodeAction ──> host
//! ```

mod checks;
mod clock;
mod desk;
mod durable;
mod figures;
mod health;
mod intake;
mod io;
mod job;
mod questions;
mod standing;
mod trouble;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand::{CryptoRng, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use shoal_mix::{Accounting, Gate, OwnKind, Relay, RelayAction, RelayInput, RelayLimits};
use shoal_packet::{Delivery, Engine, ReplayTag};
use shoal_proto::{ClientHandle, Epoch, NodeId, Span, Time, wire};
use shoal_provider::{AttachAnswer, Issuer, Limits, Provider, ProviderAction, ProviderInput};
use shoal_topology::{
    Address, Directory, DirectoryAction, DirectoryCounters, DirectoryInput, Family, LocalNode,
    NetworkParameters, Restored, Role, Successor, Ticket, TokenTerms, View,
};

use self::checks::Checks;
pub use self::clock::tolerance as clock_tolerance;
use self::clock::{Clocks, FEWEST_FAMILIES};
use self::desk::{Attaching, Desk, Wish};
use self::durable::{Durable, Ordered};
pub use self::figures::{Figures, NodeCounters};
use self::health::{Look, Parts, Readiness};
pub use self::intake::Intake;
pub use self::io::{NodeAction, NodeEvent, NodeInput};
pub use self::job::{NodeDone, NodeJob};
pub use self::questions::Place;
use self::questions::{Outcome, Question, Questions, Why};
pub use self::standing::{ClockStanding, Linked, NextDocument, Standing};
pub use self::trouble::{Trouble, TroubleKind, TroubleKinds};
use crate::request::RequestKind;

/// How many mean delays what is in the pool may take to leave when the node stops.
const DRAIN_DELAYS: u64 = 5;
/// How often clients that send too much are looked for, and whether neighbours' packets can be opened.
const LOOK_AGAIN: Span = Span::from_secs(5);
/// For so long an own loop that came back proves that packets can be opened.
const LOOPS_PROVE: Span = Span::from_secs(60);
/// How long a node that starts waits for its neighbours' clocks before it goes by its own unasked.
const CLOCK_PATIENCE: Span = Span::from_secs(5);

/// What a node is made of.
pub struct NodeSetup {
    /// The network.
    pub params: Arc<NetworkParameters>,
    /// Who the node is, and what it says about itself.
    pub local: LocalNode,
    /// The bounds of its relay.
    pub relay: RelayLimits,
    /// The bounds of its provider role, if it has that.
    pub provider: Limits,
    /// What it unwraps with.
    pub engine: Engine,
    /// What the disk has of the directory's state.
    pub restored: Restored,
    /// What the replay log has.
    pub tags: Vec<(Epoch, Vec<ReplayTag>)>,
}

/// A node. See the [crate's documentation](crate) for what drives it.
///
/// Memory: bounded by the limits of its parts; it keeps no queue of its own that a peer could fill.
pub struct Node {
    params: Arc<NetworkParameters>,
    local: NodeId,
    role: Role,
    gate: Arc<Gate>,
    accounting: Arc<Accounting>,
    intake: Arc<Intake>,
    relay: Relay<ChaCha20Rng>,
    provider: Option<Provider<ChaCha20Rng>>,
    directory: Directory<ChaCha20Rng>,
    durable: Durable,
    desk: Desk,
    clocks: Clocks,
    questions: Questions,
    /// Whoever has a connection: a newcomer becomes a neighbour when a document lists it.
    connected: BTreeSet<NodeId>,
    readiness: Readiness,
    parts: Parts,
    counters: NodeCounters,
    checks: Checks,
    /// When to look for clients that send too much, and whether neighbours' packets can be opened.
    look_at: Time,
    /// Own loops that came back, and when there was one more.
    loops_seen: (u64, Time),
    /// Whether its watchers missed it, and whether it was suspended, when that was last looked at.
    seen: (bool, bool),
    /// Until when it waits for its neighbours' clocks; none once it goes by its own.
    doubts_until: Option<Time>,
    /// Members without a family in common that were told of, and of which epoch.
    apart_said: (Epoch, usize),
    /// On what terms it says that it issues tokens.
    tokens: Option<TokenTerms>,
    /// When it stops at the latest, once it leaves.
    leave_by: Option<Time>,
    stop_by: Option<Time>,
    /// That other values count was said.
    succeeded: bool,
    drained: bool,
    actions: VecDeque<NodeAction>,
}

impl Node {
    /// A node that starts from what its disk has. The first actions say whom to be connected to.
    #[must_use]
    pub fn new<R: CryptoRng>(setup: NodeSetup, rng: &mut R, now: Time) -> Self {
        let NodeSetup {
            params,
            local,
            relay,
            provider,
            engine,
            restored,
            tags,
        } = setup;
        let (id, role) = (local.identity.id(), local.role);
        let mut generator = || ChaCha20Rng::from_rng(rng);
        let accounting = Accounting::new();
        let gate = Gate::new(
            Arc::clone(&params),
            id,
            role,
            relay.clone(),
            Arc::clone(&accounting),
        );
        let gate = Arc::new(gate.with_engine(engine));
        for (epoch, tags) in tags {
            gate.restore_tags(epoch, tags);
        }
        let books = Arc::clone(&accounting);
        let relay = Relay::new(Arc::clone(&params), id, relay, books, generator(), now);
        let provider = (role == Role::Provider)
            .then(|| Provider::new(Arc::clone(&params), id, provider, generator(), now));
        let (net, rng) = (Arc::clone(&params), generator());
        let (readiness, tokens) = (Readiness::new(&local), local.tokens);
        let mut directory = Directory::new(net, Some(local), rng, restored, now);
        directory.watch();
        let others = params.genesis_members.iter();
        let others = others.filter(|member| member.id != id).count();
        // With fewer, nothing would come of it.
        let doubts_until = (others >= FEWEST_FAMILIES).then_some(now + CLOCK_PATIENCE);
        let held = DirectoryInput::HoldBack(doubts_until.is_some());
        directory.handle_input(now, held);
        let peers = NodeAction::Peers(wanted_peers(&params, &View::default(), &id));
        Self {
            params,
            local: id,
            role,
            intake: Arc::new(Intake::new(Arc::clone(&gate))),
            gate,
            accounting,
            relay,
            provider,
            directory,
            durable: Durable::default(),
            desk: Desk::default(),
            clocks: Clocks::default(),
            questions: Questions::default(),
            connected: BTreeSet::new(),
            readiness,
            parts: Parts::default(),
            counters: NodeCounters::default(),
            checks: Checks::default(),
            look_at: now + LOOK_AGAIN,
            loops_seen: (0, now - LOOPS_PROVE),
            seen: (false, false),
            doubts_until,
            apart_said: (Epoch::new(0), 0),
            tokens,
            leave_by: None,
            stop_by: None,
            succeeded: false,
            drained: false,
            actions: VecDeque::from([peers]),
        }
    }

    /// The same node, which issues tokens if it is a provider, and opens mailboxes for them only. Its descriptor says on
    /// what terms: at once if [`LocalNode::tokens`] said so, or else with the next one.
    #[must_use]
    pub fn with_issuer(mut self, now: Time, issuer: Issuer) -> Self {
        self.provider = self.provider.map(|provider| provider.with_issuer(issuer));
        self.say_terms(now);
        self
    }

    /// Terms change with the period.
    fn say_terms(&mut self, now: Time) {
        let provider = self.provider.as_mut();
        let tokens = provider.and_then(|provider| provider.token_terms(now));
        if self.tokens != tokens {
            self.tokens = tokens;
            let input = DirectoryInput::Tokens(tokens);
            self.directory.handle_input(now, input);
        }
    }

    /// The way of frames into this node, for the threads that read links and those that unwrap.
    #[must_use]
    pub const fn intake(&self) -> &Arc<Intake> {
        &self.intake
    }

    /// Its identity.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.local
    }

    /// The documents as they are now.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        self.directory.view()
    }

    /// The relay's books, which outlive the node: what it still holds counts as abandoned then.
    #[must_use]
    pub const fn accounting(&self) -> &Arc<Accounting> {
        &self.accounting
    }

    /// What the provider role did, if the node has it.
    #[must_use]
    pub fn provider_counters(&self) -> Option<shoal_provider::Counters> {
        self.provider.as_ref().map(Provider::counters)
    }

    /// What the directory did.
    #[must_use]
    pub fn directory_counters(&self) -> &DirectoryCounters {
        self.directory.counters()
    }

    /// Everything that is counted, at this instant.
    pub fn figures(&mut self, now: Time) -> Figures {
        let troubles = self.troubles(now);
        let mut kinds = TroubleKinds::default();
        for trouble in &troubles {
            kinds.add(trouble.kind(), 1);
        }
        let document = self.directory.view().current(&self.params, now);
        let neighbours = document.map(|document| self.readiness.neighbours(document, &self.local));
        let neighbours = neighbours.unwrap_or_default();
        let watched = self.directory.watched(now, &self.local);
        let node = NodeCounters {
            epoch: self.params.epoch_at(now).number(),
            members: document.map_or(0, |document| document.members().len() as u64),
            clock_off: self
                .clocks
                .off()
                .map_or(0, |off| off.by.as_micros().div_ceil(1_000_000)),
            ready: troubles.is_empty().into(),
            unlinked: neighbours.missing as u64,
            apart: neighbours.apart as u64,
            watchers: watched.watchers as u64,
            missed_by: watched.missed_by as u64,
            out: document.map_or(0, |document| document.suspended().len() as u64),
            ..self.counters
        };
        Figures {
            books: self.accounting.snapshot(),
            loop_ratio: self.relay.loop_returns().ratio(),
            provider: self.provider_counters(),
            directory: *self.directory.counters(),
            refusals: *self.directory.refusals(),
            node,
            troubles: kinds,
        }
    }

    /// What keeps this node from its work; empty if nothing does.
    pub fn troubles(&mut self, now: Time) -> Vec<Trouble> {
        let genesis = self.params.genesis_members.iter();
        let connected = genesis.filter(|member| {
            self.connected.contains(&member.id) && !self.readiness.is_other(&member.id)
        });
        let advertised = self.directory.advertised(&self.local);
        let look = Look {
            now,
            advertised: &advertised,
            local: &self.local,
            view: self.directory.view(),
            keys: self.directory.keys(),
            parts: &self.parts,
            next: self.directory.next_usable(now),
            waiting: self.directory.waits(),
            unheard: self.directory.unheard(),
            clock: self.clocks.off(),
            is_behind: self.durable.is_behind(),
            watched: self.directory.watched(now, &self.local),
            suspended: self.is_suspended(now),
            leaving: self.leave_by,
            stopping: self.stop_by.is_some(),
            connected: connected.count(),
        };
        self.readiness.troubles(&self.params, &look)
    }

    /// Whether the machine's clock is off what most neighbours say.
    #[must_use]
    pub fn clock_is_off(&self) -> bool {
        self.clocks.off().is_some()
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, now: Time, input: NodeInput) {
        match input {
            NodeInput::Processed(packet) => self.relay_input(now, RelayInput::Processed(packet)),
            NodeInput::TagsDurable { upto } => {
                if self.parts.log_works() {
                    self.readiness.unsettle();
                }
                self.relay_input(now, RelayInput::TagsDurable { upto });
            }
            NodeInput::TagsFailed { why } => {
                if self.parts.log_fails(now, why) {
                    self.readiness.unsettle();
                }
                self.counters.replay_log += 1;
                self.relay_input(now, RelayInput::TagsFailed);
            }
            NodeInput::Stored { ticket, result } => {
                self.provider_input(now, ProviderInput::StoreDone { ticket, result });
            }
            NodeInput::Persisted { ticket } => {
                self.readiness.unsettle();
                for action in self.durable.done(now, ticket) {
                    self.directory_action(now, action);
                }
            }
            NodeInput::PersistFailed {
                ticket,
                changes,
                why,
            } => {
                self.parts.unsaved = why;
                self.counters.directory_state += changes.len() as u64;
                self.readiness.unsettle();
                for action in self.durable.failed(now, ticket, changes) {
                    self.directory_action(now, action);
                }
            }
            NodeInput::Done(done) => self.done(now, done),
            NodeInput::LinkFull { handle } => {
                self.provider_input(now, ProviderInput::LinkFull { handle });
            }
            NodeInput::Stop => self.stop(now),
            NodeInput::Leave { patience } => self.leave(now, patience),
            NodeInput::Moved(addresses) => {
                self.readiness.move_to(&addresses);
                self.directory
                    .handle_input(now, DirectoryInput::Moved(addresses));
            }
            NodeInput::Successor(text) => {
                self.directory
                    .handle_input(now, DirectoryInput::Successor(text));
            }
            NodeInput::Dialled { id, at } => {
                self.directory
                    .handle_input(now, DirectoryInput::Dialled { id, at });
            }
            about_peers => self.peer_input(now, about_peers),
        }
    }

    /// The next thing to do. Call it until it gives none, after every input and at the deadline.
    pub fn poll_action(&mut self, now: Time) -> Option<NodeAction> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Some(action);
            }
            if !self.advance(now) && !self.report(now) {
                return None;
            }
        }
    }

    /// When [`poll_action`](Self::poll_action) has something to do next, if no input comes before.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Time> {
        if !self.actions.is_empty() {
            return Some(Time::default());
        }
        let provider = self.provider.as_ref().and_then(Provider::poll_deadline);
        let parts = [
            self.relay.poll_deadline(),
            self.directory.poll_deadline(),
            provider,
            self.durable.deadline(),
            self.questions.deadline(),
            self.readiness.deadline().filter(|_| self.stop_by.is_none()),
            self.stop_by.filter(|_| !self.drained),
            self.stop_by.is_none().then_some(self.look_at),
            self.leave_by.filter(|_| self.stop_by.is_none()),
            self.doubts_until,
        ];
        parts.into_iter().flatten().min()
    }

    /// Whether other values count by now, as far as this machine's clock can be trusted, and that was not said yet.
    fn is_succeeded(&self, now: Time) -> bool {
        let trusts = self.doubts_until.is_none() && !self.clock_is_off();
        !self.succeeded && trusts && self.directory.is_succeeded(now)
    }

    /// When it stops at the latest, if it leaves.
    #[must_use]
    pub const fn leaves_by(&self) -> Option<Time> {
        self.leave_by
    }

    /// Whether it was asked to stop, or has left.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        self.stop_by.is_some()
    }

    /// The file that follows on the network's, if there is one that was accepted.
    #[must_use]
    pub fn successor(&self) -> Option<&Successor> {
        self.directory.successor()
    }

    /// Takes one thing that a part wants done. False if none does.
    fn advance(&mut self, now: Time) -> bool {
        if let Some(action) = self.relay.poll_action(now) {
            self.relay_action(now, action);
        } else if let Some(action) = self.provider.as_mut().and_then(|p| p.poll_action(now)) {
            self.provider_action(now, action);
        } else if let Some(action) = self.directory.poll_action(now) {
            match self.durable.order(now, action) {
                Ordered::Now(action) => self.directory_action(now, action),
                Ordered::Later => {}
                Ordered::Refused(action) => self.refuse(now, &action),
            }
        } else if let Some(outcome) = self.questions.poll(now) {
            self.question(now, outcome);
        } else if let Some((ticket, changes)) = self.durable.poll(now) {
            self.act(NodeAction::Persist { ticket, changes });
        } else if now >= self.look_at {
            self.look_at = now + LOOK_AGAIN;
            self.end_excess(now);
            self.look_whether_deaf(now);
            self.look_at_watchers(now);
            self.say_terms(now);
            self.stop_if_out(now);
        } else if self.leave_by.is_some_and(|by| now >= by) && self.stop_by.is_none() {
            self.stop(now);
        } else if self.doubts_until.is_some_and(|until| now >= until) {
            self.trust_clock(now);
        } else if self.is_succeeded(now) {
            self.succeeded = true;
            self.act(NodeAction::Event(NodeEvent::Succeeded));
        } else {
            return false;
        }
        true
    }

    /// Says what has changed for the operator, once nothing else is to be done. False if nothing has.
    fn report(&mut self, now: Time) -> bool {
        if let Some(by) = self.stop_by {
            let empty = self.accounting.snapshot().inside_total() == 0;
            let done = !self.drained && (empty || now >= by);
            if done {
                self.drained = true;
                self.act(NodeAction::Drained);
            }
            return done;
        }
        if !self.readiness.is_due(now) {
            return false;
        }
        let troubles = self.troubles(now);
        let news = self.readiness.is_news(now, &troubles);
        self.readiness.settle(&self.params, now, &self.parts);
        let apart = self.report_apart(now);
        if !news {
            return apart;
        }
        let own = self.directory.view().current(&self.params, now);
        let own = own.and_then(|d| Some((d.epoch(), d.member(&self.local)?.position()?)));
        let event = match own.filter(|_| troubles.is_empty()) {
            Some((epoch, layer)) => NodeEvent::Ready {
                role: self.role,
                layer,
                epoch,
            },
            None => NodeEvent::NotReady(troubles),
        };
        self.event(event);
        true
    }

    /// Says once in an epoch that neighbours can't be reached for want of a common family of addresses.
    fn report_apart(&mut self, now: Time) -> bool {
        let Some(document) = self.directory.view().current(&self.params, now) else {
            return false;
        };
        let epoch = document.epoch();
        if !self.readiness.has_waited(now) || document.member(&self.local).is_none() {
            return false;
        }
        let apart = self.readiness.neighbours(document, &self.local).apart;
        let before = std::mem::replace(&mut self.apart_said, (epoch, apart));
        let known = if before.0 == epoch { before.1 } else { 0 };
        if apart <= known {
            return false;
        }
        self.event(NodeEvent::Apart { members: apart });
        true
    }

    fn look_whether_deaf(&mut self, now: Time) {
        let returned = self.accounting.snapshot().counters.loops_returned;
        if self.loops_seen.0 != returned {
            self.loops_seen = (returned, now);
        }
        // A loop that came back was opened, whatever others send.
        let silent = now.since(self.loops_seen.1) >= LOOPS_PROVE;
        let deaf = self.gate.why_deaf(now).filter(|_| silent);
        if std::mem::replace(&mut self.parts.deaf, deaf) != deaf {
            self.readiness.unsettle();
        }
    }

    /// The node goes by its own clock from now on, unless its neighbours said at its start that it is
    /// off: then keys and descriptors would be of another epoch. Later they can't stop it any more.
    fn trust_clock(&mut self, now: Time) {
        if self.clocks.off().is_some() {
            self.doubts_until = Some(now + CLOCK_PATIENCE);
            return;
        }
        self.doubts_until = None;
        let input = DirectoryInput::HoldBack(false);
        self.directory.handle_input(now, input);
    }

    /// What the watchers say of this node may be news.
    fn look_at_watchers(&mut self, now: Time) {
        let watched = self.directory.watched(now, &self.local);
        let seen = (watched.is_missed(), self.is_suspended(now));
        if std::mem::replace(&mut self.seen, seen) != seen {
            self.readiness.unsettle();
        }
    }

    /// Whether no new route leads over this node.
    fn is_suspended(&self, now: Time) -> bool {
        let document = self.directory.view().current(&self.params, now);
        document.is_some_and(|document| document.suspended().contains(&self.local))
    }

    fn leave(&mut self, now: Time, patience: Span) {
        if self.leave_by.is_some() || patience == Span::ZERO {
            return self.stop(now);
        }
        self.leave_by = Some(now + patience);
        self.directory.handle_input(now, DirectoryInput::Leave);
        self.readiness.unsettle();
        self.stop_if_out(now);
    }

    /// Stops, if it leaves and no document that counts or will lists it.
    fn stop_if_out(&mut self, now: Time) {
        let documents = self
            .directory
            .view()
            .documents
            .range(self.oldest_counting(now)..);
        let mut documents = documents.map(|(_, document)| document);
        let is_in = documents.any(|document| document.member(&self.local).is_some());
        if self.leave_by.is_some() && self.stop_by.is_none() && !is_in {
            self.stop(now);
        }
    }

    /// The epoch of the oldest document that counts.
    fn oldest_counting(&self, now: Time) -> Epoch {
        let counting = self.directory.view().accepted(&self.params, now);
        let oldest = counting.map(|document| document.epoch()).min();
        oldest.unwrap_or_else(|| self.params.epoch_at(now))
    }

    fn stop(&mut self, now: Time) {
        self.intake.close();
        self.durable.rush();
        let patience = self.params.mean_delay.scale(DRAIN_DELAYS, 1);
        self.stop_by
            .get_or_insert(now + patience.max(Span::from_micros(1)));
    }

    fn peer_input(&mut self, now: Time, input: NodeInput) {
        let input = match input {
            NodeInput::Located { peer, place } => return self.questions.locate(peer, place),
            NodeInput::Connected(peer) => {
                self.connected.insert(peer);
                self.readiness.unsettle();
                if !self.is_node(&peer) {
                    return;
                }
                DirectoryInput::PeerConnected(peer)
            }
            NodeInput::Disconnected(peer) => {
                self.connected.remove(&peer);
                self.link(now, peer, false);
                self.questions.disconnected(&peer);
                if let Some(handle) = self.intake.detach(&peer) {
                    self.dismiss(now, handle);
                }
                DirectoryInput::PeerDisconnected(peer)
            }
            NodeInput::LinkUp(peer) => return self.link(now, peer, true),
            NodeInput::LinkDown(peer) => return self.link(now, peer, false),
            NodeInput::OtherNetwork {
                peer,
                network,
                ahead_secs,
            } => {
                if self.params.is_genesis(&peer) && network != self.params.hash() {
                    let other = Some((network, ahead_secs));
                    self.readiness.network_of(peer, other);
                }
                return;
            }
            NodeInput::Gossip {
                from,
                ticket,
                bytes,
            } => DirectoryInput::Gossip {
                from,
                ticket,
                bytes,
            },
            NodeInput::PublishFailed => DirectoryInput::PublishFailed,
            NodeInput::Request {
                from,
                kind,
                ticket,
                bytes,
            } => return self.request(now, (from, ticket), kind, bytes),
            NodeInput::Response { from, bytes } => {
                self.compare_clocks(now, from, &bytes);
                self.readiness.network_of(from, None);
                let response = bytes;
                DirectoryInput::SyncResponse { from, response }
            }
            NodeInput::RequestFailed { from } => {
                self.clocks.failed(&from);
                DirectoryInput::SyncFailed { from }
            }
            _ => return,
        };
        self.directory.handle_input(now, input);
    }

    fn link(&mut self, now: Time, peer: NodeId, up: bool) {
        let document = self.directory.view().current(&self.params, now);
        let here = document.map(|document| (&**document, &self.local));
        self.readiness.link(here, peer, up);
    }

    /// Looks at the clock of a neighbour that has answered.
    fn compare_clocks(&mut self, now: Time, from: NodeId, response: &[u8]) {
        let mut documents = self.directory.view().documents.values().rev();
        let member = documents.find_map(|document| document.member(&from));
        let family = Family::of(from, member.and_then(|member| member.family));
        let neighbour = (from, family);
        if self.clocks.answered(now, &self.params, neighbour, response) {
            self.readiness.unsettle();
        }
        if self.doubts_until.is_some() && self.clocks.is_compared() {
            self.trust_clock(now);
        }
    }

    /// Whether this peer is one that the directory may ask.
    fn is_node(&self, peer: &NodeId) -> bool {
        let mut documents = self.directory.view().documents.values();
        self.params.is_genesis(peer) || documents.any(|document| document.member(peer).is_some())
    }

    fn request(
        &mut self,
        now: Time,
        (from, ticket): (NodeId, Ticket),
        kind: RequestKind,
        request: Vec<u8>,
    ) {
        match kind {
            RequestKind::Directory => {
                let question = Question {
                    peer: from,
                    ticket,
                    bytes: request,
                };
                let is_neighbour = self.is_node(&from);
                self.questions.ask(now, question, is_neighbour);
            }
            RequestKind::Attach => self.attach(now, from, ticket, &request),
        }
    }

    /// It has been decided whether a question goes to the directory.
    fn question(&mut self, now: Time, outcome: Outcome) {
        match outcome {
            Outcome::Ask(Question { ticket, bytes, .. }) => {
                let input = DirectoryInput::SyncRequest {
                    from: ticket,
                    request: bytes,
                };
                self.directory.handle_input(now, input);
            }
            Outcome::Refuse(to, why) => {
                match why {
                    Why::Crowded => self.counters.refused += 1,
                    Why::OverBudget => self.counters.over_budget += 1,
                }
                self.act(NodeAction::Refuse { to });
            }
        }
    }

    fn attach(&mut self, now: Time, peer: NodeId, ticket: Ticket, bytes: &[u8]) {
        if self.provider.is_none() {
            return self.answer_attach(now, ticket, wire::AttachStatus::NotAProvider);
        }
        // A node is no client: its frames would count as one's.
        let wish = match self.is_node(&peer) {
            true => Err(wire::AttachStatus::Malformed),
            false => self.desk.read(&peer, bytes),
        };
        match wish {
            Ok(Wish { handle, profile }) => {
                let rate = desk::uplink(&self.params, &profile);
                if !self.intake.carries(self.desk.rate_of_waiting() + rate) {
                    return self.answer_attach(now, ticket, wire::AttachStatus::Full);
                }
                let attaching = Attaching { peer, ticket, rate };
                self.desk.begin(handle, attaching);
                self.provider_input(now, ProviderInput::Attached { handle, profile });
            }
            Err(status) => self.answer_attach(now, ticket, status),
        }
    }

    /// The provider has decided on a client.
    fn attached(&mut self, now: Time, handle: ClientHandle, answer: AttachAnswer) {
        let Some(Attaching { peer, ticket, rate }) = self.desk.decided(&handle) else {
            return;
        };
        let status = desk::status(answer);
        if status == wire::AttachStatus::Accepted {
            self.desk.admit(handle, peer);
            self.intake.attach(now, peer, handle, rate);
            self.allow_packets();
        }
        self.answer_attach(now, ticket, status);
    }

    fn answer_attach(&mut self, now: Time, to: Ticket, status: wire::AttachStatus) {
        let accepted = status == wire::AttachStatus::Accepted;
        self.counters.attached += u64::from(accepted);
        self.counters.turned_away += u64::from(!accepted);
        let bytes = desk::response(now, status);
        self.act(NodeAction::Respond { to, bytes });
    }

    /// A client is not attached any more.
    fn dismiss(&mut self, now: Time, handle: ClientHandle) {
        self.desk.dismiss(&handle);
        self.provider_input(now, ProviderInput::Detached { handle });
        self.allow_packets();
    }

    /// Ends the attachments of clients that have sent too much for too long.
    fn end_excess(&mut self, now: Time) {
        for peer in self.intake.overdone() {
            if let Some(handle) = self.intake.detach(&peer) {
                self.counters.overdone += 1;
                self.dismiss(now, handle);
                self.act(NodeAction::Disconnect(peer));
            }
        }
    }

    fn done(&mut self, now: Time, done: NodeDone) {
        match done {
            NodeDone::Directory(done) => {
                self.directory.handle_input(now, DirectoryInput::Done(done));
            }
            NodeDone::Command(checked) => {
                self.checks.end();
                self.provider_input(now, ProviderInput::Delivered(*checked));
            }
        }
    }

    fn relay_action(&mut self, now: Time, action: RelayAction) {
        match action {
            RelayAction::Send { to, frame, passage } => {
                self.act(NodeAction::Send { to, frame, passage });
            }
            RelayAction::LogTag {
                sequence,
                epoch,
                tag,
            } => self.act(NodeAction::LogTag {
                sequence,
                epoch,
                tag,
            }),
            RelayAction::Deliver(delivery) => self.deliver(now, delivery),
            RelayAction::LoopAlarm(returns) => self.event(NodeEvent::LoopsLost(returns)),
            RelayAction::LoopRecovered(returns) => self.event(NodeEvent::LoopsBack(returns)),
            RelayAction::LogSlow(wait) => self.event(NodeEvent::LogSlow { wait }),
            RelayAction::LogQuick => self.event(NodeEvent::LogQuick),
        }
    }

    /// A packet ended here. A reply goes to its client as it is; a command is read elsewhere first.
    fn deliver(&mut self, now: Time, delivery: Box<Delivery>) {
        let Some(provider) = &self.provider else {
            return; // the gate lets nothing but loops end at a mix
        };
        let checker = provider.checker();
        if delivery.plaintext.is_none() {
            let checked = checker.check(*delivery);
            return self.provider_input(now, ProviderInput::Delivered(checked));
        }
        if !self.checks.begin(now) {
            self.counters.unchecked += 1;
            return;
        }
        self.act(NodeAction::Job(NodeJob::Command(checker, delivery)));
    }

    fn provider_action(&mut self, now: Time, action: ProviderAction) {
        match action {
            ProviderAction::Send { to, frame } => {
                let passage = self.accounting.originate(OwnKind::Provider);
                self.act(NodeAction::Send { to, frame, passage });
            }
            ProviderAction::ToClient { handle, frame } => match self.desk.connection(&handle) {
                Some(to) => self.act(NodeAction::SendDown { to, handle, frame }),
                None => self.provider_input(now, ProviderInput::LinkFull { handle }),
            },
            ProviderAction::Store { ticket, op } => self.act(NodeAction::Store { ticket, op }),
            ProviderAction::Attach { handle, answer } => self.attached(now, handle, answer),
            ProviderAction::StoreTrouble(error) => {
                self.parts.store = Some(error);
                self.readiness.unsettle();
            }
            ProviderAction::StoreRecovered => {
                self.parts.store = None;
                self.readiness.unsettle();
            }
            // What it will come to say later changes nothing here.
            _ => {}
        }
    }

    fn directory_action(&mut self, now: Time, action: DirectoryAction) {
        match action {
            DirectoryAction::Publish(bytes) => self.act(NodeAction::Publish(bytes)),
            DirectoryAction::Request { to, request } => {
                self.clocks.asked(now, to);
                self.act(NodeAction::Request { to, bytes: request });
            }
            DirectoryAction::Respond { to, response } => {
                if self.questions.answered(now, to, response.len()) {
                    let bytes = response;
                    self.act(NodeAction::Respond { to, bytes });
                }
            }
            DirectoryAction::Refuse { to } => {
                if self.questions.unanswered(now, to) {
                    self.act(NodeAction::Refuse { to });
                }
            }
            DirectoryAction::Verdict { of, verdict } => {
                self.act(NodeAction::Verdict { of, verdict });
            }
            DirectoryAction::View(view) => self.take_view(now, &view),
            DirectoryAction::Keys(keys) => {
                self.gate.set_keys(&keys);
                self.readiness.unsettle();
            }
            DirectoryAction::Job(job) => self.act(NodeAction::Job(NodeJob::Directory(job))),
            DirectoryAction::Amendments(all) => {
                self.provider_input(now, ProviderInput::Notices(all));
            }
            DirectoryAction::Dial { id, addresses } => {
                self.act(NodeAction::Dial { id, addresses });
            }
            DirectoryAction::Moved(id) => {
                if self.is_node(&id) && id != self.local {
                    self.want_peers();
                }
            }
            DirectoryAction::Warn(warning) => self.event(NodeEvent::Directory(warning)),
            // The order between disk and network gives no writes here.
            DirectoryAction::Persist(_) => {}
        }
    }

    /// The disk is so far behind that this can't even wait.
    fn refuse(&mut self, now: Time, action: &DirectoryAction) {
        self.counters.refused += 1;
        match action {
            DirectoryAction::Respond { to, .. } if self.questions.unanswered(now, *to) => {
                self.act(NodeAction::Refuse { to: *to });
            }
            DirectoryAction::Request { to, .. } => {
                let input = DirectoryInput::SyncFailed { from: *to };
                self.directory.handle_input(now, input);
            }
            DirectoryAction::Publish(_) => {
                let input = DirectoryInput::PublishFailed;
                self.directory.handle_input(now, input);
            }
            _ => {}
        }
    }

    fn take_view(&mut self, now: Time, view: &Arc<View>) {
        self.gate.set_view(Arc::clone(view));
        self.relay_input(now, RelayInput::View(Arc::clone(view)));
        self.provider_input(now, ProviderInput::View(Arc::clone(view)));
        let listed = self.connected.iter().filter(|peer| self.is_node(peer));
        for peer in listed.copied().collect::<Vec<_>>() {
            let input = DirectoryInput::PeerConnected(peer);
            self.directory.handle_input(now, input);
        }
        self.want_peers();
        self.allow_packets();
        self.readiness.view_changed();
    }

    /// Whom to stay connected to, each at the addresses that it says itself.
    fn want_peers(&mut self) {
        let mut peers = wanted_peers(&self.params, self.directory.view(), &self.local);
        for (id, addresses) in &mut peers {
            let advertised = self.directory.advertised(id);
            if !advertised.is_empty() {
                *addresses = advertised;
            }
        }
        self.act(NodeAction::Peers(peers));
    }

    /// Whom packets go to and come from: members of the positions before and after ours in one of the
    /// documents, and attached clients. Others have no link, so that what links cost grows with two layers
    /// and not with the network.
    fn allow_packets(&mut self) {
        let documents = self.directory.view().documents.values();
        let adjacent = documents.flat_map(|document| {
            let before = document.before(&self.local).iter();
            before.chain(document.after(&self.local))
        });
        let mut allowed: BTreeSet<NodeId> = adjacent.copied().collect();
        allowed.extend(self.desk.connections());
        allowed.remove(&self.local);
        self.act(NodeAction::PacketPeers(allowed));
    }

    fn relay_input(&mut self, now: Time, input: RelayInput) {
        self.relay.handle_input(now, input);
    }

    fn provider_input(&mut self, now: Time, input: ProviderInput) {
        if let Some(provider) = &mut self.provider {
            provider.handle_input(now, input);
        }
    }

    fn event(&mut self, event: NodeEvent) {
        self.act(NodeAction::Event(event));
    }

    fn act(&mut self, action: NodeAction) {
        self.actions.push_back(action);
    }
}

/// Members of the documents and, to be found by newcomers and to find them, the genesis members.
fn wanted_peers(
    params: &NetworkParameters,
    view: &View,
    local: &NodeId,
) -> BTreeMap<NodeId, Vec<Address>> {
    let genesis = params.genesis_members.iter();
    let genesis = genesis.map(|member| (member.id, member.addresses.clone()));
    let documents = view.documents.values();
    let members = documents.flat_map(|document| {
        let members = document.members();
        members.map(|member| (member.id, member.addresses.clone()))
    });
    let mut peers: BTreeMap<_, _> = genesis.chain(members).collect();
    peers.remove(local);
    peers
}
