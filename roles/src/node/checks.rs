//! Commands for the provider role that are being checked elsewhere: how many there may be.

use std::collections::VecDeque;

use shoal_proto::{Span, Time};

/// Most commands that are checked at a time. Beyond that they are dropped, for a signature is never
/// checked in the loop that moves packets, not even when everything else is too slow.
const MOST_CHECKS: usize = 1024;
/// After how long a check counts as lost, so that its place is free again.
const PATIENCE: Span = Span::from_secs(30);

/// When the checks were begun that are not done, oldest first.
#[derive(Default)]
pub(super) struct Checks(VecDeque<Time>);

impl Checks {
    /// Takes a place. False if there is none.
    pub(super) fn begin(&mut self, now: Time) -> bool {
        let lost = |begun: &mut Time| now >= *begun + PATIENCE;
        while self.0.pop_front_if(lost).is_some() {}
        let free = self.0.len() < MOST_CHECKS;
        if free {
            self.0.push_back(now);
        }
        free
    }

    /// A check is done.
    pub(super) fn end(&mut self) {
        self.0.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_bounded_and_a_lost_one_gives_its_place_back() {
        let (mut checks, start) = (Checks::default(), Time::from_micros(1_000_000));
        for _ in 0..MOST_CHECKS {
            assert!(checks.begin(start));
        }
        assert!(!checks.begin(start), "none is left for the loop to check");
        checks.end();
        assert!(checks.begin(start + Span::from_secs(1)));
        assert!(!checks.begin(start + Span::from_secs(29)));
        assert!(
            checks.begin(start + Span::from_secs(30)),
            "all but one are lost"
        );
    }
}
