//! A network's parameters together with what follows from them and is asked for again and again:
//! the hash that names the network, and who its genesis members are.

use std::collections::BTreeSet;
use std::sync::Arc;

use shoal_proto::{Epoch, NetworkHash, NodeId};

use crate::agreement::Height;
use crate::{NetworkParameters, Reach, Recovery, Successor, Terms};

/// The parameters, with what follows from them computed once. Without it all of that would be
/// computed anew for every descriptor, in time that grows with the number of genesis members.
pub(crate) struct Rules {
    pub(crate) params: Arc<NetworkParameters>,
    /// The hash of the parameters.
    pub(crate) hash: NetworkHash,
    /// For what everything in the chain is signed: see [`NetworkParameters::chain`].
    pub(crate) network: NetworkHash,
    /// Which heights the same seats decide.
    pub(crate) terms: Terms,
    /// Which addresses its members may have.
    pub(crate) reach: Reach,
    genesis: BTreeSet<NodeId>,
    /// The file that follows, and what follows from that.
    next: Option<(Successor, Arc<Self>)>,
}

impl Rules {
    pub(crate) fn new(params: Arc<NetworkParameters>) -> Self {
        Self {
            hash: params.hash(),
            network: params.chain(),
            terms: Terms::of(&params),
            reach: params.reach(),
            genesis: params.genesis_members.iter().map(|m| m.id).collect(),
            next: None,
            params,
        }
    }

    /// With a file that follows on these.
    pub(crate) fn followed_by(&self, successor: Successor) -> Self {
        // Before its moment the clock is that of before: when descriptors were issued, and when a height is decided.
        let by = NetworkParameters {
            genesis: self.params.genesis,
            epoch: self.params.epoch,
            recoveries: self.params.recoveries.clone(),
            ..(**successor.params()).clone()
        };
        let next = Self {
            hash: successor.hash(),
            ..Self::new(Arc::new(by))
        };
        Self {
            next: Some((successor, Arc::new(next))),
            ..Self::new(Arc::clone(&self.params))
        }
    }

    /// The file that follows on this one, if there is one that was accepted.
    pub(crate) fn successor(&self) -> Option<&Successor> {
        self.next.as_ref().map(|(successor, _)| successor)
    }

    /// By which the document of an epoch is formed. Before their time the values of a file that follows count for
    /// that, and for nothing else.
    pub(crate) fn at(&self, epoch: Epoch) -> &Self {
        let next = self.next.as_ref();
        let next = next.filter(|(successor, _)| epoch >= successor.succession().epoch);
        next.map_or(self, |(_, next)| next)
    }

    /// For who calls once, with parameters that are not shared.
    pub(crate) fn of(params: &NetworkParameters) -> Self {
        Self::new(Arc::new(params.clone()))
    }

    /// How many layers a document of this epoch has; none for one of before these values, of which others are known
    /// to have verified that.
    pub(crate) fn layers(&self, epoch: Epoch) -> Option<u8> {
        let params = &self.at(epoch).params;
        let begun = params
            .succession
            .as_ref()
            .is_none_or(|it| epoch >= it.epoch);
        begun.then_some(params.layers)
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
