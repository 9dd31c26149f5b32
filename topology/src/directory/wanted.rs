//! What was proposed and is not here, or not verified: whom it is asked of, what it lacks, and what is thought
//! of it.

use std::sync::Arc;

use rand::CryptoRng;
use shoal_proto::{DocumentHash, NodeId, Span, Time};

use super::council::{Council, MOST_DOCUMENTS};
use super::jobs::Task;
use super::judge::{Candidate, Judged};
use super::pool::{Door, salts};
use super::read::Claim;
use super::watching::Watched;
use super::{Directory, JOB_PATIENCE};
use crate::agreement::{AgreementInput, Judgement, Message};
use crate::delta::Body;
use crate::{DocumentError, SignedDescriptor};

/// How often a document that was proposed is asked for, and what it lacks.
const FETCH_AGAIN: Span = Span::from_millis(300);
/// How often it is looked whether what a document lacks has come, where that is much.
const CATCH_UP: Span = Span::from_secs(2);
/// Most descriptors that are asked for because a document lacks them.
pub(super) const MOST_LACKING: usize = 1024;
/// Most neighbours that are remembered for having spoken of a document.
const MOST_SOURCES: usize = 8;

/// A document that was proposed.
#[derive(Default)]
pub(super) struct Wanted {
    /// Neighbours that have spoken of it, the last first.
    sources: Vec<NodeId>,
    /// Whom it was asked of last.
    asked: Option<NodeId>,
    ask_at: Time,
    /// Since when it is being verified.
    judging: Option<Time>,
    /// It is here, and lacks descriptors.
    body: Option<Body>,
    lacks: Arc<[(NodeId, u64)]>,
    /// Those of them that have come.
    fetched: Vec<Arc<[u8]>>,
}

impl Wanted {
    /// When there is something to do about it if nothing happens before.
    pub(super) fn deadline(&self) -> Time {
        match self.judging {
            Some(since) => since + JOB_PATIENCE,
            None => self.ask_at,
        }
    }

    /// It is to be asked for by then.
    fn ask_by(&mut self, at: Time) {
        self.ask_at = self.ask_at.min(at);
    }

    /// Whether its job is lost, and so begun again.
    pub(super) fn give_up(&mut self, now: Time) -> bool {
        let is_lost = |since: &mut Time| now >= *since + JOB_PATIENCE;
        self.judging.take_if(is_lost).is_some()
    }
}

impl Council {
    /// Has a document asked for, or judged, if there is room for it.
    fn want(&mut self, now: Time, hash: DocumentHash) {
        if self.wanted.len() < MOST_DOCUMENTS || self.wanted.contains_key(&hash) {
            self.wanted.entry(hash).or_default().ask_by(now);
        }
    }
}

impl<R: CryptoRng> Directory<R> {
    /// Takes up a document that was on disk.
    pub(super) fn judge_kept(&mut self, now: Time, bytes: Arc<[u8]>) {
        let Ok(header) = crate::document::header_of(&bytes) else {
            return;
        };
        let hash = header.hash(&self.rules);
        if let Some(council) = &mut self.council {
            council.kept.insert(hash);
            council.wanted.entry(hash).or_default().body = Some(Body::Whole(bytes));
            self.judge(now, hash);
        }
    }

    pub(super) fn judge_or_want(&mut self, now: Time, hash: DocumentHash) {
        let Some(council) = &mut self.council else {
            return;
        };
        if let Some(sound) = council.documents.get(&hash).cloned() {
            return self.tell_judgement(now, hash, &sound);
        }
        council.want(now, hash);
    }

    /// A document is decided that is not known to be sound: it waits for nothing but its own bytes any more.
    pub(super) fn want_decided(&mut self, now: Time, hash: DocumentHash) {
        let Some(council) = &mut self.council else {
            return;
        };
        let wanted = council.wanted.entry(hash).or_default();
        wanted.ask_by(now);
        if wanted.judging.is_none() {
            self.judge(now, hash);
        }
    }

    /// Notes that a neighbour has spoken of a document, so that it can be asked for it.
    pub(super) fn note_source(&mut self, from: NodeId, message: &Message) {
        let document = match message {
            Message::Proposal(proposal) => Some(proposal.document),
            Message::Vote(vote) => vote.document,
            Message::Certificate(certificate) => Some(certificate.document),
        };
        let (Some(document), Some(council)) = (document, &mut self.council) else {
            return;
        };
        if let Some(wanted) = council.wanted.get_mut(&document) {
            wanted.sources.retain(|source| *source != from);
            wanted.sources.insert(0, from);
            wanted.sources.truncate(MOST_SOURCES);
        }
    }

    /// Asks for documents that are not here: whoever has spoken of them, or else anybody.
    pub(super) fn fetch_wanted(&mut self, now: Time) {
        let Some(council) = &self.council else { return };
        let due = |wanted: &Wanted| wanted.judging.is_none() && now >= wanted.ask_at;
        let wanted = council.wanted.iter().filter(|(_, wanted)| due(wanted));
        let wanted: Vec<DocumentHash> = wanted.map(|(hash, _)| *hash).collect();
        for hash in wanted {
            let Some(council) = &mut self.council else {
                return;
            };
            let Some(wanted) = council.wanted.get_mut(&hash) else {
                continue;
            };
            wanted.ask_at = now + FETCH_AGAIN;
            let last = wanted.asked;
            let sources = wanted.sources.iter().copied();
            let mut sources = sources.filter(|source| Some(*source) != last);
            let free = sources.find(|source| self.peers.is_free(source, now));
            let asked = free.or_else(|| self.peers.choose(&mut self.rng, now));
            wanted.asked = asked;
            let lacks = wanted.body.is_some().then(|| Arc::clone(&wanted.lacks));
            match (asked, lacks) {
                (Some(from), None) => self.ask_for(from, now, hash),
                (Some(from), Some(lacks)) if lacks.len() <= MOST_LACKING => {
                    self.ask_lacking(from, now, hash, &lacks);
                }
                // Whoever lacks that many is behind with all: they come as all others do.
                (from, Some(_)) => {
                    if let Some(from) = from {
                        self.ask(from, now);
                    }
                    self.judge(now, hash);
                }
                (None, None) => {}
            }
        }
    }

    /// A document that was asked for has come, or has not.
    pub(super) fn take_document(&mut self, now: Time, hash: DocumentHash, document: Option<Body>) {
        let council = self.council.as_mut();
        let Some(wanted) = council.and_then(|council| council.wanted.get_mut(&hash)) else {
            return;
        };
        match document {
            None => wanted.ask_by(now + FETCH_AGAIN),
            Some(body) if wanted.judging.is_none() => {
                wanted.body = Some(body);
                self.judge(now, hash);
            }
            Some(_) => {}
        }
    }

    /// Descriptors have come that a document lacks, and perhaps others.
    pub(super) fn take_lacking(
        &mut self,
        now: Time,
        hash: DocumentHash,
        came: &[(Claim, Arc<[u8]>)],
    ) {
        let council = self.council.as_mut();
        let Some(wanted) = council.and_then(|council| council.wanted.get_mut(&hash)) else {
            return;
        };
        let before = wanted.fetched.len();
        for (claim, bytes) in came {
            // Ascending by identity, as members are.
            let lacks = wanted.lacks.binary_search(&(claim.id, claim.sequence));
            // Of some there may be two that differ.
            let fits = wanted.fetched.len() < 2 * MOST_LACKING;
            if lacks.is_ok() && fits && !wanted.fetched.contains(bytes) {
                wanted.fetched.push(Arc::clone(bytes));
            }
        }
        wanted.ask_by(now + FETCH_AGAIN);
        if wanted.fetched.len() > before && wanted.judging.is_none() {
            self.judge(now, hash);
        }
    }

    /// The descriptors with these sequences, as far as they are known here.
    pub(super) fn lacking(&self, wanted: &[(NodeId, u64)]) -> Vec<&SignedDescriptor> {
        let council = self.council.iter();
        let judged = council.flat_map(|council| council.documents.values());
        let judged: Vec<&[SignedDescriptor]> =
            judged.map(|sound| sound.descriptors.as_slice()).collect();
        let find = |(id, sequence): &(NodeId, u64)| {
            // Ascending by identity, as members are.
            let in_judged = judged.iter().filter_map(|descriptors| {
                let place = descriptors.binary_search_by_key(id, SignedDescriptor::id);
                descriptors.get(place.ok()?)
            });
            let mut all = in_judged.chain(self.pool.of(id));
            all.find(|signed| signed.sequence() == *sequence)
        };
        wanted.iter().filter_map(find).collect()
    }

    fn judge(&mut self, now: Time, hash: DocumentHash) {
        let next = self.epoch.next();
        let epoch = self.target(now).unwrap_or(next);
        let base = self.council.as_ref().and_then(|it| it.base.as_deref());
        let missed = self.newcomers_that(now, base, Watched::is_doubtful);
        let Some(council) = &mut self.council else {
            return;
        };
        let Some(wanted) = council.wanted.get_mut(&hash) else {
            return;
        };
        let Some(body) = wanted.body.clone() else {
            return;
        };
        wanted.judging = Some(now);
        let decided = council.decision.as_ref().map(|decision| decision.document);
        let salts = salts(Some(&council.seats), council.before.as_ref());
        let door = Door::new(&self.rules, epoch, council.base.as_deref(), salts);
        let known = self.pool.iter().filter(|it| door.admits(it));
        let candidate = Candidate {
            hash,
            body,
            decided: decided == Some(hash),
            known: known.cloned().collect(),
            fetched: wanted.fetched.clone(),
            base: council.base.clone(),
            seats: council.seats.clone(),
            held: (next, self.held.staying(next, &self.pool, &missed)),
            before: council.before.clone(),
            proven: (next, self.held.proven(next)),
        };
        self.job(Task::Judge(Box::new(candidate)));
    }

    /// A document that was proposed has been verified.
    pub(super) fn judged(
        &mut self,
        now: Time,
        hash: DocumentHash,
        judged: Result<Judged, DocumentError>,
    ) {
        let Some(council) = &mut self.council else {
            return;
        };
        let Some(wanted) = council.wanted.get_mut(&hash) else {
            return;
        };
        match judged {
            Ok(Judged::Lacks(lacks)) => {
                wanted.judging = None;
                wanted.ask_at = match lacks.len() <= MOST_LACKING {
                    // What was just asked for and did not help is not asked for at once again.
                    true if wanted.lacks.is_empty() => now,
                    true => now + FETCH_AGAIN,
                    false => now + CATCH_UP,
                };
                wanted.lacks = lacks;
                let decided = council.decision.as_ref();
                if decided.is_some_and(|decided| decided.document == hash) {
                    self.judge(now, hash);
                }
            }
            Err(DocumentError::NotAsNamed) => {
                // Who sent it is to blame, and the document may be what it should be.
                wanted.judging = None;
                wanted.body = None;
                wanted.ask_at = now;
                let from = wanted.asked;
                self.counters.refused += 1;
                if let Some(from) = from {
                    self.blame(now, &from);
                }
            }
            Err(_) => {
                self.counters.refused += 1;
                council.wanted.remove(&hash);
                let invalid = AgreementInput::Judged {
                    document: hash,
                    judgement: Judgement::Invalid,
                    made_in: None,
                };
                self.hear_once(now, invalid);
            }
            Ok(Judged::Sound(sound)) => {
                council.wanted.remove(&hash);
                self.keep_proposal(&sound.document);
                self.tell_judgement(now, hash, &sound);
                if let Some(council) = &mut self.council {
                    council.documents.insert(hash, sound);
                }
                self.conclude(now);
            }
        }
        self.pump(now);
    }
}
