//! Many Poisson clocks, one for each of those that something is sent to, and which is due next.

use std::collections::{BTreeMap, BTreeSet};

use shoal_proto::Time;
use shoal_topology::{PoissonClock, Tick};

/// The clocks of clients' downlinks or of mailboxes. Clocks that are due at once tick in the order
/// of their keys.
pub(crate) struct Clocks<K> {
    clocks: BTreeMap<K, PoissonClock>,
    due: BTreeSet<(Time, K)>,
}

impl<K: Ord + Copy> Clocks<K> {
    pub(crate) const fn new() -> Self {
        Self {
            clocks: BTreeMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// Starts a clock, in place of the one that there was.
    pub(crate) fn start(&mut self, now: Time, key: K, mut clock: PoissonClock) {
        self.stop(&key);
        clock.start(now);
        self.due.extend(clock.due().map(|due| (due, key)));
        self.clocks.insert(key, clock);
    }

    pub(crate) fn stop(&mut self, key: &K) {
        if let Some(due) = self.clocks.remove(key).and_then(|clock| clock.due()) {
            self.due.remove(&(due, *key));
        }
    }

    /// Ticks per second of a clock that was started.
    pub(crate) fn rate(&self, key: &K) -> Option<f64> {
        self.clocks.get(key).map(PoissonClock::rate)
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.due.first().map(|(due, _)| *due)
    }

    /// One tick that is due by now, if any, and whose. Call it until it gives none.
    pub(crate) fn tick(&mut self, now: Time) -> Option<(K, Tick)> {
        let (due, key) = self.due.first().copied().filter(|(due, _)| *due <= now)?;
        self.due.remove(&(due, key));
        let clock = self.clocks.get_mut(&key)?;
        let tick = clock.tick(now)?;
        self.due.extend(clock.due().map(|due| (due, key)));
        Some((key, tick))
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use shoal_proto::Span;

    use super::*;

    fn clocks(rates: &[(u8, f64)]) -> Clocks<u8> {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut clocks = Clocks::new();
        for (key, rate) in rates {
            clocks.start(Time::default(), *key, PoissonClock::new(&mut rng, *rate));
        }
        clocks
    }

    #[test]
    fn each_ticks_at_its_rate_and_all_in_order() {
        let mut clocks = clocks(&[(1, 1.0), (2, 4.0)]);
        let mut ticks = [0; 3];
        let mut last = Time::default();
        let end = Time::default() + Span::from_secs(1000);
        while let Some(now) = clocks.deadline().filter(|due| *due < end) {
            let (key, tick) = clocks.tick(now).unwrap();
            assert!(tick.due >= last && !tick.missed);
            last = tick.due;
            ticks[usize::from(key)] += 1;
        }
        // Six standard deviations.
        assert!((810..1190).contains(&ticks[1]), "{ticks:?}");
        assert!((3620..4380).contains(&ticks[2]), "{ticks:?}");
    }

    #[test]
    fn what_is_stopped_or_has_no_rate_does_not_tick() {
        let mut clocks = clocks(&[(1, 1.0), (2, 0.0)]);
        assert_eq!((clocks.rate(&1), clocks.rate(&2)), (Some(1.0), Some(0.0)));
        clocks.stop(&1);
        assert_eq!(clocks.rate(&1), None);
        assert_eq!(clocks.deadline(), None);
        assert!(clocks.tick(Time::MAX).is_none());
    }

    #[test]
    fn one_that_is_started_anew_ticks_once_at_a_time() {
        let mut clocks = clocks(&[(1, 1.0), (1, 2.0)]);
        assert_eq!(clocks.rate(&1), Some(2.0));
        assert!(clocks.tick(clocks.deadline().unwrap()).is_some());
        clocks.stop(&1);
        assert_eq!(clocks.deadline(), None);
    }
}
