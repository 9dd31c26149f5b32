//! What is worth unwrapping.

use std::sync::atomic::{AtomicU64, Ordering};

use shoal_packet::Frame;
use shoal_proto::{ClientHandle, NodeId, Span, Time};
use shoal_topology::{Document, NetworkParameters, Role};

use crate::accounting::Backlog;
use crate::{DropReason, Passage, RelayLimits};

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

/// The rules of admission, and how long packets waited lately.
pub(crate) struct Admission {
    local: NodeId,
    role: Role,
    queue: u64,
    shed_after: Span,
    /// How long the packet that a worker took last had waited, in microseconds.
    last_wait: AtomicU64,
}

impl Admission {
    pub(crate) fn new(
        params: &NetworkParameters,
        local: NodeId,
        role: Role,
        limits: RelayLimits,
    ) -> Self {
        Self {
            local,
            role,
            queue: u64::try_from(limits.queue).unwrap_or(u64::MAX),
            shed_after: limits.shed_after.unwrap_or(params.mean_delay),
            last_wait: AtomicU64::new(0),
        }
    }

    /// A worker took a packet that had waited for so long.
    pub(crate) fn waited(&self, wait: Span) {
        self.last_wait.store(wait.as_micros(), Ordering::Relaxed);
    }

    /// Whether the sender may send to this node in the document's epoch, and there is room.
    pub(crate) fn check(
        &self,
        document: &Document,
        origin: &Origin,
        backlog: &Backlog,
    ) -> Result<(), DropReason> {
        if document.member(&self.local).is_none() {
            return Err(DropReason::NotListed);
        }
        match origin {
            Origin::Client(_) if self.role != Role::Provider => Err(DropReason::NotAttached),
            Origin::Client(_) => Ok(()),
            Origin::Member(id) if document.member(id).is_none() => Err(DropReason::NotAMember),
            Origin::Member(id) if !document.position_ok(id, &self.local) => {
                Err(DropReason::WrongLayer)
            }
            Origin::Member(_) => Ok(()),
        }?;
        self.check_load(backlog)
    }

    fn check_load(&self, backlog: &Backlog) -> Result<(), DropReason> {
        let waiting = backlog.queued.saturating_add(backlog.unwrapping);
        if waiting >= self.queue {
            return Err(DropReason::QueueFull);
        }
        // With an empty queue the last wait says nothing about the next one.
        let last_wait = Span::from_micros(self.last_wait.load(Ordering::Relaxed));
        if backlog.queued > 0 && last_wait > self.shed_after {
            return Err(DropReason::Overload);
        }
        Ok(())
    }
}
