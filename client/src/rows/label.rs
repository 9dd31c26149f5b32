//! What the user calls somebody.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::codec::Fault;

/// A name that the user gives a contact or an invitation, for the own eyes: at most [`Label::MOST`] bytes of UTF-8
/// without control characters and without what turns text around; it may be empty. It is shown on terminals as it is.
/// Redacted in debug output.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label(String);

/// Why a text is no label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LabelError {
    /// Too long.
    #[error("a name has at most {most} bytes, this one {0}", most = Label::MOST)]
    TooLong(usize),
    /// Something that is not shown, or changes how what is around it is shown.
    #[error("a name has no control characters and none that turn text around: {0:?} is one")]
    Character(char),
}

impl Label {
    /// Longest, in bytes.
    pub const MOST: usize = 64;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let text = std::str::from_utf8(bytes).map_err(|_| "its name is no text")?;
        text.parse().map_err(|_| "its name is none")
    }
}

/// Invisible, or of an effect on what is around: directions, joiners, tags, byte-order marks, soft hyphens.
const fn is_hidden(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let text = text.trim();
        if text.len() > Self::MOST {
            return Err(LabelError::TooLong(text.len()));
        }
        let odd = |character: &char| character.is_control() || is_hidden(*character);
        match text.chars().find(odd) {
            Some(character) => Err(LabelError::Character(character)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Label(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_can_be_shown_anywhere() {
        let label = |text: &str| text.parse::<Label>();
        assert_eq!(
            label("  Zo\u{eb} 🐟 ").map(|it| it.to_string()),
            Ok("Zo\u{eb} 🐟".into())
        );
        assert!(label("").is_ok_and(|it| it.is_empty()));
        for odd in [
            '\u{1b}',
            '\n',
            '\u{202e}',
            '\u{200b}',
            '\u{9b}',
            '\u{e0041}',
        ] {
            assert_eq!(label(&format!("a{odd}b")), Err(LabelError::Character(odd)));
        }
        let long = "ü".repeat(33);
        assert_eq!(label(&long), Err(LabelError::TooLong(66)));
        assert!(Label::decode(&[0xff]).is_err() && Label::decode(b" a").is_ok());
    }
}
