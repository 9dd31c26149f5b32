//! The declarations of everything that a daemon exports.

use shoal_client::Counters;
use shoal_proto::Metric;
use shoal_roles::node::Figures;

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
    let host = [NetStats::METRICS, ClientFigures::METRICS];
    Figures::metrics()
        .chain(Counters::METRICS)
        .chain(host.into_iter().flatten())
}
