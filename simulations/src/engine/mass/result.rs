//! What is known of a target in the end.

use super::spread::Spread;
use crate::engine::Packet;

/// Above this residual a posterior is told as what may still be said of it, a bound.
pub const TRUNCATED: f64 = 1e-3;

/// A target and the adversary's posterior over the outputs that it may be: the ends and losses of
/// packets.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetResult {
    /// Index of the message.
    pub message: u32,
    /// Client that sent it.
    pub sender: u32,
    /// Client that receives it; [`NONE`](crate::engine::NONE) for none.
    pub receiver: u32,
    /// When it was sent, in seconds.
    pub sent: f64,
    /// From sending to the end, in seconds; `None` if it was lost or was under way at the end.
    pub latency: Option<f64>,
    /// Entropy over outputs, in bits.
    pub entropy: f64,
    /// Entropy over users, in bits; `None` unless the plan asks for it.
    pub user_entropy: Option<f64>,
    /// The largest probability of an output.
    pub largest: f64,
    /// The largest probability of a user; `None` unless the plan asks for it.
    pub user_largest: Option<f64>,
    /// The probability given to the output that it was; `None` if it was under way at the end.
    pub truth: Option<f64>,
    /// Probability that had not come out when the target was given up: what entropies lack. Where
    /// some was put aside, the most that it can be of what is left.
    pub residual: f64,
    /// Mass that came out with packets which the adversary knew not to be messages: of what is left
    /// the probabilities are made. 0 for an adversary who does not know the kinds of packets.
    pub aside: f64,
}

/// Entropy in bits and largest probability.
pub type Uncertainty = (f64, f64);

impl TargetResult {
    /// A target that is just being sent.
    pub(super) const fn new(packet: &Packet) -> Self {
        Self {
            message: packet.message,
            sender: packet.sender,
            receiver: packet.receiver,
            sent: packet.sent,
            latency: None,
            entropy: 0.0,
            user_entropy: None,
            largest: 0.0,
            user_largest: None,
            truth: None,
            residual: 0.0,
            aside: 0.0,
        }
    }

    /// Takes what came out for the target in this place.
    pub(super) fn complete(&mut self, spread: &Spread, place: usize) {
        (self.entropy, self.largest, self.truth) = spread.totals(place);
        let users = spread.users(place);
        self.user_entropy = users.map(|users| users.0);
        self.user_largest = users.map(|users| users.1);
        self.residual = (1.0 - spread.out(place)).max(0.0);
        self.aside = spread.aside(place);
        if self.aside > 0.0 {
            self.condition(spread.out(place) - self.aside);
        }
    }

    /// Makes probabilities of masses of which so much came out and was not put aside: what had not
    /// come out may be a message or not, and counts as much as it can.
    fn condition(&mut self, came_out: f64) {
        let all = came_out + self.residual;
        if all <= 0.0 {
            // All was put aside, the target too: it was no message.
            return;
        }
        let factor = 1.0 / all;
        let share = came_out * factor;
        // Of masses m with the sum s: the sum of -(f m) log (f m).
        let more = term(factor) * came_out;
        self.entropy = (factor * self.entropy + more).max(0.0);
        let users = self.user_entropy;
        self.user_entropy = users.map(|entropy| (factor * entropy + more).max(0.0));
        self.largest *= factor;
        self.user_largest = self.user_largest.map(|largest| largest * factor);
        self.truth = self.truth.map(|truth| truth * factor);
        self.residual = (1.0 - share).max(0.0);
    }

    /// Of something with this entropy and largest probability besides the residual: the same if the
    /// residual turns out to be nothing.
    fn without_residual(&self, (entropy, largest): Uncertainty) -> Uncertainty {
        let share = 1.0 - self.residual;
        if share <= 0.0 {
            return (0.0, 1.0);
        }
        let whole = entropy / share + crate::math::log2(share);
        (whole.max(0.0), (largest / share).min(1.0))
    }

    /// The lower entropy and the larger probability of both.
    fn worst(&self, certain: Uncertainty, bound: Uncertainty) -> Uncertainty {
        if self.aside <= 0.0 {
            return bound;
        }
        // The entropy is concave in the share that the rest has, so it is least at one of the ends.
        let other = self.without_residual(certain);
        (bound.0.min(other.0), bound.1.max(other.1))
    }

    /// Whether so much had not come out that entropies can only be bounded.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.residual > TRUNCATED
    }

    /// Entropy over outputs in bits, and the largest probability: the least entropy and the largest
    /// probability that the posterior can have in the end. All that had not come out is one output
    /// more. That is a distribution, so its min-entropy is at most its entropy, however little is
    /// missing; and every other one that has the same outputs so far has at least its entropies:
    /// splitting an output only adds to them.
    #[must_use]
    pub fn over_outputs(&self) -> Uncertainty {
        let rest = self.residual;
        let bound = (self.entropy + term(rest), self.largest.max(rest));
        self.worst((self.entropy, self.largest), bound)
    }

    /// The largest probability that the posterior can give the output that it was in the end; `None`
    /// if it had not come out and next to nothing was missing.
    #[must_use]
    pub fn truth_at_most(&self) -> Option<f64> {
        match self.truth {
            // What had not come out may be put aside as well, which leaves the truth more.
            Some(truth) if self.aside > 0.0 && self.residual < 1.0 => {
                Some((truth / (1.0 - self.residual)).min(1.0))
            }
            Some(truth) => Some(truth),
            // It may get all that had not: left out, those that come out late would not count.
            None => self.is_truncated().then_some(self.residual),
        }
    }

    /// Entropy and largest probability over users; `None` unless the plan asks for it. What had not come out may all go to
    /// the user who is likeliest already: of all ways to add it that one leaves the least entropy,
    /// because its distribution majorises every other one.
    #[must_use]
    pub fn over_users(&self) -> Option<Uncertainty> {
        let (entropy, largest) = (self.user_entropy?, self.user_largest?);
        let likeliest = (largest + self.residual).min(1.0);
        let least = entropy - term(largest) + term(likeliest);
        Some(self.worst((entropy, largest), (least.max(0.0), likeliest)))
    }
}

/// A probability's part of an entropy, in bits.
fn term(p: f64) -> f64 {
    if p > 0.0 {
        -p * crate::math::log2(p)
    } else {
        0.0
    }
}

/// The end of a message of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// When.
    pub time: f64,
    /// Client that receives it; [`NONE`](crate::engine::NONE) for none.
    pub receiver: u32,
    /// The group that it is of in truth: position in the plan's list.
    pub group: u32,
    /// For each group the expected number of its messages that this packet is: the probability
    /// that it is one.
    pub masses: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::NONE;
    use crate::metrics::entropy::Posterior;

    impl TargetResult {
        /// A target of which the only output has half of it.
        pub(crate) const fn of_test(message: u32) -> Self {
            Self {
                message,
                sender: 0,
                receiver: NONE,
                sent: 0.0,
                latency: None,
                entropy: 0.5,
                user_entropy: None,
                largest: 0.5,
                user_largest: None,
                truth: None,
                residual: 0.0,
                aside: 0.0,
            }
        }
    }

    /// A target of which these outputs have come out, each at a user of its own.
    fn target(outputs: &[f64]) -> TargetResult {
        let posterior = Posterior::of(outputs.iter().copied());
        TargetResult {
            entropy: posterior.entropy,
            user_entropy: Some(posterior.entropy),
            largest: posterior.largest,
            user_largest: Some(posterior.largest),
            residual: 1.0 - outputs.iter().sum::<f64>(),
            ..TargetResult::of_test(0)
        }
    }

    #[test]
    fn what_is_said_of_a_truncated_posterior_holds_however_it_goes_on() {
        let so_far = [0.1, 0.2, 0.05];
        let cut = target(&so_far);
        assert!(cut.is_truncated());
        let (entropy, largest) = cut.over_outputs();
        let (of_users, likeliest) = cut.over_users().unwrap();
        assert!(-crate::math::log2(largest) <= entropy);
        assert!(-crate::math::log2(likeliest) <= of_users);
        let rest = 0.65;
        for parts in [1, 2, 5, 1000] {
            let part = rest / f64::from(parts);
            let mut outputs = so_far.to_vec();
            outputs.extend(vec![part; parts as usize]);
            let whole = Posterior::of(outputs);
            assert!(whole.entropy >= entropy - 1e-12 && whole.largest <= largest + 1e-12);
            // To the users there are, or to others.
            for to in 0..3 {
                let mut users = so_far;
                users[to] += rest;
                let whole = Posterior::of(users);
                assert!(whole.entropy >= of_users - 1e-12 && whole.largest <= likeliest + 1e-12);
            }
        }
        // All in one output is what the bound says.
        let whole = Posterior::of([0.1, 0.2, 0.05, 0.65]);
        assert!((whole.entropy - entropy).abs() < 1e-12);
        let users = Posterior::of([0.1, 0.85, 0.05]);
        assert!((users.entropy - of_users).abs() < 1e-12);
    }

    /// Of a sum just below 1, -sum p log p is less than -log of the largest p.
    #[test]
    fn a_min_entropy_is_at_most_its_entropy_however_little_is_missing() {
        for missing in [0.0, 1e-12, 1e-6, 9.99e-4, 1.1e-3, 0.1, 1.0] {
            for outputs in [1_u32, 2, 20, 1000] {
                let each = (1.0 - missing) / f64::from(outputs);
                let some = target(&vec![each; outputs as usize]);
                for (entropy, largest) in [some.over_outputs(), some.over_users().unwrap()] {
                    let least = -crate::math::log2(largest);
                    assert!(least <= entropy + 1e-9, "{missing} {outputs}");
                }
            }
        }
    }

    #[test]
    fn what_is_put_aside_is_left_out_of_the_posterior() {
        // Of masses 0.2 and 0.1 that came out, 0.5 that was put aside and 0.2 that is to come.
        let mut cut = target(&[0.2, 0.1]);
        (cut.residual, cut.aside) = (0.2, 0.5);
        cut.truth = Some(0.1);
        cut.condition(0.3);
        assert!((cut.residual - 0.4).abs() < 1e-12);
        assert!((cut.truth.unwrap() - 0.2).abs() < 1e-12);
        let whole = Posterior::of([0.4, 0.2, 0.4]);
        assert!((cut.entropy + term(0.4) - whole.entropy).abs() < 1e-12);
        // If nothing of the rest is a message, 2/3 and 1/3; if all of it is one, 0.4, 0.2 and 0.4.
        let (entropy, largest) = cut.over_outputs();
        // The truth has 0.2 of all, and 1/3 of what is left without the rest.
        assert!((cut.truth_at_most().unwrap() - 1.0 / 3.0).abs() < 1e-12);
        let without = Posterior::of([2.0 / 3.0, 1.0 / 3.0]);
        assert!((entropy - without.entropy).abs() < 1e-12);
        assert!((largest - 2.0 / 3.0).abs() < 1e-12);
        let mut all_aside = target(&[]);
        (all_aside.residual, all_aside.aside) = (0.0, 1.0);
        all_aside.condition(0.0);
        assert_eq!(all_aside.over_outputs().0, 0.0);
    }

    #[test]
    fn a_whole_posterior_is_told_as_it_is() {
        let mut whole = target(&[0.5, 0.5]);
        assert_eq!(whole.over_outputs(), (1.0, 0.5));
        assert_eq!(whole.over_users(), Some((1.0, 0.5)));
        whole.truth = Some(0.5);
        assert_eq!(whole.truth_at_most(), Some(0.5));
        // Nothing has come out: nothing is known.
        assert_eq!(target(&[]).over_outputs(), (0.0, 1.0));
        assert_eq!(target(&[]).over_users(), Some((0.0, 1.0)));
    }
}
