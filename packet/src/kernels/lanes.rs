//! The eight 64-bit lanes on which the ladder is written, once for the processor and once for its
//! tests.

/// Operations on eight lanes of 64 bits. A value is proof that the machine has them, so that
/// they are safe to call.
///
/// All wrap, and take time that does not depend on what is in the lanes.
pub(super) trait Lanes: Copy {
    /// Eight words.
    type Word: Copy;
    /// Eight choices.
    type Mask: Copy;

    fn load(self, lanes: &[u64; 8]) -> Self::Word;
    fn store(self, word: Self::Word) -> [u64; 8];
    /// The same in each lane.
    fn splat(self, lane: u64) -> Self::Word;
    fn add(self, a: Self::Word, b: Self::Word) -> Self::Word;
    fn sub(self, a: Self::Word, b: Self::Word) -> Self::Word;
    fn and(self, a: Self::Word, b: Self::Word) -> Self::Word;
    /// To the left.
    fn rotate<const BITS: i32>(self, a: Self::Word) -> Self::Word;
    fn shr<const BITS: u32>(self, a: Self::Word) -> Self::Word;
    /// `sum` + bits 0..52 of `a * b`. Of both factors only bits 0..52 count.
    fn low(self, sum: Self::Word, a: Self::Word, b: Self::Word) -> Self::Word;
    /// `sum` + bits 52..104 of `a * b`. Of both factors only bits 0..52 count.
    fn high(self, sum: Self::Word, a: Self::Word, b: Self::Word) -> Self::Word;
    /// The lanes whose bit 63 is set.
    fn top_bit(self, a: Self::Word) -> Self::Mask;
    /// `set` where the mask is, else `clear`.
    fn select(self, mask: Self::Mask, set: Self::Word, clear: Self::Word) -> Self::Word;
}

/// The lanes in portable Rust, for tests: slow, not in constant time, and strict, in that it
/// panics where a factor exceeds 52 bits, a sum 64, or a difference is negative.
#[cfg(test)]
#[derive(Clone, Copy)]
pub(super) struct Emulated;

#[cfg(test)]
impl Emulated {
    fn zip(a: [u64; 8], b: [u64; 8], f: impl Fn(u64, u64) -> u64) -> [u64; 8] {
        std::array::from_fn(|lane| f(a[lane], b[lane]))
    }

    fn product(a: u64, b: u64) -> u128 {
        assert!(a < 1 << 52 && b < 1 << 52, "a factor exceeds 52 bits");
        u128::from(a) * u128::from(b)
    }
}

// Not inlined: the ladder is so long that the compiler would take minutes.
#[cfg(test)]
impl Lanes for Emulated {
    type Word = [u64; 8];
    type Mask = [bool; 8];

    #[inline(never)]
    fn load(self, lanes: &[u64; 8]) -> [u64; 8] {
        *lanes
    }

    #[inline(never)]
    fn store(self, word: [u64; 8]) -> [u64; 8] {
        word
    }

    #[inline(never)]
    fn splat(self, lane: u64) -> [u64; 8] {
        [lane; 8]
    }

    #[inline(never)]
    fn add(self, a: [u64; 8], b: [u64; 8]) -> [u64; 8] {
        Self::zip(a, b, |a, b| {
            a.checked_add(b).expect("a sum exceeds 64 bits")
        })
    }

    #[inline(never)]
    fn sub(self, a: [u64; 8], b: [u64; 8]) -> [u64; 8] {
        Self::zip(a, b, |a, b| {
            a.checked_sub(b).expect("a difference is negative")
        })
    }

    #[inline(never)]
    fn and(self, a: [u64; 8], b: [u64; 8]) -> [u64; 8] {
        Self::zip(a, b, |a, b| a & b)
    }

    #[inline(never)]
    fn rotate<const BITS: i32>(self, a: [u64; 8]) -> [u64; 8] {
        a.map(|a| a.rotate_left(BITS.cast_unsigned()))
    }

    #[inline(never)]
    fn shr<const BITS: u32>(self, a: [u64; 8]) -> [u64; 8] {
        a.map(|a| a >> BITS)
    }

    #[inline(never)]
    fn low(self, sum: [u64; 8], a: [u64; 8], b: [u64; 8]) -> [u64; 8] {
        let product = Self::zip(a, b, |a, b| Self::product(a, b) as u64 & ((1 << 52) - 1));
        self.add(sum, product)
    }

    #[inline(never)]
    fn high(self, sum: [u64; 8], a: [u64; 8], b: [u64; 8]) -> [u64; 8] {
        self.add(
            sum,
            Self::zip(a, b, |a, b| (Self::product(a, b) >> 52) as u64),
        )
    }

    #[inline(never)]
    fn top_bit(self, a: [u64; 8]) -> [bool; 8] {
        a.map(|a| a >> 63 == 1)
    }

    #[inline(never)]
    fn select(self, mask: [bool; 8], set: [u64; 8], clear: [u64; 8]) -> [u64; 8] {
        std::array::from_fn(|lane| if mask[lane] { set[lane] } else { clear[lane] })
    }
}
