//! Bytes that only who has the passphrase can read, and that say themselves what a guess costs.
//!
//! Layout: what it is of (8 bytes), what makes the key (1: Argon2id, version 1.3), its memory in KiB (4), passes (4)
//! and lanes (1), salt (16), nonce (24), and what is sealed, by XChaCha20-Poly1305, with its tag (16). All before the
//! nonce is bound to it.

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use rand::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use super::passphrase::{Cost, Passphrase, SALT_BYTES};

/// What an envelope is of, and which version.
pub(in crate::state) type Kind = [u8; 8];

const ARGON2ID: u8 = 1;
const HEAD: usize = 8 + 1 + Cost::BYTES + SALT_BYTES;
pub(super) const NONCE: usize = 24;
pub(super) const TAG: usize = 16;

/// Bytes of an envelope around so many.
pub(in crate::state) const fn around(plain: usize) -> usize {
    HEAD + NONCE + plain + TAG
}

/// Why something can't be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The passphrase is another, or the bytes were altered: nobody can tell which.
    #[error("the passphrase does not open it")]
    Passphrase,
    /// The passphrase opens a part of it, and the rest is not as it was written.
    #[error("a part of it was altered")]
    Altered,
    /// It is no such thing.
    #[error("it is of another kind or a newer version")]
    Kind,
    /// It is cut short.
    #[error("it is cut short")]
    Short,
    /// It asks for what nobody would write.
    #[error("what it asks for to try a passphrase is out of bounds")]
    Cost,
    /// This machine has not so much memory.
    #[error("trying a passphrase takes {0} MiB of memory, which this machine does not give")]
    Memory(u32),
}

/// Seals it.
pub(in crate::state) fn seal<R: CryptoRng>(
    kind: &Kind,
    (passphrase, cost): (&Passphrase, Cost),
    plain: &[u8],
    rng: &mut R,
) -> Result<Vec<u8>, OpenError> {
    let mut salt = [0; SALT_BYTES];
    rng.fill_bytes(&mut salt);
    let key = passphrase.key(cost, &salt)?;
    let mut bytes = Vec::with_capacity(HEAD + NONCE + plain.len() + TAG);
    bytes.extend_from_slice(kind);
    bytes.push(ARGON2ID);
    bytes.extend_from_slice(&cost.encode());
    bytes.extend_from_slice(&salt);
    let sealed = seal_with(&key, &bytes, plain, rng);
    bytes.extend_from_slice(&sealed);
    Ok(bytes)
}

/// Opens it.
pub(in crate::state) fn open(
    kind: &Kind,
    passphrase: &Passphrase,
    bytes: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    if !bytes.starts_with(kind) {
        return Err(OpenError::Kind);
    }
    let (head, sealed) = bytes.split_at_checked(HEAD).ok_or(OpenError::Short)?;
    let [_, _, _, _, _, _, _, _, by, rest @ ..] = head else {
        return Err(OpenError::Short);
    };
    let (cost, salt) = rest
        .split_first_chunk::<{ Cost::BYTES }>()
        .ok_or(OpenError::Short)?;
    let salt = salt.first_chunk().ok_or(OpenError::Short)?;
    if *by != ARGON2ID {
        return Err(OpenError::Kind);
    }
    if sealed.len() < NONCE + TAG {
        return Err(OpenError::Short);
    }
    // Bounded before anything is done for it.
    let key = passphrase.key(Cost::decode(*cost)?, salt)?;
    open_with(&key, head, sealed).ok_or(OpenError::Passphrase)
}

/// For fuzzing: looks at what an envelope asks for, and has it ask for next to nothing.
#[cfg(any(test, fuzzing))]
pub(in crate::state) fn make_cheap(bytes: &mut [u8]) {
    if let Some((cost, _)) = bytes.get_mut(9..).and_then(<[u8]>::split_first_chunk_mut) {
        let _ = Cost::decode(*cost);
        *cost = Cost::TRIFLING.encode();
    }
}

/// Nonce and what is sealed with this key, bound to what else is given.
pub(super) fn seal_with<R: CryptoRng>(
    key: &[u8; 32],
    bound: &[u8],
    plain: &[u8],
    rng: &mut R,
) -> Vec<u8> {
    let mut nonce = [0; NONCE];
    rng.fill_bytes(&mut nonce);
    let mut bytes = Vec::with_capacity(NONCE + plain.len() + TAG);
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(plain);
    let cipher = XChaCha20Poly1305::new(&(*key).into());
    let tag =
        cipher.encrypt_inout_detached(&XNonce::from(nonce), bound, (&mut bytes[NONCE..]).into());
    match tag {
        Ok(tag) => bytes.extend_from_slice(&tag),
        // More than 256 GiB, which nobody has here; and if it were, it is not to be read.
        Err(_) => bytes.fill(0),
    }
    bytes
}

/// What was sealed with this key, if it was.
pub(super) fn open_with(key: &[u8; 32], bound: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    let (sealed, tag) = sealed.split_last_chunk::<TAG>()?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    let cipher = XChaCha20Poly1305::new(&(*key).into());
    let nonce = XNonce::from(*nonce);
    let opened =
        cipher.decrypt_inout_detached(&nonce, bound, plain.as_mut_slice().into(), &(*tag).into());
    opened.ok().map(|()| plain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const KIND: &Kind = b"shoaltst";

    fn words(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn only_the_same_passphrase_opens_it_and_no_other_bytes() {
        let rng = &mut crate::seeded().unwrap();
        let with = (&words("correct horse"), Cost::TRIFLING);
        let sealed = seal(KIND, with, b"what it is", rng).unwrap();
        let again = seal(KIND, with, b"what it is", rng).unwrap();
        assert!(sealed != again, "salt and nonce are drawn anew");
        let open = |bytes: &[u8], text: &str| open(KIND, &words(text), bytes);
        assert_eq!(open(&sealed, "correct horse").unwrap()[..], *b"what it is");
        let other = open(&sealed, "correct horsf").unwrap_err();
        assert_eq!(other, OpenError::Passphrase);
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(open(&altered, "correct horse").is_err(), "byte {at}");
            let cut = open(&sealed[..at], "correct horse");
            assert!(cut.is_err(), "{at} bytes");
        }
        let other = super::open(b"shoaloth", with.0, &sealed).unwrap_err();
        assert_eq!(other, OpenError::Kind);
    }
}
