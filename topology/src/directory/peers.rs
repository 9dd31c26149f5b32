//! The neighbours: what they were asked, and how much gossip each may send.

use std::collections::{BTreeMap, BTreeSet};

use rand::{CryptoRng, RngExt};
use shoal_proto::{NodeId, Span, Time};

use super::header::Header;
use super::{MAX_DOCUMENTS, MAX_GOSSIP, MAX_PEERS};

/// Gossip that one neighbour may send at once.
const BURST: u64 = 256;
/// Gossip that one neighbour may send per second in the long run.
const PER_SECOND: u64 = 32;
/// Answers with more to come that are asked for in a row.
const MAX_ROUNDS: u8 = 16;
/// How long an answer may take.
const TIMEOUT: Span = Span::from_secs(10);
/// Pieces of gossip of one neighbour that may wait to be verified: a quarter of all places.
const MAX_CHECKS: usize = MAX_GOSSIP / 4;

/// The neighbours, and what they were asked.
#[derive(Default)]
pub(super) struct Peers {
    known: BTreeMap<NodeId, Peer>,
    /// Who has not answered yet, by when it was asked.
    asked: BTreeSet<(Time, NodeId)>,
    /// Gossip from who is not known shares one bucket.
    strangers: Option<Bucket>,
}

/// What a neighbour was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// What we lack.
    Sync,
    /// A document.
    Fetch(Header),
}

struct Peer {
    /// When it was asked what it has not answered yet.
    asked: Option<(Time, Asked)>,
    /// Whether its answer is being taken, or waits for that.
    answered: bool,
    /// Whether an answer of it has been taken, or has failed to come, since it connected.
    heard: bool,
    rounds: u8,
    gossip: Bucket,
    /// Pieces of gossip that are being verified.
    checks: usize,
    /// When all documents may be fetched from it again that it may have us fetch in a row.
    fetches_at: Time,
    /// Not to be asked before, as its last answer was wrong.
    shunned_until: Time,
}

impl Peer {
    /// Whether it can be asked now.
    fn is_free(&self, now: Time) -> bool {
        self.asked.is_none() && !self.answered && now >= self.shunned_until
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
            asked: None,
            answered: false,
            heard: false,
            rounds: 0,
            gossip: Bucket::new(now),
            checks: 0,
            fetches_at: now,
            shunned_until: now,
        };
        self.known.insert(id, peer);
        true
    }

    pub(super) fn disconnect(&mut self, id: &NodeId) {
        if let Some((asked, _)) = self.known.remove(id).and_then(|peer| peer.asked) {
            self.asked.remove(&(asked, *id));
        }
    }

    /// Takes one of the neighbour's places among the gossip that is verified. False if all are taken.
    /// Who is not known shares the places of all, and has none of its own.
    pub(super) fn begin_check(&mut self, id: &NodeId) -> bool {
        let Some(peer) = self.known.get_mut(id) else {
            return true;
        };
        let free = peer.checks < MAX_CHECKS;
        peer.checks += usize::from(free);
        free
    }

    /// Gives that place back.
    pub(super) fn end_check(&mut self, id: &NodeId) {
        if let Some(peer) = self.known.get_mut(id) {
            peer.checks = peer.checks.saturating_sub(1);
        }
    }

    /// Whether one more document may be fetched from the neighbour: six in a row, and one in each pause.
    pub(super) fn may_fetch(&mut self, id: &NodeId, now: Time, pause: Span) -> bool {
        let Some(peer) = self.known.get_mut(id) else {
            return false;
        };
        let fetches_at = peer.fetches_at.max(now) + pause;
        let may = fetches_at <= now + pause.scale(MAX_DOCUMENTS as u64, 1);
        if may {
            peer.fetches_at = fetches_at;
        }
        may
    }

    /// The neighbour's answer was wrong: it is not asked again before this.
    pub(super) fn shun(&mut self, id: &NodeId, until: Time) {
        if let Some(peer) = self.known.get_mut(id) {
            peer.shunned_until = peer.shunned_until.max(until);
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
        let free = peer.is_free(now);
        if free {
            peer.asked = Some((now, Asked::Sync));
            self.asked.insert((now, *id));
        }
        free
    }

    /// Notes that the neighbour, whose answer is being taken, is asked for a document.
    pub(super) fn ask_document(&mut self, id: &NodeId, now: Time, header: Header) {
        if let Some(peer) = self.known.get_mut(id) {
            peer.asked = Some((now, Asked::Fetch(header)));
            self.asked.insert((now, *id));
        }
    }

    /// Notes that the neighbour has answered, and says what it was asked. None if it was not asked.
    pub(super) fn answered(&mut self, id: &NodeId) -> Option<Asked> {
        let peer = self.known.get_mut(id)?;
        let Some((at, asked)) = peer.asked.take() else {
            peer.heard = true;
            return None;
        };
        self.asked.remove(&(at, *id));
        peer.answered = true;
        Some(asked)
    }

    /// Notes that the neighbour's answer has been taken, as far as it was worth it.
    pub(super) fn heard(&mut self, id: &NodeId) {
        if let Some(peer) = self.known.get_mut(id) {
            peer.answered = false;
            peer.heard = true;
        }
    }

    /// Notes that the neighbour will not answer what it was asked, and says what that was.
    pub(super) fn failed(&mut self, id: &NodeId) -> Option<Asked> {
        let peer = self.known.get_mut(id)?;
        let asked = peer.asked.take();
        if let Some((at, _)) = asked {
            self.asked.remove(&(at, *id));
        }
        let asked = asked.map(|(_, asked)| asked);
        // The answer before is still being taken while a document is fetched.
        peer.heard |= !matches!(asked, Some(Asked::Fetch(_)));
        asked
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
    pub(super) fn choose<R: CryptoRng>(&self, rng: &mut R, now: Time) -> Option<NodeId> {
        let free: Vec<&NodeId> = self
            .known
            .iter()
            .filter(|(_, peer)| peer.is_free(now))
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

    /// Somebody whose answer takes too long.
    pub(super) fn overdue(&self, now: Time) -> Option<NodeId> {
        let (asked, id) = self.asked.first()?;
        (now >= *asked + TIMEOUT).then_some(*id)
    }

    /// When the next answer takes too long.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.asked.first().map(|(asked, _)| *asked + TIMEOUT)
    }
}
