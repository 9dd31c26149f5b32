//! What a watcher says of those that it watches, signed.

use std::collections::BTreeMap;

use shoal_proto::{NetworkHash, NodeId, Time};
use thiserror::Error;

use crate::identity::{usable, verify};
use crate::{Identity, MAX_ADDRESSES, NetworkParameters};

/// Most nodes that one report says something of.
pub const MAX_REPORTED: usize = 256;
/// Parts of a slot: a watcher has something new to say so often at most.
const PARTS: u64 = 4;
/// For so many parts of a slot a report counts: three slots.
pub(crate) const COUNTS_FOR: u64 = 3 * PARTS;
const DOMAIN: &[u8] = b"shoal report 1";
const ENTRY: usize = 34;
const HEAD: usize = 32 + 8 + 2;
const SIGNATURE: usize = 64;
/// Most bytes of an encoded report.
pub const MAX_REPORT_BYTES: usize = HEAD + MAX_REPORTED * ENTRY + SIGNATURE;

/// Why bytes are no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Not the length of its entries.
    #[error("the report has not the length of its entries")]
    Length,
    /// Not in the order of the nodes, or something of a node that can't be.
    #[error("the report's entries are none")]
    Entry,
    /// The signature is not the watcher's.
    #[error("the signature is not the watcher's")]
    Signature,
}

/// How a watcher found a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// It answered at one of its addresses.
    pub alive: bool,
    /// The addresses at which it did not, by their places in its descriptor: the first is the lowest bit.
    pub missed: u8,
}

/// What a watcher says: of whom it has something to say, and nothing of all others, which it has reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Who says it.
    pub watcher: NodeId,
    /// When, in quarters of a slot since the genesis.
    pub at: u64,
    /// Of whom.
    pub found: BTreeMap<NodeId, Found>,
}

/// The quarter of a slot at this time.
pub(crate) fn part_at(params: &NetworkParameters, now: Time) -> u64 {
    let part = params.slot().as_micros() / PARTS;
    now.since(params.genesis).as_micros() / part.max(1)
}

/// When a quarter of a slot begins.
pub(crate) fn start_of_part(params: &NetworkParameters, part: u64) -> Time {
    params.genesis + params.slot().scale(part, PARTS)
}

impl Report {
    /// The encoding with the watcher's signature: watcher 32, when 8, how many 2, of each node 32, whether it is alive 1
    /// and the addresses that were missed 1, and the signature 64.
    #[must_use]
    pub fn sign(&self, network: &NetworkHash, identity: &Identity) -> Vec<u8> {
        let mut bytes = self.body();
        let signature = identity.sign(&[DOMAIN, network.as_bytes(), &bytes].concat());
        bytes.extend_from_slice(&signature);
        bytes
    }

    fn body(&self) -> Vec<u8> {
        let count = u16::try_from(self.found.len()).unwrap_or(u16::MAX);
        let mut bytes = self.watcher.as_bytes().to_vec();
        bytes.extend_from_slice(&self.at.to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        for (id, found) in &self.found {
            bytes.extend_from_slice(id.as_bytes());
            bytes.extend_from_slice(&[u8::from(found.alive), found.missed]);
        }
        bytes
    }

    /// Reads an encoding without looking at the signature.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn read(bytes: &[u8]) -> Result<Self, ReportError> {
        let (head, rest) = bytes
            .split_first_chunk::<HEAD>()
            .ok_or(ReportError::Length)?;
        let (watcher, rest_of_head) = head.split_first_chunk::<32>().ok_or(ReportError::Length)?;
        let (at, count) = rest_of_head
            .split_first_chunk::<8>()
            .ok_or(ReportError::Length)?;
        let count: [u8; 2] = count.try_into().map_err(|_| ReportError::Length)?;
        let count = usize::from(u16::from_be_bytes(count));
        if count > MAX_REPORTED || rest.len() != count * ENTRY + SIGNATURE {
            return Err(ReportError::Length);
        }
        let mut found: BTreeMap<NodeId, Found> = BTreeMap::new();
        for entry in rest.as_chunks::<ENTRY>().0.iter().take(count) {
            let (id, state) = entry.split_first_chunk::<32>().ok_or(ReportError::Length)?;
            let id = NodeId::new(*id);
            let (alive, missed) = match state {
                [alive @ 0..=1, missed] => (*alive == 1, *missed),
                _ => return Err(ReportError::Entry),
            };
            // Who is reached at none of its addresses is not alive, and who is not alive was missed somewhere.
            let fits = alive || missed != 0;
            if !fits || found.last_key_value().is_some_and(|(last, _)| *last >= id) {
                return Err(ReportError::Entry);
            }
            found.insert(id, Found { alive, missed });
        }
        Ok(Self {
            watcher: NodeId::new(*watcher),
            at: u64::from_be_bytes(*at),
            found,
        })
    }

    /// Whether an encoding that was read has its watcher's signature.
    ///
    /// # Errors
    /// [`ReportError::Signature`].
    pub fn verify(bytes: &[u8], network: &NetworkHash) -> Result<Self, ReportError> {
        let report = Self::read(bytes)?;
        let body = bytes.len().saturating_sub(SIGNATURE);
        let (body, signature) = bytes.split_at_checked(body).ok_or(ReportError::Length)?;
        let signature = signature.try_into().map_err(|_| ReportError::Length)?;
        let signed = [DOMAIN, network.as_bytes(), body].concat();
        let id = &report.watcher;
        match usable(id) && verify(id, &signed, signature) {
            true => Ok(report),
            false => Err(ReportError::Signature),
        }
    }
}

const _: () = assert!(MAX_ADDRESSES <= 8, "a bit for each address");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_report_has_one_encoding_and_one_signature() {
        let identity = Identity::from_bytes(&[1; 32]);
        let network = NetworkHash::new([3; 32]);
        let found = |alive, missed| Found { alive, missed };
        let entries = [
            (NodeId::new([1; 32]), found(false, 3)),
            (NodeId::new([2; 32]), found(true, 0)),
            (NodeId::new([3; 32]), found(true, 2)),
        ];
        let report = Report {
            watcher: identity.id(),
            at: 77,
            found: entries.into(),
        };
        let bytes = report.sign(&network, &identity);
        assert_eq!(bytes.len(), 42 + 3 * 34 + 64);
        assert_eq!(Report::verify(&bytes, &network), Ok(report));
        let other = NetworkHash::new([4; 32]);
        let wrong = Err(ReportError::Signature);
        assert_eq!(Report::verify(&bytes, &other), wrong);
        for place in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[place] ^= 1;
            assert!(Report::verify(&forged, &network).is_err(), "{place}");
        }
        assert_eq!(Report::read(&bytes[1..]), Err(ReportError::Length));
        assert_eq!(Report::read(&[]), Err(ReportError::Length));
    }

    #[test]
    fn what_can_not_be_is_refused() {
        let entry = |id: u8, alive: u8, missed: u8| [&[id; 32][..], &[alive, missed]].concat();
        let read = |entries: &[Vec<u8>]| {
            let count = u16::try_from(entries.len()).unwrap().to_be_bytes();
            let parts = [&[0; 40][..], &count, &entries.concat(), &[0; 64]];
            Report::read(&parts.concat()).map(|_| ())
        };
        assert_eq!(read(&[entry(1, 0, 1), entry(2, 1, 0)]), Ok(()));
        let wrong = Err(ReportError::Entry);
        assert_eq!(read(&[entry(2, 0, 1), entry(1, 1, 0)]), wrong);
        assert_eq!(read(&[entry(1, 0, 1), entry(1, 0, 1)]), wrong);
        assert_eq!(read(&[entry(1, 2, 1)]), wrong);
        assert_eq!(read(&[entry(1, 0, 0)]), wrong);
        let many = vec![entry(1, 0, 1); MAX_REPORTED + 1];
        assert_eq!(read(&many), Err(ReportError::Length));
    }

    #[test]
    fn a_slot_has_four_parts() {
        let params = NetworkParameters::example();
        assert_eq!(
            start_of_part(&params, 4),
            params.start_of_slot(crate::Slot::new(1))
        );
        assert_eq!(part_at(&params, start_of_part(&params, 7)), 7);
    }
}
