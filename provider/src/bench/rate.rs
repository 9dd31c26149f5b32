//! How often something was done, and how long it took.

use std::time::Duration;

/// How often something was done in a second, and how long it took until it was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// Operations a second, one after the other.
    pub per_second: f64,
    /// Half of the groups were answered within so many milliseconds.
    pub p50_ms: f64,
    /// And 99 of 100 within so many.
    pub p99_ms: f64,
}

/// How long groups of so many operations took.
#[derive(Debug)]
pub(super) struct Times {
    group: u32,
    times: Vec<Duration>,
}

impl Times {
    pub(super) const fn of(group: u32) -> Self {
        Self {
            group,
            times: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, time: Duration) {
        self.times.push(time);
    }

    pub(super) fn rate(mut self) -> Rate {
        self.times.sort_unstable();
        let total: f64 = self.times.iter().map(Duration::as_secs_f64).sum();
        let at = |share: usize| {
            let place = (self.times.len() * share).div_ceil(100).saturating_sub(1);
            let time = self.times.get(place).copied().unwrap_or_default();
            time.as_secs_f64() * 1e3
        };
        #[expect(clippy::cast_precision_loss, reason = "a count of groups")]
        let operations = self.times.len() as f64 * f64::from(self.group);
        Rate {
            per_second: match total > 0.0 {
                true => operations / total,
                false => 0.0,
            },
            p50_ms: at(50),
            p99_ms: at(99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_groups() {
        let mut times = Times::of(10);
        for ms in (1..=200).rev() {
            times.push(Duration::from_millis(ms));
        }
        let rate = times.rate();
        assert!((rate.p50_ms - 100.0).abs() < 1e-9 && (rate.p99_ms - 198.0).abs() < 1e-9);
        assert!((rate.per_second - 2000.0 / 20.1).abs() < 1e-9);
        assert_eq!(Times::of(1).rate(), Rate::default());
    }
}
