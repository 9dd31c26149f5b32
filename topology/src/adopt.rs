//! What a client takes from the answers of several nodes, and what it does not believe.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use shoal_proto::{Epoch, Time, wire};

use crate::{AdoptError, Document, DocumentError, MAX_STALE_EPOCHS, NetworkParameters, View};

/// What a client takes from the answers of several nodes.
#[derive(Clone, Debug)]
pub struct ClientDirectory {
    /// The documents that the answers agree on.
    pub documents: BTreeMap<Epoch, Arc<Document>>,
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

/// The answers of several nodes to an empty request (see
/// [`Directory::client_response`](crate::Directory::client_response)), read but not verified. Every
/// answer has to come from another node, and is given with the time at which it came. Answers that
/// can't be read are passed over.
pub struct Answers {
    came: Vec<Time>,
    answers: Vec<wire::SyncResponse>,
}

/// A document that was looked at, by its bytes.
pub type Verified<'a> = BTreeMap<&'a [u8], &'a Result<Arc<Document>, DocumentError>>;

impl Answers {
    /// Reads answers.
    ///
    /// # Errors
    /// When there is nothing to go by.
    pub fn read(responses: &[(Time, Vec<u8>)]) -> Result<Self, AdoptError> {
        if responses.is_empty() {
            return Err(AdoptError::NoAnswers);
        }
        let read = |(came, bytes): &(Time, Vec<u8>)| {
            let fits = bytes.len() <= crate::MAX_SYNC_RESPONSE_BYTES;
            let answer = wire::SyncResponse::decode(bytes.as_slice());
            fits.then_some((*came, answer.ok()?))
        };
        let (came, answers): (Vec<Time>, Vec<wire::SyncResponse>) =
            responses.iter().filter_map(read).unzip();
        if answers.is_empty() {
            return Err(AdoptError::Unreadable(responses.len()));
        }
        Ok(Self { came, answers })
    }

    /// The distinct documents that are to be verified, in the order of their bytes. Most nodes
    /// answer the same ones.
    #[must_use]
    pub fn documents(&self) -> Vec<Vec<u8>> {
        let named = self.answers.iter().flat_map(named);
        let distinct: std::collections::BTreeSet<&[u8]> = named.collect();
        distinct.into_iter().map(<[u8]>::to_vec).collect()
    }

    /// Takes what the answers agree on. `verified` has, for each of
    /// [`documents`](Self::documents), what [`Document::decode_verified`] made of it; the others are
    /// passed over. Of other epochs than the one in force, a document is taken if more answers name
    /// it than any other.
    ///
    /// # Errors
    /// When there is nothing to go by, or when documents that verify contradict each other about
    /// the epoch in force.
    pub fn adopt(
        &self,
        params: &NetworkParameters,
        verified: &Verified<'_>,
        now: Time,
    ) -> Result<ClientDirectory, AdoptError> {
        let clock_offset_us = median_offset(&self.came, &self.answers);
        let epoch = params.epoch_at(now.shifted(clock_offset_us));
        let (variants, last) = tally(&self.answers, verified, epoch);
        let in_force = variants.keys().copied().rfind(|known| *known <= epoch);
        let Some(in_force) = in_force else {
            return Err(AdoptError::NoDocument {
                answers: self.answers.len(),
                epoch,
                last,
            });
        };
        let mut documents = BTreeMap::new();
        for (known, candidates) in variants {
            if known == in_force && candidates.len() > 1 {
                let variants = candidates.len();
                return Err(AdoptError::Contradiction {
                    epoch: known,
                    variants,
                });
            }
            if let Some(document) = favourite(candidates) {
                documents.insert(known, document);
            }
        }
        Ok(ClientDirectory {
            documents,
            clock_offset_us,
        })
    }
}

/// Reads and verifies the answers of several nodes, and takes from them what they agree on: all of
/// [`Answers`] at once, for who has nothing else to do meanwhile.
///
/// # Errors
/// Those of [`Answers::read`] and [`Answers::adopt`].
pub fn adopt_documents(
    params: &NetworkParameters,
    responses: &[(Time, Vec<u8>)],
    now: Time,
) -> Result<ClientDirectory, AdoptError> {
    let answers = Answers::read(responses)?;
    let documents = answers.documents();
    let verified: Vec<_> = documents
        .iter()
        .map(|bytes| Document::decode_verified(bytes, params).map(Arc::new))
        .collect();
    let verified = documents.iter().map(Vec::as_slice).zip(&verified).collect();
    answers.adopt(params, &verified, now)
}

/// The documents that an answer names, as many as count.
fn named(answer: &wire::SyncResponse) -> impl Iterator<Item = &[u8]> {
    let documents = answer.documents.iter().map(Vec::as_slice);
    documents.take(crate::directory::MAX_DOCUMENTS)
}

/// By hash: how many answers have the document, and the document.
type Candidates = BTreeMap<[u8; 32], (usize, Arc<Document>)>;

/// Every document that verifies and can matter now, and why the last one that can't was refused.
fn tally(
    answers: &[wire::SyncResponse],
    verified: &Verified<'_>,
    epoch: Epoch,
) -> (BTreeMap<Epoch, Candidates>, Option<DocumentError>) {
    let oldest = Epoch::new(epoch.number().saturating_sub(MAX_STALE_EPOCHS));
    let mut variants: BTreeMap<Epoch, Candidates> = BTreeMap::new();
    let mut last = None;
    for answer in answers {
        let mut counted = std::collections::BTreeSet::new();
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
            if counted.insert(*document.hash()) {
                let candidates = variants.entry(document.epoch()).or_default();
                let entry = candidates.entry(*document.hash());
                entry.or_insert_with(|| (0, Arc::clone(document))).0 += 1;
            }
        }
    }
    (variants, last)
}

/// The one with more answers than any other; none if two have the most.
fn favourite(candidates: Candidates) -> Option<Arc<Document>> {
    let most = candidates.values().map(|(count, _)| *count).max()?;
    let mut best = candidates.into_values().filter(|(count, _)| *count == most);
    let (_, document) = best.next()?;
    best.next().is_none().then_some(document)
}

/// The median of how far the nodes' clocks are ahead of ours, so that a minority of wrong clocks
/// moves it no further than a right one.
fn median_offset(came: &[Time], answers: &[wire::SyncResponse]) -> i64 {
    let mut offsets: Vec<i64> = came
        .iter()
        .zip(answers)
        .map(|(came, answer)| {
            let ours = i128::from(came.as_micros());
            let offset = i128::from(answer.now_us) - ours;
            i64::try_from(offset).unwrap_or(if offset < 0 { i64::MIN } else { i64::MAX })
        })
        .collect();
    offsets.sort_unstable();
    offsets
        .get(offsets.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(0)
}
