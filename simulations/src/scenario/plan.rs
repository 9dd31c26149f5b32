//! From a scenario to what the engine runs.

use std::sync::Arc;

use rand::RngExt;

use super::{
    Churn, ClientClass, Distribution, Matrix, Receivers, Scenario, TargetKind, TopologyKind,
    Workload,
};
use crate::{adversary, engine, math, seed};

/// The queue of a mix whose capacity is given without one.
const DEFAULT_QUEUE: u32 = 10_000;

impl Scenario {
    /// What the engine runs in a repetition. It depends on the repetition only where a trace leaves
    /// receivers to be drawn, and where nodes that drop packets are.
    #[must_use]
    pub fn plan(&self, repetition: u32) -> engine::Plan {
        let run = &self.model.run;
        let mut plan = engine::Plan {
            network: self.network(),
            links: self.links(),
            classes: self.model.clients.iter().map(class).collect(),
            trace: self.messages(repetition),
            phases: engine::Phases {
                warm_up: run.warm_up.get(),
                measurement: run.measure.get(),
                drain: run.drain.get(),
            },
            droppers: Vec::new(),
            targets: self.targets(),
            groups: self.groups(),
            bin: Some(run.bin.get()),
        };
        plan.droppers = adversary::droppers(self, &plan, run.seed, repetition);
        plan
    }

    fn network(&self) -> engine::Network {
        let topology = &self.model.topology;
        let widths = topology.widths();
        let weights = |(at, width): (usize, &u32)| {
            let list = match topology.kind {
                TopologyKind::Stratified => at,
                TopologyKind::Cascade | TopologyKind::FreeRoute => 0,
            };
            let given = topology.weights.as_ref().and_then(|w| w.get(list));
            given.map_or_else(|| vec![1.0; *width as usize], Clone::clone)
        };
        let mixes = &self.model.mixes;
        engine::Network {
            routes: match topology.kind {
                TopologyKind::Stratified => engine::Routes::Stratified,
                TopologyKind::Cascade => engine::Routes::Cascade,
                TopologyKind::FreeRoute => engine::Routes::Free {
                    hops: topology.path_length(),
                },
            },
            layers: widths.iter().enumerate().map(weights).collect(),
            providers: topology.providers,
            mix_delay: delay(&self.model.delay.mixes),
            provider_delay: self
                .model
                .delay
                .providers
                .as_ref()
                .map_or(engine::Delay::Constant { seconds: 0.0 }, delay),
            server: mixes.capacity.map(|rate| engine::Server {
                rate,
                queue: mixes.queue.unwrap_or(DEFAULT_QUEUE),
            }),
            mix_loops: mixes.loop_rate,
        }
    }

    fn links(&self) -> engine::Links {
        let topology = &self.model.topology;
        let links = &self.model.links;
        let outer = link(links.base.get(), &links.delay);
        let mut stages = Stages::new(topology.providers as usize, &topology.widths());
        let mut plan = engine::Links::all(&outer, stages.ranges.len());
        plan.loss = links.loss;
        if let Some(matrix) = self.matrix() {
            let pairs = stages.ranges.windows(2);
            plan.between = pairs
                .filter_map(|pair| Some(part(matrix, *pair.first()?, *pair.last()?)))
                .collect();
            if let (Some(last), Some(first)) = (stages.ranges.pop(), stages.first_layer) {
                plan.wrap = match topology.kind {
                    TopologyKind::FreeRoute => apart(matrix, first),
                    TopologyKind::Stratified | TopologyKind::Cascade => part(matrix, last, first),
                };
            }
        }
        plan
    }

    fn targets(&self) -> Option<engine::Targets> {
        let targets = self.model.targets.as_ref()?;
        let metrics = &self.model.metrics;
        Some(engine::Targets {
            first: targets.first,
            every: targets.every,
            max_alive: targets.max_alive,
            count: targets.count,
            any_kind: targets.kind == TargetKind::Any,
            users: metrics.entropy_forward.as_ref().is_some_and(|e| e.users),
        })
    }

    /// The senders of the pairs whose likelihoods are compared, each once, in order.
    pub(super) fn groups(&self) -> Vec<u32> {
        let pairs = self.model.metrics.epsilon.iter().flat_map(|e| &e.pairs);
        let mut groups: Vec<u32> = pairs.flatten().copied().collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// The messages of all traces in order of time, with the receivers that they leave open.
    fn messages(&self, repetition: u32) -> Vec<engine::TraceMessage> {
        let clients = u32::try_from(self.client_count()).unwrap_or(u32::MAX);
        let mut messages = Vec::new();
        let mut first = 0u32;
        for (at, class) in (0u64..).zip(&self.model.clients) {
            let seed = self.model.run.seed;
            let mut rng = seed::generator(seed, repetition, "receivers of traces", at);
            let listed = self.trace(class).map_or(&[][..], |trace| &trace.messages);
            for message in listed {
                let sender = first.saturating_add(message.sender);
                let receiver = message.receiver.unwrap_or_else(|| match class.receivers {
                    Receivers::Uniform => other(&mut rng, sender, clients),
                    Receivers::Contacts { count } => {
                        // Contact i of a sender is the first number of a generator of its own.
                        let place = rng.random_range(0..u64::from(count.max(1)));
                        let index = (u64::from(sender) << 32) | place;
                        let mut rng =
                            seed::generator(seed, repetition, "contacts of traces", index);
                        other(&mut rng, sender, clients)
                    }
                });
                messages.push(engine::TraceMessage {
                    time: message.time,
                    sender,
                    receiver,
                });
            }
            first = first.saturating_add(class.count);
        }
        messages.sort_by(|a, b| a.time.total_cmp(&b.time));
        messages
    }
}

/// Any other client, all alike.
fn other(rng: &mut impl rand::Rng, sender: u32, clients: u32) -> u32 {
    let drawn = rng.random_range(0..clients.saturating_sub(1).max(1));
    if drawn >= sender {
        drawn.saturating_add(1)
    } else {
        drawn
    }
}

fn class(class: &ClientClass) -> engine::Class {
    engine::Class {
        count: class.count,
        real: class.rates.real,
        loops: class.rates.loops,
        drops: class.rates.drop,
        dummies: class.dummies,
        workload: match class.workload {
            Workload::Saturated => engine::Workload::Saturated,
            Workload::Poisson { rate } => engine::Workload::Poisson { rate },
            Workload::Trace { .. } => engine::Workload::Trace,
        },
        receivers: match class.receivers {
            Receivers::Uniform => engine::Receivers::Uniform,
            Receivers::Contacts { count } => engine::Receivers::Contacts(count),
        },
        buffer: class.buffer,
        churn: class
            .churn
            .as_ref()
            .map(|Churn { online, offline }| engine::Churn {
                online: online.get(),
                offline: offline.get(),
            }),
    }
}

fn delay(distribution: &Distribution) -> engine::Delay {
    match *distribution {
        Distribution::Constant { mean } => engine::Delay::Constant {
            seconds: mean.get(),
        },
        Distribution::Exponential { mean } => engine::Delay::Exponential { mean: mean.get() },
        Distribution::Uniform { min, max } => engine::Delay::Uniform {
            least: min.get(),
            most: max.get(),
        },
        Distribution::Erlang { mean, shape } => engine::Delay::Gamma {
            shape: f64::from(shape),
            mean: mean.get(),
        },
        Distribution::Gamma { mean, shape } => engine::Delay::Gamma {
            shape,
            mean: mean.get(),
        },
        Distribution::Lognormal { mean, deviation } => {
            // Of a lognormal with median m and sigma s, the mean is m exp(s^2/2) and the squared
            // coefficient of variation exp(s^2) - 1.
            let relative = deviation.get() / mean.get();
            let spread = 1.0 + relative * relative;
            engine::Delay::Lognormal {
                median: mean.get() / spread.sqrt(),
                sigma: math::ln(spread).sqrt(),
            }
        }
        Distribution::Pareto { mean, shape } => engine::Delay::Pareto {
            scale: mean.get() * (shape - 1.0) / shape,
            shape,
        },
    }
}

/// A link with a least delay and what comes on top.
fn link(base: f64, distribution: &Distribution) -> engine::Link {
    match *distribution {
        Distribution::Constant { mean } => engine::Link::Constant(base + mean.get()),
        Distribution::Uniform { min, max } => engine::Link::Random {
            least: base + min.get(),
            extra: engine::Delay::Uniform {
                least: 0.0,
                most: max.get() - min.get(),
            },
        },
        _ => engine::Link::Random {
            least: base,
            extra: delay(distribution),
        },
    }
}

/// First node and number of nodes in the matrix, of each stage.
struct Stages {
    ranges: Vec<(usize, usize)>,
    first_layer: Option<(usize, usize)>,
}

impl Stages {
    fn new(providers: usize, widths: &[u32]) -> Self {
        let mut start = providers;
        let mut layers = Vec::with_capacity(widths.len());
        for width in widths {
            layers.push((start, *width as usize));
            start += *width as usize;
        }
        let first_layer = layers.first().copied();
        let outer = (providers > 0).then_some((0, providers));
        Self {
            ranges: outer.into_iter().chain(layers).chain(outer).collect(),
            first_layer,
        }
    }
}

/// The part of a matrix with the links from one stage to another.
fn part(matrix: &Matrix, from: (usize, usize), to: (usize, usize)) -> engine::Link {
    let rows = from.0..from.0 + from.1;
    let seconds: Arc<[f64]> = rows
        .flat_map(|row| (to.0..to.0 + to.1).map(move |column| (row, column)))
        .map(|(row, column)| matrix.delay(row, column).unwrap_or_default())
        .collect();
    engine::Link::Matrix {
        columns: u32::try_from(to.1).unwrap_or(u32::MAX),
        seconds,
    }
}

/// The links among the nodes of a stage. From a node to itself there is none; so that it does not
/// count as the shortest, it is given the least delay of the others.
fn apart(matrix: &Matrix, (first, count): (usize, usize)) -> engine::Link {
    let nodes = first..first + count;
    let pairs = nodes
        .clone()
        .flat_map(|row| nodes.clone().map(move |column| (row, column)));
    let delay = |(row, column): (usize, usize)| {
        (row != column).then(|| matrix.delay(row, column).unwrap_or_default())
    };
    let least = pairs
        .clone()
        .filter_map(delay)
        .fold(f64::INFINITY, f64::min);
    // A single mix has no others.
    let least = if least.is_finite() { least } else { 1.0 };
    engine::Link::Matrix {
        columns: u32::try_from(count).unwrap_or(u32::MAX),
        seconds: pairs.map(|pair| delay(pair).unwrap_or(least)).collect(),
    }
}
