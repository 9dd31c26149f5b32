//! Arithmetic modulo p = 2^255 - 19 in eight lanes at once, each number in five limbs of 51 bits.
//!
//! A multiplication takes the low and high 52 bits of the products of limbs. The high parts weigh
//! 2^52, which is twice the weight of the next limb: they are summed apart and doubled. What is
//! beyond limb 4 comes back times 19.
//!
//! Two kinds of numbers keep the carries few: [`Tight`], which may be multiplied, and [`Loose`],
//! which comes out of a multiplication and may be added to another before it is carried, once,
//! to be tight again. In bounds below, u is 2^50.

use super::lanes::Lanes;

/// Bits of a limb.
pub(super) const MASK: u64 = (1 << 51) - 1;
/// p's limbs: the lowest, and the others.
const P: [u64; 2] = [MASK - 18, MASK];

/// Limbs below 2^51 + 2^14.
#[derive(Clone, Copy)]
pub(super) struct Tight<L: Lanes>(pub(super) [L::Word; 5]);

/// Limbs below 499 u, or, out of a multiplication that is [biased](Bias), 1107 u.
#[derive(Clone, Copy)]
pub(super) struct Loose<L: Lanes>(pub(super) [L::Word; 5]);

/// What a multiplication starts from: zero, or 304 p. From a biased number an unbiased one can be
/// subtracted and no limb becomes negative, as 304 times a limb of p is above 607 u.
#[derive(Clone, Copy)]
pub(super) struct Bias<L: Lanes> {
    /// Limbs of 8 p: what ends up here counts 38 times, as twice a limb beyond the fourth.
    eight: [L::Word; 2],
    /// Limbs of 4 p.
    four: [L::Word; 2],
}

impl<L: Lanes> Bias<L> {
    #[inline(always)]
    pub(super) fn zero(m: L) -> Self {
        let zero = [m.splat(0); 2];
        Self {
            eight: zero,
            four: zero,
        }
    }

    #[inline(always)]
    pub(super) fn of_304_p(m: L) -> Self {
        Self {
            eight: P.map(|limb| m.splat(8 * limb)),
            four: P.map(|limb| m.splat(4 * limb)),
        }
    }
}

/// `sum` plus the low (high) parts of some products, one instruction each.
macro_rules! chain {
    ($m:ident.$part:ident, $sum:expr; $($a:ident * $b:ident),*) => {{
        let sum = $sum;
        $(let sum = $m.$part(sum, $a, $b);)*
        sum
    }};
}

#[inline(always)]
fn twice<L: Lanes>(m: L, a: L::Word) -> L::Word {
    m.add(a, a)
}

/// `9 t` of a `t` below 58.1 u, which is 26.01 u and twice a bias of 16 u: nothing is rotated out
/// of the top. With shifts the compiler would see through it, and multiply, which is slower.
#[inline(always)]
fn nine<L: Lanes>(m: L, t: L::Word) -> L::Word {
    m.add(m.rotate::<3>(t), t)
}

/// `a * b`.
///
/// A low part is below 4 u and a high one below 1.0001 u. Limb 5 gathers the most of those beyond
/// the fourth: 4 low and twice 5 high parts, below 26.01 u. Limb 0 gathers 1 low part and 19 times
/// limb 5, hence less than 499 u, or 499 u + 38 * 16 u with the bias; the others gather less, as limb
/// k has k + 1 low and 2 k high parts, and limb k + 5 has 4 - k low and 2 (5 - k) high ones.
#[inline(always)]
pub(super) fn mul<L: Lanes>(m: L, a: Tight<L>, b: Tight<L>, bias: Bias<L>) -> Loose<L> {
    let [a0, a1, a2, a3, a4] = a.0;
    let [b0, b1, b2, b3, b4] = b.0;
    let [bias0, bias1] = bias.eight;

    let h = chain!(m.high, bias0; a0 * b4, a1 * b3, a2 * b2, a3 * b1, a4 * b0);
    let t5 = chain!(m.low, twice(m, h); a1 * b4, a2 * b3, a3 * b2, a4 * b1);
    let h = chain!(m.high, bias1; a1 * b4, a2 * b3, a3 * b2, a4 * b1);
    let t6 = chain!(m.low, twice(m, h); a2 * b4, a3 * b3, a4 * b2);
    let h = chain!(m.high, bias1; a2 * b4, a3 * b3, a4 * b2);
    let t7 = chain!(m.low, twice(m, h); a3 * b4, a4 * b3);
    let h = chain!(m.high, bias1; a3 * b4, a4 * b3);
    let t8 = chain!(m.low, twice(m, h); a4 * b4);
    let h = chain!(m.high, bias1; a4 * b4);
    let t9 = twice(m, h);

    // 19 t = t + 2 * 9 t: the doubling of the high parts serves both.
    let r0 = chain!(m.low, m.add(twice(m, nine(m, t5)), t5); a0 * b0);
    let h = chain!(m.high, nine(m, t6); a0 * b0);
    let r1 = chain!(m.low, m.add(twice(m, h), t6); a0 * b1, a1 * b0);
    let h = chain!(m.high, nine(m, t7); a0 * b1, a1 * b0);
    let r2 = chain!(m.low, m.add(twice(m, h), t7); a0 * b2, a1 * b1, a2 * b0);
    let h = chain!(m.high, nine(m, t8); a0 * b2, a1 * b1, a2 * b0);
    let r3 = chain!(m.low, m.add(twice(m, h), t8); a0 * b3, a1 * b2, a2 * b1, a3 * b0);
    let h = chain!(m.high, nine(m, t9); a0 * b3, a1 * b2, a2 * b1, a3 * b0);
    let r4 = chain!(m.low, m.add(twice(m, h), t9); a0 * b4, a1 * b3, a2 * b2, a3 * b1, a4 * b0);
    Loose([r0, r1, r2, r3, r4])
}

/// `a * a`, with the bounds of [`mul`]. Each product of two different limbs is made once: its low
/// part counts twice, its high part four times.
#[inline(always)]
pub(super) fn square<L: Lanes>(m: L, a: Tight<L>, bias: Bias<L>) -> Loose<L> {
    let [a0, a1, a2, a3, a4] = a.0;
    let ([four0, four1], [_, eight1]) = (bias.four, bias.eight);

    let y = chain!(m.high, four0; a0 * a4, a1 * a3);
    let x = chain!(m.low, twice(m, y); a1 * a4, a2 * a3);
    let x = chain!(m.high, x; a2 * a2);
    let t5 = twice(m, x);
    let y = chain!(m.high, four1; a1 * a4, a2 * a3);
    let x = chain!(m.low, twice(m, y); a2 * a4);
    let t6 = chain!(m.low, twice(m, x); a3 * a3);
    let y = chain!(m.high, four1; a2 * a4);
    let x = chain!(m.low, twice(m, y); a3 * a4);
    let x = chain!(m.high, x; a3 * a3);
    let t7 = twice(m, x);
    let y = chain!(m.high, four1; a3 * a4);
    let t8 = chain!(m.low, twice(m, twice(m, y)); a4 * a4);
    let x = chain!(m.high, eight1; a4 * a4);
    let t9 = twice(m, x);

    let r0 = chain!(m.low, m.add(twice(m, nine(m, t5)), t5); a0 * a0);
    let x = chain!(m.low, nine(m, t6); a0 * a1);
    let x = chain!(m.high, x; a0 * a0);
    let r1 = m.add(twice(m, x), t6);
    // Or 19 t = t + 2 (t + 2 * 4 t), where the high parts are doubled twice.
    let y = chain!(m.high, m.rotate::<2>(t7); a0 * a1);
    let x = chain!(m.low, m.add(twice(m, y), t7); a0 * a2);
    let r2 = chain!(m.low, m.add(twice(m, x), t7); a1 * a1);
    let y = chain!(m.high, m.rotate::<2>(t8); a0 * a2);
    let x = chain!(m.low, m.add(twice(m, y), t8); a0 * a3, a1 * a2);
    let x = chain!(m.high, x; a1 * a1);
    let r3 = m.add(twice(m, x), t8);
    let y = chain!(m.high, m.rotate::<2>(t9); a0 * a3, a1 * a2);
    let x = chain!(m.low, m.add(twice(m, y), t9); a0 * a4, a1 * a3);
    let r4 = chain!(m.low, m.add(twice(m, x), t9); a2 * a2);
    Loose([r0, r1, r2, r3, r4])
}

/// `a + 121665 b`: below 1107 u + 4 u + 2^22, for any `a`.
#[inline(always)]
pub(super) fn add_a24<L: Lanes>(m: L, a: Loose<L>, b: Tight<L>) -> Loose<L> {
    let a24 = m.splat(121_665);
    let [r0, r1, r2, r3, r4] = a.0;
    let [b0, b1, b2, b3, b4] = b.0;
    let zero = m.splat(0);
    let [h0, h1] = [m.high(zero, b0, a24), m.high(zero, b1, a24)];
    let [h2, h3] = [m.high(zero, b2, a24), m.high(zero, b3, a24)];
    // High parts are below 2^16. They count twice in the next limb, the last 38 times in limb 0.
    let r0 = m.low(r0, m.high(zero, b4, a24), m.splat(38));
    Loose([
        m.low(r0, b0, a24),
        m.low(m.add(r1, twice(m, h0)), b1, a24),
        m.low(m.add(r2, twice(m, h1)), b2, a24),
        m.low(m.add(r3, twice(m, h2)), b3, a24),
        m.low(m.add(r4, twice(m, h3)), b4, a24),
    ])
}

/// `a + b`: below 1606 u, of which one may be biased.
#[inline(always)]
pub(super) fn add<L: Lanes>(m: L, a: Loose<L>, b: Loose<L>) -> Tight<L> {
    let ([a0, a1, a2, a3, a4], [b0, b1, b2, b3, b4]) = (a.0, b.0);
    let sum = [
        m.add(a0, b0),
        m.add(a1, b1),
        m.add(a2, b2),
        m.add(a3, b3),
        m.add(a4, b4),
    ];
    carry(m, Loose(sum))
}

/// `a - b`, where `a` is biased and `b` is not.
#[inline(always)]
pub(super) fn sub<L: Lanes>(m: L, a: Loose<L>, b: Loose<L>) -> Tight<L> {
    let ([a0, a1, a2, a3, a4], [b0, b1, b2, b3, b4]) = (a.0, b.0);
    let difference = [
        m.sub(a0, b0),
        m.sub(a1, b1),
        m.sub(a2, b2),
        m.sub(a3, b3),
        m.sub(a4, b4),
    ];
    carry(m, Loose(difference))
}

/// The same number with limbs that may be multiplied. Of limbs below 1606 u a carry is below 803,
/// and 19 times that below 2^14.
#[inline(always)]
pub(super) fn carry<L: Lanes>(m: L, a: Loose<L>) -> Tight<L> {
    let [r0, r1, r2, r3, r4] = a.0;
    let mask = m.splat(MASK);
    Tight([
        m.low(m.and(r0, mask), m.shr::<51>(r4), m.splat(19)),
        m.add(m.and(r1, mask), m.shr::<51>(r0)),
        m.add(m.and(r2, mask), m.shr::<51>(r1)),
        m.add(m.and(r3, mask), m.shr::<51>(r2)),
        m.add(m.and(r4, mask), m.shr::<51>(r3)),
    ])
}

/// `set` where the mask is, else `clear`.
#[inline(always)]
pub(super) fn select<L: Lanes>(m: L, mask: L::Mask, set: Tight<L>, clear: Tight<L>) -> Tight<L> {
    let ([s0, s1, s2, s3, s4], [c0, c1, c2, c3, c4]) = (set.0, clear.0);
    Tight([
        m.select(mask, s0, c0),
        m.select(mask, s1, c1),
        m.select(mask, s2, c2),
        m.select(mask, s3, c3),
        m.select(mask, s4, c4),
    ])
}
