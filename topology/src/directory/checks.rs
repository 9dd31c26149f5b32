//! Descriptors of others whose signatures are being checked, and who waits for it: pieces of
//! gossip, and the answer of a neighbour. Copies of one descriptor are checked once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand::CryptoRng;
use shoal_proto::{NodeId, Time};

use super::council::Council;
use super::jobs::Task;
use super::pool::Inserted;
use super::read::{Claim, News};
use super::{
    Directory, DirectoryAction, DirectoryCounters, JOB_PATIENCE, MAX_GOSSIP, MAX_MESSAGES, Ticket,
    Verdict,
};
use crate::agreement::{Message, MessageError, Verified};
use crate::{Admission, DescriptorError, Refusal, SignedDescriptor};

/// By the bytes of a descriptor: who waits for its check.
#[derive(Default)]
pub(super) struct Checks {
    waiting: BTreeMap<Arc<[u8]>, Waiting>,
    /// Checks in the order in which they were begun, done or not but for the first.
    begun: VecDeque<(Time, Arc<[u8]>)>,
    /// How many pieces of gossip wait.
    gossip: usize,
}

struct Waiting {
    since: Time,
    /// Pieces of gossip, and who sent them.
    gossip: Vec<(NodeId, Ticket)>,
    /// Whether the answer that is being taken waits too.
    answer: bool,
}

impl Checks {
    /// The entry of a descriptor, and whether it is new and has to be checked.
    fn entry(&mut self, now: Time, bytes: &Arc<[u8]>) -> (&mut Waiting, bool) {
        let new = !self.waiting.contains_key(bytes);
        if new {
            self.begun.push_back((now, Arc::clone(bytes)));
        }
        let waiting = self.waiting.entry(Arc::clone(bytes));
        let waiting = waiting.or_insert(Waiting {
            since: now,
            gossip: Vec::new(),
            answer: false,
        });
        (waiting, new)
    }

    fn end(&mut self, bytes: &[u8]) -> Option<Waiting> {
        let waiting = self.waiting.remove(bytes)?;
        self.gossip -= waiting.gossip.len();
        while let Some((since, bytes)) = self.begun.front() {
            let waits = self.waiting.get(bytes);
            if waits.is_some_and(|waiting| waiting.since == *since) {
                break;
            }
            self.begun.pop_front();
        }
        Some(waiting)
    }

    /// Has a piece of gossip wait for the check of these bytes. True if that has to be begun.
    fn wait(&mut self, now: Time, bytes: &Arc<[u8]>, from: (NodeId, Ticket)) -> bool {
        self.gossip += 1;
        let (waiting, new) = self.entry(now, bytes);
        waiting.gossip.push(from);
        new
    }

    /// The pieces of gossip that waited for a check; none if it counts as lost.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<Vec<(NodeId, Ticket)>> {
        self.end(bytes).map(|waiting| waiting.gossip)
    }

    /// When the oldest check counts as lost.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.begun.front().map(|(since, _)| *since + JOB_PATIENCE)
    }
}

impl<R: CryptoRng> Directory<R> {
    /// Takes a piece of gossip as far as is cheap, and has the rest of it checked.
    pub(super) fn gossip(&mut self, now: Time, from: &NodeId, ticket: Ticket, bytes: &[u8]) {
        match News::read(bytes) {
            Some(News::Descriptor(bytes)) => self.descriptor_gossip(now, from, ticket, bytes),
            Some(News::Agreement(bytes)) => self.agreement_gossip(now, from, ticket, bytes),
            Some(News::Evidence(bytes)) => self.evidence_gossip(now, from, ticket, bytes),
            Some(News::Report(bytes)) => self.report_gossip(now, from, ticket, bytes),
            Some(News::Amendment(bytes)) => self.amendment_gossip(now, from, ticket, bytes),
            None => {
                self.refusals.add(DescriptorError::Malformed.reason(), 1);
                self.verdict(ticket, Verdict::Reject);
            }
        }
    }

    /// Takes a message of the agreement as far as is cheap, and has its signatures checked.
    fn agreement_gossip(&mut self, now: Time, from: &NodeId, ticket: Ticket, bytes: Vec<u8>) {
        let read = || Message::decode(&bytes);
        let Some(message) = self.heard(now, (from, ticket), read, |it| &mut it.not_agreement)
        else {
            return;
        };
        let (height, next) = (message.height(), self.archive.next_height());
        if height != next {
            if height > next {
                // Others are further on: whoever tells may have what leads there.
                self.ask(*from, now);
            } else if height.next() == next && !matches!(message, Message::Certificate(_)) {
                self.show_decision(now);
            }
            return self.verdict(ticket, Verdict::Ignore);
        }
        let seats = self.council.as_ref().map(|council| council.seats().clone());
        let knows = |council: &Council| council.knows(&message);
        let known = self.council.as_ref().is_some_and(knows);
        let Some(seats) = seats.filter(|_| !known) else {
            self.note_source(*from, &message);
            return self.verdict(ticket, Verdict::Ignore);
        };
        if let Some(bytes) = self.message_waits(now, (*from, ticket), bytes) {
            self.job(Task::Message(bytes, message, seats));
        }
    }

    /// Reads what somebody said, if the neighbour that passed it on may say so much. What is none is counted, and held
    /// against the neighbour.
    pub(super) fn heard<T, E>(
        &mut self,
        now: Time,
        (from, ticket): (&NodeId, Ticket),
        read: impl FnOnce() -> Result<T, E>,
        wrong: fn(&mut DirectoryCounters) -> &mut u64,
    ) -> Option<T> {
        if !self.peers.may_agree(from, now) {
            self.counters.rate_limited += 1;
            self.verdict(ticket, Verdict::Ignore);
            return None;
        }
        let heard = read().ok();
        if heard.is_none() {
            *wrong(&mut self.counters) += 1;
            self.verdict(ticket, Verdict::Reject);
        }
        heard
    }

    /// Has what a seat said, or evidence, wait for a check of signatures, if there is room. Gives its bytes if
    /// that has to be begun.
    pub(super) fn message_waits(
        &mut self,
        now: Time,
        from: (NodeId, Ticket),
        bytes: Vec<u8>,
    ) -> Option<Arc<[u8]>> {
        if self.votes.gossip >= MAX_MESSAGES || !self.peers.begin_message(&from.0) {
            self.counters.overflowed += 1;
            self.verdict(from.1, Verdict::Ignore);
            return None;
        }
        let bytes = bytes.into();
        self.votes.wait(now, &bytes, from).then_some(bytes)
    }

    /// Says what became of copies of what a seat said, or of evidence: whether it is sound, and news.
    pub(super) fn message_verdicts(
        &mut self,
        copies: Vec<(NodeId, Ticket)>,
        is_sound: bool,
        mut is_news: bool,
    ) {
        for (from, ticket) in copies {
            self.peers.end_message(&from);
            let verdict = match (is_sound, std::mem::take(&mut is_news)) {
                (true, true) => Verdict::Accept,
                (true, false) => Verdict::Ignore,
                (false, _) => Verdict::Reject,
            };
            self.verdict(ticket, verdict);
        }
    }

    /// The signatures of a message have been checked.
    pub(super) fn message_checked(
        &mut self,
        now: Time,
        bytes: &[u8],
        checked: Result<Verified, MessageError>,
    ) {
        let Some(copies) = self.votes.take(bytes) else {
            return;
        };
        let Ok(verified) = checked else {
            self.counters.not_agreement += 1;
            return self.message_verdicts(copies, false, false);
        };
        let message = verified.message().clone();
        let is_news = self.agree(now, verified);
        self.counters.heard += u64::from(is_news);
        for (from, _) in &copies {
            self.note_source(*from, &message);
        }
        self.message_verdicts(copies, true, is_news);
    }

    /// Takes a descriptor that came by gossip as far as is cheap, and has the rest of it checked.
    fn descriptor_gossip(&mut self, now: Time, from: &NodeId, ticket: Ticket, bytes: Vec<u8>) {
        if !self.peers.may_gossip(from, now) {
            self.counters.rate_limited += 1;
            return self.verdict(ticket, Verdict::Ignore);
        }
        let claim = match Claim::of(&bytes) {
            Ok(claim) => claim,
            Err(error) => {
                let refused = self.take(now, Err(error));
                return self.verdict(ticket, judge(&refused));
            }
        };
        if !self.is_worth_a_check(now, &claim, &bytes) {
            return self.verdict(ticket, Verdict::Ignore);
        }
        if self.checks.gossip >= MAX_GOSSIP || !self.peers.begin_check(from) {
            self.counters.overflowed += 1;
            return self.verdict(ticket, Verdict::Ignore);
        }
        let bytes = bytes.into();
        if self.checks.wait(now, &bytes, (*from, ticket)) {
            self.job(Task::Descriptor(bytes));
        }
    }

    /// Has a descriptor of the answer that is being taken checked.
    pub(super) fn check_for_answer(&mut self, now: Time, bytes: Arc<[u8]>) {
        let (waiting, new) = self.checks.entry(now, &bytes);
        waiting.answer = true;
        if new {
            self.job(Task::Descriptor(bytes));
        }
    }

    /// Whether the answer waits for this descriptor already.
    pub(super) fn is_checked_for_answer(&self, bytes: &[u8]) -> bool {
        let waiting = self.checks.waiting.get(bytes);
        waiting.is_some_and(|waiting| waiting.answer)
    }

    /// A descriptor has been checked.
    pub(super) fn checked(
        &mut self,
        now: Time,
        bytes: &[u8],
        checked: &Result<SignedDescriptor, DescriptorError>,
    ) {
        let Some(waiting) = self.checks.end(bytes) else {
            return;
        };
        for (from, ticket) in waiting.gossip {
            self.peers.end_check(&from);
            let taken = self.take(now, checked.clone());
            self.verdict(ticket, judge(&taken));
        }
        if waiting.answer {
            let taken = self.take(now, checked.clone());
            let wrong = judge(&taken) == Verdict::Reject;
            self.answer_checked(now, taken == Ok(Inserted::New), wrong);
        }
    }

    /// Goes on without checks whose results have not come for too long.
    pub(super) fn give_up_checks(&mut self, now: Time) {
        while self.votes.deadline().is_some_and(|at| now >= at)
            && let Some((_, bytes)) = self.votes.begun.pop_front()
        {
            let Some(waiting) = self.votes.end(&bytes) else {
                continue;
            };
            self.note_lost();
            for (from, ticket) in waiting.gossip {
                self.peers.end_message(&from);
                self.verdict(ticket, Verdict::Ignore);
            }
        }
        while self.checks.deadline().is_some_and(|at| now >= at)
            && let Some((_, bytes)) = self.checks.begun.pop_front()
        {
            let Some(waiting) = self.checks.end(&bytes) else {
                continue;
            };
            self.note_lost();
            for (from, ticket) in waiting.gossip {
                self.peers.end_check(&from);
                self.verdict(ticket, Verdict::Ignore);
            }
            if waiting.answer {
                self.answer_checked(now, false, false);
            }
        }
    }

    /// Whether a descriptor is worth having its signature checked, by what it claims: it is not known, and
    /// would be taken now.
    pub(super) fn is_worth_a_check(&mut self, now: Time, claim: &Claim, bytes: &[u8]) -> bool {
        if self.pool.contains(&claim.id, bytes) {
            self.counters.known += 1;
            return false;
        }
        let dates = SignedDescriptor::check_dates_now(
            &self.rules.params,
            now,
            (claim.issued_at, claim.expires_at),
        );
        if let Err(error) = dates {
            self.refusals.add(error.reason(), 1);
            return false;
        }
        let own = self.own_id() == Some(claim.id);
        if !own
            && !self
                .pool
                .takes(&self.rules.params, now, (&claim.id, claim.sequence))
        {
            self.counters.too_soon += 1;
            return false;
        }
        true
    }

    /// Takes a descriptor whose signature has been checked, if it may be taken now.
    fn take(
        &mut self,
        now: Time,
        checked: Result<SignedDescriptor, DescriptorError>,
    ) -> Result<Inserted, DescriptorError> {
        let inserted = checked.and_then(|signed| {
            signed.check_now(&self.rules.params, now)?;
            if self.own_id() == Some(signed.id()) {
                self.own_from_elsewhere(now, &signed);
            }
            Ok(self.insert(now, signed))
        });
        match &inserted {
            Ok(Inserted::New) => self.counters.accepted += 1,
            Ok(Inserted::Known) => self.counters.known += 1,
            Ok(Inserted::TooSoon) => self.counters.too_soon += 1,
            Ok(Inserted::NoRoom) => self.counters.no_room += 1,
            Ok(Inserted::Unproven) => {
                let reason = match self.rules.params.admission {
                    Admission::Invitation => Refusal::Invitation,
                    _ => Refusal::Admission,
                };
                self.refusals.add(reason, 1);
            }
            Ok(Inserted::Equivocation) => self.counters.equivocated += 1,
            Err(error) => self.refusals.add(error.reason(), 1),
        }
        inserted
    }

    pub(super) fn verdict(&mut self, of: Ticket, verdict: Verdict) {
        self.push(DirectoryAction::Verdict { of, verdict });
    }
}

fn judge(taken: &Result<Inserted, DescriptorError>) -> Verdict {
    match taken {
        Ok(Inserted::New) => Verdict::Accept,
        Ok(_) => Verdict::Ignore,
        // A clock that is wrong, perhaps ours, is nobody's malice.
        Err(error) if error.may_be_a_clock() => Verdict::Ignore,
        Err(_) => Verdict::Reject,
    }
}
