//! Answers of neighbours, taken one after the other: first the documents that they go by, each fetched
//! only if it would rank better than ours, verified and weighed before the next, then their
//! descriptors.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use prost::Message;
use rand::CryptoRng;
use shoal_proto::{NodeId, Span, Time, wire};

use super::archive::Considered;
use super::header::Header;
use super::jobs::{Recipe, Task};
use super::peers::Asked;
use super::pool::pause;
use super::read::{Claim, Reading};
use super::{
    Desk, Directory, DirectoryAction, DirectoryWarning, JOB_PATIENCE, MAX_NEIGHBOUR_ANSWER_BYTES,
};
use crate::{Document, DocumentError, MAX_DOCUMENT_BYTES};

/// Most descriptors of an answer that are checked at a time.
pub(super) const CHECKS_AT_ONCE: usize = 64;
/// Most bytes of answers that are read, wait for their turn, or for a document.
const MAX_WAITING_BYTES: usize = 32 * 1024 * 1024;
/// How long a document is left to the neighbour that it was asked of first, if others have it too.
const FETCH_PATIENCE: Span = Span::from_secs(2);
/// Around a document in its answer: the clock, and lengths.
const AROUND_DOCUMENT: usize = 64;

/// What a neighbour has answered, without what is known already.
pub(super) struct Answer {
    from: NodeId,
    /// What it takes up of the room for answers.
    bytes: usize,
    /// Whether the neighbour has more.
    more: bool,
    /// Whether anything of it was new.
    news: bool,
    /// Whether anything of it was what no honest neighbour sends.
    wrong: bool,
    /// Documents that the neighbour goes by, which may be worth fetching.
    headers: VecDeque<Header>,
    /// A document that was fetched, to be verified.
    fetched: Option<(Header, Arc<[u8]>)>,
    /// A document that was verified, to be weighed.
    verified: Option<Arc<Document>>,
    /// Descriptors to be checked when the documents are done with.
    descriptors: VecDeque<(Claim, Arc<[u8]>)>,
    /// Descriptors that are being checked.
    checking: usize,
    step: Step,
    since: Time,
}

/// What an answer waits for.
enum Step {
    /// That a document is verified.
    Verify(Header, Arc<[u8]>),
    /// To learn whether a document follows from what it says it follows from.
    Derive(Arc<Recipe>, Arc<Document>),
    /// Its turn, a document that is fetched, or its descriptors.
    Other,
}

impl Answer {
    /// Since when it waits for a job.
    pub(super) const fn since(&self) -> Time {
        self.since
    }
}

/// An answer that is being read.
struct Unread {
    from: NodeId,
    asked: Asked,
    bytes: Arc<[u8]>,
    since: Time,
}

/// Answers on their way. One of each neighbour at most.
#[derive(Default)]
pub(super) struct Answers {
    unread: VecDeque<Unread>,
    /// Those that wait for their turn.
    waiting: VecDeque<Answer>,
    /// Those whose neighbour was asked for a document.
    parked: BTreeMap<NodeId, Answer>,
    /// Those that want a document that somebody else was asked for, and until when they wait for it.
    delayed: VecDeque<Answer>,
    delayed_until: Option<Time>,
    /// When documents were asked for that have not come yet.
    fetching: BTreeMap<[u8; 32], Time>,
    bytes: usize,
}

impl Answers {
    /// When an answer stops waiting for what others were asked for, or for being read.
    pub(super) fn deadline(&self) -> Option<Time> {
        let unread = self
            .unread
            .front()
            .map(|unread| unread.since + JOB_PATIENCE);
        unread.into_iter().chain(self.delayed_until).min()
    }

    fn wake(&mut self) {
        self.delayed_until = None;
        self.waiting.append(&mut self.delayed);
    }

    /// A document has come, or will not come from who was asked.
    fn fetched(&mut self, header: &Header) {
        self.fetching.remove(&header.hash);
        self.wake();
    }

    fn take_unread(&mut self, bytes: &Arc<[u8]>) -> Option<Unread> {
        let same = |unread: &Unread| unread.bytes == *bytes;
        let place = self.unread.iter().position(same)?;
        let unread = self.unread.remove(place)?;
        self.bytes -= unread.bytes.len();
        Some(unread)
    }
}

impl<R: CryptoRng> Directory<R> {
    /// Takes a neighbour's answer: reading it is a job.
    pub(super) fn response(&mut self, now: Time, from: NodeId, response: Vec<u8>) {
        let Some(asked) = self.peers.answered(&from) else {
            return;
        };
        let most = match asked {
            Asked::Sync => MAX_NEIGHBOUR_ANSWER_BYTES,
            Asked::Fetch(_) => MAX_DOCUMENT_BYTES + AROUND_DOCUMENT,
        };
        if response.len() > most {
            return self.unreadable(now, from, asked);
        }
        if self.answers.bytes + response.len() > MAX_WAITING_BYTES {
            self.counters.abandoned += 1;
            return self.without(now, from, asked);
        }
        let bytes: Arc<[u8]> = response.into();
        self.answers.bytes += bytes.len();
        self.answers.unread.push_back(Unread {
            from,
            asked,
            bytes: Arc::clone(&bytes),
            since: now,
        });
        self.job(Task::Answer(bytes));
    }

    /// An answer has been read.
    pub(super) fn read(&mut self, now: Time, bytes: &Arc<[u8]>, reading: Option<&Reading>) {
        let Some(Unread { from, asked, .. }) = self.answers.take_unread(bytes) else {
            return;
        };
        match (asked, reading) {
            (_, None) => self.unreadable(now, from, asked),
            (Asked::Sync, Some(reading)) => self.take_answer(now, from, reading),
            (Asked::Fetch(header), Some(reading)) => {
                let document = reading.document.clone();
                self.take_document(now, from, header, document);
            }
        }
        self.next_answer(now);
    }

    /// A neighbour's answer is nothing that an honest one sends.
    fn unreadable(&mut self, now: Time, from: NodeId, asked: Asked) {
        self.counters.unreadable += 1;
        self.peers.shun(&from, now + pause(&self.rules.params));
        self.without(now, from, asked);
    }

    /// Goes on without what a neighbour was asked for.
    pub(super) fn without(&mut self, now: Time, from: NodeId, asked: Asked) {
        match asked {
            Asked::Sync => self.peers.heard(&from),
            Asked::Fetch(header) => self.take_document(now, from, header, None),
        }
    }

    /// A neighbour is gone: what it has answered goes with it, but for what is being taken.
    pub(super) fn forget_answer(&mut self, from: &NodeId) {
        if let Some(answer) = self.answers.parked.remove(from) {
            self.answers.bytes -= answer.bytes;
            // Another may be asked for what it was asked for.
            self.answers.fetching.clear();
            self.answers.wake();
        }
    }

    fn take_answer(&mut self, now: Time, from: NodeId, reading: &Reading) {
        self.count_votes(from, &reading.headers);
        for header in &reading.headers {
            self.note_contradiction(now, header);
        }
        for error in &reading.refused {
            self.refusals.add(error.reason(), 1);
        }
        let mut answer = Answer {
            from,
            bytes: reading.bytes(),
            more: reading.more,
            news: false,
            wrong: !reading.refused.is_empty(),
            headers: reading.headers.iter().copied().collect(),
            fetched: None,
            verified: None,
            descriptors: reading.descriptors.iter().cloned().collect(),
            checking: 0,
            step: Step::Other,
            since: now,
        };
        self.answers.bytes += answer.bytes;
        self.leave_out(now, &mut answer);
        if answer.headers.is_empty() && answer.descriptors.is_empty() {
            // Most answers have nothing new, and need no turn.
            return self.finish(now, &answer);
        }
        self.answers.waiting.push_back(answer);
    }

    /// A document that was fetched has come, or has not.
    fn take_document(
        &mut self,
        now: Time,
        from: NodeId,
        header: Header,
        document: Option<Arc<[u8]>>,
    ) {
        self.answers.fetched(&header);
        let Some(mut answer) = self.answers.parked.remove(&from) else {
            return;
        };
        if let Some(document) = document {
            self.answers.bytes += document.len();
            answer.bytes += document.len();
            answer.fetched = Some((header, document));
        }
        self.answers.waiting.push_front(answer);
        self.next_answer(now);
    }

    /// Gives the answer that has waited longest its turn, if nothing else is being done.
    pub(super) fn next_answer(&mut self, now: Time) {
        if self.answers.delayed_until.is_some_and(|until| now >= until) {
            self.answers.wake();
        }
        while matches!(self.desk, Desk::Free) {
            let Some(mut answer) = self.answers.waiting.pop_front() else {
                return;
            };
            self.leave_out(now, &mut answer);
            self.advance(now, Box::new(answer));
        }
    }

    /// Leaves out what is known by now, or not worth a look.
    fn leave_out(&mut self, now: Time, answer: &mut Answer) {
        let wanted = |header: &Header| self.archive.wants(&self.rules, now, header);
        answer.headers.retain(wanted);
        let descriptors = std::mem::take(&mut answer.descriptors).into_iter();
        let kept = descriptors.filter(|(claim, bytes)| self.is_worth_a_check(now, claim, bytes));
        answer.descriptors = kept.collect();
    }

    /// Goes on with an answer up to where it has to wait.
    fn advance(&mut self, now: Time, mut answer: Box<Answer>) {
        answer.step = Step::Other;
        answer.since = now;
        if let Some((header, bytes)) = answer.fetched.take() {
            self.job(Task::Document(Arc::clone(&bytes), header));
            answer.step = Step::Verify(header, bytes);
            self.desk = Desk::Answer(answer);
            return;
        }
        if let Some(document) = answer.verified.take() {
            if let Some(base) = self.archive.base(&self.rules, now, &document) {
                let recipe = Arc::new(Recipe::of(&document, base));
                self.job(Task::Form(Arc::clone(&recipe)));
                answer.step = Step::Derive(recipe, document);
                self.desk = Desk::Answer(answer);
                return;
            }
            self.weigh(now, document, answer.from, false);
        }
        // Documents first: descriptors may complete a set from which one would be formed that the
        // neighbours have long had.
        let Some(mut answer) = self.fetch(now, answer) else {
            return;
        };
        self.check_descriptors(now, &mut answer);
        if answer.checking > 0 {
            self.desk = Desk::Answer(answer);
        } else {
            self.finish(now, &answer);
        }
    }

    /// Asks for the next document that is worth it. Gives the answer back if there is none.
    fn fetch(&mut self, now: Time, mut answer: Box<Answer>) -> Option<Box<Answer>> {
        while let Some(header) = answer.headers.pop_front() {
            if !self.archive.wants(&self.rules, now, &header) {
                continue;
            }
            let asked = self.answers.fetching.get(&header.hash);
            if let Some(until) = asked.map(|asked| *asked + FETCH_PATIENCE)
                && now < until
            {
                answer.headers.push_front(header);
                let sooner = self.answers.delayed_until.map_or(until, |at| at.min(until));
                self.answers.delayed_until = Some(sooner);
                self.answers.delayed.push_back(*answer);
                return None;
            }
            let pause = pause(&self.rules.params);
            if !self.peers.may_fetch(&answer.from, now, pause) {
                self.counters.not_fetched += 1;
                continue;
            }
            self.peers.ask_document(&answer.from, now, header);
            self.counters.sent += 1;
            let request = wire::SyncRequest {
                fetch: header.hash.to_vec(),
                ..Default::default()
            };
            self.push(DirectoryAction::Request {
                to: answer.from,
                request: request.encode_to_vec(),
            });
            self.answers.fetching.insert(header.hash, now);
            self.answers.parked.insert(answer.from, *answer);
            return None;
        }
        Some(answer)
    }

    fn check_descriptors(&mut self, now: Time, answer: &mut Answer) {
        while answer.checking < CHECKS_AT_ONCE {
            let Some((claim, bytes)) = answer.descriptors.pop_front() else {
                return;
            };
            if self.is_checked_for_answer(&bytes) {
                self.counters.known += 1;
            } else if self.is_worth_a_check(now, &claim, &bytes) {
                answer.checking += 1;
                self.check_for_answer(now, bytes);
            }
        }
    }

    /// Where we have a document on others' word, the neighbour votes for the one that it goes by, and
    /// for ours if it has nothing against it.
    fn count_votes(&mut self, from: NodeId, headers: &[Header]) {
        for epoch in self.archive.adopted().collect::<Vec<_>>() {
            match headers.iter().find(|header| header.epoch == epoch) {
                Some(header) => self.archive.vote(epoch, Some(from), header.hash),
                None => self.archive.vote_for_ours(epoch, from),
            }
        }
    }

    /// Says so if a neighbour goes by another document than ours, and ours is kept.
    fn note_contradiction(&mut self, now: Time, header: &Header) {
        let epoch = header.epoch;
        let ours = self.archive.get(epoch);
        let other = ours.is_some_and(|ours| *ours.hash() != header.hash);
        if other && !self.archive.wants(&self.rules, now, header) {
            let replaced = false;
            self.warn(DirectoryWarning::Contradiction { epoch, replaced });
        }
    }

    fn finish(&mut self, now: Time, answer: &Answer) {
        self.answers.bytes -= answer.bytes;
        self.peers.heard(&answer.from);
        if answer.wrong {
            let until = now + pause(&self.rules.params);
            return self.peers.shun(&answer.from, until);
        }
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
        (header, bytes): (&Header, &Arc<[u8]>),
        verified: Result<Arc<Document>, DocumentError>,
    ) {
        let waits = |step: &Step| matches!(step, Step::Verify(of, awaited) if of == header && awaited == bytes);
        let Some(mut answer) = self.answer_at(waits) else {
            return;
        };
        match verified {
            Ok(document) => answer.verified = Some(document),
            Err(error) => {
                self.counters.refused += 1;
                answer.wrong = true;
                answer.headers.clear();
                // Of another document, this says nothing about the one that was named.
                if error != DocumentError::NotAsNamed {
                    self.archive.decline(header.epoch, header.hash);
                }
            }
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

    /// A descriptor of the answer has been checked: it was new, or known, or wrong.
    pub(super) fn answer_checked(&mut self, now: Time, new: bool, wrong: bool) {
        let Some(mut answer) = self.answer_at(|step| matches!(step, Step::Other)) else {
            return;
        };
        answer.news |= new;
        answer.wrong |= wrong;
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

    /// Goes on without jobs of the answers whose results have not come for too long.
    pub(super) fn give_up_answers(&mut self, now: Time) {
        let lost = |unread: &mut Unread| now >= unread.since + JOB_PATIENCE;
        while let Some(unread) = self.answers.unread.pop_front_if(lost) {
            self.answers.bytes -= unread.bytes.len();
            self.note_lost();
            self.without(now, unread.from, unread.asked);
        }
        // Its descriptors have a deadline of their own.
        let waits = |step: &Step| !matches!(step, Step::Other);
        let lost = match &self.desk {
            Desk::Answer(answer) => now >= answer.since + JOB_PATIENCE,
            _ => false,
        };
        if lost && let Some(answer) = self.answer_at(waits) {
            self.note_lost();
            self.advance(now, answer);
        }
    }

    /// The result of a job has not come for too long.
    pub(super) fn note_lost(&mut self) {
        self.counters.lost += 1;
        self.warn(DirectoryWarning::JobLost);
    }

    fn weigh(&mut self, now: Time, document: Arc<Document>, from: NodeId, derived: bool) {
        let (epoch, hash) = (document.epoch(), *document.hash());
        match self.consider(now, document, Some(from), derived) {
            Ok(Considered::Added | Considered::Replaced) => self.counters.adopted += 1,
            Ok(Considered::Known) => {}
            Ok(Considered::Kept) => self.archive.decline(epoch, hash),
            Err(_) => {
                self.counters.refused += 1;
                self.archive.decline(epoch, hash);
            }
        }
    }
}
