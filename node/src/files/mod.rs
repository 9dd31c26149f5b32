//! Files to contacts and from them: cut into pieces that go as data of the client role's, as a message box's messages do.
//!
//! What is here decides, and is driven by who hosts it: it keeps no file, reads no clock and draws from what it is given.
//! `docs/files.md` says what it protects and what not.
//!
//! * [`outgoing`]: when a piece goes, and what becomes of it.
//! * [`incoming`]: what is taken of whom, and when they are told.
//! * [`piece`]: the layout of a piece.
//! * [`name`]: names that are safe here.
//! * [`row`]: what is kept of a file.

mod incoming;
mod name;
mod outgoing;
mod piece;
mod row;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest as _};
use rand::RngExt as _;
use rand_chacha::ChaCha20Rng;
use shoal_client::{Change, PeerKey, Row, Table};
use shoal_proto::{MessageId, Span, Time};
use zeroize::Zeroizing;

use self::row::FileRow;
use crate::control::protocol::{FileState, FileStatus};

pub(crate) use self::name::safe;
pub(crate) use self::outgoing::{Waits, check_name};
pub(crate) use self::piece::Cut;
pub(crate) use self::row::piece_key;

/// Pieces that go to a contact in an hour, and that are, or may be, at its mailbox and of which it has not spoken: of what
/// a mailbox keeps for one contact, with what was acknowledged in an hour, a fifth is then left for texts.
const HOURLY: usize = 6;
const HOUR: Span = Span::from_secs(3600);

/// Messages to one contact of which a copy may wait in the outbox, for a provider that is gone: a contact of whom one is
/// holds up no other's files.
const LINGERING: usize = 12;

/// What is said of a file whose contact has not said that it has what there is.
pub(crate) const SILENT: &str = "as much waits at the contact's mailbox as is to wait there: it goes on once the contact says that it \
                      has it, which it does within ten minutes when it is online, to who it has verified";

/// What is said of a file while the outbox is full.
pub(crate) const NO_ROOM: &str =
    "too much waits to be sent already: it goes on once some of that is stored";

/// What is said of a file of a newcomer's.
pub(crate) const NEWCOMER: &str = "its sender has come by an invitation for many, and is no contact yet: write to it or verify it, \
                        and have the file sent again";

/// What is said of a file that finds no room.
pub(crate) const FULL: &str =
    "there is no room: remove files that are here, and have it sent again";

/// Within what time a contact is told which of its pieces are here: drawn from a minute to ten.
const TOLD_SECS: std::ops::Range<u64> = 60..600;

/// How long before its time is over a message that is gone is held to have expired: the outbox has counted from a moment
/// earlier.
const DOUBT: Span = Span::from_secs(60);

/// A file's name here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId([u8; 16]);

impl FileId {
    /// Of what a contact sends under this id: no other contact can have it be the same.
    fn of_sender(contact: &PeerKey, id: &[u8; 16]) -> Self {
        let mut hash = Blake2b::<U16>::new();
        hash.update(contact.as_bytes());
        hash.update(id);
        Self(hash.finalize().into())
    }

    /// From base58; none if it is no id.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        let length = bs58::decode(text).onto(&mut bytes).ok()?;
        (length == bytes.len()).then_some(Self(bytes))
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(&self.0).into_string())
    }
}

impl fmt::Debug for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileId(..)")
    }
}

/// How much there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Files that are being sent, and bytes of these.
    pub(crate) sending: usize,
    pub(crate) sending_bytes: u64,
    /// Files of one contact that are here or come, and bytes of these.
    pub(crate) of_one: usize,
    pub(crate) of_one_bytes: u64,
    /// Files and bytes of all contacts together.
    pub(crate) of_all: usize,
    pub(crate) of_all_bytes: u64,
    /// Files that were refused and are told of: of one contact, and of all newcomers together, one of each.
    pub(crate) refused_of_one: usize,
    pub(crate) of_newcomers: usize,
    /// Files sent that are done with and remembered.
    pub(crate) remembered: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sending: 64,
            sending_bytes: 64 << 20,
            of_one: 64,
            of_one_bytes: 64 << 20,
            of_all: 1024,
            of_all_bytes: 256 << 20,
            refused_of_one: 8,
            of_newcomers: 32,
            remembered: 100,
        }
    }
}

/// The time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Of a clock that goes on steadily as long as this process runs: for what is waited for.
    pub(crate) steady: Time,
    /// The network's: for what is kept on disk.
    pub(crate) network: Time,
}

/// What files go by.
pub(crate) struct Terms {
    /// How long it takes to send a whole piece by the profile, with the second copy.
    pub(crate) span: Span,
    /// How long a client tries to send what is in its outbox.
    pub(crate) tried: Span,
    /// How long the network keeps what is sent.
    pub(crate) time_to_live: Span,
    pub(crate) limits: Limits,
}

/// What to do about a piece that came.
pub(crate) enum Arrival {
    /// Save this; then it is [`Files::kept`].
    Keep(FileId, u16, Vec<Change>),
    /// It is being saved: wait.
    Saving,
    /// It is here, or of no use: it is to be said to be read. With what is to be saved for it.
    Spare(Vec<Change>),
    /// The contact says what of this file is on its disk: that is to be saved, and it said to be read.
    Had(FileId, Vec<Change>),
}

/// A contact is to be told which pieces of a file are here.
pub(crate) struct Telling {
    pub(crate) id: FileId,
    pub(crate) to: PeerKey,
    pub(crate) data: Vec<u8>,
    /// How many they are.
    pub(crate) pieces: u16,
}

/// What follows once a piece is on disk.
pub(crate) struct Kept {
    /// These are to be said to be read.
    pub(crate) read: Vec<MessageId>,
    /// All pieces are here: they are to be joined, and it is to be told what came of it.
    pub(crate) whole: bool,
}

/// Why pieces of a file don't make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsound {
    /// They are not what the sender said.
    Damaged,
    /// This one is not there.
    Missing(u16),
}

/// All files.
pub(crate) struct Files {
    terms: Terms,
    rng: ChaCha20Rng,
    all: BTreeMap<FileId, FileRow>,
    /// Those that are being saved for the first time: nothing of them is sent.
    unsaved: BTreeSet<FileId>,
    /// The file of which the last piece was handed over: another one is next.
    served: FileId,
    /// What is being handed over.
    handing: Option<(FileId, u16)>,
    /// The outbox had no room the last time.
    no_room: bool,
    /// When a piece is handed over next.
    next: Time,
    /// Pieces that are being saved, and the messages that they came with.
    arriving: BTreeMap<(FileId, u16), Vec<MessageId>>,
    /// When contacts are told which pieces of a file are here.
    telling: BTreeMap<FileId, Time>,
    /// When those that come have been waited for long enough: no clock that was wrong when this process was not there counts.
    stalls: BTreeMap<FileId, Time>,
}

impl Files {
    /// With what an earlier run has stored; `has` says whether a piece is on disk.
    ///
    /// # Errors
    /// A row is damaged.
    pub(crate) fn restore(
        rows: &[Row],
        has: impl Fn(FileId, u16) -> bool,
        terms: Terms,
        (rng, now): (ChaCha20Rng, Now),
    ) -> Result<Self, &'static str> {
        let own = rows.iter().filter(|row| row.table == Table::File);
        let all =
            own.map(|row| FileRow::decode(row).ok_or("a row of the table file can't be read"));
        let mut files = Self {
            all: all.collect::<Result<_, _>>()?,
            terms,
            rng,
            unsaved: BTreeSet::new(),
            served: FileId([0; 16]),
            handing: None,
            no_room: false,
            next: now.steady,
            arriving: BTreeMap::new(),
            telling: BTreeMap::new(),
            stalls: BTreeMap::new(),
        };
        files.put_off(now);
        let ids: Vec<FileId> = files.all.keys().copied().collect();
        for id in ids {
            let Some(row) = files.all.get_mut(&id) else {
                continue;
            };
            row.clamp(now.network);
            if row.state == FileState::Receiving {
                // The row of another piece may have said so of one that could not be saved: that one comes again.
                let done: Vec<u16> = row.all_done().collect();
                for piece in done.into_iter().filter(|piece| !has(id, *piece)) {
                    row.set_done(now.network, piece, false);
                }
                files
                    .stalls
                    .insert(id, now.steady + files.terms.time_to_live);
            }
            files.tell_later(now, id);
        }
        Ok(files)
    }

    /// Files with messages in the outbox, or that are to have some.
    fn leaving(&self) -> impl Iterator<Item = (&FileId, &FileRow)> {
        let goes = |(id, row): &(&FileId, &FileRow)| {
            (row.state == FileState::Sending || row.messages() > 0) && !self.unsaved.contains(id)
        };
        self.all.iter().filter(goes)
    }

    /// When there is something to do next, by the steady clock.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let sends = self.leaving().next().is_some() && self.handing.is_none();
        let waits = self.telling.values().chain(self.stalls.values());
        sends
            .then_some(self.next)
            .into_iter()
            .chain(waits.copied())
            .min()
    }

    /// The next piece has a whole piece's time, or a little more or less, from now on: nothing that comes back to this
    /// client moves that.
    fn put_off(&mut self, now: Now) {
        let share = self.rng.random_range(900..1300);
        let wait = self.terms.span.scale(share, 1000);
        self.next = now.steady + wait.max(Span::from_millis(1));
    }

    /// A file is not wanted any more, or not to be sent on; what is to be saved. What is in the outbox of it goes on. That it
    /// was there is kept for as long as the network keeps messages: nothing more is taken of it, its contact is told what
    /// had come, and what lies at the contact's mailbox counts.
    pub(crate) fn remove(&mut self, now: Now, id: FileId) -> Vec<Change> {
        self.handing.take_if(|(of, _)| *of == id);
        self.stalls.remove(&id);
        match self.all.get_mut(&id) {
            Some(row) => row.end(now.network, id, FileState::Removed, false),
            None => Vec::new(),
        }
    }

    /// What is over and holds nothing is forgotten; what is to be saved.
    pub(crate) fn tidy(&mut self, now: Now) -> Vec<Change> {
        let is_over = |row: &FileRow| {
            row.is_empty()
                && row.messages() == 0
                && row.moved() + self.terms.time_to_live <= now.network
                && (row.incoming || row.state == FileState::Removed)
        };
        let over = self.all.iter().filter(|(_, row)| is_over(row));
        let mut over: Vec<FileId> = over.map(|(id, _)| *id).collect();
        // Of files sent that are done with, the oldest go: not those that still count.
        let done = |row: &FileRow| !row.incoming && row.is_empty() && row.messages() == 0;
        let counts = |row: &FileRow| self.counts(now, row) > 0;
        let sent = self.all.iter().filter(|(_, row)| done(row));
        let mut sent: Vec<_> = sent
            .map(|(id, row)| (row.begun(), *id, counts(row)))
            .collect();
        sent.sort_unstable();
        let excess = sent.len().saturating_sub(self.terms.limits.remembered);
        let sent = sent.into_iter().take(excess).filter(|(.., counts)| !counts);
        over.extend(sent.map(|(_, id, _)| id));
        over.into_iter()
            .flat_map(|id| self.forget_row(id))
            .collect()
    }

    fn forget_row(&mut self, id: FileId) -> Vec<Change> {
        self.telling.remove(&id);
        self.stalls.remove(&id);
        let known = self.all.remove(&id);
        let own = known.map(|_| Change::delete(Table::File, id.0.to_vec()));
        own.into_iter().collect()
    }

    /// How a file is, and how many pieces it has; none if there is no such file.
    pub(crate) fn pieces(&self, id: FileId) -> Option<(FileState, u16)> {
        self.all.get(&id).map(|row| (row.state, row.pieces()))
    }

    /// Whom a file goes to, or comes from.
    pub(crate) fn contact(&self, id: FileId) -> Option<PeerKey> {
        self.all.get(&id).and_then(FileRow::contact)
    }

    /// How a file is, with what its contact is called.
    pub(crate) fn status(
        &self,
        now: Now,
        id: FileId,
        label: impl Fn(&PeerKey) -> Option<String>,
    ) -> Option<FileStatus> {
        let row = self.all.get(&id).filter(|_| !self.unsaved.contains(&id))?;
        let contact = row.contact()?;
        let (pieces, done) = (row.pieces(), row.pieces_done());
        let left = u64::from(pieces - done.min(pieces));
        // A piece leaves every 1.1 times its own time in the mean, and so many in an hour.
        let by_rate = self.terms.span.scale(left * 11, 10);
        let hours = left.saturating_sub(1) / HOURLY as u64;
        let left = by_rate.max(HOUR.scale(hours, 1));
        let sends = row.state == FileState::Sending;
        let waits = || match self.outstanding(now, row) >= HOURLY && row.next_piece().is_some() {
            true => Some(SILENT),
            false => self.no_room.then_some(NO_ROOM),
        };
        let waits = sends.then(waits).flatten().map(str::to_owned);
        Some(FileStatus {
            file: id.to_string(),
            incoming: row.incoming,
            label: label(&contact).unwrap_or_default(),
            contact: contact.to_string(),
            name: row.name.clone(),
            size: u64::from(row.size),
            state: row.state,
            pieces: u32::from(pieces),
            done: u32::from(done),
            begun_at_us: row.begun().as_micros(),
            expected_ms: sends.then(|| left.as_micros() / 1000),
            reason: row.reason.clone().or(waits),
        })
    }

    /// All that there are to speak of, those begun last first.
    pub(crate) fn ids(&self) -> Vec<FileId> {
        let listed = |row: &FileRow| row.state != FileState::Removed;
        let all = self.all.iter().filter(|(_, row)| listed(row));
        let mut all: Vec<_> = all.map(|(id, row)| (row.begun(), *id)).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.into_iter().map(|(_, id)| id).collect()
    }
}

/// Joins what lies on disk.
pub(crate) fn joined(
    pieces: Vec<Option<Zeroizing<Vec<u8>>>>,
) -> Result<Zeroizing<Vec<u8>>, Unsound> {
    let mut parts = Vec::with_capacity(pieces.len());
    for (number, part) in (0..).zip(pieces) {
        parts.push(part.ok_or(Unsound::Missing(number))?);
    }
    piece::join(&parts).ok_or(Unsound::Damaged)
}

/// Reads what a contact may have sent as something of a file, in every way.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_any(data: &[u8]) {
    if let Some(have) = piece::Have::decode(data) {
        let _ = have.has(0);
    }
    if let Some(piece) = piece::Piece::decode(data) {
        let _ = piece::Head::of(&piece.part).map(|head| safe(&head.name));
        let _ = joined(vec![Some(piece.part)]);
    }
}

#[cfg(test)]
mod tests;
