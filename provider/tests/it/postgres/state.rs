//! What else a node keeps in the schema: whoever was overtaken writes nothing more, in whatever order that comes.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use shoal_provider::{
    PostgresOptions, PostgresState, PostgresStore, StateChange, StateLane, StoreError, StoreKey,
    StoreLimits, TagBatch,
};
use zeroize::Zeroizing;

use super::{Server, ask, server};

fn limits() -> StoreLimits {
    StoreLimits::default()
}

fn state(server: &Server, store: &PostgresStore, lane: StateLane) -> PostgresState {
    PostgresState::open(server.options(limits()), store.takeover(), lane).unwrap()
}

fn change<'a>(key: &'a [u8], value: Option<&'a [u8]>) -> StateChange<'a> {
    StateChange {
        kind: "kind",
        key,
        value,
        secret: false,
    }
}

fn rows(state: &mut PostgresState) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows = state.rows().unwrap().into_iter();
    rows.map(|row| (row.key, row.value.unwrap().to_vec()))
        .collect()
}

fn batch(log: i64, number: i64, tag: u8) -> TagBatch {
    TagBatch {
        log,
        number,
        tags: vec![tag; 32],
    }
}

#[test]
fn rows_are_put_and_removed_and_the_later_of_two_counts() {
    let Some(server) = server() else { return };
    let store = server.store(limits());
    let mut state = state(&server, &store, StateLane::Rows);
    let changes = [
        change(&[1], Some(&[1])),
        change(&[2], Some(&[2])),
        change(&[1], Some(&[3])),
        change(&[2], None),
    ];
    state.change(&changes).unwrap();
    assert_eq!(rows(&mut state), [(vec![1], vec![3])]);
    state.change(&[change(&[1], None)]).unwrap();
    assert_eq!(rows(&mut state), []);
}

#[test]
fn a_secret_is_sealed_in_its_row() {
    let Some(server) = server() else { return };
    let store = server.store(limits());
    let mut state = state(&server, &store, StateLane::Rows);
    let secret = |key, value| StateChange {
        secret: true,
        ..change(key, Some(value))
    };
    state.change(&[secret(&[1], &[7; 32])]).unwrap();
    assert_eq!(rows(&mut state), [(vec![1], vec![7; 32])]);
    // In another row it is nothing, as under another key.
    server.execute("INSERT INTO state_rows SELECT kind, '\\x02', value, sealed FROM state_rows");
    let found = state.rows().unwrap();
    assert!(found[0].value.is_some() && found[1].value.is_none());
    let schema = server.options(limits()).schema;
    let mut stored: Vec<u8> = Vec::new();
    ask(&server.connection, async |client| {
        let sql = format!("SELECT value FROM {schema}.state_rows LIMIT 1");
        stored = client.query_one(&sql, &[]).await.unwrap().get(0);
    });
    assert!(!stored.windows(4).any(|bytes| bytes == [7; 4]));
    let long = secret(&[3], &[7; 65]);
    assert!(matches!(state.change(&[long]), Err(StoreError::Bug(_))));
    assert_eq!(state.rows().unwrap().len(), 2);
}

#[test]
fn who_was_overtaken_writes_nothing_in_either_lane() {
    let Some(server) = server() else { return };
    let store = server.store(limits());
    let mut old = state(&server, &store, StateLane::Rows);
    let mut tags = state(&server, &store, StateLane::Tags);
    old.change(&[change(&[1], Some(&[1]))]).unwrap();
    let (log, _) = tags.make_log(1, &[9; 32]).unwrap();
    tags.append(&[batch(log, 0, 1)]).unwrap();
    // The connection with the lock breaks; those of the state do not, and their process hangs meanwhile.
    server.cut();
    let next = server.open(limits());
    let busy = Err(StoreError::Busy);
    assert_eq!(old.change(&[change(&[1], Some(&[2]))]), busy);
    assert_eq!(old.change(&[change(&[1], None)]), busy);
    assert_eq!(tags.append(&[batch(log, 1, 2)]), busy);
    assert_eq!(tags.make_log(2, &[9; 32]), Err(StoreError::Busy));
    assert_eq!(tags.remove_log(1), busy);
    // Nor over new connections.
    server.cut_state();
    assert_eq!(old.change(&[change(&[1], Some(&[2]))]), busy);
    // What was sent once is not sent again by itself: nobody knows whether it counts.
    assert!(tags.append(&[batch(log, 1, 2)]).is_err());
    assert_eq!(tags.append(&[batch(log, 1, 2)]), busy);
    let mut rows_of_next = state(&server, &next, StateLane::Rows);
    let mut tags = state(&server, &next, StateLane::Tags);
    assert_eq!(rows(&mut rows_of_next), [(vec![1], vec![1])]);
    let loaded = tags.log(1, true).unwrap().unwrap();
    assert_eq!((loaded.tags.len(), loaded.next), (1, 1));
    assert_eq!(tags.logs().unwrap(), [1]);
}

/// The one who takes over waits for what is being committed, and reads it.
#[test]
fn what_is_being_committed_comes_before_a_takeover() {
    let Some(server) = server() else { return };
    let store = server.store(limits());
    let mut old = state(&server, &store, StateLane::Rows);
    old.change(&[change(&[1], Some(&[1]))]).unwrap();
    // Somebody holds the row, so that the change has taken its turn and waits within its transaction.
    let schema = server.options(limits()).schema;
    let connection = server.connection.clone();
    let (held, is_held) = sync_channel(1);
    let (free, is_free) = sync_channel::<()>(1);
    let holder = std::thread::spawn(move || {
        ask(&connection, async move |client| {
            let sql = format!("BEGIN; SELECT * FROM {schema}.state_rows FOR UPDATE");
            client.batch_execute(&sql).await.unwrap();
            held.send(()).unwrap();
            is_free.recv().unwrap();
            client.batch_execute("COMMIT").await.unwrap();
        });
    });
    is_held.recv().unwrap();
    let change_it = std::thread::spawn(move || {
        let done = old.change(&[change(&[1], Some(&[2]))]);
        (old, done)
    });
    wait_for(&server, "state_rows.* FOR UPDATE|INSERT INTO state_rows", 1);
    server.cut();
    let options = server.options(limits());
    let next = std::thread::spawn(move || PostgresStore::open(options).unwrap());
    wait_for(&server, "UPDATE turns", 1);
    assert!(!next.is_finished(), "it waits for the commit");
    free.send(()).unwrap();
    holder.join().unwrap();
    let (mut old, done) = change_it.join().unwrap();
    assert_eq!(done, Ok(()));
    let next = next.join().unwrap();
    let mut after = state(&server, &next, StateLane::Rows);
    assert_eq!(rows(&mut after), [(vec![1], vec![2])]);
    assert_eq!(
        old.change(&[change(&[1], Some(&[3]))]),
        Err(StoreError::Busy)
    );
}

/// Until so many connections wait for a lock with such a statement.
fn wait_for(server: &Server, statement: &str, wanted: i64) {
    for _ in 0..500 {
        let mut found = 0;
        ask(&server.connection, async |client| {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ $1";
            found = client.query_one(sql, &[&statement]).await.unwrap().get(0);
        });
        if found >= wanted {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody waits in {statement}");
}

/// A process that made its connection anew is not overtaken by what it sent over the one before.
#[test]
fn a_connection_of_before_writes_nothing_after_the_next() {
    let Some(server) = server() else { return };
    let store = server.store(limits());
    let mut before = state(&server, &store, StateLane::Rows);
    before.change(&[change(&[1], Some(&[4]))]).unwrap();
    let mut after = state(&server, &store, StateLane::Rows);
    after.change(&[change(&[1], Some(&[5]))]).unwrap();
    let late = before.change(&[change(&[1], Some(&[4]))]);
    assert_eq!(late, Err(StoreError::Busy));
    assert_eq!(rows(&mut after), [(vec![1], vec![5])]);
    // The other lane is another's.
    let mut tags = state(&server, &store, StateLane::Tags);
    tags.make_log(1, &[1; 32]).unwrap();
    after.change(&[change(&[1], Some(&[6]))]).unwrap();
}

#[test]
fn a_connection_that_broke_is_made_anew() {
    let Some(server) = server() else { return };
    let store = server.store(limits());
    let mut state = state(&server, &store, StateLane::Rows);
    for value in 1..4 {
        server.cut_state();
        state
            .change(&[change(&[1], Some(std::slice::from_ref(&value)))])
            .unwrap();
        assert!(!state.is_uncertain());
        assert_eq!(rows(&mut state), [(vec![1], vec![value])]);
    }
}

#[test]
fn a_log_tells_its_key_and_whether_tags_are_lost() {
    let Some(server) = server() else { return };
    let store = server.store(limits());
    let mut tags = state(&server, &store, StateLane::Tags);
    let mut sweeper = state(&server, &store, StateLane::Rows);
    let (log, _) = tags.make_log(7, &[1; 32]).unwrap();
    assert_eq!(tags.make_log(7, &[2; 32]).unwrap(), (log, vec![1; 32]));
    for number in 0..300 {
        tags.append(&[batch(log, number, 1)]).unwrap();
    }
    let loaded = tags.log(7, true).unwrap().unwrap();
    assert_eq!((loaded.tags.len(), loaded.next), (300, 300));
    assert!(loaded.damaged.is_none() && loaded.key == [1; 32]);
    assert_eq!(tags.log(7, false).unwrap().unwrap().next, 300);
    // A number twice, or a log that is not there, fails whole.
    assert!(
        tags.append(&[batch(log, 300, 1), batch(log, 5, 1)])
            .is_err()
    );
    assert_eq!(tags.log(7, false).unwrap().unwrap().next, 300);
    assert!(tags.append(&[batch(log + 1, 0, 1)]).is_err());
    for (damage, at) in [
        (
            "UPDATE tag_batches SET tags = set_byte(tags, 3, 9) WHERE number = 20",
            20,
        ),
        ("DELETE FROM tag_batches WHERE number = 10", 10),
    ] {
        server.execute(damage);
        let loaded = tags.log(7, true).unwrap().unwrap();
        assert_eq!(loaded.damaged, Some(at));
    }
    tags.remove_log(7).unwrap();
    tags.remove_log(7).unwrap();
    assert!(tags.log(7, true).unwrap().is_none() && tags.logs().unwrap().is_empty());
    // A log of the same epoch has nothing of the one before, swept or not.
    let (again, _) = tags.make_log(7, &[3; 32]).unwrap();
    tags.append(&[batch(again, 0, 4)]).unwrap();
    sweeper.sweep().unwrap();
    let loaded = tags.log(7, true).unwrap().unwrap();
    assert_eq!(loaded.tags, [[4; 32]]);
    let mut left: i64 = 0;
    let schema = server.options(limits()).schema;
    ask(&server.connection, async |client| {
        let sql = format!("SELECT count(*) FROM {schema}.tag_batches");
        left = client.query_one(&sql, &[]).await.unwrap().get(0);
    });
    assert_eq!(left, 1);
}

#[test]
fn anybody_with_the_key_may_look_and_nobody_else() {
    let Some(server) = server() else { return };
    let options = server.options(limits());
    assert!(PostgresState::peek(&options, "kind").unwrap().is_none());
    let store = server.open(limits());
    let mut state = state(&server, &store, StateLane::Rows);
    state.change(&[change(&[1], Some(&[1]))]).unwrap();
    let seen = PostgresState::peek(&options, "kind").unwrap().unwrap();
    assert_eq!(seen.len(), 1);
    assert!(
        PostgresState::peek(&options, "other")
            .unwrap()
            .unwrap()
            .is_empty()
    );
    let other = PostgresOptions {
        key: StoreKey::new(
            Zeroizing::new([99; 32]),
            rand::SeedableRng::seed_from_u64(1),
        ),
        ..options
    };
    let error = PostgresState::peek(&other, "kind").err().unwrap();
    assert_eq!(error, StoreError::Key);
    // It takes no turn.
    state.change(&[change(&[1], Some(&[2]))]).unwrap();
}
