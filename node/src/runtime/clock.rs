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

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Time {
        self.at_start + Span::from(self.started.elapsed())
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
    fn a_deadline_beyond_all_time_is_far_but_no_panic() {
        let clock = Clock::start();
        assert!(clock.instant(Time::MAX) > clock.instant(clock.now()));
    }
}
