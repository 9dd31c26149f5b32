//! Outputs that nobody can choose and everybody can check: ECVRF-EDWARDS25519-SHA512-TAI of RFC 9381.
//!
//! For each key and input there is one output, and only the key's owner can tell it before it is shown.
//! There is not one proof: its owner can make several for the same output, so nothing is ever drawn from
//! a proof, or from the hash of what contains one.
//!
//! The library reads more encodings of a proof and of a key than RFC 9381 allows, in sections 5.4.4 and
//! 5.5; those are refused here.

use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::SigningKey;
use rand::CryptoRng;
use vrf_rfc9381::ec::edwards25519::EdVrfProof;
use vrf_rfc9381::ec::edwards25519::tai::{
    EdVrfEdwards25519TaiPublicKey, EdVrfEdwards25519TaiSecretKey,
};
use vrf_rfc9381::{Proof as _, Prover as _, Verifier as _};
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// Bytes of a proof.
const PROOF: usize = 80;

/// A node's VRF key. It is no identity and signs nothing: a key that does both has no proof of
/// security. Wiped when dropped; no `Debug`, no `Clone`.
#[derive(ZeroizeOnDrop)]
pub struct VrfKey([u8; 32]);

impl VrfKey {
    /// A new key.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut key = Self([0; 32]);
        rng.fill_bytes(&mut key.0);
        key
    }

    /// From the 32-byte secret of RFC 9381, `SK`.
    #[must_use]
    pub const fn from_bytes(secret: &[u8; 32]) -> Self {
        Self(*secret)
    }

    /// The 32-byte secret.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0)
    }

    /// What others check its proofs with. It is made as Ed25519 makes its own (RFC 9381, section 5.5).
    #[must_use]
    pub fn public(&self) -> VrfPublic {
        VrfPublic(SigningKey::from_bytes(&self.0).verifying_key().to_bytes())
    }

    /// The proof for an input, always the same.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "any 32 bytes are a key, and no input is known of which none of 255 hashes is a point"
    )]
    pub fn prove(&self, input: &[u8]) -> VrfProof {
        let prover = EdVrfEdwards25519TaiSecretKey::from_slice(&self.0).expect("32 bytes");
        let proof = prover.prove(input).expect("a hash that is a point");
        VrfProof(proof.encode_to_pi().try_into().expect("80 bytes"))
    }
}

/// What proofs are checked with: a point in its one encoding, and not one of the few of small order,
/// with which any output could be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VrfPublic([u8; 32]);

impl VrfPublic {
    /// These bytes, if they are such a point.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let point = CompressedEdwardsY(*bytes).decompress()?;
        let sound = point.compress().as_bytes() == bytes && !point.is_small_order();
        sound.then_some(Self(*bytes))
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A proof, in its one encoding; whether it proves anything [`verify`](Self::verify) says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VrfProof([u8; PROOF]);

impl VrfProof {
    /// These bytes, if they encode a proof: a point, and a number below the order of the group.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; PROOF]) -> Option<Self> {
        let proof = EdVrfProof::decode_pi(bytes).ok()?;
        (proof.encode_to_pi() == bytes).then_some(Self(*bytes))
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; PROOF] {
        &self.0
    }

    /// The output of this key's owner for this input, if this proves it. Takes about as long as five
    /// signatures, so not in a loop that moves packets.
    #[must_use]
    pub fn verify(&self, key: &VrfPublic, input: &[u8]) -> Option<VrfOutput> {
        let verifier = EdVrfEdwards25519TaiPublicKey::from_slice(&key.0).ok()?;
        let proof = EdVrfProof::decode_pi(&self.0).ok()?;
        let output = verifier.verify(input, proof).ok()?;
        Some(VrfOutput(output.into()))
    }
}

/// What a proof has proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VrfOutput([u8; 64]);

impl VrfOutput {
    /// Its bytes: uniform for whoever does not have the key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use proptest::prelude::*;

    use super::*;

    /// RFC 9381, appendix B.3, examples 16 to 18: secret, public key, input, proof, output.
    const VECTORS: [[&str; 5]; 3] = [
        [
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f\
             26f8a57ccaed74ee1b190bed1f479d9727d2d0f9b005a6e456a35d4fb0daab12\
             68a1b0db10836d9826a528ca76567805",
            "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff\
             66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae",
        ],
        [
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed593\
             3bf0864a62558b3ed7f2fea45c92a465301b3bbf5e3e54ddf2d935be3b67926d\
             a3ef39226bbc355bdc9850112c8f4b02",
            "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb\
             5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031",
        ],
        [
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf80\
             96bb474e53895c362d8628ee9f9ea3c0e52c7a5c691b6c18c9979866568add7a\
             2d41b00b05081ed0f58ee5e31b3a970e",
            "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c45\
             2118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f",
        ],
    ];

    fn unhex(text: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(digit).collect()
    }

    fn array<const N: usize>(text: &str) -> [u8; N] {
        unhex(text).try_into().unwrap()
    }

    #[test]
    fn it_is_the_function_of_the_rfc() {
        for [secret, public, input, proof, output] in VECTORS {
            let (key, input) = (VrfKey::from_bytes(&array(secret)), unhex(input));
            assert_eq!(key.public().as_bytes(), &array(public));
            assert_eq!(VrfPublic::from_bytes(&array(public)), Some(key.public()));
            let proven = key.prove(&input);
            assert_eq!(proven.as_bytes(), &array(proof));
            let proof = VrfProof::from_bytes(&array(proof)).unwrap();
            let verified = proof.verify(&key.public(), &input).unwrap();
            assert_eq!(verified.as_bytes(), &array(output));
        }
    }

    #[test]
    fn nothing_else_is_proven() {
        let key = VrfKey::from_bytes(&[1; 32]);
        let public = key.public();
        let proof = key.prove(b"input");
        assert!(proof.verify(&public, b"input").is_some());
        assert!(proof.verify(&public, b"another").is_none());
        let other = VrfKey::from_bytes(&[2; 32]).public();
        assert!(proof.verify(&other, b"input").is_none());
        for bit in 0..PROOF * 8 {
            let mut bytes = *proof.as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let output =
                VrfProof::from_bytes(&bytes).and_then(|proof| proof.verify(&public, b"input"));
            assert_eq!(output, None, "bit {bit}");
        }
    }

    /// The order of the group, little-endian.
    const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

    #[test]
    fn a_proof_has_one_encoding() {
        let proof = VrfKey::from_bytes(&[1; 32]).prove(b"input");
        let mut bytes = *proof.as_bytes();
        let mut carry = 0;
        for (byte, order) in bytes[48..].iter_mut().zip(unhex(ORDER)) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        // The library takes it for the same proof.
        assert!(EdVrfProof::decode_pi(&bytes).unwrap().encode_to_pi() == proof.as_bytes());
        assert_eq!(VrfProof::from_bytes(&bytes), None);
    }

    #[test]
    fn keys_that_prove_anything_and_second_encodings_are_refused() {
        for point in EIGHT_TORSION {
            assert_eq!(VrfPublic::from_bytes(point.compress().as_bytes()), None);
        }
        // Of the numbers from the prime 2^255 - 19 on, these are points when it is taken off them.
        let mut points = 0;
        for more in 0..19 {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (0xed + more, 0x7f);
            points += usize::from(CompressedEdwardsY(bytes).decompress().is_some());
            assert_eq!(VrfPublic::from_bytes(&bytes), None, "{more}");
        }
        assert!(points > 2);
    }

    #[test]
    fn a_key_is_wiped() {
        fn wiped<T: ZeroizeOnDrop>(_: &T) {}
        let key = VrfKey::generate(
            &mut <rand_chacha::ChaCha20Rng as rand::SeedableRng>::seed_from_u64(1),
        );
        wiped(&key);
        assert_eq!(VrfKey::from_bytes(&key.to_bytes()).public(), key.public());
    }

    proptest! {
        #[test]
        fn any_bytes_are_one_proof_or_none(bytes in any::<[u8; 32]>(), rest in any::<[u8; 48]>()) {
            let bytes: [u8; PROOF] = [&bytes[..], &rest].concat().try_into().unwrap();
            if let Some(proof) = VrfProof::from_bytes(&bytes) {
                prop_assert_eq!(proof.as_bytes(), &bytes);
                let public = VrfKey::from_bytes(&[1; 32]).public();
                prop_assert_eq!(proof.verify(&public, b"input"), None);
            }
        }
    }
}
