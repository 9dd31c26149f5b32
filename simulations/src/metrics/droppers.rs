//! What droppers cost, and whether clients notice them by their loops.
//!
//! Source: A. Piotrowska et al., "The Loopix Anonymity System", 2017, section 4.2.1 (loops of
//! clients and mixes against nodes that drop).

use std::collections::BTreeMap;

use super::sheet::{Sheet, count, share};
use super::sight::{at, mean_latency};
use crate::engine::{Kind, Observer, Outcome, Packet, Plan, Routes};
use crate::measure::Claim;
use crate::scenario;
use crate::{math, stats};

/// After so many mean latencies and the window's end a loop counts as lost.
const PATIENCE: f64 = 10.0;

/// A client's loops that were sent in a window.
#[derive(Clone, Copy, Debug, Default)]
struct Loops {
    sent: u16,
    returned: u16,
}

/// Counts every client's loops window by window, by when they were sent.
pub(super) struct Droppers {
    window: f64,
    threshold: f64,
    patience: f64,
    plan: Plan,
    /// Windows that are not judged yet: by client.
    open: BTreeMap<u64, Vec<Loops>>,
    /// By slot: the window of a loop, plus 1.
    sent_in: Vec<u64>,
    judged: u64,
    alarms: u64,
    expected: f64,
    expected_false: f64,
    /// By client: when its first alarm sounds, in seconds of the measurement.
    first: Vec<Option<f64>>,
}

impl Droppers {
    pub(super) fn new(asked: &scenario::Droppers, plan: &Plan) -> Self {
        Self {
            window: asked.window.get(),
            threshold: asked.threshold,
            patience: PATIENCE * mean_latency(plan),
            plan: plan.clone(),
            open: BTreeMap::new(),
            sent_in: Vec::new(),
            judged: 0,
            alarms: 0,
            expected: 0.0,
            expected_false: 0.0,
            first: vec![None; plan.clients() as usize],
        }
    }

    /// Judges the windows whose loops have had their time.
    fn judge(&mut self, now: f64) {
        let over = |window: u64, length: f64, start: f64| start + count(window + 1) * length;
        while let Some(entry) = self.open.first_entry() {
            let end = over(*entry.key(), self.window, self.plan.phases.warm_up);
            if end + self.patience > now {
                return;
            }
            let loops = entry.remove();
            let seconds = end + self.patience - self.plan.phases.warm_up;
            let returns = delivery(&self.plan, true);
            let without = delivery(&self.plan, false);
            let mut known = BTreeMap::new();
            for (loops, first) in loops.iter().zip(&mut self.first) {
                if loops.sent == 0 {
                    continue;
                }
                self.judged += 1;
                if f64::from(loops.returned) / f64::from(loops.sent) < self.threshold {
                    self.alarms += 1;
                    first.get_or_insert(seconds);
                }
                let (with, false_alarm) = *known.entry(loops.sent).or_insert_with(|| {
                    let alarm = |p| alarm_probability(loops.sent, p, self.threshold);
                    (alarm(returns), alarm(without))
                });
                self.expected += with;
                self.expected_false += false_alarm;
            }
        }
    }

    pub(super) fn put(&self, outcome: &Outcome, sheet: &mut Sheet) {
        let real = outcome.measured(Kind::Real);
        let mut put = |name: &str, unit: &str, value, claim: &Claim| {
            sheet.put(None, (format!("droppers_{name}"), unit), value, claim);
        };
        let counted = Claim::Counted;
        put("delivered", "1", share(real.delivered, real.sent), &counted);
        let exact = if layered(&self.plan) {
            Claim::Exact
        } else {
            Claim::Unsound("routes are free: no short formula".to_owned())
        };
        put("delivered_expected", "1", Some(delivery(&self.plan, true)), &exact);
        put("alarms", "1", share(self.alarms, self.judged), &counted);
        let judged = (self.judged > 0).then(|| count(self.judged));
        let per_window = |sum: f64| judged.map(|judged| sum / judged);
        let approximate = if layered(&self.plan) {
            Claim::Approximation("independent loops".to_owned())
        } else {
            exact
        };
        put("alarms_expected", "1", per_window(self.expected), &approximate);
        let false_alarms = per_window(self.expected_false);
        put("false_alarms_expected", "1", false_alarms, &approximate);
        let clients = self.first.len() as u64;
        let alarmed: Vec<f64> = self.first.iter().copied().flatten().collect();
        put("clients_alarmed", "1", share(alarmed.len() as u64, clients), &counted);
        put("seconds_to_alarm", "s", stats::mean(&alarmed), &counted);
    }
}

fn layered(plan: &Plan) -> bool {
    plan.network.routes == Routes::Stratified
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
            of.find(|d| d.node as usize == node).map_or(0.0, |d| d.share)
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

/// The probability that less than a share `threshold` of `sent` loops returns, each independently
/// with probability `p`.
#[must_use]
pub(super) fn alarm_probability(sent: u16, p: f64, threshold: f64) -> f64 {
    let n = f64::from(sent);
    let mut sum = 0.0;
    for returned in 0..=sent {
        let k = f64::from(returned);
        if k / n >= threshold {
            break;
        }
        let ways = math::ln_gamma(n + 1.0) - math::ln_gamma(k + 1.0) - math::ln_gamma(n - k + 1.0);
        sum += math::exp(ways) * math::pow(p, k) * math::pow(1.0 - p, n - k);
    }
    sum.min(1.0)
}

impl Observer for Droppers {
    fn sent(&mut self, slot: u32, packet: &Packet, time: f64, _: u32) {
        *at(&mut self.sent_in, slot) = 0;
        if packet.kind != Kind::Loop || !self.plan.phases.measures(time) {
            return;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of windows, not negative"
        )]
        let window = ((time - self.plan.phases.warm_up) / self.window) as u64;
        let clients = self.first.len();
        let loops = self.open.entry(window);
        let loops = loops.or_insert_with(|| vec![Loops::default(); clients]);
        if let Some(loops) = loops.get_mut(packet.sender as usize) {
            loops.sent = loops.sent.saturating_add(1);
            *at(&mut self.sent_in, slot) = window + 1;
        }
    }

    fn end(&mut self, slot: u32, packet: &Packet, _: f64) {
        let Some(window) = std::mem::take(at(&mut self.sent_in, slot)).checked_sub(1) else {
            return;
        };
        let loops = self.open.get_mut(&window);
        let loops = loops.and_then(|loops| loops.get_mut(packet.sender as usize));
        if let Some(loops) = loops {
            loops.returned = loops.returned.saturating_add(1);
        }
    }

    fn window(&mut self, end: f64) {
        self.judge(end);
    }

    fn finish(&mut self, time: f64) {
        self.judge(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_are_binomial() {
        // Of 4 loops fewer than half: none or one. (1/2)^4 + 4 (1/2)^4.
        assert!((alarm_probability(4, 0.5, 0.5) - 5.0 / 16.0).abs() < 1e-12);
        assert!(alarm_probability(4, 1.0, 0.5).abs() < 1e-12);
        assert!((alarm_probability(1, 0.9, 0.5) - 0.1).abs() < 1e-12);
        assert!((alarm_probability(3, 0.0, 0.5) - 1.0).abs() < 1e-12);
    }
}
