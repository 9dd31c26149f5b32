//! Everything that an observer of all links sees in a run, kept in memory.

use super::{Loss, NONE, Observer, Packet};

/// A packet's stay at a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Visit {
    /// Number of the packet in the recording.
    pub packet: u32,
    /// Global index of the node.
    pub node: u32,
    /// When it arrived.
    pub arrival: f64,
    /// When it left; infinity if it was still there at the end.
    pub departure: f64,
}

/// A packet of the recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recorded {
    /// What it was.
    pub packet: Packet,
    /// When it reached its end; `None` if it was lost or under way at the end.
    pub end: Option<f64>,
}

/// All packets and their visits to nodes: 40 and 24 bytes each and somewhat more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// Packets in order of sending.
    pub packets: Vec<Recorded>,
    /// Visits; those of one packet in order.
    pub visits: Vec<Visit>,
    nodes: u32,
    /// Of each slot the packet in it and its latest visit.
    slots: Vec<(u32, u32)>,
}

impl Recording {
    /// Nodes of the network.
    #[must_use]
    pub const fn nodes(&self) -> u32 {
        self.nodes
    }
}

impl Observer for Recording {
    fn start(&mut self, plan: &super::Plan) {
        self.nodes = plan.nodes();
    }

    fn sent(&mut self, slot: u32, packet: &Packet, _time: f64, _first: u32) {
        let slot = slot as usize;
        self.slots
            .resize(self.slots.len().max(slot + 1), (NONE, NONE));
        self.slots[slot] = (self.packets.len() as u32, NONE);
        self.packets.push(Recorded {
            packet: *packet,
            end: None,
        });
    }

    fn arrive(&mut self, node: u32, time: f64, slot: u32) {
        let (packet, visit) = &mut self.slots[slot as usize];
        *visit = self.visits.len() as u32;
        let departure = f64::INFINITY;
        self.visits.push(Visit {
            packet: *packet,
            node,
            arrival: time,
            departure,
        });
    }

    fn depart(&mut self, _node: u32, time: f64, slot: u32, _next: u32) {
        let (_, visit) = self.slots[slot as usize];
        self.visits[visit as usize].departure = time;
    }

    fn lost(&mut self, slot: u32, _packet: &Packet, time: f64, reason: Loss) {
        let (_, visit) = self.slots[slot as usize];
        if reason != Loss::Link {
            self.visits[visit as usize].departure = time;
        }
    }

    fn end(&mut self, slot: u32, _packet: &Packet, time: f64) {
        let (packet, _) = self.slots[slot as usize];
        self.packets[packet as usize].end = Some(time);
    }
}
