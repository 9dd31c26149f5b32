//! What goes through the network in a run.

use super::path::{self, Way};
use crate::engine::{Class, Plan, Routes, Workload};

/// What goes through the network in one repetition, on average.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Packets sent per second, by clients and mixes.
    pub rate: f64,
    /// Messages among them.
    pub messages: f64,
    /// Links of a packet's whole path.
    pub links: f64,
    /// Links that all packets cross until the end.
    pub crossings: f64,
    /// Links of the paths of those that reach their end.
    pub hops: f64,
    /// The most packets under way at one time.
    pub under_way: f64,
    /// Those of them on links.
    pub on_links: f64,
    /// Packets that a stage gets in a window of the engine, and how many windows there are.
    pub per_window: f64,
    /// Windows of the engine.
    pub windows: f64,
    /// Seconds in all.
    pub length: f64,
}

impl Traffic {
    /// Of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let length = plan.phases.total();
        let ways = path::draw(plan);
        let clients: f64 = plan.classes.iter().map(packets).sum();
        let mixes: usize = plan.network.layers.iter().map(Vec::len).sum();
        let loops = mixes as f64 * plan.network.mix_loops;
        let rate = clients + loops;
        let trace = plan.trace.len() as f64 / length;
        let messages = plan.classes.iter().map(messages).sum::<f64>() + trace;
        let leaving = messages
            + plan
                .classes
                .iter()
                .map(|c| online(c) * c.loops)
                .sum::<f64>();
        let mut found = Self {
            rate,
            messages,
            links: 0.0,
            crossings: 0.0,
            hops: 0.0,
            under_way: 0.0,
            on_links: 0.0,
            per_window: 0.0,
            windows: length / plan.window(),
            length,
        };
        // What ends at a provider, or at the mix that sent it, does not cross the last link.
        let inside = if plan.network.providers > 0 {
            rate - leaving
        } else {
            loops
        };
        for (rate, last) in [(rate - inside, 0), (inside, 1)] {
            for way in &ways {
                found.add(way, last, rate / ways.len() as f64);
            }
        }
        let visits = match plan.network.routes {
            Routes::Free { hops } => f64::from(hops),
            Routes::Stratified | Routes::Cascade => 1.0,
        };
        found.per_window = rate * visits * length / found.windows;
        found.links /= rate.max(1e-12);
        found
    }

    /// Adds packets that take this way, all but the last links of it, sent all the time at this
    /// rate.
    fn add(&mut self, way: &Way, last: usize, rate: f64) {
        let crossed = way.crossed.len().saturating_sub(last);
        let crossed = way.crossed.get(..crossed).unwrap_or_default();
        let whole = crossed.last().copied().unwrap_or(0.0);
        let reach = |time: &f64| (self.length - time).max(0.0);
        let links = crossed.len() as f64;
        let crossings: f64 = crossed.iter().map(reach).sum();
        let hops = links * reach(&whole);
        self.links += rate * links;
        self.crossings += rate * crossings;
        self.hops += rate * hops;
        let under_way = rate * whole.min(self.length);
        self.under_way += under_way;
        self.on_links += under_way * way.on_links / way.time().max(1e-12);
    }
}

/// Clients of a class that are online at a time.
pub(super) fn online(class: &Class) -> f64 {
    let share = class
        .churn
        .map_or(1.0, |churn| churn.online / (churn.online + churn.offline));
    f64::from(class.count) * share
}

/// Messages per second of a class, but for those of traces.
fn messages(class: &Class) -> f64 {
    let each = match class.workload {
        Workload::Saturated => class.real,
        Workload::Poisson { rate } => rate.min(class.real),
        Workload::Trace => 0.0,
    };
    online(class) * each
}

/// Packets per second of a class.
fn packets(class: &Class) -> f64 {
    let real = if class.dummies {
        online(class) * class.real
    } else {
        messages(class)
    };
    real + online(class) * (class.loops + class.drops)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::tests::plan;
    use crate::engine::{self, Delay, Kind};

    #[test]
    fn traffic_is_that_of_a_run_also_if_delays_exceed_it() {
        for mean in [0.5, 100.0] {
            let mut plan = plan(&[&[1.0; 3], &[1.0; 3]]);
            plan.network.mix_delay = Delay::Exponential { mean };
            plan.phases.measurement = 50.0;
            for class in &mut plan.classes {
                class.count = 400;
            }
            let found = Traffic::of(&plan);
            let outcome = engine::run(&plan, 1, 0, &mut ()).unwrap();
            let near = |ours: f64, counted: f64| {
                assert!(
                    (ours / counted - 1.0).abs() < 0.2,
                    "{mean}: {ours} {counted}"
                );
            };
            near(found.hops, outcome.hops as f64);
            // Their places are used again only after the window in which they end.
            let places = found.under_way + found.rate * plan.window();
            near(places, f64::from(outcome.most_under_way));
            let messages = outcome.total[Kind::Real as usize].sent as f64;
            near(found.messages * found.length, messages);
        }
    }
}
