//! Key files. Each holds only what nobody else may know; whoever copies one speaks in its owner's
//! name.

use std::path::{Path, PathBuf};

use rand::CryptoRng;
use shoal_topology::{FamilyKey, Identity};
use zeroize::Zeroizing;

use super::error::StateError;
use super::files::{PRIVATE, read_secret, write_new};

/// Name of a node's identity key in its directory.
pub const IDENTITY_FILE: &str = "identity.key";
/// Name of a client's keys in its directory.
pub const CLIENT_FILE: &str = "client.key";

/// Name of what a provider's keys for tokens follow from, in its directory.
pub const TOKENS_FILE: &str = "tokens.key";

/// Name of what a provider's mailboxes are sealed with, in its directory.
pub const STORE_FILE: &str = "store.key";

const STORE_KIND: &str = "shoal-store-1";
const TOKENS_KIND: &str = "shoal-tokens-1";
const IDENTITY_KIND: &str = "shoal-identity-1";
const FAMILY_KIND: &str = "shoal-family-1";

/// Makes a node's identity. Refuses if there is one.
///
/// # Errors
/// [`StateError::Exists`], [`StateError::Io`].
pub fn create_identity<R: CryptoRng>(dir: &Path, rng: &mut R) -> Result<Identity, StateError> {
    let identity = Identity::generate(rng);
    let line = encode(IDENTITY_KIND, &identity.to_bytes());
    write_new(&dir.join(IDENTITY_FILE), line.as_bytes(), PRIVATE)?;
    Ok(identity)
}

/// Reads a node's identity.
///
/// # Errors
/// [`StateError`] for a file that is missing, damaged, somebody else's or readable by others.
pub fn load_identity(dir: &Path) -> Result<Identity, StateError> {
    let path = dir.join(IDENTITY_FILE);
    let content = read_secret(&path, "`shoal init` makes it")?;
    let secret = decode(IDENTITY_KIND, &content).map_err(|what| StateError::Corrupt {
        path,
        what: what.to_owned(),
        advice: "restore it from a backup; without one, the node needs a new identity from \
                 `shoal init`",
    })?;
    Ok(Identity::from_bytes(&secret))
}

/// Reads what a provider's keys for tokens follow from, and makes it if there is none.
///
/// # Errors
/// [`StateError`] for a file that is damaged, somebody else's or readable by others, or can't be made.
pub fn token_seed<R: CryptoRng>(
    dir: &Path,
    rng: &mut R,
) -> Result<Zeroizing<[u8; 32]>, StateError> {
    let advice = "restore it from a backup, or move it away: the node makes another, and the tokens that it has issued \
                  are of no use any more";
    read_or_make(dir.join(TOKENS_FILE), TOKENS_KIND, advice, rng)
}

/// The same, without making one: none if there is none.
///
/// # Errors
/// [`StateError`] for a file that is damaged, somebody else's or readable by others.
pub fn load_token_seed(dir: &Path) -> Result<Option<Zeroizing<[u8; 32]>>, StateError> {
    let path = dir.join(TOKENS_FILE);
    match read_secret(&path, "") {
        Err(StateError::Missing { .. }) => Ok(None),
        content => {
            let advice = "restore it from a backup";
            decoded(path, TOKENS_KIND, &content?, advice).map(Some)
        }
    }
}

/// What a provider's mailboxes will be sealed with, if there is nothing yet: [`keep_store_secret`] makes the file of it.
#[must_use]
pub fn draw_store_secret<R: CryptoRng>(rng: &mut R) -> Zeroizing<[u8; 32]> {
    let mut secret = Zeroizing::new([0; 32]);
    rng.fill_bytes(secret.as_mut());
    secret
}

/// Makes the file of a secret that mailboxes are to be sealed with, before they are.
///
/// # Errors
/// [`StateError::Exists`], [`StateError::Io`].
pub fn keep_store_secret(dir: &Path, secret: &[u8; 32]) -> Result<(), StateError> {
    let line = encode(STORE_KIND, secret);
    write_new(&dir.join(STORE_FILE), line.as_bytes(), PRIVATE)
}

/// Takes back what [`keep_store_secret`] made, if nothing was sealed with it.
///
/// # Errors
/// [`StateError::Io`].
pub fn forget_store_secret(dir: &Path) -> Result<(), StateError> {
    super::files::remove_secret(&dir.join(STORE_FILE))
}

/// Reads what a provider's mailboxes are sealed with, and makes it if there is none.
///
/// # Errors
/// [`StateError`] for a file that is damaged, somebody else's or readable by others, or can't be made.
pub fn store_secret<R: CryptoRng>(
    dir: &Path,
    rng: &mut R,
) -> Result<Zeroizing<[u8; 32]>, StateError> {
    read_or_make(dir.join(STORE_FILE), STORE_KIND, STORE_ADVICE, rng)
}

/// The same, without making one.
///
/// # Errors
/// [`StateError`] for a file that is missing, damaged, somebody else's or readable by others.
pub fn load_store_secret(dir: &Path) -> Result<Zeroizing<[u8; 32]>, StateError> {
    let path = dir.join(STORE_FILE);
    let content = read_secret(
        &path,
        "the mailboxes are sealed with it; copy the one that belongs to the database beside it",
    )?;
    decoded(path, STORE_KIND, &content, STORE_ADVICE)
}

const STORE_ADVICE: &str =
    "restore it from a backup: without it the mailboxes can't be read, and start empty";

fn read_or_make<R: CryptoRng>(
    path: PathBuf,
    kind: &str,
    advice: &'static str,
    rng: &mut R,
) -> Result<Zeroizing<[u8; 32]>, StateError> {
    let content = match read_secret(&path, "the node makes it when it starts") {
        Err(StateError::Missing { .. }) => {
            let mut secret = Zeroizing::new([0; 32]);
            rng.fill_bytes(secret.as_mut());
            write_new(&path, encode(kind, &secret).as_bytes(), PRIVATE)?;
            return Ok(secret);
        }
        content => content?,
    };
    decoded(path, kind, &content, advice)
}

fn decoded(
    path: PathBuf,
    kind: &str,
    content: &[u8],
    advice: &'static str,
) -> Result<Zeroizing<[u8; 32]>, StateError> {
    decode(kind, content).map_err(|what| StateError::Corrupt {
        path,
        what: what.to_owned(),
        advice,
    })
}

/// Makes the key of a family. Refuses if there is something by that name.
///
/// # Errors
/// [`StateError::Exists`], [`StateError::Io`].
pub fn create_family<R: CryptoRng>(path: &Path, rng: &mut R) -> Result<FamilyKey, StateError> {
    let key = FamilyKey::generate(rng);
    let line = encode(FAMILY_KIND, &key.to_bytes());
    write_new(path, line.as_bytes(), PRIVATE)?;
    Ok(key)
}

/// Reads the key of a family.
///
/// # Errors
/// [`StateError`] for a file that is missing, damaged, somebody else's or readable by others.
pub fn load_family(path: &Path) -> Result<FamilyKey, StateError> {
    let content = read_secret(path, "`shoal family create` makes it")?;
    let secret = decode(FAMILY_KIND, &content).map_err(|what| StateError::Corrupt {
        path: path.to_owned(),
        what: what.to_owned(),
        advice: "restore it from a backup; without one, make another family with `shoal family create`, and \
                 sign for each node",
    })?;
    Ok(FamilyKey::from_bytes(&secret))
}

/// Whether this is the content of a sound identity file; for fuzzing.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
#[must_use]
pub fn is_identity(content: &[u8]) -> bool {
    decode(IDENTITY_KIND, content).is_ok()
}

/// `KIND:BASE58`, where the base58 holds 32 secret bytes and 4 bytes to check them by.
pub(super) fn encode(kind: &str, secret: &[u8; 32]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(36));
    bytes.extend_from_slice(secret);
    bytes.extend_from_slice(&check(kind, secret));
    let text = Zeroizing::new(bs58::encode(bytes.as_slice()).into_string());
    let mut line = Zeroizing::new(String::with_capacity(kind.len() + text.len() + 2));
    for part in [kind, ":", text.as_str(), "\n"] {
        line.push_str(part);
    }
    line
}

pub(super) fn decode(kind: &str, content: &[u8]) -> Result<Zeroizing<[u8; 32]>, &'static str> {
    let text = std::str::from_utf8(content)
        .map_err(|_| "it is not text")?
        .trim_end();
    let rest = text
        .strip_prefix(kind)
        .and_then(|rest| rest.strip_prefix(':'));
    let rest = rest.ok_or("it is another kind of file, or of a newer version")?;
    let bytes = bs58::decode(rest)
        .into_vec()
        .map_err(|_| "it is not base58")?;
    let bytes = Zeroizing::new(bytes);
    let (secret, found) = bytes.split_at_checked(32).ok_or("it is cut short")?;
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(secret);
    if check(kind, &key) == found {
        Ok(key)
    } else {
        Err("its check value does not fit")
    }
}

fn check(kind: &str, secret: &[u8; 32]) -> [u8; 4] {
    super::replay::crc32(&[kind.as_bytes(), secret]).to_le_bytes()
}
