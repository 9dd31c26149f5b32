//! The way of a packet, as its sender picks it.

use crate::key::SphinxPublic;
use shoal_proto::{NodeId, Span};

/// One hop of a route, as its sender picks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The node.
    pub node: NodeId,
    /// Its key in the epoch the packet is made for.
    pub key: SphinxPublic,
    /// How long it is to hold the packet, from arrival. The last hop's is not on the wire.
    pub delay: Span,
}
