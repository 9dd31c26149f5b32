//! What moved the machine, as it is on disk.
//!
//! A record: its length 2, a kind 1, and what it holds: a round 4; a document 32; a message as it is
//! sent; for a proposal, whether its document is valid 1; for a wait that is over, which 1.

use shoal_proto::DocumentHash;
use thiserror::Error;

use super::machine::{Event, Wait};
use super::message::Message;
use super::vote::{MessageError, Reader};

/// The log can't be read: the disk is damaged, or a newer version wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the log of own votes is damaged or from a newer version at byte {at}; without it this node must not \
     vote on this document: move the log away, and it listens until the next"
)]
pub struct Damaged {
    /// Where.
    pub at: usize,
}

const ROUND: u8 = 1;
const PROPOSE: u8 = 2;
const PROPOSAL: u8 = 3;
const VOTE: u8 = 4;
const TIMEOUT: u8 = 5;

/// Appends a record.
pub(super) fn append(log: &mut Vec<u8>, event: &Event) {
    let record = encode(event);
    let length = u16::try_from(record.len()).unwrap_or(u16::MAX);
    log.extend_from_slice(&length.to_be_bytes());
    log.extend_from_slice(&record);
}

/// Reads a log. A record at its end that was not written whole is left out: nothing followed from it.
pub(super) fn read(log: &[u8]) -> Result<Vec<Event>, Damaged> {
    let mut events = Vec::new();
    let mut rest = log;
    while let Some((length, after)) = rest.split_first_chunk() {
        let at = log.len() - rest.len();
        let length = usize::from(u16::from_be_bytes(*length));
        let Some((record, after)) = after.split_at_checked(length) else {
            break;
        };
        events.push(decode(record).map_err(|_| Damaged { at })?);
        rest = after;
    }
    Ok(events)
}

fn encode(event: &Event) -> Vec<u8> {
    match event {
        Event::Round(round) => [&[ROUND][..], &round.to_be_bytes()].concat(),
        Event::Propose { round, document } => {
            [&[PROPOSE][..], &round.to_be_bytes(), document.as_bytes()].concat()
        }
        Event::Proposal { proposal, valid } => {
            let message = Message::Proposal(proposal.clone()).encode();
            [&[PROPOSAL, u8::from(*valid)][..], &message].concat()
        }
        Event::Vote(vote) => [&[VOTE][..], &Message::Vote(vote.clone()).encode()].concat(),
        Event::Timeout { wait, round } => {
            let wait = match wait {
                Wait::Proposal => 0,
                Wait::Prevotes => 1,
                Wait::Precommits => 2,
            };
            [&[TIMEOUT, wait][..], &round.to_be_bytes()].concat()
        }
    }
}

fn decode(record: &[u8]) -> Result<Event, MessageError> {
    let mut reader = Reader(record);
    let [kind] = *reader.take()?;
    let event = match kind {
        ROUND => Event::Round(u32::from_be_bytes(*reader.take()?)),
        PROPOSE => Event::Propose {
            round: u32::from_be_bytes(*reader.take()?),
            document: DocumentHash::new(*reader.take()?),
        },
        PROPOSAL => {
            let valid = match reader.take::<1>()? {
                [0] => false,
                [1] => true,
                _ => return Err(MessageError::Field("valid")),
            };
            let Message::Proposal(proposal) = Message::decode(reader.0)? else {
                return Err(MessageError::Kind(kind));
            };
            return Ok(Event::Proposal { proposal, valid });
        }
        VOTE => {
            let Message::Vote(vote) = Message::decode(reader.0)? else {
                return Err(MessageError::Kind(kind));
            };
            return Ok(Event::Vote(vote));
        }
        TIMEOUT => Event::Timeout {
            wait: match reader.take::<1>()? {
                [0] => Wait::Proposal,
                [1] => Wait::Prevotes,
                [2] => Wait::Precommits,
                _ => return Err(MessageError::Field("wait")),
            },
            round: u32::from_be_bytes(*reader.take()?),
        },
        kind => return Err(MessageError::Kind(kind)),
    };
    reader.end()?;
    Ok(event)
}
