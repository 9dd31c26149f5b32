//! One process has the mailboxes; when it is gone the next one has them, and it can't come back unseen.

use shoal_proto::Span;
use shoal_provider::{
    PostgresOptions, PostgresStore, Store, StoreError, StoreLimits, StoreOp, StoreOutcome, Usage,
};

use super::server;
use crate::operations::{T0, attend, numbers, one, put, register, stored};

fn error(options: PostgresOptions) -> StoreError {
    match PostgresStore::open(options) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

fn limits() -> StoreLimits {
    StoreLimits::default()
}

#[test]
fn a_second_process_waits_for_the_first() {
    let Some(server) = server() else { return };
    let mut first = server.store(limits());
    one(&mut first, T0, attend(1, 1, &[], &[register(1)]));
    one(&mut first, T0, put(1, 1));
    let impatient = PostgresOptions {
        patience: Span::from_millis(100),
        ..server.options(limits())
    };
    assert_eq!(error(impatient.clone()), StoreError::Busy);
    // Another schema of the same database is another provider's.
    let other = PostgresOptions {
        schema: format!("{}_other", impatient.schema),
        ..impatient
    };
    drop(PostgresStore::open(other.clone()).unwrap());
    server.execute(&format!("DROP SCHEMA {} CASCADE", other.schema));
    let options = server.options(limits());
    std::thread::scope(|scope| {
        let second = scope.spawn(|| PostgresStore::open(options).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(300));
        drop(first);
        let mut second = second.join().unwrap();
        assert_eq!(second.usage().entries, 1);
        assert_eq!(one(&mut second, T0, put(1, 2)), stored(1, 2));
    });
}

#[test]
fn a_connection_that_broke_while_nobody_looked_costs_no_answer() {
    let Some(server) = server() else { return };
    let mut store = server.store(limits());
    one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
    for id in 1..4 {
        server.cut();
        let entry = u64::from(id);
        assert_eq!(one(&mut store, T0, put(1, id)), stored(1, entry));
    }
    assert_eq!(numbers(&mut store, T0, 1, 1, 0), [1, 2, 3]);
}

#[test]
fn one_that_lost_the_mailboxes_to_another_never_has_them_again_by_itself() {
    let Some(server) = server() else { return };
    let mut old = server.store(limits());
    one(&mut old, T0, attend(1, 1, &[], &[register(1)]));
    one(&mut old, T0, put(1, 1));
    let before = old.takeover();
    server.cut();
    let mut new = server.open(limits());
    assert!(new.takeover().number() > before.number());
    let busy = |old: &mut PostgresStore| {
        for result in old.apply(T0, vec![put(1, 2), StoreOp::Check]) {
            assert_eq!(result, Err(StoreError::Busy));
        }
    };
    busy(&mut old);
    assert_eq!(one(&mut new, T0, put(1, 3)), stored(1, 2));
    one(&mut new, T0, attend(1, 2, &[1], &[]));
    drop(new);
    // What it knows of the mailboxes is over, and of all else that a node keeps.
    busy(&mut old);
    drop(old);
    let mut old = server.open(limits());
    assert_eq!(one(&mut old, T0, put(1, 4)), stored(1, 3));
    let expected = Usage {
        mailboxes: 1,
        entries: 2,
        remembered: 1,
    };
    assert_eq!(old.usage(), expected);
    assert_eq!(numbers(&mut old, T0, 1, 1, 0), [2, 3]);
}

/// A lock may be lost without the connection, behind a pool of connections for one.
#[test]
fn whoever_was_overtaken_without_noticing_does_nothing_more() {
    let Some(server) = server() else { return };
    let mut store = server.store(limits());
    one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
    one(&mut store, T0, put(1, 1));
    let list = StoreOp::Waiting {
        mailbox: crate::operations::mailbox(1),
    };
    for ops in [vec![put(1, 2), StoreOp::Expire], vec![list]] {
        server.execute("UPDATE meta SET fence = fence + 1");
        for result in store.apply(T0, ops) {
            assert_eq!(result, Err(StoreError::Busy));
        }
        drop(store);
        store = server.open(limits());
        assert_eq!(store.usage().entries, 1);
        assert_eq!(numbers(&mut store, T0, 1, 1, 0), [1]);
    }
}

#[test]
fn a_full_disk_refuses_deposits_and_nothing_else() {
    let Some(server) = server() else { return };
    let mut store = server.store(limits());
    one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
    one(&mut store, T0, put(1, 1));
    // As the server says it.
    server.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$; \
         CREATE TRIGGER full_disk BEFORE INSERT ON entries EXECUTE FUNCTION full_disk()",
    );
    let ops = vec![
        put(1, 2),
        attend(1, 2, &[1], &[register(2)]),
        StoreOp::Check,
    ];
    let results = store.apply(T0, ops);
    assert_eq!(results[0], Err(StoreError::DiskFull));
    assert!(matches!(
        results[1],
        Ok(StoreOutcome::Attended { refused: 0, .. })
    ));
    assert_eq!(results[2], Err(StoreError::DiskFull));
    let expected = Usage {
        mailboxes: 1,
        entries: 0,
        remembered: 1,
    };
    assert_eq!(store.usage(), expected);
    server.execute("DROP TRIGGER full_disk ON entries");
    assert_eq!(one(&mut store, T0, put(1, 2)), stored(1, 2));
}
