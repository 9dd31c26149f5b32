//! Waits between tries.

use rand::RngExt as _;
use rand_chacha::ChaCha20Rng;
use shoal_proto::Span;

/// Waits that double up to a longest one. Each is drawn from half to one and a half of its length, so
/// that clients who lost the same thing do not come back at the same moment.
pub(super) struct Wait {
    next: Span,
    first: Span,
    longest: Span,
}

impl Wait {
    pub(super) const fn new(first: Span, longest: Span) -> Self {
        Self {
            next: first,
            first,
            longest,
        }
    }

    /// The next one is the first again.
    pub(super) const fn reset(&mut self) {
        self.next = self.first;
    }

    /// How long to wait this time.
    pub(super) fn draw(&mut self, rng: &mut ChaCha20Rng) -> Span {
        let share = rng.random_range(500..1500);
        let wait = self.next.scale(share, 1000);
        self.next = self.next.scale(2, 1).min(self.longest);
        wait
    }
}
