use std::sync::Arc;

use shoal_packet::{Frame, Payload};
use shoal_proto::{ClientHandle, NodeId, SurbId, Time};
use shoal_topology::View;
use zeroize::Zeroizing;

use crate::{DropReason, StoreError, StoreOp, StoreResult};

/// A packet whose final hop is this provider, as the relay hands it over.
pub struct Delivered {
    /// A client's handle, if the payload is for a client.
    pub destination: [u8; 32],
    /// Tells the client which keys open the payload.
    pub id: SurbId,
    /// The payload.
    pub payload: Payload,
    /// The payload's plaintext if it can be recovered: then it is a command.
    pub plaintext: Option<Zeroizing<Vec<u8>>>,
    /// The epoch byte of the frame it came in.
    pub epoch_byte: u8,
    /// When the frame came in: replies are held from then on.
    pub arrival: Time,
}

/// What goes into [`Provider::handle_input`](crate::Provider::handle_input).
#[non_exhaustive]
pub enum ProviderInput {
    /// A packet ended here.
    Delivered(Delivered),
    /// A client asks to be attached. Answered by [`ProviderAction::Attach`].
    Attached {
        /// What the client calls itself for this connection.
        handle: ClientHandle,
        /// The name of its profile.
        profile: String,
    },
    /// A client's connection is gone.
    Detached {
        /// Whose.
        handle: ClientHandle,
    },
    /// The store finished an operation.
    StoreDone {
        /// The number it was given by [`ProviderAction::Store`].
        ticket: u64,
        /// How it ended.
        result: StoreResult,
    },
    /// The documents that are known now.
    View(Arc<View>),
    /// A frame for a client could not be put on its link.
    LinkFull {
        /// Whose link.
        handle: ClientHandle,
    },
}

/// The answer to a client that asks to be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachAnswer {
    /// Frames flow from now on.
    Accepted,
    /// The network has no such profile.
    UnknownProfile,
    /// As many clients are attached as may be, or the handle is taken.
    Full,
}

/// What a packet that the provider made says. For counting only: on the wire all look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SendKind {
    /// The answer to a deposit.
    Receipt,
    /// An answer that says nothing.
    Dummy,
    /// A mailbox's stream.
    Stream,
}

impl SendKind {
    /// The label of this kind in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Dummy => "dummy",
            Self::Stream => "stream",
        }
    }
}

/// What comes out of [`Provider::poll_action`](crate::Provider::poll_action).
#[non_exhaustive]
pub enum ProviderAction {
    /// Tell a client whether it is attached. Unless it was accepted, close its connection.
    Attach {
        /// Which client.
        handle: ClientHandle,
        /// What to tell it.
        answer: AttachAnswer,
    },
    /// Send this frame on a client's link, now.
    ToClient {
        /// Which client.
        handle: ClientHandle,
        /// The frame.
        frame: Frame,
    },
    /// Send this frame to a member of layer 1, now.
    Send {
        /// The member.
        to: NodeId,
        /// The frame.
        frame: Frame,
        /// What it says.
        kind: SendKind,
    },
    /// Give this to the store, in the order of the tickets, and bring the answer back as
    /// [`ProviderInput::StoreDone`].
    Store {
        /// Names the operation.
        ticket: u64,
        /// What to do.
        op: StoreOp,
    },
    /// A delivered packet was dropped. It is in the counters already.
    Dropped(DropReason),
    /// The store failed; the text says what to do. Given once until an operation succeeds.
    StoreTrouble(StoreError),
    /// The store works again.
    StoreRecovered,
}
