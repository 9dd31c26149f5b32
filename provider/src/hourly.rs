//! How often something may be done in an hour.

use shoal_proto::Time;

const HOUR_SECS: u64 = 3600;

/// At most so many in each hour since the Unix epoch.
pub(crate) struct Hourly {
    most: u64,
    hour: u64,
    done: u64,
}

impl Hourly {
    pub(crate) const fn new(most: u64) -> Self {
        Self {
            most,
            hour: 0,
            done: 0,
        }
    }

    /// Whether one more may be done, besides so many of which it is not known yet.
    pub(crate) const fn has_room(&mut self, now: Time, pending: u64) -> bool {
        self.turn(now);
        self.done.saturating_add(pending) < self.most
    }

    /// One was done.
    pub(crate) const fn count(&mut self, now: Time) {
        self.turn(now);
        self.done = self.done.saturating_add(1);
    }

    /// A clock that is set back does not give anything back.
    const fn turn(&mut self, now: Time) {
        let hour = now.as_secs() / HOUR_SECS;
        if hour > self.hour {
            (self.hour, self.done) = (hour, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hour_has_its_own_and_a_clock_that_goes_back_has_none_more() {
        let at = |secs: u64| Time::from_micros(secs * 1_000_000);
        let mut hourly = Hourly::new(2);
        assert!(hourly.has_room(at(7200), 1) && !hourly.has_room(at(7200), 2));
        hourly.count(at(7200));
        hourly.count(at(10_799));
        for secs in [10_799, 7200, 0] {
            assert!(!hourly.has_room(at(secs), 0), "{secs}");
        }
        assert!(hourly.has_room(at(10_800), 1));
        hourly.count(at(10_800));
        assert!(!hourly.has_room(at(10_800), 1));
        assert!(!Hourly::new(0).has_room(at(1), 0));
    }
}
