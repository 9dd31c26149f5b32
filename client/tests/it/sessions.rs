//! Sessions between whole clients.

use shoal_client::Table;

use crate::world::{World, params, secs};

const ALICE: usize = 0;
const BOB: usize = 1;

fn pair(seed: u64) -> World {
    let mut world = World::new(seed, params(3600));
    world.add(0, "quick");
    world.add(1, "quick");
    world.attach(ALICE, 1);
    world.attach(BOB, 0);
    world
}

/// Both write in turns, so many times.
fn talk(world: &mut World, turns: u64) {
    for turn in 0..turns {
        for (from, whom) in [(ALICE, BOB), (BOB, ALICE)] {
            let to = world.invitation(whom);
            world.send(from, turn, &to, format!("{from} {turn}").as_bytes());
            let text = format!("{from} {turn}").into_bytes();
            let come = |world: &World| world.hosts[whom].texts().last() == Some(&text);
            assert!(world.run_until(secs(120.0), come), "{turn}");
        }
    }
}

/// What a provider kept is of no use to who takes the reader's keys and rows, but for the last turns.
#[test]
fn who_takes_everything_later_does_not_read_what_was_read() {
    let mut world = pair(1);
    // Far enough in that a ratchet is kept at each turn.
    talk(&mut world, 7);
    let to = world.invitation(BOB);
    assert!(world.run_until(secs(60.0), |world| world.stored() == 0));
    world.deposits.clear();
    world.send(ALICE, 99, &to, b"burn this");
    let come = |world: &World| {
        world.hosts[BOB]
            .texts()
            .last()
            .is_some_and(|it| it == b"burn this")
    };
    assert!(world.run_until(secs(60.0), come));
    assert!(world.run_until(secs(60.0), |world| world.stored() == 0));
    let kept = world.deposits.clone();
    assert!(!kept.is_empty());
    talk(&mut world, 12);
    // The thief has nothing that says what was read, and all that opens something.
    let own = |table: &Table| {
        let memory = [Table::Seen, Table::Done, Table::Order, Table::Inbox];
        !memory.contains(table)
    };
    world.hosts[BOB].rows.retain(|(table, _), _| own(table));
    world.hosts[BOB].events.clear();
    world.crash(BOB);
    world.attach(BOB, 0);
    for deposit in &kept {
        world.replay(deposit);
    }
    assert!(world.run_until(secs(120.0), |world| world.stored() == 0));
    assert!(world.hosts[BOB].texts().is_empty());
    let counters = world.hosts[BOB].client.counters();
    assert!(counters.duplicates + counters.undecryptable >= kept.len() as u64);
}

/// Keys of the outer layer are agreed on by the way, again after a hundred messages, and no text is lost by it, also if
/// processes die.
#[test]
fn keys_of_the_outer_layer_are_agreed_on_by_the_way() {
    let mut world = pair(3);
    world.loss = 0.02;
    talk(&mut world, 4);
    let controls = |world: &World, who: usize| world.hosts[who].client.counters().controls;
    let agreed = |world: &World| controls(world, ALICE) >= 1 && controls(world, BOB) >= 1;
    assert!(world.run_until(secs(120.0), agreed));
    // Nothing is told of keys for itself.
    let quiet = controls(&world, ALICE) + controls(&world, BOB);
    world.run(secs(60.0));
    assert_eq!(controls(&world, ALICE) + controls(&world, BOB), quiet);
    // Those of processes that have died since.
    let mut before = 0;
    for round in 0..6 {
        talk(&mut world, 12);
        let who = round % 2;
        before += controls(&world, who);
        world.crash(who);
        world.attach(who, 1 - who);
    }
    let renewed = |world: &World| before + controls(world, ALICE) + controls(world, BOB) >= 4;
    assert!(world.run_until(secs(120.0), renewed));
    for who in [ALICE, BOB] {
        assert_eq!(world.hosts[who].client.counters().undecryptable, 0);
    }
}
