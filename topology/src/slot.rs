//! Slots: the times at which a change within an epoch can take effect, for everybody at once.

use std::fmt;

use shoal_proto::{Span, Time};

use crate::NetworkParameters;

/// Slots of an epoch, where it is a minute or longer.
const SLOTS: u64 = 60;
/// The shortest slot: what is agreed on has to spread meanwhile.
const SHORTEST: Span = Span::from_secs(1);

/// A slot, by its number since the network's genesis: a sixtieth of an epoch, and a second at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u64);

impl Slot {
    /// The slot with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The one that comes so many later.
    #[must_use]
    pub const fn after(self, slots: u64) -> Self {
        Self(self.0.saturating_add(slots))
    }

    /// How many slots it comes after another one; 0 if it does not.
    #[must_use]
    pub const fn since(self, other: Self) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl NetworkParameters {
    /// How long a slot is.
    #[must_use]
    pub fn slot(&self) -> Span {
        self.epoch.scale(1, SLOTS).max(SHORTEST)
    }

    /// The slot at this time; 0 before genesis.
    #[must_use]
    pub fn slot_at(&self, now: Time) -> Slot {
        Slot(now.since(self.genesis).as_micros() / self.slot().as_micros().max(1))
    }

    /// When a slot begins.
    #[must_use]
    pub fn start_of_slot(&self, slot: Slot) -> Time {
        self.genesis + self.slot().scale(slot.0, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_a_sixtieth_of_an_epoch_and_a_second_at_least() {
        let mut params = NetworkParameters::example();
        for (epoch, slot) in [(10, 1), (30, 1), (60, 1), (600, 10), (3600, 60)] {
            params.epoch = Span::from_secs(epoch);
            assert_eq!(params.slot(), Span::from_secs(slot), "{epoch}");
            let at = |seconds| params.slot_at(params.genesis + Span::from_secs(seconds));
            assert_eq!(at(0), Slot(0));
            assert_eq!((at(slot), at(7 * slot)), (Slot(1), Slot(7)));
            assert_eq!(params.slot_at(params.start_of_slot(Slot(9))), Slot(9));
        }
        assert_eq!(params.slot_at(Time::default()), Slot(0));
        assert_eq!((Slot(7).since(Slot(5)), Slot(5).since(Slot(7))), (2, 0));
    }
}
