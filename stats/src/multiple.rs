//! Many tests at once.

/// The p-values of tests that are judged together, adjusted so that rejecting those below a level
/// rejects a true hypothesis with at most that probability in all, however the tests depend on each
/// other. In the order given; values that are not numbers count as 1.
///
/// Source: Holm, "A simple sequentially rejective multiple test procedure" (1979).
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 tests")]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = p_values
        .iter()
        .map(|p| if p.is_nan() { 1.0 } else { *p })
        .enumerate()
        .collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut highest = 0.0_f64;
    let mut adjusted: Vec<(usize, f64)> = Vec::with_capacity(order.len());
    for (rank, (place, p)) in order.iter().enumerate() {
        let left = (order.len() - rank) as f64;
        highest = highest.max((left * p).min(1.0));
        adjusted.push((*place, highest));
    }
    adjusted.sort_by_key(|(place, _)| *place);
    adjusted.into_iter().map(|(_, p)| p).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjusted_values_are_those_of_the_procedure() {
        // R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") is 0.03 0.06 0.06 0.02.
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (ours, theirs) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((ours - theirs).abs() < 1e-12, "{adjusted:?}");
        }
        assert_eq!(holm(&[0.9, f64::NAN]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
