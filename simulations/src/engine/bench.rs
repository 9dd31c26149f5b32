//! What the speed is measured on.

use super::mass::Mass;
use super::{
    Class, Delay, EngineError, Link, Links, Loss, Network, Observer, Outcome, Packet, Phases, Plan,
    Receivers, Routes, Targets, Workload,
};
use crate::clock::{Stopwatch, cpu_seconds};

/// A network whose simulation is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// A small network with a few targets.
    Small,
    /// The same with very many targets.
    ManyTargets,
    /// A million clients.
    Million,
    /// The small one with uniform delays.
    UniformDelays,
    /// The small one with random links.
    RandomLinks,
}

impl Case {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [
        Self::Small,
        Self::ManyTargets,
        Self::Million,
        Self::UniformDelays,
        Self::RandomLinks,
    ];

    /// What it is, in full.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => {
                "hops/s, 50 clients at 20/s, 3 layers of 10, mean delay 0.2667 s, links 50 ms, \
                 8 targets alive throughout"
            }
            Self::ManyTargets => {
                "hops/s with on average 900 targets alive, timed only then, residual under 1e-9"
            }
            Self::Million => {
                "1,000,000 clients with buffers and real, loop and drop processes, 1 packet/s \
                 each in all, 60 s, mean delay 0.2667 s, links 50 ms, 3 layers of 300 mixes, \
                 4 targets"
            }
            Self::UniformDelays => {
                "hops/s as in the first row, with uniform delays from 0 to 0.5334 s"
            }
            Self::RandomLinks => {
                "hops/s as in the first row, with links of 20 ms and an exponential of mean 30 ms"
            }
        }
    }

    /// How many times it is run, in turn with the heap; the median counts.
    #[must_use]
    pub const fn runs(self) -> u32 {
        match self {
            Self::Million => 1,
            _ => 3,
        }
    }

    /// The plan; for `quick` shorter, and of a tenth of the clients and mixes for the million.
    #[must_use]
    pub fn plan(self, quick: bool) -> Plan {
        let mut plan = small(if quick { 200.0 } else { 3000.0 });
        match self {
            Self::Small => {}
            Self::ManyTargets => {
                let measurement = if quick { 45.0 } else { 290.0 };
                plan.phases = Phases {
                    warm_up: 5.0,
                    measurement,
                    drain: 0.0,
                };
                plan.targets = targets(MANY_EVERY, MANY_MOST);
            }
            Self::Million => million(&mut plan, if quick { 10 } else { 1 }),
            Self::UniformDelays => {
                plan.network.mix_delay = Delay::Uniform {
                    least: 0.0,
                    most: 2.0 * MEAN,
                };
            }
            Self::RandomLinks => {
                let extra = Delay::Exponential { mean: 0.03 };
                plan.links = Links::all(&Link::Random { least: 0.02, extra }, 3);
            }
        }
        plan
    }
}

const MEAN: f64 = 0.2667;
/// Of the many targets: one of so many messages, and how many at most. Then 900 are alive on
/// average.
const MANY_EVERY: u32 = 10;
const MANY_MOST: u32 = 1000;
/// The time from which on they are.
const PLATEAU: f64 = 25.0;

fn targets(every: u32, max_alive: u32) -> Option<Targets> {
    Some(Targets {
        first: 0,
        every,
        max_alive,
        count: u32::MAX,
        any_kind: false,
        users: false,
    })
}

fn small(measurement: f64) -> Plan {
    Plan {
        network: Network {
            routes: Routes::Stratified,
            layers: vec![vec![1.0; 10]; 3],
            providers: 0,
            mix_delay: Delay::Exponential { mean: MEAN },
            provider_delay: Delay::Constant { seconds: 0.0 },
            server: None,
            mix_loops: 0.0,
        },
        links: Links::all(&Link::Constant(0.05), 3),
        classes: vec![Class {
            count: 50,
            real: 20.0,
            loops: 0.0,
            drops: 0.0,
            dummies: true,
            workload: Workload::Saturated,
            receivers: Receivers::Uniform,
            buffer: 1000,
            churn: None,
        }],
        trace: Vec::new(),
        phases: Phases {
            warm_up: 3.0,
            measurement,
            drain: 10.0,
        },
        droppers: Vec::new(),
        targets: targets(1, 8),
        groups: Vec::new(),
        bin: None,
    }
}

fn million(plan: &mut Plan, part: u32) {
    let class = &mut plan.classes[0];
    class.count = 1_000_000 / part;
    (class.real, class.loops, class.drops) = (0.5, 0.25, 0.25);
    class.workload = Workload::Poisson { rate: 0.4 };
    plan.network.layers = vec![vec![1.0; 300 / part as usize]; 3];
    plan.phases = Phases {
        warm_up: 5.0,
        measurement: 45.0,
        drain: 10.0,
    };
    plan.targets = targets(1, 4);
}

/// Starts both clocks.
fn start() -> (Stopwatch, f64) {
    (Stopwatch::start(), cpu_seconds().unwrap_or(0.0))
}

/// Times a run, or of very many targets the part of it in which they are alive.
struct Timed {
    mass: Mass,
    from: f64,
    links: u64,
    watch: Option<(Stopwatch, f64)>,
    hops: u64,
    windows: u32,
    alive: u64,
    residual: f64,
}

impl Observer for Timed {
    fn sent(&mut self, slot: u32, packet: &Packet, time: f64, first: u32) {
        self.mass.sent(slot, packet, time, first);
    }
    fn arrive(&mut self, node: u32, time: f64, slot: u32) {
        self.mass.arrive(node, time, slot);
    }
    fn depart(&mut self, node: u32, time: f64, slot: u32, next: u32) {
        self.mass.depart(node, time, slot, next);
    }
    fn lost(&mut self, slot: u32, packet: &Packet, time: f64, reason: Loss) {
        self.mass.lost(slot, packet, time, reason);
    }
    fn end(&mut self, slot: u32, packet: &Packet, time: f64) {
        self.hops += self.links;
        self.mass.end(slot, packet, time);
    }
    fn soon(&self, slot: u32) -> u32 {
        self.mass.soon(slot)
    }
    fn window(&mut self, end: f64) {
        // Targets are given up here, so this is when the fewest are alive.
        self.mass.window(end);
        if self.watch.is_some() {
            self.windows += 1;
            self.alive += u64::from(self.mass.alive());
        } else if end >= self.from {
            (self.watch, self.hops) = (Some(start()), 0);
        }
    }
    fn finish(&mut self, _time: f64) {
        let residuals = self.mass.results().iter().map(|target| target.residual);
        self.residual = residuals.fold(0.0, f64::max);
    }
}

/// What a run took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Hops in the time.
    pub hops: u64,
    /// Seconds by the clock on the wall.
    pub wall: f64,
    /// Seconds of the processor; 0 where the system does not say.
    pub cpu: f64,
    /// Targets alive, at the ends of windows, on average.
    pub alive: f64,
    /// The most mass that a target lacked when it was given up.
    pub residual: f64,
}

impl Timing {
    /// Hops per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.hops as f64 / self.wall
    }
}

/// Runs a case, by the engine or by the heap (of the million clients a fifth of the time, as only
/// its speed is wanted).
///
/// # Errors
/// As [`run`](super::run).
pub fn time(case: Case, quick: bool, seed: u64, heap: bool) -> Result<Timing, EngineError> {
    let mut plan = case.plan(quick);
    if heap && case == Case::Million {
        // A fifth of the time: the heap takes many minutes, and its speed is the same.
        let phases = &mut plan.phases;
        phases.warm_up /= 5.0;
        phases.measurement /= 5.0;
        phases.drain /= 5.0;
    }
    let plateau = case == Case::ManyTargets;
    let whole = start();
    let mut timed = Timed {
        mass: Mass::new(&plan, &[]),
        from: if plateau { PLATEAU } else { 0.0 },
        links: plan.network.layers.len() as u64 + 1,
        watch: None,
        hops: 0,
        windows: 0,
        alive: 0,
        residual: 0.0,
    };
    let run = if heap { super::heap::run } else { super::run };
    let outcome: Outcome = run(&plan, seed, 0, &mut timed)?;
    let (hops, (watch, cpu)) = match timed.watch {
        Some(watch) if plateau => (timed.hops, watch),
        _ => (outcome.hops, whole),
    };
    Ok(Timing {
        hops,
        wall: watch.elapsed().as_secs_f64(),
        cpu: cpu_seconds().unwrap_or(0.0) - cpu,
        alive: timed.alive as f64 / f64::from(timed.windows.max(1)),
        residual: timed.residual,
    })
}
