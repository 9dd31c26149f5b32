use std::collections::BTreeMap;

use shoal_proto::{Epoch, NodeId, Time};

use super::MAX_DESCRIPTORS;
use crate::{Document, NetworkParameters, SignedDescriptor};

/// The descriptors that are known. For each identity at most two are kept: the latest, and the
/// latest of those that count for the epoch whose document is formed next, for a node that
/// issues another after the deadline is still a member by the one before.
#[derive(Default)]
pub(super) struct Pool {
    entries: BTreeMap<NodeId, Vec<SignedDescriptor>>,
}

/// What became of a descriptor.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inserted {
    /// It was taken.
    New,
    /// It is known, or of no use beside what is known.
    Known,
    /// Another one with its sequence number is known. The first one is kept.
    Equivocation,
    /// There are too many identities.
    NoRoom,
}

/// A descriptor that is no longer kept, by identity and sequence number.
pub(super) type Removed = (NodeId, u64);

impl Pool {
    /// Takes a verified descriptor, and says which ones it displaced.
    pub(super) fn insert(
        &mut self,
        params: &NetworkParameters,
        target: Epoch,
        signed: SignedDescriptor,
    ) -> (Inserted, Vec<Removed>) {
        let (id, sequence) = (signed.id(), signed.sequence());
        let mut removed = Vec::new();
        if !self.entries.contains_key(&id) && self.entries.len() >= MAX_DESCRIPTORS {
            // The genesis members' places can't be taken by whoever comes first.
            let stranger = |id: &&NodeId| !params.is_genesis(id);
            let victim = self.entries.keys().rfind(stranger).copied();
            let Some(victim) = victim.filter(|_| params.is_genesis(&id)) else {
                return (Inserted::NoRoom, removed);
            };
            let displaced = self.entries.remove(&victim).unwrap_or_default();
            removed.extend(displaced.iter().map(|old| (victim, old.sequence())));
        }
        let kept = self.entries.entry(id).or_default();
        if let Some(same) = kept.iter().find(|old| old.sequence() == sequence) {
            let same = same.encode() == signed.encode();
            return (
                if same {
                    Inserted::Known
                } else {
                    Inserted::Equivocation
                },
                removed,
            );
        }
        kept.push(signed);
        kept.sort_by_key(SignedDescriptor::sequence);
        removed.extend(trim(params, target, kept).into_iter().map(|old| (id, old)));
        // What was trimmed at once was of no use and never kept.
        let useless = removed.iter().position(|gone| *gone == (id, sequence));
        if let Some(index) = useless {
            removed.swap_remove(index);
            return (Inserted::Known, removed);
        }
        (Inserted::New, removed)
    }

    /// Forgets what has expired or no longer counts.
    pub(super) fn prune(
        &mut self,
        params: &NetworkParameters,
        target: Epoch,
        now: Time,
    ) -> Vec<Removed> {
        let mut removed = Vec::new();
        self.entries.retain(|id, kept| {
            kept.retain(|signed| {
                let valid = signed.descriptor().expires_at > now;
                if !valid {
                    removed.push((*id, signed.sequence()));
                }
                valid
            });
            removed.extend(trim(params, target, kept).into_iter().map(|old| (*id, old)));
            !kept.is_empty()
        });
        removed
    }

    /// Every descriptor, ascending by identity and sequence number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &SignedDescriptor> {
        self.entries.values().flatten()
    }

    /// The descriptors of an identity, ascending by sequence number.
    pub(super) fn of(&self, id: &NodeId) -> &[SignedDescriptor] {
        self.entries.get(id).map_or(&[], Vec::as_slice)
    }

    /// Whether these very bytes are known.
    pub(super) fn contains(&self, id: &NodeId, bytes: &[u8]) -> bool {
        self.of(id).iter().any(|signed| signed.encode() == bytes)
    }

    /// How many identities there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Leaves the latest, and the latest that counts for the target epoch.
fn trim(params: &NetworkParameters, target: Epoch, kept: &mut Vec<SignedDescriptor>) -> Vec<u64> {
    if kept.len() < 2 {
        return Vec::new();
    }
    let latest = kept.last().map(SignedDescriptor::sequence);
    let counted = kept.iter().rfind(|signed| in_time(params, target, signed));
    let counted = counted.map(SignedDescriptor::sequence);
    let mut removed = Vec::new();
    kept.retain(|signed| {
        let keep = [latest, counted].contains(&Some(signed.sequence()));
        if !keep {
            removed.push(signed.sequence());
        }
        keep
    });
    removed
}

/// Whether a descriptor has a key for the epoch and lasts to its end.
pub(super) fn covers(params: &NetworkParameters, epoch: Epoch, signed: &SignedDescriptor) -> bool {
    signed.descriptor().key_for(epoch).is_some()
        && signed.descriptor().expires_at >= params.start_of(epoch.next())
}

/// Whether a descriptor covers the epoch and was issued before the deadline for it.
fn in_time(params: &NetworkParameters, epoch: Epoch, signed: &SignedDescriptor) -> bool {
    covers(params, epoch, signed) && signed.descriptor().issued_at < params.issue_deadline(epoch)
}

/// Whether a descriptor counts for the document that follows `base`: it was issued in time, or
/// `base` itself lists it, as it does when the first document was formed late in an epoch.
pub(super) fn eligible(
    params: &NetworkParameters,
    epoch: Epoch,
    base: Option<&Document>,
    signed: &SignedDescriptor,
) -> bool {
    let listed = || {
        let listed = base.and_then(|document| document.descriptor(&signed.id()));
        listed.is_some_and(|listed| listed.encode() == signed.encode())
    };
    covers(params, epoch, signed) && (in_time(params, epoch, signed) || listed())
}
