//! Plans from the few numbers that papers give.

use crate::engine::{
    Class, Delay, Link, Links, Network, Phases, Plan, Receivers, Routes, Targets, Workload,
};

/// Clients of which each tick of a Poisson process sends a message to another client.
pub(super) fn senders(count: u32, rate: f64) -> Class {
    Class {
        count,
        real: rate,
        loops: 0.0,
        drops: 0.0,
        dummies: false,
        workload: Workload::Saturated,
        receivers: Receivers::Uniform,
        buffer: 1,
        churn: None,
    }
}

/// Layers of equally likely mixes with exponential delays, without providers, and with the same
/// constant delay on every link.
pub(super) fn layered(layers: usize, width: usize, mean: f64, link: f64) -> (Network, Links) {
    let network = Network {
        routes: Routes::Stratified,
        layers: vec![vec![1.0; width]; layers],
        providers: 0,
        mix_delay: Delay::Exponential { mean },
        provider_delay: Delay::Constant { seconds: 0.0 },
        server: None,
        mix_loops: 0.0,
    };
    (network, Links::all(&Link::Constant(link), layers))
}

/// A plan of one class, without targets.
pub(super) fn plan((network, links): (Network, Links), class: Class, phases: Phases) -> Plan {
    Plan {
        network,
        links,
        classes: vec![class],
        trace: Vec::new(),
        phases,
        droppers: Vec::new(),
        targets: None,
        groups: Vec::new(),
        bin: None,
    }
}

/// Every so many messages one target, so many in all, with places for so many at a time. The places
/// must be more than are ever needed.
pub(super) fn targets(every: u32, count: u32, places: u32) -> Targets {
    Targets {
        first: 0,
        every,
        max_alive: places.min(count),
        count,
        any_kind: false,
        users: false,
    }
}
