//! The declarations of everything that a daemon exports.

use shoal_proto::Metric;

use super::former;
use crate::net::NetStats;

shoal_proto::counters! {
    /// Where a client stands.
    pub struct ClientFigures("client") {
        /// 1 while the entry provider has this client attached.
        online: gauge "clients", "If it stays 0, look at the log and at the alarms of `shoal client status`.";
        /// The epoch now.
        epoch: gauge "number";
    }
}

/// Every metric of a node or a client, crate by crate.
pub fn declared() -> impl Iterator<Item = &'static Metric> {
    let own = [
        former::NodeFigures::METRICS,
        NetStats::METRICS,
        ClientFigures::METRICS,
    ];
    former::METRICS
        .iter()
        .copied()
        .chain(own.into_iter().flatten())
}
