//! Entropy, min-entropy, the largest probability and the effective set size of the targets'
//! posteriors.
//!
//! Sources: A. Serjantov and G. Danezis, "Towards an Information Theoretic Metric for Anonymity",
//! 2002; C. Diaz, S. Seys, J. Claessens, B. Preneel, "Towards Measuring Anonymity", 2002 (entropy
//! and the effective set size); A. Rényi, 1961 (min-entropy); A. Piotrowska et al., "The Loopix
//! Anonymity System", 2017, section 5.2 (mass over count).

use super::sheet::{Sheet, count};
use crate::adversary::Adversary;
use crate::engine::Targets;
use crate::engine::mass::{TargetResult, Uncertainty};
use crate::measure::Claim;
use crate::{math, stats};

/// Why a value is a bound where targets were given up before nearly all of them had come out.
const CUT: &str =
    "the run ended before targets had come out, and what had not is taken for one output";

/// Why a value is an approximation where targets were passed over: at rho = 5 every message that
/// comes when the last target is gone gives 3.28 bits for 3.75.
const PASSED_OVER: &str = "messages that were due as targets were passed over, because targets.max_alive were alive, and the others see other pools";

/// What is known of one target's posterior.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Posterior {
    /// Shannon entropy, in bits.
    pub entropy: f64,
    /// The largest probability.
    pub largest: f64,
}

impl Posterior {
    /// Of probabilities that sum to 1, or less where some mass is missing: what is missing adds
    /// nothing.
    #[must_use]
    pub fn of(probabilities: impl IntoIterator<Item = f64>) -> Self {
        let mut posterior = Self {
            entropy: 0.0,
            largest: 0.0,
        };
        for p in probabilities.into_iter().filter(|p| *p > 0.0) {
            posterior.entropy -= p * math::log2(p);
            posterior.largest = posterior.largest.max(p);
        }
        posterior
    }

    /// -log2 of the largest probability, in bits.
    #[must_use]
    pub fn min_entropy(&self) -> f64 {
        // Not -0 for certainty.
        0.0 - math::log2(self.largest)
    }

    /// 2 to the entropy: as many equal candidates would hide as well.
    #[must_use]
    pub fn effective_size(&self) -> f64 {
        math::pow(2.0, self.entropy)
    }
}

/// Entropies over messages in a direction, and over users if `users`, of targets beside which so many
/// were passed over.
pub(super) fn put(
    adversary: &Adversary,
    claim: &Claim,
    (direction, results, passed_over): (&str, &[TargetResult], u64),
    users: bool,
    sheet: &mut Sheet,
) {
    // Knowing more makes the mean of entropies smaller and that of the largest probabilities larger,
    // but nothing follows for each posterior, nor for what is not concave: -log max p may grow.
    let each = &told(&claim.of_unordered(), results, passed_over);
    let claim = &told(claim, results, passed_over);
    let claims = (claim, each);
    let of = |(entropy, largest): Uncertainty| Posterior { entropy, largest };
    let messages = results.iter().map(|result| of(result.over_outputs()));
    let messages: Vec<Posterior> = messages.collect();
    let name = format!("{direction}_messages");
    put_posteriors(adversary, claims, &name, &messages, sheet);
    if users {
        let users = results.iter().filter_map(|result| result.over_users());
        let users: Vec<Posterior> = users.map(of).collect();
        put_posteriors(
            adversary,
            claims,
            &format!("{direction}_users"),
            &users,
            sheet,
        );
    }
    put_care(adversary, claim, direction, results, sheet);
    if !matches!(claim, Claim::Unsound(_)) {
        let name = (format!("targets_passed_over_{direction}"), "messages");
        let passed_over = Some(count(passed_over));
        sheet.put(Some(adversary), name, passed_over, &Claim::Counted);
    }
}

/// What may be claimed of the entropies of these targets, where this may be claimed of whole
/// posteriors.
fn told(claim: &Claim, results: &[TargetResult], passed_over: u64) -> Claim {
    let mut claim = claim.clone();
    if results.iter().any(TargetResult::is_truncated) {
        claim = claim.and(&Claim::LowerBound(CUT.to_owned()));
    }
    if passed_over > 0 {
        claim = claim.and(&Claim::Approximation(PASSED_OVER.to_owned()));
    }
    claim
}

/// How many messages should have been targets by their index and were passed over, because as many
/// as may be were alive. Where there are such, the choice depends on when places become free, and
/// with it on the state of the pools: means over targets are biased.
pub(super) fn passed_over(targets: &Targets, results: &[TargetResult], messages: u32) -> u64 {
    let full = results.len() as u64 >= u64::from(targets.count);
    let last = match results.last() {
        Some(last) if full => last.message,
        _ => messages.saturating_sub(1),
    };
    if messages == 0 || last < targets.first {
        return 0;
    }
    let due = u64::from((last - targets.first) / targets.every.max(1)) + 1;
    due.saturating_sub(results.len() as u64)
}

/// The values that are made of posteriors: means over targets, and of the min-entropy also the 5th
/// percentile and the least. With what may be claimed of mean entropies, and of each posterior.
fn put_posteriors(
    adversary: &Adversary,
    (claim, each): (&Claim, &Claim),
    what: &str,
    posteriors: &[Posterior],
    sheet: &mut Sheet,
) {
    let values = |of: fn(&Posterior) -> f64| posteriors.iter().map(of).collect::<Vec<f64>>();
    let entropies = values(|p| p.entropy);
    let least = values(Posterior::min_entropy);
    let opposite = &claim.of_opposite();
    let mut put = |name: &str, unit: &str, value, claim: &Claim| {
        let name = format!("{name}_{what}");
        sheet.put(Some(adversary), (name, unit), value, claim);
    };
    put("entropy", "bits", stats::mean(&entropies), claim);
    let low = stats::quantile(&entropies, 0.05);
    put("entropy_p5", "bits", low, each);
    put("min_entropy", "bits", stats::mean(&least), each);
    let low = stats::quantile(&least, 0.05);
    put("min_entropy_p5", "bits", low, each);
    let lowest = stats::quantile(&least, 0.0);
    put("min_entropy_least", "bits", lowest, each);
    let largest = stats::mean(&values(|p| p.largest));
    put("largest_probability", "1", largest, opposite);
    let sizes = stats::mean(&values(Posterior::effective_size));
    put("effective_set_size", "1", sizes, each);
}

/// How many targets there were, what the adversary gave the truth, and how much mass had not come
/// out when targets were given up.
fn put_care(
    adversary: &Adversary,
    claim: &Claim,
    what: &str,
    results: &[TargetResult],
    sheet: &mut Sheet,
) {
    let residuals: Vec<f64> = results.iter().map(|result| result.residual).collect();
    let mut put = |name: &str, unit: &str, value, claim: &Claim| {
        let name = format!("{name}_{what}");
        sheet.put(Some(adversary), (name, unit), value, claim);
    };
    let truth = stats::mean(&truths(results));
    put("probability_of_truth", "1", truth, &claim.of_opposite());
    let counted = if matches!(claim, Claim::Unsound(_)) {
        claim
    } else {
        &Claim::Counted
    };
    let targets = Some(count(residuals.len() as u64));
    put("targets", "targets", targets, counted);
    put("residual_mean", "1", stats::mean(&residuals), counted);
    let most = stats::quantile(&residuals, 1.0);
    put("residual_most", "1", most, counted);
}

/// What the posteriors gave the truth, or may give it at most.
fn truths(results: &[TargetResult]) -> Vec<f64> {
    let truths = results.iter().map(TargetResult::truth_at_most);
    truths.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_were_due_and_are_no_targets_were_passed_over() {
        let targets = |count| Targets {
            first: 10,
            every: 5,
            max_alive: 2,
            count,
            any_kind: false,
            users: false,
        };
        let results = |messages: &[u32]| -> Vec<TargetResult> {
            let result = |message: &u32| TargetResult::of_test(*message);
            messages.iter().map(result).collect()
        };
        // Due are 10, 15, 20, 25, 30.
        assert_eq!(passed_over(&targets(9), &results(&[10, 15, 25]), 31), 2);
        assert_eq!(passed_over(&targets(3), &results(&[10, 15, 25]), 31), 1);
        assert_eq!(passed_over(&targets(3), &results(&[10, 15, 20]), 31), 0);
        assert_eq!(passed_over(&targets(9), &results(&[]), 10), 0);
        assert_eq!(passed_over(&targets(9), &results(&[]), 0), 0);
    }

    #[test]
    fn one_truncated_target_makes_bounds_of_all_values() {
        let plan = crate::adversary::tests::plan(&[&[1.0; 2]]);
        let adversary = crate::adversary::tests::placed(&plan);
        let target = |entropy, truth, residual| TargetResult {
            entropy,
            truth,
            residual,
            ..TargetResult::of_test(0)
        };
        let whole = target(3.0, Some(0.25), 1e-4);
        // Half of it is still under way, the target itself among it.
        let cut = target(1.0, None, 0.5);
        let values = |claim: &Claim, results: &[TargetResult]| {
            let mut sheet = Sheet::default();
            put(
                &adversary,
                claim,
                ("forward", results, 0),
                false,
                &mut sheet,
            );
            sheet.into_rows()
        };
        let row = |rows: &[crate::measure::Measured], name: &str| {
            let found = rows.iter().find(|row| row.name == name).unwrap();
            (found.value.unwrap(), found.claim.kind())
        };
        let rows = values(&Claim::Exact, std::slice::from_ref(&whole));
        let (entropy, claim) = row(&rows, "entropy_forward_messages");
        // What is missing, however little, is one output more.
        assert!((entropy - 3.0 - 1e-4 * math::log2(1e4)).abs() < 1e-12);
        assert_eq!(claim, "exact");
        assert_eq!(row(&rows, "probability_of_truth_forward"), (0.25, "exact"));
        let both = [whole, cut];
        let rows = values(&Claim::Exact, &both);
        // 1 bit and half a bit for the half that is still under way.
        let (with, claim) = row(&rows, "entropy_forward_messages");
        assert!((with - (entropy + 1.5) / 2.0).abs() < 1e-12);
        assert_eq!(claim, "lower_bound");
        let largest = row(&rows, "largest_probability_forward_messages");
        assert_eq!(largest, (0.5, "upper_bound"));
        let least = row(&rows, "min_entropy_least_forward_messages");
        assert_eq!(least, (1.0, "lower_bound"));
        let truth = row(&rows, "probability_of_truth_forward");
        assert_eq!(truth, (0.375, "upper_bound"));
        assert_eq!(row(&rows, "residual_most_forward"), (0.5, "counted"));
        // Who knows more has less entropy on average; -log max p may still be more: (1, 0, ..., 0) once in
        // ten and a thousand equals else have 9.0 bits, and who can't tell which has 3.3.
        let high = Claim::UpperBound("because".to_owned());
        let rows = values(&high, &both[..1]);
        assert_eq!(row(&rows, "entropy_forward_messages").1, "upper_bound");
        let probability = row(&rows, "largest_probability_forward_messages");
        assert_eq!(probability.1, "lower_bound");
        for name in [
            "entropy_p5",
            "min_entropy",
            "min_entropy_least",
            "effective_set_size",
        ] {
            let claim = row(&rows, &format!("{name}_forward_messages")).1;
            assert_eq!(claim, "approximation", "{name}");
        }
        let rows = values(&high, &both);
        assert_eq!(row(&rows, "entropy_forward_messages").1, "approximation");
    }

    #[test]
    fn posteriors_by_hand() {
        let posterior = Posterior::of([0.5, 0.25, 0.25, 0.0]);
        assert!((posterior.entropy - 1.5).abs() < 1e-15);
        assert!((posterior.min_entropy() - 1.0).abs() < 1e-15);
        assert!((posterior.effective_size() - math::pow(2.0, 1.5)).abs() < 1e-12);
        let certain = Posterior::of([1.0]);
        assert_eq!(certain.entropy.to_bits(), 0.0_f64.to_bits());
        assert_eq!(certain.min_entropy().to_bits(), 0.0_f64.to_bits());
        assert!((certain.effective_size() - 1.0).abs() < 1e-15);
    }
}
