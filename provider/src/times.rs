//! Times as they are kept: nothing at rest says more than an hour of when something happened.
//!
//! Whoever takes a disk, or finds on it what was deleted, learns in which hour a mailbox was opened and used, and in which
//! hour an entry came, since all live equally long. The entries of an hour expire together.

use shoal_proto::{Span, Time};

/// How exactly it is kept when something happened.
pub(crate) const HOUR: Span = Span::from_secs(3600);

/// The beginning of the hour that a time is in, of the hours since the Unix epoch.
pub(crate) const fn hour(time: Time) -> Time {
    let micros = time.as_micros();
    Time::from_micros(micros - micros % HOUR.as_micros())
}

/// When what comes now and lives so long may be forgotten: at the next full hour after that; where lives are shorter than
/// ten hours, at the next whole multiple of a tenth of them since the Unix epoch, which is later by that at most.
pub(crate) fn expiry(now: Time, life: Span) -> Time {
    let bucket = (life.as_micros() / 10).clamp(1, HOUR.as_micros());
    let end = now.as_micros().saturating_add(life.as_micros());
    // The end of time is not rounded.
    Time::from_micros(end.checked_next_multiple_of(bucket).unwrap_or(end))
}

/// What was used in this hour or an earlier one has not been used for so long, whenever within the hour that was; none if
/// time has not lasted that long.
pub(crate) fn unused_for(now: Time, span: Span) -> Option<Time> {
    let ago = span.as_micros().checked_add(HOUR.as_micros())?;
    now.as_micros().checked_sub(ago).map(Time::from_micros)
}

/// As databases have it, whose integers are signed; the year 292277 is late enough.
pub(crate) fn micros(time: Time) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Span = Span::from_secs(24 * 3600);

    #[test]
    fn nothing_expires_before_its_time_or_says_when_it_came() {
        let start = 500_000 * HOUR.as_micros();
        for (life, bucket) in [
            (DAY.scale(14, 1), HOUR),
            (HOUR.scale(10, 1), HOUR),
            (HOUR.scale(5, 1), Span::from_secs(1800)),
            (Span::from_secs(60), Span::from_secs(6)),
            (Span::from_micros(3), Span::from_micros(1)),
        ] {
            for since in [0, 1, 1_799_999_999, 3_599_999_999] {
                let now = Time::from_micros(start + since);
                let expires = expiry(now, life).as_micros();
                let end = (now + life).as_micros();
                assert!(expires >= end && expires - end < bucket.as_micros());
                assert_eq!(expires % bucket.as_micros(), 0);
            }
        }
        assert_eq!(expiry(Time::MAX, DAY), Time::MAX);
        assert_eq!(expiry(Time::default(), Span::ZERO), Time::default());
    }

    #[test]
    fn what_was_used_at_the_end_of_an_hour_is_idle_only_as_long_after_that() {
        let last = Time::from_micros(501 * HOUR.as_micros() - 1);
        let idle = |now| unused_for(now, DAY).is_some_and(|before| hour(last) <= before);
        assert!(!idle(last + DAY));
        assert!(idle(last + DAY + Span::from_micros(1)));
        assert_eq!(unused_for(last, Span::MAX), None);
        assert_eq!(unused_for(last, HOUR.scale(500, 1)), None);
        assert_eq!(hour(hour(last)), Time::from_micros(500 * HOUR.as_micros()));
    }
}
