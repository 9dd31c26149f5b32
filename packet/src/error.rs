//! What is wrong with bytes, keys and packets.

use crate::backend::Backend;
use shoal_proto::size::{MAX_HOPS, PLAINTEXT_BYTES};
use thiserror::Error;

/// Why bytes are not a packet, or a packet can't be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The sender of these bytes is at fault: everything here has one size.
    #[error("expected {expected} bytes, found {found}")]
    Length {
        /// Bytes that it has.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// The publisher of this key is at fault.
    #[error("not a Sphinx key: {0}")]
    Key(#[source] KeyFault),
    /// The caller is at fault: the route has too few or too many hops.
    #[error("a route has {least} to {MAX_HOPS} hops, this one {found}")]
    Route {
        /// Fewest hops of such a packet.
        least: usize,
        /// Hops that were given.
        found: usize,
    },
    /// The caller is at fault: the text does not fit one packet.
    #[error("a plaintext has at most {PLAINTEXT_BYTES} bytes, this one {found}")]
    Plaintext {
        /// Bytes that were given.
        found: usize,
    },
    /// The caller is at fault: keys could not be found by an identifier of zeros.
    #[error("a reply block's identifier is all zeros")]
    ZeroIdentifier,
    /// The payload does not open under these keys: altered on the way, or another reply's.
    #[error("the reply does not open: altered on its way, or not for this reply block")]
    Unreadable,
    /// What was kept to read a reply is damaged.
    #[error("{found} bytes are not the keys to a reply")]
    Keys {
        /// Bytes that were given.
        found: usize,
    },
}

/// This machine, or this build, has not got a back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the back end {0} is not available on this machine or in this build")]
pub struct BackendMissing(pub Backend);

/// What is wrong with a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// Another encoding names the same point: not below 2^255 - 19.
    #[error("its encoding is not the canonical one")]
    NotCanonical,
    /// The shared secret with it is known to everybody.
    #[error("it has low order")]
    LowOrder,
    /// The blinding of Sphinx is wrong off the curve.
    #[error("it lies on the twist of the curve")]
    Twist,
    /// The blinding of Sphinx is wrong outside the subgroup of prime order.
    #[error("it has a torsion component")]
    Torsion,
}

/// Why a packet was dropped at this hop. All of these are the sender's fault, or of somebody on
/// the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnwrapError {
    /// Not the bytes of a packet.
    #[error("malformed packet")]
    Malformed,
    /// Its group element has low order: the shared secret would be public.
    #[error("group element of low order")]
    LowOrder,
    /// The header was altered, or is meant for another key.
    #[error("the header's MAC does not fit")]
    Mac,
    /// The caller has seen the tag.
    #[error("replayed")]
    Replayed,
    /// Not version 260.
    #[error("unknown Sphinx version")]
    Version,
    /// Neither a hop's nor a final hop's routing information.
    #[error("unknown kind of routing information")]
    Routing,
}

impl UnwrapError {
    /// All of them, for counters.
    pub const ALL: [Self; 6] = [
        Self::Malformed,
        Self::LowOrder,
        Self::Mac,
        Self::Replayed,
        Self::Version,
        Self::Routing,
    ];

    /// The label under which a drop for this reason is counted.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::LowOrder => "low_order",
            Self::Mac => "mac",
            Self::Replayed => "replayed",
            Self::Version => "version",
            Self::Routing => "routing",
        }
    }
}
