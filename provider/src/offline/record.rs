//! One row of a store, whatever its engine, and its bytes in a copy.

use shoal_packet::command::{Blob, DropSet, SetSize};
use shoal_proto::size::BLOB_BYTES;
use shoal_proto::{DropId, MailboxId, MessageId, Time};

use crate::Window;
use crate::store::{EntryId, Freed, SpentToken};
use crate::window::Attended;

/// One row of a store. How many entries there are is not in it: who takes rows counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record {
    /// A mailbox.
    Mailbox(MailboxRecord),
    /// A set of drop ids of a mailbox.
    Set(SetRecord),
    /// A drop id of a mailbox that was used, or revoked.
    Drop(DropRecord),
    /// An entry that waits, or of which only the name is remembered.
    Entry(EntryRecord),
    /// A token that was spent.
    Spent(SpentToken),
}

/// A mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxRecord {
    pub(crate) key: MailboxId,
    pub(crate) attended: Option<Attended>,
    pub(crate) closed: bool,
    pub(crate) created: Time,
    pub(crate) used: Time,
    pub(crate) next_entry: EntryId,
    pub(crate) freed: Freed,
}

/// A set of drop ids of a mailbox. The ids follow from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetRecord {
    pub(crate) mailbox: MailboxId,
    pub(crate) set: DropSet,
}

/// A drop id of a mailbox that was used, or revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropRecord {
    pub(crate) mailbox: MailboxId,
    pub(crate) key: DropId,
    pub(crate) revoked: bool,
    pub(crate) freed: Freed,
}

/// An entry under a drop id of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRecord {
    pub(crate) mailbox: MailboxId,
    pub(crate) drop: DropId,
    pub(crate) message: MessageId,
    pub(crate) expires: Time,
    pub(crate) entry: EntryId,
    /// None once it was acknowledged.
    pub(crate) blob: Option<Box<Blob>>,
}

/// Bytes that are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRecord;

const MAILBOX: u8 = b'M';
const SET: u8 = b'S';
const DROP: u8 = b'D';
const ENTRY: u8 = b'E';
const REMEMBERED: u8 = b'R';
const SPENT: u8 = b'T';

const MAILBOX_BYTES: usize = 32 + 1 + 1 + 10 * 8;
const SET_BYTES: usize = 32 + 32 + 8;
const DROP_BYTES: usize = 32 + 32 + 1 + 2 * 8;
const NAME_BYTES: usize = 32 + 32 + 16 + 2 * 8;
const SPENT_BYTES: usize = 32 + 8;
const ENTRY_RECORD_BYTES: usize = NAME_BYTES + BLOB_BYTES;
/// Of the longest.
pub(crate) const MOST_BYTES: usize = ENTRY_RECORD_BYTES;

/// How many bytes follow on this first one; none if no record begins with it.
pub(crate) const fn length(kind: u8) -> Option<usize> {
    match kind {
        MAILBOX => Some(MAILBOX_BYTES),
        SET => Some(SET_BYTES),
        DROP => Some(DROP_BYTES),
        ENTRY => Some(ENTRY_RECORD_BYTES),
        REMEMBERED => Some(NAME_BYTES),
        SPENT => Some(SPENT_BYTES),
        _ => None,
    }
}

impl Record {
    /// Appends its bytes: what kind it is, and its fields in the order of the format.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Mailbox(row) => {
                out.push(MAILBOX);
                out.extend(row.key.as_bytes());
                out.push(u8::from(row.closed));
                out.push(u8::from(row.attended.is_some()));
                let of = |field: fn(&Attended) -> u64| row.attended.as_ref().map_or(0, field);
                numbers(
                    out,
                    [
                        of(|it| it.generation),
                        of(|it| it.window.highest()),
                        of(|it| it.window.bits()),
                        of(|it| it.window.refused()),
                        of(|it| it.stream),
                        row.created.as_micros(),
                        row.used.as_micros(),
                        row.next_entry.number(),
                        row.freed.parts().0,
                        row.freed.parts().1,
                    ],
                );
            }
            Self::Set(row) => {
                out.push(SET);
                out.extend(row.mailbox.as_bytes());
                out.extend(row.set.secret());
                numbers(out, [row.set.size().count().into()]);
            }
            Self::Drop(row) => {
                out.push(DROP);
                out.extend(row.mailbox.as_bytes());
                out.extend(row.key.as_bytes());
                out.push(u8::from(row.revoked));
                numbers(out, [row.freed.parts().0, row.freed.parts().1]);
            }
            Self::Entry(row) => {
                out.push(match row.blob {
                    Some(_) => ENTRY,
                    None => REMEMBERED,
                });
                out.extend(row.mailbox.as_bytes());
                out.extend(row.drop.as_bytes());
                out.extend(row.message.as_bytes());
                numbers(out, [row.expires.as_micros(), row.entry.number()]);
                if let Some(blob) = &row.blob {
                    out.extend(blob.as_bytes());
                }
            }
            Self::Spent(token) => {
                out.push(SPENT);
                out.extend(token.name);
                numbers(out, [token.expires.as_micros()]);
            }
        }
    }

    /// The record of a kind and the bytes after it, as many as [`length`] says. What it gives encodes to the same.
    pub(crate) fn decode(kind: u8, bytes: &[u8]) -> Result<Self, NoRecord> {
        let mut from = Reader(bytes);
        let record = match kind {
            MAILBOX => Self::Mailbox(MailboxRecord {
                key: MailboxId::new(from.array()?),
                closed: from.flag()?,
                attended: from.attended()?,
                created: from.time()?,
                used: from.time()?,
                next_entry: EntryId::new(from.number()?),
                freed: from.freed()?,
            }),
            SET => Self::Set(SetRecord {
                mailbox: MailboxId::new(from.array()?),
                set: from.set()?,
            }),
            DROP => Self::Drop(DropRecord {
                mailbox: MailboxId::new(from.array()?),
                key: DropId::new(from.array()?),
                revoked: from.flag()?,
                freed: from.freed()?,
            }),
            ENTRY | REMEMBERED => Self::Entry(EntryRecord {
                mailbox: MailboxId::new(from.array()?),
                drop: DropId::new(from.array()?),
                message: MessageId::new(from.array()?),
                expires: from.time()?,
                entry: EntryId::new(from.number()?),
                blob: match kind {
                    ENTRY => Some(from.blob()?),
                    _ => None,
                },
            }),
            SPENT => Self::Spent(SpentToken {
                name: from.array()?,
                expires: from.time()?,
            }),
            _ => return Err(NoRecord),
        };
        match from.0 {
            [] => Ok(record),
            _ => Err(NoRecord),
        }
    }
}

fn numbers<const N: usize>(out: &mut Vec<u8>, numbers: [u64; N]) {
    for number in numbers {
        out.extend(number.to_be_bytes());
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], NoRecord> {
        let (first, rest) = self.0.split_first_chunk().ok_or(NoRecord)?;
        self.0 = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, NoRecord> {
        self.array().map(u64::from_be_bytes)
    }

    fn flag(&mut self) -> Result<bool, NoRecord> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(NoRecord),
        }
    }

    fn time(&mut self) -> Result<Time, NoRecord> {
        self.number().map(Time::from_micros)
    }

    fn freed(&mut self) -> Result<Freed, NoRecord> {
        Ok(Freed::from_parts(self.number()?, self.number()?))
    }

    fn attended(&mut self) -> Result<Option<Attended>, NoRecord> {
        let known = self.flag()?;
        let generation = self.number()?;
        let parts = [self.number()?, self.number()?, self.number()?];
        let stream = self.number()?;
        match known {
            true => Ok(Some(Attended {
                generation,
                window: Window::from_parts(parts[0], parts[1], parts[2]),
                stream,
            })),
            false if generation == 0 && parts == [0; 3] && stream == 0 => Ok(None),
            false => Err(NoRecord),
        }
    }

    fn set(&mut self) -> Result<DropSet, NoRecord> {
        let secret = self.array()?;
        let size = match self.number()? {
            64 => SetSize::Small,
            256 => SetSize::Large,
            _ => return Err(NoRecord),
        };
        Ok(DropSet::new(secret, size))
    }

    fn blob(&mut self) -> Result<Box<Blob>, NoRecord> {
        let (blob, rest) = self.0.split_at_checked(BLOB_BYTES).ok_or(NoRecord)?;
        self.0 = rest;
        Blob::from_bytes(blob).map(Box::new).map_err(|_| NoRecord)
    }
}
