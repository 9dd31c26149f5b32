//! A node's signing key.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use rand::CryptoRng;
use shoal_proto::NodeId;
use zeroize::Zeroizing;

use crate::agreement::VrfKey;
use crate::canonical::Canonical;

/// A node's Ed25519 signing key, which is its libp2p identity too. Wiped when dropped; no
/// `Debug`, no `Clone`.
pub struct Identity(SigningKey);

impl Identity {
    /// A new identity.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self(SigningKey::from_bytes(&seed))
    }

    /// From the 32-byte seed of RFC 8032.
    #[must_use]
    pub fn from_bytes(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The 32-byte seed of RFC 8032.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key, by which everybody names this node.
    #[must_use]
    pub fn id(&self) -> NodeId {
        NodeId::new(self.0.verifying_key().to_bytes())
    }

    /// The key for the proofs of what this node proposes. It follows from the identity's secret by a hash, so
    /// that there is one secret to keep, and tells nothing of it.
    #[must_use]
    pub fn vrf_key(&self) -> VrfKey {
        let secret = self.to_bytes();
        let hash = Canonical::new("shoal vrf key 1").bytes(secret.as_slice());
        VrfKey::from_bytes(&Zeroizing::new(hash.finish()))
    }

    /// Ed25519 signature of a message, which must begin with a domain of its own.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// Whether the signature is the node's, by strict verification: no weak keys, no second form of
/// the same signature.
pub(crate) fn verify(id: &NodeId, message: &[u8], signature: &[u8; 64]) -> bool {
    verify_by(id.as_bytes(), message, signature)
}

/// As [`verify`], by any key.
pub(crate) fn verify_by(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(key).is_ok_and(|key| {
        key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature))
            .is_ok()
    })
}

/// Whether the identifier is a key that signatures can be verified with.
pub(crate) fn usable(id: &NodeId) -> bool {
    usable_key(id.as_bytes())
}

/// As [`usable`], for any key.
pub(crate) fn usable_key(key: &[u8; 32]) -> bool {
    VerifyingKey::from_bytes(key).is_ok_and(|key| !key.is_weak())
}
