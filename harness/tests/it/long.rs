//! Messages of several packets: what losses cost them, and what they cost others.

use std::collections::BTreeMap;
use std::thread;

use shoal_client::{ClientEvent, MAX_TEXT_BYTES};
use shoal_harness::{Fault, LinkDelay, LinkFault, Network, Party};
use shoal_proto::Span;
use shoal_proto::size::TEXT_BYTES_PER_PACKET;
use shoal_stats::quantile;

use crate::support::{START, brings, close_books, secs, told};

const CLIENTS: usize = 8;
/// Messages of a measurement: 104. Not 40 rounds: a drop id takes 1024 deposits in an hour.
const ROUNDS: usize = 13;
const FRAGMENTS: usize = 20;

fn network(seed: u64) -> Network {
    let mut network = Network::builder(seed)
        .providers(3)
        .clients(CLIENTS, "default")
        .link_delay(LinkDelay::Fixed(Span::from_millis(40)))
        .loop_rate(0.1)
        .build()
        .unwrap();
    assert!(network.bring_up(START).unwrap());
    network
}

/// From here on so many packets are lost among the mixes, one way: on one of two links.
fn lose(network: &mut Network, share: f64) {
    let mixes = network.mixes().collect::<std::collections::BTreeSet<_>>();
    let fault = LinkFault {
        who: mixes.clone(),
        with: Some(mixes),
        delay: LinkDelay::Fixed(Span::ZERO),
        loss: 1.0 - (1.0 - share).sqrt(),
    };
    let now = network.now();
    network.schedule(Fault::Link(fault), now, None).unwrap();
}

/// From the moment that a message of twenty packets is taken to the moments that its receiver has it
/// and that its sender knows it stored, in seconds. Every client sends to its neighbour, and all wait
/// for each other and until nothing is under way.
fn times(seed: u64, loss: f64) -> (Vec<f64>, Vec<f64>) {
    let mut network = network(seed);
    lose(&mut network, loss);
    // The mailboxes have their stock.
    network.run_for(secs(8)).unwrap();
    let clients: Vec<Party> = network.clients().collect();
    let text = vec![b'x'; FRAGMENTS * TEXT_BYTES_PER_PACKET];
    let (mut received, mut stored) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        network.take_happenings();
        let mut pairs = clients.iter().zip(clients.iter().cycle().skip(1));
        pairs
            .try_for_each(|(from, to)| network.send(*from, *to, text.clone()).map(|_| ()))
            .unwrap();
        let count = |network: &Network, is: fn(&ClientEvent) -> bool| {
            let events = network
                .happenings()
                .iter()
                .filter_map(|it| it.client_event());
            events.filter(|event| is(event)).count()
        };
        let done = |network: &Network| {
            let come = count(network, |event| {
                matches!(event, ClientEvent::Received { .. })
            });
            let known = count(network, |event| matches!(event, ClientEvent::Stored { .. }));
            come == CLIENTS && known == CLIENTS
        };
        assert!(network.run_until_done(secs(600), done).unwrap());
        network.run_for(secs(15)).unwrap();
        let mut accepted = BTreeMap::new();
        for happening in network.take_happenings() {
            let since = |at| happening.at.since(at).as_secs_f64();
            match happening.client_event() {
                Some(ClientEvent::Accepted { message, .. }) => {
                    accepted.insert(*message, happening.at);
                }
                Some(ClientEvent::Received { message, .. }) => {
                    received.push(since(accepted[message]))
                }
                Some(ClientEvent::Stored { message }) => stored.push(since(accepted[message])),
                _ => {}
            }
        }
    }
    close_books(&mut network);
    (received, stored)
}

fn show(what: &str, (received, stored): &(Vec<f64>, Vec<f64>)) {
    let at = |times: &[f64], q| quantile(times, q).unwrap();
    println!(
        "{what}: {} messages, received p50 {:.2} s, p90 {:.2} s, max {:.2} s; stored p50 {:.2} s, p90 {:.2} s",
        received.len(),
        at(received, 0.5),
        at(received, 0.9),
        at(received, 1.0),
        at(stored, 0.5),
        at(stored, 0.9),
    );
}

/// Any twenty of twenty-six packets are the message, so that the losses cost no round trip.
#[test]
fn twenty_packets_with_one_in_twenty_lost_take_little_longer() {
    let with = thread::spawn(|| times(5, 0.05));
    let without = times(5, 0.0);
    let with = with.join().unwrap();
    show("none lost", &without);
    show("5% lost", &with);
    let median = |(received, _): &(Vec<f64>, Vec<f64>)| quantile(received, 0.5).unwrap();
    let ratio = median(&with) / median(&without);
    println!("ratio of the medians {ratio:.3}");
    assert!(without.0.len() >= 100 && with.0.len() >= 100);
    assert!(ratio < 1.3, "{ratio}");
}

/// The mailbox serves its drop ids in turn.
#[test]
fn a_contacts_short_message_comes_before_the_longest_one_that_lies_there() {
    let mut network = network(6);
    let clients: Vec<Party> = network.clients().collect();
    let (alice, bob, carol) = (clients[0], clients[1], clients[2]);
    // Carol gets a drop id of her own for her answers.
    network.send(bob, carol, "write to me").unwrap();
    let come = |n: &Network| told(n, carol, brings("write to me")).is_some();
    assert!(network.run_until_done(secs(60), come).unwrap());
    // The mailbox knows it, and then Bob is away.
    network.run_for(secs(180)).unwrap();
    network.set_online(bob, false).unwrap();
    let long = "x".repeat(MAX_TEXT_BYTES);
    network.send(alice, bob, long.clone()).unwrap();
    let stored =
        |n: &Network, who| told(n, who, |it| matches!(it, ClientEvent::Stored { .. })).is_some();
    assert!(
        network
            .run_until_done(secs(300), |n| stored(n, alice))
            .unwrap()
    );
    network.send(carol, bob, "short").unwrap();
    assert!(
        network
            .run_until_done(secs(60), |n| stored(n, carol))
            .unwrap()
    );

    network.set_online(bob, true).unwrap();
    let back = network.now();
    let come = |n: &Network| told(n, bob, brings(&long)).is_some();
    assert!(network.run_until_done(secs(300), come).unwrap());
    let after = |text| {
        told(&network, bob, brings(text))
            .unwrap()
            .since(back)
            .as_secs_f64()
    };
    let (short, long) = (after("short"), after(long.as_str()));
    println!("back online, the short one after {short:.2} s, and the long one after {long:.2} s");
    // 64 packets at 2 per second.
    assert!(short < 10.0 && long > 25.0, "{short} {long}");
    close_books(&mut network);
}
