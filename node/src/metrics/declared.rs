//! The declarations of everything that a daemon exports.

use shoal_client::Counters;
use shoal_proto::Metric;
use shoal_roles::node::Figures;

use super::members::PlacedMembers;
use super::process::{BUILD, ProcessFigures};
use crate::net::{NetStats, OpenConnections};

shoal_proto::counters! {
    /// Where a client stands.
    pub struct ClientFigures("client") {
        /// 1 while the entry provider has this client attached.
        online: gauge "clients", "If it stays 0, look at the log and at the alarms of `shoal client status`.";
        /// The epoch now.
        epoch: gauge "number";
    }
}

shoal_proto::counters! {
    /// Where a node stands in time.
    pub struct EpochFigures("node") {
        /// Time until the next epoch begins.
        until_epoch: gauge "seconds", "Compare it between nodes: where it differs by more than a second, a clock is off.";
    }
}

/// Every metric of a node or a client, crate by crate.
pub fn declared() -> impl Iterator<Item = &'static Metric> {
    let host = [
        NetStats::METRICS,
        &[OpenConnections::METRIC],
        EpochFigures::METRICS,
        &[PlacedMembers::METRIC],
        ProcessFigures::METRICS,
        &[BUILD],
        ClientFigures::METRICS,
    ];
    Figures::metrics()
        .chain(Counters::METRICS)
        .chain(host.into_iter().flatten())
}
