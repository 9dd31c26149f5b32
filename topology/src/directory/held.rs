//! What this node held for long enough before a freeze that every honest proposer holds it too.

use std::collections::BTreeMap;
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
        self.descriptors = Arc::new(choose(door, pool));
    }

    /// It is too late to look for this epoch: its documents may leave out anything.
    pub(super) fn pass(&mut self, epoch: Epoch) {
        self.epoch = Some(epoch);
        self.descriptors = Arc::default();
        self.proven = Arc::default();
    }

    /// The evidence that a document of this epoch may not leave out.
    pub(super) fn proven(&self, epoch: Epoch) -> Arc<BTreeMap<NodeId, Evidence>> {
        match self.is_of(epoch) {
            true => Arc::clone(&self.proven),
            false => Arc::default(),
        }
    }

    /// What a document of this epoch may not leave out.
    pub(super) fn of(&self, epoch: Epoch) -> Arc<Vec<SignedDescriptor>> {
        match self.is_of(epoch) {
            true => Arc::clone(&self.descriptors),
            false => Arc::default(),
        }
    }
}

/// What a document is made of, of what is known: of each node the newest that counts.
pub(super) fn choose(door: &Door<'_>, pool: &Pool) -> Vec<SignedDescriptor> {
    let mut chosen: BTreeMap<NodeId, &SignedDescriptor> = BTreeMap::new();
    for signed in pool.iter() {
        let newer = chosen
            .get(&signed.id())
            .is_none_or(|chosen| chosen.sequence() < signed.sequence());
        if newer && door.admits(signed) {
            chosen.insert(signed.id(), signed);
        }
    }
    chosen.into_values().cloned().collect()
}
