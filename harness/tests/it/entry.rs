//! What an entry provider can tell about the packets for its clients.

use std::collections::{BTreeMap, BTreeSet};

use shoal_harness::{Network, Observation, Party, Truth};
use shoal_proto::Time;
use shoal_topology::Profile;

use crate::support::{START, close_books, secs};

/// As many loops as replies, and enough of them in a short while.
const EVEN: Profile = Profile {
    real: 2.0,
    loops: 4.0,
    drops: 0.5,
    mailbox: 0.6,
    mailbox_clock: 2.0,
    downlink: 12.0,
    copies: 2,
};

/// Below this a test speaks up; seeds are fixed, so it does so always or never.
const SIGNIFICANCE: f64 = 0.001;

struct Seen {
    loops: Vec<Observation>,
    replies: Vec<Observation>,
    network: Network,
}

fn watch() -> Seen {
    let mut network = Network::builder(9)
        .profile("even", EVEN)
        .clients(3, "even")
        .loop_rate(0.1)
        .keep_trace()
        .observe()
        .build()
        .unwrap();
    assert!(network.bring_up(START).unwrap());
    let clients: Vec<_> = network.clients().collect();
    network.run_for(secs(10)).unwrap();
    for round in 0..5 {
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            network
                .send(clients[from], clients[to], format!("round {round}"))
                .unwrap();
        }
        network.run_for(secs(10)).unwrap();
    }
    let of = |kind| {
        let seen = network.observations().iter();
        seen.filter(|o| o.truth == Some(kind))
            .cloned()
            .collect::<Vec<_>>()
    };
    Seen {
        loops: of(Truth::Loop),
        replies: of(Truth::Reply),
        network,
    }
}

/// For each packet, what `measure` makes of its arrival and the instant before it.
fn gaps(kind: &[Observation], instants: impl Fn(&Observation) -> Vec<Time>) -> Vec<f64> {
    let mut gaps = Vec::new();
    for observation in kind {
        let earlier = instants(observation);
        let place = earlier.partition_point(|at| *at < observation.arrival);
        if let Some(before) = place.checked_sub(1).and_then(|place| earlier.get(place)) {
            gaps.push(observation.arrival.since(*before).as_secs_f64());
        }
    }
    gaps
}

/// The probability of tables at least as uneven as this, if both rows follow one distribution.
fn homogeneity(a: &[u64], b: &[u64]) -> f64 {
    let (sum_a, sum_b) = (a.iter().sum::<u64>() as f64, b.iter().sum::<u64>() as f64);
    let mut statistic = 0.0;
    let mut cells = 0;
    for (x, y) in a.iter().zip(b).filter(|(x, y)| *x + *y > 0) {
        let both = (x + y) as f64;
        for (count, sum) in [(*x as f64, sum_a), (*y as f64, sum_b)] {
            let expected = both * sum / (sum_a + sum_b);
            statistic += (count - expected).powi(2) / expected;
        }
        cells += 1;
    }
    shoal_stats::chi_squared_tail(statistic, cells - 1)
}

fn byte_counts(kind: &[Observation]) -> Vec<u64> {
    let mut counts = vec![0; 256];
    for byte in kind.iter().flat_map(|o| o.payload.as_bytes()) {
        counts[usize::from(*byte)] += 1;
    }
    counts
}

fn hop_counts(kind: &[Observation], hops: &BTreeSet<Party>) -> Vec<u64> {
    hops.iter()
        .map(|hop| kind.iter().filter(|o| o.from == *hop).count() as u64)
        .collect()
}

#[test]
fn loops_and_replies_look_alike_to_the_entry() {
    let Seen {
        loops,
        replies,
        mut network,
    } = watch();
    println!("{} loops, {} replies", loops.len(), replies.len());
    assert!(loops.len() > 400 && replies.len() > 400);

    let all = || loops.iter().chain(&replies);
    // No plaintext, one size, identifiers that never repeat, and the handle of the connection.
    let handles: BTreeMap<Party, Vec<[u8; 32]>> = network.clients().fold(
        BTreeMap::new(),
        |mut handles: BTreeMap<Party, Vec<[u8; 32]>>, client| {
            let handle = network.handle(client).unwrap().unwrap();
            handles
                .entry(network.entry(client).unwrap())
                .or_default()
                .push(*handle.as_bytes());
            handles
        },
    );
    assert!(all().all(|o| !o.readable && o.payload.plaintext().is_none()));
    assert!(all().all(|o| handles[&o.entry].contains(&o.destination)));
    assert!(all().all(|o| o.epoch_byte == network.epoch().byte()));
    let ids: BTreeSet<_> = all().map(|o| o.id).collect();
    assert_eq!(ids.len(), loops.len() + replies.len());
    assert!(ids.iter().all(|id| id.as_bytes() != &[0; 16]));

    // Both come from mixes of the last layer, from each as often.
    let hops: BTreeSet<Party> = all().map(|o| o.from).collect();
    let document = network.view(network.mixes().next().unwrap()).unwrap();
    let document = document.current(network.params(), network.now()).unwrap();
    let last: BTreeSet<Party> = document
        .mixes(3)
        .iter()
        .map(|id| network.party(id).unwrap())
        .collect();
    assert_eq!(hops, last);
    let previous = homogeneity(&hop_counts(&loops, &hops), &hop_counts(&replies, &hops));
    let bytes = homogeneity(&byte_counts(&loops), &byte_counts(&replies));

    // How long after the last packet for the same client, and after the client's last frame.
    let mut arrivals: BTreeMap<[u8; 32], Vec<Time>> = BTreeMap::new();
    for observation in network.observations() {
        arrivals
            .entry(observation.destination)
            .or_default()
            .push(observation.arrival);
    }
    let arrivals = |o: &Observation| arrivals[&o.destination].clone();
    let uplinks: BTreeMap<[u8; 32], Vec<Time>> = network
        .clients()
        .map(|client| {
            let handle = *network.handle(client).unwrap().unwrap().as_bytes();
            (
                handle,
                network.sent_at(client, network.entry(client).unwrap()),
            )
        })
        .collect();
    let sendings = |o: &Observation| uplinks[&o.destination].clone();
    let after_packet =
        shoal_stats::ks_two_sample(&gaps(&loops, arrivals), &gaps(&replies, arrivals)).unwrap();
    let after_frame =
        shoal_stats::ks_two_sample(&gaps(&loops, sendings), &gaps(&replies, sendings)).unwrap();
    println!(
        "p-values: previous hop {previous:.3}, bytes {bytes:.3}, after a packet {:.3}, after a \
         frame {:.3}",
        after_packet.p_value, after_frame.p_value
    );
    for p in [previous, bytes, after_packet.p_value, after_frame.p_value] {
        assert!(p > SIGNIFICANCE, "something tells them apart");
    }
    close_books(&mut network);
}
