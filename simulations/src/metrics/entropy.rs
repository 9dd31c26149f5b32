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
use crate::engine::mass::TargetResult;
use crate::measure::Claim;
use crate::{math, stats};

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

/// Entropies over messages in a direction, and over users if `users`.
pub(super) fn put(
    adversary: &Adversary,
    claim: &Claim,
    (direction, results): (&str, &[TargetResult]),
    users: bool,
    sheet: &mut Sheet,
) {
    let messages = results.iter().map(|result| Posterior {
        entropy: result.entropy,
        largest: result.largest,
    });
    let messages: Vec<Posterior> = messages.collect();
    let name = format!("{direction}_messages");
    put_posteriors(adversary, claim, &name, &messages, sheet);
    if users {
        let users = results.iter().filter_map(|result| {
            Some(Posterior {
                entropy: result.user_entropy?,
                largest: result.user_largest?,
            })
        });
        let users: Vec<Posterior> = users.collect();
        put_posteriors(
            adversary,
            claim,
            &format!("{direction}_users"),
            &users,
            sheet,
        );
    }
    let truths: Vec<f64> = results.iter().filter_map(|result| result.truth).collect();
    let residuals: Vec<f64> = results.iter().map(|result| result.residual).collect();
    put_care(adversary, claim, direction, (&truths, &residuals), sheet);
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
/// percentile and the least.
fn put_posteriors(
    adversary: &Adversary,
    claim: &Claim,
    what: &str,
    posteriors: &[Posterior],
    sheet: &mut Sheet,
) {
    let values = |of: fn(&Posterior) -> f64| posteriors.iter().map(of).collect::<Vec<f64>>();
    let entropies = values(|p| p.entropy);
    let least = values(Posterior::min_entropy);
    let mut put = |name: &str, unit: &str, value| {
        sheet.put(
            Some(adversary),
            (format!("{name}_{what}"), unit),
            value,
            claim,
        );
    };
    put("entropy", "bits", stats::mean(&entropies));
    put("entropy_p5", "bits", stats::quantile(&entropies, 0.05));
    put("min_entropy", "bits", stats::mean(&least));
    put("min_entropy_p5", "bits", stats::quantile(&least, 0.05));
    put("min_entropy_least", "bits", stats::quantile(&least, 0.0));
    put(
        "largest_probability",
        "1",
        stats::mean(&values(|p| p.largest)),
    );
    put(
        "effective_set_size",
        "1",
        stats::mean(&values(Posterior::effective_size)),
    );
}

/// How many targets there were, what the adversary gave the truth, and how much mass had not come
/// out when targets were given up.
fn put_care(
    adversary: &Adversary,
    claim: &Claim,
    what: &str,
    (truths, residuals): (&[f64], &[f64]),
    sheet: &mut Sheet,
) {
    let mut put = |name: &str, unit: &str, value, claim: &Claim| {
        sheet.put(
            Some(adversary),
            (format!("{name}_{what}"), unit),
            value,
            claim,
        );
    };
    put("probability_of_truth", "1", stats::mean(truths), claim);
    let counted = if matches!(claim, Claim::Unsound(_)) {
        claim
    } else {
        &Claim::Counted
    };
    let targets = Some(count(residuals.len() as u64));
    put("targets", "targets", targets, counted);
    put("residual_mean", "1", stats::mean(residuals), counted);
    put(
        "residual_most",
        "1",
        stats::quantile(residuals, 1.0),
        counted,
    );
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
            let result = |message: &u32| TargetResult {
                message: *message,
                sender: 0,
                receiver: 0,
                sent: 0.0,
                latency: None,
                entropy: 0.0,
                user_entropy: None,
                largest: 1.0,
                user_largest: None,
                truth: None,
                residual: 0.0,
            };
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
