//! The neighbours: what they were asked, and how much gossip each may send.

use std::collections::{BTreeMap, BTreeSet};

use rand::{CryptoRng, RngExt};
use shoal_proto::{NodeId, Span, Time};

use super::MAX_PEERS;

/// Gossip that one neighbour may send at once.
const BURST: u64 = 256;
/// Gossip that one neighbour may send per second in the long run.
const PER_SECOND: u64 = 32;
/// Answers with more to come that are asked for in a row.
const MAX_ROUNDS: u8 = 16;
/// How long an answer may take.
const TIMEOUT: Span = Span::from_secs(10);

/// The neighbours, and what they were asked.
#[derive(Default)]
pub(super) struct Peers {
    known: BTreeMap<NodeId, Peer>,
    /// Who has not answered yet, by when it was asked.
    asked: BTreeSet<(Time, NodeId)>,
    /// Gossip from who is not known shares one bucket.
    strangers: Option<Bucket>,
}

struct Peer {
    /// When it was asked what it has not answered yet.
    asked_at: Option<Time>,
    /// Whether its answer is being taken, or waits for that.
    answered: bool,
    /// Whether an answer of it has been taken, or has failed to come, since it connected.
    heard: bool,
    rounds: u8,
    gossip: Bucket,
}

impl Peer {
    /// Whether it can be asked now.
    const fn is_free(&self) -> bool {
        self.asked_at.is_none() && !self.answered
    }
}

/// A token bucket.
struct Bucket {
    /// In millionths of a token.
    tokens: u64,
    filled_at: Time,
}

impl Bucket {
    const FULL: u64 = BURST * 1_000_000;

    const fn new(now: Time) -> Self {
        Self {
            tokens: Self::FULL,
            filled_at: now,
        }
    }

    fn take(&mut self, now: Time) -> bool {
        let gained = now
            .since(self.filled_at)
            .as_micros()
            .saturating_mul(PER_SECOND);
        self.tokens = self.tokens.saturating_add(gained).min(Self::FULL);
        self.filled_at = self.filled_at.max(now);
        let enough = self.tokens >= 1_000_000;
        if enough {
            self.tokens -= 1_000_000;
        }
        enough
    }
}

impl Peers {
    /// True if the neighbour is new; false also when there are too many.
    pub(super) fn connect(&mut self, id: NodeId, now: Time) -> bool {
        if self.known.len() >= MAX_PEERS || self.known.contains_key(&id) {
            return false;
        }
        let peer = Peer {
            asked_at: None,
            answered: false,
            heard: false,
            rounds: 0,
            gossip: Bucket::new(now),
        };
        self.known.insert(id, peer);
        true
    }

    pub(super) fn disconnect(&mut self, id: &NodeId) {
        if let Some(asked) = self.known.remove(id).and_then(|peer| peer.asked_at) {
            self.asked.remove(&(asked, *id));
        }
    }

    /// Whether the neighbour may send one more piece of gossip.
    pub(super) fn may_gossip(&mut self, id: &NodeId, now: Time) -> bool {
        match self.known.get_mut(id) {
            Some(peer) => peer.gossip.take(now),
            None => self
                .strangers
                .get_or_insert_with(|| Bucket::new(now))
                .take(now),
        }
    }

    /// Notes that the neighbour is being asked. False if it has not answered yet, or its answer has
    /// not been taken.
    pub(super) fn ask(&mut self, id: &NodeId, now: Time) -> bool {
        let Some(peer) = self.known.get_mut(id) else {
            return false;
        };
        let free = peer.is_free();
        if free {
            peer.asked_at = Some(now);
            self.asked.insert((now, *id));
        }
        free
    }

    /// Notes that the neighbour has answered. False if it was not asked.
    pub(super) fn answered(&mut self, id: &NodeId) -> bool {
        let Some(peer) = self.known.get_mut(id) else {
            return false;
        };
        match peer.asked_at.take() {
            Some(asked) => {
                self.asked.remove(&(asked, *id));
                peer.answered = true;
                true
            }
            None => {
                peer.heard = true;
                false
            }
        }
    }

    /// Notes that the neighbour's answer has been taken, as far as it was worth it.
    pub(super) fn heard(&mut self, id: &NodeId) {
        if let Some(peer) = self.known.get_mut(id) {
            peer.answered = false;
            peer.heard = true;
        }
    }

    /// Notes that the neighbour will not answer what it was asked.
    pub(super) fn failed(&mut self, id: &NodeId) {
        if let Some(peer) = self.known.get_mut(id) {
            peer.heard = true;
            if let Some(asked) = peer.asked_at.take() {
                self.asked.remove(&(asked, *id));
            }
        }
    }

    /// Whether to ask the neighbour for the rest at once.
    pub(super) fn continues(&mut self, id: &NodeId, more: bool) -> bool {
        let Some(peer) = self.known.get_mut(id) else {
            return false;
        };
        peer.rounds = if more {
            peer.rounds.saturating_add(1)
        } else {
            0
        };
        let again = more && peer.rounds <= MAX_ROUNDS;
        if !again {
            peer.rounds = 0;
        }
        again
    }

    /// A neighbour that can be asked now, each as likely as any other.
    pub(super) fn choose<R: CryptoRng>(&self, rng: &mut R) -> Option<NodeId> {
        let free: Vec<&NodeId> = self
            .known
            .iter()
            .filter(|(_, peer)| peer.is_free())
            .map(|(id, _)| id)
            .collect();
        if free.is_empty() {
            return None;
        }
        free.get(rng.random_range(0..free.len())).map(|id| **id)
    }

    /// Whether an answer of every neighbour has been taken, or has failed to come, since it connected.
    pub(super) fn all_heard(&self) -> bool {
        self.known.values().all(|peer| peer.heard)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Gives up on answers that take too long.
    pub(super) fn expire(&mut self, now: Time) {
        while let Some((asked, id)) = self.asked.first().copied()
            && now >= asked + TIMEOUT
        {
            self.asked.pop_first();
            self.failed(&id);
        }
    }

    /// When the next answer takes too long.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.asked.first().map(|(asked, _)| *asked + TIMEOUT)
    }
}
