//! What a client takes from the answers of several nodes, and what it does not believe.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message;
use shoal_proto::{Epoch, NodeId, Time, wire};

use crate::bounded::has_at_most;
use crate::directory::MAX_DOCUMENTS;
use crate::rules::Rules;
use crate::{AdoptError, Document, DocumentError, MAX_STALE_EPOCHS, NetworkParameters, View};

/// What a client takes from the answers of several nodes.
#[derive(Clone, Debug)]
pub struct ClientDirectory {
    /// The documents that the answers agree on: the one in force, and perhaps its neighbours.
    pub documents: BTreeMap<Epoch, Arc<Document>>,
    /// The epoch of the one in force.
    pub in_force: Epoch,
    /// Who named the one in force. None of all who answered has a newer one that counts now.
    pub named_by: BTreeSet<NodeId>,
    /// What to add to the own clock, in microseconds: the median of what the nodes' clocks say.
    pub clock_offset_us: i64,
}

impl ClientDirectory {
    /// The documents as a view.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::new(View {
            documents: self.documents.clone(),
        })
    }
}

/// A node's answer as it came.
#[derive(Clone, Debug)]
pub struct Response {
    /// Whose.
    pub from: NodeId,
    /// When it came.
    pub came: Time,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// The answers of several nodes to an empty request (see
/// [`Directory::client_response`](crate::Directory::client_response)), read but not verified. Every
/// answer has to come from another node. Answers that can't be read are passed over.
pub struct Answers {
    asked: usize,
    answers: Vec<(NodeId, Time, wire::SyncResponse)>,
}

/// A document that was looked at, by its bytes.
pub type Verified<'a> = BTreeMap<&'a [u8], &'a Result<Arc<Document>, DocumentError>>;

impl Answers {
    /// How many nodes have to name a document before it is taken, if so many were asked.
    pub const NEEDED: usize = 2;

    /// Reads the answers of those that were `asked`.
    ///
    /// # Errors
    /// When there is nothing to go by.
    pub fn read(asked: usize, responses: &[Response]) -> Result<Self, AdoptError> {
        if responses.is_empty() {
            return Err(AdoptError::NoAnswers);
        }
        let read = |response: &Response| {
            let fits = response.bytes.len() <= crate::MAX_SYNC_RESPONSE_BYTES
                && has_at_most(2 * MAX_DOCUMENTS + 2, &response.bytes);
            if !fits {
                return None;
            }
            let answer = wire::SyncResponse::decode(response.bytes.as_slice());
            Some((response.from, response.came, answer.ok()?))
        };
        let answers: Vec<_> = responses.iter().filter_map(read).collect();
        if answers.is_empty() {
            return Err(AdoptError::Unreadable(responses.len()));
        }
        Ok(Self { asked, answers })
    }

    /// The distinct documents that are to be verified, in the order of their bytes. Most nodes
    /// answer the same ones.
    #[must_use]
    pub fn documents(&self) -> BTreeSet<&[u8]> {
        let named = self.answers.iter().flat_map(|(_, _, answer)| named(answer));
        named.collect()
    }

    /// Takes what the answers agree on. `verified` has, for each of
    /// [`documents`](Self::documents), what [`verify_documents`] made of it; the others are passed over. `known` are the
    /// documents that were taken before.
    ///
    /// No node decides anything alone: a document that is not known yet is taken if
    /// [`NEEDED`](Self::NEEDED) nodes name it and more than any other of its epoch. One of a later
    /// epoch than the one in force has to follow from that, and so does it from what `verified` says
    /// of it: else who answers before honest nodes have a next document could make one up.
    ///
    /// # Errors
    /// When there is nothing to go by, or when documents that verify contradict each other, or the
    /// one that is known, about the epoch in force.
    pub fn adopt(
        &self,
        params: &NetworkParameters,
        verified: &Verified<'_>,
        known: &View,
        now: Time,
    ) -> Result<ClientDirectory, AdoptError> {
        let clock_offset_us = self.clock_offset();
        let epoch = params.epoch_at(now.shifted(clock_offset_us));
        let (mut variants, last) = self.tally(verified, epoch);
        let in_force = variants.keys().copied().rfind(|known| *known <= epoch);
        let Some(in_force) = in_force else {
            return Err(AdoptError::NoDocument {
                answers: self.answers.len(),
                epoch,
                last,
            });
        };
        let (current, named_by) = self.in_force(&mut variants, in_force, known)?;
        let mut documents = BTreeMap::from([(in_force, Arc::clone(&current))]);
        for (other, candidates) in variants {
            let Some((document, by)) = favourite(candidates) else {
                continue;
            };
            let is_known = known.documents.get(&other) == Some(&document);
            let follows = other < in_force || document.previous() == current.hash();
            if follows && (is_known || by.len() >= self.needed()) {
                documents.insert(other, document);
            }
        }
        Ok(ClientDirectory {
            documents,
            in_force,
            named_by,
            clock_offset_us,
        })
    }

    /// The document of the epoch in force, and who names it.
    fn in_force(
        &self,
        variants: &mut BTreeMap<Epoch, Candidates>,
        epoch: Epoch,
        known: &View,
    ) -> Result<(Arc<Document>, BTreeSet<NodeId>), AdoptError> {
        let mut candidates = variants.remove(&epoch).unwrap_or_default();
        let variants = candidates.len();
        let Some((_, (document, by))) = candidates.pop_first().filter(|_| variants == 1) else {
            return Err(AdoptError::Contradiction { epoch, variants });
        };
        let known = known.documents.get(&epoch);
        if known.is_some_and(|known| *known != document) {
            let variants = 2;
            return Err(AdoptError::Contradiction { epoch, variants });
        }
        if known.is_none() && by.len() < self.needed() {
            return Err(AdoptError::Unconfirmed {
                epoch,
                named: by.len(),
                needed: self.needed(),
            });
        }
        Ok((document, by))
    }

    fn needed(&self) -> usize {
        Self::NEEDED.min(self.asked)
    }

    /// Every document that verifies and can matter now, and why the last one that can't was refused.
    fn tally(
        &self,
        verified: &Verified<'_>,
        epoch: Epoch,
    ) -> (BTreeMap<Epoch, Candidates>, Option<DocumentError>) {
        let oldest = Epoch::new(epoch.number().saturating_sub(MAX_STALE_EPOCHS));
        let mut variants: BTreeMap<Epoch, Candidates> = BTreeMap::new();
        let mut last = None;
        for (from, _, answer) in &self.answers {
            for bytes in named(answer) {
                let document = match verified.get(bytes) {
                    Some(Ok(document)) if (oldest..=epoch.next()).contains(&document.epoch()) => {
                        document
                    }
                    Some(Ok(document)) => {
                        last = Some(DocumentError::Epoch(document.epoch()));
                        continue;
                    }
                    Some(Err(error)) => {
                        last = Some(error.clone());
                        continue;
                    }
                    None => continue,
                };
                let candidates = variants.entry(document.epoch()).or_default();
                let entry = candidates.entry(*document.hash());
                let (_, by) = entry.or_insert_with(|| (Arc::clone(document), BTreeSet::new()));
                by.insert(*from);
            }
        }
        (variants, last)
    }

    /// The [`middle`] of how far the nodes' clocks are ahead of ours, so that a minority of wrong
    /// clocks moves it no further than a right one.
    fn clock_offset(&self) -> i64 {
        let ahead = |(_, came, answer): &(NodeId, Time, wire::SyncResponse)| {
            let offset = i128::from(answer.now_us) - i128::from(came.as_micros());
            i64::try_from(offset).unwrap_or(if offset < 0 { i64::MIN } else { i64::MAX })
        };
        middle(self.answers.iter().map(ahead).collect())
    }
}

/// The middle of how far others' clocks are ahead of ours. Of an even number neither of the two in the
/// middle can be told from a wrong one: then our own clock counts as well, so that both have to agree on
/// which way ours is off, and the nearer one counts.
#[must_use]
pub fn middle(mut ahead: Vec<i64>) -> i64 {
    if ahead.len().is_multiple_of(2) {
        ahead.push(0);
    }
    ahead.sort_unstable();
    ahead.get(ahead.len() / 2).copied().unwrap_or(0)
}

/// Reads and verifies the answers of several nodes, and takes from them what they agree on: all of
/// [`Answers`] at once, for who knows nothing yet and has nothing else to do meanwhile.
///
/// # Errors
/// Those of [`Answers::read`] and [`Answers::adopt`].
pub fn adopt_documents(
    params: &NetworkParameters,
    responses: &[Response],
    now: Time,
) -> Result<ClientDirectory, AdoptError> {
    let answers = Answers::read(responses.len(), responses)?;
    let documents = answers.documents();
    let verified = verify_documents(params, documents.iter().copied(), &View::default());
    let verified = documents.into_iter().zip(&verified).collect();
    answers.adopt(params, &verified, &View::default(), now)
}

/// Verifies documents by themselves, and whether each follows from the document before it, where
/// that is among them or known. In the order of `documents`.
#[must_use]
pub fn verify_documents<'a>(
    params: &NetworkParameters,
    documents: impl IntoIterator<Item = &'a [u8]>,
    known: &View,
) -> Vec<Result<Arc<Document>, DocumentError>> {
    let rules = Rules::of(params);
    let verify = |bytes: &[u8]| Document::decode(&bytes.into(), &rules).map(Arc::new);
    let verified: Vec<_> = documents.into_iter().map(verify).collect();
    let sound = verified.iter().flatten().chain(known.documents.values());
    let sound: BTreeMap<[u8; 32], Arc<Document>> = sound
        .map(|document| (*document.hash(), Arc::clone(document)))
        .collect();
    let derived = |document: Arc<Document>| {
        let base = sound.get(document.previous());
        // Zeros name no document.
        if base.is_none() && *document.previous() != [0; 32] {
            return Ok(document);
        }
        let derived = document.follows_from(base.map(AsRef::as_ref), &rules);
        derived.then_some(document).ok_or(DocumentError::NotDerived)
    };
    verified
        .into_iter()
        .map(|verified| verified.and_then(derived))
        .collect()
}

/// The documents that an answer names, as many as count.
fn named(answer: &wire::SyncResponse) -> impl Iterator<Item = &[u8]> {
    let documents = answer.documents.iter().map(Vec::as_slice);
    documents.take(MAX_DOCUMENTS)
}

/// By hash: the document, and who names it.
type Candidates = BTreeMap<[u8; 32], (Arc<Document>, BTreeSet<NodeId>)>;

/// The one that more nodes name than any other; none if two have the most.
fn favourite(candidates: Candidates) -> Option<(Arc<Document>, BTreeSet<NodeId>)> {
    let most = candidates.values().map(|(_, by)| by.len()).max()?;
    let mut best = candidates.into_values().filter(|(_, by)| by.len() == most);
    let found = best.next()?;
    best.next().is_none().then_some(found)
}
