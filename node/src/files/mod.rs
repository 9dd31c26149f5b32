//! Files to contacts and from them: cut into pieces that go as data of the client role's, as a message box's messages do.
//!
//! What is here decides, and is driven by who hosts it: it keeps no file, reads no clock and draws from what it is given.
//! `docs/files.md` says what it protects and what not.
//!
//! * [`piece`]: the layout of a piece.
//! * [`name`]: names that are safe here.
//! * [`row`]: what is kept of a file.

mod name;
mod piece;
mod row;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest as _};
use rand::{CryptoRng, RngExt as _};
use rand_chacha::ChaCha20Rng;
use shoal_client::{Change, PeerKey, Row, SendError, Table};
use shoal_proto::{MessageId, Span, Time};
use zeroize::Zeroizing;

use self::piece::{Have, Head, Piece, cut};
use self::row::{FileRow, delete_piece, put_piece};
use crate::control::protocol::{FileState, FileStatus, Refusal, RefusalCode};

pub(crate) use self::name::safe;
pub(crate) use self::piece::MAX_FILE_BYTES;

/// Pieces for one contact that are in the outbox or may be at its mailbox, of which half of a drop id's share is then left
/// for texts; and a contact who is away for long holds up no other's files.
const OUTSTANDING: usize = 8;

/// What is said of a file whose contact has not said that it has what there is.
const SILENT: &str = "as much waits at the contact's mailbox as is to wait there: it goes on once the contact says that it \
                      has it, which it does within ten minutes when it is online, to who it has verified";

/// What is said of a file of a newcomer's.
const NEWCOMER: &str = "its sender has come by an invitation for many, and is no contact yet: write to it or verify it, \
                        and have the file sent again";

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
    /// Files of newcomers that are told of, and not taken.
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
            of_newcomers: 32,
            remembered: 100,
        }
    }
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
    /// When a piece is handed over next.
    next: Time,
    /// Pieces that are being saved, and the messages that they came with.
    arriving: BTreeMap<(FileId, u16), Vec<MessageId>>,
    /// When contacts are told which pieces of a file are here.
    telling: BTreeMap<FileId, Time>,
}

impl Files {
    /// With what an earlier run has stored.
    ///
    /// # Errors
    /// A row is damaged.
    pub(crate) fn restore(
        rows: &[Row],
        terms: Terms,
        rng: ChaCha20Rng,
        now: Time,
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
            next: now,
            arriving: BTreeMap::new(),
            telling: BTreeMap::new(),
        };
        files.put_off(now);
        let told_less = |row: &FileRow| row.incoming && row.pieces_done() > row.told;
        let untold = files.all.iter().filter(|(_, row)| told_less(row));
        let untold: Vec<_> = untold.map(|(id, _)| *id).collect();
        untold.into_iter().for_each(|id| files.tell_later(now, id));
        Ok(files)
    }

    fn sending(&self) -> impl Iterator<Item = (&FileId, &FileRow)> {
        let goes = |(id, row): &(&FileId, &FileRow)| {
            row.state == FileState::Sending && !self.unsaved.contains(id)
        };
        self.all.iter().filter(goes)
    }

    /// When there is something to do next.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let sends = self.sending().next().is_some() && self.handing.is_none();
        let stalls = self
            .all
            .values()
            .filter(|row| row.state == FileState::Receiving);
        let stalls = stalls.map(|row| row.moved() + self.terms.time_to_live);
        let tells = self.telling.values().copied();
        sends
            .then_some(self.next)
            .into_iter()
            .chain(stalls)
            .chain(tells)
            .min()
    }

    /// The next piece has a whole piece's time, or a little more or less, from now on: nothing that comes back to this
    /// client moves that.
    fn put_off(&mut self, now: Time) {
        let share = self.rng.random_range(900..1300);
        let wait = self.terms.span.scale(share, 1000);
        self.next = now + wait.max(Span::from_millis(1));
    }

    // --- To contacts ---

    /// A file is to be sent: its pieces and its row, which are to be saved together. Then it is [`Files::accept`]ed, or
    /// [`Files::forget`]ten.
    pub(crate) fn send<R: CryptoRng>(
        &mut self,
        now: Time,
        rng: &mut R,
        to: &PeerKey,
        (name, content): (&str, &[u8]),
    ) -> Result<(FileId, Vec<Change>), Refusal> {
        let invalid = |words: String| Refusal::new(RefusalCode::Invalid, words);
        if !name::is_fit(name) {
            let words = "a file's name has 1 to 255 bytes, none of them of a path or of a control character";
            return Err(invalid(words.to_owned()));
        }
        let limits = self.terms.limits;
        let under_way = || {
            self.all
                .values()
                .filter(|row| row.state == FileState::Sending)
        };
        let bytes: u64 = under_way().map(|row| u64::from(row.size)).sum();
        if under_way().count() >= limits.sending
            || bytes + content.len() as u64 > limits.sending_bytes
        {
            let words = format!(
                "{} files with {bytes} bytes are on their way already, and {} with {} may be: wait until some are \
                 stored, or remove them",
                under_way().count(),
                limits.sending,
                limits.sending_bytes
            );
            return Err(Refusal::new(RefusalCode::Busy, words));
        }
        let mut own = [0; 16];
        rng.fill_bytes(&mut own);
        let (size, pieces) = cut(own, name, content)
            .ok_or_else(|| invalid(format!("a file has at most {MAX_FILE_BYTES} bytes")))?;
        let id = FileId(own);
        let row = FileRow::new(false, to, name.to_owned(), (own, size), now);
        let pieces = pieces
            .into_iter()
            .map(|piece| put_piece(id, piece.number, piece.encode()));
        let changes = pieces.chain([row.put(id)]).collect();
        self.all.insert(id, row);
        self.unsaved.insert(id);
        Ok((id, changes))
    }

    /// It is on disk: it is sent.
    pub(crate) fn accept(&mut self, id: FileId) {
        self.unsaved.remove(&id);
    }

    /// It could not be saved.
    pub(crate) fn forget(&mut self, id: FileId) {
        self.unsaved.remove(&id);
        self.all.remove(&id);
    }

    /// What the time has come for: the piece that is to be read and handed over, if there is room for it. Files take
    /// turns.
    pub(crate) fn due(&mut self, now: Time, has_room: bool) -> Option<(FileId, u16)> {
        if now < self.next || self.handing.is_some() || self.sending().next().is_none() {
            return None;
        }
        // Also if nothing is handed over: else what frees room would set the time.
        self.put_off(now);
        let waiting = |(id, row): (&FileId, &FileRow)| {
            let piece = row.next_piece().filter(|_| !self.is_full(now, row))?;
            Some((*id, piece))
        };
        let all = || self.sending().filter_map(waiting);
        let after = all().find(|(id, _)| *id > self.served);
        let (id, piece) = after.or_else(|| all().next()).filter(|_| has_room)?;
        self.served = id;
        self.handing = Some((id, piece));
        self.handing
    }

    /// Whether as many pieces may be at the mailbox of a file's contact as are to be.
    fn is_full(&self, now: Time, row: &FileRow) -> bool {
        let same = |other: &&FileRow| {
            !other.incoming && row.is_of(other) && now < other.moved() + self.terms.time_to_live
        };
        let all = self.all.values().filter(same);
        all.map(FileRow::outstanding).sum::<usize>() >= OUTSTANDING
    }

    /// The piece is in the outbox, with this message; what is to be saved.
    pub(crate) fn handed(&mut self, now: Time, id: FileId, message: MessageId) -> Vec<Change> {
        let piece = self.handing.take().filter(|(of, _)| *of == id);
        match (piece, self.all.get_mut(&id)) {
            (Some((_, piece)), Some(row)) => {
                row.carry(now, piece, message);
                vec![row.put(id)]
            }
            // It was removed meanwhile.
            _ => Vec::new(),
        }
    }

    /// The piece was not taken: it is tried again, or the file can't be sent. What is to be saved.
    pub(crate) fn not_handed(&mut self, now: Time, id: FileId, reason: &SendError) -> Vec<Change> {
        self.handing = None;
        let passes = matches!(
            reason,
            SendError::OutboxFull { .. }
                | SendError::NoMailbox
                | SendError::Storage(_)
                | SendError::Superseded
        );
        match passes {
            true => Vec::new(),
            false => self.fail(now, id, reason.to_string()),
        }
    }

    /// A piece can't be read, or its file can't be sent on. What is to be saved.
    pub(crate) fn fail(&mut self, now: Time, id: FileId, reason: String) -> Vec<Change> {
        self.handing = None;
        let Some(row) = self.all.get_mut(&id) else {
            return Vec::new();
        };
        row.reason = Some(reason);
        row.end(now, id, FileState::Failed, false)
    }

    /// Whose piece a message carries.
    pub(crate) fn carried_by(&self, message: &MessageId) -> Option<FileId> {
        let carries = |row: &FileRow| row.carried().any(|(_, by, _)| by == *message);
        let mut all = self.all.iter();
        all.find(|(_, row)| carries(row)).map(|(id, _)| *id)
    }

    /// The message is stored, or has expired. What is to be saved, and of which file.
    pub(crate) fn ended(
        &mut self,
        now: Time,
        message: &MessageId,
        stored: bool,
    ) -> Option<(FileId, Vec<Change>)> {
        let id = self.carried_by(message)?;
        let row = self.all.get_mut(&id)?;
        let piece = row.put_down(message)?;
        if !stored {
            return Some((id, row.end(now, id, FileState::Expired, false)));
        }
        row.set_done(now, piece, true);
        row.reason = None;
        let whole = match row.is_had() {
            true => FileState::Delivered,
            false => FileState::Stored,
        };
        let mut changes = match row.pieces_done() == row.pieces() {
            true => row.end(now, id, whole, false),
            false => vec![delete_piece(id, piece), row.put(id)],
        };
        changes.extend(self.forget_old());
        Some((id, changes))
    }

    /// Something keeps a piece from being stored, in words: of which file.
    pub(crate) fn hindered(&mut self, message: &MessageId, reason: String) -> Option<FileId> {
        let id = self.carried_by(message)?;
        self.all.get_mut(&id)?.reason = Some(reason);
        Some(id)
    }

    /// What was carried, and is in the outbox no more, has ended while nobody heard of it: it was stored, unless its time
    /// was over, or its contact is written to no more. What is to be saved.
    pub(crate) fn settle(
        &mut self,
        now: Time,
        waits: impl Fn(&MessageId) -> bool,
        is_written_to: impl Fn(&PeerKey) -> bool,
    ) -> Vec<(FileId, Vec<Change>)> {
        let mut gone = Vec::new();
        let mut shut = Vec::new();
        for (id, row) in self.sending() {
            if !row.contact().is_some_and(|contact| is_written_to(&contact)) {
                shut.push(*id);
                continue;
            }
            for (_, message, since) in row.carried().filter(|(_, message, _)| !waits(message)) {
                gone.push((message, now + DOUBT < since + self.terms.tried));
            }
        }
        let ended = gone.into_iter();
        let mut all: Vec<_> = ended
            .filter_map(|(message, stored)| self.ended(now, &message, stored))
            .collect();
        let words = "the contact is not there any more, or is blocked";
        all.extend(
            shut.into_iter()
                .map(|id| (id, self.fail(now, id, words.to_owned()))),
        );
        all
    }

    /// Of files sent that are done with, the oldest are forgotten; what is to be saved.
    fn forget_old(&mut self) -> Vec<Change> {
        let done = |row: &FileRow| !row.incoming && row.state.is_final();
        let mut over: Vec<_> = self.all.iter().filter(|(_, row)| done(row)).collect();
        let excess = over.len().saturating_sub(self.terms.limits.remembered);
        over.sort_by_key(|(_, row)| row.begun());
        let over: Vec<_> = over.into_iter().take(excess).map(|(id, _)| *id).collect();
        over.into_iter().flat_map(|id| self.remove(id)).collect()
    }

    // --- From contacts ---

    /// A piece came, of a contact whom the user has taken for one (`known`), or of a newcomer.
    pub(crate) fn arrived(
        &mut self,
        now: Time,
        (message, from, known): (MessageId, &PeerKey, bool),
        data: &[u8],
    ) -> Arrival {
        if let Some(have) = Have::decode(data) {
            return self.had(now, from, &have);
        }
        let Some(piece) = Piece::decode(data) else {
            tracing::warn!("a contact has sent something as a file that is none");
            return Arrival::Spare(Vec::new());
        };
        let id = FileId::of_sender(from, &piece.id);
        if !self.all.contains_key(&id) {
            let Some(row) = self.begun(now, (from, known), (piece.id, piece.size)) else {
                tracing::warn!("a contact sends more files than there is room for");
                return Arrival::Spare(Vec::new());
            };
            let refused = row.state == FileState::Refused;
            let saved = row.put(id);
            self.all.insert(id, row);
            if refused {
                return Arrival::Spare(vec![saved]);
            }
        }
        let Some(row) = self.all.get_mut(&id) else {
            return Arrival::Spare(Vec::new());
        };
        if let Some(messages) = self.arriving.get_mut(&(id, piece.number)) {
            messages.push(message);
            return Arrival::Saving;
        }
        let wanted = row.incoming
            && row.state == FileState::Receiving
            && row.size == piece.size
            && !row.is_done(piece.number);
        if !wanted {
            return Arrival::Spare(Vec::new());
        }
        if piece.number == 0 {
            row.name = match Head::of(&piece.part) {
                Some(head) => safe(&head.name),
                None => safe(""),
            };
        }
        row.set_done(now, piece.number, true);
        self.arriving.insert((id, piece.number), vec![message]);
        let changes = vec![put_piece(id, piece.number, piece.part), row.put(id)];
        Arrival::Keep(id, piece.number, changes)
    }

    /// The row of a file that begins to come; none if not even that is kept.
    fn begun(
        &self,
        now: Time,
        (from, known): (&PeerKey, bool),
        (own_id, size): ([u8; 16], u32),
    ) -> Option<FileRow> {
        let limits = self.terms.limits;
        let mut row = FileRow::new(true, from, String::new(), (own_id, size), now);
        if !known {
            let newcomers = self.all.values().filter(|row| row.of_newcomer);
            row.of_newcomer = true;
            row.state = FileState::Refused;
            row.reason = Some(NEWCOMER.to_owned());
            return (newcomers.count() < limits.of_newcomers).then_some(row);
        }
        let come = || {
            self.all
                .values()
                .filter(|row| row.incoming && !row.of_newcomer)
        };
        let of_one = || come().filter(|row| row.is_with(from));
        if of_one().count() >= limits.of_one || come().count() >= limits.of_all {
            return None;
        }
        let held = |row: &&FileRow| matches!(row.state, FileState::Receiving | FileState::Complete);
        let bytes = |rows: &mut dyn Iterator<Item = &FileRow>| -> u64 {
            rows.filter(held).map(|row| u64::from(row.size)).sum()
        };
        let size_too = u64::from(size);
        let fits = bytes(&mut of_one()) + size_too <= limits.of_one_bytes
            && bytes(&mut come()) + size_too <= limits.of_all_bytes;
        if !fits {
            row.state = FileState::Refused;
            row.reason = Some(
                "there is no room: remove files that are here, and have it sent again".to_owned(),
            );
        }
        Some(row)
    }

    /// A contact says which pieces are on its disk.
    fn had(&mut self, now: Time, from: &PeerKey, have: &Have) -> Arrival {
        let id = FileId(have.id);
        let Some(row) = self.all.get_mut(&id) else {
            return Arrival::Spare(Vec::new());
        };
        if row.incoming || !row.is_with(from) || !row.set_had(|piece| have.has(piece)) {
            return Arrival::Spare(Vec::new());
        }
        let changes = match row.state == FileState::Stored && row.is_had() {
            true => row.end(now, id, FileState::Delivered, true),
            false => vec![row.put(id)],
        };
        Arrival::Had(id, changes)
    }

    /// The contact is told in a while which pieces are here: when has nothing to do with when any came after the first
    /// of which it was not told.
    fn tell_later(&mut self, now: Time, id: FileId) {
        let wait = Span::from_secs(self.rng.random_range(TOLD_SECS));
        self.telling.entry(id).or_insert(now + wait);
    }

    /// Whom to tell now which pieces are here, if that is somebody who may know when this client is online.
    pub(crate) fn telling(&mut self, now: Time) -> Option<Telling> {
        let due = self.telling.iter().find(|(_, at)| **at <= now);
        let id = due.map(|(id, _)| *id)?;
        self.telling.remove(&id);
        let row = self.all.get(&id)?;
        Some(Telling {
            id,
            to: row.contact()?,
            data: Have::new(row.own_id, row.all_done()).encode(),
            pieces: row.pieces_done(),
        })
    }

    /// The contact is told, once this is saved.
    pub(crate) fn told(&mut self, id: FileId, pieces: u16) -> Vec<Change> {
        let Some(row) = self.all.get_mut(&id) else {
            return Vec::new();
        };
        row.told = pieces;
        vec![row.put(id)]
    }

    /// It could not be told now.
    pub(crate) fn not_told(&mut self, now: Time, id: FileId) {
        if self.all.contains_key(&id) {
            self.tell_later(now, id);
        }
    }

    /// A piece is on disk.
    pub(crate) fn kept(&mut self, now: Time, id: FileId, piece: u16) -> Kept {
        let read = self.arriving.remove(&(id, piece)).unwrap_or_default();
        if self.all.contains_key(&id) {
            self.tell_later(now, id);
        }
        let saving = self.arriving.keys().any(|(of, _)| *of == id);
        let whole = |row: &FileRow| {
            row.state == FileState::Receiving && row.pieces_done() == row.pieces() && !saving
        };
        Kept {
            read,
            whole: self.all.get(&id).is_some_and(whole),
        }
    }

    /// A piece could not be saved. It comes again after a restart.
    pub(crate) fn not_kept(&mut self, now: Time, id: FileId, piece: u16) {
        self.arriving.remove(&(id, piece));
        if let Some(row) = self.all.get_mut(&id) {
            row.set_done(now, piece, false);
        }
    }

    /// Files of which all pieces are here and which nobody has joined, as after a restart.
    pub(crate) fn unjoined(&self) -> Vec<FileId> {
        let whole =
            |row: &FileRow| row.state == FileState::Receiving && row.pieces_done() == row.pieces();
        let all = self.all.iter().filter(|(_, row)| whole(row));
        all.map(|(id, _)| *id).collect()
    }

    /// The pieces were joined; what is to be saved.
    pub(crate) fn joined(
        &mut self,
        now: Time,
        id: FileId,
        outcome: Result<(), Unsound>,
    ) -> Vec<Change> {
        let Some(row) = self.all.get_mut(&id) else {
            return Vec::new();
        };
        match outcome {
            Ok(()) => row.end(now, id, FileState::Complete, true),
            Err(Unsound::Damaged) => row.end(now, id, FileState::Damaged, false),
            // Its row was saved and it was not: it comes again.
            Err(Unsound::Missing(piece)) => {
                row.set_done(now, piece, false);
                vec![row.put(id)]
            }
        }
    }

    /// Files of which nothing has come for too long: what is to be saved.
    pub(crate) fn stall(&mut self, now: Time) -> Vec<(FileId, Vec<Change>)> {
        let late = |row: &FileRow| {
            row.state == FileState::Receiving && row.moved() + self.terms.time_to_live <= now
        };
        let late: Vec<_> = self
            .all
            .iter()
            .filter(|(_, row)| late(row))
            .map(|(id, _)| *id)
            .collect();
        let mut all = Vec::new();
        for id in late {
            if let Some(row) = self.all.get_mut(&id) {
                all.push((id, row.end(now, id, FileState::Stalled, false)));
            }
        }
        all
    }

    // --- All ---

    /// A file is not wanted any more, or not to be sent on; what is to be saved. What is in the outbox of it goes on.
    pub(crate) fn remove(&mut self, id: FileId) -> Vec<Change> {
        let Some(row) = self.all.remove(&id) else {
            return Vec::new();
        };
        if self.handing.is_some_and(|(of, _)| of == id) {
            self.handing = None;
        }
        let pieces = (0..row.pieces()).map(|piece| delete_piece(id, piece));
        let own = Change {
            table: Table::File,
            key: id.0.to_vec(),
            value: None,
        };
        pieces.chain([own]).collect()
    }

    /// How many pieces a file has; none if there is no such file.
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
        id: FileId,
        label: impl Fn(&PeerKey) -> Option<String>,
    ) -> Option<FileStatus> {
        let row = self.all.get(&id).filter(|_| !self.unsaved.contains(&id))?;
        let contact = row.contact()?;
        let (pieces, done) = (row.pieces(), row.pieces_done());
        // A piece leaves every 1.1 times its own time in the mean.
        let left = u64::from(pieces - done.min(pieces)) * 11;
        let left = self.terms.span.scale(left, 10);
        let sends = row.state == FileState::Sending;
        let waits = sends && row.carried().next().is_none() && self.is_full(row.moved(), row);
        let reason = row
            .reason
            .clone()
            .or_else(|| waits.then(|| SILENT.to_owned()));
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
            reason,
        })
    }

    /// All, those begun last first.
    pub(crate) fn ids(&self) -> Vec<FileId> {
        let mut all: Vec<_> = self
            .all
            .iter()
            .map(|(id, row)| (row.begun(), *id))
            .collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.into_iter().map(|(_, id)| id).collect()
    }
}

/// Where a piece lies in its table.
pub(crate) fn piece_key(id: FileId, piece: u16) -> Vec<u8> {
    row::piece_key(id, piece)
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
    if let Some(have) = Have::decode(data) {
        let _ = have.has(0);
    }
    if let Some(piece) = Piece::decode(data) {
        let _ = Head::of(&piece.part).map(|head| safe(&head.name));
        let _ = joined(vec![Some(piece.part)]);
    }
}

#[cfg(test)]
mod tests;
