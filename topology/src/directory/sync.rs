//! Asking neighbours for what is missing, and answering neighbours and clients.

use std::collections::BTreeSet;
use std::sync::Arc;

use prost::Message;
use rand::{CryptoRng, RngExt};
use shoal_proto::{DocumentHash, NetworkHash, NodeId, Span, Time, wire};

use super::peers::Asked;
use super::read::{Question, Tip, chain_request};
use super::wanted::MOST_LACKING;
use super::{
    ANSWER_BYTES, CHAIN_BYTES, DESCRIPTOR_BYTES, Directory, DirectoryAction, MAX_DOCUMENTS,
    MAX_HANDOVERS, Ticket, repair,
};
use crate::agreement::{Evidence, Height};
use crate::chain::Certified;
use crate::delta::delta;
use crate::{Document, SignedDescriptor};

/// Most answers that wait to be fetched.
const MAX_ANSWERS: usize = 64;
/// Around a descriptor in an answer.
const AROUND_DESCRIPTOR: usize = 3;

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

    /// Asks a neighbour what it has that is not here, and how far it is.
    pub(super) fn ask(&mut self, to: NodeId, now: Time) {
        if let Some(message) = repair::begin(&self.pool) {
            self.ask_more(to, now, message);
        }
    }

    /// Goes on asking, with this message of Negentropy.
    pub(super) fn ask_more(&mut self, to: NodeId, now: Time, reconcile: Vec<u8>) {
        if !self.peers.ask(&to, now, Asked::Sync) {
            return;
        }
        let request = wire::SyncRequest {
            reconcile,
            ..Default::default()
        };
        self.send_request(to, request.encode_to_vec());
    }

    /// Asks for descriptors by their hashes, for as many as an answer may have.
    pub(super) fn ask_named(&mut self, to: NodeId, now: Time, lacking: &[[u8; 32]]) {
        if !self.peers.ask(&to, now, Asked::Named) {
            return;
        }
        let named = lacking.iter().take(MOST_LACKING).map(|hash| hash.to_vec());
        let request = wire::SyncRequest {
            named: named.collect(),
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

    /// Asks a neighbour for descriptors that a document lacks, if it can be asked now.
    pub(super) fn ask_lacking(
        &mut self,
        to: NodeId,
        now: Time,
        hash: DocumentHash,
        lacking: &[(NodeId, u64)],
    ) {
        if !self.peers.ask(&to, now, Asked::Lacking(hash)) {
            return;
        }
        let lacking = lacking.iter().map(|(id, sequence)| wire::DescriptorId {
            identity: id.as_bytes().to_vec(),
            sequence: *sequence,
        });
        let request = wire::SyncRequest {
            want: lacking.collect(),
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
        let (known, file) = (known.unwrap_or_default(), self.newest_file());
        self.send_request(to, chain_request(after, known, file));
    }

    /// Answers a neighbour or a client, or refuses to.
    pub(super) fn request(&mut self, now: Time, to: Ticket, request: &[u8]) {
        let waiting = |action: &&DirectoryAction| matches!(action, DirectoryAction::Respond { .. });
        if self.actions.iter().filter(waiting).count() >= MAX_ANSWERS {
            self.counters.dropped += 1;
            return self.push(DirectoryAction::Refuse { to });
        }
        let response = match Question::read(request) {
            Some(Question::Chain { after, known, file }) => {
                self.chain_response(now, (after, known), &file)
            }
            Some(Question::Reconcile(message)) => {
                let Some(reconcile) = repair::answer(&self.pool, &message) else {
                    self.counters.malformed += 1;
                    return self.push(DirectoryAction::Refuse { to });
                };
                let mut response = self.tip(now);
                response.reconcile = reconcile;
                let proven = self.proven.all();
                response.evidence = proven.values().map(Evidence::encode).collect();
                response.encode_to_vec()
            }
            Some(Question::Named(named)) => {
                let mut response = self.tip(now);
                response.descriptors = self.named(&named);
                response.encode_to_vec()
            }
            Some(Question::Fetch(hash)) => self.document(now, &hash).encode_to_vec(),
            Some(Question::Want(wanted)) => self.wanted(now, &wanted).encode_to_vec(),
            None => {
                self.counters.malformed += 1;
                return self.push(DirectoryAction::Refuse { to });
            }
        };
        self.push(DirectoryAction::Respond { to, response });
    }

    /// The document with this hash, if we go by it or it was proposed.
    fn document(&self, now: Time, hash: &DocumentHash) -> wire::SyncResponse {
        let mut response = wire::SyncResponse {
            now_us: now.as_micros(),
            ..Default::default()
        };
        let proposed = self.council.as_ref();
        let proposed = proposed.and_then(|council| council.document(hash));
        let Some(document) = self.archive.by_hash(hash).or(proposed) else {
            return response;
        };
        // Who asks for it decides on it, and so has the one before.
        match self.delta_of(document) {
            Some(delta) => response.delta = delta.to_vec(),
            None => response.documents.push(document.encode().to_vec()),
        }
        response
    }

    /// What makes a document of the one before, if that is known.
    fn delta_of(&self, document: &Document) -> Option<Arc<[u8]>> {
        let base = self.archive.tip().map(|tip| tip.document.as_ref());
        let known = self.archive.delta(document.height()).cloned();
        known.or_else(|| Some(delta(base?, document)?.into()))
    }

    /// The descriptors with these sequences, as many as fit.
    fn wanted(&self, now: Time, wanted: &[(NodeId, u64)]) -> wire::SyncResponse {
        wire::SyncResponse {
            descriptors: fitting(self.lacking(wanted)),
            now_us: now.as_micros(),
            ..Default::default()
        }
    }

    /// The descriptors with these hashes, as many as fit.
    fn named(&self, named: &[[u8; 32]]) -> Vec<Vec<u8>> {
        let named: BTreeSet<&[u8; 32]> = named.iter().collect();
        let found = self.pool.iter().filter(|it| named.contains(it.digest()));
        fitting(found)
    }

    fn tip(&self, now: Time) -> wire::SyncResponse {
        let tip = self.archive.tip();
        wire::SyncResponse {
            now_us: now.as_micros(),
            tip: tip.map(|tip| Tip::of(&tip.document).to_wire()),
            amendments: self.amendments.encoded().map(|it| it.to_vec()).collect(),
            file: self.newest_file().as_bytes().to_vec(),
            ..Default::default()
        }
    }

    /// The answer to the question for the chain, which clients ask too: the handovers after a height, the
    /// documents beyond another one that count or will, oldest first, the time, and the file that follows on the
    /// newest that the asker has.
    #[must_use]
    pub fn chain_response(
        &self,
        now: Time,
        (after, known): (Height, Height),
        file: &NetworkHash,
    ) -> Vec<u8> {
        let mut response = self.tip(now);
        response.successor = self
            .successor_of(file)
            .map_or_else(Vec::new, <[u8]>::to_vec);
        let mut bytes = 0;
        for handover in self.archive.handovers(after) {
            bytes += handover.len();
            if bytes > CHAIN_BYTES || response.handovers.len() >= MAX_HANDOVERS {
                response.more = true;
                // Without what leads to them documents are of no use, nor is what those seats have signed.
                response.successor.clear();
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
        let tip = self.archive.tip();
        if counting.is_empty() {
            counting.extend(tip.filter(|tip| tip.document.height() > known));
        }
        // Without the oldest ones, should they not all fit.
        let room = ANSWER_BYTES.saturating_sub(bytes + response.successor.len());
        let fitting = (0..counting.len()).map(|start| {
            let chosen = counting.get(start..).unwrap_or_default();
            self.encode_all(known, chosen)
        });
        let mut fitting = fitting.filter(|all| all.iter().map(Vec::len).sum::<usize>() <= room);
        response.documents = fitting.next().unwrap_or_default();
        // What leads to them took the room: who has followed it asks again, from there.
        response.more = response.documents.len() < counting.len() && bytes > 0;
        response.encode_to_vec()
    }

    /// Each as a change of the one before where that is among them, or known.
    fn encode_all(&self, known: Height, documents: &[&Certified]) -> Vec<Vec<u8>> {
        let mut before = Some(known).filter(|known| *known >= Height::FIRST);
        let encode = |certified: &&Certified| {
            let height = certified.document.height();
            let follows = before.map(Height::next) == Some(height);
            before = Some(height);
            let delta = self.archive.delta(height).filter(|_| follows);
            match delta {
                Some(delta) => certified.encode_as(delta),
                None => certified.encode(),
            }
        };
        documents.iter().map(encode).collect()
    }
}

/// As many as fit into an answer, encoded.
fn fitting<'a>(descriptors: impl IntoIterator<Item = &'a SignedDescriptor>) -> Vec<Vec<u8>> {
    let mut bytes = 0;
    let fits = |signed: &&SignedDescriptor| {
        bytes += signed.encode().len() + AROUND_DESCRIPTOR;
        bytes <= DESCRIPTOR_BYTES
    };
    let descriptors = descriptors.into_iter().take_while(fits);
    descriptors.map(|it| it.encode().to_vec()).collect()
}
