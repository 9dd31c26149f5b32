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

shoal_proto::counters! {
    /// What the machine was found to do when the node started.
    pub struct MachineFigures("node") {
        /// Packets a second that all unwrap threads together could open when the node started.
        unwrappable: gauge "packets", "If queues.packets_per_second is more, what is more will be dropped: lower it, or give the node more cores.";
        /// Writes a second that the disk of the state directory took, one after the other, when the node started.
        flushable: gauge "writes", "Of packets with shorter delays than one takes many miss their moments: if it is less than some hundreds, move the directory to a faster disk.";
        /// Memory that the machine had to give when the node started; 0 where the system does not say as Linux does.
        free: gauge "bytes", "Lower queues.packets_per_second or queues.pool_packets if it is less than they may take.";
    }
}

/// Every metric of a node or a client, crate by crate.
pub fn declared() -> impl Iterator<Item = &'static Metric> {
    let host = [
        NetStats::METRICS,
        &[OpenConnections::METRIC],
        EpochFigures::METRICS,
        MachineFigures::METRICS,
        &[PlacedMembers::METRIC],
        ProcessFigures::METRICS,
        &[BUILD],
        ClientFigures::METRICS,
    ];
    Figures::metrics()
        .chain(Counters::METRICS)
        .chain(host.into_iter().flatten())
}
