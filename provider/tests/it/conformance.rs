//! What every store does, engine by engine.

use shoal_proto::{Span, Time};
use shoal_provider::{EntryId, Owner, StoreLimits, StoreOp, StoreOutcome, Usage, Window};

use crate::engines::{Make, on_all_engines};
use crate::operations::{
    T0, after, attend, blob, drop_id, granted, mailbox, message, numbers, one, put, register,
    revoke, stored,
};

on_all_engines!(
    a_put_is_idempotent,
    a_late_duplicate_of_an_acknowledged_entry_stays_away,
    an_expired_name_may_be_used_again,
    lists_after_a_cursor,
    what_is_not_registered_is_refused,
    a_grant_registers,
    a_drop_id_is_each_mailboxs_own,
    who_registered_first_gets_what_names_nobody,
    revoked_is_remembered,
    owners_reach_only_their_own,
    commands_count_once,
    the_stream_number_never_falls,
    extreme_numbers_do_no_harm,
);

fn a_put_is_idempotent(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
    assert_eq!(one(&mut *store, T0, put(1, 1)), stored(1, 1));
    assert_eq!(one(&mut *store, after(5), put(1, 1)), stored(1, 1));
    assert_eq!(store.usage().entries, 1);
    // Also within one group.
    let results = store.apply(T0, vec![put(1, 2), put(1, 2), put(1, 3)]);
    let numbers: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(numbers, [stored(1, 2), stored(1, 2), stored(1, 3)]);
    assert_eq!(
        store.usage(),
        Usage {
            mailboxes: 1,
            entries: 3,
            remembered: 0
        }
    );
}

fn a_late_duplicate_of_an_acknowledged_entry_stays_away(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
    one(&mut *store, T0, put(1, 1));
    one(&mut *store, T0, attend(1, 2, &[1], &[]));
    assert_eq!(
        store.usage(),
        Usage {
            mailboxes: 1,
            entries: 0,
            remembered: 1
        }
    );
    let gone = StoreOutcome::Stored {
        mailbox: mailbox(1),
        entry: None,
    };
    assert_eq!(one(&mut *store, after(999), put(1, 1)), gone);
    assert_eq!(numbers(&mut *store, after(999), 1, 1, 0), [] as [u64; 0]);
    // Acknowledged twice, it counts once.
    one(&mut *store, T0, attend(1, 3, &[1, 1, 77], &[]));
    assert_eq!(store.usage().remembered, 1);
}

fn an_expired_name_may_be_used_again(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
    one(&mut *store, T0, put(1, 1));
    one(&mut *store, T0, put(1, 2));
    one(&mut *store, T0, attend(1, 2, &[1], &[]));
    let again = |id| StoreOp::Put {
        drop: drop_id(1),
        message: message(id),
        owner: Owner::First,
        blob: blob(9),
        expires: after(3000),
    };
    assert_eq!(numbers(&mut *store, after(1000), 1, 1, 0), [] as [u64; 0]);
    assert_eq!(one(&mut *store, after(1000), again(1)), stored(1, 3));
    assert_eq!(one(&mut *store, after(1000), again(2)), stored(1, 4));
    assert_eq!(numbers(&mut *store, after(1000), 1, 1, 0), [3, 4]);
    assert_eq!(
        store.usage(),
        Usage {
            mailboxes: 1,
            entries: 2,
            remembered: 0
        }
    );
    // What has expired when it comes is not accepted.
    assert_eq!(
        one(&mut *store, after(3000), again(5)),
        StoreOutcome::Refused
    );
}

fn lists_after_a_cursor(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    one(
        &mut *store,
        T0,
        attend(1, 1, &[], &[register(1), register(2)]),
    );
    for id in 1..=3 {
        one(&mut *store, T0, put(1, id));
        one(&mut *store, T0, put(2, id));
    }
    assert_eq!(numbers(&mut *store, T0, 1, 1, 0), [1, 3, 5]);
    assert_eq!(numbers(&mut *store, T0, 1, 2, 0), [2, 4, 6]);
    assert_eq!(numbers(&mut *store, T0, 1, 1, 1), [3, 5]);
    assert_eq!(numbers(&mut *store, T0, 1, 1, 5), [] as [u64; 0]);
    let op = StoreOp::List {
        mailbox: mailbox(1),
        drop: drop_id(1),
        after: EntryId::START,
        limit: 1,
    };
    let StoreOutcome::Entries(entries) = one(&mut *store, T0, op) else {
        panic!("entries")
    };
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].message, &entries[0].blob),
        (message(1), &blob(1))
    );
    one(&mut *store, T0, attend(1, 2, &[5, 2, 4, 6], &[]));
    let waiting = one(
        &mut *store,
        T0,
        StoreOp::Waiting {
            mailbox: mailbox(1),
        },
    );
    assert_eq!(
        waiting,
        StoreOutcome::Waiting(vec![(drop_id(1), EntryId::new(3))])
    );
}

fn what_is_not_registered_is_refused(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    assert_eq!(one(&mut *store, T0, put(1, 1)), StoreOutcome::Refused);
    assert_eq!(store.usage(), Usage::default());
    let waiting = one(
        &mut *store,
        T0,
        StoreOp::Waiting {
            mailbox: mailbox(1),
        },
    );
    assert_eq!(waiting, StoreOutcome::Waiting(Vec::new()));
}

fn a_grant_registers(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    assert_eq!(one(&mut *store, T0, granted(1, 1, 7)), stored(7, 1));
    assert_eq!(
        one(&mut *store, T0, put(1, 2)),
        stored(7, 2),
        "registered from then on"
    );
    assert_eq!(numbers(&mut *store, T0, 7, 1, 0), [1, 2]);
    let outcome = one(&mut *store, T0, attend(7, 1, &[], &[]));
    assert!(matches!(
        outcome,
        StoreOutcome::Attended { fresh: true, .. }
    ));
}

fn named(drop: u8, id: u8, owner: u8) -> StoreOp {
    StoreOp::Put {
        drop: drop_id(drop),
        message: message(id),
        owner: Owner::Named(mailbox(owner)),
        blob: blob(id),
        expires: after(1000),
    }
}

/// A thief knows the drop id in an address, and registers it first.
fn a_drop_id_is_each_mailboxs_own(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    let (thief, owner) = (1, 2);
    one(&mut *store, T0, attend(thief, 1, &[], &[register(1)]));
    // The grant's mailbox gets it, and also when the grant opens nothing any more.
    assert_eq!(
        one(&mut *store, T0, named(1, 1, owner)),
        StoreOutcome::Refused
    );
    assert_eq!(one(&mut *store, T0, granted(1, 1, owner)), stored(owner, 1));
    assert_eq!(one(&mut *store, T0, named(1, 2, owner)), stored(owner, 2));
    assert_eq!(numbers(&mut *store, T0, thief, 1, 0), [] as [u64; 0]);
    assert_eq!(numbers(&mut *store, T0, owner, 1, 0), [1, 2]);
    // What the thief does with it is the thief's own.
    one(&mut *store, T0, attend(thief, 2, &[1, 2], &[revoke(1)]));
    assert_eq!(numbers(&mut *store, T0, owner, 1, 0), [1, 2]);
    assert_eq!(one(&mut *store, T0, granted(1, 3, owner)), stored(owner, 3));
    // One message id under one drop id is as many entries as there are mailboxes.
    one(&mut *store, T0, attend(3, 1, &[], &[register(1)]));
    assert_eq!(one(&mut *store, T0, named(1, 3, 3)), stored(3, 1));
    assert_eq!(numbers(&mut *store, T0, owner, 1, 0), [1, 2, 3]);
}

/// A deposit without a grant is under a drop id that only its owner and one sender know.
fn who_registered_first_gets_what_names_nobody(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    one(&mut *store, T0, attend(5, 1, &[], &[register(1)]));
    one(
        &mut *store,
        T0,
        attend(1, 1, &[], &[register(1), register(3)]),
    );
    assert_eq!(one(&mut *store, T0, put(1, 1)), stored(5, 1));
    one(&mut *store, T0, attend(5, 2, &[], &[revoke(1)]));
    assert_eq!(one(&mut *store, T0, put(1, 2)), StoreOutcome::Refused);
    assert_eq!(one(&mut *store, T0, put(3, 1)), stored(1, 1));
}

fn revoked_is_remembered(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
    one(&mut *store, T0, put(1, 1));
    one(&mut *store, T0, attend(1, 2, &[], &[revoke(1), revoke(2)]));
    for op in [put(1, 1), put(1, 2), granted(1, 3, 1), granted(2, 1, 1)] {
        assert_eq!(one(&mut *store, T0, op), StoreOutcome::Refused);
    }
    // What was accepted before is still delivered.
    assert_eq!(numbers(&mut *store, T0, 1, 1, 0), [1]);
    let outcome = one(
        &mut *store,
        T0,
        attend(1, 3, &[], &[register(1), revoke(1)]),
    );
    assert!(matches!(outcome, StoreOutcome::Attended { refused: 1, .. }));
    // For as long as a grant may last.
    let limits = StoreLimits::default();
    let later = T0 + limits.revoked_memory + Span::from_secs(10);
    one(&mut *store, later, attend(1, 4, &[1], &[]));
    one(&mut *store, later, StoreOp::Expire);
    let outcome = one(&mut *store, later, attend(1, 5, &[], &[register(1)]));
    assert!(matches!(outcome, StoreOutcome::Attended { refused: 0, .. }));
}

fn owners_reach_only_their_own(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
    one(&mut *store, T0, attend(2, 1, &[], &[register(2)]));
    one(&mut *store, T0, put(1, 1));
    one(&mut *store, T0, put(2, 1));
    assert_eq!(numbers(&mut *store, T0, 2, 1, 0), [] as [u64; 0]);
    assert_eq!(
        numbers(&mut *store, T0, 2, 2, 0),
        [1],
        "numbers tell nothing of other mailboxes"
    );
    one(&mut *store, T0, attend(2, 2, &[1, 2], &[]));
    assert_eq!(numbers(&mut *store, T0, 1, 1, 0), [1]);
    assert_eq!(numbers(&mut *store, T0, 2, 2, 0), [] as [u64; 0]);
}

fn commands_count_once(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    let command = |generation, counter| StoreOp::Attend {
        mailbox: mailbox(1),
        generation,
        counter,
        stream: 0,
        acks: Vec::new(),
        changes: vec![register(u8::try_from(counter % 200).unwrap())],
    };
    let attended = |fresh, window| StoreOutcome::Attended {
        fresh,
        window,
        stream: 0,
        refused: 0,
    };
    let replayed = |generation| StoreOutcome::Replayed { generation };
    let window = Window::first(10);
    assert_eq!(one(&mut *store, T0, command(5, 10)), attended(true, window));
    assert_eq!(one(&mut *store, T0, command(5, 10)), replayed(5));
    let window = window.accept(12).unwrap();
    assert_eq!(
        one(&mut *store, T0, command(5, 12)),
        attended(false, window)
    );
    let window = window.accept(11).unwrap();
    assert_eq!(
        one(&mut *store, T0, command(5, 11)),
        attended(false, window)
    );
    assert_eq!(one(&mut *store, T0, command(4, 100)), replayed(5), "older");
    assert_eq!(
        one(&mut *store, T0, command(6, 3)),
        attended(true, Window::first(3))
    );
    assert_eq!(
        one(&mut *store, T0, command(5, 13)),
        replayed(6),
        "older now"
    );
    // A replay changes nothing.
    assert_eq!(one(&mut *store, T0, put(100, 1)), StoreOutcome::Refused);
    assert!(matches!(
        one(&mut *store, T0, put(12, 1)),
        StoreOutcome::Stored { .. }
    ));
}

fn the_stream_number_never_falls(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    let mut command = |generation, counter, stream| {
        let op = StoreOp::Attend {
            mailbox: mailbox(1),
            generation,
            counter,
            stream,
            acks: Vec::new(),
            changes: Vec::new(),
        };
        match one(&mut *store, T0, op) {
            StoreOutcome::Attended { stream, .. } => stream,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(command(1, 1, 0), 0);
    assert_eq!(command(1, 2, 40), 40);
    assert_eq!(command(1, 3, 0), 40);
    assert_eq!(command(2, 1, 0), 0);
}

fn extreme_numbers_do_no_harm(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    let command = |generation, counter, stream, ack| StoreOp::Attend {
        mailbox: mailbox(1),
        generation,
        counter,
        stream,
        acks: vec![EntryId::new(ack)],
        changes: vec![register(1)],
    };
    one(
        &mut *store,
        T0,
        command(u64::MAX - 1, u64::MAX, u64::MAX, u64::MAX),
    );
    let outcome = one(&mut *store, T0, command(u64::MAX, 0, u64::MAX, 1 << 63));
    assert!(matches!(
        outcome,
        StoreOutcome::Attended {
            fresh: true,
            stream: u64::MAX,
            ..
        }
    ));
    assert_eq!(
        one(&mut *store, T0, command(0, 1, 0, 0)),
        StoreOutcome::Replayed {
            generation: u64::MAX
        }
    );
    let op = StoreOp::Put {
        drop: drop_id(1),
        message: message(1),
        owner: Owner::First,
        blob: blob(1),
        expires: Time::MAX,
    };
    assert_eq!(one(&mut *store, T0, op), stored(1, 1));
    assert_eq!(numbers(&mut *store, T0, 1, 1, u64::MAX), [] as [u64; 0]);
    assert_eq!(numbers(&mut *store, T0, 1, 1, 0), [1]);
    one(&mut *store, Time::default(), StoreOp::Expire);
    assert_eq!(store.usage().entries, 1);
}
