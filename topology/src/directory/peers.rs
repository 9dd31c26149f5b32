//! The neighbours: what they were asked, and how much gossip each may send.

use std::collections::{BTreeMap, BTreeSet};

use rand::{CryptoRng, RngExt};
use shoal_proto::{DocumentHash, NodeId, Span, Time};

use super::{MAX_DOCUMENTS, MAX_GOSSIP, MAX_MESSAGES, MAX_PEERS};

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
    /// What we lack, and how far it is.
    Sync,
    /// Descriptors that it has.
    Named,
    /// A document.
    Fetch(DocumentHash),
    /// Descriptors that a document lacks.
    Lacking(DocumentHash),
    /// What leads to the newest document.
    Chain,
}

struct Peer {
    /// When it was asked what it has not answered yet.
    asked: Option<(Time, Asked)>,
    /// Whether its answer is being taken, or waits for that.
    answered: bool,
    rounds: u8,
    gossip: Bucket,
    agreement: Bucket,
    /// Pieces of gossip that are being verified.
    checks: usize,
    messages: usize,
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

/// How much at once, and how much per second in the long run.
#[derive(Clone, Copy)]
struct Rate {
    burst: u64,
    per_second: u64,
}

/// Descriptors: one of each member for each epoch, and all at once where a neighbour was cut off.
const GOSSIP: Rate = Rate {
    burst: 256,
    per_second: 32,
};
/// Messages of the agreement: a round of 400 seats is 801, and a neighbour passes on those of all.
const AGREEMENT: Rate = Rate {
    burst: 4096,
    per_second: 256,
};

/// A token bucket.
struct Bucket {
    rate: Rate,
    /// In millionths of a token.
    tokens: u64,
    filled_at: Time,
}

impl Bucket {
    const fn new(now: Time, rate: Rate) -> Self {
        Self {
            rate,
            tokens: rate.burst * 1_000_000,
            filled_at: now,
        }
    }

    fn take(&mut self, now: Time) -> bool {
        let gained = now
            .since(self.filled_at)
            .as_micros()
            .saturating_mul(self.rate.per_second);
        let full = self.rate.burst * 1_000_000;
        self.tokens = self.tokens.saturating_add(gained).min(full);
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
            rounds: 0,
            gossip: Bucket::new(now, GOSSIP),
            agreement: Bucket::new(now, AGREEMENT),
            checks: 0,
            messages: 0,
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

    /// As [`begin_check`](Self::begin_check), for messages of the agreement.
    pub(super) fn begin_message(&mut self, id: &NodeId) -> bool {
        let Some(peer) = self.known.get_mut(id) else {
            return false;
        };
        let free = peer.messages < MAX_MESSAGES / 4;
        peer.messages += usize::from(free);
        free
    }

    /// Gives that place back.
    pub(super) fn end_message(&mut self, id: &NodeId) {
        if let Some(peer) = self.known.get_mut(id) {
            peer.messages = peer.messages.saturating_sub(1);
        }
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
                .get_or_insert_with(|| Bucket::new(now, GOSSIP))
                .take(now),
        }
    }

    /// Whether the neighbour may send one more message of the agreement. Strangers may not: those pass on
    /// nothing.
    pub(super) fn may_agree(&mut self, id: &NodeId, now: Time) -> bool {
        let peer = self.known.get_mut(id);
        peer.is_some_and(|peer| peer.agreement.take(now))
    }

    /// Notes that the neighbour is being asked. False if it has not answered yet, or its answer has
    /// not been taken.
    pub(super) fn ask(&mut self, id: &NodeId, now: Time, what: Asked) -> bool {
        let Some(peer) = self.known.get_mut(id) else {
            return false;
        };
        let free = peer.is_free(now);
        if free {
            peer.asked = Some((now, what));
            self.asked.insert((now, *id));
        }
        free
    }

    /// Whether the neighbour can be asked now.
    pub(super) fn is_free(&self, id: &NodeId, now: Time) -> bool {
        self.known.get(id).is_some_and(|peer| peer.is_free(now))
    }

    /// Notes that the neighbour has answered, and says what it was asked. None if it was not asked.
    pub(super) fn answered(&mut self, id: &NodeId) -> Option<Asked> {
        let peer = self.known.get_mut(id)?;
        let (at, asked) = peer.asked.take()?;
        self.asked.remove(&(at, *id));
        peer.answered = true;
        Some(asked)
    }

    /// Notes that the neighbour's answer has been taken, as far as it was worth it.
    pub(super) fn heard(&mut self, id: &NodeId) {
        if let Some(peer) = self.known.get_mut(id) {
            peer.answered = false;
        }
    }

    /// Notes that the neighbour will not answer what it was asked, and says what that was.
    pub(super) fn failed(&mut self, id: &NodeId) -> Option<Asked> {
        let peer = self.known.get_mut(id)?;
        let asked = peer.asked.take();
        if let Some((at, _)) = asked {
            self.asked.remove(&(at, *id));
        }
        asked.map(|(_, asked)| asked)
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
