//! The loop over windows of time.

use std::hint::black_box;

use super::calendar::Sorter;
use super::clients::{BATCH, Clients};
use super::router::Traffic;
use super::stage::{Scratch, Stage, Window};
use super::{EngineError, Link, Observer, Outcome, Plan, Routes};

/// Arrivals at a node that a window should have.
const ARRIVALS: f64 = 12.0;
/// Arrivals at a stage that a window should have at least, and at most.
const LEAST: f64 = 1024.0;
const MOST: f64 = 32768.0;
/// Windows for each packet, at most, where only giving up targets in time asks for more.
const WINDOWS: f64 = 64.0;

impl Plan {
    /// How long a packet is under way on average, in seconds.
    #[must_use]
    pub fn path_time(&self) -> f64 {
        let (network, links) = (&self.network, &self.links);
        let visits = match network.routes {
            Routes::Free { hops } => hops as usize,
            _ => network.layers.len(),
        };
        let mut time = links.ingress.mean() + links.egress.mean();
        time += visits as f64 * network.mix_delay.mean();
        time += links.between.iter().map(Link::mean).sum::<f64>();
        if network.providers > 0 {
            time += 2.0 * network.provider_delay.mean();
        }
        if matches!(network.routes, Routes::Free { .. }) {
            time += visits.saturating_sub(1) as f64 * links.wrap.mean();
        }
        time
    }

    /// How long the windows are, in seconds. It follows from the plan alone, so that a run has the
    /// same windows everywhere.
    ///
    /// Delays don't depend on what else happens, so a window of any length is right as long as
    /// what leaves a stage in it can't come back to the stage, or to one before it, in the same
    /// window: with free routes or loops of mixes it is no longer than the shortest link that goes
    /// back. Otherwise a stage gets enough packets in it to make sorting them worthwhile, and few
    /// enough to stay in the cache; and a window is no longer than a path takes on average, so that
    /// targets are given up in time, as long as that does not make more windows than packets by far.
    #[must_use]
    pub fn window(&self) -> f64 {
        let total = self.phases.total();
        let mut length = self.wanted();
        if self.network.mix_loops > 0.0 || matches!(self.network.routes, Routes::Free { .. }) {
            length = length.min(self.links.wrap.least());
        }
        // A whole number of windows, and at most 2^40 of them.
        let count = (total / length).ceil().clamp(1.0, (1_u64 << 40) as f64);
        total / count
    }

    /// The length of windows that suits the traffic.
    fn wanted(&self) -> f64 {
        let total = self.phases.total();
        let widest = self.stages().into_iter().max().unwrap_or(1);
        let visits = match self.network.routes {
            Routes::Free { hops } => f64::from(hops),
            _ => 1.0,
        };
        let rate = (self.packet_rate() * visits).max(self.trace.len() as f64 / total);
        let events = (ARRIVALS * f64::from(widest)).clamp(LEAST, MOST);
        let length = (events / rate).min(total);
        let path = self.path_time();
        if path > 0.0 {
            length.min(path.max(1.0 / (WINDOWS * rate)))
        } else {
            length
        }
    }
}

/// Runs a plan, and shows it to an observer. The same plan, seed and repetition give the same
/// events and the same outcome, bit for bit, on any machine.
///
/// # Errors
/// When the plan is refused, or too many packets are under way.
pub fn run<O: Observer>(
    plan: &Plan,
    seed: u64,
    repetition: u32,
    observer: &mut O,
) -> Result<Outcome, EngineError> {
    plan.validate()?;
    let length = plan.window();
    let total = plan.phases.total();
    let windows = ((total / length).round() as u64).max(1);
    let mut traffic = Traffic::new(plan, length);
    let mut clients = Clients::new(plan, seed, repetition);
    let mut stages: Vec<Stage> = (0..plan.stages().len())
        .map(|index| Stage::new(plan, index, length, seed, repetition))
        .collect();
    let (mut scratch, mut sorter, mut list) = (Scratch::default(), Sorter::default(), Vec::new());
    observer.start(plan);
    clients.start(observer);
    for index in 0..windows {
        let start = index as f64 * length;
        let end = if index + 1 == windows {
            total
        } else {
            (index + 1) as f64 * length
        };
        traffic.enter(index);
        clients.run(end, &mut traffic, observer)?;
        let window = Window {
            index,
            start,
            length,
        };
        for stage in &mut stages {
            stage.run(window, &mut traffic, &mut scratch, observer);
        }
        if traffic.sink.is_idle() {
            observer.window(end);
            continue;
        }
        traffic.sink.take(&mut list);
        sorter.sort(&list, 1, start, length);
        for events in sorter.sorted().chunks(BATCH) {
            let hint = events.iter().fold(0, |hint, event| {
                hint ^ observer.soon(event.slot) ^ traffic.slab.get(event.slot).sender
            });
            black_box(hint);
            for event in events {
                traffic.end(event.slot, event.time, observer);
            }
        }
        observer.window(end);
    }
    observer.finish(total);
    let most = traffic.slab.most();
    let mut outcome = traffic.tally.finish();
    outcome.occupancy = stages.into_iter().map(Stage::occupancy).collect();
    (outcome.refused, outcome.waiting) = clients.left_over();
    outcome.most_under_way = most;
    Ok(outcome)
}
