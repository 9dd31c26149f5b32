//! What goes into the core, and what comes out of it.

use std::sync::Arc;

use shoal_packet::Frame;
use shoal_proto::{ClientHandle, NodeId};
use shoal_topology::View;

use crate::{Checked, StoreError, StoreOp, StoreResult};

/// What goes into [`Provider::handle_input`](crate::Provider::handle_input).
#[non_exhaustive]
pub enum ProviderInput {
    /// A packet ended here, and was checked by [`Checker::check`](crate::Checker::check).
    Delivered(Checked),
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
    /// What all clients are to be told now, in place of what was before: each at most
    /// [`MAX_NOTICE_BYTES`](shoal_packet::MAX_NOTICE_BYTES).
    Notices(Vec<Arc<[u8]>>),
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
    },
    /// Give this to the store, in the order of the tickets, and bring the answer back as
    /// [`ProviderInput::StoreDone`].
    Store {
        /// Names the operation.
        ticket: u64,
        /// What to do.
        op: StoreOp,
    },
    /// The store failed; the text says what to do. Given once until an operation succeeds.
    StoreTrouble(StoreError),
    /// The store works again.
    StoreRecovered,
}
