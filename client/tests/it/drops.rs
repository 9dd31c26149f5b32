//! The drop ids for contacts' answers, and what the mailbox learns by them.

use std::collections::BTreeSet;

use shoal_client::{Alarm, ClientEvent};
use shoal_packet::command::DropChange;

use crate::world::{World, one_layer, secs};

const ALICE: usize = 0;
const BOB: usize = 1;

/// Alice, with her mailbox at provider 0, and Bob, who is attached and writes back to nobody.
fn two(seed: u64) -> World {
    let mut world = World::new(seed, one_layer(3600));
    world.add(0, "quick");
    world.add(1, "calm");
    world.attach(ALICE, 1);
    world
}

fn pending(world: &World) -> u64 {
    world.hosts[ALICE].client.counters().drops_unconfirmed
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
        let set = |change: &DropChange| match change {
            DropChange::Register(set) => *set.secret(),
            DropChange::Revoke(_) | DropChange::Close => panic!("nothing is revoked"),
        };
        let sets = std::mem::take(&mut world.drop_sets);
        let secrets = |said: &Vec<DropChange>| said.iter().map(set).collect::<Vec<_>>();
        sets.iter()
            .map(|(_, said)| secrets(said))
            .collect::<Vec<_>>()
    };
    let (none, many) = (sets(0), sets(20));
    for sets in [&none, &many] {
        assert!(sets.iter().all(|said| said.len() == 1));
        // What is said again waits for the mailbox's report, and for no user.
        assert!((2..12).contains(&sets.len()), "{}", sets.len());
    }
    let in_order = |sets: Vec<Vec<[u8; 32]>>| sets.into_iter().collect::<BTreeSet<_>>();
    let (none, many) = (in_order(none), in_order(many));
    assert_eq!(none.len(), 2);
    assert!(none == many);
}

#[test]
fn the_sets_are_said_until_they_are_confirmed_and_known_after_a_restart() {
    let mut world = two(12);
    world.loss = 0.3;
    assert_eq!(pending(&world), 512);
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
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, b"hello");
    assert!(world.run_until(secs(30.0), |world| !world.hosts[BOB].texts().is_empty()));
    assert!(is_answered(&mut world, b"hello back"));
}

#[test]
fn a_refused_set_is_told_and_asked_for_again() {
    let mut world = two(15);
    world.strict = true;
    world.drop_limit = 300;
    assert!(world.run_until(secs(200.0), |world| pending(world) == 0));
    let counters = world.hosts[ALICE].client.counters();
    assert_eq!(counters.drops_refused, 256);
    let refused = |world: &World| raised(world, |alarm| *alarm == Alarm::DropIdsRefused);
    assert_eq!(refused(&world), 1);
    assert!(world.hosts[ALICE].client.is_open(), "the address works");
    world.attach(BOB, 2);
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, b"one");
    assert!(world.run_until(secs(60.0), |world| !world.hosts[BOB].texts().is_empty()));
    assert!(!is_answered(&mut world, b"waits"));
    world.set_view(10..=17);
    // There is room: it is asked for in each hour, and what was refused is tried again.
    world.drop_limit = 1024;
    let answered = |world: &World| world.hosts[ALICE].texts().iter().any(|it| it == b"waits");
    assert!(world.run_until(secs(6.0 * 3600.0), answered));
    let over = |event: &ClientEvent| matches!(event, ClientEvent::AlarmOver(alarm) if *alarm == Alarm::DropIdsRefused);
    assert_eq!(world.hosts[ALICE].count(over), 1);
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
    let to = world.invitation(BOB);
    world.send(ALICE, 301, &to, b"hello");
    assert!(world.run_until(secs(300.0), |world| !world.hosts[BOB].texts().is_empty()));
    assert!(is_answered(&mut world, b"hello back"));
}
