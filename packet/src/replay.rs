//! What a node remembers of a packet.

use std::fmt;

/// Names a packet at one hop under one key: the same for every copy of it, and to nobody else a
/// link between hops.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplayTag([u8; Self::BYTES]);

impl ReplayTag {
    /// How many bytes a tag has.
    pub const BYTES: usize = 32;

    /// The tag with these bytes, as read back from a log.
    #[must_use]
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

/// Redacted.
impl fmt::Debug for ReplayTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplayTag(..)")
    }
}
