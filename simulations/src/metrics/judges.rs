//! All metrics that a scenario asks for, on one run.

use std::path::Path;

use super::sheet::Sheet;
use super::{entropy, epsilon, traffic};
use crate::adversary::Adversary;
use crate::engine::mass::{Mass, TargetResult};
use crate::engine::{Loss, Observer, Outcome, Packet, Plan};
use crate::measure::{Claim, Measured};
use crate::scenario::{Metrics, Scenario};
use crate::table::{Table, TableError};

/// Why metrics have no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// A table could not be made or written.
    #[error("a table of a metric could not be made or written")]
    Table(#[from] TableError),
}

/// What the metrics of one repetition found.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Every value.
    pub measured: Vec<Measured>,
    /// Tables with more than one row a value: `targets`, `roc`, …. The first column of each is the
    /// repetition.
    pub tables: Vec<Table>,
}

/// Observes a run for all adversaries and metrics of a scenario.
pub struct Judges {
    metrics: Metrics,
    plan: Plan,
    repetition: u32,
    judged: Vec<Judge>,
    masses: Vec<Mass>,
}

/// An adversary, what may be claimed of its inference, and the place of its mass in
/// [`Judges::masses`]: those to whom the same nodes are open share one.
struct Judge {
    adversary: Adversary,
    claim: Claim,
    mass: Option<usize>,
}

impl Judges {
    /// Places the adversaries and prepares what the scenario asks for. With a folder, what the
    /// adversary of the scenario's `[observe]` sees is written to files in it while the run goes
    /// on.
    ///
    /// # Errors
    /// When such a file can't be made.
    pub fn new(
        scenario: &Scenario,
        plan: &Plan,
        seed: u64,
        repetition: u32,
        observe: Option<&Path>,
    ) -> Result<Self, MetricError> {
        let _ = observe;
        let metrics = scenario.model().metrics.clone();
        let infers = metrics.entropy_forward.is_some() || metrics.epsilon.is_some();
        let mut masses = Vec::new();
        let mut open: Vec<Vec<bool>> = Vec::new();
        let mut judged = Vec::new();
        for adversary in Adversary::all(scenario, plan, seed, repetition) {
            let claim = adversary.claim(plan);
            let sound = !matches!(claim, Claim::Unsound(_));
            let mass = (infers && sound).then(|| {
                let revealed = adversary.revealed(plan);
                let known = open.iter().position(|other| *other == revealed);
                known.unwrap_or_else(|| {
                    masses.push(Mass::new(plan, &revealed));
                    open.push(revealed);
                    masses.len() - 1
                })
            });
            judged.push(Judge {
                adversary,
                claim,
                mass,
            });
        }
        Ok(Self {
            metrics,
            plan: plan.clone(),
            repetition,
            judged,
            masses,
        })
    }

    /// What was found, after the run.
    ///
    /// # Errors
    /// When a table can't be made or a file not be completed.
    pub fn finish(self, outcome: &Outcome) -> Result<Judged, MetricError> {
        let mut sheet = Sheet::default();
        if let Some(asked) = &self.metrics.latency {
            traffic::latency(asked, outcome, &mut sheet);
        }
        if self.metrics.overhead.is_some() {
            traffic::overhead(outcome, &mut sheet);
        }
        for judge in &self.judged {
            self.put_inference(judge, &mut sheet);
        }
        let mut tables = Vec::new();
        if self.metrics.entropy_forward.is_some() {
            tables.push(self.targets()?);
        }
        Ok(Judged {
            measured: sheet.into_rows(),
            tables,
        })
    }

    fn put_inference(&self, judge: &Judge, sheet: &mut Sheet) {
        let mass = judge.mass.and_then(|place| self.masses.get(place));
        let (adversary, claim) = (&judge.adversary, &judge.claim);
        if let Some(asked) = &self.metrics.entropy_forward {
            let results = mass.map(Mass::results).unwrap_or_default();
            entropy::forward(adversary, claim, results, asked.users, sheet);
        }
        if let Some(asked) = &self.metrics.epsilon {
            let deliveries = mass.map(Mass::deliveries).unwrap_or_default();
            epsilon::put(adversary, claim, (asked, &self.plan), deliveries, sheet);
        }
    }

    /// One row for each adversary that infers and each target.
    fn targets(&self) -> Result<Table, TableError> {
        let rows: Vec<(&str, &TargetResult)> = self
            .judged
            .iter()
            .filter_map(|judge| Some((judge, self.masses.get(judge.mass?)?)))
            .flat_map(|(judge, mass)| {
                let name = judge.adversary.name.as_str();
                mass.results().iter().map(move |result| (name, result))
            })
            .collect();
        let id = |number: u32| u64::from(number);
        let numbers = |of: &dyn Fn(&TargetResult) -> f64| -> Vec<f64> {
            rows.iter().map(|(_, result)| of(result)).collect()
        };
        let maybe = |of: &dyn Fn(&TargetResult) -> Option<f64>| -> Vec<Option<f64>> {
            rows.iter().map(|(_, result)| of(result)).collect()
        };
        let names = rows.iter().map(|(name, _)| (*name).to_owned()).collect();
        let counts = |of: &dyn Fn(&TargetResult) -> u32| -> Vec<u64> {
            rows.iter().map(|(_, result)| id(of(result))).collect()
        };
        Table::builder("targets")
            .u64("repetition", vec![id(self.repetition); rows.len()])
            .string("adversary", names)
            .u64("message", counts(&|r| r.message))
            .u64("sender", counts(&|r| r.sender))
            .nullable(
                "receiver",
                maybe(&|r| (r.receiver != crate::engine::NONE).then(|| f64::from(r.receiver))),
            )
            .f64("sent_s", numbers(&|r| r.sent))
            .nullable("latency_s", maybe(&|r| r.latency))
            .f64("entropy_bits", numbers(&|r| r.entropy))
            .f64("min_entropy_bits", numbers(&TargetResult::min_entropy))
            .f64("largest_probability", numbers(&|r| r.largest))
            .nullable("user_entropy_bits", maybe(&|r| r.user_entropy))
            .nullable("user_largest_probability", maybe(&|r| r.user_largest))
            .nullable("probability_of_truth", maybe(&|r| r.truth))
            .f64("residual", numbers(&|r| r.residual))
            .build()
    }
}

/// Tells every observer of a [`Judges`].
macro_rules! tell {
    ($judges:ident, $method:ident ( $($argument:expr),* )) => {
        for mass in &mut $judges.masses {
            mass.$method($($argument),*);
        }
    };
}

impl Observer for Judges {
    fn start(&mut self, plan: &Plan) {
        tell!(self, start(plan));
    }
    fn sent(&mut self, slot: u32, packet: &Packet, time: f64, first: u32) {
        tell!(self, sent(slot, packet, time, first));
    }
    fn arrive(&mut self, node: u32, time: f64, slot: u32) {
        tell!(self, arrive(node, time, slot));
    }
    fn depart(&mut self, node: u32, time: f64, slot: u32, next: u32) {
        tell!(self, depart(node, time, slot, next));
    }
    fn lost(&mut self, slot: u32, packet: &Packet, time: f64, reason: Loss) {
        tell!(self, lost(slot, packet, time, reason));
    }
    fn end(&mut self, slot: u32, packet: &Packet, time: f64) {
        tell!(self, end(slot, packet, time));
    }
    fn online(&mut self, client: u32, time: f64) {
        tell!(self, online(client, time));
    }
    fn offline(&mut self, client: u32, time: f64) {
        tell!(self, offline(client, time));
    }
    fn window(&mut self, end: f64) {
        tell!(self, window(end));
    }
    fn finish(&mut self, time: f64) {
        tell!(self, finish(time));
    }
}
