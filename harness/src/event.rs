//! What will happen in a network, and to whom.

use std::sync::Arc;

use shoal_packet::Frame;
use shoal_proto::NodeId;
use shoal_roles::RequestKind;
use shoal_topology::Address;

use crate::party::Party;

/// A connection that a client has made to a node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connection {
    /// Never given twice.
    pub(crate) number: u64,
    pub(crate) client: Party,
    pub(crate) node: Party,
    /// The identity that the client has on it, and on no other.
    pub(crate) peer: NodeId,
}

/// On which kind of link a frame travels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Between members; the number is the receiver's incarnation when it was sent.
    Members(u64),
    /// From a client to its entry, on this connection.
    Uplink(u64),
    /// From an entry to its client, on this connection.
    Downlink(u64),
}

/// Who asks a node something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    Node(Party),
    Client(Connection),
}

impl Asker {
    pub(crate) const fn party(self) -> Party {
        match self {
            Self::Node(party) => party,
            Self::Client(connection) => connection.client,
        }
    }
}

/// A descriptor on its way, with its number among all that were ever published.
#[derive(Clone)]
pub(crate) struct Rumour {
    pub(crate) number: usize,
    pub(crate) bytes: Arc<[u8]>,
}

/// What will happen.
pub(crate) enum Event {
    /// A party's own deadline.
    Wake { party: Party },
    /// A frame comes out of a link, or would.
    Frame {
        from: Party,
        to: Party,
        lane: Lane,
        frame: Option<Frame>,
    },
    /// A descriptor comes by gossip.
    Gossip {
        from: Party,
        to: Party,
        rumour: Rumour,
    },
    /// A node is asked.
    Ask {
        by: Asker,
        to: Party,
        number: u64,
        kind: RequestKind,
        request: Vec<u8>,
    },
    /// A node's answer comes; none if it gives none.
    Answer {
        to: Party,
        number: u64,
        response: Option<Vec<u8>>,
    },
    /// An answer should be there by now.
    AskTimeout { party: Party, number: u64 },
    /// A node learns that a neighbour is there, or is not any more.
    Neighbour {
        party: Party,
        other: Party,
        there: bool,
    },
    /// A node's links to members may have changed.
    Links { party: Party },
    /// The disk of a process has done what it was asked.
    Disk {
        party: Party,
        incarnation: u64,
        job: DiskJob,
    },
    /// A node has dialled another at its addresses, by connections of their own, or has waited long enough.
    Probed {
        party: Party,
        incarnation: u64,
        id: NodeId,
        addresses: Vec<Address>,
    },
    /// A client connects to a node.
    Dial { connection: Connection },
    /// The node is there.
    Dialled { connection: Connection },
    /// The node should have been there by now.
    DialTimeout { connection: Connection },
    /// Frames can pass on a client's connection from now on, or can't any more.
    Linked { connection: Connection, up: bool },
    /// The other end of a connection is gone.
    Gone {
        party: Party,
        connection: Connection,
    },
}

/// What a disk was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskJob {
    /// Write the replay tags that wait.
    Tags,
    /// Do the store's operations that wait.
    Store,
    /// Write the changes of the directory's state that wait.
    State,
    /// Write a client's rows that wait.
    Rows,
}

impl Event {
    /// Whom it happens to.
    pub(crate) const fn party(&self) -> Party {
        match self {
            Self::Wake { party }
            | Self::AskTimeout { party, .. }
            | Self::Neighbour { party, .. }
            | Self::Links { party }
            | Self::Probed { party, .. }
            | Self::Disk { party, .. }
            | Self::Gone { party, .. } => *party,
            Self::Frame { to, .. }
            | Self::Gossip { to, .. }
            | Self::Ask { to, .. }
            | Self::Answer { to, .. } => *to,
            Self::Dial { connection } => connection.node,
            Self::Dialled { connection }
            | Self::DialTimeout { connection }
            | Self::Linked { connection, .. } => connection.client,
        }
    }

    /// Whether it makes a connection, which a cut prevents.
    pub(crate) const fn connects(&self) -> bool {
        matches!(self, Self::Dial { .. } | Self::Dialled { .. })
    }
}
