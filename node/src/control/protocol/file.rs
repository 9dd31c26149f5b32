//! Files, as the local API has them.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// What is in a file. Redacted in logs, and wiped when dropped.
#[derive(Clone, PartialEq)]
pub struct Content(pub Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content(..)")
    }
}

/// Files that are sent, or have come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FileList {
    /// They, those begun last first.
    pub files: Vec<FileStatus>,
}

/// A file that is sent, or comes, and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FileStatus {
    /// Its id here, base58.
    pub file: String,
    /// It comes from the contact; else it goes there.
    pub incoming: bool,
    /// The contact's key, base58.
    pub contact: String,
    /// What the contact is called here; may be empty.
    #[serde(default)]
    pub label: String,
    /// What the file is called, made fit to be a file's name here; empty as long as that has not come.
    pub name: String,
    /// How many bytes it has.
    pub size: u64,
    /// How it is.
    pub state: FileState,
    /// How many pieces it has, of 74,792 bytes each but the last.
    pub pieces: u32,
    /// How many of them are stored at the contact's mailbox, or are here.
    pub done: u32,
    /// When it was accepted here, or when its first piece came; microseconds since the Unix epoch.
    pub begun_at_us: u64,
    /// How long it still takes in the mean until all pieces are stored, in milliseconds, if nothing is in the way; none
    /// for one that comes, or is done with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_ms: Option<u64>,
    /// Why it failed or was refused, or what keeps it from going on, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// It is on this machine's disk, and its pieces are sent.
    Sending,
    /// All of it is on the disk of the contact's mailbox.
    Stored,
    /// The contact says that all of it is on its disk.
    Delivered,
    /// The time to live of a piece passed before the contact's mailbox had it: the rest is sent no more.
    Expired,
    /// It can't be sent on.
    Failed,
    /// It comes.
    Receiving,
    /// All of it is here, as it was sent.
    Complete,
    /// All of it came, and it is not what its sender said: it is deleted.
    Damaged,
    /// Nothing of it has come for as long as the network keeps messages: it is deleted.
    Stalled,
    /// It was removed: told once, and not listed.
    Removed,
    /// There was no room for it here: what comes of it is deleted.
    Refused,
}

impl FileState {
    /// Nothing more becomes of it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Sending | Self::Receiving)
    }
}
