//! What a frame from the entry is: the answer to a packet of ours, or filler.

use shoal_packet::Payload;
use shoal_packet::command::{ReceiptStatus, Reply, StreamItem};
use shoal_proto::MessageId;

use crate::event::HopTrace;
use crate::replies::{Outstanding, Purpose};

/// An answer, once it is opened.
pub(crate) enum Answer {
    /// A loop came back.
    Loop,
    /// A dummy's answer.
    Dummy,
    /// The answer to a fragment came before the mailbox's disk was done: it says nothing.
    Undecided { message: MessageId, index: u16 },
    /// What became of a fragment.
    Receipt {
        message: MessageId,
        index: u16,
        status: ReceiptStatus,
    },
    /// A packet of the mailbox's stream, and the way it came.
    Stream(Box<StreamItem>, Vec<HopTrace>),
    /// It does not open.
    Corrupted,
    /// It makes no sense, or answers another question.
    Unexpected,
}

impl Answer {
    /// Opens what came to a reply block.
    pub(crate) fn open(block: Outstanding, payload: &Payload) -> Self {
        let Ok(plaintext) = block.keys.open(payload) else {
            return Self::Corrupted;
        };
        match (block.purpose, Reply::decode(&plaintext)) {
            (Purpose::Loop, _) => Self::Loop,
            (Purpose::Dummy, Ok(Reply::Dummy)) => Self::Dummy,
            (Purpose::Deposit { message, index, .. }, Ok(Reply::Dummy)) => {
                Self::Undecided { message, index }
            }
            (
                Purpose::Deposit {
                    message,
                    index,
                    deposit,
                },
                Ok(Reply::Receipt {
                    message: about,
                    status,
                }),
            ) if about == deposit => Self::Receipt {
                message,
                index,
                status,
            },
            (Purpose::Stock, Ok(Reply::Stream(item))) => Self::Stream(item, block.trace),
            _ => Self::Unexpected,
        }
    }
}
