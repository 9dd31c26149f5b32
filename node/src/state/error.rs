//! What can be wrong with the files, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use shoal_provider::StoreError;
use thiserror::Error;

use super::sealed::OpenError;

/// What is wrong with the files of a node or client. Every message says what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StateError {
    /// The system refused.
    #[error("can't {action} {path}: {error}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// There is something already.
    #[error("{path} exists already, and is not overwritten; move it away first", path = .0.display())]
    Exists(PathBuf),
    /// A file that should be there is not.
    #[error("{path} does not exist: {advice}", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// Where it comes from.
        advice: &'static str,
    },
    /// Others can read or change a secret.
    #[error(
        "{path} has mode {mode:04o}, so others on this machine may have read or changed it; if \
         they have not, run `chmod {right:o} {path}`",
        path = path.display()
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        right: u32,
    },
    /// A secret belongs to somebody else.
    #[error(
        "{path} belongs to user {owner} and this process runs as user {user}; run it as the \
         owner, or give the directory to the right user with chown",
        path = path.display()
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// Not a regular file: a link, a device, a directory.
    #[error("{path} is not a regular file; put the file itself there", path = .0.display())]
    Kind(PathBuf),
    /// A database whose rows have another layout.
    #[error(
        "{path} was written by another release: it has layout {found}, and this one knows {known}; \
         {advice}",
        path = path.display()
    )]
    Layout {
        /// The file.
        path: PathBuf,
        /// The layout of the file.
        found: i64,
        /// The layout that this release reads and writes.
        known: i64,
        /// What to do.
        advice: &'static str,
    },
    /// The content can't be right.
    #[error("{path} is damaged: {what}; {advice}", path = path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// What is in PostgreSQL can't be read or written.
    #[error("the node's state in PostgreSQL: {0}")]
    Database(StoreError),
    /// What is in PostgreSQL can't be right.
    #[error(
        "the node's state in PostgreSQL is damaged: {0}; restore no backup, which would have packets taken twice and votes \
         contradicted: rename the schema and let the node begin anew (docs/operators.md, Mailboxes in PostgreSQL)"
    )]
    Rows(String),
    /// Another process of this node goes on with what this one has kept.
    #[error(
        "another process of this node has taken over, and this one may write nothing more: it ends what it does"
    )]
    Overtaken,
    /// There are two places where the state could be, or none where it should.
    #[error("{0}")]
    Place(String),
    /// The passphrase is another one. Nothing says how far from the right one it is, or whether it was altered
    /// instead.
    #[error(
        "the passphrase does not open {path}: try again; nothing was changed, and there is no limit to tries",
        path = .0.display()
    )]
    Passphrase(PathBuf),
    /// It is under a passphrase, and none was given.
    #[error(
        "{path} is under a passphrase: run this on a terminal, which asks for it, or put it into a file that only you \
         can read and give that with --passphrase-file, in SHOAL_PASSPHRASE_FILE, or as the systemd credential \
         `shoal-passphrase`",
        path = .0.display()
    )]
    NoPassphrase(PathBuf),
    /// A passphrase was given, and it is under none.
    #[error(
        "a passphrase was given, and {path} is under none: leave it out, or put the client under one with \
         `shoal client passphrase`; if it was under one before, somebody has put another file there",
        path = .0.display()
    )]
    Unsealed(PathBuf),
    /// A passphrase could not be tried.
    #[error("can't try the passphrase of {path}: {error}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        error: OpenError,
    },
    /// Another process uses the directory.
    #[error(
        "{path} is in use by another process{}; stop that one first",
        process.map_or_else(String::new, |process| format!(" (number {process})")),
        path = path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other process, if it said which it is.
        process: Option<u32>,
    },
}

impl StateError {
    /// Why something under a passphrase does not open.
    pub(super) fn open(path: &Path, error: OpenError, advice: &'static str) -> Self {
        let path = path.to_owned();
        match error {
            OpenError::Passphrase => Self::Passphrase(path),
            OpenError::Memory(_) => Self::Open { path, error },
            _ => Self::Corrupt {
                path,
                what: error.to_string(),
                advice,
            },
        }
    }

    /// An error of the system's, while doing something to a path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io {
            action,
            path,
            error,
        }
    }
}

impl From<StoreError> for StateError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Overtaken,
            other => Self::Database(other),
        }
    }
}
