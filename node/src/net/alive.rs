//! Whether members are still there: a question every moment, between nodes only.
//!
//! A way that is cut without a word swallows frames until the operating system gives up, which takes
//! the better part of a minute. A member that is linked is asked every second, by a message without
//! content; two questions in a row without an answer in three seconds mean that their connection is
//! dead. An answer also says that the frames written before the question on the same connection have
//! arrived. Clients neither ask nor are asked.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p::request_response::OutboundRequestId;
use libp2p::swarm::ConnectionId;
use shoal_proto::NodeId;
use tokio::time::Instant;

/// How often a member is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long an answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// So many questions without an answer, in a row, and the connection is dead.
const MISSED: u32 = 2;
/// If this node itself did nothing for so long, it can't say that others did not answer.
const PAUSE: Duration = Duration::from_secs(2);
/// Questions of one member that are answered in [`EVERY`]: it has two connections at most.
const ANSWERS: u32 = 4;

/// What one member was asked, and asks.
struct Member {
    ask_at: Instant,
    /// Answers that are late in a row, on whichever connection.
    late: u32,
    /// Connections on which answers never came, and how many in a row.
    missed: BTreeMap<ConnectionId, u32>,
    /// Questions that were answered since a moment.
    answered: (Instant, u32),
}

impl Member {
    const fn new(now: Instant) -> Self {
        Self {
            ask_at: now,
            late: 0,
            missed: BTreeMap::new(),
            answered: (now, 0),
        }
    }
}

/// Who is asked, and what is not answered yet. Memory: a few numbers for each member.
#[derive(Default)]
pub(super) struct Alive {
    members: BTreeMap<NodeId, Member>,
    /// Questions under way: of whom, with what had been written when they left, and since when; without
    /// that once they are late.
    asked: BTreeMap<OutboundRequestId, (NodeId, u64, Option<Instant>)>,
    looked: Option<Instant>,
}

impl Alive {
    /// Those of the linked members that are to be asked now.
    pub(super) fn due(&mut self, now: Instant, linked: &[NodeId]) -> Vec<NodeId> {
        let before = self.looked.replace(now).unwrap_or(now);
        if now - before >= PAUSE {
            self.members.values_mut().for_each(|m| {
                m.missed.clear();
                m.late = 0;
            });
        }
        self.members
            .retain(|id, _| linked.binary_search(id).is_ok());
        let mut due = Vec::new();
        for id in linked {
            let member = self.members.entry(*id).or_insert_with(|| Member::new(now));
            if now >= member.ask_at {
                member.ask_at = now + EVERY;
                due.push(*id);
            }
        }
        due
    }

    /// A member has been asked, when so many frames had been written to it.
    pub(super) fn asked(
        &mut self,
        now: Instant,
        id: OutboundRequestId,
        (node, written): (NodeId, u64),
    ) {
        self.asked.insert(id, (node, written, Some(now)));
    }

    /// Members that are late with two answers in a row. That a question ends by itself, and on which
    /// connection, can take longer: opening a substream has a deadline of its own.
    pub(super) fn late(&mut self, now: Instant) -> Vec<NodeId> {
        let mut late = Vec::new();
        for (node, _, since) in self.asked.values_mut() {
            if since.take_if(|since| now - *since >= PATIENCE).is_none() {
                continue;
            }
            if let Some(member) = self.members.get_mut(node) {
                member.late += 1;
                if member.late >= MISSED {
                    member.late = 0;
                    late.push(*node);
                }
            }
        }
        late
    }

    /// An answer has come. Gives what had been written when the question left.
    pub(super) fn answered(
        &mut self,
        id: OutboundRequestId,
        connection: ConnectionId,
    ) -> Option<(NodeId, u64)> {
        let (node, written, _) = self.asked.remove(&id)?;
        if let Some(member) = self.members.get_mut(&node) {
            member.late = 0;
            member.missed.remove(&connection);
        }
        Some((node, written))
    }

    /// A question has ended without an answer; in time, if that was so. Whether its connection counts as
    /// dead.
    pub(super) fn failed(
        &mut self,
        id: OutboundRequestId,
        connection: ConnectionId,
        timeout: bool,
    ) -> Option<NodeId> {
        let (node, ..) = self.asked.remove(&id)?;
        let member = self.members.get_mut(&node).filter(|_| timeout)?;
        let missed = member.missed.entry(connection).or_default();
        *missed += 1;
        if *missed < MISSED {
            return None;
        }
        member.missed.remove(&connection);
        Some(node)
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
    use super::*;
    use crate::net::clock::now;

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
