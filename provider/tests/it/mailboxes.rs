//! Mailboxes: who may command them, and how what is in them reaches their owners.

use std::collections::{BTreeMap, BTreeSet};

use crate::operations::key_of_store;
use ed25519_dalek::SigningKey;
use shoal_packet::command::{
    Command, DropChange, MailboxPacket, MailboxRequest, Reply, StreamItem,
};
use shoal_proto::size::BLOB_BYTES;
use shoal_proto::{NodeId, Span, Time};
use shoal_provider::{
    DropReason, Limits, SqliteOptions, SqliteStore, StoreError, StoreLimits, StoreOp, StoreOutcome,
};

use crate::operations::set;
use crate::statistics::is_exponential;
use crate::world::{FIRST, Owner, World};

/// The stream packets that were sent since the last time, opened.
fn stream(world: &mut World) -> Vec<(Time, StreamItem)> {
    let item = |(at, reply)| match reply {
        Reply::Stream(item) => Some((at, *item)),
        _ => None,
    };
    world.open_all().into_iter().filter_map(item).collect()
}

fn entries(items: &[(Time, StreamItem)]) -> Vec<u64> {
    items
        .iter()
        .filter_map(|(_, item)| item.entry.as_ref().map(|entry| entry.entry))
        .collect()
}

/// Two sets of drop ids.
fn register() -> [DropChange; 2] {
    [1, 2].map(|n| DropChange::Register(set(n)))
}

/// An owner with two drop ids and some stock.
fn attended(world: &mut World, commands: usize) -> Owner {
    let mut owner = Owner::new(1);
    for _ in 0..commands {
        world.attend(&mut owner, &[], &register());
    }
    world.run(Span::from_millis(10));
    owner
}

#[test]
fn a_message_reaches_its_owner_and_is_gone_once_acknowledged() {
    let mut world = World::new(1);
    let mut owner = attended(&mut world, 8);
    world.deposit(1, 77);
    world.run_secs(6);
    let items = stream(&mut world);
    assert_eq!(entries(&items), [1]);
    let entry = items
        .iter()
        .find_map(|(_, item)| item.entry.clone())
        .unwrap();
    assert_eq!(
        (entry.drop, entry.message),
        (owner.drop_id(1), crate::world::message_id(77))
    );
    assert_eq!(entry.blob.as_bytes(), &[77; BLOB_BYTES]);
    // Numbered from 0, with the window and the stock.
    let numbers: Vec<u64> = items.iter().map(|(_, item)| item.number).collect();
    assert_eq!(numbers, (0..items.len() as u64).collect::<Vec<_>>());
    let (_, last) = items.last().unwrap();
    assert_eq!(
        (last.generation, last.window_highest, last.window_bits),
        (1, 8, 0x7f)
    );
    assert_eq!(usize::from(last.stock), 32 - items.len());
    world.attend(&mut owner, &[1], &[]);
    world.run_secs(25);
    assert_eq!(entries(&stream(&mut world)), [] as [u64; 0]);
    assert_eq!(world.store.usage().entries, 0);
}

#[test]
fn only_the_owner_commands() {
    let mut world = World::new(2);
    let (mut owner, mut thief) = (attended(&mut world, 1), Owner::new(2));
    let surbs = world.surbs(FIRST);
    let (network, local) = (world.params.hash(), world.local);
    let elsewhere = NodeId::new([8; 32]);
    let request = thief.request(surbs.clone(), &[1], &register());
    let sign = |world: &mut World, key: &SigningKey, provider: &NodeId, request: MailboxRequest| {
        let packet = MailboxPacket::sign(&mut world.rng, key, &network, provider, request).unwrap();
        Command::Mailbox(Box::new(packet))
            .encode(&mut world.rng)
            .to_vec()
    };
    // Somebody else's mailbox in one's own command.
    let mut forged = sign(&mut world, &thief.key.clone(), &local, request);
    let at = forged
        .windows(32)
        .position(|w| w == thief.mailbox().as_bytes())
        .unwrap();
    forged[at..at + 32].copy_from_slice(owner.mailbox().as_bytes());
    // The owner's own command, for another provider.
    let request = owner.request(surbs.clone(), &[], &[]);
    let misdirected = sign(&mut world, &owner.key.clone(), &elsewhere, request);
    let request = owner.request(surbs, &[], &[]);
    let mut altered = sign(&mut world, &owner.key.clone(), &local, request);
    altered[1600] ^= 1;
    let before = world.provider.counters();
    for plaintext in [forged, misdirected, altered] {
        world.plaintext(plaintext);
    }
    assert_eq!(world.dropped, [DropReason::MailboxSignature; 3]);
    assert_eq!(
        world.provider.counters().mailboxes.mailbox_commands,
        before.mailboxes.mailbox_commands
    );
    // Who knows the secrets of another's drop ids has other ids by them.
    world.attend(&mut thief, &[], &register());
    world.run(Span::from_millis(10));
    world.deposit(1, 1);
    world.deposit(2, 2);
    world.attend(&mut thief, &[1, 2], &register());
    world.run_secs(4);
    assert_eq!(world.provider.counters().mailboxes.refused, 0);
    assert_eq!(world.store.usage().entries, 2);
    let waiting = |owner: &Owner| StoreOp::Waiting {
        mailbox: owner.mailbox(),
    };
    let mut told = |owner| crate::operations::one(&mut *world.store, world.now, waiting(owner));
    assert_eq!(told(&thief), StoreOutcome::Waiting(Vec::new()));
    assert!(matches!(told(&owner), StoreOutcome::Waiting(drops) if drops.len() == 2));
}

#[test]
fn a_command_counts_once_also_after_a_restart() {
    let mut world = World::new(3);
    let mut owner = Owner::new(1);
    let surbs = world.surbs(FIRST);
    let first = owner.request(surbs.clone(), &[], &[]);
    world.owner_command(&owner, first.clone());
    owner.generation = 2;
    let newer = owner.request(surbs.clone(), &[], &[]);
    world.owner_command(&owner, newer.clone());
    world.run(Span::from_millis(20));
    assert!(world.dropped.is_empty());
    for restarted in [false, true] {
        if restarted {
            world.restart();
        }
        world.dropped.clear();
        world.owner_command(&owner, newer.clone());
        world.owner_command(&owner, first.clone());
        world.run(Span::from_millis(20));
        assert_eq!(world.dropped, [DropReason::MailboxReplayed; 2]);
    }
    let next = owner.request(surbs.clone(), &[], &[]);
    world.owner_command(&owner, next);
    let unknown = MailboxRequest {
        profile: 9,
        ..owner.request(surbs, &[], &[])
    };
    world.owner_command(&owner, unknown);
    world.run(Span::from_millis(20));
    assert_eq!(world.dropped.last(), Some(&DropReason::MailboxProfile));
    assert_eq!(
        world.provider.counters().mailboxes.mailbox_commands,
        1,
        "of the restarted core"
    );
}

/// An owner who was restored from an old copy, or whose number was used before.
#[test]
fn who_is_behind_is_told_the_newest_generation() {
    let mut world = World::new(14);
    let mut owner = Owner::new(1);
    owner.generation = 70;
    world.attend(&mut owner, &[], &[]);
    world.run(Span::from_millis(10));
    let mut told = Vec::new();
    let mut waits = Vec::new();
    for _ in 0..40 {
        // The first is of an older generation, the second one that was received before.
        for generation in [69, 70] {
            (owner.generation, owner.counter) = (generation, 0);
            world.attend(&mut owner, &[], &[]);
            let asked = world.now;
            world.run_secs(2);
            for (at, reply) in world.open_all() {
                if let Reply::Behind { generation } = reply {
                    told.push(generation);
                    waits.push(at.since(asked).as_secs_f64());
                }
            }
        }
    }
    assert_eq!(told, vec![70; 80]);
    assert_eq!(world.provider.counters().replies.behind, 80);
    let mean = waits.iter().sum::<f64>() / 80.0;
    assert!(
        (0.07..0.14).contains(&mean),
        "held as every answer is: {mean}"
    );
    // Strangers are told nothing.
    let thief = Owner::new(2);
    let surbs = world.surbs(FIRST);
    let request = owner.request(surbs, &[], &[]);
    world.forge(&thief, request);
    world.run_secs(2);
    assert_eq!(world.provider.counters().replies.behind, 80);
}

#[test]
fn the_stock_never_exceeds_its_cap() {
    let mut world = World::new(4);
    let mut owner = attended(&mut world, 40);
    assert_eq!(world.provider.counters().mailboxes.stock, 120);
    assert_eq!(world.provider.counters().mailboxes.stock_overflow, 40);
    // The oldest went: what is sent comes from the newest 120.
    owner.epoch = FIRST.next();
    for _ in 0..40 {
        world.attend(&mut owner, &[], &[]);
        world.run(Span::from_millis(50));
        let counters = world.provider.counters();
        assert!(counters.mailboxes.stock <= 240);
        assert_eq!(
            counters.mailboxes.stock_added,
            counters.mailboxes.stock
                + counters.mailboxes.stock_overflow
                + counters.mailboxes.stock_void
                + counters.mailboxes.stream_idle
        );
    }
}

#[test]
fn the_clock_is_poisson_and_spends_one_a_tick() {
    let mut world = World::new(5);
    let mut owner = attended(&mut world, 1);
    let surbs = world.surbs(FIRST);
    for _ in 0..29 {
        let request = owner.request(surbs.clone(), &[], &[]);
        world.owner_command(&owner, request);
    }
    let mut times = Vec::new();
    let end = world.now + Span::from_secs(480);
    let mut message = 0;
    while world.now < end {
        let request = owner.request(surbs.clone(), &[], &[]);
        world.owner_command(&owner, request);
        // Whether there are messages makes no difference.
        if message < 100 {
            world.deposit(1, message);
            message += 1;
        }
        world.run_secs(2);
        for sent in std::mem::take(&mut world.sent) {
            if let (_, Reply::Stream(_)) = world.read(&sent) {
                times.push(sent.at);
            }
        }
    }
    let intervals: Vec<f64> = times
        .windows(2)
        .map(|pair| pair[1].since(pair[0]).as_secs_f64())
        .collect();
    assert!(intervals.len() > 800, "{}", intervals.len());
    assert!(is_exponential(&intervals, 0.5));
}

#[test]
fn a_flood_on_one_drop_id_delays_no_other() {
    let mut world = World::new(6);
    attended(&mut world, 30);
    for message in 0..100 {
        world.deposit(1, message);
    }
    world.run_secs(5);
    stream(&mut world);
    world.deposit(2, 1000);
    world.run_secs(10);
    let drops: Vec<_> = stream(&mut world)
        .iter()
        .filter_map(|(_, item)| item.entry.as_ref().map(|entry| entry.drop))
        .collect();
    let second = Owner::new(1).drop_id(2);
    let position = drops.iter().position(|drop| *drop == second).unwrap();
    assert!(
        position <= 2,
        "after at most the one that was ready: {position}"
    );
    assert!(drops.len() > 5);
}

#[test]
fn what_is_not_acknowledged_is_pushed_again_after_a_while() {
    let mut world = World::new(7);
    let mut owner = attended(&mut world, 30);
    world.deposit(1, 1);
    world.run_secs(45);
    let items = stream(&mut world);
    let pushes: Vec<Time> = items
        .iter()
        .filter(|(_, item)| item.entry.is_some())
        .map(|(at, _)| *at)
        .collect();
    assert!(pushes.len() >= 2, "{}", pushes.len());
    for pair in pushes.windows(2) {
        let gap = pair[1].since(pair[0]);
        assert!(
            gap >= Span::from_secs(20) && gap < Span::from_secs(27),
            "{gap}"
        );
    }
    // At once for a new generation, whose numbers start anew.
    owner.generation = 2;
    for _ in 0..8 {
        world.attend(&mut owner, &[], &[]);
    }
    assert_eq!(world.provider.counters().mailboxes.stock_void, 0);
    world.run_secs(3);
    let items = stream(&mut world);
    let first = items.iter().find(|(_, item)| item.entry.is_some()).unwrap();
    assert_eq!((items[0].1.generation, items[0].1.number), (2, 0));
    assert!(first.1.number <= 1);
    assert!(
        world.provider.counters().mailboxes.stock_void > 0,
        "the old generation's are void"
    );
}

#[test]
fn after_a_restart_every_message_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let open = || {
        let options = SqliteOptions::new(&path, key_of_store(), StoreLimits::default());
        Box::new(
            SqliteStore::open(SqliteOptions {
                reserve: 0,
                ..options
            })
            .unwrap(),
        )
    };
    let mut world = World::new(8);
    world.store = open();
    let mut owner = attended(&mut world, 20);
    for message in 0..20 {
        world.deposit(u8::try_from(message % 2).unwrap() + 1, message);
    }
    world.run_secs(8);
    let before = stream(&mut world);
    let pushed = entries(&before);
    assert!(pushed.len() > 5 && pushed.len() < 20, "{}", pushed.len());
    let acked = pushed[..5].to_vec();
    world.attend(&mut owner, &acked, &[]);
    // Beyond the number that the store knows of.
    world.run_secs(3);
    let highest = stream(&mut world)
        .into_iter()
        .chain(before)
        .map(|(_, i)| i.number)
        .max();

    world.restart();
    world.store = Box::new(shoal_provider::MemoryStore::new(StoreLimits::default()));
    world.store = open();
    for _ in 0..12 {
        world.attend(&mut owner, &[], &[]);
    }
    world.run_secs(15);
    let items = stream(&mut world);
    let found: BTreeSet<u64> = entries(&items).into_iter().collect();
    let missing: Vec<u64> = (1..=20)
        .filter(|entry| !acked.contains(entry) && !found.contains(entry))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(acked.iter().all(|entry| !found.contains(entry)));
    assert!(
        items.iter().map(|(_, item)| item.number).min() > highest,
        "no number twice"
    );
}

#[test]
fn reply_blocks_of_an_epoch_are_void_after_it() {
    let mut world = World::new(9);
    let mut owner = attended(&mut world, 20);
    owner.epoch = FIRST.next();
    for _ in 0..5 {
        world.attend(&mut owner, &[], &[]);
    }
    let switch = world.params.start_of(FIRST.next());
    world.run(switch.since(world.now) - Span::from_millis(1));
    stream(&mut world);
    for _ in 0..5 {
        owner.epoch = FIRST;
        world.attend(&mut owner, &[], &[]);
    }
    world.run_secs(5);
    let sent: BTreeMap<u8, usize> = world.sent.iter().fold(BTreeMap::new(), |mut map, sent| {
        *map.entry(sent.frame.epoch_byte()).or_default() += 1;
        map
    });
    assert!(!sent.contains_key(&FIRST.byte()), "void from the switch on");
    assert!(sent[&FIRST.next().byte()] > 3);
    assert!(world.provider.counters().mailboxes.stock_void >= 20);
    // Reply blocks of the old epoch are not taken any more.
    let before = world.provider.counters();
    world.attend(&mut owner, &[], &[]);
    world.run(Span::from_millis(10));
    let after = world.provider.counters();
    assert_eq!(after.mailboxes.stock_void, before.mailboxes.stock_void + 4);
    assert_eq!(after.mailboxes.stock_added, before.mailboxes.stock_added);
}

#[test]
fn a_mailbox_whose_owner_left_is_let_go_and_taken_up_again() {
    let limits = Limits {
        linger: Span::from_secs(30),
        ..Limits::default()
    };
    let mut world = World::with(10, limits, StoreLimits::default());
    let mut owner = attended(&mut world, 3);
    world.deposit(1, 1);
    world.run_secs(80);
    let numbers: Vec<u64> = stream(&mut world)
        .iter()
        .map(|(_, item)| item.number)
        .collect();
    assert_eq!(numbers.len(), 12);
    assert_eq!(world.provider.counters().mailboxes.active, 0);
    for _ in 0..3 {
        world.attend(&mut owner, &[], &[]);
    }
    world.run_secs(5);
    let items = stream(&mut world);
    assert_eq!(entries(&items)[0], 1, "not acknowledged");
    assert!(items[0].1.number > 11, "the same generation goes on");
}

#[test]
fn a_store_that_fails_loses_nothing() {
    let mut world = World::new(11);
    let mut owner = attended(&mut world, 5);
    world.deposit(1, 1);
    world.run(Span::from_millis(1));
    world.store_fails = Some(StoreError::Io("gone".to_owned()));
    world.attend(&mut owner, &[], &[]);
    world.run_secs(3);
    assert_eq!(world.dropped, [DropReason::StoreFailed]);
    world.store_fails = None;
    world.deposit(1, 1);
    world.attend(&mut owner, &[], &[]);
    world.run_secs(4);
    assert_eq!(entries(&stream(&mut world)), [1]);
}

#[test]
fn mailboxes_in_delivery_are_bounded() {
    let limits = Limits {
        active_mailboxes: 2,
        ..Limits::default()
    };
    let mut world = World::with(12, limits, StoreLimits::default());
    for n in 1..=3 {
        let mut owner = Owner::new(n);
        world.attend(&mut owner, &[], &[]);
    }
    world.run(Span::from_millis(20));
    assert_eq!(world.dropped, [DropReason::MailboxFull]);
    assert_eq!(world.provider.counters().mailboxes.active, 2);
}

#[test]
fn a_provider_that_slept_spends_nothing_for_what_it_missed() {
    let mut world = World::new(13);
    attended(&mut world, 8);
    let before = world.provider.counters().mailboxes;
    world.sent.clear();
    world.sleep(Span::from_secs(60));
    let after = world.provider.counters().mailboxes;
    assert!(world.sent.is_empty(), "120 ticks were due");
    assert_eq!((after.mailbox_missed, after.stock), (1, before.stock));
    world.run_secs(5);
    assert!((1..25).contains(&stream(&mut world).len()), "it goes on");
    assert_eq!(world.provider.counters().mailboxes.mailbox_missed, 1);
}

#[test]
fn a_mailbox_follows_the_profile_of_its_owners_last_command() {
    let mut world = World::new(14);
    let mut owner = attended(&mut world, 30);
    world.run_secs(20);
    let fast = stream(&mut world).len();
    let request = MailboxRequest {
        profile: 1,
        ..owner.request(world.surbs(FIRST), &[], &[])
    };
    world.owner_command(&owner, request);
    world.run_secs(20);
    let slow = stream(&mut world).len();
    // 2 and 0.2 a second in the mean.
    assert!((20..65).contains(&fast), "{fast}");
    assert!((1..15).contains(&slow), "{slow}");
}
