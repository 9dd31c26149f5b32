//! Keyed BLAKE2b (RFC 7693) of several messages of one length, one in each 64-bit lane.

use super::words::Words64;
#[cfg(target_arch = "x86_64")]
use super::{
    cpu::{Avx2, Avx512},
    x86::{Avx2x4, Avx512x8},
};
use zeroize::{Zeroize, optimization_barrier};

/// Bytes of a block.
const BLOCK: usize = 128;
/// Bytes of a key, all that BLAKE2b takes.
const KEY: usize = 64;

const IV: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// Which message words a round takes.
const SIGMA: [[usize; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

/// `digests[i] = BLAKE2b-256(keys[i], messages[i])`, four at a time. The messages have one length.
#[cfg(target_arch = "x86_64")]
pub(crate) fn four(cpu: Avx2, keys: [&[u8; KEY]; 4], messages: [&[u8]; 4]) -> [[u8; 32]; 4] {
    #[target_feature(enable = "avx2")]
    fn inner(cpu: Avx2, keys: [&[u8; KEY]; 4], messages: [&[u8]; 4]) -> [[u8; 32]; 4] {
        keyed::<Avx2x4, 4, 32>(cpu, keys, messages)
    }
    // SAFETY: `cpu` proves AVX2.
    unsafe { inner(cpu, keys, messages) }
}

/// `digests[i] = BLAKE2b-256(keys[i], messages[i])`, eight at a time. The messages have one
/// length.
#[cfg(target_arch = "x86_64")]
pub(crate) fn eight(cpu: Avx512, keys: [&[u8; KEY]; 8], messages: [&[u8]; 8]) -> [[u8; 32]; 8] {
    #[target_feature(enable = "avx512f")]
    fn inner(cpu: Avx512, keys: [&[u8; KEY]; 8], messages: [&[u8]; 8]) -> [[u8; 32]; 8] {
        keyed::<Avx512x8, 8, 32>(cpu, keys, messages)
    }
    // SAFETY: `cpu` proves AVX-512F.
    unsafe { inner(cpu, keys, messages) }
}

/// BLAKE2b with digests of `OUT` bytes. If the messages' lengths differ, all count as the
/// shortest.
#[inline(always)]
pub(super) fn keyed<V: Words64<N>, const N: usize, const OUT: usize>(
    cpu: V::Cpu,
    keys: [&[u8; KEY]; N],
    messages: [&[u8]; N],
) -> [[u8; OUT]; N] {
    let length = messages.iter().map(|message| message.len()).min();
    let length = length.unwrap_or_default();
    let mut state = splat_iv::<V, N>(cpu);
    let parameters = 0x0101_0000 | (KEY as u64) << 8 | OUT as u64;
    state[0] = state[0].xor(V::splat(cpu, parameters));

    // The first block is the key, the last is filled up with zeros; both are put together here.
    let mut padded = [[0; BLOCK]; N];
    for (block, key) in padded.iter_mut().zip(keys) {
        block[..KEY].copy_from_slice(key);
    }
    let blocks = length.div_ceil(BLOCK);
    for i in 0..=blocks {
        let rest = length - BLOCK * i.saturating_sub(1);
        if i > 0 && rest < BLOCK {
            for (block, message) in padded.iter_mut().zip(messages) {
                block.fill(0);
                block[..rest].copy_from_slice(&message[length - rest..length]);
            }
        }
        let mut inputs = padded.each_ref();
        if i > 0 && rest >= BLOCK {
            for (input, message) in inputs.iter_mut().zip(messages) {
                *input = &message.as_chunks().0[i - 1];
            }
        }
        let last = i == blocks;
        let counter = if last {
            BLOCK + length
        } else {
            BLOCK * (i + 1)
        };
        compress(cpu, &mut state, inputs, counter as u64, last);
    }
    padded = [[0; BLOCK]; N];
    optimization_barrier(&padded);
    digests(&mut state)
}

#[inline(always)]
fn splat_iv<V: Words64<N>, const N: usize>(cpu: V::Cpu) -> [V; 8] {
    let mut vectors = [V::splat(cpu, 0); 8];
    for (vector, word) in vectors.iter_mut().zip(IV) {
        *vector = V::splat(cpu, word);
    }
    vectors
}

/// The digests in the state, which is wiped.
#[inline(always)]
fn digests<V: Words64<N>, const N: usize, const OUT: usize>(state: &mut [V; 8]) -> [[u8; OUT]; N] {
    let mut digests = [[0; OUT]; N];
    for (w, vector) in state.iter_mut().enumerate().take(OUT / 8) {
        let mut words = vector.words();
        for (digest, word) in digests.iter_mut().zip(words) {
            digest[8 * w..8 * w + 8].copy_from_slice(&word.to_le_bytes());
        }
        words.zeroize();
    }
    state.iter_mut().for_each(Zeroize::zeroize);
    digests
}

/// The compression function, `counter` being the bytes up to the end of this block.
#[inline(always)]
fn compress<V: Words64<N>, const N: usize>(
    cpu: V::Cpu,
    state: &mut [V; 8],
    blocks: [&[u8; BLOCK]; N],
    counter: u64,
    last: bool,
) {
    let words = V::load(cpu, blocks);
    let iv = splat_iv::<V, N>(cpu);
    let mut v: [V; 16] = [
        state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7], iv[0],
        iv[1], iv[2], iv[3], iv[4], iv[5], iv[6], iv[7],
    ];
    v[12] = v[12].xor(V::splat(cpu, counter));
    v[14] = v[14].xor(V::splat(cpu, if last { u64::MAX } else { 0 }));
    // Written out, because an index into the words that is known only at run time keeps the
    // state out of registers.
    round(&mut v, &words, &SIGMA[0]);
    round(&mut v, &words, &SIGMA[1]);
    round(&mut v, &words, &SIGMA[2]);
    round(&mut v, &words, &SIGMA[3]);
    round(&mut v, &words, &SIGMA[4]);
    round(&mut v, &words, &SIGMA[5]);
    round(&mut v, &words, &SIGMA[6]);
    round(&mut v, &words, &SIGMA[7]);
    round(&mut v, &words, &SIGMA[8]);
    round(&mut v, &words, &SIGMA[9]);
    round(&mut v, &words, &SIGMA[0]);
    round(&mut v, &words, &SIGMA[1]);
    for i in 0..8 {
        state[i] = state[i].xor(v[i]).xor(v[i + 8]);
    }
}

#[inline(always)]
fn round<V: Words64<N>, const N: usize>(v: &mut [V; 16], m: &[V; 16], s: &[usize; 16]) {
    const COLUMNS: [[usize; 4]; 4] = [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]];
    const DIAGONALS: [[usize; 4]; 4] =
        [[0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]];
    mix(
        v,
        &COLUMNS,
        [m[s[0]], m[s[2]], m[s[4]], m[s[6]]],
        [m[s[1]], m[s[3]], m[s[5]], m[s[7]]],
    );
    mix(
        v,
        &DIAGONALS,
        [m[s[8]], m[s[10]], m[s[12]], m[s[14]]],
        [m[s[9]], m[s[11]], m[s[13]], m[s[15]]],
    );
}

/// Four times the mixing function G, step by step beside each other.
#[inline(always)]
fn mix<V: Words64<N>, const N: usize>(
    v: &mut [V; 16],
    places: &[[usize; 4]; 4],
    x: [V; 4],
    y: [V; 4],
) {
    for (i, &[a, b, _, d]) in places.iter().enumerate() {
        v[a] = v[a].add(x[i]).add(v[b]);
        v[d] = v[d].xor(v[a]).ror32();
    }
    for &[_, b, c, d] in places {
        v[c] = v[c].add(v[d]);
        v[b] = v[b].xor(v[c]).ror24();
    }
    for (i, &[a, b, _, d]) in places.iter().enumerate() {
        v[a] = v[a].add(y[i]).add(v[b]);
        v[d] = v[d].xor(v[a]).ror16();
    }
    for &[_, b, c, d] in places {
        v[c] = v[c].add(v[d]);
        v[b] = v[b].xor(v[c]).ror63();
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]

    use super::super::emulated::Emulated8;
    use super::*;
    use blake2::Blake2bMac;
    use blake2::digest::consts::U32;
    use blake2::digest::{FixedOutput, KeyInit, Mac};

    /// From the authors' `blake2b-kat.txt`: message 00 01 02 and so on of that length, key 00 to
    /// 3f, 64 bytes of digest.
    const OFFICIAL: [(usize, &str); 5] = [
        (
            0,
            "10ebb67700b1868efb4417987acf4690ae9d972fb7a590c2f02871799aaa4786\
             b5e996e8f0f4eb981fc214b005f42d2ff4233499391653df7aefcbc13fc51568",
        ),
        (
            1,
            "961f6dd1e4dd30f63901690c512e78e4b45e4742ed197c3c5e45c549fd25f2e4\
             187b0bc9fe30492b16b0d0bc4ef9b0f34c7003fac09a5ef1532e69430234cebd",
        ),
        (
            128,
            "72065ee4dd91c2d8509fa1fc28a37c7fc9fa7d5b3f8ad3d0d7a25626b57b1b44\
             788d4caf806290425f9890a3a2a35a905ab4b37acfd0da6e4517b2525c9651e4",
        ),
        (
            129,
            "64475dfe7600d7171bea0b394e27c9b00d8e74dd1e416a79473682ad3dfdbb70\
             6631558055cfc8a40e07bd015a4540dcdea15883cbbf31412df1de1cd4152b91",
        ),
        (
            255,
            "142709d62e28fcccd0af97fad0f8465b971e82201dc51070faa0372aa43e9248\
             4be1c1e73ba10906d5d1853db6a4106e0a7bf9800d373d6dee2d46d62ef2a461",
        ),
    ];

    /// The vector in each lane in turn, beside other keys and messages.
    fn official<V: Words64<N>, const N: usize>(cpu: V::Cpu) {
        let key: [u8; 64] = std::array::from_fn(|i| i as u8);
        for (length, expected) in OFFICIAL {
            let message: Vec<u8> = (0..=255).take(length).collect();
            let other = vec![0xa5; length];
            for lane in 0..N {
                let (mut keys, mut messages) = ([&[7; 64]; N], [other.as_slice(); N]);
                (keys[lane], messages[lane]) = (&key, &message);
                let digests = keyed::<V, N, 64>(cpu, keys, messages);
                let hex: String = digests[lane].iter().map(|b| format!("{b:02x}")).collect();
                assert_eq!(hex, expected, "{length} bytes, lane {lane}");
            }
        }
    }

    fn reference(key: &[u8; 64], message: &[u8]) -> [u8; 32] {
        let mut mac = <Blake2bMac<U32> as KeyInit>::new(key.into());
        Mac::update(&mut mac, message);
        mac.finalize_fixed().into()
    }

    /// Another key and message in each lane, at every length around the first blocks.
    fn differential<const N: usize>(ours: impl Fn([&[u8; 64]; N], [&[u8]; N]) -> [[u8; 32]; N]) {
        let keys: [[u8; 64]; N] =
            std::array::from_fn(|lane| std::array::from_fn(|i| (i * 5 + lane * 77) as u8));
        let long: [Vec<u8>; N] = std::array::from_fn(|lane| {
            (0..40_000_usize)
                .map(|i| (i * 31 + i / 256 + lane * 13) as u8)
                .collect()
        });
        for length in (0..=520).chain([2016, 32_736, 40_000]) {
            let messages = long.each_ref().map(|message| &message[..length]);
            let digests = ours(keys.each_ref(), messages);
            for lane in 0..N {
                let expected = reference(&keys[lane], messages[lane]);
                assert_eq!(digests[lane], expected, "{length} bytes, lane {lane}");
            }
        }
    }

    #[test]
    fn eight_lanes_emulated() {
        official::<Emulated8, 8>(());
        differential(super::super::emulated::blake2b_eight);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn four_lanes() {
        if let Some(cpu) = Avx2::detect() {
            official::<Avx2x4, 4>(cpu);
            differential(|keys, messages| four(cpu, keys, messages));
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn eight_lanes() {
        if let Some(cpu) = Avx512::detect() {
            official::<Avx512x8, 8>(cpu);
            differential(|keys, messages| eight(cpu, keys, messages));
        }
    }

    #[test]
    fn of_different_lengths_the_shortest_counts() {
        let (short, long) = ([3; 140].as_slice(), [3; 300].as_slice());
        let messages = [long, short, long, long, long, long, long, long];
        let digests = super::super::emulated::blake2b_eight([&[9; 64]; 8], messages);
        assert_eq!(digests, [reference(&[9; 64], short); 8]);
    }
}
