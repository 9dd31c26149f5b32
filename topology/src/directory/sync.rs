//! Asking neighbours for what is missing, and answering neighbours and clients.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use rand::{CryptoRng, RngExt};
use shoal_proto::{NodeId, Span, Time, wire};

use super::form::PATIENCE;
use super::{
    Directory, DirectoryAction, MAX_DESCRIPTORS, MAX_DOCUMENTS, MAX_SYNC_REQUEST_BYTES, Ticket,
};
use crate::Document;

/// Most bytes of descriptors in one answer.
const DESCRIPTOR_BYTES: usize = 1024 * 1024;
/// Most answers that wait to be fetched.
const MAX_ANSWERS: usize = 64;

impl<R: CryptoRng> Directory<R> {
    pub(super) fn peer_connected(&mut self, id: NodeId, now: Time) {
        if self.peers.connect(id, now) {
            self.patience_until = now + PATIENCE;
            self.ask(id, now);
        }
    }

    /// Asks a random neighbour: every second while something is missing, else twenty times an
    /// epoch.
    pub(super) fn ask_on_schedule(&mut self, now: Time) {
        if now < self.sync_at || self.peers.is_empty() {
            return;
        }
        let relaxed = self
            .rules
            .params
            .epoch
            .scale(1, 20)
            .min(Span::from_secs(300));
        let pause = if self.incomplete(now) {
            relaxed.min(Span::from_secs(1))
        } else {
            relaxed.max(Span::from_millis(500))
        };
        // Between three and five quarters of it, so that neighbours do not fall into step.
        let share = self.rng.random_range(750..1250);
        self.sync_at = now + pause.scale(share, 1000);
        if let Some(id) = self.peers.choose(&mut self.rng) {
            self.ask(id, now);
        }
    }

    pub(super) fn ask(&mut self, to: NodeId, now: Time) {
        if !self.peers.ask(&to, now) {
            return;
        }
        let have = |signed: &crate::SignedDescriptor| wire::DescriptorId {
            identity: signed.id().as_bytes().to_vec(),
            sequence: signed.sequence(),
        };
        let request = wire::SyncRequest {
            have: self.pool.iter().map(have).collect(),
            documents: self
                .archive
                .documents()
                .map(|d| d.hash().to_vec())
                .collect(),
        };
        self.counters.sent += 1;
        self.push(DirectoryAction::Request {
            to,
            request: request.encode_to_vec(),
        });
    }

    /// Answers a neighbour or a client.
    pub(super) fn request(&mut self, now: Time, from: Ticket, request: &[u8]) {
        let waiting = |action: &&DirectoryAction| matches!(action, DirectoryAction::Respond { .. });
        if self.actions.iter().filter(waiting).count() >= MAX_ANSWERS {
            self.counters.dropped += 1;
            return;
        }
        let response = if request.is_empty() {
            self.client_response(now)
        } else {
            let request = Some(request).filter(|bytes| bytes.len() <= MAX_SYNC_REQUEST_BYTES);
            match request.and_then(|bytes| wire::SyncRequest::decode(bytes).ok()) {
                Some(request) => self.answer(now, &request).encode_to_vec(),
                None => {
                    self.counters.malformed += 1;
                    // Who asks nonsense learns the time.
                    wire::SyncResponse {
                        now_us: now.as_micros(),
                        ..Default::default()
                    }
                    .encode_to_vec()
                }
            }
        };
        self.push(DirectoryAction::Respond { to: from, response });
    }

    fn answer(&self, now: Time, request: &wire::SyncRequest) -> wire::SyncResponse {
        let mut have: BTreeMap<&[u8], u64> = BTreeMap::new();
        for id in request.have.iter().take(2 * MAX_DESCRIPTORS) {
            let highest = have.entry(&id.identity).or_default();
            *highest = id.sequence.max(*highest);
        }
        let asked: BTreeSet<(&[u8], u64)> = request
            .have
            .iter()
            .map(|id| (id.identity.as_slice(), id.sequence))
            .collect();
        let mut response = wire::SyncResponse {
            now_us: now.as_micros(),
            ..Default::default()
        };
        let mut bytes = 0;
        for signed in self.pool.iter() {
            let id = signed.id();
            if asked.contains(&(id.as_bytes().as_slice(), signed.sequence())) {
                continue;
            }
            // An older one than the asker's is only of use if it is one that counts.
            let older = have.get(id.as_bytes().as_slice()) > Some(&signed.sequence());
            if older && self.pool.of(&id).len() < 2 {
                continue;
            }
            bytes += signed.encode().len();
            if bytes > DESCRIPTOR_BYTES {
                response.more = true;
                break;
            }
            response.descriptors.push(signed.encode().to_vec());
        }
        let known = |document: &Document| {
            request
                .documents
                .iter()
                .take(2 * MAX_DOCUMENTS)
                .any(|hash| hash == document.hash())
        };
        self.add_documents(&mut response, self.epoch.number().saturating_sub(4), known);
        response
    }

    /// The answer to a client: the documents that count or will, oldest first, and the time.
    #[must_use]
    pub fn client_response(&self, now: Time) -> Vec<u8> {
        let mut response = wire::SyncResponse {
            now_us: now.as_micros(),
            ..Default::default()
        };
        let epoch = self.rules.params.epoch_at(now);
        let before = epoch.previous().unwrap_or(epoch);
        let oldest = self
            .view
            .in_force(before)
            .or_else(|| self.view.in_force(epoch));
        if let Some(oldest) = oldest {
            self.add_documents(&mut response, oldest.epoch().number(), |_| false);
        }
        response.encode_to_vec()
    }

    fn add_documents(
        &self,
        response: &mut wire::SyncResponse,
        from: u64,
        known: impl Fn(&Document) -> bool,
    ) {
        // Each document is at most about a megabyte, so all of them fit.
        let fresh = self.view.documents.values();
        let fresh = fresh.filter(|document| document.epoch().number() >= from && !known(document));
        response.documents = fresh
            .take(MAX_DOCUMENTS)
            .map(|d| d.encode().to_vec())
            .collect();
    }
}
