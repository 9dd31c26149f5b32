//! The labels of two challenge senders on their way through a network.

use crate::engine::{Kind, Observer, Packet, Plan};

/// The probabilities that a packet is a message of S0 and of S1.
pub(in crate::reproduce) type Label = [f64; 2];

/// What an adversary knows about labels, for several adversaries on one run that differ in the
/// nodes that they have corrupted.
///
/// An honest node hides which of its packets leaves. The delays are exponential, so each of the c
/// packets in its pool is equally likely to be the one: it leaves with the mean of the pool's
/// labels, which is also what stays behind. A corrupt node reveals its permutation, so that a
/// packet leaves with the label with which it came (Loopix, sections 4.1 and 4.3). Labels add up
/// and are never renormalised, so an expected number of labelled packets is what is tracked.
pub(in crate::reproduce) struct Labels {
    senders: [u32; 2],
    /// Messages that are sent from here on are labelled; nothing happens after `end`.
    from: f64,
    end: f64,
    /// By adversary, then node.
    corrupt: Vec<Vec<bool>>,
    nodes: usize,
    /// Packets in each node's pool.
    counts: Vec<u32>,
    /// Sums of labels: of adversary a and node n at `a * nodes + n`.
    sums: Vec<Label>,
    /// Of the packet in slot s for adversary a at `s * adversaries + a`.
    carried: Vec<Label>,
    /// Whether a label has been given: before that only counts matter.
    begun: bool,
}

impl Labels {
    /// For the messages that `senders` send in the measurement of the plan, as its end leaves
    /// them; `corrupt` holds for each adversary which nodes are its own.
    pub(in crate::reproduce) fn new(
        plan: &Plan,
        senders: [u32; 2],
        corrupt: Vec<Vec<bool>>,
    ) -> Self {
        let phases = &plan.phases;
        let nodes = plan.nodes() as usize;
        Self {
            senders,
            from: phases.warm_up,
            end: phases.warm_up + phases.measurement,
            nodes,
            counts: vec![0; nodes],
            sums: vec![[0.0; 2]; nodes * corrupt.len()],
            carried: Vec::new(),
            corrupt,
            begun: false,
        }
    }

    /// The mean label in a node's pool, which is the label of whatever leaves it next if the node
    /// is honest; `None` if the pool is empty.
    pub(in crate::reproduce) fn pool(&self, adversary: usize, node: usize) -> Option<Label> {
        let count = f64::from(*self.counts.get(node)?);
        let sum = self.sums.get(adversary * self.nodes + node)?;
        (count > 0.0).then(|| sum.map(|labels| labels / count))
    }

    fn put(&mut self, slot: u32, label: Label) {
        let width = self.corrupt.len();
        let at = slot as usize * width;
        if self.carried.len() < at + width {
            self.carried.resize(at + width, [0.0; 2]);
        }
        for carried in self.carried.iter_mut().skip(at).take(width) {
            *carried = label;
        }
    }
}

impl Observer for Labels {
    fn sent(&mut self, slot: u32, packet: &Packet, time: f64, _first: u32) {
        let labelled = packet.kind == Kind::Real && time >= self.from && time <= self.end;
        let label = self.senders.map(|sender| {
            if labelled && packet.sender == sender {
                1.0
            } else {
                0.0
            }
        });
        self.begun |= label != [0.0; 2];
        // A slot is used again: its former label must go.
        self.put(slot, label);
    }

    fn arrive(&mut self, node: u32, time: f64, slot: u32) {
        if time > self.end {
            return;
        }
        let node = node as usize;
        if let Some(count) = self.counts.get_mut(node) {
            *count += 1;
        }
        if !self.begun {
            return;
        }
        let width = self.corrupt.len();
        let carried = self.carried.iter().skip(slot as usize * width);
        let sums = self.sums.iter_mut().skip(node).step_by(self.nodes.max(1));
        for (sum, carried) in sums.zip(carried) {
            for (sum, carried) in sum.iter_mut().zip(carried) {
                *sum += carried;
            }
        }
    }

    fn depart(&mut self, node: u32, time: f64, slot: u32, _next: u32) {
        if time > self.end {
            return;
        }
        let node = node as usize;
        let Some(count) = self.counts.get_mut(node) else {
            return;
        };
        let share = 1.0 / f64::from((*count).max(1));
        *count = count.saturating_sub(1);
        let emptied = *count == 0;
        if !self.begun {
            return;
        }
        let width = self.corrupt.len();
        let carried = self.carried.iter_mut().skip(slot as usize * width);
        let sums = self.sums.iter_mut().skip(node).step_by(self.nodes.max(1));
        for ((sum, carried), corrupt) in sums.zip(carried).zip(&self.corrupt) {
            if !corrupt.get(node).copied().unwrap_or(false) {
                *carried = sum.map(|sum| sum * share);
            }
            for (sum, carried) in sum.iter_mut().zip(carried) {
                // No rounding is left behind in an empty pool.
                *sum = if emptied {
                    0.0
                } else {
                    (*sum - *carried).max(0.0)
                };
            }
        }
    }
}
