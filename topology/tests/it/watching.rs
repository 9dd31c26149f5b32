//! Who is gone is suspended, who is back is reinstated, who leaves is let go: in whole networks, and with watchers
//! that lie.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use shoal_proto::{NodeId, Span, Time};
use shoal_topology::{DirectoryInput, DirectoryWarning, Identity, Role, path};

use crate::harness::{Harness, Lie, Node, loopback};

/// Six mixes in two layers and three providers, who watch each other, with epochs of ten minutes: slots of 10 s.
fn network(seed: u64, change: impl FnOnce(&mut Harness)) -> Harness {
    let mut net = Harness::new(seed, 6, 3, 6);
    let mut params = (*net.params).clone();
    params.epoch = Span::from_secs(600);
    net.params = Arc::new(params);
    net.watches = true;
    change(&mut net);
    net.start_all();
    net
}

fn after(net: &Harness, seconds: u64) -> Time {
    net.now + Span::from_secs(seconds)
}

/// Whom all honest nodes that are up take for suspended: the same, everywhere.
fn suspended(net: &Harness) -> BTreeSet<NodeId> {
    let up = (0..net.nodes.len()).filter(|index| {
        let node = &net.nodes[*index];
        node.directory.is_some() && node.lie.is_none()
    });
    let found = up.map(|index| net.document(index).unwrap().suspended().clone());
    let found: BTreeSet<_> = found.collect();
    assert_eq!(found.len(), 1, "they differ: {found:?}");
    found.into_iter().next().unwrap()
}

/// After how long they are the ones that are expected, at most so many seconds; none if never.
fn until(net: &mut Harness, expected: &BTreeSet<NodeId>, seconds: u64) -> Option<u64> {
    let begun = net.now;
    (0..seconds).find(|_| {
        let end = after(net, 1);
        net.run_until(end);
        suspended(net) == *expected
    })?;
    Some(net.now.since(begun).as_micros() / 1_000_000)
}

fn ids(net: &Harness, of: &[usize]) -> BTreeSet<NodeId> {
    of.iter().map(|index| net.nodes[*index].id).collect()
}

#[test]
fn who_is_dead_is_in_no_route_within_a_minute_and_back_within_another() {
    let mut net = network(700, |_| {});
    net.run_to(1, 200);
    assert_eq!(suspended(&net), BTreeSet::new());
    let before = net.document(1).unwrap();
    net.stop(0);
    let dead = ids(&net, &[0]);
    let took = until(&mut net, &dead, 180).expect("suspended");
    assert!(took <= 60, "{took} s");
    let document = net.document(1).unwrap();
    assert_eq!(document.hash(), before.hash(), "the document stays");
    let layer = document.member(&net.nodes[0].id).unwrap().layer;
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let providers = document.providers().to_vec();
    for _ in 0..100 {
        let params = &net.params;
        let route = path::deposit(&mut rng, &document, params, &providers[0], &providers[1]);
        let route = route.unwrap();
        assert!(route.iter().all(|hop| hop.node != net.nodes[0].id));
    }
    // What is under way still passes.
    assert!(document.mixes(layer).contains(&net.nodes[0].id));

    // It stays so over the switch, for it is in the next document too, and as long as it is down.
    net.run_to(2, 200);
    let next = net.document(1).unwrap();
    assert!(next.member(&net.nodes[0].id).is_some());
    assert_eq!(suspended(&net), dead);

    net.start(0);
    let took = until(&mut net, &BTreeSet::new(), 180).expect("reinstated");
    assert!(took <= 60, "{took} s");
    assert!(net.document(0).unwrap().suspended().is_empty());
    let told = net.warnings.iter().map(|(_, warning)| warning);
    let told = told.filter(|it| matches!(it, DirectoryWarning::Suspended { leaves: false, .. }));
    assert_eq!(
        told.count(),
        9,
        "each says so once, the node itself when it is back"
    );
}

#[test]
fn no_layer_loses_more_than_half_or_more_than_one_at_once() {
    let mut net = network(701, |_| {});
    net.run_to(1, 200);
    let document = net.document(8).unwrap();
    let layer: Vec<NodeId> = document.mixes(1).to_vec();
    assert_eq!(layer.len(), 3);
    let index = |id: &NodeId| net.nodes.iter().position(|node| node.id == *id).unwrap();
    let layer: Vec<usize> = layer.iter().map(index).collect();
    net.stop(layer[0]);
    net.stop(layer[1]);
    let end = after(&net, 300);
    net.run_until(end);
    assert_eq!(suspended(&net).len(), 1, "one of three, and not two");
    net.start(layer[0]);
    net.start(layer[1]);
    assert!(until(&mut net, &BTreeSet::new(), 180).is_some());
}

/// Of six watchers two, which is a third, say that they reach nobody, or that they reach everybody.
#[test]
fn a_third_of_the_watchers_suspends_nobody_and_saves_nobody() {
    for lie in [Lie::Slanders, Lie::Covers] {
        // Who lies is in the layers beside that of the first mix.
        let mut net = network(702, |_| {});
        net.run_to(0, 400);
        let document = net.document(0).unwrap();
        let target = net.nodes[0].id;
        let beside = [document.before(&target), document.after(&target)].concat();
        assert_eq!(beside.len(), 6);
        let liars: Vec<NodeId> = beside[..2].to_vec();
        for node in &mut net.nodes {
            if liars.contains(&node.id) {
                node.lie = Some(lie);
            }
        }
        net.run_to(1, 200);
        assert_eq!(suspended(&net), BTreeSet::new(), "{lie:?}");
        net.stop(0);
        let dead = ids(&net, &[0]);
        // One who covers the dead of six leaves five, which is enough; two leave four, which is not more than two
        // thirds: a third has a veto.
        let end = after(&net, 120);
        net.run_until(end);
        let expected = match lie {
            Lie::Slanders => dead,
            _ => BTreeSet::new(),
        };
        assert_eq!(suspended(&net), expected, "{lie:?}");
    }
}

#[test]
fn fewer_than_a_third_save_nobody() {
    let mut net = network(703, |_| {});
    net.run_to(0, 400);
    let document = net.document(0).unwrap();
    let liar = document.before(&net.nodes[0].id)[0];
    let node = net.nodes.iter_mut().find(|node| node.id == liar).unwrap();
    node.lie = Some(Lie::Covers);
    net.stop(0);
    let dead = ids(&net, &[0]);
    assert!(until(&mut net, &dead, 60).is_some());
}

#[test]
fn who_is_not_reached_hears_of_it_within_a_minute() {
    // A member, and a node that has not come in yet.
    let mut net = network(704, |net| {
        let identity = Identity::generate(&mut ChaCha20Rng::seed_from_u64(77));
        net.add(Node::new(identity.into(), Role::Mix));
        net.nodes[9].unreachable = true;
    });
    let missed = |net: &Harness, index: usize| {
        let node = &net.nodes[index];
        let directory = node.directory.as_ref().unwrap();
        directory.watched(node.clock(net.now), &node.id)
    };
    net.run_to(0, 200);
    assert!(missed(&net, 9).is_missed(), "{:?}", missed(&net, 9));
    assert_eq!(missed(&net, 9).addresses[0], missed(&net, 9).missed_by);
    assert!((0..9).all(|index| !missed(&net, index).is_missed()));
    net.nodes[3].unreachable = true;
    let end = after(&net, 60);
    net.run_until(end);
    assert!(missed(&net, 3).is_missed(), "{:?}", missed(&net, 3));
    net.nodes[9].unreachable = false;
    let end = after(&net, 60);
    net.run_until(end);
    assert!(!missed(&net, 9).is_missed(), "{:?}", missed(&net, 9));
}

/// A network with a stranger that gossips and can't be dialled.
fn with_a_stranger(seed: u64) -> Harness {
    network(seed, |net| {
        let identity = Identity::generate(&mut ChaCha20Rng::seed_from_u64(1_000_000 + seed));
        net.add(Node::new(identity.into(), Role::Mix));
    })
}

/// Whether the document of this epoch lists the stranger; and it was agreed on at the first try.
fn takes_the_stranger(net: &Harness, epoch: u64) -> bool {
    let document = net.agreed(epoch);
    let reveal = document.header().reveal.as_ref();
    assert_eq!(reveal.map(|reveal| reveal.round), Some(0), "{epoch}");
    assert_eq!(
        document.members().len() - 9,
        usize::from(document.member(&net.nodes[9].id).is_some())
    );
    document.member(&net.nodes[9].id).is_some()
}

#[test]
fn a_newcomer_that_nobody_reaches_does_not_come_in_before_it_is_reached() {
    let mut net = with_a_stranger(710);
    net.nodes[9].unreachable = true;
    for epoch in 1..4 {
        net.run_to(epoch, 200);
        assert!(!takes_the_stranger(&net, epoch), "{epoch}");
        let directory = net.nodes[0].directory.as_ref().unwrap();
        assert!(
            directory.descriptor(&net.nodes[9].id).is_some(),
            "it is known"
        );
    }
    net.nodes[9].unreachable = false;
    net.run_to(4, 200);
    assert!(takes_the_stranger(&net, 4));
    // Who is listed stays so, whoever reaches it.
    net.nodes[9].unreachable = true;
    net.run_to(6, 200);
    assert!(takes_the_stranger(&net, 6));
    assert!(suspended(&net).contains(&net.nodes[9].id));
}

/// Of nine watchers three say that they reach nobody: whoever proposes takes who comes.
#[test]
fn a_third_of_the_watchers_keeps_nobody_out() {
    let mut net = with_a_stranger(711);
    for node in &mut net.nodes[..3] {
        node.lie = Some(Lie::Slanders);
    }
    net.run_to(0, 600);
    let directory = net.nodes[8].directory.as_ref().unwrap();
    let now = net.nodes[8].clock(net.now);
    let watched = directory.watched(now, &net.nodes[9].id);
    assert_eq!((watched.watchers, watched.missed_by), (9, 3));
    assert!(watched.is_doubtful() && !watched.is_dead());
    net.run_to(1, 10);
    assert!(net.document(8).unwrap().member(&net.nodes[9].id).is_some());
}

#[test]
fn who_leaves_is_let_go_and_may_come_back() {
    let mut net = network(705, |_| {});
    net.run_to(1, 200);
    net.hand_in(0, DirectoryInput::Leave);
    let gone = ids(&net, &[0]);
    let took = until(&mut net, &gone, 120).expect("suspended");
    assert!(took <= 40, "{took} s");
    let told = net.warnings.iter().map(|(_, warning)| warning);
    assert!(
        !told
            .clone()
            .any(|it| matches!(it, DirectoryWarning::Suspended { leaves: false, .. }))
    );
    net.run_to(2, 100);
    let document = net.agreed(2);
    assert_eq!(document.members().len(), 8);
    assert!(document.member(&net.nodes[0].id).is_none());
    assert!(
        !net.document(0)
            .unwrap()
            .suspended()
            .contains(&net.nodes[0].id)
    );
    // It comes back as it came: without a layer at first, for it was out of a document.
    net.stop(0);
    net.start(0);
    net.run_to(3, 100);
    assert_eq!(net.agreed(3).members().len(), 9);

    // Who comes back within the epoch is taken back in it.
    net.hand_in(4, DirectoryInput::Leave);
    let gone = ids(&net, &[4]);
    assert!(until(&mut net, &gone, 60).is_some());
    net.stop(4);
    net.start(4);
    let took = until(&mut net, &BTreeSet::new(), 120).expect("reinstated");
    assert!(took <= 60, "{took} s");
    net.run_to(4, 100);
    assert_eq!(net.agreed(4).members().len(), 9);
}

/// Said just before the freeze: some proposers hold it, and some do not.
#[test]
fn who_leaves_late_holds_up_no_document() {
    for per_mille in [660, 695, 699, 701, 720, 745] {
        let mut net = network(706, |_| {});
        net.run_to(1, per_mille);
        net.hand_in(0, DirectoryInput::Leave);
        net.run_to(2, 100);
        let document = net.agreed(2);
        let listed = document.member(&net.nodes[0].id).is_some();
        assert_eq!(listed, per_mille > 700, "{per_mille}");
        assert_eq!(
            document.header().reveal.as_ref().map(|it| it.round),
            Some(0)
        );
        net.run_to(3, 100);
        assert!(net.agreed(3).member(&net.nodes[0].id).is_none());
    }
}

#[test]
fn who_moves_is_found_at_once_and_not_suspended() {
    let mut net = network(707, |_| {});
    net.run_to(1, 200);
    net.nodes[2].port = Some(9_999);
    net.hand_in(2, DirectoryInput::Moved(vec![loopback(9_999)]));
    let end = after(&net, 5);
    net.run_until(end);
    let id = net.nodes[2].id;
    for (index, node) in net.nodes.iter().enumerate() {
        let advertised = node.directory.as_ref().unwrap().advertised(&id);
        assert_eq!(advertised, [loopback(9_999)], "at {index}");
    }
    let end = after(&net, 120);
    net.run_until(end);
    assert_eq!(suspended(&net), BTreeSet::new());
    // Three at once are taken, and then one in a twentieth of an epoch.
    for port in [9_998, 9_997, 9_996] {
        net.nodes[2].port = Some(port);
        net.hand_in(2, DirectoryInput::Moved(vec![loopback(port)]));
    }
    let end = after(&net, 60);
    net.run_until(end);
    let advertised = net.nodes[5].directory.as_ref().unwrap().advertised(&id);
    assert_eq!(advertised, [loopback(9_996)]);
}

#[test]
fn three_of_ten_that_vanish_are_out_and_in_again() {
    let mut net = network(708, |_| {});
    net.run_to(1, 200);
    let document = net.document(8).unwrap();
    // One of each position.
    let picked = [
        document.providers()[0],
        document.mixes(1)[0],
        document.mixes(2)[0],
    ];
    let index = |id: &NodeId| net.nodes.iter().position(|node| node.id == *id).unwrap();
    let picked: Vec<usize> = picked.iter().map(index).collect();
    for index in &picked[..2] {
        net.stop(*index);
    }
    let dead = ids(&net, &picked[..2]);
    let took = until(&mut net, &dead, 300).expect("suspended");
    assert!(took <= 120, "{took} s");
    for index in &picked[..2] {
        net.start(*index);
    }
    assert!(until(&mut net, &BTreeSet::new(), 300).is_some());
}
