//! Nodes' keys.

use crate::error::{KeyFault, PacketError};
use curve25519_dalek::montgomery::MontgomeryPoint;
use rand::CryptoRng;
use std::fmt;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// A node's Sphinx key of one epoch. Zeroized on drop; has no Debug.
#[derive(Clone)]
pub struct SphinxSecret(StaticSecret);

impl SphinxSecret {
    /// A new key.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut());
        Self::from_bytes(*bytes)
    }

    /// The key that [`SphinxSecret::to_bytes`] gave. Any 32 bytes are one (RFC 7748 clamps).
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(StaticSecret::from(*Zeroizing::new(bytes)))
    }

    /// Its bytes, to be kept as safely as the key.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> SphinxPublic {
        SphinxPublic(PublicKey::from(&self.0).to_bytes())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Stands where there is no packet to work on.
    pub(crate) fn idle() -> Self {
        Self(StaticSecret::from([0; 32]))
    }
}

/// The public half of a node's Sphinx key: canonical, on the curve, in the subgroup of prime
/// order. Only there may blinding factors be multiplied modulo the group's order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SphinxPublic([u8; 32]);

impl SphinxPublic {
    /// The key with these bytes (u coordinate, little-endian).
    ///
    /// # Errors
    /// [`PacketError::Key`] for encodings that are not canonical, for points of low order, with a
    /// torsion component, or on the twist.
    pub fn parse(bytes: [u8; 32]) -> Result<Self, PacketError> {
        match fault(&bytes) {
            None => Ok(Self(bytes)),
            Some(fault) => Err(PacketError::Key(fault)),
        }
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Redacted: keys of a route's hops name the hops.
impl fmt::Debug for SphinxPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SphinxPublic(..)")
    }
}

fn fault(bytes: &[u8; 32]) -> Option<KeyFault> {
    if !is_canonical(bytes) {
        return Some(KeyFault::NotCanonical);
    }
    // u = -1 has order four, but on the twist: the conversion below would call it that.
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    minus_one[31] = 0x7f;
    if *bytes == minus_one {
        return Some(KeyFault::LowOrder);
    }
    // Both signs of the Edwards point have the same order.
    let Some(point) = MontgomeryPoint(*bytes).to_edwards(0) else {
        return Some(KeyFault::Twist);
    };
    if point.is_small_order() {
        return Some(KeyFault::LowOrder);
    }
    (!point.is_torsion_free()).then_some(KeyFault::Torsion)
}

/// Whether the bytes are below 2^255 - 19, so that no other bytes name the same point.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    let near_the_top = *high == 0x7f && middle.iter().all(|byte| *byte == 0xff);
    high & 0x80 == 0 && !(near_the_top && *low >= 0xed)
}
