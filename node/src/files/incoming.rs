//! Files from contacts: what is taken of whom, and when they are told.

use rand::RngExt as _;
use shoal_client::{Change, PeerKey};
use shoal_proto::{MessageId, Span};

use super::piece::{Have, Head, Piece};
use super::row::{FileRow, put_piece};
use super::{Arrival, FULL, FileId, Files, Kept, NEWCOMER, Now, TOLD_SECS, Telling, Unsound, safe};
use crate::control::protocol::FileState;

impl Files {
    /// A piece came, of a contact whom the user has taken for one (`known`), or of a newcomer.
    pub(crate) fn arrived(
        &mut self,
        now: Now,
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
            let (row, mut changes) = self.begun(now, (from, known), (piece.id, piece.size));
            changes.push(row.put(id));
            let refused = row.state == FileState::Refused;
            self.all.insert(id, row);
            if refused {
                return Arrival::Spare(changes);
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
        row.set_done(now.network, piece.number, true);
        self.stalls.insert(id, now.steady + self.terms.time_to_live);
        self.arriving.insert((id, piece.number), vec![message]);
        let changes = vec![put_piece(id, piece.number, piece.part), row.put(id)];
        Arrival::Keep(id, piece.number, changes)
    }

    /// The row of a file that begins to come. Where it is refused, an older one that was gives way; what is to be saved for
    /// that.
    fn begun(
        &mut self,
        now: Now,
        (from, known): (&PeerKey, bool),
        (own_id, size): ([u8; 16], u32),
    ) -> (FileRow, Vec<Change>) {
        let limits = self.terms.limits;
        let mut row = FileRow::new(true, from, String::new(), (own_id, size), now.network);
        if !known {
            row.of_newcomer = true;
            row.state = FileState::Refused;
            row.reason = Some(NEWCOMER.to_owned());
            let mut changes = self.give_way(1, |it| it.of_newcomer && it.is_with(from));
            changes.extend(self.give_way(limits.of_newcomers, |it| it.of_newcomer));
            return (row, changes);
        }
        let held = |row: &&FileRow| matches!(row.state, FileState::Receiving | FileState::Complete);
        let of_all = || self.all.values().filter(|row| row.incoming).filter(held);
        let of_one = || of_all().filter(|row| row.is_with(from));
        let bytes = |rows: &mut dyn Iterator<Item = &FileRow>| -> u64 {
            rows.map(|row| u64::from(row.size)).sum()
        };
        let size = u64::from(size);
        let fits = of_one().count() < limits.of_one
            && of_all().count() < limits.of_all
            && bytes(&mut of_one()) + size <= limits.of_one_bytes
            && bytes(&mut of_all()) + size <= limits.of_all_bytes;
        if fits {
            return (row, Vec::new());
        }
        row.state = FileState::Refused;
        row.reason = Some(FULL.to_owned());
        let is_refused = |it: &FileRow| it.state == FileState::Refused && it.is_with(from);
        let changes = self.give_way(limits.refused_of_one, is_refused);
        (row, changes)
    }

    /// Of these, which hold nothing, the oldest go until one more is not above so many. What is to be saved.
    fn give_way(&mut self, most: usize, of: impl Fn(&FileRow) -> bool) -> Vec<Change> {
        let found = self
            .all
            .iter()
            .filter(|(_, row)| row.incoming && row.is_empty() && of(row));
        let mut found: Vec<_> = found.map(|(id, row)| (row.moved(), *id)).collect();
        found.sort_unstable();
        let excess = (found.len() + 1).saturating_sub(most);
        let over = found.into_iter().take(excess);
        over.flat_map(|(_, id)| self.forget_row(id)).collect()
    }

    /// A contact says which pieces are on its disk.
    fn had(&mut self, now: Now, from: &PeerKey, have: &Have) -> Arrival {
        let id = FileId(have.id);
        let Some(row) = self.all.get_mut(&id) else {
            return Arrival::Spare(Vec::new());
        };
        if row.incoming || !row.is_with(from) || !row.set_had(|piece| have.has(piece)) {
            return Arrival::Spare(Vec::new());
        }
        let changes = match row.state == FileState::Stored && row.is_had() {
            true => row.end(now.network, id, FileState::Delivered, true),
            false => vec![row.put(id)],
        };
        Arrival::Had(id, changes)
    }

    /// Whether its contact has not been told of all that is here, or was until it was removed.
    fn is_to_tell(row: &FileRow) -> bool {
        use FileState::{Complete, Receiving, Removed};
        row.incoming
            && matches!(row.state, Receiving | Complete | Removed)
            && row.pieces_done() > row.told
    }

    /// The contact is told in a while which pieces are here, if there is something to tell: when has nothing to do with when
    /// any came after the first of which it was not told.
    pub(crate) fn tell_later(&mut self, now: Now, id: FileId) {
        if self.all.get(&id).is_some_and(Self::is_to_tell) {
            let wait = Span::from_secs(self.rng.random_range(TOLD_SECS));
            self.telling.entry(id).or_insert(now.steady + wait);
        }
    }

    /// Whom to tell now which pieces are here, if that is somebody who may know when this client is online. Then it is
    /// [`Files::told`], or it is to be [`Files::tell_later`].
    pub(crate) fn telling(&mut self, now: Now) -> Option<Telling> {
        loop {
            let due = self.telling.iter().find(|(_, at)| **at <= now.steady);
            let id = due.map(|(id, _)| *id)?;
            self.telling.remove(&id);
            let row = self.all.get(&id).filter(|row| Self::is_to_tell(row));
            if let Some(row) = row
                && let Some(to) = row.contact()
            {
                return Some(Telling {
                    id,
                    to,
                    data: Have::new(row.own_id, row.all_done()).encode(),
                    pieces: row.pieces_done(),
                });
            }
        }
    }

    /// The contact is told, once this is saved.
    pub(crate) fn told(&mut self, id: FileId, pieces: u16) -> Vec<Change> {
        let Some(row) = self.all.get_mut(&id) else {
            return Vec::new();
        };
        row.told = pieces;
        vec![row.put(id)]
    }

    /// A piece is on disk.
    pub(crate) fn kept(&mut self, now: Now, id: FileId, piece: u16) -> Kept {
        let read = self.arriving.remove(&(id, piece)).unwrap_or_default();
        self.tell_later(now, id);
        let saving = self.arriving.keys().any(|(of, _)| *of == id);
        let whole =
            |row: &FileRow| row.state == FileState::Receiving && row.is_all_done() && !saving;
        Kept {
            read,
            whole: self.all.get(&id).is_some_and(whole),
        }
    }

    /// What to save of the file of a piece that could not be saved, once more; none if it is not wanted any more.
    pub(crate) fn again(&self, id: FileId, piece: u16) -> Option<Change> {
        let row = self
            .all
            .get(&id)
            .filter(|row| row.state == FileState::Receiving)?;
        self.arriving
            .contains_key(&(id, piece))
            .then(|| row.put(id))
    }

    /// A piece could not be saved, and is not tried any more. It comes again after a restart.
    pub(crate) fn not_kept(&mut self, now: Now, id: FileId, piece: u16) {
        self.arriving.remove(&(id, piece));
        if let Some(row) = self.all.get_mut(&id) {
            row.set_done(now.network, piece, false);
        }
    }

    /// Files of which all pieces are here and which nobody has joined, as after a restart.
    pub(crate) fn unjoined(&self) -> Vec<FileId> {
        let whole = |row: &FileRow| row.state == FileState::Receiving && row.is_all_done();
        let all = self.all.iter().filter(|(_, row)| whole(row));
        all.map(|(id, _)| *id).collect()
    }

    /// The pieces were joined; what is to be saved.
    pub(crate) fn joined(
        &mut self,
        now: Now,
        id: FileId,
        outcome: Result<(), Unsound>,
    ) -> Vec<Change> {
        let comes = |row: &&mut FileRow| row.state == FileState::Receiving;
        let Some(row) = self.all.get_mut(&id).filter(comes) else {
            return Vec::new();
        };
        match outcome {
            Ok(()) => {
                self.stalls.remove(&id);
                row.end(now.network, id, FileState::Complete, true)
            }
            Err(Unsound::Damaged) => {
                self.stalls.remove(&id);
                row.end(now.network, id, FileState::Damaged, false)
            }
            // Its row was saved and it was not: it comes again.
            Err(Unsound::Missing(piece)) => {
                row.set_done(now.network, piece, false);
                vec![row.put(id)]
            }
        }
    }

    /// Files of which nothing has come for too long: what is to be saved. Those that are here are not among them.
    pub(crate) fn stall(&mut self, now: Now) -> Vec<(FileId, Vec<Change>)> {
        let late = self.stalls.iter().filter(|(_, at)| **at <= now.steady);
        let late: Vec<FileId> = late.map(|(id, _)| *id).collect();
        let mut all = Vec::new();
        for id in late {
            self.stalls.remove(&id);
            let Some(row) = self.all.get_mut(&id) else {
                continue;
            };
            if row.state == FileState::Receiving && !row.is_all_done() {
                all.push((id, row.end(now.network, id, FileState::Stalled, false)));
            }
        }
        all
    }
}
