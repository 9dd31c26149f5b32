//! The exact answers that probabilities of mass must give.

use super::*;
use crate::engine::recording::Recording;
use crate::engine::tests::plan;
use crate::engine::{Delay, Kind, Link, Links, Routes, run};
use crate::math;

const ALL: Targets = Targets {
    first: 0,
    every: 1,
    max_alive: 1000,
    count: u32::MAX,
    any_kind: false,
    users: false,
};

/// Probabilities that the packet which was sent as `target` left as each packet, by drawing up
/// all ways to match arrivals with departures at each honest node.
fn enumerate(recording: &Recording, corrupt: &[bool]) -> Vec<Vec<f64>> {
    let packets = recording.packets.len();
    let mut flow: Vec<Vec<f64>> = (0..packets)
        .map(|p| (0..packets).map(|q| f64::from(p == q)).collect())
        .collect();
    let mut all = 1.0;
    for (node, corrupt) in corrupt.iter().enumerate() {
        let visits: Vec<_> = recording
            .visits
            .iter()
            .filter(|visit| visit.node as usize == node)
            .collect();
        if *corrupt {
            continue;
        }
        let mut counts = vec![vec![0.0; packets]; packets];
        let mut taken = vec![None; visits.len()];
        let matchings = matchings(&visits, 0, &mut taken, &mut counts);
        all *= matchings;
        let step = |row: &Vec<f64>| -> Vec<f64> {
            let to = |q: usize| {
                (0..packets)
                    .map(|p| row[p] * counts[p][q] / matchings)
                    .sum()
            };
            (0..packets).map(to).collect()
        };
        flow = flow.iter().map(step).collect();
    }
    assert!(all >= 1.0);
    flow
}

/// The number of ways to match the arrivals from `next` on; counts who becomes whom.
fn matchings(
    visits: &[&crate::engine::recording::Visit],
    next: usize,
    taken: &mut Vec<Option<usize>>,
    counts: &mut Vec<Vec<f64>>,
) -> f64 {
    if next == visits.len() {
        for (departure, arrival) in taken.iter().enumerate() {
            let from = visits[arrival.unwrap()].packet as usize;
            counts[from][visits[departure].packet as usize] += 1.0;
        }
        return 1.0;
    }
    let mut ways = 0.0;
    for departure in 0..visits.len() {
        let fits = visits[departure].departure > visits[next].arrival;
        if fits && taken[departure].is_none() {
            taken[departure] = Some(next);
            ways += matchings(visits, next + 1, taken, counts);
            taken[departure] = None;
        }
    }
    ways
}

fn entropy(row: impl Iterator<Item = f64>) -> f64 {
    row.filter(|p| *p > 0.0).map(|p| -p * math::log2(p)).sum()
}

fn compare(target: &TargetResult, row: &[f64], case: &str) {
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{case}: {a} {b}");
    close(target.entropy, entropy(row.iter().copied()));
    close(target.largest, row.iter().copied().fold(0.0, f64::max));
    close(target.truth.unwrap(), row[target.message as usize]);
    close(target.residual, 0.0);
}

#[test]
fn mass_is_the_posterior_of_small_traces_in_both_directions() {
    let mut traces = 0;
    let cases: [(usize, &[bool]); 4] = [
        (1, &[false]),
        (2, &[false, false]),
        (2, &[true, false]),
        (2, &[false, true]),
    ];
    for (layers, corrupt) in cases {
        for repetition in 0..60 {
            let mut plan = plan(&vec![1; layers], 3, 1.0, 0.6, 0.01);
            plan.phases.warm_up = 0.0;
            plan.phases.measurement = 3.0;
            plan.phases.drain = 40.0;
            plan.targets = Some(ALL);
            // What is sent in the drain is part of the posterior too: keep it out.
            plan.classes[0].workload = crate::engine::Workload::Trace;
            plan.classes[0].dummies = false;
            plan.classes[0].real = 1000.0;
            let mut rng = crate::seed::generator(3, repetition, "trace", 0);
            let count = 2 + repetition % 6;
            let mut times: Vec<f64> = (0..count)
                .map(|_| 1.9 * rand::RngExt::random::<f64>(&mut rng))
                .collect();
            times.sort_by(f64::total_cmp);
            let message = |time: &f64| crate::engine::TraceMessage {
                time: *time,
                sender: 0,
                receiver: 1,
            };
            plan.trace = times.iter().map(message).collect();
            let mut both = (Mass::new(&plan, corrupt), Recording::default());
            run(&plan, 1, repetition, &mut both).unwrap();
            let (mass, recording) = both;
            let flow = enumerate(&recording, corrupt);
            assert_eq!(mass.results().len(), flow.len());
            for target in mass.results() {
                compare(target, &flow[target.message as usize], "forward");
            }
            let insight = Insight {
                corrupt: corrupt.to_vec(),
                ..Insight::default()
            };
            let back = backward(&recording, ALL, &insight, 3).targets;
            assert_eq!(back.len(), flow.len());
            for target in &back {
                let column: Vec<f64> = flow
                    .iter()
                    .map(|row| row[target.message as usize])
                    .collect();
                compare(target, &column, "backward");
            }
            traces += usize::from(flow.len() > 3);
        }
    }
    assert!(traces > 100);
}

#[test]
fn a_single_mix_has_the_exact_entropy() {
    for (rho, bits) in [(1.0, 1.5112), (5.0, 3.7549)] {
        let mut plan = plan(&[1], 10, rho / 10.0, 1.0, 0.1);
        plan.phases.measurement = 20_000.0;
        plan.targets = Some(Targets {
            every: 3,
            max_alive: 50,
            ..ALL
        });
        let mut means = Vec::new();
        for repetition in 0..10 {
            let mut mass = Mass::new(&plan, &[]);
            run(&plan, 5, repetition, &mut mass).unwrap();
            let results = mass.results();
            means.push(results.iter().map(|t| t.entropy).sum::<f64>() / results.len() as f64);
            assert!(results.iter().all(|target| target.residual < 1e-9));
        }
        let mean = means.iter().sum::<f64>() / 10.0;
        let variance = means.iter().map(|m| (m - mean) * (m - mean)).sum::<f64>() / 9.0;
        let error = (variance / 10.0).sqrt();
        assert!(error < 0.01, "{error}");
        assert!(
            (mean - bits).abs() < 3.5 * error,
            "{rho}: {mean} +- {error}"
        );
    }
}

#[test]
fn probabilities_are_calibrated() {
    // The mean probability of the truth is the mean sum of squares: what is called p happens p of
    // the time. By outputs of few, so that the truth is often likely.
    let mut plan = plan(&[2, 2], 10, 0.2, 1.0, 0.05);
    plan.phases.measurement = 5000.0;
    plan.targets = Some(Targets {
        every: 5,
        max_alive: 100,
        ..ALL
    });
    let mut mass = Mass::new(&plan, &[]);
    run(&plan, 2, 0, &mut mass).unwrap();
    let n = mass.results().len() as f64;
    let log_score: f64 = mass
        .results()
        .iter()
        .map(|t| -math::log2(t.truth.unwrap()))
        .sum::<f64>()
        / n;
    let entropy = mass.results().iter().map(|t| t.entropy).sum::<f64>() / n;
    assert!(
        n > 1000.0 && (log_score - entropy).abs() < 0.15,
        "{log_score} {entropy}"
    );
}

#[test]
fn places_are_used_again_and_never_mixed_up() {
    // The same targets with a place for each, and with few places that are used again.
    let mut plan = plan(&[2, 2, 2], 20, 0.5, 0.5, 0.01);
    plan.phases.measurement = 400.0;
    plan.targets = Some(Targets {
        first: 3,
        every: 10,
        max_alive: 1000,
        ..ALL
    });
    let mut wide = Mass::new(&plan, &[true]);
    run(&plan, 9, 0, &mut wide).unwrap();
    plan.targets = Some(Targets {
        first: 3,
        every: 10,
        max_alive: 6,
        ..ALL
    });
    let mut narrow = Mass::new(&plan, &[true]);
    run(&plan, 9, 0, &mut narrow).unwrap();
    assert!(narrow.results().len() > 50 && narrow.results().len() < wide.results().len() / 2);
    for target in narrow.results() {
        let same = wide
            .results()
            .iter()
            .find(|other| other.message == target.message)
            .unwrap();
        assert!(
            (same.entropy - target.entropy).abs() < 1e-9,
            "{same:?} {target:?}"
        );
        assert!((same.largest - target.largest).abs() < 1e-12);
        assert!(target.residual < 1e-9);
    }
}

#[test]
fn a_pool_that_sees_nothing_new_keeps_its_mass_in_range() {
    // One target, then very many packets without mass: the factor underflows but for rebasing.
    let mut plan = plan(&[1], 2, 50.0, 1.0, 0.0);
    plan.network.mix_delay = Delay::Constant { seconds: 0.5 };
    plan.phases.measurement = 500.0;
    plan.groups = vec![0];
    plan.targets = Some(Targets { count: 1, ..ALL });
    let mut mass = Mass::new(&plan, &[]);
    run(&plan, 1, 0, &mut mass).unwrap();
    let target = &mass.results()[0];
    assert!(target.residual < 1e-9 && target.entropy > 0.0);
    let mut spread = Spread::new(1, &[], 2, None);
    (0..3).for_each(|packet| spread.enter(packet));
    spread.inject(0, Some(0), None);
    spread.arrive(0, 0);
    for _ in 0..2000 {
        spread.arrive(0, 1);
        spread.depart(0, 2);
        spread.put_out(2, 0);
    }
    spread.depart(0, 2);
    assert!(spread.masses(2).unwrap().0.iter().all(|v| v.is_finite()));
    spread.put_out(2, 0);
    spread.settle();
    assert!((spread.out(0) - 1.0).abs() < 1e-12);
    // Half, a quarter, and so on: two bits.
    assert!((spread.totals(0).0 - 2.0).abs() < 1e-12);
    assert_eq!(spread.live(), 0);
}

#[test]
fn a_place_that_is_cleaned_is_empty_everywhere() {
    let mut spread = Spread::new(1, &[], 4, Some(2));
    (0..3).for_each(|packet| spread.enter(packet));
    spread.inject(0, Some(1), Some(0));
    spread.inject(1, Some(2), None);
    spread.arrive(0, 0);
    spread.arrive(0, 1);
    spread.depart(0, 2);
    assert_eq!(spread.masses(2).unwrap().0, [1.0, 1.0, 1.0, 0.0]);
    spread.put_out(2, 1);
    spread.settle();
    assert_eq!(
        (spread.out(0), spread.out(1), spread.users(1)),
        (0.5, 0.5, Some((0.5, 0.5)))
    );
    spread.clean(&[1]);
    spread.depart(0, 0);
    assert_eq!(spread.masses(0).unwrap().0, [1.0, 0.0, 1.0, 0.0]);
    assert_eq!(
        (spread.out(0), spread.out(1), spread.users(1)),
        (0.5, 0.0, Some((0.0, 0.0)))
    );
    // Its packet is nobody's any more.
    assert_eq!(spread.put_out(0, 0), None);
}

#[test]
fn a_target_that_is_lost_comes_out_among_the_lost() {
    let mut plan = plan(&[3, 3], 20, 0.5, 0.5, 0.01);
    plan.links.loss = 0.2;
    plan.targets = Some(Targets {
        every: 10,
        users: true,
        ..ALL
    });
    let mut mass = Mass::new(&plan, &[]);
    let outcome = run(&plan, 4, 0, &mut mass).unwrap();
    let lost = mass
        .results()
        .iter()
        .filter(|target| target.latency.is_none())
        .count() as f64;
    let share = lost / mass.results().len() as f64;
    assert!((share - (1.0 - 0.8_f64.powi(3))).abs() < 0.08, "{share}");
    let counters = outcome.measured(Kind::Real);
    let share = counters.lost_in_all() as f64 / counters.sent as f64;
    assert!((share - 0.488).abs() < 0.02, "{share}");
    for target in mass.results() {
        assert!(target.residual < 1e-9 && target.truth.is_some());
        assert!(target.user_entropy.unwrap() <= target.entropy + 1e-9);
        assert!(target.user_largest.unwrap() >= target.largest - 1e-12);
    }
}

#[test]
fn groups_get_all_the_mass_of_their_messages() {
    let mut plan = plan(&[2, 2], 20, 0.5, 0.5, 0.01);
    plan.groups = vec![3, 4];
    plan.phases.measurement = 200.0;
    let mut mass = Mass::new(&plan, &[]);
    let mut sent = (mass, Recording::default());
    run(&plan, 4, 0, &mut sent).unwrap();
    mass = sent.0;
    for (group, sender) in [(0, 3), (1, 4)] {
        let of = sent
            .1
            .packets
            .iter()
            .filter(|r| r.packet.sender == sender && r.packet.message != NONE);
        let truths = mass
            .deliveries()
            .iter()
            .filter(|d| d.group == group as u32)
            .count();
        let count = of.count();
        assert!(count > 50 && truths == count, "{count} {truths}");
        assert!(mass.residual_of_group(group) < 1e-9);
    }
}

#[test]
fn a_free_route_conserves_mass() {
    let mut plan = plan(&[6], 20, 0.5, 0.5, 0.05);
    plan.phases.drain = 60.0;
    plan.network.routes = Routes::Free { hops: 3 };
    plan.links = Links::all(&Link::Constant(0.05), 1);
    plan.targets = Some(Targets { every: 10, ..ALL });
    let mut mass = Mass::new(&plan, &[]);
    let outcome = run(&plan, 4, 0, &mut mass).unwrap();
    assert!(mass.results().iter().all(|target| target.residual < 1e-9));
    let mean = outcome.latency(Kind::Real, false).mean().unwrap();
    assert!((mean - 1.7).abs() < 0.05, "{mean}");
    assert_eq!(outcome.hops, 4 * outcome.total[0].delivered);
}

/// The mean entropy of the targets, the mean of -log2 of what the truth got, and how many.
fn scores(results: &[TargetResult]) -> (f64, f64, f64) {
    let n = results.len() as f64;
    let score = |t: &TargetResult| -math::log2(t.truth.unwrap());
    let scores: f64 = results.iter().map(score).sum();
    let entropies: f64 = results.iter().map(|t| t.entropy).sum();
    assert!(results.iter().all(|target| target.residual < 1e-9));
    (entropies / n, scores / n, n)
}

#[test]
fn who_knows_the_kinds_looks_among_messages_only() {
    let mut plan = plan(&[2, 2], 10, 0.1, 1.0, 0.05);
    plan.classes[0].drops = 0.3;
    plan.phases.measurement = 10_000.0;
    plan.targets = Some(Targets {
        every: 5,
        max_alive: 100,
        users: true,
        ..ALL
    });
    let kinds = Insight {
        kinds: true,
        ..Insight::default()
    };
    let mut both = (Mass::new(&plan, &[]), Mass::knowing(&plan, &kinds));
    run(&plan, 2, 0, &mut both).unwrap();
    let (blind, known) = (both.0.results(), both.1.results());
    let (entropy, score, n) = scores(known);
    // As sure as it is right: standard deviation of a score about 1.5 bits.
    assert!(
        n > 1500.0 && (score - entropy).abs() < 0.15,
        "{score} {entropy}"
    );
    let (without, _, _) = scores(blind);
    // A quarter of the packets are messages: about two bits less.
    assert!(
        (1.5..2.2).contains(&(without - entropy)),
        "{without} {entropy}"
    );
    for (blind, known) in blind.iter().zip(known) {
        // Each probability is the blind one over what was not put aside.
        let left = 1.0 - known.aside;
        let truth = blind.truth.unwrap() / left;
        assert!((known.truth.unwrap() - truth).abs() < 1e-9);
        assert!(known.largest <= 1.0 + 1e-9 && known.largest >= known.truth.unwrap() - 1e-9);
        assert!(known.user_entropy.unwrap() <= known.entropy + 1e-9);
    }
}

#[test]
fn loops_that_are_known_hide_nothing() {
    let mut quiet = plan(&[1, 1], 10, 0.5, 1.0, 0.05);
    quiet.phases.measurement = 2000.0;
    quiet.targets = Some(Targets {
        every: 5,
        max_alive: 100,
        ..ALL
    });
    let mut loud = quiet.clone();
    loud.network.mix_loops = 30.0;
    let loops = Insight {
        loops: true,
        ..Insight::default()
    };
    let mut alone = Mass::new(&quiet, &[]);
    run(&quiet, 2, 0, &mut alone).unwrap();
    let mut both = (
        (Mass::new(&loud, &[]), Mass::knowing(&loud, &loops)),
        Recording::default(),
    );
    run(&loud, 2, 0, &mut both).unwrap();
    let ((given, known), recording) = both;
    let (alone, _, _) = scores(alone.results());
    let (entropy, score, n) = scores(known.results());
    assert!(
        n > 1500.0 && (score - entropy).abs() < 0.15,
        "{score} {entropy}"
    );
    // Standard error of each about 0.03.
    assert!((entropy - alone).abs() < 0.15, "{entropy} {alone}");
    assert!(scores(given.results()).0 > alone + 0.5);
    let targets = loud.targets.unwrap();
    let (back, _, _) = scores(&backward(&recording, targets, &loops, 10).targets);
    assert!((back - alone).abs() < 0.15, "{back} {alone}");
}
