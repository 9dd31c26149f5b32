//! What a run keeps in memory.

use super::traffic::{Traffic, online};
use crate::engine::{Class, Plan, Routes, Workload};
use crate::scenario::{FlowMatching, Metrics, Model, Scenario};

/// The program itself and its small tables.
const BASE_BYTES: f64 = 13e6;
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
const TRACE_BYTES: f64 = 48.0;
/// What inference keeps of a packet under way, besides masses.
const TRACED_BYTES: f64 = 24.0;
/// Rows of masses for each that is in use, since a window's packets are on their way twice.
/// Measured with 100,000 packets under way and 64 targets: 304 MB, of which masses 60 MB.
const ROWS: f64 = 1.5;
/// A packet that is recorded for inference in reverse time, and each of its stays at a node.
const RECORDED_BYTES: f64 = 104.0;
const VISIT_BYTES: f64 = 80.0;
/// A crossing that is written out, and the most of them that are held until they are.
const WRITTEN_BYTES: f64 = 190.0;
const MOST_WRITTEN: f64 = 330_000.0;
/// A row of a table: of latencies, with three texts; of targets, with two; of a time bin.
const LATENCY_ROW: f64 = 110.0;
const TARGET_ROW: f64 = 115.0;
const BIN_ROW: f64 = 40.0;
/// A pair of flows in a table of curves: a row for each score, of which two in five are alike.
const PAIR_ROW: f64 = 30.0;
/// Buckets that latencies of one kind fall into, if they are many: for one exponential stage, and
/// one over the square root as many for several. Measured: 5,000 for one stage and 10,000 packets,
/// 3,200 for three and 12,000, 2,800 for five and 30,000.
const BUCKETS: f64 = 6000.0;
/// Copies of all tables while they are joined and written.
const COPIES: f64 = 2.0;

/// The memory of a run.
pub(super) struct Memory {
    /// What all repetitions share.
    shared: f64,
    /// One repetition while it runs.
    running: f64,
    /// What is left of one when it is over.
    kept: f64,
}

impl Memory {
    pub(super) fn of(
        scenario: &Scenario,
        plan: &Plan,
        traffic: &Traffic,
        inferring: usize,
    ) -> Self {
        let model = scenario.model();
        let metrics = &model.metrics;
        let forward = metrics.entropy_forward.is_some() || metrics.epsilon.is_some();
        let masses = if forward { inferring } else { 0 };
        let matching = metrics.flow_matching.as_ref().map(|asked| (asked, plan));
        let kept = tables(model, plan, traffic, inferring);
        let running = engine(plan, traffic)
            + forward_masses(plan, traffic, masses)
            + backward(metrics, plan, traffic, inferring)
            + model.adversaries.len() as f64 * attacks(metrics, plan, traffic)
            + matching.map_or(0.0, |(asked, plan)| scores(asked, plan))
            + if model.observe.is_some() {
                WRITTEN_BYTES * traffic.crossings.min(MOST_WRITTEN)
            } else {
                0.0
            };
        Self {
            shared: shared(scenario),
            running,
            kept,
        }
    }

    /// With so many of all repetitions at a time.
    pub(super) fn bytes(&self, at_once: u32, repetitions: u32) -> f64 {
        // When the last one is over, tables are joined; the allocator keeps what runs took.
        let tables = COPIES * f64::from(repetitions) * self.kept;
        BASE_BYTES + self.shared + f64::from(at_once) * self.running + tables
    }
}

/// The memory of one run of a plan by itself, in bytes: the engine's, and the masses of so many
/// adversaries.
#[must_use]
pub fn plan_bytes(plan: &Plan, inferring: usize) -> u64 {
    let traffic = Traffic::of(plan);
    let bytes = engine(plan, &traffic) + forward_masses(plan, &traffic, inferring);
    super::whole(bytes)
}

/// Packets, events, clients, bins.
fn engine(plan: &Plan, traffic: &Traffic) -> f64 {
    let clients: f64 = plan.classes.iter().map(|class| of_class(class, plan)).sum();
    let bins = plan.bin.map_or(0.0, |bin| traffic.length / bin);
    let lists = (2.0 * plan.stages().len() as f64 + 1.0) * traffic.windows.min(WINDOWS);
    let events = lists * traffic.per_window.max(4.0) * EVENT_BYTES;
    // No more events wait in lists than there are, and a list that is used has room for four.
    let ever = traffic.rate * traffic.length * (2.0 * plan.stages().len() as f64 + 1.0);
    let events = events.min(EVENT_BYTES * (4.0 * lists + ever));
    // The place of a packet is free after the window in which it ends.
    let places = traffic.under_way + traffic.rate * traffic.length / traffic.windows;
    places * PACKET_BYTES + events + clients + 48.0 * bins
}

/// Masses of targets, for each adversary that infers.
fn forward_masses(plan: &Plan, traffic: &Traffic, inferring: usize) -> f64 {
    let users = plan.targets.is_some_and(|targets| targets.users);
    inferring as f64 * masses(plan, traffic, users)
}

fn masses(plan: &Plan, traffic: &Traffic, by_user: bool) -> f64 {
    let alive = plan.targets.map_or(0, |t| t.max_alive.min(t.count));
    let width = f64::from(alive) * 17.0 / 16.0 + plan.groups.len() as f64;
    let stages = plan.stages().len() as f64;
    let rows = f64::from(plan.nodes()) + traffic.on_links + (stages + 1.0) * traffic.per_window;
    let users = f64::from(plan.clients()) + f64::from(plan.network.providers);
    let users = if by_user { users } else { 0.0 };
    8.0 * width * (ROWS * rows + users) + TRACED_BYTES * traffic.under_way
}

/// What is recorded to be gone through in reverse, and the masses of the one that is at it.
fn backward(metrics: &Metrics, plan: &Plan, traffic: &Traffic, inferring: usize) -> f64 {
    let Some(asked) = metrics.entropy_backward.as_ref().filter(|_| inferring > 0) else {
        return 0.0;
    };
    let packets = traffic.rate * traffic.length;
    let visits = (traffic.crossings - packets).max(0.0);
    packets * RECORDED_BYTES + visits * VISIT_BYTES + masses(plan, traffic, asked.users)
}

/// What the attacks of one adversary keep.
fn attacks(metrics: &Metrics, plan: &Plan, traffic: &Traffic) -> f64 {
    let clients = f64::from(plan.clients());
    let measured = plan.phases.measurement;
    let mut bytes = 0.0;
    if let Some(asked) = &metrics.disclosure {
        let rounds = 2.0 + plan.path_time() / asked.round.get();
        bytes += 24.0 * clients + 4.0 * traffic.rate * asked.round.get() * rounds;
    }
    if metrics.intersection.is_some() {
        let absences = plan.classes.iter().map(|class| {
            let cycles = class
                .churn
                .map_or(0.0, |c| traffic.length / (c.online + c.offline));
            f64::from(class.count) * cycles
        });
        bytes += 16.0 * clients + 24.0 * absences.sum::<f64>();
    }
    if let Some(asked) = &metrics.flow_matching {
        let flows = f64::from(asked.flows).min(clients);
        bytes += 8.0 * flows * (measured / asked.bin.get()).min(1e6);
    }
    if metrics.compromise.is_some() {
        bytes += 28.0 * clients + 8.0 * traffic.under_way;
    }
    if metrics.corrupt_provider.is_some() {
        bytes += 4.0 * clients + 24.0 * traffic.messages * measured;
    }
    if metrics.fifo.is_some() {
        bytes += 4.0 * clients + 8.0 * traffic.under_way + traffic.messages * measured;
    }
    if metrics.droppers.is_some() {
        bytes += 300.0 * clients.min(1e4) + 8.0 * traffic.under_way;
    }
    bytes
}

/// The scores of all pairs of flows, twice while they are sorted, and the curve.
fn scores(asked: &FlowMatching, plan: &Plan) -> f64 {
    let flows = f64::from(asked.flows).min(f64::from(plan.clients()));
    56.0 * flows * flows
}

/// The tables of one repetition.
fn tables(model: &Model, plan: &Plan, traffic: &Traffic, inferring: usize) -> f64 {
    let metrics = &model.metrics;
    let seconds = plan.phases.measurement;
    let flows = |class: &Class| {
        let online = online(class);
        let messages = match class.workload {
            Workload::Saturated => class.real,
            Workload::Poisson { rate } => rate.min(class.real),
            Workload::Trace => traffic.messages / online.max(1.0),
        };
        let dummies = if class.dummies {
            class.real - messages
        } else {
            0.0
        };
        // Those of messages are there twice, with and without the buffer.
        [messages, messages, dummies, class.loops, class.drops].map(|rate| online * rate)
    };
    let loops =
        plan.network.layers.iter().map(Vec::len).sum::<usize>() as f64 * plan.network.mix_loops;
    let rates = plan.classes.iter().flat_map(flows).chain([loops]);
    let most = BUCKETS / stages_with_delay(plan).sqrt();
    let buckets: f64 = rates
        .map(|rate| most * (1.0 - crate::math::exp(-rate * seconds / most)))
        .sum();
    let mut rows = LATENCY_ROW * buckets;
    rows += BIN_ROW * plan.bin.map_or(0.0, |bin| traffic.length / bin);
    if let Some(asked) = &metrics.flow_matching {
        let flows = f64::from(asked.flows).min(f64::from(plan.clients()));
        rows += PAIR_ROW * model.adversaries.len() as f64 * flows * flows;
    }
    let directions =
        u8::from(metrics.entropy_forward.is_some()) + u8::from(metrics.entropy_backward.is_some());
    let targets = plan.targets.map_or(0.0, |targets| {
        let due = traffic.messages * seconds / f64::from(targets.every.max(1));
        due.min(f64::from(targets.count))
    });
    rows + TARGET_ROW * f64::from(directions) * targets * inferring as f64
}

/// Visits of a packet that hold it.
fn stages_with_delay(plan: &Plan) -> f64 {
    let mixes = match plan.network.routes {
        Routes::Free { hops } => f64::from(hops),
        Routes::Stratified | Routes::Cascade => plan.network.layers.len() as f64,
    };
    let providers = plan.network.providers > 0 && plan.network.provider_delay.mean() > 0.0;
    (mixes + if providers { 2.0 } else { 0.0 }).max(1.0)
}

/// Clients of a class and the messages that wait in their buffers.
fn of_class(class: &Class, plan: &Plan) -> f64 {
    let count = f64::from(class.count);
    let contacts = match class.receivers {
        crate::engine::Receivers::Uniform => 0.0,
        crate::engine::Receivers::Contacts(count) => 4.0 * f64::from(count),
    };
    let churn = if class.churn.is_some() {
        CHURN_BYTES
    } else {
        0.0
    };
    let waiting = match class.workload {
        Workload::Poisson { rate } if rate > 0.0 => {
            let load = rate / class.real.max(1e-12);
            // In equilibrium load / (1 - load), and never more than come in the whole run.
            let steady = if load < 1.0 {
                load / (1.0 - load)
            } else {
                f64::INFINITY
            };
            steady
                .min(rate * plan.phases.total())
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
