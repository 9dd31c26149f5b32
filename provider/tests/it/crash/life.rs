//! Who kills, and looks at what is left.

use std::fmt;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStdout, Command, Stdio};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use shoal_proto::Time;
use shoal_provider::{MemoryStore, Store, StoreOp, StoreOutcome, StoredEntry, load};

use super::place::Place;
use super::victim::{DROPS, Group, MAILBOXES, Step, VICTIM, answers, limits, mailbox};
use crate::operations::one;

/// What was done in all lives.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    kills: u32,
    groups: u32,
    /// Groups that were begun and not answered: done whole, or not at all.
    done_unanswered: u32,
    undone: u32,
    stored: u32,
    acks: u32,
    compared: u64,
}

/// One store that is killed again and again, and a model of it that is not.
pub(super) struct Suite {
    place: Place,
    seed: u64,
    rng: ChaCha20Rng,
    model: MemoryStore,
    now: Time,
    counts: Counts,
}

impl Suite {
    pub(super) fn new(place: Place, seed: u64) -> Self {
        Self {
            place,
            seed,
            rng: ChaCha20Rng::seed_from_u64(seed),
            model: MemoryStore::new(limits()),
            now: Time::default(),
            counts: Counts::default(),
        }
    }

    pub(super) fn counts(&self) -> impl fmt::Display {
        let it = self.counts;
        format!(
            "{} kills, {} groups answered ({} deposits stored, {} entries named to acknowledge), {} begun and not answered, of which \
             {} were done whole and {} not at all; {} entries compared byte by byte: 0 lost, 0 back, 0 stores unsound",
            it.kills,
            it.groups,
            it.stored,
            it.acks,
            it.done_unanswered + it.undone,
            it.done_unanswered,
            it.undone,
            it.compared
        )
    }

    /// One life of the store, its end, and what is left.
    pub(super) fn kill_once(&mut self) {
        let life = self.counts.kills;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "crash::victim::victim",
                "--exact",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(
                VICTIM,
                format!("{} {life} {}", self.seed, self.place.told()),
            )
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut from = BufReader::new(child.stdout.take().unwrap());
        let (groups, spin) = (
            self.rng.random_range(0..40),
            self.rng.random_range(0..1_000_000),
        );
        let in_group = self.rng.random_ratio(3, 4);
        let mut pending = None;
        let mut answered = 0;
        while answered < groups || (in_group && pending.is_none()) {
            let line = next_line(&mut from).expect("it lives until it is killed");
            answered += u32::from(self.hear(&mut pending, &line));
        }
        for round in 0..spin {
            black_box(round);
        }
        // SIGKILL: no destructor runs.
        child.kill().unwrap();
        child.wait().unwrap();
        while let Some(line) = next_line(&mut from) {
            self.hear(&mut pending, &line);
        }
        self.counts.kills += 1;
        self.judge(pending);
    }

    /// Takes a line; whether it was an answer. The model does what was answered, and answers the same.
    fn hear(&mut self, pending: &mut Option<Group>, line: &str) -> bool {
        if let Some(group) = Group::read(line) {
            assert_eq!(pending.replace(group), None, "one at a time");
            return false;
        }
        if !line.starts_with("done") {
            return false; // The test harness speaks too.
        }
        let group = pending.take().expect("something was to be done");
        assert_eq!(self.model_does(&group), line, "{group:?}");
        true
    }

    fn model_does(&mut self, group: &Group) -> String {
        let results = self.model.apply(group.now, group.ops());
        self.now = group.now;
        self.counts.groups += 1;
        for (step, result) in group.steps.iter().zip(&results) {
            match (step, result) {
                (_, Ok(StoreOutcome::Stored { .. })) => self.counts.stored += 1,
                (Step::Attend { acks, .. }, Ok(StoreOutcome::Attended { .. })) => {
                    self.counts.acks += u32::try_from(acks.len()).unwrap();
                }
                _ => {}
            }
        }
        answers(&results)
    }

    /// What is left is what was answered, and perhaps the last group, whole.
    fn judge(&mut self, pending: Option<Group>) {
        let what = || self.what();
        if !self.place.exists() {
            return; // Killed before it began.
        }
        if let Some(damage) = self.place.damage() {
            // Made, and nothing written.
            assert_eq!(self.counts.groups, 0, "{}: {damage}", what());
        }
        let mut store = self.place.open();
        if let Some(group) = pending {
            // The command that counts groups counts but once.
            let marker = group.ops().pop().unwrap();
            let outcome = one(&mut *store, self.now, marker.clone());
            if matches!(outcome, StoreOutcome::Replayed { .. }) {
                self.model_does(&group);
                self.counts.groups -= 1;
                self.counts.done_unanswered += 1;
            } else {
                self.counts.undone += 1;
            }
            assert_eq!(
                one(&mut self.model, self.now, marker),
                outcome,
                "{}",
                self.what()
            );
        }
        let (left, expected) = (self.state_of(&mut *store), self.state_of_model());
        let what = || self.what();
        assert_eq!(store.usage(), self.model.usage(), "{}", what());
        assert!(
            left == expected,
            "{}: {left:?} is left of {expected:?}",
            what()
        );
        self.counts.compared += left.iter().map(|one| one.1.len() as u64).sum::<u64>();
        self.replays(&mut *store);
    }

    fn what(&self) -> String {
        format!("seed {}, kill {}", self.seed, self.counts.kills)
    }

    fn state_of_model(&mut self) -> Vec<(StoreOutcome, Vec<StoredEntry>)> {
        let now = self.now;
        state(now, &mut self.model)
    }

    fn state_of(&self, store: &mut dyn Store) -> Vec<(StoreOutcome, Vec<StoredEntry>)> {
        state(self.now, store)
    }

    /// What counted does not count again, and the windows are those of the model, bit by bit: both get the same command
    /// and answer the same.
    fn replays(&mut self, store: &mut dyn Store) {
        let generation = u64::from(self.counts.kills);
        for n in 0..MAILBOXES {
            for generation in [generation.saturating_sub(1), generation] {
                let counter = self.rng.random_range(1..60);
                let op = load::attend(mailbox(n), (generation, counter), 0, &[]);
                let left = one(store, self.now, op.clone());
                let expected = one(&mut self.model, self.now, op);
                assert_eq!(
                    left, expected,
                    "seed {}, kill {}",
                    self.seed, self.counts.kills
                );
            }
        }
    }
}

fn next_line(from: &mut BufReader<ChildStdout>) -> Option<String> {
    let mut line = String::new();
    from.by_ref().read_line(&mut line).unwrap();
    line.strip_suffix('\n').map(str::to_owned)
}

/// All that an owner can see: for each mailbox what waits, and all of it with its bytes.
fn state(now: Time, store: &mut dyn Store) -> Vec<(StoreOutcome, Vec<StoredEntry>)> {
    let mut all = Vec::new();
    for n in 0..MAILBOXES {
        let waiting = one(
            store,
            now,
            StoreOp::Waiting {
                mailbox: mailbox(n),
            },
        );
        let mut entries = Vec::new();
        for drop in 0..DROPS {
            let op = load::list(mailbox(n), drop, 0, 1000);
            let StoreOutcome::Entries(mut found) = one(store, now, op) else {
                panic!("entries")
            };
            entries.append(&mut found);
        }
        all.push((waiting, entries));
    }
    all
}
