//! The n-1 attack on a mix, and the loops by which the mix notices it.
//!
//! The adversary holds back what goes into the mix but for the target, and says that the first
//! packet to leave afterwards is the target. The mix's own loops leave too, and nobody can hold
//! those back; but they come home through the adversary's hands, and what does not come home is
//! noticed.
//!
//! Sources: A. Serjantov, R. Dingledine, P. Syverson, "From a Trickle to a Flood", 2002 (the
//! attack); A. Piotrowska et al., "The Loopix Anonymity System", 2017, section 4.2.1 (loops
//! against it). What counts as an alarm is the mix's own [`LoopAlarm`], with the limits of
//! [`RelayLimits`].

use rand::{Rng, RngExt};
use shoal_mix::{LoopAlarm, LoopReturns, LoopVerdict, RelayLimits};

use super::draw::{self, Trials};
use crate::theory;

/// An n-1 attack on one mix.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocking {
    /// `lambda_R`: the packets that reach the mix without the attack, per second; 0 or more.
    pub traffic: f64,
    /// `lambda_M`: the mix's own loops, per second; 0 or more.
    pub loops: f64,
    /// The rate of the exponential delay, per second; above 0.
    pub mu: f64,
    /// s: one of so many packets is let through; 1 (all) to infinity (none).
    pub reduction: f64,
    /// The exponential delays of rate [`mu`](Self::mu) that a loop meets on its way home.
    pub loop_hops: u32,
    /// The links' delays on a loop's way, in seconds, in all.
    pub loop_links: f64,
    /// The probability that a loop is lost on its way without any attack, 0 to 1.
    pub loop_loss: f64,
    /// What the mix takes for an alarm: [`loop_window`](RelayLimits::loop_window) and its
    /// neighbours.
    pub limits: RelayLimits,
}

/// What became of the loops in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Alarms {
    /// When the first alarm began, in seconds from the start; `None` if there was none.
    pub first: Option<f64>,
    /// How many times an alarm began.
    pub count: u64,
}

impl Blocking {
    /// What leaves beside the target, per mean delay: `rho' = (lambda_M + lambda_R/s) / mu`.
    #[must_use]
    pub fn load(&self) -> f64 {
        (self.loops + self.traffic / self.reduction) / self.mu
    }

    /// The probability that the first packet to leave is the target: `1 / (1 + rho')`.
    ///
    /// What leaves an infinite server pool fed by a Poisson stream is a Poisson stream of the same
    /// rate, and the target is not part of it; so the target's delay races one exponential time.
    #[must_use]
    pub fn success_probability(&self) -> f64 {
        theory::n_minus_one_success(self.load())
    }

    /// Plays the attack so many times on a mix that is in equilibrium under it, packet by packet,
    /// and counts how often the first to leave is the target.
    pub fn simulate<R: Rng + ?Sized>(&self, rng: &mut R, count: u64) -> Trials {
        let mean = 1.0 / self.mu;
        let rate = self.load() * self.mu;
        let mut trials = Trials::default();
        for _ in 0..count {
            let target = draw::exponential(rng, mean);
            // Twenty-five means before the target: what came earlier is gone.
            let mut arrival = -25.0 * mean;
            let first = loop {
                arrival += draw::exponential(rng, 1.0 / rate);
                // A rate of 0 makes this infinite at once.
                if arrival >= target {
                    break true;
                }
                let departure = arrival + draw::exponential(rng, mean);
                if departure > 0.0 && departure < target {
                    break false;
                }
            };
            trials.add(first);
        }
        trials
    }

    /// How long the mix waits for a loop, in seconds: twenty mean delays and the slack, as the
    /// relay does.
    #[must_use]
    pub fn patience(&self) -> f64 {
        20.0 / self.mu + self.limits.loop_slack.as_secs_f64()
    }

    /// How many loops have to be lost before a full window of returned ones becomes an alarm;
    /// `None` if even a window of losses is none.
    #[must_use]
    pub fn losses_to_alarm(&self) -> Option<usize> {
        let window = self.limits.loop_window;
        (0..=window).find(|lost| {
            let returns = LoopReturns {
                returned: window - lost,
                lost: *lost,
            };
            returns.ratio() < self.limits.loop_alarm_ratio
        })
    }

    /// The mean time from the attack's start to the alarm, in seconds, if nothing is let through
    /// and no loop was lost before: the patience, less a loop's mean time on its way (those under
    /// way are lost first), and the losses to the alarm over the rate of the loops.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a window is far below 2^52")]
    pub fn detection_time(&self) -> Option<f64> {
        let losses = self.losses_to_alarm()? as f64;
        let way = self.loop_links + f64::from(self.loop_hops) / self.mu;
        Some(self.patience() - way + losses / self.loops)
    }

    /// Plays the loops for so many seconds. With `attack`, between those two instants only one of s
    /// loops that reach the mix is let in.
    pub fn loops<R: Rng + ?Sized>(
        &self,
        rng: &mut R,
        seconds: f64,
        attack: Option<(f64, f64)>,
    ) -> Alarms {
        let patience = self.patience();
        let mut finished = Vec::new();
        let mut sent = 0.0;
        loop {
            sent += draw::exponential(rng, 1.0 / self.loops);
            if sent >= seconds {
                break;
            }
            let way = self.loop_links + draw::erlang(rng, self.loop_hops, 1.0 / self.mu);
            // Both are drawn for every loop, so that an attack moves no other number.
            let (lost, let_through) = (rng.random::<f64>(), rng.random::<f64>());
            let home = sent + way;
            let attacked = attack.is_some_and(|(start, end)| home >= start && home < end);
            let blocked = attacked && let_through * self.reduction >= 1.0;
            let returns = lost >= self.loop_loss && !blocked && way < patience;
            let known = if returns { home } else { sent + patience };
            if known < seconds {
                finished.push((known, returns));
            }
        }
        finished.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut alarm = LoopAlarm::new(&self.limits);
        let mut alarms = Alarms::default();
        for (time, returned) in finished {
            if let Some(LoopVerdict::Alarm(_)) = alarm.finish(returned) {
                alarms.count += 1;
                alarms.first.get_or_insert(time);
            }
        }
        alarms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;

    fn attack(rho: f64) -> Blocking {
        Blocking {
            traffic: rho * 10.0,
            loops: rho / 2.0,
            mu: 1.0,
            reduction: 20.0,
            loop_hops: 3,
            loop_links: 0.2,
            loop_loss: 0.0,
            limits: RelayLimits::default(),
        }
    }

    #[test]
    fn success_is_as_published_and_as_played() {
        let mut rng = seed::generator(12, 0, "n-1 test", 0);
        let cases = [
            (0.1, 0.909),
            (0.5, 0.667),
            (1.0, 0.5),
            (2.0, 0.333),
            (5.0, 0.167),
        ];
        for (rho, expected) in cases {
            let attack = attack(rho);
            assert!((attack.load() - rho).abs() < 1e-12);
            assert!((attack.success_probability() - expected).abs() < 5e-4);
            let trials = attack.simulate(&mut rng, 20_000);
            let (share, error) = (trials.share().unwrap(), trials.standard_error().unwrap());
            assert!((share - attack.success_probability()).abs() < 4.0 * error);
        }
        assert_eq!(attack(0.0).simulate(&mut rng, 10).share(), Some(1.0));
    }

    #[test]
    fn blocked_loops_raise_the_alarm_when_the_formula_says() {
        let blocking = Blocking {
            loops: 2.0,
            reduction: f64::INFINITY,
            ..attack(1.0)
        };
        assert_eq!(blocking.losses_to_alarm(), Some(16));
        // 30 s of patience, less 3.2 s on the way, and 16 losses at 2/s.
        assert!((blocking.detection_time().unwrap() - 34.8).abs() < 1e-9);
        let mut rng = seed::generator(13, 0, "n-1 test", 0);
        let (mut sum, mut squares) = (0.0, 0.0);
        let runs = 2_000;
        for _ in 0..runs {
            let alarms = blocking.loops(&mut rng, 300.0, Some((100.0, 300.0)));
            assert_eq!(alarms.count, 1);
            let time = alarms.first.unwrap() - 100.0;
            sum += time;
            squares += time * time;
        }
        let mean = sum / f64::from(runs);
        let error = ((squares / f64::from(runs) - mean * mean) / f64::from(runs)).sqrt();
        assert!((mean - 34.8).abs() < 4.0 * error, "{mean} +- {error}");
    }

    #[test]
    fn false_alarms_come_at_the_rate_of_losses_after_returns() {
        // With a window of one, an alarm begins at each loss that follows a return: at a rate of
        // lambda_M p (1 - p), and nothing else.
        let mut blocking = Blocking {
            loops: 1.0,
            loop_loss: 0.2,
            ..attack(1.0)
        };
        blocking.limits.loop_window = 1;
        blocking.limits.loop_minimum = 1;
        blocking.limits.loop_recovery_ratio = 1.0;
        blocking.mu = 1e6;
        blocking.limits.loop_slack = shoal_proto::Span::from_millis(250);
        let mut rng = seed::generator(14, 0, "n-1 test", 0);
        let alarms = blocking.loops(&mut rng, 50_000.0, None);
        // Finishing times move by 50 ms only, so neighbours are seldom swapped; the tolerance
        // covers that: 8000 expected, standard deviation below 90.
        let count = alarms.count;
        assert!((7_600..=8_400).contains(&count), "{count}");
        blocking.loop_loss = 0.0;
        assert_eq!(blocking.loops(&mut rng, 1_000.0, None), Alarms::default());
    }
}
