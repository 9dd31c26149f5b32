//! Drop ids for contacts' answers: a pool that the mailbox learns whether there are contacts or not.
//!
//! The ids follow from the client's keys and their number, so the pool is the same whenever it is
//! made. From the first connection on, mailbox packets name a set of it each until the mailbox has
//! confirmed all; after that, one set now and then, at instants of a clock of its own, in case the
//! mailbox has lost them. Nothing of this depends on what the user does: the mailbox can't count
//! contacts by it, nor see when there is a new one.

use std::collections::BTreeSet;

use rand::seq::IndexedRandom as _;
use rand::{CryptoRng, RngExt as _};
use shoal_packet::command::MAX_DROP_CHANGES;
use shoal_proto::{NodeId, Time};
use shoal_topology::PoissonClock;

use crate::error::ClientError;
use crate::rows::{Change, PoolRow, Row, SETS, SetState};
use crate::table::Table;

/// Drop ids of a set: as many as a mailbox packet can name.
pub(crate) const SET: usize = MAX_DROP_CHANGES;
/// Sets named a second once all are confirmed: one an hour, the whole pool in less than three days.
const AGAIN: f64 = 1.0 / 3600.0;

/// The row that the pool is in.
const ROW: &[u8] = b"drop ids";

/// The drop id for a new contact, by its number in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assigned {
    /// Nobody else has it.
    Own(u16),
    /// The pool is used up: another contact has it as well.
    Shared(u16),
    /// The mailbox has refused all: the one in the address has to serve.
    Public,
}

/// The pool, and how far the mailbox knows it.
pub(crate) struct Pool {
    /// Where the mailbox is; what another provider knows is worth nothing.
    provider: NodeId,
    states: [SetState; SETS],
    /// The counter of the packet that last named each set; 0 for none.
    said: [u64; SETS],
    again: PoissonClock,
    /// The set that is named again next.
    next: usize,
}

impl Pool {
    pub(crate) fn new<R: CryptoRng>(provider: NodeId, rng: &mut R) -> Self {
        Self {
            provider,
            states: [SetState::Unknown; SETS],
            said: [0; SETS],
            again: PoissonClock::new(rng, AGAIN),
            next: rng.random_range(0..SETS),
        }
    }

    pub(crate) fn restore(&mut self, rows: &[Row]) -> Result<(), ClientError> {
        for row in Row::meta(rows, ROW) {
            let pool = PoolRow::decode(&row.value).map_err(|e| row.fault(e))?;
            if pool.provider == self.provider {
                self.states = pool.states;
            }
        }
        Ok(())
    }

    /// A connection begins, or the mailbox has forgotten what was said: what is not confirmed is to
    /// be said anew.
    pub(crate) fn restart(&mut self, now: Time) {
        self.said = [0; SETS];
        self.again.start(now);
    }

    /// Sets that the mailbox has neither confirmed nor refused.
    pub(crate) fn unconfirmed(&self) -> usize {
        self.count(SetState::Unknown)
    }

    /// Sets that the mailbox has refused.
    pub(crate) fn refused(&self) -> usize {
        self.count(SetState::Refused)
    }

    fn count(&self, state: SetState) -> usize {
        self.states.iter().filter(|known| **known == state).count()
    }

    /// The set for the packet with this counter, if any: what was said the longest ago of what is
    /// not confirmed, or one again. What was refused is asked for again too: there may be room.
    pub(crate) fn say(&mut self, now: Time, counter: u64) -> Option<usize> {
        let unknown = |set: &usize| self.states[*set] == SetState::Unknown;
        let first = (0..SETS).filter(unknown).min_by_key(|set| self.said[*set]);
        let set = first.or_else(|| self.due_again(now))?;
        self.said[set] = counter;
        Some(set)
    }

    fn due_again(&mut self, now: Time) -> Option<usize> {
        self.again.tick(now)?;
        self.next = (self.next + 1) % SETS;
        Some(self.next)
    }

    /// The mailbox has answered for a set. Returns the row to save if this is news.
    pub(crate) fn settle(&mut self, set: usize, refused: bool) -> Option<Change> {
        let known = self.states.get_mut(set)?;
        let state = match refused {
            true => SetState::Refused,
            false => SetState::Registered,
        };
        if std::mem::replace(known, state) == state {
            return None;
        }
        let row = PoolRow {
            provider: self.provider,
            states: self.states,
        };
        Some(Change::put(Table::Meta, ROW.to_vec(), row.encode()))
    }

    /// Whether deposits under this drop id are accepted, or will be.
    pub(crate) fn is_good(&self, number: u16) -> bool {
        let state = self.states.get(usize::from(number) / SET);
        state.is_some_and(|state| *state != SetState::Refused)
    }

    /// A drop id for a contact, beside those that others have: one that the mailbox knows, else one
    /// that it learns next. Drawn, so that a pool of which an old copy was restored meets by chance
    /// only what was assigned since.
    pub(crate) fn assign<R: CryptoRng>(&self, rng: &mut R, taken: &BTreeSet<u16>) -> Assigned {
        let free = |set: usize| numbers(set).filter(|number| !taken.contains(number));
        let of = |state| (0..SETS).filter(move |set| self.states[*set] == state);
        let known: Vec<_> = of(SetState::Registered).flat_map(free).collect();
        let next = || {
            let mut sets = of(SetState::Unknown).map(|set| free(set).collect::<Vec<_>>());
            sets.find(|free| !free.is_empty()).unwrap_or_default()
        };
        let own = known.choose(rng).copied();
        if let Some(number) = own.or_else(|| next().choose(rng).copied()) {
            return Assigned::Own(number);
        }
        // Confirmed ones first: nobody else can have been first with those.
        let shared = |state| of(state).flat_map(numbers).collect::<Vec<_>>();
        let number = shared(SetState::Registered).choose(rng).copied();
        let number = number.or_else(|| shared(SetState::Unknown).choose(rng).copied());
        number.map_or(Assigned::Public, Assigned::Shared)
    }
}

/// The numbers of a set's drop ids.
pub(crate) fn numbers(set: usize) -> impl Iterator<Item = u16> {
    (set * SET..(set + 1) * SET).filter_map(|number| u16::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;
    use shoal_proto::Span;

    use super::*;

    const HERE: NodeId = NodeId::new([1; 32]);

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(1)
    }

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    fn row(change: Change) -> Row {
        Row {
            table: change.table,
            key: change.key,
            value: change.value.unwrap(),
        }
    }

    #[test]
    fn every_set_is_said_until_it_is_settled_and_then_now_and_then() {
        let mut pool = Pool::new(HERE, &mut rng());
        pool.restart(at(0));
        let said: Vec<_> = (1..=SETS as u64)
            .map(|counter| pool.say(at(0), counter))
            .collect();
        assert_eq!(said, (0..SETS).map(Some).collect::<Vec<_>>());
        // What is not answered comes again, the longest ago first.
        assert!(pool.settle(0, false).is_some() && pool.settle(0, false).is_none());
        assert_eq!(pool.say(at(0), 65), Some(1));
        for set in 1..SETS {
            pool.settle(set, false);
        }
        assert_eq!(pool.unconfirmed(), 0);
        let mut met = BTreeSet::new();
        let mut times = 0;
        for second in (0..200 * 3600).step_by(2) {
            if let Some(set) = pool.say(at(second), 66) {
                met.insert(set);
                times += 1;
            }
        }
        // A Poisson count of mean 200.
        assert!((150..250).contains(&times), "{times}");
        assert_eq!(met.len(), SETS, "all in turn");
    }

    #[test]
    fn another_provider_knows_nothing() {
        let mut here = Pool::new(HERE, &mut rng());
        here.settle(3, true);
        let rows = [row(here.settle(2, false).unwrap())];
        let mut again = Pool::new(HERE, &mut rng());
        again.restore(&rows).unwrap();
        assert_eq!((again.unconfirmed(), again.refused()), (SETS - 2, 1));
        let mut there = Pool::new(NodeId::new([2; 32]), &mut rng());
        there.restore(&rows).unwrap();
        assert_eq!(there.unconfirmed(), SETS);
    }

    #[test]
    fn contacts_get_what_the_mailbox_knows_then_what_it_learns_and_then_share() {
        let (mut pool, mut rng) = (Pool::new(HERE, &mut rng()), rng());
        let mut taken = BTreeSet::new();
        let own = |assigned| match assigned {
            Assigned::Own(number) => number,
            other => panic!("{other:?}"),
        };
        let first = own(pool.assign(&mut rng, &taken));
        assert!(first < 4, "of the set that is said first");
        taken.insert(first);
        pool.settle(9, false);
        pool.settle(1, true);
        let number = own(pool.assign(&mut rng, &taken));
        assert!(numbers(9).any(|known| known == number));
        // As many as there are, and no two alike.
        while taken.len() < (SETS - 1) * SET {
            assert!(taken.insert(own(pool.assign(&mut rng, &taken))));
        }
        assert!(taken.iter().all(|number| pool.is_good(*number)));
        // Then it is shared, out of what is confirmed.
        for _ in 0..20 {
            let Assigned::Shared(number) = pool.assign(&mut rng, &taken) else {
                panic!("not shared");
            };
            assert!(numbers(9).any(|known| known == number));
        }
        (0..SETS).for_each(|set| drop(pool.settle(set, true)));
        assert_eq!(pool.assign(&mut rng, &taken), Assigned::Public);
        assert!(!pool.is_good(first) && !pool.is_good(u16::MAX));
    }

    /// A clock that only mailbox packets look at is late at each of its ticks.
    #[test]
    fn what_is_looked_at_late_happens_once() {
        let mut pool = Pool::new(HERE, &mut rng());
        (0..SETS).for_each(|set| drop(pool.settle(set, false)));
        pool.restart(at(0));
        let late = at(0) + Span::from_secs(48 * 3600);
        assert!(pool.say(late, 1).is_some());
        assert!(pool.say(late, 2).is_none());
    }
}
