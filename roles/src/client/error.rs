//! Why a step of a session failed. The texts are for the user.

use shoal_topology::AdoptError;
use thiserror::Error;

/// Why a client is not attached, or its documents were not renewed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Nobody answered.
    #[error(
        "none of the nodes that were asked for the directory answered: look whether this machine reaches \
         them, and whether its network file is theirs to the letter"
    )]
    NobodyAnswered,
    /// One answer is not enough to go by.
    #[error("only one of the nodes that were asked for the directory answered; one is not enough")]
    OneAnswer,
    /// There is nobody to ask.
    #[error("the network file names no mix that could be asked for the directory")]
    NobodyToAsk,
    /// The answers are of no use, or contradict each other.
    #[error(transparent)]
    Adopt(AdoptError),
    /// What was to look at the documents is lost.
    #[error("the documents that came were not looked at in time; it is tried again")]
    NotLookedAt,
    /// There is no entry to choose.
    #[error(
        "there is no entry provider besides those of the mailbox's own family and network (/24, or /48 for IPv6)"
    )]
    NoEntry,
    /// The user's entry is the mailbox's provider, of its family, or in its network.
    #[error(
        "the entry provider is of the same family as the mailbox's, or in the same network (/24, or /48 for \
         IPv6): the two together could tell whose mailbox it is; name another, or none"
    )]
    EntryOfMailbox,
    /// None of the entries that were drawn is left.
    #[error(
        "none of this client's entry providers is in the directory any more; `shoal client entries \
         --draw-again` draws others"
    )]
    EntriesGone,
    /// The list of entries could not be stored, so none is used.
    #[error("the list of entry providers could not be stored: {0}")]
    NotKept(String),
    /// The document in force is for an epoch that is over, and others may have a newer one.
    #[error(
        "there is no document for epoch {epoch} yet, so nothing is sent; it is asked for again"
    )]
    Stale {
        /// The epoch now.
        epoch: u64,
    },
    /// The document in force does not list the entry any more, so there is no path.
    #[error("the entry provider is not in the document of this epoch")]
    EntryGone,
    /// The entry did not answer in time.
    #[error("the entry provider did not answer in time")]
    AttachTimeout,
    /// The entry does not want this client.
    #[error("the entry provider refused: {0}")]
    Refused(Refusal),
    /// The connection is gone, or could not be made.
    #[error("the connection to the entry provider closed")]
    Closed,
}

/// What an entry says that does not take a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Its answer could not be read.
    #[error("its answer makes no sense")]
    Nonsense,
    /// It has other parameters.
    #[error("it does not know the profile")]
    Profile,
    /// It has no room.
    #[error("it is full")]
    Full,
    /// It is a mix.
    #[error("it is no provider")]
    NotAProvider,
    /// It could not read the question.
    #[error("it does not understand us")]
    Malformed,
}
