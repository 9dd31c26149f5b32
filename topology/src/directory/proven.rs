//! What is held against seats, until a document has taken it: that each has said two things, found here
//! or heard of.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::CryptoRng;
use shoal_proto::{NodeId, Time};

use super::Verdict;
use super::jobs::Task;
use super::read::evidence_gossip;
use super::{Directory, DirectoryAction, DirectoryChange, DirectoryWarning, Ticket};
use crate::Document;
use crate::agreement::{Evidence, Height, MAX_SEATS, MessageError, UnverifiedEvidence};

/// Verified evidence, one piece of each identity. Memory: 240 bytes for each of at most [`MAX_SEATS`].
#[derive(Default)]
pub(super) struct Proven {
    kept: Arc<BTreeMap<NodeId, Evidence>>,
}

impl Proven {
    /// All of it, shared.
    pub(super) fn all(&self) -> Arc<BTreeMap<NodeId, Evidence>> {
        Arc::clone(&self.kept)
    }
}

/// Whether a document has taken what a node said at this height.
fn is_paid(document: &Document, id: &NodeId, height: Height) -> bool {
    let expulsion = document.expulsion(id);
    expulsion.is_some_and(|expulsion| height <= expulsion.height)
}

impl<R: CryptoRng> Directory<R> {
    /// Takes evidence that came by gossip as far as is cheap, and has its signatures checked.
    pub(super) fn evidence_gossip(
        &mut self,
        now: Time,
        from: &NodeId,
        ticket: Ticket,
        bytes: Vec<u8>,
    ) {
        let read = || UnverifiedEvidence::read(&bytes);
        let Some(evidence) = self.heard(now, (from, ticket), read, |it| &mut it.not_evidence)
        else {
            return;
        };
        if evidence.height() > self.archive.next_height() {
            // Others are further on: whoever tells may have what leads there.
            self.ask(*from, now);
        }
        let Some(seats) = self.archive.seats_of(evidence.height()).cloned() else {
            return self.verdict(ticket, Verdict::Ignore);
        };
        let Some(holder) = seats.holder(evidence.seat()).copied() else {
            self.counters.not_evidence += 1;
            return self.verdict(ticket, Verdict::Reject);
        };
        if !self.is_news(&holder.id, evidence.height()) {
            return self.verdict(ticket, Verdict::Ignore);
        }
        if let Some(bytes) = self.message_waits(now, (*from, ticket), bytes) {
            self.job(Task::Evidence(bytes, Box::new(evidence), seats));
        }
    }

    /// The signatures of evidence have been checked.
    pub(super) fn evidence_checked(
        &mut self,
        bytes: &[u8],
        checked: &Result<Box<Evidence>, MessageError>,
    ) {
        let Some(waiting) = self.votes.take(bytes) else {
            return;
        };
        let is_news = match checked {
            Ok(evidence) => self.prove(evidence),
            Err(_) => {
                self.counters.not_evidence += 1;
                false
            }
        };
        self.message_verdicts(waiting, checked.is_ok(), is_news);
    }

    /// Takes verified evidence, and tells everybody, all nodes in the same bytes: gossip passes them on once.
    pub(super) fn prove_and_tell(&mut self, evidence: &Evidence) {
        if self.prove(evidence) && !self.peers.is_empty() {
            let bytes = evidence_gossip(evidence);
            self.push(DirectoryAction::Publish(bytes));
        }
    }

    /// Takes verified evidence. False if it changes nothing.
    fn prove(&mut self, evidence: &Evidence) -> bool {
        let seats = self.archive.seats_of(evidence.height());
        let Some(id) = seats.and_then(|seats| Some(seats.holder(evidence.seat())?.id)) else {
            return false;
        };
        if !self.is_news(&id, evidence.height()) {
            return false;
        }
        Arc::make_mut(&mut self.proven.kept).insert(id, evidence.clone());
        let bytes = evidence.encode().into();
        self.persist(DirectoryChange::Evidence { id, bytes });
        self.counters.contradicted += 1;
        self.warn(DirectoryWarning::VotedTwice(id));
        true
    }

    /// Whether evidence against a node would be kept: there is none, none was taken, and there is room.
    fn is_news(&self, id: &NodeId, height: Height) -> bool {
        let kept = &self.proven.kept;
        let tip = self.archive.tip();
        let paid = tip.is_some_and(|tip| is_paid(&tip.document, id, height));
        height <= self.archive.next_height()
            && !paid
            && !kept.contains_key(id)
            && kept.len() < MAX_SEATS
    }

    /// Forgets what can count no more: a document has taken it, or it is too old.
    pub(super) fn forget_evidence(&mut self) {
        let tip = self.archive.tip().map(|tip| Arc::clone(&tip.document));
        let is_over = |id: &NodeId, evidence: &Evidence| {
            let height = evidence.height();
            let paid = tip.as_ref().is_some_and(|tip| is_paid(tip, id, height));
            paid || self.archive.seats_of(height).is_none()
        };
        let kept = self.proven.kept.iter();
        let over = kept.filter(|(id, evidence)| is_over(id, evidence));
        let over: Vec<NodeId> = over.map(|(id, _)| *id).collect();
        for id in over {
            Arc::make_mut(&mut self.proven.kept).remove(&id);
            self.persist(DirectoryChange::RemoveEvidence { id });
        }
    }

    /// A document counts from now on: says whom it expels.
    pub(super) fn note_expelled(&mut self, document: &Document) {
        let before = self.archive.by_hash(document.previous()).cloned();
        let known = |id: &NodeId| before.as_ref().and_then(|before| before.expulsion(id));
        let listed = document.expelled().iter();
        let begin = listed.filter(|(id, it)| it.holds(document.epoch()) && known(id) != Some(*it));
        let begin: Vec<_> = begin.map(|(id, it)| (*id, it.last)).collect();
        for (id, last) in begin {
            self.counters.expelled += 1;
            self.warn(DirectoryWarning::Expelled { id, last });
        }
    }

    /// Takes what was kept on disk, and verifies it anew.
    pub(super) fn restore_evidence(&mut self, rows: BTreeMap<NodeId, Arc<[u8]>>) {
        for (id, bytes) in rows {
            let read = UnverifiedEvidence::read(&bytes).ok();
            let seats = |it: &UnverifiedEvidence| self.archive.seats_of(it.height());
            let evidence = read.and_then(|it| seats(&it).cloned().map(|seats| (it, seats)));
            let evidence = evidence.and_then(|(it, seats)| {
                let is_it = seats.holder(it.seat())?.id == id;
                it.verify(&seats).ok().filter(|_| is_it)
            });
            match evidence.filter(|it| self.is_news(&id, it.height())) {
                Some(evidence) => {
                    Arc::make_mut(&mut self.proven.kept).insert(id, evidence);
                }
                None => self.persist(DirectoryChange::RemoveEvidence { id }),
            }
        }
    }
}
