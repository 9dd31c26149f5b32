//! What parties tell those who run them.

use shoal_client::ClientEvent;
use shoal_proto::Time;
use shoal_roles::client::SessionEvent;
use shoal_roles::node::NodeEvent;

use crate::party::Party;

/// Something that a client's session told its user.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// When.
    pub at: Time,
    /// Which client.
    pub client: Party,
    /// What.
    pub event: SessionEvent,
}

impl Happening {
    /// What the client role said; none if it is about documents, the clock or the entry.
    #[must_use]
    pub const fn client_event(&self) -> Option<&ClientEvent> {
        match &self.event {
            SessionEvent::Client(event) => Some(event),
            _ => None,
        }
    }
}

/// Something that a node told its operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// When.
    pub at: Time,
    /// Which node.
    pub node: Party,
    /// What.
    pub event: NodeEvent,
}
