//! Boxes, identities and what they map to: rows on disk, under the client's passphrase if there is one, and in memory what
//! is needed to find them. Bodies are on disk alone.

mod identities;
mod index;
mod outgoing;
mod rows;

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use shoal_client::PeerKey;
use shoal_proto::Time;

pub(super) use self::identities::Mapped;
use self::index::{Index, Seen};
use self::outgoing::Outgoing;
pub(super) use self::outgoing::To;
use self::rows::{Contact, Head, Leaving, Stored};
use super::auth::{IdentityKey, Secret};
use super::parcel::Parcel;
use crate::state::{BoxChange, BoxRows, StateError};

/// How much fits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Boxes of all recipients together.
    pub(super) boxes: usize,
    /// Messages in one box.
    pub(super) messages: usize,
    /// Bytes of all messages.
    pub(super) bytes: u64,
    /// Of these, bytes of what one contact has sent.
    pub(super) bytes_of_one: u64,
    /// Message ids that are remembered after their messages.
    pub(super) seen: usize,
    /// Identities that a contact may claim.
    pub(super) claims: usize,
    /// Identities that the user may allow, and that they may map.
    pub(super) identities: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            boxes: 1000,
            messages: 10_000,
            bytes: 256 << 20,
            bytes_of_one: 64 << 20,
            seen: 100_000,
            claims: 64,
            identities: 10_000,
        }
    }
}

/// What a message counts for besides what it says: its rows, and what of it is in memory. So there are at most 65,536.
const OVERHEAD: u64 = 4096;

/// Most bytes of bodies in one list.
const PAGE_BYTES: usize = 8 << 20;
/// Most messages in one list.
const PAGE: usize = 1000;

/// What became of a message that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is on disk, under this number.
    Stored(u64),
    /// It is here already, or was.
    Duplicate,
    /// There is no room for it now.
    Full,
    /// Its sender's identity key is somebody else's: another contact's, or the user's own.
    NotTheirs,
    /// Its recipient is nobody who is allowed here.
    NobodyHere,
}

/// A message in a box. It holds a text, so it has no Debug.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct BoxMessage {
    pub(super) id: String,
    pub(super) sender: IdentityKey,
    /// JSON: `{"message":…}`.
    pub(super) body: String,
    pub(super) sent: Time,
    pub(super) stored: Time,
}

/// A box and how full it is.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct BoxSize {
    pub(super) recipient: IdentityKey,
    pub(super) name: String,
    pub(super) messages: u64,
}

/// What there is in figures.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

/// The database.
pub(super) struct BoxDb {
    rows: BoxRows,
    bounds: Bounds,
    secret: Option<Secret>,
    /// Who may ask, and whether each was adopted.
    allowed: BTreeMap<IdentityKey, bool>,
    mapped: BTreeMap<IdentityKey, Contact>,
    messages: Index,
    outgoing: Outgoing,
    seen: Seen,
}

/// Under whom messages between the user's own identities count.
const OWN: [u8; 32] = [0; 32];

/// What is to become of rows in one commit, and of what is in memory after it.
#[derive(Default)]
struct Batch {
    changes: Vec<BoxChange>,
    messages: Vec<(u64, Head)>,
    outgoing: Vec<(u64, Leaving)>,
    seen: Vec<([u8; 32], u64)>,
    claimed: Option<(IdentityKey, Contact)>,
}

impl BoxDb {
    /// What is in these rows.
    pub(super) fn open(rows: BoxRows, bounds: Bounds) -> Result<Self, StateError> {
        let mut db = Self {
            rows,
            bounds,
            secret: None,
            allowed: BTreeMap::new(),
            mapped: BTreeMap::new(),
            messages: Index::default(),
            outgoing: Outgoing::default(),
            seen: Seen::default(),
        };
        let Self {
            rows,
            secret,
            allowed,
            mapped,
            messages,
            outgoing,
            seen,
            ..
        } = &mut db;
        rows.load(&[rows::BODY, rows::PARCEL], |table, key, value| {
            let read = Stored::read(table, &key, &value);
            match read.ok_or_else(|| format!("a row of table `{table}` is none"))? {
                Stored::Secret(own) => *secret = Some(own),
                Stored::Allowed(identity, adopted) => drop(allowed.insert(identity, adopted)),
                Stored::Mapped(identity, contact) => drop(mapped.insert(identity, contact)),
                Stored::Message(number, head) => messages.put(number, head),
                Stored::Outgoing(number, leaving) => outgoing.put(number, leaving),
                Stored::Seen(hash, number) => seen.put(hash, number),
            }
            Ok(())
        })?;
        Ok(db)
    }

    /// The daemon's own secret, which is here no more then; it is drawn and kept if there is none.
    pub(super) fn secret(&mut self, draw: impl FnOnce() -> Secret) -> Result<Secret, StateError> {
        if let Some(secret) = self.secret.take() {
            return Ok(secret);
        }
        let secret = draw();
        self.rows.apply(&[rows::secret(&secret)])?;
        Ok(secret)
    }

    /// A message of a contact's is stored, or it is said why not. When this returns, it survives a crash.
    pub(super) fn receive(
        &mut self,
        contact: &PeerKey,
        parcel: &Parcel,
        times: (Time, Time),
    ) -> Result<Outcome, StateError> {
        let mut batch = Batch::default();
        let outcome = self.add(&mut batch, Some(contact), parcel, times);
        if let Outcome::Stored(_) = outcome {
            self.commit(batch)?;
        }
        Ok(outcome)
    }

    /// A message that is to be stored, of a contact's or of the user's own, for another own identity. What is in the
    /// batch is good only if it is.
    fn add(
        &self,
        batch: &mut Batch,
        contact: Option<&PeerKey>,
        parcel: &Parcel,
        (sent, stored): (Time, Time),
    ) -> Outcome {
        if let Some(contact) = contact {
            let who = (&parcel.recipient, &parcel.sender);
            if let Some(refused) = self.claim(batch, who, contact) {
                return refused;
            }
        }
        let head = Head {
            recipient: parcel.recipient,
            sender: parcel.sender,
            name: parcel.name.clone(),
            id: parcel.id.clone(),
            contact: contact.map_or(OWN, |contact| *contact.as_bytes()),
            sent,
            stored,
            bytes: u32::try_from(parcel.body.len()).unwrap_or(u32::MAX),
            shown: false,
        };
        let hash = parcel.hash(false);
        // Its id may be forgotten, and it still in a box.
        if self.knows(batch, &hash) || self.messages.has(&head) {
            return Outcome::Duplicate;
        }
        if !self.messages.fits(&head, &self.bounds, &batch.messages) {
            return Outcome::Full; // And nothing is remembered.
        }
        let number = self.messages.next() + batch.messages.len() as u64;
        let Some(change) = rows::message(number, &head) else {
            return Outcome::Full; // Its names were bounded when it was read.
        };
        self.remember(batch, hash);
        batch
            .changes
            .extend([change, rows::body(number, &parcel.body)]);
        batch.messages.push((number, head));
        Outcome::Stored(number)
    }

    /// Whether it is remembered, or about to be.
    fn knows(&self, batch: &Batch, hash: &[u8; 32]) -> bool {
        self.seen.has(hash) || batch.seen.iter().any(|(it, _)| it == hash)
    }

    fn remember(&self, batch: &mut Batch, hash: [u8; 32]) {
        let number = self.seen.next() + batch.seen.len() as u64;
        batch.changes.push(rows::seen(&hash, number));
        batch.seen.push((hash, number));
    }

    /// Writes all of it, or nothing.
    fn commit(&mut self, mut batch: Batch) -> Result<(), StateError> {
        let forgotten = self.seen.too_many(self.bounds.seen, batch.seen.len());
        batch.changes.extend(forgotten.iter().map(rows::not_seen));
        self.rows.apply(&batch.changes)?;
        for (number, head) in batch.messages {
            self.messages.put(number, head);
        }
        for (number, leaving) in batch.outgoing {
            self.outgoing.put(number, leaving);
        }
        for hash in &forgotten {
            self.seen.remove(hash);
        }
        for (hash, number) in batch.seen {
            self.seen.put(hash, number);
        }
        self.mapped.extend(batch.claimed);
        Ok(())
    }

    /// Whether a message like this was sent from here.
    pub(super) fn was_sent(&self, parcel: &Parcel) -> bool {
        self.seen.has(&parcel.hash(true))
    }

    /// That a message was sent from here is remembered.
    pub(super) fn sent(&mut self, parcel: &Parcel) -> Result<(), StateError> {
        let (mut batch, hash) = (Batch::default(), parcel.hash(true));
        if !self.knows(&batch, &hash) {
            self.remember(&mut batch, hash);
        }
        self.commit(batch)
    }

    /// What is in a box, oldest first, as much as fits an answer. Of two messages with one id, by two senders, the
    /// first is given, and the other once that is acknowledged: clients know messages by their id alone. What is given
    /// can be acknowledged from then on.
    pub(super) fn list(
        &mut self,
        recipient: &IdentityKey,
        name: &str,
        mark: bool,
    ) -> Result<Vec<BoxMessage>, StateError> {
        let (mut found, mut bytes, mut new) = (Vec::new(), 0, Vec::new());
        for number in self.messages.in_box(*recipient, name) {
            let Some(head) = self.messages.head(number) else {
                continue;
            };
            bytes += head.bytes as usize;
            if !found.is_empty() && (bytes > PAGE_BYTES || found.len() >= PAGE) {
                break;
            }
            if !head.shown {
                new.push(number);
            }
            let body = self.rows.get(rows::BODY, &number.to_be_bytes())?;
            let body = body.and_then(|body| String::from_utf8(body.to_vec()).ok());
            found.push(BoxMessage {
                id: head.id.clone(),
                sender: head.sender,
                body: body.ok_or_else(|| self.rows.corrupt("what a message says is missing"))?,
                sent: head.sent,
                stored: head.stored,
            });
        }
        if mark {
            self.mark(&new)?;
        }
        Ok(found)
    }

    fn mark(&mut self, numbers: &[u64]) -> Result<(), StateError> {
        let changed = numbers.iter().filter_map(|number| {
            let head = self.messages.head(*number)?;
            let shown = Head {
                shown: true,
                ..head.clone()
            };
            rows::message(*number, &shown)
        });
        let changed = Vec::from_iter(changed);
        if !changed.is_empty() {
            self.rows.apply(&changed)?;
        }
        for number in numbers {
            self.messages.show(*number);
        }
        Ok(())
    }

    /// A message is about to be told at once. False if an older one has its id: it is listed later.
    pub(super) fn show(&mut self, number: u64) -> Result<bool, StateError> {
        if !self.messages.is_first(number) {
            return Ok(false);
        }
        self.mark(&[number])?;
        Ok(true)
    }

    /// The user has these: they are deleted, and on the disk no more. Gives how many there were.
    pub(super) fn acknowledge(
        &mut self,
        recipient: &IdentityKey,
        ids: &[String],
    ) -> Result<usize, StateError> {
        let numbers = ids
            .iter()
            .flat_map(|id| self.messages.with_id(*recipient, id));
        let shown = |number: &u64| self.messages.head(*number).is_some_and(|it| it.shown);
        let gone: std::collections::BTreeSet<u64> = numbers.filter(shown).collect();
        if gone.is_empty() {
            return Ok(0);
        }
        let changes = gone.iter().flat_map(|number| rows::no_message(*number));
        self.rows.apply(&Vec::from_iter(changes))?;
        for number in &gone {
            self.messages.remove(*number);
        }
        self.rows.forget()?;
        Ok(gone.len())
    }

    /// All boxes.
    pub(super) fn boxes(&self) -> Vec<BoxSize> {
        let boxes = self.messages.boxes();
        let boxes = boxes.map(|(recipient, name, messages)| BoxSize {
            recipient: *recipient,
            name: name.clone(),
            messages: messages as u64,
        });
        boxes.collect()
    }

    /// How much there is.
    pub(super) fn size(&self) -> Size {
        self.messages.size()
    }
}

impl Parcel {
    /// By what a message is known: its recipient, sender and id, and whether it went or came.
    pub(super) fn hash(&self, sent: bool) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update([u8::from(sent)]);
        hash.update(self.recipient.as_bytes());
        hash.update(self.sender.as_bytes());
        hash.update(self.id.as_bytes());
        hash.finalize().into()
    }
}

/// For fuzzing: takes bytes for a row.
#[cfg(any(test, fuzzing))]
pub(super) fn read_any(data: &[u8]) {
    let [table, length, rest @ ..] = data else {
        return;
    };
    let Some((key, value)) = rest.split_at_checked(usize::from(*length)) else {
        return;
    };
    let table = rows::TABLES[usize::from(*table) % rows::TABLES.len()];
    if let Some(Stored::Message(number, head)) = Stored::read(table, key, value) {
        let again = rows::message(number, &head).and_then(|it| it.value);
        assert!(again.is_some_and(|again| *again == value));
    }
}

#[cfg(test)]
pub(super) mod tests;
