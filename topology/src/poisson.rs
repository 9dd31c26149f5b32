//! The clock of everything that is sent unasked: loops, cover, a mailbox's stream, a downlink.

use rand::{CryptoRng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use shoal_proto::{Span, Time};

use crate::delay;

/// A tick that is done later than this counts as missed: a machine that slept would be seen by the
/// burst with which it makes up for them.
pub const MISSED_AFTER: Span = Span::from_secs(1);

/// A Poisson process ("The Loopix Anonymity System", section 4.1): exponential gaps with one rate,
/// drawn from a generator of its own, so that nothing else that its owner does moves an instant.
///
/// Gaps count from when a tick was due and not from when it was done, or every delay of the caller's
/// would slow the clock. What is later than [`MISSED_AFTER`] starts anew from now: the process has
/// no memory, so it is the same process. It stands still until it is started, and for ever with a
/// rate that is not a positive number.
pub struct PoissonClock {
    rate: f64,
    rng: ChaCha20Rng,
    due: Option<Time>,
}

/// A tick that was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// When.
    pub due: Time,
    /// It is later than [`MISSED_AFTER`]: nothing should be sent for it.
    pub missed: bool,
}

impl PoissonClock {
    /// A clock that ticks `rate` times a second in the mean, with a generator seeded from `rng`.
    #[must_use]
    pub fn new<R: CryptoRng + ?Sized>(rng: &mut R, rate: f64) -> Self {
        Self {
            rate,
            rng: ChaCha20Rng::from_rng(rng),
            due: None,
        }
    }

    /// Starts, or starts anew: the first tick is due one gap after `now`.
    pub fn start(&mut self, now: Time) {
        self.due = self.gap().map(|gap| now + gap);
    }

    /// The same with an exponential first gap of another mean.
    pub fn start_with(&mut self, now: Time, mean: Span) {
        let wait = delay::unit(&mut self.rng) * mean.as_secs_f64();
        self.due = self.ticks().then(|| now + Span::from_secs_f64(wait));
    }

    /// Stands still until it is started again.
    pub fn stop(&mut self) {
        self.due = None;
    }

    /// The next tick; none while it stands still.
    #[must_use]
    pub const fn due(&self) -> Option<Time> {
        self.due
    }

    /// Ticks per second in the mean.
    #[must_use]
    pub const fn rate(&self) -> f64 {
        self.rate
    }

    /// The next tick that is due by now, if any. Call it until it gives none.
    pub fn tick(&mut self, now: Time) -> Option<Tick> {
        let due = self.due.filter(|due| *due <= now)?;
        let missed = now.since(due) > MISSED_AFTER;
        let from = if missed { now } else { due };
        self.due = self.gap().map(|gap| from + gap);
        Some(Tick { due, missed })
    }

    fn ticks(&self) -> bool {
        self.rate > 0.0 && self.rate.is_finite()
    }

    /// A gap of zero would never let the clock move on.
    fn gap(&mut self) -> Option<Span> {
        let gap = Span::from_secs_f64(delay::gap(&mut self.rng, self.rate)?);
        Some(gap.max(Span::from_micros(1)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn clock(rate: f64) -> PoissonClock {
        PoissonClock::new(&mut ChaCha20Rng::seed_from_u64(1), rate)
    }

    /// Kolmogorov-Smirnov against the exponential: 1.95 / sqrt(n) is passed by a true one in all
    /// but a thousandth of the seeds, and this seed is fixed.
    #[test]
    fn gaps_are_exponential_whenever_the_ticks_are_done() {
        let (rate, count) = (2.0, 4000);
        let mut clock = clock(rate);
        let mut last = Time::from_micros(7);
        clock.start(last);
        let mut gaps: Vec<f64> = (0..count)
            .map(|index| {
                let due = clock.due().unwrap();
                // Done late by up to 0.9 s.
                let tick = clock
                    .tick(due + Span::from_millis(index % 10 * 100))
                    .unwrap();
                assert_eq!(tick, Tick { due, missed: false });
                let gap = due.since(last).as_secs_f64();
                last = due;
                gap
            })
            .collect();
        gaps.sort_by(f64::total_cmp);
        let n = f64::from(u32::try_from(count).unwrap());
        let distance = gaps
            .iter()
            .zip(0_u32..)
            .map(|(gap, i)| ((1.0 - (-gap * rate).exp()) - (f64::from(i) + 0.5) / n).abs())
            .fold(0.0, f64::max);
        assert!(distance < 1.95 / n.sqrt(), "{distance}");
    }

    #[test]
    fn a_machine_that_slept_does_not_burst() {
        let mut clock = clock(8.0);
        clock.start(Time::from_micros(0));
        let woken = Time::from_micros(3_600_000_000);
        assert!(clock.tick(woken).unwrap().missed);
        assert_eq!(clock.tick(woken), None);
        assert!(clock.due().unwrap() > woken);
    }

    #[test]
    fn the_first_gap_may_have_a_mean_of_its_own() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let mut sum = 0.0;
        for _ in 0..4000 {
            let mut clock = PoissonClock::new(&mut rng, 0.01);
            clock.start_with(Time::from_micros(0), Span::from_secs(1));
            sum += clock
                .due()
                .unwrap()
                .since(Time::from_micros(0))
                .as_secs_f64();
        }
        // Standard error 1 / sqrt(4000) = 0.016.
        assert!((sum / 4000.0 - 1.0).abs() < 0.05, "{sum}");
    }

    #[test]
    fn what_has_no_rate_or_is_stopped_never_ticks() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let mut clock = clock(rate);
            clock.start(Time::from_micros(0));
            assert_eq!((clock.due(), clock.tick(Time::MAX)), (None, None));
            clock.start_with(Time::from_micros(0), Span::from_secs(1));
            assert_eq!(clock.due(), None);
        }
        let mut clock = clock(1.0);
        clock.start(Time::from_micros(0));
        assert!(clock.due().is_some());
        clock.stop();
        assert_eq!((clock.due(), clock.tick(Time::MAX)), (None, None));
    }
}
