//! The rounds of one height: Malachite's driver behind a trait of ours, so that nothing else depends on
//! it. It has no runtime, reads no clock and does not sign; what it does follows from its events alone.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use arc_malachitebft_core_driver::{Driver, Input, Output, ThresholdParams};
use arc_malachitebft_core_types as core;
use core::{
    LinearTimeouts, NilOrVal, Round, SignedMessage, Timeout, TimeoutKind, Validity, VoteType,
};
use shoal_proto::DocumentHash;

use super::height::Height;
use super::message::Message;
use super::seats::{Seat, Seats};
use super::vote::{Proposal, SIGNATURE, Vote, VoteKind};

/// What a round waits for, for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wait {
    /// A proposal.
    Proposal,
    /// Prevotes that agree.
    Prevotes,
    /// Precommits that agree.
    Precommits,
}

/// What moves the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A round begins.
    Round(u32),
    /// What to propose in a round whose turn is ours.
    Propose { round: u32, document: DocumentHash },
    /// A proposal of the seat whose turn it is, and whether its document is valid.
    Proposal { proposal: Proposal, valid: bool },
    /// A vote.
    Vote(Vote),
    /// Nothing came in time.
    Timeout { wait: Wait, round: u32 },
}

/// What the machine wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Begin this round.
    Round(u32),
    /// Wait in this round.
    Wait(Wait, u32),
    /// It is this seat's turn to propose: say what.
    Turn(u32),
    /// Sign and send.
    Propose {
        round: u32,
        document: DocumentHash,
        locked: Option<u32>,
    },
    /// Sign and send.
    Vote {
        kind: VoteKind,
        round: u32,
        document: Option<DocumentHash>,
    },
    /// More than two thirds hold to it.
    Decide { round: u32, document: DocumentHash },
}

/// The rounds of one height.
pub(super) trait Machine {
    /// Takes an event.
    fn handle(&mut self, event: &Event) -> Vec<Effect>;
    /// The round that it is in; none before the first.
    fn round(&self) -> Option<u32>;
    /// Whether it has this vote already.
    fn has(&self, vote: &Vote) -> bool;
    /// The votes of a round that it has.
    fn votes(&self, round: u32) -> Vec<Vote>;
    /// The last document that more than two thirds prevoted, and in which round.
    fn locked(&self) -> Option<(u32, DocumentHash)>;
    /// Pairs of messages in which seats contradicted themselves, since it was asked last.
    fn contradictions(&mut self) -> Vec<(Message, Message)>;
}

/// Malachite's driver.
pub(super) struct Malachite {
    driver: Driver<Context>,
    order: Arc<[Seat]>,
    height: Height,
}

impl Malachite {
    /// For one height; `order` is who proposes, round by round, and is not empty. `own` is none for who
    /// only listens.
    pub(super) fn new(
        seats: &Seats,
        order: Arc<[Seat]>,
        height: Height,
        own: Option<Seat>,
    ) -> Self {
        let committee = Committee(seats.all().map(Voter).collect());
        let context = Context {
            order: Arc::clone(&order),
        };
        let own = own.unwrap_or(Seat(u16::MAX));
        let params = ThresholdParams::default();
        Self {
            driver: Driver::new(context, CoreHeight(height.number()), committee, own, params),
            order,
            height,
        }
    }

    fn input(&self, event: &Event) -> Input<Context> {
        let height = CoreHeight(self.height.number());
        match event {
            Event::Round(round) => {
                Input::NewRound(height, Round::new(*round), proposer(&self.order, *round))
            }
            Event::Propose { round, document } => {
                Input::ProposeValue(Round::new(*round), Value(*document))
            }
            Event::Proposal { proposal, valid } => {
                let message = CoreProposal {
                    height,
                    round: Round::new(proposal.round),
                    value: Value(proposal.document),
                    locked: Round::from(proposal.locked),
                    seat: proposal.seat,
                };
                let signed = SignedMessage::new(message, proposal.signature);
                Input::Proposal(signed, Validity::from_bool(*valid))
            }
            Event::Vote(vote) => Input::Vote(signed_vote(vote)),
            Event::Timeout { wait, round } => {
                let kind = match wait {
                    Wait::Proposal => TimeoutKind::Propose,
                    Wait::Prevotes => TimeoutKind::Prevote,
                    Wait::Precommits => TimeoutKind::Precommit,
                };
                Input::TimeoutElapsed(Timeout::new(Round::new(*round), kind))
            }
        }
    }

    fn effect(output: Output<Context>) -> Option<Effect> {
        Some(match output {
            Output::NewRound(_, round) => Effect::Round(round.as_u32()?),
            Output::Propose(proposal) => Effect::Propose {
                round: proposal.round.as_u32()?,
                document: proposal.value.0,
                locked: proposal.locked.as_u32(),
            },
            Output::Vote(vote) => Effect::Vote {
                kind: kind(vote.kind),
                round: vote.round.as_u32()?,
                document: document(&vote.value),
            },
            // The round that it is in may be a later one than that of the precommits.
            Output::Decide(_, proposal) => Effect::Decide {
                round: proposal.round.as_u32()?,
                document: proposal.value.0,
            },
            Output::ScheduleTimeout(timeout) => {
                let wait = match timeout.kind {
                    TimeoutKind::Propose => Wait::Proposal,
                    TimeoutKind::Prevote => Wait::Prevotes,
                    TimeoutKind::Precommit => Wait::Precommits,
                    TimeoutKind::Rebroadcast | TimeoutKind::FinalizeHeight(_) => return None,
                };
                Effect::Wait(wait, timeout.round.as_u32()?)
            }
            Output::GetValue(_, round, _) => Effect::Turn(round.as_u32()?),
        })
    }

    fn own_vote(&self, signed: &SignedMessage<Context, CoreVote>) -> Option<Vote> {
        Some(Vote {
            kind: kind(signed.message.kind),
            height: self.height,
            round: signed.message.round.as_u32()?,
            document: document(&signed.message.value),
            seat: signed.message.seat,
            signature: signed.signature,
        })
    }

    fn own_proposal(&self, signed: &SignedMessage<Context, CoreProposal>) -> Option<Proposal> {
        Some(Proposal {
            height: self.height,
            round: signed.message.round.as_u32()?,
            document: signed.message.value.0,
            locked: signed.message.locked.as_u32(),
            seat: signed.message.seat,
            signature: signed.signature,
        })
    }
}

/// Whose turn it is in a round.
pub(super) fn proposer(order: &[Seat], round: u32) -> Seat {
    let place = usize::try_from(round).unwrap_or(0) % order.len().max(1);
    order.get(place).copied().unwrap_or(Seat(0))
}

impl Machine for Malachite {
    fn handle(&mut self, event: &Event) -> Vec<Effect> {
        let input = self.input(event);
        // Its errors are of inputs that were not made for it, which none is.
        let outputs = self.driver.process(input).unwrap_or_default();
        outputs.into_iter().filter_map(Self::effect).collect()
    }

    fn round(&self) -> Option<u32> {
        self.driver.round().as_u32()
    }

    fn has(&self, vote: &Vote) -> bool {
        let signed = signed_vote(vote);
        let votes = self.driver.votes();
        votes.has_vote(&signed) || votes.is_saturated_conflict(&signed)
    }

    fn votes(&self, round: u32) -> Vec<Vote> {
        let of_round = self.driver.votes().per_round(Round::new(round));
        let votes = of_round.into_iter().flat_map(|it| it.received_votes());
        votes.filter_map(|vote| self.own_vote(vote)).collect()
    }

    fn locked(&self) -> Option<(u32, DocumentHash)> {
        let valid = self.driver.valid_value()?;
        Some((valid.round.as_u32()?, valid.value.0))
    }

    fn contradictions(&mut self) -> Vec<(Message, Message)> {
        let mut found = Vec::new();
        let votes = self.driver.take_vote_evidence();
        for (one, two) in votes.iter().flat_map(|(_, pairs)| pairs) {
            let pair = self.own_vote(one).zip(self.own_vote(two));
            found.extend(pair.map(|(one, two)| (Message::Vote(one), Message::Vote(two))));
        }
        let proposals = self.driver.take_proposal_evidence();
        for (one, two) in proposals.iter().flat_map(|(_, pairs)| pairs) {
            let pair = self.own_proposal(one).zip(self.own_proposal(two));
            found.extend(pair.map(|(one, two)| (Message::Proposal(one), Message::Proposal(two))));
        }
        found
    }
}

fn kind(kind: VoteType) -> VoteKind {
    match kind {
        VoteType::Prevote => VoteKind::Prevote,
        VoteType::Precommit => VoteKind::Precommit,
    }
}

fn document(value: &NilOrVal<Value>) -> Option<DocumentHash> {
    match value {
        NilOrVal::Nil => None,
        NilOrVal::Val(value) => Some(value.0),
    }
}

fn signed_vote(vote: &Vote) -> SignedMessage<Context, CoreVote> {
    let message = CoreVote {
        kind: match vote.kind {
            VoteKind::Prevote => VoteType::Prevote,
            VoteKind::Precommit => VoteType::Precommit,
        },
        height: CoreHeight(vote.height.number()),
        round: Round::new(vote.round),
        value: vote
            .document
            .map_or(NilOrVal::Nil, |hash| NilOrVal::Val(Value(hash))),
        seat: vote.seat,
    };
    SignedMessage::new(message, vote.signature)
}

// What Malachite's traits want to know.

#[derive(Clone)]
struct Context {
    order: Arc<[Seat]>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct CoreHeight(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Value(DocumentHash);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Voter(Seat);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Committee(Arc<[Voter]>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct CoreVote {
    kind: VoteType,
    height: CoreHeight,
    round: Round,
    value: NilOrVal<Value>,
    seat: Seat,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct CoreProposal {
    height: CoreHeight,
    round: Round,
    value: Value,
    locked: Round,
    seat: Seat,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct NoPart;

/// Signatures are made and verified outside.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Signatures;

impl core::Context for Context {
    type Address = Seat;
    type Height = CoreHeight;
    type ProposalPart = NoPart;
    type Proposal = CoreProposal;
    type Validator = Voter;
    type ValidatorSet = Committee;
    type Timeouts = LinearTimeouts;
    type Value = Value;
    type Vote = CoreVote;
    type Extension = ();
    type SigningScheme = Signatures;

    fn select_proposer<'a>(
        &self,
        committee: &'a Committee,
        _: CoreHeight,
        round: Round,
    ) -> &'a Voter {
        let seat = proposer(&self.order, round.as_u32().unwrap_or(0));
        let place = usize::from(seat.0) % committee.0.len();
        &committee.0[place]
    }

    fn new_proposal(
        &self,
        height: CoreHeight,
        round: Round,
        value: Value,
        locked: Round,
        seat: Seat,
    ) -> CoreProposal {
        CoreProposal {
            height,
            round,
            value,
            locked,
            seat,
        }
    }

    fn new_prevote(
        &self,
        height: CoreHeight,
        round: Round,
        value: NilOrVal<Value>,
        seat: Seat,
    ) -> CoreVote {
        CoreVote {
            kind: VoteType::Prevote,
            height,
            round,
            value,
            seat,
        }
    }

    fn new_precommit(
        &self,
        height: CoreHeight,
        round: Round,
        value: NilOrVal<Value>,
        seat: Seat,
    ) -> CoreVote {
        CoreVote {
            kind: VoteType::Precommit,
            height,
            round,
            value,
            seat,
        }
    }
}

impl core::Address for Seat {}

impl fmt::Display for CoreHeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl core::Height for CoreHeight {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(0);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.short())
    }
}

impl core::Value for Value {
    type Id = Self;

    fn id(&self) -> Self {
        *self
    }
}

impl core::Validator<Context> for Voter {
    fn address(&self) -> &Seat {
        &self.0
    }

    fn public_key(&self) -> &() {
        &()
    }

    fn voting_power(&self) -> u64 {
        1
    }
}

impl core::ValidatorSet<Context> for Committee {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn total_voting_power(&self) -> u64 {
        self.0.len() as u64
    }

    fn get_by_address(&self, seat: &Seat) -> Option<&Voter> {
        self.0.get(usize::from(seat.0))
    }

    fn get_by_index(&self, index: usize) -> Option<&Voter> {
        self.0.get(index)
    }
}

impl core::Vote<Context> for CoreVote {
    fn height(&self) -> CoreHeight {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<Value> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<Value> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Seat {
        &self.seat
    }

    fn extension(&self) -> Option<&core::SignedExtension<Context>> {
        None
    }

    fn take_extension(&mut self) -> Option<core::SignedExtension<Context>> {
        None
    }

    fn extend(self, _: core::SignedExtension<Context>) -> Self {
        self
    }
}

impl core::Proposal<Context> for CoreProposal {
    fn height(&self) -> CoreHeight {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &Value {
        &self.value
    }

    fn take_value(self) -> Value {
        self.value
    }

    fn pol_round(&self) -> Round {
        self.locked
    }

    fn validator_address(&self) -> &Seat {
        &self.seat
    }
}

impl core::ProposalPart<Context> for NoPart {
    fn is_first(&self) -> bool {
        true
    }

    fn is_last(&self) -> bool {
        true
    }
}

impl core::SigningScheme for Signatures {
    type DecodingError = Infallible;
    type Signature = [u8; SIGNATURE];
    type PublicKey = ();
    type PrivateKey = ();

    fn decode_signature(bytes: &[u8]) -> Result<[u8; SIGNATURE], Infallible> {
        Ok(bytes.try_into().unwrap_or([0; SIGNATURE]))
    }

    fn encode_signature(signature: &[u8; SIGNATURE]) -> Vec<u8> {
        signature.to_vec()
    }

    fn decode_public_key(_: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }

    fn encode_public_key((): &()) -> Vec<u8> {
        Vec::new()
    }
}
