//! A packet's header: alpha, gamma and beta of the paper (Sphinx 2009, section 3.2), laid out as
//! sphinx-packet 0.8 does in version 260.
//!
//! | bytes | of the header |
//! |---|---|
//! | 0..32 | alpha: the group element, a u coordinate |
//! | 32..48 | gamma: the MAC over beta, HMAC-SHA256 cut to 16 bytes |
//! | 48..348 | beta: routing information, encrypted |

use crate::bytes::Reader;
use crate::error::UnwrapError;
use crate::kdf::HmacKey;
use crate::keys::{HopKeys, MAC_KEY_BYTES, STREAM_KEY_BYTES};
use aes::Aes128;
use ctr::cipher::{KeyIvInit, StreamCipher};
use shoal_proto::size::{HEADER_BYTES, MAX_HOPS};
use shoal_proto::{NodeId, Span, SurbId};
use std::ops::Range;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub(crate) const ALPHA: Range<usize> = 0..32;
pub(crate) const GAMMA: Range<usize> = ALPHA.end..ALPHA.end + MAC_BYTES;
pub(crate) const BETA: Range<usize> = GAMMA.end..HEADER_BYTES;
pub(crate) const MAC_BYTES: usize = 16;
/// Flag, version, node and delay: what one hop is told.
pub(crate) const META_BYTES: usize = 1 + 3 + 32 + 8;
/// What one hop takes up in the routing information.
pub(crate) const STEP_BYTES: usize = META_BYTES + MAC_BYTES;
pub(crate) const BETA_BYTES: usize = STEP_BYTES * MAX_HOPS;
/// Beta and the zeros that a hop appends before decrypting, so that the next header has its
/// length again.
pub(crate) const PADDED_BYTES: usize = BETA_BYTES + STEP_BYTES;
/// Flag, version, destination and identifier: what the final hop is told.
pub(crate) const FINAL_BYTES: usize = 1 + 3 + 32 + SurbId::BYTES;

const _: () = assert!(BETA_BYTES == BETA.end - BETA.start && BETA_BYTES == 300);

pub(crate) const FORWARD: u8 = 1;
pub(crate) const FINAL: u8 = 2;
/// Version 260, as three bytes.
pub(crate) const VERSION: [u8; 3] = [0, 1, 4];
/// Delays are nanoseconds on the wire.
pub(crate) const NANOS_PER_MICRO: u64 = 1_000;

/// XORs the stream of a hop's key into routing information: AES-128-CTR from a counter of zero.
pub(crate) fn apply_stream(key: &[u8; STREAM_KEY_BYTES], routing: &mut [u8]) {
    ctr::Ctr64BE::<Aes128>::new(key.into(), &[0; 16].into()).apply_keystream(routing);
}

/// The MAC over encrypted routing information.
pub(crate) fn mac(key: &[u8; MAC_KEY_BYTES], beta: &[u8]) -> [u8; MAC_BYTES] {
    let mut cut = [0; MAC_BYTES];
    cut.copy_from_slice(&HmacKey::new(key).mac(beta)[..MAC_BYTES]);
    cut
}

/// Whether a header's MAC holds under these keys.
pub(crate) fn authentic(keys: &HopKeys, header: &[u8; HEADER_BYTES]) -> bool {
    let expected = mac(&keys.mac, &header[BETA]);
    expected.as_slice().ct_eq(&header[GAMMA]).into()
}

/// Decrypted routing information, with the next header's at its end.
pub(crate) struct Opened(Zeroizing<[u8; PADDED_BYTES]>);

impl Opened {
    /// Decrypts a header's routing information.
    pub(crate) fn decrypt(keys: &HopKeys, header: &[u8; HEADER_BYTES]) -> Self {
        let mut padded = Zeroizing::new([0; PADDED_BYTES]);
        padded[..BETA_BYTES].copy_from_slice(&header[BETA]);
        apply_stream(&keys.stream, padded.as_mut_slice());
        Self(padded)
    }

    /// What it says.
    pub(crate) fn parse(&self) -> Result<Routing, UnwrapError> {
        Routing::parse(self.0.as_slice())
    }

    /// MAC and routing information for the next hop.
    pub(crate) fn next(&self) -> &[u8] {
        &self.0[META_BYTES..]
    }
}

/// What routing information says to a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// To be passed on.
    Forward {
        /// Where to. Chosen by the sender: send only to members that fit the layers.
        next: NodeId,
        /// How long to hold it, from its arrival. Chosen by the sender: clamp it. Parts of a
        /// microsecond are dropped.
        delay: Span,
    },
    /// It ends here.
    Final {
        /// The handle of a client, or random.
        destination: [u8; 32],
        /// The identifier of the reply block, or random. All zeros only if the sender broke the
        /// rules.
        id: SurbId,
    },
}

impl Routing {
    pub(crate) fn parse(routing: &[u8]) -> Result<Self, UnwrapError> {
        let mut reader = Reader::new(routing);
        let flag = reader.u8().ok_or(UnwrapError::Malformed)?;
        let version: [u8; 3] = reader.array().ok_or(UnwrapError::Malformed)?;
        if version != VERSION {
            return Err(UnwrapError::Version);
        }
        match flag {
            FORWARD => Self::forward(reader).ok_or(UnwrapError::Malformed),
            FINAL => Self::last(reader).ok_or(UnwrapError::Malformed),
            _ => Err(UnwrapError::Routing),
        }
    }

    fn forward(mut reader: Reader<'_>) -> Option<Self> {
        Some(Self::Forward {
            next: NodeId::new(reader.array()?),
            delay: Span::from_micros(reader.u64()? / NANOS_PER_MICRO),
        })
    }

    fn last(mut reader: Reader<'_>) -> Option<Self> {
        Some(Self::Final {
            destination: reader.array()?,
            id: SurbId::new(reader.array()?),
        })
    }
}
