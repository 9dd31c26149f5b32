//! Crashes of the process, of the connection and of the server: what was answered is there afterwards,
//! once, and of what was not there is all or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::operations::key_of_store;
use shoal_provider::{
    EntryId, PostgresOptions, PostgresStore, Store, StoreError, StoreLimits, StoreOp, StoreOutcome,
};

use super::{Own, Server, server};
use crate::operations::{T0, after, attend, blob, drop_id, mailbox, one, register};

/// Tells this test binary that it is the process that gets killed, and names the schema.
const VICTIM: &str = "SHOAL_PROVIDER_POSTGRES_VICTIM";
/// Deposits of one group.
const GROUP: u32 = 8;

/// Deposits that nobody else makes, and an acknowledgement of one that an earlier round stored.
fn group(round: u32) -> Vec<StoreOp> {
    let mut ops: Vec<StoreOp> = (0..GROUP)
        .map(|n| {
            let mut message = [0; 16];
            message[..4].copy_from_slice(&round.to_be_bytes());
            message[4] = u8::try_from(n).unwrap();
            StoreOp::Put {
                drop: drop_id(1),
                message: shoal_proto::MessageId::new(message),
                blob: blob(1),
                expires: after(1000),
            }
        })
        .collect();
    ops.push(attend(1, 1000 + u64::from(round), &[], &[]));
    ops
}

/// How many deposits of each round are there.
fn rounds(store: &mut dyn Store) -> BTreeMap<u32, u32> {
    let mut found = BTreeMap::new();
    let mut from = EntryId::START;
    loop {
        let op = StoreOp::List {
            mailbox: mailbox(1),
            drop: drop_id(1),
            after: from,
            limit: 100,
        };
        let StoreOutcome::Entries(page) = one(store, T0, op) else {
            panic!("entries")
        };
        let Some(last) = page.last() else {
            return found;
        };
        from = last.entry;
        for entry in page {
            let round = entry.message.as_bytes()[..4].try_into().unwrap();
            *found.entry(u32::from_be_bytes(round)).or_default() += 1;
        }
    }
}

fn limits() -> StoreLimits {
    StoreLimits {
        entries_per_drop: 1 << 20,
        entries_per_mailbox: 1 << 20,
        ..StoreLimits::default()
    }
}

/// Not a test by itself: the process that the next test kills. It says each round that was answered.
#[test]
fn victim() {
    let (Some(schema), Some(server)) = (std::env::var_os(VICTIM), server()) else {
        return;
    };
    let options = PostgresOptions {
        schema: schema.into_string().unwrap(),
        ..server.options(limits())
    };
    let mut store = PostgresStore::open(options).unwrap();
    one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
    for round in 1.. {
        for result in store.apply(T0, group(round)) {
            result.unwrap();
        }
        println!("answered {round}");
    }
}

#[test]
fn a_killed_process_leaves_all_that_it_answered() {
    let Some(server) = server() else { return };
    drop(server.store(limits()));
    for answered in [1, 2, 30] {
        let schema = server.options(limits()).schema;
        server.execute("TRUNCATE mailboxes, sets, names, drops, entries, remembered");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["postgres::crash::victim", "--exact", "--nocapture"])
            .env(VICTIM, schema)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let last = format!("answered {answered}");
        let seen = lines.any(|line| line.is_ok_and(|line| line.ends_with(&last)));
        // SIGKILL, while it works on.
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen, "the child answered {answered} rounds");
        let mut store = server.open(limits());
        let found = rounds(&mut store);
        let last = *found.last_key_value().unwrap().0;
        assert!(last >= answered, "{last} of {answered}");
        // It may have done more than we read, but nothing half, and nothing is left out.
        let whole: BTreeMap<u32, u32> = (1..=last).map(|round| (round, GROUP)).collect();
        assert_eq!(found, whole);
        assert_eq!(store.usage().entries, u64::from(last * GROUP));
    }
}

#[test]
fn a_server_that_dies_under_load_keeps_all_that_was_answered() {
    let Some(server) = Own::new() else { return };
    let options = PostgresOptions::new(&server.connection, key_of_store(), limits());
    let mut store = PostgresStore::open(options.clone()).unwrap();
    one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
    let (answers, stop) = (
        Arc::new(AtomicU32::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let (answered, stopped) = (Arc::clone(&answers), Arc::clone(&stop));
    let load = std::thread::spawn(move || {
        let mut good = BTreeSet::new();
        let mut errors = 0;
        for round in 1.. {
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            let results = store.apply(T0, group(round));
            let failed: Vec<_> = results.iter().filter_map(|it| it.as_ref().err()).collect();
            for error in &failed {
                assert!(matches!(error, StoreError::Server(_)), "{error}");
            }
            if failed.is_empty() {
                good.insert(round);
                answered.fetch_add(1, Ordering::Relaxed);
            } else {
                assert_eq!(failed.len(), results.len(), "all or none");
                errors += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        (store, good, errors)
    });
    for crash in 0..4 {
        // Of the last one it only comes back.
        let enough = answers.load(Ordering::Relaxed) + 30;
        while answers.load(Ordering::Relaxed) < enough && !load.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
        }
        if crash < 3 {
            server.control("stop");
            std::thread::sleep(Duration::from_millis(100));
            server.control("start");
        }
    }
    stop.store(true, Ordering::Relaxed);
    let (mut store, answered, errors) = load.join().unwrap();
    assert!(errors > 0, "the server was away");
    let found = rounds(&mut store);
    for (round, count) in &found {
        assert_eq!(*count, GROUP, "half of round {round}");
    }
    for round in &answered {
        assert!(found.contains_key(round), "round {round} was answered");
    }
    let entries = u64::try_from(found.len()).unwrap() * u64::from(GROUP);
    assert_eq!(store.usage().entries, entries);
    drop(store);
    let store = PostgresStore::open(options).unwrap();
    assert_eq!(store.usage().entries, entries);
}

/// Where a connection is cut.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    /// The server never sees the commit.
    Before,
    /// It does, and its answer is lost.
    After,
}

/// A socket in a directory of its own in front of the server: it cuts one connection at its nth commit.
fn cutting(server: &Server, directory: &Path, nth: usize, cut: Cut) {
    let host = server.connection.split(' ').next().unwrap();
    let behind = format!("{}/.s.PGSQL.5432", host.strip_prefix("host=").unwrap());
    let listener = UnixListener::bind(directory.join(".s.PGSQL.5432")).unwrap();
    std::thread::spawn(move || {
        let mut left = Some(nth);
        for client in listener.incoming() {
            let (client, behind) = (client.unwrap(), UnixStream::connect(&behind).unwrap());
            let mut answers = (behind.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut answers.0, &mut answers.1);
                let _ = answers.1.shutdown(std::net::Shutdown::Both);
            });
            forward(client, behind, &mut left, cut);
        }
    });
}

fn forward(mut client: UnixStream, mut behind: UnixStream, left: &mut Option<usize>, cut: Cut) {
    let mut buffer = [0; 1 << 16];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        let commits = buffer[..read].windows(6).any(|bytes| bytes == b"COMMIT");
        if commits && let Some(more) = left {
            *more -= 1;
            if *more == 0 {
                *left = None;
                if cut == Cut::After {
                    // Nothing of the answer comes through.
                    client.shutdown(std::net::Shutdown::Both).unwrap();
                    behind.write_all(&buffer[..read]).unwrap();
                    std::thread::sleep(Duration::from_millis(300));
                }
                break;
            }
        }
        behind.write_all(&buffer[..read]).unwrap();
    }
    for side in [client, behind] {
        let _ = side.shutdown(std::net::Shutdown::Both);
    }
}

#[test]
fn a_connection_that_breaks_in_a_commit_is_no_answer_and_the_deposits_come_once() {
    let Some(server) = server() else { return };
    for cut in [Cut::Before, Cut::After] {
        let directory = tempfile::tempdir().unwrap();
        drop(server.store(limits()));
        // The schema is there, so commits are that of the takeover and those of groups.
        cutting(&server, directory.path(), 4, cut);
        let options = PostgresOptions {
            connection: format!(
                "host={} user=shoal dbname=postgres",
                directory.path().display()
            ),
            ..server.options(limits())
        };
        let mut store = PostgresStore::open(options).unwrap();
        one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
        for result in store.apply(T0, group(1)) {
            result.unwrap();
        }
        for result in store.apply(T0, group(2)) {
            assert!(matches!(result, Err(StoreError::Server(_))), "{result:?}");
        }
        let found = rounds(&mut store);
        assert_eq!(found.contains_key(&2), cut == Cut::After);
        // Senders try again.
        for result in store.apply(T0, group(2)).into_iter().take(GROUP as usize) {
            assert!(
                matches!(result, Ok(StoreOutcome::Stored { .. })),
                "{result:?}"
            );
        }
        let expected = BTreeMap::from([(1, GROUP), (2, GROUP)]);
        assert_eq!(rounds(&mut store), expected);
        assert_eq!(store.usage().entries, u64::from(2 * GROUP));
    }
}

/// Not a test but a measurement: `.ci/postgres cargo test -p shoal-provider --features postgres speed --
/// --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let Some(server) = server() else { return };
    for size in [1, 8, 64, 256_u32] {
        let mut store = server.store(limits());
        one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
        let mut puts = 0;
        #[expect(clippy::disallowed_methods, reason = "a measurement")]
        let start = std::time::Instant::now();
        for round in 0.. {
            let ops = (0..size.div_ceil(GROUP)).flat_map(|n| group(round * 64 + n));
            let ops: Vec<StoreOp> = ops
                .filter(|op| matches!(op, StoreOp::Put { .. }))
                .take(size as usize)
                .collect();
            puts += ops.len();
            assert!(store.apply(T0, ops).iter().all(Result::is_ok));
            if start.elapsed() > Duration::from_secs(4) {
                break;
            }
        }
        let rate = puts as f64 / start.elapsed().as_secs_f64();
        println!("groups of {size}: {rate:.0} puts/s");
    }
}
