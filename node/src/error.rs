//! How a command or a daemon ends: with which exit code, and what it says if it did not do what it was
//! asked to.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};
use thiserror::Error;

use crate::net::NetError;
use crate::state::StateError;

/// The ways to end. Each has an exit code of its own, so that scripts can tell them apart: this is the
/// one list of them, from which the help text is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// Done.
    Done,
    /// Something failed while it ran.
    Failed,
    /// The command line, the environment or a file that the user wrote is wrong.
    Usage,
    /// Nobody is there to ask. Nothing was accepted.
    Unreachable,
    /// A message was accepted, and is not stored yet. Sending it again would send it twice.
    Accepted,
    /// What was waited for did not come in time.
    Late,
    /// The daemon refused for now. Nothing was accepted; later it may work.
    Refused,
    /// A message's time to live passed before its receiver's mailbox had it.
    Expired,
    /// There is something else by that name, which stays as it is.
    Exists,
    /// A message was handed over, and no answer came: it may be accepted, or not.
    Uncertain,
    /// Another copy of the client has taken its mailbox over.
    Superseded,
    /// Warnings were told, and `--strict` takes them for errors.
    Warned,
    /// What nodes say of the directory does not verify, or contradicts itself.
    Unsound,
    /// A node is not ready, or something keeps it from its work.
    NotReady,
    /// A mailbox store is damaged.
    Damaged,
    /// A passphrase was not given, or is another.
    Sealed,
    /// A signal asked us to stop before the work was done.
    Interrupted,
    /// Nobody reads standard output any more (`shoal … | head`): the code of a program that SIGPIPE
    /// ends.
    Unread,
}

impl Exit {
    /// Every way, by its code.
    pub const ALL: [Self; 18] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Unreachable,
        Self::Accepted,
        Self::Late,
        Self::Refused,
        Self::Expired,
        Self::Exists,
        Self::Uncertain,
        Self::Superseded,
        Self::Warned,
        Self::Unsound,
        Self::NotReady,
        Self::Damaged,
        Self::Sealed,
        Self::Interrupted,
        Self::Unread,
    ];

    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Accepted => 4,
            Self::Late => 5,
            Self::Refused => 6,
            Self::Expired => 7,
            Self::Exists => 8,
            Self::Uncertain => 9,
            Self::Superseded => 10,
            Self::Warned => 11,
            Self::Unsound => 12,
            Self::NotReady => 13,
            Self::Damaged => 14,
            Self::Sealed => 15,
            Self::Interrupted => 130,
            Self::Unread => 141,
        }
    }

    /// What `--json` calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Unreachable => "unreachable",
            Self::Accepted => "accepted",
            Self::Late => "late",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Exists => "exists",
            Self::Uncertain => "uncertain",
            Self::Superseded => "superseded",
            Self::Warned => "warned",
            Self::Unsound => "unsound",
            Self::NotReady => "not_ready",
            Self::Damaged => "damaged",
            Self::Sealed => "sealed",
            Self::Interrupted => "interrupted",
            Self::Unread => "unread",
        }
    }

    /// What it means, for the help text.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "it failed while it ran",
            Self::Usage => {
                "the command line, the environment or a file that the user gave is wrong"
            }
            Self::Unreachable => "nobody is there to ask; nothing was accepted",
            Self::Accepted => {
                "the message is accepted and not stored yet: don't send it again, the daemon goes on"
            }
            Self::Late => "what was waited for did not come in time",
            Self::Refused => "refused for now: nothing was accepted, try again later",
            Self::Expired => "the message's time passed before the receiver's mailbox had it",
            Self::Exists => "there is something else by that name already, and it stays",
            Self::Uncertain => {
                "no answer: the message may be accepted or not; with the same --idempotency-key it is \
                 safe to send it again"
            }
            Self::Superseded => {
                "another copy of the client has its keys and has taken the mailbox over: nothing comes \
                 here any more; stop one of the two"
            }
            Self::Warned => "there are warnings, no errors, and --strict was given",
            Self::Unsound => {
                "what nodes say of the directory does not verify, or contradicts itself: don't go by it"
            }
            Self::NotReady => {
                "the node is not ready, or something keeps it from its work: it was told what, and what to do"
            }
            Self::Damaged => "a mailbox store is damaged: it was told what, and what to do",
            Self::Sealed => {
                "it is under a passphrase that was not given, or is another; nothing was changed"
            }
            Self::Interrupted => "interrupted; a message that was handed over may be accepted",
            Self::Unread => "nobody reads standard output any more",
        }
    }

    /// All codes, a line each, for the help text.
    #[must_use]
    pub fn table() -> String {
        let mut table = "Exit codes:".to_owned();
        for exit in Self::ALL {
            // Writing into a string can't fail.
            let _ = write!(table, "\n  {:<4} {}", exit.code(), exit.meaning());
        }
        table
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command ended without doing what it was asked to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Failure {
    /// [`Exit::Failed`].
    #[error("{0:#}")]
    Failed(anyhow::Error),
    /// [`Exit::Usage`].
    #[error("{0:#}")]
    Usage(anyhow::Error),
    /// [`Exit::Unreachable`].
    #[error("{0:#}")]
    Unreachable(anyhow::Error),
    /// [`Exit::Interrupted`].
    #[error("interrupted")]
    Interrupted,
    /// [`Exit::Unread`].
    #[error("nobody reads standard output any more")]
    Unread,
    /// Another way to end.
    #[error("{error:#}")]
    Other {
        /// Which.
        exit: Exit,
        /// Why.
        error: anyhow::Error,
    },
    /// What was found stands on standard output, because it was asked for.
    #[error("{error:#}")]
    Told {
        /// How the command ends.
        exit: Exit,
        /// The same in a few words.
        error: anyhow::Error,
    },
    /// What became of a message that has been accepted, if that is not what was waited for.
    #[error("{error:#}")]
    OfMessage {
        /// How the command ends.
        exit: Exit,
        /// The message's id, base58.
        message: String,
        /// Why.
        error: anyhow::Error,
    },
}

impl Failure {
    /// A failure while running.
    pub fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self::Failed(error.into())
    }

    /// A mistake in what the user wrote.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::Usage(error.into())
    }

    /// Somebody who did not answer.
    pub fn unreachable(error: impl Into<anyhow::Error>) -> Self {
        Self::Unreachable(error.into())
    }

    /// Another way to end.
    pub fn other(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self::Other {
            exit,
            error: error.into(),
        }
    }

    /// The same failure, of a command that has this message accepted.
    #[must_use]
    pub fn of_message(self, message: &str) -> Self {
        Self::OfMessage {
            exit: self.exit(),
            message: message.to_owned(),
            error: match self {
                Self::Failed(error) | Self::Usage(error) | Self::Unreachable(error) => error,
                Self::Other { error, .. }
                | Self::Told { error, .. }
                | Self::OfMessage { error, .. } => error,
                ended @ (Self::Interrupted | Self::Unread) => anyhow::anyhow!("{ended}"),
            },
        }
    }

    /// How the command ends.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Failed(_) => Exit::Failed,
            Self::Usage(_) => Exit::Usage,
            Self::Unreachable(_) => Exit::Unreachable,
            Self::Interrupted => Exit::Interrupted,
            Self::Unread => Exit::Unread,
            Self::Other { exit, .. } | Self::Told { exit, .. } | Self::OfMessage { exit, .. } => {
                *exit
            }
        }
    }

    /// What `--json` prints of it: `error` with its kind, the exit code and words, and the id of the
    /// message that was accepted, if there is one.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let exit = self.exit();
        let error = json!({
            "kind": exit.name(),
            "code": exit.code(),
            "message": self.to_string(),
        });
        match self {
            Self::OfMessage { message, .. } => json!({ "error": error, "message": message }),
            _ => json!({ "error": error }),
        }
    }
}

impl From<StateError> for Failure {
    /// What exists already is in the way of what the user asked for, and what is missing or is another's
    /// is the user's to set right; the rest fails by itself, and may be over at the next try: a service
    /// is started again after it.
    fn from(error: StateError) -> Self {
        match error {
            StateError::Exists(_) => Self::other(Exit::Exists, error),
            StateError::Passphrase(_) | StateError::NoPassphrase(_) => {
                Self::other(Exit::Sealed, error)
            }
            StateError::Missing { .. }
            | StateError::Mode { .. }
            | StateError::Owner { .. }
            | StateError::Kind(_)
            | StateError::Unsealed(_)
            | StateError::Layout { .. }
            | StateError::Corrupt { .. } => Self::usage(error),
            _ => Self::failed(error),
        }
    }
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Self {
        if error.is_mistake() {
            Self::usage(error)
        } else {
            Self::failed(error)
        }
    }
}

impl From<&Failure> for ExitCode {
    fn from(error: &Failure) -> Self {
        Self::from(error.exit())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_way_to_end_has_a_code_and_a_name_of_its_own_and_stands_in_the_table() {
        let codes = BTreeSet::from_iter(Exit::ALL.map(Exit::code));
        let names = BTreeSet::from_iter(Exit::ALL.map(Exit::name));
        assert_eq!(
            (codes.len(), names.len()),
            (Exit::ALL.len(), Exit::ALL.len())
        );
        let table = Exit::table();
        for exit in Exit::ALL {
            assert!(table.contains(exit.meaning()), "{exit:?}");
        }
    }

    #[test]
    fn a_program_finds_the_message_in_what_went_wrong_with_it() {
        let late = Failure::other(Exit::Accepted, anyhow::anyhow!("not stored yet"));
        let json = late.of_message("m1").to_json();
        assert_eq!(json["message"], "m1");
        assert_eq!(json["error"]["kind"], "accepted");
        assert_eq!(json["error"]["code"], 4);
        assert_eq!(
            Failure::Interrupted.of_message("m1").exit(),
            Exit::Interrupted
        );
    }
}
