//! Files between two daemons that are not there: what one hands over, the other is given, in any order.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::piece::{Have, Piece, cut};
use crate::control::protocol::{IdempotencyKey, RefusalCode};
use rand::SeedableRng as _;
use shoal_client::ClientKeys;
use shoal_client::SendError;

use super::piece::PIECE_BYTES;
use super::*;

const SPAN: Span = Span::from_secs(64);

fn at(secs: u64) -> Time {
    Time::from_micros((1_000_000 + secs) * 1_000_000)
}

/// Both clocks show this.
fn both(time: Time) -> Now {
    Now {
        steady: time,
        network: time,
    }
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(7)
}

fn peer(seed: u64) -> PeerKey {
    ClientKeys::generate(&mut ChaCha20Rng::seed_from_u64(seed)).public()
}

fn terms(limits: Limits) -> Terms {
    Terms {
        span: SPAN,
        tried: Span::from_secs(7 * 86_400),
        time_to_live: Span::from_secs(14 * 86_400),
        limits,
    }
}

/// Files, and the disk that they are on.
struct Host {
    files: Files,
    disk: BTreeMap<(Table, Vec<u8>), Zeroizing<Vec<u8>>>,
}

impl Host {
    fn new(limits: Limits) -> Self {
        let files = Files::restore(&[], |_, _| false, terms(limits), (rng(), both(at(0)))).unwrap();
        let disk = BTreeMap::new();
        Self { files, disk }
    }

    fn save(&mut self, changes: Vec<Change>) {
        for change in changes {
            let key = (change.table, change.key);
            match change.value {
                Some(value) => drop(self.disk.insert(key, value)),
                None => drop(self.disk.remove(&key)),
            }
        }
    }

    /// As it is after a kill.
    fn again(&mut self, now: Time) {
        let rows = self.disk.iter().map(|((table, key), value)| Row {
            table: *table,
            key: key.clone(),
            value: value.clone(),
        });
        let rows: Vec<_> = rows.collect();
        let has = |id, piece| self.piece(id, piece).is_some();
        let times = (rng(), both(now));
        self.files = Files::restore(&rows, has, terms(Limits::default()), times).unwrap();
    }

    fn piece(&self, id: FileId, piece: u16) -> Option<Zeroizing<Vec<u8>>> {
        self.disk
            .get(&(Table::Piece, piece_key(id, piece)))
            .cloned()
    }

    fn send(&mut self, to: &PeerKey, content: &[u8]) -> FileId {
        let made = self
            .files
            .send(both(at(0)), to, cut_of(7, "a name", content), None);
        let (id, changes) = made.unwrap();
        self.save(changes);
        self.files.accept(id);
        id
    }

    /// Hands over what is due.
    fn hand_over(&mut self, now: Time, message: u8) -> Option<Zeroizing<Vec<u8>>> {
        let (id, piece) = self.files.due(both(now), true)?;
        let bytes = self.piece(id, piece).unwrap();
        let changes = self
            .files
            .handed(both(now), id, MessageId::new([message; 16]));
        self.save(changes);
        Some(bytes)
    }

    /// A piece comes and is saved; the file of which all are here then, joined.
    fn take(&mut self, now: Time, from: &PeerKey, data: &[u8]) -> Option<FileId> {
        let message = MessageId::new([1; 16]);
        match self.files.arrived(both(now), (message, from, true), data) {
            Arrival::Keep(id, piece, changes) => {
                self.save(changes);
                let kept = self.files.kept(both(now), id, piece);
                assert_eq!(kept.read, [message]);
                kept.whole.then(|| {
                    self.join(now, id);
                    id
                })
            }
            Arrival::Spare(changes) => {
                self.save(changes);
                None
            }
            Arrival::Had(_, changes) => {
                self.save(changes);
                None
            }
            Arrival::Saving => panic!("nothing is being saved"),
        }
    }

    fn join(&mut self, now: Time, id: FileId) {
        let (_, pieces) = self.files.pieces(id).unwrap();
        let found = (0..pieces).map(|piece| self.piece(id, piece)).collect();
        let changes = self.files.joined(both(now), id, joined(found).map(drop));
        self.save(changes);
    }

    /// All that is carried is found to wait so.
    fn settle(&mut self, now: Time, waits: Waits) {
        for (_, changes) in self.files.settle(both(now), |_| waits, |_| true) {
            self.save(changes);
        }
    }

    fn state(&self, id: FileId) -> FileState {
        self.files.status(both(at(0)), id, |_| None).unwrap().state
    }

    fn pieces_on_disk(&self) -> usize {
        self.disk
            .keys()
            .filter(|(table, _)| *table == Table::Piece)
            .count()
    }
}

fn cut_of<'a>(seed: u8, name: &'a str, content: &[u8]) -> (&'a str, Cut) {
    (name, Cut::new([seed; 16], name, content).unwrap())
}

fn content(pieces: usize) -> Vec<u8> {
    (0..(pieces - 1) * PIECE_BYTES + 5)
        .map(|at| (at % 251) as u8)
        .collect()
}

/// All pieces of a file, as they are handed over.
fn pieces_of(content: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let (_, pieces) = cut([3; 16], "a name", content).unwrap();
    pieces.iter().map(Piece::encode).collect()
}

#[test]
fn a_file_comes_in_any_order_and_is_what_was_sent() {
    let (alice, content) = (peer(1), content(4));
    let mut bob = Host::new(Limits::default());
    let pieces = pieces_of(&content);
    for number in [2, 0, 2, 3] {
        assert_eq!(bob.take(at(1), &alice, &pieces[number]), None);
        // And through a kill.
        bob.again(at(2));
    }
    let id = bob.take(at(3), &alice, &pieces[1]).unwrap();
    let status = bob
        .files
        .status(both(at(0)), id, |_| Some("Alice".to_owned()))
        .unwrap();
    assert_eq!(status.state, FileState::Complete);
    assert_eq!(
        (&*status.name, status.size, &*status.label),
        ("a name", content.len() as u64, "Alice")
    );
    let found = (0..4).map(|piece| bob.piece(id, piece)).collect();
    assert_eq!(**joined(found).unwrap(), content);
    // What comes once more is of no use.
    assert_eq!(bob.take(at(4), &alice, &pieces[1]), None);
    let gone = bob.files.remove(both(at(5)), id);
    bob.save(gone);
    assert_eq!(bob.pieces_on_disk(), 0);
    let over = bob.files.tidy(both(at(5) + Span::from_secs(14 * 86_400)));
    bob.save(over);
    assert!(bob.disk.is_empty());
}

#[test]
fn pieces_leave_by_a_clock_that_nothing_moves() {
    let bob = peer(2);
    let times = |answer_at_once: bool| {
        let mut alice = Host::new(Limits::default());
        let id = alice.send(&bob, &content(6));
        let mut times = Vec::new();
        for message in 0..6 {
            let now = alice.files.deadline().unwrap();
            assert!(alice.hand_over(now, message).is_some());
            times.push(now);
            if answer_at_once {
                let message = MessageId::new([message; 16]);
                let (of, changes) = alice.files.ended(both(now), &message, true).unwrap();
                alice.save(changes);
                assert_eq!(of, id);
            }
        }
        times
    };
    let times_of_one = times(false);
    assert_eq!(times_of_one, times(true), "receipts bring nothing forward");
    for pair in times_of_one.windows(2) {
        let gap = pair[1].since(pair[0]).as_secs_f64() / SPAN.as_secs_f64();
        assert!((0.9..1.3).contains(&gap), "{gap}");
    }
}

/// The same host once as many pieces of a file are stored as go in an hour, and the file.
fn stored(alice: &mut Host, to: &PeerKey, pieces: usize) -> FileId {
    let id = alice.send(to, &content(pieces));
    for message in 0..HOURLY as u8 {
        let now = alice.files.deadline().unwrap();
        assert!(alice.hand_over(now, message).is_some());
        let (_, changes) = alice
            .files
            .ended(both(now), &MessageId::new([message; 16]), true)
            .unwrap();
        alice.save(changes);
        alice.settle(now, Waits::Gone);
    }
    id
}

/// The next time at which something is handed over, as long as that is not after this.
fn next_handed(alice: &mut Host, message: u8, until: Time) -> Option<Time> {
    loop {
        let now = alice.files.deadline().filter(|now| *now <= until)?;
        if alice.hand_over(now, message).is_some() {
            return Some(now);
        }
    }
}

#[test]
fn more_goes_to_a_contact_once_it_says_that_it_has_what_went_before() {
    let (mut alice, bob) = (Host::new(Limits::default()), peer(2));
    let id = stored(&mut alice, &bob, 10);
    let later = at(8000);
    assert_eq!(next_handed(&mut alice, 9, later), None);
    let told = alice.files.status(both(later), id, |_| None).unwrap();
    assert!(told.done == 6 && told.reason.unwrap().contains("verified"));
    // Nobody else says so for it.
    let have = Have::new(id.0, 0..6).encode();
    alice.take(later, &peer(3), &have);
    assert_eq!(next_handed(&mut alice, 9, at(9000)), None);
    alice.take(later, &bob, &have);
    alice.again(at(9000));
    assert!(next_handed(&mut alice, 9, at(9100)).is_some());
    let told = alice.files.status(both(at(9100)), id, |_| None).unwrap();
    assert_eq!(told.reason, None);
}

/// A mailbox counts what was acknowledged within the hour, too.
#[test]
fn no_more_than_six_pieces_go_to_a_contact_in_an_hour_also_through_a_kill() {
    let (mut alice, bob) = (Host::new(Limits::default()), peer(2));
    let id = stored(&mut alice, &bob, 10);
    let first = at(0);
    alice.take(at(700), &bob, &Have::new(id.0, 0..6).encode());
    alice.again(at(700));
    let next = next_handed(&mut alice, 9, at(9000)).unwrap();
    let waited = next.since(first).as_secs_f64();
    assert!((3600.0..3800.0).contains(&waited), "{waited}");
}

#[test]
fn what_a_contact_has_not_spoken_of_counts_for_its_other_files_and_for_no_other_contact() {
    let (mut alice, bob) = (Host::new(Limits::default()), peer(2));
    let id = stored(&mut alice, &bob, HOURLY);
    assert_eq!(alice.state(id), FileState::Stored);
    let until = at(10_000);
    for (seed, to, goes) in [(20, bob, false), (21, peer(3), true)] {
        let until = at(u64::from(seed) * 500 - 1000);
        let made = alice
            .files
            .send(both(at(0)), &to, cut_of(seed, "n", b"x"), None);
        let (id, changes) = made.unwrap();
        alice.save(changes);
        alice.files.accept(id);
        assert_eq!(next_handed(&mut alice, 20, until).is_some(), goes);
    }
    // Nor is it forgotten with the file.
    let changes = alice.files.remove(both(until), id);
    alice.save(changes);
    assert!(!alice.files.ids().contains(&id));
    assert_eq!(next_handed(&mut alice, 21, at(12_000)), None);
    // What the contact can't have any more does not count.
    let later = until + Span::from_secs(14 * 86_400);
    assert!(alice.hand_over(later, 21).is_some());
    let changes = alice.files.tidy(both(later));
    alice.save(changes);
    alice.again(later);
    assert!(alice.files.pieces(id).is_none(), "then it is forgotten");
}

#[test]
fn a_file_is_delivered_once_its_contact_says_so() {
    let (mut alice, bob) = (Host::new(Limits::default()), peer(2));
    let id = stored(&mut alice, &bob, HOURLY);
    alice.take(at(1000), &bob, &Have::new(id.0, 0..5).encode());
    assert_eq!(alice.state(id), FileState::Stored);
    alice.take(at(1000), &bob, &Have::new(id.0, 0..6).encode());
    assert_eq!(alice.state(id), FileState::Delivered);
}

/// One of its providers may be gone for a day: the second copies wait, and hold up no other contact's files.
#[test]
fn copies_that_wait_stop_their_contacts_files_only() {
    let (mut alice, bob) = (Host::new(Limits::default()), peer(2));
    let id = alice.send(&bob, &content(20));
    let (mut now, mut messages) = (at(0), 0);
    for hour in 1..6 {
        while let Some(at) = next_handed(&mut alice, messages, at(hour * 3600)) {
            let message = MessageId::new([messages; 16]);
            let (_, changes) = alice.files.ended(both(at), &message, true).unwrap();
            alice.save(changes);
            let have = Have::new(id.0, 0..u16::from(messages) + 1).encode();
            alice.take(at, &bob, &have);
            alice.settle(at, Waits::Stored);
            (now, messages) = (at, messages + 1);
        }
    }
    assert_eq!(usize::from(messages), LINGERING);
    let made = alice
        .files
        .send(both(now), &peer(3), cut_of(30, "n", b"x"), None);
    let (other, changes) = made.unwrap();
    alice.save(changes);
    alice.files.accept(other);
    assert!(next_handed(&mut alice, 40, at(30_000)).is_some());
    alice.settle(at(30_000), Waits::Gone);
    assert!(
        next_handed(&mut alice, 41, at(34_000)).is_some(),
        "it goes on"
    );
}

#[test]
fn a_contact_is_told_within_ten_minutes_and_of_all_that_is_here_by_then() {
    let (mut bob, alice) = (Host::new(Limits::default()), peer(1));
    let pieces = pieces_of(&content(4));
    bob.take(at(0), &alice, &pieces[0]);
    let first = bob.files.deadline().unwrap();
    assert!((60..600).contains(&first.since(at(0)).as_micros().div_euclid(1_000_000)));
    bob.take(at(30), &alice, &pieces[2]);
    assert_eq!(
        bob.files.deadline(),
        Some(first),
        "what comes next moves nothing"
    );
    assert!(bob.files.telling(both(at(59))).is_none());
    let telling = bob.files.telling(both(first)).unwrap();
    let have = Have::decode(&telling.data).unwrap();
    assert!(telling.to == alice && telling.pieces == 2);
    assert_eq!(
        [0, 1, 2, 3].map(|piece| have.has(piece)),
        [true, false, true, false]
    );
    // A kill before it is sent: it is told after it, at another time.
    bob.again(first);
    let again = bob.files.deadline().unwrap();
    assert!(again > first && bob.files.telling(both(again)).is_some());
    let changes = bob.files.told(telling.id, 2);
    bob.save(changes);
    bob.again(again);
    let far = again + Span::from_secs(3600);
    assert!(bob.files.telling(both(far)).is_none());
}

#[test]
fn no_more_than_six_pieces_wait_and_room_does_not_set_the_time() {
    let mut alice = Host::new(Limits::default());
    alice.send(&peer(2), &content(12));
    let mut message = 0;
    for _ in 0..20 {
        let now = alice.files.deadline().unwrap();
        message += u8::from(alice.hand_over(now, message).is_some());
    }
    assert_eq!(message, 6);
    let (id, changes) = alice
        .files
        .ended(both(at(3000)), &MessageId::new([0; 16]), true)
        .unwrap();
    alice.save(changes);
    let next = alice.files.deadline().unwrap();
    alice.take(at(3000), &peer(2), &Have::new(id.0, 0..6).encode());
    alice.settle(at(3000), Waits::Gone);
    assert_eq!(alice.files.deadline(), Some(next));
    // Past the hour, when more may go.
    let next = next + Span::from_secs(3600);
    assert!(alice.files.due(both(next), false).is_none());
    let later = alice.files.deadline().unwrap();
    assert!(later > next, "what finds no room waits for the next time");
    let told = alice.files.status(both(next), id, |_| None).unwrap();
    assert!(told.reason.unwrap().contains("too much"));
    assert!(alice.files.due(both(later), true).is_some());
}

#[test]
fn files_take_turns() {
    let mut alice = Host::new(Limits::default());
    let ids: Vec<_> = (0..2)
        .map(|seed| {
            let made =
                alice
                    .files
                    .send(both(at(0)), &peer(2), cut_of(seed, "n", &content(4)), None);
            let (id, changes) = made.unwrap();
            alice.save(changes);
            alice.files.accept(id);
            id
        })
        .collect();
    let mut served = Vec::new();
    for message in 0..4 {
        let now = alice.files.deadline().unwrap();
        let (id, piece) = alice.files.due(both(now), true).unwrap();
        served.push((id, piece));
        let changes = alice
            .files
            .handed(both(now), id, MessageId::new([message; 16]));
        alice.save(changes);
    }
    for id in ids {
        let own: Vec<_> = served
            .iter()
            .filter(|(of, _)| *of == id)
            .map(|(_, piece)| *piece)
            .collect();
        assert_eq!(own, [0, 1]);
    }
}

#[test]
fn a_file_is_stored_once_all_pieces_are_and_its_pieces_go() {
    let mut alice = Host::new(Limits::default());
    let id = alice.send(&peer(2), &content(2));
    assert_eq!(alice.pieces_on_disk(), 2);
    for message in 0..2 {
        let now = alice.files.deadline().unwrap();
        assert!(alice.hand_over(now, message).is_some());
    }
    for message in 0..2 {
        assert_eq!(alice.state(id), FileState::Sending);
        let message = MessageId::new([message; 16]);
        let (_, changes) = alice.files.ended(both(at(200)), &message, true).unwrap();
        alice.save(changes);
    }
    assert_eq!(alice.state(id), FileState::Stored);
    alice.settle(at(200), Waits::Gone);
    assert_eq!((alice.pieces_on_disk(), alice.files.deadline()), (0, None));
}

#[test]
fn a_kill_between_the_outbox_and_the_row_loses_no_piece() {
    let mut alice = Host::new(Limits::default());
    let id = alice.send(&peer(2), &content(2));
    let now = alice.files.deadline().unwrap();
    // Handed over, and killed before the row was saved: it is handed over again.
    let due = alice.files.due(both(now), true);
    alice.again(now);
    let now = alice.files.deadline().unwrap();
    assert_eq!(alice.files.due(both(now), true), due);
    let changes = alice.files.handed(both(now), id, MessageId::new([0; 16]));
    alice.save(changes);
    // It was stored while nobody heard of it.
    alice.again(now);
    let ended = alice.files.settle(both(now), |_| Waits::Gone, |_| true);
    assert_eq!(
        alice.files.status(both(at(0)), id, |_| None).unwrap().done,
        1
    );
    for (_, changes) in ended {
        alice.save(changes);
    }
    let now = alice.files.deadline().unwrap();
    assert!(alice.hand_over(now, 1).is_some());
    // The other one's time was over.
    let late = now + Span::from_secs(7 * 86_400);
    for (_, changes) in alice.files.settle(both(late), |_| Waits::Gone, |_| true) {
        alice.save(changes);
    }
    assert_eq!(
        (alice.state(id), alice.pieces_on_disk()),
        (FileState::Expired, 0)
    );
}

#[test]
fn to_who_is_no_contact_any_more_nothing_is_sent() {
    let mut alice = Host::new(Limits::default());
    let id = alice.send(&peer(2), &content(2));
    let ended = alice.files.settle(both(at(1)), |_| Waits::Yes, |_| false);
    assert_eq!(ended.len(), 1);
    assert_eq!(
        (alice.state(id), alice.files.deadline()),
        (FileState::Failed, None)
    );
    assert!(
        alice
            .files
            .status(both(at(0)), id, |_| None)
            .unwrap()
            .reason
            .is_some()
    );
}

#[test]
fn what_passes_is_tried_again_and_what_does_not_fails() {
    let mut alice = Host::new(Limits::default());
    let id = alice.send(&peer(2), &content(2));
    let full = SendError::OutboxFull {
        waiting: 1,
        limit: 1,
    };
    for (reason, state) in [
        (full, FileState::Sending),
        (SendError::NoMailbox, FileState::Sending),
        (SendError::NoSession, FileState::Failed),
    ] {
        let now = alice.files.deadline().unwrap();
        alice.files.due(both(now), true).unwrap();
        let changes = alice.files.not_handed(both(now), id, &reason);
        alice.save(changes);
        assert_eq!(alice.state(id), state, "{reason}");
    }
    assert_eq!(alice.pieces_on_disk(), 0);
}

#[test]
fn a_contact_fills_no_disk_and_no_other_contacts_share() {
    let limits = Limits {
        of_one: 2,
        of_one_bytes: 200_000,
        refused_of_one: 2,
        ..Limits::default()
    };
    let mut bob = Host::new(limits);
    let first = |seed: u8, content: &[u8]| {
        let (_, pieces) = cut([seed; 16], "n", content).unwrap();
        pieces[0].encode()
    };
    let alice = peer(1);
    let (large, small) = (content(2), b"small".to_vec());
    bob.take(at(1), &alice, &first(1, &large));
    bob.take(at(1), &alice, &first(2, &content(3)));
    let states = |bob: &Host| -> Vec<_> {
        bob.files
            .ids()
            .into_iter()
            .map(|id| bob.state(id))
            .collect()
    };
    assert_eq!(states(&bob).len(), 2);
    assert!(
        states(&bob).contains(&FileState::Refused),
        "its size is said before it is here"
    );
    assert_eq!(bob.pieces_on_disk(), 1);
    bob.take(at(1), &alice, &first(3, &small)).unwrap();
    for (seed, secs) in (4..9).zip(2..) {
        bob.take(at(secs), &alice, &first(seed, &small));
    }
    // Each is told of, and the older ones give way.
    let refused = states(&bob)
        .iter()
        .filter(|it| **it == FileState::Refused)
        .count();
    assert_eq!((states(&bob).len(), refused), (4, 2));
    assert!(bob.take(at(9), &peer(9), &first(1, &small)).is_some());
    // What was saved and removed makes room.
    for id in bob.files.ids() {
        let changes = bob.files.remove(both(at(10)), id);
        bob.save(changes);
    }
    assert!(bob.take(at(11), &alice, &first(20, &small)).is_some());
}

/// Also one of which the last piece comes, or the only one again.
#[test]
fn what_was_removed_does_not_come_back_and_its_contact_is_told_what_had_come() {
    let (mut bob, alice) = (Host::new(Limits::default()), peer(1));
    let pieces = pieces_of(&content(2));
    bob.take(at(0), &alice, &pieces[0]);
    let id = bob.files.ids()[0];
    let changes = bob.files.remove(both(at(1)), id);
    bob.save(changes);
    assert_eq!((bob.pieces_on_disk(), bob.files.ids().len()), (0, 0));
    bob.again(at(2));
    for piece in &pieces {
        assert_eq!(bob.take(at(3), &alice, piece), None);
    }
    assert_eq!((bob.pieces_on_disk(), bob.files.ids().len()), (0, 0));
    let tells = bob.files.deadline().unwrap();
    let told = bob.files.telling(both(tells)).unwrap();
    let have = Have::decode(&told.data).unwrap();
    assert!(have.has(0) && !have.has(1));
}

#[test]
fn who_is_verified_later_is_told_later() {
    let (mut bob, alice) = (Host::new(Limits::default()), peer(1));
    bob.take(at(0), &alice, &pieces_of(&content(2))[0]);
    let tells = bob.files.deadline().unwrap();
    let id = bob.files.telling(both(tells)).unwrap().id;
    bob.files.tell_later(both(tells), id);
    let again = bob.files.deadline().unwrap();
    assert!(again > tells && bob.files.telling(both(again)).is_some());
}

#[test]
fn newcomers_files_are_told_of_and_not_taken() {
    let mut bob = Host::new(Limits::default());
    let pieces = pieces_of(b"small");
    for seed in 0..80 {
        // Each twice.
        let come = (MessageId::new([1; 16]), &peer(100 + seed / 2), false);
        match bob.files.arrived(both(at(1)), come, &pieces[0]) {
            Arrival::Spare(changes) => bob.save(changes),
            _ => panic!("it is not taken"),
        }
    }
    let ids = bob.files.ids();
    assert_eq!((ids.len(), bob.pieces_on_disk()), (32, 0));
    let told = bob.files.status(both(at(0)), ids[0], |_| None).unwrap();
    assert!(told.state == FileState::Refused && told.reason.unwrap().contains("contact"));
    // They take nothing from contacts.
    assert!(bob.take(at(1), &peer(1), &pieces[0]).is_some());
}

#[test]
fn nobody_adds_to_anothers_file() {
    let mut bob = Host::new(Limits::default());
    let pieces = pieces_of(&content(2));
    bob.take(at(1), &peer(1), &pieces[0]);
    assert_eq!(bob.take(at(1), &peer(2), &pieces[1]), None);
    assert_eq!(bob.files.ids().len(), 2);
    assert!(bob.take(at(1), &peer(1), &pieces[1]).is_some());
}

#[test]
fn what_is_not_what_its_sender_said_is_deleted() {
    let mut bob = Host::new(Limits::default());
    let mut pieces = pieces_of(&content(2));
    let last = pieces[1].len() - 1;
    pieces[1][last] ^= 1;
    bob.take(at(1), &peer(1), &pieces[0]);
    let id = bob.take(at(1), &peer(1), &pieces[1]).unwrap();
    assert_eq!(
        (bob.state(id), bob.pieces_on_disk()),
        (FileState::Damaged, 0)
    );
    let far = at(1) + Span::from_secs(7200);
    assert!(
        bob.files.telling(both(far)).is_none(),
        "nobody is told that it is here"
    );
    bob.again(far);
    assert!(
        bob.files
            .telling(both(far + Span::from_secs(7200)))
            .is_none()
    );
}

#[test]
fn a_piece_that_was_not_saved_is_none() {
    let mut bob = Host::new(Limits::default());
    let pieces = pieces_of(&content(2));
    let alice = peer(1);
    let message = MessageId::new([1; 16]);
    let Arrival::Keep(id, piece, _) =
        bob.files
            .arrived(both(at(1)), (message, &alice, true), &pieces[0])
    else {
        panic!("it is new");
    };
    bob.files.not_kept(both(at(1)), id, piece);
    assert_eq!(bob.take(at(2), &alice, &pieces[1]), None);
    assert!(bob.take(at(3), &alice, &pieces[0]).is_some());
    // A row says that it is here, and it is not: found at the next start, or when it is joined.
    let gone = (Table::Piece, piece_key(id, 1));
    for at_start in [true, false] {
        let kept = bob.disk.remove(&gone).unwrap();
        let mut row = bob.files.all[&id].clone();
        row.state = FileState::Receiving;
        bob.save(vec![row.put(id)]);
        if at_start {
            bob.again(at(4));
            assert_eq!(bob.files.unjoined(), []);
        } else {
            bob.disk.insert(gone.clone(), kept);
            bob.again(at(4));
            assert_eq!(bob.files.unjoined(), [id]);
            bob.disk.remove(&gone);
            bob.join(at(5), id);
        }
        assert_eq!(bob.state(id), FileState::Receiving);
        assert!(bob.take(at(6), &alice, &pieces[1]).is_some());
        assert_eq!(bob.state(id), FileState::Complete);
    }
}

#[test]
fn what_does_not_come_whole_is_deleted_after_the_time_to_live() {
    let mut bob = Host::new(Limits::default());
    bob.take(at(1), &peer(1), &pieces_of(&content(2))[0]);
    // Whether it is told of is no matter.
    let tells = bob.files.deadline().unwrap();
    assert!(bob.files.telling(both(tells)).is_some());
    let deadline = bob.files.deadline().unwrap();
    assert_eq!(deadline, at(1) + Span::from_secs(14 * 86_400));
    assert!(bob.files.stall(both(at(2))).is_empty());
    for (_, changes) in bob.files.stall(both(deadline)) {
        bob.save(changes);
    }
    assert_eq!((bob.pieces_on_disk(), bob.files.deadline()), (0, None));
}

#[test]
fn a_name_that_is_a_path_is_not_sent_and_not_believed() {
    let mut alice = Host::new(Limits::default());
    for name in ["../x", "", "a\nb"] {
        let refused = alice
            .files
            .send(both(at(0)), &peer(2), cut_of(1, name, b"x"), None);
        assert_eq!(refused.unwrap_err().code, RefusalCode::Invalid);
    }
    let mut bob = Host::new(Limits::default());
    let (_, pieces) = cut([1; 16], "../../.ssh/authorized_keys", b"x").unwrap();
    let id = bob.take(at(1), &peer(1), &pieces[0].encode()).unwrap();
    let status = bob.files.status(both(at(0)), id, |_| None).unwrap();
    assert_eq!(status.name, "_._.._.ssh_authorized_keys");
}

#[test]
fn rows_that_were_damaged_are_refused() {
    let mut alice = Host::new(Limits::default());
    alice.send(&peer(2), b"x");
    let rows = alice
        .disk
        .iter()
        .filter(|((table, _), _)| *table == Table::File);
    let good = rows.map(|((table, key), value)| Row {
        table: *table,
        key: key.clone(),
        value: value.clone(),
    });
    let good: Vec<_> = good.collect();
    let restore = |row: Row| {
        Files::restore(
            &[row],
            |_, _| true,
            terms(Limits::default()),
            (rng(), both(at(0))),
        )
        .is_ok()
    };
    assert!(restore(good[0].clone()));
    for at in 0..good[0].value.len() {
        let mut row = good[0].clone();
        row.value.truncate(at);
        assert!(!restore(row));
    }
}

/// A program that has got no answer asks again: the file is sent once, through restarts, as long as it is listed.
#[test]
fn a_key_sends_a_file_once() {
    let (mut alice, bob) = (Host::new(Limits::default()), peer(2));
    let key: IdempotencyKey = "report-7".parse().unwrap();
    let cut = |seed, content: &[u8]| Cut::new([seed; 16], "report", content).unwrap();
    let first = cut(1, b"one");
    assert!(alice.files.keyed(&bob, &first, &key).unwrap().is_none());
    let made = alice
        .files
        .send(both(at(0)), &bob, ("report", first), Some(&key));
    let (id, changes) = made.unwrap();
    let refused =
        |host: &Host, to: &PeerKey, cut: &Cut| host.files.keyed(to, cut, &key).unwrap_err().code;
    assert_eq!(refused(&alice, &bob, &cut(2, b"one")), RefusalCode::Busy);
    alice.save(changes);
    alice.files.accept(id);
    alice.again(at(1));
    assert!(alice.files.keyed(&bob, &cut(2, b"one"), &key).unwrap() == Some(id));
    for (to, content) in [(bob, &b"two"[..]), (peer(3), b"one")] {
        assert_eq!(
            refused(&alice, &to, &cut(2, content)),
            RefusalCode::Conflict
        );
    }
}

/// A piece that the disk did not take is wanted until it did, or its file is gone.
#[test]
fn a_piece_that_could_not_be_saved_is_saved_once_more() {
    let (mut bob, alice) = (Host::new(Limits::default()), peer(1));
    let (_, cut) = cut_of(7, "a name", &content(2));
    let message = MessageId::new([1; 16]);
    let came = bob
        .files
        .arrived(both(at(1)), (message, &alice, true), &cut.pieces[0]);
    let Arrival::Keep(id, piece, changes) = came else {
        panic!("it is new");
    };
    let row = changes
        .into_iter()
        .find(|it| it.table == Table::Piece)
        .unwrap();
    let own = bob.files.again(id, piece).unwrap();
    bob.save(vec![row, own]);
    assert_eq!(bob.files.kept(both(at(60)), id, piece).read, [message]);
    assert!(bob.files.again(id, piece).is_none());
    bob.again(at(61));
    assert!(bob.files.pieces(id).is_some() && bob.piece(id, piece).is_some());
}
