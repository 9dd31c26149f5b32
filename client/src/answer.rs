//! What a frame from the entry is: the answer to a packet of ours, or filler.

use shoal_packet::Payload;
use shoal_packet::command::{ReceiptStatus, Reply, StreamItem, TokenAnswer};
use shoal_proto::MessageId;

use crate::event::HopTrace;
use crate::replies::{Outstanding, Purpose};
use crate::rows::BoxId;

/// An answer, once it is opened.
pub(crate) enum Answer {
    /// A loop came back.
    Loop,
    /// A dummy's answer, or one to a fragment that came before the mailbox's disk was done: it says
    /// nothing, and another try fetches the receipt.
    Dummy,
    /// What became of a fragment.
    Receipt {
        message: MessageId,
        index: u16,
        status: ReceiptStatus,
    },
    /// A packet of a mailbox's stream, and the way it came.
    Stream(BoxId, Box<StreamItem>, Vec<HopTrace>),
    /// A mailbox has seen a generation that is not older.
    Behind(BoxId, u64),
    /// What the issuer of a mailbox' token says.
    Token(BoxId, TokenAnswer),
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
            (Purpose::Dummy | Purpose::Deposit { .. }, Ok(Reply::Dummy)) => Self::Dummy,
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
            (Purpose::Stock(of), Ok(Reply::Stream(item))) => Self::Stream(of, item, block.trace),
            (Purpose::Stock(of), Ok(Reply::Behind { generation })) => Self::Behind(of, generation),
            (Purpose::Token(of), Ok(Reply::Token(answer))) => Self::Token(of, answer),
            (Purpose::Token(_), Ok(Reply::Dummy)) => Self::Dummy,
            _ => Self::Unexpected,
        }
    }
}
