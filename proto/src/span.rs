//! Lengths of time.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::length::{LengthError, WrittenLength, in_whole_units};

/// A length of time in microseconds. Arithmetic saturates.
///
/// As text, in files and flags alike, it is a decimal number and one of `us`, `ms`, `s`, `m`, `h`
/// or `d`, exact to the microsecond; written, the largest unit that leaves a whole number. For
/// people there is [`human`](Self::human).
///
/// ```
/// use shoal_proto::Span;
///
/// assert_eq!("1.5s".parse(), Ok(Span::from_millis(1500)));
/// assert_eq!(Span::from_secs(5400).to_string(), "90m");
/// assert_eq!(Span::from_micros(10_946_148).human().to_string(), "10.9 s");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// Longer than anything lasts.
    pub const MAX: Self = Self(u64::MAX);

    /// From microseconds.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// From seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// From seconds as a float, rounded to the nearest microsecond. Negative and NaN give zero,
    /// what is too large gives [`Span::MAX`].
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, as documented"
    )]
    pub fn from_secs_f64(secs: f64) -> Self {
        Self((secs * 1e6).round() as u64)
    }

    /// Microseconds.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Seconds as a float.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "exact for 285 years")]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// `self * numerator / denominator`, without overflow in between. A denominator of zero
    /// counts as one.
    #[must_use]
    pub fn scale(self, numerator: u64, denominator: u64) -> Self {
        let product = u128::from(self.0) * u128::from(numerator) / u128::from(denominator.max(1));
        Self(u64::try_from(product).unwrap_or(u64::MAX))
    }

    /// For people: about three digits and a unit, as in `10.9 s` or `2 min`.
    #[must_use]
    pub const fn human(self) -> HumanSpan {
        HumanSpan(self)
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Span {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        Self::from_micros(span.0)
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }
}

impl FromStr for Span {
    type Err = LengthError;
    fn from_str(text: &str) -> Result<Self, LengthError> {
        WrittenLength::parse(text)?.micros().map(Self)
    }
}

/// Exact: reading it gives the same span.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = in_whole_units(self.0);
        f.pad(&format!("{number}{unit}"))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration in quotes, as \"50ms\", \"1.5s\", \"10m\" or \"1h\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

/// A [`Span`] as people like to read it; see [`Span::human`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanSpan(Span);

/// Units for people, each from so many microseconds on; what is two of a unit is told in it.
const HUMAN: [(u64, f64, &str); 6] = [
    (2 * 86_400_000_000, 86_400_000_000.0, "d"),
    (2 * 3_600_000_000, 3_600_000_000.0, "h"),
    (2 * 60_000_000, 60_000_000.0, "min"),
    (1_000_000, 1_000_000.0, "s"),
    (1_000, 1_000.0, "ms"),
    (1, 1.0, "us"),
];

impl fmt::Display for HumanSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        let Some((_, unit, name)) = HUMAN.iter().find(|(least, ..)| micros >= *least) else {
            return f.pad("0 s");
        };
        let number = self.0.as_secs_f64() * 1e6 / unit;
        let decimals = match number {
            n if n < 10.0 => 2,
            n if n < 100.0 => 1,
            _ => 0,
        };
        let text = format!("{number:.decimals$}");
        let text = if decimals == 0 {
            text.as_str()
        } else {
            text.trim_end_matches('0').trim_end_matches('.')
        };
        f.pad(&format!("{text} {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Span::MAX.scale(3, 4).as_micros(), u64::MAX / 4 * 3 + 2);
        assert_eq!(Span::from_secs(1).scale(1, 0), Span::from_secs(1));
        assert_eq!(Span::MAX + Span::from_secs(1), Span::MAX);
        assert_eq!(Span::from_secs(1) - Span::from_secs(2), Span::ZERO);
    }

    #[test]
    fn floats_that_make_no_sense_are_clamped() {
        assert_eq!(Span::from_secs_f64(-1.0), Span::ZERO);
        assert_eq!(Span::from_secs_f64(f64::NAN), Span::ZERO);
        assert_eq!(Span::from_secs_f64(f64::INFINITY), Span::MAX);
        assert_eq!(Span::from_secs_f64(0.1), Span::from_millis(100));
    }

    #[test]
    fn texts_round_trip() {
        for text in ["50ms", "1h", "90s", "7d", "1us", "1500ms", "0s"] {
            assert_eq!(
                text.parse::<Span>().map(|span| span.to_string()),
                Ok(text.to_owned())
            );
        }
        for (text, written) in [
            ("60s", "1m"),
            ("1.5s", "1500ms"),
            ("0.5h", "30m"),
            ("0d", "0s"),
        ] {
            assert_eq!(
                text.parse::<Span>().map(|span| span.to_string()),
                Ok(written.to_owned())
            );
        }
        for span in [
            Span::MAX,
            Span::from_micros(10_946_148),
            Span::from_micros(999),
        ] {
            assert_eq!(span.to_string().parse(), Ok(span));
        }
    }

    #[test]
    fn people_read_three_digits() {
        for (micros, text) in [
            (0, "0 s"),
            (7, "7 us"),
            (1_500, "1.5 ms"),
            (12_345, "12.3 ms"),
            (100_000, "100 ms"),
            (2_204_999, "2.2 s"),
            (10_946_148, "10.9 s"),
            (119_600_000, "120 s"),
            (150_000_000, "2.5 min"),
            (7_200_000_000, "2 h"),
            (1_209_600_000_000, "14 d"),
        ] {
            assert_eq!(Span::from_micros(micros).human().to_string(), text);
        }
        assert_eq!(format!("{:>7}", Span::from_secs(1).human()), "    1 s");
        assert_eq!(format!("{:>5}", Span::from_secs(1)), "   1s");
    }
}
