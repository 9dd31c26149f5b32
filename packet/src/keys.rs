//! What a hop and a packet's maker derive from the secret they share (Sphinx 2009, section 3.2:
//! the random oracles h_mu, h_rho, h_pi, h_b and h_tau).

use crate::kdf::{HmacKey, Info, hkdf};
use crate::lioness::PayloadKey;
use crate::replay::ReplayTag;
use std::sync::LazyLock;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of the key that encrypts routing information (AES-128).
pub(crate) const STREAM_KEY_BYTES: usize = 16;
/// Bytes of the key of a header's MAC.
pub(crate) const MAC_KEY_BYTES: usize = 16;
/// Bytes that a payload key grows from.
pub(crate) const SEED_BYTES: usize = 16;
/// Room of the payload keys of older versions, of which version 260 uses the first bytes only.
const OLD_PAYLOAD_KEY_BYTES: usize = 192;
const BLINDING_BYTES: usize = 32;
const EXPANDED_BYTES: usize =
    STREAM_KEY_BYTES + MAC_KEY_BYTES + OLD_PAYLOAD_KEY_BYTES + BLINDING_BYTES + ReplayTag::BYTES;

/// The strings that sphinx-packet 0.8 fixes for version 260.
const HOP_INFO: &[u8] =
    b"Dwste mou enan moxlo arketa makru kai ena upomoxlio gia na ton topothetisw kai tha kinisw thn gh.";
const PAYLOAD_SALT: &[u8] = b"sphinx-payload-key-V01-CS01-HKDF:SHA256-SALT";
const PAYLOAD_INFO: &[u8] = b"sphinx-payload-key-V01-CS01-HKDF:SHA256-INFO";

/// The keys of one packet at one hop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub(crate) struct HopKeys {
    pub(crate) stream: [u8; STREAM_KEY_BYTES],
    pub(crate) mac: [u8; MAC_KEY_BYTES],
    pub(crate) payload_seed: [u8; SEED_BYTES],
    /// What the group element is multiplied with for the next hop, before clamping.
    pub(crate) blinding: [u8; BLINDING_BYTES],
    pub(crate) tag: [u8; ReplayTag::BYTES],
}

impl HopKeys {
    /// Becomes the keys that follow from a shared secret: HKDF-SHA256 without salt. In place, as a
    /// value that moves leaves copies behind.
    pub(crate) fn derive(&mut self, shared: &[u8; 32]) {
        static NO_SALT: LazyLock<HmacKey> = LazyLock::new(|| HmacKey::new(&[]));
        let mut output = Zeroizing::new([0; EXPANDED_BYTES]);
        hkdf(
            &NO_SALT,
            shared,
            const { Info::new(HOP_INFO) },
            output.as_mut(),
        );
        // The sum of these is `EXPANDED_BYTES`.
        let mut rest = output.as_slice();
        for (part, unused) in [
            (self.stream.as_mut_slice(), 0),
            (self.mac.as_mut_slice(), 0),
            (
                self.payload_seed.as_mut_slice(),
                OLD_PAYLOAD_KEY_BYTES - SEED_BYTES,
            ),
            (self.blinding.as_mut_slice(), 0),
            (self.tag.as_mut_slice(), 0),
        ] {
            let (from, behind) = rest.split_at(part.len());
            part.copy_from_slice(from);
            rest = &behind[unused..];
        }
    }
}

/// Makes the key of a payload's layer of its seed: HKDF-SHA256. In place, as above.
pub(crate) fn payload_key(seed: &[u8; SEED_BYTES], key: &mut PayloadKey) {
    static SALT: LazyLock<HmacKey> = LazyLock::new(|| HmacKey::new(PAYLOAD_SALT));
    hkdf(&SALT, seed, const { Info::new(PAYLOAD_INFO) }, &mut key.0);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use sphinx_packet::constants;
    use sphinx_packet::payload::key::derive_payload_key;

    #[test]
    fn strings_and_sizes_are_those_of_the_reference() {
        assert_eq!(HOP_INFO, constants::EXPANDED_SHARED_SECRET_HKDF_INFO);
        assert_eq!(EXPANDED_BYTES, constants::EXPANDED_SHARED_SECRET_LENGTH);
        assert_eq!(PAYLOAD_SALT, constants::PAYLOAD_KEY_HKDF_SALT);
        assert_eq!(PAYLOAD_INFO, constants::PAYLOAD_KEY_HKDF_INFO);
        assert!(constants::EXPANDED_SHARED_SECRET_HKDF_SALT.is_empty());
    }

    #[test]
    fn payload_keys_are_those_of_the_reference() {
        for byte in 0..=255 {
            let seed = [byte; SEED_BYTES];
            let mut key = PayloadKey::default();
            payload_key(&seed, &mut key);
            assert_eq!(key.0, derive_payload_key(&seed));
        }
    }

    #[test]
    fn every_part_is_its_own() {
        let mut keys = HopKeys::default();
        keys.derive(&[7; 32]);
        let parts = [
            keys.stream.as_slice(),
            &keys.mac,
            &keys.payload_seed,
            &keys.blinding,
            &keys.tag,
        ];
        for (index, part) in parts.iter().enumerate() {
            assert!(part.iter().any(|byte| *byte != 0));
            assert!(parts[..index].iter().all(|other| other != part));
        }
    }
}
