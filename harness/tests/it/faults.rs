//! What goes wrong on a schedule or by chance.

use std::collections::BTreeSet;

use shoal_harness::{
    Fault, Flow, Kind, LinkDelay, LinkFault, Network, NetworkBuilder, Party, Trouble,
};

use crate::support::{QUIET, START, brings, close_books, run_checked, secs, told};

fn builder(seed: u64) -> NetworkBuilder {
    Network::builder(seed)
        .mixes(3, 1)
        .profile("quiet", QUIET)
        .clients(4, "quiet")
        .loop_rate(0.1)
        .client_config(|config| config.retry_max = secs(15))
}

fn network(seed: u64) -> Network {
    let mut network = builder(seed).keep_trace().build().unwrap();
    assert!(network.bring_up(START).unwrap());
    network
}

fn set(parties: &[Party]) -> BTreeSet<Party> {
    parties.iter().copied().collect()
}

#[test]
fn nothing_crosses_a_cut_and_everything_arrives_after_it() {
    let mut network = network(30);
    let clients: Vec<Party> = network.clients().collect();
    let entry = network.entry(clients[0]).unwrap();
    let island = set(&[clients[0], entry]);
    let now = network.now();
    network
        .schedule(
            Fault::Partition(island.clone()),
            now + secs(5),
            Some(secs(40)),
        )
        .unwrap();
    run_checked(&mut network, 6);
    network
        .send(clients[0], clients[1], "across the cut")
        .unwrap();
    run_checked(&mut network, 38);
    let arrived = |n: &Network| told(n, clients[1], brings("across the cut")).is_some();
    assert!(!arrived(&network));
    // What was on its way when the cut was made has long arrived.
    let crossed = network.trace().iter().filter(|line| {
        let across = island.iter().any(|p| p.number() == line.party)
            != island.iter().any(|p| p.number() == line.other);
        line.kind == Kind::FrameReceived && across && line.at > now + secs(6)
    });
    assert_eq!(crossed.count(), 0);
    assert!(network.fault_counts().cut_frames > 10);
    assert!(network.run_until_done(secs(120), arrived).unwrap());
    assert_eq!(network.trace_count(Kind::FaultBegan), 1);
    assert_eq!(network.trace_count(Kind::FaultEnded), 1);
    close_books(&mut network);
}

#[test]
fn a_node_that_was_cut_off_over_a_switch_catches_up() {
    let mut network = Network::builder(34)
        .epoch(secs(60))
        .loop_rate(0.0)
        .build()
        .unwrap();
    assert!(network.bring_up(START).unwrap());
    let away = network.mixes().next().unwrap();
    let start = network.params().start_of(shoal_proto::Epoch::new(0));
    // Its descriptor for epoch 1 has spread; it misses those of the others for epoch 2.
    let cut = Fault::Partition(set(&[away]));
    network
        .schedule(cut, start + secs(40), Some(secs(100)))
        .unwrap();
    network.run_until(start + secs(139)).unwrap();
    let epoch = |n: &Network| {
        let document = n.view(away).unwrap().current(n.params(), n.now()).cloned();
        document.map(|document| document.epoch())
    };
    assert_ne!(epoch(&network), Some(network.epoch()));
    network.run_until(start + secs(155)).unwrap();
    assert_eq!(epoch(&network), Some(network.epoch()));
}

#[test]
fn links_lose_and_delay_as_long_as_they_are_told_to() {
    let mut network = builder(31).follow().build().unwrap();
    assert!(network.bring_up(START).unwrap());
    let mixes: Vec<Party> = network.mixes().collect();
    let fault = |loss, millis| {
        Fault::Link(LinkFault {
            who: set(&mixes),
            with: Some(set(&mixes)),
            delay: LinkDelay::Fixed(shoal_proto::Span::from_millis(millis)),
            loss,
        })
    };
    assert!(
        network
            .schedule(fault(1.5, 0), network.now(), None)
            .is_err()
    );
    run_checked(&mut network, 1);
    let (start, lost) = (network.now(), |n: &Network| n.audit().members.lost);
    network
        .schedule(fault(0.0, 300), start, Some(secs(10)))
        .unwrap();
    network
        .schedule(fault(1.0, 0), start + secs(20), None)
        .unwrap();
    run_checked(&mut network, 20);
    assert_eq!(lost(&network), 0);
    run_checked(&mut network, 10);
    assert!(lost(&network) > 10);
    network.calm().unwrap();
    // What was lost before comes to its end.
    run_checked(&mut network, 1);
    let before = lost(&network);
    run_checked(&mut network, 10);
    assert_eq!(lost(&network), before);

    // From mix to mix it took 40 ms, and 340 ms within the first ten seconds.
    let mut departed = std::collections::BTreeMap::new();
    let (mut slow, mut fast) = (0, 0);
    for event in network.flow() {
        match event.flow {
            Flow::Departed { node } if mixes.contains(&node) => {
                departed.insert(event.packet, event.at);
            }
            Flow::Arrived { node } if mixes.contains(&node) => {
                let Some(left) = departed.remove(&event.packet) else {
                    continue;
                };
                let millis = event.at.since(left).as_micros() / 1000;
                let slowed = left >= start && left < start + secs(10);
                // A link keeps the order: who leaves just after waits for who left before.
                let behind = left >= start + secs(10) && left < start + secs(11);
                assert!(
                    millis == if slowed { 340 } else { 40 } || behind,
                    "{millis}"
                );
                slow += u32::from(slowed && millis == 340);
                fast += u32::from(!slowed);
            }
            _ => {
                departed.remove(&event.packet);
            }
        }
    }
    assert!(slow > 20 && fast > 20, "{slow} {fast}");
    close_books(&mut network);
}

#[test]
fn a_party_is_back_when_nothing_holds_it_back() {
    let mut network = network(32);
    let (mix, client) = (
        network.mixes().next().unwrap(),
        network.clients().next().unwrap(),
    );
    let now = network.now();
    for (from, lasting) in [(1, 10), (5, 10)] {
        for fault in [Fault::Crash(set(&[mix])), Fault::Offline(set(&[client]))] {
            network
                .schedule(fault, now + secs(from), Some(secs(lasting)))
                .unwrap();
        }
    }
    let attached = |n: &Network| n.handle(client).unwrap().is_some();
    for second in [2, 7, 12, 14] {
        network.run_until(now + secs(second)).unwrap();
        assert!(!network.is_up(mix) && !attached(&network), "{second}");
    }
    network.run_until(now + secs(17)).unwrap();
    assert!(network.is_up(mix) && attached(&network));
    assert_eq!(network.fault_counts().crashes, 1);
    assert_eq!(network.fault_counts().offline, 1);
    close_books(&mut network);
}

#[test]
fn parties_fall_into_trouble_at_their_rate_and_are_released() {
    let mut network = network(33);
    let (mixes, clients): (Vec<Party>, Vec<Party>) =
        (network.mixes().collect(), network.clients().collect());
    for mix in &mixes {
        network.trouble(*mix, Trouble::Crash, secs(9), secs(1));
    }
    for client in &clients {
        network.trouble(*client, Trouble::Offline, secs(6), secs(4));
    }
    run_checked(&mut network, 100);
    let counts = network.fault_counts();
    // Renewal processes of mean gap 10 s: three mixes and four clients for 100 s, so 30 and 40 on
    // average; the standard deviation is below the Poisson process's.
    assert!((8..=52).contains(&counts.crashes), "{counts:?}");
    assert!((15..=65).contains(&counts.offline), "{counts:?}");
    network.calm().unwrap();
    run_checked(&mut network, 5);
    assert!(mixes.iter().all(|mix| network.is_up(*mix)));
    assert!(
        clients
            .iter()
            .all(|c| network.handle(*c).unwrap().is_some())
    );
    close_books(&mut network);
}
