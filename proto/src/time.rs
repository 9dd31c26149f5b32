//! Points in time.

use std::ops::{Add, AddAssign, Sub};

use crate::Span;

/// A point in time: microseconds since the Unix epoch. Cores get it as an argument and never ask
/// a clock. Arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

const MICROS_PER_MINUTE: u64 = 60_000_000;

impl Time {
    /// Later than anything that happens.
    pub const MAX: Self = Self(u64::MAX);

    /// From microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The whole minute that it is in, since the Unix epoch; the last one there is after the year 10136. Nothing of a client
    /// tells a finer clock.
    #[must_use]
    pub fn minutes(self) -> u32 {
        u32::try_from(self.0 / MICROS_PER_MINUTE).unwrap_or(u32::MAX)
    }

    /// From whole minutes since the Unix epoch.
    #[must_use]
    pub const fn from_minutes(minutes: u32) -> Self {
        Self(minutes as u64 * MICROS_PER_MINUTE)
    }

    /// So many microseconds later, or sooner if below 0.
    #[must_use]
    pub const fn shifted(self, micros: i64) -> Self {
        Self(self.0.saturating_add_signed(micros))
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Time {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.as_micros()))
    }
}

impl AddAssign<Span> for Time {
    fn add_assign(&mut self, span: Span) {
        *self = *self + span;
    }
}

impl Sub<Span> for Time {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.as_micros()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Time::MAX + Span::from_secs(1), Time::MAX);
        assert_eq!(Time::from_micros(1) - Span::from_secs(1), Time::default());
        assert_eq!(Time::from_micros(1).since(Time::from_micros(2)), Span::ZERO);
        assert_eq!(Time::MAX.shifted(1), Time::MAX);
        assert_eq!(Time::from_micros(1).shifted(-2), Time::default());
        assert_eq!(Time::from_micros(5).shifted(-2), Time::from_micros(3));
    }
}
