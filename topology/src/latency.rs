//! How long something takes that waits for several independent things in turn.

/// A latency: a constant and independent exponential stages, each with its own mean. With equal
/// means that is an Erlang distribution, as for a path whose hops all delay by the same mean
/// (Loopix 2017, section 4.3); with others a hypoexponential one. Everything in seconds.
///
/// ```
/// use shoal_topology::Latency;
///
/// let path = Latency::constant(0.2).and(3, 0.1);
/// assert!((path.mean() - 0.5).abs() < 1e-12);
/// assert!((path.quantile(0.99) - 1.0406).abs() < 1e-4);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    constant: f64,
    /// Means and how many stages have them; the means differ from each other.
    stages: Vec<(f64, u32)>,
}

impl Latency {
    /// A constant, in seconds, and no stages.
    #[must_use]
    pub const fn constant(seconds: f64) -> Self {
        Self {
            constant: seconds,
            stages: Vec::new(),
        }
    }

    /// With `count` more exponential stages of this mean in seconds. Stages without a mean count
    /// for nothing; with an infinite one it never ends.
    #[must_use]
    pub fn and(mut self, count: u32, mean: f64) -> Self {
        if count == 0 || mean.is_nan() || mean <= 0.0 {
            return self;
        }
        let known = self.stages.iter_mut().find(|(m, _)| *m == mean);
        match known {
            Some((_, stages)) => *stages = stages.saturating_add(count),
            None => self.stages.push((mean, count)),
        }
        self
    }

    /// With `count` more stages that end at `rate` per second: never if that is not above 0.
    #[must_use]
    pub fn and_waits(self, count: u32, rate: f64) -> Self {
        let mean = if rate > 0.0 {
            1.0 / rate
        } else {
            f64::INFINITY
        };
        self.and(count, mean)
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
        libm::sqrt(squares.sum::<f64>())
    }

    /// Pr(latency <= seconds), to some 1e-7.
    #[must_use]
    pub fn cdf(&self, seconds: f64) -> f64 {
        let rest = seconds - self.constant;
        if rest < 0.0 || self.mean().is_infinite() {
            return 0.0;
        }
        without_the_shortest(&self.stages, rest)
    }

    /// The seconds that a share p (0 to 1) of the cases do not exceed, to some 1e-6 of the mean;
    /// infinite at p = 1, and not a number outside.
    #[must_use]
    pub fn quantile(&self, p: f64) -> f64 {
        if !(0.0..=1.0).contains(&p) {
            return f64::NAN;
        }
        if self.stages.is_empty() || p == 0.0 {
            return self.constant;
        }
        let unit = self.mean() - self.constant;
        if p == 1.0 || unit.is_infinite() {
            return f64::INFINITY;
        }
        let (mut low, mut high) = (0.0, 1.0);
        while self.cdf(self.constant + high * unit) < p && high < 1e6 {
            low = high;
            high *= 2.0;
        }
        // Down to the last bits.
        for _ in 0..64 {
            let middle = 0.5 * (low + high);
            if self.cdf(self.constant + middle * unit) < p {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.constant + unit * 0.5 * (low + high)
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
    1.0 - tail(&long, rest)
}

/// Pr(sum of the stages > t), by uniformisation (Jensen 1953): the chain of stages seen at the
/// events of a Poisson process as fast as the fastest stage. Nothing is divided by differences of
/// rates, so equal ones and nearly equal ones do no harm.
fn tail(stages: &[(f64, u32)], t: f64) -> f64 {
    let fastest = stages.iter().fold(f64::INFINITY, |low, (m, _)| low.min(*m));
    let jumps: Vec<f64> = stages
        .iter()
        .flat_map(|(mean, count)| std::iter::repeat_n(fastest / mean, *count as usize))
        .collect();
    let mut at = vec![0.0; jumps.len()];
    let Some(first) = at.first_mut() else {
        return 0.0;
    };
    *first = 1.0;
    let events = t / fastest;
    let last = events + 10.0 * libm::sqrt(events) + 40.0;
    let ln_events = libm::log(events.max(1e-300));
    let (mut tail, mut n) = (0.0, 0.0);
    while n <= last {
        let weight = libm::exp(n * ln_events - events - libm::lgamma(n + 1.0));
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

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha20Rng;

    use super::*;

    fn near(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() < tolerance, "{a} is not {b}");
    }

    #[test]
    fn equal_stages_are_erlang() {
        // 1 - e^-x (1 + x + x^2/2), and its published quantiles.
        let three = Latency::constant(0.2).and(3, 0.2);
        near(three.mean(), 0.8, 1e-12);
        for t in [0.05, 0.3, 1.0, 3.0] {
            let x: f64 = t / 0.2;
            let erlang = 1.0 - (-x).exp() * (1.0 + x + x * x / 2.0);
            near(three.cdf(0.2 + t), erlang, 1e-9);
        }
        for (p, value) in [(0.5, 2.674), (0.95, 6.296), (0.99, 8.406)] {
            near(three.quantile(p), 0.2 + 0.2 * value, 0.0002);
        }
        near(three.cdf(0.19), 0.0, 1e-15);
        near(Latency::constant(0.3).quantile(0.99), 0.3, 1e-15);
        near(Latency::constant(0.3).cdf(0.3), 1.0, 1e-15);
    }

    #[test]
    fn different_stages_follow_the_hypoexponential_law() {
        // Two stages with rates a and b: the tail is (b exp(-a t) - a exp(-b t)) / (b - a).
        let tail = |a: f64, b: f64, t: f64| (b * (-a * t).exp() - a * (-b * t).exp()) / (b - a);
        let (a, b) = (2.0, 5.0);
        let latency = Latency::constant(0.0).and(1, 1.0 / a).and_waits(1, b);
        for t in [0.01, 0.3, 1.0, 4.0] {
            near(latency.cdf(t), 1.0 - tail(a, b, t), 1e-12);
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
        near(
            stiff.cdf(9e3),
            1.0 - tail(1.0 / hour, 0.5 / hour, 9e3),
            1e-8,
        );
    }

    #[test]
    fn what_never_ends_has_no_quantile() {
        let never = Latency::constant(1.0).and(3, 0.1).and_waits(1, 0.0);
        assert!(never.mean().is_infinite() && never.quantile(0.5).is_infinite());
        near(never.cdf(1e12), 0.0, 1e-15);
        assert!(
            Latency::constant(1.0)
                .and_waits(1, 1.0)
                .quantile(1.0)
                .is_infinite()
        );
        assert!(Latency::constant(1.0).quantile(1.5).is_nan());
        near(
            Latency::constant(1.0).and(2, 0.0).and(0, 1.0).mean(),
            1.0,
            1e-15,
        );
    }

    /// 200,000 draws: the share below a quantile has a standard error of at most 0.0012, and the
    /// tolerance is four of them.
    #[test]
    fn quantiles_are_those_of_drawn_times() {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let stages = [(1, 0.5), (1, 0.5), (1, 0.286), (7, 0.1), (2, 0.100_000_1)];
        let latency = stages
            .iter()
            .fold(Latency::constant(0.4), |sum, (n, mean)| sum.and(*n, *mean));
        let draws: Vec<f64> = (0..200_000)
            .map(|_| {
                let stages = stages
                    .iter()
                    .flat_map(|(n, mean)| (0..*n).map(move |_| *mean));
                let waits = stages.map(|mean| -mean * (1.0 - rng.random::<f64>()).ln());
                0.4 + waits.sum::<f64>()
            })
            .collect();
        let mean = draws.iter().sum::<f64>() / 200_000.0;
        near(mean, latency.mean(), 4.0 * latency.deviation() / 447.0);
        for p in [0.01, 0.5, 0.9, 0.99] {
            let quantile = latency.quantile(p);
            let below = draws.iter().filter(|draw| **draw <= quantile).count();
            let error = (p * (1.0 - p) / 200_000.0_f64).sqrt();
            near(below as f64 / 200_000.0, p, 4.0 * error);
        }
    }
}
