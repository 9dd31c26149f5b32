//! Candidates under simulation.

use std::sync::Mutex;

use super::{AdviseError, Candidate, Request};
use crate::{
    engine::{
        self, Class, Delay, Link, Links, Network, Phases, Plan, Receivers, Routes, Targets,
        Workload, mass::Mass,
    },
    math, run,
    scenario::plan_bytes,
    stats::{self, Estimate},
};

/// One simulation to do: a candidate, how many users are online, and the repetition.
pub(super) struct Job<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) online: f64,
    pub(super) repetition: u32,
}

/// The objective of each job, in bits, in the order of the jobs, by as many threads as the machine
/// has cores. Each is deterministic on its own, so the threads do not show.
pub(super) fn run_all(
    request: &Request,
    jobs: &[Job<'_>],
    done: &mut dyn FnMut(usize),
) -> Result<Vec<f64>, AdviseError> {
    let next = Mutex::new(jobs.iter().enumerate());
    let count = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
    let each = jobs.iter().map(|job| bytes(request, job)).max();
    let needed = |threads: u32| PROGRAM_BYTES + u64::from(threads) * each.unwrap_or(0);
    let threads = run::fitting(0, count, needed);
    let threads = threads.map_err(|error| AdviseError::Memory(Box::new(error)))?;
    let (sender, receiver) = std::sync::mpsc::sync_channel(jobs.len().max(1));
    let mut results: Vec<Option<Result<f64, AdviseError>>> = Vec::new();
    results.resize_with(jobs.len(), || None);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                while let Some((index, job)) = take(next) {
                    if sender.send((index, simulate(request, job))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (count, (index, result)) in receiver.iter().enumerate() {
            if let Some(place) = results.get_mut(index) {
                *place = Some(result);
            }
            done(count + 1);
        }
    });
    // A thread that died left its place empty, and the scope has passed its panic on.
    results.into_iter().flatten().collect()
}

/// The program itself and what all simulations share.
const PROGRAM_BYTES: u64 = 12_000_000;

/// The memory of a simulation.
fn bytes(request: &Request, job: &Job<'_>) -> u64 {
    let online = simulated_users(request, job.candidate, job.online);
    let share = online / job.online;
    let candidate = if share < 1.0 {
        job.candidate.scaled(request, share)
    } else {
        job.candidate.clone()
    };
    plan_bytes(&plan(request, &candidate, online), 1)
}

fn take<T>(next: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    next.lock().ok()?.next()
}

/// Estimates of candidates from values in the order of [`run_all`]: so many consecutive ones each.
pub(super) fn estimates(values: &[f64], repetitions: u32) -> Vec<Option<Estimate>> {
    values
        .chunks(repetitions.max(1) as usize)
        .map(Estimate::of)
        .collect()
}

/// The 5th percentile over targets of the min-entropy over users, in bits. A network that is too
/// large is simulated for a share of its users and mixes, and the difference that the closed form
/// sees between the two is added.
fn simulate(request: &Request, job: &Job<'_>) -> Result<f64, AdviseError> {
    let online = simulated_users(request, job.candidate, job.online);
    if online >= job.online {
        return measure(request, job.candidate, online, job.repetition);
    }
    let scaled = job.candidate.scaled(request, online / job.online);
    let simulated = measure(request, &scaled, online, job.repetition)?;
    Ok(simulated + job.candidate.closed_form(job.online) - scaled.closed_form(online))
}

fn measure(
    request: &Request,
    candidate: &Candidate,
    online: f64,
    repetition: u32,
) -> Result<f64, AdviseError> {
    let plan = plan(request, candidate, online);
    let mut mass = Mass::new(&plan, &corrupt_nodes(candidate));
    engine::run(&plan, request.seed, repetition, &mut mass).map_err(AdviseError::Engine)?;
    let bits: Vec<f64> = mass
        .results()
        .iter()
        .filter_map(|target| target.over_users())
        .map(|(_, largest)| -math::log2(largest.clamp(1e-300, 1.0)))
        .collect();
    stats::quantile(&bits, 0.05).ok_or_else(|| AdviseError::NoTargets(candidate.describe()))
}

/// Users online in the simulation: all of them, or as many as the bound on hops allows.
pub(super) fn simulated_users(request: &Request, candidate: &Candidate, online: f64) -> f64 {
    let phases = phases(request, candidate, online);
    let hops = candidate.rates.uplink() * f64::from(candidate.layers) * phases.total();
    let most = (request.thoroughness.hops / hops).floor();
    online.min(most.max(100.0))
}

/// Warm-up of twenty mean delays and the links; drain until a residual of about 1e-9.
fn phases(request: &Request, candidate: &Candidate, online: f64) -> Phases {
    let layers = f64::from(candidate.layers);
    let links = (layers + 1.0) * request.link;
    let delay = candidate.mean_delay;
    let targets = f64::from(request.thoroughness.targets);
    // Long enough for the targets, few of whom should be the same user's or in one pool together.
    let messages = 4.0 * targets / (online * candidate.rates.uplink());
    Phases {
        warm_up: 20.0 * delay + links,
        measurement: (20.0 * delay).max(messages),
        drain: stats::erlang_quantile(1.0 - 1e-9, layers, delay) + links,
    }
}

/// Users send to each other through the mixes. Messages and cover are one kind here, because the
/// adversary can't tell them apart; the providers are left out, because they are not counted on.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded by the hops of a simulation"
)]
pub(super) fn plan(request: &Request, candidate: &Candidate, online: f64) -> Plan {
    let phases = phases(request, candidate, online);
    let messages = online * candidate.rates.uplink() * phases.measurement;
    let targets = request.thoroughness.targets;
    let delay = Delay::Exponential {
        mean: candidate.mean_delay,
    };
    let layer = vec![1.0; candidate.width as usize];
    Plan {
        network: Network {
            routes: Routes::Stratified,
            layers: vec![layer; candidate.layers as usize],
            providers: 0,
            mix_delay: delay,
            provider_delay: delay,
            server: None,
            mix_loops: 0.0,
        },
        links: Links::all(&Link::Constant(request.link), candidate.layers as usize),
        classes: vec![Class {
            count: online as u32,
            real: candidate.rates.uplink(),
            loops: 0.0,
            drops: 0.0,
            dummies: true,
            workload: Workload::Saturated,
            receivers: Receivers::Uniform,
            buffer: 1,
            churn: None,
        }],
        trace: Vec::new(),
        phases,
        droppers: Vec::new(),
        targets: Some(Targets {
            first: 0,
            every: ((messages / f64::from(targets)) as u32).max(1),
            max_alive: targets,
            count: targets,
            any_kind: false,
            users: true,
        }),
        groups: Vec::new(),
        bin: None,
    }
}

/// By global index: the corrupt mixes are spread evenly over the layers, the first layers getting
/// one more.
fn corrupt_nodes(candidate: &Candidate) -> Vec<bool> {
    let (each, more) = (
        candidate.corrupt / candidate.layers.max(1),
        candidate.corrupt % candidate.layers.max(1),
    );
    (0..candidate.layers)
        .flat_map(|layer| {
            let corrupt = each + u32::from(layer < more);
            (0..candidate.width).map(move |mix| mix < corrupt)
        })
        .collect()
}
