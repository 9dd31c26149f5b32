//! The vectors of AVX2 and AVX-512.

use super::cpu::{Avx2, Avx512};
use super::words::{Shuffle8, Shuffle16, Words32, Words64, load8, xor16};
use std::arch::asm;
use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_loadu_si128, _mm256_add_epi32, _mm256_add_epi64,
    _mm256_castsi128_si256, _mm256_inserti128_si256, _mm256_loadu_si256, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_set_epi32, _mm256_set1_epi32, _mm256_set1_epi64x,
    _mm256_setr_epi8, _mm256_shuffle_epi8, _mm256_shuffle_epi32, _mm256_slli_epi32,
    _mm256_srli_epi32, _mm256_srli_epi64, _mm256_storeu_si256, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
    _mm512_add_epi32, _mm512_add_epi64, _mm512_castsi256_si512, _mm512_inserti64x4,
    _mm512_loadu_si512, _mm512_permutex2var_epi64, _mm512_rol_epi32, _mm512_ror_epi64,
    _mm512_set1_epi32, _mm512_set1_epi64, _mm512_setr_epi32, _mm512_setr_epi64,
    _mm512_shuffle_i32x4, _mm512_storeu_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64, _mm512_xor_si512,
};
use zeroize::Zeroize;

/// Four lanes of 64 bits.
#[derive(Clone, Copy, Zeroize)]
pub(super) struct Avx2x4(__m256i);

/// Eight lanes of 32 bits.
#[derive(Clone, Copy, Zeroize)]
pub(super) struct Avx2x8(__m256i);

/// Eight lanes of 64 bits.
#[derive(Clone, Copy, Zeroize)]
pub(super) struct Avx512x8(__m512i);

/// Sixteen lanes of 32 bits.
#[derive(Clone, Copy, Zeroize)]
pub(super) struct Avx512x16(__m512i);

/// Methods that make a vector from vectors.
macro_rules! methods {
    ($($name:ident($this:ident $(, $other:ident)?) = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self $(, $other: Self)?) -> Self {
            let $this = self.0;
            $(let $other = $other.0;)?
            // SAFETY: vectors of this type are made from a proof that the processor has the
            // instructions, and only from it; these ones touch no memory.
            Self(unsafe { $body })
        }
    )*};
}

impl Words64<4> for Avx2x4 {
    type Cpu = Avx2;

    #[inline(always)]
    fn splat(_cpu: Avx2, word: u64) -> Self {
        // SAFETY: `_cpu` proves AVX2.
        Self(unsafe { _mm256_set1_epi64x(word.cast_signed()) })
    }

    #[inline(always)]
    fn load(_cpu: Avx2, blocks: [&[u8; 128]; 4]) -> [Self; 16] {
        let [a, b, c, d] = blocks.map(|block| block.as_chunks::<16>().0);
        // SAFETY: `_cpu` proves AVX2.
        let mut words = [Self(unsafe { _mm256_set1_epi64x(0) }); 16];
        for i in 0..8 {
            // SAFETY: `_cpu` proves AVX2.
            let (ac, bd) = unsafe { (halves(&a[i], &c[i]), halves(&b[i], &d[i])) };
            // SAFETY: `_cpu` proves AVX2.
            words[2 * i] = Self(unsafe { _mm256_unpacklo_epi64(ac, bd) });
            // SAFETY: `_cpu` proves AVX2.
            words[2 * i + 1] = Self(unsafe { _mm256_unpackhi_epi64(ac, bd) });
        }
        words
    }

    #[inline(always)]
    fn words(self) -> [u64; 4] {
        let mut words = [0; 4];
        // SAFETY: `self` proves AVX2, and the array has the vector's 32 bytes.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), self.0) };
        words
    }

    methods! {
        add(a, b) = _mm256_add_epi64(a, b);
        xor(a, b) = _mm256_xor_si256(a, b);
        ror32(a) = _mm256_shuffle_epi32::<0b10_11_00_01>(a);
        ror24(a) = _mm256_shuffle_epi8(a, _mm256_setr_epi8(
            3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10,
            3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10,
        ));
        ror16(a) = _mm256_shuffle_epi8(a, opaque(_mm256_setr_epi8(
            2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9,
            2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9,
        )));
        ror63(a) = _mm256_or_si256(_mm256_add_epi64(a, a), _mm256_srli_epi64::<63>(a));
    }
}

/// The same bytes, unknown to the compiler, which would make two shuffles of one that it knows.
#[inline]
#[target_feature(enable = "avx2")]
fn opaque(mut mask: __m256i) -> __m256i {
    // SAFETY: no instruction at all.
    unsafe {
        asm!("/* {0} */", inout(ymm_reg) mask, options(pure, nomem, nostack, preserves_flags));
    }
    mask
}

/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn halves(low: &[u8; 16], high: &[u8; 16]) -> __m256i {
    let (low, high): (*const __m128i, *const __m128i) = (low.as_ptr().cast(), high.as_ptr().cast());
    // SAFETY: AVX2 is the caller's promise; both arrays have the 16 bytes that are read.
    unsafe {
        _mm256_inserti128_si256::<1>(
            _mm256_castsi128_si256(_mm_loadu_si128(low)),
            _mm_loadu_si128(high),
        )
    }
}

impl Words32<8> for Avx2x8 {
    type Cpu = Avx2;

    #[inline(always)]
    fn splat(_cpu: Avx2, word: u32) -> Self {
        // SAFETY: `_cpu` proves AVX2.
        Self(unsafe { _mm256_set1_epi32(word.cast_signed()) })
    }

    #[inline(always)]
    fn count(_cpu: Avx2) -> Self {
        // SAFETY: `_cpu` proves AVX2.
        Self(unsafe { _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0) })
    }

    #[inline(always)]
    fn xor_into(stream: [Self; 16], blocks: &mut [[u8; 64]; 8]) {
        for half in 0..2 {
            let quads = [
                Self::quads(&stream, 8 * half),
                Self::quads(&stream, 8 * half + 4),
            ];
            for r in 0..4 {
                let (low, high) = (quads[0][r], quads[1][r]);
                low.fours_low(high).xor_half(&mut blocks[r], half);
                low.fours_high(high).xor_half(&mut blocks[r + 4], half);
            }
        }
    }

    methods! {
        add(a, b) = _mm256_add_epi32(a, b);
        xor(a, b) = _mm256_xor_si256(a, b);
        rol16(a) = _mm256_shuffle_epi8(a, opaque(_mm256_setr_epi8(
            2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13,
            2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13,
        )));
        rol12(a) = _mm256_or_si256(_mm256_slli_epi32::<12>(a), _mm256_srli_epi32::<20>(a));
        rol8(a) = _mm256_shuffle_epi8(a, _mm256_setr_epi8(
            3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14,
            3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14,
        ));
        rol7(a) = _mm256_or_si256(_mm256_slli_epi32::<7>(a), _mm256_srli_epi32::<25>(a));
    }
}

impl Avx2x8 {
    /// In `r`: the four words from `first` of block `r`, then of block `r + 4`.
    #[inline(always)]
    fn quads(stream: &[Self; 16], first: usize) -> [Self; 4] {
        let (a, b, c, d) = (
            stream[first],
            stream[first + 1],
            stream[first + 2],
            stream[first + 3],
        );
        let (ab, cd) = (a.unpack_low(b), c.unpack_low(d));
        let (ab2, cd2) = (a.unpack_high(b), c.unpack_high(d));
        [
            ab.pairs_low(cd),
            ab.pairs_high(cd),
            ab2.pairs_low(cd2),
            ab2.pairs_high(cd2),
        ]
    }

    methods! {
        unpack_low(a, b) = _mm256_unpacklo_epi32(a, b);
        unpack_high(a, b) = _mm256_unpackhi_epi32(a, b);
        pairs_low(a, b) = _mm256_unpacklo_epi64(a, b);
        pairs_high(a, b) = _mm256_unpackhi_epi64(a, b);
        fours_low(a, b) = _mm256_permute2x128_si256::<0x20>(a, b);
        fours_high(a, b) = _mm256_permute2x128_si256::<0x31>(a, b);
    }

    #[inline(always)]
    fn xor_half(self, block: &mut [u8; 64], half: usize) {
        let bytes: *mut __m256i = block.as_chunks_mut::<32>().0[half].as_mut_ptr().cast();
        // SAFETY: `self` proves AVX2; the chunk has the 32 bytes that are read and written.
        unsafe {
            _mm256_storeu_si256(bytes, _mm256_xor_si256(_mm256_loadu_si256(bytes), self.0));
        }
    }
}

impl Words64<8> for Avx512x8 {
    type Cpu = Avx512;

    #[inline(always)]
    fn splat(_cpu: Avx512, word: u64) -> Self {
        // SAFETY: `_cpu` proves AVX-512F.
        Self(unsafe { _mm512_set1_epi64(word.cast_signed()) })
    }

    #[inline(always)]
    fn load(cpu: Avx512, blocks: [&[u8; 128]; 8]) -> [Self; 16] {
        load8(cpu, blocks)
    }

    #[inline(always)]
    fn words(self) -> [u64; 8] {
        let mut words = [0; 8];
        // SAFETY: `self` proves AVX-512F, and the array has the vector's 64 bytes.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), self.0) };
        words
    }

    methods! {
        add(a, b) = _mm512_add_epi64(a, b);
        xor(a, b) = _mm512_xor_si512(a, b);
        ror32(a) = _mm512_ror_epi64::<32>(a);
        ror24(a) = _mm512_ror_epi64::<24>(a);
        ror16(a) = _mm512_ror_epi64::<16>(a);
        ror63(a) = _mm512_ror_epi64::<63>(a);
    }
}

impl Shuffle8 for Avx512x8 {
    type Cpu = Avx512;

    #[inline(always)]
    fn halves(_cpu: Avx512, low: &[u8; 32], high: &[u8; 32]) -> Self {
        let (low, high): (*const __m256i, *const __m256i) =
            (low.as_ptr().cast(), high.as_ptr().cast());
        // SAFETY: `_cpu` proves AVX-512F; both arrays have the 32 bytes that are read.
        Self(unsafe {
            _mm512_inserti64x4::<1>(
                _mm512_castsi256_si512(_mm256_loadu_si256(low)),
                _mm256_loadu_si256(high),
            )
        })
    }

    methods! {
        unpack_low(a, b) = _mm512_unpacklo_epi64(a, b);
        unpack_high(a, b) = _mm512_unpackhi_epi64(a, b);
        pairs_low(a, b) =
            _mm512_permutex2var_epi64(a, _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), b);
        pairs_high(a, b) =
            _mm512_permutex2var_epi64(a, _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15), b);
    }
}

impl Words32<16> for Avx512x16 {
    type Cpu = Avx512;

    #[inline(always)]
    fn splat(_cpu: Avx512, word: u32) -> Self {
        // SAFETY: `_cpu` proves AVX-512F.
        Self(unsafe { _mm512_set1_epi32(word.cast_signed()) })
    }

    #[inline(always)]
    fn count(_cpu: Avx512) -> Self {
        // SAFETY: `_cpu` proves AVX-512F.
        Self(unsafe { _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) })
    }

    #[inline(always)]
    fn xor_into(stream: [Self; 16], blocks: &mut [[u8; 64]; 16]) {
        xor16(stream, blocks);
    }

    methods! {
        add(a, b) = _mm512_add_epi32(a, b);
        xor(a, b) = _mm512_xor_si512(a, b);
        rol16(a) = _mm512_rol_epi32::<16>(a);
        rol12(a) = _mm512_rol_epi32::<12>(a);
        rol8(a) = _mm512_rol_epi32::<8>(a);
        rol7(a) = _mm512_rol_epi32::<7>(a);
    }
}

impl Shuffle16 for Avx512x16 {
    methods! {
        unpack_low(a, b) = _mm512_unpacklo_epi32(a, b);
        unpack_high(a, b) = _mm512_unpackhi_epi32(a, b);
        pairs_low(a, b) = _mm512_unpacklo_epi64(a, b);
        pairs_high(a, b) = _mm512_unpackhi_epi64(a, b);
        fours_even(a, b) = _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b);
        fours_odd(a, b) = _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b);
    }

    #[inline(always)]
    fn xor_block(self, block: &mut [u8; 64]) {
        let bytes: *mut __m512i = block.as_mut_ptr().cast();
        // SAFETY: `self` proves AVX-512F; the block has the 64 bytes that are read and written.
        unsafe {
            _mm512_storeu_si512(bytes, _mm512_xor_si512(_mm512_loadu_si512(bytes), self.0));
        }
    }
}
