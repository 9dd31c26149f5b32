//! How well a message hides among the users: the min-entropy of an adversary's posterior over
//! them, before anything is simulated.

use crate::{
    math,
    stats::{binomial_pmf, erlang_pdf, gamma_p},
};

/// Users that send alike through a stratified network with exponential delays, some mixes of which
/// are corrupt. The adversary sees every link and the permutation of the corrupt mixes, and learns
/// for each packet that leaves the last layer which user it is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UserAnonymity {
    /// Users that are online.
    pub users: f64,
    /// Packets per second of each.
    pub rate: f64,
    /// Mean delay of a hop, in seconds.
    pub mean_delay: f64,
    /// Layers, at least 1.
    pub layers: u32,
    /// Mixes of a layer, at least 1.
    pub width: u32,
    /// The share of each layer's mixes that is corrupt, 0 to 1.
    pub corrupt: f64,
}

/// Points at which the density of a delay is taken.
const POINTS: u32 = 48;

/// The outputs of one origin: so many per user and second, each with this posterior probability by
/// its age.
struct Component {
    /// Expected outputs per user that belong to each weight.
    counts: Vec<f64>,
    weights: Vec<f64>,
}

impl UserAnonymity {
    /// The min-entropy over users, in bits, that a share `q` (0 to 1) of the messages do not
    /// exceed. An approximation ("shot noise of users"): to compare networks before they are
    /// simulated.
    ///
    /// A user's probability is the sum over the outputs for that user, which come as a Poisson
    /// process, of the density of the target's delay at the output's age. Its tail is that of the
    /// saddle point (Daniels 1954), taken for each kind of output on its own; the largest of all users exceeds x with probability
    /// 1 - exp(-N (1 + x) Pr(one user exceeds x)), the second term being the receiver, whose
    /// probability is size-biased. A message whose first honest mix is in layer i (with
    /// probability c^(i-1) (1-c)) has two kinds of outputs: those that meet none but corrupt mixes
    /// after it, which are as few as leave that one mix, and the others. A message with no honest
    /// mix at all has no entropy.
    #[must_use]
    pub fn min_entropy_quantile(&self, q: f64) -> f64 {
        let classes: Vec<(f64, Vec<Component>)> = (1..=self.layers)
            .map(|first| (self.class_share(first), self.components(first)))
            .collect();
        let lost = math::pow(self.corrupt, f64::from(self.layers));
        if lost >= q || self.users <= 1.0 {
            return 0.0;
        }
        let above = |x: f64| {
            let of_class = |(share, components): &(f64, Vec<Component>)| {
                if *share <= 0.0 {
                    return 0.0;
                }
                let one: f64 = components.iter().map(|c| tail(c, x)).sum();
                let rare = self.users * (1.0 + x) * one.min(1.0);
                share * -libm::expm1(-rare)
            };
            lost + classes.iter().map(of_class).sum::<f64>()
        };
        // The largest of N probabilities is at least 1/N.
        let (mut low, mut high) = (0.0, math::log2(self.users));
        for _ in 0..26 {
            let bits = 0.5 * (low + high);
            if above(math::pow(2.0, -bits)) >= q {
                high = bits;
            } else {
                low = bits;
            }
        }
        0.5 * (low + high)
    }

    fn class_share(&self, first: u32) -> f64 {
        math::pow(self.corrupt, f64::from(first - 1)) * (1.0 - self.corrupt)
    }

    /// Mean number of packets in one mix, the target included.
    fn pool(&self) -> f64 {
        1.0 + self.users * self.rate * self.mean_delay / f64::from(self.width.max(1))
    }

    /// The outputs of a message whose first honest mix is in layer `first`.
    fn components(&self, first: u32) -> Vec<Component> {
        let rest = self.layers - first;
        let exposed = math::pow(self.corrupt, f64::from(rest));
        let mut components = Vec::new();
        if exposed > 0.0 {
            // Weights are those of one pool, 1/pool at first.
            let outputs = self.pool() / self.mean_delay;
            components.push(self.component(exposed * outputs, |t| {
                erlang_pdf(t, 1.0, self.mean_delay) / outputs
            }));
        }
        if exposed < 1.0 {
            let total = self.users * self.rate;
            let outputs = (1.0 + total * self.mean_delay) * self.reached(rest) / self.mean_delay;
            components.push(self.component(outputs, |t| self.mixed_density(t, rest) / outputs));
        }
        components
    }

    /// The share of all outputs that the few packets of sparse pools can be among.
    fn reached(&self, rest: u32) -> f64 {
        let honest = 1.0 + f64::from(rest) * (1.0 - self.corrupt);
        let total = 1.0 + self.users * self.rate * self.mean_delay;
        (math::pow(self.pool(), honest) / total).min(1.0)
    }

    /// Density of the delay in one honest mix and at least one more of `rest` layers, weighted by
    /// the probability of that.
    fn mixed_density(&self, t: f64, rest: u32) -> f64 {
        (1..=rest)
            .map(|more| {
                let chance = binomial_pmf(u64::from(more), u64::from(rest), 1.0 - self.corrupt);
                chance * erlang_pdf(t, f64::from(1 + more), self.mean_delay)
            })
            .sum()
    }

    /// Outputs at a rate of `outputs` per second, all users together, with these weights by age.
    fn component(&self, outputs: f64, weight: impl Fn(f64) -> f64) -> Component {
        let longest = self.mean_delay * (16.0 + 3.0 * f64::from(self.layers));
        let per_user = outputs / self.users;
        let (mut counts, mut weights) = (Vec::new(), Vec::new());
        for i in 0..POINTS {
            // Ages are dense where they are short.
            let place = |i: f64| {
                let v = i / f64::from(POINTS);
                longest * v * v
            };
            let (from, to) = (place(f64::from(i)), place(f64::from(i + 1)));
            counts.push(per_user * (to - from));
            weights.push(weight(0.5 * (from + to)).min(1.0));
        }
        Component { counts, weights }
    }
}

/// The logarithm of the moment generating function of what a user has of a component, at `theta`,
/// and its first two derivatives.
fn cumulants(component: &Component, theta: f64) -> (f64, f64, f64) {
    let (mut k0, mut k1, mut k2) = (0.0, 0.0, 0.0);
    for (count, weight) in component.counts.iter().zip(&component.weights) {
        let e = count * math::exp(theta * weight);
        k0 += e - count;
        k1 += e * weight;
        k2 += e * weight * weight;
    }
    (k0, k1, k2)
}

/// Pr(what a user has of a component > x), by the saddle point; 1 up to the mean.
fn tail(component: &Component, x: f64) -> f64 {
    let (_, mean, _) = cumulants(component, 0.0);
    if x <= mean {
        return 1.0;
    }
    let heaviest = component.weights.iter().fold(0.0_f64, |a, b| a.max(*b));
    if heaviest <= 0.0 || mean <= 0.0 {
        return 0.0;
    }
    let theta = saddle(component, x, heaviest, mean);
    let (k0, _, k2) = cumulants(component, theta);
    let width = theta * (2.0 * std::f64::consts::PI * k2).sqrt();
    let smooth = (math::exp(k0 - theta * x) / width.max(1.0)).min(1.0);
    smooth.min(enough_outputs(component, x, heaviest))
}

/// Where the first derivative is x, by Newton's method on its logarithm, kept between bounds by
/// bisection: the derivative grows with theta.
fn saddle(component: &Component, x: f64, heaviest: f64, mean: f64) -> f64 {
    let (mut low, mut high) = (0.0, 600.0 / heaviest);
    let mut theta = math::ln(x / mean) / heaviest;
    for _ in 0..60 {
        if !(theta > low && theta < high) {
            theta = 0.5 * (low + high);
        }
        let (_, k1, k2) = cumulants(component, theta);
        let off = math::ln(k1 / x);
        if off.abs() <= 1e-7 || high - low <= 1e-9 * high {
            break;
        }
        if off < 0.0 {
            low = theta;
        } else {
            high = theta;
        }
        theta -= off * k1 / k2;
    }
    theta
}

/// A bound on Pr(what a user has of a component > x): it takes so many outputs at least. The
/// saddle point smooths over these steps where outputs are few. Outputs with a thousandth of the
/// largest weight are left out: all of them have less than that of the mean.
fn enough_outputs(component: &Component, x: f64, heaviest: f64) -> f64 {
    let outputs: f64 = component
        .counts
        .iter()
        .zip(&component.weights)
        .filter(|(_, weight)| **weight > 1e-3 * heaviest)
        .map(|(count, _)| count)
        .sum();
    gamma_p((x / heaviest).ceil().max(1.0), outputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: UserAnonymity = UserAnonymity {
        users: 1000.0,
        rate: 4.0,
        mean_delay: 0.5,
        layers: 3,
        width: 4,
        corrupt: 0.0,
    };

    fn median(case: UserAnonymity) -> f64 {
        case.min_entropy_quantile(0.5)
    }

    /// The weights of all outputs sum to 1.
    #[test]
    fn the_posterior_is_whole() {
        for corrupt in [0.0, 0.2, 0.6] {
            for layers in [1, 2, 3, 5] {
                let case = UserAnonymity {
                    corrupt,
                    layers,
                    ..BASE
                };
                for first in 1..=layers {
                    let mass = |c: &Component| cumulants(c, 0.0).1;
                    let all: f64 = case.components(first).iter().map(mass).sum();
                    let all = all * case.users;
                    assert!(
                        (all - 1.0).abs() < 0.005,
                        "{corrupt} {layers} {first}: {all}"
                    );
                }
            }
        }
    }

    /// With many more users than packets in flight, users are outputs: the likeliest is the mode
    /// of the Erlang density over the rate.
    #[test]
    fn sparse_users_are_outputs() {
        for (layers, mode) in [(2, 0.367_879), (3, 0.270_671), (4, 0.224_042)] {
            let case = UserAnonymity {
                users: 2e13,
                rate: 1e-7,
                mean_delay: 0.02,
                layers,
                ..BASE
            };
            let closed = math::log2(case.users * case.rate * case.mean_delay / mode);
            assert!(
                (median(case) - closed).abs() < 0.2,
                "{layers}: {}",
                median(case)
            );
        }
    }

    /// With many packets of each user in flight, the users are equally likely.
    #[test]
    fn busy_users_are_alike() {
        let busy = UserAnonymity { rate: 1e5, ..BASE };
        assert!(math::log2(busy.users) - median(busy) < 0.05);
        assert!(median(BASE) < median(busy));
    }

    /// Rare outputs of a great weight must not hide the many of a small one.
    #[test]
    fn rare_and_common_outputs_both_count() {
        let large = UserAnonymity {
            users: 1e5,
            rate: 4.5,
            mean_delay: 0.0444,
            layers: 8,
            width: 190,
            corrupt: 0.2,
        };
        let (some, none) = (
            large.min_entropy_quantile(0.05),
            UserAnonymity {
                corrupt: 0.0,
                ..large
            }
            .min_entropy_quantile(0.05),
        );
        // A user with five outputs at the mode of Erlang(8), 0.149, among 20,000 per mean delay.
        assert!((12.5..15.5).contains(&none), "{none}");
        assert!(some <= none && some > none - 1.5, "{some} {none}");
    }

    #[test]
    fn it_grows_with_users_and_falls_with_corruption() {
        let q = |case: UserAnonymity| case.min_entropy_quantile(0.05);
        let mut before = 0.0;
        for users in [50.0, 200.0, 1000.0, 5000.0] {
            let now = q(UserAnonymity { users, ..BASE });
            assert!(now > before, "{users}: {now}, {before}");
            before = now;
        }
        for corrupt in [0.1, 0.3, 0.36] {
            let now = q(UserAnonymity { corrupt, ..BASE });
            assert!(now < before, "{corrupt}: {now}, {before}");
            before = now;
        }
        // 0.4^3 of the messages have no honest mix: more than a twentieth.
        let exposed = UserAnonymity {
            corrupt: 0.4,
            ..BASE
        };
        assert!(q(exposed).abs() < 1e-12);
    }
}
