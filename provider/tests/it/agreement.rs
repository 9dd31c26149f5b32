//! Random operations on all engines side by side.

use proptest::prelude::*;
use shoal_packet::command::{DropChange, DropSet, SetSize};
use shoal_proto::DropId;
use shoal_proto::{Span, Time};
use shoal_provider::{
    Claim, ENTRY_BYTES, EntryId, MemoryStore, Opening, SpentToken, Store, StoreLimits, StoreOp,
};

use crate::operations::{T0, blob, mailbox, message, set, sqlite_store};

/// Ten minutes: most of what is kept of times are hours.
const UNIT: Span = Span::from_secs(600);

fn after(units: u64) -> Time {
    T0 + units_of(units)
}

fn units_of(units: u64) -> Span {
    Span::from_micros(UNIT.as_micros() * units)
}

/// Of any mailbox, set and of two numbers.
fn any_drop() -> impl Strategy<Value = DropId> {
    (0u8..4, 0u8..3, 0u16..2).prop_map(|(owner, n, number)| set(n).id(&mailbox(owner), number))
}

/// Of few tokens.
fn any_opening() -> impl Strategy<Value = Opening> {
    prop_oneof![
        2 => Just(Opening::Free),
        1 => Just(Opening::Closed),
        3 => (0u8..4, 10u64..60).prop_map(|(n, expires)| {
            let (name, expires) = ([n; 32], after(expires));
            Opening::Token(SpentToken { name, expires })
        }),
    ]
}

/// Small ranges, so that operations meet.
fn any_op() -> impl Strategy<Value = StoreOp> {
    let change = prop_oneof![
        6 => (0u8..5).prop_map(|n| DropChange::Register(set(n))),
        // The same secret, of another size.
        1 => (0u8..3).prop_map(|n| DropChange::Register(DropSet::new([n; 32], SetSize::Large))),
        2 => any_drop().prop_map(DropChange::Revoke),
        1 => Just(DropChange::Close),
    ];
    prop_oneof![
        6 => (any_drop(), 0u8..5, 0u64..40).prop_map(
            |(drop, id, expires)| StoreOp::Put {
                drop,
                message: message(id),
                blob: blob(id),
                expires: after(expires),
            }
        ),
        4 => (
            (0u8..4, 0u64..3, 0u64..80, 0u64..50, any_opening()),
            prop::collection::vec(0u64..12, 0..4),
            prop::collection::vec(change, 0..3),
        )
            .prop_map(|((owner, generation, counter, stream, opening), acks, changes)| StoreOp::Attend {
                mailbox: mailbox(owner),
                generation,
                counter,
                stream,
                acks: acks.into_iter().map(EntryId::new).collect(),
                changes,
                opening,
            }),
        2 => (0u8..6, 0u8..3, 10u64..60).prop_map(|(request, first, expires)| {
            StoreOp::Claim(Claim {
                request: [100 + request; 32],
                rights: (first..first + 2).map(|right| [200 + right; 32]).collect(),
                expires: after(expires),
            })
        }),
        1 => (0u8..4).prop_map(|owner| StoreOp::Waiting { mailbox: mailbox(owner) }),
        2 => (0u8..4, any_drop(), 0u64..10, 0u32..4).prop_map(|(owner, drop, from, limit)| {
            StoreOp::List {
                mailbox: mailbox(owner),
                drop,
                after: EntryId::new(from),
                limit,
            }
        }),
        1 => Just(StoreOp::Expire),
        1 => (0u64..40, prop::option::of(0u64..40)).prop_map(|(from, until)| StoreOp::Inventory {
            from: after(from),
            until: until.map(after),
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Every engine answers like every other, and also after it was opened again.
    #[test]
    fn engines_agree(
        groups in prop::collection::vec((prop::collection::vec(any_op(), 1..8), 0u64..8), 1..25),
    ) {
        let limits = StoreLimits {
            entries_per_drop: 3,
            remembered_per_drop: 2,
            entries_per_mailbox: 5,
            sets_per_mailbox: 2,
            mailboxes: 3,
            bytes: 8 * ENTRY_BYTES,
            mailbox_idle: units_of(25),
            mailbox_trial: units_of(12),
            mailbox_closed: units_of(9),
            room_step: units_of(7),
            expire_batch: 4,
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let mut memory = MemoryStore::new(limits.clone());
        let mut sqlite = sqlite_store(&path, limits.clone());
        #[cfg(feature = "postgres")]
        let server = crate::postgres::server();
        #[cfg(feature = "postgres")]
        let mut postgres = server.as_ref().map(|server| server.store(limits.clone()));
        let mut now = T0;
        for (round, (ops, step)) in groups.into_iter().enumerate() {
            now += units_of(step);
            let expected = memory.apply(now, ops.clone());
            #[cfg(feature = "postgres")]
            if let Some(postgres) = &mut postgres {
                prop_assert_eq!(&postgres.apply(now, ops.clone()), &expected);
                prop_assert_eq!(postgres.usage(), memory.usage());
            }
            prop_assert_eq!(sqlite.apply(now, ops), expected);
            prop_assert_eq!(sqlite.usage(), memory.usage());
            if round % 7 == 6 {
                drop(sqlite);
                sqlite = sqlite_store(&path, limits.clone());
                prop_assert_eq!(sqlite.usage(), memory.usage());
                #[cfg(feature = "postgres")]
                if let (Some(server), Some(open)) = (&server, postgres.take()) {
                    drop(open);
                    let again = server.open(limits.clone());
                    prop_assert_eq!(again.usage(), memory.usage());
                    postgres = Some(again);
                }
            }
        }
    }
}
