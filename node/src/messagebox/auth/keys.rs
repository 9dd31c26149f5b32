//! Identity keys of the message-box world, and what is derived of two of them: BRC-42 and BRC-43, over secp256k1.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;
use hmac::{Hmac, KeyInit as _, Mac as _};
use k256::ecdsa::signature::hazmat::{PrehashSigner as _, PrehashVerifier as _};
use k256::ecdsa::{Signature, SigningKey, VerifyingKey};
use k256::elliptic_curve::ops::Reduce as _;
use k256::elliptic_curve::sec1::ToSec1Point as _;
use k256::{FieldBytes, NonZeroScalar, ProjectivePoint, PublicKey, Scalar, SecretKey};
use rand::CryptoRng;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

/// The protocol of BRC-103's signatures, as BRC-43 writes it before a key's id.
const PROTOCOL: &str = "2-auth message signature-";

/// Longest key id.
const MAX_KEY_ID: usize = 800;

/// A public key of that world: 33 bytes, a point on the curve.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::messagebox) struct IdentityKey([u8; 33]);

/// This is no identity key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an identity key is a compressed point of secp256k1, 66 hexadecimal digits that begin with 02 or 03"
)]
pub(in crate::messagebox) struct NotAKey;

impl IdentityKey {
    /// The key of these bytes.
    ///
    /// # Errors
    /// [`NotAKey`] if they are no point on the curve, or not in the compressed form.
    pub(in crate::messagebox) fn new(bytes: [u8; 33]) -> Result<Self, NotAKey> {
        let key = Self(bytes);
        key.point().map(|_| key)
    }

    /// The key of bytes that were one when they were written to the disk. What is no point proves and signs nothing.
    pub(in crate::messagebox) const fn kept(bytes: [u8; 33]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub(in crate::messagebox) const fn as_bytes(&self) -> &[u8; 33] {
        &self.0
    }

    fn point(&self) -> Result<PublicKey, NotAKey> {
        PublicKey::from_sec1_bytes(&self.0).map_err(|_| NotAKey)
    }

    fn of(point: &PublicKey) -> Result<Self, NotAKey> {
        let point = point.to_sec1_point(true);
        let bytes = point.as_bytes().try_into().map_err(|_| NotAKey)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// Redacted: whom somebody writes to is not for logs.
impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityKey(..)")
    }
}

impl FromStr for IdentityKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        if text.len() != 66 {
            return Err(NotAKey);
        }
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
        let bytes = bytes.map_err(|_| NotAKey)?;
        Self::new(bytes.try_into().map_err(|_| NotAKey)?)
    }
}

/// A secret key of that world. It is wiped from memory when it is dropped, and has no Debug.
pub(in crate::messagebox) struct Secret(SecretKey);

impl Secret {
    /// A new one.
    pub(in crate::messagebox) fn generate<R: CryptoRng>(rng: &mut R) -> Self {
        loop {
            let mut bytes = Zeroizing::new([0; 32]);
            rng.fill_bytes(bytes.as_mut());
            // All but one in 2^128 draws are a key.
            if let Ok(key) = Self::from_bytes(&bytes) {
                return key;
            }
        }
    }

    /// The key of these bytes.
    ///
    /// # Errors
    /// [`NotAKey`] if they are zero, or the curve's order and more.
    pub(in crate::messagebox) fn from_bytes(bytes: &[u8; 32]) -> Result<Self, NotAKey> {
        SecretKey::from_slice(bytes).map(Self).map_err(|_| NotAKey)
    }

    /// Its bytes.
    #[must_use]
    pub(in crate::messagebox) fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        let mut bytes = self.0.to_bytes();
        let copy = Zeroizing::new(bytes.into());
        bytes.zeroize();
        copy
    }

    /// What others know it by.
    ///
    /// # Errors
    /// Never: every secret key has a public one.
    pub(in crate::messagebox) fn identity(&self) -> Result<IdentityKey, NotAKey> {
        IdentityKey::of(&self.0.public_key())
    }

    /// What the two sides of a key share for one key id (BRC-42): an HMAC over the protocol and the id, by their
    /// common point.
    fn tweak(&self, other: &PublicKey, key_id: &str) -> Result<Scalar, NotAKey> {
        if key_id.is_empty() || key_id.chars().count() > MAX_KEY_ID {
            return Err(NotAKey);
        }
        let secret = self.0.to_nonzero_scalar();
        let shared = other.to_projective() * *secret;
        let shared = PublicKey::from_affine(shared.to_affine()).map_err(|_| NotAKey)?;
        let mut shared = IdentityKey::of(&shared)?;
        let mac = Hmac::<Sha256>::new_from_slice(&shared.0);
        shared.0.zeroize();
        let mut mac = mac.map_err(|_| NotAKey)?;
        mac.update(PROTOCOL.as_bytes());
        mac.update(key_id.as_bytes());
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        Ok(Scalar::reduce(&FieldBytes::from(bytes)))
    }

    /// The own key for this other side and key id.
    fn own_child(&self, other: &PublicKey, key_id: &str) -> Result<SigningKey, NotAKey> {
        let child = self.tweak(other, key_id)? + *self.0.to_nonzero_scalar();
        let child: Option<NonZeroScalar> = NonZeroScalar::new(child).into();
        let child = child.ok_or(NotAKey)?;
        Ok(SigningKey::from(SecretKey::from(child)))
    }

    /// The other side's public key for us and this key id.
    fn their_child(&self, other: &PublicKey, key_id: &str) -> Result<PublicKey, NotAKey> {
        let tweak = self.tweak(other, key_id)?;
        let point = other.to_projective() + ProjectivePoint::GENERATOR * tweak;
        PublicKey::from_affine(point.to_affine()).map_err(|_| NotAKey)
    }

    /// Signs for one reader, in DER.
    ///
    /// # Errors
    /// [`NotAKey`] if the key id is empty or too long.
    pub(in crate::messagebox) fn sign(
        &self,
        reader: &IdentityKey,
        key_id: &str,
        data: &[u8],
    ) -> Result<Vec<u8>, NotAKey> {
        let key = self.own_child(&reader.point()?, key_id)?;
        let signature: Signature = key
            .sign_prehash(&Sha256::digest(data))
            .map_err(|_| NotAKey)?;
        Ok(signature.to_der().as_bytes().to_vec())
    }

    /// Whether this is the signature of `signer` over the data, made for us.
    #[must_use]
    pub(in crate::messagebox) fn verifies(
        &self,
        signer: &IdentityKey,
        key_id: &str,
        data: &[u8],
        signature: &[u8],
    ) -> bool {
        let Ok(signature) = Signature::from_der(signature) else {
            return false;
        };
        let child = signer
            .point()
            .and_then(|signer| self.their_child(&signer, key_id));
        child.is_ok_and(|child| {
            VerifyingKey::from(child)
                .verify_prehash(&Sha256::digest(data), &signature.normalize_s())
                .is_ok()
        })
    }
}

#[cfg(test)]
pub(in crate::messagebox) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use data_encoding::HEXLOWER;
    use serde_json::Value;

    use super::*;

    /// What the released SDK made: `node/tests/messagebox/vectors.mjs`.
    pub(in crate::messagebox) fn vectors() -> Value {
        serde_json::from_str(include_str!("../../../tests/messagebox/vectors.json")).unwrap()
    }

    pub(in crate::messagebox) fn bytes(value: &Value) -> Vec<u8> {
        HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
    }

    fn secret(value: &Value) -> Secret {
        Secret::from_bytes(&bytes(value).try_into().unwrap()).unwrap()
    }

    fn identity(value: &Value) -> IdentityKey {
        value.as_str().unwrap().parse().unwrap()
    }

    #[test]
    fn keys_are_derived_as_the_released_client_derives_them() {
        let vectors = vectors();
        let all = vectors["derivations"].as_array().unwrap();
        assert_eq!(all.len(), 27);
        for it in all {
            let own = secret(&it["own"]);
            assert_eq!(own.identity().unwrap(), identity(&it["identity"]));
            let other = identity(&it["counterparty"]).point().unwrap();
            let key_id = it["keyId"].as_str().unwrap();
            let child = own.own_child(&other, key_id).unwrap();
            assert_eq!(child.to_bytes().as_slice(), bytes(&it["privateKey"]));
            let theirs = own.their_child(&other, key_id).unwrap();
            assert_eq!(
                IdentityKey::of(&theirs).unwrap(),
                identity(&it["publicKey"])
            );
        }
    }

    #[test]
    fn signatures_of_the_released_client_are_taken_and_changed_ones_are_not() {
        let vectors = vectors();
        for it in vectors["signatures"].as_array().unwrap() {
            let (own, signer) = (secret(&it["verifier"]), identity(&it["signer"]));
            let key_id = it["keyId"].as_str().unwrap();
            let (data, signature) = (bytes(&it["data"]), bytes(&it["signature"]));
            assert!(own.verifies(&signer, key_id, &data, &signature));
            assert!(!own.verifies(&signer, &format!("{key_id}x"), &data, &signature));
            assert!(!own.verifies(&signer, key_id, &[&data[..], b"x"].concat(), &signature));
            assert!(!own.verifies(&signer, key_id, &data, &signature[1..]));
            let mut changed = signature.clone();
            *changed.last_mut().unwrap() ^= 1;
            assert!(!own.verifies(&signer, key_id, &data, &changed));
        }
    }

    #[test]
    fn what_one_signs_for_another_only_the_other_can_check() {
        let mut rng = crate::seeded().unwrap();
        let [a, b, c] = std::array::from_fn(|_| Secret::generate(&mut rng));
        let (to, from) = (b.identity().unwrap(), a.identity().unwrap());
        let signature = a.sign(&to, "id", b"data").unwrap();
        assert!(b.verifies(&from, "id", b"data", &signature));
        assert!(!c.verifies(&from, "id", b"data", &signature));
        assert!(a.sign(&to, "", b"data").is_err());
        assert!(a.sign(&to, &"x".repeat(801), b"data").is_err());
    }

    #[test]
    fn what_is_no_point_is_no_key() {
        for text in [
            "",
            "02",
            &"00".repeat(33),
            &"02".repeat(34),
            &"ff".repeat(33),
            &"é".repeat(33),
        ] {
            assert_eq!(text.parse::<IdentityKey>(), Err(NotAKey), "{text}");
        }
        assert!(Secret::from_bytes(&[0; 32]).is_err());
        assert!(Secret::from_bytes(&[0xff; 32]).is_err());
    }
}
