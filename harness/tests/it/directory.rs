//! Documents without a directory authority, on links that lose a tenth of everything.

use std::collections::BTreeSet;

use shoal_harness::{Network, Party};
use shoal_proto::Epoch;

use crate::support::{START, secs};

/// The hashes that nodes have for a document, and how many have one.
fn hashes(network: &Network, epoch: Epoch) -> (BTreeSet<shoal_proto::DocumentHash>, usize) {
    let views = network.nodes().filter_map(|node| network.view(node));
    let found: Vec<shoal_proto::DocumentHash> = views
        .filter_map(|view| view.documents.get(&epoch))
        .map(|d| *d.hash())
        .collect();
    (found.iter().copied().collect(), found.len())
}

#[test]
fn all_nodes_arrive_at_the_same_documents() {
    let mut network = Network::builder(13)
        .loss(0.1)
        .epoch(secs(60))
        .loop_rate(0.0)
        .build()
        .unwrap();
    assert!(network.bring_up(START).unwrap());
    let count = network.nodes().count();
    for number in 0..4 {
        let epoch = Epoch::new(number);
        let middle = network.params().start_of(epoch) + secs(30);
        network.run_until(middle).unwrap();
        let (hashes, holders) = hashes(&network, epoch);
        assert_eq!((hashes.len(), holders), (1, count), "epoch {number}");
    }
}

#[test]
fn a_node_that_was_away_over_a_switch_catches_up() {
    let mut network = Network::builder(14)
        .epoch(secs(60))
        .loop_rate(0.0)
        .build()
        .unwrap();
    assert!(network.bring_up(START).unwrap());
    let away: Party = network.providers().next().unwrap();
    network
        .run_until(network.params().start_of(Epoch::new(0)) + secs(20))
        .unwrap();
    network.crash(away);
    // Its descriptor with the key of epoch 1 was issued before: it is a member.
    network
        .run_until(network.params().start_of(Epoch::new(1)) + secs(10))
        .unwrap();
    network.start(away).unwrap();
    network.run_for(secs(10)).unwrap();
    let view = network.view(away).unwrap();
    let document = view.current(network.params(), network.now()).unwrap();
    assert_eq!(document.epoch(), Epoch::new(1));
    assert_eq!(hashes(&network, Epoch::new(1)).0.len(), 1);
    assert!(document.member(&network.id(away).unwrap()).is_some());
}
