//! What databases seal at rest: whose a mailbox is, the secrets of its sets, the ids of its deposits.
//!
//! Each mailbox has a random key of its own, which stands in its row, sealed under the store's key; what a mailbox has is
//! sealed under its own. Without the store's key a database tells counts and hours, and of nobody. When a mailbox is
//! removed, its own key goes with its row: what a disk may have kept of its other rows can't be opened any more.
//!
//! What is looked for is found by a keyed hash. Sealing is deterministic for that: the same is sealed to the same bytes
//! under one key, so that a sealed deposit id is found by itself, and no nonce can repeat.
//!
//! ```text
//! H(k, d, m)  = BLAKE2b keyed with k, personalised with d, of m
//! seal(k, d, m) = t || m xor H64(k, d || "1", t)    where t = H16(k, d || "0", m), and m has 64 bytes at most
//! ```
//!
//! The same key seals what else of a node is secret in a database (its epoch and seat keys), each under a key that follows
//! from the name of its row, so that no row passes for another; and it checks batches of replay tags.
//!
//! This is the SIV construction of Rogaway and Shrimpton, "Deterministic Authenticated-Encryption" (2006), with one
//! pseudorandom function in both places. Blobs are what senders sealed, and stay as they are.

use std::fmt;

use blake2b_simd::Params;
use rand::Rng;
use rand_chacha::ChaCha20Rng;
use shoal_proto::{DropId, MailboxId, MessageId};
use zeroize::Zeroizing;

use crate::StoreError;

/// Bytes that sealing adds.
const TAG: usize = 16;
/// Bytes of the two seals in a mailbox' row: its own key, and its owner's.
pub(crate) const SEALED_MAILBOX: usize = 2 * SEALED_SECRET;
/// Bytes of a sealed secret, or key.
pub(crate) const SEALED_SECRET: usize = TAG + 32;
/// Bytes of a sealed deposit id.
pub(crate) const SEALED_MESSAGE: usize = TAG + 16;

/// A sealed deposit id.
pub(crate) type SealedMessage = [u8; SEALED_MESSAGE];

/// What a store's databases are sealed with: a secret that stands beside them in no file of theirs, and a generator for the
/// keys of new mailboxes.
#[derive(Clone)]
pub struct StoreKey {
    secret: Zeroizing<[u8; 32]>,
    rng: ChaCha20Rng,
}

impl StoreKey {
    /// With a secret that stays the same for all that the database lives, and a generator that was seeded anew: of two
    /// that go on alike, mailboxes may get the same keys.
    #[must_use]
    pub const fn new(secret: Zeroizing<[u8; 32]>, rng: ChaCha20Rng) -> Self {
        Self { secret, rng }
    }

    /// What tells in a database whether it was sealed with this key.
    pub(crate) fn check(&self) -> [u8; 32] {
        hash(&self.secret, b"shoal store 1", &[])
    }

    /// What a mailbox is found by.
    pub(crate) fn mailbox(&self, owner: &MailboxId) -> [u8; 32] {
        hash(&self.secret, b"shoal mailbox 1", owner.as_bytes())
    }

    /// What a drop id is found by.
    pub(crate) fn tag(&self, drop: &DropId) -> i64 {
        i64::from_be_bytes(hash(&self.secret, b"shoal drop 1", drop.as_bytes()))
    }

    /// A key for a new mailbox.
    pub(crate) fn fresh(&mut self, owner: &MailboxId) -> OwnKey {
        let mut key = Zeroizing::new([0; 32]);
        self.rng.fill_bytes(key.as_mut());
        OwnKey { key, owner: *owner }
    }

    /// The key of a mailbox as it is in its row, with the owner's.
    pub(crate) fn seal(&self, own: &OwnKey) -> [u8; SEALED_MAILBOX] {
        let mut sealed = [0; SEALED_MAILBOX];
        let (first, second) = sealed.split_at_mut(SEALED_SECRET);
        first.copy_from_slice(&seal::<SEALED_SECRET>(
            &self.secret,
            b"shoal own key 1",
            &*own.key,
        ));
        let owner = seal::<SEALED_SECRET>(&own.key, b"shoal owner 1", own.owner.as_bytes());
        second.copy_from_slice(&owner);
        sealed
    }

    /// The key of a mailbox out of its row.
    pub(crate) fn open(&self, sealed: &[u8]) -> Result<OwnKey, Unsealed> {
        let (first, second) = sealed.split_at_checked(SEALED_SECRET).ok_or(Unsealed)?;
        let key = Zeroizing::new(open(&self.secret, b"shoal own key 1", first)?);
        let owner = MailboxId::new(open(&key, b"shoal owner 1", second)?);
        Ok(OwnKey { key, owner })
    }
}

/// What a node keeps beside mailboxes.
#[cfg(feature = "postgres")]
impl StoreKey {
    /// A secret of a row. None if it has more than 64 bytes.
    pub(crate) fn seal_row(&self, kind: &str, key: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
        let own = self.row_key(kind, key);
        let [first, second] = domains(ROW);
        let tag: [u8; TAG] = hash(&own, &first, secret);
        let pad: Zeroizing<[u8; 64]> = Zeroizing::new(hash(&own, &second, &tag));
        if secret.len() > pad.len() {
            return None;
        }
        let mut sealed = Vec::with_capacity(TAG.saturating_add(secret.len()));
        sealed.extend_from_slice(&tag);
        sealed.extend(secret.iter().zip(pad.iter()).map(|(byte, pad)| byte ^ pad));
        Some(sealed)
    }

    pub(crate) fn open_row(
        &self,
        kind: &str,
        key: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unsealed> {
        let own = self.row_key(kind, key);
        let [first, second] = domains(ROW);
        let (tag, rest) = sealed.split_at_checked(TAG).ok_or(Unsealed)?;
        let pad: Zeroizing<[u8; 64]> = Zeroizing::new(hash(&own, &second, tag));
        if rest.len() > pad.len() {
            return Err(Unsealed);
        }
        let mut secret = Zeroizing::new(Vec::with_capacity(rest.len()));
        secret.extend(rest.iter().zip(pad.iter()).map(|(byte, pad)| byte ^ pad));
        match hash::<TAG>(&own, &first, &secret) == *tag {
            true => Ok(secret),
            false => Err(Unsealed),
        }
    }

    /// What tells that a batch of tags is the one that was written in this place.
    pub(crate) fn check_batch(&self, log: i64, number: i64, tags: &[u8]) -> [u8; TAG] {
        let mut place = [0; 16];
        let (first, second) = place.split_at_mut(8);
        first.copy_from_slice(&log.to_be_bytes());
        second.copy_from_slice(&number.to_be_bytes());
        let own = Zeroizing::new(hash(&self.secret, b"shoal batch 1", &place));
        hash(&own, b"shoal tags 1", tags)
    }

    fn row_key(&self, kind: &str, key: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut name = Vec::with_capacity(kind.len().saturating_add(key.len()).saturating_add(8));
        name.extend_from_slice(&(kind.len() as u64).to_be_bytes());
        name.extend_from_slice(kind.as_bytes());
        name.extend_from_slice(key);
        Zeroizing::new(hash(&self.secret, b"shoal row key 1", &name))
    }
}

#[cfg(feature = "postgres")]
const ROW: &[u8] = b"shoal row 1";

/// A secret has no representation.
impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey")
    }
}

/// The key of one mailbox, and whose it is.
#[derive(Clone)]
pub(crate) struct OwnKey {
    key: Zeroizing<[u8; 32]>,
    owner: MailboxId,
}

impl OwnKey {
    pub(crate) const fn owner(&self) -> &MailboxId {
        &self.owner
    }

    pub(crate) fn secret(&self, secret: &[u8; 32]) -> [u8; SEALED_SECRET] {
        seal(&self.key, b"shoal set 1", secret)
    }

    pub(crate) fn open_secret(&self, sealed: &[u8]) -> Result<[u8; 32], Unsealed> {
        open(&self.key, b"shoal set 1", sealed)
    }

    pub(crate) fn message(&self, message: &MessageId) -> SealedMessage {
        seal(&self.key, b"shoal message 1", message.as_bytes())
    }

    pub(crate) fn open_message(&self, sealed: &[u8]) -> Result<MessageId, Unsealed> {
        open(&self.key, b"shoal message 1", sealed).map(MessageId::new)
    }
}

/// Bytes that were not sealed so, under this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row can't be opened with the key of the store: it was changed")]
pub(crate) struct Unsealed;

impl From<Unsealed> for StoreError {
    fn from(error: Unsealed) -> Self {
        Self::Corrupt(error.to_string())
    }
}

fn hash<const N: usize>(key: &[u8; 32], domain: &[u8], message: &[u8]) -> [u8; N] {
    let mut hashed = [0; N];
    let mut params = Params::new();
    let params = params.hash_length(N).key(key).personal(domain);
    hashed.copy_from_slice(params.hash(message).as_bytes());
    hashed
}

fn domains(domain: &[u8]) -> [[u8; 16]; 2] {
    [b'0', b'1'].map(|last| {
        let mut padded = [0; 16];
        padded
            .iter_mut()
            .zip(domain)
            .for_each(|(to, from)| *to = *from);
        padded[15] = last;
        padded
    })
}

fn xor(message: &mut [u8], pad: &[u8; 64]) {
    message
        .iter_mut()
        .zip(pad)
        .for_each(|(to, from)| *to ^= from);
}

fn seal<const N: usize>(key: &[u8; 32], domain: &[u8], message: &[u8]) -> [u8; N] {
    let [first, second] = domains(domain);
    let tag: [u8; TAG] = hash(key, &first, message);
    let pad = Zeroizing::new(hash(key, &second, &tag));
    let mut sealed = [0; N];
    let (head, rest) = sealed.split_at_mut(TAG);
    head.copy_from_slice(&tag);
    rest.copy_from_slice(message);
    xor(rest, &pad);
    sealed
}

fn open<const N: usize>(key: &[u8; 32], domain: &[u8], sealed: &[u8]) -> Result<[u8; N], Unsealed> {
    let [first, second] = domains(domain);
    let (tag, rest) = sealed.split_at_checked(TAG).ok_or(Unsealed)?;
    let mut message: [u8; N] = rest.try_into().map_err(|_| Unsealed)?;
    let pad = Zeroizing::new(hash(key, &second, tag));
    xor(&mut message, &pad);
    // Not in constant time: whoever can try rows out has the database.
    match hash::<TAG>(key, &first, &message) == *tag {
        true => Ok(message),
        false => Err(Unsealed),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn key(n: u8) -> StoreKey {
        StoreKey::new(
            Zeroizing::new([n; 32]),
            ChaCha20Rng::seed_from_u64(n.into()),
        )
    }

    #[test]
    fn only_the_same_key_opens_what_was_sealed_and_nothing_that_was_changed() {
        let owner = MailboxId::new([5; 32]);
        let mut store = key(1);
        let own = store.fresh(&owner);
        let sealed = store.seal(&own);
        let opened = store.open(&sealed).unwrap();
        assert_eq!((opened.owner(), &*opened.key), (&owner, &*own.key));
        assert!(key(2).open(&sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed;
            changed[at] ^= 1;
            assert!(store.open(&changed).is_err(), "{at}");
        }
        assert!(store.open(&sealed[..95]).is_err() && store.open(&[]).is_err());
        let message = MessageId::new([7; 16]);
        let sealed = own.message(&message);
        assert_eq!(own.open_message(&sealed), Ok(message));
        // One thing is not another.
        assert!(own.open_secret(&own.secret(&[7; 32])).is_ok());
        assert!(own.open_message(&own.secret(&[7; 32])).is_err());
        // Found by itself, in this mailbox only.
        assert_eq!(own.message(&message), sealed);
        let other = store.fresh(&owner);
        assert_ne!(other.message(&message), sealed);
        assert!(other.open_message(&sealed).is_err());
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn a_row_opens_in_its_own_place_alone() {
        let store = key(1);
        for length in [0, 32, 48, 64] {
            let secret = vec![9; length];
            let sealed = store.seal_row("key", &[1], &secret).unwrap();
            assert_eq!(**store.open_row("key", &[1], &sealed).unwrap(), secret);
            assert!(store.open_row("key", &[2], &sealed).is_err());
            assert!(store.open_row("seat", &[1], &sealed).is_err());
            assert!(key(2).open_row("key", &[1], &sealed).is_err());
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert!(store.open_row("key", &[1], &changed).is_err(), "{at}");
            }
        }
        assert!(store.seal_row("key", &[1], &[0; 65]).is_none());
        assert!(store.open_row("key", &[1], &[0; 81]).is_err());
        assert!(store.open_row("key", &[1], &[0; 15]).is_err());
        let batch = store.check_batch(1, 2, &[3; 32]);
        assert_ne!(batch, store.check_batch(2, 1, &[3; 32]));
        assert_ne!(batch, store.check_batch(1, 2, &[4; 32]));
    }

    #[test]
    fn what_is_sealed_shows_nothing_of_itself() {
        let mut store = key(3);
        let own = store.fresh(&MailboxId::new([0; 32]));
        let zeros = [own.secret(&[0; 32]), own.secret(&[1; 32])];
        let differ = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(a, b)| a != b).count();
        assert!(differ(&zeros[0], &zeros[1]) > 40);
        assert!(differ(&zeros[0], &[0; 48]) > 40);
        let owner = MailboxId::new([0; 32]);
        assert_ne!(store.mailbox(&owner), key(4).mailbox(&owner));
        let drop = DropId::new([0; 32]);
        assert_ne!(store.tag(&drop), key(4).tag(&drop));
        assert_ne!(store.check(), key(4).check());
    }
}
