//! ChaCha20 (RFC 8439) from a nonce of zeros, one block of the stream in each 32-bit lane.

use super::words::Words32;
#[cfg(target_arch = "x86_64")]
use super::{
    cpu::{Avx2, Avx512},
    x86::{Avx2x8, Avx512x16},
};
use zeroize::{Zeroize, optimization_barrier};

/// Bytes of a block.
const BLOCK: usize = 64;

/// "expand 32-byte k"
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// `data ^= ChaCha20(key)`, eight blocks at a time.
#[cfg(target_arch = "x86_64")]
pub(crate) fn eight(cpu: Avx2, key: &[u8; 32], data: &mut [u8]) {
    #[target_feature(enable = "avx2")]
    fn inner(cpu: Avx2, key: &[u8; 32], data: &mut [u8]) {
        apply::<Avx2x8, 8>(cpu, key, [0; 4], data);
    }
    // SAFETY: `cpu` proves AVX2.
    unsafe { inner(cpu, key, data) }
}

/// `data ^= ChaCha20(key)`, sixteen blocks at a time.
#[cfg(target_arch = "x86_64")]
pub(crate) fn sixteen(cpu: Avx512, key: &[u8; 32], data: &mut [u8]) {
    #[target_feature(enable = "avx512f")]
    fn inner(cpu: Avx512, key: &[u8; 32], data: &mut [u8]) {
        apply::<Avx512x16, 16>(cpu, key, [0; 4], data);
    }
    // SAFETY: `cpu` proves AVX-512F.
    unsafe { inner(cpu, key, data) }
}

/// `input` is the counter of the first block and the nonce. The counter wraps after 256 GiB.
#[inline(always)]
pub(super) fn apply<V: Words32<N>, const N: usize>(
    cpu: V::Cpu,
    key: &[u8; 32],
    input: [u32; 4],
    data: &mut [u8],
) {
    let mut initial = [V::splat(cpu, 0); 16];
    for (vector, word) in initial.iter_mut().zip(CONSTANTS) {
        *vector = V::splat(cpu, word);
    }
    for (vector, bytes) in initial[4..].iter_mut().zip(key.as_chunks::<4>().0) {
        *vector = V::splat(cpu, u32::from_le_bytes(*bytes));
    }
    for (vector, word) in initial[12..].iter_mut().zip(input) {
        *vector = V::splat(cpu, word);
    }
    initial[12] = initial[12].add(V::count(cpu));

    let (blocks, tail) = data.as_chunks_mut::<BLOCK>();
    let (groups, rest) = blocks.as_chunks_mut::<N>();
    for group in groups {
        V::xor_into(stream(&initial), group);
        initial[12] = initial[12].add(V::splat(cpu, N as u32));
    }
    if !rest.is_empty() || !tail.is_empty() {
        let mut buffer = [[0; BLOCK]; N];
        let flat = buffer.as_flattened_mut();
        let (start, end) = (rest.len() * BLOCK, rest.len() * BLOCK + tail.len());
        flat[..start].copy_from_slice(rest.as_flattened());
        flat[start..end].copy_from_slice(tail);
        V::xor_into(stream(&initial), &mut buffer);
        let flat = buffer.as_flattened();
        rest.as_flattened_mut().copy_from_slice(&flat[..start]);
        tail.copy_from_slice(&flat[start..end]);
        buffer = [[0; BLOCK]; N];
        optimization_barrier(&buffer);
    }
    initial.iter_mut().for_each(Zeroize::zeroize);
}

/// The block function.
#[inline(always)]
fn stream<V: Words32<N>, const N: usize>(initial: &[V; 16]) -> [V; 16] {
    let mut v = *initial;
    for _ in 0..10 {
        quarter(&mut v, [0, 4, 8, 12]);
        quarter(&mut v, [1, 5, 9, 13]);
        quarter(&mut v, [2, 6, 10, 14]);
        quarter(&mut v, [3, 7, 11, 15]);
        quarter(&mut v, [0, 5, 10, 15]);
        quarter(&mut v, [1, 6, 11, 12]);
        quarter(&mut v, [2, 7, 8, 13]);
        quarter(&mut v, [3, 4, 9, 14]);
    }
    for (vector, initial) in v.iter_mut().zip(initial) {
        *vector = vector.add(*initial);
    }
    v
}

/// The quarter round.
#[inline(always)]
fn quarter<V: Words32<N>, const N: usize>(v: &mut [V; 16], [a, b, c, d]: [usize; 4]) {
    v[a] = v[a].add(v[b]);
    v[d] = v[d].xor(v[a]).rol16();
    v[c] = v[c].add(v[d]);
    v[b] = v[b].xor(v[c]).rol12();
    v[a] = v[a].add(v[b]);
    v[d] = v[d].xor(v[a]).rol8();
    v[c] = v[c].add(v[d]);
    v[b] = v[b].xor(v[c]).rol7();
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]

    use super::super::emulated::{Emulated16, chacha_sixteen};
    use super::*;
    use chacha20::ChaCha20;
    use chacha20::cipher::{KeyIvInit, StreamCipher};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 8439: a block (section 2.3.2), a message (2.4.2) and the first two blocks under a key
    /// of zeros (appendix A.1, test vectors 1 and 2).
    fn official<V: Words32<N>, const N: usize>(cpu: V::Cpu) {
        let key: [u8; 32] = std::array::from_fn(|i| i as u8);
        let mut block = [0; 64];
        apply::<V, N>(cpu, &key, [1, 0x0900_0000, 0x4a00_0000, 0], &mut block);
        assert_eq!(
            hex(&block),
            "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e\
             d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e",
        );

        let mut message = *b"Ladies and Gentlemen of the class of '99: If I could offer you \
            only one tip for the future, sunscreen would be it.";
        apply::<V, N>(cpu, &key, [1, 0, 0x4a00_0000, 0], &mut message);
        assert_eq!(
            hex(&message),
            "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0b\
             f91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f530c359f0861d8\
             07ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736\
             5af90bbf74a35be6b40b8eedf2785e42874d",
        );

        let mut blocks = [0; 128];
        apply::<V, N>(cpu, &[0; 32], [0; 4], &mut blocks);
        assert_eq!(
            hex(&blocks),
            "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7\
             da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586\
             9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed\
             29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
        );
    }

    /// All lengths up to some groups of blocks, and 64 KiB and more, so that the counter leaves
    /// its first byte.
    fn differential(ours: impl Fn(&[u8; 32], &mut [u8])) {
        let key: [u8; 32] = std::array::from_fn(|i| (i * 11 + 3) as u8);
        let message: Vec<u8> = (0..70_000_usize).map(|i| (i * 7 + i / 256) as u8).collect();
        for length in (0..=2200).chain([4096, 32_736, 65_536, 70_000]) {
            let (mut expected, mut got) = (message[..length].to_vec(), message[..length].to_vec());
            ChaCha20::new(&key.into(), &[0; 12].into()).apply_keystream(&mut expected);
            ours(&key, &mut got);
            assert!(got == expected, "{length} bytes");
        }
    }

    #[test]
    fn sixteen_lanes_emulated() {
        official::<Emulated16, 16>(());
        differential(chacha_sixteen);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn eight_lanes() {
        if let Some(cpu) = Avx2::detect() {
            official::<Avx2x8, 8>(cpu);
            differential(|key, data| eight(cpu, key, data));
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn sixteen_lanes() {
        if let Some(cpu) = Avx512::detect() {
            official::<Avx512x16, 16>(cpu);
            differential(|key, data| sixteen(cpu, key, data));
        }
    }
}
