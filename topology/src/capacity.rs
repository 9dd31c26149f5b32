//! How often a mix is chosen beside the others of its layer.
//!
//! A node says itself what it carries, in classes of about twice the packets per second, and nobody can
//! check it. So a class doubles the weight, but no mix weighs more than twice the mean of its layer, and
//! none less than half of it. Who lies about his class gets at most twice what he would without classes; of
//! those who claim nothing (class 0, unknown, is the lowest), none is passed over, so that loops keep
//! exercising everybody, and half of what they would get is left to them whatever the others claim.

/// Most that a mix weighs, as a multiple of its layer's mean.
pub const MOST: f64 = 2.0;
/// Least that a mix weighs, as a multiple of its layer's mean.
pub const LEAST: f64 = 0.5;
/// Higher classes count as this one.
pub const HIGHEST_CLASS: u32 = 63;

/// What each mix of a layer weighs by its class. The mean is 1, and all are from [`LEAST`] to [`MOST`]:
/// one factor times 2 to the power of the class, clipped, where the factor is the one that gives the mean.
#[must_use]
pub fn weights(classes: &[u32]) -> Vec<f64> {
    let highest = classes.iter().copied().max().unwrap_or(0);
    // Of what is so far below the highest, every difference is clipped away; as powers of two, these are
    // exact.
    let power = |class: &u32| {
        let below = highest.min(HIGHEST_CLASS) - (*class).min(HIGHEST_CLASS);
        1.0 / (1_u64 << below.min(HIGHEST_CLASS)) as f64
    };
    let powers: Vec<f64> = classes.iter().map(power).collect();
    let clipped = |factor: f64| powers.iter().map(move |p| (factor * p).clamp(LEAST, MOST));
    let mean = |factor: f64| clipped(factor).sum::<f64>() / powers.len() as f64;
    // The mean grows with the factor, and between powers of two it grows in a straight line, because
    // weights are clipped at powers of two only.
    let (mut low, mut below) = (1.0, mean(1.0));
    loop {
        let (high, above) = (2.0 * low, mean(2.0 * low));
        // All are clipped at MOST in the end, whose mean is above 1.
        if above > 1.0 || above.is_nan() {
            let factor = low + (1.0 - below) / (above - below) * (high - low);
            return clipped(if below < 1.0 { factor } else { low }).collect();
        }
        (low, below) = (high, above);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn alike_are_chosen_alike() {
        for class in [0, 1, 7, 63, 64, u32::MAX] {
            assert_eq!(weights(&[class; 5]), [1.0; 5]);
        }
        assert_eq!(weights(&[9]), [1.0]);
        assert!(weights(&[]).is_empty());
    }

    #[test]
    fn a_class_doubles_until_it_is_clipped() {
        // 4/7 and 8/7: nothing is clipped.
        let near = |a: &[f64], b: &[f64]| {
            assert_eq!(a.len(), b.len());
            assert!(
                a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12),
                "{a:?} {b:?}"
            );
        };
        near(
            &weights(&[1, 2, 2, 2]),
            &[4.0 / 7.0, 8.0 / 7.0, 8.0 / 7.0, 8.0 / 7.0],
        );
        // The one that claims more than all others gets twice the mean, however much it claims.
        for class in [3, 10, 63, u32::MAX] {
            let found = weights(&[0, 0, 0, 0, class]);
            near(&found, &[0.75, 0.75, 0.75, 0.75, 2.0]);
        }
        // Half claim everything: the others keep half.
        near(&weights(&[63, 63, 0, 0]), &[1.5, 1.5, 0.5, 0.5]);
        near(&weights(&[63, 0]), &[1.5, 0.5]);
    }

    proptest! {
        #[test]
        fn weights_are_bounded_ordered_and_of_mean_one(
            classes in prop::collection::vec(prop_oneof![0_u32..6, any::<u32>()], 1..40),
        ) {
            let found = weights(&classes);
            prop_assert_eq!(found.len(), classes.len());
            let mean = found.iter().sum::<f64>() / found.len() as f64;
            prop_assert!((mean - 1.0).abs() < 1e-9, "{}", mean);
            for (class, weight) in classes.iter().zip(&found) {
                prop_assert!((LEAST..=MOST).contains(weight), "{}", weight);
                for (other, theirs) in classes.iter().zip(&found) {
                    prop_assert!(class < other || weight >= theirs);
                    if class.min(&HIGHEST_CLASS) == other.min(&HIGHEST_CLASS) {
                        prop_assert_eq!(weight, theirs);
                    }
                }
            }
        }
    }
}
