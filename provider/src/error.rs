//! Why a store could not do what it was asked.

use thiserror::Error;

/// Why a store could not do what it was asked. Nothing of the group of operations that met it was
/// kept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process holds the database.
    #[error(
        "the mailbox database is in use by another process: stop the other node, or give this one \
         a state directory of its own (in PostgreSQL a schema)"
    )]
    Busy,
    /// No room is left.
    #[error(
        "the disk with the mailbox database is full: free some space; deposits are refused until \
         then, and everything stored before is kept"
    )]
    DiskFull,
    /// Less is free than the reserve that deletions need, or than it takes for deposits to go on.
    #[error(
        "the disk with the mailbox database has {} MiB free, and {} MiB are kept in reserve \
         (storage.reserve) so that what is stored can still be deleted: free some space; deposits are \
         taken again from {} MiB free on, and everything stored before is kept",
        free >> 20, reserve >> 20, resumes >> 20
    )]
    Reserve {
        /// Bytes that are free.
        free: u64,
        /// Bytes that are kept.
        reserve: u64,
        /// Free bytes from which on deposits are taken again.
        resumes: u64,
    },
    /// The operating system failed to read or write.
    #[error("the mailbox database cannot be read or written ({0}): check the disk and its mount")]
    Io(String),
    /// The directory or the file does not let us write.
    #[error(
        "the mailbox database cannot be opened for writing ({0}): check that the state directory \
         exists and belongs to the node's user"
    )]
    Permission(String),
    /// The PostgreSQL server can't be reached, or breaks off.
    #[error(
        "the PostgreSQL server of the mailboxes cannot be used ({0}): check that it runs and takes \
         connections from this machine; what was stored is kept, and the next deposit tries again"
    )]
    Server(String),
    /// The PostgreSQL server does not let us in, or not write.
    #[error(
        "PostgreSQL does not let the node use the mailboxes ({0}): check the user, its password, that it \
         may create the schema or owns it, and that the server is no read-only replica"
    )]
    Rights(String),
    /// What was set for the store can't be used.
    #[error("the mailbox database cannot be used as it is set ({0})")]
    Setting(String),
    /// The database was sealed with another key.
    #[error(
        "the mailbox database is sealed with another key than this one: restore the file store.key that belongs to it (a \
         node that takes over in PostgreSQL needs the same); without it what is stored can't be read"
    )]
    Key,
    /// The database is older than what is known of it.
    #[error(
        "the PostgreSQL database was put back to what it was before: it knows of {found} takeovers, and this node of {known}. A \
         backup was restored, or a replica that was behind took the server's place: whoever goes on with it takes packets \
         twice and votes twice. See docs/operators.md, Mailboxes in PostgreSQL, what to do after that"
    )]
    Older {
        /// The takeovers that the database knows of.
        found: i64,
        /// Those that the node knows of.
        known: i64,
    },
    /// The file is a database of ours, and damaged.
    #[error(
        "the mailbox database is damaged ({0}): stop the node, move the file away together with \
         its -wal file (in PostgreSQL rename the schema), and restore a backup or start empty"
    )]
    Corrupt(String),
    /// The file is something else.
    #[error(
        "this is not a mailbox database of Shoal ({0}): name another file (in PostgreSQL a schema), \
         or move this one away"
    )]
    Foreign(String),
    /// The database was written by another release.
    #[error(
        "the mailbox database has schema version {found}, and this release knows {known}: {}",
        advice(*found, *known)
    )]
    Version {
        /// The version in the file.
        found: i64,
        /// The version that this release reads and writes.
        known: i64,
    },
    /// A mistake of ours.
    #[error("the mailbox database met an error that should not happen ({0}): please report it")]
    Bug(String),
}

/// What to do with a database of another version.
const fn advice(found: i64, known: i64) -> &'static str {
    if found < known {
        "let the release that wrote it make a copy (`shoal provider store export`), move the file away together with its -wal \
         file (in PostgreSQL rename the schema), and import the copy with this release (`shoal provider store import`). If it \
         makes none that this release takes, run it until what it holds is delivered or has expired, and start empty; clients \
         open their mailboxes anew"
    } else {
        "run the release that wrote it, or a newer one"
    }
}

impl StoreError {
    /// Whether the disk has no room for deposits: they are refused, and their senders told.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::DiskFull | Self::Reserve { .. })
    }

    /// A label for counters: one word out of a fixed set.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::DiskFull | Self::Reserve { .. } => "disk_full",
            Self::Io(_) => "io",
            Self::Server(_) => "server",
            Self::Permission(_) | Self::Rights(_) => "permission",
            Self::Setting(_) | Self::Key => "setting",
            Self::Corrupt(_) | Self::Older { .. } => "corrupt",
            Self::Foreign(_) => "foreign",
            Self::Version { .. } => "version",
            Self::Bug(_) => "bug",
        }
    }
}
