//! What every store does, engine by engine, and random operations on all engines side by side.

use proptest::prelude::*;
use shoal_packet::command::Blob;
use shoal_proto::{DropId, MailboxId, MessageId, Span, Time};
use shoal_provider::{
    Change, ENTRY_BYTES, EntryId, MemoryStore, SqliteOptions, SqliteStore, Store, StoreLimits,
    StoreOp, StoreOutcome, Usage, Window,
};

pub const T0: Time = Time::from_micros(1_800_000_000_000_000);

pub fn blob(fill: u8) -> Box<Blob> {
    Box::new(Blob::from_bytes(&[fill; 1472]).unwrap())
}

pub fn mailbox(n: u8) -> MailboxId {
    MailboxId::new([n; 32])
}

pub fn drop_id(n: u8) -> DropId {
    DropId::new([n; 32])
}

pub fn message(n: u8) -> MessageId {
    MessageId::new([n; 16])
}

pub fn after(secs: u64) -> Time {
    T0 + Span::from_secs(secs)
}

pub fn put(drop: u8, id: u8) -> StoreOp {
    StoreOp::Put {
        drop: drop_id(drop),
        message: message(id),
        grant: None,
        blob: blob(id),
        expires: after(1000),
    }
}

fn granted(drop: u8, id: u8, owner: u8) -> StoreOp {
    StoreOp::Put {
        drop: drop_id(drop),
        message: message(id),
        grant: Some(mailbox(owner)),
        blob: blob(id),
        expires: after(1000),
    }
}

pub fn attend(owner: u8, counter: u64, acks: &[u64], changes: &[Change]) -> StoreOp {
    StoreOp::Attend {
        mailbox: mailbox(owner),
        generation: 1,
        counter,
        stream: 0,
        acks: acks.iter().copied().map(EntryId::new).collect(),
        changes: changes.to_vec(),
    }
}

pub fn register(drop: u8) -> Change {
    Change::Register(drop_id(drop))
}

fn revoke(drop: u8) -> Change {
    Change::Revoke(drop_id(drop))
}

pub fn one(store: &mut dyn Store, now: Time, op: StoreOp) -> StoreOutcome {
    let mut results = store.apply(now, vec![op]);
    assert_eq!(results.len(), 1);
    results.pop().unwrap().unwrap()
}

fn stored(owner: u8, entry: u64) -> StoreOutcome {
    StoreOutcome::Stored {
        mailbox: mailbox(owner),
        entry: Some(EntryId::new(entry)),
    }
}

pub fn numbers(store: &mut dyn Store, now: Time, owner: u8, drop: u8, from: u64) -> Vec<u64> {
    let op = StoreOp::List {
        mailbox: mailbox(owner),
        drop: drop_id(drop),
        after: EntryId::new(from),
        limit: 100,
    };
    let StoreOutcome::Entries(entries) = one(store, now, op) else {
        panic!("entries")
    };
    entries.iter().map(|entry| entry.entry.number()).collect()
}

type Make<'a> = &'a dyn Fn(StoreLimits) -> Box<dyn Store>;

/// A property for each engine, as a test with its name.
macro_rules! conformance {
    ($($property:ident),+ $(,)?) => {
        mod memory {
            $(#[test] fn $property() {
                super::$property(&|limits| Box::new(super::MemoryStore::new(limits)));
            })+
        }
        mod sqlite {
            $(#[test] fn $property() {
                let directory = tempfile::tempdir().unwrap();
                let count = std::cell::Cell::new(0);
                super::$property(&|limits| {
                    count.set(count.get() + 1);
                    let path = directory.path().join(format!("{}.db", count.get()));
                    Box::new(super::sqlite_store(&path, limits))
                });
            })+
        }
    };
}

pub fn sqlite_store(path: &std::path::Path, limits: StoreLimits) -> SqliteStore {
    let options = SqliteOptions {
        reserve: 0,
        ..SqliteOptions::new(path, limits)
    };
    SqliteStore::open(options).unwrap()
}

conformance!(
    a_put_is_idempotent,
    a_late_duplicate_of_an_acknowledged_entry_stays_away,
    an_expired_name_may_be_used_again,
    lists_after_a_cursor,
    what_is_not_registered_is_refused,
    a_grant_registers,
    a_drop_id_is_not_taken_over,
    revoked_is_remembered,
    owners_reach_only_their_own,
    quotas_hold,
    remembering_is_bounded,
    commands_count_once,
    the_stream_number_never_falls,
    expiry_is_bounded_and_complete,
    idle_mailboxes_are_given_up,
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
        grant: None,
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

fn a_drop_id_is_not_taken_over(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
    assert_eq!(
        one(&mut *store, T0, granted(1, 1, 2)),
        stored(1, 1),
        "the first owner's"
    );
    let outcome = one(
        &mut *store,
        T0,
        attend(2, 1, &[], &[register(1), revoke(1), register(3)]),
    );
    assert!(matches!(outcome, StoreOutcome::Attended { refused: 2, .. }));
    assert_eq!(one(&mut *store, T0, put(1, 2)), stored(1, 2));
}

fn revoked_is_remembered(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    one(&mut *store, T0, attend(1, 1, &[], &[register(1)]));
    one(&mut *store, T0, put(1, 1));
    one(&mut *store, T0, attend(1, 2, &[], &[revoke(1), revoke(2)]));
    for op in [
        put(1, 1),
        put(1, 2),
        granted(1, 3, 1),
        granted(2, 1, 1),
        granted(2, 1, 5),
    ] {
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

fn quotas_hold(make: Make<'_>) {
    let limits = StoreLimits {
        entries_per_drop: 2,
        entries_per_mailbox: 3,
        drops_per_mailbox: 2,
        mailboxes: 2,
        bytes: 4 * ENTRY_BYTES + 10,
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
    assert_eq!(
        one(&mut *store, T0, granted(9, 1, 1)),
        refused,
        "no more drop ids"
    );
    assert_eq!(one(&mut *store, T0, granted(4, 1, 4)), stored(4, 1));
    assert_eq!(
        one(&mut *store, T0, granted(4, 2, 4)),
        refused,
        "provider full"
    );
    assert_eq!(
        one(&mut *store, T0, granted(5, 1, 5)),
        refused,
        "no more mailboxes"
    );
    assert_eq!(
        one(&mut *store, T0, attend(5, 1, &[], &[])),
        refused,
        "no more mailboxes"
    );
    one(&mut *store, T0, attend(1, 2, &[1, 2], &[]));
    assert_eq!(one(&mut *store, T0, put(1, 3)), stored(1, 4), "room again");
    assert_eq!(
        store.usage(),
        Usage {
            mailboxes: 2,
            entries: 3,
            remembered: 2
        }
    );
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
    let window = Window::first(10);
    assert_eq!(one(&mut *store, T0, command(5, 10)), attended(true, window));
    assert_eq!(one(&mut *store, T0, command(5, 10)), StoreOutcome::Replayed);
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
    assert_eq!(
        one(&mut *store, T0, command(4, 100)),
        StoreOutcome::Replayed,
        "older"
    );
    assert_eq!(
        one(&mut *store, T0, command(6, 3)),
        attended(true, Window::first(3))
    );
    assert_eq!(
        one(&mut *store, T0, command(5, 13)),
        StoreOutcome::Replayed,
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
    let limits = StoreLimits::default();
    let idle = limits.mailbox_idle;
    let mut store = make(limits);
    one(&mut *store, T0, granted(1, 1, 1));
    one(&mut *store, T0, attend(2, 1, &[], &[register(2)]));
    one(&mut *store, after(500), attend(3, 1, &[], &[register(3)]));
    let before = T0 + idle - Span::from_secs(1);
    one(&mut *store, before, StoreOp::Expire);
    assert_eq!(store.usage().mailboxes, 3);
    assert!(matches!(
        one(&mut *store, before, put(2, 1)),
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
        StoreOutcome::Replayed
    );
    let op = StoreOp::Put {
        drop: drop_id(1),
        message: message(1),
        grant: None,
        blob: blob(1),
        expires: Time::MAX,
    };
    assert_eq!(one(&mut *store, T0, op), stored(1, 1));
    assert_eq!(numbers(&mut *store, T0, 1, 1, u64::MAX), [] as [u64; 0]);
    assert_eq!(numbers(&mut *store, T0, 1, 1, 0), [1]);
    one(&mut *store, Time::default(), StoreOp::Expire);
    assert_eq!(store.usage().entries, 1);
}

/// Small ranges, so that operations meet.
fn any_op() -> impl Strategy<Value = StoreOp> {
    let change = (0u8..6, any::<bool>()).prop_map(|(drop, register)| {
        if register {
            Change::Register(drop_id(drop))
        } else {
            Change::Revoke(drop_id(drop))
        }
    });
    prop_oneof![
        6 => (0u8..6, 0u8..5, prop::option::of(0u8..4), 0u64..40).prop_map(
            |(drop, id, grant, expires)| StoreOp::Put {
                drop: drop_id(drop),
                message: message(id),
                grant: grant.map(mailbox),
                blob: blob(id),
                expires: after(expires),
            }
        ),
        4 => (
            (0u8..4, 0u64..3, 0u64..80, 0u64..50),
            prop::collection::vec(0u64..12, 0..4),
            prop::collection::vec(change, 0..3),
        )
            .prop_map(|((owner, generation, counter, stream), acks, changes)| StoreOp::Attend {
                mailbox: mailbox(owner),
                generation,
                counter,
                stream,
                acks: acks.into_iter().map(EntryId::new).collect(),
                changes,
            }),
        1 => (0u8..4).prop_map(|owner| StoreOp::Waiting { mailbox: mailbox(owner) }),
        2 => (0u8..4, 0u8..6, 0u64..10, 0u32..4).prop_map(|(owner, drop, from, limit)| {
            StoreOp::List {
                mailbox: mailbox(owner),
                drop: drop_id(drop),
                after: EntryId::new(from),
                limit,
            }
        }),
        1 => Just(StoreOp::Expire),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Every engine answers like every other, and also after it was opened again.
    #[test]
    fn engines_agree(
        groups in prop::collection::vec((prop::collection::vec(any_op(), 1..8), 0u64..8), 1..25),
    ) {
        let limits = StoreLimits {
            entries_per_drop: 3,
            remembered_per_drop: 2,
            entries_per_mailbox: 5,
            drops_per_mailbox: 3,
            mailboxes: 3,
            bytes: 8 * ENTRY_BYTES,
            mailbox_idle: Span::from_secs(25),
            revoked_memory: Span::from_secs(10),
            expire_batch: 4,
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let mut memory = MemoryStore::new(limits.clone());
        let mut sqlite = sqlite_store(&path, limits.clone());
        let mut now = T0;
        for (round, (ops, step)) in groups.into_iter().enumerate() {
            now += Span::from_secs(step);
            let expected = memory.apply(now, ops.clone());
            prop_assert_eq!(sqlite.apply(now, ops), expected);
            prop_assert_eq!(sqlite.usage(), memory.usage());
            if round % 7 == 6 {
                drop(sqlite);
                sqlite = sqlite_store(&path, limits.clone());
                prop_assert_eq!(sqlite.usage(), memory.usage());
            }
        }
    }
}
