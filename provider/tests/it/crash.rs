//! Crashes: what was answered is there afterwards, wherever the process died.

mod life;
mod place;
mod victim;

use std::fs;
use std::path::Path;

use crate::operations::key_of_store;
use shoal_provider::{Store, StoreEngine, StoreLimits, StoreOp};

use self::life::Suite;
use self::place::Place;
use crate::operations::{T0, attend, numbers, one, put, register, sqlite_store};

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

/// Kills the process that holds a store of each engine so many times, and says what was done in all.
fn killed(seed: u64, kills: u32) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = |engine: StoreEngine| engine.within(directory.path(), "store", &key_of_store());
    let mut places: Vec<Place> = StoreEngine::ALL
        .map(file)
        .map(Box::new)
        .map(Place::File)
        .into();
    #[cfg(feature = "postgres")]
    places.extend(crate::postgres::server().map(Place::Postgres));
    let mut said = String::new();
    for place in places.drain(..) {
        let engine = place.engine();
        let mut suite = Suite::new(place, seed);
        #[expect(clippy::disallowed_methods, reason = "a measurement")]
        let start = std::time::Instant::now();
        for _ in 0..kills {
            suite.kill_once();
        }
        let took = start.elapsed().as_secs_f64();
        said += &format!("{engine}: seed {seed}: {}; {took:.0} s\n", suite.counts());
    }
    said
}

#[test]
fn a_killed_process_leaves_all_that_it_answered() {
    println!("{}", killed(1, 12));
}

/// `just crash`. `SHOAL_CRASH_SEED` and `SHOAL_CRASH_KILLS` choose another run.
#[test]
#[ignore = "minutes: `just crash`"]
fn two_hundred_kills_lose_nothing() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let seed = number("SHOAL_CRASH_SEED").unwrap_or(20_261_129);
    let kills = number("SHOAL_CRASH_KILLS").unwrap_or(200);
    println!("{}", killed(seed, u32::try_from(kills).unwrap()));
}
