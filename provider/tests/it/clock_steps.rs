//! A clock that is set forward and back between operations: what a store says then, on every engine.
//!
//! Time is what the clock says: what has expired by it is removed, however it came to say so. These tests hold that nothing
//! goes before that, that what was removed is gone, and that no step breaks a count or a quota for good.

use std::collections::BTreeMap;

use proptest::prelude::*;
use shoal_proto::{Span, Time};
use shoal_provider::{EntryId, MemoryStore, Store, StoreLimits, StoreOp, StoreOutcome};

use crate::engines::{Make, on_all_engines};
use crate::operations::{
    T0, after, attend, blob, drop_of, mailbox, message, numbers, one, put, register, sqlite_store,
    stored, with_token,
};

on_all_engines!(
    what_was_accepted_stays_and_what_was_removed_is_gone,
    room_is_freed_once_and_not_in_a_year,
    a_mailbox_is_judged_by_the_clock_and_not_before,
    a_spent_token_stays_so_until_it_is_forgotten,
    the_ends_of_time_break_nothing,
);

const HOUR: Span = Span::from_secs(3600);
const DAY: Span = Span::from_secs(24 * 3600);
const YEAR: Span = Span::from_secs(365 * 24 * 3600);

fn put_until(drop: u8, id: u8, expires: Time) -> StoreOp {
    StoreOp::Put {
        drop: drop_of(1, drop),
        message: message(id),
        blob: blob(id),
        expires,
    }
}

fn expire(store: &mut dyn Store, now: Time) {
    while let StoreOutcome::Expired { more: true, .. } = one(store, now, StoreOp::Expire) {}
}

fn what_was_accepted_stays_and_what_was_removed_is_gone(make: Make<'_>) {
    for step in [HOUR, DAY, YEAR] {
        let mut store = make(StoreLimits::default());
        one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
        let expires = T0 + DAY.scale(14, 1);
        assert_eq!(one(&mut *store, T0, put_until(1, 1, expires)), stored(1, 1));
        let back = T0 - step;
        for now in [back, T0, back, expires - Span::from_micros(1), T0] {
            expire(&mut *store, now);
            assert_eq!(numbers(&mut *store, now, 1, 1, 0), [1], "{step:?} {now:?}");
            // And its sender is told the same.
            assert_eq!(
                one(&mut *store, now, put_until(1, 1, expires)),
                stored(1, 1)
            );
        }
        // What comes by a clock that is behind lives as long, by that clock.
        let other = back + DAY;
        assert_eq!(one(&mut *store, back, put_until(1, 2, other)), stored(1, 2));
        expire(&mut *store, other - Span::from_micros(1));
        assert_eq!(numbers(&mut *store, back, 1, 1, 0), [1, 2]);
        // Once it was removed, no clock brings it back, and its number is not given again.
        expire(&mut *store, expires);
        for now in [expires, T0, back] {
            assert_eq!(numbers(&mut *store, now, 1, 1, 0), [] as [u64; 0]);
            assert_eq!(store.usage().entries, 0);
        }
        assert_eq!(
            one(&mut *store, back, put_until(1, 1, expires)),
            stored(1, 3)
        );
        assert_eq!(numbers(&mut *store, back, 1, 1, 0), [3]);
    }
}

fn room_is_freed_once_and_not_in_a_year(make: Make<'_>) {
    let limits = StoreLimits {
        entries_per_drop: 2,
        room_step: HOUR,
        ..StoreLimits::default()
    };
    let second = Span::from_secs(1);
    let far = T0 + YEAR.scale(9, 1);
    let try_at = |store: &mut dyn Store, now, id| {
        let outcome = one(store, now, put_until(1, id, far));
        matches!(outcome, StoreOutcome::Stored { .. })
    };
    // T0 is the beginning of a step. Full, emptied, and the clock goes back and forth over that beginning.
    let mut store = make(limits.clone());
    one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
    assert!(try_at(&mut *store, T0, 1) && try_at(&mut *store, T0, 2));
    one(&mut *store, T0, attend(1, 2, &[1, 2], &[]));
    for now in [T0, T0 - second, T0 - HOUR, T0, T0 - second] {
        assert!(!try_at(&mut *store, now, 3), "{now:?}");
    }
    // What is acknowledged on either side of an end that the clock goes back over takes up its room up to one end.
    let next = T0 + HOUR;
    assert!(try_at(&mut *store, next, 3));
    one(&mut *store, next, attend(1, 3, &[3], &[]));
    assert!(try_at(&mut *store, next, 4) && !try_at(&mut *store, next, 5));
    one(&mut *store, next - second, attend(1, 4, &[4], &[]));
    for now in [next - second, next, next + HOUR - second] {
        assert!(!try_at(&mut *store, now, 5), "{now:?}");
    }
    let end = next + HOUR;
    assert!(try_at(&mut *store, end, 5) && try_at(&mut *store, end, 6));
    assert!(!try_at(&mut *store, end, 7));
    // By a clock that was far ahead: free at once when it is right, and once.
    for ahead in [DAY, YEAR] {
        let mut store = make(limits.clone());
        let wrong = T0 + ahead;
        one(&mut *store, wrong, attend(1, 1, &[], &[register(1)]));
        assert!(try_at(&mut *store, wrong, 1) && try_at(&mut *store, wrong, 2));
        one(&mut *store, wrong, attend(1, 2, &[1, 2], &[]));
        assert!(!try_at(&mut *store, wrong, 3));
        assert!(try_at(&mut *store, T0, 3) && try_at(&mut *store, T0, 4));
        for now in [T0, T0 + HOUR, T0 + DAY] {
            assert!(!try_at(&mut *store, now, 5), "two wait");
        }
        one(&mut *store, T0 + HOUR, attend(1, 3, &[3], &[]));
        assert!(!try_at(&mut *store, T0 + HOUR, 5));
        assert!(try_at(&mut *store, T0 + HOUR + HOUR, 5));
        assert!(!try_at(&mut *store, T0 + HOUR + HOUR, 6));
    }
}

fn a_mailbox_is_judged_by_the_clock_and_not_before(make: Make<'_>) {
    let limits = StoreLimits {
        mailbox_idle: DAY.scale(90, 1),
        mailbox_trial: DAY,
        ..StoreLimits::default()
    };
    // Opened, and never used: a day and what nobody knows of its hour.
    for step in [HOUR, DAY, YEAR] {
        let mut store = make(limits.clone());
        one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
        for now in [T0, T0 - step, T0 + DAY, T0 - step, T0] {
            expire(&mut *store, now);
            assert_eq!(store.usage().mailboxes, 1, "{step:?} {now:?}");
        }
        assert!(matches!(
            one(&mut *store, T0, put_until(1, 1, T0 + DAY)),
            StoreOutcome::Stored { .. }
        ));
        // Used by a clock that was behind for a while, it is not older for it.
        one(&mut *store, T0 - step, attend(1, 2, &[1], &[]));
        expire(&mut *store, T0 + DAY.scale(90, 1));
        assert_eq!(store.usage().mailboxes, 1);
        expire(&mut *store, T0 + DAY.scale(90, 1) + HOUR);
        assert_eq!(store.usage().mailboxes, 0);
    }
    // Opened by a clock that was ahead: it says which hour it was opened in, it is kept, and it goes in the end.
    let mut store = make(limits);
    let wrong = T0 + YEAR;
    one(&mut *store, wrong, attend(1, 1, &[], &[register(1)]));
    let StoreOutcome::Attended {
        created, opened, ..
    } = one(&mut *store, T0, attend(1, 2, &[], &[]))
    else {
        panic!("attended")
    };
    assert_eq!((created, opened), (wrong, false));
    expire(&mut *store, T0 + DAY.scale(30, 1));
    assert_eq!(store.usage().mailboxes, 1);
    expire(&mut *store, wrong + DAY + HOUR);
    assert_eq!(store.usage().mailboxes, 0);
}

fn a_spent_token_stays_so_until_it_is_forgotten(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    let open = |owner| with_token(attend(owner, 1, &[], &[]), 1);
    let opened = |outcome: &StoreOutcome| matches!(outcome, StoreOutcome::Attended { .. });
    assert!(opened(&one(&mut *store, T0, open(1))));
    for now in [T0 - YEAR, T0, T0 - HOUR, T0 - DAY, after(1999)] {
        expire(&mut *store, now);
        assert_eq!(
            one(&mut *store, now, open(2)),
            StoreOutcome::Spent,
            "{now:?}"
        );
    }
    // By a clock that was ahead of its key's time, which is as if that were over: docs/mailboxes.md says so.
    expire(&mut *store, after(2000));
    assert!(opened(&one(&mut *store, T0, open(2))));
    assert_eq!(one(&mut *store, T0, open(3)), StoreOutcome::Spent);
}

fn the_ends_of_time_break_nothing(make: Make<'_>) {
    for room_step in [Span::ZERO, HOUR, Span::MAX] {
        let limits = StoreLimits {
            room_step,
            // Or it would be given up as one that nobody uses before it is looked at as one that nobody ever used.
            mailbox_idle: Span::MAX,
            ..StoreLimits::default()
        };
        let mut store = make(limits);
        let century = T0 + YEAR.scale(100, 1);
        let ends = [Time::MAX, Time::default(), century, Time::default(), T0];
        for (round, now) in (1..).zip(ends) {
            let ops = vec![
                attend(1, round, &[], &[register(1)]),
                put(1, u8::try_from(round).unwrap()),
                put_until(1, 100, Time::MAX),
                attend(1, 100 + round, &[round], &[]),
                // One that nothing is ever put into.
                attend(2, round, &[], &[register(1)]),
                StoreOp::Waiting {
                    mailbox: mailbox(1),
                },
                StoreOp::Inventory {
                    from: now,
                    until: None,
                },
                StoreOp::Expire,
                StoreOp::Check,
            ];
            for (at, result) in store.apply(now, ops).into_iter().enumerate() {
                assert!(result.is_ok(), "{at} at {now:?}: {result:?}");
            }
        }
    }
}

/// How a clock goes on: by itself, or set.
fn any_step() -> impl Strategy<Value = i64> {
    let hour = i64::try_from(HOUR.as_micros()).unwrap();
    let sizes = prop_oneof![Just(hour), Just(24 * hour), Just(365 * 24 * hour), 0..hour];
    prop_oneof![
        4 => 0..hour,
        2 => (sizes, any::<bool>()).prop_map(|(size, back)| if back { -size } else { size }),
    ]
}

/// A deposit with its life, an acknowledgement, or expiry.
#[derive(Clone, Debug)]
enum Act {
    Put(u8, u64),
    Ack(u64),
    Expire,
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => (0u8..30, 1u64..400).prop_map(|(id, hours)| Act::Put(id, hours)),
        3 => (1u64..30).prop_map(Act::Ack),
        2 => Just(Act::Expire),
    ]
}

const QUOTA: usize = 6;

/// What a store of one mailbox with one drop id holds, said as simply as it can be.
#[derive(Default)]
struct Model {
    /// What waits, by number: its name, and when it expires.
    waiting: BTreeMap<u64, (u8, Time)>,
    /// The highest number that was given.
    last: u64,
}

impl Model {
    fn did(&mut self, now: Time, act: &Act, outcome: &StoreOutcome) -> Result<(), TestCaseError> {
        match (act, outcome) {
            (
                Act::Put(id, hours),
                StoreOutcome::Stored {
                    entry: Some(entry), ..
                },
            ) => {
                let number = entry.number();
                if number > self.last {
                    self.last = number;
                    // One of this name that was over has made room for it.
                    self.waiting.retain(|_, (name, _)| name != id);
                    self.waiting
                        .insert(number, (*id, now + HOUR.scale(*hours, 1)));
                } else {
                    prop_assert!(self.waiting.contains_key(&number), "{number} came back");
                }
            }
            (Act::Ack(number), _) => {
                self.waiting.remove(number);
            }
            (Act::Expire, StoreOutcome::Expired { .. }) => {
                self.waiting.retain(|_, (_, expires)| *expires > now);
            }
            _ => {}
        }
        Ok(())
    }

    /// What has to be listed: all but what is over, which may be there still.
    fn listed(&self, now: Time) -> Vec<u64> {
        let alive = self
            .waiting
            .iter()
            .filter(|(_, (_, expires))| *expires > now);
        alive.map(|(number, _)| *number).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// However the clock is set: what was accepted and is not over is listed, what was removed is not, no quota is
    /// exceeded, and all engines say the same, also when they were opened again.
    #[test]
    fn no_step_of_the_clock_loses_or_brings_back(
        acts in prop::collection::vec((any_act(), any_step()), 1..60),
    ) {
        let limits = StoreLimits {
            entries_per_drop: QUOTA as u64,
            room_step: HOUR,
            // Of a mailbox that is not given up.
            mailbox_idle: Span::MAX,
            mailbox_trial: Span::MAX,
            ..StoreLimits::default()
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let mut memory = MemoryStore::new(limits.clone());
        let mut sqlite = sqlite_store(&path, limits.clone());
        #[cfg(feature = "postgres")]
        let server = crate::postgres::server();
        #[cfg(feature = "postgres")]
        let mut postgres = server.as_ref().map(|server| server.store(limits.clone()));
        let mut model = Model::default();
        let mut now = T0 + YEAR.scale(2, 1);
        let opening = attend(1, 1, &[], &[register(1)]);
        one(&mut memory, now, opening.clone());
        one(&mut sqlite, now, opening.clone());
        #[cfg(feature = "postgres")]
        if let Some(postgres) = &mut postgres {
            one(postgres, now, opening);
        }
        for (round, (act, step)) in (2..).zip(acts) {
            now = now.shifted(step);
            let op = match &act {
                Act::Put(id, hours) => put_until(1, *id, now + HOUR.scale(*hours, 1)),
                Act::Ack(number) => attend(1, round, &[*number], &[]),
                Act::Expire => StoreOp::Expire,
            };
            let list = StoreOp::List {
                mailbox: mailbox(1),
                drop: drop_of(1, 1),
                after: EntryId::START,
                limit: 100,
            };
            let due = StoreOp::Inventory { from: now, until: Some(now + DAY) };
            let ops = vec![op, list, due];
            let results = memory.apply(now, ops.clone());
            #[cfg(feature = "postgres")]
            if let Some(postgres) = &mut postgres {
                prop_assert_eq!(&postgres.apply(now, ops.clone()), &results);
            }
            prop_assert_eq!(&sqlite.apply(now, ops), &results);
            model.did(now, &act, results[0].as_ref().unwrap())?;
            let Ok(StoreOutcome::Entries(entries)) = &results[1] else {
                panic!("entries")
            };
            let found: Vec<u64> = entries.iter().map(|entry| entry.entry.number()).collect();
            prop_assert_eq!(found, model.listed(now), "at {:?}", now);
            prop_assert!(entries.len() <= QUOTA);
            if round % 9 == 0 {
                drop(sqlite);
                sqlite = sqlite_store(&path, limits.clone());
                prop_assert_eq!(sqlite.usage(), memory.usage());
            }
        }
        // A day later there is room again, whatever the steps were.
        expire(&mut memory, Time::MAX);
        let later = now + YEAR.scale(300, 1);
        let put = put_until(1, 99, later + DAY);
        let outcome = one(&mut memory, later, put);
        prop_assert!(matches!(outcome, StoreOutcome::Stored { .. }), "{outcome:?}");
    }
}
