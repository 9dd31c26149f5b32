//! Crashes: what was answered is there afterwards, wherever the process died.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use shoal_provider::{Store, StoreLimits, StoreOp, StoreOutcome};

use crate::operations::{T0, attend, mailbox, numbers, one, put, register, sqlite_store};

/// Tells this test binary that it is the process that gets killed, and names the database.
const VICTIM: &str = "SHOAL_PROVIDER_CRASH_VICTIM";

/// The operations of one round: a deposit, and from time to time an acknowledgement.
fn group(round: u8) -> Vec<StoreOp> {
    let mut ops = vec![put(1, round)];
    if round.is_multiple_of(5) {
        ops.push(attend(
            1,
            1000 + u64::from(round),
            &[u64::from(round) - 3],
            &[],
        ));
    }
    ops
}

/// The entries that are there after this many rounds.
fn expected(rounds: u8) -> Vec<u64> {
    let gone = |entry: u64| (entry + 3).is_multiple_of(5) && entry + 3 <= u64::from(rounds);
    (1..=u64::from(rounds))
        .filter(|entry| !gone(*entry))
        .collect()
}

#[test]
fn copies_of_the_files_taken_after_every_commit_hold_all_that_was_answered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut store = sqlite_store(&path, StoreLimits::default());
    one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
    for round in 1..=15 {
        for result in store.apply(T0, group(round)) {
            result.unwrap();
        }
        // As a disk would be found after a loss of power: nothing was closed or folded.
        let copy = directory.path().join(format!("copy-{round}.db"));
        for suffix in ["", "-wal"] {
            let name = |path: &Path| format!("{}{suffix}", path.display());
            if fs::exists(name(&path)).unwrap() {
                fs::copy(name(&path), name(&copy)).unwrap();
            }
        }
        let mut copy = sqlite_store(&copy, StoreLimits::default());
        assert_eq!(
            numbers(&mut copy, T0, 1, 1, 0),
            expected(round),
            "round {round}"
        );
    }
}

#[test]
fn a_torn_log_loses_only_what_was_not_answered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut store = sqlite_store(&path, StoreLimits::default());
    one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
    let wal = directory.path().join("store.db-wal");
    let mut ends = vec![fs::metadata(&wal).unwrap().len()];
    for round in 1..=8 {
        store.apply(T0, group(round));
        ends.push(fs::metadata(&wal).unwrap().len());
    }
    let (database, log) = (fs::read(&path).unwrap(), fs::read(&wal).unwrap());
    for cut in (ends[0]..=log.len() as u64).step_by(1999) {
        let torn = directory.path().join("torn.db");
        fs::write(&torn, &database).unwrap();
        fs::write(
            directory.path().join("torn.db-wal"),
            &log[..usize::try_from(cut).unwrap()],
        )
        .unwrap();
        let answered = ends.iter().filter(|end| **end <= cut).count() - 1;
        let mut torn = sqlite_store(&torn, StoreLimits::default());
        let found = numbers(&mut torn, T0, 1, 1, 0);
        assert_eq!(
            found,
            expected(u8::try_from(answered).unwrap()),
            "cut at {cut}"
        );
    }
}

/// Not a test by itself: the process that the next test kills. It says each round that was
/// answered, and goes on until it dies.
#[test]
fn victim() {
    let Some(path) = std::env::var_os(VICTIM) else {
        return;
    };
    let mut store = sqlite_store(Path::new(&path), StoreLimits::default());
    one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
    for round in 1..=100 {
        for result in store.apply(T0, group(round)) {
            result.unwrap();
        }
        println!("answered {round}");
    }
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_process_leaves_all_that_it_answered() {
    for rounds in [1, 2, 13, 60] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "crash::victim",
                "--exact",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(VICTIM, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let last = format!("answered {rounds}");
        let seen = lines.any(|line| line.is_ok_and(|line| line.ends_with(&last)));
        // SIGKILL: no destructor runs.
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen, "the child answered {rounds} rounds");
        let mut store = sqlite_store(&path, StoreLimits::default());
        let waiting = one(
            &mut store,
            T0,
            StoreOp::Waiting {
                mailbox: mailbox(1),
            },
        );
        let StoreOutcome::Waiting(waiting) = waiting else {
            panic!("waiting")
        };
        let newest = u8::try_from(waiting[0].1.number()).unwrap();
        assert!(newest >= rounds, "{newest} of {rounds}");
        let found = listed_all(&mut store);
        // It may have done more than we read, but nothing half.
        assert_eq!(found, expected(newest));
    }
}

fn listed_all(store: &mut dyn Store) -> Vec<u64> {
    let mut all: Vec<u64> = Vec::new();
    loop {
        let page = numbers(store, T0, 1, 1, all.last().copied().unwrap_or(0));
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}
