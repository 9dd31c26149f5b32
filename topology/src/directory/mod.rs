//! The gossip state machine: descriptors in, documents out.
//!
//! Gossip spreads descriptors, and requests between neighbours repair what gossip lost. From the freeze on
//! the seats of the term agree on the next document: see [`council`]. Who has not heard them follows the
//! chain of certificates that neighbours have: see [`archive`].
//!
//! Nothing slow happens in here: signatures are checked, and documents verified and formed, in
//! [`jobs`] that leave as actions and come back as inputs.

mod amending;
mod answers;
mod archive;
mod checks;
mod council;
mod force;
mod held;
mod jobs;
mod joining;
mod judge;
mod own;
mod peers;
mod pool;
mod proven;
mod read;
mod repair;
mod rivals;
mod seat_keys;
mod succeeding;
mod sync;
mod types;
mod wanted;
mod watching;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use rand::CryptoRng;
use shoal_proto::{Epoch, NodeId, Span, Time};

use amending::Amending;
use answers::Answers;
use archive::Archive;
use checks::Checks;
use council::{Council, Kept};
use held::Held;
pub use jobs::{DirectoryDone, DirectoryJob};
use jobs::{Found, Task};
use joining::Joining;
pub use joining::{Invited, Waiting};
use peers::Peers;
use pool::{Door, Inserted, Pool, Removed, salts};
use proven::Proven;
pub(crate) use read::Chain;
pub use read::{answer_time, chain_request};
use rivals::{Rivalry, Rivals};
use seat_keys::SeatKeys;
use succeeding::Successors;
pub use types::{
    DirectoryAction, DirectoryChange, DirectoryCounters, DirectoryInput, DirectoryWarning,
    LocalNode, Restored, Ticket, Verdict,
};
use watching::Watching;
pub use watching::{Dialled, Watched};

use crate::agreement::{MAX_EVIDENCE_BYTES, MAX_SEATS, Seats};
use crate::chain::Certified;
use crate::rules::Rules;
use crate::{
    Admission, Amendments, Document, Invitation, KeyRing, NetworkParameters, Refusals,
    SignedDescriptor, View,
};

/// Most identities whose descriptors are kept.
pub const MAX_DESCRIPTORS: usize = 12_288;
/// Most documents in one answer.
pub(crate) const MAX_DOCUMENTS: usize = 6;
/// Most handovers in one answer.
pub(crate) const MAX_HANDOVERS: usize = 256;
/// Most bytes of handovers and documents in one answer: what nodes' networking reads, less what is around.
const ANSWER_BYTES: usize = 4 * 1024 * 1024 - 64 * 1024;
/// Most bytes of handovers in one answer.
const CHAIN_BYTES: usize = 2 * 1024 * 1024;
/// Most neighbours that are kept account of.
const MAX_PEERS: usize = 1024;
/// Most bytes of a request between neighbours.
pub const MAX_SYNC_REQUEST_BYTES: usize = 256 * 1024;
/// Most bytes of an answer, to neighbours and to clients.
pub const MAX_SYNC_RESPONSE_BYTES: usize = 8 * 1024 * 1024;
/// Most bytes of descriptors in an answer.
const DESCRIPTOR_BYTES: usize = 1024 * 1024;
/// Most bytes of a neighbour's answer that is no document: descriptors, evidence, and what is around them.
const MAX_NEIGHBOUR_ANSWER_BYTES: usize =
    DESCRIPTOR_BYTES + MAX_SEATS * (MAX_EVIDENCE_BYTES + 3) + 64 * 1024;
/// Most pieces of gossip that wait to be verified.
const MAX_GOSSIP: usize = 256;
/// Most messages of the agreement that wait to be verified.
const MAX_MESSAGES: usize = 1024;
/// After how long a job counts as lost. What it was for is done without it, or begun again.
const JOB_PATIENCE: Span = Span::from_secs(30);

/// Most jobs of one directory that wait to be done: 256 for gossip and 1,024 for the agreement, 64 for the
/// answer of one neighbour that is being taken, one for the answer of each neighbour to be read, 17 for
/// documents that are proposed, and one for the own place.
pub const MAX_JOBS: usize = MAX_GOSSIP + MAX_MESSAGES + answers::CHECKS_AT_ONCE + MAX_PEERS + 18;

/// The gossip state machine of a node, or of an observer that is no member.
///
/// Memory is bounded: at most [`MAX_DESCRIPTORS`] identities with two descriptors of 1 KiB each,
/// six documents of at most [`MAX_DOCUMENT_BYTES`](crate::MAX_DOCUMENT_BYTES), 32 MiB of answers
/// that are read or wait for their turn, and what [`MAX_JOBS`] jobs are made of. Descriptors and documents that
/// came with the same [`DirectoryDone`] are shared by all directories of a process.
///
/// Call [`handle_input`](Self::handle_input) when something happens, then
/// [`poll_action`](Self::poll_action) until it gives none, and again at
/// [`poll_deadline`](Self::poll_deadline). No call verifies or forms anything: that leaves as
/// [`DirectoryAction::Job`].
pub struct Directory<R> {
    rules: Arc<Rules>,
    local: Option<LocalNode>,
    rng: R,
    keys: KeyRing,
    own: own::Own,
    pool: Pool,
    rivals: Rivals,
    archive: Archive,
    peers: Peers,
    checks: Checks,
    /// Messages of the agreement whose signatures are being checked.
    votes: Checks,
    answers: Answers,
    /// The height that is being decided; none while its seats are not known.
    council: Option<Council>,
    /// What was on disk of it, until it is taken up.
    kept: Kept,
    held: Held,
    proven: Proven,
    joining: Joining,
    successors: Successors,
    watching: Watching,
    amending: Amending,
    amendments: Amendments,
    /// Whom the amendment suspends that holds.
    suspended: Arc<BTreeSet<NodeId>>,
    seat_keys: Option<SeatKeys>,
    /// When it was last looked what time brings about.
    looked_at: Time,
    /// When others were last shown that a height is decided.
    shown_at: Time,
    view: Arc<View>,
    /// The epoch at the last tick.
    epoch: Epoch,
    /// The genesis members whose descriptors for this epoch have not been heard of.
    lacking: BTreeSet<NodeId>,
    sync_at: Time,
    started: Time,
    /// The epoch in which it was last said that the document in force is old.
    warned_stale: Option<Epoch>,
    /// What was warned of, so that it is not repeated within an epoch.
    warned: BTreeSet<(Epoch, String)>,
    counters: DirectoryCounters,
    refusals: Refusals,
    actions: VecDeque<DirectoryAction>,
}

impl<R: CryptoRng> Directory<R> {
    /// Starts from what was kept on disk, which is verified before this returns. `local` is none
    /// for observers.
    #[must_use]
    pub fn new(
        params: Arc<NetworkParameters>,
        local: Option<LocalNode>,
        rng: R,
        restored: Restored,
        now: Time,
    ) -> Self {
        let rules = Arc::new(Rules::new(params));
        let kept = restored.seat_keys.as_ref();
        let mut directory = Self {
            epoch: rules.params.epoch_at(now),
            archive: Archive::new(&rules),
            rules,
            local,
            rng,
            keys: KeyRing::from_rows(restored.keys),
            own: own::Own::new(restored.sequence, now),
            pool: Pool::default(),
            rivals: Rivals::default(),
            peers: Peers::default(),
            checks: Checks::default(),
            votes: Checks::default(),
            answers: Answers::default(),
            council: None,
            kept: Kept {
                records: restored.records,
                proposals: restored.proposals,
            },
            held: Held::default(),
            proven: Proven::default(),
            joining: Joining::default(),
            successors: Successors::default(),
            watching: Watching::default(),
            amending: Amending::default(),
            amendments: Amendments::default(),
            suspended: Arc::default(),
            seat_keys: kept.and_then(|kept| SeatKeys::restore(kept)),
            looked_at: now,
            shown_at: now,
            view: Arc::default(),
            lacking: BTreeSet::new(),
            sync_at: now,
            started: now,
            warned_stale: None,
            warned: BTreeSet::new(),
            counters: DirectoryCounters::default(),
            refusals: Refusals::default(),
            actions: VecDeque::new(),
        };
        directory.restore_successors(&restored.successors);
        directory.restore_chain(restored.handovers, &restored.documents, now);
        directory.restore_evidence(restored.evidence);
        directory.restore_descriptors(restored.descriptors, now);
        directory.resume_own(now);
        // A node is first told whether its clock is right.
        if directory.local.is_none() {
            directory.tick(now);
        }
        directory
    }

    fn restore_chain(&mut self, handovers: Vec<Arc<[u8]>>, documents: &[Arc<[u8]>], now: Time) {
        let rules = Arc::clone(&self.rules);
        for handover in handovers {
            self.archive.restore_handover(&rules, handover);
        }
        let restored = documents
            .iter()
            .map(|bytes| Certified::restore(bytes, &rules));
        restored
            .flatten()
            .for_each(|certified| self.archive.add(certified));
        for epoch in self.archive.prune(&rules.params, now) {
            self.persist(DirectoryChange::RemoveDocument { epoch });
        }
        self.recover();
        if self.archive.tip().is_some() {
            self.refresh_view();
        }
    }

    fn restore_descriptors(&mut self, descriptors: Vec<Arc<[u8]>>, now: Time) {
        let rules = Arc::clone(&self.rules);
        for bytes in descriptors {
            let signed = SignedDescriptor::decode(&bytes, &rules);
            let Ok(signed) = signed else { continue };
            let (id, sequence) = (signed.id(), signed.sequence());
            let mut removed = Vec::new();
            if signed.check_now(&rules.params, now).is_ok() {
                self.pool.allow(&id);
                if let Some(shown) = self.invited(&signed) {
                    self.rivals.note(&rules.params, now, (id, &shown));
                }
                (_, removed) = self.pool.insert(&rules, (now, self.epoch.next()), signed);
            }
            if !self
                .pool
                .of(&id)
                .iter()
                .any(|kept| kept.sequence() == sequence)
            {
                removed.push((id, sequence));
            }
            for (id, sequence) in removed {
                self.persist(DirectoryChange::RemoveDescriptor { id, sequence });
            }
        }
        self.look_at_all();
        if self.keys.iter().next().is_some() {
            self.push(DirectoryAction::Keys(self.keys.clone()));
        }
    }

    /// Takes something that has happened.
    pub fn handle_input(&mut self, now: Time, input: DirectoryInput) {
        if let DirectoryInput::HoldBack(held) = input {
            self.own.hold_back(held);
        }
        self.tick(now);
        match input {
            DirectoryInput::HoldBack(_) => {}
            DirectoryInput::PeerConnected(id) => self.peer_connected(id, now),
            DirectoryInput::PeerDisconnected(id) => self.peers.disconnect(&id),
            DirectoryInput::Gossip {
                from,
                ticket,
                bytes,
            } => self.gossip(now, &from, ticket, &bytes),
            DirectoryInput::SyncRequest { from, request } => self.request(now, from, &request),
            DirectoryInput::SyncResponse { from, response } => {
                self.response(now, from, response);
            }
            DirectoryInput::SyncFailed { from } => self.unanswered(now, from),
            DirectoryInput::PublishFailed => self.own.publish_failed(now),
            DirectoryInput::Done(done) => self.done(now, done),
            DirectoryInput::Dialled { id, at } => self.dialled(now, &id, &at),
            DirectoryInput::Leave => self.leave(now),
            DirectoryInput::Moved(addresses) => self.move_to(now, addresses),
            DirectoryInput::Tokens(tokens) => self.issues_tokens(now, tokens),
            DirectoryInput::Successor(text) => self.look_at_successor(text),
        }
        self.tick(now);
    }

    fn done(&mut self, now: Time, done: DirectoryDone) {
        if done.network != self.rules.network {
            return;
        }
        match done.found {
            Found::Descriptor(bytes, checked) => self.checked(now, &bytes, &checked),
            Found::Message(bytes, checked) => self.message_checked(now, &bytes, checked),
            Found::Evidence(bytes, checked) => self.evidence_checked(&bytes, &checked),
            Found::Answer(bytes, reading) => self.read(now, &bytes, reading.as_deref()),
            Found::Chain(bytes, followed) => self.followed(now, &bytes, followed.as_deref()),
            Found::Formed(recipe, formed) => self.formed(now, &recipe, formed),
            Found::Judged(hash, sound) => self.judged(now, hash, sound),
            Found::Report(bytes, checked) => self.report_checked(now, &bytes, &checked),
            Found::AmendmentVote(bytes, checked) => self.vote_checked(now, &bytes, &checked),
            Found::Amendment(certified) => {
                if let Some(certified) = certified {
                    self.take_amendment(now, &certified);
                }
            }
            Found::Worked(applicant, nonce, work) => self.worked(now, &applicant, nonce, work),
            Found::Successor(checked) => self.successor_checked(*checked),
        }
    }

    /// A neighbour does not answer what it was asked.
    fn unanswered(&mut self, now: Time, from: NodeId) {
        if let Some(asked) = self.peers.failed(&from) {
            self.without(now, from, asked);
        }
    }

    /// Goes on without jobs whose results have not come for too long.
    fn give_up_jobs(&mut self, now: Time) {
        self.give_up_checks(now);
        self.give_up_answers(now);
    }

    /// Does what is due, and gives the next thing that is to be done.
    pub fn poll_action(&mut self, now: Time) -> Option<DirectoryAction> {
        if self.actions.is_empty() && self.poll_deadline().is_some_and(|deadline| now >= deadline) {
            self.tick(now);
        }
        self.actions.pop_front()
    }

    /// When there is something to do, if nothing else happens before.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Time> {
        if !self.actions.is_empty() {
            return Some(Time::default());
        }
        let epoch = self.epoch;
        let start = self.rules.params.start_of(epoch.next());
        let mut deadline = start;
        let mut at = |time: Time| deadline = deadline.min(time);
        if let Some(expiry) = self.key_expiry() {
            at(expiry);
        }
        let others = [
            self.peers.next_timeout(),
            self.answers.deadline(),
            self.checks.deadline(),
            self.votes.deadline(),
            self.council_deadline(),
            self.joining_deadline(),
            self.watching_deadline(),
            self.amending_deadline(self.looked_at),
        ];
        others.into_iter().flatten().for_each(&mut at);
        if !self.peers.is_empty() {
            at(self.sync_at);
        }
        if self.local.is_some() {
            self.own.deadline().into_iter().for_each(&mut at);
        }
        let stale = self.stale_at().filter(|_| !self.warned_stale());
        stale.into_iter().for_each(&mut at);
        Some(deadline)
    }

    /// The documents as they are now.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The own secrets as they are now.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Counts since the start.
    #[must_use]
    pub fn counters(&self) -> &DirectoryCounters {
        &self.counters
    }

    /// Descriptors of others that were refused since the start.
    #[must_use]
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// The first members whose descriptors for this epoch have not been heard of.
    #[must_use]
    pub fn unheard(&self) -> usize {
        self.lacking.len()
    }

    /// How many nodes have been heard of.
    #[must_use]
    pub fn known_nodes(&self) -> usize {
        self.pool.len()
    }

    /// The seats that decide the next document, if they are known.
    #[must_use]
    pub fn seats(&self) -> Option<&Seats> {
        self.archive.seats()
    }

    /// The latest descriptor of a node, member or not.
    #[must_use]
    pub fn descriptor(&self, id: &NodeId) -> Option<&SignedDescriptor> {
        self.pool.of(id).last()
    }

    /// Everything that time brings about. Cheap when nothing is due.
    fn tick(&mut self, now: Time) {
        let epoch = self.rules.params.epoch_at(now);
        if epoch != self.epoch {
            self.epoch = epoch;
            self.warned.retain(|(warned, _)| warned.next() >= epoch);
            let removed = self.pool.prune(&self.rules.params, epoch.next(), now);
            self.forget(removed);
            self.look_at_all();
            let mut rivals = std::mem::take(&mut self.rivals);
            rivals.retain(|id| !self.pool.of(id).is_empty() && !self.is_known(id));
            self.rivals = rivals;
            for epoch in self.archive.prune(&self.rules.params, now) {
                self.persist(DirectoryChange::RemoveDocument { epoch });
            }
            self.refresh_view();
        }
        while let Some(id) = self.peers.overdue(now) {
            self.unanswered(now, id);
        }
        self.give_up_jobs(now);
        self.keep_own(now);
        self.keep_joining(now);
        self.tick_council(now);
        self.keep_amendments(now);
        self.keep_watching(now);
        self.next_answer(now);
        self.expire_keys(now);
        self.warn_of_state(now);
        self.ask_on_schedule(now);
    }

    fn insert(&mut self, now: Time, signed: SignedDescriptor) -> Inserted {
        let (id, sequence) = (signed.id(), signed.sequence());
        if self.own_id() == Some(id) {
            self.pool.allow(&id);
        }
        if !self.may_wait(&signed) {
            return Inserted::Unproven;
        }
        let params = &self.rules.params;
        let invited = self.invited(&signed);
        let rival = match invited.map(|shown| self.rivals.judge(params, now, (id, &shown))) {
            None => None,
            Some(Rivalry::Waits(rival)) => rival,
            Some(Rivalry::Loses) => return Inserted::Unproven,
            Some(Rivalry::TooSoon) => return Inserted::TooSoon,
        };
        let before = self.advertised(&id);
        let (when, kept) = ((now, self.epoch.next()), signed.clone());
        let (inserted, mut removed) = self.pool.insert(&self.rules, when, kept);
        match inserted {
            Inserted::New => {
                if let Some(shown) = invited {
                    self.rivals.note(&self.rules.params, now, (id, &shown));
                    removed.extend(rival.iter().flat_map(|rival| self.pool.remove(rival)));
                }
                self.look_at(&id);
                if self.advertised(&id) != before {
                    self.watching.look_soon(now);
                    self.push(DirectoryAction::Moved(id));
                }
                let bytes = signed.shared();
                self.persist(DirectoryChange::Descriptor {
                    id,
                    sequence,
                    bytes,
                });
            }
            Inserted::Equivocation => self.warn(DirectoryWarning::Equivocation(id)),
            Inserted::Known | Inserted::TooSoon | Inserted::NoRoom | Inserted::Unproven => {}
        }
        self.forget(removed);
        inserted
    }

    /// What decides which descriptors the document of an epoch can be made of, after this one.
    fn door<'a>(&'a self, epoch: Epoch, base: Option<&'a Document>) -> Door<'a> {
        let salts = salts(self.archive.seats(), self.archive.before());
        Door::new(self.rules.at(epoch), epoch, base, salts)
    }

    /// Whether a descriptor is worth keeping: its node is a member, or may become one. Who has not done the work, or is
    /// not invited, takes nobody's place among those that wait.
    fn may_wait(&self, signed: &SignedDescriptor) -> bool {
        let tip = self.archive.tip().map(|tip| &*tip.document);
        let door = self.door(self.epoch.next(), tip);
        self.is_known(&signed.id())
            // Who does not know the seats yet can't tell.
            || door.salts == [None, None]
            || door.may_come(signed)
    }

    /// Whether it is this node, or one that is a member or comes as a first one.
    fn is_known(&self, id: &NodeId) -> bool {
        let documents = self.view.documents.values();
        let mut documents = documents.chain(self.archive.tip().map(|tip| &tip.document));
        self.rules.is_genesis(id)
            || self.own_id() == Some(*id)
            || documents.any(|document| document.member(id).is_some())
    }

    /// The invitation by which a stranger asks for a place.
    fn invited(&self, signed: &SignedDescriptor) -> Option<Invitation> {
        let params = &self.rules.at(self.epoch.next()).params;
        let invites = params.admission == Admission::Invitation;
        let shown = Invitation::read(&signed.descriptor().admission).filter(|_| invites);
        shown.filter(|_| !self.is_known(&signed.id()))
    }

    fn forget(&mut self, removed: Vec<Removed>) {
        for (id, sequence) in removed {
            self.look_at(&id);
            self.persist(DirectoryChange::RemoveDescriptor { id, sequence });
        }
    }

    fn own_id(&self) -> Option<NodeId> {
        self.local.as_ref().map(|local| local.identity.id())
    }

    /// Puts an action into the queue.
    fn push(&mut self, action: DirectoryAction) {
        self.actions.push_back(action);
    }

    fn job(&mut self, task: Task) {
        let job = DirectoryJob::new(Arc::clone(&self.rules), task);
        self.push(DirectoryAction::Job(job));
    }

    fn persist(&mut self, change: DirectoryChange) {
        self.push(DirectoryAction::Persist(change));
    }

    fn refresh_view(&mut self) {
        self.view = Arc::new(self.archive.view().without(&self.suspended));
        self.push(DirectoryAction::View(Arc::clone(&self.view)));
    }

    /// Whether it was said in this epoch that the document in force is old.
    fn warned_stale(&self) -> bool {
        self.warned_stale == Some(self.epoch)
    }

    /// Warns, but of the same thing only once in an epoch, and of few things.
    fn warn(&mut self, warning: DirectoryWarning) {
        const MOST: usize = 64;
        let key = (self.epoch, warning.to_string());
        if self.warned.len() < MOST && self.warned.insert(key) {
            self.push(DirectoryAction::Warn(warning));
        }
    }
}
