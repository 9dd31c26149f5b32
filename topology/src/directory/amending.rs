//! Members that are suspended within an epoch: proposed for a slot by the seat whose turn it is, signed by the
//! seats that have heard the same of the watchers, and in force for everybody at the slot's beginning.
//!
//! ```text
//! slot s-2: one seat proposes, the others sign ── slot s-1: it spreads ── slot s: no route leads over them
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::CryptoRng;
use shoal_proto::{NodeId, Time};

use super::jobs::Task;
use super::read::amendment_gossip;
use super::{Directory, DirectoryAction, DirectoryWarning, Ticket, Verdict};
use crate::agreement::{
    AMENDMENT_SLOTS, Amendment, AmendmentVote, CertifiedAmendment, MessageError, Seat, Seats,
};
use crate::{Document, Identity, Slot};

/// An amendment is proposed so many slots before it takes effect.
const LEAD: u64 = 2;
/// Slots of which votes are kept, and how far ahead of this node's clock they may be.
const AHEAD: u64 = LEAD + 1;

/// What seats have signed, by the slot that it is for.
#[derive(Default)]
pub(super) struct Amending {
    votes: BTreeMap<Slot, BTreeMap<Seat, AmendmentVote>>,
    /// The last slot for which this node has signed something, or in which it began to look: what it may have signed
    /// before a restart it does not know.
    voted: Option<Slot>,
    /// The last slot in which it was looked whether it is this node's turn.
    looked: Slot,
}

impl<R: CryptoRng> Directory<R> {
    /// Whether a node has said that it leaves.
    #[must_use]
    pub fn leaves(&self, id: &NodeId) -> bool {
        self.pool.leaves(id)
    }

    /// The document that is in force when a slot begins, as far as is known.
    fn document_at(&self, slot: Slot) -> Option<&Arc<Document>> {
        let params = &self.rules.params;
        let epoch = params.epoch_at(params.start_of_slot(slot));
        self.archive.view().in_force(epoch)
    }

    /// Whose turn it is to propose for a slot.
    fn proposer(document: &Document, seats: &Seats, slot: Slot) -> Option<Seat> {
        let order = seats.proposers(document.seed());
        let count = u64::try_from(order.len()).ok().filter(|count| *count > 0)?;
        let turn = usize::try_from(slot.number() % count).ok()?;
        order.get(turn).copied()
    }

    /// What time brings about: an amendment takes effect or ends, or it is this node's turn.
    pub(super) fn keep_amendments(&mut self, now: Time) {
        let suspended = self.amendments.suspended(&self.rules.params, now);
        if suspended != self.suspended {
            let before = std::mem::replace(&mut self.suspended, suspended);
            self.suspensions_changed(&before);
        }
        let slot = self.rules.params.slot_at(now);
        if !self.is_watching() || slot <= self.amending.looked {
            return;
        }
        self.amending.looked = slot;
        self.amending.votes = self.amending.votes.split_off(&slot);
        if self.amending.voted.is_none() {
            self.amending.voted = Some(slot.after(LEAD));
        }
        self.propose_amendment(now, slot.after(LEAD));
    }

    pub(super) fn amending_deadline(&self, now: Time) -> Option<Time> {
        let params = &self.rules.params;
        let turn = params.start_of_slot(self.amending.looked.after(1));
        let turn = self.is_watching().then_some(turn);
        turn.into_iter()
            .chain(self.amendments.next_change(params, now))
            .min()
    }

    fn suspensions_changed(&mut self, before: &BTreeSet<NodeId>) {
        let suspended = Arc::clone(&self.suspended);
        for id in suspended.difference(before) {
            self.counters.suspended += 1;
            self.warn(DirectoryWarning::Suspended {
                id: *id,
                leaves: self.leaves(id),
            });
        }
        for id in before.difference(&suspended) {
            self.counters.reinstated += 1;
            self.warn(DirectoryWarning::Reinstated(*id));
        }
        self.watching.say_soon();
        self.refresh_view();
    }

    /// Whether this node would have a member suspended that is not: it leaves, or its watchers do not reach it.
    fn is_gone(&self, now: Time, id: &NodeId) -> bool {
        self.leaves(id) || self.watched(now, id).is_dead()
    }

    /// Whether this node would have a member back that is suspended.
    fn is_back(&self, now: Time, id: &NodeId) -> bool {
        !self.leaves(id) && self.watched(now, id).is_back()
    }

    /// Proposes for a slot if it is this node's turn, and there is something to change, or to renew.
    fn propose_amendment(&mut self, now: Time, slot: Slot) {
        let Some((seat, key, seats)) = self.amending_seat() else {
            return;
        };
        let Some(document) = self.document_at(slot).cloned() else {
            return;
        };
        let turn = Self::proposer(&document, &seats, slot) == Some(seat);
        if !turn || self.amending.voted >= Some(slot) {
            return;
        }
        let Some(suspended) = self.would_suspend(now, slot, &document) else {
            return;
        };
        if let Some(amendment) = Amendment::new(slot, &document, &suspended) {
            self.sign_amendment(now, &seats, (&key, seat), amendment);
        }
    }

    /// Whom this node would suspend from a slot on; none if nothing has to be said.
    fn would_suspend(
        &self,
        now: Time,
        slot: Slot,
        document: &Document,
    ) -> Option<BTreeSet<NodeId>> {
        let held = self.amendments.at(slot);
        let mut suspended = BTreeSet::new();
        if let Some((_, before)) = held {
            let stays = |id: &&NodeId| document.member(id).is_some() && !self.is_back(now, id);
            suspended.extend(before.iter().filter(stays));
        }
        let mut room = Room::of(document, &suspended);
        let gone = document.members().map(|member| member.id);
        let gone = gone.filter(|id| !suspended.contains(id) && self.is_gone(now, id));
        for id in gone.collect::<Vec<_>>() {
            if room.take(document, &id) {
                suspended.insert(id);
            }
        }
        let (since, same) = match held {
            Some((since, before)) => (Some(since), **before == suspended),
            None => (None, suspended.is_empty()),
        };
        let is_old = since.is_some_and(|since| slot.since(since) >= AMENDMENT_SLOTS / 2);
        (!same || is_old && !suspended.is_empty()).then_some(suspended)
    }

    /// Whether this node signs what another proposes: whom it adds this node believes gone, and whom it takes out back,
    /// or no member any more; and it adds no more than may be suspended at once.
    fn agrees(
        &self,
        now: Time,
        slot: Slot,
        document: &Document,
        suspended: &BTreeSet<NodeId>,
    ) -> bool {
        let before = self.amendments.at(slot);
        let before = before.map_or_else(Arc::default, |(_, before)| Arc::clone(before));
        let back = |id: &NodeId| document.member(id).is_none() || self.is_back(now, id);
        if !before.difference(suspended).all(back) {
            return false;
        }
        let stays = before.intersection(suspended).copied().collect();
        let mut room = Room::of(document, &stays);
        let mut added = suspended.difference(&before);
        added.all(|id| room.take(document, id) && self.is_gone(now, id))
    }

    /// This node's seat among those that decide now, and its key.
    fn amending_seat(&self) -> Option<(Seat, Arc<Identity>, Seats)> {
        let seats = self.archive.seats()?;
        let (id, key) = self.own_seat()?;
        let seat = seats.of(&id)?;
        let is_key = seats
            .holder(seat)
            .is_some_and(|holder| holder.key == key.id());
        is_key.then(|| (seat, key, seats.clone()))
    }

    fn sign_amendment(
        &mut self,
        now: Time,
        seats: &Seats,
        (key, seat): (&Identity, Seat),
        amendment: Amendment,
    ) {
        self.amending.voted = self.amending.voted.max(Some(amendment.slot));
        let vote = AmendmentVote::sign(seats, key, amendment, seat);
        if !self.peers.is_empty() {
            self.push(DirectoryAction::Publish(amendment_gossip(&vote)));
        }
        self.take_vote(now, vote);
    }

    /// Takes what a seat signs that came by gossip as far as is cheap, and has its signature checked.
    pub(super) fn amendment_gossip(
        &mut self,
        now: Time,
        from: &NodeId,
        ticket: Ticket,
        bytes: Vec<u8>,
    ) {
        let read = || AmendmentVote::decode(&bytes);
        let Some(vote) = self.heard(now, (from, ticket), read, |it| &mut it.not_agreement) else {
            return;
        };
        let seats = self.archive.seats().cloned();
        let seats = seats.filter(|seats| seats.hash() == vote.seats);
        let Some(seats) = seats.filter(|_| self.is_vote_news(now, &vote)) else {
            return self.verdict(ticket, Verdict::Ignore);
        };
        if let Some(bytes) = self.message_waits(now, (*from, ticket), bytes) {
            self.job(Task::AmendmentVote(bytes, Box::new(vote), seats));
        }
    }

    /// Whether what a seat signs would be kept: it is for a slot to come, and the first that is heard of the seat for it.
    fn is_vote_news(&self, now: Time, vote: &AmendmentVote) -> bool {
        let (slot, at) = (vote.amendment.slot, self.rules.params.slot_at(now));
        let votes = self.amending.votes.get(&slot);
        (at..=at.after(AHEAD)).contains(&slot)
            && votes.is_none_or(|votes| !votes.contains_key(&vote.seat))
            && self.amendments.lacks(&self.rules.params, now, slot)
    }

    /// A signature of a seat has been checked.
    pub(super) fn vote_checked(
        &mut self,
        now: Time,
        bytes: &[u8],
        checked: &Result<Box<AmendmentVote>, MessageError>,
    ) {
        let Some(copies) = self.votes.take(bytes) else {
            return;
        };
        let Ok(vote) = checked else {
            self.counters.not_agreement += 1;
            return self.message_verdicts(copies, false, false);
        };
        let is_news = self.is_vote_news(now, vote);
        if is_news {
            self.counters.heard += 1;
            self.consider(now, vote);
            self.take_vote(now, (**vote).clone());
        }
        self.message_verdicts(copies, true, is_news);
    }

    /// Signs what the seat proposes whose turn it is, if it is right by what is known here and in time.
    fn consider(&mut self, now: Time, vote: &AmendmentVote) {
        let (slot, params) = (vote.amendment.slot, Arc::clone(&self.rules.params));
        let Some((seat, key, seats)) = self.amending_seat() else {
            return;
        };
        let Some(document) = self.document_at(slot).cloned() else {
            return;
        };
        let suspended = vote.amendment.suspended(&document);
        let turn = Self::proposer(&document, &seats, slot) == Some(vote.seat);
        // A quarter of a slot early, for clocks differ; and never so late that it could not spread any more.
        let from = params.start_of_slot(slot) - params.slot().scale(4 * LEAD + 1, 4);
        let until = params.start_of_slot(slot) - params.slot().scale(LEAD - 1, 1);
        let timely = now >= from && now < until;
        let free = self.is_watching() && self.amending.voted.is_some_and(|last| last < slot);
        let Some(suspended) = suspended.filter(|_| turn && timely && free) else {
            return;
        };
        if self.agrees(now, slot, &document, &suspended) {
            self.sign_amendment(now, &seats, (&key, seat), vote.amendment.clone());
        }
    }

    /// Keeps what a seat has signed, and takes the amendment once more than two thirds have.
    fn take_vote(&mut self, now: Time, vote: AmendmentVote) {
        let slot = vote.amendment.slot;
        let votes = self.amending.votes.entry(slot).or_default();
        let amendment = vote.amendment.clone();
        votes.entry(vote.seat).or_insert(vote);
        let certified = self
            .archive
            .seats()
            .and_then(|seats| CertifiedAmendment::of(seats, &amendment, votes.values()));
        if let Some(certified) = certified {
            self.take_amendment(now, &certified);
        }
    }

    /// Takes an amendment whose signatures are right.
    pub(super) fn take_amendment(&mut self, now: Time, certified: &CertifiedAmendment) {
        let documents = self.archive.view().documents.values();
        let params = &self.rules.params;
        if self.amendments.take(params, now, certified, documents) {
            self.counters.amended += 1;
            let all = self.amendments.encoded().cloned().collect();
            self.push(DirectoryAction::Amendments(all));
            self.keep_amendments(now);
        }
    }

    /// A neighbour has shown these: their signatures are checked where they matter.
    pub(super) fn amendments_shown(&mut self, now: Time, shown: &[CertifiedAmendment]) {
        for certified in shown {
            let slot = certified.amendment().slot;
            let trust = self.archive.trust();
            let seats = trust.and_then(|trust| trust.seats_named(certified.seats()));
            let Some(seats) = seats.cloned() else {
                continue;
            };
            if self.amendments.lacks(&self.rules.params, now, slot) {
                self.job(Task::Amendment(Box::new(certified.clone()), seats));
            }
        }
    }
}

/// How many more may be suspended at once: in each position one or a tenth, and no more than half of it in all.
struct Room(Vec<usize>);

impl Room {
    /// What there is beside those that are suspended already.
    fn of(document: &Document, suspended: &BTreeSet<NodeId>) -> Self {
        let room = document.standing().map(|ids| {
            let out = ids.iter().filter(|id| suspended.contains(*id)).count();
            let half = (ids.len() / 2).saturating_sub(out);
            half.min((ids.len() / 10).max(1))
        });
        Self(room.collect())
    }

    /// Takes a place for one more. False if there is none, or it stands nowhere.
    fn take(&mut self, document: &Document, id: &NodeId) -> bool {
        let position = document.member(id).and_then(|member| member.position());
        let room = position.and_then(|position| self.0.get_mut(usize::from(position)));
        let left = room.filter(|room| **room > 0);
        left.is_some_and(|room| {
            *room -= 1;
            true
        })
    }
}
