//! What to simulate, as plain data. Times are in seconds, rates per second.

use std::sync::Arc;

/// A whole run. Build it, then [`validate`](Plan::validate) it; [`run`](super::run) does so too.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Nodes and how packets are routed among them.
    pub network: Network,
    /// Delays and loss on links.
    pub links: Links,
    /// The clients. Client numbers run through the classes in order.
    pub classes: Vec<Class>,
    /// Messages of the classes with [`Workload::Trace`], in order of time.
    pub trace: Vec<TraceMessage>,
    /// How long each part of the run takes.
    pub phases: Phases,
    /// Nodes that drop a share of what they receive.
    pub droppers: Vec<Dropper>,
    /// Which messages the adversaries look for.
    pub targets: Option<Targets>,
    /// Senders of whom each is one label of mass: all messages that it sends within the
    /// measurement inject 1 into it (Loopix's pair S0, S1).
    pub groups: Vec<u32>,
    /// Width of a time bin; none for no bins.
    pub bin: Option<f64>,
}

/// Nodes and routes.
///
/// Nodes have global indices: entry providers, then mixes layer by layer, then exit providers. A
/// provider is two nodes, one in the entry stage and one in the exit stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// How a packet picks its mixes.
    pub routes: Routes,
    /// Of each layer, the weight of each mix in the choice of routes: positive, of any scale.
    /// Free routes have one layer.
    pub layers: Vec<Vec<f64>>,
    /// Number of providers; 0 for clients that send to mixes directly.
    pub providers: u32,
    /// The delay at a mix.
    pub mix_delay: Delay,
    /// The delay at a provider, on entry and on exit.
    pub provider_delay: Delay,
    /// A mix's server before its delay; none for mixes of unlimited speed.
    pub server: Option<Server>,
    /// Loops that each mix starts, per second. They visit the layers after the mix, a random
    /// provider (if there are any), the layers before it, and end at the mix. Not with free
    /// routes.
    pub mix_loops: f64,
}

/// How a packet picks its mixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routes {
    /// One mix of each layer, drawn independently by weight.
    Stratified,
    /// Mix `i` of the first layer is followed by mix `i` of each other layer; the first is drawn
    /// by weight. All layers are equally wide.
    Cascade,
    /// So many mixes in a row, each drawn by weight among all but the one before.
    Free {
        /// Mixes on a path, 1 to 255.
        hops: u32,
    },
}

/// A FIFO server: packets are served one by one, each in `1 / rate` seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Server {
    /// Packets per second.
    pub rate: f64,
    /// Packets that may be in it, the served one included; what exceeds this is lost.
    pub queue: u32,
}

/// A distribution of delays. All are drawn by inversion or rejection with the math library that is
/// compiled in, so that they are the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delay {
    /// Exponential, cut at 27.63 means as in the network.
    Exponential {
        /// Seconds, at least 0.
        mean: f64,
    },
    /// Always the same.
    Constant {
        /// Seconds, at least 0.
        seconds: f64,
    },
    /// Uniform.
    Uniform {
        /// Seconds, at least 0.
        least: f64,
        /// Seconds, at least `least`.
        most: f64,
    },
    /// Gamma; with an integer shape the Erlang distribution.
    Gamma {
        /// Positive.
        shape: f64,
        /// Seconds, positive.
        mean: f64,
    },
    /// exp of a normal variable.
    Lognormal {
        /// Seconds, positive.
        median: f64,
        /// Standard deviation of the logarithm, at least 0.
        sigma: f64,
    },
    /// Pareto: `P(X > x) = (scale / x)^shape`.
    Pareto {
        /// Its least value, in seconds, positive.
        scale: f64,
        /// Above 1, so that there is a mean.
        shape: f64,
    },
}

/// The delay of one link.
#[derive(Clone, Debug, PartialEq)]
pub enum Link {
    /// Always the same, in seconds.
    Constant(f64),
    /// By sending and receiving node, both counted within their stages.
    Matrix {
        /// Receiving nodes.
        columns: u32,
        /// Seconds, row by row: one row for each sending node.
        seconds: Arc<[f64]>,
    },
    /// Drawn anew for each packet.
    Random {
        /// Seconds that every packet takes.
        least: f64,
        /// What comes on top.
        extra: Delay,
    },
}

/// Delays of the links, by the stages that they connect. The stages are the entry providers (if
/// there are any), the layers of mixes, the exit providers (if there are any).
#[derive(Clone, Debug, PartialEq)]
pub struct Links {
    /// From clients to the first stage. Not a matrix.
    pub ingress: Link,
    /// From each stage to the next: one fewer than there are stages.
    pub between: Vec<Link>,
    /// From mix to mix on free routes; from the last stage to the first layer for the loops of
    /// mixes.
    pub wrap: Link,
    /// From the last stage to clients. Not a matrix.
    pub egress: Link,
    /// The probability that a packet is lost on a link, from 0 and below 1.
    pub loss: f64,
}

impl Links {
    /// The same link everywhere, without loss, for a network of so many stages.
    #[must_use]
    pub fn all(link: &Link, stages: usize) -> Self {
        Self {
            ingress: link.clone(),
            between: vec![link.clone(); stages.saturating_sub(1)],
            wrap: link.clone(),
            egress: link.clone(),
            loss: 0.0,
        }
    }
}

/// Clients that behave alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// How many clients.
    pub count: u32,
    /// Rate of the real process of each client: the head of the buffer, or a dummy when it is
    /// empty (Loopix's lambda_P).
    pub real: f64,
    /// Rate of loops of each client (lambda_L).
    pub loops: f64,
    /// Rate of drops of each client (lambda_D).
    pub drops: f64,
    /// Whether a tick of the real process with an empty buffer sends a dummy; otherwise nothing.
    pub dummies: bool,
    /// Where the messages come from.
    pub workload: Workload,
    /// To whom they go.
    pub receivers: Receivers,
    /// Messages that a client's buffer holds; what exceeds this is refused.
    pub buffer: u32,
    /// Coming and going; none for clients that are always there.
    pub churn: Option<Churn>,
}

/// Where a class's messages come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Workload {
    /// Each tick of the real process finds a message, made at that instant.
    Saturated,
    /// Messages are made by a Poisson process, while the client is online, and wait in its
    /// buffer.
    Poisson {
        /// Messages per second of each client.
        rate: f64,
    },
    /// The plan's trace.
    Trace,
}

/// Who receives a client's messages (those of a trace say so themselves).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receivers {
    /// Any other client, each as likely.
    Uniform,
    /// So many other clients, drawn once for each client at the start, each as likely (one may
    /// be drawn twice).
    Contacts(u32),
}

/// Alternating exponential times online and offline, in equilibrium from the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Churn {
    /// Mean time online, in seconds.
    pub online: f64,
    /// Mean time offline, in seconds.
    pub offline: f64,
}

/// A message of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceMessage {
    /// When it enters its sender's buffer, in seconds from the start of the warm-up.
    pub time: f64,
    /// Client number.
    pub sender: u32,
    /// Client number.
    pub receiver: u32,
}

/// Parts of a run, in seconds. Packets that are sent in the measurement count; traffic goes on to
/// the end of the drain, where what is still under way is given up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phases {
    /// Until the network is in equilibrium.
    pub warm_up: f64,
    /// The part that counts.
    pub measurement: f64,
    /// Until what was sent in the measurement has arrived.
    pub drain: f64,
}

impl Phases {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.warm_up + self.measurement + self.drain
    }

    /// Whether a packet that is sent at this time counts.
    #[must_use]
    pub fn measures(&self, time: f64) -> bool {
        time >= self.warm_up && time < self.warm_up + self.measurement
    }
}

/// A node that loses packets on purpose, whatever their kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropper {
    /// Global index.
    pub node: u32,
    /// The share of received packets, 0 to 1.
    pub share: f64,
}

/// Which messages are targets, by their index in the order of sending within the measurement:
/// `first`, `first + every`, …, as far as there is a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// The first index.
    pub first: u32,
    /// The step, at least 1.
    pub every: u32,
    /// Targets at a time, at least 1. While as many are alive, indices are passed over.
    pub max_alive: u32,
    /// Targets in all.
    pub count: u32,
    /// Whether clients' packets of every kind have an index, and not only messages.
    pub any_kind: bool,
    /// Whether to keep the mass by receiver too (`max_alive` times clients numbers).
    pub users: bool,
}

impl Plan {
    /// Clients of all classes.
    #[must_use]
    pub fn clients(&self) -> u32 {
        self.classes.iter().map(|class| class.count).sum()
    }

    /// The number of nodes of each stage: entry providers, layers, exit providers.
    #[must_use]
    pub fn stages(&self) -> Vec<u32> {
        let layers = self.network.layers.iter();
        let mixes = layers.map(|layer| u32::try_from(layer.len()).unwrap_or(u32::MAX));
        let providers = (self.network.providers > 0).then_some(self.network.providers);
        providers
            .into_iter()
            .chain(mixes)
            .chain(providers)
            .collect()
    }

    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> u32 {
        self.stages().iter().sum()
    }

    /// Packets that clients and mixes send per second while all are online.
    #[must_use]
    pub fn packet_rate(&self) -> f64 {
        let rate =
            |class: &Class| f64::from(class.count) * (class.real + class.loops + class.drops);
        let mixes: usize = self.network.layers.iter().map(Vec::len).sum();
        self.classes.iter().map(rate).sum::<f64>() + mixes as f64 * self.network.mix_loops
    }
}
