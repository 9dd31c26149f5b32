//! What a client's clock, connection and disk do not tell anybody.

use std::collections::BTreeMap;

use shoal_client::{Alarm, ClientEvent, SendError, Table};
use shoal_proto::{Span, Time};

use crate::world::{Answer, World, params, secs};

const ALICE: usize = 0;
const BOB: usize = 1;

/// All that providers and contacts get is the same, byte for byte, whether a clock shows some seconds
/// more or less of the same minute.
#[test]
fn no_value_on_the_wire_is_a_reading_of_the_clock_finer_than_minutes() {
    let seen = |later: f64| {
        let mut world = World::new(1, params(3600));
        world.now += secs(later);
        world.add(0, "quick");
        world.add(1, "calm");
        world.attach(ALICE, 1);
        world.attach(BOB, 2);
        let to = world.invitation(BOB);
        world.send(ALICE, 1, &to, &[7; 3_000]);
        world.run(secs(20.0));
        let sent_at = world.hosts[BOB]
            .events
            .iter()
            .find_map(|(_, event)| match event {
                ClientEvent::Received { sent_at, .. } => Some(*sent_at),
                _ => None,
            });
        let deposits = world.deposits.iter().map(|deposit| {
            // Of what is sealed, the session's keys are drawn anew.
            let ids = (deposit.drop, deposit.message);
            (ids, deposit.blob.len(), deposit.surb.clone())
        });
        let sets: Vec<_> = world.drop_sets.iter().map(|(_, set)| set.clone()).collect();
        (
            sent_at.expect("received"),
            deposits.collect::<Vec<_>>(),
            world.generations.clone(),
            sets,
            to.to_string(),
        )
    };
    let (early, late) = (seen(0.0), seen(23.456_789));
    assert_eq!(early.0.as_micros() % 60_000_000, 0);
    assert!(early.1.len() >= 3 && early.2.len() == 2);
    assert!(early == late);
    // Nor do generations say a time that a mailbox could compare with others.
    assert!(early.2.iter().all(|generation| *generation < 1 << 33));
}

#[test]
fn a_copy_of_old_rows_is_listened_to_again() {
    let mut world = World::new(2, params(3600));
    world.add(0, "quick");
    world.add(1, "calm");
    world.attach(ALICE, 1);
    world.attach(BOB, 2);
    world.run(secs(5.0));
    let old = world.hosts[BOB].rows.clone();
    for _ in 0..6 {
        world.detach(BOB);
        world.attach(BOB, 2);
        world.run(secs(5.0));
    }
    let newer = |world: &World| {
        let alarm = ClientEvent::Alarm(Alarm::NewerCopy);
        world.hosts[BOB].count(|event| *event == alarm)
    };
    assert_eq!(newer(&world), 0);
    world.hosts[BOB].rows = old;
    world.crash(BOB);
    world.attach(BOB, 2);
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, b"are you there?");
    assert!(world.run_until(secs(40.0), |world| !world.hosts[BOB].texts().is_empty()));
    assert_eq!(newer(&world), 1, "told once");
    let grown = world
        .generations
        .windows(2)
        .filter(|pair| pair[0] < pair[1]);
    assert!(grown.count() >= 7);
}

/// The older one hears of it, says so, and its link shows nothing of it.
#[test]
fn a_copy_that_comes_later_takes_the_mailbox_over_for_good() {
    let mut world = World::new(4, params(3600));
    world.add(0, "quick");
    world.add(1, "calm");
    world.attach(ALICE, 1);
    world.attach(BOB, 2);
    world.run(secs(20.0));
    let superseded = |world: &World, who: usize| {
        world.hosts[who]
            .client
            .alarms()
            .contains(&Alarm::Superseded)
    };
    let to_bob = world.invitation(BOB);
    let copy = world.copy(BOB);
    world.attach(copy, 2);
    let over = |world: &World| superseded(world, BOB);
    assert!(world.run_until(secs(30.0), over), "it says so within 30 s");
    assert_eq!(
        world.hosts[BOB].count(|event| *event == ClientEvent::Alarm(Alarm::Superseded)),
        1
    );
    // It goes on sending, and takes nothing more to send: a number could be used twice.
    let before = world.hosts[BOB].frames.len();
    let to = world.invitation(ALICE);
    world.send(BOB, 1, &to, b"which of us is it?");
    let refused = |event: &ClientEvent| {
        matches!(
            event,
            ClientEvent::Refused {
                reason: SendError::Superseded,
                ..
            }
        )
    };
    assert_eq!(world.hosts[BOB].count(refused), 1);
    // Nor does it take the mailbox back because its connection breaks.
    for _ in 0..3 {
        world.detach(BOB);
        world.attach(BOB, 2);
        world.run(secs(15.0));
    }
    let sent = world.hosts[BOB].frames.len() - before;
    assert!(sent > 45, "{sent} frames in 45 s at 1.9 a second");
    assert!(!superseded(&world, copy));
    world.send(ALICE, 1, &to_bob, b"to whoever has the keys");
    assert!(world.run_until(secs(40.0), |world| world.hosts[copy].texts().len() == 1));
    assert!(world.hosts[BOB].texts().is_empty());
    // Who starts it again wants to go on there.
    world.crash(BOB);
    world.attach(BOB, 2);
    assert!(world.run_until(secs(30.0), |world| superseded(world, copy)));
    assert!(!superseded(&world, BOB));
}

/// An own command that somebody on its way keeps and brings again is answered by the own generation.
#[test]
fn a_command_that_is_brought_again_takes_nothing_over() {
    let mut world = World::new(5, params(3600));
    world.add(0, "quick");
    world.attach(ALICE, 1);
    world.run(secs(5.0));
    // The mailbox refuses all from here on, by the generation it knows.
    world.deaf_mailboxes = true;
    world.run(secs(60.0));
    assert_eq!(
        world.hosts[ALICE].client.alarms(),
        [Alarm::StreamPaused(Span::from_secs(8))]
    );
}

#[test]
fn a_mailbox_that_lies_about_generations_moves_nothing() {
    let frames = |behind: fn(u64) -> u64| {
        let mut world = World::new(3, params(3600));
        world.add(0, "quick");
        world.attach(ALICE, 1);
        world.run(secs(5.0));
        let old = world.hosts[ALICE].rows.clone();
        (0..4).for_each(|_| world.attach(ALICE, 1));
        world.run(secs(5.0));
        world.hosts[ALICE].rows = old;
        world.behind = behind;
        world.crash(ALICE);
        world.attach(ALICE, 1);
        world.run(secs(30.0));
        // Version 1 byte, provider 32, seed 32, generation 8, states.
        let row = &world.hosts[ALICE].rows[&(Table::Mailbox, vec![0; 5])];
        let generation = u64::from_be_bytes(row[65..73].try_into().unwrap());
        (world.hosts[ALICE].frames.clone(), generation)
    };
    let honest = frames(|generation| generation);
    for lie in [
        (|_| u64::MAX) as fn(u64) -> u64,
        |generation| generation + (1 << 41),
        |_| 0,
    ] {
        let told = frames(lie);
        assert_eq!(told.0, honest.0, "no frame leaves sooner or later");
        assert!(told.1 < 1 << 33, "and no number is used up: {}", told.1);
    }
}

/// One try was made, and its answer is lost; the next is due in 20 to 60 s.
fn tried(seed: u64) -> World {
    let mut world = World::new(seed, params(3600));
    let mut config = shoal_client::ClientConfig::new(world.providers()[0]);
    config.profile = "quick".into();
    config.retry_after = Some(Span::from_secs(40));
    config.retry_max = Span::from_secs(40);
    world.add_with(config);
    world.add(1, "calm");
    world.attach(ALICE, 1);
    world.answer = Answer::Silent;
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, b"hello");
    assert!(world.run_until(secs(10.0), |world| !world.deposits.is_empty()));
    world
}

/// When the next try arrives.
fn next_try(world: &mut World) -> Time {
    let before = world.deposits.len();
    assert!(world.run_until(secs(150.0), |world| world.deposits.len() > before));
    world.deposits[before].at
}

/// Whoever cuts a client off looks at the mailboxes of those it may write to.
#[test]
fn what_cuts_a_client_off_moves_no_try() {
    let undisturbed: BTreeMap<u64, Time> = (0..4)
        .map(|seed| (seed, next_try(&mut tried(seed))))
        .collect();
    for (seed, undisturbed) in undisturbed {
        for restart in [false, true] {
            let mut world = tried(seed);
            for _ in 0..6 {
                world.run(secs(2.0));
                match restart {
                    true => world.crash(ALICE),
                    false => world.detach(ALICE),
                }
                world.run(secs(0.5));
                world.attach(ALICE, 1);
            }
            let disturbed = next_try(&mut world);
            let apart = disturbed
                .since(undisturbed)
                .max(undisturbed.since(disturbed));
            // The same instant, and then the next tick.
            assert!(
                apart < secs(4.0),
                "{apart} with seed {seed}, restart {restart}"
            );
        }
    }
}

/// What falls due while a client is cut off waits for the try after that, and does not show when it
/// is back.
#[test]
fn what_fell_due_meanwhile_does_not_leave_because_it_is_back() {
    let mut waits = Vec::new();
    for seed in 0..16 {
        let mut world = tried(seed);
        match seed % 2 {
            0 => world.crash(ALICE),
            _ => world.detach(ALICE),
        }
        world.run(secs(70.0));
        world.attach(ALICE, 1);
        let back = world.now;
        waits.push(next_try(&mut world).since(back).as_secs_f64());
    }
    // Spread over the wait of 20 to 60 s: what is left of it has a mean of 22 s. A try because it is
    // back comes within a second.
    let mean = waits.iter().sum::<f64>() / 16.0;
    let at_once = waits.iter().filter(|wait| **wait < 2.0).count();
    assert!((12.0..32.0).contains(&mean) && at_once < 4, "{waits:?}");
}
