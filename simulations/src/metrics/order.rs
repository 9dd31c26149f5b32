//! The FIFO attack on a run: how often two messages in a row of one client keep their order.

use super::draw::Trials;
use super::sheet::Sheet;
use super::sight::{at, path_length};
use crate::engine::{Class, Delay, Kind, Loss, Observer, Packet, Plan, Workload};
use crate::measure::Claim;
use crate::scenario::Fifo;
use crate::{seed, theory};

/// What has become of a pair of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pair {
    Under,
    /// The one that was sent first came out.
    First,
    /// The one that was sent second came out.
    Second,
    Done,
}

/// Messages per second of a client while it is online. What leaves a buffer that is fed by a Poisson
/// stream and served at exponential times is a Poisson stream again (Burke 1956).
fn messages(class: &Class) -> f64 {
    match class.workload {
        Workload::Poisson { rate } => rate.min(class.real),
        Workload::Saturated | Workload::Trace => class.real,
    }
}

/// Watches the messages of the first class: each client's first and second, third and fourth, ….
pub(super) struct Order {
    plan: Plan,
    /// By client: the pair whose first message was sent and whose second was not, plus 1.
    open: Vec<u32>,
    /// By slot: the pair plus 1, and whether it is its second message.
    member: Vec<(u32, bool)>,
    pairs: Vec<Pair>,
    kept: Trials,
}

impl Order {
    pub(super) fn new(plan: &Plan) -> Self {
        let clients = plan.classes.first().map_or(0, |class| class.count);
        Self {
            plan: plan.clone(),
            open: vec![0; clients as usize],
            member: Vec::new(),
            pairs: Vec::new(),
            kept: Trials::default(),
        }
    }

    /// The closed form at the scenario's hops, the same attack played apart, and the run's pairs.
    pub(super) fn put(&self, asked: &Fifo, (seed, repetition): (u64, u32), sheet: &mut Sheet) {
        let first = self.plan.classes.first().map_or(0.0, messages);
        let rate = asked.rate.unwrap_or(first);
        let whole = path_length(&self.plan);
        let hops = asked.hops.unwrap_or(whole);
        let mean = self.plan.network.mix_delay.mean();
        let exponential = matches!(self.plan.network.mix_delay, Delay::Exponential { .. });
        let (formula, played) = if exponential && rate > 0.0 && mean > 0.0 {
            let mut rng = seed::generator(seed, repetition, "fifo", 0);
            let mu = 1.0 / mean;
            let count = u64::from(asked.attacks);
            let trials = super::fifo::simulate(&mut rng, mu, rate, hops, count);
            (Some(theory::fifo_delta(rate, mu, hops)), trials)
        } else {
            (None, Trials::default())
        };
        let mut put = |name: &str, value, claim: &Claim| {
            sheet.put(None, (format!("fifo_delta_{name}"), "1"), value, claim);
        };
        let closed = if exponential {
            Claim::Exact
        } else {
            Claim::Unsound("the formula is for exponential delays".to_owned())
        };
        put("formula", formula, &closed);
        let attack = |what: &str| Claim::Attack(format!("first in, first out, {what}"));
        let advantage = |trials: Trials| trials.share().map(|share| share - 0.5);
        put("played", advantage(played), &attack("played apart"));
        let run = attack(&format!("on the run's routes of {whole} mixes"));
        put("run", advantage(self.kept), &run);
    }

    fn void(&mut self, slot: u32) {
        let (pair, _) = std::mem::take(at(&mut self.member, slot));
        if let Some(state) = self.pair(pair) {
            *state = Pair::Done;
        }
    }

    fn pair(&mut self, number: u32) -> Option<&mut Pair> {
        self.pairs.get_mut((number as usize).checked_sub(1)?)
    }
}

impl Observer for Order {
    fn sent(&mut self, slot: u32, packet: &Packet, time: f64, _: u32) {
        *at(&mut self.member, slot) = (0, false);
        let counts = packet.kind == Kind::Real && packet.class == 0;
        if !counts || !self.plan.phases.measures(time) {
            return;
        }
        let Some(open) = self.open.get_mut(packet.sender as usize) else {
            return;
        };
        let second = *open > 0;
        if second {
            *at(&mut self.member, slot) = (std::mem::take(open), true);
        } else if let Ok(number) = u32::try_from(self.pairs.len() + 1) {
            self.pairs.push(Pair::Under);
            *open = number;
            *at(&mut self.member, slot) = (number, false);
        }
    }

    fn lost(&mut self, slot: u32, _: &Packet, _: f64, _: Loss) {
        self.void(slot);
    }

    fn end(&mut self, slot: u32, _: &Packet, _: f64) {
        let (number, second) = std::mem::take(at(&mut self.member, slot));
        let Some(state) = self.pair(number) else {
            return;
        };
        let before = *state;
        *state = match before {
            Pair::Under if second => Pair::Second,
            Pair::Under => Pair::First,
            Pair::First | Pair::Second | Pair::Done => Pair::Done,
        };
        if matches!(before, Pair::First | Pair::Second) {
            self.kept.add(before == Pair::First);
        }
    }
}
