//! A copy of a store: it is the store again, and only what is whole becomes one.

use std::io::{self, Read, Write};

use crate::operations::key_of_store;
use shoal_provider::{
    Copied, CopyError, EntryId, StoreAt, StoreEngine, StoreLimits, StoreOp, StoreOutcome, Usage,
    by_day, export, import, load,
};
use tempfile::TempDir;

use crate::offline::{filled, key};
use crate::operations::{T0, after, blob, drop_of, mailbox, message, numbers, one, put_for, set};
use crate::places::Places;

fn copy_of(at: &StoreAt) -> Vec<u8> {
    let mut copy = Vec::new();
    export(&*at.look().unwrap(), &mut copy, &mut |_| {}).unwrap();
    copy
}

fn taken(at: &StoreAt, mut copy: &[u8]) -> Result<Copied, CopyError> {
    import(&mut *at.to_fill().unwrap(), &mut copy, &mut |_| {})
}

/// For each engine into each.
fn each_pair(property: impl Fn(&Places, StoreAt, StoreAt)) {
    let all = Places::all();
    for (from, source) in all.iter().enumerate() {
        for (to, target) in all.iter().enumerate() {
            let at = filled(source.at(&format!("from_{from}_{to}")));
            property(source, at, target.at(&format!("to_{from}_{to}")));
        }
    }
}

#[test]
fn a_copy_of_the_copy_has_the_same_bytes() {
    each_pair(|_, from, to| {
        let copy = copy_of(&from);
        let copied = taken(&to, &copy).unwrap();
        let expected = Copied {
            mailboxes: 4,
            sets: 5,
            drops: 6,
            entries: 8,
            remembered: 5,
            spent: 1,
        };
        assert_eq!(copied, expected);
        assert!(copy == copy_of(&to), "the bytes differ");
        let report = to
            .look()
            .unwrap()
            .verify(&StoreLimits::default(), &mut |_| {})
            .unwrap();
        assert!(report.is_sound(), "{report:?}");
        // One store has one copy.
        assert!(copy == copy_of(&from));
    });
}

/// From each engine by way of each to the first again: nothing is lost between.
#[test]
fn a_store_goes_to_another_engine_and_back() {
    each_pair(|places, from, by_way| {
        let copy = copy_of(&from);
        taken(&by_way, &copy).unwrap();
        let back = places.at(&format!("back_{}", by_way.engine()));
        taken(&back, &copy_of(&by_way)).unwrap();
        assert!(copy == copy_of(&back), "the bytes differ");
        let inventory = |at: &StoreAt| {
            let looked = at.look().unwrap();
            let stats = looked.stats().unwrap();
            let rows = by_day(T0, |from, until| looked.inventory(from, until)).unwrap();
            (stats.usage, stats.sets, stats.revoked, stats.closed, rows)
        };
        assert_eq!(inventory(&from), inventory(&back));
        // Each entry that waits is given out, and acknowledged, once.
        let mut store = back.open(StoreLimits::default()).unwrap();
        let mut found = 0;
        for owner in [key(1), key(2)] {
            for index in [0, 1] {
                let listed = one(&mut *store, T0, load::list(owner, index, 0, 100));
                let StoreOutcome::Entries(entries) = listed else {
                    panic!("{listed:?}");
                };
                let numbers: Vec<u64> = entries.iter().map(|it| it.entry.number()).collect();
                found += numbers.len();
                let counter = 50 + u64::from(index);
                one(
                    &mut *store,
                    T0,
                    load::attend(owner, (9, counter), 0, &numbers),
                );
                let listed = one(&mut *store, T0, load::list(owner, index, 0, 100));
                assert_eq!(listed, StoreOutcome::Entries(Vec::new()));
            }
        }
        assert_eq!(found, 7);
        assert_eq!(numbers(&mut *store, T0, 9, 9, 0), [1]);
        assert_eq!((store.usage().entries, store.usage().remembered), (1, 12));
    });
}

#[test]
fn what_goes_on_in_the_copy_is_what_would_have_gone_on() {
    each_pair(|_, from, to| {
        taken(&to, &copy_of(&from)).unwrap();
        let mut stores = [from, to].map(|at| at.open(StoreLimits::default()).unwrap());
        let [first, second] = &mut stores;
        let mut both = |now, op: StoreOp| -> StoreOutcome {
            let outcome = one(&mut **first, now, op.clone());
            assert_eq!(one(&mut **second, now, op), outcome);
            outcome
        };
        // Neither what waits nor what was acknowledged comes a second time.
        for number in 1..=12 {
            let owner = key(1 + u8::try_from(number % 2).unwrap());
            let index = u8::try_from(number / 3 % 2).unwrap();
            let outcome = both(after(5), load::put(owner, index, number, after(1000)));
            assert!(matches!(outcome, StoreOutcome::Stored { .. }));
            both(after(5), load::list(owner, index, 0, 100));
            both(after(5), StoreOp::Waiting { mailbox: owner });
        }
        let again = both(after(5), load::put(key(2), 0, 1, after(1000)));
        let gone = StoreOutcome::Stored {
            mailbox: key(2),
            entry: None,
        };
        assert_eq!(again, gone);
        // Numbers go on.
        let next = both(after(5), load::put(key(1), 0, 100, after(1000)));
        let seventh = StoreOutcome::Stored {
            mailbox: key(1),
            entry: Some(EntryId::new(7)),
        };
        assert_eq!(next, seventh);
        // Commands that counted do not count again; later ones do, with their stream.
        for counter in [1, 2, 3] {
            let replayed = both(after(5), load::attend(key(1), (7, counter), 0, &[]));
            assert_eq!(replayed, StoreOutcome::Replayed { generation: 7 });
        }
        let outcome = both(after(5), load::attend(key(1), (7, 4), 1, &[1]));
        assert!(matches!(
            outcome,
            StoreOutcome::Attended {
                stream: 9,
                fresh: false,
                ..
            }
        ));
        // Revoked is revoked, and closed is closed.
        for op in [put_for(9, 9, 2), put_for(9, 8, 1), under_another(9)] {
            assert_eq!(both(after(5), op), StoreOutcome::Refused);
        }
        both(after(900), StoreOp::Expire);
        both(after(1000), StoreOp::Expire);
        let usages = stores.map(|store| store.usage());
        assert_eq!(usages[0], usages[1]);
        assert_eq!((usages[0].entries, usages[0].remembered), (0, 0));
    });
}

/// Under a drop id that is not revoked, of a mailbox that is closed.
fn under_another(owner: u8) -> StoreOp {
    StoreOp::Put {
        drop: set(9).id(&mailbox(owner), 1),
        message: message(1),
        blob: blob(1),
        expires: after(1000),
    }
}

/// Room that is not free yet stays so: a full drop id is as full in the copy.
#[test]
fn quotas_count_the_same_in_the_copy() {
    for places in Places::all() {
        let [from, to] = ["from", "to"].map(|name| places.at(name));
        let limits = StoreLimits {
            entries_per_drop: 2,
            remembered_per_drop: 2,
            ..StoreLimits::default()
        };
        let mut store = from.open(limits.clone()).unwrap();
        one(&mut *store, T0, load::open(key(1), 1));
        for number in 1..=2 {
            // What came later expires earlier, as when a clock was set back between.
            let expires = after(12_000 - number * 1000);
            one(&mut *store, T0, load::put(key(1), 0, number, expires));
        }
        one(&mut *store, T0, load::attend(key(1), (1, 2), 0, &[2, 1]));
        drop(store);
        taken(&to, &copy_of(&from)).unwrap();
        let mut store = to.open(limits).unwrap();
        let next = |number| load::put(key(1), 0, number, after(9000));
        assert_eq!(one(&mut *store, T0, next(3)), StoreOutcome::Refused);
        assert_ne!(
            one(&mut *store, after(3600), next(3)),
            StoreOutcome::Refused
        );
        // The name that came first is forgotten first, whichever was acknowledged first.
        one(
            &mut *store,
            after(3600),
            load::attend(key(1), (1, 3), 0, &[3]),
        );
        let known = |outcome| matches!(outcome, StoreOutcome::Stored { entry: None, .. });
        assert!(known(one(&mut *store, after(3600), next(2))));
        assert!(!known(one(&mut *store, after(3600), next(1))));
    }
}

#[test]
fn an_empty_store_has_a_copy_too() {
    for places in Places::all() {
        let [from, to] = ["from", "to"].map(|name| places.at(name));
        drop(from.open(StoreLimits::default()).unwrap());
        let copy = copy_of(&from);
        assert_eq!(taken(&to, &copy).unwrap().rows(), 0);
        assert_eq!(copy.len(), 16 + 2 + 1 + 48 + 32);
    }
}

#[test]
fn only_an_empty_store_is_filled() {
    each_pair(|_, from, to| {
        let copy = copy_of(&from);
        let other = filled(to);
        assert!(matches!(taken(&other, &copy), Err(CopyError::NotEmpty)));
        let mut store = other.open(StoreLimits::default()).unwrap();
        assert_eq!(numbers(&mut *store, T0, 9, 9, 0), [1]);
    });
}

/// Nothing of a copy that is not whole is in the store afterwards, and the whole one still fits.
#[test]
fn a_copy_that_is_not_as_it_was_written_is_refused_whole() {
    let all = Places::all();
    let copy = copy_of(&filled(all[0].at("from")));
    for places in &all {
        refuses_what_is_not_whole(&copy, &places.at("to"));
    }
}

fn refuses_what_is_not_whole(copy: &[u8], to: &StoreAt) {
    let refused = |bytes: &[u8], what: &str| {
        let error = taken(to, bytes)
            .err()
            .unwrap_or_else(|| panic!("{what}: taken"));
        assert!(
            !matches!(error, CopyError::Store(_) | CopyError::NotEmpty),
            "{what}: {error:?}"
        );
        error
    };
    // A server is connected to anew for each.
    let step = if to.engine() == "sqlite" { 61 } else { 977 };
    for at in (0..copy.len())
        .step_by(step)
        .chain((copy.len() - 100..copy.len()).step_by(step / 61))
    {
        let mut bytes = copy.to_vec();
        bytes[at] ^= 1;
        refused(&bytes, &format!("flipped at {at}"));
        refused(&copy[..at], &format!("cut at {at}"));
    }
    for at in 0..18 {
        let mut bytes = copy.to_vec();
        bytes[at] ^= 1;
        let error = refused(&bytes, "its head");
        match at {
            0..16 => assert!(matches!(error, CopyError::Foreign)),
            _ => assert!(matches!(error, CopyError::Version { .. })),
        }
    }
    assert!(matches!(
        refused(&copy[..copy.len() - 1], "cut"),
        CopyError::Cut
    ));
    refused(&[copy, b"x"].concat(), "longer");
    assert_eq!(to.look().unwrap().stats().unwrap().usage, Usage::default());
    taken(to, copy).unwrap();
}

/// With a checksum that is right: what a damaged store exports.
#[test]
fn rows_that_contradict_each_other_are_refused() {
    for lie in [
        "UPDATE cells SET next_entry = 2 WHERE id = 1 << 32",
        "UPDATE messages SET entry = 99 WHERE id = 1",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let from = filled(in_file(&directory, "from"));
        let path = directory.path().join("from.db");
        rusqlite::Connection::open(path)
            .unwrap()
            .execute_batch(lie)
            .unwrap();
        let copy = copy_of(&from);
        for places in Places::all() {
            let to = places.at("to");
            let error = taken(&to, &copy).unwrap_err();
            assert!(matches!(error, CopyError::Contradiction(_)), "{error:?}");
            assert_eq!(to.look().unwrap().stats().unwrap().usage, Usage::default());
        }
    }
}

fn in_file(directory: &TempDir, name: &str) -> StoreAt {
    StoreEngine::Sqlite.within(directory.path(), name, &key_of_store())
}

/// A disk that takes so much.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.checked_sub(bytes.len()) {
            Some(rest) => self.0 = rest,
            None => return Err(io::ErrorKind::StorageFull.into()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A disk that fails.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::InvalidData.into())
    }
}

#[test]
fn disks_that_fail_are_told_from_damage() {
    let directory = tempfile::tempdir().unwrap();
    let from = filled(in_file(&directory, "from"));
    let store = from.look().unwrap();
    for room in [0, 100, 5000] {
        let error = export(&*store, &mut Full(room), &mut |_| {}).unwrap_err();
        assert!(matches!(error, CopyError::Write(_)), "{error:?}");
    }
    let to = in_file(&directory, "to");
    let error = import(&mut *to.to_fill().unwrap(), &mut Broken, &mut |_| {}).unwrap_err();
    assert!(matches!(error, CopyError::Read(_)), "{error:?}");
}

/// The bytes of the documented format, field by field, of the last entry that waits.
#[test]
fn the_format_is_what_is_documented() {
    let directory = tempfile::tempdir().unwrap();
    let from = filled(in_file(&directory, "from"));
    let copy = copy_of(&from);
    assert_eq!(&copy[..18], b"shoal mailboxes\n\x00\x02");
    let first = &copy[18..18 + 115];
    assert_eq!(first[0], b'M');
    assert_eq!(&first[1..33], key(1).as_bytes());
    let number = |at: usize| u64::from_be_bytes(first[at..at + 8].try_into().unwrap());
    // Not closed. Known, generation 7, counters 1 to 3, stream 9, opened and used at the start, 7 is next, 3 acknowledged in this hour.
    assert_eq!((first[33], first[34]), (0, 1));
    let step = T0.as_secs() / 3600;
    let fields = [7, 3, 0b11, 0, 9, T0.as_micros(), T0.as_micros(), 7, step, 3];
    for (field, expected) in fields.into_iter().enumerate() {
        assert_eq!(number(35 + 8 * field), expected, "field {field}");
    }
    let end = copy.len() - 81;
    let (token, entry) = (&copy[end - 41..end], &copy[end - 41 - 1669..end - 41]);
    assert_eq!(token[0], b'T');
    assert_eq!(token[1..33], [1; 32]);
    assert_eq!(token[33..], after(2000).as_micros().to_be_bytes());
    assert_eq!(entry[0], b'E');
    assert_eq!(&entry[1..33], mailbox(9).as_bytes());
    assert_eq!(&entry[33..65], drop_of(9, 9).as_bytes());
    assert_eq!(entry[65..81], [1; 16]);
    assert_eq!(entry[81..89], after(1000).as_micros().to_be_bytes());
    assert_eq!(entry[89..97], 1u64.to_be_bytes());
    assert_eq!(entry[97..], [1; 1572]);
}
