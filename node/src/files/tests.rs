//! Files between two daemons that are not there: what one hands over, the other is given, in any order.

#![allow(clippy::unwrap_used, reason = "tests")]

use rand::SeedableRng as _;
use shoal_client::ClientKeys;

use super::piece::PIECE_BYTES;
use super::*;

const SPAN: Span = Span::from_secs(64);

fn at(secs: u64) -> Time {
    Time::from_micros((1_000_000 + secs) * 1_000_000)
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
        let files = Files::restore(&[], terms(limits), rng(), at(0)).unwrap();
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
        self.files = Files::restore(&rows, terms(Limits::default()), rng(), now).unwrap();
    }

    fn piece(&self, id: FileId, piece: u16) -> Option<Zeroizing<Vec<u8>>> {
        self.disk
            .get(&(Table::Piece, piece_key(id, piece)))
            .cloned()
    }

    fn send(&mut self, to: &PeerKey, content: &[u8]) -> FileId {
        let made = self.files.send(at(0), &mut rng(), to, ("a name", content));
        let (id, changes) = made.unwrap();
        self.save(changes);
        self.files.accept(id);
        id
    }

    /// Hands over what is due.
    fn hand_over(&mut self, now: Time, message: u8) -> Option<Zeroizing<Vec<u8>>> {
        let (id, piece) = self.files.due(now, true)?;
        let bytes = self.piece(id, piece).unwrap();
        let changes = self.files.handed(now, id, MessageId::new([message; 16]));
        self.save(changes);
        Some(bytes)
    }

    /// A piece comes and is saved; the file of which all are here then, joined.
    fn take(&mut self, now: Time, from: &PeerKey, data: &[u8]) -> Option<FileId> {
        let message = MessageId::new([1; 16]);
        match self.files.arrived(now, (message, from, true), data) {
            Arrival::Keep(id, piece, changes) => {
                self.save(changes);
                let kept = self.files.kept(now, id, piece);
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
        let changes = self.files.joined(now, id, joined(found).map(drop));
        self.save(changes);
    }

    fn state(&self, id: FileId) -> FileState {
        self.files.status(id, |_| None).unwrap().state
    }

    fn pieces_on_disk(&self) -> usize {
        self.disk
            .keys()
            .filter(|(table, _)| *table == Table::Piece)
            .count()
    }
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
    let status = bob.files.status(id, |_| Some("Alice".to_owned())).unwrap();
    assert_eq!(status.state, FileState::Complete);
    assert_eq!(
        (&*status.name, status.size, &*status.label),
        ("a name", content.len() as u64, "Alice")
    );
    let found = (0..4).map(|piece| bob.piece(id, piece)).collect();
    assert_eq!(**joined(found).unwrap(), content);
    // What comes once more is of no use.
    assert_eq!(bob.take(at(4), &alice, &pieces[1]), None);
    let gone = bob.files.remove(id);
    bob.save(gone);
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
                let (of, changes) = alice.files.ended(now, &message, true).unwrap();
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

/// A host of which so many pieces of a file are stored, and the file.
fn stored(alice: &mut Host, to: &PeerKey, pieces: usize) -> FileId {
    let id = alice.send(to, &content(pieces));
    for message in 0..8 {
        let now = alice.files.deadline().unwrap();
        if alice.hand_over(now, message).is_some() {
            let (_, changes) = alice
                .files
                .ended(now, &MessageId::new([message; 16]), true)
                .unwrap();
            alice.save(changes);
        }
    }
    id
}

#[test]
fn more_goes_to_a_contact_once_it_says_that_it_has_what_went_before() {
    let (mut alice, bob) = (Host::new(Limits::default()), peer(2));
    let id = stored(&mut alice, &bob, 10);
    let mut later = alice.files.deadline().unwrap();
    for _ in 0..5 {
        assert!(alice.hand_over(later, 9).is_none());
        later = alice.files.deadline().unwrap();
    }
    let told = alice.files.status(id, |_| None).unwrap();
    assert!(told.done == 8 && told.reason.unwrap().contains("verified"));
    // Nobody else says so for it.
    let have = Have::new(id.0, 0..8).encode();
    alice.take(later, &peer(3), &have);
    assert!(alice.hand_over(later, 9).is_none());
    alice.take(later, &bob, &have);
    alice.again(later);
    let later = alice.files.deadline().unwrap();
    assert!(alice.hand_over(later, 9).is_some());
    assert_eq!(alice.files.status(id, |_| None).unwrap().reason, None);
}

#[test]
fn what_a_contact_has_not_spoken_of_counts_for_its_other_files_and_for_no_other_contact() {
    let (mut alice, bob) = (Host::new(Limits::default()), peer(2));
    let id = stored(&mut alice, &bob, 8);
    assert_eq!(alice.state(id), FileState::Stored);
    let mut seeds = ChaCha20Rng::seed_from_u64(8);
    for (to, goes) in [(bob, false), (peer(3), true)] {
        let (id, changes) = alice
            .files
            .send(at(0), &mut seeds, &to, ("n", b"x"))
            .unwrap();
        alice.save(changes);
        alice.files.accept(id);
        let now = alice.files.deadline().unwrap();
        assert_eq!(alice.hand_over(now, 20).is_some(), goes);
    }
    // What it can't have any more does not count.
    let later = at(1000) + Span::from_secs(14 * 86_400);
    assert!(alice.hand_over(later, 21).is_some());
    alice.take(later, &bob, &Have::new(id.0, 0..8).encode());
    assert_eq!(alice.state(id), FileState::Delivered);
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
    assert!(bob.files.telling(at(59)).is_none());
    let telling = bob.files.telling(first).unwrap();
    let have = Have::decode(&telling.data).unwrap();
    assert!(telling.to == alice && telling.pieces == 2);
    assert_eq!(
        [0, 1, 2, 3].map(|piece| have.has(piece)),
        [true, false, true, false]
    );
    // A kill before it is sent: it is told after it, at another time.
    bob.again(first);
    let again = bob.files.deadline().unwrap();
    assert!(again > first && bob.files.telling(again).is_some());
    let changes = bob.files.told(telling.id, 2);
    bob.save(changes);
    bob.again(again);
    let far = again + Span::from_secs(3600);
    assert!(bob.files.telling(far).is_none());
}

#[test]
fn no_more_than_eight_pieces_wait_and_room_does_not_set_the_time() {
    let mut alice = Host::new(Limits::default());
    alice.send(&peer(2), &content(12));
    let mut message = 0;
    for _ in 0..20 {
        let now = alice.files.deadline().unwrap();
        message += u8::from(alice.hand_over(now, message).is_some());
    }
    assert_eq!(message, 8);
    let next = alice.files.deadline().unwrap();
    let (id, changes) = alice
        .files
        .ended(at(5000), &MessageId::new([0; 16]), true)
        .unwrap();
    alice.save(changes);
    let have = Have::new(id.0, 0..1).encode();
    alice.take(at(5000), &peer(2), &have);
    assert_eq!(alice.files.deadline(), Some(next));
    assert!(alice.files.due(next, false).is_none());
    let later = alice.files.deadline().unwrap();
    assert!(later > next, "what finds no room waits for the next time");
    assert!(alice.files.due(later, true).is_some());
}

#[test]
fn files_take_turns() {
    let mut alice = Host::new(Limits::default());
    let mut seeds = rng();
    let ids: Vec<_> = (0..2)
        .map(|_| {
            let made = alice
                .files
                .send(at(0), &mut seeds, &peer(2), ("n", &content(4)));
            let (id, changes) = made.unwrap();
            alice.save(changes);
            alice.files.accept(id);
            id
        })
        .collect();
    let mut served = Vec::new();
    for message in 0..4 {
        let now = alice.files.deadline().unwrap();
        let (id, piece) = alice.files.due(now, true).unwrap();
        served.push((id, piece));
        let changes = alice.files.handed(now, id, MessageId::new([message; 16]));
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
        let (_, changes) = alice.files.ended(at(200), &message, true).unwrap();
        alice.save(changes);
    }
    assert_eq!(alice.state(id), FileState::Stored);
    assert_eq!((alice.pieces_on_disk(), alice.files.deadline()), (0, None));
}

#[test]
fn a_kill_between_the_outbox_and_the_row_loses_no_piece() {
    let mut alice = Host::new(Limits::default());
    let id = alice.send(&peer(2), &content(2));
    let now = alice.files.deadline().unwrap();
    // Handed over, and killed before the row was saved: it is handed over again.
    let due = alice.files.due(now, true);
    alice.again(now);
    let now = alice.files.deadline().unwrap();
    assert_eq!(alice.files.due(now, true), due);
    let changes = alice.files.handed(now, id, MessageId::new([0; 16]));
    alice.save(changes);
    // It was stored while nobody heard of it.
    alice.again(now);
    let ended = alice.files.settle(now, |_| false, |_| true);
    assert_eq!(ended.len(), 1);
    assert_eq!(alice.files.status(id, |_| None).unwrap().done, 1);
    for (_, changes) in ended {
        alice.save(changes);
    }
    let now = alice.files.deadline().unwrap();
    assert!(alice.hand_over(now, 1).is_some());
    // The other one's time was over.
    let late = now + Span::from_secs(7 * 86_400);
    for (_, changes) in alice.files.settle(late, |_| false, |_| true) {
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
    let ended = alice.files.settle(at(1), |_| true, |_| false);
    assert_eq!(ended.len(), 1);
    assert_eq!(
        (alice.state(id), alice.files.deadline()),
        (FileState::Failed, None)
    );
    assert!(alice.files.status(id, |_| None).unwrap().reason.is_some());
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
        alice.files.due(now, true).unwrap();
        let changes = alice.files.not_handed(now, id, &reason);
        alice.save(changes);
        assert_eq!(alice.state(id), state, "{reason}");
    }
    assert_eq!(alice.pieces_on_disk(), 0);
}

#[test]
fn a_contact_fills_no_disk_and_no_other_contacts_share() {
    let limits = Limits {
        of_one: 3,
        of_one_bytes: 200_000,
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
    bob.take(at(1), &alice, &first(4, &small));
    assert_eq!(states(&bob).len(), 3, "no row for the fourth");
    assert!(bob.take(at(1), &peer(9), &first(1, &small)).is_some());
}

#[test]
fn newcomers_files_are_told_of_and_not_taken() {
    let mut bob = Host::new(Limits::default());
    let pieces = pieces_of(b"small");
    for seed in 0..40 {
        let come = (MessageId::new([1; 16]), &peer(100 + seed), false);
        match bob.files.arrived(at(1), come, &pieces[0]) {
            Arrival::Spare(changes) => bob.save(changes),
            _ => panic!("it is not taken"),
        }
    }
    let ids = bob.files.ids();
    assert_eq!((ids.len(), bob.pieces_on_disk()), (32, 0));
    let told = bob.files.status(ids[0], |_| None).unwrap();
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
}

#[test]
fn a_piece_that_was_not_saved_is_none() {
    let mut bob = Host::new(Limits::default());
    let pieces = pieces_of(&content(2));
    let alice = peer(1);
    let message = MessageId::new([1; 16]);
    let Arrival::Keep(id, piece, _) = bob
        .files
        .arrived(at(1), (message, &alice, true), &pieces[0])
    else {
        panic!("it is new");
    };
    bob.files.not_kept(at(1), id, piece);
    assert_eq!(bob.take(at(2), &alice, &pieces[1]), None);
    assert!(bob.take(at(3), &alice, &pieces[0]).is_some());
    // A row says that it is here, and it is not.
    bob.disk.remove(&(Table::Piece, piece_key(id, 1)));
    let mut row = bob.files.all[&id].clone();
    row.state = FileState::Receiving;
    bob.save(vec![row.put(id)]);
    bob.again(at(4));
    assert_eq!(bob.files.unjoined(), [id]);
    bob.join(at(5), id);
    assert_eq!(bob.state(id), FileState::Receiving);
    assert!(bob.take(at(6), &alice, &pieces[1]).is_some());
    assert_eq!(bob.state(id), FileState::Complete);
}

#[test]
fn what_does_not_come_whole_is_deleted_after_the_time_to_live() {
    let mut bob = Host::new(Limits::default());
    bob.take(at(1), &peer(1), &pieces_of(&content(2))[0]);
    // Whether it is told of is no matter.
    let tells = bob.files.deadline().unwrap();
    assert!(bob.files.telling(tells).is_some());
    let deadline = bob.files.deadline().unwrap();
    assert_eq!(deadline, at(1) + Span::from_secs(14 * 86_400));
    assert!(bob.files.stall(at(2)).is_empty());
    for (_, changes) in bob.files.stall(deadline) {
        bob.save(changes);
    }
    assert_eq!((bob.pieces_on_disk(), bob.files.deadline()), (0, None));
}

#[test]
fn a_name_that_is_a_path_is_not_sent_and_not_believed() {
    let mut alice = Host::new(Limits::default());
    for name in ["../x", "", "a\nb"] {
        let refused = alice.files.send(at(0), &mut rng(), &peer(2), (name, b"x"));
        assert_eq!(refused.unwrap_err().code, RefusalCode::Invalid);
    }
    let mut bob = Host::new(Limits::default());
    let (_, pieces) = cut([1; 16], "../../.ssh/authorized_keys", b"x").unwrap();
    let id = bob.take(at(1), &peer(1), &pieces[0].encode()).unwrap();
    let status = bob.files.status(id, |_| None).unwrap();
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
    let restore = |row: Row| Files::restore(&[row], terms(Limits::default()), rng(), at(0)).is_ok();
    assert!(restore(good[0].clone()));
    for at in 0..good[0].value.len() {
        let mut row = good[0].clone();
        row.value.truncate(at);
        assert!(!restore(row));
    }
}
