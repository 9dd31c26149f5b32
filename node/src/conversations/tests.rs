#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use shoal_client::{Change, ClientKeys, PeerKey, Row, Table};
use shoal_proto::{MessageId, Time};

use super::{Conversations, Fate, Incoming, text_key};

fn peer(seed: u64) -> PeerKey {
    ClientKeys::generate(&mut ChaCha20Rng::seed_from_u64(seed)).public()
}

fn id(number: u8) -> MessageId {
    MessageId::new([number; MessageId::BYTES])
}

fn minute(minutes: u32) -> Time {
    Time::from_minutes(minutes)
}

/// A disk.
#[derive(Default)]
struct Disk(BTreeMap<(Table, Vec<u8>), Vec<u8>>);

impl Disk {
    fn apply(&mut self, changes: Vec<Change>) {
        for Change { table, key, value } in changes {
            match value {
                Some(value) => drop(self.0.insert((table, key), value.to_vec())),
                None => drop(self.0.remove(&(table, key))),
            }
        }
    }

    fn started(&self, kept: usize) -> Conversations {
        let rows = self
            .0
            .iter()
            .filter(|((table, _), _)| *table == Table::Line);
        let rows: Vec<Row> = rows
            .map(|((table, key), value)| Row {
                table: *table,
                key: key.clone(),
                value: value.clone().into(),
            })
            .collect();
        Conversations::restore(&rows, kept).unwrap()
    }

    /// The texts of a conversation, from the first on.
    fn texts(&self, all: &Conversations, with: &PeerKey) -> Vec<String> {
        let mut texts: Vec<String> = all
            .lines(with, None)
            .map(|line| {
                let said = &self.0[&(Table::Said, text_key(with, line.number))];
                String::from_utf8(said.clone()).unwrap()
            })
            .collect();
        texts.reverse();
        texts
    }
}

fn say(all: &mut Conversations, to: PeerKey, number: u8, text: &str) -> Vec<Change> {
    let request = u64::from(number);
    all.compose(request, to, text.as_bytes(), (minute(1), None));
    let changes = all.accompany(id(number));
    all.composed();
    all.accepted(request);
    changes
}

fn hear(all: &mut Conversations, from: PeerKey, number: u8, text: &str) -> (u64, Vec<Change>) {
    all.came(
        from,
        &Incoming {
            message: id(number),
            text: text.as_bytes(),
            at: minute(2),
            expires: None,
            gap_before: 0,
        },
    )
}

#[test]
fn both_sides_are_there_in_order_after_a_restart() {
    let (bob, mut disk) = (peer(1), Disk::default());
    let mut all = disk.started(10);
    disk.apply(say(&mut all, bob, 1, "hello"));
    let (number, changes) = hear(&mut all, bob, 2, "hello you");
    disk.apply(changes);
    all.saved(bob, number);
    disk.apply(say(&mut all, bob, 3, "how are you?"));
    disk.apply(all.became(&id(1), Fate::Delivered));
    disk.apply(all.became(&id(1), Fate::Stored));
    let mut all = disk.started(10);
    assert_eq!(
        disk.texts(&all, &bob),
        ["hello", "hello you", "how are you?"]
    );
    let first = all.lines(&bob, Some(1)).next().unwrap();
    assert_eq!((first.own, first.fate), (true, Some(Fate::Delivered)));
    // What is unread is told of again, and stands where it stood.
    assert_eq!(hear(&mut all, bob, 2, "hello you"), (1, Vec::new()));
    assert!(all.lines(&bob, Some(2)).next().unwrap().unread);
    assert!(all.unsaved(&bob, id(2), b"hello you").is_none());
    assert_eq!(all.lines(&peer(2), None).count(), 0);
}

#[test]
fn what_is_unread_or_on_its_way_gives_way_to_nothing() {
    let (bob, mut disk) = (peer(1), Disk::default());
    let mut all = disk.started(1);
    disk.apply(say(&mut all, bob, 1, "on its way"));
    disk.apply(hear(&mut all, bob, 2, "unread").1);
    disk.apply(say(&mut all, bob, 3, "stored"));
    assert_eq!(disk.texts(&all, &bob).len(), 3);
    disk.apply(all.became(&id(3), Fate::Stored));
    assert_eq!(disk.texts(&all, &bob), ["on its way", "unread"]);
    disk.apply(all.read(&bob, id(2)));
    assert_eq!(disk.texts(&all, &bob), ["on its way"]);
    disk.apply(all.became(&id(1), Fate::Stored));
    assert_eq!(disk.texts(&all, &bob), ["on its way"]);
    assert_eq!(disk.0.len(), 2);
}

#[test]
fn with_no_history_nothing_stays_that_is_done_with() {
    let (bob, mut disk) = (peer(1), Disk::default());
    let mut all = disk.started(0);
    disk.apply(say(&mut all, bob, 1, "mine"));
    disk.apply(hear(&mut all, bob, 2, "its").1);
    disk.apply(all.became(&id(1), Fate::Stored));
    disk.apply(all.read(&bob, id(2)));
    assert!(disk.0.is_empty());
}

#[test]
fn what_was_not_accepted_was_not_said() {
    let (bob, disk) = (peer(1), Disk::default());
    let mut all = disk.started(10);
    all.compose(7, bob, b"lost", (minute(1), None));
    assert!(!all.accompany(id(1)).is_empty());
    all.composed();
    all.refused(7);
    assert_eq!(all.lines(&bob, None).count(), 0);
    // What a program sends is no text of anybody's.
    assert!(all.accompany(id(2)).is_empty());
}

#[test]
fn a_text_whose_line_could_not_be_saved_is_saved_before_it_is_forgotten_elsewhere() {
    let (bob, mut disk) = (peer(1), Disk::default());
    let mut all = disk.started(10);
    let (number, lost) = hear(&mut all, bob, 1, "hello");
    assert_eq!(lost.len(), 2);
    let (again, changes) = all.unsaved(&bob, id(1), b"hello").unwrap();
    assert_eq!(again, number);
    disk.apply(changes);
    all.saved(bob, number);
    assert!(all.unsaved(&bob, id(1), b"hello").is_none());
    assert_eq!(disk.texts(&all, &bob), ["hello"]);
}

#[test]
fn what_is_to_vanish_does_on_both_sides() {
    let (bob, mut disk) = (peer(1), Disk::default());
    let mut all = disk.started(10);
    all.compose(1, bob, b"mine", (minute(1), Some(minute(5))));
    disk.apply(all.accompany(id(1)));
    let incoming = |number, expires| Incoming {
        message: id(number),
        text: b"its",
        at: minute(1),
        expires: Some(minute(expires)),
        gap_before: 0,
    };
    disk.apply(all.came(bob, &incoming(2, 6)).1);
    disk.apply(all.came(bob, &incoming(3, 6)).1);
    assert_eq!(all.deadline(), Some(minute(5)));
    disk.apply(all.tidy(minute(5)));
    assert_eq!(disk.texts(&all, &bob), ["its", "its"]);
    // Unread, until the role has deleted its own; then nothing is waited for again and again.
    disk.apply(all.tidy(minute(6)));
    assert_eq!((disk.texts(&all, &bob).len(), all.deadline()), (2, None));
    disk.apply(all.vanished(&bob, id(2)));
    disk.apply(all.read(&bob, id(3)));
    assert_eq!(all.deadline(), Some(minute(6)));
    disk.apply(all.tidy(minute(6)));
    assert!(disk.0.is_empty());
}

/// Whoever knows an id of somebody else's message takes nothing from that.
#[test]
fn contacts_messages_of_one_id_are_two() {
    let (bob, carol, mut disk) = (peer(1), peer(2), Disk::default());
    let mut all = disk.started(10);
    disk.apply(say(&mut all, bob, 1, "to Bob"));
    disk.apply(hear(&mut all, bob, 1, "of Bob").1);
    disk.apply(hear(&mut all, carol, 1, "of Carol").1);
    disk.apply(all.vanished(&carol, id(1)));
    disk.apply(all.became(&id(1), Fate::Read));
    assert_eq!(disk.texts(&all, &bob), ["to Bob", "of Bob"]);
    let own: Vec<_> = all.lines(&bob, None).map(|line| line.fate).collect();
    assert_eq!(own, [None, Some(Fate::Read)]);
}

#[test]
fn what_is_cleared_or_forgotten_is_gone_from_the_disk() {
    let (bob, carol, mut disk) = (peer(1), peer(2), Disk::default());
    let mut all = disk.started(10);
    disk.apply(say(&mut all, bob, 1, "stored"));
    disk.apply(all.became(&id(1), Fate::Stored));
    disk.apply(say(&mut all, bob, 2, "on its way"));
    disk.apply(hear(&mut all, carol, 3, "unread").1);
    disk.apply(all.clear(&bob));
    assert_eq!(disk.texts(&all, &bob), ["on its way"]);
    // Numbers go on.
    disk.apply(say(&mut all, bob, 4, "next"));
    assert_eq!(all.lines(&bob, None).next().unwrap().number, 2);
    disk.apply(all.forget(&bob));
    disk.apply(all.forget(&carol));
    assert!(disk.0.is_empty());
}

#[test]
fn a_row_that_is_none_is_told() {
    let mut disk = Disk::default();
    let mut all = disk.started(10);
    disk.apply(say(&mut all, peer(1), 1, "hello"));
    let (place, value) = disk
        .0
        .iter()
        .find(|((table, _), _)| *table == Table::Line)
        .unwrap();
    for length in 0..value.len() {
        let row = Row {
            table: Table::Line,
            key: place.1.clone(),
            value: value[..length].to_vec().into(),
        };
        assert!(Conversations::restore(&[row], 10).is_err(), "{length}");
    }
}

proptest! {
    /// Whatever happens in whatever order: what is in memory is what a start finds, and no more is kept than is to be.
    #[test]
    fn the_disk_says_what_memory_says(steps in proptest::collection::vec((0u8..7, 0u8..12, 0u64..2), 0..60), kept in 0usize..6) {
        let peers = [peer(1), peer(2)];
        let mut disk = Disk::default();
        let mut all = disk.started(kept);
        for (what, number, with) in steps {
            let with = peers[usize::try_from(with).unwrap()];
            let known = all.lines(&with, None).any(|line| line.own && line.message == id(number));
            let changes = match what {
                0 if known || all.own.contains_key(&id(number)) => Vec::new(),
                0 => say(&mut all, with, number, "own"),
                1 => {
                    let (place, changes) = hear(&mut all, with, number, "its");
                    all.saved(with, place);
                    changes
                }
                2 => all.became(&id(number), Fate::Stored),
                3 => all.became(&id(number), Fate::Read),
                4 => all.read(&with, id(number)),
                5 => all.vanished(&with, id(number)),
                _ => all.clear(&with),
            };
            disk.apply(changes);
        }
        let again = disk.started(kept);
        for with in &peers {
            let lines = |all: &Conversations| all.lines(with, None).map(|line| (line.number, line.message, line.own, line.fate)).collect::<Vec<_>>();
            prop_assert_eq!(lines(&all), lines(&again));
            let settled = all.lines(with, None).filter(|line| line.is_settled()).count();
            prop_assert!(settled <= kept);
            let said = disk.0.keys().filter(|(table, key)| *table == Table::Said && key.starts_with(with.as_bytes())).count();
            prop_assert_eq!(said, all.lines(with, None).count());
        }
    }
}
