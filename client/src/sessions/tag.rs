//! What tells a session from others.

use blake2::{Blake2b256, Digest};

use crate::rows::TAG_BYTES;

/// What tells a session from others, on both ends alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag([u8; TAG_BYTES]);

impl Tag {
    pub(super) const fn new(bytes: [u8; TAG_BYTES]) -> Self {
        Self(bytes)
    }

    /// Of the library's name for it.
    pub(super) fn of(session: &str) -> Self {
        let hash = Blake2b256::new_with_prefix(b"shoal session")
            .chain_update(session.as_bytes())
            .finalize();
        Self(hash.first_chunk().copied().unwrap_or_default())
    }

    pub(super) const fn as_bytes(&self) -> &[u8; TAG_BYTES] {
        &self.0
    }
}
