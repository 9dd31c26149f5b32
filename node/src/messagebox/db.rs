//! Boxes, identities and what they map to, in one SQLite file.

mod identities;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use sha2::{Digest as _, Sha256};
use shoal_client::PeerKey;
use shoal_proto::Time;
use zeroize::Zeroizing;

pub(super) use self::identities::Mapped;
use self::identities::claim;
use super::auth::{IdentityKey, Secret};
use super::parcel::Parcel;
use crate::state::{StateError, explain, is_new, open_private};

/// Name of the message box's database in the client's directory.
pub(crate) use crate::state::MESSAGEBOX_FILE as FILE;

/// Grows with every change of a table.
const LAYOUT: i64 = 1;

const ADVICE: &str = "restore it from a backup, or move it away to start with empty message boxes and another identity \
                      of the daemon's";

const SCHEMA: &str = "
CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE allowed (identity BLOB PRIMARY KEY, adopted INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE mapped (
    identity BLOB PRIMARY KEY, contact BLOB NOT NULL, by_user INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX mapped_contact ON mapped (contact);
CREATE TABLE messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient BLOB NOT NULL, box TEXT NOT NULL, sender BLOB NOT NULL, id TEXT NOT NULL,
    body TEXT NOT NULL, contact BLOB NOT NULL, sent INTEGER NOT NULL, stored INTEGER NOT NULL,
    shown INTEGER NOT NULL DEFAULT 0,
    UNIQUE (recipient, sender, id)
) STRICT;
CREATE INDEX messages_box ON messages (recipient, box, number);
CREATE INDEX messages_id ON messages (recipient, id, number);
CREATE TABLE seen (number INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE) STRICT;
";

/// How much fits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Boxes of all recipients together.
    pub(super) boxes: usize,
    /// Messages in one box.
    pub(super) messages: u64,
    /// Bytes of all messages.
    pub(super) bytes: u64,
    /// Of these, bytes of what one contact has sent.
    pub(super) bytes_of_one: u64,
    /// Message ids that are remembered after their messages.
    pub(super) seen: i64,
    /// Identities that a contact may claim.
    pub(super) claims: i64,
    /// Identities that the user may allow, and that he may map.
    pub(super) identities: i64,
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

/// What a message takes besides what it says.
const OVERHEAD: u64 = 256;

/// Most bytes of bodies in one list.
const PAGE_BYTES: usize = 8 << 20;
/// Most messages in one list.
const PAGE: usize = 1000;

/// What became of a message that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is on disk, under this number.
    Stored(i64),
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
    path: PathBuf,
    connection: Connection,
    bounds: Bounds,
    /// How full each box is, and what there is of each contact (of the own user under zeros), so that nothing is
    /// counted for each message.
    boxes: BTreeMap<(IdentityKey, String), u64>,
    of_contacts: BTreeMap<[u8; 32], u64>,
}

/// Under whom messages between the user's own identities count.
const OWN: [u8; 32] = [0; 32];

impl BoxDb {
    /// Opens the database in this directory, or makes it.
    pub(super) fn open(dir: &Path, bounds: Bounds) -> Result<Self, StateError> {
        let path = dir.join(FILE);
        let connection = open_private(&path, ADVICE)?;
        let mut db = Self {
            path,
            connection,
            bounds,
            boxes: BTreeMap::new(),
            of_contacts: BTreeMap::new(),
        };
        db.check_layout()?;
        db.count().map_err(|error| db.explain(error))?;
        Ok(db)
    }

    fn explain(&self, error: rusqlite::Error) -> StateError {
        explain(&self.path, ADVICE, error)
    }

    fn corrupt(&self, what: &str) -> StateError {
        StateError::Corrupt {
            path: self.path.clone(),
            what: what.to_owned(),
            advice: ADVICE,
        }
    }

    fn check_layout(&mut self) -> Result<(), StateError> {
        if !is_new(&self.connection, &self.path, LAYOUT, ADVICE)? {
            return Ok(());
        }
        let make = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "user_version", LAYOUT)?;
            transaction.commit()
        };
        make(&mut self.connection).map_err(|error| self.explain(error))
    }

    fn count(&mut self) -> rusqlite::Result<()> {
        let mut boxes = self
            .connection
            .prepare("SELECT recipient, box, COUNT(*) FROM messages GROUP BY recipient, box")?;
        let rows = boxes.query_map([], |row| {
            Ok(((identity(row, 0)?, row.get(1)?), count(row, 2)?))
        })?;
        self.boxes = rows.collect::<rusqlite::Result<_>>()?;
        let query =
            "SELECT contact, SUM(LENGTH(CAST(body AS BLOB)) + ?1) FROM messages GROUP BY contact";
        let mut bytes = self.connection.prepare(query)?;
        let rows = bytes.query_map([signed(OVERHEAD)], |row| Ok((row.get(0)?, count(row, 1)?)))?;
        self.of_contacts = rows.collect::<rusqlite::Result<_>>()?;
        Ok(())
    }

    /// The daemon's own secret; it is drawn and kept if there is none.
    pub(super) fn secret(&mut self, draw: impl FnOnce() -> Secret) -> Result<Secret, StateError> {
        let query = "SELECT value FROM settings WHERE name = 'secret'";
        let found: Result<Option<[u8; 32]>, _> = self
            .connection
            .query_row(query, [], |row| row.get(0))
            .optional();
        if let Some(found) = found.map_err(|error| self.explain(error))? {
            let found = Zeroizing::new(found);
            return Secret::from_bytes(&found)
                .map_err(|_| self.corrupt("the daemon's identity key is no key"));
        }
        let secret = draw();
        let kept = self.connection.execute(
            "INSERT INTO settings VALUES ('secret', ?1)",
            params![secret.to_bytes().as_slice()],
        );
        kept.map_err(|error| self.explain(error))?;
        Ok(secret)
    }

    /// A message of a contact's (or of the user's own, for another own identity) is stored, or it is said why not. When
    /// this returns, it survives a crash.
    pub(super) fn receive(
        &mut self,
        contact: Option<&PeerKey>,
        parcel: &Parcel,
        (sent, now): (Time, Time),
    ) -> Result<Outcome, StateError> {
        let from = contact.map_or(OWN, |contact| *contact.as_bytes());
        let key = (parcel.recipient, parcel.name.clone());
        let bytes = parcel.body.len() as u64 + OVERHEAD;
        let in_box = self.boxes.get(&key).copied();
        let of_it = self.of_contacts.get(&from).copied().unwrap_or(0);
        let bounds = self.bounds;
        let fits = in_box.unwrap_or(0) < bounds.messages
            && (in_box.is_some() || self.boxes.len() < bounds.boxes)
            && of_it + bytes <= bounds.bytes_of_one
            && self.of_contacts.values().sum::<u64>() + bytes <= bounds.bytes;
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            if let Some(contact) = contact
                && let Some(refused) = claim(
                    &transaction,
                    &parcel.recipient,
                    &parcel.sender,
                    contact,
                    bounds.claims,
                )?
            {
                return Ok(refused);
            }
            if !remember(&transaction, &parcel.hash(false), bounds.seen)? {
                return Ok(Outcome::Duplicate);
            }
            if !fits {
                return Ok(Outcome::Full); // And nothing is remembered.
            }
            let insert =
                "INSERT INTO messages (recipient, box, sender, id, body, contact, sent, stored)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING";
            let (recipient, sender) = (parcel.recipient.as_bytes(), parcel.sender.as_bytes());
            let (sent, now) = (signed(sent.as_micros()), signed(now.as_micros()));
            let row = params![
                recipient,
                parcel.name,
                sender,
                parcel.id,
                parcel.body,
                from,
                sent,
                now
            ];
            if transaction.prepare_cached(insert)?.execute(row)? == 0 {
                return Ok(Outcome::Duplicate); // Its id was forgotten, and it is still in a box.
            }
            let number = transaction.last_insert_rowid();
            transaction.commit()?;
            Ok(Outcome::Stored(number))
        };
        let outcome = write(&mut self.connection).map_err(|error| self.explain(error))?;
        if let Outcome::Stored(_) = outcome {
            *self.boxes.entry(key).or_default() += 1;
            *self.of_contacts.entry(from).or_default() += bytes;
        }
        Ok(outcome)
    }

    /// Whether a message like this was sent from here.
    pub(super) fn was_sent(&self, parcel: &Parcel) -> Result<bool, StateError> {
        let query = "SELECT 1 FROM seen WHERE hash = ?1";
        let found = self
            .connection
            .query_row(query, [parcel.hash(true)], |_| Ok(()))
            .optional();
        found
            .map(|it| it.is_some())
            .map_err(|error| self.explain(error))
    }

    /// That a message was sent from here is remembered.
    pub(super) fn sent(&mut self, parcel: &Parcel) -> Result<(), StateError> {
        let most = self.bounds.seen;
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            remember(&transaction, &parcel.hash(true), most)?;
            transaction.commit()
        };
        write(&mut self.connection).map_err(|error| self.explain(error))
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
        let read = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            let query = "SELECT number, id, sender, body, sent, stored, shown FROM messages AS it
                WHERE recipient = ?1 AND box = ?2 AND NOT EXISTS (SELECT 1 FROM messages AS before
                    WHERE before.recipient = ?1 AND before.id = it.id AND before.number < it.number)
                ORDER BY number";
            let (mut found, mut bytes, mut new) = (Vec::new(), 0, Vec::new());
            {
                let mut statement = transaction.prepare_cached(query)?;
                let mut rows = statement.query(params![recipient.as_bytes(), name])?;
                while let Some(row) = rows.next()? {
                    let message = BoxMessage {
                        id: row.get(1)?,
                        sender: identity(row, 2)?,
                        body: row.get(3)?,
                        sent: time(row, 4)?,
                        stored: time(row, 5)?,
                    };
                    bytes += message.body.len();
                    if !found.is_empty() && (bytes > PAGE_BYTES || found.len() >= PAGE) {
                        break;
                    }
                    if !row.get::<_, bool>(6)? {
                        new.push(row.get::<_, i64>(0)?);
                    }
                    found.push(message);
                }
            }
            if mark && !new.is_empty() {
                for number in new {
                    transaction
                        .prepare_cached("UPDATE messages SET shown = 1 WHERE number = ?1")?
                        .execute([number])?;
                }
                transaction.commit()?;
            }
            Ok(found)
        };
        read(&mut self.connection).map_err(|error| self.explain(error))
    }

    /// A message is about to be told at once. False if an older one has its id: it is listed later.
    pub(super) fn show(&mut self, number: i64) -> Result<bool, StateError> {
        let update = "UPDATE messages SET shown = 1 WHERE number = ?1 AND NOT EXISTS (
            SELECT 1 FROM messages AS before WHERE before.number < ?1
                AND before.recipient = messages.recipient AND before.id = messages.id)";
        let shown = self.connection.execute(update, [number]);
        shown
            .map(|shown| shown > 0)
            .map_err(|error| self.explain(error))
    }

    /// The user has these: they are deleted. Gives how many there were.
    pub(super) fn acknowledge(
        &mut self,
        recipient: &IdentityKey,
        ids: &[String],
    ) -> Result<usize, StateError> {
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            let mut gone = Vec::new();
            for id in ids {
                let delete = "DELETE FROM messages WHERE recipient = ?1 AND id = ?2 AND shown
                    RETURNING box, contact, LENGTH(CAST(body AS BLOB))";
                let mut statement = transaction.prepare_cached(delete)?;
                let mut rows = statement.query(params![recipient.as_bytes(), id])?;
                while let Some(row) = rows.next()? {
                    gone.push((
                        row.get::<_, String>(0)?,
                        row.get::<_, [u8; 32]>(1)?,
                        count(row, 2)?,
                    ));
                }
            }
            transaction.commit()?;
            Ok(gone)
        };
        let gone = write(&mut self.connection).map_err(|error| self.explain(error))?;
        for (name, contact, bytes) in &gone {
            let key = (*recipient, name.clone());
            take_away(&mut self.boxes, key, 1);
            take_away(&mut self.of_contacts, *contact, bytes + OVERHEAD);
        }
        Ok(gone.len())
    }

    /// All boxes.
    pub(super) fn boxes(&self) -> Vec<BoxSize> {
        let boxes = self
            .boxes
            .iter()
            .map(|((recipient, name), messages)| BoxSize {
                recipient: *recipient,
                name: name.clone(),
                messages: *messages,
            });
        boxes.collect()
    }

    /// How much there is.
    pub(super) fn size(&self) -> Size {
        Size {
            messages: self.boxes.values().sum(),
            bytes: self.of_contacts.values().sum(),
        }
    }
}

/// Remembers a message, and forgets the oldest. False if it is known.
fn remember(transaction: &Transaction<'_>, hash: &[u8; 32], most: i64) -> rusqlite::Result<bool> {
    let insert = "INSERT INTO seen (hash) VALUES (?1) ON CONFLICT DO NOTHING";
    if transaction.prepare_cached(insert)?.execute([hash])? == 0 {
        return Ok(false);
    }
    let number = transaction.last_insert_rowid();
    transaction
        .prepare_cached("DELETE FROM seen WHERE number <= ?1")?
        .execute([number - most])?;
    Ok(true)
}

fn take_away<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K, by: u64) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(by);
        if *count == 0 {
            counts.remove(&key);
        }
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

fn identity(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<IdentityKey> {
    IdentityKey::new(row.get(at)?).map_err(|_| strange(at))
}

fn time(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Time> {
    count(row, at).map(Time::from_micros)
}

fn count(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(at)?;
    u64::try_from(value).map_err(|_| strange(at))
}

/// SQLite's numbers are signed; times and counts never come near the end.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn strange(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(
        column,
        "of another kind".to_owned(),
        rusqlite::types::Type::Blob,
    )
}

#[cfg(test)]
pub(super) mod tests;
