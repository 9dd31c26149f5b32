//! What a client takes from the answers of several nodes, and what it does not believe.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use shoal_proto::{Epoch, Span, Time, wire};

use crate::rules::Rules;
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

/// Verifies the answers of several nodes to an empty request (see
/// [`Directory::client_response`](crate::Directory::client_response)) and takes from them what
/// they agree on. Every answer has to come from another node, and is given with the time at which
/// it came. Answers that can't be read and
/// documents that don't verify are passed over. Of other epochs than the one in force, a document
/// is taken if more answers name it than any other.
///
/// # Errors
/// When there is nothing to go by, or when documents that verify contradict each other about the
/// epoch in force.
pub fn adopt_documents(
    params: &NetworkParameters,
    responses: &[(Time, Vec<u8>)],
    now: Time,
) -> Result<ClientDirectory, AdoptError> {
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
    let clock_offset_us = median_offset(&came, &answers);
    let corrected = if clock_offset_us < 0 {
        now - Span::from_micros(clock_offset_us.unsigned_abs())
    } else {
        now + Span::from_micros(clock_offset_us.unsigned_abs())
    };
    let epoch = params.epoch_at(corrected);
    let (variants, last) = tally(&Rules::of(params), &answers, epoch);
    let in_force = variants.keys().copied().rfind(|known| *known <= epoch);
    let Some(in_force) = in_force else {
        return Err(AdoptError::NoDocument {
            answers: answers.len(),
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

/// By hash: how many answers have the document, and the document.
type Candidates = BTreeMap<[u8; 32], (usize, Arc<Document>)>;

/// Every document that verifies and can matter now, and why the last one that can't was refused.
fn tally(
    rules: &Rules,
    answers: &[wire::SyncResponse],
    epoch: Epoch,
) -> (BTreeMap<Epoch, Candidates>, Option<DocumentError>) {
    let oldest = Epoch::new(epoch.number().saturating_sub(MAX_STALE_EPOCHS));
    let mut verified: BTreeMap<&[u8], Option<Arc<Document>>> = BTreeMap::new();
    let mut variants: BTreeMap<Epoch, Candidates> = BTreeMap::new();
    let mut last = None;
    for answer in answers {
        let mut counted = std::collections::BTreeSet::new();
        for bytes in answer
            .documents
            .iter()
            .take(crate::directory::MAX_DOCUMENTS)
        {
            // Most nodes answer the same bytes, which are verified once.
            let document = verified.entry(bytes).or_insert_with(|| {
                let checked =
                    Document::decode(&bytes.as_slice().into(), rules).and_then(|document| {
                        let known = document.epoch();
                        let fits = (oldest..=epoch.next()).contains(&known);
                        if fits {
                            Ok(document)
                        } else {
                            Err(DocumentError::Epoch(known))
                        }
                    });
                checked
                    .map(Arc::new)
                    .map_err(|error| last = Some(error))
                    .ok()
            });
            let Some(document) = document else { continue };
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
