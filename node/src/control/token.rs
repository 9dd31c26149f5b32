//! The token without which nothing is answered over TCP.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use hmac::digest::InvalidLength;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::CryptoRng;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::state::{StateError, read_secret, write_new};

/// Name of the token's file in a client's directory.
pub const TOKEN_FILE: &str = "api.token";

const TOKEN_BYTES: usize = 32;

const ADVICE: &str = "the daemon makes it when it starts";

/// What a program shows that it may use the API: 32 random bytes, written in 64 characters of hexadecimal.
pub struct Token(Zeroizing<String>);

impl Token {
    /// Reads it, and makes it if there is none.
    ///
    /// # Errors
    /// [`StateError`] for a file that is damaged, somebody else's or readable by others, or can't be made.
    pub fn of<R: CryptoRng>(dir: &Path, rng: &mut R) -> Result<Self, StateError> {
        let path = dir.join(TOKEN_FILE);
        let content = match read_secret(&path, ADVICE) {
            Err(StateError::Missing { .. }) => {
                let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
                rng.fill_bytes(bytes.as_mut());
                let token = Zeroizing::new(HEXLOWER.encode(bytes.as_ref()));
                let line = Zeroizing::new(format!("{}\n", *token));
                write_new(&path, line.as_bytes(), 0o600)?;
                return Ok(Self(token));
            }
            content => content?,
        };
        Self::parse(path, &content)
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`StateError`] if there is none, or as [`Self::of`] says.
    pub fn read(dir: &Path) -> Result<Self, StateError> {
        let path = dir.join(TOKEN_FILE);
        let content = read_secret(&path, ADVICE)?;
        Self::parse(path, &content)
    }

    fn parse(path: PathBuf, content: &[u8]) -> Result<Self, StateError> {
        let text = std::str::from_utf8(content).unwrap_or_default().trim_end();
        let sound = text.len() == 2 * TOKEN_BYTES
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        match sound {
            true => Ok(Self(Zeroizing::new(text.to_owned()))),
            false => Err(StateError::Corrupt {
                path,
                what: "it is not 64 characters of hexadecimal".to_owned(),
                advice: "move it away: the daemon makes another one, which programs have to be told",
            }),
        }
    }

    /// Itself under a code that only the daemon and a page have, with what shows that it is of who has both: each half of
    /// what a page gets for its link. 32 bytes, by a key that is used once, in hexadecimal.
    pub(super) fn under(&self, code: &str, port: u16) -> Result<(String, String), InvalidLength> {
        let pad = mac(code, &format!("shoal page token {port}"))?;
        let bytes = Zeroizing::new(HEXLOWER.decode(self.0.as_bytes()).unwrap_or_default());
        let hidden: Vec<u8> = bytes
            .iter()
            .zip(pad)
            .map(|(byte, pad)| byte ^ pad)
            .collect();
        let hidden = HEXLOWER.encode(&hidden);
        let proof = mac(code, &format!("shoal page proof {port} {hidden}"))?;
        Ok((hidden, HEXLOWER.encode(&proof)))
    }

    /// What shows to who has the token that one has it too, at this port, and tells nothing of it: HMAC-SHA-256 of the
    /// port and what was asked with, in hexadecimal.
    pub(super) fn proof(&self, port: u16, challenge: &str) -> Result<String, InvalidLength> {
        mac(&self.0, &format!("shoal page {port} {challenge}")).map(|it| HEXLOWER.encode(&it))
    }

    /// Whether this is it. How long that takes tells nothing of it.
    pub(super) fn is(&self, shown: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(shown).into()
    }

    /// One that is known.
    #[doc(hidden)]
    #[must_use]
    pub fn known(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

/// HMAC-SHA-256.
pub(super) fn mac(key: &str, words: &str) -> Result<[u8; 32], InvalidLength> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())?;
    mac.update(words.as_bytes());
    Ok(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_made_once_and_nobody_else_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut rng = crate::seeded().unwrap();
        let token = Token::of(dir.path(), &mut rng).unwrap();
        let file = dir.path().join(TOKEN_FILE);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.len(), 65);
        assert!(token.is(text.trim_end().as_bytes()));
        assert!(!token.is(b"") && !token.is(&text.as_bytes()[1..]));
        let again = Token::of(dir.path(), &mut rng).unwrap();
        assert_eq!(*again.0, *token.0);
        std::fs::write(&file, "short\n").unwrap();
        let wrong = Token::of(dir.path(), &mut rng).err().unwrap();
        assert!(wrong.to_string().contains("move it away"), "{wrong}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Token::of(dir.path(), &mut rng).is_err());
    }
}
