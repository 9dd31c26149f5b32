//! How long a round waits.

use shoal_proto::Span;

/// The waits of a height. They grow with each round, so that some round is long enough for whatever the
/// network takes; and they scale with the epoch, so that a test network's are short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For a proposal, in round 0.
    pub propose: Span,
    /// For more votes once more than two thirds of the seats have voted, in round 0.
    pub votes: Span,
    /// What each round adds to both.
    pub step: Span,
    /// How often what was said last is said again, until there is a decision.
    pub repeat: Span,
}

impl Timing {
    /// For epochs of this length: at an hour 40 s for a proposal, 15 s for votes, and 15 s more in each
    /// round. In the quarter of an epoch that is left after the freeze there is room for eight rounds of
    /// a network that is silent. Epochs of less than a minute have the waits of a minute: those of a second
    /// would be over before a busy machine has looked.
    #[must_use]
    pub fn of_epoch(epoch: Span) -> Self {
        let epoch = epoch.max(Span::from_secs(60));
        Self {
            propose: epoch.scale(1, 90),
            votes: epoch.scale(1, 240),
            step: epoch.scale(1, 240),
            repeat: epoch.scale(1, 240),
        }
    }

    /// A wait in a round; it grows no more after fifteen, so that who comes back after hours without a quorum
    /// does not wait for hours.
    pub(super) fn in_round(&self, first: Span, round: u32) -> Span {
        first + self.step.scale(u64::from(round.min(15)), 1)
    }
}
