//! Files to contacts: when a piece goes, and what becomes of it.

use shoal_client::{Change, PeerKey, SendError};
use shoal_proto::MessageId;

use super::piece::Cut;
use super::row::{FileRow, delete_piece, put_piece};
use super::{DOUBT, FileId, Files, HOUR, HOURLY, LINGERING, Now, name};
use crate::control::protocol::{FileState, IdempotencyKey, Refusal, RefusalCode};

/// How it is with a message in the client role's outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// It is to be stored.
    Yes,
    /// It is stored, and its second copy is tried.
    Stored,
    /// It is there no more.
    Gone,
}

/// Whether a file may be sent under this name.
///
/// # Errors
/// What is wrong with the name, in words.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    match name::is_fit(name) {
        true => Ok(()),
        false => {
            let words = "a file's name has 1 to 255 bytes, none of them of a path or of a control character";
            Err(Refusal::new(RefusalCode::Invalid, words))
        }
    }
}

impl Files {
    /// A file is to be sent: its pieces and its row, which are to be saved together. Then it is [`Files::accept`]ed, or
    /// [`Files::forget`]ten.
    pub(crate) fn send(
        &mut self,
        now: Now,
        to: &PeerKey,
        (name, cut): (&str, Cut),
        key: Option<&IdempotencyKey>,
    ) -> Result<(FileId, Vec<Change>), Refusal> {
        check_name(name)?;
        let limits = self.terms.limits;
        let under_way = || {
            self.all
                .values()
                .filter(|row| row.state == FileState::Sending)
        };
        let bytes: u64 = under_way().map(|row| u64::from(row.size)).sum();
        let more = bytes + u64::from(cut.size);
        if under_way().count() >= limits.sending || more > limits.sending_bytes {
            let words = format!(
                "{} files with {bytes} bytes are on their way already, and {} with {} may be: wait until some are \
                 stored, or remove them",
                under_way().count(),
                limits.sending,
                limits.sending_bytes
            );
            return Err(Refusal::new(RefusalCode::Busy, words));
        }
        let id = FileId(cut.id);
        let mut row = FileRow::new(false, to, name.to_owned(), (cut.id, cut.size), now.network);
        row.keyed = key.map(|key| (key.as_str().to_owned(), cut.digest));
        let pieces = (0..).zip(cut.pieces);
        let pieces = pieces.map(|(number, bytes)| put_piece(id, number, bytes));
        let changes = pieces.chain([row.put(id)]).collect();
        self.all.insert(id, row);
        self.unsaved.insert(id);
        Ok((id, changes))
    }

    /// The file that was sent with this key, if it is the same one to the same contact.
    ///
    /// # Errors
    /// Another one was; or it is being saved, and whether it will be is not known.
    pub(crate) fn keyed(
        &self,
        to: &PeerKey,
        cut: &Cut,
        key: &IdempotencyKey,
    ) -> Result<Option<FileId>, Refusal> {
        let has = |row: &FileRow| {
            row.keyed
                .as_ref()
                .is_some_and(|(own, _)| own == key.as_str())
        };
        let found = self.all.iter().find(|(_, row)| has(row));
        match found {
            None => Ok(None),
            Some((_, row))
                if !row.is_with(to) || row.keyed.as_ref().map(|it| it.1) != Some(cut.digest) =>
            {
                let words = "another file was sent with this idempotency key; take a new key for a new file";
                Err(Refusal::new(RefusalCode::Conflict, words))
            }
            Some((id, _)) if self.unsaved.contains(id) => {
                let words = "this file is being saved: ask again";
                Err(Refusal::new(RefusalCode::Busy, words))
            }
            Some((id, _)) => Ok(Some(*id)),
        }
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
    pub(crate) fn due(&mut self, now: Now, has_room: bool) -> Option<(FileId, u16)> {
        if now.steady < self.next || self.handing.is_some() || self.leaving().next().is_none() {
            return None;
        }
        // Also if nothing is handed over: else what frees room would set the time.
        self.put_off(now);
        self.no_room = !has_room;
        let waiting = |(id, row): (&FileId, &FileRow)| {
            let sends = row.state == FileState::Sending && !self.is_full(now, row);
            Some((*id, row.next_piece().filter(|_| sends)?))
        };
        let all = || self.leaving().filter_map(waiting);
        let after = all().find(|(id, _)| *id > self.served);
        let (id, piece) = after.or_else(|| all().next()).filter(|_| has_room)?;
        self.served = id;
        self.handing = Some((id, piece));
        self.handing
    }

    /// Files to the contact that a file goes to.
    fn to_same<'a>(&'a self, row: &'a FileRow) -> impl Iterator<Item = &'a FileRow> {
        let same = |other: &&FileRow| !other.incoming && row.is_of(other);
        self.all.values().filter(same)
    }

    /// Pieces of a file that may be at its contact's mailbox.
    pub(super) fn counts(&self, now: Now, row: &FileRow) -> usize {
        match now.network < row.moved() + self.terms.time_to_live {
            true => row.outstanding(),
            false => 0,
        }
    }

    /// Pieces that may be at the mailbox of a file's contact, of which it has not spoken.
    pub(super) fn outstanding(&self, now: Now, row: &FileRow) -> usize {
        self.to_same(row).map(|other| self.counts(now, other)).sum()
    }

    /// Whether no more is to go to a file's contact now.
    fn is_full(&self, now: Now, row: &FileRow) -> bool {
        let hour_ago = now.network - HOUR;
        let handed: usize = self.to_same(row).map(|it| it.handed_since(hour_ago)).sum();
        let messages: usize = self.to_same(row).map(FileRow::messages).sum();
        handed >= HOURLY || self.outstanding(now, row) >= HOURLY || messages >= LINGERING
    }

    /// The piece is in the outbox, with this message; what is to be saved.
    pub(crate) fn handed(&mut self, now: Now, id: FileId, message: MessageId) -> Vec<Change> {
        let piece = self.handing.take_if(|(of, _)| *of == id);
        match (piece, self.all.get_mut(&id)) {
            (Some((_, piece)), Some(row)) => {
                row.carry(now.network, piece, message);
                vec![row.put(id)]
            }
            // It was removed meanwhile.
            _ => Vec::new(),
        }
    }

    /// The piece was not taken: it is tried again, or the file can't be sent. What is to be saved.
    pub(crate) fn not_handed(&mut self, now: Now, id: FileId, reason: &SendError) -> Vec<Change> {
        self.handing.take_if(|(of, _)| *of == id);
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

    /// A file can't be sent on. What is to be saved.
    pub(crate) fn fail(&mut self, now: Now, id: FileId, reason: String) -> Vec<Change> {
        self.handing.take_if(|(of, _)| *of == id);
        let sends = |row: &&mut FileRow| row.state == FileState::Sending;
        let Some(row) = self.all.get_mut(&id).filter(sends) else {
            return Vec::new();
        };
        row.reason = Some(reason);
        row.end(now.network, id, FileState::Failed, false)
    }

    /// Whose piece a message carries.
    pub(crate) fn carried_by(&self, message: &MessageId) -> Option<FileId> {
        let carries = |row: &FileRow| row.piece_of(message).is_some();
        let mut all = self.all.iter();
        all.find(|(_, row)| carries(row)).map(|(id, _)| *id)
    }

    /// The message is stored, or has expired. What is to be saved, and of which file.
    pub(crate) fn ended(
        &mut self,
        now: Now,
        message: &MessageId,
        stored: bool,
    ) -> Option<(FileId, Vec<Change>)> {
        let id = self.carried_by(message)?;
        let row = self.all.get_mut(&id)?;
        let piece = row.piece_of(message)?;
        if !stored {
            row.put_down(message);
            let expires = row.state == FileState::Sending && !row.is_done(piece);
            let changes = match expires {
                true => row.end(now.network, id, FileState::Expired, false),
                false => vec![row.put(id)],
            };
            return Some((id, changes));
        }
        // Its second copy may wait on: it is carried until it is gone.
        row.set_done(now.network, piece, true);
        row.reason = None;
        let whole = row.state == FileState::Sending && row.is_all_done();
        let state = match row.is_had() {
            true => FileState::Delivered,
            false => FileState::Stored,
        };
        let changes = match whole {
            true => row.end(now.network, id, state, false),
            false => vec![delete_piece(id, piece), row.put(id)],
        };
        Some((id, changes))
    }

    /// Something keeps a piece from being stored, in words: of which file.
    pub(crate) fn hindered(&mut self, message: &MessageId, reason: String) -> Option<FileId> {
        let id = self.carried_by(message)?;
        self.all.get_mut(&id)?.reason = Some(reason);
        Some(id)
    }

    /// How it is with what is carried is asked of the outbox: what has gone while nobody heard of it was stored, unless its
    /// time was over, or its contact is written to no more. What is to be saved.
    pub(crate) fn settle(
        &mut self,
        now: Now,
        waits: impl Fn(&MessageId) -> Waits,
        is_written_to: impl Fn(&PeerKey) -> bool,
    ) -> Vec<(FileId, Vec<Change>)> {
        let (mut ended, mut shut, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for (id, row) in self.leaving() {
            let written_to = row.contact().is_some_and(|contact| is_written_to(&contact));
            if row.state == FileState::Sending && !written_to {
                shut.push(*id);
            }
            for (piece, message, since) in row.carried() {
                let how = waits(&message);
                if how == Waits::Gone {
                    gone.push((*id, message));
                }
                let in_time = now.network + DOUBT < since + self.terms.tried;
                match how {
                    Waits::Yes => {}
                    _ if row.is_done(piece) || !written_to => {}
                    Waits::Stored => ended.push((message, true)),
                    Waits::Gone => ended.push((message, in_time)),
                }
            }
        }
        let words = "the contact is not there any more, or is blocked";
        let shut = shut
            .into_iter()
            .map(|id| (id, self.fail(now, id, words.to_owned())));
        let mut all: Vec<_> = shut.collect();
        all.extend(
            ended
                .into_iter()
                .filter_map(|(message, stored)| self.ended(now, &message, stored)),
        );
        for (id, message) in gone {
            if let Some(row) = self.all.get_mut(&id)
                && row.put_down(&message).is_some()
            {
                all.push((id, vec![row.put(id)]));
            }
        }
        all
    }
}
