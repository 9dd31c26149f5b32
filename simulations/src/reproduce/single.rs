//! One mix: the exact table of its entropy, and Loopix figure 4.

use super::work::{Curves, Findings, Job, Line, Work};
use super::{Effort, Point, ReproduceError, Reproduction, plans};
use crate::engine::{Phases, Plan};
use crate::theory;

/// Equation 5 of the Loopix paper solved as a Markov chain: rho, and the mean entropy in bits.
pub(super) const EXACT: [(f64, f64); 12] = [
    (0.25, 0.4635),
    (0.5, 0.8628),
    (1.0, 1.5112),
    (2.0, 2.4088),
    (2.5, 2.7315),
    (5.0, 3.7549),
    (10.0, 4.7630),
    (25.0, 6.0863),
    (50.0, 7.0865),
    (250.0, 9.4085),
    (500.0, 10.4085),
    (2500.0, 12.7304),
];

/// Of the table and of the figure, in bits.
const TOLERANCE: f64 = 0.01;

/// Beyond this rho the exact curve is log2(e rho).
const SOLVED: f64 = 2500.0;

/// Figure 4: the rates of the delay, and the rates of the traffic.
const FIG4_MU: [f64; 5] = [200.0, 20.0, 2.0, 0.2, 0.02];
const FIG4_RATES: [f64; 5] = [100.0, 200.0, 300.0, 400.0, 500.0];

pub(super) const SINGLE_MIX: Reproduction = Reproduction {
    name: "single-mix",
    what: "mean entropy of one mix against the exact table, rho = 0.25 to 2500",
    gated: true,
    seconds: 8,
    jobs: table_jobs,
    measure: table,
};

pub(super) const LOOPIX_FIG4: Reproduction = Reproduction {
    name: "loopix-fig4",
    what: "Loopix figure 4: entropy of one mix against the rate of its traffic",
    gated: true,
    seconds: 30,
    jobs: fig4_jobs,
    measure: fig4,
};

/// Means of the delay before the measurement, and after it.
const WARM_UP: f64 = 16.0;
const DRAIN: f64 = 34.0;

/// Runs of one mix with Poisson traffic of this rate and delays of mean 1/mu. Targets are about two
/// mean delays apart, or every message where the traffic is thinner than that: their number falls
/// with rho, because the entropy of a large pool hardly varies.
fn one_mix(name: String, x: f64, (rate, mu): (f64, f64), stream: u32, effort: Effort) -> Job {
    let rho = rate / mu;
    let (repetitions, share) = match effort {
        Effort::Full if rho > SOLVED => (16, 1.0),
        Effort::Full => (32, 1.0),
        Effort::Quick => (8, 0.01),
    };
    let least = if rho > SOLVED { 128.0 } else { 640.0 };
    let wanted = (share * 1_600_000.0 / (1.0 + rho)).max(share * least);
    let count = whole(wanted / f64::from(repetitions)).max(4);
    let every = whole(2.0 * rho).max(1);
    let span = f64::from(count) * f64::from(every) / rate;
    let places = whole(24.0 + 40.0 * rho / f64::from(every));
    // More time than the targets need on average, and never so little that they run out.
    let measurement = span * 1.05 + 20.0 / mu;
    let phases = Phases {
        warm_up: WARM_UP / mu,
        measurement,
        drain: DRAIN / mu,
    };
    let network = plans::layered(1, 1, 1.0 / mu, 0.0);
    let plan = Plan {
        targets: Some(plans::targets(every, count, places)),
        ..plans::plan(network, plans::senders(100, rate / 100.0), phases)
    };
    Job {
        name,
        x,
        plan,
        repetitions,
        stream,
    }
}

fn table_jobs(effort: Effort) -> Vec<Job> {
    let jobs = EXACT.iter().zip(0..);
    jobs.map(|((rho, _), stream)| {
        one_mix(format!("rho = {rho}"), *rho, (*rho, 1.0), stream, effort)
    })
    .collect()
}

fn table(work: &Work<'_>) -> Result<Findings, ReproduceError> {
    let samples = work.all(|run| run.mean_entropy())?;
    let measured = work.jobs.iter().zip(&samples).zip(EXACT);
    let points: Vec<(f64, Point)> = measured
        .map(|((job, sample), (_, exact))| {
            let point = Point::shown(&job.name, "bits", sample);
            (job.x, point.gate(exact, TOLERANCE))
        })
        .collect();
    let line = Line {
        name: "one mix".to_owned(),
        points,
    };
    Ok(Findings {
        points: line.points.iter().map(|(_, point)| point.clone()).collect(),
        curves: Curves {
            x: "rho = rate of the traffic / rate of the delay".to_owned(),
            y: "entropy (bits)".to_owned(),
            log_x: true,
            lines: vec![line],
        },
    })
}

fn fig4_jobs(effort: Effort) -> Vec<Job> {
    let mut jobs = Vec::new();
    for mu in FIG4_MU {
        for rate in FIG4_RATES {
            let name = format!("mu = {mu}, rate {rate}");
            let stream = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
            jobs.push(one_mix(name, rate, (rate, mu), stream, effort));
        }
    }
    jobs
}

/// What the exact curve says.
fn exact(rho: f64) -> f64 {
    if rho > SOLVED {
        theory::single_mix_entropy_limit(rho)
    } else {
        theory::single_mix_entropy(rho)
    }
}

fn fig4(work: &Work<'_>) -> Result<Findings, ReproduceError> {
    let samples = work.all(|run| run.mean_entropy())?;
    let mut measured = work.jobs.iter().zip(&samples);
    let mut lines = Vec::new();
    for mu in FIG4_MU {
        let of_mu = measured.by_ref().take(FIG4_RATES.len());
        let points = of_mu.map(|(job, sample)| {
            let point = Point::shown(&job.name, "bits", sample);
            (job.x, point.gate(exact(job.x / mu), TOLERANCE))
        });
        let points = points.collect();
        lines.push(Line {
            name: format!("mu = {mu}"),
            points,
        });
    }
    let points = lines.iter().flat_map(|line| line.points.iter());
    Ok(Findings {
        points: points.map(|(_, point)| point.clone()).collect(),
        curves: Curves {
            x: "rate of the traffic (packets/s)".to_owned(),
            y: "entropy (bits)".to_owned(),
            log_x: false,
            lines,
        },
    })
}

/// The nearest count.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive and below 2^32 by the constants above"
)]
fn whole(x: f64) -> u32 {
    x.round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{self, mass::Mass};
    use crate::reproduce::{Setup, Verdict};
    use crate::run::Unwatched;
    use crate::stats::Estimate;

    fn setup(seed: u64) -> Setup {
        let (threads, effort) = (1, Effort::Quick);
        Setup {
            seed,
            threads,
            effort,
            repetitions: None,
        }
    }

    /// Every message of some repetitions at rho = 5 is a target: the means over all of them, and
    /// over those that were the first after a timer.
    fn by_choice(seed: u64, repetitions: u32) -> (Vec<f64>, Vec<f64>) {
        let mut job = one_mix("rho = 5".to_owned(), 5.0, (5.0, 1.0), 0, Effort::Quick);
        job.plan.targets = Some(plans::targets(1, u32::MAX, 1000));
        job.plan.phases.measurement = 600.0;
        let of = |repetition| {
            let mut mass = Mass::new(&job.plan, &[]);
            engine::run(&job.plan, seed, repetition, &mut mass).unwrap();
            let all: Vec<f64> = mass.results().iter().map(|t| t.entropy).collect();
            let mut timer = job.plan.phases.warm_up;
            let mut first = Vec::new();
            for target in mass.results() {
                if target.sent >= timer {
                    first.push(target.entropy);
                    timer = (target.sent / 3.0).floor() * 3.0 + 3.0;
                }
            }
            let mean = |sample: &[f64]| crate::stats::mean(sample).unwrap();
            (mean(&all), mean(&first))
        };
        (0..repetitions).map(of).unzip()
    }

    #[test]
    fn the_first_message_after_a_timer_is_a_biased_target_and_misses_the_gate() {
        let (all, first) = by_choice(11, 24);
        let point =
            |sample: &[f64]| Point::shown("rho = 5", "bits", sample).gate(3.7549, TOLERANCE);
        let (all, first) = (point(&all), point(&first));
        assert_eq!(all.verdict(Effort::Quick), Verdict::Holds, "{all:?}");
        assert_eq!(first.verdict(Effort::Quick), Verdict::Missed, "{first:?}");
        assert!((first.ours.unwrap() - 3.63).abs() < 0.03, "{first:?}");
    }

    #[test]
    fn intervals_cover_the_exact_value_as_often_as_they_say() {
        let mut job = one_mix("rho = 5".to_owned(), 5.0, (5.0, 1.0), 0, Effort::Quick);
        job.repetitions = 1600;
        job.plan.targets = Some(plans::targets(10, 12, 12));
        job.plan.phases.measurement = 50.0;
        let setup = setup(5);
        let work = Work::new(vec![job], &setup, &Unwatched);
        let values = work.all(|run| run.mean_entropy()).unwrap();
        let exact = theory::single_mix_entropy(5.0);
        let covered = values[0]
            .chunks(8)
            .filter(|experiment| Estimate::of(experiment).unwrap().covers(exact))
            .count();
        assert!((180..=198).contains(&covered), "{covered} of 200");
    }

    #[test]
    fn the_table_is_the_exact_curve() {
        for (rho, bits) in EXACT {
            let solved = theory::single_mix_entropy(rho);
            assert!((solved - bits).abs() < 6e-5, "{rho}: {solved}");
        }
    }

    #[test]
    fn a_target_without_a_place_or_without_time_is_an_error() {
        let setup = setup(1);
        let job = || one_mix("rho = 5".to_owned(), 5.0, (5.0, 1.0), 0, Effort::Quick);
        let error = |job: Job| {
            let work = Work::new(vec![job], &setup, &Unwatched);
            work.all(|run| run.mean_entropy()).unwrap_err()
        };
        let mut crowded = job();
        crowded.plan.targets = Some(plans::targets(1, 1000, 10));
        let found = error(crowded);
        assert!(
            matches!(found, ReproduceError::PassedOver { .. }),
            "{found}"
        );
        let mut short = job();
        short.plan.phases.drain = 0.0;
        short.plan.targets = Some(plans::targets(1, 100_000, 1000));
        let found = error(short);
        assert!(matches!(found, ReproduceError::Residual { .. }), "{found}");
        let mut empty = job();
        empty.plan.targets = None;
        let found = error(empty);
        assert!(matches!(found, ReproduceError::Nothing { .. }), "{found}");
    }
}
