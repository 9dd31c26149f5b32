//! Boxes: what is refused, what is remembered, and what is gone.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use shoal_client::ClientKeys;

use super::*;

const NOW: (Time, Time) = (Time::from_micros(60_000_000), Time::from_micros(90_000_000));

pub(in crate::messagebox) fn key() -> IdentityKey {
    let secret = Secret::generate(&mut crate::seeded().unwrap());
    secret.identity().unwrap()
}

pub(in crate::messagebox) fn contact() -> PeerKey {
    ClientKeys::generate(&mut crate::seeded().unwrap()).public()
}

fn parcel(sender: IdentityKey, recipient: IdentityKey, id: &str) -> Parcel {
    Parcel {
        sender,
        recipient,
        name: "inbox".to_owned(),
        id: id.to_owned(),
        body: format!("{{\"message\":\"{id}\"}}"),
    }
}

fn open(dir: &Path) -> BoxDb {
    BoxDb::open(BoxRows::open(dir).unwrap(), Bounds::default()).unwrap()
}

fn ids(db: &mut BoxDb, of: &IdentityKey) -> Vec<String> {
    let found = db.list(of, "inbox", true).unwrap();
    found.into_iter().map(|it| it.id).collect()
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|&id| id.to_owned()).collect()
}

#[test]
fn boxes_and_identities_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (me, other, friend) = (key(), key(), contact());
    let mut db = open(dir.path());
    let secret = db.secret(|| Secret::generate(&mut crate::seeded().unwrap()));
    assert!(db.allow(&me, true).unwrap());
    let outcome = db.receive(&friend, &parcel(other, me, "a"), NOW);
    assert!(matches!(outcome, Ok(Outcome::Stored(_))));
    db.sent(&parcel(me, other, "b")).unwrap();
    let size = db.size();
    drop(db);
    let mut db = open(dir.path());
    let again = db.secret(|| panic!("there is one")).unwrap();
    assert!(again.identity() == secret.unwrap().identity());
    assert!(db.size() == size && size.messages == 1);
    assert!(db.allowed() == [(me, true)]);
    assert!(db.contact_of(&other) == Some(friend));
    assert!(db.was_sent(&parcel(me, other, "b")));
    let found = db.list(&me, "inbox", true).unwrap();
    assert!(found[0].sender == other && found[0].body == "{\"message\":\"a\"}");
    assert_eq!((found[0].sent, found[0].stored), NOW);
}

#[test]
fn an_id_is_unique_for_a_recipient_and_a_sender_and_no_further() {
    let dir = tempfile::tempdir().unwrap();
    let (me, [a, b], friend) = (key(), [key(), key()], contact());
    let mut db = open(dir.path());
    let mut receive = |from, to, id: &str| {
        let outcome = db.receive(&friend, &parcel(from, to, id), NOW).unwrap();
        matches!(outcome, Outcome::Stored(_))
    };
    assert!(receive(a, me, "x"));
    assert!(!receive(a, me, "x"));
    // Nobody takes anybody's ids away.
    assert!(receive(b, me, "x"));
    assert!(receive(a, b, "x"));
    // And it is remembered when the message is gone.
    assert_eq!(ids(&mut db, &me), ["x"]);
    assert_eq!(db.acknowledge(&me, &texts(&["x"])).unwrap(), 1);
    let again = db.receive(&friend, &parcel(a, me, "x"), NOW);
    assert!(matches!(again, Ok(Outcome::Duplicate)));
}

/// Clients know messages by their id alone: a second sender's message of the same id must not go with the first's.
#[test]
fn of_two_messages_with_one_id_none_goes_unseen() {
    let dir = tempfile::tempdir().unwrap();
    let (me, [a, b], friend) = (key(), [key(), key()], contact());
    let mut db = open(dir.path());
    db.receive(&friend, &parcel(a, me, "x"), NOW).unwrap();
    assert_eq!(ids(&mut db, &me), ["x"]);
    let Ok(Outcome::Stored(second)) = db.receive(&friend, &parcel(b, me, "x"), NOW) else {
        panic!("it is stored");
    };
    assert!(!db.show(second).unwrap(), "the first is there still");
    assert_eq!(ids(&mut db, &me), ["x"]);
    assert_eq!(db.acknowledge(&me, &texts(&["x"])).unwrap(), 1);
    // Again, as a client may that has not heard the answer.
    assert_eq!(db.acknowledge(&me, &texts(&["x"])).unwrap(), 0);
    let left = db.list(&me, "inbox", true).unwrap();
    assert!(left.len() == 1 && left[0].sender == b);
    assert_eq!(db.acknowledge(&me, &texts(&["x"])).unwrap(), 1);
    assert!(db.size() == Size::default() && db.boxes().is_empty());
}

#[test]
fn the_first_contact_that_claims_an_identity_keeps_it_and_the_user_decides() {
    let dir = tempfile::tempdir().unwrap();
    let (me, them) = (key(), key());
    let [first, second] = [contact(), contact()];
    let mut db = open(dir.path());
    db.allow(&me, false).unwrap();
    let receive = |db: &mut BoxDb, from: &PeerKey, sender, to, id: &str| {
        db.receive(from, &parcel(sender, to, id), NOW).unwrap()
    };
    assert!(matches!(
        receive(&mut db, &first, them, me, "a"),
        Outcome::Stored(_)
    ));
    assert_eq!(receive(&mut db, &second, them, me, "b"), Outcome::NotTheirs);
    assert!(db.contact_of(&them) == Some(first));
    assert!(db.map(&them, &second).unwrap());
    assert_eq!(receive(&mut db, &first, them, me, "c"), Outcome::NotTheirs);
    assert!(matches!(
        receive(&mut db, &second, them, me, "d"),
        Outcome::Stored(_)
    ));
    // Nobody writes as the user himself, and nothing is taken for who is not here.
    assert_eq!(receive(&mut db, &first, me, me, "e"), Outcome::NotTheirs);
    assert_eq!(
        receive(&mut db, &first, key(), key(), "f"),
        Outcome::NobodyHere
    );
    assert!(db.unmap(&them).unwrap());
    assert!(!db.unmap(&them).unwrap());
    assert!(matches!(
        receive(&mut db, &first, them, me, "g"),
        Outcome::Stored(_)
    ));
}

#[test]
fn only_the_first_is_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = open(dir.path());
    let [a, b] = [key(), key()];
    assert!(db.allow(&a, true).unwrap());
    assert!(!db.allow(&b, true).unwrap());
    assert!(db.allow(&b, false).unwrap());
    assert!(db.allow(&a, false).unwrap());
    assert!(db.allowed().iter().all(|(_, adopted)| !adopted));
    assert!(db.disallow(&a).unwrap());
    assert!(!db.disallow(&a).unwrap());
}

#[test]
fn everything_has_a_bound() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        boxes: 2,
        messages: 2,
        bytes: 5 * (OVERHEAD + 40),
        bytes_of_one: 3 * (OVERHEAD + 40),
        seen: 4,
        claims: 3,
        identities: 2,
    };
    let mut db = BoxDb::open(BoxRows::open(dir.path()).unwrap(), bounds).unwrap();
    let (me, sender, friend) = (key(), key(), contact());
    let receive = |db: &mut BoxDb, from: &PeerKey, sender, name: &str, id: &str| {
        let parcel = Parcel {
            name: name.to_owned(),
            ..parcel(sender, me, id)
        };
        db.receive(from, &parcel, NOW).unwrap()
    };
    let stored = |outcome| matches!(outcome, Outcome::Stored(_));
    assert!(stored(receive(&mut db, &friend, sender, "inbox", "a")));
    assert!(stored(receive(&mut db, &friend, sender, "inbox", "b")));
    // A full box, and not for ever: what found no room is not taken for known.
    assert_eq!(
        receive(&mut db, &friend, sender, "inbox", "c"),
        Outcome::Full
    );
    ids(&mut db, &me);
    db.acknowledge(&me, &texts(&["a"])).unwrap();
    assert!(stored(receive(&mut db, &friend, sender, "inbox", "c")));
    assert!(stored(receive(&mut db, &friend, sender, "other", "d")));
    // A contact's share, and the boxes.
    assert_eq!(
        receive(&mut db, &friend, sender, "other", "e"),
        Outcome::Full
    );
    let second = contact();
    assert_eq!(
        receive(&mut db, &second, key(), "third", "f"),
        Outcome::Full
    );
    assert!(stored(receive(&mut db, &second, key(), "other", "g")));
    // A contact claims so many identities, and a user allows and maps so many.
    assert_eq!(ids(&mut db, &me), ["b", "c"]);
    db.acknowledge(&me, &texts(&["b", "c"])).unwrap();
    let claims = [0; 3].map(|_| receive(&mut db, &second, key(), "inbox", "h"));
    assert!(stored(claims[0]) && stored(claims[1]));
    assert_eq!(claims[2], Outcome::NotTheirs);
    assert!([0; 2].iter().all(|_| db.allow(&key(), false).unwrap()));
    assert!(!db.allow(&key(), false).unwrap());
    assert!([0; 2].iter().all(|_| db.map(&key(), &friend).unwrap()));
    assert!(!db.map(&key(), &friend).unwrap());
    let mut remembered = 0;
    let count = |table: &str, _, _| {
        remembered += usize::from(table == "seen");
        Ok(())
    };
    db.rows.load(&[], count).unwrap();
    assert_eq!(remembered, 4);
}

#[test]
fn a_list_fits_an_answer_and_what_it_leaves_out_comes_later() {
    let dir = tempfile::tempdir().unwrap();
    let (me, other, friend) = (key(), key(), contact());
    let mut db = open(dir.path());
    for number in 0..140 {
        let parcel = Parcel {
            body: "x".repeat(70_000),
            ..parcel(other, me, &number.to_string())
        };
        let outcome = db.receive(&friend, &parcel, NOW);
        assert!(matches!(outcome, Ok(Outcome::Stored(_))));
    }
    let first = ids(&mut db, &me);
    assert_eq!(first.len(), PAGE_BYTES / 70_000);
    // What was not given can't be acknowledged.
    let all: Vec<String> = (0..140).map(|number| number.to_string()).collect();
    assert_eq!(db.acknowledge(&me, &all).unwrap(), first.len());
    assert_eq!(ids(&mut db, &me).len(), 140 - first.len());
    assert!(db.list(&other, "inbox", true).unwrap().is_empty());
    assert_eq!(db.acknowledge(&other, &all).unwrap(), 0);
}

#[test]
fn what_is_acknowledged_is_gone_from_the_disk_and_others_never_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (me, other, friend) = (key(), key(), contact());
    let mut db = open(dir.path());
    let text = "the eagle lands at noon, said nobody";
    let parcel = Parcel {
        body: text.to_owned(),
        ..parcel(other, me, "a")
    };
    db.receive(&friend, &parcel, NOW).unwrap();
    ids(&mut db, &me);
    db.acknowledge(&me, &texts(&["a"])).unwrap();
    // It is gone from the log too, while the daemon runs on.
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(text.len()).any(|it| it == text.as_bytes());
        assert!(!found, "{}", path.display());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn damage_is_an_error_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("messagebox.db");
    std::fs::write(&path, b"not a database at all, but a text").unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, private).unwrap();
    let error = BoxRows::open(dir.path()).err().unwrap();
    assert!(matches!(error, StateError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("backup"));
    // Rows that nobody here has written.
    std::fs::remove_file(&path).unwrap();
    let mut rows = BoxRows::open(dir.path()).unwrap();
    let strange = BoxChange {
        table: "allowed",
        key: vec![2; 32],
        value: Some(zeroize::Zeroizing::new(vec![0])),
    };
    rows.apply(&[strange]).unwrap();
    let error = BoxDb::open(rows, Bounds::default()).err().unwrap();
    assert!(matches!(error, StateError::Corrupt { .. }), "{error}");
}

#[test]
fn boxes_of_another_release_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(BoxRows::open(dir.path()).unwrap());
    let other = rusqlite::Connection::open(dir.path().join("messagebox.db")).unwrap();
    other.pragma_update(None, "user_version", 1).unwrap();
    drop(other);
    let error = BoxRows::open(dir.path()).err().unwrap().to_string();
    assert!(
        error.contains("layout 1") && error.contains("move it away"),
        "{error}"
    );
}

/// For several recipients: all of it is taken, in a commit, or nothing.
#[test]
fn of_several_all_are_taken_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let (me, [mine, theirs], friend) = (key(), [key(), key()], contact());
    let bounds = Bounds {
        messages: 2,
        ..Bounds::default()
    };
    let mut db = BoxDb::open(BoxRows::open(dir.path()).unwrap(), bounds).unwrap();
    let now = Time::from_micros(7);
    let here = |id: &str| (To::Here, parcel(me, mine, id));
    let there = |id: &str| (To::Contact(friend), parcel(me, theirs, id));
    let empty = |db: &BoxDb| db.leaving().is_empty() && db.size() == Size::default();
    for (parcels, place, why) in [
        (
            vec![there("a"), here("b"), here("c"), here("d")],
            3,
            Outcome::Full,
        ),
        (
            vec![there("a"), here("b"), there("a")],
            2,
            Outcome::Duplicate,
        ),
        (
            vec![here("b"), there("a"), here("b")],
            2,
            Outcome::Duplicate,
        ),
    ] {
        let taken = db.take_all(&parcels, now).unwrap();
        assert!(taken == Err((place, why)) && empty(&db), "{place}");
        drop(db);
        db = BoxDb::open(BoxRows::open(dir.path()).unwrap(), bounds).unwrap();
        assert!(empty(&db) && !db.was_sent(&parcel(me, theirs, "a")));
    }
    let taken = db
        .take_all(&[there("a"), here("b"), there("c")], now)
        .unwrap();
    assert_eq!(taken.unwrap().len(), 1);
    drop(db);
    let mut db = BoxDb::open(BoxRows::open(dir.path()).unwrap(), bounds).unwrap();
    assert_eq!(ids(&mut db, &mine), ["b"]);
    let numbers = db.leaving();
    assert_eq!(numbers.len(), 2);
    let (to, since, data) = db.parcel(numbers[0]).unwrap().unwrap();
    assert!(to == friend && since == now);
    assert!(Parcel::decode(&data).unwrap() == parcel(me, theirs, "a"));
    db.left(numbers[0]).unwrap();
    assert_eq!(db.leaving(), numbers[1..]);
    assert!(db.parcel(numbers[0]).unwrap().is_none());
    // It is remembered, as what went alone is.
    assert!(db.was_sent(&parcel(me, theirs, "a")));
    let again = db.take_all(&[there("c"), there("d")], now).unwrap();
    assert_eq!(again, Err((0, Outcome::Duplicate)));
    drop(db);
    let db = BoxDb::open(BoxRows::open(dir.path()).unwrap(), bounds).unwrap();
    assert_eq!(db.leaving(), numbers[1..]);
}

/// A row of each table, as [`read_any`] takes it.
pub(in crate::messagebox) fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let dir = tempfile::tempdir().unwrap();
    let (me, [other, theirs], friend) = (key(), [key(), key()], contact());
    let mut db = open(dir.path());
    db.secret(|| Secret::generate(&mut crate::seeded().unwrap()))
        .unwrap();
    db.allow(&me, true).unwrap();
    db.receive(&friend, &parcel(other, me, "a"), NOW).unwrap();
    let both = [
        (To::Contact(friend), parcel(me, theirs, "b")),
        (To::Here, parcel(me, me, "c")),
    ];
    assert!(db.take_all(&both, NOW.0).unwrap().is_ok());
    let mut all = BTreeMap::new();
    db.rows
        .load(&[rows::BODY, rows::PARCEL], |table, key, value| {
            let place = rows::TABLES.iter().position(|it| *it == table).unwrap();
            let head = [
                u8::try_from(place).unwrap(),
                u8::try_from(key.len()).unwrap(),
            ];
            all.insert(rows::TABLES[place], [&head[..], &key, &value].concat());
            Ok(())
        })
        .unwrap();
    assert_eq!(all.len(), rows::TABLES.len());
    all.into_iter().collect()
}
