//! Which packets an adversary sees between clients and the network.

use crate::adversary::Adversary;
use crate::engine::{NONE, Plan, Routes};

/// Whether the adversary saw where a packet entered, and where it left.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    adversary: Adversary,
    /// By slot: the adversary owns the node that let the packet out.
    left: Vec<bool>,
}

impl Sight {
    pub(super) fn new(adversary: &Adversary) -> Self {
        Self {
            adversary: adversary.clone(),
            left: Vec::new(),
        }
    }

    /// Whether it sees a packet that goes from a client to this node.
    pub(super) fn enters(&self, first: u32) -> bool {
        self.adversary.sees_all || self.adversary.owns(first)
    }

    /// To be told of departures.
    pub(super) fn depart(&mut self, node: u32, slot: u32, next: u32) {
        if !self.adversary.sees_all && next == NONE {
            *at(&mut self.left, slot) = self.adversary.owns(node);
        }
    }

    /// Whether it saw the packet of this slot leave for a client.
    pub(super) fn leaves(&self, slot: u32) -> bool {
        let left = self.left.get(slot as usize).copied();
        self.adversary.sees_all || left.unwrap_or(false)
    }
}

/// The entry of a slot, made if need be.
pub(super) fn at<T: Clone + Default>(of: &mut Vec<T>, slot: u32) -> &mut T {
    let slot = slot as usize;
    if slot >= of.len() {
        of.resize(slot + 1, T::default());
    }
    #[expect(clippy::indexing_slicing, reason = "made long enough above")]
    &mut of[slot]
}

/// How many mixes a packet passes.
pub(super) fn path_length(plan: &Plan) -> u32 {
    match plan.network.routes {
        Routes::Free { hops } => hops,
        Routes::Stratified | Routes::Cascade => {
            u32::try_from(plan.network.layers.len()).unwrap_or(u32::MAX)
        }
    }
}
