//! Counting what happens.

use super::{Bin, Flow, Loss, Outcome, Packet, Phases, Plan};

/// Counts for the outcome.
pub(super) struct Tally {
    phases: Phases,
    any_kind: bool,
    pub(super) outcome: Outcome,
}

impl Tally {
    pub(super) fn new(plan: &Plan, window: f64) -> Self {
        let width = plan.bin.unwrap_or(0.0);
        let count = if width > 0.0 {
            (plan.phases.total() / width).ceil() as usize
        } else {
            0
        };
        let bin = |index: usize| Bin {
            start: index as f64 * width,
            ..Bin::default()
        };
        Self {
            phases: plan.phases,
            any_kind: plan.targets.is_some_and(|targets| targets.any_kind),
            outcome: Outcome {
                flows: vec![Default::default(); plan.classes.len() + 1],
                bins: (0..count).map(bin).collect(),
                bin_width: width,
                window,
                ..Outcome::default()
            },
        }
    }

    /// Counts a packet that is being sent, and gives it its index if it is a message.
    pub(super) fn send(&mut self, packet: &mut Packet) {
        let kind = packet.kind as usize;
        self.outcome.total[kind].sent += 1;
        if self.phases.measures(packet.sent) {
            self.outcome.flows[packet.class as usize][kind]
                .counters
                .sent += 1;
            let counts = match packet.kind {
                super::Kind::Real => true,
                super::Kind::MixLoop => false,
                _ => self.any_kind,
            };
            if counts {
                packet.message = self.outcome.messages;
                self.outcome.messages += 1;
            }
        }
        if let Some(bin) = self.bin(packet.sent) {
            bin.sent += 1;
        }
    }

    /// Counts a packet that reached its end after so many links.
    pub(super) fn end(&mut self, packet: &Packet, time: f64, links: u32) {
        let kind = packet.kind as usize;
        let latency = time - packet.sent;
        let total = &mut self.outcome.total[kind];
        total.delivered += 1;
        total.crossings += u64::from(links);
        self.outcome.hops += u64::from(links);
        if self.phases.measures(packet.sent) {
            let flow: &mut Flow = &mut self.outcome.flows[packet.class as usize][kind];
            flow.counters.delivered += 1;
            flow.counters.crossings += u64::from(links);
            flow.latency.add(latency);
            if packet.kind == super::Kind::Real {
                flow.message_latency.add(time - packet.created);
            }
        }
        if let Some(bin) = self.bin(time) {
            bin.delivered += 1;
            bin.latency_sum += latency;
        }
    }

    /// Counts a packet that was lost on or after so many links.
    pub(super) fn lose(&mut self, packet: &Packet, time: f64, links: u32, reason: Loss) {
        let kind = packet.kind as usize;
        let total = &mut self.outcome.total[kind];
        total.lost[reason as usize] += 1;
        total.crossings += u64::from(links);
        if self.phases.measures(packet.sent) {
            let counters = &mut self.outcome.flows[packet.class as usize][kind].counters;
            counters.lost[reason as usize] += 1;
            counters.crossings += u64::from(links);
        }
        if let Some(bin) = self.bin(time) {
            bin.lost += 1;
        }
    }

    fn bin(&mut self, time: f64) -> Option<&mut Bin> {
        if self.outcome.bins.is_empty() {
            return None;
        }
        let index = (time / self.outcome.bin_width) as usize;
        self.outcome.bins.get_mut(index)
    }

    /// The outcome, when the run is over.
    pub(super) fn finish(mut self) -> Outcome {
        let mut under_way = 0_u64;
        for bin in &mut self.outcome.bins {
            under_way = (under_way + bin.sent).saturating_sub(bin.delivered + bin.lost);
            bin.under_way = under_way;
        }
        self.outcome
    }
}
