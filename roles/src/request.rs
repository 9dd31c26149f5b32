//! Requests beside packets: what may be asked of a node, and how long questions and answers may be.

use shoal_topology::{MAX_SYNC_REQUEST_BYTES, MAX_SYNC_RESPONSE_BYTES};

/// The kinds of requests. Each has a protocol of its own, and one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestKind {
    /// Directory synchronisation: a `SyncRequest`, or nothing from a client, and a `SyncResponse`.
    Directory,
    /// A client introduces itself to its entry provider: `AttachRequest` and `AttachResponse`.
    Attach,
}

impl RequestKind {
    /// Most bytes of a question.
    #[must_use]
    pub const fn most_asked(self) -> usize {
        match self {
            Self::Directory => MAX_SYNC_REQUEST_BYTES,
            Self::Attach => 1024,
        }
    }

    /// Most bytes of an answer.
    #[must_use]
    pub const fn most_answered(self) -> usize {
        match self {
            Self::Directory => MAX_SYNC_RESPONSE_BYTES,
            Self::Attach => 1024,
        }
    }
}
