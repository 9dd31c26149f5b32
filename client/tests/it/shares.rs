//! Nobody fills an inbox for the others.

use shoal_client::{Alarm, ClientEvent, ClientInput, Limits};

use crate::world::{World, params, secs};

/// A receiver with these limits, and so many others who write to it.
fn receiver(seed: u64, limits: Limits, senders: usize) -> World {
    let mut world = World::new(seed, params(3600));
    let mut config = shoal_client::ClientConfig::new(world.providers()[1]);
    config.profile = "calm".into();
    config.limits = limits;
    world.add_with(config);
    world.attach(0, 2);
    for who in 1..=senders {
        world.add(0, "quick");
        world.attach(who, 1);
    }
    world
}

fn share_full(world: &World) -> usize {
    world.hosts[0].count(|event| *event == ClientEvent::Alarm(Alarm::ShareFull))
}

#[test]
fn one_sender_fills_a_share_and_others_come_through() {
    let limits = Limits {
        unread: 4,
        unread_of_one: 2,
        ..Limits::default()
    };
    let mut world = receiver(1, limits, 2);
    let to = world.invitation(0);
    // The first two in their order: a later one in the share would wait for those before it.
    for request in 0..2 {
        world.send(1, request, &to, b"flood");
    }
    assert!(world.run_until(secs(30.0), |world| world.hosts[0].texts().len() == 2));
    for request in 2..6 {
        world.send(1, request, &to, b"flood");
    }
    world.run(secs(30.0));
    assert_eq!(world.hosts[0].texts(), vec![b"flood".to_vec(); 2]);
    assert_eq!((world.stored(), share_full(&world)), (4, 1));
    world.send(2, 1, &to, b"me too");
    let came = |world: &World| world.hosts[0].texts().contains(&b"me too".to_vec());
    assert!(world.run_until(secs(30.0), came));
    // What was left at the mailbox comes when there is room: nothing is lost.
    let reads = |world: &mut World| {
        let messages = world.hosts[0]
            .events
            .iter()
            .filter_map(|(_, event)| match event {
                ClientEvent::Received { message, .. } => Some(*message),
                _ => None,
            });
        for message in messages.collect::<Vec<_>>() {
            world.input(0, ClientInput::Read { message });
        }
    };
    for _ in 0..3 {
        reads(&mut world);
        world.run(secs(20.0));
    }
    assert_eq!(world.hosts[0].texts().len(), 7);
}

#[test]
fn strangers_fill_a_share_together_and_contacts_come_through() {
    let limits = Limits {
        unread_of_strangers: 2,
        ..Limits::default()
    };
    let mut world = receiver(2, limits, 4);
    let (to, contact) = (world.invitation(0), world.invitation(4));
    for who in 1..=3 {
        world.send(who, 1, &to, b"you don't know me");
    }
    world.run(secs(30.0));
    assert_eq!(world.hosts[0].texts().len(), 2);
    assert_eq!((world.stored(), share_full(&world)), (1, 1));
    world.send(0, 1, &contact, b"write to me");
    world.send(4, 1, &to, b"here I am");
    let came = |world: &World| world.hosts[0].texts().contains(&b"here I am".to_vec());
    assert!(world.run_until(secs(30.0), came));
}

/// Parts of messages that never become whole, by somebody who is many.
#[test]
fn strangers_parts_push_out_no_contacts() {
    let limits = Limits {
        partial_fragments: 12,
        partial_of_strangers: 4,
        ..Limits::default()
    };
    let mut world = receiver(3, limits, 9);
    let (to, contact) = (world.invitation(0), world.invitation(1));
    world.send(0, 1, &contact, b"write to me");
    // Some of the eight parts that it takes are here, and then the contact is cut off.
    world.send(1, 1, &to, &[7; 9_000]);
    let sent = |world: &World| world.hosts[1].client.counters().sent_real >= 5;
    assert!(world.run_until(secs(60.0), sent));
    world.detach(1);
    for who in 2..=9 {
        world.send(who, 1, &to, &[8; 2_600]);
        let sent = |world: &World| world.hosts[who].client.counters().sent_real >= 1;
        assert!(world.run_until(secs(60.0), sent));
        world.detach(who);
    }
    world.run(secs(20.0));
    assert!(world.hosts[0].client.counters().partial_dropped > 0);
    assert!(world.hosts[0].texts().is_empty());
    world.attach(1, 1);
    let whole = |world: &World| world.hosts[0].texts().contains(&vec![7; 9_000]);
    assert!(world.run_until(secs(90.0), whole));
}
