//! One client that makes mailboxes, and the owners that it would like to keep out.

use shoal_packet::command::{DropChange, MailboxRequest, Share};
use shoal_proto::Span;
use shoal_provider::{DropReason, EntryId, Limits, Opening, StoreLimits, StoreOp};

use crate::operations::{one, set};
use crate::world::{FIRST, Owner, World};

const SLOTS: usize = 20;
const DAY: Span = Span::from_secs(24 * 60 * 60);
/// Only the hour is known in which a mailbox was opened.
const OF_AGE: Span = Span::from_secs(25 * 60 * 60);

fn full(seed: u64) -> World {
    let limits = Limits {
        active_mailboxes: SLOTS,
        ..Limits::default()
    };
    World::with(seed, limits, StoreLimits::default())
}

/// Three commands for a mailbox whose clock is slow: it is served for half a minute.
fn slow(world: &mut World, owner: &mut Owner) {
    for _ in 0..3 {
        let surbs = world.surbs(FIRST);
        let request = MailboxRequest {
            share: Share::Second,
            ..owner.request(surbs, &[], &[])
        };
        world.owner_command(owner, request);
    }
    world.run(Span::from_millis(20));
}

fn is_served(world: &mut World, owner: &mut Owner) -> bool {
    let before = world.provider.counters().mailboxes.mailbox_commands;
    let dropped = world.dropped.len();
    world.attend(owner, &[], &[]);
    world.run(Span::from_millis(20));
    let served = world.provider.counters().mailboxes.mailbox_commands > before;
    let reasons = &world.dropped[dropped..];
    assert!(
        served || reasons == [DropReason::MailboxFull],
        "{reasons:?}"
    );
    served
}

/// A mailbox that was opened so long ago.
fn opened_before(world: &mut World, owner: &Owner, ago: Span) {
    let op = StoreOp::Attend {
        mailbox: owner.mailbox(),
        generation: 0,
        counter: 0,
        stream: 0,
        acks: Vec::<EntryId>::new(),
        changes: vec![DropChange::Register(set(1))],
        opening: Opening::Free,
    };
    one(&mut *world.store, world.now - ago, op);
}

/// 3.4 packets a second for ten minutes would hold 2,000 places: each is held for ten minutes by one packet.
#[test]
fn a_client_that_takes_all_places_keeps_no_owner_out() {
    let mut world = full(1);
    let mut owner = Owner::new(200);
    assert!(is_served(&mut world, &mut owner));
    // The owner goes, and the place is free again.
    world.run(Span::from_secs(700));
    assert_eq!(world.provider.counters().mailboxes.active, 0);
    let mut made: Vec<Owner> = (1..=60).map(Owner::new).collect();
    for one in &mut made {
        one.epoch = FIRST.next();
        world.attend(one, &[], &[]);
        world.run(Span::from_millis(294));
    }
    let mailboxes = world.provider.counters().mailboxes;
    assert_eq!(mailboxes.active, SLOTS as u64);
    owner.epoch = FIRST.next();
    assert!(is_served(&mut world, &mut owner));
    // Nor does it keep out newcomers.
    assert!(is_served(&mut world, &mut Owner::new(201)));
    let mailboxes = world.provider.counters().mailboxes;
    assert_eq!(mailboxes.active, SLOTS as u64);
    assert!(mailboxes.evicted >= 2);
}

#[test]
fn among_those_that_are_served_who_stays_comes_before_who_has_just_come() {
    let mut world = full(2);
    let mut made: Vec<Owner> = (1..=SLOTS as u8).map(Owner::new).collect();
    for one in &mut made {
        slow(&mut world, one);
    }
    assert_eq!(world.provider.counters().mailboxes.active, SLOTS as u64);
    assert_eq!(world.provider.counters().mailboxes.evicted, 0);
    // A newcomer has no more right than they.
    let mut young = Owner::new(100);
    assert!(!is_served(&mut world, &mut young));
    // Of a mailbox that is a day old, or in which something waits.
    let (mut old, mut written) = (Owner::new(101), Owner::new(102));
    opened_before(&mut world, &old, OF_AGE);
    assert!(is_served(&mut world, &mut old));
    opened_before(&mut world, &written, Span::from_secs(60));
    write_to(&mut world, &written);
    assert!(is_served(&mut world, &mut written));
    let mailboxes = world.provider.counters().mailboxes;
    assert_eq!((mailboxes.active, mailboxes.evicted), (SLOTS as u64, 2));
    // Just not old enough.
    let mut almost = Owner::new(103);
    opened_before(&mut world, &almost, DAY - Span::from_secs(1));
    assert!(!is_served(&mut world, &mut almost));
}

/// Something waits for an owner.
fn write_to(world: &mut World, owner: &Owner) {
    let put = StoreOp::Put {
        drop: owner.drop_id(1),
        message: crate::operations::message(1),
        blob: crate::operations::blob(1),
        expires: world.now + DAY,
    };
    let now = world.now;
    one(&mut *world.store, now, put);
}

/// Nobody takes the place of an owner of age who is served, also not by writing to oneself.
#[test]
fn who_is_of_age_and_served_stays() {
    let limits = Limits {
        active_mailboxes: 2,
        ..Limits::default()
    };
    let mut world = World::with(3, limits, StoreLimits::default());
    let mut owners: Vec<Owner> = (1..=3).map(Owner::new).collect();
    for owner in &owners {
        opened_before(&mut world, owner, OF_AGE);
    }
    for owner in &mut owners[..2] {
        slow(&mut world, owner);
    }
    assert!(!is_served(&mut world, &mut owners[2]));
    let mut written = Owner::new(9);
    opened_before(&mut world, &written, Span::ZERO);
    write_to(&mut world, &written);
    assert!(!is_served(&mut world, &mut written));
    assert_eq!(world.provider.counters().mailboxes.evicted, 0);
    // Once one of them has no reply blocks left, the third has its place.
    world.run(Span::from_secs(120));
    assert!(is_served(&mut world, &mut owners[2]));
    assert_eq!(world.provider.counters().mailboxes.evicted, 1);
}

/// Ten thousand mailboxes that nobody uses would take up all room for 90 days.
#[test]
fn a_client_that_makes_all_mailboxes_keeps_newcomers_out_for_25_hours_at_most() {
    let quotas = StoreLimits {
        mailboxes: 40,
        ..StoreLimits::default()
    };
    let mut world = World::with(4, Limits::default(), quotas);
    for n in 1..=40 {
        let mut one = Owner::new(n);
        world.attend(&mut one, &[], &[DropChange::Register(set(1))]);
        world.attend(&mut one, &[], &[]);
        world.run(Span::from_millis(294));
    }
    assert_eq!(world.store.usage().mailboxes, 40);
    let mut newcomer = Owner::new(200);
    assert!(!is_served(&mut world, &mut newcomer));
    world.run(OF_AGE + Span::from_secs(120));
    assert_eq!(world.store.usage().mailboxes, 0);
    assert!(is_served(&mut world, &mut newcomer));
}

#[test]
fn no_more_mailboxes_are_opened_in_an_hour_than_may_be() {
    let limits = Limits {
        openings_per_hour: 5,
        ..Limits::default()
    };
    let mut world = World::with(5, limits, StoreLimits::default());
    for n in 1..=20 {
        world.attend(&mut Owner::new(n), &[], &[]);
        world.run(Span::from_millis(294));
    }
    assert_eq!(world.store.usage().mailboxes, 5);
    assert_eq!(world.dropped, [DropReason::MailboxOpenings; 15]);
    assert_eq!(world.provider.counters().mailboxes.opened, 5);
}
