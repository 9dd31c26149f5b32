//! Messages while half of a layer is gone and the directory does not know it yet: with epochs of an hour, for three minutes.

use std::collections::BTreeMap;

use shoal_client::ClientEvent;
use shoal_harness::{LinkDelay, Network, Party};
use shoal_proto::{MessageId, Span, Time};

use crate::support::{START, close_books, secs};

const CLIENTS: usize = 6;
/// Of each client, one every ten seconds.
const TEXTS: usize = 15;

fn stored_in(network: &Network) -> usize {
    let events = network.happenings().iter().filter_map(|h| h.client_event());
    events
        .filter(|event| matches!(event, ClientEvent::Stored { .. }))
        .count()
}

/// A try comes through one time in two, and its receipt comes back one time in two. The link carries as
/// many packets with tries as without, so they follow each other closely; none is lost, and what a
/// sender wrote comes in order.
#[test]
fn with_half_of_a_layer_gone_texts_are_stored_in_time() {
    let mut network = Network::builder(11)
        .mixes(3, 2)
        .providers(3)
        .epoch(Span::from_secs(3600))
        .clients(CLIENTS, "default")
        .link_delay(LinkDelay::Fixed(Span::from_millis(40)))
        .loop_rate(0.1)
        .build()
        .unwrap();
    assert!(network.bring_up(START).unwrap());
    network.run_for(secs(8)).unwrap();
    let mix = network.mixes().next().unwrap();
    network.crash(mix);
    network.take_happenings();
    let clients: Vec<Party> = network.clients().collect();
    let receivers = clients.iter().cycle().skip(1);
    let pairs: Vec<(Party, Party)> = clients.iter().copied().zip(receivers.copied()).collect();
    for text in 0..TEXTS {
        for (from, to) in &pairs {
            network.send(*from, *to, text.to_string()).unwrap();
        }
        network.run_for(secs(10)).unwrap();
    }
    // More than one in ten need more than the quick tries: nine of ten are measured, and the rest are not
    // lost. They come once the layer is whole.
    let most = |n: &Network| stored_in(n) > CLIENTS * TEXTS * 9 / 10;
    assert!(network.run_until_done(secs(300), most).unwrap());
    network.start(mix).unwrap();
    let all = |n: &Network| stored_in(n) == CLIENTS * TEXTS;
    assert!(network.run_until_done(secs(300), all).unwrap());
    network.run_for(secs(90)).unwrap();
    let mut accepted: BTreeMap<MessageId, Time> = BTreeMap::new();
    let mut stored: Vec<f64> = Vec::new();
    let mut received: BTreeMap<Party, Vec<(u64, u64)>> = BTreeMap::new();
    for happening in network.take_happenings() {
        match happening.client_event() {
            Some(ClientEvent::Accepted { message, .. }) => {
                accepted.insert(*message, happening.at);
            }
            Some(ClientEvent::Stored { message }) => {
                let since = accepted.remove(message).unwrap();
                stored.push(happening.at.since(since).as_secs_f64());
            }
            Some(ClientEvent::Received {
                sequence,
                gap_before,
                ..
            }) => {
                let told = received.entry(happening.client).or_default();
                told.push((*sequence, *gap_before));
            }
            _ => {}
        }
    }
    let quantile = |q| shoal_stats::quantile(&stored, q).unwrap();
    println!(
        "{} texts stored: p50 {:.1} s, p90 {:.1} s",
        stored.len(),
        quantile(0.5),
        quantile(0.9),
    );
    assert!(accepted.is_empty(), "{} are not stored", accepted.len());
    assert_eq!(stored.len(), CLIENTS * TEXTS);
    assert!(quantile(0.5) < 12.0 && quantile(0.9) < 60.0);
    for told in received.values() {
        let mut numbers: Vec<u64> = told.iter().map(|(sequence, _)| *sequence).collect();
        let inversions = numbers.windows(2).filter(|pair| pair[0] > pair[1]).count();
        // Only what was a gap for a minute can come late.
        let gaps: u64 = told.iter().map(|(_, gap)| gap).sum();
        assert!(inversions as u64 <= gaps, "{told:?}");
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..TEXTS as u64), "each comes, once");
    }
    close_books(&mut network);
}
