//! A client's connections to nodes. Each has an identity of its own, and is gone with it.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use shoal_proto::NodeId;
use shoal_roles::client::{ConnectionId, Opening};

use crate::event::{Connection, Event};
use crate::party::Party;
use crate::world::{DIAL_TIMEOUT, World};

/// This end of a connection.
struct End {
    id: ConnectionId,
    connection: Connection,
    /// The other end has answered.
    stands: bool,
    /// Frames are to pass.
    packets: bool,
    /// They can.
    linked: bool,
}

/// Connections by the numbers that the session gives them, and by those that the network does.
#[derive(Default)]
pub(super) struct Connections {
    ends: BTreeMap<u64, End>,
    numbers: BTreeMap<ConnectionId, u64>,
}

impl Connections {
    /// Makes a connection, if the node is one of the network.
    pub(super) fn open(&mut self, own: Party, opening: &Opening, world: &mut World) -> bool {
        let Some(node) = world.parties.get(&opening.to).copied() else {
            return false;
        };
        let secret = SigningKey::from_bytes(&opening.secret);
        let connection = Connection {
            number: world.number(),
            client: own,
            node,
            peer: NodeId::new(secret.verifying_key().to_bytes()),
        };
        let end = End {
            id: opening.connection,
            connection,
            stands: false,
            packets: opening.packets,
            linked: false,
        };
        self.ends.insert(connection.number, end);
        self.numbers.insert(opening.connection, connection.number);
        world.signal(own, node, Event::Dial { connection });
        world.after(DIAL_TIMEOUT, Event::DialTimeout { connection });
        true
    }

    /// The other end has answered. None if nobody waits for that any more: then it hears so.
    pub(super) fn dialled(
        &mut self,
        connection: &Connection,
        world: &mut World,
    ) -> Option<ConnectionId> {
        let Some(end) = self.ends.get_mut(&connection.number) else {
            hang_up(*connection, world);
            return None;
        };
        end.stands = true;
        Some(end.id)
    }

    /// The other end should have answered by now. Gives the connection if it has not.
    pub(super) fn timed_out(&mut self, connection: &Connection) -> Option<ConnectionId> {
        let end = self
            .ends
            .get(&connection.number)
            .filter(|end| !end.stands)?;
        let id = end.id;
        self.forget(id);
        Some(id)
    }

    /// Frames can pass from now on, or can't any more. None if they were not to pass, or that is
    /// known.
    pub(super) fn link(&mut self, connection: &Connection, up: bool) -> Option<ConnectionId> {
        let end = self.ends.get_mut(&connection.number);
        let end = end.filter(|end| end.packets && end.linked != up)?;
        end.linked = up;
        Some(end.id)
    }

    /// The other end is gone.
    pub(super) fn gone(&mut self, connection: &Connection) -> Option<ConnectionId> {
        let id = self.ends.get(&connection.number)?.id;
        self.forget(id);
        Some(id)
    }

    /// This end closes the connection.
    pub(super) fn close(&mut self, id: ConnectionId, world: &mut World) {
        if let Some(connection) = self.forget(id) {
            hang_up(connection, world);
        }
    }

    /// The connection of this name, if it stands.
    pub(super) fn get(&self, id: ConnectionId) -> Option<Connection> {
        let end = self.ends.get(self.numbers.get(&id)?)?;
        end.stands.then_some(end.connection)
    }

    /// The connection of this name, if frames can pass.
    pub(super) fn link_of(&self, id: ConnectionId) -> Option<Connection> {
        let end = self.ends.get(self.numbers.get(&id)?)?;
        end.linked.then_some(end.connection)
    }

    /// On which connection frames with this number come, if they can pass.
    pub(super) fn receiver(&self, number: u64) -> Option<ConnectionId> {
        let end = self.ends.get(&number)?;
        end.linked.then_some(end.id)
    }

    /// The one on which frames can pass.
    pub(super) fn any_link(&self) -> Option<Connection> {
        let mut linked = self.ends.values().filter(|end| end.linked);
        linked.next().map(|end| end.connection)
    }

    /// All of them, in the order in which they were opened.
    pub(super) fn all(&self) -> Vec<Connection> {
        self.ends.values().map(|end| end.connection).collect()
    }

    fn forget(&mut self, id: ConnectionId) -> Option<Connection> {
        let number = self.numbers.remove(&id)?;
        self.ends.remove(&number).map(|end| end.connection)
    }
}

/// The other end learns that this one is gone.
pub(super) fn hang_up(connection: Connection, world: &mut World) {
    let party = connection.node;
    world.signal(connection.client, party, Event::Gone { party, connection });
}
