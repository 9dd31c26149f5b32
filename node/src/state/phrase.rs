//! A client's key as words: 24 of the 2,048 of BIP-39 in English, which are its 32 bytes and a byte to check them by.
//!
//! The words have no room for a version: another kind of key would have another number of words. There is no
//! passphrase of BIP-39's and nothing is derived: the words are the key.

use bip39::{Language, Mnemonic};
use shoal_client::ClientKeys;
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

/// As many words as there are.
pub const WORDS: usize = 24;

/// Why words are no key. None of what was typed is in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PhraseError {
    /// There are so many, and not as many as there are to be.
    #[error(
        "these are {0} words, and there are {WORDS}: write all of them, in their order, with spaces between them"
    )]
    Number(usize),
    /// Those of these places, from 1, are not of the list.
    #[error("{} not of the list: look for a letter that is wrong", places(.0))]
    Unknown(Vec<usize>),
    /// The check says that it is another one.
    #[error(
        "each word is of the list, and together they are no key: one of them is another one, or two have changed places; \
         look at the paper again"
    )]
    Checksum,
}

fn places(wrong: &[usize]) -> String {
    let numbers: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    match wrong {
        [one] => format!("word {one} is"),
        _ => format!("words {} are", numbers.join(", ")),
    }
}

/// The words of a key. They are to be shown, so they are not wiped: the command ends with that.
#[must_use]
pub fn of(keys: &ClientKeys) -> Option<Vec<&'static str>> {
    let secret = keys.secret();
    let mut mnemonic = Mnemonic::from_entropy_in(Language::English, secret.as_slice()).ok()?;
    let words = mnemonic.words().collect();
    mnemonic.zeroize();
    Some(words)
}

/// The key of these words.
///
/// # Errors
/// [`PhraseError`], which says by their places what is wrong with them.
pub fn read(typed: &[u8]) -> Result<ClientKeys, PhraseError> {
    // Large and small letters are the same, and so are all kinds of spaces.
    let typed = Zeroizing::new(typed.to_ascii_lowercase());
    let words = typed.split(u8::is_ascii_whitespace);
    let words = Vec::from_iter(words.filter(|word| !word.is_empty()));
    if words.len() != WORDS {
        return Err(PhraseError::Number(words.len()));
    }
    let is_known = |word: &[u8]| {
        let word = std::str::from_utf8(word).ok();
        word.is_some_and(|word| Language::English.find_word(word).is_some())
    };
    let wrong = words.iter().enumerate().filter(|(_, word)| !is_known(word));
    let wrong = Vec::from_iter(wrong.map(|(index, _)| index + 1));
    if !wrong.is_empty() {
        return Err(PhraseError::Unknown(wrong));
    }
    let mut text = Zeroizing::new(String::with_capacity(typed.len() + WORDS));
    for word in words.iter() {
        text.push_str(std::str::from_utf8(word).unwrap_or_default());
        text.push(' ');
    }
    // As many as there are to be, and each of them known: what is left to be wrong is the check.
    let mut mnemonic = Mnemonic::parse_in_normalized(Language::English, text.trim_end())
        .map_err(|_| PhraseError::Checksum)?;
    let entropy = Zeroizing::new(mnemonic.to_entropy_array().0);
    mnemonic.zeroize();
    let mut secret = Zeroizing::new([0; 32]);
    secret.copy_from_slice(&entropy[..32]);
    Ok(ClientKeys::from_secret(&secret))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn key(fill: u8) -> ClientKeys {
        ClientKeys::from_secret(&[fill; 32])
    }

    #[test]
    fn words_are_the_key_and_as_bip_39_has_them() {
        // The vectors of BIP-39, for entropy of 32 equal bytes.
        let zeros = of(&key(0)).unwrap();
        assert_eq!(zeros[..23], ["abandon"; 23]);
        assert_eq!(zeros[23], "art");
        let ones = of(&key(0xff)).unwrap();
        assert_eq!((ones[0], ones[23]), ("zoo", "vote"));
        let some = of(&key(0x7f)).unwrap().join(" ");
        assert!(some.starts_with("legal winner thank year") && some.ends_with("title"));
        for keys in [
            key(0),
            key(0x7f),
            key(0xff),
            ClientKeys::generate(&mut crate::seeded().unwrap()),
        ] {
            let words = of(&keys).unwrap().join("\n ").to_uppercase();
            assert_eq!(read(words.as_bytes()).unwrap().public(), keys.public());
        }
    }

    #[test]
    fn what_is_wrong_with_words_is_told_by_their_place_and_not_by_what_they_are() {
        let right = of(&key(0x7f)).unwrap();
        let error = |words: &[&str]| read(words.join(" ").as_bytes()).err().unwrap();
        assert_eq!(error(&right[..23]), PhraseError::Number(23));
        let mut wrong = right.clone();
        wrong[6] = "secrett";
        assert_eq!(error(&wrong), PhraseError::Unknown(vec![7]));
        wrong[23] = "\u{e9}";
        let told = error(&wrong);
        assert_eq!(told, PhraseError::Unknown(vec![7, 24]));
        assert!(told.to_string().contains("words 7, 24") && !told.to_string().contains("secrett"));
        let mut turned = right.clone();
        turned.swap(0, 1);
        assert_eq!(error(&turned), PhraseError::Checksum);
        assert_eq!(read(&[0xff; 9]).err(), Some(PhraseError::Number(1)));
    }
}
