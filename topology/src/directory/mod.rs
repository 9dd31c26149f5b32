//! The gossip state machine: descriptors in, documents out.
//!
//! Every node forms each document by itself, at the freeze, from the descriptors that were issued
//! before the deadline. Gossip spreads descriptors, and requests between neighbours repair what
//! gossip lost, so that all form the same one. Where they did not, they agree again as soon as
//! they hear of each other's documents: see [`archive`].

mod archive;
mod form;
mod own;
mod peers;
mod pool;
mod sync;
mod types;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use rand::CryptoRng;
use shoal_proto::{Epoch, NetworkHash, NodeId, Time};

use archive::Archive;
use peers::Peers;
use pool::{Inserted, Pool, Removed};
pub use types::{
    DirectoryAction, DirectoryChange, DirectoryCounters, DirectoryInput, DirectoryWarning,
    LocalNode, Restored, Ticket, Verdict,
};

use crate::{DescriptorError, Document, KeyRing, NetworkParameters, SignedDescriptor, View};

/// Most identities whose descriptors are kept.
pub const MAX_DESCRIPTORS: usize = 2048;
/// Most documents in one answer.
pub(crate) const MAX_DOCUMENTS: usize = 6;
/// Most neighbours that are kept account of.
const MAX_PEERS: usize = 512;
/// Most bytes of a request between neighbours.
pub const MAX_SYNC_REQUEST_BYTES: usize = 256 * 1024;
/// Most bytes of an answer, to neighbours and to clients.
pub const MAX_SYNC_RESPONSE_BYTES: usize = 8 * 1024 * 1024;

/// The gossip state machine of a node, or of an observer that is no member.
///
/// Memory is bounded: at most [`MAX_DESCRIPTORS`] identities with two descriptors of 1 KiB each,
/// and six documents of at most [`MAX_DOCUMENT_BYTES`](crate::MAX_DOCUMENT_BYTES).
///
/// Call [`handle_input`](Self::handle_input) and [`handle_gossip`](Self::handle_gossip) when
/// something happens, then [`poll_action`](Self::poll_action) until it gives none, and again at
/// [`poll_deadline`](Self::poll_deadline).
pub struct Directory<R> {
    params: Arc<NetworkParameters>,
    network: NetworkHash,
    local: Option<LocalNode>,
    rng: R,
    keys: KeyRing,
    own: own::Own,
    pool: Pool,
    archive: Archive,
    peers: Peers,
    view: Arc<View>,
    /// The epoch at the last tick.
    epoch: Epoch,
    /// Something has come that a document could be formed from.
    unformed: bool,
    /// How many genesis members' descriptors the first document lacks.
    missing: usize,
    sync_at: Time,
    started: Time,
    /// When the first document may be formed without having heard all neighbours.
    patience_until: Time,
    /// What was warned of, so that it is not repeated within an epoch.
    warned: BTreeSet<(Epoch, String)>,
    counters: DirectoryCounters,
    actions: VecDeque<DirectoryAction>,
}

impl<R: CryptoRng> Directory<R> {
    /// Starts from what was kept on disk. `local` is none for observers.
    #[must_use]
    pub fn new(
        params: Arc<NetworkParameters>,
        local: Option<LocalNode>,
        rng: R,
        restored: Restored,
        now: Time,
    ) -> Self {
        let mut directory = Self {
            network: params.hash(),
            epoch: params.epoch_at(now),
            local,
            rng,
            keys: KeyRing::from_rows(restored.keys),
            own: own::Own::new(restored.sequence, now),
            pool: Pool::default(),
            archive: Archive::default(),
            peers: Peers::default(),
            view: Arc::default(),
            unformed: true,
            missing: 0,
            sync_at: now,
            started: now,
            patience_until: now,
            warned: BTreeSet::new(),
            counters: DirectoryCounters::default(),
            actions: VecDeque::new(),
            params,
        };
        directory.restore(restored.documents, restored.descriptors, now);
        directory.tick(now);
        directory
    }

    fn restore(&mut self, documents: Vec<Vec<u8>>, descriptors: Vec<Vec<u8>>, now: Time) {
        let verified = |bytes: Vec<u8>| Document::decode_verified(&bytes, &self.params).ok();
        let mut documents: Vec<Document> = documents.into_iter().filter_map(verified).collect();
        documents.sort_by_key(Document::epoch);
        for document in documents {
            let _ = self
                .archive
                .consider(&self.params, now, Arc::new(document), None);
        }
        for bytes in descriptors {
            let signed = SignedDescriptor::decode(&bytes, &self.params, &self.network);
            let Ok(signed) = signed else { continue };
            if signed.check_now(&self.params, now).is_ok() {
                let _ = self.pool.insert(&self.params, self.epoch.next(), signed);
            }
        }
        if self.archive.documents().next().is_some() {
            self.refresh_view();
        }
        if self.keys.iter().next().is_some() {
            self.actions
                .push_back(DirectoryAction::Keys(self.keys.clone()));
        }
    }

    /// Takes something that has happened.
    pub fn handle_input(&mut self, now: Time, input: DirectoryInput) {
        self.tick(now);
        match input {
            DirectoryInput::PeerConnected(id) => self.peer_connected(id, now),
            DirectoryInput::PeerDisconnected(id) => self.peers.disconnect(&id),
            DirectoryInput::SyncRequest { from, request } => self.request(now, from, &request),
            DirectoryInput::SyncResponse { from, response } => {
                self.response(now, from, &response);
            }
            DirectoryInput::SyncFailed { from } => {
                self.peers.answered(&from);
            }
            DirectoryInput::PublishFailed => self.own.publish_failed(now),
        }
        self.tick(now);
    }

    /// Takes a descriptor that came by gossip from this neighbour, and says whether it should be
    /// passed on.
    pub fn handle_gossip(&mut self, now: Time, from: &NodeId, bytes: &[u8]) -> Verdict {
        self.tick(now);
        if !self.peers.may_gossip(from, now) {
            self.counters.rate_limited += 1;
            return Verdict::Ignore;
        }
        let verdict = match self.take_descriptor(now, bytes) {
            Ok(Inserted::New) => Verdict::Accept,
            Ok(_) => Verdict::Ignore,
            // A clock that is wrong, perhaps ours, is nobody's malice.
            Err(error) if error.may_be_a_clock() => Verdict::Ignore,
            Err(_) => Verdict::Reject,
        };
        self.tick(now);
        verdict
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
        let start = self.params.start_of(epoch.next());
        let mut deadline = start;
        let mut at = |time: Time| deadline = deadline.min(time);
        if self.archive.get(epoch.next()).is_none() && !self.own.freeze_passed(epoch.next()) {
            at(self.params.freeze_time(epoch.next()));
        }
        if let Some(expiry) = self.key_expiry() {
            at(expiry);
        }
        if let Some(timeout) = self.peers.next_timeout() {
            at(timeout);
        }
        if !self.peers.is_empty() {
            at(self.sync_at);
        }
        if self.waits_for_neighbours() {
            at(self.patience_until);
        }
        if self.local.is_some() {
            at(self.own.deadline());
        }
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

    /// How many nodes have been heard of.
    #[must_use]
    pub fn known_nodes(&self) -> usize {
        self.pool.len()
    }

    /// The latest descriptor of a node, member or not.
    #[must_use]
    pub fn descriptor(&self, id: &NodeId) -> Option<&SignedDescriptor> {
        self.pool.of(id).last()
    }

    /// Everything that time brings about. Cheap when nothing is due.
    fn tick(&mut self, now: Time) {
        let epoch = self.params.epoch_at(now);
        if epoch != self.epoch {
            self.epoch = epoch;
            self.unformed = true;
            self.warned.retain(|(warned, _)| warned.next() >= epoch);
            let removed = self.pool.prune(&self.params, epoch.next(), now);
            self.forget(removed);
            for epoch in self.archive.prune(&self.params, now) {
                self.persist(DirectoryChange::RemoveDocument { epoch });
            }
            self.refresh_view();
        }
        self.peers.expire(now);
        self.keep_own(now);
        self.form_documents(now);
        self.expire_keys(now);
        self.warn_of_state(now);
        self.ask_on_schedule(now);
    }

    /// Verifies a descriptor and takes it, however it came.
    fn take_descriptor(&mut self, now: Time, bytes: &[u8]) -> Result<Inserted, DescriptorError> {
        let inserted = self.verify_descriptor(now, bytes);
        match &inserted {
            Ok(Inserted::New) => self.counters.accepted += 1,
            Ok(Inserted::Known) => self.counters.known += 1,
            Ok(Inserted::NoRoom) => self.counters.no_room += 1,
            Ok(Inserted::Equivocation) => self.counters.equivocations += 1,
            Err(error) => *self.counters.refused.entry(error.reason()).or_default() += 1,
        }
        inserted
    }

    fn verify_descriptor(&mut self, now: Time, bytes: &[u8]) -> Result<Inserted, DescriptorError> {
        // Most of what comes is known, and comparing is cheaper than verifying.
        if let Some(id) = sync::claimed_identity(bytes)
            && self.pool.contains(&id, bytes)
        {
            return Ok(Inserted::Known);
        }
        let signed = SignedDescriptor::decode(bytes, &self.params, &self.network)?;
        signed.check_now(&self.params, now)?;
        let id = signed.id();
        if self
            .local
            .as_ref()
            .is_some_and(|local| local.identity.id() == id)
        {
            self.own_from_elsewhere(now, &signed);
        }
        Ok(self.insert(signed))
    }

    fn insert(&mut self, signed: SignedDescriptor) -> Inserted {
        let (id, sequence) = (signed.id(), signed.sequence());
        let bytes = signed.encode().to_vec();
        let (inserted, removed) = self.pool.insert(&self.params, self.epoch.next(), signed);
        match inserted {
            Inserted::New => {
                self.unformed = true;
                self.persist(DirectoryChange::Descriptor {
                    id,
                    sequence,
                    bytes,
                });
            }
            Inserted::Equivocation => self.warn(DirectoryWarning::Equivocation(id)),
            Inserted::Known | Inserted::NoRoom => {}
        }
        self.forget(removed);
        inserted
    }

    fn forget(&mut self, removed: Vec<Removed>) {
        for (id, sequence) in removed {
            self.persist(DirectoryChange::RemoveDescriptor { id, sequence });
        }
    }

    fn persist(&mut self, change: DirectoryChange) {
        self.actions.push_back(DirectoryAction::Persist(change));
    }

    fn refresh_view(&mut self) {
        self.view = Arc::new(self.archive.view().clone());
        self.actions
            .push_back(DirectoryAction::View(Arc::clone(&self.view)));
    }

    /// Warns, but of the same thing only once in an epoch, and of few things.
    fn warn(&mut self, warning: DirectoryWarning) {
        const MOST: usize = 64;
        // How many are missing changes all the time; that some are is worth saying once.
        let key = match warning {
            DirectoryWarning::WaitingForGenesis { .. } => (self.epoch, String::new()),
            _ => (self.epoch, warning.to_string()),
        };
        if self.warned.len() < MOST && self.warned.insert(key) {
            self.actions.push_back(DirectoryAction::Warn(warning));
        }
    }
}
