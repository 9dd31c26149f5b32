//! Tests of the engine as a whole.

use super::mass::Mass;
use super::recording::Recording;
use super::*;
use crate::stats::ks_two_sample;

/// One layer or more of uniform mixes without providers, one class of saturated clients.
pub(super) fn plan(layers: &[usize], clients: u32, rate: f64, mean: f64, link: f64) -> Plan {
    Plan {
        network: Network {
            routes: Routes::Stratified,
            layers: layers.iter().map(|width| vec![1.0; *width]).collect(),
            providers: 0,
            mix_delay: Delay::Exponential { mean },
            provider_delay: Delay::Exponential { mean },
            server: None,
            mix_loops: 0.0,
        },
        links: Links::all(&Link::Constant(link), layers.len()),
        classes: vec![Class {
            count: clients,
            real: rate,
            loops: 0.0,
            drops: 0.0,
            dummies: true,
            workload: Workload::Saturated,
            receivers: Receivers::Uniform,
            buffer: 100,
            churn: None,
        }],
        trace: Vec::new(),
        phases: Phases {
            warm_up: 20.0 * mean,
            measurement: 1000.0 * mean,
            drain: 40.0 * mean,
        },
        droppers: Vec::new(),
        targets: None,
        groups: Vec::new(),
        bin: None,
    }
}

#[test]
fn a_mix_is_a_queue_with_infinitely_many_servers() {
    let mut plan = plan(&[1], 10, 0.5, 1.0, 0.0);
    plan.phases.measurement = 200_000.0;
    let outcome = run(&plan, 1, 0, &mut ()).unwrap();
    let pool = outcome.occupancy[0];
    // The standard error of the mean is sqrt(2 rho / T) = 0.007.
    assert!((pool.mean - 5.0).abs() < 0.03, "{pool:?}");
    assert!((pool.variance - 5.0).abs() < 0.07, "{pool:?}");
    assert!((pool.arrival_rate - 5.0).abs() < 0.02, "{pool:?}");
    let latency = outcome.latency(Kind::Real, false);
    assert!((latency.mean().unwrap() - 1.0).abs() < 0.02);
    assert!((latency.quantile(0.5).unwrap() - std::f64::consts::LN_2).abs() < 0.02);
    assert_eq!(outcome.measured(Kind::Real).under_way(), 0);
    assert_eq!(outcome.hops, 2 * outcome.total[0].delivered);
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let mut plan = plan(&[3, 3], 20, 1.0, 0.3, 0.02);
    plan.targets = Some(TARGETS);
    let all = |seed, repetition| {
        let mut both = (Mass::new(&plan, &[true]), Recording::default());
        let outcome = run(&plan, seed, repetition, &mut both).unwrap();
        (outcome, both.0.results().to_vec(), both.1)
    };
    let first = all(1, 0);
    assert!(first == all(1, 0));
    assert!(first.2 != all(2, 0).2);
    assert!(first.2 != all(1, 1).2);
    // Who watches changes nothing.
    assert!(first.0 == run(&plan, 1, 0, &mut ()).unwrap());
}

const TARGETS: Targets = Targets {
    first: 0,
    every: 10,
    max_alive: 100,
    count: u32::MAX,
    any_kind: false,
    users: false,
};

#[derive(Default)]
struct Latencies(Vec<f64>);

impl Observer for Latencies {
    fn end(&mut self, _slot: u32, packet: &Packet, time: f64) {
        self.0.push(time - packet.sent);
    }
}

#[test]
fn the_engine_and_a_heap_agree() {
    let mut plan = plan(&[4, 4, 4], 40, 1.0, 0.3, 0.05);
    plan.phases.measurement = 500.0;
    plan.targets = Some(TARGETS);
    plan.classes[0].workload = Workload::Poisson { rate: 0.4 };
    plan.classes[0].loops = 0.5;
    let both = |heap: bool| {
        let mut seen = (Mass::new(&plan, &[]), Latencies::default());
        let outcome = if heap {
            heap::run(&plan, 1, 0, &mut seen).unwrap()
        } else {
            run(&plan, 1, 0, &mut seen).unwrap()
        };
        let results = seen.0.results();
        let entropy = results.iter().map(|t| t.entropy).sum::<f64>() / results.len() as f64;
        (outcome, entropy, seen.1.0)
    };
    let (engine, heap) = (both(false), both(true));
    assert!(
        ks_two_sample(&engine.2[..20_000], &heap.2[..20_000])
            .unwrap()
            .p_value
            > 1e-3
    );
    assert!((engine.1 - heap.1).abs() < 0.05, "{} {}", engine.1, heap.1);
    for kind in [Kind::Real, Kind::Dummy, Kind::Loop] {
        let (a, b) = (
            engine.0.measured(kind).sent as f64,
            heap.0.measured(kind).sent as f64,
        );
        assert!((a - b).abs() < 4.0 * (a + b).sqrt(), "{kind:?}: {a} {b}");
    }
    // M/M/1: the mean wait in the buffer is 1 / (1 - 0.4).
    for outcome in [&engine.0, &heap.0] {
        let wait = outcome.latency(Kind::Real, true).mean().unwrap()
            - outcome.latency(Kind::Real, false).mean().unwrap();
        assert!((wait - 1.0 / 0.6).abs() < 0.1, "{wait}");
    }
}

#[test]
fn constant_delays_make_constant_latencies() {
    let mut plan = plan(&[2, 2], 10, 1.0, 0.25, 0.05);
    plan.network.mix_delay = Delay::Constant { seconds: 0.25 };
    plan.bin = Some(10.0);
    let outcome = run(&plan, 1, 0, &mut ()).unwrap();
    let latency = outcome.latency(Kind::Real, false);
    assert!((latency.mean().unwrap() - 0.65).abs() < 1e-9 && latency.variance().unwrap() < 1e-9);
    let sent: u64 = outcome.bins.iter().map(|bin| bin.sent).sum();
    assert_eq!(sent, outcome.total[0].sent);
    let delivered: u64 = outcome.bins.iter().map(|bin| bin.delivered).sum();
    assert_eq!(delivered, outcome.total[0].delivered);
    assert_eq!(
        outcome.bins.last().unwrap().under_way,
        outcome.total[0].under_way()
    );
}

#[test]
fn a_full_queue_loses_packets_as_erlang_says() {
    // M/D/1/2: with room for the served one and one more, and a load of 1, the share that is lost
    // is (rho - 1 + e^-rho) / (rho + e^-rho) = 0.2689.
    let mut plan = plan(&[1], 10, 1.0, 0.1, 0.0);
    plan.network.server = Some(Server {
        rate: 10.0,
        queue: 2,
    });
    plan.phases.measurement = 3000.0;
    let outcome = run(&plan, 1, 0, &mut ()).unwrap();
    let counters = outcome.measured(Kind::Real);
    let share = counters.lost[Loss::QueueFull as usize] as f64 / counters.sent as f64;
    assert!((share - 0.2689).abs() < 0.01, "{share}");
    assert_eq!(
        counters.lost_in_all(),
        counters.lost[Loss::QueueFull as usize]
    );
}

/// Checks that a client sends only while it is online.
#[derive(Default)]
struct Presence {
    away: Vec<bool>,
    sent: u64,
    changes: u64,
}

impl Observer for Presence {
    fn sent(&mut self, _slot: u32, packet: &Packet, _time: f64, _first: u32) {
        assert!(!self.away[packet.sender as usize]);
        self.sent += 1;
    }
    fn online(&mut self, client: u32, _time: f64) {
        self.away
            .resize(self.away.len().max(client as usize + 1), true);
        self.away[client as usize] = false;
        self.changes += 1;
    }
    fn offline(&mut self, client: u32, _time: f64) {
        self.away
            .resize(self.away.len().max(client as usize + 1), true);
        self.away[client as usize] = true;
        self.changes += 1;
    }
}

#[test]
fn who_is_away_sends_nothing() {
    let mut plan = plan(&[2], 50, 1.0, 0.3, 0.01);
    plan.classes[0].churn = Some(Churn {
        online: 6.0,
        offline: 2.0,
    });
    plan.phases = Phases {
        warm_up: 0.0,
        measurement: 1000.0,
        drain: 0.0,
    };
    let mut presence = Presence::default();
    run(&plan, 1, 0, &mut presence).unwrap();
    // There for 3/4 of the time, and a change every 4 s on average.
    assert!(
        (presence.sent as f64 / 50_000.0 - 0.75).abs() < 0.03,
        "{}",
        presence.sent
    );
    assert!(
        (presence.changes as f64 / 12_500.0 - 1.0).abs() < 0.05,
        "{}",
        presence.changes
    );
}

#[test]
fn a_trace_is_sent_as_it_says() {
    let mut plan = plan(&[2], 5, 100.0, 0.3, 0.01);
    plan.phases = Phases {
        warm_up: 0.0,
        measurement: 100.0,
        drain: 20.0,
    };
    plan.classes[0].workload = Workload::Trace;
    let message = |i: u32| TraceMessage {
        time: f64::from(i),
        sender: i % 5,
        receiver: (i + 2) % 5,
    };
    plan.trace = (0..90).map(message).collect();
    let mut recording = Recording::default();
    let outcome = run(&plan, 1, 0, &mut recording).unwrap();
    let real = recording
        .packets
        .iter()
        .map(|r| r.packet)
        .filter(|p| p.kind == Kind::Real);
    let real: Vec<Packet> = real.collect();
    assert_eq!(real.len(), 90);
    for (index, packet) in (0..).zip(&real) {
        assert_eq!(
            (packet.message, packet.sender, packet.receiver),
            (index, index % 5, (index + 2) % 5)
        );
        assert_eq!(packet.created, f64::from(index));
        assert!(packet.sent >= packet.created && packet.sent < packet.created + 0.3);
    }
    assert_eq!(
        (outcome.messages, outcome.refused, outcome.waiting),
        (90, 0, 0)
    );
    plan.trace[3].sender = 9;
    assert!(
        matches!(run(&plan, 1, 0, &mut ()), Err(EngineError::Plan { key, .. }) if key == "trace.sender")
    );
}

/// Follows every packet, and checks the order of what it is told.
#[derive(Default)]
struct Follow {
    nodes: Vec<f64>,
    /// Of each slot where the packet is or goes, and since when.
    packets: Vec<Option<(u32, f64, bool)>>,
    visits: Vec<Vec<u32>>,
    ends: Vec<(Packet, Vec<u32>)>,
    last_end: f64,
}

impl Follow {
    fn at(&mut self, node: u32, time: f64) {
        let node = node as usize;
        self.nodes.resize(self.nodes.len().max(node + 1), 0.0);
        assert!(time >= self.nodes[node], "a node's time goes on");
        self.nodes[node] = time;
    }
}

impl Observer for Follow {
    fn sent(&mut self, slot: u32, _packet: &Packet, time: f64, first: u32) {
        let slot = slot as usize;
        self.packets.resize(self.packets.len().max(slot + 1), None);
        self.visits.resize(self.packets.len(), Vec::new());
        assert!(self.packets[slot].is_none(), "a slot holds one packet");
        self.packets[slot] = Some((first, time, false));
        self.visits[slot].clear();
    }
    fn arrive(&mut self, node: u32, time: f64, slot: u32) {
        self.at(node, time);
        let (next, since, inside) = self.packets[slot as usize].unwrap();
        assert!(next == node && since <= time && !inside);
        self.packets[slot as usize] = Some((node, time, true));
        self.visits[slot as usize].push(node);
    }
    fn depart(&mut self, node: u32, time: f64, slot: u32, next: u32) {
        self.at(node, time);
        let (here, since, inside) = self.packets[slot as usize].unwrap();
        assert!(here == node && since <= time && inside);
        self.packets[slot as usize] = Some((next, time, false));
    }
    fn end(&mut self, slot: u32, packet: &Packet, time: f64) {
        let (next, since, inside) = self.packets[slot as usize].take().unwrap();
        assert!(!inside && since <= time && time >= self.last_end);
        assert_eq!(
            next,
            if packet.kind == Kind::MixLoop {
                packet.sender
            } else {
                NONE
            }
        );
        self.ends
            .push((*packet, self.visits[slot as usize].clone()));
        self.last_end = time;
    }
    fn lost(&mut self, slot: u32, _packet: &Packet, _time: f64, _reason: Loss) {
        assert!(self.packets[slot as usize].take().is_some());
    }
}

#[test]
fn packets_of_every_kind_take_their_path() {
    for (routes, providers, loss) in [
        (Routes::Stratified, 4, 0.0),
        (Routes::Stratified, 0, 0.1),
        (Routes::Cascade, 3, 0.05),
        (Routes::Free { hops: 4 }, 2, 0.05),
    ] {
        let free = matches!(routes, Routes::Free { .. });
        let mut plan = plan(if free { &[7] } else { &[3, 3, 3] }, 30, 1.0, 0.2, 0.03);
        plan.network.routes = routes;
        plan.network.providers = providers;
        plan.network.mix_loops = if free { 0.0 } else { 0.5 };
        plan.links = Links::all(&Link::Constant(0.03), plan.stages().len());
        plan.links.loss = loss;
        plan.droppers = vec![Dropper {
            node: 1,
            share: 0.2,
        }];
        let class = &mut plan.classes[0];
        (class.loops, class.drops, class.workload) = (0.5, 0.5, Workload::Poisson { rate: 0.5 });
        let mut follow = Follow::default();
        let outcome = run(&plan, 1, 0, &mut follow).unwrap();
        let mixes = if free { 4 } else { 3 };
        for (packet, visits) in &follow.ends {
            let expected = match packet.kind {
                Kind::MixLoop => 2 + usize::from(providers > 0),
                _ => mixes + 2 * usize::from(providers > 0),
            };
            assert_eq!(visits.len(), expected, "{packet:?}");
            let inner = visits
                .iter()
                .filter(|node| (providers..plan.nodes() - providers).contains(node));
            let inner: Vec<u32> = inner.map(|node| node - providers).collect();
            let columns = inner.iter().all(|mix| mix % 3 == inner[0] % 3);
            assert!(routes != Routes::Cascade || columns, "{visits:?}");
            assert!(
                inner.windows(2).all(|pair| pair[0] != pair[1]),
                "{visits:?}"
            );
            assert_eq!(packet.exit == NONE, providers == 0);
            assert!(packet.kind != Kind::Loop || packet.receiver == packet.sender);
        }
        let kinds = |kind| {
            follow
                .ends
                .iter()
                .filter(|(packet, _)| packet.kind == kind)
                .count() as u64
        };
        for kind in Kind::ALL {
            assert_eq!(kinds(kind), outcome.total[kind as usize].delivered);
            assert_eq!(kinds(kind) == 0, kind == Kind::MixLoop && free, "{kind:?}");
        }
        let links = |packet: &Packet, visits: u32| match packet.kind {
            Kind::MixLoop => visits + 1,
            Kind::Dummy | Kind::Drop if providers > 0 => visits,
            _ => visits + 1,
        };
        let hops: u64 = follow
            .ends
            .iter()
            .map(|(p, visits)| u64::from(links(p, visits.len() as u32)))
            .sum();
        assert_eq!(outcome.hops, hops);
        let dropped: u64 = outcome.total.iter().map(|total| total.lost[1]).sum();
        assert!(dropped > 100);
    }
}

#[test]
fn what_can_not_be_run_is_refused() {
    let good = plan(&[2, 2], 5, 1.0, 0.3, 0.0);
    let refused = |change: &dyn Fn(&mut Plan)| {
        let mut plan = good.clone();
        change(&mut plan);
        match run(&plan, 1, 0, &mut ()) {
            Err(EngineError::Plan { key, .. }) => key,
            other => format!("{other:?}"),
        }
    };
    assert!(good.validate().is_ok());
    assert_eq!(
        refused(&|plan| plan.classes[0].count = 0),
        "classes[0].count"
    );
    assert_eq!(refused(&|plan| plan.links.loss = 1.0), "links.loss");
    assert_eq!(refused(&|plan| plan.links.between.clear()), "links.between");
    assert_eq!(
        refused(&|plan| plan.network.layers[1].clear()),
        "network.layers"
    );
    assert_eq!(
        refused(&|plan| plan.phases.drain = f64::NAN),
        "phases.drain"
    );
    assert!(refused(&|plan| plan.network.mix_loops = 1.0).starts_with("least delay of links.wrap"));
    let free = |plan: &mut Plan| {
        plan.network.routes = Routes::Free { hops: 3 };
        plan.network.layers.truncate(1);
        plan.links.between.clear();
    };
    assert!(refused(&free).starts_with("least delay of links.wrap"));
}

#[test]
fn tiny_delays_make_no_more_windows_than_there_are_packets_to_speak_of() {
    let windows = |mean: f64| {
        let mut plan = plan(&[3, 3, 3], 10, 10.0, mean, 0.0);
        plan.phases = Phases {
            warm_up: 0.0,
            measurement: 220.0,
            drain: 0.0,
        };
        plan.validate().unwrap();
        (plan.phases.total() / plan.window()).round()
    };
    // 22,000 packets.
    assert!(windows(1e-6) <= 64.0 * 22_000.0);
    assert!(windows(1e-9) <= 64.0 * 22_000.0);
    // A path of 3 s: as ever, no longer than that.
    assert!((windows(1.0) - 74.0).abs() < 1.0, "{}", windows(1.0));
}
