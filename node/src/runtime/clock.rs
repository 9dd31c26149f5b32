//! The one place that asks a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use shoal_proto::{Span, Time};

/// A clock that never goes back: the wall clock as it was at start, and the monotonic clock since.
/// A step of the wall clock (NTP, an operator) does not move packets about; it is seen at the next
/// start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    at_start: Time,
}

impl Clock {
    /// Anchors the clock now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place made for asking the clocks"
    )]
    pub fn start() -> Self {
        let since_unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            started: Instant::now(),
            at_start: Time::from_micros(Span::from(since_unix).as_micros()),
        }
    }

    /// The same clock, moved by `offset` microseconds: what a client does whose wall clock
    /// disagrees with the median of several nodes.
    #[must_use]
    pub fn corrected(self, offset: i64) -> Self {
        let micros = self.at_start.as_micros().saturating_add_signed(offset);
        Self {
            at_start: Time::from_micros(micros),
            ..self
        }
    }

    /// How many microseconds this clock is ahead of `other`.
    #[must_use]
    pub fn ahead_of(&self, other: &Self) -> i64 {
        let (mine, theirs) = (self.at(other.started), other.at_start.as_micros());
        let ahead = i128::from(mine) - i128::from(theirs);
        i64::try_from(ahead).unwrap_or(i64::MAX)
    }

    /// What this clock says, or said, at an instant.
    fn at(&self, instant: Instant) -> u64 {
        let since = Span::from(instant.saturating_duration_since(self.started)).as_micros();
        let before = Span::from(self.started.saturating_duration_since(instant)).as_micros();
        self.at_start
            .as_micros()
            .saturating_add(since)
            .saturating_sub(before)
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Time {
        self.at_start + Span::from(self.started.elapsed())
    }

    /// The monotonic clock now, for waits that are not the protocol's.
    #[must_use]
    pub fn now_instant(&self) -> Instant {
        self.started + self.started.elapsed()
    }

    /// The instant to sleep until for something that is due at `time`.
    #[must_use]
    pub fn instant(&self, time: Time) -> tokio::time::Instant {
        let wait = time.since(self.at_start).into();
        let far = std::time::Duration::from_secs(86_400);
        let at = self.started.checked_add(wait);
        at.unwrap_or_else(|| self.started + far).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correction_moves_the_clock_and_keeps_it_monotonic() {
        let clock = Clock::start();
        let ahead = clock.corrected(5_000_000);
        assert!(ahead.now().since(clock.now()) > Span::from_secs(4));
        let first = ahead.now();
        assert!(ahead.now() >= first);
        assert_eq!(clock.corrected(i64::MIN).at_start, Time::default());
        assert_eq!(ahead.ahead_of(&clock), 5_000_000);
        assert_eq!(clock.ahead_of(&ahead), -5_000_000);
    }

    #[test]
    fn a_deadline_beyond_all_time_is_far_but_no_panic() {
        let clock = Clock::start();
        assert!(clock.instant(Time::MAX) > clock.instant(clock.now()));
    }
}
