//! What a scenario will take, before it is run.
//!
//! The numbers of packets, hops and clients follow from the scenario. What each of them costs was
//! measured, on one core of an Intel Xeon at 2.1 GHz, and is written beside each constant; another
//! machine is faster or slower by a factor of two or so. Memory does not depend on the machine.

use serde::Serialize;

use super::{ClientClass, Model, Receivers, Scenario, TopologyKind, Workload};

/// The program itself and its small tables: 12 MB.
const BASE_BYTES: f64 = 14e6;
/// A packet under way: itself, its place, and an event that is far off.
const PACKET_BYTES: f64 = 72.0;
/// Each stage has two calendars of events, and the ends one; a calendar has a list for each of so
/// many windows, which keeps the room that it once needed.
const WINDOWS: f64 = 256.0;
/// An event in such a list. Measured with `large` less its targets, 25 s: 494 MB, of which calendars
/// 413 MB.
const EVENT_BYTES: f64 = 18.0;
/// A client: provider, state and the queue of its messages.
const CLIENT_BYTES: f64 = 17.0;
/// A client of a class with churn: when it changes next.
const CHURN_BYTES: f64 = 24.0;
/// A message that waits in a buffer.
const WAITING_BYTES: f64 = 32.0;
/// A message of a trace, as it is read and in the plan.
const TRACE_BYTES: f64 = 40.0;
/// What inference keeps of a packet under way, besides masses.
const TRACED_BYTES: f64 = 24.0;
/// Rows of masses for each that is in use, since a window's packets are on their way twice.
/// Measured with 100,000 packets under way and 64 targets: 304 MB, of which masses 60 MB.
const ROWS: f64 = 1.5;
/// A packet that is recorded for inference in reverse time, and each of its stays at a node.
const RECORDED_BYTES: f64 = 104.0;
const VISIT_BYTES: f64 = 80.0;

/// A hop without targets. Measured with `large` less its targets: 20.7 s for 96 million.
const HOP_SECONDS: f64 = 2.2e-7;
/// A hop as one more adversary infers from it, and for each of its targets that is alive.
const INFERENCE_SECONDS: f64 = 1.0e-7;
const TARGET_SECONDS: f64 = 5.5e-10;
/// A hop that is recorded, sorted and gone through again in reverse.
const REVERSE_SECONDS: f64 = 5.0e-7;
/// A hop that is written out as an adversary sees it.
const WRITE_SECONDS: f64 = 3.0e-7;

/// What a scenario will take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Memory at its most, in bytes, with so many repetitions at a time.
    pub bytes: u64,
    /// Time for all repetitions, in seconds.
    pub seconds: f64,
    /// Hops of all repetitions: a packet counts once for each link of its path.
    pub hops: f64,
    /// Repetitions that run at one time.
    pub at_once: u32,
    /// Packets under way at one time in one repetition.
    pub under_way: f64,
    /// What the numbers rest on, in words.
    pub basis: String,
}

/// Estimates what a scenario will take with this many threads, each of which runs one repetition at
/// a time.
#[must_use]
pub fn estimate(scenario: &Scenario, threads: usize) -> Estimate {
    let model = scenario.model();
    let run = &model.run;
    let threads = u32::try_from(threads).unwrap_or(u32::MAX);
    let at_once = threads.clamp(1, run.repetitions.max(1));
    let load = Load::of(scenario);
    let hops = load.hop_rate * run.length();
    let second_per_hop = seconds_per_hop(model, &load);
    let rounds = (f64::from(run.repetitions) / f64::from(at_once)).ceil();
    let bytes = BASE_BYTES + shared(scenario) + f64::from(at_once) * load.bytes(scenario);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and a float that is too large becomes the largest integer"
    )]
    let bytes = bytes as u64;
    let basis = format!(
        "{:.0} packets per second, {:.1} hops each, {:.2} million hops per second and thread",
        load.packet_rate,
        load.hop_rate / load.packet_rate.max(1e-9),
        1e-6 / second_per_hop,
    );
    Estimate {
        bytes,
        seconds: rounds * hops * second_per_hop,
        hops: hops * f64::from(run.repetitions),
        at_once,
        under_way: load.under_way,
        basis,
    }
}

/// What goes through the network.
struct Load {
    packet_rate: f64,
    hop_rate: f64,
    /// Packets on links or in nodes.
    under_way: f64,
    /// Packets that a stage gets in a window of the engine, and the number of windows.
    per_window: f64,
    windows: f64,
    /// Packets on links alone.
    on_links: f64,
    /// Targets that are alive at one time.
    alive: f64,
    /// Adversaries that infer.
    inferring: f64,
}

impl Load {
    fn of(scenario: &Scenario) -> Self {
        let model = scenario.model();
        let mixes = model.topology.mixes() as f64;
        let clients: f64 = model.clients.iter().map(ClientClass::total_rate).sum();
        let packet_rate = clients + mixes * model.mixes.loop_rate;
        let (links, on_links, held) = path(scenario);
        let length = model.run.length();
        let window = scenario.plan(0).window();
        let visits = match model.topology.kind {
            TopologyKind::FreeRoute => f64::from(model.topology.path_length()),
            TopologyKind::Stratified | TopologyKind::Cascade => 1.0,
        };
        let targets = model.targets.as_ref();
        let alive = targets.map_or(0, |targets| targets.max_alive.min(targets.count));
        let metrics = &model.metrics;
        let infers = metrics.entropy_forward.is_some() || metrics.epsilon.is_some();
        let sound = model.topology.kind != TopologyKind::FreeRoute;
        Self {
            packet_rate,
            hop_rate: packet_rate * links,
            under_way: packet_rate * (on_links + held).min(length),
            on_links: packet_rate * on_links.min(length),
            per_window: packet_rate * visits * window,
            windows: length / window,
            alive: f64::from(alive) + scenario.groups().len() as f64,
            inferring: if infers && sound {
                model.adversaries.len() as f64
            } else {
                0.0
            },
        }
    }

    /// Memory of one repetition.
    fn bytes(&self, scenario: &Scenario) -> f64 {
        let model = scenario.model();
        let classes = model.clients.iter();
        let clients: f64 = classes.map(|class| of_class(class, model)).sum();
        let bins = 200.0 * model.run.length() / model.run.bin.get();
        let layers = match model.topology.kind {
            TopologyKind::FreeRoute => 1.0,
            TopologyKind::Stratified | TopologyKind::Cascade => {
                f64::from(model.topology.path_length())
            }
        };
        let stages = layers + 2.0 * f64::from(model.topology.providers.min(1));
        let lists = (2.0 * stages + 1.0) * self.windows.min(WINDOWS);
        let events = lists * self.per_window.max(4.0) * EVENT_BYTES;
        let packets = self.under_way * PACKET_BYTES;
        packets + events + clients + bins + self.forward(scenario, stages) + self.reverse(model)
    }

    /// Masses of targets, for each adversary that infers.
    fn forward(&self, scenario: &Scenario, stages: f64) -> f64 {
        let model = scenario.model();
        let nodes = model.topology.mixes() as f64 + 2.0 * f64::from(model.topology.providers);
        let rows = ROWS * (nodes + self.on_links + (stages + 1.0) * self.per_window);
        let by_user = model.metrics.entropy_forward.as_ref();
        let users = if by_user.is_some_and(|entropy| entropy.users) {
            scenario.client_count() as f64
        } else {
            0.0
        };
        let masses = 8.0 * self.alive * (rows + users);
        self.inferring * (masses + TRACED_BYTES * self.under_way)
    }

    /// What is recorded to be gone through in reverse.
    fn reverse(&self, model: &Model) -> f64 {
        if model.metrics.entropy_backward.is_none() {
            return 0.0;
        }
        let visits = (self.hop_rate - self.packet_rate).max(0.0);
        model.run.length() * (self.packet_rate * RECORDED_BYTES + visits * VISIT_BYTES)
    }
}

/// The links of a path, the time on them, and the time in nodes, in seconds.
fn path(scenario: &Scenario) -> (f64, f64, f64) {
    let model = scenario.model();
    let mixes = f64::from(model.topology.path_length());
    let providers = 2.0 * f64::from(model.topology.providers.min(1));
    let links = mixes + providers + 1.0;
    let link = scenario.matrix().map_or(model.links.mean(), |matrix| {
        matrix.delays.iter().sum::<f64>() / (matrix.delays.len() as f64).max(1.0)
    });
    let provider = model.delay.providers.as_ref();
    let held = mixes * model.delay.mixes.mean()
        + providers * provider.map_or(0.0, super::Distribution::mean);
    (links, links * link, held)
}

/// Clients of a class and the messages that wait in their buffers.
fn of_class(class: &ClientClass, model: &Model) -> f64 {
    let count = f64::from(class.count);
    let contacts = match class.receivers {
        Receivers::Uniform => 0.0,
        Receivers::Contacts { count } => 4.0 * f64::from(count),
    };
    let churn = if class.churn.is_some() {
        CHURN_BYTES
    } else {
        0.0
    };
    let waiting = match class.workload {
        Workload::Poisson { rate } if rate > 0.0 => {
            let load = rate / class.rates.real.max(1e-12);
            // In equilibrium load / (1 - load), and never more than come in the whole run.
            let steady = if load < 1.0 {
                load / (1.0 - load)
            } else {
                f64::INFINITY
            };
            steady
                .min(rate * model.run.length())
                .min(f64::from(class.buffer))
        }
        _ => 0.0,
    };
    count * (CLIENT_BYTES + contacts + churn + waiting * WAITING_BYTES)
}

/// What all repetitions share.
fn shared(scenario: &Scenario) -> f64 {
    let traces = scenario.model().clients.iter();
    let messages: usize = traces
        .filter_map(|class| scenario.trace(class))
        .map(|trace| trace.messages.len())
        .sum();
    let matrix = scenario.matrix().map_or(0, |matrix| matrix.delays.len());
    messages as f64 * TRACE_BYTES + 16.0 * matrix as f64
}

fn seconds_per_hop(model: &Model, load: &Load) -> f64 {
    let reverse = model.metrics.entropy_backward.is_some();
    HOP_SECONDS
        + load.inferring * (INFERENCE_SECONDS + load.alive * TARGET_SECONDS)
        + if reverse { REVERSE_SECONDS } else { 0.0 }
        + if model.observe.is_some() {
            WRITE_SECONDS
        } else {
            0.0
        }
}
