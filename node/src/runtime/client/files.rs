//! Files, as the loop drives them: from who asks to the disk and the client role, and back.

use std::collections::BTreeMap;

use rand::{CryptoRng, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use shoal_client::{
    Change, ClientConfig, Hindrance, MAX_TEXT_BYTES, PeerKey, Row, SendError, Table, UserRequest,
};
use shoal_packet::fragment::{Copies, Shape};
use shoal_proto::{MessageId, Span, Time};
use shoal_roles::client::SessionInput;
use shoal_topology::NetworkParameters;
use zeroize::Zeroizing;

use super::daemon::Daemon;
use super::damaged;
use super::database::{Look, Ticket};
use super::programs::Program;
use super::sending::Answer;
use super::status;
use crate::Failure;
use crate::control::protocol::{
    Content, Event, FileList, FileState, FileStatus, IdempotencyKey, Refusal, RefusalCode, Response,
};
use crate::files::{
    Arrival, Cut, FileId, Files, Limits, Now, Terms, Unsound, Waits, joined, piece_key,
};
use crate::state::ClientDb;

/// A piece's time where the profile sends nothing.
const NEVER: Span = Span::from_secs(3600);
/// What a disk did not take or give is tried again after so long; so many pieces are kept for that at most.
const AGAIN_AFTER: Span = Span::from_secs(60);
const AGAIN: usize = 16;

/// What was found on disk.
pub(super) enum Looked {
    /// A piece that is to be sent, if it is there.
    Piece(FileId, Result<Option<Zeroizing<Vec<u8>>>, String>),
    /// Whether the pieces of a file make it.
    Joined(FileId, Result<(), Unsound>),
    /// They can't be read now.
    Unread(FileId),
}

/// What is done once changes are on disk.
enum Follow {
    /// A file is accepted.
    Accepted(FileId, Answer),
    /// A piece that came is here; this is its row.
    Arrived(FileId, u16, Option<Change>),
    /// A file is removed.
    Removed(Answer),
    /// Nothing.
    Nothing,
}

/// Files, and what waits for them.
pub(super) struct FileDesk {
    files: Files,
    /// Packets that a whole piece takes, and half of those that the outbox has room for.
    piece_packets: u64,
    room: u64,
    following: BTreeMap<u64, Follow>,
    next_ticket: u64,
    /// What a disk did not take or give is tried again at a time.
    again: BTreeMap<(FileId, Option<u16>), (Time, Option<Change>)>,
    /// What the client role was asked to send, of which file.
    asked: BTreeMap<u64, (FileId, What)>,
}

/// What of a file is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// A piece.
    Piece,
    /// That so many pieces are here.
    Told(u16),
}

impl FileDesk {
    pub(super) fn restore<R: CryptoRng>(
        (db, rows): (&ClientDb, &[Row]),
        (params, config): (&NetworkParameters, &ClientConfig),
        rng: &mut R,
        now: Now,
    ) -> Result<Self, Failure> {
        let profile = params.profile(&config.profile);
        let copies = match profile.map(|profile| profile.copies) {
            Some(1) => Copies::One,
            _ => Copies::Two,
        };
        let packets = Shape::of(MAX_TEXT_BYTES, copies).map_or(0, Shape::total);
        let rate = profile.map_or(0.0, |profile| profile.real);
        let span = match rate > 0.0 {
            true => Span::from_secs_f64(f64::from(packets) / rate),
            false => NEVER,
        };
        let terms = Terms {
            span,
            tried: config.time_to_live,
            time_to_live: params.time_to_live,
            limits: Limits::default(),
        };
        let rng = ChaCha20Rng::from_rng(rng);
        // What can't be read now is looked for again when it is wanted.
        let has = |id, piece| db.has(Table::Piece, &piece_key(id, piece)).unwrap_or(true);
        let files = Files::restore(rows, has, terms, (rng, now)).map_err(damaged)?;
        Ok(Self {
            files,
            piece_packets: u64::from(packets),
            room: (config.limits.outbox_fragments / 2) as u64,
            following: BTreeMap::new(),
            next_ticket: 0,
            again: BTreeMap::new(),
            asked: BTreeMap::new(),
        })
    }

    /// Whether nobody waits for a word, and the client role has been asked for nothing.
    pub(super) fn is_idle(&self) -> bool {
        self.following.is_empty() && self.asked.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let again = self.again.values().map(|(at, _)| *at);
        again.chain(self.files.deadline()).min()
    }

    /// Something is tried again in a while; false if too much is already.
    fn try_again(&mut self, now: Time, what: (FileId, Option<u16>), row: Option<Change>) -> bool {
        let fits = self.again.len() < AGAIN;
        if fits {
            self.again.insert(what, (now + AGAIN_AFTER, row));
        }
        fits
    }
}

impl Daemon {
    /// What an earlier run has left.
    pub(super) fn begin_files(&mut self) {
        self.settle_files();
        for id in self.files.files.unjoined() {
            self.join(id);
        }
    }

    fn now(&self) -> Now {
        Now {
            steady: self.clock.now(),
            network: self.network_time(),
        }
    }

    /// Does what the time has come for.
    pub(super) fn tend_files(&mut self) {
        let now = self.now();
        // What the role has to say of messages comes before what their absence says.
        self.pump();
        self.settle_files();
        self.retry(now);
        let over = self.files.files.tidy(now);
        self.save(Follow::Nothing, over);
        for (id, changes) in self.files.files.stall(now) {
            tracing::warn!("a file did not come whole: what was here of it is deleted");
            self.save_of(id, changes);
        }
        self.tell_of_pieces(now);
        let waiting = self.session.counters().outbox_fragments;
        let asked = self
            .files
            .asked
            .values()
            .any(|(_, what)| *what == What::Piece);
        let has_room =
            waiting + self.files.piece_packets <= self.files.room && !asked && !self.succeeded;
        let Some((id, piece)) = self.files.files.due(now, has_room) else {
            return;
        };
        let look: Look = Box::new(move |db| {
            let found = db.get(Table::Piece, &piece_key(id, piece));
            Some(Looked::Piece(id, found.map_err(|error| error.to_string())))
        });
        if !self.database.look(look) {
            let reason = SendError::Storage("the disk is too far behind".to_owned());
            let changes = self.files.files.not_handed(now, id, &reason);
            self.save_of(id, changes);
        }
    }

    /// What the disk did not take or give is tried again.
    fn retry(&mut self, now: Now) {
        let due = |(_, (at, _)): &(&_, &(Time, Option<Change>))| *at <= now.steady;
        let due: Vec<_> = self
            .files
            .again
            .iter()
            .filter(due)
            .map(|it| *it.0)
            .collect();
        for what in due {
            let row = self.files.again.remove(&what).and_then(|(_, row)| row);
            match (what, row) {
                ((id, Some(piece)), Some(row)) => {
                    if let Some(own) = self.files.files.again(id, piece) {
                        self.save_piece(id, piece, vec![row, own]);
                    }
                }
                ((id, _), _) => self.join(id),
            }
        }
    }

    pub(super) fn settle_files(&mut self) {
        let now = self.now();
        let session = &self.session;
        let waits = |message: &MessageId| match session.status(message) {
            None => Waits::Gone,
            Some(status) if status.state.is_stored() => Waits::Stored,
            Some(_) => Waits::Yes,
        };
        let client = session.client();
        let written_to = |key: &PeerKey| client.contact(key).is_some_and(|it| !it.blocked);
        for (id, changes) in self.files.files.settle(now, waits, written_to) {
            self.save_of(id, changes);
        }
    }

    pub(super) fn on_looked(&mut self, looked: Looked) {
        let now = self.now();
        match looked {
            Looked::Piece(id, Ok(Some(piece))) => {
                if let Some(to) = self.files.files.contact(id) {
                    self.send_of(id, to, What::Piece, &piece);
                }
            }
            Looked::Piece(id, Ok(None)) => {
                let words = "a piece of it is missing on this disk".to_owned();
                let changes = self.files.files.fail(now, id, words);
                self.save_of(id, changes);
            }
            Looked::Piece(id, Err(reason)) => {
                tracing::error!(%reason, "a piece of a file can't be read now");
                let reason = SendError::Storage(reason);
                let changes = self.files.files.not_handed(now, id, &reason);
                self.save_of(id, changes);
            }
            Looked::Unread(id) => {
                tracing::error!("the pieces of a file can't be read now: it is tried again");
                self.files.try_again(now.steady, (id, None), None);
            }
            Looked::Joined(id, outcome) => {
                if outcome == Err(Unsound::Damaged) {
                    tracing::warn!("a file came that is not what its sender said: it is deleted");
                }
                let changes = self.files.files.joined(now, id, outcome);
                self.save_of(id, changes);
            }
        }
    }

    fn send_of(&mut self, id: FileId, to: PeerKey, what: What, data: &[u8]) {
        let request = self.sending.number();
        self.files.asked.insert(request, (id, what));
        let data = Program::Files.tagged(data);
        let what = UserRequest::SendData { to, data };
        self.tell_session(SessionInput::Ask { request, what });
    }

    /// The client role has taken what it was asked to send; false if that was nothing of a file.
    pub(super) fn handed_piece(&mut self, request: u64, message: MessageId) -> bool {
        let Some((id, what)) = self.files.asked.remove(&request) else {
            return false;
        };
        let now = self.now();
        let files = &mut self.files.files;
        let changes = match what {
            What::Piece => files.handed(now, id, message),
            What::Told(pieces) => files.told(id, pieces),
        };
        self.save(Follow::Nothing, changes);
        true
    }

    /// It has not; false as above.
    pub(super) fn refused_piece(&mut self, request: u64, reason: &SendError) -> bool {
        let Some((id, what)) = self.files.asked.remove(&request) else {
            return false;
        };
        let now = self.now();
        match what {
            What::Piece => {
                let changes = self.files.files.not_handed(now, id, reason);
                self.save_of(id, changes);
            }
            What::Told(_) => self.files.files.tell_later(now, id),
        }
        true
    }

    /// Contacts who may know when this client is online are told which pieces are here.
    fn tell_of_pieces(&mut self, now: Now) {
        while let Some(telling) = self.files.files.telling(now) {
            let contact = self.session.client().contact(&telling.to);
            match contact {
                Some(contact) if contact.verified && !contact.blocked => {
                    let what = What::Told(telling.pieces);
                    self.send_of(telling.id, telling.to, what, &telling.data);
                }
                // It may be verified later.
                Some(_) => self.files.files.tell_later(now, telling.id),
                None => {}
            }
        }
    }

    /// A message is stored or has expired; false if it carried no piece.
    pub(super) fn ended_piece(&mut self, message: &MessageId, stored: bool) -> bool {
        let ended = self.files.files.ended(self.now(), message, stored);
        let Some((id, changes)) = ended else {
            return false;
        };
        self.save_of(id, changes);
        true
    }

    /// Something keeps a message from being stored; false as above.
    pub(super) fn hindered_piece(&mut self, message: &MessageId, by: Hindrance) -> bool {
        let told = self.files.files.hindered(message, status::hindrance(by));
        let Some(id) = told else {
            return false;
        };
        self.tell_of(id);
        true
    }

    /// A piece came.
    pub(super) fn on_piece(&mut self, message: MessageId, from: &PeerKey, data: &[u8]) {
        let contact = self.session.client().contact(from);
        let known = contact.is_some_and(|contact| contact.known);
        let now = self.now();
        let came = self.files.files.arrived(now, (message, from, known), data);
        match came {
            Arrival::Keep(id, piece, changes) => self.save_piece(id, piece, changes),
            Arrival::Saving => {}
            Arrival::Had(id, changes) => {
                self.save_of(id, changes);
                self.tell_session(SessionInput::Read { message });
            }
            Arrival::Spare(changes) => {
                self.save(Follow::Nothing, changes);
                self.tell_session(SessionInput::Read { message });
            }
        }
    }

    fn join(&mut self, id: FileId) {
        let Some((_, pieces)) = self.files.files.pieces(id) else {
            return;
        };
        let look: Look = Box::new(move |db| {
            Some(match content(db, id, pieces) {
                Ok(outcome) => Looked::Joined(id, outcome.map(drop)),
                Err(_) => Looked::Unread(id),
            })
        });
        if !self.database.look(look) {
            self.files.try_again(self.clock.now(), (id, None), None);
        }
    }

    // --- The disk ---

    /// Has something of a file saved, and tells of it.
    fn save_of(&mut self, id: FileId, changes: Vec<Change>) {
        self.save(Follow::Nothing, changes);
        self.tell_of(id);
    }

    fn save_piece(&mut self, id: FileId, piece: u16, changes: Vec<Change>) {
        let row = changes
            .iter()
            .find(|change| change.table == Table::Piece)
            .cloned();
        self.save(Follow::Arrived(id, piece, row), changes);
    }

    fn save(&mut self, follow: Follow, changes: Vec<Change>) {
        if changes.is_empty() && matches!(follow, Follow::Nothing) {
            return;
        }
        let ticket = self.files.next_ticket;
        self.files.next_ticket = ticket.saturating_add(1);
        self.files.following.insert(ticket, follow);
        if !self.database.write(Ticket::Files(ticket), changes) {
            self.on_files_written(ticket, Err("the disk is too far behind".to_owned()));
        }
    }

    pub(super) fn on_files_written(&mut self, ticket: u64, outcome: Result<(), String>) {
        let Some(follow) = self.files.following.remove(&ticket) else {
            return;
        };
        let failed = |reason: &str| {
            tracing::error!(%reason, "something of a file can't be saved");
            let words = format!("it can't be saved: {reason}");
            Err(Refusal::new(RefusalCode::Internal, words))
        };
        match (follow, outcome) {
            (Follow::Accepted(id, answer), Ok(())) => {
                self.files.files.accept(id);
                let status = self.file_status(id);
                let status = status.ok_or_else(|| no_such_file(&id.to_string()));
                // Who asked may be gone.
                let _ = answer.send(status.map(Response::File));
                self.tell_of(id);
            }
            (Follow::Accepted(id, answer), Err(reason)) => {
                self.files.files.forget(id);
                let _ = answer.send(failed(&reason));
            }
            (Follow::Arrived(id, piece, _), Ok(())) => {
                let kept = self.files.files.kept(self.now(), id, piece);
                for message in kept.read {
                    self.tell_session(SessionInput::Read { message });
                }
                match kept.whole {
                    true => self.join(id),
                    false => self.tell_of(id),
                }
            }
            (Follow::Arrived(id, piece, row), Err(reason)) => {
                let now = self.now();
                tracing::error!(%reason, "a piece of a file can't be saved now");
                if !self.files.try_again(now.steady, (id, Some(piece)), row) {
                    self.files.files.not_kept(now, id, piece);
                }
            }
            (Follow::Removed(answer), outcome) => {
                let _ =
                    answer.send(outcome.map_or_else(|why| failed(&why), |()| Ok(Response::Done)));
            }
            (Follow::Nothing, Err(reason)) => drop(failed(&reason)),
            (Follow::Nothing, Ok(())) => {}
        }
    }

    // --- Who asks ---

    /// A file, cut, is to be sent.
    pub(super) fn on_send_file(
        &mut self,
        (to, name, key): (&str, &str, Option<IdempotencyKey>),
        cut: Option<Cut>,
        answer: Answer,
    ) {
        let now = self.now();
        let made = self.find_contact(to).and_then(|to| {
            let contact = self.session.client().contact(&to);
            if contact.is_some_and(|contact| contact.blocked) {
                return Err(status::refusal(&SendError::Blocked));
            }
            let strange = || Refusal::new(RefusalCode::Internal, "the file is not cut");
            let cut = cut.ok_or_else(strange)?;
            if let Some(key) = &key
                && let Some(known) = self.files.files.keyed(&to, &cut, key)?
            {
                return Ok((known, None));
            }
            let files = &mut self.files.files;
            let (id, changes) = files.send(now, &to, (name, cut), key.as_ref())?;
            Ok((id, Some(changes)))
        });
        match made {
            Ok((id, Some(changes))) => self.save(Follow::Accepted(id, answer), changes),
            Ok((id, None)) => {
                let status = self.file_status(id).ok_or_else(|| no_such_file(name));
                let _ = answer.send(status.map(Response::File));
            }
            Err(refusal) => {
                // Who asked may be gone.
                let _ = answer.send(Err(refusal));
            }
        }
    }

    pub(super) fn on_file_content(&mut self, file: &str, answer: Answer) {
        let found = self.file_id(file).and_then(|id| {
            let found = self.files.files.pieces(id);
            match found.ok_or_else(|| no_such_file(file))? {
                (FileState::Complete, pieces) => Ok((id, pieces)),
                _ => {
                    let words =
                        "this file is not here: it is one that is sent, or has not come whole";
                    Err(Refusal::new(RefusalCode::NotFound, words))
                }
            }
        });
        let (id, pieces) = match found {
            Ok(found) => found,
            Err(refusal) => {
                let _ = answer.send(Err(refusal));
                return;
            }
        };
        let look: Look = Box::new(move |db| {
            let internal = |words: String| Refusal::new(RefusalCode::Internal, words);
            let content = match content(db, id, pieces) {
                Ok(Ok(content)) => Ok(Response::FileContent(Content(content))),
                Ok(Err(_)) => Err(internal("the file is damaged on this disk".to_owned())),
                Err(error) => Err(internal(error)),
            };
            let _ = answer.send(content);
            None
        });
        // Who asked hears that the answer is gone.
        self.database.look(look);
    }

    pub(super) fn on_remove_file(&mut self, file: &str, answer: Answer) {
        let found = self
            .file_id(file)
            .and_then(|id| match self.files.files.pieces(id) {
                Some((state, _)) if state != FileState::Removed => Ok(id),
                _ => Err(no_such_file(file)),
            });
        match found {
            Ok(id) => {
                let now = self.now();
                let changes = self.files.files.remove(now, id);
                self.save(Follow::Removed(answer), changes);
                self.tell_of(id);
            }
            Err(refusal) => {
                let _ = answer.send(Err(refusal));
            }
        }
    }

    pub(super) fn file_list(&self) -> FileList {
        let ids = self.files.files.ids().into_iter();
        FileList {
            files: ids.filter_map(|id| self.file_status(id)).collect(),
        }
    }

    pub(super) fn file(&self, file: &str) -> Result<FileStatus, Refusal> {
        let status = self.file_status(self.file_id(file)?);
        let status = status.filter(|status| status.state != FileState::Removed);
        status.ok_or_else(|| no_such_file(file))
    }

    fn file_id(&self, file: &str) -> Result<FileId, Refusal> {
        FileId::parse(file).ok_or_else(|| {
            Refusal::new(RefusalCode::Invalid, "not a file's id: base58 of 16 bytes")
        })
    }

    fn file_status(&self, id: FileId) -> Option<FileStatus> {
        let client = self.session.client();
        let label = |key: &PeerKey| client.contact(key).map(|it| it.label.to_string());
        self.files.files.status(self.now(), id, label)
    }

    fn tell_of(&self, id: FileId) {
        if let Some(status) = self.file_status(id) {
            self.tell(Event::File(Box::new(status)));
        }
    }
}

fn no_such_file(file: &str) -> Refusal {
    Refusal::new(
        RefusalCode::NotFound,
        format!("there is no file {file} here"),
    )
}

/// What is in a file whose pieces are on disk.
fn content(
    db: &ClientDb,
    id: FileId,
    pieces: u16,
) -> Result<Result<Zeroizing<Vec<u8>>, Unsound>, String> {
    let get = |piece| db.get(Table::Piece, &piece_key(id, piece));
    let found: Result<Vec<_>, _> = (0..pieces).map(get).collect();
    Ok(joined(found.map_err(|error| error.to_string())?))
}
