//! The promise of the default profile.

use std::collections::BTreeMap;

use shoal_client::ClientEvent;
use shoal_harness::{LinkDelay, Network, Party};
use shoal_proto::Span;

use crate::support::{START, close_books, secs};

const CLIENTS: usize = 8;
/// The 99th percentile of a few hundred messages would be a few messages' luck.
const MESSAGES: usize = 3000;

/// From the moment that a message is taken to the moment that its receiver has it, in seconds.
/// Every client sends to its neighbour, one message at a time.
fn latencies(network: &mut Network, count: usize) -> Vec<f64> {
    let clients: Vec<Party> = network.clients().collect();
    let pairs: BTreeMap<Party, Party> = clients
        .iter()
        .copied()
        .zip(clients.iter().copied().cycle().skip(1))
        .collect();
    let back: BTreeMap<Party, Party> = pairs.iter().map(|(from, to)| (*to, *from)).collect();
    for (from, to) in &pairs {
        network.send(*from, *to, "a short message").unwrap();
    }
    let (mut accepted, mut latencies) = (BTreeMap::new(), Vec::new());
    while latencies.len() < count {
        assert!(
            network
                .run_until_done(secs(60), |n| !n.happenings().is_empty())
                .unwrap()
        );
        for happening in network.take_happenings() {
            let Some(event) = happening.client_event() else {
                continue;
            };
            match event {
                ClientEvent::Accepted { message, .. } => {
                    accepted.insert(*message, happening.at);
                }
                ClientEvent::Received { message, .. } => {
                    let since = accepted.remove(message).unwrap();
                    latencies.push(happening.at.since(since).as_secs_f64());
                    let (from, to) = (back[&happening.client], happening.client);
                    network.send(from, to, "a short message").unwrap();
                }
                _ => {}
            }
        }
    }
    latencies
}

#[test]
fn the_default_profile_delivers_in_time() {
    let mut network = Network::builder(3)
        .providers(3)
        .clients(CLIENTS, "default")
        .link_delay(LinkDelay::Fixed(Span::from_millis(40)))
        .loop_rate(0.1)
        .build()
        .unwrap();
    assert!(network.bring_up(START).unwrap());
    // The mailboxes have their stock.
    network.run_for(secs(8)).unwrap();
    network.take_happenings();
    let latencies = latencies(&mut network, MESSAGES);
    let quantile = |q| shoal_stats::quantile(&latencies, q).unwrap();
    println!(
        "{} messages: p50 {:.2} s, p90 {:.2} s, p99 {:.2} s, max {:.2} s, mean {:.2} s",
        latencies.len(),
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(1.0),
        shoal_stats::mean(&latencies).unwrap(),
    );
    assert!(quantile(0.5) < 2.5);
    assert!(quantile(0.99) < 5.0);
    close_books(&mut network);
}
