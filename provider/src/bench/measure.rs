//! One store that is filled and measured.

use std::collections::VecDeque;
use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use shoal_proto::{MailboxId, Span, Time};

use super::rate::Times;
use super::{ALONE, GROUP, Measured, limits, size};
use crate::offline::StoreAt;
use crate::offline::copy::CopyError;
use crate::offline::record::{MailboxRecord, Record, SetRecord};
use crate::store::{EntryId, Freed, Store, StoreOp, StoreOutcome};
use crate::window::Attended;
use crate::{StoreError, Window, load};

/// The store's time, which stands still.
pub(super) const NOW: Time = Time::from_micros(1_800_000_000_000_000);
const LIFE: Span = Span::from_secs(14 * 24 * 60 * 60);
/// Operations in one transaction while a store is filled.
const FILL_GROUP: u64 = 4096;
/// It is said how far filling is after so many mailboxes.
const TELL_EVERY: u64 = 100 * FILL_GROUP;

/// An expiry folds SQLite's log into its file, which a provider has done once a minute.
const EXPIRE_EVERY: u32 = 20;

pub(super) struct Measuring<'a> {
    store: Box<dyn Store>,
    clock: &'a dyn Fn() -> Duration,
    mailboxes: u64,
    filled_in: Duration,
    bytes_per_mailbox: u64,
    bytes_per_message: u64,
    opened_in: Duration,
    /// The same in each run: what is drawn decides nothing but which mailboxes are used.
    rng: ChaCha20Rng,
    /// Entries that wait, in the order in which they are acknowledged.
    waiting: VecDeque<(u64, u64)>,
    /// Counts deposits, and commands, from the start.
    number: u64,
    counter: u64,
    rounds: u32,
    puts: Times,
    puts_alone: Times,
    lists: Times,
    acks: Times,
    expiries: Times,
}

/// Keys lie evenly among all that there could be, and are in order, so that filling is fast and what is measured then
/// finds them as far from each other as drawn ones.
pub(super) fn key(n: u64, of: u64) -> MailboxId {
    let mut bytes = [0x5a; 32];
    bytes[..8].copy_from_slice(&(u64::MAX / of.max(1)).wrapping_mul(n).to_be_bytes());
    bytes[8..16].copy_from_slice(&n.to_be_bytes());
    MailboxId::new(bytes)
}

impl<'a> Measuring<'a> {
    /// Makes a store with so many mailboxes and an entry in each.
    pub(super) fn fill(
        at: StoreAt,
        mailboxes: u64,
        rounds: u32,
        clock: &'a dyn Fn() -> Duration,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, StoreError> {
        let start = clock();
        drop(at.open(limits())?);
        let empty = size(&at)?;
        progress(&format!("filling: {mailboxes} mailboxes"));
        open_all(&at, mailboxes)?;
        let opened = size(&at)?;
        let mut store = at.open(limits())?;
        for first in (0..mailboxes).step_by(usize::try_from(FILL_GROUP).unwrap_or(usize::MAX)) {
            if first % TELL_EVERY == 0 {
                progress(&format!("filling: entry {first} of {mailboxes}"));
            }
            let put = |n| load::put(key(n, mailboxes), 0, n, NOW + LIFE);
            let end = mailboxes.min(first + FILL_GROUP);
            perform(&mut *store, (first..end).map(put).collect())?;
        }
        drop(store);
        let full = size(&at)?;
        let filled_in = clock().saturating_sub(start);
        let start = clock();
        let store = at.open(limits())?;
        let opened_in = clock().saturating_sub(start);
        let mut rng = ChaCha20Rng::seed_from_u64(mailboxes);
        let each = |bytes: u64| bytes.checked_div(mailboxes).unwrap_or(0);
        Ok(Self {
            store,
            clock,
            mailboxes,
            filled_in,
            bytes_per_mailbox: each(opened.saturating_sub(empty)),
            bytes_per_message: each(full.saturating_sub(opened)),
            opened_in,
            waiting: some(mailboxes, u64::from(rounds) * u64::from(GROUP), &mut rng),
            rng,
            number: mailboxes,
            counter: 1,
            rounds: 0,
            puts: Times::of(GROUP),
            puts_alone: Times::of(1),
            lists: Times::of(GROUP),
            acks: Times::of(GROUP),
            expiries: Times::of(1),
        })
    }

    /// One group of everything.
    pub(super) fn round(&mut self) -> Result<(), StoreError> {
        let (ops, owners) = self.deposits(GROUP);
        let (time, outcomes) = self.timed(ops)?;
        self.puts.push(time);
        self.keep(&owners, &outcomes);
        for _ in 0..ALONE {
            let (ops, owners) = self.deposits(1);
            let (time, outcomes) = self.timed(ops)?;
            self.puts_alone.push(time);
            self.keep(&owners, &outcomes);
        }
        let some = self.waiting.len().min(GROUP as usize);
        let read: Vec<(u64, u64)> = self.waiting.drain(..some).collect();
        let look = |(owner, entry): &(u64, u64)| {
            let mailbox = key(*owner, self.mailboxes);
            let list = load::list(mailbox, 0, entry.saturating_sub(1), 32);
            [StoreOp::Waiting { mailbox }, list]
        };
        let (time, _) = self.timed(read.iter().flat_map(look).collect())?;
        self.lists.push(time);
        let mut ops = Vec::with_capacity(read.len());
        for (owner, entry) in read {
            self.counter += 1;
            let mailbox = key(owner, self.mailboxes);
            ops.push(load::attend(mailbox, (1, self.counter), 0, &[entry]));
        }
        let (time, _) = self.timed(ops)?;
        self.acks.push(time);
        if self.rounds.is_multiple_of(EXPIRE_EVERY) {
            let (time, _) = self.timed(vec![StoreOp::Expire])?;
            self.expiries.push(time);
        }
        self.rounds += 1;
        Ok(())
    }

    /// So many new deposits, each for somebody, and for whom.
    fn deposits(&mut self, count: u32) -> (Vec<StoreOp>, Vec<u64>) {
        let mut owners = Vec::with_capacity(count as usize);
        let mut ops = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let owner = self.rng.random_range(0..self.mailboxes);
            self.number += 1;
            let mailbox = key(owner, self.mailboxes);
            ops.push(load::put(mailbox, 0, self.number, NOW + LIFE));
            owners.push(owner);
        }
        (ops, owners)
    }

    fn keep(&mut self, owners: &[u64], outcomes: &[StoreOutcome]) {
        for (owner, outcome) in owners.iter().zip(outcomes) {
            if let StoreOutcome::Stored {
                entry: Some(entry), ..
            } = outcome
            {
                self.waiting.push_back((*owner, entry.number()));
            }
        }
    }

    fn timed(&mut self, ops: Vec<StoreOp>) -> Result<(Duration, Vec<StoreOutcome>), StoreError> {
        let start = (self.clock)();
        let outcomes = perform(&mut *self.store, ops)?;
        Ok(((self.clock)().saturating_sub(start), outcomes))
    }

    pub(super) fn measured(self) -> Measured {
        Measured {
            mailboxes: self.mailboxes,
            filled_in: self.filled_in,
            bytes_per_message: self.bytes_per_message,
            bytes_per_mailbox: self.bytes_per_mailbox,
            opened_in: self.opened_in,
            puts: self.puts.rate(),
            puts_alone: self.puts_alone.rate(),
            lists: self.lists.rate(),
            acks: self.acks.rate(),
            expiries: self.expiries.rate(),
        }
    }
}

/// Mailboxes, each with its set of drop ids, as they are after their owner's first command. The engine takes them as it
/// takes a copy: the names of 64 drop ids each, registered one mailbox after the other, would take days for millions.
fn open_all(at: &StoreAt, mailboxes: u64) -> Result<(), StoreError> {
    let mailbox = |n| {
        Record::Mailbox(MailboxRecord {
            key: key(n, mailboxes),
            attended: Some(Attended {
                generation: 1,
                window: Window::first(1),
                stream: 0,
            }),
            closed: false,
            created: NOW,
            used: NOW,
            next_entry: EntryId::new(1),
            freed: Freed::default(),
        })
    };
    let set = |n| {
        Record::Set(SetRecord {
            mailbox: key(n, mailboxes),
            set: load::set(),
        })
    };
    let mut records = (0..mailboxes).map(mailbox).chain((0..mailboxes).map(set));
    let filled = at.to_fill()?.fill(&mut || Ok(records.next()));
    filled.map_err(|error| match error {
        CopyError::Store(error) => error,
        other => StoreError::Bug(other.to_string()),
    })
}

/// The first entries of so many mailboxes, or of all, in any order.
fn some(mailboxes: u64, wanted: u64, rng: &mut ChaCha20Rng) -> VecDeque<(u64, u64)> {
    let count = mailboxes.min(wanted);
    let step = mailboxes.checked_div(count).unwrap_or(1);
    let mut owners: Vec<(u64, u64)> = (0..count).map(|n| (n * step, 1)).collect();
    owners.shuffle(rng);
    owners.into()
}

/// Does all of it; a refusal is an error, since nothing that is measured may be one.
pub(super) fn perform(
    store: &mut dyn Store,
    ops: Vec<StoreOp>,
) -> Result<Vec<StoreOutcome>, StoreError> {
    let outcomes: Result<Vec<StoreOutcome>, StoreError> =
        store.apply(NOW, ops).into_iter().collect();
    let outcomes = outcomes?;
    match outcomes.iter().find(|outcome| refused(outcome)) {
        Some(outcome) => Err(StoreError::Bug(format!(
            "what is measured is answered by {outcome:?}"
        ))),
        None => Ok(outcomes),
    }
}

const fn refused(outcome: &StoreOutcome) -> bool {
    matches!(
        outcome,
        StoreOutcome::Refused | StoreOutcome::Full | StoreOutcome::Replayed { .. }
    )
}
