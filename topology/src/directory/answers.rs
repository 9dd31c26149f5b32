//! Answers of neighbours, taken one after the other: first their documents, each verified and
//! weighed before the next, then their descriptors.

use std::collections::VecDeque;
use std::sync::Arc;

use prost::Message;
use rand::CryptoRng;
use shoal_proto::{Epoch, NodeId, Time, wire};

use super::archive::Considered;
use super::jobs::{Recipe, Task};
use super::{Desk, Directory, MAX_DESCRIPTORS, MAX_DOCUMENTS, MAX_SYNC_RESPONSE_BYTES};
use crate::{Document, DocumentError};

/// Most descriptors of an answer that are checked at a time.
pub(super) const CHECKS_AT_ONCE: usize = 64;
/// Most bytes of answers that wait for their turn.
const MAX_WAITING_BYTES: usize = 4 * MAX_SYNC_RESPONSE_BYTES;

/// What keeping a document or descriptor costs besides its bytes.
const ITEM_BYTES: usize = 32;

/// What a neighbour has answered, without what is known already.
pub(super) struct Answer {
    from: NodeId,
    /// Whether the neighbour has more.
    more: bool,
    /// Whether anything of it was new.
    news: bool,
    /// Documents to be verified.
    documents: VecDeque<Arc<[u8]>>,
    /// Verified documents to be weighed.
    verified: VecDeque<Arc<Document>>,
    /// The epochs of its documents that are not ours, until they count as its votes.
    named: Option<Vec<Epoch>>,
    /// Descriptors to be checked when the documents are done with.
    descriptors: VecDeque<Arc<[u8]>>,
    /// Descriptors that are being checked.
    checking: usize,
    step: Step,
}

/// What an answer waits for.
enum Step {
    /// That a document is verified.
    Verify(Arc<[u8]>),
    /// To learn whether a document follows from what it says it follows from.
    Derive(Arc<Recipe>, Arc<Document>),
    /// Its turn, or its descriptors.
    Other,
}

impl Answer {
    fn new(from: NodeId, wire: wire::SyncResponse) -> Self {
        let shared = |bytes: Vec<u8>| Arc::from(bytes);
        let documents = wire.documents.into_iter().take(MAX_DOCUMENTS);
        let descriptors = wire.descriptors.into_iter().take(MAX_DESCRIPTORS);
        Self {
            from,
            more: wire.more,
            news: false,
            documents: documents.map(shared).collect(),
            verified: VecDeque::new(),
            named: Some(Vec::new()),
            descriptors: descriptors.map(shared).collect(),
            checking: 0,
            step: Step::Other,
        }
    }

    fn bytes(&self) -> usize {
        let all = self.documents.iter().chain(&self.descriptors);
        all.map(|bytes| bytes.len() + ITEM_BYTES).sum()
    }

    fn is_empty(&self) -> bool {
        self.documents.is_empty() && self.descriptors.is_empty()
    }
}

/// Answers that wait for their turn.
#[derive(Default)]
pub(super) struct Answers {
    waiting: VecDeque<Answer>,
    bytes: usize,
}

impl Answers {
    /// False if there is no room for it.
    fn push(&mut self, answer: Answer) -> bool {
        let fits = self.bytes + answer.bytes() <= MAX_WAITING_BYTES;
        if fits {
            self.bytes += answer.bytes();
            self.waiting.push_back(answer);
        }
        fits
    }

    fn pop(&mut self) -> Option<Answer> {
        let answer = self.waiting.pop_front()?;
        self.bytes -= answer.bytes();
        Some(answer)
    }
}

impl<R: CryptoRng> Directory<R> {
    /// Takes a neighbour's answer.
    pub(super) fn response(&mut self, now: Time, from: NodeId, response: &[u8]) {
        if !self.peers.answered(&from) {
            return;
        }
        let decoded = Some(response).filter(|bytes| bytes.len() <= MAX_SYNC_RESPONSE_BYTES);
        let decoded = decoded.and_then(|bytes| wire::SyncResponse::decode(bytes).ok());
        let Some(wire) = decoded else {
            self.counters.unreadable += 1;
            return self.peers.heard(&from);
        };
        let mut answer = Answer::new(from, wire);
        self.leave_out_known(&mut answer);
        if answer.is_empty() {
            // Most answers have nothing new, and need no turn.
            self.count_votes(&mut answer);
            return self.finish(now, &answer);
        }
        if !self.answers.push(answer) {
            self.counters.abandoned += 1;
            self.peers.heard(&from);
        }
    }

    /// Gives the answer that has waited longest its turn, if nothing else is being done.
    pub(super) fn next_answer(&mut self, now: Time) {
        while matches!(self.desk, Desk::Free) {
            let Some(mut answer) = self.answers.pop() else {
                return;
            };
            self.leave_out_known(&mut answer);
            self.advance(now, Box::new(answer));
        }
    }

    fn leave_out_known(&mut self, answer: &mut Answer) {
        answer
            .documents
            .retain(|bytes| self.archive.knows(bytes).is_none());
        let before = answer.descriptors.len();
        answer.descriptors.retain(|bytes| !self.is_known(bytes));
        self.counters.known += (before - answer.descriptors.len()) as u64;
    }

    /// Goes on with an answer up to where it has to wait.
    fn advance(&mut self, now: Time, mut answer: Box<Answer>) {
        answer.step = Step::Other;
        if let Some(bytes) = answer.documents.pop_front() {
            self.job(Task::Document(Arc::clone(&bytes)));
            answer.step = Step::Verify(bytes);
            self.desk = Desk::Answer(answer);
            return;
        }
        // Documents first: descriptors may complete a set from which one would be formed that the
        // neighbours have long had.
        while let Some(document) = answer.verified.pop_front() {
            if let Some(base) = self.archive.base(&self.rules, now, &document) {
                let recipe = Arc::new(Recipe::of(&document, base));
                self.job(Task::Form(Arc::clone(&recipe)));
                answer.step = Step::Derive(recipe, document);
                self.desk = Desk::Answer(answer);
                return;
            }
            self.weigh(now, document, answer.from, false);
        }
        self.count_votes(&mut answer);
        self.check_descriptors(&mut answer);
        if answer.checking > 0 {
            self.desk = Desk::Answer(answer);
        } else {
            self.finish(now, &answer);
        }
    }

    fn check_descriptors(&mut self, answer: &mut Answer) {
        while answer.checking < CHECKS_AT_ONCE {
            let Some(bytes) = answer.descriptors.pop_front() else {
                return;
            };
            if self.is_known(&bytes) || self.is_checked_for_answer(&bytes) {
                self.counters.known += 1;
            } else {
                answer.checking += 1;
                self.check_for_answer(bytes);
            }
        }
    }

    /// Who has nothing against a document that we have on others' word votes for it.
    fn count_votes(&mut self, answer: &mut Answer) {
        let Some(named) = answer.named.take() else {
            return;
        };
        let adopted = self.archive.adopted();
        let silent: Vec<_> = adopted.filter(|epoch| !named.contains(epoch)).collect();
        for epoch in silent {
            self.archive.vote_for_ours(epoch, answer.from);
        }
    }

    fn finish(&mut self, now: Time, answer: &Answer) {
        self.peers.heard(&answer.from);
        // Without news the same question would bring the same answer.
        if self
            .peers
            .continues(&answer.from, answer.more && answer.news)
        {
            self.ask(answer.from, now);
        }
    }

    /// A document has been verified by itself.
    pub(super) fn verified(
        &mut self,
        now: Time,
        bytes: &Arc<[u8]>,
        verified: Result<Arc<Document>, DocumentError>,
    ) {
        let waits = |step: &Step| matches!(step, Step::Verify(awaited) if awaited == bytes);
        let Some(mut answer) = self.answer_at(waits) else {
            return;
        };
        match verified {
            Ok(document) => {
                if let Some(named) = &mut answer.named {
                    named.push(document.epoch());
                }
                answer.verified.push_back(document);
                let verified = answer.verified.make_contiguous();
                verified.sort_by_key(|document| document.epoch());
            }
            Err(_) => self.counters.refused += 1,
        }
        self.advance(now, answer);
    }

    /// What follows from a document's own descriptors and its base has been formed.
    pub(super) fn derived(
        &mut self,
        now: Time,
        recipe: &Arc<Recipe>,
        formed: &Result<Arc<Document>, DocumentError>,
    ) {
        let waits = |step: &Step| matches!(step, Step::Derive(awaited, _) if awaited == recipe);
        let Some(mut answer) = self.answer_at(waits) else {
            return;
        };
        if let Step::Derive(_, document) = std::mem::replace(&mut answer.step, Step::Other) {
            let derived = formed
                .as_ref()
                .is_ok_and(|formed| formed.hash() == document.hash());
            self.weigh(now, document, answer.from, derived);
        }
        self.advance(now, answer);
    }

    /// A descriptor of the answer has been checked, and was new or not.
    pub(super) fn answer_checked(&mut self, now: Time, new: bool) {
        let Some(mut answer) = self.answer_at(|step| matches!(step, Step::Other)) else {
            return;
        };
        answer.news |= new;
        answer.checking = answer.checking.saturating_sub(1);
        self.advance(now, answer);
    }

    /// Takes the answer from the desk if it waits for this.
    fn answer_at(&mut self, waits: impl Fn(&Step) -> bool) -> Option<Box<Answer>> {
        match std::mem::replace(&mut self.desk, Desk::Free) {
            Desk::Answer(answer) if waits(&answer.step) => Some(answer),
            other => {
                self.desk = other;
                None
            }
        }
    }

    fn weigh(&mut self, now: Time, document: Arc<Document>, from: NodeId, derived: bool) {
        match self.consider(now, document, Some(from), derived) {
            Ok(Considered::Added | Considered::Replaced) => self.counters.adopted += 1,
            Ok(Considered::Known | Considered::Kept) => {}
            Err(_) => self.counters.refused += 1,
        }
    }
}
