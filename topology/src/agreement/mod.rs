//! How the seats of a term agree on one document for each height, so that there are never two: Tendermint.
//!
//! ```text
//!  messages, verdicts, time, disk ──> AgreementInput ──> Agreement ──> AgreementAction ──> host
//! ```
//!
//! The rounds, locks and thresholds are those of "The latest gossip on BFT consensus" (Buchman, Kwon,
//! Milosevic, 2018), carried by Malachite's state machine behind a trait of ours. What is here:
//! signatures and their layout ([`Message`]), a log of everything that moves the machine, on disk before
//! a vote leaves, so that whoever crashes says the same again and keeps its lock; votes of rounds that
//! are far ahead; certificates; and evidence of seats that voted twice.
//!
//! Who sits and in which order seats propose is drawn by a [`Seed`] that nobody can choose.
//!
//! One [`Agreement`] is one height: the document after the last one. Signatures are verified outside, by
//! [`Message::verify`], because that takes long; whether a document is valid is decided outside too.

mod amendment;
mod certificate;
mod engine;
mod evidence;
mod height;
mod log;
mod machine;
mod message;
mod seats;
mod seed;
mod timing;
mod vote;
mod vrf;

pub use amendment::{
    AMENDMENT_SLOTS, Amendment, AmendmentVote, CertifiedAmendment, MAX_AMENDMENT_BYTES,
    MAX_SUSPENDED,
};
pub use certificate::Certificate;
pub use engine::{Agreement, AgreementAction, AgreementInput, Judgement};
pub(crate) use evidence::UnverifiedEvidence;
pub use evidence::{Evidence, MAX_EVIDENCE_BYTES};
pub use height::Height;
pub use log::Damaged;
pub use message::{MAX_MESSAGE_BYTES, Message, Verified};
pub use seats::{Holder, MAX_SEATS, Seat, Seats, SeatsError};
pub use seed::{Reveal, Seed};
pub use timing::Timing;
pub use vote::{MessageError, Proposal, Vote, VoteKind};
pub use vrf::{VrfKey, VrfOutput, VrfProof, VrfPublic};
