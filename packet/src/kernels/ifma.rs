//! The lanes of AVX-512 with IFMA, "integer fused multiply-add" of 52 bits.

use super::batch;
use super::ladder::{self, End, Start};
use super::lanes::Lanes;
use std::arch::x86_64::*;

/// Proof that the processor has AVX-512 F, DQ and IFMA, and that the system saves its registers.
#[derive(Clone, Copy)]
pub(super) struct Ifma(());

impl Ifma {
    /// `None` where it has not.
    pub(super) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512ifma");
        found.then_some(Self(()))
    }

    /// `out[i] = X25519(scalars[i], points[i])`.
    pub(super) fn x25519(self, scalars: &[[u8; 32]], points: &[[u8; 32]], out: &mut [[u8; 32]]) {
        let ladders = |starts: &[Start], ends: &mut [End]| {
            // SAFETY: `self` proves that the processor has the features.
            unsafe { ladders(self, starts, ends) }
        };
        batch::x25519(ladders, scalars, points, out);
    }
}

/// All of the ladder is inlined here, where the compiler may use the features. Apart, so that
/// none of the rest is.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
#[inline(never)]
fn ladders(m: Ifma, starts: &[Start], ends: &mut [End]) {
    ladder::run(m, starts, ends);
}

impl Lanes for Ifma {
    type Word = __m512i;
    type Mask = __mmask8;

    #[inline(always)]
    fn load(self, lanes: &[u64; 8]) -> __m512i {
        // SAFETY: `self` proves AVX-512F; the pointer is to 64 bytes that may be read, of which the
        // instruction wants no alignment.
        unsafe { _mm512_loadu_epi64(lanes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, word: __m512i) -> [u64; 8] {
        let mut lanes = [0_u64; 8];
        // SAFETY: `self` proves AVX-512F; the pointer is to 64 bytes that may be written, of
        // which the instruction wants no alignment.
        unsafe { _mm512_storeu_epi64(lanes.as_mut_ptr().cast(), word) };
        lanes
    }

    #[inline(always)]
    fn splat(self, lane: u64) -> __m512i {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_set1_epi64(lane.cast_signed()) }
    }

    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_add_epi64(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_sub_epi64(a, b) }
    }

    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_and_epi64(a, b) }
    }

    #[inline(always)]
    fn rotate<const BITS: i32>(self, a: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_rol_epi64::<BITS>(a) }
    }

    #[inline(always)]
    fn shr<const BITS: u32>(self, a: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_srli_epi64::<BITS>(a) }
    }

    #[inline(always)]
    fn low(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 IFMA.
        unsafe { _mm512_madd52lo_epu64(sum, a, b) }
    }

    #[inline(always)]
    fn high(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 IFMA.
        unsafe { _mm512_madd52hi_epu64(sum, a, b) }
    }

    #[inline(always)]
    fn top_bit(self, a: __m512i) -> __mmask8 {
        // SAFETY: `self` proves AVX-512DQ.
        unsafe { _mm512_movepi64_mask(a) }
    }

    #[inline(always)]
    fn select(self, mask: __mmask8, set: __m512i, clear: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_mask_blend_epi64(mask, clear, set) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::Emulated;
    use super::*;
    use rand::Rng;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    /// Words of at most `bits` bits, some of them extreme.
    fn words(rng: &mut ChaCha20Rng, bits: u32) -> [u64; 8] {
        let max = u64::MAX >> (64 - bits);
        std::array::from_fn(|lane| match lane {
            0 => 0,
            1 => max,
            _ => rng.next_u64() & max,
        })
    }

    /// Each instruction does what the emulation does, on which the ladder is tested where there
    /// is no such processor.
    #[test]
    fn operations_are_as_emulated() {
        let Some(m) = Ifma::detect() else { return };
        let e = Emulated;
        let rng = &mut ChaCha20Rng::seed_from_u64(6);
        for _ in 0..1_000 {
            let (a, b) = (words(rng, 52), words(rng, 52));
            let (sum, large) = (words(rng, 63), words(rng, 64));
            let [x, y, z, w] = [a, b, sum, large].map(|word| m.load(&word));
            assert_eq!(m.store(m.splat(a[2])), e.splat(a[2]));
            assert_eq!(m.store(m.add(x, y)), e.add(a, b));
            assert_eq!(m.store(m.sub(m.add(x, y), y)), a);
            assert_eq!(m.store(m.and(x, w)), e.and(a, large));
            assert_eq!(m.store(m.rotate::<3>(w)), e.rotate::<3>(large));
            assert_eq!(m.store(m.shr::<51>(w)), e.shr::<51>(large));
            assert_eq!(m.store(m.low(z, x, y)), e.low(sum, a, b));
            assert_eq!(m.store(m.high(z, x, y)), e.high(sum, a, b));
            let selected = m.select(m.top_bit(w), x, y);
            assert_eq!(m.store(selected), e.select(e.top_bit(large), a, b));
        }
    }
}
