//! Who comes in, and when: few in a term, one of each prefix, after work, and without a seat for a while.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use shoal_proto::{Epoch, NodeId};
use shoal_topology::agreement::Height;
use shoal_topology::{Admission, NetworkParameters, Refusal, Role};

use crate::harness::{Harness, Lie, Node};

/// Nine members in terms of four that are up, and so many strangers that are down.
pub(crate) fn network(
    seed: u64,
    strangers: usize,
    change: impl Fn(&mut NetworkParameters),
) -> Harness {
    let mut net = Harness::new(seed, 6, 3, 6);
    let mut params = (*net.params).clone();
    change(&mut params);
    net.params = Arc::new(params);
    let mut rng = ChaCha20Rng::seed_from_u64(1_000_000 + seed);
    for _ in 0..strangers {
        let identity = shoal_topology::Identity::generate(&mut rng);
        net.add(Node::new(identity.into(), Role::Mix));
    }
    (0..9).for_each(|index| net.start(index));
    net
}

fn strangers(net: &Harness) -> Vec<NodeId> {
    net.nodes[9..].iter().map(|node| node.id).collect()
}

/// Which strangers a document lists.
pub(crate) fn listed(net: &Harness, epoch: u64) -> BTreeSet<NodeId> {
    let document = net.agreed(epoch);
    let listed = strangers(net).into_iter();
    listed.filter(|id| document.member(id).is_some()).collect()
}

#[test]
fn a_share_of_the_members_comes_in_a_term_and_all_in_the_end() {
    // Of nine a fifth is one, of ten and more two.
    let mut net = network(400, 5, |params| params.newcomers = 0.2);
    net.run_to(1, 100);
    (9..14).for_each(|index| net.start(index));
    let (mut before, mut in_term) = (BTreeSet::new(), 0);
    let (mut order, mut most) = (Vec::new(), 0);
    for epoch in 2..18 {
        net.run_to(epoch, 100);
        let now = listed(&net, epoch);
        let height = net.agreed(epoch).height();
        // Terms end with heights that are multiples of four.
        if height.number() % 4 == 1 {
            in_term = 0;
        }
        assert!(now.is_superset(&before), "who is in stays");
        in_term += now.len() - before.len();
        let allowed = (net.agreed(epoch).members().len() - (now.len() - before.len())) / 5;
        assert!(in_term <= allowed.max(1), "{epoch}: {in_term}");
        most = most.max(in_term);
        order.extend(now.difference(&before).copied());
        before = now;
    }
    assert_eq!((before.len(), most), (5, 2));
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_ne!(order, sorted, "they are drawn");
    let document = net.agreed(17);
    let since = |id: &NodeId| document.member(id).unwrap().since;
    assert!(order.iter().all(|id| since(id) > Height::new(1)));
    assert!(order.is_sorted_by_key(since));
    assert_eq!(since(&net.nodes[0].id), Height::FIRST);
}

/// Another seed draws others.
#[test]
fn who_comes_first_is_up_to_the_seed() {
    let first = |seed| {
        let mut net = network(seed, 4, |params| params.newcomers = 0.0);
        net.run_to(1, 100);
        (9..13).for_each(|index| net.start(index));
        net.run_to(2, 100);
        let listed = listed(&net, 2);
        assert_eq!(listed.len(), 1, "one may always come");
        let all = strangers(&net);
        all.iter().position(|id| listed.contains(id)).unwrap()
    };
    let firsts: BTreeSet<_> = (410..418).map(first).collect();
    assert!(firsts.len() > 1, "{firsts:?}");
}

#[test]
fn a_network_with_a_list_takes_nobody_else() {
    let mut net = network(420, 1, |params| params.admission = Admission::List);
    net.start(9);
    net.run_to(3, 100);
    assert_eq!(listed(&net, 3).len(), 0);
    let directory = net.nodes[0].directory.as_ref().unwrap();
    assert!(
        directory.descriptor(&net.nodes[9].id).is_none(),
        "nor keeps what it says"
    );
    assert!(directory.refusals().of(Refusal::Admission) > 0);
}

/// A stranger that advertises what a member does, and two that come to one address.
#[test]
fn one_node_comes_in_at_an_address_and_no_round_is_lost_to_the_others() {
    let mut net = network(450, 3, |_| {});
    net.nodes[9].port = Some(4003);
    net.nodes[11].port = Some(4010);
    net.run_to(1, 100);
    (9..12).for_each(|index| net.start(index));
    for epoch in 2..5 {
        net.run_to(epoch, 100);
        let document = net.agreed(epoch);
        let is_in = |index: usize| document.member(&net.nodes[index].id).is_some();
        assert!(is_in(3) && !is_in(9), "{epoch}");
        assert!(is_in(10) != is_in(11), "{epoch}");
        let reveal = document.header().reveal.as_ref();
        assert_eq!(reveal.map(|reveal| reveal.round), Some(0), "{epoch}");
    }
    let inside = listed(&net, 4);
    // The one that is in goes; who waited for its address comes.
    let (goes, comes) = match inside.contains(&net.nodes[10].id) {
        true => (10, 11),
        false => (11, 10),
    };
    net.stop(goes);
    net.run_to(8, 100);
    let document = net.agreed(8);
    assert!(document.member(&net.nodes[comes].id).is_some());
    assert!(document.member(&net.nodes[goes].id).is_none());
}

#[test]
fn a_newcomer_has_no_seat_before_its_time() {
    let mut net = network(430, 1, |params| params.seat_age = 1);
    net.run_to(1, 100);
    net.start(9);
    net.run_to(2, 100);
    let since = net.agreed(2).member(&net.nodes[9].id).unwrap().since;
    assert_eq!(since, Height::new(3));
    let mut sat = None;
    for epoch in 3..14 {
        net.run_to(epoch, 100);
        let height = net.agreed(epoch).height();
        let directory = net.nodes[0].directory.as_ref().unwrap();
        let sits = directory
            .seats()
            .is_some_and(|it| it.of(&net.nodes[9].id).is_some());
        if sits && sat.is_none() {
            sat = Some(height);
        }
    }
    // Of the document of height 7, by which seats are drawn at 8, it is a member for four heights since 3.
    assert_eq!(sat, Some(Height::new(8)));
}

/// The proof is made and checked for real: a few seconds, and 200 MB.
#[test]
fn a_stranger_comes_in_by_work_and_not_without() {
    let mut net = network(440, 2, |params| params.work = 1);
    net.run_to(1, 100);
    // It does no work, and says what it likes.
    net.nodes[10].lie = Some(Lie::Idle);
    net.start(9);
    net.start(10);
    net.run_to(2, 10);
    net.run_to(4, 10);
    let document = net.agreed(4);
    assert!(document.member(&net.nodes[9].id).is_some());
    assert!(document.member(&net.nodes[10].id).is_none());
    for node in &net.nodes[..9] {
        let directory = node.directory.as_ref().unwrap();
        assert!(directory.descriptor(&net.nodes[10].id).is_none());
        assert!(directory.refusals().of(Refusal::Admission) > 0);
        assert_eq!(directory.waits(), None, "a member waits for nothing");
        let shown = directory.descriptor(&net.nodes[9].id).unwrap();
        assert!(
            shown.descriptor().admission.is_empty(),
            "a member shows none"
        );
    }
    let idle = net.nodes[10].directory.as_ref().unwrap().waits().unwrap();
    assert!(idle.works && idle.waiting == 1 && idle.a_term == 10);
    assert!(net.agreed(4).epoch() == Epoch::new(4));
}
