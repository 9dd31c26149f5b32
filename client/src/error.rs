//! What can go wrong, by whose fault.

use shoal_topology::KeptError;
use thiserror::Error;

use crate::invitation::InvitationError;
use crate::table::Table;

/// What can keep a client from being built or restored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The network parameters have no profile of this name.
    #[error("the network has no profile {name:?}; it has: {known}")]
    UnknownProfile {
        /// The name in the configuration.
        name: String,
        /// The names in the network parameters.
        known: String,
    },
    /// A value of the configuration makes no sense.
    #[error("{field}: {reason}")]
    Config {
        /// The field of [`ClientConfig`](crate::ClientConfig).
        field: &'static str,
        /// What it has to be.
        reason: &'static str,
    },
    /// A stored row can't be read: the client's database is damaged, or was written by a newer
    /// version.
    #[error(
        "row {key} of table {table} is damaged or from a newer version ({reason}); restore the \
         client's state from a backup, or move it away to start with an empty one"
    )]
    Row {
        /// Where the row is.
        table: Table,
        /// The row's key in base58.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// What was kept of the directory can't be gone on from.
    #[error(
        "what this client keeps of the directory (table {table}): {error}. It does not begin anew by itself, \
         because it would then believe an old state of the network. Restore the client's state from a backup; \
         or, if you know that the network's file is right, `shoal client trust --forget` has it begin anew \
         from that file"
    )]
    Kept {
        /// Where the row is.
        table: Table,
        /// What is wrong.
        error: KeptError,
    },
    /// The bytes are not a key file of a client.
    #[error("not a usable client key file: {0}")]
    Keys(&'static str),
}

/// Why something that the user asked for was not done. Nothing was stored and nothing will be sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The text does not fit the largest message.
    #[error("the text has {bytes} bytes; a message takes at most {limit}")]
    TooLong {
        /// Bytes of the text.
        bytes: usize,
        /// Bytes that fit.
        limit: usize,
    },
    /// Nobody of this key is a contact.
    #[error("there is no such contact: accept an invitation first (`shoal contact accept`)")]
    UnknownContact,
    /// The contact is blocked.
    #[error("the contact is blocked: `shoal contact block --off` ends that")]
    Blocked,
    /// The invitation is no good.
    #[error("{0}")]
    Invitation(#[from] InvitationError),
    /// There is no such invitation of one's own.
    #[error("there is no such invitation")]
    NoSuchInvitation,
    /// All drop ids of the place that invitations lead to are given out.
    #[error(
        "no more invitations can be made at the place that they lead to: have new ones lead elsewhere \
         (`shoal contact renew`; where `mailboxes` names the providers, name others)"
    )]
    NoInvitationLeft,
    /// Too many contacts.
    #[error(
        "there are as many contacts as may be, or were at this place; remove some, or wait until it has moved"
    )]
    ContactsFull,
    /// There is no place for answers yet.
    #[error(
        "this client has no mailbox yet: it is chosen when the client has got the network's document; \
         try again when it is online"
    )]
    NoMailbox,
    /// There is no session with the contact, and nothing to begin one with.
    #[error(
        "there is no session with this contact any more: ask for a new invitation, and accept it"
    )]
    NoSession,
    /// Too much is waiting to be sent.
    #[error("{waiting} packets wait to be sent already, and no more than {limit} may")]
    OutboxFull {
        /// Fragments that are not stored yet.
        waiting: usize,
        /// [`Limits::outbox_fragments`](crate::Limits::outbox_fragments).
        limit: usize,
    },
    /// It could not be written to disk.
    #[error("it could not be saved: {0}")]
    Storage(String),
    /// Another copy of the client has its mailbox: two that count messages to one contact apart would
    /// give two the same number.
    #[error(
        "another copy of this client has its keys and has taken the mailbox over; stop one of the two, \
         and start this one again to go on here"
    )]
    Superseded,
    /// A fault of ours.
    #[error("the message could not be sealed")]
    Seal,
}

/// Why a sealed blob was not opened or could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SealError {
    /// The other side's key is unusable: of low order, or not canonical.
    #[error("the other side's key is not a sound X25519 key")]
    BadKey,
    /// Not for us, not from whom it claims, or damaged.
    #[error("the blob does not open")]
    Open,
    /// The plaintext has not the size of a blob's inside.
    #[error("a blob holds exactly {0} bytes")]
    Size(usize),
    /// The Noise library refused to do its work.
    #[error("the sealing failed")]
    Internal,
}
