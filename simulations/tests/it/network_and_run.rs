//! The real roles and the engine hold each other to account: one small network, simulated both
//! ways, agrees in latency, in the pools of its nodes, and in what a global observer learns.
//!
//! What is compared. Clients send loops and drops only, as Poisson processes. Each packet is held
//! at its entry provider and at every mix, exponentially, and ends at a provider that does not
//! hold it. The engine's providers would hold packets at the exit too, so its plan calls the entry
//! providers a first layer of mixes, and the exit a receiver: the same pools, delays and number of
//! links. Packets choose their first node at random there, and not by client; pools of as many
//! Poisson arrivals are the same in distribution. Messages and dummies are left out of pools and
//! entropy, because the real network answers each with a reply that the engine does not have; the
//! way of a deposit itself is compared apart. Disks take no time, or a packet would wait for its
//! replay tag.

use std::collections::BTreeMap;

use shoal_harness::{Flow, LinkDelay, Network, PacketKind, Party};
use shoal_proto::{Span, Time};
use shoal_simulations::engine::{
    self, Class, Delay, Link, Links, Loss, Observer, Outcome, Packet, Phases, Plan, Receivers,
    Routes, Targets, Workload,
};
use shoal_simulations::{math, stats};
use shoal_topology::Profile;

/// Long enough for the network to come up.
const START: Span = Span::from_secs(60);

const CLIENTS: u32 = 8;
/// Loops of each client per second, and as many drops.
const RATE: f64 = 2.5;
/// Mean delay of a hop in seconds.
const DELAY: f64 = 0.5;
/// Of every link, in seconds.
const LINK: f64 = 0.04;
/// Nodes that hold a packet: an entry provider and a mix of each of two layers, all two wide.
const STAGES: usize = 3;
/// Packets per second at each node, times the mean delay.
const OCCUPANCY: f64 = 2.0 * RATE * CLIENTS as f64 / 2.0 * DELAY;
const WARM_UP: f64 = 6.0;
const MEASUREMENT: f64 = 20.0;
const DRAIN: f64 = 12.0;
/// Every so many packets sent in the measurement is a target.
const EVERY: usize = 8;

/// What was seen of a run, whichever way it was simulated.
#[derive(Clone, Debug, Default)]
struct Seen {
    latencies: Vec<f64>,
    /// Time average and variance over time, averaged over the nodes of a stage.
    pools: Vec<(f64, f64)>,
    /// Mean entropy of the targets over outputs, in bits.
    entropy: f64,
    targets: usize,
}

/// A step of a packet, in order of time for each node and each packet.
#[derive(Clone, Copy, Debug)]
enum Step {
    Sent,
    Arrived(usize),
    Departed(usize),
    Ended,
}

/// Spreads the mass of each target evenly over the packets in a pool: what somebody believes who
/// sees all links, written as directly as possible.
#[derive(Default)]
struct Judge {
    /// By node: packets inside, the mass of each target inside, and for the time average when it
    /// last changed, the integral of the count, and of its square.
    pools: Vec<Pool>,
    masses: BTreeMap<u64, Vec<f64>>,
    sent: BTreeMap<u64, f64>,
    latencies: Vec<f64>,
    /// Σ p log2 p and Σ p by target.
    targets: Vec<(f64, f64)>,
    measured: usize,
}

#[derive(Clone, Default)]
struct Pool {
    count: usize,
    mass: Vec<f64>,
    since: f64,
    integral: f64,
    square: f64,
}

const MAX_TARGETS: usize = 120;

fn measures(time: f64) -> bool {
    (WARM_UP..WARM_UP + MEASUREMENT).contains(&time)
}

impl Judge {
    fn new(nodes: usize) -> Self {
        let pool = Pool {
            mass: vec![0.0; MAX_TARGETS],
            ..Pool::default()
        };
        Self {
            pools: vec![pool; nodes],
            ..Self::default()
        }
    }

    fn step(&mut self, time: f64, packet: u64, step: Step) {
        match step {
            Step::Sent => {
                let mut mass = vec![0.0; MAX_TARGETS];
                if measures(time) {
                    if self.measured.is_multiple_of(EVERY) && self.targets.len() < MAX_TARGETS {
                        mass[self.targets.len()] = 1.0;
                        self.targets.push((0.0, 0.0));
                    }
                    self.measured += 1;
                }
                self.sent.insert(packet, time);
                self.masses.insert(packet, mass);
            }
            Step::Arrived(node) => {
                let pool = &mut self.pools[node];
                pool.pass(time);
                pool.count += 1;
                for (inside, mass) in pool.mass.iter_mut().zip(&self.masses[&packet]) {
                    *inside += mass;
                }
            }
            Step::Departed(node) => {
                let pool = &mut self.pools[node];
                pool.pass(time);
                let share = 1.0 / pool.count as f64;
                pool.count -= 1;
                let masses = self.masses.get_mut(&packet).unwrap();
                for (inside, mass) in pool.mass.iter_mut().zip(masses) {
                    *mass = *inside * share;
                    *inside -= *mass;
                }
            }
            Step::Ended => {
                let sent = self.sent.remove(&packet).unwrap();
                if measures(sent) {
                    self.latencies.push(time - sent);
                }
                let masses = self.masses.remove(&packet).unwrap();
                for ((sum, total), mass) in self.targets.iter_mut().zip(masses) {
                    if mass > 0.0 {
                        *sum -= mass * math::log2(mass);
                        *total += mass;
                    }
                }
            }
        }
    }

    fn seen(&self) -> Seen {
        let mean = |values: Vec<f64>| stats::mean(&values).unwrap();
        let stage = |pools: &[Pool]| {
            let average = |pool: &Pool| pool.integral / MEASUREMENT;
            let variance = |pool: &Pool| pool.square / MEASUREMENT - average(pool).powi(2);
            (
                mean(pools.iter().map(average).collect()),
                mean(pools.iter().map(variance).collect()),
            )
        };
        for (_, total) in &self.targets {
            assert!((total - 1.0).abs() < 1e-3, "mass {total} came out");
        }
        Seen {
            latencies: self.latencies.clone(),
            pools: self.pools.chunks(2).map(stage).collect(),
            entropy: mean(self.targets.iter().map(|(entropy, _)| *entropy).collect()),
            targets: self.targets.len(),
        }
    }
}

impl Pool {
    /// The time has come this far.
    fn pass(&mut self, time: f64) {
        let clip = |time: f64| time.clamp(WARM_UP, WARM_UP + MEASUREMENT);
        let (span, count) = (clip(time) - clip(self.since), self.count as f64);
        self.integral += span * count;
        self.square += span * count * count;
        self.since = time;
    }
}

/// The engine's events go the same way. Slots are used again, so packets are numbered here.
struct Bridge {
    judge: Judge,
    numbers: BTreeMap<u32, u64>,
    next: u64,
}

impl Observer for Bridge {
    fn sent(&mut self, slot: u32, _: &Packet, time: f64, _: u32) {
        self.next += 1;
        self.numbers.insert(slot, self.next);
        self.judge.step(time, self.next, Step::Sent);
    }
    fn arrive(&mut self, node: u32, time: f64, slot: u32) {
        let step = Step::Arrived(node as usize);
        self.judge.step(time, self.numbers[&slot], step);
    }
    fn depart(&mut self, node: u32, time: f64, slot: u32, _: u32) {
        let step = Step::Departed(node as usize);
        self.judge.step(time, self.numbers[&slot], step);
    }
    fn lost(&mut self, _: u32, _: &Packet, _: f64, _: Loss) {
        panic!("nothing is lost here");
    }
    fn end(&mut self, slot: u32, _: &Packet, time: f64) {
        self.judge.step(time, self.numbers[&slot], Step::Ended);
    }
}

fn plan() -> Plan {
    let exponential = Delay::Exponential { mean: DELAY };
    Plan {
        network: engine::Network {
            routes: Routes::Stratified,
            layers: vec![vec![1.0; 2]; STAGES],
            providers: 0,
            mix_delay: exponential,
            provider_delay: exponential,
            server: None,
            mix_loops: 0.0,
        },
        links: Links::all(&Link::Constant(LINK), STAGES),
        classes: vec![Class {
            count: CLIENTS,
            real: 0.0,
            loops: RATE,
            drops: RATE,
            dummies: false,
            workload: Workload::Saturated,
            receivers: Receivers::Uniform,
            buffer: 1,
            churn: None,
        }],
        trace: Vec::new(),
        phases: Phases {
            warm_up: WARM_UP,
            measurement: MEASUREMENT,
            drain: DRAIN,
        },
        droppers: Vec::new(),
        targets: Some(Targets {
            first: 0,
            every: EVERY as u32,
            max_alive: MAX_TARGETS as u32,
            count: MAX_TARGETS as u32,
            any_kind: true,
            users: false,
        }),
        groups: Vec::new(),
        bin: None,
    }
}

fn simulated_by_engine(repetition: u32) -> (Seen, Outcome, f64) {
    let plan = plan();
    let bridge = Bridge {
        judge: Judge::new(2 * STAGES),
        numbers: BTreeMap::new(),
        next: 0,
    };
    let mut both = (bridge, engine::mass::Mass::new(&plan, &[]));
    let outcome = engine::run(&plan, 1, repetition, &mut both).unwrap();
    let targets = both.1.results().iter();
    let entropies: Vec<f64> = targets.map(|target| target.entropy).collect();
    (
        both.0.judge.seen(),
        outcome,
        stats::mean(&entropies).unwrap(),
    )
}

fn real_network(seed: u64, profile: Profile, clients: usize) -> Network {
    let span = |seconds: f64| Span::from_secs_f64(seconds);
    let mut network = Network::builder(seed)
        .mixes(2, 2)
        .providers(2)
        .profile("p", profile)
        .clients(clients, "p")
        .link_delay(LinkDelay::Fixed(span(LINK)))
        .fsync(LinkDelay::Fixed(Span::ZERO))
        .loop_rate(0.0)
        .parameters(|params| params.mean_delay = span(DELAY))
        .follow()
        .build()
        .unwrap();
    assert!(network.bring_up(START).unwrap());
    network
}

/// The stage of each node, and its place in it: entry providers, then the layers of the document.
fn places(network: &Network) -> BTreeMap<Party, usize> {
    let mut found = vec![0; STAGES];
    let mut place = |node: Party| {
        let view = network.view(node).unwrap();
        let document = view.current(network.params(), network.now()).unwrap();
        let stage = usize::from(document.member(&network.id(node).unwrap()).unwrap().layer);
        found[stage] += 1;
        (node, 2 * stage + found[stage] - 1)
    };
    let places: BTreeMap<Party, usize> = network.nodes().map(&mut place).collect();
    assert!(found.iter().all(|count| *count == 2), "{found:?}");
    places
}

fn simulated_by_roles(seed: u64) -> Seen {
    let profile = Profile {
        real: 0.0,
        loops: RATE,
        drops: RATE,
        mailbox: 0.0,
        mailbox_clock: 0.0,
        downlink: 4.0,
        copies: 2,
    };
    let mut network = real_network(seed, profile, CLIENTS as usize);
    let (start, places) = (network.now(), places(&network));
    network
        .run_for(Span::from_secs_f64(WARM_UP + MEASUREMENT + DRAIN))
        .unwrap();
    network.check().unwrap();
    let mut judge = Judge::new(2 * STAGES);
    for (time, packet, step) in steps(&network, start, &places) {
        judge.step(time, packet, step);
    }
    judge.seen()
}

/// What happened to packets, in seconds from `start` on. A packet is not held where it ends: that
/// it arrived there is left out.
fn steps(network: &Network, start: Time, places: &BTreeMap<Party, usize>) -> Vec<(f64, u64, Step)> {
    let mut steps: Vec<(f64, u64, Step)> = Vec::new();
    for event in network.flow() {
        // Negative in the little time in which clients came online.
        let time = event.at.as_micros() as f64 / 1e6 - start.as_micros() as f64 / 1e6;
        let step = match event.flow {
            Flow::Sent { kind, .. } => {
                let expected = [PacketKind::Loop, PacketKind::Drop];
                assert!(expected.contains(&kind), "{kind:?}");
                Step::Sent
            }
            Flow::Arrived { node } => Step::Arrived(places[&node]),
            Flow::Departed { node } => Step::Departed(places[&node]),
            Flow::Ended { .. } => {
                let (_, packet, arrival) = steps.pop().unwrap();
                assert!(packet == event.packet && matches!(arrival, Step::Arrived(_)));
                Step::Ended
            }
            _ => panic!("{event:?}"),
        };
        steps.push((time, event.packet, step));
    }
    steps
}

/// Mean and standard deviation.
fn spread(values: &[f64]) -> (f64, f64) {
    let mean = stats::mean(values).unwrap();
    let square = |x: &f64| (x - mean).powi(2);
    let variance = values.iter().map(square).sum::<f64>() / (values.len() - 1) as f64;
    (mean, variance.sqrt())
}

/// Few real runs against many of the engine. Both are runs of one model if this test is right, so
/// the engine's runs say how much runs differ. Four standard errors.
fn agree(what: &str, real: &[Seen], engine: &[Seen], value: impl Fn(&Seen) -> f64) {
    let values = |runs: &[Seen]| runs.iter().map(&value).collect::<Vec<f64>>();
    let (real_mean, _) = spread(&values(real));
    let (mean, deviation) = spread(&values(engine));
    let error = deviation * (1.0 / real.len() as f64 + 1.0 / engine.len() as f64).sqrt();
    println!("{what}: roles {real_mean:.4}, engine {mean:.4}, standard error {error:.4}");
    assert!((real_mean - mean).abs() < 4.0 * error, "{what}");
}

#[test]
fn the_roles_and_the_engine_agree() {
    let real: Vec<Seen> = (1..=6).map(simulated_by_roles).collect();
    let runs: Vec<(Seen, Outcome, f64)> = (0..40).map(simulated_by_engine).collect();
    let engine: Vec<Seen> = runs.iter().map(|(seen, _, _)| seen.clone()).collect();
    let latencies = |runs: &[Seen]| -> Vec<f64> {
        runs.iter()
            .flat_map(|seen| seen.latencies.clone())
            .collect()
    };
    let ks = stats::ks_two_sample(&latencies(&real), &latencies(&engine)).unwrap();
    println!("latency: {ks:?} for {} packets", latencies(&real).len());
    assert!(ks.p_value > 0.001);
    agree("mean latency in s", &real, &engine, |seen| {
        stats::mean(&seen.latencies).unwrap()
    });
    for stage in 0..STAGES {
        agree("mean pool", &real, &engine, |seen| seen.pools[stage].0);
        agree("variance of a pool", &real, &engine, |seen| {
            seen.pools[stage].1
        });
    }
    agree("entropy in bits", &real, &engine, |seen| seen.entropy);
    assert!(engine.iter().chain(&real).all(|seen| seen.targets > 80));

    // What is computed here of the engine's events is what the engine says itself.
    for (seen, outcome, entropy) in &runs {
        for (own, told) in seen.pools.iter().zip(&outcome.occupancy) {
            assert!((own.0 - told.mean).abs() < 1e-6, "{own:?} {told:?}");
            assert!((own.1 - told.variance).abs() < 1e-6, "{own:?} {told:?}");
        }
        let error = (seen.entropy - entropy).abs();
        assert!(error < 1e-6, "{} and {entropy} bits", seen.entropy);
    }
    // And both are what queueing theory says: Poisson pools.
    let (mean, deviation) = spread(&engine.iter().map(|s| s.pools[0].0).collect::<Vec<f64>>());
    assert!(
        (mean - OCCUPANCY).abs() < 4.0 * deviation / 40_f64.sqrt(),
        "{mean}"
    );
}

#[test]
fn a_deposit_takes_as_long_as_the_engine_says() {
    let profile = Profile {
        real: 2.0,
        loops: 0.1,
        drops: 0.1,
        mailbox: 0.2,
        mailbox_clock: 0.4,
        downlink: 4.0,
        copies: 2,
    };
    let mut network = real_network(9, profile, 4);
    let clients: Vec<Party> = network.clients().collect();
    for round in 0..30_u32 {
        for (from, to) in clients.iter().zip(clients.iter().cycle().skip(1)) {
            network.send(*from, *to, format!("round {round}")).unwrap();
        }
        network.run_for(Span::from_secs(1)).unwrap();
    }
    network.run_for(Span::from_secs(12)).unwrap();
    let (mut sent, mut latencies) = (
        BTreeMap::new(),
        BTreeMap::from([(true, vec![]), (false, vec![])]),
    );
    for event in network.flow() {
        match event.flow {
            Flow::Sent {
                kind: kind @ (PacketKind::Real | PacketKind::Dummy),
                ..
            } => {
                sent.insert(event.packet, (kind == PacketKind::Real, event.at));
            }
            Flow::Ended { .. } => {
                if let Some((real, at)) = sent.remove(&event.packet) {
                    let latency = event.at.since(at).as_secs_f64();
                    latencies.get_mut(&real).unwrap().push(latency);
                }
            }
            _ => {}
        }
    }
    let (seen, _, _) = simulated_by_engine(0);
    for (real, latencies) in latencies {
        let ks = stats::ks_two_sample(&latencies, &seen.latencies).unwrap();
        println!(
            "{}: {ks:?} for {} packets",
            if real { "deposits" } else { "dummies" },
            latencies.len()
        );
        assert!(latencies.len() > 60 && ks.p_value > 0.001);
    }
}
