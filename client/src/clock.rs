//! A correction of the host's clock.

use shoal_proto::{Span, Time};

/// How far the host's clock was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockStep {
    ahead: bool,
    by: Span,
}

impl ClockStep {
    /// By this much, ahead or back.
    pub(crate) const fn new(ahead: bool, by: Span) -> Self {
        Self { ahead, by }
    }

    /// An instant of the clock as it was, as the clock shows it now.
    pub(crate) fn apply(self, time: Time) -> Time {
        if self.ahead {
            time + self.by
        } else {
            time - self.by
        }
    }
}
