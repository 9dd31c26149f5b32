//! The sender's half of the key agreement with each hop (Sphinx 2009, section 3.2).
//!
//! With the sender's secret x, hop i of key K shares the secret `b(i-1) * ... * b(0) * x * K`,
//! where each blinding factor b follows from the secret before. The reference multiplies the
//! point by one factor after the other, i + 1 times for hop i. Here the factors are multiplied
//! first, modulo the order l of the group, and the point once. Both give the same:
//!
//! - A [`SphinxPublic`] lies in the subgroup of order l, where `a * (b * K)` is
//!   `(a * b mod l) * K`; and so does the base point. Clamping gives an integer, which stands for
//!   its residue there.
//! - X25519 gives and takes u coordinates, which a point and its opposite have in common. So do
//!   their multiples: which of the two one calculates with makes no difference.

use crate::backend::Backend;
use crate::key::SphinxPublic;
use crate::keys::HopKeys;
use crate::route::Hop;
use crate::x25519;
use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use std::slice::from_ref;
use subtle::{Choice, ConditionallySelectable};
use zeroize::Zeroizing;

/// Bytes that are a scalar once they are clamped.
pub(crate) type Factor = [u8; 32];

/// Agrees with each hop on its keys, and gives alpha for the first hop. `keys` has one place for
/// each hop.
pub(crate) fn agree(
    backend: Backend,
    secret: &Factor,
    route: &[Hop],
    keys: &mut [HopKeys],
) -> [u8; 32] {
    let mut product = residue(secret);
    let alpha = x25519::multiply_base(backend, secret);
    for (hop, keys) in route.iter().zip(keys) {
        let shared = multiply(backend, &product, &hop.key);
        keys.derive(&shared);
        *product *= &*residue(&keys.blinding);
    }
    alpha
}

/// The u coordinate of a key's multiple. In constant time but for the key.
fn multiply(backend: Backend, scalar: &Scalar, key: &SphinxPublic) -> Zeroizing<[u8; 32]> {
    let mut shared = Zeroizing::new([0; 32]);
    match clamped(scalar) {
        Some(factor) => x25519::multiply(
            backend,
            from_ref(&*factor),
            from_ref(key.as_bytes()),
            std::slice::from_mut(&mut *shared),
        ),
        None => *shared = (MontgomeryPoint(*key.as_bytes()) * scalar).to_bytes(),
    }
    shared
}

/// What a factor comes to in the group.
fn residue(factor: &Factor) -> Zeroizing<Scalar> {
    let integer = Zeroizing::new(clamp_integer(*factor));
    Zeroizing::new(Scalar::from_bytes_mod_order(*integer))
}

/// A factor by which X25519 multiplies a point of order l to the same coordinate as this scalar
/// does, although it clamps: with it, any back end does.
///
/// Clamped integers are 8 m with 2^251 <= m < 2^252. Take the scalar's eighth modulo l = 2^252 +
/// 27742317777372353535851937790883648493. It is in that range, or else its opposite is, which
/// gives the opposite point and so the same coordinate. `None` for the few that fit neither way.
fn clamped(scalar: &Scalar) -> Option<Zeroizing<Factor>> {
    let mut eighth = Zeroizing::new(*scalar);
    for _ in 0..3 {
        *eighth = eighth.div_by_2();
    }
    let opposite = Zeroizing::new(-&*eighth);
    let fits = Choice::from((eighth.as_bytes()[31] >> 3) & 1);
    let chosen = Zeroizing::new(Scalar::conditional_select(&opposite, &eighth, fits));
    let mut factor = Zeroizing::new(chosen.to_bytes());
    for index in (1..32).rev() {
        factor[index] = factor[index] << 3 | factor[index - 1] >> 5;
    }
    factor[0] <<= 3;
    // A branch on a secret, but nobody sees it taken the other way: one scalar in 2^126 does.
    (factor[31] & 0xc0 == 0x40).then_some(factor)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::key::SphinxSecret;
    use proptest::prelude::*;

    fn power_of_two(exponent: u32) -> Scalar {
        (0..exponent).fold(Scalar::ONE, |power, _| power + power)
    }

    /// l - 2^252.
    fn delta() -> Scalar {
        -power_of_two(252)
    }

    fn key() -> SphinxPublic {
        SphinxSecret::from_bytes([3; 32]).public()
    }

    fn by_dalek(scalar: &Scalar) -> [u8; 32] {
        (MontgomeryPoint(*key().as_bytes()) * scalar).to_bytes()
    }

    fn check(scalar: &Scalar) {
        for backend in Backend::ALL {
            assert_eq!(
                *multiply(backend, scalar, &key()),
                by_dalek(scalar),
                "{backend}"
            );
        }
    }

    #[test]
    fn scalars_at_the_edges_of_what_can_be_clamped() {
        let (one, eight) = (Scalar::ONE, Scalar::from(8_u8));
        let middle = power_of_two(251);
        let edges = [
            (one, false),
            (delta(), false),
            (delta() + one, true),
            (middle - one, true),
            (middle, true),
            (middle + delta(), true),
            (middle + delta() + one, true),
            (-delta() - one, true),
            (-delta(), false),
            (-one, false),
        ];
        for (eighth, fits) in edges {
            let scalar = eighth * eight;
            assert_eq!(clamped(&scalar).is_some(), fits, "{eighth:?}");
            check(&scalar);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_scalar(bytes: [u8; 32]) {
            let scalar = Scalar::from_bytes_mod_order(bytes);
            let factor = clamped(&scalar).unwrap();
            prop_assert_eq!(clamp_integer(*factor), *factor);
            check(&scalar);
        }

        #[test]
        fn a_product_is_one_factor_after_the_other(factors: [Factor; 4]) {
            let one_by_one = factors.iter().fold(MontgomeryPoint(*key().as_bytes()), |point, factor| {
                point.mul_clamped(*factor)
            });
            let product = factors.iter().fold(Scalar::ONE, |product, factor| product * *residue(factor));
            prop_assert_eq!(by_dalek(&product), one_by_one.to_bytes());
        }
    }
}
