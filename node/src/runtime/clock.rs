//! The one place that asks a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use shoal_proto::{Span, Time};

/// A clock that never goes back and goes on while the machine is suspended. On Linux that is the boot
/// time; what others call monotonic does so by itself on macOS, and perhaps not elsewhere.
#[cfg(any(target_os = "linux", target_os = "android"))]
const STEADY: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const STEADY: ClockId = ClockId::Monotonic;

/// The longest that is slept at a time. Timers of the runtime stand still while the machine is
/// suspended: what became due meanwhile is late by no more than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// A clock that never goes back: the wall clock as it was at start, and since then all the time that
/// has passed, that of a suspended machine included. A step of the wall clock (NTP, an operator) does
/// not move packets about; a node whose clock was off takes it up by beginning anew, any other at the next start. Where a machine is stopped without noticing
/// (a virtual one by its host), this clock is behind from then on, which a node finds out by its
/// neighbours' clocks, and a client corrects by the nodes'.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Span,
    at_start: Time,
}

impl Clock {
    /// Anchors the clock now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            started: steady(),
            at_start: wall(),
        }
    }

    /// Whether the wall clock has been set since, by a second or more.
    #[must_use]
    pub fn was_set(&self) -> bool {
        let (wall, now) = (wall(), self.now());
        wall.since(now).max(now.since(wall)) >= Span::from_secs(1)
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Time {
        self.at_start + (steady() - self.started)
    }

    /// The instant to sleep until for something that is due at `time`: that, or sooner, so ask again
    /// then whether it is due.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place made for asking the clocks"
    )]
    pub fn instant(&self, time: Time) -> tokio::time::Instant {
        let wait: Duration = time.since(self.now()).into();
        tokio::time::Instant::now() + wait.min(LONGEST_SLEEP)
    }
}

/// What the machine's wall clock says.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place made for asking the clocks"
)]
fn wall() -> Time {
    let since_unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time::from_micros(Span::from(since_unix).as_micros())
}

/// The time since some moment before this process.
fn steady() -> Span {
    let at = clock_gettime(STEADY);
    let micros = at.tv_sec.saturating_mul(1_000_000) + at.tv_nsec / 1_000;
    Span::from_micros(u64::try_from(micros).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_deadline_is_slept_for_longer_than_a_suspension_may_cost() {
        let clock = Clock::start();
        let soon = clock.instant(clock.now());
        let far = clock.instant(Time::MAX);
        assert!(far > soon);
        assert!(far - soon <= LONGEST_SLEEP + Duration::from_secs(1));
    }

    /// As the kernel says it, which counts suspension there.
    #[cfg(target_os = "linux")]
    #[test]
    fn it_goes_by_the_time_since_the_machine_booted() {
        let uptime = || -> f64 {
            let text = std::fs::read_to_string("/proc/uptime").expect("uptime");
            text.split(' ')
                .next()
                .expect("a number")
                .parse()
                .expect("seconds")
        };
        let before = uptime();
        let found = steady().as_secs_f64();
        assert!(
            before - 0.02 <= found && found <= uptime() + 0.02,
            "{found}"
        );
    }
}
