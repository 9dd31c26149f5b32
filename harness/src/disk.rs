//! Simulated disks: all that a crash leaves.

use std::collections::BTreeMap;
use std::sync::Arc;

use shoal_client::{Change, Row, Table};
use shoal_packet::ReplayTag;
use shoal_proto::{DocumentHash, Epoch, NetworkHash, NodeId};
use shoal_provider::MemoryStore;
use shoal_topology::agreement::Height;
use shoal_topology::{DirectoryChange, Restored};
use zeroize::Zeroizing;

/// A disk that does one group at a time: what comes meanwhile makes the next one.
pub(crate) struct Writer<T> {
    waiting: Vec<T>,
    writing: Option<Vec<T>>,
}

impl<T> Writer<T> {
    pub(crate) const fn new() -> Self {
        Self {
            waiting: Vec::new(),
            writing: None,
        }
    }

    pub(crate) fn push(&mut self, item: T) {
        self.waiting.push(item);
    }

    /// Begins the next group, if there is one and the last is done. True if one began.
    pub(crate) fn begin(&mut self) -> bool {
        let begins = self.writing.is_none() && !self.waiting.is_empty();
        if begins {
            self.writing = Some(std::mem::take(&mut self.waiting));
        }
        begins
    }

    /// The group that is being written; none is from then on.
    pub(crate) fn end(&mut self) -> Vec<T> {
        self.writing.take().unwrap_or_default()
    }
}

/// The disk of a node.
pub(crate) struct NodeDisk {
    keys: BTreeMap<Epoch, Zeroizing<[u8; 32]>>,
    documents: BTreeMap<Epoch, Arc<[u8]>>,
    descriptors: BTreeMap<(NodeId, u64), Arc<[u8]>>,
    sequence: u64,
    handovers: BTreeMap<Height, Arc<[u8]>>,
    records: BTreeMap<(Height, u64), Vec<u8>>,
    proposals: BTreeMap<DocumentHash, Arc<[u8]>>,
    evidence: BTreeMap<NodeId, Arc<[u8]>>,
    seat_keys: Option<Zeroizing<Vec<u8>>>,
    successors: BTreeMap<NetworkHash, Arc<[u8]>>,
    tags: BTreeMap<Epoch, Vec<ReplayTag>>,
    pub(crate) store: MemoryStore,
}

impl NodeDisk {
    pub(crate) fn new(store: MemoryStore) -> Self {
        Self {
            keys: BTreeMap::new(),
            documents: BTreeMap::new(),
            descriptors: BTreeMap::new(),
            sequence: 0,
            handovers: BTreeMap::new(),
            records: BTreeMap::new(),
            proposals: BTreeMap::new(),
            evidence: BTreeMap::new(),
            seat_keys: None,
            successors: BTreeMap::new(),
            tags: BTreeMap::new(),
            store,
        }
    }

    pub(crate) fn change(&mut self, change: DirectoryChange) {
        match change {
            DirectoryChange::Key { epoch, secret } => {
                self.keys.insert(epoch, secret);
            }
            DirectoryChange::RemoveKey { epoch } => {
                self.keys.remove(&epoch);
                self.tags.remove(&epoch);
            }
            DirectoryChange::Document { epoch, bytes } => {
                self.documents.insert(epoch, bytes);
            }
            DirectoryChange::RemoveDocument { epoch } => {
                self.documents.remove(&epoch);
            }
            DirectoryChange::Descriptor {
                id,
                sequence,
                bytes,
            } => {
                self.descriptors.insert((id, sequence), bytes);
            }
            DirectoryChange::RemoveDescriptor { id, sequence } => {
                self.descriptors.remove(&(id, sequence));
            }
            DirectoryChange::Sequence(sequence) => self.sequence = sequence,
            DirectoryChange::Handover { height, bytes } => {
                self.handovers.insert(height, bytes);
            }
            DirectoryChange::Record {
                height,
                number,
                bytes,
            } => {
                self.records.insert((height, number), bytes.to_vec());
            }
            DirectoryChange::RemoveRecord { height, number } => {
                self.records.remove(&(height, number));
            }
            DirectoryChange::Proposal { hash, bytes } => {
                self.proposals.insert(hash, bytes);
            }
            DirectoryChange::RemoveProposal { hash } => {
                self.proposals.remove(&hash);
            }
            DirectoryChange::Evidence { id, bytes } => {
                self.evidence.insert(id, bytes);
            }
            DirectoryChange::RemoveEvidence { id } => {
                self.evidence.remove(&id);
            }
            DirectoryChange::SeatKeys { kept } => self.seat_keys = Some(kept),
            DirectoryChange::Successor { hash, text } => {
                self.successors.insert(hash, text);
            }
        }
    }

    pub(crate) fn restored(&self) -> Restored {
        Restored {
            keys: self
                .keys
                .iter()
                .map(|(epoch, key)| (*epoch, key.clone()))
                .collect(),
            documents: self.documents.values().cloned().collect(),
            descriptors: self.descriptors.values().cloned().collect(),
            sequence: self.sequence,
            handovers: self.handovers.values().cloned().collect(),
            records: self.records.clone(),
            proposals: self.proposals.values().cloned().collect(),
            evidence: self.evidence.clone(),
            seat_keys: self.seat_keys.clone(),
            successors: self.successors.values().cloned().collect(),
        }
    }

    /// A tag of an epoch whose key went meanwhile is of no use.
    pub(crate) fn write_tag(&mut self, epoch: Epoch, tag: ReplayTag) {
        if self.keys.contains_key(&epoch) {
            self.tags.entry(epoch).or_default().push(tag);
        }
    }

    pub(crate) fn tags(&self) -> Vec<(Epoch, Vec<ReplayTag>)> {
        let tags = self.tags.iter();
        tags.map(|(epoch, tags)| (*epoch, tags.clone())).collect()
    }

    /// Somebody has put back a copy of the disk from before there were any keys.
    pub(crate) fn lose_keys(&mut self) {
        self.keys.clear();
        self.tags.clear();
    }
}

/// The disk of a client.
#[derive(Default)]
pub(crate) struct ClientDisk {
    rows: BTreeMap<(Table, Vec<u8>), Zeroizing<Vec<u8>>>,
}

impl ClientDisk {
    pub(crate) fn write(&mut self, changes: Vec<Change>) {
        for Change { table, key, value } in changes {
            match value {
                Some(value) => self.rows.insert((table, key), value),
                None => self.rows.remove(&(table, key)),
            };
        }
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        let row = |((table, key), value): (&(Table, Vec<u8>), &Zeroizing<Vec<u8>>)| Row {
            table: *table,
            key: key.clone(),
            value: value.clone(),
        };
        self.rows.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_does_one_group_at_a_time() {
        let mut writer = Writer::new();
        assert!(!writer.begin());
        writer.push(1);
        assert!(writer.begin());
        writer.push(2);
        writer.push(3);
        assert!(!writer.begin());
        assert_eq!(writer.end(), [1]);
        assert!(writer.begin());
        assert_eq!(writer.end(), [2, 3]);
        assert!(!writer.begin());
    }

    #[test]
    fn rows_are_put_and_deleted() {
        let mut disk = ClientDisk::default();
        let change = |value: Option<&[u8]>| Change {
            table: Table::Mailbox,
            key: vec![1],
            value: value.map(|value| value.to_vec().into()),
        };
        disk.write(vec![change(Some(b"a")), change(Some(b"b"))]);
        assert!(
            disk.rows()
                .iter()
                .map(|row| row.value.as_slice())
                .eq([b"b"])
        );
        disk.write(vec![change(None)]);
        assert!(disk.rows().is_empty());
    }
}
