//! Clients' connections to a node.

use std::collections::BTreeMap;

use shoal_proto::NodeId;

use crate::event::{Connection, Event};
use crate::party::Party;
use crate::world::World;

struct Visitor {
    connection: Connection,
    /// Whether frames pass.
    linked: bool,
}

/// Who is connected, and with whom frames are exchanged.
#[derive(Default)]
pub(super) struct Visitors {
    known: BTreeMap<NodeId, Visitor>,
    by_number: BTreeMap<u64, NodeId>,
}

impl Visitors {
    pub(super) fn connect(&mut self, connection: Connection) {
        self.by_number.insert(connection.number, connection.peer);
        let visitor = Visitor {
            connection,
            linked: false,
        };
        self.known.insert(connection.peer, visitor);
    }

    /// The connection is gone. False if it was not there.
    pub(super) fn disconnect(&mut self, connection: &Connection) -> bool {
        self.known.remove(&connection.peer);
        self.by_number.remove(&connection.number).is_some()
    }

    /// Whether the connection is still there.
    pub(super) fn stands(&self, connection: &Connection) -> bool {
        self.by_number.contains_key(&connection.number)
    }

    /// The connection with this client.
    pub(super) fn of(&self, peer: &NodeId) -> Option<Connection> {
        self.known.get(peer).map(|visitor| visitor.connection)
    }

    /// Frames may pass from now on, or not any more. None unless that changes something.
    pub(super) fn link(
        &mut self,
        own: Party,
        peer: &NodeId,
        up: bool,
        world: &mut World,
    ) -> Option<()> {
        let visitor = self
            .known
            .get_mut(peer)
            .filter(|known| known.linked != up)?;
        visitor.linked = up;
        let connection = visitor.connection;
        world.signal(own, connection.client, Event::Linked { connection, up });
        Some(())
    }

    /// Who sends frames on this connection, if they pass.
    pub(super) fn sender(&self, number: u64) -> Option<NodeId> {
        let peer = self.by_number.get(&number)?;
        self.known.get(peer).filter(|known| known.linked)?;
        Some(*peer)
    }

    /// The connection with this client, if frames pass.
    pub(super) fn link_to(&self, peer: &NodeId) -> Option<Connection> {
        let visitor = self.known.get(peer).filter(|known| known.linked)?;
        Some(visitor.connection)
    }

    /// All of them, in the order in which they came.
    pub(super) fn connections(&self) -> Vec<Connection> {
        let peers = self.by_number.values();
        let known = peers.filter_map(|peer| self.known.get(peer));
        known.map(|visitor| visitor.connection).collect()
    }
}
