//! Loopix figures 5, 6 and 7: the likelihood difference epsilon of two senders.

#[cfg(test)]
mod brute;
mod figures;
mod labels;

pub(super) use figures::{FIG5, FIG6, FIG7};
use labels::{Label, Labels};

use crate::math;

/// |ln(p0 / p1)| of a label; `None` where one of the two is 0, which is counted and not averaged.
fn likelihood_difference(label: Label) -> Option<f64> {
    let [p0, p1] = label;
    (p0 > 0.0 && p1 > 0.0).then(|| (math::ln(p0) - math::ln(p1)).abs())
}

#[cfg(test)]
mod tests {
    use super::likelihood_difference;

    #[test]
    fn epsilon_is_symmetric_and_has_no_value_where_a_probability_is_zero() {
        let e = likelihood_difference([0.12, 0.15]).unwrap();
        assert!((e - 0.223_143_551_314_209_7).abs() < 1e-15);
        assert_eq!(likelihood_difference([0.15, 0.12]), Some(e));
        assert_eq!(likelihood_difference([0.2, 0.2]), Some(0.0));
        for label in [[0.0, 0.1], [0.1, 0.0], [0.0, 0.0]] {
            assert_eq!(likelihood_difference(label), None);
        }
    }
}
