//! What must survive a crash: the replay log with what it promises, and the lock between processes.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use shoal_node::state::{ReplayError, ReplayLog, StateDir};
use shoal_packet::{ReplayTag, SphinxPublic, SphinxSecret};
use shoal_proto::Epoch;

fn key(seed: u64) -> SphinxPublic {
    SphinxSecret::generate(&mut ChaCha20Rng::seed_from_u64(seed)).public()
}

fn tag(number: u64) -> ReplayTag {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    ReplayTag::new(bytes)
}

/// Appends batches of these sizes, and says how long the file was after each.
fn written(dir: &Path, epoch: Epoch, sizes: &[u64]) -> Vec<usize> {
    let mut log = ReplayLog::open(dir).unwrap();
    log.create(epoch, &key(1)).unwrap();
    let path = dir.join(format!("replay/{epoch}.log"));
    let mut number = 0;
    let mut lengths = vec![std::fs::read(&path).unwrap().len()];
    for size in sizes {
        let batch: Vec<_> = (number..number + size)
            .map(|n| (epoch, tag(n), n))
            .collect();
        log.append_batch(&batch).unwrap();
        number += size;
        lengths.push(std::fs::read(&path).unwrap().len());
    }
    lengths
}

fn numbers(tags: &[ReplayTag]) -> BTreeSet<u64> {
    tags.iter()
        .map(|tag| u64::from_le_bytes(tag.as_bytes()[..8].try_into().unwrap()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Cut anywhere in what was not reported yet, every reported tag is back, nothing made up, and
    /// the log goes on.
    #[test]
    fn a_torn_write_loses_nothing_that_was_reported(
        sizes in proptest::collection::vec(1u64..6, 1..5),
        cut in any::<prop::sample::Index>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let epoch = Epoch::new(4);
        let lengths = written(dir.path(), epoch, &sizes);
        let path = dir.path().join("replay/4.log");
        let reported = lengths[lengths.len() - 2];
        let whole = std::fs::read(&path).unwrap();
        let end = reported + cut.index(whole.len() - reported);
        std::fs::write(&path, &whole[..end]).unwrap();

        let mut log = ReplayLog::open(dir.path()).unwrap();
        let loaded = log.load(epoch, &key(1)).unwrap();
        let before: u64 = sizes[..sizes.len() - 1].iter().sum();
        prop_assert_eq!(numbers(&loaded.tags), (0..before).collect::<BTreeSet<_>>());
        prop_assert_eq!(loaded.torn_bytes as usize, end - reported);

        log.append_batch(&[(epoch, tag(1000), 0)]).unwrap();
        drop(log);
        let again = ReplayLog::open(dir.path()).unwrap().load(epoch, &key(1)).unwrap();
        prop_assert!(numbers(&again.tags).contains(&1000));
        prop_assert_eq!(again.tags.len() as u64, before + 1);
        prop_assert_eq!(again.torn_bytes, 0);
    }
}

#[test]
fn damage_in_the_middle_fails_closed() {
    let dir = tempfile::tempdir().unwrap();
    let epoch = Epoch::new(4);
    let lengths = written(dir.path(), epoch, &[3, 3]);
    let path = dir.path().join("replay/4.log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[lengths[0] + 30] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = ReplayLog::open(dir.path())
        .unwrap()
        .load(epoch, &key(1))
        .unwrap_err();
    assert!(matches!(error, ReplayError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("must not be used any more"));
}

#[test]
fn a_missing_file_or_another_key_fails_closed() {
    let dir = tempfile::tempdir().unwrap();
    let epoch = Epoch::new(4);
    let mut log = ReplayLog::open(dir.path()).unwrap();
    assert!(matches!(
        log.load(epoch, &key(1)),
        Err(ReplayError::Missing { .. })
    ));
    written(dir.path(), epoch, &[1]);
    assert!(matches!(
        log.load(epoch, &key(2)),
        Err(ReplayError::OtherKey { .. })
    ));
    assert!(log.append_batch(&[(Epoch::new(9), tag(1), 1)]).is_err());
}

#[test]
fn making_it_twice_keeps_the_tags_and_removing_it_removes_them() {
    let dir = tempfile::tempdir().unwrap();
    let epoch = Epoch::new(4);
    written(dir.path(), epoch, &[2]);
    let mut log = ReplayLog::open(dir.path()).unwrap();
    log.create(epoch, &key(1)).unwrap();
    log.append_batch(&[(epoch, tag(7), 0)]).unwrap();
    let tags = log.load(epoch, &key(1)).unwrap().tags;
    assert_eq!(numbers(&tags), BTreeSet::from([0, 1, 7]));
    assert_eq!(log.epochs().unwrap(), [epoch]);
    log.remove(epoch).unwrap();
    log.remove(epoch).unwrap();
    assert!(log.epochs().unwrap().is_empty());
}

/// A process that dies by the signal that can't be caught leaves no lock.
#[test]
fn the_lock_is_between_processes_and_dies_with_them() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let lock = dir.path().join("lock");
    std::fs::write(&lock, b"").unwrap();
    // `flock` of util-linux holds the same kind of lock.
    let spawned = Command::new("flock")
        .arg("--no-fork")
        .arg(&lock)
        .args(["sh", "-c", "echo held > \"$0\"; exec sleep 60"])
        .arg(dir.path().join("held"))
        .spawn();
    let Ok(mut holder) = spawned else { return };
    while !dir.path().join("held").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let error = StateDir::open(dir.path()).unwrap_err();
    assert!(
        error.to_string().contains("in use by another process"),
        "{error}"
    );
    holder.kill().unwrap();
    holder.wait().unwrap();
    StateDir::open(dir.path()).unwrap();
}
