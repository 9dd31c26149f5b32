//! All metrics that a scenario asks for, on one run.

use std::path::Path;

use super::compromise::Compromise;
use super::droppers::Droppers;
use super::intersection::Intersection;
use super::matching::Matching;
use super::observations::Observations;
use super::order::Order;
use super::provider::Provider;
use super::roc::Roc;
use super::rounds::Rounds;
use super::sheet::Sheet;
use super::{entropy, epsilon, n_minus_one, tables, traffic};
use crate::adversary::Adversary;
use crate::engine::mass::{self, Insight, Mass, Origins, TargetResult};
use crate::engine::recording::Recording;
use crate::engine::{Kind, Loss, Observer, Outcome, Packet, Plan};
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
    seed: u64,
    repetition: u32,
    judges: Vec<Judge>,
    masses: Vec<Mass>,
    /// What those know whose inference is sound, each once.
    open: Vec<Insight>,
    recording: Option<Recording>,
    order: Option<Order>,
    droppers: Option<Droppers>,
    observations: Option<Observations>,
}

/// What is judged of one adversary.
pub(super) struct Judge {
    pub(super) adversary: Adversary,
    pub(super) claim: Claim,
    /// The place of what it knows in [`Judges::open`], and of its mass: adversaries who know the
    /// same share one. None where no inference is sound.
    open: Option<usize>,
    rounds: Option<Rounds>,
    intersection: Option<Intersection>,
    matching: Option<Matching>,
    compromise: Option<Compromise>,
    provider: Option<Provider>,
}

impl Judge {
    fn new(adversary: Adversary, metrics: &Metrics, plan: &Plan, open: Option<usize>) -> Self {
        let owns_mixes = adversary.corrupt_mixes > 0;
        let owns_providers = adversary.corrupt_providers > 0;
        Self {
            claim: adversary.claim(plan),
            open,
            rounds: (metrics.disclosure.as_ref()).map(|asked| Rounds::new(asked, &adversary, plan)),
            intersection: (metrics.intersection.as_ref())
                .map(|asked| Intersection::new(asked, plan)),
            matching: (metrics.flow_matching.as_ref())
                .map(|asked| Matching::new(asked, &adversary, plan)),
            compromise: (metrics.compromise.as_ref())
                .filter(|_| owns_mixes)
                .map(|_| Compromise::new(&adversary, plan)),
            provider: (metrics.corrupt_provider.as_ref())
                .filter(|_| owns_providers)
                .map(|_| Provider::new(&adversary, plan)),
            adversary,
        }
    }

    /// The values of its attacks, and the curve of its flow matching.
    fn put(&self, outcome: &Outcome, sheet: &mut Sheet) -> Option<Roc> {
        if let Some(rounds) = &self.rounds {
            rounds.put(&self.adversary, sheet);
        }
        if let Some(intersection) = &self.intersection {
            intersection.put(&self.adversary, sheet);
        }
        if let Some(compromise) = &self.compromise {
            compromise.put(sheet);
        }
        if let Some(provider) = &self.provider {
            provider.put(outcome, sheet);
        }
        let matching = self.matching.as_ref()?;
        matching.put(&self.adversary, sheet)
    }
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
        let metrics = scenario.model().metrics.clone();
        let mut open: Vec<Insight> = Vec::new();
        let mut judges = Vec::new();
        for adversary in Adversary::all(scenario, plan, seed, repetition) {
            let sound = !matches!(adversary.claim(plan), Claim::Unsound(_));
            let place = sound.then(|| {
                let insight = adversary.insight(plan);
                let known = open.iter().position(|other| *other == insight);
                known.unwrap_or_else(|| {
                    open.push(insight);
                    open.len() - 1
                })
            });
            judges.push(Judge::new(adversary, &metrics, plan, place));
        }
        let forward = metrics.entropy_forward.is_some() || metrics.epsilon.is_some();
        let masses = open.iter().filter(|_| forward);
        Ok(Self {
            masses: masses.map(|known| Mass::knowing(plan, known)).collect(),
            recording: metrics
                .entropy_backward
                .as_ref()
                .map(|_| Recording::default()),
            order: metrics.fifo.as_ref().map(|_| Order::new(plan)),
            droppers: (metrics.droppers.as_ref()).map(|asked| Droppers::new(asked, plan)),
            observations: observations(scenario, plan, &judges, (seed, repetition), observe)?,
            plan: plan.clone(),
            metrics,
            open,
            seed,
            repetition,
            judges,
        })
    }

    /// What was found, after the run.
    ///
    /// # Errors
    /// When a table can't be made or a file not be completed.
    pub fn finish(self, outcome: &Outcome) -> Result<Judged, MetricError> {
        let mut sheet = Sheet::default();
        self.put_run(outcome, &mut sheet);
        let origins = self.origins();
        let none = Origins::default();
        let (mut rocs, mut targets) = (Vec::new(), Vec::new());
        for judge in &self.judges {
            let back = judge.open.and_then(|place| origins.get(place));
            let back = back.unwrap_or(&none);
            self.put_inference(judge, back, outcome, &mut sheet);
            let name = judge.adversary.name.as_str();
            rocs.extend(judge.put(outcome, &mut sheet).map(|roc| (name, roc)));
            let ahead = self.results(judge).iter().map(|r| ("forward", r));
            let rows = ahead.chain(back.targets.iter().map(|r| ("backward", r)));
            targets.extend(rows.map(|row| (name, row)));
        }
        let repetition = self.repetition;
        let mut made = Vec::new();
        if self.metrics.entropy_forward.is_some() || self.metrics.entropy_backward.is_some() {
            made.push(tables::targets(repetition, &targets)?);
        }
        if self.metrics.intersection.is_some() {
            let steps = self.judges.iter().filter_map(|judge| {
                let steps = judge.intersection.as_ref()?.steps().0;
                Some((judge.adversary.name.as_str(), steps))
            });
            made.push(tables::intersection(
                repetition,
                &steps.collect::<Vec<_>>(),
            )?);
        }
        if self.metrics.flow_matching.is_some() {
            made.push(tables::roc(repetition, &rocs)?);
        }
        if let Some(observations) = self.observations {
            observations.close()?;
        }
        Ok(Judged {
            measured: sheet.into_rows(),
            tables: made,
        })
    }

    /// The values that no adversary of the scenario has to do with.
    fn put_run(&self, outcome: &Outcome, sheet: &mut Sheet) {
        let from = (self.seed, self.repetition);
        if let Some(asked) = &self.metrics.latency {
            traffic::latency(asked, outcome, sheet);
        }
        if self.metrics.overhead.is_some() {
            traffic::overhead(outcome, sheet);
        }
        if let Some(asked) = &self.metrics.n_minus_one {
            n_minus_one::put(asked, (&self.plan, outcome), from, sheet);
        }
        if let (Some(asked), Some(order)) = (&self.metrics.fifo, &self.order) {
            order.put(asked, from, sheet);
        }
        if let Some(droppers) = &self.droppers {
            droppers.put(outcome, from, sheet);
        }
    }

    fn put_inference(
        &self,
        judge: &Judge,
        origins: &Origins,
        outcome: &Outcome,
        sheet: &mut Sheet,
    ) {
        let (adversary, claim) = (&judge.adversary, &judge.claim);
        if let Some(asked) = &self.metrics.entropy_forward {
            let results = self.results(judge);
            let due = self.plan.targets.map_or(0, |targets| {
                entropy::passed_over(&targets, results, outcome.messages)
            });
            let found = ("forward", results, due);
            entropy::put(adversary, claim, found, asked.users, sheet);
        }
        if let Some(asked) = &self.metrics.entropy_backward {
            let claim = &claim.and(&self.chosen(outcome));
            let found = ("backward", origins.targets.as_slice(), origins.passed_over);
            entropy::put(adversary, claim, found, asked.users, sheet);
        }
        if let Some(asked) = &self.metrics.epsilon {
            let mass = judge.open.and_then(|place| self.masses.get(place));
            epsilon::put(adversary, claim, (asked, &self.plan), mass, sheet);
        }
    }

    /// What the choice of targets among what came out allows to claim.
    fn chosen(&self, outcome: &Outcome) -> Claim {
        let any = self.plan.targets.is_some_and(|targets| targets.any_kind);
        let kinds = Kind::ALL.into_iter().filter(|kind| match kind {
            Kind::Real => true,
            Kind::MixLoop => false,
            Kind::Dummy | Kind::Loop | Kind::Drop => any,
        });
        let cut = kinds
            .map(|kind| traffic::claim(&outcome.measured(kind)))
            .any(|claim| matches!(claim, Claim::Censored { .. }));
        if cut {
            Claim::Approximation(
                "messages that were still under way at the end are no targets".to_owned(),
            )
        } else {
            Claim::Exact
        }
    }

    fn results(&self, judge: &Judge) -> &[TargetResult] {
        let mass = judge.open.and_then(|place| self.masses.get(place));
        mass.map(Mass::results).unwrap_or_default()
    }

    /// The targets that came out, and where they may have come from: for each set of open nodes.
    fn origins(&self) -> Vec<Origins> {
        let asked = self.metrics.entropy_backward.as_ref();
        let (Some(asked), Some(recording)) = (asked, &self.recording) else {
            return Vec::new();
        };
        let Some(mut targets) = self.plan.targets else {
            return Vec::new();
        };
        targets.users = asked.users;
        let clients = self.plan.clients();
        let open = self.open.iter();
        open.map(|known| mass::backward(recording, targets, known, clients))
            .collect()
    }
}

/// The files of the adversary that the scenario wants observed.
fn observations(
    scenario: &Scenario,
    plan: &Plan,
    judges: &[Judge],
    (seed, repetition): (u64, u32),
    folder: Option<&Path>,
) -> Result<Option<Observations>, TableError> {
    let (Some(folder), Some(asked)) = (folder, &scenario.model().observe) else {
        return Ok(None);
    };
    let named = judges
        .iter()
        .find(|judge| judge.adversary.name == asked.adversary);
    let metadata = vec![
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("scenario".to_owned(), scenario.hash()),
        ("seed".to_owned(), seed.to_string()),
    ];
    named
        .map(|judge| {
            let from = (seed, repetition);
            Observations::create(folder, &judge.adversary, plan, from, metadata)
        })
        .transpose()
}

/// Tells every observer of a [`Judges`].
macro_rules! tell {
    ($all:ident, $method:ident ( $($argument:expr),* )) => {
        $all.masses.$method($($argument),*);
        $all.recording.$method($($argument),*);
        $all.order.$method($($argument),*);
        $all.droppers.$method($($argument),*);
        $all.observations.$method($($argument),*);
        for judge in &mut $all.judges {
            judge.rounds.$method($($argument),*);
            judge.intersection.$method($($argument),*);
            judge.matching.$method($($argument),*);
            judge.compromise.$method($($argument),*);
            judge.provider.$method($($argument),*);
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
