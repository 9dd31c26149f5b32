//! Drop ids, and the sets in which an owner registers them.

use blake2::{Blake2b256, Digest};
use shoal_proto::{DropId, MailboxId};
use std::fmt;
use zeroize::Zeroize;

/// Separates drop ids from every other hash.
const DOMAIN: &[u8] = b"shoal drop id 3";

/// How many drop ids a set has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetSize {
    /// 64.
    Small,
    /// 256.
    Large,
}

impl SetSize {
    /// How many.
    #[must_use]
    pub const fn count(self) -> u16 {
        match self {
            Self::Small => 64,
            Self::Large => 256,
        }
    }
}

/// A set of drop ids of one mailbox, by the secret that they follow from. Zeroized on drop.
///
/// The id of a number is the hash of the mailbox's key, the secret and the number. So an id is its
/// mailbox's and no other's: nobody registers an id that he has seen, because he has no mailbox and no
/// secret of which it is the hash. Without the secret no two ids of a set can be told to belong
/// together.
#[derive(Clone, PartialEq, Eq)]
pub struct DropSet {
    secret: [u8; 32],
    size: SetSize,
}

impl DropSet {
    /// The set of this secret.
    #[must_use]
    pub const fn new(secret: [u8; 32], size: SetSize) -> Self {
        Self { secret, size }
    }

    /// What its ids follow from.
    #[must_use]
    pub const fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// How many ids it has.
    #[must_use]
    pub const fn size(&self) -> SetSize {
        self.size
    }

    /// The id of this number, from 0. Numbers beyond the set's size have ids that no provider knows.
    #[must_use]
    pub fn id(&self, mailbox: &MailboxId, number: u16) -> DropId {
        let hash = Blake2b256::new_with_prefix(DOMAIN)
            .chain_update(mailbox.as_bytes())
            .chain_update(self.secret)
            .chain_update(number.to_be_bytes());
        DropId::new(hash.finalize().into())
    }

    /// All ids, by number.
    pub fn ids<'a>(&'a self, mailbox: &'a MailboxId) -> impl Iterator<Item = (u16, DropId)> + 'a {
        (0..self.size.count()).map(|number| (number, self.id(mailbox, number)))
    }
}

impl Drop for DropSet {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// Redacted.
impl fmt::Debug for DropSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DropSet(..)")
    }
}

/// A change to the drop ids of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DropChange {
    /// Deposits under the ids of this set go into the mailbox from now on.
    Register(DropSet),
    /// Deposits under this id are refused from now on, for as long as the mailbox is there.
    Revoke(DropId),
    /// All deposits are refused from now on. What waits is pushed as before, and once it is acknowledged the
    /// mailbox is no more.
    Close,
}
