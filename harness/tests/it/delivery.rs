//! Between every pair, across an epoch change, on links that lose packets.

use std::thread;

use shoal_client::ClientEvent;
use shoal_harness::{LinkDelay, Network, TraceHash};
use shoal_proto::{Span, Time};

use crate::support::{QUIET, START, close_books, received, run_checked, secs, stored};

const CLIENTS: usize = 10;

struct Outcome {
    hash: TraceHash,
    lines: u64,
}

fn network(seed: u64) -> Network {
    let builder = Network::builder(seed).providers(3).profile("quiet", QUIET);
    builder
        .clients(CLIENTS, "quiet")
        .link_delay(LinkDelay::Exponential {
            base: Span::from_millis(20),
            jitter: Span::from_millis(20),
        })
        .loss(0.02)
        .epoch(secs(40))
        // Backing off to minutes only makes the test longer.
        .client_config(|config| config.retry_max = secs(16))
        .loop_rate(0.1)
        .build()
        .unwrap()
}

/// Every client sends one message to every other: the first third at once, the others just
/// before and just after the switch.
fn exchange(seed: u64) -> Outcome {
    let mut network = network(seed);
    assert!(network.bring_up(START).unwrap());
    let genesis = network.params().genesis;
    let clients: Vec<_> = network.clients().collect();
    let at = |second: u64| genesis + secs(second);
    for (round, start) in [(0, at(8)), (1, at(32)), (2, at(42))] {
        run_until(&mut network, start);
        for (i, from) in clients.iter().enumerate() {
            let others = clients.iter().enumerate().filter(|(j, _)| *j != i);
            for (j, to) in others.filter(|(j, _)| j % 3 == round) {
                network.send(*from, *to, format!("{i} to {j}")).unwrap();
            }
        }
    }
    let pairs = CLIENTS * (CLIENTS - 1);
    while stored(network.happenings()).len() < pairs || received(network.happenings()).len() < pairs
    {
        let second = network.now().since(genesis).as_secs_f64();
        // Twelve seeds took 119 to 266 s: one message of 90 is lost three times and backs off.
        assert!(second < 400.0, "not done in time");
        run_checked(&mut network, 1);
    }
    // Long enough for what comes twice to come twice.
    run_checked(&mut network, 25);
    judge(&network, &clients);
    close_books(&mut network);
    Outcome {
        hash: network.trace_hash(),
        lines: network.trace_lines(),
    }
}

fn run_until(network: &mut Network, until: Time) {
    while network.now() < until {
        run_checked(network, 1);
    }
}

fn judge(network: &Network, clients: &[shoal_harness::Party]) {
    let happenings = network.happenings();
    let texts = received(happenings);
    for (i, _) in clients.iter().enumerate() {
        for (j, to) in clients.iter().enumerate().filter(|(j, _)| *j != i) {
            assert_eq!(
                texts.get(&(*to, format!("{i} to {j}"))),
                Some(&1),
                "{i} to {j}"
            );
        }
    }
    assert_eq!(texts.len(), CLIENTS * (CLIENTS - 1));
    let stored = stored(happenings);
    assert_eq!(stored.len(), CLIENTS * (CLIENTS - 1));
    assert!(stored.values().all(|count| *count == 1));

    // The exchange did cross a switch, with messages under way, and links did lose packets.
    let switch = network.params().start_of(shoal_proto::Epoch::new(1));
    let accepted = |h: &&shoal_harness::Happening| {
        matches!(h.client_event(), Some(ClientEvent::Accepted { .. })) && h.at < switch
    };
    let delivered = |h: &&shoal_harness::Happening| {
        matches!(h.client_event(), Some(ClientEvent::Received { .. })) && h.at < switch
    };
    let before = happenings.iter().filter(accepted).count();
    let done = happenings.iter().filter(delivered).count();
    assert!(
        done > 0 && before > done,
        "{done} of {before} were delivered before the switch"
    );
    let frames = network.audit().frames();
    let share = frames.lost as f64 / frames.sent as f64;
    assert!(
        (0.017..0.023).contains(&share),
        "{share} of the packets were lost"
    );
    println!(
        "{} frames, {} lost; {before} accepted and {done} delivered before the switch",
        frames.sent, frames.lost
    );
}

#[test]
fn every_pair_exchanges_a_message_and_a_seed_repeats_it() {
    let again = thread::spawn(|| exchange(1));
    let other = thread::spawn(|| {
        let mut network = network(2);
        assert!(network.bring_up(START).unwrap());
        network.run_for(secs(8)).unwrap();
        network.trace_hash()
    });
    let first = exchange(1);
    let again = again.join().unwrap();
    assert_eq!((first.hash, first.lines), (again.hash, again.lines));
    assert_ne!(first.hash, other.join().unwrap());
}
