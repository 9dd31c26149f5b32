//! The gossip state machine: descriptors in, documents out.

mod types;

use std::collections::VecDeque;
use std::sync::Arc;

use rand::CryptoRng;
use shoal_proto::{NodeId, Time};

pub use types::{
    DirectoryAction, DirectoryChange, DirectoryCounters, DirectoryInput, DirectoryWarning,
    LocalNode, Restored, Ticket, Verdict,
};

use crate::{KeyRing, NetworkParameters, View};

/// Most identities whose descriptors are kept.
pub const MAX_DESCRIPTORS: usize = 2048;
/// Most documents in one answer.
pub(crate) const MAX_DOCUMENTS: usize = 6;
/// Most bytes of a request between neighbours.
pub const MAX_SYNC_REQUEST_BYTES: usize = 256 * 1024;
/// Most bytes of an answer, to neighbours and to clients.
pub const MAX_SYNC_RESPONSE_BYTES: usize = 8 * 1024 * 1024;

/// The gossip state machine of a node, or of an observer that is no member.
pub struct Directory<R> {
    params: Arc<NetworkParameters>,
    local: Option<LocalNode>,
    rng: R,
    keys: KeyRing,
    view: Arc<View>,
    counters: DirectoryCounters,
    actions: VecDeque<DirectoryAction>,
    deadline: Time,
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
        let keys = KeyRing::from_rows(restored.keys);
        Self {
            params,
            local,
            rng,
            keys,
            view: Arc::default(),
            counters: DirectoryCounters::default(),
            actions: VecDeque::new(),
            deadline: now,
        }
    }

    /// Takes something that has happened.
    pub fn handle_input(&mut self, _now: Time, _input: DirectoryInput) {}

    /// Takes a descriptor that came by gossip from this neighbour.
    pub fn handle_gossip(&mut self, _now: Time, _from: &NodeId, _bytes: &[u8]) -> Verdict {
        Verdict::Ignore
    }

    /// Does what is due, and gives the next thing that is to be done.
    pub fn poll_action(&mut self, now: Time) -> Option<DirectoryAction> {
        if now >= self.deadline {
            self.deadline = Time::MAX;
            let epoch = self.params.epoch_at(now);
            if self.local.is_some() && self.keys.ensure(&mut self.rng, epoch) {
                self.actions
                    .push_back(DirectoryAction::Keys(self.keys.clone()));
            }
        }
        self.actions.pop_front()
    }

    /// When there is something to do, if nothing else happens.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Time> {
        Some(self.deadline)
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

    /// The answer to a client: the documents that count or will, and the time.
    #[must_use]
    pub fn client_response(&self, _now: Time) -> Vec<u8> {
        Vec::new()
    }
}
