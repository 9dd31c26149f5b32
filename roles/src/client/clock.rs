//! The network's time, as far as the machine's clock is off it.

use shoal_proto::{Span, Time};

/// How far the machine's clock may be off the nodes' median before it is corrected. Epochs and dates
/// need minutes; answers are off by the time they take.
const TOLERANCE: Span = Span::from_secs(1);

/// What is added to the machine's clock, or taken from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offset {
    ahead: bool,
    by: Span,
}

/// A correction: what was added to the clock by it, or taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) ahead: bool,
    pub(super) by: Span,
}

impl Offset {
    /// The network's time at a time of the machine.
    pub(super) fn network(self, machine: Time) -> Time {
        if self.ahead {
            machine + self.by
        } else {
            machine - self.by
        }
    }

    /// The machine's time at a time of the network.
    pub(super) fn machine(self, network: Time) -> Time {
        match network {
            Time::MAX => Time::MAX,
            network if self.ahead => network - self.by,
            network => network + self.by,
        }
    }

    /// How far the network's time is ahead of the machine's, in microseconds.
    pub(super) fn micros(self) -> i64 {
        let by = i64::try_from(self.by.as_micros()).unwrap_or(i64::MAX);
        if self.ahead { by } else { -by }
    }

    /// Takes what the nodes' clocks say of the network's time as it was known: ahead by so many
    /// microseconds. None if that is within the tolerance.
    pub(super) fn correct(&mut self, ahead_us: i64) -> Option<Moved> {
        let by = Span::from_micros(ahead_us.unsigned_abs());
        if by <= TOLERANCE {
            return None;
        }
        let micros = self.micros().saturating_add(ahead_us);
        self.ahead = micros >= 0;
        self.by = Span::from_micros(micros.unsigned_abs());
        let ahead = ahead_us > 0;
        Some(Moved { ahead, by })
    }

    /// As it is told to the user.
    pub(super) const fn parts(self) -> (bool, Span) {
        (self.ahead, self.by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrections_add_up_and_turn_back() {
        let mut offset = Offset::default();
        let at = Time::from_micros(10_000_000);
        assert_eq!(offset.correct(1_000_000), None, "within the tolerance");
        let moved = Moved {
            ahead: true,
            by: Span::from_secs(5),
        };
        assert_eq!(offset.correct(5_000_000), Some(moved));
        assert_eq!(offset.network(at), Time::from_micros(15_000_000));
        assert_eq!(offset.machine(offset.network(at)), at);
        let back = Moved {
            ahead: false,
            by: Span::from_secs(8),
        };
        assert_eq!(offset.correct(-8_000_000), Some(back));
        assert_eq!(offset.micros(), -3_000_000);
        assert_eq!(offset.network(at), Time::from_micros(7_000_000));
        assert_eq!(offset.machine(offset.network(at)), at);
        assert_eq!(offset.machine(Time::MAX), Time::MAX);
    }

    #[test]
    fn clocks_that_make_no_sense_do_not_overflow() {
        let mut offset = Offset::default();
        for _ in 0..3 {
            offset.correct(i64::MIN);
        }
        assert_eq!(offset.network(Time::from_micros(5)), Time::default());
        for _ in 0..3 {
            offset.correct(i64::MAX);
        }
        let _ = offset.network(Time::MAX);
    }
}
