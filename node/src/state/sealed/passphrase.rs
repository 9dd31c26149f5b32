//! A passphrase, and the key that follows from it: slowly, so that whoever guesses guesses slowly.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use super::envelope::OpenError;

/// Bytes of a salt.
pub(super) const SALT_BYTES: usize = 16;

/// What only its owner knows. Wiped when dropped, and without Debug.
pub struct Passphrase(Zeroizing<Vec<u8>>);

/// Why something is no passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// Nothing.
    #[error("the passphrase is empty")]
    Empty,
    /// Too long.
    #[error("the passphrase has more than {most} bytes", most = Passphrase::MOST)]
    TooLong,
    /// A new one that anybody would find.
    #[error(
        "the passphrase has fewer than {least} characters: who has the disk tries millions; take six words or more \
         that nobody has said together",
        least = Passphrase::LEAST
    )]
    TooShort,
}

impl Passphrase {
    /// Longest, in bytes.
    pub const MOST: usize = 1024;
    /// Shortest new one, in characters.
    pub const LEAST: usize = 8;

    /// Takes these bytes, without the end of the line that files and terminals put behind them.
    ///
    /// # Errors
    /// [`PassphraseError::Empty`], [`PassphraseError::TooLong`].
    pub fn new(mut bytes: Zeroizing<Vec<u8>>) -> Result<Self, PassphraseError> {
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        match bytes.len() {
            0 => Err(PassphraseError::Empty),
            length if length > Self::MOST => Err(PassphraseError::TooLong),
            _ => Ok(Self(bytes)),
        }
    }

    /// The same, for something that is to be kept under it from now on.
    ///
    /// # Errors
    /// [`PassphraseError::TooShort`].
    pub fn checked_as_new(self) -> Result<Self, PassphraseError> {
        // What is no text has at most as many characters as bytes.
        let characters = String::from_utf8_lossy(&self.0);
        let short = characters.chars().count() < Self::LEAST;
        let mut characters = characters.into_owned();
        characters.zeroize();
        match short {
            true => Err(PassphraseError::TooShort),
            false => Ok(self),
        }
    }

    /// Whether two are the same. It is asked of what one person has typed twice, so its time tells nobody anything.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// The key that follows from it.
    pub(super) fn key(
        &self,
        cost: Cost,
        salt: &[u8; SALT_BYTES],
    ) -> Result<Zeroizing<[u8; 32]>, OpenError> {
        let Cost {
            memory,
            passes,
            lanes,
        } = cost;
        let params =
            Params::new(memory, passes, lanes.into(), Some(32)).map_err(|_| OpenError::Cost)?;
        // Reserved by hand: that there is no room is to be an error, and not the end of the process.
        let mut blocks = Blocks(Vec::new());
        let room = blocks.0.try_reserve_exact(params.block_count());
        room.map_err(|_| OpenError::Memory(memory / 1024))?;
        blocks.0.resize(params.block_count(), Block::default());
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(&self.0, salt, key.as_mut(), &mut blocks.0[..])
            .map_err(|_| OpenError::Cost)?;
        Ok(key)
    }
}

/// What Argon2id fills; wiped.
struct Blocks(Vec<Block>);

impl Drop for Blocks {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What a guess costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub(super) memory: u32,
    /// Times that it is gone through.
    pub(super) passes: u32,
    /// Parts of it that are filled side by side.
    pub(super) lanes: u8,
}

impl Cost {
    /// 192 MiB three times: about half a second on a machine of 2020, and as much memory as a small one has to spare.
    pub const USUAL: Self = Self {
        memory: 192 << 10,
        passes: 3,
        lanes: 1,
    };

    /// For tests of what is around it.
    #[cfg(any(test, fuzzing))]
    pub const TRIFLING: Self = Self {
        memory: 8,
        passes: 1,
        lanes: 1,
    };

    /// What a file may ask for: whoever wrote it is not to take all memory, or hours.
    const MOST: Self = Self {
        memory: 1 << 20,
        passes: 16,
        lanes: 8,
    };

    pub(super) const BYTES: usize = 9;

    pub(super) fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [self.lanes; Self::BYTES];
        bytes[..4].copy_from_slice(&self.memory.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.passes.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: [u8; Self::BYTES]) -> Result<Self, OpenError> {
        let [m0, m1, m2, m3, p0, p1, p2, p3, lanes] = bytes;
        let cost = Self {
            memory: u32::from_be_bytes([m0, m1, m2, m3]),
            passes: u32::from_be_bytes([p0, p1, p2, p3]),
            lanes,
        };
        let Self {
            memory,
            passes,
            lanes,
        } = Self::MOST;
        let within = cost.memory <= memory && cost.passes <= passes && cost.lanes <= lanes;
        within.then_some(cost).ok_or(OpenError::Cost)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn passphrase(text: &[u8]) -> Result<Passphrase, PassphraseError> {
        Passphrase::new(Zeroizing::new(text.to_vec()))
    }

    #[test]
    fn the_end_of_a_line_is_none_of_it_and_nothing_is_no_passphrase() {
        let plain = passphrase(b" correct horse ").unwrap();
        for same in [&b" correct horse \n"[..], b" correct horse \r\n"] {
            assert!(passphrase(same).unwrap().is(&plain));
        }
        assert!(!passphrase(b"correct horse").unwrap().is(&plain));
        let empty = passphrase(b"\r\n").err();
        assert_eq!(empty, Some(PassphraseError::Empty));
        let long = passphrase(&[b'a'; 1025]).err();
        assert_eq!(long, Some(PassphraseError::TooLong));
        let short = passphrase("éééé".as_bytes()).unwrap().checked_as_new();
        assert_eq!(short.err(), Some(PassphraseError::TooShort));
        assert!(plain.checked_as_new().is_ok());
    }

    /// With blocks that are reserved by hand, it is what the library makes of the same.
    #[test]
    fn the_key_is_argon2ids() {
        let cost = Cost {
            memory: 256,
            passes: 2,
            lanes: 1,
        };
        let words = passphrase(b"password").unwrap();
        let key = words.key(cost, b"somesaltsomesalt").unwrap();
        let mut other = [0; 32];
        let params = Params::new(256, 2, 1, Some(32)).unwrap();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(b"password", b"somesaltsomesalt", &mut other)
            .unwrap();
        assert_eq!(*key, other);
        let more = Cost { passes: 3, ..cost };
        assert!(words.key(more, b"somesaltsomesalt").unwrap() != key);
        assert!(words.key(cost, b"SomesaltsomesalT").unwrap() != key);
    }

    #[test]
    fn a_file_can_not_ask_for_all_memory_or_for_hours() {
        assert_eq!(Cost::decode(Cost::USUAL.encode()), Ok(Cost::USUAL));
        assert_eq!(Cost::decode(Cost::MOST.encode()), Ok(Cost::MOST));
        for over in [
            Cost {
                memory: (1 << 20) + 1,
                ..Cost::MOST
            },
            Cost {
                passes: 17,
                ..Cost::MOST
            },
            Cost {
                lanes: 9,
                ..Cost::MOST
            },
        ] {
            assert_eq!(Cost::decode(over.encode()), Err(OpenError::Cost));
        }
        // And nonsense is no panic.
        let words = passphrase(b"password").unwrap();
        for memory in [0, 1, 7] {
            let cost = Cost {
                memory,
                ..Cost::TRIFLING
            };
            assert!(words.key(cost, &[0; 16]).is_err(), "{memory}");
        }
        const { assert!(Cost::USUAL.memory >= 64 << 10 && Cost::USUAL.passes >= 3) };
    }
}
