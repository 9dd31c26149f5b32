//! Arithmetic over rows of masses, written so that a compiler can use vectors of any width and the
//! bits stay the same: each place is computed by itself, no sum runs over places, and a product is
//! rounded before it is added to anything. Processors with AVX2 take the same functions compiled
//! for it.

/// Defines a function that is compiled for AVX2 too, and chooses when it is called.
macro_rules! wide {
    ($(#[$doc:meta])* fn $name:ident, $wide:ident, $narrow:ident($($arg:ident: $type:ty),*) $body:block) => {
        $(#[$doc])*
        pub(super) fn $name($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                #[expect(unsafe_code, reason = "the processor has what the function is compiled for")]
                // SAFETY: the feature was just found.
                return unsafe { $wide($($arg),*) };
            }
            $narrow($($arg),*);
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2")]
        fn $wide($($arg: $type),*) {
            $narrow($($arg),*);
        }

        #[inline(always)]
        fn $narrow($($arg: $type),*) $body
    };
}

wide! {
    /// `own * own_scale + other * other_scale`, place by place, into `own`.
    fn mix_into, mix_into_wide, mix_into_narrow(
        own: &mut [f64], own_scale: f64, other: &[f64], other_scale: f64
    ) {
        for (own, other) in own.iter_mut().zip(other) {
            *own = *own * own_scale + *other * other_scale;
        }
    }
}

wide! {
    /// `first * first_scale + second * second_scale`, place by place, into `sum`.
    fn mix, mix_wide, mix_narrow(sum: &mut [f64], first: (&[f64], f64), second: (&[f64], f64)) {
        for ((sum, a), b) in sum.iter_mut().zip(first.0).zip(second.0) {
            *sum = *a * first.1 + *b * second.1;
        }
    }
}

wide! {
    /// What outputs with masses `s * v` add to each place's mass, to its sum of `-p ln p` and to
    /// its largest: given the sum of `s`, the sum of `s ln s` and the largest `s`.
    fn account, account_wide, account_narrow(
        v: &[f64], sums: (f64, f64, f64), mass: &mut [f64], entropy: &mut [f64], most: &mut [f64]
    ) {
        let (sum, logs, largest) = sums;
        let places = v.iter().zip(mass).zip(entropy).zip(most);
        for (((v, mass), entropy), most) in places {
            *mass += *v * sum;
            *entropy -= *v * (ln(*v) * sum + logs);
            let top = *v * largest;
            *most = if top > *most { top } else { *most };
        }
    }
}

/// Adds `v * scale`, place by place.
pub(super) fn add(row: &mut [f64], v: &[f64], scale: f64) {
    for (row, v) in row.iter_mut().zip(v) {
        *row += *v * scale;
    }
}

/// Natural logarithm of a normal positive number, within one unit in the last place, by the
/// method of FreeBSD's `e_log.c` and without a branch. Finite at 0, so that `0 * ln(0)` is 0.
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "the constants as published")]
fn ln(x: f64) -> f64 {
    // The exponent of x over sqrt(1/2), biased.
    let bits = x.to_bits();
    let exponent = (bits + (0x3ff0_0000_0000_0000 - 0x3fe6_a09e_667f_3bcd)) >> 52;
    let k = f64::from_bits(exponent | 0x4330_0000_0000_0000) - (4_503_599_627_370_496.0 + 1023.0);
    let m = bits.wrapping_sub(exponent << 52).wrapping_add(1023 << 52);
    let f = f64::from_bits(m) - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let t1 = w
        * (3.999999999940941908e-01
            + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
    let t2 = z
        * (6.666666666666735130e-01
            + w * (2.857142874366239149e-01
                + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
    let half = 0.5 * f * f;
    s * (half + (t1 + t2)) + k * 1.90821492927058770002e-10 - half
        + f
        + k * 6.93147180369123816490e-01
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::math;

    #[test]
    fn the_logarithm_is_that_of_the_library_to_the_last_place() {
        let mut rng = crate::seed::generator(1, 0, "logarithms", 0);
        for _ in 0..100_000 {
            let x = rng.random::<f64>() * math::exp(-600.0 * rng.random::<f64>()) + 1e-290;
            let (ours, theirs) = (ln(x), math::ln(x));
            assert!(
                (ours - theirs).abs() <= 3e-16 * theirs.abs().max(1e-3),
                "{x}: {ours} {theirs}"
            );
        }
        assert_eq!(ln(1.0).to_bits(), 0);
        assert_eq!(0.0 * ln(0.0), 0.0);
    }

    #[test]
    fn wide_and_narrow_give_the_same_bits() {
        let mut rng = crate::seed::generator(1, 0, "rows", 0);
        let mut row = || -> Vec<f64> { (0..101).map(|_| rng.random()).collect() };
        let (a, b, mut totals) = (row(), row(), [row(), row(), row()]);
        let (mut sum, mut own, mut narrow) = (row(), a.clone(), totals.clone());
        mix(&mut sum, (&a, 0.3), (&b, 0.7));
        mix_into(&mut own, 0.3, &b, 0.7);
        assert_eq!(sum, own);
        mix_narrow(&mut own, (&a, 0.3), (&b, 0.7));
        assert_eq!(sum, own);
        let [x, y, z] = &mut totals;
        account(&a, (0.3, -0.4, 0.2), x, y, z);
        let [x, y, z] = &mut narrow;
        account_narrow(&a, (0.3, -0.4, 0.2), x, y, z);
        assert_eq!(totals, narrow);
    }

    #[test]
    fn accounting_is_the_sum_over_outputs() {
        let v = [0.5, 0.0, 1.0];
        let shares = [0.25, 0.125];
        let sum = shares.iter().sum();
        let logs = shares.iter().map(|s| s * math::ln(*s)).sum();
        let (mut mass, mut entropy, mut most) = ([0.0; 3], [0.0; 3], [0.0; 3]);
        account(&v, (sum, logs, 0.25), &mut mass, &mut entropy, &mut most);
        for place in 0..3 {
            let p = shares.map(|s| s * v[place]);
            let h: f64 = p
                .iter()
                .filter(|p| **p > 0.0)
                .map(|p| -p * math::ln(*p))
                .sum();
            assert!((mass[place] - p[0] - p[1]).abs() < 1e-15);
            assert!((entropy[place] - h).abs() < 1e-15);
            assert_eq!(most[place], p[0]);
        }
    }
}
