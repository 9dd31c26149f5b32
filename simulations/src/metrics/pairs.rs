//! Epsilon and delta: how well the adversary tells two senders apart at an output.
//!
//! Sources: A. Piotrowska et al., "The Loopix Anonymity System", 2017, section 5.2.2 (epsilon, the
//! likelihood difference); C. Dwork and A. Roth, "The Algorithmic Foundations of Differential
//! Privacy", 2014, section 2.3, for epsilon and delta together; delta is the hockey-stick
//! divergence of B. Balle, G. Barthe, M. Gaboardi, 2018.

use crate::math;

/// What outputs said of two senders, one entry for each challenge output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs {
    /// The loss `ln(p_true / p_other)` of outputs at which both probabilities are above 0.
    losses: Vec<f64>,
    revealed: u64,
    misled: u64,
    unseen: u64,
}

impl Pairs {
    /// One output, with the probabilities that it came from the sender that it did come from, and
    /// from the other one.
    pub fn add(&mut self, of_true: f64, of_other: f64) {
        match (of_true > 0.0, of_other > 0.0) {
            (true, true) => self.losses.push(math::ln(of_true / of_other)),
            (true, false) => self.revealed += 1,
            (false, true) => self.misled += 1,
            (false, false) => self.unseen += 1,
        }
    }

    /// The outputs at which both probabilities were above 0.
    #[must_use]
    pub fn compared(&self) -> usize {
        self.losses.len()
    }

    /// The share of outputs at which exactly one probability was 0, so that epsilon is infinite
    /// and left out of the mean; 0 to 1. `None` without outputs of either sender.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 outputs")]
    pub fn zeros(&self) -> Option<f64> {
        let all = self.outputs();
        (all > 0.0).then(|| (self.revealed + self.misled) as f64 / all)
    }

    /// The mean of epsilon = |ln(p0/p1)| over the outputs at which it is finite.
    #[must_use]
    pub fn epsilon(&self) -> Option<f64> {
        let absolute: Vec<f64> = self.losses.iter().map(|loss| loss.abs()).collect();
        crate::stats::mean(&absolute)
    }

    /// The epsilon that a share `q` of the finite ones do not exceed.
    #[must_use]
    pub fn epsilon_quantile(&self, q: f64) -> Option<f64> {
        let absolute: Vec<f64> = self.losses.iter().map(|loss| loss.abs()).collect();
        crate::stats::quantile(&absolute, q)
    }

    /// The delta that goes with an epsilon: the mean of `max(0, 1 - e^epsilon p_other/p_true)`
    /// over the outputs of either sender. A probability of 0 for the other sender counts 1. 0 to 1;
    /// `None` without outputs of either sender.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 outputs")]
    pub fn delta(&self, epsilon: f64) -> Option<f64> {
        let all = self.outputs();
        let beyond = self
            .losses
            .iter()
            .map(|loss| (1.0 - math::exp(epsilon - loss)).max(0.0));
        (all > 0.0).then(|| (self.revealed as f64 + beyond.sum::<f64>()) / all)
    }

    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 outputs")]
    fn outputs(&self) -> f64 {
        (self.losses.len() as u64 + self.revealed + self.misled) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_by_hand() {
        let mut pairs = Pairs::default();
        assert_eq!((pairs.epsilon(), pairs.delta(0.0)), (None, None));
        pairs.add(0.4, 0.1);
        pairs.add(0.1, 0.2);
        pairs.add(0.3, 0.0);
        pairs.add(0.0, 0.0);
        let epsilon = (math::ln(4.0) + math::ln(2.0)) / 2.0;
        assert!((pairs.epsilon().unwrap() - epsilon).abs() < 1e-15);
        assert!((pairs.zeros().unwrap() - 1.0 / 3.0).abs() < 1e-15);
        assert_eq!(pairs.compared(), 2);
        // 1 - 1/4 and 0 and 1, of three outputs; with e^epsilon = 2: 1 - 1/2 and 0 and 1.
        assert!((pairs.delta(0.0).unwrap() - 1.75 / 3.0).abs() < 1e-15);
        assert!((pairs.delta(math::ln(2.0)).unwrap() - 0.5).abs() < 1e-15);
    }

    #[test]
    fn randomized_response_has_its_known_delta() {
        // Two outputs, the right one with probability 3/4: the total variation is 1/2, and at
        // epsilon = ln 3 nothing is left.
        let mut pairs = Pairs::default();
        for _ in 0..3 {
            pairs.add(0.75, 0.25);
        }
        pairs.add(0.25, 0.75);
        assert!((pairs.epsilon().unwrap() - math::ln(3.0)).abs() < 1e-12);
        assert!((pairs.delta(0.0).unwrap() - 0.5).abs() < 1e-12);
        assert!(pairs.delta(math::ln(3.0)).unwrap().abs() < 1e-12);
    }
}
