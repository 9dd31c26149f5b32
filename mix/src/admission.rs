//! What is worth unwrapping.

use shoal_packet::Frame;
use shoal_proto::{ClientHandle, NodeId, Time};
use shoal_topology::{Document, Role};

use crate::{DropReason, Passage};

/// Who handed a frame to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A peer, by the identity that its link proved.
    Member(NodeId),
    /// A client that is attached to this node at this moment; whoever reads the link knows.
    Client(ClientHandle),
}

/// A frame that passed admission. Let go, it counts as abandoned.
pub struct Admitted {
    pub(crate) origin: Origin,
    pub(crate) frame: Frame,
    pub(crate) arrival: Time,
    pub(crate) passage: Passage,
}

impl Admitted {
    /// When the frame came in.
    #[must_use]
    pub const fn arrival(&self) -> Time {
        self.arrival
    }

    /// Drops the frame before it was unwrapped.
    pub fn drop_as(self, reason: DropReason) {
        self.passage.drop_as(reason);
    }
}

/// Whether a sender may send to this node in the document's epoch.
pub(crate) fn check(
    document: &Document,
    (local, role): (&NodeId, Role),
    origin: &Origin,
) -> Result<(), DropReason> {
    if document.member(local).is_none() {
        return Err(DropReason::NotListed);
    }
    match origin {
        Origin::Client(_) if role != Role::Provider => Err(DropReason::NotAttached),
        Origin::Client(_) => Ok(()),
        Origin::Member(id) if document.member(id).is_none() => Err(DropReason::NotAMember),
        Origin::Member(id) if !document.position_ok(id, local) => Err(DropReason::WrongLayer),
        Origin::Member(_) => Ok(()),
    }
}
