//! What this node held for long enough before a freeze that every honest proposer holds it too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shoal_proto::{Epoch, NodeId, Span, Time};

use super::pool::{Door, Pool};
use super::proven::Proven;
use crate::agreement::Evidence;
use crate::{NetworkParameters, SignedDescriptor};

/// Descriptors and evidence that the document of an epoch may not leave out.
#[derive(Default)]
pub(super) struct Held {
    epoch: Option<Epoch>,
    descriptors: Arc<Vec<SignedDescriptor>>,
    proven: Arc<BTreeMap<NodeId, Evidence>>,
    /// Who had said by then that it leaves.
    leaving: BTreeSet<NodeId>,
}

/// How long before the freeze somebody must have held a descriptor to miss it in a document: so long it
/// has to spread to everybody else.
fn spread(params: &NetworkParameters) -> Span {
    params.epoch.scale(1, 20)
}

/// When it is looked at what is held.
pub(super) fn look_at(params: &NetworkParameters, epoch: Epoch) -> Time {
    params.freeze_time(epoch) - spread(params)
}

impl Held {
    /// Whether it was looked at for this epoch.
    pub(super) fn is_of(&self, epoch: Epoch) -> bool {
        self.epoch == Some(epoch)
    }

    /// Takes down what is held now. Of a node that has started after that moment this is less than what
    /// others hold, and never more.
    pub(super) fn take(&mut self, door: &Door<'_>, (pool, proven): (&Pool, &Proven)) {
        self.epoch = Some(door.epoch);
        self.proven = proven.all();
        self.leaving = pool.leaving();
        self.descriptors = Arc::new(choose(door, pool, |id| self.leaving.contains(id)));
    }

    /// It is too late to look for this epoch: its documents may leave out anything.
    pub(super) fn pass(&mut self, epoch: Epoch) {
        self.epoch = Some(epoch);
        self.descriptors = Arc::default();
        self.proven = Arc::default();
        self.leaving = BTreeSet::new();
    }

    /// The evidence that a document of this epoch may not leave out.
    pub(super) fn proven(&self, epoch: Epoch) -> Arc<BTreeMap<NodeId, Evidence>> {
        match self.is_of(epoch) {
            true => Arc::clone(&self.proven),
            false => Arc::default(),
        }
    }

    /// Who a document of this epoch is not to list, because it leaves. Who has said so later is listed once more:
    /// others may not have heard it.
    pub(super) fn leaving(&self, epoch: Epoch) -> &BTreeSet<NodeId> {
        const NOBODY: &BTreeSet<NodeId> = &BTreeSet::new();
        if self.is_of(epoch) {
            &self.leaving
        } else {
            NOBODY
        }
    }

    /// What a document of this epoch may not leave out. Who has said since that it leaves may be left out, and who is
    /// `missed`.
    pub(super) fn staying(
        &self,
        epoch: Epoch,
        pool: &Pool,
        missed: &BTreeSet<NodeId>,
    ) -> Arc<Vec<SignedDescriptor>> {
        if !self.is_of(epoch) {
            return Arc::default();
        }
        let may_lack = |signed: &SignedDescriptor| {
            let id = signed.id();
            missed.contains(&id) || pool.leaves(&id)
        };
        if !self.descriptors.iter().any(may_lack) {
            return Arc::clone(&self.descriptors);
        }
        let staying = self.descriptors.iter().filter(|it| !may_lack(it));
        Arc::new(staying.cloned().collect())
    }
}

/// What a document is made of, of what is known: of each node the newest that counts, but of none that is left out.
pub(super) fn choose(
    door: &Door<'_>,
    pool: &Pool,
    is_left_out: impl Fn(&NodeId) -> bool,
) -> Vec<SignedDescriptor> {
    let mut chosen: BTreeMap<NodeId, &SignedDescriptor> = BTreeMap::new();
    for signed in pool.iter() {
        let newer = chosen
            .get(&signed.id())
            .is_none_or(|chosen| chosen.sequence() < signed.sequence());
        if newer && !is_left_out(&signed.id()) && door.admits(signed) {
            chosen.insert(signed.id(), signed);
        }
    }
    chosen.into_values().cloned().collect()
}
