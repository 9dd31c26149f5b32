//! What becomes of a network when members die, leave, or vanish and come back.

use std::collections::{BTreeMap, BTreeSet};

use shoal_client::ClientEvent;
use shoal_harness::{LinkDelay, Network, Party};
use shoal_proto::{NodeId, Span};

use crate::support::{START, close_books, secs};

const CLIENTS: usize = 6;
const EPOCH: Span = Span::from_secs(600);

/// Three layers of so many mixes and so many providers, which has been up for a minute.
fn network(seed: u64, (width, providers): (usize, usize), epoch: Span) -> Network {
    let mut network = Network::builder(seed)
        .mixes(3, width)
        .providers(providers)
        .epoch(epoch)
        .clients(CLIENTS, "default")
        .link_delay(LinkDelay::Fixed(Span::from_millis(40)))
        .build()
        .unwrap();
    assert!(network.bring_up(START).unwrap());
    network.run_for(secs(60)).unwrap();
    network
}

/// Whom a node's documents take for suspended.
fn suspended(network: &Network, node: Party) -> BTreeSet<NodeId> {
    let view = network.view(node).unwrap();
    let documents = view.documents.values();
    documents.flat_map(|it| it.suspended().clone()).collect()
}

/// Whether all nodes that are up take just these for suspended.
fn all_know(network: &Network, expected: &BTreeSet<NodeId>) -> bool {
    let up = network.nodes().filter(|node| network.is_up(*node));
    up.into_iter()
        .all(|node| suspended(network, node) == *expected)
}

fn ids(network: &Network, parties: &[Party]) -> BTreeSet<NodeId> {
    parties.iter().filter_map(|it| network.id(*it)).collect()
}

/// What came of texts that clients sent for so many seconds, one each in three.
struct Came {
    /// How long each took to be stored, in seconds.
    took: Vec<f64>,
    /// Texts that were not stored within five minutes.
    missing: usize,
    /// Packets that were dropped, of all that set out.
    lost: f64,
}

impl Came {
    fn quantile(&self, q: f64) -> f64 {
        shoal_stats::quantile(&self.took, q).unwrap()
    }

    fn print(&self, what: &str) {
        println!(
            "{what}: {} texts stored, {} not; p50 {:.2} s, p90 {:.2} s, p99 {:.2} s; {:.2}% of packets lost",
            self.took.len(),
            self.missing,
            self.quantile(0.5),
            self.quantile(0.9),
            self.quantile(0.99),
            100.0 * self.lost,
        );
    }
}

/// Packets that set out, and that were dropped.
fn counted(network: &Network) -> (u64, u64) {
    let audit = network.audit();
    (audit.clients_sent + audit.nodes_originated, audit.dropped)
}

fn send_for(network: &mut Network, from: &[Party], seconds: u64) -> Came {
    network.take_happenings();
    let before = counted(network);
    for text in 0..seconds / 3 {
        for (place, client) in from.iter().enumerate() {
            let to = from[(place + 1) % from.len()];
            network.send(*client, to, text.to_string()).unwrap();
        }
        network.run_for(secs(3)).unwrap();
    }
    let after = counted(network);
    let (mut accepted, mut took) = (BTreeMap::new(), Vec::new());
    let mut look = |network: &mut Network| {
        for happening in network.take_happenings() {
            match happening.client_event() {
                Some(ClientEvent::Accepted { message, .. }) => {
                    accepted.insert(*message, happening.at);
                }
                Some(ClientEvent::Stored { message }) => {
                    if let Some(since) = accepted.remove(message) {
                        took.push(happening.at.since(since).as_secs_f64());
                    }
                }
                _ => {}
            }
        }
        accepted.is_empty()
    };
    // Five minutes, or until nothing is left to wait for.
    for _ in 0..300 {
        network.run_for(secs(1)).unwrap();
        if look(network) {
            break;
        }
    }
    Came {
        took,
        missing: accepted.len(),
        lost: (after.1 - before.1) as f64 / (after.0 - before.0) as f64,
    }
}

fn clients(network: &Network) -> Vec<Party> {
    network.clients().collect()
}

/// One of two mixes of a layer is killed. A text takes as long afterwards as in a whole network: in one as in the other
/// some three in a hundred receipts are due before the store has written, so that they are tried twice.
#[test]
fn a_network_that_lost_half_of_a_layer_is_whole_again_within_minutes() {
    let mut network = network(21, (2, 3), EPOCH);
    let all = clients(&network);
    let before = send_for(&mut network, &all, 180);
    before.print("before");
    let mix = network.mixes().next().unwrap();
    let dead = ids(&network, &[mix]);
    network.crash(mix);
    let killed = network.now();
    let amended = |n: &Network| all_know(n, &dead);
    assert!(network.run_until_done(secs(180), amended).unwrap());
    println!(
        "amended after {:.1} s",
        network.now().since(killed).as_secs_f64()
    );
    network.run_for(secs(60)).unwrap();
    let after = send_for(&mut network, &all, 180);
    after.print("from a minute after the amendment");
    assert!(after.lost < 0.02, "{}", after.lost);
    assert!(after.quantile(0.99) < 1.3 * before.quantile(0.99));
    assert!(after.quantile(0.99) < 5.0, "{}", after.quantile(0.99));
    assert_eq!((before.missing, after.missing), (0, 0));

    // It comes back, and routes lead over it again.
    network.start(mix).unwrap();
    let whole = |n: &Network| all_know(n, &BTreeSet::new());
    assert!(network.run_until_done(secs(1200), whole).unwrap());
    network.run_for(secs(60)).unwrap();
    close_books(&mut network);
}

/// The same by a signal: nothing shows.
#[test]
fn a_mix_that_leaves_costs_no_text_any_time() {
    let short = Span::from_secs(200);
    let run = |leaves: bool| {
        let mut network = network(22, (2, 3), short);
        let mix = network.mixes().next().unwrap();
        if leaves {
            network.leave(mix, short.scale(5, 2)).unwrap();
        }
        let all = clients(&network);
        let came = send_for(&mut network, &all, 450);
        assert_eq!(network.is_up(mix), !leaves, "it is out, and has ended");
        came.print(if leaves {
            "with a mix that leaves"
        } else {
            "without"
        });
        assert_eq!(came.missing, 0);
        close_books(&mut network);
        came
    };
    let (with, without) = (run(true), run(false));
    assert!(with.quantile(0.99) < 1.2 * without.quantile(0.99));
    assert_eq!(with.lost, without.lost, "nothing is lost");
}

/// Of thirteen members four vanish within a minute, one of each position, and come back. What is for a mailbox of the
/// provider that is gone waits for that: there is one copy of it.
#[test]
fn three_tenths_that_vanish_cost_minutes_and_all_are_back_within_two_epochs() {
    let mut network = network(23, (3, 4), EPOCH);
    let mixes: Vec<Party> = network.mixes().collect();
    let provider = network.providers().last().unwrap();
    let gone = [mixes[0], mixes[3], mixes[6], provider];
    for node in gone {
        network.crash(node);
        network.run_for(secs(15)).unwrap();
    }
    let with_entry: Vec<Party> = clients(&network)
        .into_iter()
        .filter(|client| {
            let entry = network.entry(*client);
            let mailbox = network.mailbox(*client).unwrap();
            let mailbox = network.party(&mailbox).unwrap();
            entry.is_ok_and(|entry| network.is_up(entry)) && network.is_up(mailbox)
        })
        .collect();
    assert!(with_entry.len() >= 2, "{}", with_entry.len());
    let came = send_for(&mut network, &with_entry, 60);
    came.print("while three tenths are gone");
    let all = came.took.len() + came.missing;
    let in_time = came.took.iter().filter(|took| **took < 300.0).count();
    assert!(in_time * 10 >= all * 9, "{in_time} of {all}");
    for node in gone {
        network.start(node).unwrap();
    }
    let back = |n: &Network| all_know(n, &BTreeSet::new());
    let ready = |n: &Network| {
        let view = n.view(mixes[1]).unwrap();
        let newest = view.documents.values().next_back().unwrap();
        gone.iter().all(|node| {
            let member = newest.member(&n.id(*node).unwrap());
            member.is_some_and(|member| member.position().is_some())
        })
    };
    let whole = |n: &Network| back(n) && ready(n);
    assert!(network.run_until_done(EPOCH.scale(2, 1), whole).unwrap());
    close_books(&mut network);
}
