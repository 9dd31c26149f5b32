//! What sections can't see alone: contradictions between them.

use std::collections::BTreeSet;

use super::{Model, Receivers, TopologyKind, error::Problems, model::MAX_CLIENTS};

/// The most packets per second of all clients, and of all mixes' loops.
const MAX_TOTAL_RATE: f64 = 1e9;

/// Checks every section, then what goes across them.
pub(super) fn check(model: &Model, problems: &mut Problems) {
    model.run.check(problems);
    model.topology.check(problems);
    model.links.check(problems);
    model.delay.mixes.check("delay.mixes", problems);
    if let Some(delay) = &model.delay.providers {
        delay.check("delay.providers", problems);
        if model.topology.providers == 0 {
            problems.contradiction(
                "delay.providers",
                "is given for a network without providers",
                "set topology.providers, or leave out delay.providers",
            );
        }
    }
    model.mixes.check(problems);
    clients(model, problems);
    adversaries(model, problems);
    if let Some(targets) = &model.targets {
        targets.check(problems);
        if !model.clients.iter().any(super::ClientClass::sends_messages) {
            problems.contradiction(
                "targets",
                "no client sends a message that could be one",
                "give a class rates.real above 0 and a workload with messages",
            );
        }
    }
    model.metrics.check(model, problems);
    free_routes(model, problems);
    loops_of_mixes(model, problems);
    warnings(model, problems);
}

fn free_routes(model: &Model, problems: &mut Problems) {
    if model.topology.kind != TopologyKind::FreeRoute {
        return;
    }
    if model.mixes.loop_rate > 0.0 {
        problems.refuse_with_hint(
            "mixes.loop_rate",
            model.mixes.loop_rate,
            "must be 0 with free routes",
            "loops of mixes go through the layers, and free routes have none",
        );
    }
    if model.links.matrix.is_none() && model.links.least() <= 0.0 {
        problems.refuse_with_hint(
            "links.base",
            model.links.base,
            "must be above 0s for free routes, unless links.delay has a least value",
            "1ms is enough: without it, what passes a mix when would have no order",
        );
    }
}

fn loops_of_mixes(model: &Model, problems: &mut Problems) {
    let topology = &model.topology;
    if model.mixes.loop_rate <= 0.0 || topology.kind == TopologyKind::FreeRoute {
        return;
    }
    let rate = model.mixes.loop_rate;
    if topology.providers == 0 && topology.path_length() < 2 {
        problems.refuse_with_hint(
            "mixes.loop_rate",
            rate,
            "must be 0 for a single layer without providers",
            "a loop needs another node to go through",
        );
    }
    if model.links.matrix.is_none() && model.links.least() <= 0.0 {
        problems.refuse_with_hint(
            "links.base",
            model.links.base,
            "must be above 0s where mixes send loops, unless links.delay has a least value",
            "1ms is enough: loops go back to earlier layers, and need time for it",
        );
    }
}

fn clients(model: &Model, problems: &mut Problems) {
    if model.clients.is_empty() {
        problems.contradiction(
            "clients",
            "is empty",
            "write at least one [[clients]] section",
        );
    }
    if model.clients.len() > 1000 {
        problems.refuse("clients", model.clients.len(), "must be 1 to 1000 classes");
    }
    let total: u64 = model
        .clients
        .iter()
        .map(|class| u64::from(class.count))
        .sum();
    if total > MAX_CLIENTS {
        let given = format!("{total} clients in all");
        problems.refuse("clients", given, format!("must be at most {MAX_CLIENTS}"));
    }
    let mut names = BTreeSet::new();
    for (at, class) in model.clients.iter().enumerate() {
        class.check(at, total, problems);
        if !names.insert(&class.name) {
            problems.refuse(
                format!("clients[{at}].name"),
                &class.name,
                "must differ from the other classes' names",
            );
        }
        if total == 1 && class.receivers == Receivers::Uniform && class.sends_messages() {
            problems.contradiction(
                format!("clients[{at}].count"),
                "a single client has nobody to send to",
                "simulate at least 2 clients in all",
            );
        }
    }
    let rate: f64 = model
        .clients
        .iter()
        .map(super::ClientClass::total_rate)
        .sum();
    if rate > MAX_TOTAL_RATE {
        let given = format!("{rate} packets per second in all");
        problems.refuse(
            "clients",
            given,
            format!("must be at most {MAX_TOTAL_RATE}"),
        );
    }
    if rate <= 0.0 {
        problems.contradiction(
            "clients",
            "no client sends anything",
            "give a class rates above 0",
        );
    }
}

fn adversaries(model: &Model, problems: &mut Problems) {
    if model.adversaries.len() > 64 {
        problems.refuse("adversaries", model.adversaries.len(), "must be 0 to 64");
    }
    let mut names = BTreeSet::new();
    for (at, adversary) in model.adversaries.iter().enumerate() {
        adversary.check(at, &model.topology, problems);
        if !names.insert(&adversary.name) {
            problems.refuse(
                format!("adversaries[{at}].name"),
                &adversary.name,
                "must differ from the other adversaries' names",
            );
        }
    }
    let active = model.adversaries.iter().filter(|a| a.drops > 0.0).count();
    if active > 1 {
        problems.contradiction(
            "adversaries",
            "more than one of them drops packets",
            "each would be judged on a run that another has changed: use one scenario for each",
        );
    }
    if let Some(observe) = &model.observe
        && !names.contains(&observe.adversary)
    {
        let given = format!("{:?}", observe.adversary);
        problems.refuse(
            "observe.adversary",
            given,
            format!("must be one of {names:?}"),
        );
    }
}

fn warnings(model: &Model, problems: &mut Problems) {
    let delay = model.delay.mixes.mean();
    let providers = model
        .delay
        .providers
        .as_ref()
        .map_or(0.0, |d| 2.0 * d.mean());
    let links = (f64::from(model.topology.path_length()) + 1.0) * model.links.mean();
    let path = f64::from(model.topology.path_length()) * delay + providers + links;
    let (warm_up, drain) = (model.run.warm_up.get(), model.run.drain.get());
    if warm_up < path + 10.0 * delay {
        problems.warn(format!(
            "run.warm_up = {warm_up}s is short: pools need the path's mean latency and ten mean delays, {:.3}s",
            path + 10.0 * delay
        ));
    }
    if drain < path + 20.0 * delay {
        problems.warn(format!(
            "run.drain = {drain}s is short: packets that are still under way at the end are not counted as delivered; {:.3}s lets nearly all arrive",
            path + 20.0 * delay
        ));
    }
    super::tail::warn(model, problems);
    if model.run.repetitions < 2 {
        problems.warn("run.repetitions = 1: without repetitions there are no confidence intervals");
    }
}
