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
