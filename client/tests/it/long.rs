//! Messages of several packets: any as many of their fragments as have text are enough.

use shoal_client::{ClientConfig, ClientEvent, ClientInput, MessageState, Table};
use shoal_proto::{MessageId, Span};

use crate::world::{Answer, World, params, random_bytes, secs};

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

/// Text of so many fragments.
const TWENTY: usize = 20 * 1_169;

/// Alice, who tries nothing again for an hour, Bob and Carol; all are attached.
fn three(seed: u64) -> World {
    let mut world = World::new(seed, params(3600));
    let mut config = ClientConfig::new(world.providers()[0]);
    config.profile = "quick".into();
    config.retry_after = Some(Span::from_secs(3600));
    config.retry_max = Span::from_secs(3600);
    world.add_with(config);
    world.add(1, "calm");
    world.add(1, "calm");
    for who in [ALICE, BOB, CAROL] {
        world.attach(who, 1 + who % 2);
    }
    world
}

fn rows(world: &World, who: usize, table: Table) -> usize {
    let tables = world.hosts[who].rows.keys().map(|(table, _)| *table);
    tables.filter(|it| *it == table).count()
}

fn stored(world: &World) -> bool {
    world.hosts[ALICE].count(|event| matches!(event, ClientEvent::Stored { .. })) > 0
}

fn told(world: &World, who: usize) -> Vec<MessageId> {
    let events = world.hosts[who].events.iter();
    let told = events.filter_map(|(_, event)| match event {
        ClientEvent::Received { message, .. } => Some(*message),
        _ => None,
    });
    told.collect()
}

/// The number, from 0, of each real packet's message and fragment, in the order in which they left.
fn sent(world: &World) -> Vec<(MessageId, u16)> {
    let events = world.hosts[ALICE].events.iter();
    let sent = events.filter_map(|(_, event)| match event {
        ClientEvent::Sent {
            message, fragment, ..
        } => Some((*message, *fragment)),
        _ => None,
    });
    sent.collect()
}

/// One in twenty packets is lost, and not one is sent twice.
#[test]
fn twenty_fragments_arrive_and_are_stored_in_spite_of_loss_without_another_try() {
    let mut lost = 0;
    for seed in 0..8 {
        let mut world = three(seed);
        world.loss = 0.05;
        let to = world.invitation(BOB);
        let text = random_bytes(&mut world.rng, TWENTY);
        world.send(ALICE, 1, &to, &text);
        let come = |world: &World| !world.hosts[BOB].texts().is_empty() && stored(world);
        assert!(world.run_until(secs(60.0), come), "{seed}");
        assert!(world.hosts[BOB].texts()[0] == text);
        let counters = world.hosts[ALICE].client.counters();
        assert_eq!(counters.retransmissions, 0);
        lost += counters.sent_real as usize - world.deposits.len();
    }
    assert!(lost > 4, "{lost} deposits were lost: that is no test");
}

#[test]
fn what_is_stored_with_enough_of_it_leaves_nothing_behind() {
    let mut world = three(11);
    // Bob is away, so that all that is stored stays there.
    world.detach(BOB);
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, &[7; TWENTY]);
    let status = |world: &World| world.hosts[ALICE].client.sent_messages().next().unwrap();
    assert_eq!((status(&world).fragments, status(&world).stored), (20, 0));
    assert_eq!(rows(&world, ALICE, Table::Outbox), 26);
    let mut before = 0;
    while !stored(&world) {
        let now = status(&world).stored;
        assert!((before..20).contains(&now), "{now} after {before}");
        assert!(status(&world).state != MessageState::Stored);
        before = now;
        world.run(secs(0.05));
    }
    let now = status(&world);
    assert_eq!((now.state, now.stored), (MessageState::Stored, 20));
    for table in [Table::Outbox, Table::Retry] {
        assert_eq!(rows(&world, ALICE, table), 0, "{table}");
    }
    assert_eq!(world.hosts[ALICE].client.counters().outbox_fragments, 0);
    let left = sent(&world).len();
    // Text first, and parity behind it.
    let indices: Vec<u16> = sent(&world).iter().map(|(_, index)| *index).collect();
    assert_eq!(indices, (0..left as u16).collect::<Vec<_>>());
    assert!((20..=26).contains(&left), "{left}");
    world.run(secs(60.0));
    assert_eq!(sent(&world).len(), left, "and nothing more leaves");
    world.crash(ALICE);
    let now = status(&world);
    assert_eq!((now.state, now.stored), (MessageState::Stored, 20));
}

/// What comes of a message that was told, that was read, and that was read before a restart.
#[test]
fn what_comes_late_is_acknowledged_and_begins_no_message() {
    for (seed, restarts) in [(21, false), (22, true)] {
        let mut world = three(seed);
        // The sender does not hear that it is stored, and so all of it is there: eight and three.
        world.answer = Answer::Late;
        world.detach(BOB);
        let to = world.invitation(BOB);
        world.send(ALICE, 1, &to, &[7; 8 * 1_169]);
        assert!(world.run_until(secs(60.0), |world| world.deposits.len() == 11));
        let deposits = world.deposits.clone();
        world.attach(BOB, 2);
        assert!(world.run_until(secs(60.0), |world| told(world, BOB).len() == 1));
        let message = told(&world, BOB)[0];
        assert!(world.run_until(secs(60.0), |world| world.stored() == 0));
        world.input(BOB, ClientInput::Read { message });
        let counters = world.hosts[BOB].client.counters();
        assert!(counters.spare >= 3, "{}", counters.spare);
        assert_eq!(rows(&world, BOB, Table::Inbox), 0);
        if restarts {
            world.crash(BOB);
            world.attach(BOB, 2);
        }
        // What was not acknowledged for good comes once more.
        for deposit in &deposits {
            world.replay(deposit);
        }
        assert!(world.run_until(secs(60.0), |world| world.stored() == 0));
        assert_eq!(rows(&world, BOB, Table::Partial), 0);
        let counters = world.hosts[BOB].client.counters();
        assert!(counters.spare + counters.duplicates >= 11);
        assert_eq!((told(&world, BOB).len(), counters.undecryptable), (1, 0));
    }
}

#[test]
fn a_short_message_to_somebody_else_leaves_and_arrives_before_a_long_one() {
    let mut world = three(31);
    let (bob, carol) = (world.invitation(BOB), world.invitation(CAROL));
    world.send(ALICE, 1, &bob, &[7; TWENTY]);
    world.send(ALICE, 2, &carol, b"short");
    let come = |world: &World| !world.hosts[CAROL].texts().is_empty();
    assert!(world.run_until(secs(8.0), come));
    assert!(world.hosts[BOB].texts().is_empty());
    // It has the second turn.
    let order = sent(&world);
    assert_ne!(order[0].0, order[1].0);
    let come = |world: &World| !world.hosts[BOB].texts().is_empty();
    assert!(world.run_until(secs(60.0), come));
}
