//! What droppers cost, and whether clients notice them by their loops.
//!
//! Source: A. Piotrowska et al., "The Loopix Anonymity System", 2017, section 4.2.1 (loops of
//! clients and mixes against nodes that drop).

use std::collections::VecDeque;

use rand::RngExt;
use shoal_mix::{LoopVerdict, RelayLimits};

use super::draw::Trials;
use super::sheet::{Sheet, count, share};
use super::sight::at;
use crate::engine::{Kind, Observer, Outcome, Packet, Plan, Routes};
use crate::measure::Claim;
use crate::scenario::{self, LoopAlarm};
use crate::{math, seed, stats};

/// After so many mean latencies a loop counts as lost.
const PATIENCE: f64 = 10.0;
/// Clients whose loops are watched at most: the first ones.
const MOST_CLIENTS: u32 = 10_000;
/// Clients without droppers that are played.
const PLAYED: u64 = 1_000;

/// A loop under way.
#[derive(Clone, Copy, Debug)]
struct Loop {
    deadline: f64,
    client: u32,
    number: u64,
}

/// Watches the loops of clients as the clients do.
pub(super) struct Droppers {
    limits: RelayLimits,
    patience: f64,
    plan: Plan,
    watches: Vec<Option<shoal_mix::LoopAlarm>>,
    /// Loops in order of sending, which is that of their deadlines; and which are back.
    waiting: VecDeque<(Loop, bool)>,
    /// The number of the first that waits, and by slot that of the loop, plus 1.
    first: u64,
    numbers: Vec<u64>,
    sent: u64,
    returned: u64,
    /// By client: when its first alarm began, in seconds of the measurement.
    alarms: Vec<Option<f64>>,
}

/// The limits of a relay that are those of an alarm.
pub(super) fn limits(alarm: &LoopAlarm) -> RelayLimits {
    RelayLimits {
        loop_window: alarm.window as usize,
        loop_minimum: alarm.minimum as usize,
        loop_alarm_ratio: alarm.ratio,
        loop_recovery_ratio: alarm.recovery,
        ..RelayLimits::default()
    }
}

impl Droppers {
    pub(super) fn new(asked: &scenario::Droppers, plan: &Plan) -> Self {
        let clients = plan.clients().min(MOST_CLIENTS) as usize;
        Self {
            limits: limits(&asked.alarm),
            patience: PATIENCE * plan.path_time(),
            plan: plan.clone(),
            watches: vec![None; clients],
            waiting: VecDeque::new(),
            first: 1,
            numbers: Vec::new(),
            sent: 0,
            returned: 0,
            alarms: vec![None; clients],
        }
    }

    /// Gives up on the loops whose time is over.
    fn expire(&mut self, now: f64) {
        while let Some((own, back)) = self.waiting.front().copied() {
            if !back && own.deadline > now {
                return;
            }
            self.waiting.pop_front();
            self.first += 1;
            if !back {
                self.judge(own.client, false, own.deadline);
            }
        }
    }

    fn judge(&mut self, client: u32, returned: bool, time: f64) {
        let Some(watch) = self.watches.get_mut(client as usize) else {
            return;
        };
        self.sent += 1;
        self.returned += u64::from(returned);
        let watch = watch.get_or_insert_with(|| shoal_mix::LoopAlarm::new(&self.limits));
        if let Some(LoopVerdict::Alarm(_)) = watch.finish(returned)
            && let Some(alarm) = self.alarms.get_mut(client as usize)
        {
            alarm.get_or_insert(time - self.plan.phases.warm_up);
        }
    }

    /// The share of clients that would have an alarm without droppers, each with the mean number
    /// of loops of those watched.
    fn false_alarms(&self, (seed, repetition): (u64, u32)) -> Trials {
        let mut rng = seed::generator(seed, repetition, "loops without droppers", 0);
        let returns = delivery(&self.plan, false);
        let loops = self.sent / (self.watches.len() as u64).max(1);
        let mut trials = Trials::default();
        for _ in 0..PLAYED {
            let mut watch = shoal_mix::LoopAlarm::new(&self.limits);
            let mut alarmed = false;
            for _ in 0..loops {
                let verdict = watch.finish(rng.random::<f64>() < returns);
                alarmed |= matches!(verdict, Some(LoopVerdict::Alarm(_)));
            }
            trials.add(alarmed);
        }
        trials
    }

    pub(super) fn put(&self, outcome: &Outcome, from: (u64, u32), sheet: &mut Sheet) {
        let real = outcome.measured(Kind::Real);
        let mut put = |name: &str, unit: &str, value, claim: &Claim| {
            sheet.put(None, (format!("droppers_{name}"), unit), value, claim);
        };
        let counted = Claim::Counted;
        let arrived = real.delivered + real.lost_in_all();
        put("delivered", "1", share(real.delivered, arrived), &counted);
        let closed = if self.plan.network.routes == Routes::Stratified {
            Claim::Approximation("clients spread evenly over providers, no queue full".to_owned())
        } else {
            Claim::Unsound("no short formula but for layers".to_owned())
        };
        put(
            "delivered_expected",
            "1",
            Some(delivery(&self.plan, true)),
            &closed,
        );
        put(
            "loops_returned",
            "1",
            share(self.returned, self.sent),
            &counted,
        );
        let clients = self.alarms.len() as u64;
        let alarmed: Vec<f64> = self.alarms.iter().copied().flatten().collect();
        put(
            "clients_alarmed",
            "1",
            share(alarmed.len() as u64, clients),
            &counted,
        );
        put("seconds_to_alarm", "s", stats::mean(&alarmed), &counted);
        let without = Claim::Approximation("independent loops without droppers".to_owned());
        put(
            "clients_alarmed_falsely",
            "1",
            self.false_alarms(from).share(),
            &without,
        );
    }
}

/// The probability that a client's packet reaches its end in a layered network, with or without the
/// droppers, apart from full queues. Clients and their providers are taken as uniform; entry and
/// exit are independent.
#[must_use]
pub(super) fn delivery(plan: &Plan, with_droppers: bool) -> f64 {
    let providers = vec![1.0; plan.network.providers as usize];
    let ends = (plan.network.providers > 0).then_some(&providers);
    let stages: Vec<&Vec<f64>> = ends
        .into_iter()
        .chain(&plan.network.layers)
        .chain(ends)
        .collect();
    let mut first = 0;
    let mut passes = 1.0;
    for stage in &stages {
        let dropped = |node: usize| {
            let mut of = plan.droppers.iter();
            of.find(|d| d.node as usize == node)
                .map_or(0.0, |d| d.share)
        };
        let all: f64 = stage.iter().sum();
        let weights = stage.iter().enumerate();
        let lost: f64 = weights.map(|(i, w)| w * dropped(first + i)).sum();
        if with_droppers && all > 0.0 {
            passes *= 1.0 - lost / all;
        }
        first += stage.len();
    }
    // In, between the stages, and out.
    passes * math::pow(1.0 - plan.links.loss, count(stages.len() as u64 + 1))
}

impl Observer for Droppers {
    fn sent(&mut self, slot: u32, packet: &Packet, time: f64, _: u32) {
        *at(&mut self.numbers, slot) = 0;
        let counts = packet.kind == Kind::Loop && (packet.sender as usize) < self.watches.len();
        if counts && self.plan.phases.measures(time) {
            let number = self.first + self.waiting.len() as u64;
            *at(&mut self.numbers, slot) = number;
            let own = Loop {
                deadline: time + self.patience,
                client: packet.sender,
                number,
            };
            self.waiting.push_back((own, false));
        }
    }

    fn end(&mut self, slot: u32, packet: &Packet, time: f64) {
        let number = std::mem::take(at(&mut self.numbers, slot));
        let place = number.checked_sub(self.first);
        let Some(place) = place.and_then(|place| usize::try_from(place).ok()) else {
            return;
        };
        let Some((own, back)) = self.waiting.get_mut(place) else {
            return;
        };
        if own.number == number && time < own.deadline {
            *back = true;
            self.judge(packet.sender, true, time);
        }
    }

    fn window(&mut self, end: f64) {
        self.expire(end);
    }

    fn finish(&mut self, time: f64) {
        self.expire(time);
    }
}
