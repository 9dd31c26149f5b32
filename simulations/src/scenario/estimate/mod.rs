//! What a scenario will take, before it is run.
//!
//! The numbers of packets, hops, windows and clients follow from the scenario. What each of them
//! costs was measured and is written beside each constant; `shoal-sim bench --presets` measures it
//! again. Memory does not depend on the machine; time does, by a factor of two or so.

mod memory;
mod path;
mod traffic;

use serde::Serialize;

use memory::Memory;
pub use memory::plan_bytes;
pub use traffic::Traffic;

use super::{Model, Scenario};
use crate::adversary::Adversary;
use crate::engine::{Plan, mass::Insight};
use crate::measure::Claim;

/// A crossing of a link without targets. Measured with `large` less its targets.
const HOP_SECONDS: f64 = 2.2e-7;
/// A crossing as one more adversary infers from it, and for each of its targets that is alive.
const INFERENCE_SECONDS: f64 = 1.0e-7;
const TARGET_SECONDS: f64 = 5.5e-10;
/// A crossing that is recorded, sorted and gone through again in reverse, for each that infers.
const REVERSE_SECONDS: f64 = 5.0e-7;
/// A crossing that is written out as an adversary sees it.
const WRITE_SECONDS: f64 = 2.0e-6;
/// A window of the engine for each stage, if nothing happens in it, and if a few packets come.
/// Measured with `loopix`, whose mixes' loops make windows of a millisecond: half of its time.
const WINDOW_SECONDS: f64 = 2.0e-8;
const BUSY_SECONDS: f64 = 7.0e-7;

/// What a scenario will take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Memory at its most, in bytes, with so many repetitions at a time.
    pub bytes: u64,
    /// Time for all repetitions, in seconds.
    pub seconds: f64,
    /// Hops of all repetitions: the links of the paths of packets that reach their end.
    pub hops: f64,
    /// Repetitions that run at one time.
    pub at_once: u32,
    /// The most packets under way at one time in one repetition.
    pub under_way: f64,
    /// What the numbers rest on, in words.
    pub basis: String,
}

/// Estimates what a scenario will take with this many threads, each of which runs one repetition at
/// a time.
#[must_use]
pub fn estimate(scenario: &Scenario, threads: usize) -> Estimate {
    repeated(scenario, threads, scenario.model().run.repetitions)
}

/// The same with another number of repetitions than the scenario's.
#[must_use]
pub fn repeated(scenario: &Scenario, threads: usize, repetitions: u32) -> Estimate {
    let repetitions = repetitions.max(1);
    let threads = u32::try_from(threads).unwrap_or(u32::MAX);
    let at_once = threads.clamp(1, repetitions);
    let plan = scenario.plan(0);
    let traffic = Traffic::of(&plan);
    let inferring = inferring(scenario, &plan);
    let memory = Memory::of(scenario, &plan, &traffic, inferring);
    let seconds = seconds(scenario.model(), &plan, &traffic, inferring);
    let rounds = (f64::from(repetitions) / f64::from(at_once)).ceil();
    let basis = format!(
        "{:.0} packets per second, {:.1} links each, {:.2} million hops per second and thread, {:.3e} windows",
        traffic.rate,
        traffic.links,
        1e-6 * traffic.crossings / seconds.max(1e-9),
        traffic.windows,
    );
    Estimate {
        bytes: whole(memory.bytes(at_once, repetitions)),
        seconds: rounds * seconds,
        hops: traffic.hops * f64::from(repetitions),
        at_once,
        under_way: traffic.under_way,
        basis,
    }
}

/// How many different insights adversaries have whose inference is sound: each has masses of its
/// own.
fn inferring(scenario: &Scenario, plan: &Plan) -> usize {
    let mut known: Vec<Insight> = Vec::new();
    for adversary in Adversary::all(scenario, plan, scenario.model().run.seed, 0) {
        let insight = adversary.insight(plan);
        let sound = !matches!(adversary.claim(plan), Claim::Unsound(_));
        if sound && !known.contains(&insight) {
            known.push(insight);
        }
    }
    known.len()
}

/// Of one repetition.
fn seconds(model: &Model, plan: &Plan, traffic: &Traffic, inferring: usize) -> f64 {
    let metrics = &model.metrics;
    let inferring = inferring as f64;
    let alive = plan.targets.map_or(0, |t| t.max_alive.min(t.count));
    let alive = f64::from(alive) + plan.groups.len() as f64;
    let mut each = HOP_SECONDS;
    if metrics.entropy_forward.is_some() || metrics.epsilon.is_some() {
        each += inferring * (INFERENCE_SECONDS + alive * TARGET_SECONDS);
    }
    if metrics.entropy_backward.is_some() {
        each += inferring * REVERSE_SECONDS;
    }
    if model.observe.is_some() {
        each += WRITE_SECONDS;
    }
    let stages = plan.stages().len() as f64;
    let busy = 1.0 - crate::math::exp(-traffic.per_window);
    let window = WINDOW_SECONDS + busy * BUSY_SECONDS;
    traffic.crossings * each + traffic.windows * (1.0 + stages) * window
}

/// A number of bytes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and a float that is too large becomes the largest integer"
)]
const fn whole(bytes: f64) -> u64 {
    bytes as u64
}
