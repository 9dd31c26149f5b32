//! HKDF (RFC 5869) and HMAC over SHA-256 with as few compressions as there can be: what a salt
//! contributes is computed once, and what the rounds of an expansion have in common is laid out
//! once.

use sha2::block_api::compress256;
use zeroize::{Zeroize, ZeroizeOnDrop, optimization_barrier};

/// Bytes of a block.
const BLOCK: usize = 64;
/// Bytes of a digest.
pub(crate) const DIGEST: usize = 32;
/// The end of a message: one byte with a one, and the length in bits as eight bytes.
const PADDING: usize = 9;
/// Blocks of an expansion's longest round: the last digest, an [`Info`], a counter, the end.
const ROUND_BLOCKS: usize = 3;

const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// A key of HMAC-SHA256, with both its pads hashed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct HmacKey {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl HmacKey {
    /// The key with these bytes, at most a block; the bytes after a block don't count.
    pub(crate) fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        let mut pad = |byte| {
            block.iter_mut().for_each(|key| *key ^= byte);
            let mut state = IV;
            compress256(&mut state, std::slice::from_ref(&block));
            state
        };
        let inner = pad(0x36);
        let outer = pad(0x36 ^ 0x5c);
        wipe(&mut block, [0; BLOCK]);
        Self { inner, outer }
    }

    /// HMAC-SHA256 of the message.
    pub(crate) fn mac(&self, message: &[u8]) -> [u8; DIGEST] {
        let (blocks, rest) = message.as_chunks::<BLOCK>();
        let mut last = [[0; BLOCK]; 2];
        let flat = last.as_flattened_mut();
        flat[..rest.len()].copy_from_slice(rest);
        let used = end(flat, rest.len(), BLOCK * blocks.len());
        let mut outer = Outer::new();
        let mut state = self.inner;
        compress256(&mut state, blocks);
        compress256(&mut state, &last[..used]);
        self.finish(&mut state, &mut outer);
        let mut digest = [0; DIGEST];
        write(&state, &mut digest);
        state.zeroize();
        wipe(&mut last, [[0; BLOCK]; 2]);
        digest
    }

    /// Makes the outer hash's state of the inner hash's.
    fn finish(&self, state: &mut [u32; 8], Outer(block): &mut Outer) {
        write(state, block);
        *state = self.outer;
        compress256(state, std::slice::from_ref(block));
    }
}

/// The block that an outer hash has behind its pad: an inner digest and its end.
struct Outer([u8; BLOCK]);

impl Outer {
    fn new() -> Self {
        let mut block = [0; BLOCK];
        end(&mut block, DIGEST, 0);
        Self(block)
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        wipe(&mut self.0, [0; BLOCK]);
    }
}

/// What an expansion is for.
#[derive(Clone, Copy)]
pub(crate) struct Info(&'static [u8]);

impl Info {
    /// # Panics
    /// If it is longer than 150 bytes: make them constants.
    pub(crate) const fn new(text: &'static [u8]) -> Self {
        assert!(DIGEST + text.len() + 1 + PADDING <= ROUND_BLOCKS * BLOCK);
        Self(text)
    }
}

/// Fills `out`, of at most 255 digests, with HKDF-SHA256 of `secret` under that salt.
pub(crate) fn hkdf(salt: &HmacKey, secret: &[u8], Info(info): Info, out: &mut [u8]) {
    let mut extracted = salt.mac(secret);
    let key = HmacKey::new(&extracted);
    wipe(&mut extracted, [0; DIGEST]);

    // A round's message: the last digest, which the first round lacks, the purpose, a counter.
    let mut round = [[0; BLOCK]; ROUND_BLOCKS];
    let counter = DIGEST + info.len();
    let flat = round.as_flattened_mut();
    flat[..info.len()].copy_from_slice(info);
    flat[info.len()] = 1;
    let mut used = end(flat, info.len() + 1, 0);
    let (mut state, mut outer) = (key.inner, Outer::new());
    for (i, out) in out.chunks_mut(DIGEST).enumerate() {
        state = key.inner;
        compress256(&mut state, &round[..used]);
        key.finish(&mut state, &mut outer);
        let flat = round.as_flattened_mut();
        if i == 0 {
            flat.fill(0);
            flat[DIGEST..counter].copy_from_slice(info);
            flat[counter] = 1;
            used = end(flat, counter + 1, 0);
        }
        flat[counter] = flat[counter].wrapping_add(1);
        write(&state, flat);
        out.copy_from_slice(&flat[..out.len()]);
    }
    state.zeroize();
    wipe(&mut round, [[0; BLOCK]; ROUND_BLOCKS]);
}

/// Ends a message that has `length` bytes here, after a pad's block and `before` bytes. All
/// behind it is zero. The answer is how many blocks it has here.
fn end(blocks: &mut [u8], length: usize, before: usize) -> usize {
    let used = (length + PADDING).div_ceil(BLOCK);
    let bits = 8 * (BLOCK + before + length) as u64;
    blocks[length] = 0x80;
    blocks[used * BLOCK - 8..used * BLOCK].copy_from_slice(&bits.to_be_bytes());
    used
}

/// Begins `bytes` with the digest.
fn write(digest: &[u32; 8], bytes: &mut [u8]) {
    for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(digest) {
        *bytes = word.to_be_bytes();
    }
}

/// Overwrites a secret. Unlike `zeroize` on bytes it does so with wide stores.
fn wipe<T>(secret: &mut T, zero: T) {
    *secret = zero;
    optimization_barrier(secret);
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]

    use super::*;
    use hkdf::Hkdf;
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;
    use sphinx_packet::constants::{
        EXPANDED_SHARED_SECRET_HKDF_INFO, EXPANDED_SHARED_SECRET_HKDF_SALT,
        EXPANDED_SHARED_SECRET_LENGTH, PAYLOAD_KEY_HKDF_INFO, PAYLOAD_KEY_HKDF_SALT,
    };
    use sphinx_packet::payload::key::derive_payload_key;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 7 + 1) as u8).collect()
    }

    #[test]
    fn hmac_as_the_crate() {
        for key in [0, 1, 16, 32, 63, 64].map(bytes) {
            let ours = HmacKey::new(&key);
            for message in (0..400).map(bytes) {
                let reference = Hmac::<Sha256>::new_from_slice(&key)
                    .unwrap()
                    .chain_update(&message);
                assert_eq!(
                    ours.mac(&message),
                    *reference.finalize().into_bytes(),
                    "key of {} bytes, message of {}",
                    key.len(),
                    message.len()
                );
            }
        }
    }

    /// RFC 4231, test case 2.
    #[test]
    fn hmac_vector() {
        let digest = HmacKey::new(b"Jefe").mac(b"what do ya want for nothing?");
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    const TEXT: [u8; 150] = [0xc3; 150];
    /// At both sides of each block's end.
    const INFOS: [Info; 10] = [
        Info::new(b""),
        Info::new(TEXT.split_at(21).0),
        Info::new(TEXT.split_at(22).0),
        Info::new(TEXT.split_at(23).0),
        Info::new(TEXT.split_at(54).0),
        Info::new(TEXT.split_at(55).0),
        Info::new(TEXT.split_at(86).0),
        Info::new(TEXT.split_at(87).0),
        Info::new(TEXT.split_at(119).0),
        Info::new(&TEXT),
    ];

    #[test]
    fn hkdf_as_the_crate() {
        for salt in [0, 20, 64].map(bytes) {
            let key = HmacKey::new(&salt);
            for info in INFOS {
                for length in [0, 1, 31, 32, 33, 64, 192, 288, 255 * 32] {
                    let secret = bytes(length % 80);
                    let (mut expected, mut got) = (vec![0; length], vec![0; length]);
                    Hkdf::<Sha256>::new(Some(&salt), &secret)
                        .expand(info.0, &mut expected)
                        .unwrap();
                    hkdf(&key, &secret, info, &mut got);
                    assert!(got == expected, "{} bytes for {}", length, info.0.len());
                }
            }
        }
    }

    #[test]
    fn what_sphinx_derives() {
        const SHARED: Info = Info::new(EXPANDED_SHARED_SECRET_HKDF_INFO);
        const PAYLOAD: Info = Info::new(PAYLOAD_KEY_HKDF_INFO);
        let secret = bytes(32);
        let (mut expected, mut got) = ([0; EXPANDED_SHARED_SECRET_LENGTH], [1; 288]);
        Hkdf::<Sha256>::new(Some(EXPANDED_SHARED_SECRET_HKDF_SALT), &secret)
            .expand(EXPANDED_SHARED_SECRET_HKDF_INFO, &mut expected)
            .unwrap();
        hkdf(
            &HmacKey::new(EXPANDED_SHARED_SECRET_HKDF_SALT),
            &secret,
            SHARED,
            &mut got,
        );
        assert_eq!(got, expected);

        let mut key = [0; 192];
        let seed = [9; 16];
        hkdf(
            &HmacKey::new(PAYLOAD_KEY_HKDF_SALT),
            &seed,
            PAYLOAD,
            &mut key,
        );
        assert_eq!(key, derive_payload_key(&seed));
    }
}
