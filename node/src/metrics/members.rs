//! How many members of the network stand in each place.

use shoal_topology::Document;

shoal_proto::labels! {
    /// Members of the document in force, by the place in which they stand.
    pub enum MemberPlace("place") counted by PlacedMembers as gauge "shoal_node_placed_members" in "members" {
        /// Lets clients in and keeps mailboxes. With fewer than two, no client can choose another entry than its
        /// mailbox's provider.
        Provider = "provider";
        /// Mixes of the first layer. If a layer has none, no packet passes.
        First = "layer_1";
        /// Mixes of the second layer; 0 in a network of one layer.
        Second = "layer_2";
        /// Mixes of the third layer; 0 in a network of fewer.
        Third = "layer_3";
        /// Mixes that have just come: the next document gives them a layer.
        New = "new";
    }
}

impl PlacedMembers {
    /// Those of a document; none without one.
    #[must_use]
    pub fn in_document(document: Option<&Document>) -> Self {
        let mut placed = Self::default();
        for member in document.into_iter().flat_map(Document::members) {
            placed.add(place(member.position()), 1);
        }
        placed
    }
}

/// The place of a layer, from 1; 0 is a provider's.
const fn place(position: Option<u8>) -> MemberPlace {
    match position {
        None => MemberPlace::New,
        Some(0) => MemberPlace::Provider,
        Some(1) => MemberPlace::First,
        Some(2) => MemberPlace::Second,
        Some(_) => MemberPlace::Third,
    }
}
