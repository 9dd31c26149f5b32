//! Where targets may have gone: the mass of each target spreads over the packets that an
//! adversary can't tell apart.

mod result;

pub use result::{Delivery, TargetResult};

use super::{Observer, Plan};

/// The posterior of one adversary over the outputs, for every target of a run.
///
/// The adversary sees every link and the inside of the corrupt nodes.
pub struct Mass {
    results: Vec<TargetResult>,
    deliveries: Vec<Delivery>,
}

impl Mass {
    /// For the targets and groups of the plan, and an adversary who knows which packet is which
    /// inside the nodes that are marked as corrupt (by global index; missing ones are honest).
    #[must_use]
    pub fn new(plan: &Plan, corrupt: &[bool]) -> Self {
        let _ = (plan, corrupt);
        Self {
            results: Vec::new(),
            deliveries: Vec::new(),
        }
    }

    /// The targets, in order of message index; complete after the run.
    #[must_use]
    pub fn results(&self) -> &[TargetResult] {
        &self.results
    }

    /// The ends of packets that carried mass of a group, in order of time; empty without groups.
    #[must_use]
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }
}

impl Observer for Mass {}
