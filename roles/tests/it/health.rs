//! What a node says of itself: what is wrong, once when it begins and once when it ends.

use shoal_proto::{Epoch, NetworkHash, NodeId, Span};
use shoal_roles::node::{NodeEvent, NodeInput, Trouble, TroubleKind};
use shoal_topology::{NoPlace, Role, TieKind};

use crate::node::World;

fn secs(seconds: u64) -> Span {
    Span::from_secs(seconds)
}

/// How often it has said that it is ready, and that it is not.
fn said(world: &World) -> (usize, usize) {
    let count = |wanted: fn(&NodeEvent) -> bool| world.events.iter().filter(|e| wanted(e)).count();
    (
        count(|event| matches!(event, NodeEvent::Ready { .. })),
        count(|event| matches!(event, NodeEvent::NotReady(_))),
    )
}

fn kinds(world: &mut World) -> Vec<TroubleKind> {
    world.troubles().iter().map(Trouble::kind).collect()
}

fn ready() -> World {
    let mut world = World::new(Role::Mix, true);
    world.link_up();
    world.run_for(secs(20));
    assert!(world.is_ready());
    assert_eq!(said(&world), (1, 1));
    world
}

#[test]
fn a_replay_log_that_fails_now_and_then_is_one_trouble_and_it_heals() {
    let mut world = ready();
    let why = "No space left on device".to_owned();
    for upto in 0..20 {
        world.input(NodeInput::TagsFailed { why: why.clone() });
        let log = Trouble::ReplayLog { why: why.clone() };
        assert_eq!(world.troubles(), std::slice::from_ref(&log));
        assert!(log.told(world.now).contains(&why));
        world.run_for(Span::from_millis(200));
        world.input(NodeInput::TagsDurable { upto });
        world.run_for(Span::from_millis(300));
    }
    let figures = world.node.figures(world.now);
    assert_eq!((figures.node.replay_log, figures.node.ready), (20, 0));
    assert_eq!(figures.troubles.of(TroubleKind::ReplayLog), 1);
    assert_eq!(said(&world), (1, 2), "one line");
    world.run_for(secs(4));
    assert!(!world.is_ready());
    world.run_for(secs(1));
    assert!(world.is_ready());
    assert_eq!(said(&world), (2, 2));
    let figures = world.node.figures(world.now);
    assert_eq!((figures.node.ready, figures.troubles.total()), (1, 0));
    // One that does not work again is not over by time.
    world.input(NodeInput::TagsFailed { why });
    world.run_for(secs(600));
    assert!(!world.is_ready());
}

#[test]
fn a_node_that_reaches_nobody_it_sends_to_is_not_ready() {
    let mut world = ready();
    let after = world.after();
    for id in &after[1..] {
        world.input(NodeInput::LinkDown(*id));
    }
    world.run_for(secs(60));
    assert!(world.is_ready(), "one is left");
    let unlinked = world.node.figures(world.now).node.unlinked;
    assert_eq!(unlinked, after.len() as u64 - 1);
    let standing = world.node.standing(world.now);
    assert!(standing.is_listed && standing.position.is_some_and(|layer| layer > 0));
    assert_eq!(
        (standing.after.members, standing.after.linked),
        (after.len(), 1)
    );
    assert_eq!(standing.before.members, standing.before.linked);
    let (next, params) = (standing.next, &world.network.params);
    assert_eq!(
        (next.epoch, next.at),
        (Epoch::new(1), params.start_of(next.epoch))
    );
    assert_eq!(
        (next.is_here, next.has_place, next.usable),
        (false, None, next.at)
    );
    world.input(NodeInput::LinkDown(after[0]));
    world.run_for(secs(9));
    assert!(world.is_ready(), "links come and go");
    world.run_for(secs(2));
    let of = after.len();
    assert_eq!(world.troubles(), [Trouble::Cut { of, apart: 0 }]);
    assert!(!world.is_ready());
    world.input(NodeInput::LinkUp(after[0]));
    assert!(world.is_ready());
    // A node that never had any says the same once it has waited.
    let mut alone = World::new(Role::Provider, true);
    alone.run_for(secs(11));
    assert_eq!(kinds(&mut alone), [TroubleKind::Cut]);
}

#[test]
fn members_of_the_other_family_are_told_of_and_counted() {
    let mut world = World::with_addresses(Role::Mix, &["/ip6/2001:db8::1/tcp/4177"]);
    world.run_for(secs(21));
    let of = world.after().len();
    assert_eq!(world.troubles(), [Trouble::Cut { of, apart: of }]);
    assert!(world.troubles()[0].told(world.now).contains("IPv6"));
    let apart = world.node.figures(world.now).node.apart;
    assert!(apart > of as u64, "those before it too");
    let told = |world: &World| {
        let told = |event: &&NodeEvent| matches!(event, NodeEvent::Apart { .. });
        world.events.iter().filter(told).count()
    };
    assert_eq!(told(&world), 1);
    world.run_for(secs(600));
    assert_eq!(told(&world), 1, "one line");
    // Some can be reached all the same: they came to us.
    for id in world.after() {
        world.input(NodeInput::LinkUp(id));
    }
    world.run_for(secs(1));
    assert!(world.is_ready());
    assert_eq!(world.node.figures(world.now).node.apart, apart - of as u64);
    // Who has both is apart from nobody.
    let both = ["/ip6/2001:db8::1/tcp/4177", "/ip4/203.0.113.1/tcp/4177"];
    let mut both = World::with_addresses(Role::Mix, &both);
    both.run_for(secs(21));
    assert_eq!(both.troubles(), [Trouble::Cut { of, apart: 0 }]);
    assert_eq!(told(&both), 0);
}

#[test]
fn who_has_no_place_in_any_document_is_not_ready_and_says_why() {
    for (role, other) in [(Role::Mix, Role::Provider), (Role::Provider, Role::Mix)] {
        let mut world = World::beside(role, other);
        world.run_for(secs(60));
        assert!(!world.is_ready());
        let why = NoPlace::OtherRole(TieKind::Family);
        let epoch = Epoch::new(0);
        assert_eq!(world.troubles(), [Trouble::LeftOut { epoch, why }]);
        let told = world.troubles()[0].told(world.now);
        assert!(
            told.contains("run it in that role, or without `family`"),
            "{told}"
        );
        assert_eq!(
            world
                .node
                .figures(world.now)
                .troubles
                .of(TroubleKind::LeftOut),
            1
        );
    }
    // Beside one of its own role it is one that waits.
    let mut world = World::beside(Role::Mix, Role::Mix);
    world.run_for(secs(60));
    assert_eq!(kinds(&mut world), [TroubleKind::NotAMember]);
}

#[test]
fn a_mix_that_has_just_come_is_listed_and_not_ready_before_it_has_a_layer() {
    let mut world = World::coming(Role::Mix);
    world.run_for(secs(60));
    assert!(!world.is_ready());
    let (epoch, next) = (Epoch::new(1), world.network.params.start_of(Epoch::new(2)));
    assert_eq!(world.troubles(), [Trouble::NotAMember { epoch, next }]);
    let figures = world.node.figures(world.now);
    assert_eq!(figures.troubles.of(TroubleKind::NotAMember), 1);
    // A provider has its place at once.
    let mut world = World::coming(Role::Provider);
    world.link_up();
    world.run_for(secs(60));
    assert!(world.is_ready(), "{:?}", world.troubles());
}

#[test]
fn who_waits_is_reminded_less_and_less_often() {
    let mut world = World::new(Role::Mix, false);
    world.link_up();
    world.run_for(secs(40 * 60));
    let (_, lines) = said(&world);
    // At the start, after 15 s, 45 s, 105 s and so on, then every quarter of an hour.
    assert!((7..=10).contains(&lines), "{lines}");
}

#[test]
fn a_key_that_was_lost_after_the_deadline_is_waited_for_until_the_epoch_after_the_next() {
    let mut world = World::lost_keys(Span::from_secs(3000));
    world.link_up();
    world.run_for(secs(20));
    let (epoch, after_next) = (Epoch::new(0), Epoch::new(2));
    let next = world.network.params.start_of(after_next);
    assert_eq!(world.troubles(), [Trouble::NoKey { epoch, next }]);
    // In the first half of the epoch a new descriptor brings the new key in.
    let mut world = World::lost_keys(Span::from_secs(600));
    world.link_up();
    world.run_for(secs(20));
    let next = world.network.params.start_of(Epoch::new(1));
    assert_eq!(world.troubles(), [Trouble::NoKey { epoch, next }]);
    assert!(world.published > 0);
}

#[test]
fn first_members_of_another_network_are_named_as_what_they_are() {
    let mut world = World::without_document();
    world.run_for(secs(1));
    let of = world.network.nodes.len() + 1;
    assert_eq!(world.troubles(), [Trouble::NoDocument { missing: of, of }]);
    let members: Vec<NodeId> = world.network.nodes.keys().copied().collect();
    let theirs = NetworkHash::new([9; 32]);
    for peer in &members[..2] {
        let network = theirs;
        world.input(NodeInput::OtherNetwork {
            peer: *peer,
            network,
            ahead_secs: 600,
        });
    }
    // Nobody who is not a first member has a say, nor one that names ours.
    let ours = world.network.params.hash();
    for (peer, network) in [(NodeId::new([1; 32]), theirs), (members[2], ours)] {
        world.input(NodeInput::OtherNetwork {
            peer,
            network,
            ahead_secs: -99,
        });
    }
    let trouble = Trouble::OtherNetwork {
        others: 2,
        of: of - 1,
        ours,
        theirs,
        ahead_secs: Some(600),
    };
    assert_eq!(world.troubles(), std::slice::from_ref(&trouble));
    let words = trouble.told(world.now);
    assert!(words.starts_with("2 of 8 first members"), "{words}");
    assert!(words.contains(&theirs.short()) && words.contains(&ours.short()));
    assert!(words.contains("clock is 10 min behind theirs"), "{words}");
    // As many are of this network after all.
    for peer in &members[2..4] {
        world.input(NodeInput::Connected(*peer));
    }
    assert_eq!(kinds(&mut world), [TroubleKind::NoDocument]);
}

#[test]
fn who_is_expelled_is_not_ready_and_says_until_when() {
    for (role, layer) in [(Role::Mix, 1), (Role::Provider, 0)] {
        let mut world = World::expelled(role);
        world.run_for(secs(60));
        assert!(!world.is_ready());
        let params = std::sync::Arc::clone(&world.network.params);
        let epoch = Epoch::new(0);
        let last = Epoch::new(u64::from(params.term) - 1);
        // A mix that comes back waits for a layer as all do that come.
        let next = params.start_of(Epoch::new(last.number() + 1 + layer));
        let expelled = Trouble::Expelled { epoch, last, next };
        assert_eq!(world.troubles(), [expelled]);
        let told = world.troubles()[0].told(world.now);
        assert!(told.contains("voted for two things"), "{told}");
        let figures = world.node.figures(world.now);
        assert_eq!(figures.troubles.of(TroubleKind::Expelled), 1);
    }
}
