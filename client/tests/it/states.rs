//! What becomes of a message: delivered, read, vanished; and what is for programs.

use shoal_client::{ClientEvent, ClientInput, ContactChange, MessageState, Table, UserRequest};
use shoal_proto::MessageId;

use crate::contacts::key;
use crate::world::{World, params, secs};

const ALICE: usize = 0;
const BOB: usize = 1;

/// Both know each other and are online.
fn pair(seed: u64) -> World {
    let mut world = World::new(seed, params(3600));
    world.add(0, "quick");
    world.add(1, "quick");
    world.attach(ALICE, 1);
    world.attach(BOB, 2);
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, b"hello");
    assert!(world.run_until(secs(60.0), |world| world.hosts[BOB].texts().len() == 1));
    let alice = key(&world, ALICE);
    world.send(BOB, 1, &alice, b"hello");
    assert!(world.run_until(secs(60.0), |world| world.hosts[ALICE].texts().len() == 1));
    world
}

fn ask(world: &mut World, who: usize, what: UserRequest) {
    world.input(who, ClientInput::Ask { request: 9, what });
}

fn change(world: &mut World, who: usize, of: usize, change: ContactChange) {
    let contact = key(world, of);
    ask(world, who, UserRequest::Change { contact, change });
}

/// Alice writes, and Bob has it. Its id.
fn write(world: &mut World, text: &str) -> MessageId {
    let to = key(world, BOB);
    world.send(ALICE, 2, &to, text.as_bytes());
    let accepted = world.hosts[ALICE].events.iter().rev();
    let message = accepted.clone().find_map(|(_, event)| match event {
        ClientEvent::Accepted { message, .. } => Some(*message),
        _ => None,
    });
    let come = |world: &World| world.hosts[BOB].texts().last().unwrap() == text.as_bytes();
    assert!(world.run_until(secs(60.0), come));
    message.unwrap()
}

fn state(world: &World, message: &MessageId) -> MessageState {
    world.hosts[ALICE].client.status(message).unwrap().state
}

#[test]
fn who_is_verified_hears_within_ten_minutes_that_a_message_is_here_and_nobody_else() {
    let mut world = pair(1);
    // Of what came before, and from somebody who is not verified: nothing.
    let before = write(&mut world, "before");
    world.run(secs(700.0));
    assert_eq!(state(&world, &before), MessageState::Stored);
    let notices = |world: &World| world.hosts[ALICE].client.counters().notices;
    assert_eq!(notices(&world), 0);

    change(&mut world, BOB, ALICE, ContactChange::Verified(true));
    let (one, two) = (write(&mut world, "one"), write(&mut world, "two"));
    // It is on the disk: a restart keeps it.
    world.crash(BOB);
    world.attach(BOB, 2);
    let came = world.now;
    let delivered = |world: &World| state(world, &two) == MessageState::Delivered;
    assert!(world.run_until(secs(660.0), delivered));
    assert!(world.now.since(came) > secs(5.0), "not at once");
    assert_eq!(
        state(&world, &one),
        MessageState::Delivered,
        "by one notice"
    );
    let told = |event: &ClientEvent| matches!(event, ClientEvent::Delivered { read: false, .. });
    assert_eq!(world.hosts[ALICE].count(told), 2);
    assert_eq!(state(&world, &before), MessageState::Stored);
    world.run(secs(60.0));
    let rows = world.hosts[BOB].rows.keys();
    assert_eq!(
        rows.filter(|(table, _)| *table == Table::Receipt).count(),
        0
    );
    // It stays so over a restart.
    world.crash(ALICE);
    assert_eq!(state(&world, &one), MessageState::Delivered);
}

#[test]
fn that_a_message_was_read_is_told_if_both_want_it() {
    for (alice, bob) in [(true, true), (true, false), (false, true)] {
        let mut world = pair(2);
        change(&mut world, ALICE, BOB, ContactChange::Reads(alice));
        change(&mut world, BOB, ALICE, ContactChange::Reads(bob));
        let message = write(&mut world, "read me");
        world.input(BOB, ClientInput::Read { message });
        world.run(secs(700.0));
        let expected = match (alice, bob) {
            (true, true) => MessageState::Read,
            // It was told, and she does not want to know that.
            (false, true) => MessageState::Delivered,
            _ => MessageState::Stored,
        };
        assert_eq!(state(&world, &message), expected);
    }
}

#[test]
fn a_message_that_was_not_read_vanishes_at_its_time_at_both_ends() {
    let mut world = pair(4);
    let (to, text) = (key(&world, BOB), b"burn this".to_vec());
    let life = Some(secs(300.0));
    ask(&mut world, ALICE, UserRequest::Send { to, text, life });
    let come = |world: &World| world.hosts[BOB].texts().last().unwrap() == b"burn this";
    assert!(world.run_until(secs(60.0), come));
    let expires = world.hosts[BOB]
        .events
        .iter()
        .rev()
        .find_map(|(_, event)| match event {
            ClientEvent::Received { expires, .. } => Some(*expires),
            _ => None,
        });
    let at = expires.unwrap().unwrap();
    let inbox = |world: &World| {
        let rows = world.hosts[BOB].rows.keys();
        rows.filter(|(table, _)| *table == Table::Inbox).count()
    };
    assert_eq!(inbox(&world), 2);
    world.run(at.since(world.now) - secs(1.0));
    assert_eq!(inbox(&world), 2);
    world.run(secs(2.0));
    assert_eq!(inbox(&world), 1);
    let gone = |event: &ClientEvent| matches!(event, ClientEvent::Vanished { .. });
    assert_eq!(world.hosts[BOB].count(gone), 1);
    // Also if the process was down when its time came.
    let (to, text) = (key(&world, BOB), b"and this".to_vec());
    ask(&mut world, ALICE, UserRequest::Send { to, text, life });
    assert!(world.run_until(secs(60.0), |world| inbox(world) == 2));
    world.detach(BOB);
    world.now += secs(400.0);
    world.crash(BOB);
    assert_eq!(inbox(&world), 1);
}

/// What is for programs waits for nothing, and no text waits for it.
#[test]
fn what_is_for_programs_comes_beside_the_texts() {
    let mut world = pair(5);
    let to = key(&world, BOB);
    for fill in 0..3 {
        let data = vec![fill; 6_000];
        ask(&mut world, ALICE, UserRequest::SendData { to, data });
    }
    write(&mut world, "meanwhile");
    let parts = |world: &World| -> Vec<(MessageId, Vec<u8>)> {
        let events = world.hosts[BOB].events.iter();
        let parts = events.filter_map(|(_, event)| match event {
            ClientEvent::ReceivedData { message, data, .. } => Some((*message, data.to_vec())),
            _ => None,
        });
        parts.collect()
    };
    assert!(parts(&world).len() < 3, "the text did not wait");
    assert!(world.run_until(secs(120.0), |world| parts(world).len() == 3));
    let mut texts: Vec<_> = parts(&world).into_iter().map(|(_, part)| part).collect();
    texts.sort_unstable();
    assert!(texts == [0, 1, 2].map(|fill| vec![fill; 6_000]));
    // Told again until they are taken, and gone then; the sender lists none of them.
    world.hosts[BOB].events.clear();
    world.crash(BOB);
    assert_eq!(parts(&world).len(), 3);
    for (message, _) in parts(&world) {
        world.input(BOB, ClientInput::Read { message });
    }
    world.crash(BOB);
    assert_eq!(parts(&world).len(), 3, "no more than before");
    let texts = world.hosts[ALICE].client.sent_messages();
    assert_eq!(texts.count(), 2);
    // The numbers of texts go on.
    let gaps = world.hosts[BOB].count(|event| {
        matches!(
            event,
            ClientEvent::Received {
                gap_before: 1..,
                ..
            }
        )
    });
    assert_eq!(gaps, 0);
}
