//! The three figures: what is run, and what is read at its end.

use rand::Rng;

use super::{Labels, likelihood_difference};
use crate::engine::{Phases, Plan, TraceMessage, Workload};
use crate::reproduce::shape::Curve;
use crate::reproduce::work::{Curves, Findings, Job, Line, Work};
use crate::reproduce::{Effort, Point, ReproduceError, Reproduction, plans};
use crate::{math, seed};

/// What the three have in common: senders, the rate of each, mixes in a layer.
const SENDERS: u32 = 100;
const RATE: f64 = 2.0;
const WIDTH: usize = 3;
/// Time units before the challenge senders have messages, and after.
const BURN_IN: f64 = 2500.0;
const CHALLENGE: u32 = 100;
const REPETITIONS: u32 = 100;

/// Repetitions for figure 7, whose points are gated one by one.
const MORE_REPETITIONS: u32 = 400;
/// S0 and S1 are the last two clients.
const CHALLENGERS: [u32; 2] = [SENDERS - 2, SENDERS - 1];

/// Parameters on the horizontal axes.
const MU: [f64; 5] = [0.2, 0.5, 1.0, 1.5, 2.0];
const SHALLOWEST: usize = 1;
const DEEPEST: usize = 19;
const LAYERS: usize = 3;
/// Epsilon against 0 to 8 corrupt mixes of nine, as the paper draws them: computed apart from this
/// program, with standard errors of up to 3.3%. The paper has a curve only.
const REFERENCE: [f64; 9] = [0.195, 0.224, 0.273, 0.340, 0.455, 0.585, 0.784, 1.10, 1.62];
/// The point that says how often there was no epsilon.
const ALL_READINGS: &str = "share of all readings without epsilon";
/// How far a point may be from the reference, as a share of it, besides three standard errors.
const REFERENCE_TOLERANCE: f64 = 0.15;

pub(in crate::reproduce) const FIG5: Reproduction = Reproduction {
    name: "loopix-fig5",
    what: "Loopix figure 5: likelihood difference against the rate of the delay",
    gated: true,
    seconds: 50,
    jobs: fig5_jobs,
    measure: fig5,
};

pub(in crate::reproduce) const FIG6: Reproduction = Reproduction {
    name: "loopix-fig6",
    what: "Loopix figure 6: likelihood difference against the number of layers",
    gated: true,
    seconds: 55,
    jobs: fig6_jobs,
    measure: fig6,
};

pub(in crate::reproduce) const FIG7: Reproduction = Reproduction {
    name: "loopix-fig7",
    what: "Loopix figure 7: likelihood difference against corrupt mixes",
    gated: true,
    seconds: 50,
    jobs: fig7_jobs,
    measure: fig7,
};

/// 98 senders of messages, and two that put one message into their buffer each time unit from the
/// end of the burn-in on and send dummies when it is empty.
fn challenge(name: String, x: f64, mu: f64, layers: usize, effort: Effort) -> Job {
    let (burn_in, repetitions) = match effort {
        Effort::Full => (BURN_IN, REPETITIONS),
        Effort::Quick => (40.0, 16),
    };
    let phases = Phases {
        warm_up: burn_in,
        measurement: f64::from(CHALLENGE),
        drain: 0.0,
    };
    let network = plans::layered(layers, WIDTH, 1.0 / mu, 0.0);
    let others = plans::senders(SENDERS - 2, RATE);
    let mut challengers = plans::senders(2, RATE);
    challengers.dummies = true;
    challengers.workload = Workload::Trace;
    challengers.buffer = CHALLENGE;
    let message = |unit: u32, sender: u32| TraceMessage {
        time: burn_in + f64::from(unit),
        sender,
        receiver: 0,
    };
    let trace = (0..CHALLENGE).flat_map(|unit| CHALLENGERS.map(|sender| message(unit, sender)));
    let mut plan = Plan {
        trace: trace.collect(),
        ..plans::plan(network, others, phases)
    };
    plan.classes.push(challengers);
    Job {
        name,
        x,
        plan,
        repetitions,
        stream: 0,
    }
}

fn fig5_jobs(effort: Effort) -> Vec<Job> {
    let job = |mu: f64| challenge(format!("mu = {mu}"), mu, mu, LAYERS, effort);
    MU.into_iter().map(job).collect()
}

fn fig6_jobs(effort: Effort) -> Vec<Job> {
    let depth = match effort {
        Effort::Full => DEEPEST,
        Effort::Quick => 6,
    };
    vec![challenge(
        format!("{depth} layers"),
        0.0,
        1.0,
        depth,
        effort,
    )]
}

fn fig7_jobs(effort: Effort) -> Vec<Job> {
    let name = "3 x 3 mixes".to_owned();
    let mut job = challenge(name, 0.0, 1.0, LAYERS, effort);
    if effort == Effort::Full {
        job.repetitions = MORE_REPETITIONS;
    }
    vec![job]
}

/// The first mix of a layer: the mixes of a layer are alike, so it stands for any of them.
fn first_of(layer: usize) -> usize {
    layer * WIDTH
}

/// Epsilon at a mix for each adversary.
fn at_mix(labels: &Labels, adversary: usize, node: usize) -> Option<f64> {
    labels.pool(adversary, node).and_then(likelihood_difference)
}

fn fig5(work: &Work<'_>) -> Result<Findings, ReproduceError> {
    let y = work.all(|run| {
        let mut labels = Labels::new(&run.job.plan, CHALLENGERS, vec![Vec::new()]);
        run.observe(&mut labels)?;
        Ok(at_mix(&labels, 0, first_of(LAYERS - 1)))
    })?;
    let x: Vec<f64> = work.jobs.iter().map(|job| job.x).collect();
    let names: Vec<String> = work.jobs.iter().map(|job| job.name.clone()).collect();
    let axis = "mu, rate of the delay (per time unit)";
    let logs = x.iter().map(|mu| math::ln(*mu)).collect();
    let shape = Curve {
        x: logs,
        y,
        grows: true,
    };
    Ok(findings(&shape, &x, &names, "epsilon grows with mu", axis))
}

/// The first l layers of a network are a network of l layers: what follows does not act back. So
/// one run has every number of layers, with the traffic in common.
fn fig6(work: &Work<'_>) -> Result<Findings, ReproduceError> {
    let depth = work
        .jobs
        .first()
        .map_or(0, |job| job.plan.network.layers.len());
    let runs = work.all(|run| {
        let mut labels = Labels::new(&run.job.plan, CHALLENGERS, vec![Vec::new()]);
        run.observe(&mut labels)?;
        let by_depth = (SHALLOWEST..=depth).map(|last| at_mix(&labels, 0, first_of(last - 1)));
        Ok(by_depth.collect::<Vec<_>>())
    })?;
    let x: Vec<f64> = (SHALLOWEST..=depth).map(count).collect();
    let y = transposed(&runs, x.len());
    let names: Vec<String> = x
        .iter()
        .map(|layers| format!("layers = {layers}"))
        .collect();
    let logs = x.iter().map(|layers| math::ln(*layers)).collect();
    let shape = Curve {
        x: logs,
        y,
        grows: false,
    };
    Ok(findings(
        &shape,
        &x,
        &names,
        "epsilon falls with the layers",
        "layers",
    ))
}

/// As the paper draws: the adversary corrupts k of all nine mixes, drawn anew for each repetition, and
/// a mix of the last layer where epsilon is read is taken to be honest, even if it was drawn. What
/// the other mixes of the last layer do does not reach it, so the last layer may be taken to be
/// honest throughout, and each of its mixes be read.
///
/// Beside it our own: the mix that is read is left out of the draw, so that k of the other eight are
/// corrupt. One run has every number of corrupt mixes, and both.
fn fig7(work: &Work<'_>) -> Result<Findings, ReproduceError> {
    let read = first_of(LAYERS - 1);
    let mixes = LAYERS * WIDTH;
    let others = mixes - 1;
    let runs = work.all(|run| {
        let from = (run.seed, run.repetition);
        let mut sets = corruptions(from, read, others);
        sets.extend(drawn(from, mixes, read));
        let mut labels = Labels::new(&run.job.plan, CHALLENGERS, sets);
        run.observe(&mut labels)?;
        let ours = (0..=others).map(|corrupt| at_mix(&labels, corrupt, read));
        let paper = (0..=others).map(|corrupt| {
            let last = read..mixes;
            let adversary = others + 1 + corrupt;
            let all: Vec<f64> = last
                .filter_map(|mix| at_mix(&labels, adversary, mix))
                .collect();
            crate::stats::mean(&all)
        });
        Ok(ours.chain(paper).collect::<Vec<_>>())
    })?;
    let mut all = transposed(&runs, 2 * (others + 1)).into_iter();
    let mut next = || -> Vec<_> { all.by_ref().take(others + 1).collect() };
    let (ours, paper) = (next(), next());
    let axis = "corrupt mixes of 9";
    let mut found = curve7(paper, "of 9", "epsilon grows with the corrupt mixes", axis);
    for (point, reference) in found.points.iter_mut().zip(REFERENCE) {
        *point = point
            .clone()
            .gate(reference, REFERENCE_TOLERANCE * reference);
    }
    for line in &mut found.curves.lines {
        "as the paper draws".clone_into(&mut line.name);
        for ((_, point), reference) in line.points.iter_mut().zip(REFERENCE) {
            *point = point.clone().beside(reference);
        }
    }
    let what = "epsilon grows with the corrupt mixes of the other eight";
    let mut beside = curve7(ours, "of the other 8", what, axis);
    for point in &mut beside.points {
        if point.name == ALL_READINGS {
            point.name = format!("{ALL_READINGS}, of the other 8");
        }
    }
    found.points.extend(beside.points);
    for mut line in beside.curves.lines {
        "of the other eight".clone_into(&mut line.name);
        found.curves.lines.push(line);
    }
    Ok(found)
}

/// The points of one of the two curves of figure 7, from 0 corrupt mixes on.
fn curve7(y: Vec<Vec<Option<f64>>>, whose: &str, what: &str, axis: &str) -> Findings {
    let x: Vec<f64> = (0..y.len()).map(count).collect();
    let name = |corrupt: &f64| format!("corrupt = {corrupt} {whose}");
    let names: Vec<String> = x.iter().map(name).collect();
    let shape = Curve {
        x: x.clone(),
        y,
        grows: true,
    };
    findings(&shape, &x, &names, what, axis)
}

/// None, the first, the first two, … of all mixes in a random order, up to all but one; those of the
/// last layer, from `last` on, are drawn and count, and are taken to be honest.
fn drawn((seed, repetition): (u64, u32), mixes: usize, last: usize) -> Vec<Vec<bool>> {
    let mut rng = seed::generator(seed, repetition, "corruption as in the paper", 0);
    let mut order: Vec<(u64, usize)> = (0..mixes).map(|mix| (rng.next_u64(), mix)).collect();
    order.sort_unstable();
    let mut corrupt = vec![false; mixes];
    let mut sets = Vec::with_capacity(mixes);
    for (_, mix) in order {
        sets.push(corrupt.clone());
        if let Some(mix) = corrupt.get_mut(mix).filter(|_| mix < last) {
            *mix = true;
        }
    }
    sets
}

/// None, the first, the first two, … of the mixes but `read` in a random order, up to all `others`.
fn corruptions((seed, repetition): (u64, u32), read: usize, others: usize) -> Vec<Vec<bool>> {
    let mut rng = seed::generator(seed, repetition, "order of corruption", 0);
    let mixes = (0..=others).filter(|mix| *mix != read);
    let mut order: Vec<(u64, usize)> = mixes.map(|mix| (rng.next_u64(), mix)).collect();
    order.sort_unstable();
    let mut corrupt = vec![false; others + 1];
    let mut sets = vec![corrupt.clone()];
    for (_, mix) in order {
        if let Some(mix) = corrupt.get_mut(mix) {
            *mix = true;
        }
        sets.push(corrupt.clone());
    }
    sets
}

/// From one list for each repetition to one list for each point.
fn transposed(runs: &[Vec<Vec<Option<f64>>>], points: usize) -> Vec<Vec<Option<f64>>> {
    let repetitions = || runs.iter().flatten();
    let of = |point: usize| repetitions().map(move |run| run.get(point).copied().flatten());
    (0..points).map(|point| of(point).collect()).collect()
}

#[expect(clippy::cast_precision_loss, reason = "at most two dozen")]
fn count(n: usize) -> f64 {
    n as f64
}

/// The points of a curve, and its gates.
fn findings(shape: &Curve, x: &[f64], names: &[String], what: &str, axis: &str) -> Findings {
    let mut found = Findings::default();
    let mut line = Vec::new();
    for ((name, sample), x) in names.iter().zip(&shape.y).zip(x) {
        let values: Vec<f64> = sample.iter().copied().flatten().collect();
        let point = Point::shown(name, "ln", &values);
        line.push((*x, point.clone()));
        found.points.push(point);
        if values.len() < sample.len() {
            let name = format!("{name}: share of repetitions without epsilon");
            found.points.push(without_value(name, sample));
        }
    }
    let all: Vec<Option<f64>> = shape.y.iter().flatten().copied().collect();
    let name = ALL_READINGS.to_owned();
    found.points.push(without_value(name, &all));
    found.points.append(&mut shape.gates(what));
    found.curves = Curves {
        x: axis.to_owned(),
        y: "epsilon".to_owned(),
        log_x: false,
        lines: vec![Line {
            name: "epsilon".to_owned(),
            points: line,
        }],
    };
    found
}

/// How often a probability was zero.
fn without_value(name: String, sample: &[Option<f64>]) -> Point {
    let missing = |value: &Option<f64>| if value.is_none() { 1.0 } else { 0.0 };
    Point::shown(name, "1", &sample.iter().map(missing).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_paper_draws_the_mix_that_is_read_may_be_drawn_and_is_honest_all_the_same() {
        let repetitions = 3000;
        let mut corrupt = [0.0; 9];
        for repetition in 0..repetitions {
            let sets = drawn((1, repetition), 9, 6);
            assert_eq!(sets.len(), 9);
            for (sum, set) in corrupt.iter_mut().zip(&sets) {
                assert!(set[6..].iter().all(|corrupt| !corrupt));
                *sum += set.iter().filter(|corrupt| **corrupt).count() as f64;
            }
            // Of our own eight, the one that is read is never drawn.
            let ours = corruptions((1, repetition), 6, 8);
            assert_eq!(ours.len(), 9);
            for (count, set) in ours.iter().enumerate() {
                assert!(!set[6]);
                assert_eq!(set.iter().filter(|corrupt| **corrupt).count(), count);
            }
        }
        // Six of the nine that are drawn are in the layers that matter.
        for (drawn, sum) in corrupt.iter().enumerate() {
            let mean = sum / f64::from(repetitions);
            let expected = drawn as f64 * 6.0 / 9.0;
            assert!((mean - expected).abs() < 0.08, "{drawn}: {mean}");
        }
    }
}
