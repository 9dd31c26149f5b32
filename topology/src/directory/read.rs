//! Questions and answers as they come: read strictly, and never into more memory than their bytes and
//! a bounded number of entries.

use std::sync::Arc;

use prost::Message;
use shoal_proto::{NodeId, Time, size, wire};

use super::header::Header;
use super::{MAX_DESCRIPTORS, MAX_DOCUMENTS, MAX_SYNC_REQUEST_BYTES};
use crate::DescriptorError;
use crate::bounded::has_at_most;

/// What somebody asks.
pub(super) enum Question {
    /// A client: every document that counts.
    Documents,
    /// A neighbour: what it lacks, and the documents that we go by.
    Sync(wire::SyncRequest),
    /// The document with this hash.
    Fetch([u8; 32]),
}

impl Question {
    /// None if it is none, in exactly the form that we would give it.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::Documents);
        }
        let fits = bytes.len() <= MAX_SYNC_REQUEST_BYTES;
        if !fits || !has_at_most(2 * MAX_DESCRIPTORS + 1, bytes) {
            return None;
        }
        let request = wire::SyncRequest::decode(bytes).ok()?;
        // What we don't know is not to be answered as if it had not been said.
        if request.encoded_len() != bytes.len() {
            return None;
        }
        if request.lack {
            let named = |id: &wire::DescriptorId| NodeId::try_from(id.identity.as_slice()).is_ok();
            let all = request.fetch.is_empty() && request.have.iter().all(named);
            return all.then_some(Self::Sync(request));
        }
        let alone = request.have.is_empty();
        let hash = request.fetch.as_slice().try_into().ok();
        hash.filter(|_| alone).map(Self::Fetch)
    }
}

/// A descriptor of which nothing is verified: what it claims decides whether that is worth it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) id: NodeId,
    pub(super) sequence: u64,
    pub(super) issued_at: Time,
    pub(super) expires_at: Time,
}

impl Claim {
    /// # Errors
    /// What is plainly wrong: its size, or its form.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, DescriptorError> {
        if bytes.len() > size::MAX_DESCRIPTOR_BYTES {
            return Err(DescriptorError::Size(bytes.len()));
        }
        let malformed = |_| DescriptorError::Malformed;
        let outer = wire::SignedDescriptor::decode(bytes).map_err(malformed)?;
        let inner = wire::Descriptor::decode(outer.descriptor.as_slice()).map_err(malformed)?;
        let id = NodeId::try_from(inner.identity.as_slice());
        Ok(Self {
            id: id.map_err(|_| DescriptorError::Identity)?,
            sequence: inner.sequence,
            issued_at: Time::from_micros(inner.issued_at_us),
            expires_at: Time::from_micros(inner.expires_at_us),
        })
    }
}

/// Most entries of an answer.
const MOST_ENTRIES: usize = MAX_DESCRIPTORS + 2 * MAX_DOCUMENTS + 2;

/// The time that an answer says, without reading the rest of it. None if it has none, or more entries
/// than an answer may have: looking at an entry costs nanoseconds, and of empty ones there could be
/// millions.
#[must_use]
pub fn answer_time(answer: &[u8]) -> Option<Time> {
    /// That field of an answer.
    #[derive(Clone, PartialEq, Eq, Message)]
    struct Said {
        #[prost(uint64, tag = "3")]
        now_us: u64,
    }
    let said = has_at_most(MOST_ENTRIES, answer).then(|| Said::decode(answer).ok());
    let time = Time::from_micros(said??.now_us);
    (time > Time::default()).then_some(time)
}

/// An answer, read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Ascending by epoch.
    pub(super) headers: Vec<Header>,
    pub(super) descriptors: Vec<(Claim, Arc<[u8]>)>,
    /// Descriptors that are plainly wrong, and why.
    pub(super) refused: Vec<DescriptorError>,
    pub(super) document: Option<Arc<[u8]>>,
    pub(super) more: bool,
}

impl Reading {
    /// None if it can't be read.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        if !has_at_most(MOST_ENTRIES, bytes) {
            return None;
        }
        let wire = wire::SyncResponse::decode(bytes).ok()?;
        let mut reading = Self {
            more: wire.more,
            document: wire.documents.into_iter().next().map(Arc::from),
            ..Self::default()
        };
        let headers = wire.headers.iter().take(MAX_DOCUMENTS);
        reading.headers = headers.map(Header::read).collect::<Option<_>>()?;
        reading.headers.sort_by_key(|header| header.epoch);
        reading.headers.dedup_by_key(|header| header.epoch);
        for bytes in wire.descriptors {
            match Claim::of(&bytes) {
                Ok(claim) => reading.descriptors.push((claim, bytes.into())),
                Err(error) => reading.refused.push(error),
            }
        }
        Some(reading)
    }

    /// What keeping it costs.
    pub(super) fn bytes(&self) -> usize {
        let descriptors = self.descriptors.iter().map(|(_, bytes)| bytes.len());
        let each = size_of::<(Claim, Arc<[u8]>)>();
        descriptors.sum::<usize>() + each * self.descriptors.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_an_answer_is_found_if_it_is_one() {
        let time = |documents: usize, now_us| {
            let response = wire::SyncResponse {
                documents: vec![vec![7; 9]; documents],
                now_us,
                ..Default::default()
            };
            answer_time(&response.encode_to_vec())
        };
        assert_eq!(time(2, 5), Some(Time::from_micros(5)));
        assert_eq!(time(2, 0), None);
        assert_eq!(time(MOST_ENTRIES - 1, 5), Some(Time::from_micros(5)));
        assert_eq!(time(MOST_ENTRIES, 5), None);
        assert_eq!(answer_time(&[0xff; 9]), None);
    }

    #[test]
    fn empty_entries_are_not_decoded() {
        assert!(Reading::of(&[0x0a, 0x00].repeat(4000)).is_none());
        assert!(Question::read(&[0x0a, 0x00].repeat(5000)).is_none());
    }

    #[test]
    fn nonsense_is_no_question() {
        // A field that there is not, a number where there is none, a hash that is none.
        for bytes in [
            &[0x78, 0x01][..],
            &[0x08, 0x01],
            &[0x12, 0x01, 7],
            &[0xff; 100],
            &[0x0a, 0],
        ] {
            assert!(Question::read(bytes).is_none(), "{bytes:?}");
        }
        assert!(matches!(Question::read(&[]), Some(Question::Documents)));
        let fetch = wire::SyncRequest {
            fetch: vec![7; 32],
            ..Default::default()
        };
        let read = Question::read(&fetch.encode_to_vec());
        assert!(matches!(read, Some(Question::Fetch(hash)) if hash == [7; 32]));
        let both = wire::SyncRequest {
            have: vec![wire::DescriptorId {
                identity: vec![1; 32],
                sequence: 1,
            }],
            ..fetch
        };
        assert!(Question::read(&both.encode_to_vec()).is_none());
    }
}
