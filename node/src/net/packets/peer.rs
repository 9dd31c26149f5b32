//! What is known of one peer's connections and substreams.

use std::time::Duration;

use libp2p::swarm::{ConnectionId, Stream};
use shoal_proto::NodeId;
use tokio::time::Instant;

use super::{LinkId, STEADY};
use crate::net::backoff::Backoff;

/// Connections that came up within this time of each other were dialled at once; one that comes
/// later replaces the earlier ones.
const SIMULTANEOUS: Duration = Duration::from_secs(5);
/// How long the preferred connection is written to until the others are closed, and how long one that comes beside an old
/// one has to last until it replaces that, unless something is opened on it: who looks whether a node is there connects
/// and lets go.
const SETTLED: Duration = Duration::from_secs(1);
/// Room for connections that are replaced but not closed yet.
const CLOSING: usize = 2;
/// Failures that a peer without the protocol counts as at once: it is asked seldom.
const UNSUPPORTED: u32 = 6;

struct Connection {
    id: ConnectionId,
    since: Instant,
    /// Dialled by the peer with the lower identity: both ends prefer that one.
    by_lower: bool,
    /// The peer has opened something on it.
    used: bool,
    closing: bool,
}

enum Out {
    Closed {
        retry: Instant,
    },
    Opening(ConnectionId),
    Up {
        connection: ConnectionId,
        link: LinkId,
        since: Instant,
    },
}

/// An incoming substream of a peer that is not allowed to have one yet.
pub(super) struct Waiting {
    pub(super) stream: Stream,
    pub(super) connection: ConnectionId,
    pub(super) until: Instant,
}

/// What is known about a connected peer.
pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) waiting: Option<Waiting>,
    /// What its connections were last told.
    pub(super) keep: bool,
    connections: Vec<Connection>,
    out: Out,
    failures: u32,
}

impl Peer {
    pub(super) fn new(node: NodeId, now: Instant) -> Self {
        Self {
            node,
            waiting: None,
            keep: false,
            connections: Vec::new(),
            out: Out::Closed { retry: now },
            failures: 0,
        }
    }

    /// Whether one more connection may come up.
    pub(super) fn has_room(&self, most: usize, now: Instant) -> bool {
        let young = |connection: &&Connection| now - connection.since < SIMULTANEOUS;
        self.connections.iter().filter(young).count() < most
            && self.connections.len() < most.saturating_add(CLOSING)
    }

    pub(super) fn connection_ids(&self) -> impl Iterator<Item = ConnectionId> {
        self.connections.iter().map(|connection| connection.id)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.connections.is_empty()
    }

    pub(super) fn is_opening(&self) -> bool {
        matches!(self.out, Out::Opening(_))
    }

    /// A connection is up.
    pub(super) fn add(&mut self, id: ConnectionId, by_lower: bool, now: Instant) {
        self.connections.push(Connection {
            id,
            since: now,
            by_lower,
            used: false,
            closing: false,
        });
    }

    /// The peer has opened something on this connection.
    pub(super) fn used(&mut self, id: ConnectionId) {
        let mut connections = self.connections.iter_mut();
        if let Some(connection) = connections.find(|connection| connection.id == id) {
            connection.used = true;
        }
    }

    /// The older connections that a later one replaces, and that are to be closed.
    pub(super) fn replaced(&mut self, now: Instant) -> Vec<ConnectionId> {
        let lasting = self.usable().filter(|it| !self.is_on_trial(it, now));
        let Some(newest) = lasting.map(|connection| connection.since).max() else {
            return Vec::new();
        };
        let mut replaced = Vec::new();
        for old in &mut self.connections {
            if !old.closing && newest - old.since >= SIMULTANEOUS {
                old.closing = true;
                replaced.push(old.id);
            }
        }
        replaced
    }

    fn usable(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().filter(|open| !open.closing)
    }

    /// Whether it is not known yet if a connection that came beside an old one is to last.
    fn is_on_trial(&self, connection: &Connection, now: Instant) -> bool {
        let old = |other: &Connection| connection.since - other.since >= SIMULTANEOUS;
        !connection.used && now - connection.since < SETTLED && self.usable().any(old)
    }

    /// The connection that is preferred: by both ends, if each side dialled one.
    fn best(&self, now: Instant) -> Option<&Connection> {
        let lasting = self.usable().filter(|it| !self.is_on_trial(it, now));
        lasting.max_by_key(|connection| (connection.by_lower, connection.since))
    }

    pub(super) fn has_usable(&self) -> bool {
        self.usable().next().is_some()
    }

    /// The connection that is written to, if another one is to be.
    pub(super) fn to_leave(&self, now: Instant) -> Option<ConnectionId> {
        let Out::Up { connection, .. } = self.out else {
            return None;
        };
        let best = self.best(now)?.id;
        (best != connection).then_some(connection)
    }

    /// The connections that are to be closed, because the preferred one has been written to for a moment:
    /// by then the peer has left them too. Of several that one side dialled only the lower identity says
    /// which, as the ends may have seen them come up in another order.
    pub(super) fn spare(&mut self, is_lower: bool, now: Instant) -> Vec<ConnectionId> {
        let Out::Up {
            connection, since, ..
        } = self.out
        else {
            return Vec::new();
        };
        let Some(best) = self.best(now).filter(|best| best.id == connection) else {
            return Vec::new();
        };
        if now - since < SETTLED {
            return Vec::new();
        }
        let agreed = |other: &&Connection| is_lower || best.by_lower && !other.by_lower;
        let others = self.usable().filter(|other| other.id != connection);
        let others = others.filter(|other| !self.is_on_trial(other, now));
        let spare: Vec<_> = others.filter(agreed).map(|other| other.id).collect();
        spare.iter().for_each(|id| self.closing(*id));
        spare
    }

    /// A connection is being closed.
    pub(super) fn closing(&mut self, id: ConnectionId) {
        let mut connections = self.connections.iter_mut();
        if let Some(connection) = connections.find(|connection| connection.id == id) {
            connection.closing = true;
        }
    }

    /// A connection has closed. An open link on it is ended by its writer, which notices too.
    pub(super) fn remove(&mut self, id: ConnectionId, now: Instant) {
        self.connections.retain(|connection| connection.id != id);
        if self
            .waiting
            .as_ref()
            .is_some_and(|waiting| waiting.connection == id)
        {
            self.waiting = None;
        }
        if matches!(self.out, Out::Opening(opening) if opening == id) {
            self.out = Out::Closed { retry: now };
        }
    }

    pub(super) fn allow(&mut self, now: Instant) {
        self.failures = 0;
        self.out = Out::Closed { retry: now };
    }

    pub(super) fn forbid(&mut self, now: Instant) {
        self.out = Out::Closed { retry: now };
        self.waiting = None;
    }

    /// If a substream is to be opened now: on which connection.
    pub(super) fn start_opening(&mut self, now: Instant) -> Option<ConnectionId> {
        match self.out {
            Out::Closed { retry } if retry <= now => {}
            _ => return None,
        }
        let best = self.best(now)?.id;
        self.out = Out::Opening(best);
        Some(best)
    }

    /// A substream is open. Whether it is the one that was wanted.
    pub(super) fn opened(&mut self, connection: ConnectionId, link: LinkId, now: Instant) -> bool {
        let wanted = matches!(self.out, Out::Opening(opening) if opening == connection);
        if wanted {
            self.out = Out::Up {
                connection,
                link,
                since: now,
            };
        }
        wanted
    }

    /// No substream could be opened. Whether it was the one that was wanted.
    pub(super) fn open_failed(
        &mut self,
        connection: ConnectionId,
        unsupported: bool,
        now: Instant,
        backoff: &mut Backoff,
    ) -> bool {
        let wanted = matches!(self.out, Out::Opening(opening) if opening == connection);
        if wanted {
            self.failures = self.failures.saturating_add(1);
            if unsupported {
                self.failures = self.failures.max(UNSUPPORTED);
            }
            self.out = Out::Closed {
                retry: now + backoff.wait(self.failures),
            };
        }
        wanted
    }

    /// The writer of this link has ended. If its connection is gone or not the preferred one, or the link
    /// lasted, another one may be opened at once; else a peer that refuses would be asked without end.
    pub(super) fn link_ended(&mut self, link: LinkId, now: Instant, backoff: &mut Backoff) {
        let Out::Up {
            connection,
            link: ended,
            since,
        } = self.out
        else {
            return;
        };
        if ended != link {
            return;
        }
        let best = self.best(now).is_some_and(|best| best.id == connection);
        self.failures = if !best || now - since >= STEADY {
            0
        } else {
            self.failures.saturating_add(1)
        };
        self.out = Out::Closed {
            retry: now + backoff.wait(self.failures),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock::now;

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    fn parts() -> (Peer, Instant, Backoff) {
        let now = now();
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1), 1);
        (Peer::new(NodeId::new([1; 32]), now), now, backoff)
    }

    #[test]
    fn both_ends_prefer_the_connection_that_the_lower_identity_dialled() {
        let (mut peer, now, _) = parts();
        peer.add(id(1), true, now);
        peer.add(id(2), false, now + Duration::from_millis(1));
        assert_eq!(peer.replaced(now + SETTLED), []);
        assert_eq!(peer.start_opening(now), Some(id(1)));
        assert_eq!(peer.start_opening(now), None, "one at a time");
    }

    #[test]
    fn two_that_dialled_each_other_leave_for_the_preferred_connection_and_close_the_other() {
        for is_lower in [true, false] {
            let (mut peer, now, mut backoff) = parts();
            peer.add(id(1), false, now);
            peer.start_opening(now);
            assert!(peer.opened(id(1), LinkId(1), now));
            assert_eq!(peer.to_leave(now), None);
            peer.add(id(2), true, now);
            assert_eq!(peer.to_leave(now), Some(id(1)));
            assert_eq!(peer.spare(is_lower, now + SETTLED), [], "it is written to");
            peer.link_ended(LinkId(1), now, &mut backoff);
            assert_eq!(peer.start_opening(now), Some(id(2)), "at once");
            assert!(peer.opened(id(2), LinkId(2), now));
            assert_eq!(peer.to_leave(now), None);
            assert_eq!(peer.spare(is_lower, now + SETTLED / 2), []);
            assert_eq!(peer.spare(is_lower, now + SETTLED), [id(1)]);
            assert_eq!(peer.spare(is_lower, now + SETTLED), [], "once");
            peer.remove(id(1), now);
            assert!(peer.has_usable());
            peer.closing(id(2));
            assert!(!peer.has_usable());
        }
    }

    #[test]
    fn of_two_connections_that_one_side_dialled_the_lower_identity_closes_one() {
        for (is_lower, closed) in [(true, vec![id(1)]), (false, vec![])] {
            let (mut peer, now, _) = parts();
            let soon = now + SETTLED / 10;
            peer.add(id(1), true, now);
            peer.add(id(2), true, soon);
            peer.start_opening(soon);
            assert!(peer.opened(id(2), LinkId(1), soon));
            assert_eq!(peer.spare(is_lower, soon + SETTLED), closed);
        }
    }

    #[test]
    fn a_third_connection_needs_the_first_to_be_old_which_it_replaces() {
        let (mut peer, now, _) = parts();
        peer.add(id(1), true, now);
        peer.add(id(2), false, now);
        assert!(!peer.has_room(2, now));
        let later = now + SIMULTANEOUS;
        assert!(peer.has_room(2, later));
        peer.add(id(3), false, later);
        peer.used(id(3));
        assert_eq!(peer.replaced(later), [id(1), id(2)]);
        assert_eq!(peer.start_opening(later), Some(id(3)));
        peer.add(id(4), false, later);
        assert!(
            !peer.has_room(2, later + SIMULTANEOUS),
            "those that close count in the end"
        );
    }

    /// Watchers do that all the time, under the identity that their link has.
    #[test]
    fn who_connects_and_lets_go_moves_no_link() {
        for is_lower in [true, false] {
            let (mut peer, now, mut backoff) = parts();
            peer.add(id(1), false, now);
            peer.start_opening(now);
            assert!(peer.opened(id(1), LinkId(1), now));
            let later = now + SIMULTANEOUS;
            peer.add(id(2), true, later);
            for soon in [later, later + SETTLED / 2] {
                assert_eq!(peer.replaced(soon), []);
                assert_eq!(peer.to_leave(soon), None);
                assert_eq!(peer.spare(is_lower, soon), [], "it may be there to stay");
            }
            peer.remove(id(2), later);
            assert_eq!(peer.to_leave(later), None);
            // One that stays, or is used, is where the peer is now.
            peer.add(id(3), false, later);
            let lasting = later + SETTLED;
            assert_eq!(peer.to_leave(lasting), Some(id(1)));
            assert_eq!(peer.replaced(lasting), [id(1)]);
            peer.link_ended(LinkId(1), lasting, &mut backoff);
            assert_eq!(peer.start_opening(lasting), Some(id(3)));
        }
    }

    #[test]
    fn a_lost_connection_fails_over_at_once() {
        let (mut peer, now, mut backoff) = parts();
        peer.add(id(1), true, now);
        peer.add(id(2), false, now);
        peer.start_opening(now);
        assert!(peer.opened(id(1), LinkId(7), now));
        peer.remove(id(1), now);
        peer.link_ended(LinkId(6), now, &mut backoff);
        assert_eq!(
            peer.start_opening(now),
            None,
            "an older link's end is no news"
        );
        peer.link_ended(LinkId(7), now, &mut backoff);
        assert_eq!(peer.start_opening(now), Some(id(2)));
    }

    #[test]
    fn who_refuses_is_asked_less_and_less_often() {
        let (mut peer, now, mut backoff) = parts();
        peer.add(id(1), true, now);
        peer.start_opening(now);
        assert!(peer.opened(id(1), LinkId(1), now));
        peer.link_ended(LinkId(1), now, &mut backoff);
        assert_eq!(peer.start_opening(now), None);
        let soon = now + Duration::from_millis(100);
        assert_eq!(peer.start_opening(soon), Some(id(1)));
        assert!(peer.open_failed(id(1), true, soon, &mut backoff));
        assert_eq!(peer.start_opening(soon + Duration::from_millis(499)), None);
        assert!(peer.start_opening(soon + Duration::from_secs(1)).is_some());
    }

    #[test]
    fn a_stream_that_nobody_waits_for_is_not_used() {
        let (mut peer, now, _) = parts();
        peer.add(id(1), true, now);
        peer.start_opening(now);
        peer.forbid(now);
        assert!(!peer.opened(id(1), LinkId(1), now));
    }
}
