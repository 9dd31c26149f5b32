//! How long a packet takes.

use crate::{math, stats};

/// The latency of a packet: a constant and independent exponential stages, each with its own mean.
/// With equal means that is an Erlang distribution, as for a path whose hops all delay by the same
/// mean (Loopix, section 4.3: the providers delay as the mixes do; in MiXiM there are none).
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    constant: f64,
    /// Means and how many stages have them; the means differ from each other.
    stages: Vec<(f64, u32)>,
}

impl Latency {
    /// A constant, in seconds, and no stages.
    #[must_use]
    pub fn constant(seconds: f64) -> Self {
        Self {
            constant: seconds,
            stages: Vec::new(),
        }
    }

    /// A path over `layers` mixes and `providers` nodes beside them that delay, each by
    /// `mean_delay` seconds on average, and `links` links of `link` seconds.
    #[must_use]
    pub fn path(layers: u32, providers: u32, mean_delay: f64, links: u32, link: f64) -> Self {
        Self::constant(f64::from(links) * link).and(layers + providers, mean_delay)
    }

    /// With `count` more exponential stages of this mean in seconds. Stages without a mean count
    /// for nothing.
    #[must_use]
    pub fn and(mut self, count: u32, mean: f64) -> Self {
        if count == 0 || mean.is_nan() || mean <= 0.0 {
            return self;
        }
        let known = self.stages.iter_mut().find(|(m, _)| *m == mean);
        match known {
            Some((_, stages)) => *stages += count,
            None => self.stages.push((mean, count)),
        }
        self
    }

    /// The mean, in seconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let delays: f64 = self.stages.iter().map(|(m, n)| m * f64::from(*n)).sum();
        self.constant + delays
    }

    /// The standard deviation, in seconds.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        let squares = self.stages.iter().map(|(m, n)| m * m * f64::from(*n));
        squares.sum::<f64>().sqrt()
    }

    /// Pr(latency <= seconds).
    #[must_use]
    pub fn cdf(&self, seconds: f64) -> f64 {
        let rest = seconds - self.constant;
        if rest < 0.0 {
            return 0.0;
        }
        match self.stages.as_slice() {
            [] => 1.0,
            [(mean, count)] => stats::erlang_cdf(rest, f64::from(*count), *mean),
            stages => without_the_shortest(stages, rest),
        }
    }

    /// The seconds that a share p (0 to 1) of the packets do not exceed.
    #[must_use]
    pub fn quantile(&self, p: f64) -> f64 {
        match self.stages.as_slice() {
            [] => self.constant,
            [(mean, count)] => self.constant + stats::erlang_quantile(p, f64::from(*count), *mean),
            _ => {
                let unit = self.mean() - self.constant;
                let cdf = |x: f64| self.cdf(self.constant + x * unit);
                self.constant + unit * stats::invert(p, cdf)
            }
        }
    }
}

/// What is so short, against the time that is asked about, that only its mean shows: to some 1e-7.
const SHORT: f64 = 1.0 / 4096.0;

/// Pr(sum of the stages <= t). The shortest stages count by their means: solving for them would
/// take time by their number within t.
fn without_the_shortest(stages: &[(f64, u32)], t: f64) -> f64 {
    let (short, long): (Vec<_>, Vec<_>) = stages.iter().partition(|(mean, _)| *mean < t * SHORT);
    let constant: f64 = short.iter().map(|(mean, n)| mean * f64::from(*n)).sum();
    let rest = t - constant;
    if rest < 0.0 {
        return 0.0;
    }
    match long.as_slice() {
        [] => 1.0,
        [(mean, count)] => stats::erlang_cdf(rest, f64::from(*count), *mean),
        stages => 1.0 - hypoexponential_tail(stages, rest),
    }
}

/// Pr(sum of the stages > t), by uniformisation (Jensen 1953): the chain of stages seen at the
/// events of a Poisson process as fast as the fastest stage.
fn hypoexponential_tail(stages: &[(f64, u32)], t: f64) -> f64 {
    let fastest = stages.iter().fold(f64::INFINITY, |low, (m, _)| low.min(*m));
    let jumps: Vec<f64> = stages
        .iter()
        .flat_map(|(mean, count)| std::iter::repeat_n(fastest / mean, *count as usize))
        .collect();
    let mut at = vec![0.0; jumps.len()];
    if let Some(first) = at.first_mut() {
        *first = 1.0;
    }
    let events = t / fastest;
    let last = events + 10.0 * events.sqrt() + 40.0;
    let (mut tail, mut n) = (0.0, 0.0);
    while n <= last {
        let weight =
            math::exp(n * math::ln(events.max(1e-300)) - events - stats::ln_gamma(n + 1.0));
        tail += weight * at.iter().sum::<f64>();
        step(&mut at, &jumps);
        n += 1.0;
    }
    tail.clamp(0.0, 1.0)
}

/// One event: each stage passes its share on to the next.
fn step(at: &mut [f64], jumps: &[f64]) {
    let mut passed = 0.0;
    for (p, jump) in at.iter_mut().zip(jumps) {
        let leaves = *p * jump;
        *p += passed - leaves;
        passed = leaves;
    }
}

/// Packets per second at each mix of a layer of `width`, from `clients` that send `rate` packets
/// per second each, without the mixes' own loops (the load of the Loopix paper's figure 8).
#[must_use]
pub fn load_per_mix(clients: f64, rate: f64, width: f64) -> f64 {
    clients * rate / width
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() < tolerance, "{a} is not {b}");
    }

    #[test]
    fn paths_are_erlang_with_their_links() {
        let loopix = Latency::path(3, 2, 0.2, 6, 0.05);
        near(loopix.mean(), 1.3, 1e-12);
        let own = Latency::path(3, 0, 0.2, 4, 0.05);
        for (p, value) in [(0.5, 2.674), (0.95, 6.296), (0.99, 8.406)] {
            near(own.quantile(p), 0.2 + 0.2 * value, 0.0002);
        }
        near(own.cdf(0.19), 0.0, 1e-15);
        near(Latency::constant(0.3).quantile(0.99), 0.3, 1e-15);
    }

    #[test]
    fn different_stages_follow_the_hypoexponential_law() {
        // Two stages with rates a and b: the tail is (b exp(-a t) - a exp(-b t)) / (b - a).
        let (a, b) = (2.0, 5.0);
        let latency = Latency::constant(0.0).and(1, 1.0 / a).and(1, 1.0 / b);
        for t in [0.01, 0.3, 1.0, 4.0] {
            let tail = (b * math::exp(-a * t) - a * math::exp(-b * t)) / (b - a);
            near(latency.cdf(t), 1.0 - tail, 1e-12);
        }
        // Means that hardly differ come near to Erlang.
        let almost = Latency::constant(0.0).and(2, 0.1).and(1, 0.100_001);
        near(almost.quantile(0.99), 0.8406, 1e-4);
        // The slow stage alone decides when the others are fast.
        let slow = Latency::constant(0.0).and(1, 1.0).and(3, 0.001);
        near(slow.quantile(0.99), 4.605_17 + 0.003, 0.001);
        // However short the others are, it takes no longer, and goes to the limit.
        let (hour, blink) = (3600.0, 1e-6);
        let stiff = Latency::constant(0.0)
            .and(1, hour)
            .and(1, 2.0 * hour)
            .and(9, blink);
        let (a, b) = (1.0 / hour, 0.5 / hour);
        let tail = (b * math::exp(-a * 9e3) - a * math::exp(-b * 9e3)) / (b - a);
        near(stiff.cdf(9e3), 1.0 - tail, 1e-8);
    }

    #[test]
    fn figure_8_of_loopix_has_this_load() {
        // 500 clients, lambda per minute, two mixes a layer: 500 lambda / 120.
        let lambda = 54.0;
        near(
            load_per_mix(500.0, lambda / 60.0, 2.0),
            500.0 * lambda / 120.0,
            1e-12,
        );
    }
}
