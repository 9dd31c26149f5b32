//! Layered networks without a corrupt mix: MiXiM figure 7, and the default scenario of Piotrowska's
//! simulator.

use super::work::{Curves, Findings, Job, Line, Work};
use super::{Effort, Point, ReproduceError, Reproduction, plans};
use crate::engine::{Phases, Plan};

/// MiXiM figure 7, no corrupt mix, 5 s end to end: layers, and entropy in bits.
const MIXIM: [(u8, f64); 4] = [(1, 12.689), (2, 15.833), (3, 15.625), (19, 14.184)];
const MIXIM_TOLERANCE: f64 = 0.04;
const MIXIM_RATE: f64 = 5000.0;
const MIXIM_WIDTH: usize = 10;
const MIXIM_LINK: f64 = 0.05;
const MIXIM_END_TO_END: f64 = 5.0;

/// What Piotrowska's program prints.
const PIOTROWSKA_BITS: f64 = 5.784;
const PIOTROWSKA_TOLERANCE: f64 = 0.02;
/// Mean of the exponential delay, and what her program adds to each for the processing of a packet,
/// which is still in the pool then; in seconds.
const DELAY: f64 = 0.1;
const PROCESSING: f64 = 0.000_386;

pub(super) const MIXIM_FIG7: Reproduction = Reproduction {
    name: "mixim-fig7",
    what: "MiXiM figure 7: entropy against layers at 5 s end to end, no corrupt mix",
    gated: true,
    seconds: 10,
    jobs: mixim_jobs,
    measure: mixim,
};

pub(super) const PIOTROWSKA: Reproduction = Reproduction {
    name: "piotrowska",
    what: "the default scenario of Piotrowska's simulator: entropy of 3 x 3 mixes",
    gated: true,
    seconds: 2,
    jobs: piotrowska_jobs,
    measure: piotrowska,
};

/// Seconds until the mass of a target that passes so many layers is out but for 1e-9: the layers'
/// mean, and what the slowest of an Erlang distribution take on top.
fn lifetime(layers: f64, mean: f64, link: f64) -> f64 {
    (layers + 8.0 * layers.sqrt() + 26.0) * mean + (layers + 1.0) * link
}

fn mixim_job(layers: u8, stream: u32, effort: Effort) -> Job {
    let (repetitions, count) = match effort {
        Effort::Full => (12, 16),
        Effort::Quick => (2, 4),
    };
    let depth = f64::from(layers);
    let mean = (MIXIM_END_TO_END - MIXIM_LINK * (depth + 1.0)) / depth;
    // One target every half second.
    let every = 2500;
    let phases = Phases {
        warm_up: lifetime(depth, mean, MIXIM_LINK) / 2.0,
        measurement: f64::from(count) * 0.5 + 0.5,
        drain: lifetime(depth, mean, MIXIM_LINK),
    };
    let network = plans::layered(usize::from(layers), MIXIM_WIDTH, mean, MIXIM_LINK);
    let plan = Plan {
        targets: Some(plans::targets(every, count, count)),
        ..plans::plan(network, plans::senders(100, MIXIM_RATE / 100.0), phases)
    };
    let name = format!("L = {layers}");
    Job {
        name,
        x: depth,
        plan,
        repetitions,
        stream,
    }
}

fn mixim_jobs(effort: Effort) -> Vec<Job> {
    let jobs = MIXIM.iter().zip(0..);
    jobs.map(|((layers, _), stream)| mixim_job(*layers, stream, effort))
        .collect()
}

fn mixim(work: &Work<'_>) -> Result<Findings, ReproduceError> {
    let samples = work.all(|run| run.mean_entropy())?;
    let measured = work.jobs.iter().zip(&samples).zip(MIXIM);
    let points: Vec<(f64, Point)> = measured
        .map(|((job, sample), (_, published))| {
            let point = Point::shown(&job.name, "bits", sample);
            (job.x, point.gate(published, MIXIM_TOLERANCE))
        })
        .collect();
    Ok(Findings {
        points: points.iter().map(|(_, point)| point.clone()).collect(),
        curves: Curves {
            x: "layers".to_owned(),
            y: "entropy (bits)".to_owned(),
            log_x: false,
            lines: vec![Line {
                name: "no corrupt mix".to_owned(),
                points,
            }],
        },
    })
}

fn piotrowska_jobs(effort: Effort) -> Vec<Job> {
    let (repetitions, count) = match effort {
        Effort::Full => (24, 1000),
        Effort::Quick => (8, 60),
    };
    // 100 packets a second; targets 1.5 s apart, about five times as long as a path takes.
    let every = 150;
    let phases = Phases {
        warm_up: 10.0,
        measurement: f64::from(count) * 1.5 * 1.05 + 5.0,
        drain: 10.0,
    };
    let network = plans::layered(3, 3, DELAY + PROCESSING, 0.0);
    let plan = Plan {
        targets: Some(plans::targets(every, count, 16)),
        ..plans::plan(network, plans::senders(100, 1.0), phases)
    };
    let name = "3 x 3 mixes".to_owned();
    vec![Job {
        name,
        x: 0.0,
        plan,
        repetitions,
        stream: 0,
    }]
}

fn piotrowska(work: &Work<'_>) -> Result<Findings, ReproduceError> {
    let samples = work.all(|run| run.mean_entropy())?;
    let named = work.jobs.iter().zip(&samples);
    let points = named.map(|(job, sample)| {
        let point = Point::shown(&job.name, "bits", sample);
        point.gate(PIOTROWSKA_BITS, PIOTROWSKA_TOLERANCE)
    });
    Ok(Findings {
        points: points.collect(),
        ..Findings::default()
    })
}
