//! Arithmetic modulo p = 2^255 - 19 for one number at a time: what is left to do after the ladders.
//! Divisions are a chain of 254 squarings, in which lanes would wait for each other.

use super::field_lanes::MASK;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroize;

/// Five limbs of 51 bits, lowest first, below 2^54 each; below 2^52 out of a multiplication.
#[derive(Clone, Copy, Zeroize)]
pub(super) struct Element(pub(super) [u64; 5]);

impl Default for Element {
    fn default() -> Self {
        Self::ONE
    }
}

impl Element {
    pub(super) const ONE: Self = Self([1, 0, 0, 0, 0]);

    /// Of limbs below 2^53.
    pub(super) fn add(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }

    /// Of limbs below 2^52 each.
    pub(super) fn sub(&self, other: &Self) -> Self {
        // The limbs of 2 p would be some less than 2^52.
        const FOUR_P: [u64; 5] = [4 * (MASK - 18), 4 * MASK, 4 * MASK, 4 * MASK, 4 * MASK];
        Self(std::array::from_fn(|i| self.0[i] + FOUR_P[i] - other.0[i]))
    }

    pub(super) fn mul(&self, other: &Self) -> Self {
        let [a0, a1, a2, a3, a4] = self.0.map(u128::from);
        let [b0, b1, b2, b3, b4] = other.0.map(u128::from);
        // 19 b is below 2^59, a product of it below 2^113, five below 2^116.
        let [c1, c2, c3, c4] = [19 * b1, 19 * b2, 19 * b3, 19 * b4];
        Self::carry([
            a0 * b0 + a1 * c4 + a2 * c3 + a3 * c2 + a4 * c1,
            a0 * b1 + a1 * b0 + a2 * c4 + a3 * c3 + a4 * c2,
            a0 * b2 + a1 * b1 + a2 * b0 + a3 * c4 + a4 * c3,
            a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0 + a4 * c4,
            a0 * b4 + a1 * b3 + a2 * b2 + a3 * b1 + a4 * b0,
        ])
    }

    pub(super) fn square(&self) -> Self {
        let [a0, a1, a2, a3, a4] = self.0.map(u128::from);
        let [d0, d1] = [2 * a0, 2 * a1];
        let [c3, c4] = [19 * a3, 19 * a4];
        Self::carry([
            a0 * a0 + d1 * c4 + 2 * a2 * c3,
            d0 * a1 + 2 * a2 * c4 + a3 * c3,
            d0 * a2 + a1 * a1 + 2 * a3 * c4,
            d0 * a3 + d1 * a2 + a4 * c4,
            d0 * a4 + d1 * a3 + a2 * a2,
        ])
    }

    /// Of sums below 2^116: the first carry out of the top is below 2^65 and 19 times that below
    /// 2^70, hence the second out of limb 0 below 2^19.
    fn carry(mut sums: [u128; 5]) -> Self {
        let mask = u128::from(MASK);
        for i in 0..4 {
            sums[i + 1] += sums[i] >> 51;
            sums[i] &= mask;
        }
        sums[0] += 19 * (sums[4] >> 51);
        sums[4] &= mask;
        sums[1] += sums[0] >> 51;
        sums[0] &= mask;
        Self(sums.map(|sum| sum as u64))
    }

    fn squared(&self, times: u32) -> Self {
        (0..times).fold(*self, |x, _| x.square())
    }

    /// Its inverse, as `x^(p - 2)`; zero for zero.
    pub(super) fn invert(&self) -> Self {
        let x2 = self.square();
        let x9 = x2.squared(2).mul(self);
        let x11 = x9.mul(&x2);
        // x to the power 2^n - 1, for n = 5 and so on.
        let ones5 = x11.square().mul(&x9);
        let ones10 = ones5.squared(5).mul(&ones5);
        let ones20 = ones10.squared(10).mul(&ones10);
        let ones40 = ones20.squared(20).mul(&ones20);
        let ones50 = ones40.squared(10).mul(&ones10);
        let ones100 = ones50.squared(50).mul(&ones50);
        let ones200 = ones100.squared(100).mul(&ones100);
        let ones250 = ones200.squared(50).mul(&ones50);
        ones250.squared(5).mul(&x11)
    }

    /// The canonical encoding.
    pub(super) fn to_bytes(self) -> [u8; 32] {
        // Carried once, it is below 2 p; then p is subtracted if 19 more carries out of the top.
        let mut limbs = Self::carry(self.0.map(u128::from)).0;
        let mut over = 19;
        for limb in &limbs {
            over = (limb + over) >> 51;
        }
        limbs[0] += 19 * over;
        for i in 0..4 {
            limbs[i + 1] += limbs[i] >> 51;
            limbs[i] &= MASK;
        }
        limbs[4] &= MASK;
        let [l0, l1, l2, l3, l4] = limbs;
        let words = [
            l0 | l1 << 51,
            l1 >> 13 | l2 << 38,
            l2 >> 26 | l3 << 25,
            l3 >> 39 | l4 << 12,
        ];
        let mut bytes = [0; 32];
        for (to, word) in bytes.chunks_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    pub(super) fn is_zero(self) -> Choice {
        self.to_bytes().ct_eq(&[0; 32])
    }

    /// `other` if the choice is made.
    pub(super) fn or(&self, other: &Self, choice: Choice) -> Self {
        Self(std::array::from_fn(|i| {
            u64::conditional_select(&self.0[i], &other.0[i], choice)
        }))
    }
}
