//! Connected peers that are neither members nor attached clients: newcomers who wait to be members,
//! clients that ask for documents or on their way in, and whoever else. Anybody can be one, so their places
//! are their own and shared out (see [`Places`]), and who does nothing loses it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use libp2p::swarm::ConnectionId;
use shoal_proto::NodeId;
use tokio::time::Instant;

use super::places::Places;

/// The incoming connections of peers, and which of them are of strangers.
pub(super) struct Strangers {
    /// Every incoming connection: a client that is detached is a stranger again. The swarm bounds them.
    met: BTreeMap<ConnectionId, (NodeId, IpAddr)>,
    places: Places<ConnectionId, Stranger>,
    deadline: Duration,
}

struct Stranger {
    node: NodeId,
    /// When it last did something that strangers may: came, asked, or passed on gossip.
    heard: Instant,
}

impl Strangers {
    /// With so many places, for who is heard of within the deadline.
    pub(super) const fn new(most: usize, deadline: Duration) -> Self {
        Self {
            met: BTreeMap::new(),
            places: Places::new(most),
            deadline,
        }
    }

    /// A peer has come. Says which connection is to be closed for it.
    pub(super) fn met(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        (node, from): (NodeId, IpAddr),
        stranger: bool,
    ) -> Option<ConnectionId> {
        self.met.insert(connection, (node, from));
        if !stranger {
            return None;
        }
        let stranger = Stranger { node, heard: now };
        let (connection, _) = self.places.enter(connection, from, stranger)?;
        self.met.remove(&connection);
        Some(connection)
    }

    /// A connection is closed.
    pub(super) fn gone(&mut self, connection: ConnectionId) {
        self.met.remove(&connection);
        self.places.leave(&connection);
    }

    /// A peer has done something.
    pub(super) fn heard(&mut self, now: Instant, node: &NodeId) {
        let strangers = self.places.values_mut();
        for stranger in strangers.filter(|stranger| stranger.node == *node) {
            stranger.heard = now;
        }
    }

    /// Who is a stranger has changed. Gives the connections that are to be closed.
    pub(super) fn sort(
        &mut self,
        now: Instant,
        is_stranger: impl Fn(&NodeId) -> bool,
    ) -> Vec<ConnectionId> {
        let mut closed = Vec::new();
        for (connection, (node, from)) in &self.met {
            if !is_stranger(node) {
                self.places.leave(connection);
            } else if !closed.contains(connection) && !self.places.contains(connection) {
                let stranger = Stranger {
                    node: *node,
                    heard: now,
                };
                let gone = self.places.enter(*connection, *from, stranger);
                closed.extend(gone.map(|(connection, _)| connection));
            }
        }
        // What is being closed comes back into no place.
        for connection in &closed {
            self.met.remove(connection);
        }
        closed
    }

    /// Takes the places of those that have done nothing for too long: they are to be closed.
    pub(super) fn silent(&mut self, now: Instant) -> Vec<ConnectionId> {
        let strangers = self.places.iter();
        let silent = strangers.filter(|(_, stranger)| now - stranger.heard >= self.deadline);
        let silent: Vec<ConnectionId> = silent.map(|(connection, _)| connection).collect();
        for connection in &silent {
            self.gone(*connection);
        }
        silent
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock::now;

    const SECOND: Duration = Duration::from_secs(1);

    fn connection(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    fn node(number: u8) -> NodeId {
        NodeId::new([number; 32])
    }

    fn peer(number: u8) -> (NodeId, IpAddr) {
        (node(number), [10, 1, 1, number].into())
    }

    #[test]
    fn who_does_nothing_loses_its_place_and_who_asks_keeps_it() {
        let (mut strangers, start) = (Strangers::new(9, 30 * SECOND), now());
        for number in 1..=3 {
            strangers.met(start, connection(number.into()), peer(number), number < 3);
        }
        assert_eq!(strangers.len(), 2, "the third is known");
        strangers.heard(start + 20 * SECOND, &node(2));
        assert_eq!(strangers.silent(start + 29 * SECOND), []);
        assert_eq!(strangers.silent(start + 30 * SECOND), [connection(1)]);
        assert_eq!(strangers.silent(start + 49 * SECOND), []);
        assert_eq!(strangers.silent(start + 50 * SECOND), [connection(2)]);
        assert_eq!(strangers.len(), 0);
    }

    #[test]
    fn a_client_that_is_attached_is_no_stranger_until_it_is_detached() {
        let (mut strangers, start) = (Strangers::new(1, 30 * SECOND), now());
        assert_eq!(strangers.met(start, connection(1), peer(1), true), None);
        assert_eq!(strangers.sort(start, |who| *who != node(1)), []);
        // Its place is free for somebody else.
        assert_eq!(strangers.met(start, connection(2), peer(2), true), None);
        assert_eq!(strangers.silent(start + 30 * SECOND), [connection(2)]);
        assert_eq!(strangers.met(start, connection(3), peer(3), true), None);
        // Both are strangers now, and there is one place.
        assert_eq!(strangers.sort(start, |_| true), [connection(3)]);
        assert_eq!(strangers.sort(start, |_| true), [], "told once");
        assert_eq!(strangers.silent(start + 30 * SECOND), [connection(1)]);
        strangers.gone(connection(1));
        strangers.gone(connection(3));
        assert_eq!((strangers.len(), strangers.met.len()), (0, 0));
    }

    #[test]
    fn strangers_make_room_for_strangers_and_for_nobody_else() {
        let (mut strangers, start) = (Strangers::new(2, 30 * SECOND), now());
        let mut come = |number: u8, is_stranger| {
            strangers.met(start, connection(number.into()), peer(number), is_stranger)
        };
        assert_eq!(
            (come(1, true), come(2, true), come(3, false)),
            (None, None, None)
        );
        assert_eq!(come(4, true), Some(connection(1)));
    }
}
