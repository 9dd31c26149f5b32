//! A node whose clock is off its neighbours' says so, and nobody else makes it say so.

use shoal_proto::{NodeId, Span};
use shoal_roles::node::{NodeEvent, NodeInput, Trouble};
use shoal_topology::Role;

use crate::node::World;

const MINUTE: i64 = 60_000_000;

/// A mix that has its links, and its eight neighbours' identities.
fn world() -> (World, Vec<NodeId>) {
    let mut world = World::new(Role::Mix, true);
    world.link_up();
    let neighbours = world.network.nodes.keys().copied().collect();
    (world, neighbours)
}

/// All neighbours' clocks are ahead by so much from now on.
fn all_say(world: &mut World, neighbours: &[NodeId], ahead_us: i64) {
    world.clocks = neighbours.iter().map(|id| (*id, ahead_us)).collect();
}

fn connect(world: &mut World, neighbours: &[NodeId]) {
    for id in neighbours {
        world.input(NodeInput::Connected(*id));
    }
}

#[test]
fn a_clock_that_is_off_is_told_at_once_and_the_node_is_ready_again_once_it_is_right() {
    for ahead in [5 * MINUTE, -5 * MINUTE] {
        let (mut world, neighbours) = world();
        assert!(world.is_ready());
        world.run_for(Span::from_secs(5));
        all_say(&mut world, &neighbours, ahead);
        connect(&mut world, &neighbours);
        let told = Trouble::Clock {
            ahead: ahead < 0,
            by: Span::from_secs(300),
        };
        assert_eq!(world.troubles(), std::slice::from_ref(&told));
        assert!(!world.is_ready());
        let said = NodeEvent::NotReady(vec![told.clone()]);
        assert_eq!(world.events.last(), Some(&said));
        assert_eq!(world.node.figures(world.now).node.clock_off, 300);
        let words = told.told(world.now);
        assert!(words.contains("5 min"), "{words}");
        // It is as far off as before, and has not moved its clock.
        world.run_for(Span::from_secs(600));
        assert_eq!(world.troubles(), std::slice::from_ref(&told));
        // Its clock is set right, and it asks on as ever.
        all_say(&mut world, &neighbours, 0);
        world.run_for(Span::from_secs(3600));
        assert!(world.is_ready(), "{:?}", world.troubles());
        assert_eq!(world.node.figures(world.now).node.clock_off, 0);
    }
}

#[test]
fn a_machine_that_loses_time_while_it_runs_finds_out() {
    let (mut world, neighbours) = world();
    all_say(&mut world, &neighbours, 0);
    connect(&mut world, &neighbours);
    world.run_for(Span::from_secs(60));
    assert!(world.is_ready());
    all_say(&mut world, &neighbours, 20 * MINUTE);
    world.run_for(Span::from_secs(3000));
    let off = |trouble: &Trouble| matches!(trouble, Trouble::Clock { ahead: false, .. });
    assert!(world.troubles().iter().any(off));
}

#[test]
fn half_of_the_neighbours_together_do_not_make_it_doubt_its_clock() {
    let (mut world, neighbours) = world();
    assert_eq!(neighbours.len(), 8);
    all_say(&mut world, &neighbours, 0);
    for bad in &neighbours[..4] {
        world.clocks.insert(*bad, 60 * MINUTE);
    }
    // Those that lie are heard more often, and first.
    connect(&mut world, &neighbours);
    for _ in 0..20 {
        for bad in &neighbours[..4] {
            world.input(NodeInput::Disconnected(*bad));
        }
        connect(&mut world, &neighbours[..4]);
        world.run_for(Span::from_secs(120));
        assert!(world.is_ready());
    }
    // One more, and it is most of them.
    world.clocks.insert(neighbours[4], 60 * MINUTE);
    world.input(NodeInput::Disconnected(neighbours[4]));
    connect(&mut world, &neighbours[4..5]);
    assert!(!world.is_ready());
}

#[test]
fn a_node_that_starts_with_a_wrong_clock_makes_no_key_and_says_nothing_of_itself() {
    for ahead in [10 * MINUTE, -10 * MINUTE] {
        let mut world = World::new(Role::Mix, false);
        let neighbours: Vec<NodeId> = world.network.nodes.keys().copied().collect();
        all_say(&mut world, &neighbours, ahead);
        connect(&mut world, &neighbours);
        world.run_for(Span::from_secs(3 * 3600));
        assert_eq!((world.keys_made(), world.published), (0, 0));
        let clock = |trouble: &Trouble| matches!(trouble, Trouble::Clock { .. });
        assert!(world.troubles().iter().any(clock));
        let told = world.node.standing(world.now).clock;
        assert!(told.families >= 3 && told.tolerance >= Span::from_secs(1));
        // Theirs ahead is its own behind.
        let off = told.ahead_us.map(|own| (own + ahead).abs() < MINUTE / 60);
        assert_eq!(off, Some(true), "{told:?}");
    }
}

#[test]
fn a_node_that_starts_goes_by_its_clock_once_most_agree_or_nobody_says_anything() {
    let mut world = World::new(Role::Mix, false);
    let neighbours: Vec<NodeId> = world.network.nodes.keys().copied().collect();
    assert_eq!(world.published, 0);
    all_say(&mut world, &neighbours, 0);
    connect(&mut world, &neighbours[..2]);
    assert_eq!(world.published, 0, "two say nothing");
    connect(&mut world, &neighbours[2..3]);
    assert_eq!((world.keys_made(), world.published), (2, 1));

    let mut alone = World::new(Role::Mix, false);
    alone.run_for(Span::from_millis(4900));
    assert_eq!(alone.published, 0);
    alone.run_for(Span::from_millis(200));
    assert_eq!((alone.keys_made(), alone.published), (2, 1));
    // From then on a majority that lies keeps it from nothing.
    all_say(&mut alone, &neighbours, 60 * MINUTE);
    connect(&mut alone, &neighbours);
    alone.run_for(Span::from_secs(2 * 3600));
    assert!(alone.published > 1);
}
