//! In which order messages are told, and what is told of those that do not come.

use shoal_client::ClientEvent;

use crate::world::{World, params, secs};

const ALICE: usize = 0;
const BOB: usize = 1;

/// Alice has written `count` texts, and all lie at Bob's mailbox.
fn written(seed: u64, count: u64) -> World {
    let mut world = World::new(seed, params(3600));
    world.add(0, "quick");
    world.add(1, "calm");
    world.attach(ALICE, 1);
    let to = world.invitation(BOB);
    for number in 0..count {
        world.send(ALICE, number, &to, number.to_string().as_bytes());
    }
    assert!(world.run_until(secs(120.0), |world| world.stored() as u64 == count));
    world
}

/// Text, sequence and gap of all that Bob was told.
fn told(world: &World) -> Vec<(u64, u64, u64)> {
    let events = world.hosts[BOB].events.iter();
    let told = events.filter_map(|(_, event)| match event {
        ClientEvent::Received {
            text,
            sequence,
            gap_before,
            ..
        } => {
            let text = std::str::from_utf8(text).expect("a number");
            Some((text.parse().expect("a number"), *sequence, *gap_before))
        }
        _ => None,
    });
    told.collect()
}

/// They lie at the mailbox by their ids, which are drawn, and are pushed so.
#[test]
fn forty_stored_messages_come_as_they_were_written() {
    let mut world = written(1, 40);
    world.attach(BOB, 2);
    assert!(world.run_until(secs(120.0), |world| told(world).len() == 40));
    let expected: Vec<_> = (0..40).map(|number| (number, number, 0)).collect();
    assert_eq!(told(&world), expected);
}

#[test]
fn a_message_that_never_comes_is_a_gap_after_a_minute_and_after_a_restart() {
    let mut world = written(2, 4);
    let lost = world.deposits[1].clone();
    world.lose(&lost);
    world.attach(BOB, 2);
    world.run(secs(40.0));
    let first = told(&world).len();
    assert!(first < 3, "what was written after it waits: {first}");
    assert!(world.run_until(secs(60.0), |world| told(world).len() == 3));
    let is_gap = |(_, _, gap): &&(u64, u64, u64)| *gap > 0;
    assert_eq!(told(&world).iter().filter(is_gap).count(), 1);
    let before = told(&world);
    // Unread, it is told again as it was.
    world.crash(BOB);
    assert_eq!(told(&world), [before.clone(), before].concat());
}

#[test]
fn what_waits_for_its_turn_waits_across_a_restart() {
    let mut world = written(3, 3);
    let lost = world.deposits[0].clone();
    world.lose(&lost);
    world.attach(BOB, 2);
    world.run(secs(30.0));
    let before = told(&world);
    assert!(before.len() < 2);
    world.crash(BOB);
    world.attach(BOB, 2);
    let all = before.len() * 2 + (2 - before.len());
    assert!(world.run_until(secs(60.0), |world| told(world).len() == all));
    // Late, and told at once, after those that were written after it.
    world.replay(&lost);
    assert!(world.run_until(secs(20.0), |world| told(world).len() == all + 1));
    let (_, sequence, gap) = *told(&world).last().expect("it came");
    assert!(sequence < 2 && gap == 0, "{sequence} {gap}");
}
