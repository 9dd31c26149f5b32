//! Frames that wait for an unwrap worker, shared out among those who sent them.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

use shoal_packet::Batch;
use shoal_proto::{Span, Time};
use shoal_topology::NetworkParameters;

use crate::share::may_take;
use crate::{Admitted, DropReason, Origin, RelayLimits};

/// Emptied lines that are kept to be filled again, so that a packet costs no allocation.
const SPARE_LINES: usize = 64;
/// A line that grew beyond this is not kept.
const SPARE_FRAMES: usize = 64;

/// The frames that wait for an unwrap worker: a line for each sender. The host keeps it under a lock
/// of its own, between the threads that read links and those that unwrap.
///
/// Nobody's flood costs another: a sender may have as many frames in line as there are places left,
/// so one alone gets half of them and the others still find room, and workers take one frame of each
/// sender in turn. Whoever sends more than its turn gives it waits longer, and once its frames wait
/// longer than [`RelayLimits::shed_after`] what it sends is shed, and only that.
///
/// Memory: [`RelayLimits::queue`] frames of 2.6 kB.
///
/// Sources: J. Nagle, RFC 970, 1985 (a line for each sender, served in turn); A. Choudhury and
/// E. Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998 (a bound that
/// is what is left).
pub struct UnwrapQueue {
    bound: usize,
    shed_after: Span,
    waiting: usize,
    /// By sender; none is empty.
    lines: BTreeMap<Origin, Line>,
    /// Whose frame was taken last.
    served: Option<Origin>,
    spare: Vec<VecDeque<Admitted>>,
}

struct Line {
    frames: VecDeque<Admitted>,
    /// How long the frame that was taken last had waited.
    last_wait: Span,
}

impl UnwrapQueue {
    /// An empty queue with these bounds.
    #[must_use]
    pub fn new(params: &NetworkParameters, limits: &RelayLimits) -> Self {
        Self {
            bound: limits.queue,
            shed_after: limits.shed_after.unwrap_or(params.mean_delay),
            waiting: 0,
            lines: BTreeMap::new(),
            served: None,
            spare: Vec::new(),
        }
    }

    /// Frames that wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.waiting
    }

    /// Whether no frame waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Puts a frame at the end of its sender's line.
    ///
    /// # Errors
    /// [`DropReason::QueueFull`] if its sender has as many frames in line as places are left, and
    /// [`DropReason::Overload`] if its sender's frames wait too long; already counted.
    pub fn push(&mut self, admitted: Admitted) -> Result<(), DropReason> {
        match self.check(&admitted.origin) {
            Ok(()) => {
                let spare = &mut self.spare;
                let line = self.lines.entry(admitted.origin).or_insert_with(|| Line {
                    frames: spare.pop().unwrap_or_default(),
                    last_wait: Span::ZERO,
                });
                line.frames.push_back(admitted);
                self.waiting += 1;
                Ok(())
            }
            Err(reason) => {
                admitted.drop_as(reason);
                Err(reason)
            }
        }
    }

    /// What is there for a worker: at most a batch, one frame of each sender in turn.
    pub fn take(&mut self, now: Time) -> Batch<Admitted> {
        Batch::fill(&mut std::iter::from_fn(|| self.next(now)))
    }

    fn check(&self, origin: &Origin) -> Result<(), DropReason> {
        let line = self.lines.get(origin);
        let held = line.map_or(0, |line| line.frames.len());
        if !may_take(held, self.bound.saturating_sub(self.waiting)) {
            return Err(DropReason::QueueFull);
        }
        // Without a line the last wait says nothing about the next one.
        if line.is_some_and(|line| line.last_wait > self.shed_after) {
            return Err(DropReason::Overload);
        }
        Ok(())
    }

    fn next(&mut self, now: Time) -> Option<Admitted> {
        let origin = self.turn()?;
        let line = self.lines.get_mut(&origin)?;
        let admitted = line.frames.pop_front()?;
        line.last_wait = now.since(admitted.arrival);
        if line.frames.is_empty()
            && let Some(line) = self.lines.remove(&origin)
            && self.spare.len() < SPARE_LINES
            && line.frames.capacity() <= SPARE_FRAMES
        {
            self.spare.push(line.frames);
        }
        self.served = Some(origin);
        self.waiting -= 1;
        Some(admitted)
    }

    /// The sender after the one that was served last, in a circle.
    fn turn(&self) -> Option<Origin> {
        let served = self.served.as_ref();
        let after = served.and_then(|last| self.lines.range((Excluded(last), Unbounded)).next());
        let next = after.or_else(|| self.lines.first_key_value());
        next.map(|(origin, _)| *origin)
    }
}
