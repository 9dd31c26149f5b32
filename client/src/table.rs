//! The tables that a client's rows are in.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A text names none of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is none of a client's tables")]
pub struct UnknownTable;

/// The tables of a client's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Table {
    /// The own places: who writes to each, and what becomes of it when.
    Place,
    /// The own mailboxes: their keys, the generation of their streams, and which drop ids they know.
    Mailbox,
    /// Whom we know: the next sequence number, which drop id their answers go to, where they are written to, and what the
    /// user makes of them.
    Contact,
    /// The own invitations, with what sessions are begun with by who has one.
    Invitation,
    /// The own drop ids that take nothing more.
    Revocation,
    /// Sessions: with whom each is, and its keys.
    Session,
    /// What is kept of sessions so that messages which come late still open.
    Late,
    /// What contacts are to be told of their messages.
    Receipt,
    /// Messages sent, with their state.
    Sent,
    /// Fragments not yet stored at the receiver's mailbox, sealed by their session: where they go may change.
    Outbox,
    /// When each of those that were tried is tried again.
    Retry,
    /// Fragments of messages that are not complete. Holds plaintext.
    Partial,
    /// Messages received and not read. Holds plaintext.
    Inbox,
    /// From which number on messages to contacts are counted, if not from the first.
    Numbers,
    /// Who wrote to us: the number of the message that is told next.
    Order,
    /// Fragments received, so that each is delivered once.
    Seen,
    /// Messages that were whole before all of their fragments were here, so that the rest is none anew.
    Done,
    /// The providers that the client enters by. Kept by who hosts the role, which passes it over.
    Entries,
    /// Whose signatures count for the network's documents, and the newest of them. Kept by who hosts the role,
    /// which passes it over.
    Trust,
    /// Messages sent with a key of an application's. Kept by who hosts the role, which passes it over.
    Idempotency,
    /// Files on their way to contacts or from them. Kept by who hosts the role, which passes it over.
    File,
    /// Their pieces, which are not loaded with the other rows. Holds plaintext. Kept by who hosts the role, which passes it
    /// over.
    Piece,
    /// What was said with contacts: what is known of each line. Kept by who hosts the role, which passes it over.
    Line,
    /// The texts of these lines, which are not loaded with the other rows. Holds plaintext. Kept by who hosts the role, which
    /// passes it over.
    Said,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 24] = [
        Self::Place,
        Self::Mailbox,
        Self::Contact,
        Self::Invitation,
        Self::Revocation,
        Self::Session,
        Self::Late,
        Self::Receipt,
        Self::Sent,
        Self::Outbox,
        Self::Retry,
        Self::Partial,
        Self::Inbox,
        Self::Numbers,
        Self::Order,
        Self::Seen,
        Self::Done,
        Self::Entries,
        Self::Trust,
        Self::Idempotency,
        Self::File,
        Self::Piece,
        Self::Line,
        Self::Said,
    ];

    /// The name to store it under.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Place => "place",
            Self::Mailbox => "mailbox",
            Self::Contact => "contact",
            Self::Invitation => "invitation",
            Self::Revocation => "revocation",
            Self::Session => "session",
            Self::Late => "late",
            Self::Receipt => "receipt",
            Self::Sent => "sent",
            Self::Outbox => "outbox",
            Self::Retry => "retry",
            Self::Partial => "partial",
            Self::Inbox => "inbox",
            Self::Numbers => "numbers",
            Self::Order => "order",
            Self::Seen => "seen",
            Self::Done => "done",
            Self::Entries => "entries",
            Self::Trust => "trust",
            Self::Idempotency => "idempotency",
            Self::File => "file",
            Self::Piece => "piece",
            Self::Line => "line",
            Self::Said => "said",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Table {
    type Err = UnknownTable;

    fn from_str(text: &str) -> Result<Self, UnknownTable> {
        let found = Self::ALL.into_iter().find(|table| table.as_str() == text);
        found.ok_or(UnknownTable)
    }
}
