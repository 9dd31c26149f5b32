//! What every store does, engine by engine.

use shoal_packet::command::{DropChange, DropSet, SetSize};
use shoal_proto::Time;
use shoal_provider::{EntryId, Opening, StoreLimits, StoreOp, StoreOutcome, Usage, Window};

use crate::engines::{Make, on_all_engines};
use crate::operations::{
    T0, after, attend, blob, drop_id, drop_of, mailbox, message, numbers, one, put, put_for,
    register, revoke, set, stored,
};

on_all_engines!(
    a_put_is_idempotent,
    a_late_duplicate_of_an_acknowledged_entry_stays_away,
    an_expired_name_may_be_used_again,
    lists_after_a_cursor,
    what_is_not_registered_is_refused,
    a_set_registers_its_ids_and_no_others,
    a_drop_id_is_one_mailboxs_own,
    revoked_is_remembered,
    a_closed_mailbox_takes_nothing_more_and_gives_what_it_has,
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

fn a_set_registers_its_ids_and_no_others(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    let large = DropSet::new([9; 32], SetSize::Large);
    let sets = [DropChange::Register(large.clone()), register(1)];
    one(&mut *store, T0, attend(1, 1, &[], &sets));
    let into = |drop, id| StoreOp::Put {
        drop,
        message: message(id),
        blob: blob(id),
        expires: after(1000),
    };
    let last = large.id(&mailbox(1), 255);
    assert_eq!(one(&mut *store, T0, into(last, 1)), stored(1, 1));
    let last = set(1).id(&mailbox(1), 63);
    assert_eq!(one(&mut *store, T0, into(last, 1)), stored(1, 2));
    for beyond in [large.id(&mailbox(1), 256), set(1).id(&mailbox(1), 64)] {
        let outcome = one(&mut *store, T0, into(beyond, 1));
        assert_eq!(outcome, StoreOutcome::Refused);
    }
    // An id that begins like a good one.
    let mut bytes = *drop_id(1).as_bytes();
    bytes[31] ^= 1;
    let near = into(shoal_proto::DropId::new(bytes), 1);
    assert_eq!(one(&mut *store, T0, near), StoreOutcome::Refused);
    // Again, it is no other set; in another size, it is none at all.
    let small = DropSet::new([9; 32], SetSize::Small);
    let sets = [DropChange::Register(large), DropChange::Register(small)];
    let outcome = one(&mut *store, T0, attend(1, 2, &[], &sets));
    assert!(matches!(outcome, StoreOutcome::Attended { refused: 1, .. }));
}

/// A thief knows somebody's drop id and even the set's secret: it is bound to the mailbox.
fn a_drop_id_is_one_mailboxs_own(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    let (owner, thief) = (1, 2);
    one(&mut *store, T0, attend(thief, 1, &[], &[register(1)]));
    assert_eq!(one(&mut *store, T0, put(1, 1)), StoreOutcome::Refused);
    one(&mut *store, T0, attend(owner, 1, &[], &[register(1)]));
    assert_eq!(one(&mut *store, T0, put(1, 1)), stored(owner, 1));
    assert_eq!(one(&mut *store, T0, put(1, 2)), stored(owner, 2));
    // What the thief does with it is the thief's own.
    let outcome = one(&mut *store, T0, attend(thief, 2, &[1, 2], &[revoke(1)]));
    assert!(matches!(outcome, StoreOutcome::Attended { refused: 1, .. }));
    let listed = StoreOp::List {
        mailbox: mailbox(thief),
        drop: drop_id(1),
        after: EntryId::START,
        limit: 9,
    };
    let nothing = StoreOutcome::Entries(Vec::new());
    assert_eq!(one(&mut *store, T0, listed), nothing);
    assert_eq!(numbers(&mut *store, T0, owner, 1, 0), [1, 2]);
    assert_eq!(one(&mut *store, T0, put(1, 3)), stored(owner, 3));
    assert_ne!(drop_of(owner, 1), drop_of(thief, 1));
}

fn revoked_is_remembered(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
    one(&mut *store, T0, put(1, 1));
    // What nobody has registered can't be revoked.
    let outcome = one(&mut *store, T0, attend(1, 2, &[], &[revoke(1), revoke(2)]));
    assert!(matches!(outcome, StoreOutcome::Attended { refused: 1, .. }));
    for op in [put(1, 1), put(1, 2)] {
        assert_eq!(one(&mut *store, T0, op), StoreOutcome::Refused);
    }
    // What was accepted before is still delivered.
    assert_eq!(numbers(&mut *store, T0, 1, 1, 0), [1]);
    // The set is registered, and the id stays revoked.
    let outcome = one(
        &mut *store,
        T0,
        attend(1, 3, &[], &[register(1), revoke(1)]),
    );
    assert!(matches!(outcome, StoreOutcome::Attended { refused: 0, .. }));
    let later = after(900_000);
    one(&mut *store, later, attend(1, 4, &[1], &[register(1)]));
    one(&mut *store, later, StoreOp::Expire);
    let again = StoreOp::Put {
        drop: drop_id(1),
        message: message(7),
        blob: blob(7),
        expires: after(901_000),
    };
    assert_eq!(one(&mut *store, later, again), StoreOutcome::Refused);
}

fn a_closed_mailbox_takes_nothing_more_and_gives_what_it_has(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
    one(&mut *store, T0, attend(2, 1, &[], &[register(1)]));
    for id in 1..=3 {
        one(&mut *store, T0, put(1, id));
    }
    let refused = |outcome| match outcome {
        StoreOutcome::Attended { refused, .. } => refused,
        other => panic!("{other:?}"),
    };
    let close = DropChange::Close;
    let command = attend(1, 2, &[2], &[register(2), close.clone()]);
    assert_eq!(refused(one(&mut *store, T0, command)), 0);
    // Known or new, under an id of before or of the same command: nothing tells that it is closed.
    for op in [put(1, 1), put(1, 2), put(1, 9), put(2, 1)] {
        assert_eq!(one(&mut *store, T0, op), StoreOutcome::Refused);
    }
    assert_eq!(one(&mut *store, T0, put_for(2, 1, 1)), stored(2, 1));
    // Closed twice is closed; it has no more sets; ids are still revoked.
    let command = attend(1, 3, &[], &[close.clone(), register(3), register(1)]);
    assert_eq!(refused(one(&mut *store, T0, command)), 2);
    let command = attend(1, 4, &[], &[close, revoke(1)]);
    assert_eq!(refused(one(&mut *store, T0, command)), 0);
    assert_eq!(numbers(&mut *store, T0, 1, 1, 0), [1, 3]);
    let waiting = StoreOp::Waiting {
        mailbox: mailbox(1),
    };
    let newest = StoreOutcome::Waiting(vec![(drop_id(1), EntryId::new(3))]);
    assert_eq!(one(&mut *store, T0, waiting), newest);
    one(&mut *store, T0, attend(1, 5, &[1, 3], &[]));
    assert_eq!(numbers(&mut *store, T0, 1, 1, 0), [] as [u64; 0]);
    assert_eq!(one(&mut *store, T0, put(1, 7)), StoreOutcome::Refused);
}

fn owners_reach_only_their_own(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
    one(&mut *store, T0, attend(2, 1, &[], &[register(2)]));
    one(&mut *store, T0, put(1, 1));
    one(&mut *store, T0, put_for(2, 2, 1));
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
        opening: Opening::Free,
    };
    let attended = |fresh, window| StoreOutcome::Attended {
        fresh,
        window,
        stream: 0,
        refused: 0,
        opened: fresh && window == Window::first(10),
        created: T0,
        waiting: 0,
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
            opening: Opening::Free,
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
        opening: Opening::Free,
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
        blob: blob(1),
        expires: Time::MAX,
    };
    assert_eq!(one(&mut *store, T0, op), stored(1, 1));
    assert_eq!(numbers(&mut *store, T0, 1, 1, u64::MAX), [] as [u64; 0]);
    assert_eq!(numbers(&mut *store, T0, 1, 1, 0), [1]);
    one(&mut *store, Time::default(), StoreOp::Expire);
    assert_eq!(store.usage().entries, 1);
}
