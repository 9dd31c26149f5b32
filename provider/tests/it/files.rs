//! Files that are not what they should be, and disks that are full: clear errors, no panics, and
//! nothing that was stored is lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::operations::key_of_store;
use rusqlite::Connection;
use shoal_proto::Span;
use shoal_provider::{
    SqliteOptions, SqliteStore, Store, StoreError, StoreLimits, StoreOp, StoreOutcome,
};

use crate::operations::{T0, attend, numbers, one, put, register, sqlite_store};

fn open(path: &std::path::Path) -> Result<SqliteStore, StoreError> {
    let limits = StoreLimits::default();
    SqliteStore::open(SqliteOptions {
        reserve: 0,
        patience: Span::from_millis(20),
        ..SqliteOptions::new(path, key_of_store(), limits)
    })
}

fn error(path: &std::path::Path) -> StoreError {
    match open(path) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("letter.txt");
    let text = "Dear all, this is not a database. ".repeat(100);
    fs::write(&path, &text).unwrap();
    assert!(matches!(error(&path), StoreError::Foreign(_)));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_database_of_another_program_is_refused_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.db");
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (7)")
        .unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    assert!(matches!(error(&path), StoreError::Foreign(_)));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn another_schema_version_is_refused() {
    for (found, advice) in [(99, "newer"), (4, "export")] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        drop(open(&path).unwrap());
        let later = Connection::open(&path).unwrap();
        later.pragma_update(None, "user_version", found).unwrap();
        drop(later);
        let known = 5;
        assert_eq!(error(&path), StoreError::Version { found, known });
        assert!(error(&path).to_string().contains(advice));
    }
}

/// Ids of cells have room for so many numbers, and the next mailbox begins behind them.
#[test]
fn a_mailbox_that_has_given_all_its_numbers_takes_nothing_more() {
    use crate::operations::{T0, numbers, one, put, stored};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut store = sqlite_store(&path, StoreLimits::default());
    for owner in [1, 2] {
        one(
            &mut store,
            T0,
            crate::operations::attend(owner, 1, &[], &[crate::operations::register(owner)]),
        );
    }
    drop(store);
    let last = (1_u64 << 32) - (1 << 24) - 1;
    Connection::open(&path)
        .unwrap()
        .execute(
            "UPDATE cells SET next_entry = ?1 WHERE id = 1 << 32",
            [last.cast_signed()],
        )
        .unwrap();
    let mut store = sqlite_store(&path, StoreLimits::default());
    assert_eq!(one(&mut store, T0, put(1, 1)), stored(1, last));
    assert_eq!(
        one(&mut store, T0, put(1, 2)),
        shoal_provider::StoreOutcome::Refused
    );
    assert_eq!(numbers(&mut store, T0, 1, 1, 0), [last]);
    assert_eq!(numbers(&mut store, T0, 2, 2, 0), [0; 0]);
    let ack = crate::operations::attend(1, 2, &[last, last + 1, u64::MAX], &[]);
    one(&mut store, T0, ack);
    assert_eq!(store.usage().entries, 0);
}

#[test]
fn a_damaged_database_is_an_error_wherever_the_damage_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut store = sqlite_store(&path, StoreLimits::default());
    one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
    for id in 1..40 {
        one(&mut store, T0, put(1, id));
    }
    drop(store);
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for start in (0..whole.len()).step_by(2048) {
        let mut damaged = whole.clone();
        for byte in damaged.iter_mut().skip(start).take(600) {
            *byte ^= 0xa5;
        }
        fs::write(&path, &damaged).unwrap();
        match open(&path) {
            Err(StoreError::Corrupt(_) | StoreError::Foreign(_)) => refused += 1,
            Err(error) => panic!("{error:?} at {start}"),
            // Within a blob nobody but its receiver can tell.
            Ok(mut store) => {
                let _ = store.apply(T0, vec![put(1, 1), put(1, 99), StoreOp::Expire]);
            }
        }
    }
    assert!(refused > 3, "{refused}");
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(error(&path), StoreError::Corrupt(_)));
}

#[test]
fn one_process_holds_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut first = open(&path).unwrap();
    one(&mut first, T0, attend(1, 1, &[], &[register(1)]));
    assert_eq!(error(&path), StoreError::Busy);
    drop(first);
    assert!(open(&path).is_ok());
}

#[test]
fn a_place_that_is_not_writable_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing").join("store.db");
    assert!(matches!(error(&missing), StoreError::Permission(_)));
    assert!(matches!(error(directory.path()), StoreError::Permission(_)));
}

#[test]
fn the_file_is_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut store = open(&path).unwrap();
    one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
    let wal = directory.path().join("store.db-wal");
    for path in [path, wal] {
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}

#[test]
fn a_full_database_refuses_deposits_and_keeps_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let options = SqliteOptions {
        reserve: 0,
        max_pages: Some(40),
        ..SqliteOptions::new(&path, key_of_store(), StoreLimits::default())
    };
    let mut store = SqliteStore::open(options).unwrap();
    one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
    let mut kept = 0;
    let refused = (1..=200).find(
        |id| match store.apply(T0, vec![put(1, *id)]).pop().unwrap() {
            Ok(StoreOutcome::Stored { .. }) => {
                kept += 1;
                false
            }
            Err(StoreError::DiskFull) => true,
            other => panic!("{other:?}"),
        },
    );
    assert!(refused.is_some() && kept > 10, "{kept}");
    assert_eq!(store.usage().entries, kept);
    // In one group with a deposit that does not fit, owners still free room: whole pages of it.
    let acks: Vec<u64> = (1..=20).collect();
    let results = store.apply(T0, vec![put(1, 201), attend(1, 2, &acks, &[]), put(1, 202)]);
    assert_eq!(results[0], Err(StoreError::DiskFull));
    assert!(matches!(results[1], Ok(StoreOutcome::Attended { .. })));
    assert!(matches!(
        one(&mut store, T0, put(1, 203)),
        StoreOutcome::Stored { .. }
    ));
    assert_eq!(numbers(&mut store, T0, 1, 1, 0).len() as u64, kept - 20 + 1);
}

#[test]
fn deposits_are_refused_before_the_reserve_is_touched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let options = SqliteOptions {
        reserve: u64::MAX,
        ..SqliteOptions::new(&path, key_of_store(), StoreLimits::default())
    };
    let mut store = SqliteStore::open(options).unwrap();
    let results = store.apply(T0, vec![attend(1, 1, &[], &[register(1)]), put(1, 1)]);
    assert!(matches!(results[0], Ok(StoreOutcome::Attended { .. })));
    assert!(matches!(results[1], Err(StoreError::Reserve { .. })));
    let results = store.apply(T0, vec![StoreOp::Check]);
    assert!(matches!(results[0], Err(StoreError::Reserve { .. })));
}

#[test]
fn a_store_that_can_write_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut store = open(&path).unwrap();
    assert_eq!(one(&mut store, T0, StoreOp::Check), StoreOutcome::Writable);
    drop(store);
    assert!(open(&path).is_ok(), "and it has changed nothing");
}

#[test]
fn an_acknowledged_payload_is_nowhere_in_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut store = sqlite_store(&path, StoreLimits::default());
    one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
    one(&mut store, T0, put(1, 0xb7));
    let holds = || {
        fs::read_dir(directory.path()).unwrap().any(|file| {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            bytes.windows(64).any(|window| window == [0xb7; 64])
        })
    };
    assert!(holds());
    one(&mut store, T0, attend(1, 2, &[1], &[]));
    one(&mut store, T0, StoreOp::Expire);
    assert!(!holds());
}
