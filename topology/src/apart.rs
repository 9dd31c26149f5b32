//! No two members with one address: who advertises exactly the address (IP, transport and port) that another
//! member has is left out. Only one of them can be there, so the other one would be a hole in every route over it.
//!
//! What counts is what a document says of its members: the first addresses of a descriptor, as many as fit.

use std::collections::BTreeMap;

use shoal_proto::NodeId;

use crate::agreement::Seed;
use crate::document::Place;
use crate::rules::Rules;
use crate::{Address, Document, Member};

/// Whose an address is.
#[derive(Default)]
pub(crate) struct Holders(BTreeMap<Address, NodeId>);

impl Holders {
    /// Those of these members.
    pub(crate) fn of<'a>(members: impl Iterator<Item = &'a Member>) -> Self {
        let mut holders = Self::default();
        for member in members {
            holders.hold(member);
        }
        holders
    }

    fn hold(&mut self, member: &Member) {
        let addresses = member.addresses.iter().cloned();
        self.0.extend(addresses.map(|address| (address, member.id)));
    }

    /// Gives a member its addresses. False if one of them is another's: then it has none of them, and those that
    /// were its own are free.
    pub(crate) fn admit(&mut self, member: &Member) -> bool {
        let of_another = |address| self.0.get(address).is_some_and(|id| *id != member.id);
        if !member.addresses.iter().any(of_another) {
            self.hold(member);
            return true;
        }
        for address in &member.addresses {
            if self.0.get(address) == Some(&member.id) {
                self.0.remove(address);
            }
        }
        false
    }
}

/// Leaves out of those that do not have to be drawn who has another's address. An address that somebody has in the
/// base and still advertises is its own; of two that come to one, who stands in the base comes before others, first
/// members before others, and then whom the seed draws.
pub(crate) fn settle<D: AsRef<Document>>(
    rules: &Rules,
    place: &Place<D>,
    seed: &Seed,
    members: &mut BTreeMap<NodeId, Member>,
) {
    let base = place.base();
    let listed = |id: &NodeId| base.is_some_and(|base| base.member(id).is_some());
    let mut holders = Holders::default();
    for before in base.iter().flat_map(|base| base.members()) {
        let now = members.get(&before.id);
        let still = before.addresses.iter();
        let still = still.filter(|it| now.is_some_and(|now| now.addresses.contains(it)));
        holders
            .0
            .extend(still.map(|address| (address.clone(), before.id)));
    }
    let is_drawn = |id: &NodeId| base.is_some() && !listed(id) && !rules.is_genesis(id);
    let settled = members.keys().filter(|id| !is_drawn(id));
    let mut queue: Vec<NodeId> = settled.copied().collect();
    queue.sort_by_cached_key(|id| {
        let rank = seed.rank("newcomer", id.as_bytes());
        (!listed(id), !rules.is_genesis(id), rank)
    });
    for id in queue {
        if !members.get(&id).is_some_and(|it| holders.admit(it)) {
            members.remove(&id);
        }
    }
}

impl Document {
    /// The first of a node's addresses that is another member's: no document that follows lists the node as long as both
    /// advertise it.
    #[must_use]
    pub fn address_of_another<'a>(
        &self,
        id: &NodeId,
        addresses: &'a [Address],
    ) -> Option<&'a Address> {
        let mut others = self.members().filter(|member| member.id != *id);
        let shared = |other: &Member| addresses.iter().find(|it| other.addresses.contains(it));
        others.find_map(shared)
    }
}
