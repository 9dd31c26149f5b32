//! The rows that changes of the directory are kept in: the same in a file and in a database.

use std::sync::Arc;

use shoal_proto::{Epoch, NodeId};
use shoal_topology::agreement::Height;
use shoal_topology::{DirectoryChange, Restored};

const DOCUMENT: &str = "document";
const DESCRIPTOR: &str = "descriptor";
const HANDOVER: &str = "handover";
const RECORD: &str = "record";
const PROPOSAL: &str = "proposal";
const EVIDENCE: &str = "evidence";
pub(super) const META: &str = "meta";
const SEQUENCE: &[u8] = b"sequence";

/// Whether rows of this kind are written once, so that one of which nobody knows whether it was is deleted before it is
/// written again.
#[cfg(feature = "postgres")]
pub(super) fn is_written_once(kind: &str) -> bool {
    [DESCRIPTOR, RECORD, PROPOSAL].contains(&kind)
}

/// A row's kind, key and value; without a value, it is to be deleted.
pub(super) type Row = (&'static str, Vec<u8>, Option<Arc<[u8]>>);

/// The row of a change. None for what has a file of its own.
pub(super) fn row(change: &DirectoryChange) -> Option<Row> {
    let row = match change {
        DirectoryChange::Key { .. }
        | DirectoryChange::RemoveKey { .. }
        | DirectoryChange::SeatKeys { .. }
        | DirectoryChange::Successor { .. } => return None,
        DirectoryChange::Document { epoch, bytes } => (
            DOCUMENT,
            epoch_key(*epoch).to_vec(),
            Some(Arc::clone(bytes)),
        ),
        DirectoryChange::RemoveDocument { epoch } => (DOCUMENT, epoch_key(*epoch).to_vec(), None),
        DirectoryChange::Descriptor {
            id,
            sequence,
            bytes,
        } => {
            let key = descriptor_key(id, *sequence);
            (DESCRIPTOR, key, Some(Arc::clone(bytes)))
        }
        DirectoryChange::RemoveDescriptor { id, sequence } => {
            (DESCRIPTOR, descriptor_key(id, *sequence), None)
        }
        DirectoryChange::Sequence(number) => {
            let value = Arc::from(number.to_be_bytes().as_slice());
            (META, SEQUENCE.to_vec(), Some(value))
        }
        DirectoryChange::Handover { height, bytes } => {
            let key = height.number().to_be_bytes().to_vec();
            (HANDOVER, key, Some(Arc::clone(bytes)))
        }
        DirectoryChange::Record {
            height,
            number,
            bytes,
        } => {
            let key = record_key(*height, *number);
            (RECORD, key, Some(Arc::clone(bytes)))
        }
        DirectoryChange::RemoveRecord { height, number } => {
            (RECORD, record_key(*height, *number), None)
        }
        DirectoryChange::Proposal { hash, bytes } => {
            let key = hash.as_bytes().to_vec();
            (PROPOSAL, key, Some(Arc::clone(bytes)))
        }
        DirectoryChange::RemoveProposal { hash } => (PROPOSAL, hash.as_bytes().to_vec(), None),
        DirectoryChange::Evidence { id, bytes } => {
            (EVIDENCE, id.as_bytes().to_vec(), Some(Arc::clone(bytes)))
        }
        DirectoryChange::RemoveEvidence { id } => (EVIDENCE, id.as_bytes().to_vec(), None),
    };
    Some(row)
}

fn record_key(height: Height, number: u64) -> Vec<u8> {
    [height.number().to_be_bytes(), number.to_be_bytes()].concat()
}

fn record_of(key: &[u8]) -> Option<(Height, u64)> {
    let (height, number) = key.split_first_chunk()?;
    let number = number.try_into().ok()?;
    let height = Height::new(u64::from_be_bytes(*height));
    Some((height, u64::from_be_bytes(number)))
}

/// Takes a row up. Or what is wrong with it.
pub(super) fn load_row(
    restored: &mut Restored,
    kind: &str,
    key: &[u8],
    value: Vec<u8>,
) -> Result<(), String> {
    match kind {
        DOCUMENT => restored.documents.push(value.into()),
        DESCRIPTOR => restored.descriptors.push(value.into()),
        // By height, so in order.
        HANDOVER => restored.handovers.push(value.into()),
        PROPOSAL => restored.proposals.push(value.into()),
        RECORD => {
            let (height, number) = record_of(key).ok_or("a record has no number")?;
            restored.records.insert((height, number), value);
        }
        EVIDENCE => {
            let id = NodeId::try_from(key);
            let id = id.map_err(|_| "evidence is against nobody".to_owned())?;
            restored.evidence.insert(id, value.into());
        }
        META if key == SEQUENCE => {
            let bytes = value.try_into();
            let bytes = bytes.map_err(|_| "its sequence number is no number".to_owned())?;
            restored.sequence = u64::from_be_bytes(bytes);
        }
        other => return Err(format!("it has rows of a kind `{other}`")),
    }
    Ok(())
}

pub(super) fn epoch_key(epoch: Epoch) -> [u8; 8] {
    epoch.number().to_be_bytes()
}

fn descriptor_key(id: &NodeId, sequence: u64) -> Vec<u8> {
    [id.as_bytes().as_slice(), &sequence.to_be_bytes()].concat()
}
