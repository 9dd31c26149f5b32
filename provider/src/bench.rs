//! How fast a store is on this disk: group commit beside one transaction for each message, and few mailboxes beside
//! many, in turns within one run.
//!
//! What disks and other programs do changes within a run, so what is compared is measured in turns, and only what was
//! measured in one run should be compared. Nothing here says what is fast enough.

mod attended;
mod measure;
mod rate;

use std::path::PathBuf;
use std::time::Duration;

pub use self::attended::attend;
use self::measure::Measuring;
pub use self::rate::Rate;
use crate::offline::{StoreAt, StoreEngine};
use crate::{StoreError, StoreKey, StoreLimits};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use zeroize::Zeroizing;

/// Deposits, or acknowledgements, or mailboxes looked through, in one group.
pub const GROUP: u32 = 64;
/// Deposits in a transaction each that are measured in one round.
const ALONE: u32 = 16;

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchPlan {
    /// The engine.
    pub engine: StoreEngine,
    /// An empty directory on the disk to measure, for the stores. They stay.
    pub directory: PathBuf,
    /// Mailboxes of the one store.
    pub few: u64,
    /// Mailboxes of the other.
    pub many: u64,
    /// Rounds; each has a group of everything for both stores.
    pub rounds: u32,
}

/// What a store of so many mailboxes does.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Mailboxes, each with an entry that waits when measuring begins.
    pub mailboxes: u64,
    /// How long it took to make them.
    pub filled_in: Duration,
    /// What each of these entries takes up on the disk, its part of the indexes included.
    pub bytes_per_message: u64,
    /// The same of a mailbox with its drop ids.
    pub bytes_per_mailbox: u64,
    /// How long opening takes.
    pub opened_in: Duration,
    /// Deposits, [`GROUP`] in a transaction.
    pub puts: Rate,
    /// Deposits, one in a transaction.
    pub puts_alone: Rate,
    /// Mailboxes looked through: which drop ids have something, and what.
    pub lists: Rate,
    /// Commands that acknowledge one entry, [`GROUP`] in a transaction.
    pub acks: Rate,
    /// Expiries that find nothing.
    pub expiries: Rate,
}

impl Measured {
    /// How many times as many deposits a second group commit makes of it.
    #[must_use]
    pub fn gain(&self) -> f64 {
        self.puts.per_second / self.puts_alone.per_second
    }
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Benched {
    /// With few mailboxes.
    pub few: Measured,
    /// With many.
    pub many: Measured,
}

impl Benched {
    /// How many times as long it takes with many mailboxes to look through one.
    #[must_use]
    pub fn list_growth(&self) -> f64 {
        self.few.lists.per_second / self.many.lists.per_second
    }

    /// How many times as long it takes with many mailboxes to acknowledge.
    #[must_use]
    pub fn ack_growth(&self) -> f64 {
        self.few.acks.per_second / self.many.acks.per_second
    }
}

/// Fills two stores and measures them in turns. `clock` is monotonic. `progress` is told in words what is done.
///
/// # Errors
/// [`StoreError`]: of the disk, or the directory is not empty.
pub fn bench(
    plan: &BenchPlan,
    clock: &dyn Fn() -> Duration,
    progress: &mut dyn FnMut(&str),
) -> Result<Benched, StoreError> {
    let mut make = |name: &str, mailboxes: u64| -> Result<Measuring<'_>, StoreError> {
        let at = plan.engine.within(&plan.directory, name, &key());
        Measuring::fill(at, mailboxes, plan.rounds, clock, progress)
    };
    let mut stores = [make("few", plan.few)?, make("many", plan.many)?];
    for round in 0..plan.rounds {
        if round % 50 == 0 {
            progress(&format!("round {round} of {}", plan.rounds));
        }
        // Who comes first in a round may find the disk busy with what was before.
        stores.rotate_left(1);
        for store in &mut stores {
            store.round()?;
        }
    }
    if plan.rounds % 2 == 1 {
        stores.rotate_left(1);
    }
    let [few, many] = stores.map(Measuring::measured);
    Ok(Benched { few, many })
}

/// What is measured is nobody's.
#[must_use]
pub fn key() -> StoreKey {
    StoreKey::new(Zeroizing::new([0x5a; 32]), ChaCha20Rng::seed_from_u64(0))
}

/// No quota is to be met.
fn limits() -> StoreLimits {
    StoreLimits {
        mailboxes: u64::MAX >> 1,
        bytes: u64::MAX >> 1,
        entries_per_drop: u64::MAX >> 1,
        entries_per_mailbox: u64::MAX >> 1,
        ..StoreLimits::default()
    }
}

/// Bytes of all files of a store that nobody has open.
fn size(at: &StoreAt) -> Result<u64, StoreError> {
    let files = at.look()?.stats()?.files;
    Ok(files.iter().map(|(_, bytes)| bytes).sum())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Time passes with each look at the clock, so what is measured does not depend on the machine.
    #[test]
    fn what_is_measured_is_what_was_done() {
        for engine in StoreEngine::ALL {
            let directory = tempfile::tempdir().unwrap();
            let plan = BenchPlan {
                engine,
                directory: directory.path().to_owned(),
                few: 10,
                many: 300,
                rounds: 3,
            };
            let now = Cell::new(Duration::ZERO);
            let clock = || {
                now.set(now.get() + Duration::from_millis(1));
                now.get()
            };
            let mut told = Vec::new();
            let benched = bench(&plan, &clock, &mut |words| told.push(words.to_owned())).unwrap();
            assert_eq!((benched.few.mailboxes, benched.many.mailboxes), (10, 300));
            for store in [&benched.few, &benched.many] {
                assert!(store.bytes_per_message > 1572, "{store:?}");
                assert!(store.bytes_per_message < 4 * 1572, "{store:?}");
                let near = |found: f64, expected: f64| (found - expected).abs() < 1e-6;
                assert!(near(store.puts.per_second, 64_000.0), "{store:?}");
                assert!(near(store.puts_alone.per_second, 1000.0), "{store:?}");
                assert!(near(store.lists.per_second, 64_000.0), "{store:?}");
                assert!(near(store.acks.per_second, 64_000.0), "{store:?}");
                assert!(near(store.gain(), 64.0) && near(store.acks.p99_ms, 1.0));
            }
            assert!((benched.list_growth() - 1.0).abs() < 1e-6);
            assert!(told.iter().any(|words| words.contains("300")), "{told:?}");
            // Each store has what was put less what was acknowledged: nothing was refused, and each ack met its entry.
            for (name, mailboxes) in [("few", 10), ("many", 300)] {
                let looked = engine
                    .within(directory.path(), name, &key())
                    .look()
                    .unwrap();
                let usage = looked.stats().unwrap().usage;
                let acked = u64::from(3 * GROUP).min(mailboxes + u64::from(3 * (GROUP + ALONE)));
                let put = mailboxes + u64::from(3 * (GROUP + ALONE));
                assert_eq!((usage.mailboxes, usage.entries), (mailboxes, put - acked));
                assert_eq!(usage.remembered, acked);
            }
            // Who attends some of them afterwards finds them, and acknowledges all that is put.
            let many = engine.within(directory.path(), "many", &key());
            let before = many.look().unwrap().stats().unwrap().usage;
            assert_eq!(attend(&many, 20, 2), Ok(300));
            let after = many.look().unwrap().stats().unwrap().usage;
            assert_eq!(
                (after.entries, after.remembered),
                (before.entries, before.remembered + 40)
            );
        }
    }
}
