//! What looking at a store finds: nothing in a sound one, and whatever is wrong in a damaged one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::operations::key_of_store;
use crate::places::Places;
use rusqlite::Connection;
use shoal_packet::command::DropChange;
use shoal_proto::MailboxId;
use shoal_provider::{Report, StoreAt, StoreEngine, StoreError, StoreLimits, StoreOp, Usage, load};
use tempfile::TempDir;

use crate::operations::{T0, after, attend, drop_of, one, put_for, register, with_token};

/// A mailbox of a load.
pub fn key(n: u8) -> MailboxId {
    MailboxId::new([n; 32])
}

/// A store of each engine, with a bit of everything: three mailboxes of a load with waiting entries and acknowledged
/// ones, and one with two sets, of each of which an id is revoked.
pub fn filled(at: StoreAt) -> StoreAt {
    let mut store = at.open(StoreLimits::default()).unwrap();
    let store = &mut *store;
    for n in 1..=3 {
        one(store, T0, load::open(key(n), 7));
    }
    for number in 1..=12 {
        let mailbox = key(1 + u8::try_from(number % 2).unwrap());
        let index = u8::try_from(number / 3 % 2).unwrap();
        one(store, T0, load::put(mailbox, index, number, after(1000)));
    }
    // Later entries are acknowledged first, so that orders differ.
    one(store, T0, load::attend(key(1), (7, 3), 9, &[4]));
    one(store, T0, load::attend(key(1), (7, 2), 5, &[2, 3]));
    one(store, after(4000), load::attend(key(2), (8, 1), 0, &[5, 1]));
    let opened = attend(9, 1, &[], &[register(9), register(8)]);
    one(store, T0, with_token(opened, 1));
    one(store, T0, put_for(9, 9, 1));
    let revoked = [9, 8].map(|n| DropChange::Revoke(drop_of(9, n)));
    one(store, T0, attend(9, 2, &[], &revoked));
    // Closed, with an entry that waits.
    let close = [DropChange::Close];
    one(store, T0, attend(9, 3, &[], &close));
    at
}

fn report(at: &StoreAt, limits: &StoreLimits) -> Report {
    at.look().unwrap().verify(limits, &mut |_| {}).unwrap()
}

/// A SQLite store that is filled, and its file.
fn database() -> (TempDir, StoreAt, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let at = filled(StoreEngine::Sqlite.within(directory.path(), "store", &key_of_store()));
    let path = directory.path().join("store.db");
    (directory, at, path)
}

#[test]
fn a_sound_store_has_no_fault_and_is_left_as_it_was() {
    for places in Places::all() {
        let at = filled(places.at("store"));
        let files = || {
            #[cfg_attr(
                not(feature = "postgres"),
                expect(irrefutable_let_patterns, reason = "only files")
            )]
            let Places::Files(_, directory) = &places else {
                return Vec::new();
            };
            let files = fs::read_dir(directory.path()).unwrap();
            let files = files.map(|file| file.unwrap().path());
            let mut files: Vec<_> = files.map(|path| (fs::read(&path).unwrap(), path)).collect();
            files.sort();
            files
        };
        let before = files();
        let mut steps = Vec::new();
        let looked = at.look().unwrap();
        let limits = StoreLimits::default();
        let report = looked
            .verify(&limits, &mut |step| steps.push(step))
            .unwrap();
        let stats = looked.stats().unwrap();
        drop(looked);
        assert!(report.is_sound(), "{report:?}");
        assert!(report.exceeded.is_empty());
        assert_eq!(steps, shoal_provider::Step::ALL);
        let usage = Usage {
            mailboxes: 4,
            entries: 8,
            remembered: 5,
        };
        assert_eq!((report.counted, stats.usage), (usage, usage));
        assert_eq!(
            (stats.sets, stats.drops, stats.revoked, stats.closed),
            (5, 320, 2, 1)
        );
        assert_eq!(stats.oldest_expires, Some(after(1000)));
        assert!(stats.files[0].1 > 8 * 1572, "{stats:?}");
        let is_file = at.engine() == "sqlite";
        assert_eq!(stats.free_on_disk.is_some(), is_file);
        assert_eq!(stats.free_within.is_some(), is_file);
        assert!(before == files(), "the files have changed");
    }
}

#[test]
fn a_log_that_a_crash_has_left_is_read_and_stays() {
    let (directory, at, path) = database();
    let mut store = at.open(StoreLimits::default()).unwrap();
    one(&mut *store, T0, load::put(key(3), 0, 99, after(1000)));
    // As a crash leaves it: nothing was closed.
    let copy = directory.path().join("crashed.db");
    let log = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    fs::copy(&path, &copy).unwrap();
    fs::copy(log(&path), log(&copy)).unwrap();
    let before = (fs::read(&copy).unwrap(), fs::read(log(&copy)).unwrap());
    let report = report(
        &StoreAt::Sqlite(copy.clone(), key_of_store()),
        &StoreLimits::default(),
    );
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.counted.entries, 9);
    assert!(before == (fs::read(&copy).unwrap(), fs::read(log(&copy)).unwrap()));
}

#[test]
fn a_store_that_is_held_is_not_looked_at() {
    for places in Places::all() {
        let at = filled(places.at("store"));
        let store = at.open(StoreLimits::default()).unwrap();
        assert!(matches!(at.look(), Err(StoreError::Busy)));
        assert!(matches!(at.to_fill(), Err(StoreError::Busy)));
        drop(store);
        let looked = at.look().unwrap();
        assert!(matches!(
            at.open(StoreLimits::default()),
            Err(StoreError::Busy)
        ));
        drop(looked);
        assert!(at.open(StoreLimits::default()).is_ok());
    }
}

#[test]
fn what_is_no_store_is_said_to_be_none() {
    let directory = tempfile::tempdir().unwrap();
    let look = |name: &str| {
        StoreAt::Sqlite(directory.path().join(name), key_of_store())
            .look()
            .err()
            .unwrap()
    };
    assert!(matches!(look("missing.db"), StoreError::Permission(_)));
    assert!(!directory.path().join("missing.db").exists());
    fs::write(directory.path().join("empty.db"), "").unwrap();
    assert!(matches!(look("empty.db"), StoreError::Foreign(_)));
    fs::write(directory.path().join("letter"), "Dear all".repeat(999)).unwrap();
    assert!(matches!(look("letter"), StoreError::Foreign(_)));
}

/// Each of these is one lie in the tables.
#[test]
fn each_lie_in_the_rows_is_found() {
    for (kind, lie) in [
        (
            "mailbox_waiting",
            "UPDATE cells SET waiting = waiting + 1 WHERE id = 2 << 32",
        ),
        (
            "mailbox_remembered",
            "UPDATE cells SET remembered = 0 WHERE id = 1 << 32",
        ),
        (
            "mailbox_sets",
            "UPDATE cells SET sets = 9 WHERE id = 3 << 32",
        ),
        (
            "mailbox_owner",
            "UPDATE owners SET key = x'00' WHERE mailbox = 3 << 32",
        ),
        (
            "mailbox_owner",
            "UPDATE owners SET mailbox = 77 << 32 WHERE mailbox = 3 << 32",
        ),
        (
            "mailbox_nobody",
            "DELETE FROM owners WHERE mailbox = 3 << 32",
        ),
        (
            "mailbox_sealed",
            "UPDATE owners SET key = zeroblob(32) WHERE mailbox = 3 << 32",
        ),
        (
            "mailbox_columns",
            "UPDATE cells SET sealed = x'00' WHERE id = 3 << 32",
        ),
        (
            "mailbox_columns",
            "UPDATE cells SET generation = NULL WHERE id = 1 << 32",
        ),
        (
            "mailbox_columns",
            "UPDATE cells SET closed = 2 WHERE id = 3 << 32",
        ),
        (
            "mailbox_columns",
            "UPDATE cells SET created_us = used_us + 1 WHERE id = 3 << 32",
        ),
        (
            "mailbox_hours",
            "UPDATE cells SET used_us = used_us + 1 WHERE id = 3 << 32",
        ),
        ("totals", "UPDATE totals SET entries = entries + 1"),
        ("totals", "UPDATE totals SET mailboxes = 3"),
        (
            "drop_waiting",
            "UPDATE cells SET waiting = waiting - 1 WHERE id = (1 << 32) + 256",
        ),
        (
            "drop_remembered",
            "UPDATE cells SET remembered = remembered + 1 WHERE id = (1 << 32) + 256",
        ),
        (
            "drop_columns",
            "UPDATE cells SET revoked = 2 WHERE revoked IS NOT NULL AND id > 4 << 32",
        ),
        (
            "drop_set",
            "INSERT INTO cells (id, revoked, waiting, remembered, freed, freed_step) VALUES ((1 << 32) + 1, 0, 0, 0, 0, 0)",
        ),
        (
            "drop_set",
            "UPDATE cells SET id = id + (70 << 32) WHERE revoked IS NOT NULL AND id > 4 << 32",
        ),
        (
            "drop_set",
            "UPDATE cells SET id = id + 64 WHERE id = (1 << 32) + 256",
        ),
        ("set_mailbox", "DELETE FROM cells WHERE id = 3 << 32"),
        (
            "set_columns",
            "UPDATE sets SET size = 65 WHERE mailbox = 3 << 32",
        ),
        (
            "set_columns",
            "UPDATE sets SET secret = x'00' WHERE mailbox = 3 << 32",
        ),
        (
            "set_columns",
            "UPDATE sets SET id = id + 5120 WHERE mailbox = 3 << 32",
        ),
        (
            "name_strange",
            "UPDATE sets SET secret = (SELECT secret FROM sets WHERE mailbox = 4 << 32) WHERE mailbox = 3 << 32",
        ),
        (
            "name_strange",
            "UPDATE names SET number = number + 1 WHERE number = 63",
        ),
        (
            "name_strange",
            "UPDATE names SET set_id = (2 << 9) + 1 WHERE set_id = (1 << 9) + 1 AND number = 7",
        ),
        ("name_strange", "DELETE FROM sets WHERE mailbox = 3 << 32"),
        (
            "name_missing",
            "DELETE FROM names WHERE set_id = (3 << 9) + 1 AND number = 9",
        ),
        (
            "name_missing",
            "UPDATE names SET tag = tag + 1 WHERE set_id = (1 << 9) + 1 AND number = 0",
        ),
        (
            "entry_columns",
            "UPDATE cells SET waiting = 1 WHERE name_id IS NOT NULL",
        ),
        (
            "entry_columns",
            "UPDATE cells SET name_id = NULL WHERE id = (1 << 32) + 16777216 + 1",
        ),
        (
            "entry_place",
            "DELETE FROM cells WHERE revoked IS NOT NULL AND waiting > 0 AND id < 2 << 32",
        ),
        (
            "entry_place",
            "UPDATE cells SET id = id + (2 << 32) WHERE id = (1 << 32) + 16777216 + 1",
        ),
        (
            "entry_name",
            "DELETE FROM messages WHERE id = (SELECT max(id) FROM blobs)",
        ),
        (
            "entry_name",
            "UPDATE cells SET expires_us = expires_us + 1 WHERE name_id IS NOT NULL",
        ),
        (
            "entry_name",
            "UPDATE cells SET id = (1 << 32) + 16777216 + 66 WHERE id = (1 << 32) + 16777216 + 1",
        ),
        (
            "entry_name",
            "UPDATE blobs SET message = zeroblob(32) WHERE id = (SELECT max(id) FROM blobs)",
        ),
        (
            "blob_columns",
            "UPDATE blobs SET blob = x'00' WHERE id = (SELECT max(id) FROM blobs)",
        ),
        (
            "blob_entry",
            "INSERT INTO blobs (message, blob) SELECT message, blob FROM blobs LIMIT 1",
        ),
        (
            "entry_name",
            "DELETE FROM blobs WHERE id = (SELECT max(id) FROM blobs)",
        ),
        (
            "name_columns",
            "UPDATE messages SET message = x'00' WHERE id = (SELECT min(id) FROM messages)",
        ),
        (
            "name_place",
            "UPDATE messages SET drop_id = (1 << 32) + 99 WHERE id = (SELECT min(id) FROM messages)",
        ),
        (
            "name_place",
            "UPDATE messages SET mailbox = 2 << 32 WHERE mailbox = 1 << 32 AND entry = 1",
        ),
        (
            "name_number",
            "UPDATE cells SET next_entry = 2 WHERE id = 1 << 32",
        ),
        (
            "name_number",
            "UPDATE messages SET entry = 0 WHERE id = (SELECT min(id) FROM messages)",
        ),
        ("spent_columns", "UPDATE spent SET name = x'00'"),
        ("spent_columns", "UPDATE spent SET expires_us = -1"),
        ("numbers_again", "UPDATE totals SET last_id = 3"),
        ("structure", "DROP INDEX messages_expiry"),
        ("structure", "CREATE TABLE more (x)"),
    ] {
        let (_directory, at, path) = database();
        let connection = Connection::open(&path).unwrap();
        assert!(connection.execute_batch(lie).is_ok(), "{lie}");
        let lied: bool = connection
            .query_row("SELECT total_changes() > 0", [], |row| row.get(0))
            .unwrap();
        assert!(lied || kind == "structure", "{lie}");
        drop(connection);
        let report = report(&at, &StoreLimits::default());
        let kinds: Vec<_> = report.faults.iter().map(|fault| fault.kind).collect();
        assert!(kinds.contains(&kind), "{lie}: {:?}", report.faults);
        let fault = report
            .faults
            .iter()
            .find(|fault| fault.kind == kind)
            .unwrap();
        assert_eq!(fault.rows > 0, kind != "structure", "{fault:?}");
    }
}

#[test]
fn an_index_that_lacks_a_row_is_found() {
    let (_directory, at, path) = database();
    let connection = Connection::open(&path).unwrap();
    // The row is taken from the table alone.
    connection
        .execute_batch(
            "PRAGMA writable_schema = ON; CREATE TABLE kept AS SELECT * FROM sqlite_schema WHERE name = 'messages_expiry'; \
             DELETE FROM sqlite_schema WHERE name = 'messages_expiry';",
        )
        .unwrap();
    drop(connection);
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "UPDATE messages SET expires_us = expires_us + 1 WHERE id = (SELECT min(id) FROM messages); \
             PRAGMA writable_schema = ON; INSERT INTO sqlite_schema SELECT * FROM kept; DROP TABLE kept;",
        )
        .unwrap();
    drop(connection);
    let report = report(&at, &StoreLimits::default());
    assert!(
        report
            .faults
            .iter()
            .any(|fault| fault.kind == "structure" && fault.what.contains("messages_expiry")),
        "{report:?}"
    );
}

#[test]
fn quotas_that_were_lowered_are_told_and_are_no_damage() {
    let (_directory, at, _) = database();
    let limits = StoreLimits {
        entries_per_drop: 1,
        remembered_per_drop: 0,
        entries_per_mailbox: 2,
        sets_per_mailbox: 1,
        mailboxes: 3,
        bytes: 1000,
        ..StoreLimits::default()
    };
    let report = report(&at, &limits);
    assert!(report.is_sound(), "{report:?}");
    let mut quotas: Vec<_> = report.exceeded.iter().map(|one| one.quota).collect();
    quotas.sort_unstable();
    let all = [
        "bytes",
        "entries_per_drop",
        "entries_per_mailbox",
        "mailboxes",
        "remembered_per_drop",
        "sets_per_mailbox",
    ];
    assert_eq!(quotas, all);
}

/// Wherever bytes are flipped or the file is cut, there is a report or an error; and whatever is found sound holds what
/// it held.
#[test]
fn damage_anywhere_is_found_or_harmless() {
    let (directory, _, path) = database();
    let whole = fs::read(&path).unwrap();
    let damaged = directory.path().join("damaged.db");
    let at = StoreAt::Sqlite(damaged.clone(), key_of_store());
    let (mut found, mut harmless) = (0, 0);
    let mut judge = |bytes: &[u8], what: &str| {
        fs::write(&damaged, bytes).unwrap();
        let looked = at
            .look()
            .and_then(|store| store.verify(&StoreLimits::default(), &mut |_| {}));
        match looked {
            Ok(report) if report.is_sound() => {
                harmless += 1;
                assert_eq!(report.counted.entries, 8, "{what}");
                // A provider goes on with it.
                let mut store = at.open(StoreLimits::default()).unwrap();
                let results = store.apply(
                    T0,
                    vec![load::put(key(3), 0, 77, after(9)), StoreOp::Expire],
                );
                assert!(results.iter().all(Result::is_ok), "{what}: {results:?}");
            }
            Ok(_)
            | Err(StoreError::Corrupt(_) | StoreError::Foreign(_) | StoreError::Version { .. }) => {
                found += 1
            }
            Err(error) => panic!("{what}: {error:?}"),
        }
    };
    for start in (0..whole.len()).step_by(797) {
        for length in [1, 40] {
            let mut bytes = whole.clone();
            bytes[start..]
                .iter_mut()
                .take(length)
                .for_each(|byte| *byte ^= 0x5a);
            judge(&bytes, &format!("{length} at {start}"));
        }
    }
    for end in (0..whole.len()).step_by(4096).skip(1) {
        judge(&whole[..end], &format!("cut at {end}"));
    }
    assert!(found > 20 && harmless > 50, "{found} {harmless}");
}
