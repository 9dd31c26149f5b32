//! A copy of a store in one file, whatever its engine.
//!
//! ```text
//! file     = "shoal mailboxes\n" (16) version (2) record* trailer
//! record   = "M" key (32) is_closed (1) known (1) generation highest bits refused stream created used next_entry
//!            freed_step freed (8 each)
//!          | "S" mailbox (32) secret (32) size (8)
//!          | "D" mailbox (32) drop (32) is_revoked (1) freed_step freed (8 each)
//!          | "E" mailbox (32) drop (32) message (16) expires (8) entry (8) blob (1572)
//!          | "R" mailbox (32) drop (32) message (16) expires (8) entry (8)
//!          | "T" name of a token that was spent (32) expires (8)
//! trailer  = "." mailboxes sets drops entries remembered spent (8 each) checksum (32)
//! ```
//!
//! Numbers are big-endian, times are microseconds since 1970. All `M` come first, then all `S`, then all `D`, then `E`
//! and `R` together, then all `T`, each in the order in which the rows were made, which an importing store keeps; `S` and `D` mailbox by mailbox. There is a `D` for
//! each drop id that was used or revoked; the other ids follow from their sets. The checksum is
//! BLAKE2b-256 of everything before it. A file ends with its checksum. One store has one copy, byte for byte.

use std::fmt;
use std::io::{self, Read, Write};

use blake2::{Blake2b256, Digest};
use thiserror::Error;

use super::OfflineStore;
use super::record::{self, MOST_BYTES, Record};
use crate::StoreError;

const MAGIC: &[u8; 16] = b"shoal mailboxes\n";
/// Grows with every change of the format.
const VERSION: u16 = 2;
const TRAILER: u8 = b'.';
const TRAILER_BYTES: usize = 6 * 8 + 32;

/// How many rows a copy has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Mailboxes.
    pub mailboxes: u64,
    /// Sets of drop ids.
    pub sets: u64,
    /// Drop ids that were used or revoked.
    pub drops: u64,
    /// Entries that wait.
    pub entries: u64,
    /// Names of acknowledged entries.
    pub remembered: u64,
    /// Names of tokens that were spent.
    pub spent: u64,
}

impl Copied {
    /// All of them.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.mailboxes + self.sets + self.drops + self.entries + self.remembered + self.spent
    }

    /// Counts a record. Gives where in a copy it stands: records of a lower place come first.
    const fn count(&mut self, record: &Record) -> u8 {
        let (count, place) = match record {
            Record::Mailbox(_) => (&mut self.mailboxes, 0),
            Record::Set(_) => (&mut self.sets, 1),
            Record::Drop(_) => (&mut self.drops, 2),
            Record::Entry(row) if row.blob.is_some() => (&mut self.entries, 3),
            Record::Entry(_) => (&mut self.remembered, 3),
            Record::Spent(_) => (&mut self.spent, 4),
        };
        *count += 1;
        place
    }

    const fn numbers(&self) -> [u64; 6] {
        [
            self.mailboxes,
            self.sets,
            self.drops,
            self.entries,
            self.remembered,
            self.spent,
        ]
    }
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [mailboxes, sets, drops, entries, remembered, spent] = self.numbers();
        write!(
            f,
            "{mailboxes} mailboxes, {sets} sets of drop ids, {drops} drop ids in use, {entries} entries, {remembered} names of acknowledged ones, \
             {spent} of spent tokens"
        )
    }
}

/// Why a store was not copied.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The copy can't be written.
    #[error("the copy can't be written ({0})")]
    Write(io::Error),
    /// The copy can't be read.
    #[error("the copy can't be read ({0})")]
    Read(io::Error),
    /// It is something else.
    #[error(
        "the file is no copy of a mailbox store: name one that `shoal provider store export` wrote"
    )]
    Foreign,
    /// Another release wrote it.
    #[error(
        "the copy has format version {found}, and this release knows {VERSION}: import it with the release that wrote it, \
         or a newer one, and export it there again"
    )]
    Version {
        /// The version in the file.
        found: u16,
    },
    /// It ends too early.
    #[error("the copy is cut off: it ends without its checksum; copy the file again")]
    Cut,
    /// It is not as it was written.
    #[error("the copy is damaged ({0}): copy the file again, or export it again")]
    Damaged(&'static str),
    /// The checksum is right, and the rows do not hold together: they were exported from a damaged store.
    #[error(
        "the rows of the copy contradict each other ({0}): verify the store that it was exported from"
    )]
    Contradiction(String),
    /// The store has something in it already.
    #[error(
        "the store is not empty: a copy is imported into an empty one only; name another database, or move this one \
         away together with its -wal file (in PostgreSQL name another schema)"
    )]
    NotEmpty,
}

/// Writes one copy of all that a store holds.
///
/// # Errors
/// [`CopyError::Store`] and [`CopyError::Write`]; what was written until then is no copy.
pub fn export(
    store: &dyn OfflineStore,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
) -> Result<Copied, CopyError> {
    let mut writer = Writer {
        out,
        hash: Blake2b256::new(),
    };
    writer.write(MAGIC)?;
    writer.write(&VERSION.to_be_bytes())?;
    let mut copied = Copied::default();
    let mut bytes = Vec::with_capacity(1 + MOST_BYTES);
    store.read(&mut |record| {
        copied.count(record);
        bytes.clear();
        record.encode(&mut bytes);
        writer.write(&bytes)?;
        progress(copied.rows());
        Ok(())
    })?;
    writer.write(&[TRAILER])?;
    for number in copied.numbers() {
        writer.write(&number.to_be_bytes())?;
    }
    let checksum = writer.hash.finalize();
    writer.out.write_all(&checksum).map_err(CopyError::Write)?;
    writer.out.flush().map_err(CopyError::Write)?;
    Ok(copied)
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    hash: Blake2b256,
}

impl Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), CopyError> {
        self.hash.update(bytes);
        self.out.write_all(bytes).map_err(CopyError::Write)
    }
}

/// Fills an empty store from a copy. Nothing is in it unless the whole copy is sound: its order, its counts, its
/// checksum, and that its rows hold together.
///
/// # Errors
/// [`CopyError`]; the store is empty as before.
pub fn import(
    store: &mut dyn OfflineStore,
    from: &mut dyn Read,
    progress: &mut dyn FnMut(u64),
) -> Result<Copied, CopyError> {
    let mut reader = Reader::start(from)?;
    store.fill(&mut || {
        let record = reader.next()?;
        progress(reader.copied.rows());
        Ok(record)
    })?;
    Ok(reader.copied)
}

struct Reader<'a> {
    from: &'a mut dyn Read,
    hash: Blake2b256,
    copied: Copied,
    place: u8,
}

impl<'a> Reader<'a> {
    fn start(from: &'a mut dyn Read) -> Result<Self, CopyError> {
        let mut reader = Self {
            from,
            hash: Blake2b256::new(),
            copied: Copied::default(),
            place: 0,
        };
        let foreign = |error| match error {
            CopyError::Cut => CopyError::Foreign,
            other => other,
        };
        if reader.array().map_err(foreign)? != *MAGIC {
            return Err(CopyError::Foreign);
        }
        match u16::from_be_bytes(reader.array()?) {
            VERSION => Ok(reader),
            found => Err(CopyError::Version { found }),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), CopyError> {
        self.from
            .read_exact(bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => CopyError::Cut,
                _ => CopyError::Read(error),
            })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CopyError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        self.hash.update(bytes);
        Ok(bytes)
    }

    /// The next record; none once the whole copy has been found as it was written.
    fn next(&mut self) -> Result<Option<Record>, CopyError> {
        let [kind] = self.array()?;
        if kind == TRAILER {
            return self.end().map(|()| None);
        }
        let length = record::length(kind).ok_or(CopyError::Damaged("a record of no kind"))?;
        let mut bytes = [0; MOST_BYTES];
        let bytes = bytes
            .get_mut(..length)
            .ok_or(CopyError::Damaged("a record of no length"))?;
        self.fill(bytes)?;
        self.hash.update(&*bytes);
        let record = Record::decode(kind, bytes)
            .map_err(|_| CopyError::Damaged("a record that was never written"))?;
        let place = self.copied.count(&record);
        if place < self.place {
            return Err(CopyError::Damaged("records out of order"));
        }
        self.place = place;
        Ok(Some(record))
    }

    fn end(&mut self) -> Result<(), CopyError> {
        let mut rest = [0; TRAILER_BYTES];
        self.fill(&mut rest)?;
        let (counts, checksum) = rest.split_at(TRAILER_BYTES - 32);
        self.hash.update(counts);
        if *self.hash.finalize_reset() != *checksum {
            return Err(CopyError::Damaged("its checksum is another"));
        }
        let found = self.copied.numbers().map(u64::to_be_bytes);
        if found.as_flattened() != counts {
            return Err(CopyError::Damaged("rows are missing"));
        }
        match self.from.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(CopyError::Damaged("something follows on its end")),
            Err(error) => Err(CopyError::Read(error)),
        }
    }
}
