//! How much expires when, on every engine, and in a store that nobody has open.

use crate::places::Places;
use shoal_packet::command::DropChange;
use shoal_proto::{Span, Time};
use shoal_provider::{Due, Store, StoreLimits, StoreOp, StoreOutcome, by_day};

use crate::engines::{Make, on_all_engines};
use crate::operations::{T0, after, attend, blob, drop_of, message, one, register, revoke};

on_all_engines!(
    hours_are_counted_and_nothing_finer,
    what_is_acknowledged_or_removed_does_not_wait,
    a_table_by_days_has_everything_once,
    the_ends_of_time_are_counted,
);

const HOUR: u64 = 3600;

fn put(owner: u8, id: u8, expires: Time) -> StoreOp {
    StoreOp::Put {
        drop: drop_of(owner, 1),
        message: message(id),
        blob: blob(id),
        expires,
    }
}

fn open(store: &mut dyn Store, owners: u8) {
    for owner in 1..=owners {
        one(store, T0, attend(owner, 1, &[], &[register(1)]));
    }
}

fn due(store: &mut dyn Store, from: Time, until: Option<Time>) -> Due {
    match one(store, T0, StoreOp::Inventory { from, until }) {
        StoreOutcome::Inventory(due) => due,
        other => panic!("{other:?}"),
    }
}

fn hours_are_counted_and_nothing_finer(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    let nothing = due(&mut *store, Time::default(), None);
    assert_eq!(nothing, Due::default());
    open(&mut *store, 3);
    // Two of one mailbox and one of another within one hour, at finer times than a provider has; and one a day later.
    for (owner, id, secs) in [
        (1, 1, HOUR),
        (1, 2, HOUR + 1),
        (2, 1, 2 * HOUR - 1),
        (3, 1, 25 * HOUR),
    ] {
        one(&mut *store, T0, put(owner, id, after(secs)));
    }
    let first = Due {
        entries: 3,
        remembered: 0,
        mailboxes: 2,
        next: Some(after(25 * HOUR)),
    };
    assert_eq!(due(&mut *store, after(HOUR), Some(after(2 * HOUR))), first);
    // Whoever asks for a minute gets the whole hour, or nothing.
    let finer = due(&mut *store, after(HOUR + 600), Some(after(2 * HOUR + 60)));
    assert_eq!(finer, first);
    let none = due(&mut *store, after(HOUR), Some(after(HOUR + 60)));
    let expected = Due {
        next: Some(after(HOUR)),
        ..Due::default()
    };
    assert_eq!(none, expected);
    let all = due(&mut *store, Time::default(), None);
    assert_eq!((all.entries, all.mailboxes, all.next), (4, 3, None));
    // Backwards, it is nothing.
    let backwards = due(&mut *store, after(9 * HOUR), Some(T0));
    assert_eq!((backwards.entries, backwards.next), (0, Some(after(HOUR))));
}

fn what_is_acknowledged_or_removed_does_not_wait(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    open(&mut *store, 1);
    for id in 1..=3 {
        one(&mut *store, T0, put(1, id, after(HOUR * u64::from(id))));
    }
    one(
        &mut *store,
        T0,
        attend(1, 2, &[2], &[revoke(1), DropChange::Close]),
    );
    let expected = Due {
        entries: 2,
        remembered: 1,
        mailboxes: 1,
        next: None,
    };
    assert_eq!(due(&mut *store, T0, None), expected);
    // What is remembered is in no mailbox.
    let name = due(&mut *store, after(2 * HOUR), Some(after(3 * HOUR)));
    assert_eq!((name.entries, name.remembered, name.mailboxes), (0, 1, 0));
    // It is over when it is removed, and not before.
    assert_eq!(
        due(&mut *store, Time::default(), Some(after(2 * HOUR))).entries,
        1
    );
    one(&mut *store, after(HOUR), StoreOp::Expire);
    assert_eq!(
        due(&mut *store, Time::default(), Some(after(2 * HOUR))).entries,
        0
    );
    one(&mut *store, after(90 * HOUR), StoreOp::Expire);
    assert_eq!(due(&mut *store, Time::default(), None), Due::default());
}

fn a_table_by_days_has_everything_once(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    open(&mut *store, 2);
    let days = [0, 1, 1, 5, 13, 400];
    for (id, days) in (1..).zip(days) {
        one(
            &mut *store,
            T0,
            put(1 + id % 2, id, after(days * 24 * HOUR + HOUR)),
        );
    }
    let now = after(2 * HOUR + 55);
    let rows = by_day(now, |from, until| Ok(due(&mut *store, from, until))).unwrap();
    let found: Vec<(u64, u64)> = rows
        .iter()
        .map(|row| (row.due.entries, row.due.mailboxes))
        .collect();
    // One is over; of those that come, each is as many days away as it was, less two hours.
    assert_eq!(found, [(1, 1), (2, 2), (1, 1), (1, 1), (1, 1)]);
    let ends: Vec<Option<Time>> = rows.iter().map(|row| row.until).collect();
    let day = |n: u64| Some(after(2 * HOUR + n * 24 * HOUR));
    assert_eq!(ends, [day(0), day(1), day(5), day(13), None]);
}

fn the_ends_of_time_are_counted(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    open(&mut *store, 1);
    one(&mut *store, T0, put(1, 1, Time::MAX));
    let all = due(&mut *store, Time::MAX, None);
    assert_eq!((all.entries, all.next), (1, None));
    let before = due(&mut *store, Time::default(), Some(Time::MAX));
    assert_eq!(before.entries, 0);
    let next = before.next.unwrap();
    assert!(
        next > after(1) + Span::from_secs(100_000 * 365 * 24 * HOUR),
        "{next:?}"
    );
    assert_eq!(due(&mut *store, next, None).entries, 1);
}

/// What a store says of itself while a provider has it, and what is found when nobody has.
#[test]
fn a_store_that_nobody_has_open_says_the_same() {
    for places in Places::all() {
        let at = crate::offline::filled(places.at("store"));
        let ask = |from, until| at.look().unwrap().inventory(from, until);
        let looked = by_day(T0, ask).unwrap();
        let mut store = at.open(StoreLimits::default()).unwrap();
        let told = by_day(T0, |from, until| Ok(due(&mut *store, from, until))).unwrap();
        assert_eq!(looked, told);
        let sum = |count: fn(&Due) -> u64| looked.iter().map(|row| count(&row.due)).sum::<u64>();
        let usage = store.usage();
        assert_eq!(sum(|due| due.entries), usage.entries);
        assert_eq!(sum(|due| due.remembered), usage.remembered);
        assert!(usage.entries > 0 && usage.remembered > 0);
    }
}
