//! At which providers a place is.

use rand::CryptoRng;
use rand::seq::SliceRandom as _;
use shoal_proto::NodeId;
use shoal_topology::{Document, Member};

use super::Places;

impl Places {
    /// Two providers, or one where there are no two: drawn uniformly from those that take this client and have no family and no
    /// network in common with each other, nor with the entries. Where these are not known yet, one provider
    /// is left for that, which is none of the present mailboxes'.
    pub(super) fn draw<R: CryptoRng>(&self, rng: &mut R, document: &Document) -> Vec<NodeId> {
        let mut providers = document.providers().to_vec();
        providers.shuffle(rng);
        let ties = |ids: &[NodeId]| {
            let members = ids.iter().filter_map(|id| document.member(id));
            members.map(Member::ties).collect::<Vec<_>>()
        };
        let mut apart_from = self.entries.clone();
        if apart_from.is_empty() && providers.len() > 1 {
            let used: Vec<NodeId> = self.providers().collect();
            let free = providers.iter().copied().filter(|id| !used.contains(id));
            let free = document.apart(ties(&used), free);
            apart_from.extend(free.first());
        }
        let fits = |id: &NodeId| document.member(id).is_some_and(|it| self.can_open(it));
        providers.retain(|id| !apart_from.contains(id) && fits(id));
        let mut drawn = document.apart(ties(&apart_from), providers);
        drawn.truncate(2);
        drawn
    }
}
