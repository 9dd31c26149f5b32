//! The declarations of everything that a daemon exports, and the node's own figures.

use shoal_proto::Metric;

use super::former;
use crate::net::NetStats;

shoal_proto::counters! {
    /// Where a node stands.
    pub struct NodeFigures("node") {
        /// The epoch now.
        epoch: gauge "number", "If nodes differ for longer than a moment, look at their clocks.";
        /// Members of the document in force.
        members: gauge "nodes", "0 means that there is no document: look at the clock and at the connections to other nodes.";
        /// Failed writes of the replay log; packets are dropped until it works again.
        replay_log: counter "failures", "Look at the disk of the state directory, and at the log.";
    }
}

shoal_proto::counters! {
    /// Where a client stands.
    pub struct ClientFigures("client") {
        /// 1 while the entry provider has this client attached.
        online: gauge "clients", "If it stays 0, look at the log and at the alarms of `shoal client status`.";
    }
}

/// Every metric of a node or a client, crate by crate.
pub fn declared() -> impl Iterator<Item = &'static Metric> {
    let own = [NodeFigures::METRICS, NetStats::METRICS, ClientFigures::METRICS];
    former::METRICS.iter().copied().chain(own.into_iter().flatten())
}
