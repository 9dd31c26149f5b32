//! The name that an application gives a message, so that it is not sent twice.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A name of an application's for one message: 1 to 128 visible characters of ASCII.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdempotencyKey(String);

/// A text is no idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an idempotency key has 1 to {max} visible characters of ASCII", max = IdempotencyKey::MAX_BYTES)]
pub struct BadKey;

impl IdempotencyKey {
    /// Most bytes.
    pub const MAX_BYTES: usize = 128;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = BadKey;

    fn try_from(text: String) -> Result<Self, BadKey> {
        let sound = (1..=Self::MAX_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        sound.then_some(Self(text)).ok_or(BadKey)
    }
}

impl From<IdempotencyKey> for String {
    fn from(key: IdempotencyKey) -> Self {
        key.0
    }
}

impl fmt::Debug for IdempotencyKey {
    // Applications may put anything into it: it stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_visible() {
        for sound in ["a", "2026-11-28/invoice:7", &"k".repeat(128)] {
            assert_eq!(
                sound.parse::<IdempotencyKey>().map(String::from),
                Ok(sound.to_owned())
            );
        }
        for wrong in ["", " ", "a b", "a\n", "\u{e9}", &"k".repeat(129)] {
            assert_eq!(wrong.parse::<IdempotencyKey>(), Err(BadKey), "{wrong:?}");
        }
    }
}
