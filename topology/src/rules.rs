//! A network's parameters together with what follows from them and is asked for again and again:
//! the hash that names the network, and who its genesis members are.

use std::collections::BTreeSet;
use std::sync::Arc;

use shoal_proto::{NetworkHash, NodeId};

use crate::agreement::Height;
use crate::{NetworkParameters, Reach, Recovery, Terms};

/// The parameters, with what follows from them computed once. Without it all of that would be
/// computed anew for every descriptor, in time that grows with the number of genesis members.
pub(crate) struct Rules {
    pub(crate) params: Arc<NetworkParameters>,
    /// The hash of the parameters.
    pub(crate) network: NetworkHash,
    /// Which heights the same seats decide.
    pub(crate) terms: Terms,
    /// Which addresses its members may have.
    pub(crate) reach: Reach,
    genesis: BTreeSet<NodeId>,
}

impl Rules {
    pub(crate) fn new(params: Arc<NetworkParameters>) -> Self {
        Self {
            network: params.hash(),
            terms: Terms::of(&params),
            reach: params.reach(),
            genesis: params.genesis_members.iter().map(|m| m.id).collect(),
            params,
        }
    }

    /// For who calls once, with parameters that are not shared.
    pub(crate) fn of(params: &NetworkParameters) -> Self {
        Self::new(Arc::new(params.clone()))
    }

    /// The recovery from the document of this height.
    pub(crate) fn recovery(&self, height: Height) -> Option<&Recovery> {
        let mut all = self.params.recoveries.iter();
        all.find(|recovery| recovery.height == height)
    }

    /// Whether the node is one that the network starts with.
    pub(crate) fn is_genesis(&self, id: &NodeId) -> bool {
        self.genesis.contains(id)
    }

    /// The genesis members, ascending.
    pub(crate) fn genesis(&self) -> impl ExactSizeIterator<Item = &NodeId> {
        self.genesis.iter()
    }
}
