//! Eight Montgomery ladders (RFC 7748, section 5) side by side.
//!
//! Of the two points that a ladder carries along, (x2 : z2) and (x3 : z3), only the sums and
//! differences of coordinates are ever used. They are what is kept, made straight from the
//! products they come from, so that they are carried once.

use super::field_lanes::{Bias, Loose, MASK, Tight, add, add_a24, carry, mul, select, square, sub};
use super::lanes::Lanes;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Multiplications in a group.
pub(super) const LANES: usize = 8;

/// What eight ladders start from.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub(super) struct Start {
    /// For each bit of the scalar whether it differs from the one above it; the lowest 64 first.
    swaps: [[u64; LANES]; 4],
    /// The points' limbs of 51 bits, lowest first.
    points: [[u64; LANES]; 5],
}

/// What eight ladders end with: `x2 + z2` and `x2 - z2`, in limbs below 2^51 + 2^14.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub(super) struct End {
    pub(super) sum: [[u64; LANES]; 5],
    pub(super) difference: [[u64; LANES]; 5],
}

impl Start {
    /// Takes up to eight scalars and points; lanes that are left over multiply zeros. In place: what
    /// it holds tells the scalars, and a value that moves leaves copies behind.
    pub(super) fn fill(&mut self, scalars: &[[u8; 32]], points: &[[u8; 32]]) {
        let mut words = [0; 4];
        for (lane, (scalar, point)) in scalars.iter().zip(points).enumerate().take(LANES) {
            read_words(scalar, &mut words);
            words[0] &= !7;
            words[3] = words[3] & (u64::MAX >> 1) | 1 << 62;
            for i in 0..4 {
                let above = words.get(i + 1).map_or(0, |word| word << 63);
                self.swaps[i][lane] = words[i] ^ (words[i] >> 1 | above);
            }
            for (to, limb) in self.points.iter_mut().zip(limbs(point)) {
                to[lane] = limb;
            }
        }
        words.zeroize();
    }
}

/// Four words, lowest first.
fn read_words(bytes: &[u8; 32], words: &mut [u64; 4]) {
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
}

/// Five limbs of 51 bits, lowest first, without bit 255.
fn limbs(bytes: &[u8; 32]) -> [u64; 5] {
    let mut words = [0; 4];
    read_words(bytes, &mut words);
    let [w0, w1, w2, w3] = words;
    [
        w0 & MASK,
        (w0 >> 51 | w1 << 13) & MASK,
        (w1 >> 38 | w2 << 26) & MASK,
        (w2 >> 25 | w3 << 39) & MASK,
        (w3 >> 12) & MASK,
    ]
}

/// `ends[i]` from `starts[i]`, one group after the other: within one there is enough to do at any
/// time to keep the multipliers busy.
#[inline(always)]
pub(super) fn run<L: Lanes>(m: L, starts: &[Start], ends: &mut [End]) {
    for (start, end) in starts.iter().zip(ends) {
        let (point, mut at) = begin(m, start);
        // All 256 bits, though the first, which is zero, changes nothing.
        for swaps in start.swaps.iter().rev() {
            let mut swaps = m.load(swaps);
            for _ in 0..u64::BITS {
                at = step(m, point, at, m.top_bit(swaps));
                swaps = m.rotate::<1>(swaps);
            }
        }
        finish(m, at, end);
    }
}

/// Sums and differences of the coordinates of both points: `A`, `B`, `C`, `D` of the RFC.
#[derive(Clone, Copy)]
struct At<L: Lanes> {
    a: Tight<L>,
    b: Tight<L>,
    c: Tight<L>,
    d: Tight<L>,
}

/// The point's u, and (1 : 0) with (u : 1).
#[inline(always)]
fn begin<L: Lanes>(m: L, start: &Start) -> (Tight<L>, At<L>) {
    let [p0, p1, p2, p3, p4] = &start.points;
    let (u0, u1, u2) = (m.load(p0), m.load(p1), m.load(p2));
    let (u3, u4) = (m.load(p3), m.load(p4));
    let (zero, unit) = (m.splat(0), m.splat(1));
    let one = Tight([unit, zero, zero, zero, zero]);
    // u - 1 + p.
    let (low, rest) = (m.splat(MASK - 19), m.splat(MASK));
    let u_less_one = Loose([
        m.add(u0, low),
        m.add(u1, rest),
        m.add(u2, rest),
        m.add(u3, rest),
        m.add(u4, rest),
    ]);
    let at = At {
        a: one,
        b: one,
        c: Tight([m.add(u0, unit), u1, u2, u3, u4]),
        d: carry(m, u_less_one),
    };
    (Tight([u0, u1, u2, u3, u4]), at)
}

/// The RFC's step: one point is doubled and comes first, the sum of both second. The swap decides
/// which is doubled; for the sum it does not matter, as its difference `DA - CB` is squared.
#[inline(always)]
fn step<L: Lanes>(m: L, point: Tight<L>, at: At<L>, swap: L::Mask) -> At<L> {
    let (zero, bias) = (Bias::zero(m), Bias::of_304_p(m));
    let da = mul(m, at.d, at.a, bias);
    let cb = mul(m, at.c, at.b, zero);
    let aa = square(m, select(m, swap, at.c, at.a), bias);
    let bb = square(m, select(m, swap, at.d, at.b), zero);

    // In an order in which each waits least for the one before.
    let e = sub(m, aa, bb);
    let (sum, difference) = (add(m, da, cb), sub(m, da, cb));
    let f = add_a24(m, aa, e);
    let (aa, bb, f) = (carry(m, aa), carry(m, bb), carry(m, f));
    let squared = carry(m, square(m, difference, zero));
    let x3 = square(m, sum, bias);
    let x2 = mul(m, aa, bb, bias);
    let z2 = mul(m, e, f, zero);
    let z3 = mul(m, squared, point, zero);
    At {
        a: add(m, x2, z2),
        b: sub(m, x2, z2),
        c: add(m, x3, z3),
        d: sub(m, x3, z3),
    }
}

/// A clamped scalar ends in a zero: the result is the first point, without a last swap.
#[inline(always)]
fn finish<L: Lanes>(m: L, at: At<L>, end: &mut End) {
    for i in 0..5 {
        end.sum[i] = m.store(at.a.0[i]);
        end.difference[i] = m.store(at.b.0[i]);
    }
}
