//! The time until a client first sends a message along mixes that are all corrupt.
//!
//! Sources: M. Wright, M. Adler, B. N. Levine, C. Shields, "The Predecessor Attack", 2004, and
//! A. Johnson, C. Wacek, R. Jansen, M. Sherr, P. Syverson, "Users Get Routed", 2013 (time to first
//! compromise as the measure).

use super::routes;
use super::sheet::{Sheet, count};
use super::sight::at;
use crate::adversary::Adversary;
use crate::engine::{Kind, Observer, Packet, Phases, Plan};
use crate::measure::Claim;
use crate::{stats, theory};

/// A message under way: its number among its sender's, from 1, and whether every mix so far was
/// corrupt.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    number: u32,
    corrupt: bool,
}

/// Watches the routes of messages that are sent in the measurement.
pub(super) struct Compromise {
    adversary: Adversary,
    plan: Plan,
    phases: Phases,
    mixes: std::ops::Range<u32>,
    ways: Vec<Way>,
    /// By client: messages sent.
    sent: Vec<u32>,
    /// By client: the number and the time of the first message on a corrupt route.
    first: Vec<Option<(u32, f64)>>,
    corrupt: u64,
    ended: u64,
}

impl Compromise {
    pub(super) fn new(adversary: &Adversary, plan: &Plan) -> Self {
        let clients = plan.clients() as usize;
        let all: usize = plan.network.layers.iter().map(Vec::len).sum();
        let first = plan.network.providers;
        Self {
            adversary: adversary.clone(),
            plan: plan.clone(),
            phases: plan.phases,
            mixes: first..first + u32::try_from(all).unwrap_or(u32::MAX),
            ways: Vec::new(),
            sent: vec![0; clients],
            first: vec![None; clients],
            corrupt: 0,
            ended: 0,
        }
    }

    /// The probability that a route is corrupt throughout, where the mixes are.
    pub(super) fn probability(&self) -> f64 {
        let first = self.mixes.start as usize;
        let corrupt = |mix: usize| self.adversary.corrupt.get(first + mix) == Some(&true);
        routes::all_corrupt(&self.plan.network, corrupt)
    }

    /// The share of clients with messages that one was expected of, and the share that had one.
    pub(super) fn clients(&self) -> (Option<f64>, Option<f64>) {
        let path = theory::FirstCorruptPath {
            probability: self.probability(),
        };
        let writers = || self.sent.iter().filter(|sent| **sent > 0);
        let expected: Vec<f64> = writers().map(|sent| path.by(u64::from(*sent))).collect();
        let had = self.first.iter().filter(|first| first.is_some()).count() as u64;
        let share = super::sheet::share(had, writers().count() as u64);
        (stats::mean(&expected), share)
    }

    /// The median over clients that wrote, of those with none yet as more than any other.
    fn median(&self, of: fn((u32, f64)) -> f64) -> Option<f64> {
        let pairs = self.sent.iter().zip(&self.first);
        let values: Vec<f64> = pairs
            .filter(|(sent, _)| **sent > 0)
            .map(|(_, first)| first.map_or(f64::INFINITY, of))
            .collect();
        stats::quantile(&values, 0.5)
    }

    pub(super) fn put(&self, sheet: &mut Sheet) {
        let probability = self.probability();
        let mut put = |name: &str, unit: &str, value, claim: &Claim| {
            let name = format!("compromise_{name}");
            sheet.put(Some(&self.adversary), (name, unit), value, claim);
        };
        put("probability", "1", Some(probability), &Claim::Exact);
        let share = super::sheet::share(self.corrupt, self.ended);
        put("share_of_messages", "1", share, &Claim::Counted);
        let path = theory::FirstCorruptPath { probability };
        put(
            "messages_mean",
            "messages",
            Some(path.mean_packets()),
            &Claim::Exact,
        );
        let (expected, share) = self.clients();
        put("clients_expected", "1", expected, &Claim::Exact);
        put("clients", "1", share, &Claim::Counted);
        let messages = self.median(|(number, _)| f64::from(number));
        put("messages_median", "messages", messages, &Claim::Counted);
        let seconds = self.median(|(_, seconds)| seconds);
        put("seconds_median", "s", seconds, &Claim::Counted);
        let all: u64 = self.sent.iter().map(|sent| u64::from(*sent)).sum();
        let writers = self.sent.iter().filter(|sent| **sent > 0).count() as u64;
        // Every client's rate, from the messages that were sent.
        let rate = count(all) / count(writers) / self.phases.measurement;
        let seconds = (writers > 0).then(|| path.mean_seconds(rate));
        put(
            "seconds_mean",
            "s",
            seconds,
            &Claim::Approximation(
                "mean messages over the mean rate of the clients that wrote".to_owned(),
            ),
        );
    }
}

impl Observer for Compromise {
    fn sent(&mut self, slot: u32, packet: &Packet, time: f64, _: u32) {
        let mut number = 0;
        if packet.kind == Kind::Real
            && self.phases.measures(time)
            && let Some(sent) = self.sent.get_mut(packet.sender as usize)
        {
            *sent += 1;
            number = *sent;
        }
        *at(&mut self.ways, slot) = Way {
            number,
            corrupt: true,
        };
    }

    fn arrive(&mut self, node: u32, _: f64, slot: u32) {
        if self.mixes.contains(&node)
            && !self.adversary.owns(node)
            && let Some(way) = self.ways.get_mut(slot as usize)
        {
            way.corrupt = false;
        }
    }

    fn end(&mut self, slot: u32, packet: &Packet, _: f64) {
        let Some(way) = self.ways.get(slot as usize).filter(|way| way.number > 0) else {
            return;
        };
        self.ended += 1;
        if !way.corrupt {
            return;
        }
        self.corrupt += 1;
        let seconds = packet.sent - self.phases.warm_up;
        if let Some(first) = self.first.get_mut(packet.sender as usize) {
            // A later message may have come out before.
            let earlier = first.is_none_or(|(number, _)| way.number < number);
            if earlier {
                *first = Some((way.number, seconds));
            }
        }
    }
}
