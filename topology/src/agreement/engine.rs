//! One height of the agreement, as one seat or as somebody who only listens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use shoal_proto::{DocumentHash, NodeId, Span, Time};

use super::certificate::Certificate;
use super::evidence::Evidence;
use super::height::Height;
use super::log::{self, Damaged};
use super::machine::{Effect, Event, Machine, Malachite, Wait, proposer};
use super::message::{Message, Verified};
use super::seats::{Seat, Seats};
use super::seed::fits;
use super::timing::Timing;
use super::vote::{Proposal, Vote, VoteKind};
use crate::Identity;

/// Votes of rounds further ahead than this wait outside the machine, the latest of each seat: each
/// round that it knows takes memory for all seats.
const AHEAD: u32 = 4;
/// Documents that were proposed and are being judged. Each round has one proposer, and rounds further
/// ahead are not listened to.
const MOST_UNJUDGED: usize = 16;
/// From this round on it is no reason against a document that it leaves something out.
const LENIENT: u32 = 4;

/// What happens to an agreement.
#[derive(Debug)]
#[non_exhaustive]
pub enum AgreementInput {
    /// A message came whose signatures are the seats'.
    Message(Verified),
    /// What a document is worth. It stays so.
    Judged {
        /// From [`AgreementAction::Judge`].
        document: DocumentHash,
        /// Whether this node would take it.
        judgement: Judgement,
        /// The round whose proposer made it, which it shows by its proof; none if it has no proof, as the
        /// first document.
        made_in: Option<u32>,
    },
    /// What this node proposes in a round. It holds its own proposals for valid.
    Propose {
        /// From [`AgreementAction::Turn`].
        round: u32,
        /// The document.
        document: DocumentHash,
    },
    /// The records of this ticket are on disk.
    Persisted {
        /// From [`AgreementAction::Persist`].
        ticket: u64,
    },
}

/// What a document is worth to a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is what this seat could have proposed itself.
    Valid,
    /// It leaves out what this seat has held for long enough. That counts against it in the first rounds;
    /// later, and where more than two thirds of the seats would take it, it is no reason.
    Omits,
    /// It is for an epoch that it comes too late or too early for. It counts where more than two thirds of
    /// the seats would take it: they had it in time.
    Untimely,
    /// It breaks a rule that is the same for everybody.
    Invalid,
}

impl Judgement {
    /// Whether to prevote for it in this round, proposed under this lock.
    const fn counts(self, round: u32, locked: Option<u32>) -> bool {
        match self {
            Self::Valid => true,
            Self::Omits => round >= LENIENT || locked.is_some(),
            Self::Untimely => locked.is_some(),
            Self::Invalid => false,
        }
    }
}

/// What is known of a document that was proposed.
#[derive(Clone, Copy)]
struct Judged {
    judgement: Judgement,
    made_in: Option<u32>,
}

impl Judged {
    /// Whether a proposal of it counts: also, a document of an earlier round only under a lock, so that
    /// nobody chooses among the outputs that were shown in vain. See [`Reveal::fits`](super::Reveal::fits).
    fn counts(self, proposal: &Proposal) -> bool {
        let (round, locked) = (proposal.round, proposal.locked);
        let fits = self.made_in.is_none_or(|made| fits(made, round, locked));
        fits && self.judgement.counts(round, locked)
    }
}

/// What an agreement wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgreementAction {
    /// Append these records to the log of this height, in the order of the tickets, and answer with
    /// [`AgreementInput::Persisted`] once they survive a crash. If that fails, try again: nothing
    /// that needs them is said before.
    Persist {
        /// Names them in the answer.
        ticket: u64,
        /// For the log.
        records: Vec<u8>,
    },
    /// Send this to all seats.
    Send(Message),
    /// Fetch this document, if it is not here, and say whether it is valid.
    Judge(DocumentHash),
    /// It is this seat's turn: say what to propose.
    Turn {
        /// In which round.
        round: u32,
    },
    /// The height is decided. Keep the certificate, and show it to whoever asks.
    Decided(Certificate),
    /// A seat has contradicted itself. Told once for each seat.
    Evidence(Evidence),
}

/// What this seat said in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Proposal,
    Vote(VoteKind),
}

/// A seat of one's own.
struct Own {
    seat: Seat,
    identity: Arc<Identity>,
}

/// One height of the agreement. Memory: the votes of the rounds that the machine knows (two of each seat
/// and round, about 200 bytes each), one vote of each seat further ahead, and one piece of evidence of each.
pub struct Agreement {
    seats: Seats,
    order: Arc<[Seat]>,
    height: Height,
    own: Option<Own>,
    timing: Timing,
    machine: Malachite,
    timers: BTreeSet<(Time, Wait, u32)>,
    repeat_at: Time,
    judged: BTreeMap<DocumentHash, Judged>,
    /// Proposals that the machine has, at most two for each round: a third proves no more.
    heard: BTreeMap<u32, Vec<Proposal>>,
    unjudged: BTreeMap<DocumentHash, Vec<Proposal>>,
    ahead: BTreeMap<Seat, Vote>,
    said: BTreeMap<(u32, Said), Message>,
    /// Records since those that were last given to the disk.
    records: Vec<u8>,
    /// What leaves once the records of a ticket are on disk.
    saving: BTreeMap<u64, Message>,
    next_ticket: u64,
    evidence: BTreeMap<Seat, Evidence>,
    decision: Option<Certificate>,
    actions: VecDeque<AgreementAction>,
}

impl Agreement {
    /// Begins a height, or goes on with one whose log there is. `order` is who proposes, round by round,
    /// from [`Seats::proposers`]; `own` is this node and the key of its seat, if it is to vote where it has one.
    ///
    /// # Errors
    /// The log can't be read. Then this node must not vote in this height: it could contradict itself.
    pub fn new(
        (seats, order, height): (Seats, Vec<Seat>, Height),
        own: Option<(NodeId, Arc<Identity>)>,
        timing: Timing,
        log: &[u8],
        now: Time,
    ) -> Result<Self, Damaged> {
        let events = log::read(log)?;
        let order: Arc<[Seat]> = order.into();
        let own = own.and_then(|(id, identity)| {
            let seat = seats.of(&id)?;
            let holder = seats.holder(seat)?;
            (holder.key == identity.id()).then_some(Own { seat, identity })
        });
        let seat = own.as_ref().map(|own| own.seat);
        let mut agreement = Self {
            machine: Malachite::new(&seats, Arc::clone(&order), height, seat),
            seats,
            order,
            height,
            own,
            timing,
            timers: BTreeSet::new(),
            repeat_at: now + timing.repeat,
            judged: BTreeMap::new(),
            heard: BTreeMap::new(),
            unjudged: BTreeMap::new(),
            ahead: BTreeMap::new(),
            said: BTreeMap::new(),
            records: Vec::new(),
            saving: BTreeMap::new(),
            next_ticket: 1,
            evidence: BTreeMap::new(),
            decision: None,
            actions: VecDeque::new(),
        };
        match events.is_empty() {
            true => agreement.apply(now, Event::Round(0)),
            false => agreement.replay(now, events),
        }
        Ok(agreement)
    }

    /// Its height.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.height
    }

    /// The round that it is in, from 0.
    #[must_use]
    pub fn round(&self) -> u32 {
        self.machine.round().unwrap_or(0)
    }

    /// The certificate, once there is one.
    #[must_use]
    pub const fn decision(&self) -> Option<&Certificate> {
        self.decision.as_ref()
    }

    /// Whether a message would change nothing: it is of another height, or known. Told without looking at
    /// signatures, so that they are checked once.
    #[must_use]
    pub fn knows(&self, message: &Message) -> bool {
        if message.height() != self.height || self.decision.is_some() {
            return true;
        }
        match message {
            Message::Certificate(_) => false,
            Message::Proposal(it) => {
                let known = [self.heard.get(&it.round), self.unjudged.get(&it.document)];
                known.into_iter().flatten().any(|known| known.contains(it))
            }
            Message::Vote(vote) if self.is_own(vote.seat) => true,
            Message::Vote(vote) if vote.round > self.round().saturating_add(AHEAD) => {
                let known = self.ahead.get(&vote.seat);
                known.is_some_and(|known| known.round >= vote.round)
            }
            Message::Vote(vote) => {
                let evidence = self.evidence.get(&vote.seat);
                let told = evidence.is_some_and(|it| it.messages().contains(&message));
                told || self.machine.has(vote)
            }
        }
    }

    /// Takes in what happened.
    pub fn handle_input(&mut self, now: Time, input: AgreementInput) {
        match input {
            AgreementInput::Message(Verified(message)) => self.message(now, message),
            AgreementInput::Judged {
                document,
                judgement,
                made_in,
            } => self.judged(now, document, Judged { judgement, made_in }),
            AgreementInput::Propose { round, document } => {
                if self.decision.is_none() {
                    self.note_own(round, document);
                    self.apply(now, Event::Propose { round, document });
                }
            }
            AgreementInput::Persisted { ticket } => self.persisted(now, ticket),
        }
    }

    /// The time of [`poll_deadline`](Self::poll_deadline) has come.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.decision.is_some() {
            return;
        }
        while let Some((at, wait, round)) = self.timers.first().copied() {
            if at > now || self.decision.is_some() {
                break;
            }
            self.timers.pop_first();
            self.apply(now, Event::Timeout { wait, round });
        }
        if now >= self.repeat_at && self.decision.is_none() {
            self.repeat_at = now + self.timing.repeat;
            self.repeat();
        }
    }

    /// The next thing to do. Call it until it gives none, after every input and timeout.
    pub fn poll_action(&mut self) -> Option<AgreementAction> {
        self.actions.pop_front()
    }

    /// When something is due if nothing comes before; none once the height is decided.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Time> {
        if self.decision.is_some() {
            return None;
        }
        let timer = self.timers.first().map(|(at, ..)| *at);
        timer.into_iter().chain([self.repeat_at]).min()
    }

    fn message(&mut self, now: Time, message: Message) {
        if message.height() != self.height {
            return;
        }
        if let Some(certificate) = &self.decision {
            // Who still votes has not heard of it; once in a while for all of them.
            if !matches!(message, Message::Certificate(_)) && now >= self.repeat_at {
                let certificate = certificate.clone();
                self.repeat_at = now + self.timing.repeat;
                self.send(Message::Certificate(certificate));
            }
            return;
        }
        match message {
            Message::Certificate(certificate) => self.decide(certificate),
            Message::Proposal(proposal) => self.proposal(now, proposal),
            Message::Vote(vote) => self.vote(now, vote),
        }
    }

    fn proposal(&mut self, now: Time, proposal: Proposal) {
        let of_turn = proposal.seat == proposer(&self.order, proposal.round);
        let far = proposal.round > self.round().saturating_add(AHEAD);
        if !of_turn || far || self.is_own(proposal.seat) {
            return;
        }
        let known = self.heard.get(&proposal.round);
        if known.is_some_and(|known| known.len() >= 2 || known.contains(&proposal)) {
            return;
        }
        let document = proposal.document;
        if let Some(judged) = self.judged.get(&document).copied() {
            return self.hear(now, proposal, judged);
        }
        let asked = self.unjudged.contains_key(&document);
        if !asked && self.unjudged.len() >= MOST_UNJUDGED {
            return;
        }
        let waiting = self.unjudged.entry(document).or_default();
        if !waiting.contains(&proposal) && waiting.len() < MOST_UNJUDGED {
            waiting.push(proposal);
        }
        if !asked {
            self.actions.push_back(AgreementAction::Judge(document));
        }
    }

    fn judged(&mut self, now: Time, document: DocumentHash, judged: Judged) {
        // The first word stands: a machine that hears both would propose and refuse the same.
        let judged = *self.judged.entry(document).or_insert(judged);
        for proposal in self.unjudged.remove(&document).unwrap_or_default() {
            if self.decision.is_none() {
                self.hear(now, proposal, judged);
            }
        }
    }

    fn hear(&mut self, now: Time, proposal: Proposal, judged: Judged) {
        let known = self.heard.entry(proposal.round).or_default();
        if known.len() >= 2 || known.contains(&proposal) {
            return;
        }
        known.push(proposal.clone());
        let valid = judged.counts(&proposal);
        self.apply(now, Event::Proposal { proposal, valid });
    }

    /// What this node proposes it holds for valid.
    fn note_own(&mut self, round: u32, document: DocumentHash) {
        let judged = Judged {
            judgement: Judgement::Valid,
            made_in: Some(round),
        };
        self.judged.insert(document, judged);
    }

    fn vote(&mut self, now: Time, vote: Vote) {
        // What another copy of this node says is no word of ours.
        if self.is_own(vote.seat) {
            return;
        }
        if vote.round > self.round().saturating_add(AHEAD) {
            return self.far_vote(now, vote);
        }
        if !self.machine.has(&vote) {
            self.apply(now, Event::Vote(vote));
        }
    }

    /// Of each seat its latest; once more than a third are there, an honest one is, and so are we.
    fn far_vote(&mut self, now: Time, vote: Vote) {
        let known = self.ahead.get(&vote.seat).map(|known| known.round);
        if known.is_some_and(|known| known >= vote.round) {
            return;
        }
        self.ahead.insert(vote.seat, vote);
        let mut rounds: Vec<u32> = self.ahead.values().map(|vote| vote.round).collect();
        rounds.sort_unstable_by(|one, two| two.cmp(one));
        let Some(reached) = rounds.get(self.seats.third() - 1).copied() else {
            return;
        };
        if reached <= self.round().saturating_add(AHEAD) {
            return;
        }
        self.apply(now, Event::Round(reached));
        let near = |vote: &Vote| vote.round <= reached.saturating_add(AHEAD);
        let (near, far): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.ahead)
            .into_iter()
            .partition(|(_, vote)| near(vote));
        self.ahead = far;
        for vote in near.into_values().filter(|vote| vote.round >= reached) {
            if self.decision.is_none() {
                self.apply(now, Event::Vote(vote));
            }
        }
    }

    /// Moves the machine, and does what it wants.
    fn apply(&mut self, now: Time, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            log::append(&mut self.records, &event);
            for effect in self.machine.handle(&event) {
                match effect {
                    Effect::Round(round) => events.push_back(Event::Round(round)),
                    Effect::Wait(wait, round) => self.wait(now, wait, round),
                    Effect::Turn(round) => {
                        self.actions.push_back(AgreementAction::Turn { round });
                    }
                    Effect::Propose { .. } | Effect::Vote { .. } => {
                        if let Some(message) = self.say(effect) {
                            self.save(message);
                        }
                    }
                    Effect::Decide { round, document } => {
                        let place = (self.height, round, document);
                        let certificate = Certificate::of(place, &self.machine.votes(round));
                        self.decide(certificate);
                        return;
                    }
                }
            }
        }
        self.look_for_contradictions();
    }

    /// Signs what the machine wants said, unless it was said already. What contradicts it is never said:
    /// the machine does not want it, and if it did, this is the place that keeps it from that.
    fn say(&mut self, effect: Effect) -> Option<Message> {
        let own = self.own.as_ref()?;
        let (said, message) = match effect {
            Effect::Propose {
                round,
                document,
                locked,
            } => {
                let place = (self.height, round);
                let proposal = Proposal::sign(
                    &self.seats,
                    &own.identity,
                    place,
                    (document, locked),
                    own.seat,
                );
                ((round, Said::Proposal), Message::Proposal(proposal))
            }
            Effect::Vote {
                kind,
                round,
                document,
            } => {
                let place = (kind, self.height, round);
                let vote = Vote::sign(&self.seats, &own.identity, place, document, own.seat);
                ((round, Said::Vote(kind)), Message::Vote(vote))
            }
            _ => return None,
        };
        if self.said.contains_key(&said) {
            return None;
        }
        self.said.insert(said, message.clone());
        Some(message)
    }

    /// A message leaves once everything that led to it is on disk.
    fn save(&mut self, message: Message) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let records = std::mem::take(&mut self.records);
        self.saving.insert(ticket, message);
        self.actions
            .push_back(AgreementAction::Persist { ticket, records });
    }

    fn persisted(&mut self, now: Time, ticket: u64) {
        if let Some(message) = self.saving.remove(&ticket) {
            self.said_for_good(now, message);
        }
    }

    /// What this seat said moves its own machine too.
    fn said_for_good(&mut self, now: Time, message: Message) {
        self.send(message.clone());
        if self.decision.is_some() {
            return;
        }
        match message {
            Message::Proposal(proposal) => {
                // Who proposes has it in hand, and a lock is of something that was valid.
                if let Some(round) = proposal.locked {
                    self.send_prevotes(round, proposal.document);
                }
                self.apply(
                    now,
                    Event::Proposal {
                        proposal,
                        valid: true,
                    },
                );
            }
            Message::Vote(vote) => self.apply(now, Event::Vote(vote)),
            Message::Certificate(_) => {}
        }
    }

    fn wait(&mut self, now: Time, wait: Wait, round: u32) {
        let first = match wait {
            Wait::Proposal => self.timing.propose,
            Wait::Prevotes | Wait::Precommits => self.timing.votes,
        };
        let span: Span = self.timing.in_round(first, round);
        self.timers.insert((now + span, wait, round));
    }

    fn decide(&mut self, certificate: Certificate) {
        self.look_for_contradictions();
        self.timers.clear();
        self.unjudged.clear();
        self.ahead.clear();
        self.decision = Some(certificate.clone());
        self.actions
            .push_back(AgreementAction::Decided(certificate));
    }

    fn look_for_contradictions(&mut self) {
        for (first, second) in self.machine.contradictions() {
            let Some(evidence) = Evidence::of(first, second) else {
                continue;
            };
            let seat = evidence.seat();
            if let std::collections::btree_map::Entry::Vacant(place) = self.evidence.entry(seat) {
                place.insert(evidence.clone());
                self.actions.push_back(AgreementAction::Evidence(evidence));
            }
        }
    }

    /// Says again what was said in this round and the one before, and shows why a lock is one.
    fn repeat(&mut self) {
        let from = self.round().saturating_sub(1);
        let unsaved: Vec<&Message> = self.saving.values().collect();
        let again: Vec<Message> = self
            .said
            .range((from, Said::Proposal)..)
            .map(|(_, message)| message)
            .filter(|message| !unsaved.contains(message))
            .cloned()
            .collect();
        again.into_iter().for_each(|message| self.send(message));
        if let Some((round, document)) = self.machine.locked() {
            self.send_prevotes(round, document);
        }
    }

    fn send_prevotes(&mut self, round: u32, document: DocumentHash) {
        let counts =
            |vote: &Vote| vote.kind == VoteKind::Prevote && vote.document == Some(document);
        let votes = self.machine.votes(round).into_iter().filter(counts);
        let votes: Vec<Message> = votes.map(Message::Vote).collect();
        votes.into_iter().for_each(|vote| self.send(vote));
    }

    fn send(&mut self, message: Message) {
        self.actions.push_back(AgreementAction::Send(message));
    }

    fn is_own(&self, seat: Seat) -> bool {
        self.own.as_ref().is_some_and(|own| own.seat == seat)
    }

    /// Does everything again that the log has, so that the machine is where it was, locks and all; and
    /// says again what was said, which is on disk. What the machine wants now it wants anew.
    fn replay(&mut self, now: Time, events: Vec<Event>) {
        let mut heard: Vec<Message> = Vec::new();
        let mut waits: Vec<(Wait, u32)> = Vec::new();
        let mut turns: BTreeSet<u32> = BTreeSet::new();
        let mut rounds: VecDeque<u32> = VecDeque::new();
        let mut said: Vec<Message> = Vec::new();
        let mut decided = None;
        for event in events {
            match &event {
                Event::Round(round) => rounds.retain(|wanted| wanted > round),
                Event::Propose { round, document } => {
                    turns.remove(round);
                    self.note_own(*round, *document);
                }
                Event::Proposal { proposal, .. } => {
                    let known = self.heard.entry(proposal.round).or_default();
                    known.push(proposal.clone());
                    heard.push(Message::Proposal(proposal.clone()));
                }
                Event::Vote(vote) => heard.push(Message::Vote(vote.clone())),
                Event::Timeout { wait, round } => waits.retain(|it| it != &(*wait, *round)),
            }
            for effect in self.machine.handle(&event) {
                match effect {
                    Effect::Round(round) => rounds.push_back(round),
                    Effect::Wait(wait, round) => waits.push((wait, round)),
                    Effect::Turn(round) => drop(turns.insert(round)),
                    Effect::Decide { round, document } => decided = Some((round, document)),
                    effect => said.extend(self.say(effect)),
                }
            }
        }
        self.look_for_contradictions();
        if let Some((round, document)) = decided {
            let place = (self.height, round, document);
            return self.decide(Certificate::of(place, &self.machine.votes(round)));
        }
        let current = self.round();
        for (wait, round) in waits.into_iter().filter(|(_, round)| *round == current) {
            self.wait(now, wait, round);
        }
        for round in turns.into_iter().filter(|round| *round == current) {
            self.actions.push_back(AgreementAction::Turn { round });
        }
        for round in rounds {
            self.apply(now, Event::Round(round));
        }
        // What led to it was on disk before it could be said.
        for message in said {
            if heard.contains(&message) {
                self.send(message);
            } else if self.decision.is_none() {
                self.said_for_good(now, message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::seats::tests::seats;
    use super::*;

    const HEIGHT: Height = Height::new(7);

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    /// Seven seats, of which the first is ours.
    fn seven() -> (Agreement, Seats, Vec<Identity>) {
        let (seats, identities) = seats(7);
        let order = Vec::from_iter(seats.all());
        let own = Arc::new(Identity::from_bytes(&identities[0].to_bytes()));
        let own = (own.id(), own);
        let height = (seats.clone(), order, HEIGHT);
        let timing = Timing::of_epoch(Span::from_secs(3600));
        let agreement = Agreement::new(height, Some(own), timing, &[], at(1)).unwrap();
        (agreement, seats, identities)
    }

    fn vote(seats: &Seats, identities: &[Identity], seat: u16, round: u32) -> AgreementInput {
        let place = (VoteKind::Prevote, HEIGHT, round);
        let identity = &identities[usize::from(seat)];
        let vote = Vote::sign(seats, identity, place, None, Seat(seat));
        AgreementInput::Message(Verified(Message::Vote(vote)))
    }

    #[test]
    fn votes_far_ahead_are_one_of_each_seat_and_more_than_a_third_move_it() {
        let (mut agreement, seats, identities) = seven();
        for round in [100, 5, 2000, 300] {
            for seat in [1, 2] {
                agreement.handle_input(at(2), vote(&seats, &identities, seat, round));
            }
        }
        assert_eq!((agreement.ahead.len(), agreement.round()), (2, 0));
        assert!(
            agreement.machine.votes(2000).is_empty(),
            "no round was made for it"
        );
        // The third of seven; one of three is honest, and has been in its round or beyond.
        agreement.handle_input(at(2), vote(&seats, &identities, 3, 50));
        assert_eq!(agreement.round(), 50);
        assert_eq!(agreement.machine.votes(50).len(), 1);
        assert_eq!(agreement.ahead.len(), 2, "the others are still far ahead");
        // What is near goes to the machine, however old it is.
        agreement.handle_input(at(2), vote(&seats, &identities, 4, 54));
        assert_eq!(agreement.machine.votes(54).len(), 1);
    }

    #[test]
    fn a_proposal_counts_from_whose_turn_it_is_and_is_judged_once() {
        let (mut agreement, seats, identities) = seven();
        while agreement.poll_action().is_some() {}
        let proposal = |seat: u16, round, number| {
            let what = (DocumentHash::new([number; 32]), None);
            let identity = &identities[usize::from(seat)];
            let proposal = Proposal::sign(&seats, identity, (HEIGHT, round), what, Seat(seat));
            AgreementInput::Message(Verified(Message::Proposal(proposal)))
        };
        // Seat 1 has round 1.
        agreement.handle_input(at(2), proposal(2, 1, 5));
        agreement.handle_input(at(2), proposal(6, 6, 5));
        assert_eq!(agreement.poll_action(), None);
        for _ in 0..3 {
            agreement.handle_input(at(2), proposal(1, 1, 5));
        }
        let judge = AgreementAction::Judge(DocumentHash::new([5; 32]));
        assert_eq!(agreement.poll_action(), Some(judge));
        assert_eq!(agreement.poll_action(), None);
        // Whoever proposes many documents at once is judged for a bounded number of them.
        (10..200).for_each(|number| agreement.handle_input(at(2), proposal(1, 1, number)));
        let judged = std::iter::from_fn(|| agreement.poll_action()).count();
        assert_eq!(judged, MOST_UNJUDGED - 1);
    }

    /// What seat 0 prevotes in round 1 for a document that seat 1 proposes.
    fn prevote(judgement: Judgement, made_in: Option<u32>, round: u16) -> Option<DocumentHash> {
        let (mut agreement, seats, identities) = seven();
        if round > 0 {
            for seat in [1, 2, 3] {
                agreement.handle_input(at(2), vote(&seats, &identities, seat, round.into()));
            }
        }
        let document = DocumentHash::new([5; 32]);
        let seat = round % 7;
        let place = (HEIGHT, u32::from(round));
        let identity = &identities[usize::from(seat)];
        let proposal = Proposal::sign(&seats, identity, place, (document, None), Seat(seat));
        let message = Verified(Message::Proposal(proposal));
        agreement.handle_input(at(3), AgreementInput::Message(message));
        let judged = AgreementInput::Judged {
            document,
            judgement,
            made_in,
        };
        agreement.handle_input(at(3), judged);
        let mut said = Vec::new();
        while let Some(action) = agreement.poll_action() {
            match action {
                AgreementAction::Persist { ticket, .. } => {
                    agreement.handle_input(at(3), AgreementInput::Persisted { ticket });
                }
                AgreementAction::Send(Message::Vote(vote)) if vote.seat == Seat(0) => {
                    said.push(vote);
                }
                _ => {}
            }
        }
        assert_eq!((said.len(), said[0].round), (1, u32::from(round)));
        said[0].document
    }

    #[test]
    fn a_judgement_counts_by_the_round_and_a_document_in_its_own() {
        let is_taken = |judgement, made_in, round| prevote(judgement, made_in, round).is_some();
        assert!(is_taken(Judgement::Valid, Some(1), 1));
        assert!(is_taken(Judgement::Valid, None, 1), "the first document");
        assert!(
            !is_taken(Judgement::Valid, Some(0), 1),
            "of an earlier round"
        );
        assert!(!is_taken(Judgement::Valid, Some(2), 1), "of a later round");
        assert!(!is_taken(Judgement::Omits, Some(3), 3));
        assert!(is_taken(Judgement::Omits, Some(4), 4));
        for round in [1, 4] {
            let made_in = Some(u32::from(round));
            assert!(!is_taken(Judgement::Untimely, made_in, round));
            assert!(!is_taken(Judgement::Invalid, made_in, round));
        }
        for judgement in [Judgement::Omits, Judgement::Untimely] {
            assert!(judgement.counts(2, Some(1)), "more than two thirds had it");
        }
        assert!(!Judgement::Invalid.counts(9, Some(1)));
    }

    /// Does what is wanted, on a disk that is quick: what was said, and what is in the log.
    fn settle(agreement: &mut Agreement, log: &mut Vec<u8>) -> Vec<Vote> {
        let mut said = Vec::new();
        while let Some(action) = agreement.poll_action() {
            match action {
                AgreementAction::Persist { ticket, records } => {
                    log.extend(records);
                    agreement.handle_input(at(3), AgreementInput::Persisted { ticket });
                }
                AgreementAction::Send(Message::Vote(vote)) if vote.seat == Seat(0) => {
                    said.push(vote);
                }
                _ => {}
            }
        }
        said
    }

    #[test]
    fn who_has_precommitted_and_starts_again_has_and_holds_to_it() {
        let (mut agreement, seats, identities) = seven();
        let (ours, other) = (DocumentHash::new([5; 32]), DocumentHash::new([6; 32]));
        let prevote = |seat: u16, document| {
            let place = (VoteKind::Prevote, HEIGHT, 0);
            let identity = &identities[usize::from(seat)];
            let vote = Vote::sign(&seats, identity, place, document, Seat(seat));
            AgreementInput::Message(Verified(Message::Vote(vote)))
        };
        let mut log = Vec::new();
        let (round, document) = (0, ours);
        agreement.handle_input(at(2), AgreementInput::Propose { round, document });
        settle(&mut agreement, &mut log);
        (1..5).for_each(|seat| agreement.handle_input(at(2), prevote(seat, Some(ours))));
        let said = settle(&mut agreement, &mut log);
        let is_precommit = |vote: &&Vote| vote.kind == VoteKind::Precommit;
        let precommits: Vec<_> = said.iter().filter(is_precommit).collect();
        assert_eq!((precommits.len(), precommits[0].document), (1, Some(ours)));
        // It starts again, and hears of those only who were against it.
        let own = Arc::new(Identity::from_bytes(&identities[0].to_bytes()));
        let height = (seats.clone(), Vec::from_iter(seats.all()), HEIGHT);
        let timing = Timing::of_epoch(Span::from_secs(3600));
        let mut again = Agreement::new(height, Some((own.id(), own)), timing, &log, at(4)).unwrap();
        let mut said = settle(&mut again, &mut log);
        (5..7).for_each(|seat| again.handle_input(at(5), prevote(seat, None)));
        for seconds in [60, 120, 180] {
            again.handle_timeout(at(seconds));
            said.extend(settle(&mut again, &mut log));
        }
        // The others go on to the next round, where something else is proposed.
        for seat in 1..6 {
            again.handle_input(at(200), vote(&seats, &identities, seat, 1));
        }
        let what = (other, None);
        let proposal = Proposal::sign(&seats, &identities[1], (HEIGHT, 1), what, Seat(1));
        again.handle_input(
            at(200),
            AgreementInput::Message(Verified(Message::Proposal(proposal))),
        );
        again.handle_input(
            at(200),
            AgreementInput::Judged {
                document: other,
                judgement: Judgement::Valid,
                made_in: Some(1),
            },
        );
        said.extend(settle(&mut again, &mut log));
        let mut precommits = said
            .iter()
            .filter(is_precommit)
            .filter(|vote| vote.round == 0);
        assert!(precommits.clone().next().is_some(), "it is said again");
        assert!(precommits.all(|vote| vote.document == Some(ours)));
        let others = said.iter().filter(|vote| vote.document == Some(other));
        assert_eq!(others.count(), 0, "it is locked");
    }

    #[test]
    fn two_votes_of_a_seat_are_evidence_and_told_once() {
        let (mut agreement, seats, identities) = seven();
        while agreement.poll_action().is_some() {}
        let place = (VoteKind::Prevote, HEIGHT, 0);
        for number in [1, 2, 3] {
            let document = Some(DocumentHash::new([number; 32]));
            let vote = Vote::sign(&seats, &identities[4], place, document, Seat(4));
            let message = Verified(Message::Vote(vote));
            agreement.handle_input(at(2), AgreementInput::Message(message));
        }
        let Some(AgreementAction::Evidence(evidence)) = agreement.poll_action() else {
            panic!("no evidence");
        };
        assert_eq!(evidence.seat(), Seat(4));
        assert_eq!(
            Evidence::verify(&evidence.encode(), &seats),
            Ok(evidence.clone())
        );
        assert_eq!(agreement.poll_action(), None);
        // Half of it is none, nor are two of different seats.
        let [one, _] = evidence.messages();
        assert!(Evidence::of(one.clone(), one.clone()).is_none());
        let other = Vote::sign(&seats, &identities[5], place, None, Seat(5));
        assert!(Evidence::of(one.clone(), Message::Vote(other)).is_none());
    }
}
