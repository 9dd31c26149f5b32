//! What a database says of time: in which hour something happened, and no more.

use rusqlite::Connection;
use rusqlite::types::Value;
use shoal_packet::command::DropChange;
use shoal_proto::{Span, Time};
use shoal_provider::{Limits, Store, StoreLimits};
use shoal_topology::{NetworkParameters, TokenDemand};

use crate::operations::{set, sqlite_store};
use crate::world::{Owner, World};

const HOUR_US: u64 = 3_600_000_000;

/// Some hours of a provider: mailboxes that are opened for tokens, deposits, acknowledgements, a closed mailbox. Gives the
/// time at the end.
fn work(store: Box<dyn Store>) -> Time {
    let quotas = StoreLimits::default();
    let mut world = World::issuing(31, Limits::default(), quotas, TokenDemand::Open);
    world.store = store;
    let mut owners = [1, 2].map(Owner::new);
    for owner in &mut owners {
        let token = world.token();
        world.attend_with(owner, Some(token));
        world.run(Span::from_millis(1234));
        world.attend(owner, &[], &[DropChange::Register(set(1))]);
        world.run(Span::from_millis(777));
    }
    for message in 0..30 {
        world.deposit(1, message);
        world.run(Span::from_millis(4321));
        if message % 10 == 9 {
            world.attend(&mut owners[0], &[u64::from(message) - 1], &[]);
            world.run(Span::from_millis(99));
            world.sleep(Span::from_secs(2718));
        }
    }
    world.attend(&mut owners[1], &[], &[DropChange::Close]);
    world.run(Span::from_secs(7));
    let usage = world.store.usage();
    assert_eq!(
        (usage.mailboxes, usage.entries, usage.remembered),
        (2, 27, 3)
    );
    world.now
}

/// Whether a number may be a time of these years, in any unit, and finer than an hour.
fn is_fine(number: i64, now: Time) -> bool {
    [1, 1000, 1_000_000].into_iter().any(|unit| {
        let near = now.as_micros() / unit;
        let hour = HOUR_US / unit;
        let number = number.unsigned_abs();
        number.abs_diff(near) < 1000 * 24 * hour && !number.is_multiple_of(hour)
    })
}

#[test]
fn rows_of_a_database_tell_the_hour_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let now = work(Box::new(sqlite_store(&path, StoreLimits::default())));
    let connection = Connection::open(path).unwrap();
    let strings = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let mut times = 0;
    for table in strings("SELECT name FROM sqlite_schema WHERE type = 'table'") {
        let mut statement = connection
            .prepare(&format!("SELECT * FROM {table}"))
            .unwrap();
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query([]).unwrap();
        let mut count = 0;
        while let Some(row) = rows.next().unwrap() {
            count += 1;
            for (column, name) in names.iter().enumerate() {
                if let Value::Integer(number) = row.get(column).unwrap() {
                    assert!(!is_fine(number, now), "{table}.{name}: {number}");
                    times += u32::from(name.ends_with("_us"));
                }
            }
        }
        assert!(count > 0, "{table} is empty");
    }
    // Two of each mailbox, one of each token, of each name, and of each entry that waits.
    assert_eq!(times, 2 * 2 + 2 + 30 + 27);
}

#[cfg(feature = "postgres")]
#[test]
fn rows_of_postgres_tell_the_hour_and_no_more() {
    let Some(server) = crate::postgres::server() else {
        return;
    };
    let now = work(Box::new(server.store(StoreLimits::default())));
    let check = |now: u64, hour: u64| {
        server.execute(&format!(
            "DO $$ DECLARE c record; fine bigint; BEGIN FOR c IN SELECT table_name AS t, column_name AS n \
             FROM information_schema.columns WHERE table_schema = current_schema() AND data_type = 'bigint' LOOP \
             EXECUTE format('SELECT count(*) FROM %I WHERE abs(%I::numeric - {now}) < 24000::numeric * {hour} AND mod(%I, {hour}) <> 0', \
             c.t, c.n, c.n) INTO fine; \
             IF fine > 0 THEN RAISE EXCEPTION '%.%: %', c.t, c.n, fine; END IF; END LOOP; END $$"
        ));
    };
    for unit in [1, 1000, 1_000_000] {
        check(now.as_micros() / unit, HOUR_US / unit);
    }
}

/// In networks where messages live for a minute, they do not live for an hour.
#[test]
fn what_lives_for_a_minute_is_gone_soon_after_it() {
    let minute = Span::from_secs(60);
    assert!(minute < NetworkParameters::example().time_to_live);
    let mut world = World::with_life(32, Limits::default(), StoreLimits::default(), minute);
    let mut owner = Owner::new(1);
    world.attend(&mut owner, &[], &[DropChange::Register(set(1))]);
    world.run_secs(1);
    for message in 0..5 {
        world.deposit(1, message);
        world.run(Span::from_millis(1700));
    }
    let last = world.now;
    assert_eq!(world.store.usage().entries, 5);
    world.run(Span::from_secs(45));
    assert_eq!(world.store.usage().entries, 5, "none goes before its time");
    // A tenth longer at most, and the store is asked once a minute.
    let end = last + minute + Span::from_secs(6) + Limits::default().expire_every;
    world.run(end.since(world.now) + Span::from_secs(1));
    assert_eq!(world.store.usage().entries, 0);
}
