//! Asking neighbours for what is missing, and answering neighbours and clients.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use rand::{CryptoRng, RngExt};
use shoal_proto::{DocumentHash, NodeId, Span, Time, wire};

use super::peers::Asked;
use super::read::{Question, Tip, chain_request};
use super::{
    ANSWER_BYTES, CHAIN_BYTES, DESCRIPTOR_BYTES, Directory, DirectoryAction, MAX_DESCRIPTORS,
    MAX_DOCUMENTS, MAX_HANDOVERS, Ticket,
};
use crate::agreement::{Evidence, Height};

/// Most answers that wait to be fetched.
const MAX_ANSWERS: usize = 64;

impl<R: CryptoRng> Directory<R> {
    pub(super) fn peer_connected(&mut self, id: NodeId, now: Time) {
        if self.peers.connect(id, now) {
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
        if let Some(id) = self.peers.choose(&mut self.rng, now) {
            self.ask(id, now);
        }
    }

    pub(super) fn ask(&mut self, to: NodeId, now: Time) {
        if !self.peers.ask(&to, now, Asked::Sync) {
            return;
        }
        let have = |signed: &crate::SignedDescriptor| wire::DescriptorId {
            identity: signed.id().as_bytes().to_vec(),
            sequence: signed.sequence(),
        };
        let request = wire::SyncRequest {
            have: self.pool.iter().map(have).collect(),
            lack: true,
            ..Default::default()
        };
        self.send_request(to, request.encode_to_vec());
    }

    fn send_request(&mut self, to: NodeId, request: Vec<u8>) {
        self.counters.sent += 1;
        self.push(DirectoryAction::Request { to, request });
    }

    /// Asks a neighbour for a document, if it can be asked now.
    pub(super) fn ask_for(&mut self, to: NodeId, now: Time, hash: DocumentHash) {
        if !self.peers.ask(&to, now, Asked::Fetch(hash)) {
            return;
        }
        let request = wire::SyncRequest {
            fetch: hash.as_bytes().to_vec(),
            ..Default::default()
        };
        self.send_request(to, request.encode_to_vec());
    }

    /// Asks a neighbour that says it has a newer document for what leads to it.
    pub(super) fn ask_chain(&mut self, to: NodeId, now: Time) {
        let pause = super::pool::pause(&self.rules.params);
        if !self.peers.may_fetch(&to, now, pause) {
            self.counters.not_fetched += 1;
            return;
        }
        if !self.peers.ask(&to, now, Asked::Chain) {
            return;
        }
        let known = self.archive.tip().map(|tip| tip.document.height());
        let after = self.archive.since();
        self.send_request(to, chain_request(after, known.unwrap_or_default()));
    }

    /// Answers a neighbour or a client, or refuses to.
    pub(super) fn request(&mut self, now: Time, to: Ticket, request: &[u8]) {
        let waiting = |action: &&DirectoryAction| matches!(action, DirectoryAction::Respond { .. });
        if self.actions.iter().filter(waiting).count() >= MAX_ANSWERS {
            self.counters.dropped += 1;
            return self.push(DirectoryAction::Refuse { to });
        }
        let response = match Question::read(request) {
            Some(Question::Chain { after, known }) => self.chain_response(now, after, known),
            Some(Question::Sync(request)) => self.answer(now, &request).encode_to_vec(),
            Some(Question::Fetch(hash)) => self.document(now, &hash).encode_to_vec(),
            None => {
                self.counters.malformed += 1;
                return self.push(DirectoryAction::Refuse { to });
            }
        };
        self.push(DirectoryAction::Respond { to, response });
    }

    /// The document with this hash, if we go by it or it was proposed.
    fn document(&self, now: Time, hash: &DocumentHash) -> wire::SyncResponse {
        let proposed = self.council.as_ref();
        let proposed = proposed.and_then(|council| council.document(hash));
        let found = self.archive.by_hash(hash).or(proposed);
        wire::SyncResponse {
            documents: found.map(|d| d.encode().to_vec()).into_iter().collect(),
            now_us: now.as_micros(),
            ..Default::default()
        }
    }

    fn answer(&self, now: Time, request: &wire::SyncRequest) -> wire::SyncResponse {
        let mut have: BTreeMap<&[u8], u64> = BTreeMap::new();
        for id in &request.have {
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
            // As much as who asked reads.
            if bytes > DESCRIPTOR_BYTES || response.descriptors.len() >= MAX_DESCRIPTORS {
                response.more = true;
                break;
            }
            response.descriptors.push(signed.encode().to_vec());
        }
        let tip = self.archive.tip();
        response.tip = tip.map(|tip| Tip::of(&tip.document).to_wire());
        let proven = self.proven.all();
        response.evidence = proven.values().map(Evidence::encode).collect();
        response
    }

    /// The answer to the question for the chain, which clients ask too: the handovers after a height, the
    /// documents beyond another one that count or will, oldest first, and the time.
    #[must_use]
    pub fn chain_response(&self, now: Time, after: Height, known: Height) -> Vec<u8> {
        let mut response = wire::SyncResponse {
            now_us: now.as_micros(),
            ..Default::default()
        };
        let mut bytes = 0;
        for handover in self.archive.handovers(after) {
            bytes += handover.len();
            if bytes > CHAIN_BYTES || response.handovers.len() >= MAX_HANDOVERS {
                response.more = true;
                // Without what leads to them documents are of no use.
                return response.encode_to_vec();
            }
            response.handovers.push(handover.to_vec());
        }
        let epoch = self.rules.params.epoch_at(now);
        let before = epoch.previous().unwrap_or(epoch);
        let oldest = self
            .view
            .in_force(before)
            .or_else(|| self.view.in_force(epoch));
        let oldest = oldest.map(|document| document.epoch());
        let counting = self
            .archive
            .documents(known)
            .filter(|it| oldest.is_some_and(|oldest| it.document.epoch() >= oldest));
        let mut counting: Vec<_> = counting.take(MAX_DOCUMENTS).collect();
        // Nothing counts: the newest still tells how far the chain is.
        let tip = self
            .archive
            .tip()
            .filter(|tip| tip.document.height() > known);
        if counting.is_empty() {
            counting.extend(tip);
        }
        // The newest first, should they not all fit.
        for certified in counting.into_iter().rev() {
            let encoded = certified.encode();
            bytes += encoded.len();
            if bytes > ANSWER_BYTES {
                break;
            }
            response.documents.push(encoded);
        }
        response.documents.reverse();
        response.encode_to_vec()
    }
}
