//! Answers of neighbours: read elsewhere, and taken one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use rand::CryptoRng;
use shoal_proto::{NetworkHash, NodeId, Time};

use super::jobs::{Chained, Task};
use super::peers::Asked;
use super::pool::pause;
use super::read::{Claim, Reading};
use super::repair::{self, Step};
use super::{Directory, JOB_PATIENCE, MAX_NEIGHBOUR_ANSWER_BYTES, MAX_SYNC_RESPONSE_BYTES};
use crate::agreement::Height;
use crate::{DocumentError, MAX_DOCUMENT_BYTES, SuccessionError};

/// Most descriptors of an answer that are checked at a time.
pub(super) const CHECKS_AT_ONCE: usize = 64;
/// Most bytes of answers that are read or wait for their turn.
const MAX_WAITING_BYTES: usize = 32 * 1024 * 1024;
/// Around a document in its answer: the clock, and lengths.
const AROUND_DOCUMENT: usize = 64;

/// What a neighbour has answered, without what is known already.
pub(super) struct Answer {
    from: NodeId,
    /// What it takes up of the room for answers.
    bytes: usize,
    /// Whether it has what was asked for by name.
    named: bool,
    /// How the neighbour goes on to say what it has; empty for not at all.
    reconcile: Vec<u8>,
    /// Whether anything of it was new.
    news: bool,
    /// Whether anything of it was what no honest neighbour sends.
    wrong: bool,
    /// The height of the document that the neighbour goes by.
    tip: Option<Height>,
    /// The newest file of the network that the neighbour has.
    file: Option<NetworkHash>,
    /// Descriptors to be checked.
    descriptors: VecDeque<(Claim, Arc<[u8]>)>,
    /// Descriptors that are being checked.
    checking: usize,
}

/// An answer that is being read, or followed.
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
    /// The one whose descriptors are being checked.
    current: Option<Answer>,
    bytes: usize,
}

impl Answers {
    /// When an answer stops waiting for being read.
    pub(super) fn deadline(&self) -> Option<Time> {
        let first = self.unread.front();
        first.map(|unread| unread.since + JOB_PATIENCE)
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
            Asked::Sync | Asked::Named | Asked::Lacking(_) => MAX_NEIGHBOUR_ANSWER_BYTES,
            Asked::Fetch(_) => MAX_DOCUMENT_BYTES + AROUND_DOCUMENT,
            Asked::Chain => MAX_SYNC_RESPONSE_BYTES,
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
        let trust = self.archive.trust().filter(|_| asked == Asked::Chain);
        self.job(match trust {
            Some(trust) => {
                let known = self.view.documents.values().cloned().collect();
                Task::Chain(bytes, trust.clone(), known)
            }
            None => {
                let neighbour = asked == Asked::Sync;
                let trust = self.archive.trust().filter(|_| neighbour);
                Task::Answer(bytes, trust.cloned())
            }
        });
    }

    /// An answer has been read.
    pub(super) fn read(&mut self, now: Time, bytes: &Arc<[u8]>, reading: Option<&Reading>) {
        let Some(Unread { from, asked, .. }) = self.answers.take_unread(bytes) else {
            return;
        };
        match (asked, reading) {
            (Asked::Sync | Asked::Named, Some(reading)) => {
                self.take_answer(now, from, asked == Asked::Named, reading);
            }
            (Asked::Fetch(hash), Some(reading)) => {
                self.peers.heard(&from);
                self.take_document(now, hash, reading.document.clone());
            }
            (Asked::Lacking(hash), Some(reading)) => {
                self.peers.heard(&from);
                self.take_lacking(now, hash, &reading.descriptors);
            }
            _ => self.unreadable(now, from, asked),
        }
        self.next_answer(now);
    }

    /// The chain that a neighbour has sent has been followed as far as it is right.
    pub(super) fn followed(&mut self, now: Time, bytes: &Arc<[u8]>, chained: Option<&Chained>) {
        let Some(Unread { from, asked, .. }) = self.answers.take_unread(bytes) else {
            return;
        };
        let Some(((followed, error), successor)) = chained else {
            return self.unreadable(now, from, asked);
        };
        self.peers.heard(&from);
        let new = self.archive.followed(followed.clone());
        for (height, bytes) in new.handovers {
            self.persist(super::DirectoryChange::Handover { height, bytes });
        }
        for certified in &new.documents {
            self.counters.adopted += 1;
            self.taken(now, certified);
        }
        if let Some(DocumentError::Recovered(height)) = error {
            self.warn(super::DirectoryWarning::Recovered(*height));
        }
        if let Ok(Some(successor)) = successor {
            self.accept(successor);
        }
        // Which seats count for it may not be known here yet, and the neighbour may know another file of ours.
        let honest = SuccessionError::is_of_who_knows_less;
        let wrong = successor.as_ref().is_err_and(|error| !honest(error));
        if error.is_some() || wrong {
            self.counters.refused += 1;
            self.blame(now, &from);
        }
    }

    /// A neighbour has sent what no honest one does: it is not asked for a while.
    pub(super) fn blame(&mut self, now: Time, from: &NodeId) {
        self.peers.shun(from, now + pause(&self.rules.params));
    }

    /// A neighbour's answer is nothing that an honest one sends.
    fn unreadable(&mut self, now: Time, from: NodeId, asked: Asked) {
        self.counters.unreadable += 1;
        self.blame(now, &from);
        self.without(now, from, asked);
    }

    /// Goes on without what a neighbour was asked for.
    pub(super) fn without(&mut self, now: Time, from: NodeId, asked: Asked) {
        self.peers.heard(&from);
        if let Asked::Fetch(hash) = asked {
            self.take_document(now, hash, None);
        }
    }

    fn take_answer(&mut self, now: Time, from: NodeId, named: bool, reading: &Reading) {
        for error in &reading.refused {
            self.refusals.add(error.reason(), 1);
        }
        let mut answer = Answer {
            from,
            bytes: reading.bytes(),
            named,
            reconcile: reading.reconcile.clone(),
            news: false,
            wrong: !reading.refused.is_empty() || reading.made_up,
            tip: reading.tip.map(|tip| tip.height),
            file: reading.file,
            descriptors: reading.descriptors.iter().cloned().collect(),
            checking: 0,
        };
        self.counters.not_evidence += u64::from(reading.made_up);
        for evidence in &reading.evidence {
            self.prove_and_tell(evidence);
        }
        self.note_contradiction(reading);
        self.amendments_shown(now, &reading.amendments);
        self.answers.bytes += answer.bytes;
        self.leave_out(now, &mut answer);
        if answer.descriptors.is_empty() {
            // Most answers have nothing new, and need no turn.
            return self.finish(now, &answer);
        }
        self.answers.waiting.push_back(answer);
    }

    /// Says so if a neighbour goes by another document of the same height.
    fn note_contradiction(&mut self, reading: &Reading) {
        let (Some(theirs), Some(ours)) = (reading.tip, self.archive.tip()) else {
            return;
        };
        let ours = &ours.document;
        if theirs.height == ours.height() && theirs.hash != *ours.hash() {
            let epoch = theirs.epoch;
            self.warn(super::DirectoryWarning::Contradiction { epoch });
        }
    }

    /// Gives the answer that has waited longest its turn, if no other has it.
    pub(super) fn next_answer(&mut self, now: Time) {
        while self.answers.current.is_none()
            && let Some(mut answer) = self.answers.waiting.pop_front()
        {
            self.leave_out(now, &mut answer);
            self.advance(now, answer);
        }
    }

    /// Leaves out what is known by now, or not worth a look.
    fn leave_out(&mut self, now: Time, answer: &mut Answer) {
        let descriptors = std::mem::take(&mut answer.descriptors).into_iter();
        let kept = descriptors.filter(|(claim, bytes)| self.is_worth_a_check(now, claim, bytes));
        answer.descriptors = kept.collect();
    }

    /// Goes on with an answer up to where it has to wait.
    fn advance(&mut self, now: Time, mut answer: Answer) {
        while answer.checking < CHECKS_AT_ONCE {
            let Some((claim, bytes)) = answer.descriptors.pop_front() else {
                break;
            };
            if self.is_checked_for_answer(&bytes) {
                self.counters.known += 1;
            } else if self.is_worth_a_check(now, &claim, &bytes) {
                answer.checking += 1;
                self.check_for_answer(now, bytes);
            }
        }
        match answer.checking {
            0 => self.finish(now, &answer),
            _ => self.answers.current = Some(answer),
        }
    }

    fn finish(&mut self, now: Time, answer: &Answer) {
        self.answers.bytes -= answer.bytes;
        self.peers.heard(&answer.from);
        if answer.wrong {
            return self.blame(now, &answer.from);
        }
        let from = answer.from;
        let step = match answer.reconcile.as_slice() {
            [] => Some(Step::default()),
            message => repair::go_on(&self.pool, message),
        };
        let Some(Step { lacking, next }) = step else {
            return self.unreadable_step(now, &from);
        };
        // Without news the same questions would bring the same answers.
        let more = !lacking.is_empty() || next.is_some() || answer.named && answer.news;
        if self.peers.continues(&from, more) {
            match next {
                _ if !lacking.is_empty() => self.ask_named(from, now, &lacking),
                Some(message) => self.ask_more(from, now, message),
                None => self.ask(from, now),
            }
        } else if answer.tip >= Some(self.archive.next_height()) || self.lacks_file(answer.file) {
            self.ask_chain(answer.from, now);
        }
    }

    fn unreadable_step(&mut self, now: Time, from: &NodeId) {
        self.counters.unreadable += 1;
        self.blame(now, from);
    }

    /// A descriptor of the answer has been checked: it was new, or known, or wrong.
    pub(super) fn answer_checked(&mut self, now: Time, new: bool, wrong: bool) {
        let Some(mut answer) = self.answers.current.take() else {
            return;
        };
        answer.news |= new;
        answer.wrong |= wrong;
        answer.checking = answer.checking.saturating_sub(1);
        self.advance(now, answer);
        self.next_answer(now);
    }

    /// Goes on without answers whose reading has not come for too long. Descriptors have a deadline of
    /// their own.
    pub(super) fn give_up_answers(&mut self, now: Time) {
        let lost = |unread: &mut Unread| now >= unread.since + JOB_PATIENCE;
        while let Some(unread) = self.answers.unread.pop_front_if(lost) {
            self.answers.bytes -= unread.bytes.len();
            self.note_lost();
            self.without(now, unread.from, unread.asked);
        }
    }

    /// The result of a job has not come for too long.
    pub(super) fn note_lost(&mut self) {
        self.counters.lost += 1;
        self.warn(super::DirectoryWarning::JobLost);
    }
}
