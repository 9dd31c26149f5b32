//! Numbers of bytes as people write them. Lengths of time are [`shoal_proto::Span`]'s own business.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// Why a text is not a quantity with a unit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnitError {
    /// Not a number of bytes.
    #[error("`{0}` is not a size; write a whole number and B, KiB, MiB, GiB or TiB, as in 256 MiB")]
    Size(String),
    /// More than fits.
    #[error("`{0}` is too large")]
    Range(String),
}

const SIZE_UNITS: [(&str, u64); 5] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// A number of bytes, written `256 MiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// This many bytes.
    #[must_use]
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// This many mebibytes.
    #[must_use]
    pub const fn mebibytes(mebibytes: u64) -> Self {
        Self(mebibytes.saturating_mul(1 << 20))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// Whole mebibytes.
    #[must_use]
    pub const fn as_mebibytes(self) -> u64 {
        self.0 >> 20
    }
}

impl std::str::FromStr for ByteSize {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let malformed = || UnitError::Size(text.to_owned());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim_start();
        let (_, scale) = SIZE_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(malformed)?;
        if number.is_empty() {
            return Err(malformed());
        }
        let number = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*scale));
        number
            .map(Self)
            .ok_or_else(|| UnitError::Range(text.to_owned()))
    }
}

impl std::fmt::Display for ByteSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (unit, scale) = SIZE_UNITS
            .iter()
            .rev()
            .find(|(_, scale)| self.0 >= *scale && self.0.is_multiple_of(*scale))
            .copied()
            .unwrap_or(("B", 1));
        write!(f, "{} {unit}", self.0 / scale)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sizes_round_trip(bytes: u64) {
            let size = ByteSize::bytes(bytes);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<ByteSize>();
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(
            "1 MB".parse::<ByteSize>(),
            Err(UnitError::Size("1 MB".into()))
        );
        assert_eq!(
            "MiB".parse::<ByteSize>(),
            Err(UnitError::Size("MiB".into()))
        );
        let much = "99999999999 TiB";
        assert_eq!(much.parse::<ByteSize>(), Err(UnitError::Range(much.into())));
        assert_eq!("1MiB".parse(), Ok(ByteSize::mebibytes(1)));
    }
}
