//! The drop ids for contacts' answers, and what the mailbox learns by them.

use std::collections::BTreeSet;

use shoal_client::{Alarm, ClientEvent};
use shoal_packet::command::DropChange;
use shoal_proto::DropId;

use crate::world::{World, params, secs};

const ALICE: usize = 0;
const BOB: usize = 1;

/// Alice, with her mailbox at provider 0, and Bob, who is attached and writes back to nobody.
fn two(seed: u64) -> World {
    let mut world = World::new(seed, params(3600));
    world.add(0, "quick");
    world.add(1, "calm");
    world.attach(ALICE, 1);
    world
}

fn pending(world: &World) -> u64 {
    world.hosts[ALICE].client.counters().pool_unconfirmed
}

fn raised(world: &World, is: fn(&Alarm) -> bool) -> usize {
    world.hosts[ALICE].count(|event| matches!(event, ClientEvent::Alarm(it) if is(it)))
}

/// The text that Bob got last is answered, and Alice has the answer.
fn is_answered(world: &mut World, text: &[u8]) -> bool {
    let reply_to = world.hosts[BOB].received().last().unwrap().1;
    world.send(BOB, 99, &reply_to, text);
    world.run_until(secs(100.0), |world| {
        world.hosts[ALICE].texts().iter().any(|it| it == text)
    })
}

#[test]
fn the_mailbox_learns_the_same_whether_there_are_contacts_or_not() {
    let sets = |contacts: u64| {
        let mut world = two(11);
        for request in 0..contacts {
            let to = world.stranger(1);
            world.send(ALICE, request, &to, b"hello");
            world.run(secs(3.0));
        }
        world.run(secs(120.0) - secs(3.0 * contacts as f64));
        assert_eq!(pending(&world), 0);
        let id = |change: &DropChange| match change {
            DropChange::Register(drop) => *drop,
            DropChange::Revoke(_) => panic!("nothing is revoked"),
        };
        let sets = std::mem::take(&mut world.drop_sets);
        let ids = |set: &Vec<DropChange>| set.iter().map(id).collect::<Vec<_>>();
        sets.iter().map(|(_, set)| ids(set)).collect::<Vec<_>>()
    };
    let (none, many) = (sets(0), sets(20));
    for sets in [&none, &many] {
        assert!(sets.iter().all(|set| set.len() == 4));
        // What is said twice waits for the mailbox's report, and for no user.
        assert!((64..80).contains(&sets.len()), "{}", sets.len());
    }
    // All of the pool, in packets that overtake each other.
    let in_order = |sets: Vec<Vec<DropId>>| sets.into_iter().collect::<BTreeSet<_>>();
    let (none, many) = (in_order(none), in_order(many));
    assert_eq!(none.len(), 64);
    assert!(none == many);
}

#[test]
fn the_pool_is_said_until_it_is_confirmed_and_known_after_a_restart() {
    let mut world = two(12);
    world.loss = 0.3;
    assert_eq!(pending(&world), 256);
    assert!(world.run_until(secs(400.0), |world| pending(world) == 0));
    world.loss = 0.0;
    let said = world.drop_sets.len();
    world.crash(ALICE);
    world.attach(ALICE, 1);
    world.run(secs(30.0));
    assert_eq!((pending(&world), world.drop_sets.len()), (0, said));
}

#[test]
fn the_first_contact_can_answer_at_once() {
    let mut world = two(13);
    world.attach(BOB, 2);
    let to = world.address(BOB);
    world.send(ALICE, 1, &to, b"hello");
    assert!(world.run_until(secs(30.0), |world| !world.hosts[BOB].texts().is_empty()));
    assert!(pending(&world) > 0, "long before the pool is known");
    assert!(is_answered(&mut world, b"hello back"));
}

#[test]
fn refused_drop_ids_are_told_and_given_to_nobody() {
    let mut world = two(14);
    world.drop_limit = 10;
    assert!(world.run_until(secs(200.0), |world| pending(world) == 0));
    let counters = world.hosts[ALICE].client.counters();
    // Two sets are known; of the third there was room for a half.
    assert_eq!(counters.pool_refused, 256 - 8);
    assert_eq!(raised(&world, |alarm| *alarm == Alarm::DropIdsRefused), 1);
    world.attach(BOB, 2);
    for request in 0..8 {
        let to = world.stranger(1);
        world.send(ALICE, request, &to, b"hello");
    }
    let shared = |world: &World| raised(world, |alarm| *alarm == Alarm::DropIdsShared);
    assert_eq!(shared(&world), 0);
    // The ninth has one that another has too, the user is told, and it works.
    let to = world.address(BOB);
    world.send(ALICE, 9, &to, b"hello");
    assert_eq!(shared(&world), 1);
    assert!(world.run_until(secs(60.0), |world| !world.hosts[BOB].texts().is_empty()));
    assert!(is_answered(&mut world, b"hello back"));
}

#[test]
fn who_has_a_refused_drop_id_gets_another_with_the_next_message() {
    let mut world = two(15);
    world.attach(BOB, 2);
    let to = world.address(BOB);
    // Bob gets one of the first set before the mailbox has said that it has no room.
    world.drop_limit = 0;
    world.send(ALICE, 1, &to, b"one");
    assert!(world.run_until(secs(60.0), |world| !world.hosts[BOB].texts().is_empty()));
    assert!(!is_answered(&mut world, b"in vain"));
    assert!(world.run_until(secs(200.0), |world| pending(world) == 0));
    // All are refused: the one in the address serves, since somebody has used it.
    let own = world.hosts[ALICE].client.address(world.now);
    world.send(BOB, 1, &own, b"by the address");
    world.send(ALICE, 2, &to, b"two");
    assert!(world.run_until(secs(60.0), |world| world.hosts[BOB].texts().len() == 2));
    assert!(is_answered(&mut world, b"hello back"));
}

#[test]
fn more_contacts_than_drop_ids_lose_nothing() {
    let mut world = two(16);
    assert!(world.run_until(secs(200.0), |world| pending(world) == 0));
    world.detach(ALICE);
    for request in 0..300 {
        let to = world.stranger(1);
        world.send(ALICE, request, &to, b"hello");
    }
    assert_eq!(raised(&world, |alarm| *alarm == Alarm::DropIdsShared), 1);
    assert_eq!(raised(&world, |alarm| *alarm == Alarm::DropIdsRefused), 0);
    world.attach(ALICE, 1);
    world.attach(BOB, 2);
    let to = world.address(BOB);
    world.send(ALICE, 301, &to, b"hello");
    assert!(world.run_until(secs(300.0), |world| !world.hosts[BOB].texts().is_empty()));
    assert!(is_answered(&mut world, b"hello back"));
}
