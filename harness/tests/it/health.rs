//! Whether nodes say the truth about themselves.

use std::collections::BTreeSet;

use shoal_harness::{Fault, Kind, Network, NetworkBuilder, Notice, Party};
use shoal_roles::node::{NodeEvent, Trouble, TroubleKind};

use crate::support::{START, close_books, run_checked, secs};

fn builder(seed: u64) -> NetworkBuilder {
    Network::builder(seed).epoch(secs(60)).loop_rate(1.0)
}

/// What this node said last of whether it does its work: none if it does.
fn last_said(network: &Network, node: Party) -> Option<Vec<Trouble>> {
    let own = network
        .notices()
        .iter()
        .filter(|notice| notice.node == node);
    let said = |notice: &Notice| match &notice.event {
        NodeEvent::Ready { .. } => Some(Vec::new()),
        NodeEvent::NotReady(troubles) => Some(troubles.clone()),
        _ => None,
    };
    own.filter_map(said)
        .next_back()
        .filter(|troubles| !troubles.is_empty())
}

fn kinds(troubles: &[Trouble]) -> Vec<TroubleKind> {
    troubles.iter().map(Trouble::kind).collect()
}

/// Whether what it said is what is.
fn is_true(network: &mut Network, node: Party) -> bool {
    let now = network.troubles(node).unwrap().unwrap();
    kinds(&now) == kinds(&last_said(network, node).unwrap_or_default())
}

#[test]
fn nodes_are_ready_once_they_have_a_document_and_their_links() {
    let mut network = builder(50).build().unwrap();
    let nodes: Vec<Party> = network.nodes().collect();
    network.run_for(secs(1)).unwrap();
    for node in &nodes {
        assert!(is_true(&mut network, *node));
    }
    assert!(network.bring_up(START).unwrap());
    network.run_for(secs(1)).unwrap();
    for node in &nodes {
        assert_eq!(last_said(&network, *node), None);
        assert!(is_true(&mut network, *node));
    }
    let layer = |notice: &Notice| match notice.event {
        NodeEvent::Ready { layer, .. } => Some((notice.node, layer)),
        _ => None,
    };
    let layers: BTreeSet<_> = network.notices().iter().filter_map(layer).collect();
    let count = |wanted| layers.iter().filter(|(_, layer)| *layer == wanted).count();
    assert_eq!([0, 1, 2, 3].map(count), [3, 2, 2, 2]);
    close_books(&mut network);
}

#[test]
fn a_mix_whose_replay_log_fails_is_not_ready_and_heals() {
    let mut network = builder(51).build().unwrap();
    assert!(network.bring_up(START).unwrap());
    run_checked(&mut network, 5);
    let mix = network.mixes().next().unwrap();
    let forwarded = |n: &Network| n.books(mix)[0].counters.forwarded;
    let disk = Fault::Disk(BTreeSet::from([mix]));
    network
        .schedule(disk, network.now(), Some(secs(10)))
        .unwrap();
    run_checked(&mut network, 5);
    assert!(network.trace_count(Kind::DiskFailed) > 0);
    let said = last_said(&network, mix).unwrap();
    assert!(kinds(&said).contains(&TroubleKind::ReplayLog), "{said:?}");
    assert!(is_true(&mut network, mix));
    let before = forwarded(&network);
    run_checked(&mut network, 4);
    assert_eq!(
        forwarded(&network),
        before,
        "nothing leaves whose tag is not on disk"
    );
    run_checked(&mut network, 15);
    assert_eq!(last_said(&network, mix), None);
    let own = network.notices().iter().filter(|notice| notice.node == mix);
    let told = own.filter(|notice| match &notice.event {
        NodeEvent::NotReady(troubles) => kinds(troubles).contains(&TroubleKind::ReplayLog),
        _ => false,
    });
    assert_eq!(told.count(), 1, "one line, however often it fails");
    assert!(is_true(&mut network, mix));
    assert!(forwarded(&network) > before);
    close_books(&mut network);
}

#[test]
fn a_node_without_the_epochs_key_is_not_ready_until_the_switch() {
    let mut network = builder(52).build().unwrap();
    assert!(network.bring_up(START).unwrap());
    let mix = network.mixes().next().unwrap();
    network.crash(mix);
    network.lose_keys(mix).unwrap();
    network.run_for(secs(1)).unwrap();
    network.start(mix).unwrap();
    run_checked(&mut network, 10);
    let epoch = network.epoch();
    let next = network.params().start_of(epoch.next());
    let missing = Trouble::NoKey { epoch, next };
    assert_eq!(last_said(&network, mix), Some(vec![missing]));
    assert!(is_true(&mut network, mix));
    network.run_until(next).unwrap();
    run_checked(&mut network, 2);
    assert_eq!(last_said(&network, mix), None);
    assert!(is_true(&mut network, mix));
    close_books(&mut network);
}

#[test]
fn a_provider_whose_disk_fails_says_so_and_loses_no_message() {
    // With one mailbox each: a second copy would come by another.
    let clients = builder(53).client("default", 0, 1);
    let mut network = clients.client("default", 1, 2).build().unwrap();
    assert!(network.bring_up(START).unwrap());
    let clients: Vec<Party> = network.clients().collect();
    let mailbox = network.mailbox(clients[1]).unwrap();
    let provider = network.party(&mailbox).unwrap();
    let disk = Fault::Disk(BTreeSet::from([provider]));
    network
        .schedule(disk, network.now(), Some(secs(20)))
        .unwrap();
    network.send(clients[0], clients[1], "kept").unwrap();
    run_checked(&mut network, 15);
    let said = last_said(&network, provider).unwrap();
    assert!(kinds(&said).contains(&TroubleKind::ReplayLog), "{said:?}");
    let arrived =
        |n: &Network| crate::support::told(n, clients[1], crate::support::brings("kept")).is_some();
    assert!(!arrived(&network));
    assert!(network.run_until_done(secs(120), arrived).unwrap());
    // It may come while the node has not looked again.
    run_checked(&mut network, 10);
    assert_eq!(last_said(&network, provider), None);
    close_books(&mut network);
}
