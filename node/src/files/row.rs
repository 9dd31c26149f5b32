//! A file's row in the client's database.

use serde::{Deserialize, Serialize};
use shoal_client::{Change, PeerKey, Row, Table};
use shoal_proto::{MessageId, Time};
use zeroize::Zeroizing;

use super::piece::count;
use super::{FileId, HOURLY};
use crate::control::protocol::{FileState, MAX_FILE_BYTES};

/// What is kept of a file beside its pieces.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRow {
    pub(super) incoming: bool,
    contact: [u8; 32],
    /// Of one that comes, empty before its first piece is here.
    pub(super) name: String,
    pub(super) size: u32,
    pub(super) state: FileState,
    begun: u64,
    /// When its last piece came, or was stored.
    moved: u64,
    /// The pieces that are stored, or here.
    done: Vec<bool>,
    /// Of one that comes, its sender was no contact yet.
    pub(super) of_newcomer: bool,
    /// Of one that is sent, the pieces that the contact says are on its disk.
    had: Vec<bool>,
    /// Of one that comes, how many pieces the contact was told of.
    pub(super) told: u16,
    /// The sender's id of it.
    pub(super) own_id: [u8; 16],
    /// Messages with its pieces that are in the client's outbox, also those of which one copy is stored.
    carried: Vec<Carried>,
    /// When its last pieces were handed over, as many as go to a contact in an hour.
    handed: Vec<u64>,
    pub(super) reason: Option<String>,
    /// Of one that is sent: what an application calls the sending, and what tells it from that of another content.
    #[serde(default)]
    pub(super) keyed: Option<(String, [u8; 32])>,
}

/// A piece that a message of data carries.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Carried {
    piece: u16,
    message: [u8; 16],
    since: u64,
}

impl FileRow {
    pub(super) fn new(
        incoming: bool,
        contact: &PeerKey,
        name: String,
        (own_id, size): ([u8; 16], u32),
        now: Time,
    ) -> Self {
        Self {
            incoming,
            contact: *contact.as_bytes(),
            name,
            size,
            state: match incoming {
                true => FileState::Receiving,
                false => FileState::Sending,
            },
            begun: now.as_micros(),
            moved: now.as_micros(),
            done: vec![false; usize::from(count(size))],
            of_newcomer: false,
            had: vec![false; usize::from(count(size))],
            told: 0,
            own_id,
            carried: Vec::new(),
            handed: Vec::new(),
            reason: None,
            keyed: None,
        }
    }

    /// Reads a row; none if it is damaged.
    pub(super) fn decode(row: &Row) -> Option<(FileId, Self)> {
        let id = FileId(row.key.as_slice().try_into().ok()?);
        let own: Self = serde_json::from_slice(&row.value).ok()?;
        let sound = own.size as usize <= MAX_FILE_BYTES
            && own.done.len() == usize::from(count(own.size))
            && own.had.len() == own.done.len()
            && own.carried.iter().all(|it| it.piece < own.pieces())
            && PeerKey::parse(own.contact).is_ok();
        sound.then_some((id, own))
    }

    pub(super) fn put(&self, id: FileId) -> Change {
        // It has no key that is no text, and nothing that fails.
        let value = serde_json::to_vec(self).unwrap_or_default();
        Change::put(Table::File, id.0.to_vec(), Zeroizing::new(value))
    }

    pub(super) fn is_with(&self, contact: &PeerKey) -> bool {
        self.contact == *contact.as_bytes()
    }

    /// No later than now: the clock may have been another one when it was written.
    pub(super) fn clamp(&mut self, now: Time) {
        let now = now.as_micros();
        let carried = self.carried.iter_mut().map(|it| &mut it.since);
        let times = [&mut self.begun, &mut self.moved].into_iter();
        for time in times.chain(&mut self.handed).chain(carried) {
            *time = (*time).min(now);
        }
    }

    /// Whether nothing of it is kept here but what became of it.
    pub(super) const fn is_empty(&self) -> bool {
        !matches!(
            self.state,
            FileState::Sending | FileState::Receiving | FileState::Complete
        )
    }

    /// Whether another file goes to the same contact.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        self.contact == other.contact
    }

    /// None of a row that was damaged in memory.
    pub(super) fn contact(&self) -> Option<PeerKey> {
        PeerKey::parse(self.contact).ok()
    }

    pub(super) const fn begun(&self) -> Time {
        Time::from_micros(self.begun)
    }

    pub(super) const fn moved(&self) -> Time {
        Time::from_micros(self.moved)
    }

    pub(super) const fn pieces(&self) -> u16 {
        count(self.size)
    }

    pub(super) fn pieces_done(&self) -> u16 {
        // As many as there are pieces at most.
        self.done.iter().filter(|done| **done).count() as u16
    }

    pub(super) fn is_done(&self, piece: u16) -> bool {
        self.done.get(usize::from(piece)).is_some_and(|done| *done)
    }

    /// Whether all pieces are stored, or here.
    pub(super) fn is_all_done(&self) -> bool {
        self.done.iter().all(|done| *done)
    }

    pub(super) fn set_done(&mut self, now: Time, piece: u16, is: bool) {
        if let Some(done) = self.done.get_mut(usize::from(piece)) {
            *done = is;
            self.moved = now.as_micros();
        }
    }

    /// Which pieces are stored, or here.
    pub(super) fn all_done(&self) -> impl Iterator<Item = u16> {
        (0..self.pieces()).filter(|piece| self.is_done(*piece))
    }

    /// The contact says that these pieces are on its disk; whether that is news.
    pub(super) fn set_had(&mut self, has: impl Fn(u16) -> bool) -> bool {
        let mut news = false;
        for (piece, had) in (0..).zip(&mut self.had) {
            news |= !*had && has(piece);
            *had |= has(piece);
        }
        news
    }

    pub(super) fn is_had(&self) -> bool {
        self.had.iter().all(|had| *had)
    }

    /// Pieces that are, or may be, at the contact's mailbox, and that the contact has not spoken of.
    pub(super) fn outstanding(&self) -> usize {
        let is_out = |piece: &u16| {
            let had = self.had.get(usize::from(*piece)).is_some_and(|had| *had);
            !had && (self.is_done(*piece) || self.is_carried(*piece))
        };
        (0..self.pieces()).filter(is_out).count()
    }

    fn is_carried(&self, piece: u16) -> bool {
        self.carried.iter().any(|it| it.piece == piece)
    }

    /// Its messages that are in the outbox.
    pub(super) fn messages(&self) -> usize {
        self.carried.len()
    }

    /// Pieces that were handed over since then.
    pub(super) fn handed_since(&self, then: Time) -> usize {
        let then = then.as_micros();
        self.handed.iter().filter(|at| **at > then).count()
    }

    /// The pieces that messages carry, and since when.
    pub(super) fn carried(&self) -> impl Iterator<Item = (u16, MessageId, Time)> {
        let all = self.carried.iter();
        all.map(|it| {
            (
                it.piece,
                MessageId::new(it.message),
                Time::from_micros(it.since),
            )
        })
    }

    pub(super) fn carry(&mut self, now: Time, piece: u16, message: MessageId) {
        self.carried.push(Carried {
            piece,
            message: *message.as_bytes(),
            since: now.as_micros(),
        });
        self.handed.push(now.as_micros());
        let over = self.handed.len().saturating_sub(HOURLY);
        self.handed.drain(..over);
    }

    /// The piece that a message carries, if any.
    pub(super) fn piece_of(&self, message: &MessageId) -> Option<u16> {
        let mut all = self.carried.iter();
        all.find(|it| it.message == *message.as_bytes())
            .map(|it| it.piece)
    }

    /// A message carries its piece no more: which one that was.
    pub(super) fn put_down(&mut self, message: &MessageId) -> Option<u16> {
        let at = self
            .carried
            .iter()
            .position(|it| it.message == *message.as_bytes())?;
        Some(self.carried.swap_remove(at).piece)
    }

    /// The first piece that is neither stored nor carried.
    pub(super) fn next_piece(&self) -> Option<u16> {
        (0..self.pieces()).find(|piece| !self.is_done(*piece) && !self.is_carried(*piece))
    }

    /// It ends so; what is to be saved.
    pub(super) fn end(
        &mut self,
        now: Time,
        id: FileId,
        state: FileState,
        keep: bool,
    ) -> Vec<Change> {
        self.state = state;
        self.moved = now.as_micros();
        let gone = (0..self.pieces()).filter(|_| !keep);
        let gone = gone.map(|piece| delete_piece(id, piece));
        gone.chain([self.put(id)]).collect()
    }
}

/// Where a piece lies in its table.
pub(crate) fn piece_key(id: FileId, piece: u16) -> Vec<u8> {
    [&id.0[..], &piece.to_be_bytes()].concat()
}

pub(super) fn put_piece(id: FileId, piece: u16, bytes: Zeroizing<Vec<u8>>) -> Change {
    Change::put(Table::Piece, piece_key(id, piece), bytes)
}

pub(super) fn delete_piece(id: FileId, piece: u16) -> Change {
    Change::delete(Table::Piece, piece_key(id, piece))
}
