//! What a database tells without the key of its store: of nobody.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use shoal_packet::command::{DropChange, DropSet, SetSize};
use shoal_proto::{MailboxId, MessageId, Span};
use shoal_provider::{
    EntryId, Opening, SqliteOptions, SqliteStore, Store, StoreError, StoreLimits, StoreOp,
    StoreOutcome, export, import,
};

use crate::operations::{
    T0, after, blob, key_of_store, numbers, one, put, register, sqlite_store, store_key,
};

/// Bytes that nothing else has.
fn marked<const N: usize>(n: u8) -> [u8; N] {
    std::array::from_fn(|at| (n ^ u8::try_from(at).unwrap()).wrapping_mul(167))
}

fn owner() -> MailboxId {
    MailboxId::new(marked(0x51))
}

fn drops() -> DropSet {
    DropSet::new(marked(0x52), SetSize::Small)
}

fn put_marked(n: u8) -> StoreOp {
    StoreOp::Put {
        drop: drops().id(&owner(), 3),
        message: MessageId::new(marked(n)),
        blob: blob(0xb1),
        expires: after(7200),
    }
}

fn command(counter: u64, acks: &[u64], changes: Vec<DropChange>) -> StoreOp {
    StoreOp::Attend {
        mailbox: owner(),
        generation: 1,
        counter,
        stream: 0,
        acks: acks.iter().copied().map(EntryId::new).collect(),
        changes,
        opening: Opening::Free,
    }
}

/// Two deposits, one of which is acknowledged.
fn work(store: &mut dyn Store) {
    one(
        store,
        T0,
        command(1, &[], vec![DropChange::Register(drops())]),
    );
    one(store, T0, put_marked(0x53));
    one(store, T0, put_marked(0x54));
    one(store, T0, command(2, &[1], Vec::new()));
}

/// What nobody is to read: whose it is, what its drop ids follow from, one of them and what it may be found by, and the
/// deposit ids.
fn secrets() -> Vec<Vec<u8>> {
    let drop = *drops().id(&owner(), 3).as_bytes();
    vec![
        owner().as_bytes().to_vec(),
        drops().secret().to_vec(),
        drop.to_vec(),
        drop[..8].to_vec(),
        marked::<16>(0x53).to_vec(),
        marked::<16>(0x54).to_vec(),
    ]
}

fn is_in(directory: &Path, wanted: &[u8]) -> bool {
    fs::read_dir(directory).unwrap().any(|file| {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        bytes.windows(wanted.len()).any(|window| window == wanted)
    })
}

#[test]
fn a_database_alone_tells_of_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut store = sqlite_store(&path, StoreLimits::default());
    work(&mut store);
    for round in 0..2 {
        assert!(
            is_in(directory.path(), &[0xb1; 64]),
            "what is stored is there"
        );
        for (n, secret) in secrets().into_iter().enumerate() {
            assert!(!is_in(directory.path(), &secret), "{n} in round {round}");
        }
        // With the log folded.
        one(&mut store, T0, StoreOp::Expire);
    }
    drop(store);
    // A number of a row has other bytes in the file.
    let connection = Connection::open(&path).unwrap();
    let count = |sql: &str, tag: i64| -> i64 {
        let mut counted = connection.prepare(sql).unwrap();
        counted.query_row([tag], |row| row.get(0)).unwrap()
    };
    let all = "SELECT count(*) FROM names WHERE tag <> ?1";
    assert_eq!(count(all, first_of_drop()), 64);
}

/// What the drop id would be found by if it were not hashed.
fn first_of_drop() -> i64 {
    let drop = drops().id(&owner(), 3);
    i64::from_be_bytes(drop.as_bytes()[..8].try_into().unwrap())
}

#[test]
fn a_mailbox_takes_its_key_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let limits = StoreLimits::default();
    let closed = limits.mailbox_closed;
    let mut store = sqlite_store(&path, limits.clone());
    work(&mut store);
    one(&mut store, T0, command(3, &[2], vec![DropChange::Close]));
    drop(store);
    let sealed: Vec<u8> = Connection::open(&path)
        .unwrap()
        .query_row(
            "SELECT sealed FROM cells WHERE sealed IS NOT NULL",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert!(is_in(directory.path(), &sealed));
    let mut store = sqlite_store(&path, limits);
    one(
        &mut store,
        T0 + closed + Span::from_secs(3600),
        StoreOp::Expire,
    );
    assert_eq!(store.usage().mailboxes, 0);
    assert!(!is_in(directory.path(), &sealed[..48]), "its own key");
    assert!(!is_in(directory.path(), &sealed[48..]), "its owner's");
}

#[test]
fn no_other_key_opens_a_database_or_changes_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut store = sqlite_store(&path, StoreLimits::default());
    work(&mut store);
    drop(store);
    let before = fs::read(&path).unwrap();
    let options = SqliteOptions::new(&path, store_key(9), StoreLimits::default());
    assert_eq!(SqliteStore::open(options).err(), Some(StoreError::Key));
    let at = shoal_provider::StoreAt::Sqlite(path.clone(), store_key(9));
    assert_eq!(at.look().err(), Some(StoreError::Key));
    assert_eq!(at.to_fill().err(), Some(StoreError::Key));
    assert!(before == fs::read(&path).unwrap(), "the file has changed");
    let mut store = sqlite_store(&path, StoreLimits::default());
    let known = one(&mut store, T0, put_marked(0x53));
    assert!(matches!(known, StoreOutcome::Stored { entry: None, .. }));
}

/// A copy has what the key opens, and the store that takes it another key.
#[test]
fn a_copy_goes_from_one_key_to_another() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str, key| shoal_provider::StoreAt::Sqlite(directory.path().join(name), key);
    let (from, to) = (at("from.db", key_of_store()), at("to.db", store_key(9)));
    work(&mut *from.open(StoreLimits::default()).unwrap());
    let copy = |at: &shoal_provider::StoreAt| {
        let mut copy = Vec::new();
        export(&*at.look().unwrap(), &mut copy, &mut |_| {}).unwrap();
        copy
    };
    let bytes = copy(&from);
    import(
        &mut *to.to_fill().unwrap(),
        &mut bytes.as_slice(),
        &mut |_| {},
    )
    .unwrap();
    assert!(bytes == copy(&to));
    let mut store = to.open(StoreLimits::default()).unwrap();
    let known = one(&mut *store, T0, put_marked(0x53));
    assert!(matches!(known, StoreOutcome::Stored { entry: None, .. }));
}

/// The ids of deposits are sealed under the mailbox' own key: two mailboxes show nothing of one id in both.
#[test]
fn one_deposit_id_in_two_mailboxes_does_not_show() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut store = sqlite_store(&path, StoreLimits::default());
    for n in [1, 2] {
        one(
            &mut store,
            T0,
            crate::operations::attend(n, 1, &[], &[register(1)]),
        );
        one(&mut store, T0, crate::operations::put_for(n, 1, 1));
    }
    assert_eq!(
        one(&mut store, T0, put(1, 1)),
        crate::operations::stored(1, 1)
    );
    assert_eq!(numbers(&mut store, T0, 2, 1, 0), [1]);
    drop(store);
    let count: i64 = Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(DISTINCT message) FROM messages", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(count, 2);
}

#[cfg(feature = "postgres")]
#[test]
fn a_schema_alone_tells_of_nobody_and_no_other_key_opens_it() {
    let Some(server) = crate::postgres::server() else {
        return;
    };
    let mut store = server.store(StoreLimits::default());
    work(&mut store);
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    // How many columns have it: so many are to.
    let check = |wanted: &[u8], expected: &str| {
        server.execute(&format!(
            "DO $$ DECLARE c record; n bigint; found bigint := 0; BEGIN FOR c IN SELECT table_name AS t, column_name AS n \
             FROM information_schema.columns WHERE table_schema = current_schema() AND data_type = 'bytea' LOOP \
             EXECUTE format('SELECT count(*) FROM %I WHERE position(''\\x{}''::bytea in %I) > 0', c.t, c.n) INTO n; \
             found := found + n; END LOOP; \
             IF NOT found {expected} THEN RAISE EXCEPTION 'found %', found; END IF; END $$",
            hex(wanted)
        ));
    };
    check(&[0xb1; 64], "= 1");
    for secret in secrets() {
        check(&secret, "= 0");
    }
    let tag = first_of_drop();
    server.execute(&format!(
        "DO $$ BEGIN IF EXISTS (SELECT FROM names WHERE tag = {tag}) THEN RAISE EXCEPTION 'tag'; END IF; END $$"
    ));
    drop(store);
    let other = shoal_provider::PostgresOptions {
        key: store_key(9),
        ..server.options(StoreLimits::default())
    };
    let error = shoal_provider::PostgresStore::open(other).err();
    assert_eq!(error, Some(StoreError::Key));
    let mut store = server.open(StoreLimits::default());
    let known = one(&mut store, T0, put_marked(0x53));
    assert!(matches!(known, StoreOutcome::Stored { entry: None, .. }));
}
