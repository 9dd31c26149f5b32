//! Whether members are still there: a question every moment, between nodes only.
//!
//! A way that is cut without a word swallows frames until the operating system gives up, which takes
//! the better part of a minute. A member that packets go to is asked every second, by a message without
//! content. Two questions in a row that had no answer in three seconds, while nothing else came on their
//! connection either, mean that it is dead: on one that is only slow, the member's own questions or frames
//! still come. An answer on the connection that the member is written to on also says that the frames
//! written before the question have arrived. Clients neither ask nor are asked.
//!
//! libp2p chooses the connection of a question. With one connection that is no choice. While a member has
//! several, a question is counted only once it has ended, which tells which one it was.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p::request_response::OutboundRequestId;
use libp2p::swarm::ConnectionId;
use shoal_proto::NodeId;
use tokio::time::Instant;

use super::links::Written;

/// How often a member is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long an answer may take, and how long a connection may be silent meanwhile.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// So many questions without an answer, in a row, and the connection is dead.
const MISSED: u32 = 2;
/// If this node itself did nothing for so long, it can't say that others did not answer.
const PAUSE: Duration = Duration::from_secs(2);
/// Questions of one member that are answered in [`EVERY`]: it has two connections at most.
const ANSWERS: u32 = 4;
/// What is known of a connection is forgotten after this long without anything new.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// What is known of one connection.
struct Seen {
    /// Questions in a row without an answer.
    missed: u32,
    /// When a question or an answer last came.
    heard: Option<Instant>,
    changed: Instant,
}

/// What one member was asked, and asks.
struct Member {
    ask_at: Instant,
    connections: BTreeMap<ConnectionId, Seen>,
    /// Questions that were answered since a moment.
    answered: (Instant, u32),
}

impl Member {
    const fn new(now: Instant) -> Self {
        Self {
            ask_at: now,
            connections: BTreeMap::new(),
            answered: (now, 0),
        }
    }

    fn seen(&mut self, now: Instant, connection: ConnectionId) -> &mut Seen {
        let seen = self.connections.entry(connection).or_insert(Seen {
            missed: 0,
            heard: None,
            changed: now,
        });
        seen.changed = now;
        seen
    }

    /// A question has had no answer. Whether its connection is dead.
    fn missed(&mut self, now: Instant, connection: ConnectionId, hears: bool) -> bool {
        let seen = self.seen(now, connection);
        let hears = hears || seen.heard.is_some_and(|heard| now - heard < PATIENCE);
        seen.missed = if hears { 0 } else { seen.missed + 1 };
        let dead = seen.missed >= MISSED;
        if dead {
            self.connections.remove(&connection);
        }
        dead
    }
}

/// A question under way.
struct Question {
    node: NodeId,
    /// What had been written when it left.
    written: Written,
    /// When it left, if it is not late yet. Without that it is not counted any more.
    since: Option<Instant>,
    /// The member has no other connection than the one that it is written to on.
    alone: bool,
}

/// Who is asked, and what is not answered yet. Memory: a few numbers for each member.
#[derive(Default)]
pub(super) struct Alive {
    members: BTreeMap<NodeId, Member>,
    asked: BTreeMap<OutboundRequestId, Question>,
    looked: Option<Instant>,
}

impl Alive {
    /// Those of the linked members that are to be asked now.
    pub(super) fn due(&mut self, now: Instant, linked: &[NodeId]) -> Vec<NodeId> {
        let before = self.looked.replace(now).unwrap_or(now);
        if now - before >= PAUSE {
            for question in self.asked.values_mut() {
                question.since = None;
            }
            for member in self.members.values_mut() {
                member.connections.clear();
            }
        }
        self.members
            .retain(|id, _| linked.binary_search(id).is_ok());
        let mut due = Vec::new();
        for id in linked {
            let member = self.members.entry(*id).or_insert_with(|| Member::new(now));
            if now >= member.ask_at {
                member.ask_at = now + EVERY;
                let seen = |seen: &Seen| now - seen.changed < FORGOTTEN;
                member.connections.retain(|_, connection| seen(connection));
                due.push(*id);
            }
        }
        due
    }

    /// A member has been asked, when so much had been written to it. Says whether that is on its only
    /// connection.
    pub(super) fn asked(
        &mut self,
        now: Instant,
        id: OutboundRequestId,
        (node, written, alone): (NodeId, Written, bool),
    ) {
        let question = Question {
            node,
            written,
            since: Some(now),
            alone,
        };
        self.asked.insert(id, question);
    }

    /// A question or an answer has come from a member on this connection.
    pub(super) fn heard(&mut self, now: Instant, node: &NodeId, connection: ConnectionId) {
        if let Some(member) = self.members.get_mut(node) {
            let seen = member.seen(now, connection);
            (seen.missed, seen.heard) = (0, Some(now));
        }
    }

    /// Connections of members that are dead, by answers that are late. That a question ends by itself can
    /// take longer: opening a substream has a deadline of its own. `hears` says whether anything came on a
    /// connection within [`PATIENCE`].
    pub(super) fn late(
        &mut self,
        now: Instant,
        hears: impl Fn(&NodeId, ConnectionId) -> bool,
    ) -> Vec<(NodeId, ConnectionId)> {
        let mut dead = Vec::new();
        for question in self.asked.values_mut().filter(|question| question.alone) {
            let late = |since: &mut Instant| now - *since >= PATIENCE;
            if question.since.take_if(late).is_none() {
                continue;
            }
            let (node, connection) = (question.node, question.written.connection);
            if let Some(member) = self.members.get_mut(&node)
                && member.missed(now, connection, hears(&node, connection))
            {
                dead.push((node, connection));
            }
        }
        dead
    }

    /// An answer has come. Gives of whom, and what had been written when the question left.
    pub(super) fn answered(&mut self, id: OutboundRequestId) -> Option<(NodeId, Written)> {
        let question = self.asked.remove(&id)?;
        Some((question.node, question.written))
    }

    /// A question has ended without an answer; in time, if that was so. Whether its connection counts as
    /// dead.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        id: OutboundRequestId,
        connection: ConnectionId,
        timeout: bool,
        hears: impl Fn(&NodeId, ConnectionId) -> bool,
    ) -> Option<NodeId> {
        let Question { node, since, .. } = self.asked.remove(&id)?;
        // One that was late was counted then.
        since.filter(|_| timeout)?;
        let member = self.members.get_mut(&node)?;
        let dead = member.missed(now, connection, hears(&node, connection));
        dead.then_some(node)
    }

    /// Whether a question of this peer is answered: of a linked member, and not too often.
    pub(super) fn answers(&mut self, now: Instant, node: &NodeId) -> bool {
        let Some(member) = self.members.get_mut(node) else {
            return false;
        };
        let (since, count) = &mut member.answered;
        if now - *since >= EVERY {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= ANSWERS
    }
}

#[cfg(test)]
mod tests {
    use libp2p::{PeerId, request_response};

    use super::*;
    use crate::net::clock::now;
    use crate::net::codec::Codec;
    use crate::net::packets::LinkId;

    const MEMBER: NodeId = NodeId::new([1; 32]);

    /// One member, and questions to it.
    struct Asked {
        alive: Alive,
        questions: request_response::Behaviour<Codec>,
        now: Instant,
    }

    fn on(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    impl Asked {
        fn new() -> Self {
            let (mut alive, now) = (Alive::default(), now());
            assert_eq!(alive.due(now, &[MEMBER]), [MEMBER]);
            let codec = Codec {
                request_bytes: 0,
                response_bytes: 0,
            };
            let config = request_response::Config::default();
            Self {
                alive,
                questions: request_response::Behaviour::with_codec(codec, [], config),
                now,
            }
        }

        /// A question, with the writer on the first connection.
        fn ask(&mut self, alone: bool) -> OutboundRequestId {
            let id = self.questions.send_request(&PeerId::random(), Vec::new());
            let written = Written::nothing(LinkId(1), on(1));
            self.alive.asked(self.now, id, (MEMBER, written, alone));
            id
        }

        /// A second on, in ticks as the driver's. Which connections are dead, if packets come or not.
        fn second(&mut self, hears: bool) -> Vec<ConnectionId> {
            let mut dead = Vec::new();
            for _ in 0..10 {
                self.now += EVERY / 10;
                self.alive.due(self.now, &[MEMBER]);
                let late = self.alive.late(self.now, |_, _| hears);
                dead.extend(late.into_iter().map(|(_, connection)| connection));
            }
            dead
        }
    }

    #[test]
    fn a_connection_is_dead_after_two_questions_that_nothing_came_after() {
        let mut asked = Asked::new();
        let dead: Vec<_> = (0..5)
            .map(|_| {
                asked.ask(true);
                asked.second(false)
            })
            .collect();
        assert_eq!(dead, [vec![], vec![], vec![], vec![on(1)], vec![]]);
    }

    #[test]
    fn while_packets_questions_or_answers_come_no_connection_is_dead() {
        let mut asked = Asked::new();
        for _ in 0..20 {
            asked.ask(true);
            assert_eq!(asked.second(true), []);
        }
        let mut asked = Asked::new();
        for _ in 0..20 {
            asked.ask(true);
            asked.alive.heard(asked.now, &MEMBER, on(1));
            assert_eq!(asked.second(false), []);
        }
        // What comes on another connection says nothing of this one.
        let dead: Vec<_> = (0..10)
            .flat_map(|_| {
                asked.ask(true);
                asked.alive.heard(asked.now, &MEMBER, on(2));
                asked.second(false)
            })
            .collect();
        assert!(dead.contains(&on(1)) && !dead.contains(&on(2)));
    }

    #[test]
    fn of_several_connections_that_is_dead_on_which_the_questions_ended() {
        let mut asked = Asked::new();
        let ids: Vec<_> = (0..5)
            .map(|_| {
                let id = asked.ask(false);
                assert_eq!(asked.second(false), [], "it is not known which");
                id
            })
            .collect();
        let dead: Vec<_> = ids
            .into_iter()
            .take(2)
            .map(|id| asked.alive.failed(asked.now, id, on(2), true, |_, _| false))
            .collect();
        assert_eq!(dead, [None, Some(MEMBER)]);
    }

    #[test]
    fn after_a_pause_the_questions_before_it_do_not_count() {
        let mut asked = Asked::new();
        let ids: Vec<_> = (0..4).map(|_| asked.ask(true)).collect();
        asked.now += 10 * EVERY;
        assert_eq!(asked.second(false), []);
        for id in ids {
            let failed = asked.alive.failed(asked.now, id, on(1), true, |_, _| false);
            assert_eq!(failed, None);
        }
    }

    #[test]
    fn members_are_asked_in_turn_and_answered_so_often() {
        let (mut alive, start) = (Alive::default(), now());
        let (a, b) = (NodeId::new([1; 32]), NodeId::new([2; 32]));
        assert_eq!(alive.due(start, &[a, b]), [a, b]);
        assert_eq!(alive.due(start + EVERY / 2, &[a, b]), []);
        assert_eq!(alive.due(start + EVERY, &[b]), [b]);
        assert!(!alive.answers(start, &a), "it is not linked any more");
        let answered = (0..1000).filter(|_| alive.answers(start, &b)).count();
        assert_eq!(answered, 4);
        assert!(alive.answers(start + EVERY, &b));
    }
}
