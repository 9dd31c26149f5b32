//! The promise of the default profile.

use std::collections::BTreeMap;
use std::ops::Range;

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

/// A network of eight clients, each with a place for contacts and one for strangers at providers that it draws.
fn brought_up(seed: u64) -> (Network, Vec<Party>) {
    let mut builder = Network::builder(seed)
        .providers(3)
        .link_delay(LinkDelay::Fixed(Span::from_millis(40)))
        .loop_rate(0.1);
    for place in 0..CLIENTS {
        builder = builder.client_with("default", Some(place % 3), &[]);
    }
    let mut network = builder.build().unwrap();
    assert!(network.bring_up(START).unwrap());
    let clients: Vec<Party> = network.clients().collect();
    network.run_for(secs(60)).unwrap();
    (network, clients)
}

/// How long so many texts took among clients who know each other.
fn measured(seed: u64, count: usize) -> Vec<f64> {
    let (mut network, clients) = brought_up(seed);
    // Each writes to both neighbours: then each knows where the other is for contacts.
    for (at, to) in clients.iter().enumerate() {
        for from in [at + 1, at + CLIENTS - 1] {
            let from = clients[from % CLIENTS];
            network.send(from, *to, "who I am").unwrap();
        }
    }
    let all = |network: &Network| {
        let events = network
            .happenings()
            .iter()
            .filter_map(|it| it.client_event());
        let received = events.filter(|it| matches!(it, ClientEvent::Received { .. }));
        received.count() == 2 * CLIENTS
    };
    assert!(network.run_until_done(secs(1800), all).unwrap());
    network.take_happenings();
    let latencies = latencies(&mut network, count);
    close_books(&mut network);
    latencies
}

fn quantile(latencies: &[f64], q: f64) -> f64 {
    shoal_stats::quantile(latencies, q).unwrap()
}

#[test]
fn the_default_profile_delivers_in_time() {
    let latencies = measured(3, MESSAGES);
    println!(
        "{} messages: p50 {:.2} s, p90 {:.2} s, p99 {:.2} s, max {:.2} s, mean {:.2} s",
        latencies.len(),
        quantile(&latencies, 0.5),
        quantile(&latencies, 0.9),
        quantile(&latencies, 0.99),
        quantile(&latencies, 1.0),
        shoal_stats::mean(&latencies).unwrap(),
    );
    assert!(quantile(&latencies, 0.5) < 2.3);
    assert!(quantile(&latencies, 0.99) < 5.0);
}

/// What the profile's rates are chosen by: p99 of each of ten seeds, and the upper end of its 95% interval.
#[test]
#[ignore = "ten minutes"]
fn the_promise_holds_over_ten_seeds() {
    let all: Vec<Vec<f64>> = (100..110).map(|seed| measured(seed, MESSAGES)).collect();
    let p99: Vec<f64> = all.iter().map(|it| quantile(it, 0.99)).collect();
    let p50: Vec<f64> = all.iter().map(|it| quantile(it, 0.5)).collect();
    let (mean, n) = (shoal_stats::mean(&p99).unwrap(), p99.len() as f64);
    let squares = p99.iter().map(|it| (it - mean).powi(2)).sum::<f64>();
    // Student's t of nine degrees of freedom, one-sided.
    let upper = mean + 1.833 * (squares / (n - 1.0)).sqrt() / n.sqrt();
    println!("p50 {p50:.2?}\np99 {p99:.2?}\nmean {mean:.2} s, upper 95% limit {upper:.2} s");
    assert!(p50.iter().all(|it| *it < 2.3));
    assert!(upper < 5.0);
}

/// From when somebody is invited to when the first text of who accepts at once is there, both online: of so many pairs.
fn first_texts(seed: u64, rounds: usize) -> Vec<f64> {
    let (mut network, clients) = brought_up(seed);
    let mut all = Vec::new();
    // Everybody with everybody, one after the other.
    let pairs =
        (1..CLIENTS).flat_map(|step| (0..CLIENTS).map(move |at| (at, (at + step) % CLIENTS)));
    for (to, from) in pairs.take(rounds) {
        network.take_happenings();
        let begun = network.now();
        let invitation = network.invite(clients[to]).unwrap();
        network
            .send_by(clients[from], &invitation, "who I am")
            .unwrap();
        let whom = clients[to];
        let come = |n: &Network| {
            let mut events = n.happenings().iter().filter(|it| it.client == whom);
            events.any(|it| matches!(it.client_event(), Some(ClientEvent::Received { .. })))
        };
        assert!(network.run_until_done(secs(300), come).unwrap());
        all.push(network.now().since(begun).as_secs_f64());
    }
    all
}

/// How long they took, of so many networks.
fn many_first_texts(seeds: Range<u64>) -> Vec<f64> {
    let all: Vec<f64> = seeds.flat_map(|seed| first_texts(seed, 28)).collect();
    println!(
        "{} first texts: p50 {:.2} s, p90 {:.2} s, p99 {:.2} s, max {:.2} s",
        all.len(),
        quantile(&all, 0.5),
        quantile(&all, 0.9),
        quantile(&all, 0.99),
        quantile(&all, 1.0),
    );
    all
}

/// Less than 15 s, of which people take some to pass the link on: that is not in it. Of 84, a hundredth is one: two may
/// take longer.
#[test]
fn a_first_text_by_an_invitation_takes_some_seconds() {
    let all = many_first_texts(0..3);
    assert!(quantile(&all, 0.5) < 5.0);
    assert!(quantile(&all, 0.9) < 10.0);
    assert!(all.iter().filter(|it| **it > 15.0).count() <= 2);
}

/// What the share of the place for strangers is chosen by.
#[test]
#[ignore = "three minutes"]
fn first_texts_take_some_seconds_over_many_seeds() {
    assert!(quantile(&many_first_texts(6..30), 0.99) < 15.0);
}
