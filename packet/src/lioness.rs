//! LIONESS (Anderson and Biham 1996) over ChaCha20 and keyed BLAKE2b-256: the cipher of payloads.
//!
//! A block is a left half of 32 bytes and a right one with the rest, which take turns: the right
//! half is encrypted under the left one, the left one gets a digest of the right one. ChaCha20
//! has enough parallel work in one block. BLAKE2b has none, so that it runs on several blocks
//! at once, one in each lane.

use crate::backend::Backend;
#[cfg(target_arch = "x86_64")]
use crate::kernels::cpu::{Avx2, Avx512};
#[cfg(test)]
use crate::kernels::emulated;
#[cfg(target_arch = "x86_64")]
use crate::kernels::{blake2b, chacha};
use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{FixedOutput, KeyInit, Mac};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of a block's left half, which is one digest and one stream key.
const LEFT: usize = 32;
/// A payload key: stream, hash, stream and hash key.
pub(crate) const KEY_BYTES: usize = 192;
/// Bytes of a hash key.
const HASH_KEY: usize = 64;

/// A hop's payload key.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct PayloadKey(pub(crate) [u8; KEY_BYTES]);

impl Default for PayloadKey {
    fn default() -> Self {
        Self([0; KEY_BYTES])
    }
}

impl PayloadKey {
    /// The part that starts there.
    #[inline]
    #[expect(clippy::expect_used, reason = "the parts are constants and inside")]
    fn part<const N: usize>(&self, start: usize) -> &[u8; N] {
        self.0[start..].first_chunk().expect("inside the key")
    }
}

/// A round, and where its key starts.
#[derive(Clone, Copy)]
enum Round {
    /// `left ^= BLAKE2b-256(key, right)`
    Hash(usize),
    /// `right ^= ChaCha20(key ^ left)`, from a nonce of zeros.
    Stream(usize),
}

const ENCRYPT: [Round; 4] = [
    Round::Stream(0),
    Round::Hash(32),
    Round::Stream(96),
    Round::Hash(128),
];
const DECRYPT: [Round; 4] = [
    Round::Hash(128),
    Round::Stream(96),
    Round::Hash(32),
    Round::Stream(0),
];

/// Removes a layer from each block, in place: `blocks[i]` under `keys[i]`. Blocks have more than
/// 32 bytes. They go through several at once if all have the same length.
pub(crate) fn decrypt(backend: Backend, keys: &[PayloadKey], blocks: &mut [&mut [u8]]) {
    Level::of(backend).run(&DECRYPT, keys, blocks);
}

/// Adds a layer to each block, in place: the inverse of [`decrypt`].
pub(crate) fn encrypt(backend: Backend, keys: &[PayloadKey], blocks: &mut [&mut [u8]]) {
    Level::of(backend).run(&ENCRYPT, keys, blocks);
}

/// Which instructions do it.
#[derive(Clone, Copy)]
enum Level {
    /// The RustCrypto crates, with what they choose themselves.
    Portable,
    /// Four digests at a time, eight blocks of a stream.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// Eight digests at a time, sixteen blocks of a stream.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// The kernels of AVX-512 without its instructions.
    #[cfg(test)]
    Emulated,
}

impl Level {
    /// The best that the back end may use and the processor has.
    fn of(backend: Backend) -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = || Avx2::detect().map_or(Self::Portable, Self::Avx2);
            match backend {
                Backend::Portable => Self::Portable,
                Backend::Scalar => avx2(),
                Backend::Ifma => Avx512::detect().map_or_else(avx2, Self::Avx512),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = backend;
            Self::Portable
        }
    }

    /// How many blocks go through all rounds before the next ones, so that they stay in the
    /// cache.
    const fn group(self) -> usize {
        match self {
            Self::Portable => 1,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => 4,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => 8,
            #[cfg(test)]
            Self::Emulated => 8,
        }
    }

    fn run(self, rounds: &[Round; 4], keys: &[PayloadKey], blocks: &mut [&mut [u8]]) {
        // The lanes of a hash have one length.
        let level = match blocks.split_first() {
            Some((first, rest)) if rest.iter().any(|block| block.len() != first.len()) => {
                Self::Portable
            }
            _ => self,
        };
        let keys = keys.chunks(level.group());
        for (keys, blocks) in keys.zip(blocks.chunks_mut(level.group())) {
            for round in rounds {
                match *round {
                    Round::Hash(start) => level.hash(start, keys, blocks),
                    Round::Stream(start) => level.stream(start, keys, blocks),
                }
            }
        }
    }

    /// Of lanes without a block the digest is thrown away: from two blocks on that costs less
    /// than one block after the other.
    fn hash(self, start: usize, keys: &[PayloadKey], blocks: &mut [&mut [u8]]) {
        match (self, blocks.len()) {
            #[cfg(target_arch = "x86_64")]
            (Self::Avx512(cpu), 5..) => {
                hash_lanes(start, keys, blocks, |keys, rights| {
                    blake2b::eight(cpu, keys, rights)
                });
            }
            #[cfg(target_arch = "x86_64")]
            (Self::Avx512(cpu), 2..) => {
                hash_lanes(start, keys, blocks, |keys, rights| {
                    blake2b::four(cpu.avx2(), keys, rights)
                });
            }
            #[cfg(target_arch = "x86_64")]
            (Self::Avx2(cpu), 2..) => {
                hash_lanes(start, keys, blocks, |keys, rights| {
                    blake2b::four(cpu, keys, rights)
                });
            }
            #[cfg(test)]
            (Self::Emulated, 2..) => {
                hash_lanes(start, keys, blocks, emulated::blake2b_eight);
            }
            _ => {
                for (key, block) in keys.iter().zip(blocks) {
                    hash_one(key.part(start), block);
                }
            }
        }
    }

    fn stream(self, start: usize, keys: &[PayloadKey], blocks: &mut [&mut [u8]]) {
        for (key, block) in keys.iter().zip(blocks) {
            let Some((left, right)) = block.split_first_chunk_mut::<LEFT>() else {
                continue;
            };
            let mut mixed = *key.part::<LEFT>(start);
            xor(&mut mixed, left);
            match self {
                Self::Portable => {
                    ChaCha20::new((&mixed).into(), &[0; 12].into()).apply_keystream(right);
                }
                #[cfg(target_arch = "x86_64")]
                Self::Avx2(cpu) => chacha::eight(cpu, &mixed, right),
                #[cfg(target_arch = "x86_64")]
                Self::Avx512(cpu) => chacha::sixteen(cpu, &mixed, right),
                #[cfg(test)]
                Self::Emulated => emulated::chacha_sixteen(&mixed, right),
            }
            mixed.zeroize();
        }
    }
}

/// `left ^= BLAKE2b-256(key, right)` of at most `N` blocks and at least one.
#[cfg(any(test, target_arch = "x86_64"))]
fn hash_lanes<const N: usize>(
    start: usize,
    keys: &[PayloadKey],
    blocks: &mut [&mut [u8]],
    digest: impl FnOnce([&[u8; HASH_KEY]; N], [&[u8]; N]) -> [[u8; LEFT]; N],
) {
    let last = keys.len().min(blocks.len()) - 1;
    let lane_keys = std::array::from_fn(|lane| keys[lane.min(last)].part(start));
    let rights = std::array::from_fn(|lane| blocks[lane.min(last)].get(LEFT..).unwrap_or(&[]));
    let mut digests = digest(lane_keys, rights);
    for (digest, block) in digests.iter().zip(&mut blocks[..=last]) {
        if let Some((left, _)) = block.split_first_chunk_mut::<LEFT>() {
            xor(left, digest);
        }
    }
    digests = [[0; LEFT]; N];
    zeroize::optimization_barrier(&digests);
}

/// `left ^= BLAKE2b-256(key, right)`
fn hash_one(key: &[u8; HASH_KEY], block: &mut [u8]) {
    let Some((left, right)) = block.split_first_chunk_mut::<LEFT>() else {
        return;
    };
    let mut mac = <Blake2bMac<U32> as KeyInit>::new(key.into());
    Mac::update(&mut mac, right);
    let mut digest = mac.finalize_fixed();
    xor(left, &digest);
    digest.as_mut_slice().zeroize();
}

fn xor(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to ^= from);
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
    use lioness_rs::Lioness;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    type Reference = Lioness<ChaCha20, Blake2bMac<U32>>;

    /// All that this machine can run.
    fn levels() -> Vec<(&'static str, Level)> {
        let portable = [("portable", Level::Portable), ("emulated", Level::Emulated)];
        let levels = portable.into_iter();
        #[cfg(target_arch = "x86_64")]
        let levels = levels
            .chain(Avx2::detect().map(|cpu| ("avx2", Level::Avx2(cpu))))
            .chain(Avx512::detect().map(|cpu| ("avx512", Level::Avx512(cpu))));
        levels.collect()
    }

    fn key(rng: &mut ChaCha8Rng) -> PayloadKey {
        let mut key = PayloadKey([0; KEY_BYTES]);
        rng.fill_bytes(&mut key.0);
        key
    }

    fn run(level: Level, rounds: &[Round; 4], keys: &[PayloadKey], blocks: &mut [Vec<u8>]) {
        let mut blocks: Vec<&mut [u8]> = blocks.iter_mut().map(Vec::as_mut_slice).collect();
        level.run(rounds, keys, &mut blocks);
    }

    /// Both directions of every level against the reference, and there and back.
    fn check(lengths: &[usize]) {
        let mut rng = ChaCha8Rng::seed_from_u64(lengths.len() as u64);
        let keys: Vec<_> = lengths.iter().map(|_| key(&mut rng)).collect();
        let mut blocks: Vec<_> = lengths.iter().map(|&length| vec![0; length]).collect();
        blocks.iter_mut().for_each(|block| rng.fill_bytes(block));
        let (mut encrypted, mut decrypted) = (blocks.clone(), blocks.clone());
        for (i, key) in keys.iter().enumerate() {
            let reference = Reference::new(&key.0.into());
            reference.encrypt_block(&mut encrypted[i]).unwrap();
            reference.decrypt_block(&mut decrypted[i]).unwrap();
        }
        for (name, level) in levels() {
            let mut got = blocks.clone();
            run(level, &ENCRYPT, &keys, &mut got);
            assert!(got == encrypted, "{name} encrypts {lengths:?}");
            run(level, &DECRYPT, &keys, &mut got);
            assert!(got == blocks, "{name} there and back {lengths:?}");
            run(level, &DECRYPT, &keys, &mut got);
            assert!(got == decrypted, "{name} decrypts {lengths:?}");
        }
    }

    #[test]
    fn every_length_as_the_reference() {
        for length in 33..=600 {
            check(&vec![length; length % 21]);
            check(&[length; 8]);
        }
    }

    #[test]
    fn every_batch_as_the_reference() {
        for count in 0..=20 {
            check(&vec![33; count]);
            check(&vec![2048; count]);
        }
        for count in [1, 2, 5, 9] {
            check(&vec![4096; count]);
            check(&vec![32_768; count]);
        }
    }

    #[test]
    fn lengths_may_differ() {
        check(&[100, 33, 2048, 64, 64, 100, 500]);
    }

    #[test]
    fn every_back_end_as_the_reference() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let keys: Vec<_> = (0..11).map(|_| key(&mut rng)).collect();
        let block: Vec<u8> = (0..2048).map(|i| (i % 251) as u8).collect();
        for backend in Backend::ALL {
            let mut blocks = vec![block.clone(); 11];
            let mut slices: Vec<&mut [u8]> = blocks.iter_mut().map(Vec::as_mut_slice).collect();
            encrypt(backend, &keys, &mut slices);
            for (slice, key) in slices.iter().zip(&keys) {
                let mut expected = block.clone();
                let reference = Reference::new(&key.0.into());
                reference.encrypt_block(&mut expected).unwrap();
                assert!(**slice == *expected, "{backend}");
            }
            decrypt(backend, &keys, &mut slices);
            assert!(slices.iter().all(|slice| **slice == *block), "{backend}");
        }
    }

    #[test]
    fn short_blocks_and_missing_keys_are_left_alone() {
        let keys = [PayloadKey([1; KEY_BYTES]), PayloadKey([2; KEY_BYTES])];
        for (name, level) in levels() {
            let mut blocks = vec![vec![5; 31]; 3];
            run(level, &DECRYPT, &keys, &mut blocks);
            assert!(blocks.iter().all(|block| *block == [5; 31]), "{name}");
            let mut blocks = vec![vec![5; 100]; 3];
            run(level, &DECRYPT, &keys, &mut blocks);
            assert_eq!(blocks[2], [5; 100], "{name}");
            assert_ne!(blocks[1], [5; 100], "{name}");
        }
    }
}
