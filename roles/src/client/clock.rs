//! The network's time, as far as the machine's clock is off it.

use shoal_proto::{Span, Time};

/// How far the machine's clock may be off the nodes' median before it is corrected. Epochs and dates
/// need minutes; answers are off by the time they take.
const TOLERANCE: Span = Span::from_secs(1);

/// How far the network's time is ahead of the machine's clock, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offset(i64);

impl Offset {
    /// The network's time at a time of the machine.
    pub(super) const fn network(self, machine: Time) -> Time {
        machine.shifted(self.0)
    }

    /// The machine's time at a time of the network.
    pub(super) fn machine(self, network: Time) -> Time {
        match network {
            Time::MAX => Time::MAX,
            network => network.shifted(self.0.saturating_neg()),
        }
    }

    /// How far the network's time is ahead of the machine's, in microseconds.
    pub(super) const fn micros(self) -> i64 {
        self.0
    }

    /// Takes what the nodes' clocks say of the network's time as it was known: ahead by so many
    /// microseconds. False if that is within the tolerance.
    pub(super) fn correct(&mut self, ahead_us: i64) -> bool {
        let off = Span::from_micros(ahead_us.unsigned_abs()) > TOLERANCE;
        if off {
            self.0 = self.0.saturating_add(ahead_us);
        }
        off
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrections_add_up_and_turn_back() {
        let mut offset = Offset::default();
        let at = Time::from_micros(10_000_000);
        assert!(!offset.correct(1_000_000), "within the tolerance");
        assert_eq!(offset.micros(), 0);
        assert!(offset.correct(5_000_000));
        assert_eq!(offset.micros(), 5_000_000);
        assert_eq!(offset.network(at), Time::from_micros(15_000_000));
        assert_eq!(offset.machine(offset.network(at)), at);
        assert!(offset.correct(-8_000_000));
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
