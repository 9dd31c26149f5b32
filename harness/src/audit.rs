//! The books of a whole network.

use crate::client::ClientHost;
use crate::error::Imbalance;
use crate::event::{Event, Lane};
use crate::ledger::Ledger;
use crate::node::NodeHost;
use crate::world::World;

use shoal_mix::{OwnKind, Snapshot};

/// The books of a whole network: what the links counted, and what those at their ends counted.
/// The two are independent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audit {
    /// Links between members.
    pub members: Ledger,
    /// Links from clients to their entries.
    pub uplinks: Ledger,
    /// Links from entries to their clients.
    pub downlinks: Ledger,
    /// Frames found on links between members, up and down, when they were counted one by one.
    pub on_links: (u64, u64, u64),
    /// Frames that nodes say they received.
    pub nodes_received: u64,
    /// Packets that nodes say they forwarded, their own included.
    pub nodes_sent: u64,
    /// Of those, packets of the nodes' own: loops, receipts, dummies, and mailboxes' streams.
    pub nodes_originated: u64,
    /// Packets that ended at a provider.
    pub delivered: u64,
    /// Loops of nodes that came back.
    pub loops_returned: u64,
    /// Packets that nodes dropped, those that a crash ended included.
    pub dropped: u64,
    /// Packets inside nodes now.
    pub inside: u64,
    /// Nodes whose own books do not balance.
    pub unbalanced_nodes: u64,
    /// Packets that provider roles say they were given.
    pub provider_received: u64,
    /// Provider roles whose own books do not balance.
    pub unbalanced_providers: u64,
    /// Frames that provider roles say they sent to clients.
    pub provider_downlink: u64,
    /// Frames that clients say they sent, with what a test put in or held back, and without those
    /// for which there was no link.
    pub clients_sent: u64,
}

pub(crate) struct Parts<'a> {
    pub(crate) world: &'a World,
    pub(crate) nodes: &'a [NodeHost],
    pub(crate) clients: &'a [ClientHost],
}

impl Audit {
    pub(crate) fn of(parts: &Parts<'_>) -> Self {
        let mut audit = Self {
            members: parts.world.members,
            uplinks: parts.world.uplinks,
            downlinks: parts.world.downlinks,
            on_links: frames_in_queue(parts.world),
            ..Self::default()
        };
        for books in parts.nodes.iter().flat_map(NodeHost::books) {
            audit.add_books(&books);
        }
        for counters in parts.nodes.iter().flat_map(NodeHost::provider_counters) {
            audit.provider_received += counters.packets.received;
            audit.unbalanced_providers += u64::from(!counters.balanced());
            let entry = counters.entry;
            audit.provider_downlink +=
                entry.downlink_payload + entry.downlink_notice + entry.downlink_filler
                    - entry.link_full;
        }
        for client in parts.clients {
            for counters in client.counters() {
                audit.clients_sent += counters.sent_real
                    + counters.sent_dummy
                    + counters.sent_loop
                    + counters.sent_drop
                    + counters.sent_mailbox;
            }
            audit.clients_sent += client.shim().injected;
            audit.clients_sent -= client.shim().suppressed + client.lost();
        }
        audit
    }

    fn add_books(&mut self, books: &Snapshot) {
        self.nodes_received += books.counters.received;
        self.nodes_sent += books.counters.forwarded;
        for kind in OwnKind::ALL {
            self.nodes_sent += books.own(*kind).sent;
            self.nodes_originated += books.own(*kind).sent;
        }
        self.delivered += books.counters.delivered;
        self.loops_returned += books.counters.loops_returned;
        self.dropped += books.dropped_total();
        self.inside += books.inside_total();
        self.unbalanced_nodes += u64::from(!books.balanced());
    }

    /// Frames put on any link.
    #[must_use]
    pub const fn frames(&self) -> Ledger {
        self.members.plus(&self.uplinks).plus(&self.downlinks)
    }

    /// Whether every packet is accounted for.
    ///
    /// # Errors
    /// The first sum that does not come out.
    pub fn check(&self) -> Result<(), Imbalance> {
        let ended =
            |ledger: &Ledger| ledger.received + ledger.lost + ledger.unclaimed + ledger.in_flight;
        let inside = self.nodes_sent - self.nodes_originated
            + self.delivered
            + self.loops_returned
            + self.dropped
            + self.inside;
        let sums = [
            (
                "links between members, sent and ended",
                self.members.sent,
                ended(&self.members),
            ),
            (
                "uplinks, sent and ended",
                self.uplinks.sent,
                ended(&self.uplinks),
            ),
            (
                "downlinks, sent and ended",
                self.downlinks.sent,
                ended(&self.downlinks),
            ),
            (
                "in flight between members",
                self.members.in_flight,
                self.on_links.0,
            ),
            (
                "in flight on uplinks",
                self.uplinks.in_flight,
                self.on_links.1,
            ),
            (
                "in flight on downlinks",
                self.downlinks.in_flight,
                self.on_links.2,
            ),
            ("nodes whose books do not balance", self.unbalanced_nodes, 0),
            (
                "providers whose books do not balance",
                self.unbalanced_providers,
                0,
            ),
            (
                "frames out of links and into nodes",
                self.members.received + self.uplinks.received,
                self.nodes_received,
            ),
            (
                "frames out of nodes and into links",
                self.nodes_sent,
                self.members.sent,
            ),
            ("packets into and out of nodes", self.nodes_received, inside),
            (
                "packets delivered and taken by providers",
                self.delivered,
                self.provider_received,
            ),
            (
                "frames to clients and into downlinks",
                self.provider_downlink,
                self.downlinks.sent,
            ),
            (
                "frames out of clients and into uplinks",
                self.clients_sent,
                self.uplinks.sent,
            ),
        ];
        match sums.into_iter().find(|(_, left, right)| left != right) {
            Some((what, left, right)) => Err(Imbalance { what, left, right }),
            None => Ok(()),
        }
    }
}

/// Frames on links, counted one by one.
fn frames_in_queue(world: &World) -> (u64, u64, u64) {
    let mut counts = (0, 0, 0);
    for event in world.queue.iter() {
        if let Event::Frame { lane, .. } = event {
            match lane {
                Lane::Members(_) => counts.0 += 1,
                Lane::Uplink(_) => counts.1 += 1,
                Lane::Downlink(_) => counts.2 += 1,
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sum_has_to_come_out() {
        let sound = Audit {
            members: Ledger {
                sent: 7,
                received: 4,
                lost: 1,
                in_flight: 2,
                ..Ledger::default()
            },
            uplinks: Ledger {
                sent: 1,
                received: 1,
                ..Ledger::default()
            },
            downlinks: Ledger {
                sent: 2,
                unclaimed: 2,
                ..Ledger::default()
            },
            on_links: (2, 0, 0),
            nodes_received: 5,
            nodes_sent: 7,
            nodes_originated: 5,
            delivered: 1,
            dropped: 1,
            inside: 1,
            provider_received: 1,
            provider_downlink: 2,
            clients_sent: 1,
            ..Audit::default()
        };
        assert_eq!(sound.check(), Ok(()));
        let frames = sound.frames();
        assert!(frames.balanced());
        assert_eq!((frames.sent, frames.received, frames.unclaimed), (10, 5, 2));
        let faults: [fn(&mut Audit); 8] = [
            |audit| audit.members.lost += 1,
            |audit| audit.on_links.1 += 1,
            |audit| audit.unbalanced_nodes += 1,
            |audit| audit.nodes_received += 1,
            |audit| audit.inside -= 1,
            |audit| audit.provider_received += 1,
            |audit| audit.provider_downlink -= 1,
            |audit| audit.clients_sent += 1,
        ];
        for (index, fault) in faults.into_iter().enumerate() {
            let mut audit = sound;
            fault(&mut audit);
            assert!(audit.check().is_err(), "fault {index}");
        }
    }
}
