//! Lengths of time as they are written in a scenario: `"50ms"`, `"1.5s"`. The grammar is that of
//! all files; the number is a float, because the engine's plans go below the microsecond.

use std::fmt::{self, Display};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use shoal_proto::WrittenLength;

/// A length of time in seconds: finite and not negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Seconds(f64);

impl Seconds {
    /// Nothing.
    pub const ZERO: Self = Self(0.0);

    /// So many seconds. None if the number is negative or not finite.
    #[must_use]
    pub fn new(seconds: f64) -> Option<Self> {
        // `+ 0.0` turns a negative zero into zero.
        (seconds.is_finite() && seconds >= 0.0).then_some(Self(seconds + 0.0))
    }

    /// The length in seconds.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Reads a decimal number with a unit: `ns`, `us`, `ms`, `s`, `m`, `h` or `d`. None if it is
    /// something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const SECOND: u64 = 1_000_000_000;
        let written = WrittenLength::parse(text).ok()?;
        let number: f64 = written.number().parse().ok()?;
        // Divided, so that "50ms" is the same number as "0.05s".
        let seconds = match written.unit_nanos() {
            unit @ ..SECOND => number / (SECOND / unit) as f64,
            unit => number * (unit / SECOND) as f64,
        };
        Self::new(seconds)
    }
}

impl Display for Seconds {
    /// In seconds, with as many digits as give the same number when read again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Seconds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time in quotes, as \"50ms\", \"1.5s\", \"10m\" or \"1h\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Seconds, E> {
                Seconds::parse(text)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::Seconds;

    #[test]
    fn texts_are_read_and_written_exactly() {
        for (text, seconds, written) in [
            ("50ms", 0.05_f64, "0.05s"),
            ("0.05s", 0.05, "0.05s"),
            ("1.5m", 90.0, "90s"),
            ("1h", 3600.0, "3600s"),
            ("2d", 172_800.0, "172800s"),
            ("386us", 0.000_386, "0.000386s"),
            ("266.7ms", 0.2667, "0.2667s"),
            ("0s", 0.0, "0s"),
        ] {
            let read = Seconds::parse(text).unwrap();
            assert_eq!(read.get().to_bits(), f64::to_bits(seconds), "{text}");
            assert_eq!(read.to_string(), written);
            assert_eq!(Seconds::parse(written), Some(read));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let long = format!("1{}s", "0".repeat(400));
        for text in [
            "", "5", "s", "-1s", "1e3s", "1 s", "nans", "infs", ".s", "1..2s", "1sec", &long,
        ] {
            assert_eq!(Seconds::parse(text), None, "{text}");
        }
    }
}
