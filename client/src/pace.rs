//! When places are opened, told of, left and closed: drawn, from a generator that nothing else draws from, so
//! that neither a provider nor a contact sets these times.
//!
//! They scale with the life of a place: a thirtieth of it is the network's day.

use rand::RngExt as _;
use rand_chacha::ChaCha20Rng;
use shoal_proto::{Span, Time};
use shoal_topology::NetworkParameters;

/// Parts of a span that can be drawn.
const UNIT: u64 = 1 << 20;

/// Draws the times.
pub(crate) struct Pace {
    life: Span,
    time_to_live: Span,
    rng: ChaCha20Rng,
}

impl Pace {
    /// As the network says.
    pub(crate) fn new(params: &NetworkParameters, rng: ChaCha20Rng) -> Self {
        Self {
            life: params.place_life,
            time_to_live: params.time_to_live,
            rng,
        }
    }

    /// A thirtieth of a place's life.
    pub(crate) fn day(&self) -> Span {
        self.life.scale(1, 30)
    }

    /// How long a place may take to open: nine days, within which every time for it is drawn.
    pub(crate) fn patience(&self) -> Span {
        self.day().scale(9, 1)
    }

    /// How long a message is kept.
    pub(crate) const fn time_to_live(&self) -> Span {
        self.time_to_live
    }

    /// The age from which on trouble makes a place move before its time: a tenth of its life.
    pub(crate) fn settled(&self) -> Span {
        self.life.scale(1, 10)
    }

    /// How long trouble lasts before it makes a place move: a quarter of a day.
    pub(crate) fn trouble(&self) -> Span {
        self.day().scale(1, 4)
    }

    /// The longest that [`Pace::moves`] is away.
    pub(crate) fn longest(&self) -> Span {
        self.life.scale(5, 4)
    }

    /// When a place moves: four fifths of its life away, by a quarter of that more or less. What a move takes makes it
    /// a life.
    pub(crate) fn moves(&mut self, now: Time) -> Time {
        now + self.drawn(self.life.scale(4, 5), 3, 5)
    }

    /// When a place that is being opened takes its part, if it is open: one to eight days away, so that it does
    /// not tell by when it was opened whose next one it is.
    pub(crate) fn readies(&mut self, now: Time) -> Time {
        now + self.drawn(self.day().scale(4, 1), 1, 8)
    }

    /// When a place that is in trouble moves: a quarter to three quarters of a day away.
    pub(crate) fn flees(&mut self, now: Time) -> Time {
        now + self.drawn(self.day(), 1, 3)
    }

    /// When a place that is being opened is given out, if it is open: one to four hours of a day away.
    pub(crate) fn opens(&mut self, now: Time) -> Time {
        now + self.drawn(self.day().scale(1, 6), 1, 4)
    }

    /// When a token for a place to come is asked for: within four hours of a day.
    pub(crate) fn asks(&mut self, now: Time) -> Time {
        now + self.drawn(self.day().scale(1, 6), 0, 4)
    }

    /// When a place that is open takes the share that the one before it has lost: within a day.
    pub(crate) fn rises(&mut self, now: Time) -> Time {
        now + self.drawn(self.day(), 0, 4)
    }

    /// When a place that was left is looked at again: half to one and a half days away.
    pub(crate) fn looks(&mut self, now: Time) -> Time {
        now + self.drawn(self.day(), 2, 6)
    }

    /// When a contact is told: within a day.
    pub(crate) fn tells(&mut self, now: Time) -> Time {
        now + self.drawn(self.day(), 0, 4)
    }

    /// When it is told again, because it may not have been online for as long as messages are kept.
    pub(crate) fn tells_again(&mut self, now: Time) -> Time {
        now + self.drawn(self.time_to_live, 3, 4)
    }

    /// Until when a place that is left is read: everybody was told within a day, and what was deposited before
    /// they heard of it is kept so long.
    pub(crate) fn left(&self, now: Time) -> Time {
        now + self.day() + self.time_to_live
    }

    /// From so many quarters of a span to so many.
    fn drawn(&mut self, of: Span, least: u64, most: u64) -> Span {
        let share = self.rng.random_range(least * UNIT..=most * UNIT);
        of.scale(share, 4 * UNIT)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn times_are_drawn_from_all_of_their_range() {
        let params = NetworkParameters::example();
        let mut pace = Pace::new(&params, ChaCha20Rng::seed_from_u64(1));
        let now = Time::from_micros(1 << 50);
        let day = 86_400.0;
        let mut range = |draw: fn(&mut Pace, Time) -> Time| {
            let drawn = (0..2000).map(|_| draw(&mut pace, now).since(now).as_secs_f64() / day);
            drawn.fold((f64::MAX, 0.0f64), |(least, most), it| {
                (least.min(it), most.max(it))
            })
        };
        let near = |(least, most): (f64, f64), (from, to): (f64, f64)| {
            let slack = (to - from) / 50.0;
            let inside = least >= from && most <= to;
            assert!(
                inside && least - from < slack && to - most < slack,
                "{least} {most}"
            );
        };
        near(range(Pace::moves), (18.0, 30.0));
        near(range(Pace::readies), (1.0, 8.0));
        near(range(Pace::rises), (0.0, 1.0));
        near(range(Pace::asks), (0.0, 1.0 / 6.0));
        near(range(Pace::flees), (0.25, 0.75));
        near(range(Pace::opens), (1.0 / 24.0, 1.0 / 6.0));
        near(range(Pace::looks), (0.5, 1.5));
        near(range(Pace::tells), (0.0, 1.0));
        near(range(Pace::tells_again), (10.5, 14.0));
    }
}
