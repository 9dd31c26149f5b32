//! Many nodes over many epochs and several terms, some of which come, go and come back, on links that lose
//! a tenth of all messages and delay the rest; and what that costs each of them.

use std::sync::Arc;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use shoal_proto::{Epoch, Span};
use shoal_topology::{
    Descriptor, GenesisMember, Identity, MAX_DESCRIPTORS, MAX_MEMBERS, NetworkParameters, Role,
    SignedDescriptor,
};

use crate::harness::{Harness, Node};
use crate::mesh::{Cost, Mesh, Sent};
use crate::words::{describe, gossip};

const DEGREE: usize = 10;

/// So many nodes, in terms of eight epochs of an hour. Those that come later are the last ones; they are no
/// first members, and down.
fn network(seed: u64, nodes: usize, late: usize) -> Harness {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut params = NetworkParameters {
        epoch: Span::from_secs(3600),
        term: 8,
        ..NetworkParameters::example()
    };
    params.genesis_members.clear();
    let mut all = Vec::new();
    for index in 0..nodes {
        let role = match index % 5 {
            0 => Role::Provider,
            _ => Role::Mix,
        };
        let mut node = Node::new(Identity::generate(&mut rng).into(), role);
        node.forgets = true;
        if index < nodes - late {
            params.genesis_members.push(GenesisMember {
                id: node.id,
                role,
                addresses: Vec::new(),
                family: None,
            });
        }
        all.push(node);
    }
    let mesh = Mesh::random(nodes, DEGREE, &mut rng);
    let mut net = Harness::of(seed, params, all, rng);
    net.mesh = Some(mesh);
    net.cost = Cost::measured();
    net.loss = 100;
    net
}

/// What happened in an epoch.
struct Row {
    up: usize,
    cost: Cost,
}

/// Runs these nodes for so many epochs, and says what each has cost from its freeze to the next one.
fn run(seed: u64, nodes: usize, epochs: u64) -> Vec<Row> {
    let (late, away) = ((nodes / 50).max(1), (nodes / 100).max(1));
    let mut net = network(seed, nodes, late);
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut coming = nodes - late..nodes;
    // Those that crash and come back keep what is on their disks. Whoever goes for good is among the rest.
    let restarting = 0..(nodes / 4);
    net.nodes[restarting.clone()]
        .iter_mut()
        .for_each(|node| node.forgets = false);
    (0..nodes - late).for_each(|index| net.start(index));
    net.run_to(0, 500);
    let mut previous = net.agreed(0);
    let mut seats: Vec<[u8; 32]> = Vec::new();
    let (mut down, mut rows) = (Vec::new(), Vec::new());
    let mut before = net.cost.clone();
    for epoch in 1..=epochs {
        net.run_to(epoch, 20);
        let document = net.agreed(epoch);
        assert_eq!(document.previous(), previous.hash(), "no epoch without one");
        seats.push(document.header().seats);
        let up = net.nodes.iter().filter(|node| node.directory.is_some());
        let up = up.count();
        let cost = net.cost.clone();
        rows.push(Row {
            up,
            cost: cost.since(&before),
        });
        println!(
            "epoch {epoch}: {} members, {up} up, round {:?}; {}",
            document.members().len(),
            document.header().reveal.as_ref().map(|reveal| reveal.round),
            rows.last().unwrap().line()
        );
        before = cost;
        previous = document;
        // Some come back, others crash, one goes for good, and some are new.
        net.run_to(epoch, 100);
        down.drain(..).for_each(|index| net.start(index));
        while down.len() < away {
            let index = rng.random_range(restarting.clone());
            if !down.contains(&index) {
                net.stop(index);
                down.push(index);
            }
        }
        let gone = restarting.end + usize::try_from(epoch).unwrap();
        net.stop(gone);
        coming
            .by_ref()
            .take(late.div_ceil(20))
            .for_each(|index| net.start(index));
    }
    // The first term's, and those of each term after it.
    seats.dedup();
    assert_eq!(seats.len() as u64, 1 + (epochs + 1) / 8, "terms of eight");
    rows
}

impl Row {
    /// For each node.
    fn line(&self) -> String {
        let (up, cost) = (self.up as u64, &self.cost);
        let kib = |sent: Sent| format!("{} / {} kB", sent.messages / up, sent.bytes / up / 1000);
        let micros = |spent: std::time::Duration| spent.as_micros() / u128::from(up) / 1000;
        format!(
            "descriptors {}, agreement {}, questions {}, answers {}, {} ms core, {} ms jobs",
            kib(cost.descriptors),
            kib(cost.agreement),
            kib(cost.requests),
            kib(cost.responses),
            micros(cost.core.0),
            micros(cost.jobs.0),
        )
    }
}

#[test]
fn a_hundred_nodes_agree_on_every_epoch_of_two_terms() {
    run(1, 100, 20);
}

/// `SHOAL_NODES` and `SHOAL_EPOCHS` say how many.
#[test]
#[ignore = "takes an hour: what docs/directory-cost.md measures"]
fn a_thousand_nodes_agree_on_every_epoch_of_two_terms() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let nodes = usize::try_from(number("SHOAL_NODES", 1000)).unwrap();
    if nodes > MAX_MEMBERS || nodes > MAX_DESCRIPTORS {
        println!("{nodes} nodes are more than this version has room for: skipped");
        return;
    }
    run(1, nodes, number("SHOAL_EPOCHS", 20));
}

/// A member of which there is nothing but the descriptors that it issues.
struct Issuer {
    identity: Identity,
    role: Role,
    /// Who hears of it first.
    neighbour: usize,
}

impl Issuer {
    /// What it says early in an epoch, as gossip.
    fn says(&self, params: &NetworkParameters, epoch: Epoch, rng: &mut ChaCha20Rng) -> Vec<u8> {
        let descriptor = Descriptor {
            role: self.role,
            sequence: epoch.number(),
            ..describe(&self.identity, params, epoch, rng)
        };
        let signed = SignedDescriptor::sign(&self.identity, params, descriptor).unwrap();
        gossip(signed.encode())
    }
}

/// 450 nodes run, of whom 400 sit; of the other members there are only the descriptors, which come through the
/// first half of each epoch. What a node of 10,000 members has to do is done by each that runs.
#[test]
#[ignore = "takes half an hour and 8 GB: what docs/directory-cost.md measures"]
fn ten_thousand_members_agree_on_an_epoch() {
    const RUNNING: usize = 450;
    let mut net = network(1, RUNNING, 0);
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let others = (RUNNING..MAX_MEMBERS).map(|index| Issuer {
        identity: Identity::generate(&mut rng),
        role: if index % 5 == 0 {
            Role::Provider
        } else {
            Role::Mix
        },
        neighbour: index % RUNNING,
    });
    let others = Vec::from_iter(others);
    (0..RUNNING).for_each(|index| net.start(index));
    net.run_to(0, 900);
    let mut before = net.cost.clone();
    for number in 1..4 {
        let (epoch, params) = (Epoch::new(number), Arc::clone(&net.params));
        let window = params.epoch.scale(45, 100);
        for (place, other) in (0..).zip(&others) {
            let at = window.scale(place, MAX_MEMBERS as u64);
            net.run_until(params.start_of(epoch) + params.epoch.scale(1, 100) + at);
            let bytes = other.says(&params, epoch, &mut rng);
            let from = (other.neighbour + 1) % RUNNING;
            net.tell(other.neighbour, from, bytes);
        }
        net.run_to(number, 990);
        let document = net.nodes[0].directory.as_ref().unwrap().view();
        let document = Arc::clone(document.documents.values().next_back().unwrap());
        assert_eq!(document.epoch(), epoch.next());
        let cost = net.cost.clone();
        let row = Row {
            up: RUNNING,
            cost: cost.since(&before),
        };
        println!(
            "for epoch {}: {} members, {} bytes, round {:?}; {}",
            document.epoch(),
            document.members().len(),
            document.encode().len(),
            document.header().reveal.as_ref().map(|reveal| reveal.round),
            row.line()
        );
        before = cost;
        net.run_to(number + 1, 5);
        net.agreed(number + 1);
        assert_eq!(document.members().len(), MAX_MEMBERS);
    }
}
