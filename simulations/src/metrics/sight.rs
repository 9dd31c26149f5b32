//! Which packets an adversary sees between clients and the network.

use crate::adversary::Adversary;
use crate::engine::{Delay, Link, NONE, Plan, Routes};
use crate::math;

/// Whether the adversary saw where a packet entered, and where it left.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    adversary: Adversary,
    /// By slot: the adversary owns the node that let the packet out.
    left: Vec<bool>,
}

impl Sight {
    pub(super) fn new(adversary: &Adversary) -> Self {
        Self {
            adversary: adversary.clone(),
            left: Vec::new(),
        }
    }

    /// Whether it sees a packet that goes from a client to this node.
    pub(super) fn enters(&self, first: u32) -> bool {
        self.adversary.sees_all || self.adversary.owns(first)
    }

    /// To be told of departures.
    pub(super) fn depart(&mut self, node: u32, slot: u32, next: u32) {
        if !self.adversary.sees_all && next == NONE {
            *at(&mut self.left, slot) = self.adversary.owns(node);
        }
    }

    /// Whether it saw the packet of this slot leave for a client.
    pub(super) fn leaves(&self, slot: u32) -> bool {
        let left = self.left.get(slot as usize).copied();
        self.adversary.sees_all || left.unwrap_or(false)
    }
}

/// The entry of a slot, made if need be.
pub(super) fn at<T: Clone + Default>(of: &mut Vec<T>, slot: u32) -> &mut T {
    let slot = slot as usize;
    if slot >= of.len() {
        of.resize(slot + 1, T::default());
    }
    #[expect(clippy::indexing_slicing, reason = "made long enough above")]
    &mut of[slot]
}

/// The mean of a delay, in seconds.
pub(super) fn mean(delay: &Delay) -> f64 {
    match *delay {
        Delay::Exponential { mean } | Delay::Gamma { mean, .. } => mean,
        Delay::Constant { seconds } => seconds,
        Delay::Uniform { least, most } => f64::midpoint(least, most),
        Delay::Lognormal { median, sigma } => median * math::exp(sigma * sigma / 2.0),
        Delay::Pareto { scale, shape } => scale * shape / (shape - 1.0),
    }
}

/// The mean delay of a link over the pairs that it connects, in seconds.
pub(super) fn link_mean(link: &Link) -> f64 {
    match link {
        Link::Constant(seconds) => *seconds,
        Link::Matrix { seconds, .. } => crate::stats::mean(seconds).unwrap_or(0.0),
        Link::Random { least, extra } => least + mean(extra),
    }
}

/// How many mixes a packet passes.
pub(super) fn path_length(plan: &Plan) -> u32 {
    match plan.network.routes {
        Routes::Free { hops } => hops,
        Routes::Stratified | Routes::Cascade => {
            u32::try_from(plan.network.layers.len()).unwrap_or(u32::MAX)
        }
    }
}

/// The mean time of a client's packet from sending to its end at a client, in seconds, without
/// queues.
pub(super) fn mean_latency(plan: &Plan) -> f64 {
    let between: f64 = match plan.network.routes {
        Routes::Free { hops } => {
            let ends: f64 = plan.links.between.iter().map(link_mean).sum();
            ends + f64::from(hops.saturating_sub(1)) * link_mean(&plan.links.wrap)
        }
        Routes::Stratified | Routes::Cascade => plan.links.between.iter().map(link_mean).sum(),
    };
    let providers = if plan.network.providers > 0 { 2.0 } else { 0.0 };
    link_mean(&plan.links.ingress)
        + between
        + link_mean(&plan.links.egress)
        + f64::from(path_length(plan)) * mean(&plan.network.mix_delay)
        + providers * mean(&plan.network.provider_delay)
}
