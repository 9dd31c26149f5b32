//! Vectors as the kernels see them: one message, or one block, in each lane. A vector is made
//! from a `Cpu`, which proves that the processor has the instructions, so that its methods need
//! no proof of their own. All are inlined into a function that switches the instructions on.

use zeroize::Zeroize;

/// `N` lanes of 64 bits, for BLAKE2b.
pub(crate) trait Words64<const N: usize>: Copy + Zeroize {
    /// Proof that the instructions are there.
    type Cpu: Copy;

    fn splat(cpu: Self::Cpu, word: u64) -> Self;
    /// Word `w` of every block in vector `w`: lane `l` is of block `l`.
    fn load(cpu: Self::Cpu, blocks: [&[u8; 128]; N]) -> [Self; 16];
    fn words(self) -> [u64; N];
    fn add(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn ror32(self) -> Self;
    fn ror24(self) -> Self;
    fn ror16(self) -> Self;
    fn ror63(self) -> Self;
}

/// `N` lanes of 32 bits, for ChaCha20.
pub(crate) trait Words32<const N: usize>: Copy + Zeroize {
    /// Proof that the instructions are there.
    type Cpu: Copy;

    fn splat(cpu: Self::Cpu, word: u32) -> Self;
    /// 0, 1, 2 and so on.
    fn count(cpu: Self::Cpu) -> Self;
    /// `blocks ^= stream`: word `w` of block `l` is lane `l` of `stream[w]`.
    fn xor_into(stream: [Self; 16], blocks: &mut [[u8; 64]; N]);
    fn add(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn rol16(self) -> Self;
    fn rol12(self) -> Self;
    fn rol8(self) -> Self;
    fn rol7(self) -> Self;
}

/// The shuffles of eight 64-bit lanes that turn eight blocks into vectors of one word each.
pub(crate) trait Shuffle8: Copy {
    /// The first four lanes and the last four.
    type Cpu: Copy;

    fn halves(cpu: Self::Cpu, low: &[u8; 32], high: &[u8; 32]) -> Self;
    /// Of each pair of lanes the first: a0 b0 a2 b2 a4 b4 a6 b6.
    fn unpack_low(self, other: Self) -> Self;
    /// Of each pair of lanes the second: a1 b1 a3 b3 a5 b5 a7 b7.
    fn unpack_high(self, other: Self) -> Self;
    /// Of each four lanes the first two: a0 a1 b0 b1 a4 a5 b4 b5.
    fn pairs_low(self, other: Self) -> Self;
    /// Of each four lanes the last two: a2 a3 b2 b3 a6 a7 b6 b7.
    fn pairs_high(self, other: Self) -> Self;
}

/// Words of eight blocks, one vector for each word.
#[inline(always)]
pub(crate) fn load8<V: Shuffle8>(cpu: V::Cpu, blocks: [&[u8; 128]; 8]) -> [V; 16] {
    let mut words = [V::halves(cpu, &[0; 32], &[0; 32]); 16];
    for q in 0..4 {
        let a = V::halves(cpu, quarter(blocks[0], q), quarter(blocks[4], q));
        let b = V::halves(cpu, quarter(blocks[1], q), quarter(blocks[5], q));
        let c = V::halves(cpu, quarter(blocks[2], q), quarter(blocks[6], q));
        let d = V::halves(cpu, quarter(blocks[3], q), quarter(blocks[7], q));
        let (even, odd) = (a.unpack_low(b), a.unpack_high(b));
        let (even2, odd2) = (c.unpack_low(d), c.unpack_high(d));
        words[4 * q] = even.pairs_low(even2);
        words[4 * q + 1] = odd.pairs_low(odd2);
        words[4 * q + 2] = even.pairs_high(even2);
        words[4 * q + 3] = odd.pairs_high(odd2);
    }
    words
}

#[inline(always)]
fn quarter(block: &[u8; 128], q: usize) -> &[u8; 32] {
    &block.as_chunks::<32>().0[q]
}

/// The shuffles of sixteen 32-bit lanes that turn vectors of one word each into sixteen blocks.
pub(crate) trait Shuffle16: Copy {
    /// Of each four lanes the first two, alternating: a0 b0 a1 b1, a4 b4 a5 b5, and so on.
    fn unpack_low(self, other: Self) -> Self;
    /// Of each four lanes the last two, alternating: a2 b2 a3 b3, a6 b6 a7 b7, and so on.
    fn unpack_high(self, other: Self) -> Self;
    /// Of each four lanes the first two: a0 a1 b0 b1, a4 a5 b4 b5, and so on.
    fn pairs_low(self, other: Self) -> Self;
    /// Of each four lanes the last two: a2 a3 b2 b3, a6 a7 b6 b7, and so on.
    fn pairs_high(self, other: Self) -> Self;
    /// Fours of lanes 0 and 2 of the first, then of the second.
    fn fours_even(self, other: Self) -> Self;
    /// Fours of lanes 1 and 3 of the first, then of the second.
    fn fours_odd(self, other: Self) -> Self;
    /// `block ^= self`.
    fn xor_block(self, block: &mut [u8; 64]);
}

/// Adds sixteen blocks of stream, given as one vector for each word, to a message.
#[inline(always)]
pub(crate) fn xor16<V: Shuffle16>(stream: [V; 16], blocks: &mut [[u8; 64]; 16]) {
    // quads[4 g + r]: words 4 g to 4 g + 3 of blocks r, r + 4, r + 8 and r + 12.
    let mut quads = stream;
    for g in 0..4 {
        let (a, b, c, d) = (
            stream[4 * g],
            stream[4 * g + 1],
            stream[4 * g + 2],
            stream[4 * g + 3],
        );
        let (ab, cd) = (a.unpack_low(b), c.unpack_low(d));
        let (ab2, cd2) = (a.unpack_high(b), c.unpack_high(d));
        quads[4 * g] = ab.pairs_low(cd);
        quads[4 * g + 1] = ab.pairs_high(cd);
        quads[4 * g + 2] = ab2.pairs_low(cd2);
        quads[4 * g + 3] = ab2.pairs_high(cd2);
    }
    for r in 0..4 {
        let (a, b, c, d) = (quads[r], quads[r + 4], quads[r + 8], quads[r + 12]);
        let (even, odd) = (a.fours_even(b), a.fours_odd(b));
        let (even2, odd2) = (c.fours_even(d), c.fours_odd(d));
        even.fours_even(even2).xor_block(&mut blocks[r]);
        odd.fours_even(odd2).xor_block(&mut blocks[r + 4]);
        even.fours_odd(even2).xor_block(&mut blocks[r + 8]);
        odd.fours_odd(odd2).xor_block(&mut blocks[r + 12]);
    }
}
