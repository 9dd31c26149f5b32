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

    /// A clock that is set back does not give anything back: what was done counts until a later hour begins. By an hour
    /// and less, that is the one after those that there were already, so that a clock that goes to and fro over the end of
    /// an hour does not give one more each time. One that was further ahead was wrong, and the hour after the one that it
    /// is counts as any other: it would be long until it is later than that.
    const fn turn(&mut self, now: Time) {
        let hour = now.as_secs() / HOUR_SECS;
        if hour > self.hour {
            (self.hour, self.done) = (hour, 0);
        } else if hour.saturating_add(1) < self.hour {
            self.hour = hour;
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

    /// A year ahead, and back: what was done counts in the hour that it is, and the next one is free again.
    #[test]
    fn a_clock_that_was_ahead_locks_nothing_and_opens_nothing() {
        let at = |hour: u64| Time::from_micros(hour * HOUR_SECS * 1_000_000);
        let now = 500_000;
        for ahead in [1, 2, 24, 24 * 365] {
            let mut hourly = Hourly::new(2);
            hourly.count(at(now + ahead));
            hourly.count(at(now + ahead));
            assert!(!hourly.has_room(at(now), 0), "{ahead} h ahead: not opened");
            let later = (1..).find(|hours| hourly.has_room(at(now + hours), 1));
            assert_eq!(
                later,
                Some(if ahead == 1 { 2 } else { 1 }),
                "{ahead} h ahead"
            );
        }
        // To and fro over the end of an hour.
        let mut hourly = Hourly::new(2);
        let mut done = 0;
        for turn in 0..100 {
            let time = at(now + turn % 2);
            if hourly.has_room(time, 0) {
                hourly.count(time);
                done += 1;
            }
        }
        assert!(done <= 4, "{done} in two hours of two each");
        // The ends of time.
        assert!(!hourly.has_room(Time::default(), 2));
        assert!(hourly.has_room(Time::MAX, 1));
        assert!(!hourly.has_room(Time::default(), 2));
    }
}
