//! The process that gets killed. It says each group of operations before it does it, and what was answered after.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use shoal_proto::{MailboxId, Span, Time};
use shoal_provider::{EntryId, Store, StoreLimits, StoreOp, StoreOutcome, StoreResult, load};

use super::place::Place;
use crate::operations::{T0, one};

/// Tells this test binary that it is the process that gets killed: the seed, which life it is, and the store's engine
/// and place.
pub(super) const VICTIM: &str = "SHOAL_PROVIDER_CRASH_VICTIM";

/// Mailboxes of the load, and drop ids of each.
pub(super) const MAILBOXES: u8 = 6;
pub(super) const DROPS: u8 = 3;

/// Each group ends with a command for this one, which counts groups: whether it counts again tells whether the group was
/// done.
pub(super) const MARKED: u8 = MAILBOXES;

/// How long one life is in the store's time. Entries live for a few of them at most.
const LIFE: Span = Span::from_secs(60);

/// Small enough that they are met.
pub(super) fn limits() -> StoreLimits {
    StoreLimits {
        entries_per_drop: 40,
        entries_per_mailbox: 90,
        remembered_per_drop: 30,
        room_step: Span::from_secs(20),
        expire_batch: 25,
        ..StoreLimits::default()
    }
}

pub(super) fn mailbox(n: u8) -> MailboxId {
    MailboxId::new([n + 1; 32])
}

/// One operation as it is written on a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Open {
        mailbox: u8,
        generation: u64,
    },
    Put {
        mailbox: u8,
        drop: u8,
        number: u64,
        lives: u64,
    },
    Attend {
        mailbox: u8,
        generation: u64,
        counter: u64,
        acks: Vec<u64>,
    },
    Expire,
}

/// Operations of one group, at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) now: Time,
    pub(super) steps: Vec<Step>,
}

impl Group {
    pub(super) fn ops(&self) -> Vec<StoreOp> {
        let op = |step: &Step| match step {
            Step::Open {
                mailbox: n,
                generation,
            } => load::open(mailbox(*n), *generation),
            Step::Put {
                mailbox: n,
                drop,
                number,
                lives,
            } => load::put(
                mailbox(*n),
                *drop,
                *number,
                self.now + Span::from_secs(*lives),
            ),
            Step::Attend {
                mailbox: n,
                generation,
                counter,
                acks,
            } => load::attend(mailbox(*n), (*generation, *counter), *counter, acks),
            Step::Expire => StoreOp::Expire,
        };
        self.steps.iter().map(op).collect()
    }

    fn line(&self) -> String {
        let mut line = format!("do {}", self.now.as_micros());
        for step in &self.steps {
            let _ = match step {
                Step::Open {
                    mailbox,
                    generation,
                } => write!(line, " o.{mailbox}.{generation}"),
                Step::Put {
                    mailbox,
                    drop,
                    number,
                    lives,
                } => {
                    write!(line, " p.{mailbox}.{drop}.{number}.{lives}")
                }
                Step::Attend {
                    mailbox,
                    generation,
                    counter,
                    acks,
                } => {
                    let acks = acks.iter().map(|ack| format!(".{ack}")).collect::<String>();
                    write!(line, " a.{mailbox}.{generation}.{counter}{acks}")
                }
                Step::Expire => write!(line, " e"),
            };
        }
        line
    }

    /// The group of a line, if it is one.
    pub(super) fn read(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("do ")?.split(' ');
        let now = Time::from_micros(words.next()?.parse().ok()?);
        let steps = words.map(|word| {
            let mut parts = word.split('.');
            let kind = parts.next().unwrap();
            let numbers: Vec<u64> = parts.map(|part| part.parse().unwrap()).collect();
            let small = |at: usize| u8::try_from(numbers[at]).unwrap();
            match kind {
                "o" => Step::Open {
                    mailbox: small(0),
                    generation: numbers[1],
                },
                "p" => Step::Put {
                    mailbox: small(0),
                    drop: small(1),
                    number: numbers[2],
                    lives: numbers[3],
                },
                "a" => Step::Attend {
                    mailbox: small(0),
                    generation: numbers[1],
                    counter: numbers[2],
                    acks: numbers[3..].to_vec(),
                },
                "e" => Step::Expire,
                other => panic!("{other}"),
            }
        });
        Some(Self {
            now,
            steps: steps.collect(),
        })
    }
}

/// What was answered, as it is written on a line.
pub(super) fn answers(results: &[StoreResult]) -> String {
    let answer = |result: &StoreResult| match result.as_ref().unwrap() {
        StoreOutcome::Stored { entry, .. } => format!("s{}", entry.map_or(0, EntryId::number)),
        StoreOutcome::Refused => "r".to_owned(),
        StoreOutcome::Full => "f".to_owned(),
        StoreOutcome::Attended {
            fresh,
            window,
            stream,
            refused,
            ..
        } => format!(
            "a{}.{}.{}.{stream}.{refused}",
            u8::from(*fresh),
            window.highest(),
            window.bits()
        ),
        StoreOutcome::Replayed { generation } => format!("x{generation}"),
        StoreOutcome::Expired { removed, more } => format!("e{removed}.{}", u8::from(*more)),
        other => panic!("{other:?}"),
    };
    let answers: Vec<String> = results.iter().map(answer).collect();
    format!("done {}", answers.join(" "))
}

/// What the load knows of one mailbox, to name entries and counters that are there.
#[derive(Default)]
struct Known {
    counter: u64,
    waiting: Vec<u64>,
}

struct Load {
    rng: ChaCha20Rng,
    life: u64,
    now: Time,
    groups: u64,
    next: u64,
    known: BTreeMap<u8, Known>,
}

impl Load {
    /// The next group: what a provider's store gets when it is busy, and now and then what comes twice or late.
    fn group(&mut self) -> Group {
        self.now += Span::from_millis(200);
        let size = self.rng.random_range(1..=12);
        let mut steps: Vec<Step> = (0..size).map(|_| self.step()).collect();
        self.groups += 1;
        steps.push(Step::Attend {
            mailbox: MARKED,
            generation: self.life + 1,
            counter: self.groups,
            acks: Vec::new(),
        });
        Group {
            now: self.now,
            steps,
        }
    }

    fn step(&mut self) -> Step {
        let mailbox = self.rng.random_range(0..MAILBOXES);
        let known = self.known.entry(mailbox).or_default();
        match self.rng.random_range(0..20) {
            0 => Step::Expire,
            1..=6 if known.counter > 0 => {
                let behind = self.rng.random_range(0..8_u64);
                known.counter += u64::from(behind < 6) * self.rng.random_range(1..3_u64);
                let most = known.waiting.len().min(6);
                let some = self.rng.random_range(0..=most);
                let mut acks: Vec<u64> = (0..some)
                    .map(|_| {
                        let at = self.rng.random_range(0..known.waiting.len());
                        known.waiting.swap_remove(at)
                    })
                    .collect();
                acks.push(self.rng.random_range(0..500));
                let generation = match behind {
                    7 => self.life,
                    _ => self.life + 1,
                };
                Step::Attend {
                    mailbox,
                    generation,
                    counter: known.counter,
                    acks,
                }
            }
            // Before anything else the owner of this life comes.
            _ if known.counter == 0 => {
                known.counter = 1;
                Step::Open {
                    mailbox,
                    generation: self.life + 1,
                }
            }
            _ => {
                let again = self.next > 0 && self.rng.random_ratio(1, 10);
                let number = match again {
                    true => self.rng.random_range(0..self.next),
                    false => {
                        self.next += 1;
                        self.next - 1
                    }
                };
                let lives = [1, 30, 100, 400][self.rng.random_range(0..4_usize)];
                let drop = self.rng.random_range(0..DROPS);
                Step::Put {
                    mailbox,
                    drop,
                    number: (self.life << 32) | number,
                    lives,
                }
            }
        }
    }

    fn learn(&mut self, group: &Group, results: &[StoreResult]) {
        for (step, result) in group.steps.iter().zip(results) {
            if let (
                Step::Put { mailbox, .. },
                Ok(StoreOutcome::Stored {
                    entry: Some(entry), ..
                }),
            ) = (step, result)
            {
                let known = self.known.entry(*mailbox).or_default();
                known.waiting.push(entry.number());
            }
        }
    }

    /// What waits from lives before.
    fn look(&mut self, store: &mut dyn Store) {
        for n in 0..MAILBOXES {
            for drop in 0..DROPS {
                let op = load::list(mailbox(n), drop, 0, 1000);
                let StoreOutcome::Entries(entries) = one(store, self.now, op) else {
                    panic!("entries")
                };
                let known = self.known.entry(n).or_default();
                known
                    .waiting
                    .extend(entries.iter().map(|entry| entry.entry.number()));
            }
        }
    }
}

/// Not a test by itself: the process that others kill. It goes on until it dies.
#[test]
fn victim() {
    let Ok(told) = std::env::var(VICTIM) else {
        return;
    };
    let mut told = told.splitn(4, ' ');
    let mut number = || told.next().unwrap().parse::<u64>().unwrap();
    let (seed, life) = (number(), number());
    let mut store = Place::open_told(told.next().unwrap(), told.next().unwrap());
    let mut load = Load {
        rng: ChaCha20Rng::seed_from_u64(seed ^ (life << 32)),
        life,
        now: T0 + LIFE.scale(life, 1),
        groups: 0,
        next: 0,
        known: BTreeMap::new(),
    };
    load.look(&mut *store);
    let mut out = std::io::stdout().lock();
    // The harness has begun a line.
    writeln!(out).unwrap();
    loop {
        let group = load.group();
        // One write, so that a line is there whole or not at all.
        out.write_all(format!("{}\n", group.line()).as_bytes())
            .unwrap();
        out.flush().unwrap();
        let results = store.apply(group.now, group.ops());
        load.learn(&group, &results);
        out.write_all(format!("{}\n", answers(&results)).as_bytes())
            .unwrap();
        out.flush().unwrap();
    }
}
