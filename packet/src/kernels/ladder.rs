//! Eight Montgomery ladders (RFC 7748, section 5) side by side, and two such groups at once.
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
#[derive(Zeroize, ZeroizeOnDrop)]
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
    /// Up to eight scalars and points; lanes that are left over multiply zeros.
    pub(super) fn new(scalars: &[[u8; 32]], points: &[[u8; 32]]) -> Self {
        let mut start = Self {
            swaps: [[0; LANES]; 4],
            points: [[0; LANES]; 5],
        };
        for (lane, (scalar, point)) in scalars.iter().zip(points).enumerate().take(LANES) {
            let mut words = words(scalar);
            words[0] &= !7;
            words[3] = words[3] & (u64::MAX >> 1) | 1 << 62;
            for i in 0..4 {
                let above = words.get(i + 1).map_or(0, |word| word << 63);
                start.swaps[i][lane] = words[i] ^ (words[i] >> 1 | above);
            }
            words.zeroize();
            for (to, limb) in start.points.iter_mut().zip(limbs(point)) {
                to[lane] = limb;
            }
        }
        start
    }
}

/// Four words, lowest first.
fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let mut words = [0; 4];
    for (i, byte) in bytes.iter().enumerate() {
        words[i / 8] |= u64::from(*byte) << (8 * (i % 8));
    }
    words
}

/// Five limbs of 51 bits, lowest first, without bit 255.
fn limbs(bytes: &[u8; 32]) -> [u64; 5] {
    let [w0, w1, w2, w3] = words(bytes);
    [
        w0 & MASK,
        (w0 >> 51 | w1 << 13) & MASK,
        (w1 >> 38 | w2 << 26) & MASK,
        (w2 >> 25 | w3 << 39) & MASK,
        (w3 >> 12) & MASK,
    ]
}

/// `ends[i]` from `starts[i]`.
#[inline(always)]
pub(super) fn run<L: Lanes>(m: L, starts: &[Start], ends: &mut [End]) {
    for (starts, ends) in starts.chunks(2).zip(ends.chunks_mut(2)) {
        match (starts, ends) {
            ([start0, start1], [end0, end1]) => two(m, [start0, start1], [end0, end1]),
            ([start], [end]) => one(m, start, end),
            _ => {}
        }
    }
}

/// Goes through all 256 bits. The first, which is zero, changes nothing.
#[inline(always)]
fn one<L: Lanes>(m: L, start: &Start, end: &mut End) {
    let constants = Constants::new(m);
    let (point, mut at) = begin(m, start);
    for swaps in start.swaps.iter().rev() {
        let mut swaps = m.load(swaps);
        for _ in 0..u64::BITS {
            let products = products(m, &constants, at, m.top_bit(swaps));
            at = advance(m, &constants, point, factors(m, products));
            swaps = m.rotate::<1>(swaps);
        }
    }
    finish(m, at, end);
}

/// As [`one`] does, for two groups. The steps alternate so that one group's instructions fill the
/// time in which the other's wait for a result.
#[inline(always)]
fn two<L: Lanes>(m: L, [start0, start1]: [&Start; 2], [end0, end1]: [&mut End; 2]) {
    let constants = Constants::new(m);
    let (point0, mut at0) = begin(m, start0);
    let (point1, mut at1) = begin(m, start1);
    for (swaps0, swaps1) in start0.swaps.iter().zip(&start1.swaps).rev() {
        let (mut swaps0, mut swaps1) = (m.load(swaps0), m.load(swaps1));
        for _ in 0..u64::BITS {
            let products0 = products(m, &constants, at0, m.top_bit(swaps0));
            let products1 = products(m, &constants, at1, m.top_bit(swaps1));
            let factors0 = factors(m, products0);
            let factors1 = factors(m, products1);
            at0 = advance(m, &constants, point0, factors0);
            at1 = advance(m, &constants, point1, factors1);
            swaps0 = m.rotate::<1>(swaps0);
            swaps1 = m.rotate::<1>(swaps1);
        }
    }
    finish(m, at0, end0);
    finish(m, at1, end1);
}

/// Sums and differences of the coordinates of both points: `A`, `B`, `C`, `D` of the RFC.
#[derive(Clone, Copy)]
struct At<L: Lanes> {
    a: Tight<L>,
    b: Tight<L>,
    c: Tight<L>,
    d: Tight<L>,
}

/// The RFC's `AA`, `BB`, `DA`, `CB`; the first of each pair is biased.
#[derive(Clone, Copy)]
struct Products<L: Lanes> {
    aa: Loose<L>,
    bb: Loose<L>,
    da: Loose<L>,
    cb: Loose<L>,
}

/// What the next points are products of.
#[derive(Clone, Copy)]
struct Factors<L: Lanes> {
    aa: Tight<L>,
    bb: Tight<L>,
    /// `E = AA - BB`.
    e: Tight<L>,
    /// `AA + a24 * E`.
    f: Tight<L>,
    /// `DA + CB`.
    sum: Tight<L>,
    /// `DA - CB`.
    difference: Tight<L>,
}

struct Constants<L: Lanes> {
    zero: Bias<L>,
    bias: Bias<L>,
}

impl<L: Lanes> Constants<L> {
    #[inline(always)]
    fn new(m: L) -> Self {
        Self {
            zero: Bias::zero(m),
            bias: Bias::of_304_p(m),
        }
    }
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

/// The first half of a step. The swap decides which of the points is doubled; their sum is the
/// same either way, as its difference DA - CB is squared.
#[inline(always)]
fn products<L: Lanes>(m: L, constants: &Constants<L>, at: At<L>, swap: L::Mask) -> Products<L> {
    let Constants { zero, bias } = *constants;
    Products {
        da: mul(m, at.d, at.a, bias),
        cb: mul(m, at.c, at.b, zero),
        aa: square(m, select(m, swap, at.c, at.a), bias),
        bb: square(m, select(m, swap, at.d, at.b), zero),
    }
}

#[inline(always)]
fn factors<L: Lanes>(m: L, products: Products<L>) -> Factors<L> {
    let Products { aa, bb, da, cb } = products;
    let e = sub(m, aa, bb);
    Factors {
        sum: add(m, da, cb),
        difference: sub(m, da, cb),
        aa: carry(m, aa),
        bb: carry(m, bb),
        f: carry(m, add_a24(m, aa, e)),
        e,
    }
}

/// The second half: the doubled point comes first, the sum second.
#[inline(always)]
fn advance<L: Lanes>(
    m: L,
    constants: &Constants<L>,
    point: Tight<L>,
    factors: Factors<L>,
) -> At<L> {
    let Constants { zero, bias } = *constants;
    let squared = carry(m, square(m, factors.difference, zero));
    let x3 = square(m, factors.sum, bias);
    let x2 = mul(m, factors.aa, factors.bb, bias);
    let z2 = mul(m, factors.e, factors.f, zero);
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
