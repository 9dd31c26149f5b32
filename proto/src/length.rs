//! Lengths of time as people write them: a decimal number and a unit, as in `"1.5s"`. The one
//! grammar of all files and flags.

use thiserror::Error;

/// Why a text is not a length of time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LengthError {
    /// Not a decimal number and a unit.
    #[error("`{0}` is not a duration; write a number and us, ms, s, m, h or d, as in 50ms or 1.5s")]
    Form(String),
    /// It has a part that is smaller than a microsecond.
    #[error(
        "`{0}` is not a duration in whole microseconds; write it rounded, as in 250us or 0.5ms"
    )]
    TooFine(String),
    /// More than 2^64 - 1 microseconds.
    #[error("`{0}` is too long a duration; write at most 584000 years, as in 30d")]
    TooLong(String),
}

/// The units with their nanoseconds, the largest first.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A length of time as it was written, taken apart and not yet rounded to anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenLength<'a> {
    text: &'a str,
    whole: &'a str,
    /// The digits after the point, without zeros at their end.
    fraction: &'a str,
    /// Nanoseconds of the unit.
    unit: u64,
}

impl<'a> WrittenLength<'a> {
    /// Takes a text apart: digits, a point and more digits if it is no whole number, and one of
    /// `ns`, `us`, `ms`, `s`, `m`, `h` or `d`. No sign, no exponent, no blank.
    ///
    /// # Errors
    /// [`LengthError::Form`] if it is something else.
    pub fn parse(text: &'a str) -> Result<Self, LengthError> {
        Self::take_apart(text).ok_or_else(|| LengthError::Form(text.to_owned()))
    }

    fn take_apart(text: &'a str) -> Option<Self> {
        let digits = |text: &'a str| {
            let end = text.find(|c: char| !c.is_ascii_digit());
            let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
            (!digits.is_empty()).then_some((digits, rest))
        };
        let (whole, rest) = digits(text)?;
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => digits(rest)?,
            None => ("", rest),
        };
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == rest)?;
        Some(Self {
            text,
            whole,
            fraction: fraction.trim_end_matches('0'),
            unit: *unit,
        })
    }

    /// The number before the unit: digits, and a point and more digits if it is no whole number.
    #[must_use]
    pub fn number(&self) -> String {
        if self.fraction.is_empty() {
            self.whole.to_owned()
        } else {
            format!("{}.{}", self.whole, self.fraction)
        }
    }

    /// Nanoseconds of the unit: 1 to 86400 * 10^9.
    #[must_use]
    pub const fn unit_nanos(&self) -> u64 {
        self.unit
    }

    /// The length in microseconds, exactly.
    ///
    /// # Errors
    /// [`LengthError::TooFine`] where microseconds do not suffice, [`LengthError::TooLong`] where
    /// 64 bits of them do not.
    pub fn micros(&self) -> Result<u64, LengthError> {
        let too_fine = || LengthError::TooFine(self.text.to_owned());
        let too_long = || LengthError::TooLong(self.text.to_owned());
        // More digits never come to whole nanoseconds: the last is no zero, and a day is made of
        // thirteen twos, eight fives and threes of microseconds.
        if self.fraction.len() > 18 {
            return Err(too_fine());
        }
        let parts = self.fraction.bytes().fold((0, 1), |(parts, of), digit| {
            (parts * 10 + u128::from(digit - b'0'), of * 10)
        });
        let (parts, of): (u128, u128) = parts;
        let small = parts * u128::from(self.unit);
        let whole: u64 = self.whole.parse().map_err(|_| too_long())?;
        // Below 2^64 * 2^47 and 2^47.
        let nanos = u128::from(whole) * u128::from(self.unit) + small / of;
        if !small.is_multiple_of(of) || !nanos.is_multiple_of(1_000) {
            return Err(too_fine());
        }
        u64::try_from(nanos / 1_000).map_err(|_| too_long())
    }
}

/// The largest unit of which so many microseconds are a whole number, and how many; seconds for
/// none at all.
pub(crate) fn in_whole_units(micros: u64) -> (u64, &'static str) {
    let units = UNITS.iter().filter(|(_, nanos)| *nanos >= 1_000);
    units
        .map(|(name, nanos)| (nanos / 1_000, *name))
        .find(|(unit, _)| micros != 0 && micros.is_multiple_of(*unit))
        .map_or((0, "s"), |(unit, name)| (micros / unit, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Result<u64, LengthError> {
        WrittenLength::parse(text)?.micros()
    }

    #[test]
    fn decimals_are_exact() {
        for (text, expected) in [
            ("0s", 0),
            ("0.000000s", 0),
            ("50ms", 50_000),
            ("1.5s", 1_500_000),
            ("0.5h", 1_800_000_000),
            ("0.1s", 100_000),
            ("007s", 7_000_000),
            ("0.000001s", 1),
            ("1.10ms", 1_100),
            ("1000ns", 1),
            // A day has 2^13 * 5^8 * 27 microseconds: 13 digits can come out even.
            ("0.0001220703125d", 10_546_875),
            ("18446744073709551615us", u64::MAX),
            ("18446744073709.551615s", u64::MAX),
        ] {
            assert_eq!(micros(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        for text in [
            "", "5", "s", "-1s", "+1s", "1e3s", "1 s", " 1s", "1s ", "1S", ".5s", "5.s", "1..2s",
            "1.2.3s", "1sec", "infs", "nans", "1µs", "١s", "0x1s", "1_000s", "1,5s",
        ] {
            assert_eq!(micros(text), Err(LengthError::Form(text.into())));
        }
        for text in [
            "1ns",
            "2.500us",
            "0.0000001s",
            "1.2345678s",
            "0.000000000011574d",
        ] {
            assert_eq!(micros(text), Err(LengthError::TooFine(text.into())));
        }
        let zeros = format!("1{}s", "0".repeat(400));
        for text in [
            "18446744073709551616us",
            "18446744073709551615d",
            zeros.as_str(),
        ] {
            assert_eq!(micros(text), Err(LengthError::TooLong(text.into())));
        }
        let fine = format!("1.{}1s", "0".repeat(400));
        assert_eq!(micros(&fine), Err(LengthError::TooFine(fine.clone())));
        let even = format!("1.5{}s", "0".repeat(400));
        assert_eq!(micros(&even), Ok(1_500_000));
    }
}
