//! Answers to deposits and dummies: one each, held alike, and honest.

use shoal_packet::Hop;
use shoal_packet::command::{Command, DropChange, ReceiptStatus, Reply};
use shoal_proto::{ClientHandle, Span};
use shoal_provider::{DropReason, Limits, StoreError, StoreLimits};

use crate::operations::set;
use crate::statistics::{are_alike, is_exponential};
use crate::world::{FIRST, Owner, World, delivery, message_id, payload, statuses};

const STORED: Option<ReceiptStatus> = Some(ReceiptStatus::Stored);
const REFUSED: Option<ReceiptStatus> = Some(ReceiptStatus::Refused);
const FULL: Option<ReceiptStatus> = Some(ReceiptStatus::Full);

/// A world with a mailbox that owns the drop id 1, and nothing in the air.
fn with_mailbox(mut world: World) -> (World, Owner) {
    let mut owner = Owner::new(1);
    let request = owner.request(world.surbs(FIRST), &[], &[DropChange::Register(set(1))]);
    // Its reply blocks are of an epoch that does not count, so its clock stays silent.
    let request = shoal_packet::command::MailboxRequest {
        surb_epoch: 0,
        ..request
    };
    world.owner_command(&owner, request);
    world.run_secs(1);
    assert!(world.sent.is_empty());
    (world, owner)
}

#[test]
fn each_is_answered_once_and_a_late_store_means_try_again() {
    let (mut world, _) = with_mailbox(World::new(1));
    world.store_delay = Span::from_millis(100);
    let mut unanswered: Vec<u32> = (0..40).collect();
    let mut rounds = 0;
    while !unanswered.is_empty() {
        rounds += 1;
        assert!(rounds < 20);
        for message in &unanswered {
            world.deposit(1, *message);
            let surb = world.surb(FIRST);
            world.command(&Command::Dummy {
                surb_epoch: FIRST.byte(),
                surb,
            });
        }
        world.run_secs(5);
        let replies = world.open_all();
        assert_eq!(replies.len(), 2 * unanswered.len(), "one each");
        for (_, reply) in &replies {
            match reply {
                Reply::Receipt { message, status } => {
                    assert_eq!(*status, ReceiptStatus::Stored);
                    unanswered.retain(|id| message_id(*id) != *message);
                }
                Reply::Dummy => {}
                _ => panic!("a stream packet"),
            }
        }
    }
    assert!(rounds > 2, "the store was late for most: {rounds}");
    assert_eq!(world.store.usage().entries, 40);
    let counters = world.provider.counters();
    assert_eq!(counters.replies.stored, 40);
    assert_eq!(counters.replies.late, counters.packets.deposits - 40);
    assert_eq!(counters.replies.dummy, counters.packets.dummies);
    assert_eq!(counters.replies.held, 0);
}

/// How long the disk is given before each answer, in seconds: said here, not looked up.
const GIVEN: f64 = 0.02;

/// The times from arrival to answer.
fn holds(deposits: bool, lag: Span, seed: u64) -> Vec<f64> {
    let mut world = World::new(seed);
    let surb = world.surb(FIRST);
    let arrival = world.now - lag;
    for message in 0..1500 {
        let command = if deposits {
            let deposit = shoal_packet::command::Deposit {
                surb_epoch: FIRST.byte(),
                surb: surb.clone(),
                drop: Owner::new(1).drop_id(1),
                message: message_id(message),
                blob: crate::operations::blob(1),
            };
            Command::Deposit(Box::new(deposit))
        } else {
            Command::Dummy {
                surb_epoch: FIRST.byte(),
                surb: surb.clone(),
            }
        };
        let plaintext = command.encode(&mut world.rng).to_vec();
        let nothing = payload(&mut world.rng);
        world.deliver(delivery(Some(plaintext), [0; 32], nothing, arrival));
    }
    world.run_secs(3);
    assert_eq!(world.sent.len(), 1500);
    world
        .sent
        .iter()
        .map(|sent| sent.at.since(arrival).as_secs_f64())
        .collect()
}

#[test]
fn answers_are_held_exponentially_whatever_they_say() {
    let (dummies, deposits) = (holds(false, Span::ZERO, 2), holds(true, Span::ZERO, 3));
    for holds in [&dummies, &deposits] {
        assert!(holds.iter().all(|hold| *hold >= GIVEN));
        let held = Vec::from_iter(holds.iter().map(|hold| hold - GIVEN));
        assert!(is_exponential(&held, 0.1));
    }
    assert!(are_alike(&dummies, &deposits));
}

#[test]
fn the_hold_runs_from_arrival() {
    let lag = Span::from_millis(50);
    let late = holds(false, lag, 4);
    let at_once = late.iter().filter(|hold| **hold <= 0.050_001).count() as f64 / 1500.0;
    assert!(
        (at_once - (1.0 - ((GIVEN - 0.05) / 0.1).exp())).abs() < 0.04,
        "{at_once}"
    );
    // The rest is memoryless.
    let rest: Vec<f64> = late
        .iter()
        .filter(|hold| **hold > 0.050_001)
        .map(|h| h - 0.05)
        .collect();
    assert!(is_exponential(&rest, 0.1));
}

#[test]
fn unknown_revoked_and_full_are_answered_alike() {
    let quotas = StoreLimits {
        entries_per_drop: 1,
        ..StoreLimits::default()
    };
    let (mut world, mut owner) = with_mailbox(World::with(5, Limits::default(), quotas));
    let request = owner.request(
        world.surbs(FIRST),
        &[],
        &[
            DropChange::Register(set(2)),
            DropChange::Revoke(Owner::new(1).drop_id(2)),
        ],
    );
    let request = shoal_packet::command::MailboxRequest {
        surb_epoch: 0,
        ..request
    };
    world.owner_command(&owner, request);
    world.run_secs(1);
    world.store_delay = Span::ZERO;
    for (drop, message) in [(1, 1), (1, 2), (2, 3), (9, 4)] {
        world.deposit(drop, message);
        world.run_secs(4);
    }
    let replies = world.open_all();
    assert_eq!(statuses(&replies), [STORED, REFUSED, REFUSED, REFUSED]);
    assert_eq!(world.store.usage().entries, 1);
}

#[test]
fn a_full_disk_refuses_and_another_failure_says_nothing() {
    let (mut world, _) = with_mailbox(World::new(7));
    world.store_delay = Span::ZERO;
    for (message, error) in [
        (1, StoreError::DiskFull),
        (2, StoreError::DiskFull),
        (3, StoreError::Busy),
    ] {
        world.store_fails = Some(error);
        world.deposit(1, message);
        world.run_secs(4);
    }
    world.store_fails = None;
    world.deposit(1, 3);
    world.run_secs(4);
    assert_eq!(statuses(&world.open_all()), [FULL, FULL, None, STORED]);
    assert_eq!(world.provider.counters().store.store_failed, 3);
    assert_eq!(world.troubles, 2, "full, busy: each said once");
    world.run_secs(15);
    assert_eq!(world.troubles, 3, "recovered");
}

#[test]
fn a_store_that_fails_now_and_then_is_one_trouble_and_heals_by_itself() {
    let (mut world, _) = with_mailbox(World::new(9));
    world.store_delay = Span::ZERO;
    let (free, reserve, resumes) = (63 << 20, 64 << 20, 80 << 20);
    let full = StoreError::Reserve {
        free,
        reserve,
        resumes,
    };
    // Deposits fail and fit in turn, and owners come by.
    for message in 0..40 {
        world.store_fails = (message % 2 == 0).then(|| full.clone());
        world.deposit(1, message);
        world.run_secs(3);
    }
    assert_eq!(world.troubles, 1);
    // Nobody deposits anything any more: it is asked.
    world.store_fails = None;
    world.run_secs(21);
    assert_eq!(world.troubles, 2);
    world.run_secs(600);
    assert_eq!(world.troubles, 2);
}

#[test]
fn nothing_is_sent_to_who_is_no_member_of_layer_one() {
    let mut world = World::new(8);
    let document = std::sync::Arc::clone(&world.view.documents[&FIRST]);
    let hop = |node, key| Hop {
        node,
        key,
        delay: Span::ZERO,
    };
    let first = document.member(&document.mixes(1)[0]).unwrap();
    let second = document.member(&document.mixes(2)[0]).unwrap();
    let stranger = shoal_proto::NodeId::new([9; 32]);
    let good = hop(first.id, first.key);
    let mut surb_from = |from: Hop| {
        let route = [from, good.clone()];
        world.surb_on(&route, ClientHandle::new([1; 32]))
    };
    let bad = [
        surb_from(hop(stranger, first.key)),
        surb_from(hop(second.id, second.key)),
        surb_from(hop(document.providers()[1], first.key)),
    ];
    for surb in bad {
        world.command(&Command::Dummy {
            surb_epoch: FIRST.byte(),
            surb,
        });
    }
    // And an epoch that does not count now.
    let surb = world.surb(FIRST.next());
    world.command(&Command::Dummy {
        surb_epoch: FIRST.next().byte(),
        surb,
    });
    world.run_secs(5);
    assert!(world.sent.is_empty());
    assert_eq!(world.provider.counters().replies.void, 4);
}

#[test]
fn what_is_no_command_is_dropped_by_reason() {
    let mut world = World::new(9);
    world.plaintext(Vec::new());
    world.plaintext(vec![99; 2031]);
    world.command(&Command::NodeLoop(shoal_proto::SurbId::new([5; 16])));
    world.command(&Command::Drop);
    assert_eq!(
        world.dropped,
        [
            DropReason::BadCommand,
            DropReason::BadCommand,
            DropReason::ForeignLoop
        ]
    );
    assert_eq!(world.provider.counters().packets.drop_cover, 1);
}

#[test]
fn bounds_hold() {
    let limits = Limits {
        replies: 3,
        store_operations: 2,
        ..Limits::default()
    };
    let mut world = World::with(10, limits, StoreLimits::default());
    world.store_delay = Span::from_secs(50);
    for message in 0..4 {
        world.deposit(1, message);
    }
    assert_eq!(world.dropped, [DropReason::Busy; 2], "the store is behind");
    let surb = world.surb(FIRST);
    for _ in 0..3 {
        world.command(&Command::Dummy {
            surb_epoch: FIRST.byte(),
            surb: surb.clone(),
        });
    }
    assert_eq!(world.dropped, [DropReason::Busy; 4], "too many replies");
    assert_eq!(world.provider.counters().replies.held, 3);
}

#[test]
fn a_run_repeats_from_its_seed() {
    let run = || {
        let (mut world, _) = with_mailbox(World::new(11));
        for message in 0..20 {
            world.deposit(1, message);
            world.run(Span::from_millis(30));
        }
        world.run_secs(3);
        (world.open_all(), world.provider.counters())
    };
    assert_eq!(run(), run());
}
