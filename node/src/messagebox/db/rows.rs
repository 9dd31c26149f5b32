//! How what a message box keeps lies in rows. Numbers are big-endian.
//!
//! | table | key | value |
//! |---|---|---|
//! | `secret` | nothing | the daemon's own key (32) |
//! | `allowed` | an identity key (33) | whether it was adopted (1) |
//! | `mapped` | an identity key (33) | the contact's key (32), whether the user said so (1) |
//! | `message` | a number (8) | recipient and sender (33 each), contact or zeros (32), when it was sent and stored, in microseconds (8 each), bytes of its body (4), whether it was shown (1), its box's name behind its length (1), its id |
//! | `body` | the same number | the message's body |
//! | `outgoing` | a number (8) | the contact (32), since when, in microseconds (8), bytes of the parcel (4) |
//! | `parcel` | the same number | the parcel, as [`super::Parcel::encode`] has it |
//! | `seen` | a hash (32) | a number (8), larger for newer ones |

use shoal_client::PeerKey;
use shoal_proto::Time;
use zeroize::Zeroizing;

use super::super::auth::{IdentityKey, Secret};
use crate::state::BoxChange;

const SECRET: &str = "secret";
const ALLOWED: &str = "allowed";
const MAPPED: &str = "mapped";
const MESSAGE: &str = "message";
const OUTGOING: &str = "outgoing";
const SEEN: &str = "seen";
#[cfg(any(test, fuzzing))]
pub(super) const TABLES: [&str; 6] = [SECRET, ALLOWED, MAPPED, MESSAGE, OUTGOING, SEEN];
/// Read one at a time.
pub(super) const BODY: &str = "body";
/// Read one at a time.
pub(super) const PARCEL: &str = "parcel";

/// A contact that an identity key is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Contact {
    pub(super) key: PeerKey,
    /// The user said so, and not the contact.
    pub(super) by_user: bool,
}

/// A message but for what it says.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) recipient: IdentityKey,
    pub(super) sender: IdentityKey,
    pub(super) name: String,
    pub(super) id: String,
    /// Zeros for the user's own.
    pub(super) contact: [u8; 32],
    pub(super) sent: Time,
    pub(super) stored: Time,
    /// Of the body.
    pub(super) bytes: u32,
    /// It was listed or told: it can be acknowledged.
    pub(super) shown: bool,
}

/// A parcel that the client role does not have yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Leaving {
    pub(super) to: PeerKey,
    pub(super) since: Time,
    pub(super) bytes: u32,
}

/// A row, but a body or a parcel.
pub(super) enum Stored {
    Secret(Secret),
    Allowed(IdentityKey, bool),
    Mapped(IdentityKey, Contact),
    Message(u64, Head),
    Outgoing(u64, Leaving),
    Seen([u8; 32], u64),
}

impl Stored {
    /// The row of this table; none if it is none of ours.
    pub(super) fn read(table: &str, key: &[u8], value: &[u8]) -> Option<Self> {
        let number = || key.try_into().ok().map(u64::from_be_bytes);
        let identity = || IdentityKey::new(key.try_into().ok()?).ok();
        Some(match table {
            SECRET => {
                let bytes = Zeroizing::new(value.try_into().ok()?);
                Self::Secret(Secret::from_bytes(&bytes).ok()?)
            }
            ALLOWED => {
                let mut rest = Rest(value);
                let read = Self::Allowed(identity()?, rest.flag()?);
                return rest.0.is_empty().then_some(read);
            }
            MAPPED => {
                let mut rest = Rest(value);
                let contact = Contact {
                    key: PeerKey::parse(rest.take()?).ok()?,
                    by_user: rest.flag()?,
                };
                return rest
                    .0
                    .is_empty()
                    .then_some(Self::Mapped(identity()?, contact));
            }
            MESSAGE => Self::Message(number()?, Head::decode(value)?),
            OUTGOING => {
                let mut rest = Rest(value);
                let leaving = Leaving {
                    to: PeerKey::parse(rest.take()?).ok()?,
                    since: Time::from_micros(u64::from_be_bytes(rest.take()?)),
                    bytes: u32::from_be_bytes(rest.take()?),
                };
                return rest
                    .0
                    .is_empty()
                    .then_some(Self::Outgoing(number()?, leaving));
            }
            SEEN => Self::Seen(
                key.try_into().ok()?,
                u64::from_be_bytes(value.try_into().ok()?),
            ),
            _ => return None,
        })
    }
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.take()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }
}

impl Head {
    fn encode(&self) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(120 + self.name.len() + self.id.len());
        out.extend_from_slice(self.recipient.as_bytes());
        out.extend_from_slice(self.sender.as_bytes());
        out.extend_from_slice(&self.contact);
        out.extend_from_slice(&self.sent.as_micros().to_be_bytes());
        out.extend_from_slice(&self.stored.as_micros().to_be_bytes());
        out.extend_from_slice(&self.bytes.to_be_bytes());
        out.push(self.shown.into());
        out.push(u8::try_from(self.name.len()).ok()?);
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(self.id.as_bytes());
        Some(out)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        let [recipient, sender] = [rest.take()?, rest.take()?];
        let contact = rest.take()?;
        let [sent, stored] = [rest.take()?, rest.take()?];
        let time = |bytes| Time::from_micros(u64::from_be_bytes(bytes));
        let bytes = u32::from_be_bytes(rest.take()?);
        let shown = rest.flag()?;
        let [length] = rest.take()?;
        let (name, id) = rest.0.split_at_checked(length.into())?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        Some(Self {
            // They were points when they were written; to prove that of each takes seconds at a start.
            recipient: IdentityKey::kept(recipient),
            sender: IdentityKey::kept(sender),
            name: text(name)?,
            id: text(id)?,
            contact,
            sent: time(sent),
            stored: time(stored),
            bytes,
            shown,
        })
    }
}

fn put(table: &'static str, key: &[u8], value: impl Into<Vec<u8>>) -> BoxChange {
    BoxChange {
        table,
        key: key.to_vec(),
        value: Some(Zeroizing::new(value.into())),
    }
}

fn delete(table: &'static str, key: &[u8]) -> BoxChange {
    BoxChange {
        table,
        key: key.to_vec(),
        value: None,
    }
}

pub(super) fn secret(secret: &Secret) -> BoxChange {
    put(SECRET, &[], secret.to_bytes().as_slice())
}

pub(super) fn allowed(identity: &IdentityKey, adopted: bool) -> BoxChange {
    put(ALLOWED, identity.as_bytes(), [adopted.into()])
}

pub(super) fn not_allowed(identity: &IdentityKey) -> BoxChange {
    delete(ALLOWED, identity.as_bytes())
}

pub(super) fn mapped(identity: &IdentityKey, to: &Contact) -> BoxChange {
    let value = [&to.key.as_bytes()[..], &[to.by_user.into()]].concat();
    put(MAPPED, identity.as_bytes(), value)
}

pub(super) fn not_mapped(identity: &IdentityKey) -> BoxChange {
    delete(MAPPED, identity.as_bytes())
}

/// None if a name is too long.
pub(super) fn message(number: u64, head: &Head) -> Option<BoxChange> {
    Some(put(MESSAGE, &number.to_be_bytes(), head.encode()?))
}

pub(super) fn body(number: u64, body: &str) -> BoxChange {
    put(BODY, &number.to_be_bytes(), body.as_bytes())
}

pub(super) fn no_message(number: u64) -> [BoxChange; 2] {
    [MESSAGE, BODY].map(|table| delete(table, &number.to_be_bytes()))
}

pub(super) fn outgoing(number: u64, leaving: &Leaving, parcel: Vec<u8>) -> [BoxChange; 2] {
    let key = number.to_be_bytes();
    let since = leaving.since.as_micros().to_be_bytes();
    let bytes = leaving.bytes.to_be_bytes();
    let value = [&leaving.to.as_bytes()[..], &since, &bytes].concat();
    [put(OUTGOING, &key, value), put(PARCEL, &key, parcel)]
}

pub(super) fn not_outgoing(number: u64) -> [BoxChange; 2] {
    [OUTGOING, PARCEL].map(|table| delete(table, &number.to_be_bytes()))
}

pub(super) fn seen(hash: &[u8; 32], number: u64) -> BoxChange {
    put(SEEN, hash, number.to_be_bytes())
}

pub(super) fn not_seen(hash: &[u8; 32]) -> BoxChange {
    delete(SEEN, hash)
}
