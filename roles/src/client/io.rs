//! What goes into a [`Session`](crate::client::Session) and what comes out of it.

use shoal_client::{Change, ClientEvent, UserRequest};
use shoal_packet::Frame;
use shoal_proto::{Epoch, MessageId, NodeId, Span};
use shoal_topology::Address;
use zeroize::Zeroizing;

use super::error::SessionError;
use super::job::{SessionDone, SessionJob};
use crate::request::RequestKind;

/// Names one connection of a session. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) u64);

/// What happens to a session. What concerns a connection that is closed is ignored.
#[non_exhaustive]
pub enum SessionInput {
    /// The user wants to be online, or not.
    Online(bool),
    /// The connection stands, and the other end's identity is proven.
    Connected(ConnectionId),
    /// Frames can be sent on the connection.
    LinkUp(ConnectionId),
    /// Frames can't be sent on it any more.
    LinkDown(ConnectionId),
    /// The connection could not be made, or is gone: for both sides, so that the host gives up what
    /// carried it.
    Closed(ConnectionId),
    /// The other end answered.
    Response {
        /// On which connection.
        connection: ConnectionId,
        /// The answer.
        bytes: Vec<u8>,
    },
    /// It did not.
    RequestFailed(ConnectionId),
    /// A frame came.
    Frame {
        /// On which connection.
        connection: ConnectionId,
        /// The frame.
        frame: Frame,
    },
    /// A job is done.
    Done(SessionDone),
    /// The user wants something.
    Ask {
        /// Names the request in the [`ClientEvent`] that answers it.
        request: u64,
        /// What.
        what: UserRequest,
    },
    /// New invitations are to lead elsewhere.
    RenewInvitations,
    /// The user has this message.
    Read {
        /// From [`ClientEvent::Received`].
        message: MessageId,
    },
    /// The changes of this ticket are on disk.
    Persisted {
        /// From [`SessionAction::Persist`].
        ticket: u64,
    },
    /// They are not.
    PersistFailed {
        /// From [`SessionAction::Persist`].
        ticket: u64,
        /// Why, for the user.
        reason: String,
    },
}

/// A connection that is to be made.
pub struct Opening {
    /// Names it.
    pub connection: ConnectionId,
    /// The Ed25519 secret of the identity that this end has on it: made for it, and forgotten with
    /// it. Nothing else that this end uses on it may outlive it either.
    pub secret: Zeroizing<[u8; 32]>,
    /// Whom to.
    pub to: NodeId,
    /// Where.
    pub addresses: Vec<Address>,
    /// Whether frames will pass, or a question and its answer only.
    pub packets: bool,
}

/// What a session wants done, in this order.
#[non_exhaustive]
pub enum SessionAction {
    /// Make a connection. Ends in [`SessionInput::Connected`] or [`SessionInput::Closed`].
    Open(Opening),
    /// Ask the other end. Ends in [`SessionInput::Response`] or [`SessionInput::RequestFailed`].
    Request {
        /// On which connection.
        connection: ConnectionId,
        /// What.
        kind: RequestKind,
        /// The question.
        bytes: Vec<u8>,
    },
    /// Send this frame, now. One that finds no room is lost, as on any link.
    Send {
        /// On which connection.
        connection: ConnectionId,
        /// The frame.
        frame: Frame,
    },
    /// Close the connection in good order. Nothing is heard of it any more.
    Close(ConnectionId),
    /// Store these changes, together or not at all and in the order of the tickets. Answered by
    /// [`SessionInput::Persisted`] or [`SessionInput::PersistFailed`].
    Persist {
        /// Names the changes.
        ticket: u64,
        /// The changes.
        changes: Vec<Change>,
    },
    /// Run this somewhere else than in the loop that keeps the clocks, and bring back what it gives
    /// as [`SessionInput::Done`].
    Job(SessionJob),
    /// Something the user may want to know.
    Event(SessionEvent),
}

/// What a session tells its user.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// Attached: cover traffic runs.
    Online {
        /// The entry provider.
        entry: NodeId,
    },
    /// Not attached any more, or not yet. It is tried again by itself.
    Offline {
        /// Why.
        reason: SessionError,
        /// It was attached until now.
        was_online: bool,
    },
    /// New documents.
    Documents {
        /// The epoch of the one in force.
        in_force: Epoch,
        /// The newest epoch that there is one of.
        newest: Epoch,
    },
    /// The documents could not be renewed; it is tried again by itself.
    NotRenewed(SessionError),
    /// Whose signatures count could not be stored; it is tried again with the next documents. A client that is
    /// started again meanwhile knows what it knew before.
    TrustNotKept {
        /// Why.
        reason: String,
    },
    /// The machine's clock disagrees with the network's, whose is used from now on.
    ClockCorrected {
        /// The network's is ahead.
        ahead: bool,
        /// By so much, in all.
        by: Span,
    },
    /// Other values of the network count from now on: the session is to be made anew with them. Told once.
    Succeeded,
    /// What the client role has to say.
    Client(ClientEvent),
}
