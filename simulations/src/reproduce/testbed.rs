//! Loopix figures 8 and 10: measurements of a test bed, beside which ours are put.

use super::work::{Curves, Findings, Job, Line, Work};
use super::{Effort, Point, ReproduceError, Reproduction, plans};
use crate::engine::{Delay, Kind, Link, Links, Outcome, Phases, Plan};

/// The test bed: clients, layers, mixes in each, providers.
const CLIENTS: u32 = 500;
const LAYERS: usize = 3;
const WIDTH: usize = 2;
const PROVIDERS: u32 = 4;

/// The link from the providers back to the first layer, which only the loops of mixes take, in
/// seconds.
const WRAP: f64 = 0.001;

/// How often each Poisson rate was raised, by 2 a minute each time.
const RAISED: [u8; 6] = [0, 2, 4, 6, 8, 10];
/// Where the published line stops growing: overall rate of a client per minute, packets per second
/// of a mix.
const SATURATION: (f64, f64) = (53.0, 225.0);

/// The published fit of figure 10, in seconds.
const FIG10_MEAN: f64 = 1.93;
const FIG10_DEVIATION: f64 = 0.87;

pub(super) const LOOPIX_FIG8: Reproduction = Reproduction {
    name: "loopix-fig8",
    what: "Loopix figure 8: packets per second of a mix against the rate of clients",
    gated: false,
    seconds: 3,
    jobs: fig8_jobs,
    measure: fig8,
};

pub(super) const LOOPIX_FIG10: Reproduction = Reproduction {
    name: "loopix-fig10",
    what: "Loopix figure 10: end-to-end latency at a mean delay of 0.5 s a hop",
    gated: false,
    seconds: 2,
    jobs: fig10_jobs,
    measure: fig10,
};

/// The test bed with these rates per minute of (messages, loops, drops, mix loops), and delays of
/// rate mu at mixes and providers.
fn bed((real, loops, drops, mix_loops): (f64, f64, f64, f64), mu: f64, phases: Phases) -> Plan {
    let (mut network, _) = plans::layered(LAYERS, WIDTH, 1.0 / mu, 0.0);
    network.providers = PROVIDERS;
    network.provider_delay = Delay::Exponential { mean: 1.0 / mu };
    network.mix_loops = mix_loops / 60.0;
    let mut links = Links::all(&Link::Constant(0.0), LAYERS + 2);
    // A mix's loop needs some time from the last stage back to the first.
    links.wrap = Link::Constant(WRAP);
    let mut class = plans::senders(CLIENTS, real / 60.0);
    class.loops = loops / 60.0;
    class.drops = drops / 60.0;
    plans::plan((network, links), class, phases)
}

fn fig8_jobs(effort: Effort) -> Vec<Job> {
    let (measurement, repetitions) = match effort {
        Effort::Full => (120.0, 10),
        Effort::Quick => (5.0, 2),
    };
    let phases = Phases {
        warm_up: 1.0,
        measurement,
        drain: 1.0,
    };
    let jobs = RAISED.into_iter().zip(0..);
    jobs.map(|(raised, stream)| {
        let more = 2.0 * f64::from(raised);
        let rates = (3.0 + more, 1.0 + more, 1.0 + more, 1.0 + more);
        let x = 5.0 + 3.0 * more;
        let name = format!("{x} a minute");
        let plan = bed(rates, 1000.0, phases);
        Job {
            name,
            x,
            plan,
            repetitions,
            stream,
        }
    })
    .collect()
}

/// Packets per second that a mix receives, all and messages.
fn throughput(plan: &Plan, outcome: &Outcome) -> (f64, f64) {
    let stages = outcome.occupancy.iter().skip(1).take(LAYERS);
    let rates: Vec<f64> = stages.map(|stage| stage.arrival_rate).collect();
    #[expect(clippy::cast_precision_loss, reason = "counts of a short run")]
    let messages = outcome.measured(Kind::Real).sent as f64;
    let each = messages / plan.phases.measurement / 2.0;
    (crate::stats::mean(&rates).unwrap_or(f64::NAN), each)
}

fn fig8(work: &Work<'_>) -> Result<Findings, ReproduceError> {
    let runs = work.all(|run| {
        let outcome = run.observe(&mut ())?;
        Ok(throughput(&run.job.plan, &outcome))
    })?;
    let (mut all, mut payload) = (Vec::new(), Vec::new());
    for (job, sample) in work.jobs.iter().zip(&runs) {
        let name = &job.name;
        let rates: Vec<f64> = sample.iter().map(|(all, _)| *all).collect();
        let mut point = Point::shown(format!("{name}: all traffic"), "packets/s", &rates);
        let (saturated, published) = SATURATION;
        if (job.x - saturated).abs() < 0.5 {
            point = point.beside(published);
        }
        all.push((job.x, point));
        let rates: Vec<f64> = sample.iter().map(|(_, messages)| *messages).collect();
        let point = Point::shown(format!("{name}: messages"), "packets/s", &rates);
        payload.push((job.x, point));
    }
    let points = all.iter().chain(&payload).map(|(_, point)| point.clone());
    Ok(Findings {
        points: points.collect(),
        curves: Curves {
            x: "rate of each client (packets/min)".to_owned(),
            y: "packets/s of a mix".to_owned(),
            log_x: false,
            lines: vec![
                Line {
                    name: "all traffic".to_owned(),
                    points: all,
                },
                Line {
                    name: "messages".to_owned(),
                    points: payload,
                },
            ],
        },
    })
}

fn fig10_jobs(effort: Effort) -> Vec<Job> {
    let (measurement, repetitions) = match effort {
        Effort::Full => (120.0, 10),
        Effort::Quick => (10.0, 2),
    };
    let phases = Phases {
        warm_up: 15.0,
        measurement,
        drain: 20.0,
    };
    let plan = bed((60.0, 60.0, 60.0, 60.0), 2.0, phases);
    let name = "mu = 2".to_owned();
    vec![Job {
        name,
        x: 0.0,
        plan,
        repetitions,
        stream: 0,
    }]
}

fn fig10(work: &Work<'_>) -> Result<Findings, ReproduceError> {
    let runs = work.all(|run| {
        let outcome = run.observe(&mut ())?;
        Ok([Kind::MixLoop, Kind::Real].map(|kind| {
            let latency = outcome.latency(kind, false);
            let deviation = latency.variance().map(f64::sqrt);
            (latency.mean(), deviation)
        }))
    })?;
    let mut points = Vec::new();
    for (kind, name) in ["loops of mixes", "messages"].into_iter().enumerate() {
        let of_kind = || runs.iter().flatten().filter_map(|run| run.get(kind));
        let means: Vec<f64> = of_kind().filter_map(|(mean, _)| *mean).collect();
        let deviations: Vec<f64> = of_kind().filter_map(|(_, deviation)| *deviation).collect();
        let mean = Point::shown(format!("{name}: mean latency"), "s", &means);
        let deviation = Point::shown(format!("{name}: standard deviation"), "s", &deviations);
        points.push(mean.beside(FIG10_MEAN));
        points.push(deviation.beside(FIG10_DEVIATION));
    }
    Ok(Findings {
        points,
        ..Findings::default()
    })
}
