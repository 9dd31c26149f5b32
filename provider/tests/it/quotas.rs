//! What every store refuses, forgets and gives up.

use shoal_packet::command::DropChange;
use shoal_proto::{Span, Time};
use shoal_provider::{ENTRY_BYTES, Store, StoreLimits, StoreOp, StoreOutcome, Usage};

use crate::engines::{Make, on_all_engines};
use crate::operations::{
    T0, after, attend, blob, drop_of, mailbox, message, one, put, put_for, register, stored,
};

/// T0 is at the start of one.
const STEP_SECS: u64 = 600;
const STEP: Span = Span::from_secs(STEP_SECS);

on_all_engines!(
    quotas_hold,
    refusals_are_told_by_the_window,
    room_comes_free_at_a_step_and_not_when_the_owner_acknowledges,
    remembering_is_bounded,
    expiry_is_bounded_and_complete,
    idle_mailboxes_are_given_up,
    closed_mailboxes_are_given_up_when_their_owners_have_left,
    many_names_of_a_closed_mailbox_go_in_steps,
);

fn quotas_hold(make: Make<'_>) {
    let limits = StoreLimits {
        entries_per_drop: 2,
        entries_per_mailbox: 3,
        sets_per_mailbox: 2,
        mailboxes: 3,
        bytes: 4 * ENTRY_BYTES + 10,
        room_step: STEP,
        ..StoreLimits::default()
    };
    let mut store = make(limits);
    let refused = StoreOutcome::Refused;
    let outcome = one(
        &mut *store,
        T0,
        attend(1, 1, &[], &[register(1), register(2), register(3)]),
    );
    assert!(matches!(outcome, StoreOutcome::Attended { refused: 1, .. }));
    assert_eq!(one(&mut *store, T0, put(1, 1)), stored(1, 1));
    assert_eq!(one(&mut *store, T0, put(1, 2)), stored(1, 2));
    assert_eq!(one(&mut *store, T0, put(1, 3)), refused, "drop id full");
    assert_eq!(
        one(&mut *store, T0, put(1, 2)),
        stored(1, 2),
        "but a duplicate is no more"
    );
    assert_eq!(one(&mut *store, T0, put(2, 1)), stored(1, 3));
    assert_eq!(one(&mut *store, T0, put(2, 2)), refused, "mailbox full");
    assert_eq!(one(&mut *store, T0, put(3, 1)), refused, "never registered");
    for owner in [4, 5] {
        one(&mut *store, T0, attend(owner, 1, &[], &[register(4)]));
    }
    assert_eq!(one(&mut *store, T0, put_for(4, 4, 1)), stored(4, 1));
    // Full for all alike: for those who could have had it, and for those who could not.
    for op in [
        put_for(4, 4, 2),
        put_for(5, 4, 1),
        put_for(6, 4, 1),
        put(1, 3),
        put(3, 1),
    ] {
        assert_eq!(one(&mut *store, T0, op), StoreOutcome::Full);
    }
    assert_eq!(
        one(&mut *store, T0, put(1, 2)),
        stored(1, 2),
        "a duplicate is no more"
    );
    assert_eq!(
        one(&mut *store, T0, attend(6, 1, &[], &[])),
        refused,
        "no more mailboxes"
    );
    one(&mut *store, T0, attend(1, 2, &[1, 2], &[]));
    let later = T0 + STEP;
    assert_eq!(
        one(&mut *store, later, put(1, 3)),
        stored(1, 4),
        "room again"
    );
    assert_eq!(
        store.usage(),
        Usage {
            mailboxes: 3,
            entries: 3,
            remembered: 2
        }
    );
}

fn refusals_are_told_by_the_window(make: Make<'_>) {
    let limits = StoreLimits {
        sets_per_mailbox: 3,
        ..StoreLimits::default()
    };
    let mut store = make(limits);
    let mut refused = |counter, drops: &[u8]| {
        let changes: Vec<_> = drops.iter().copied().map(register).collect();
        match one(&mut *store, T0, attend(1, counter, &[], &changes)) {
            StoreOutcome::Attended {
                window, refused, ..
            } => (window.refused(), refused),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(5, &[1, 2]), (0, 0));
    assert_eq!(refused(7, &[3, 4, 5]), (0b1, 2));
    // Another that has no part in it, one that came late, and the known ones again.
    assert_eq!(refused(8, &[]), (0b10, 0));
    assert_eq!(refused(6, &[6]), (0b110, 1));
    assert_eq!(refused(9, &[1, 2, 3]), (0b1100, 0));
}

/// Who can write to a mailbox fills it, and asks every second whether something fits. Nothing tells
/// when the owner takes something out but by an hour.
fn room_comes_free_at_a_step_and_not_when_the_owner_acknowledges(make: Make<'_>) {
    let full = |limits: &StoreLimits| {
        [
            StoreLimits {
                entries_per_drop: 4,
                ..limits.clone()
            },
            StoreLimits {
                entries_per_mailbox: 4,
                ..limits.clone()
            },
            StoreLimits {
                bytes: 4 * ENTRY_BYTES,
                ..limits.clone()
            },
        ]
    };
    for limits in full(&StoreLimits {
        room_step: STEP,
        ..StoreLimits::default()
    }) {
        let probes = |attends: bool| {
            let mut store = make(limits.clone());
            one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
            (1..=4).for_each(|id| drop(one(&mut *store, T0, put(1, id))));
            (1..STEP_SECS)
                .step_by(7)
                .map(|second| {
                    let now = after(second);
                    let acks: &[u64] = match second {
                        50 => &[1, 2],
                        106 => &[3],
                        _ => &[],
                    };
                    if attends && !acks.is_empty() {
                        one(&mut *store, now, attend(1, 1 + second, acks, &[]));
                    }
                    one(&mut *store, now, put(1, 200))
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(probes(true), probes(false));
        let mut store = make(limits.clone());
        one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
        (1..=4).for_each(|id| drop(one(&mut *store, T0, put(1, id))));
        one(&mut *store, after(7), attend(1, 2, &[1, 2], &[]));
        let step = T0 + STEP;
        assert_eq!(one(&mut *store, step, put(1, 5)), stored(1, 5));
    }
}

fn remembering_is_bounded(make: Make<'_>) {
    let limits = StoreLimits {
        remembered_per_drop: 2,
        ..StoreLimits::default()
    };
    let mut store = make(limits);
    one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
    for id in 1..=4 {
        one(&mut *store, T0, put(1, id));
    }
    one(&mut *store, T0, attend(1, 2, &[4, 3, 2, 1], &[]));
    assert_eq!(
        store.usage(),
        Usage {
            mailboxes: 1,
            entries: 0,
            remembered: 2
        }
    );
    let gone = StoreOutcome::Stored {
        mailbox: mailbox(1),
        entry: None,
    };
    assert_eq!(one(&mut *store, T0, put(1, 4)), gone);
    assert_eq!(
        one(&mut *store, T0, put(1, 1)),
        stored(1, 5),
        "the oldest are forgotten"
    );
}

fn expiry_is_bounded_and_complete(make: Make<'_>) {
    let limits = StoreLimits {
        expire_batch: 3,
        ..StoreLimits::default()
    };
    let mut store = make(limits);
    one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
    for id in 1..=5 {
        one(&mut *store, T0, put(1, id));
    }
    one(&mut *store, T0, attend(1, 2, &[2], &[]));
    let expired = |removed, more| StoreOutcome::Expired { removed, more };
    assert_eq!(
        one(&mut *store, after(999), StoreOp::Expire),
        expired(0, false)
    );
    assert_eq!(
        one(&mut *store, after(1000), StoreOp::Expire),
        expired(3, true)
    );
    assert_eq!(
        one(&mut *store, after(1000), StoreOp::Expire),
        expired(2, false)
    );
    assert_eq!(
        store.usage(),
        Usage {
            mailboxes: 1,
            entries: 0,
            remembered: 0
        }
    );
}

fn idle_mailboxes_are_given_up(make: Make<'_>) {
    // Here, what was never used is given up no earlier.
    let limits = StoreLimits {
        mailbox_trial: Span::MAX,
        ..StoreLimits::default()
    };
    let idle = limits.mailbox_idle;
    let mut store = make(limits);
    one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
    one(&mut *store, T0, put(1, 1));
    one(&mut *store, T0, attend(2, 1, &[], &[register(2)]));
    one(&mut *store, after(3600), attend(3, 1, &[], &[register(3)]));
    // Only the hour of the last time is known.
    let idle = idle + Span::from_secs(3600);
    let before = T0 + idle - Span::from_secs(1);
    one(&mut *store, before, StoreOp::Expire);
    assert_eq!(store.usage().mailboxes, 3);
    assert!(matches!(
        one(&mut *store, before, put_for(2, 2, 1)),
        StoreOutcome::Refused
    ));
    one(&mut *store, T0 + idle, StoreOp::Expire);
    assert_eq!(
        store.usage().mailboxes,
        1,
        "only the one used later is left"
    );
    let outcome = one(
        &mut *store,
        T0 + idle,
        attend(3, 2, &[], &[register(2), register(1)]),
    );
    assert!(matches!(
        outcome,
        StoreOutcome::Attended {
            refused: 0,
            fresh: false,
            ..
        }
    ));
}

/// The usage after as many expiries as there are things to do.
fn expired(store: &mut dyn Store, now: Time) -> Usage {
    let more = |outcome| matches!(outcome, StoreOutcome::Expired { more: true, .. });
    while more(one(store, now, StoreOp::Expire)) {}
    store.usage()
}

fn closed_mailboxes_are_given_up_when_their_owners_have_left(make: Make<'_>) {
    let limits = StoreLimits::default();
    let day = limits.mailbox_closed;
    let mut store = make(limits);
    let until = |secs| StoreOp::Put {
        drop: drop_of(1, 1),
        message: message(u8::try_from(secs % 251).unwrap()),
        blob: blob(1),
        expires: after(secs),
    };
    let close = [DropChange::Close];
    for owner in [1, 2, 3] {
        one(&mut *store, T0, attend(owner, 1, &[], &[register(1)]));
    }
    for secs in [900_001, 900_002] {
        one(&mut *store, T0, until(secs));
    }
    one(&mut *store, T0, put_for(2, 1, 1));
    one(&mut *store, T0, put_for(3, 1, 1));
    // The first has something that waits, the second is looked at again, the third is not closed.
    one(&mut *store, T0, attend(1, 2, &[1], &close));
    one(&mut *store, T0, attend(2, 2, &[1], &close));
    one(&mut *store, T0, attend(3, 2, &[1], &[]));
    let usage = |mailboxes, entries, remembered| Usage {
        mailboxes,
        entries,
        remembered,
    };
    let looked = after(7200);
    one(&mut *store, looked, attend(2, 3, &[], &[]));
    let before = T0 + day + Span::from_secs(3600);
    // Names that had time until 1000 s are gone, those of longer ones not.
    assert_eq!(expired(&mut *store, before), usage(3, 1, 1));
    let over = looked + day + Span::from_secs(3600);
    assert_eq!(expired(&mut *store, over), usage(2, 1, 1));
    // An owner that comes a day later empties it, and looks for another day.
    let late = over + day;
    one(&mut *store, late, attend(1, 3, &[2], &[]));
    assert_eq!(expired(&mut *store, late), usage(2, 0, 2));
    let just = late + day - Span::from_secs(1);
    assert_eq!(expired(&mut *store, just), usage(2, 0, 2));
    assert_eq!(
        one(&mut *store, just, until(900_003)),
        StoreOutcome::Refused
    );
    assert_eq!(
        expired(&mut *store, late + day + Span::from_secs(3600)),
        usage(1, 0, 0)
    );
    // Nothing of it is left: who opens it again begins anew.
    let outcome = one(&mut *store, just, attend(1, 1, &[], &[register(1)]));
    assert!(matches!(
        outcome,
        StoreOutcome::Attended {
            opened: true,
            refused: 0,
            ..
        }
    ));
    assert_eq!(one(&mut *store, just, until(900_001)), stored(1, 1));
}

fn many_names_of_a_closed_mailbox_go_in_steps(make: Make<'_>) {
    let limits = StoreLimits {
        expire_batch: 3,
        mailbox_closed: Span::from_secs(0),
        ..StoreLimits::default()
    };
    let mut store = make(limits);
    for owner in [1, 2] {
        one(&mut *store, T0, attend(owner, 1, &[], &[register(1)]));
        for id in 1..=4 {
            let put = StoreOp::Put {
                drop: drop_of(owner, 1),
                message: message(id),
                blob: blob(id),
                expires: after(9000),
            };
            one(&mut *store, T0, put);
        }
        let close = [DropChange::Close];
        one(&mut *store, T0, attend(owner, 2, &[1, 2, 3, 4], &close));
    }
    let outcome = one(&mut *store, after(3599), StoreOp::Expire);
    assert!(matches!(outcome, StoreOutcome::Expired { removed: 0, .. }));
    let now = after(3600);
    let mut steps = Vec::new();
    for _ in 0..4 {
        let outcome = one(&mut *store, now, StoreOp::Expire);
        steps.push((outcome, store.usage().mailboxes));
    }
    let step = |removed, more, left| (StoreOutcome::Expired { removed, more }, left);
    let all = [
        step(3, true, 2),
        step(4, true, 1),
        step(3, false, 0),
        step(0, false, 0),
    ];
    assert_eq!(steps, all);
    assert_eq!(store.usage(), Usage::default());
}
