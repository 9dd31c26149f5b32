//! A link between two parties: what it takes, and what it loses.

use rand::RngExt;
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, Exp1};
use shoal_proto::{Span, Time};

/// How long a link takes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum LinkDelay {
    /// Always the same.
    Fixed(Span),
    /// Uniform between the two, the ends included.
    Uniform(Span, Span),
    /// A fixed part, and an exponential part on top with this mean.
    Exponential {
        /// What every frame takes at least.
        base: Span,
        /// The mean of what comes on top.
        jitter: Span,
    },
}

impl LinkDelay {
    /// Draws the delay of one frame.
    pub fn sample(&self, rng: &mut ChaCha20Rng) -> Span {
        match *self {
            Self::Fixed(span) => span,
            Self::Uniform(low, high) => {
                let (low, high) = (low.as_micros(), high.as_micros());
                Span::from_micros(rng.random_range(low.min(high)..=low.max(high)))
            }
            Self::Exponential { base, jitter } => {
                let factor: f64 = Exp1.sample(rng);
                base + Span::from_secs_f64(jitter.as_secs_f64() * factor)
            }
        }
    }
}

/// What a frame on a link meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It arrives then.
    Arrives(Time),
    /// It would have arrived then, and never does.
    Lost(Time),
}

impl Passage {
    pub(crate) fn at(self) -> Time {
        match self {
            Self::Arrives(at) | Self::Lost(at) => at,
        }
    }
}

/// A one-way link between two parties. It keeps the order of what it carries, as the streams of
/// the real network do; losses and delays are drawn from a generator of its own, so that they do
/// not depend on what happens on other links.
pub(crate) struct Link {
    delay: LinkDelay,
    loss: f64,
    rng: ChaCha20Rng,
    last_arrival: Time,
    bytes: u64,
}

impl Link {
    /// `loss` is a probability, 0 to 1.
    pub(crate) fn new(delay: LinkDelay, loss: f64, rng: ChaCha20Rng) -> Self {
        Self {
            delay,
            loss,
            rng,
            last_arrival: Time::default(),
            bytes: 0,
        }
    }

    /// Puts `bytes` bytes on the link at `now`.
    #[cfg(test)]
    fn carry(&mut self, now: Time, bytes: usize) -> Passage {
        self.carry_disturbed(now, bytes, Span::ZERO, 1.0)
    }

    /// Puts `bytes` bytes on the link at `now`, which takes so much longer, and loses with the
    /// complement of the probability `survival` what it would not have lost by itself.
    pub(crate) fn carry_disturbed(
        &mut self,
        now: Time,
        bytes: usize,
        extra: Span,
        survival: f64,
    ) -> Passage {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let arrival = (now + self.delay.sample(&mut self.rng) + extra).max(self.last_arrival);
        self.last_arrival = arrival;
        // Drawn for every frame, so that a network with losses draws the same delays as one
        // without.
        if self.rng.random::<f64>() < 1.0 - (1.0 - self.loss) * survival {
            Passage::Lost(arrival)
        } else {
            Passage::Arrives(arrival)
        }
    }

    /// What its delays are drawn from.
    pub(crate) fn rng(&mut self) -> &mut ChaCha20Rng {
        &mut self.rng
    }

    /// Bytes put on it so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn link(delay: LinkDelay, loss: f64) -> Link {
        Link::new(delay, loss, ChaCha20Rng::seed_from_u64(7))
    }

    #[test]
    fn a_link_keeps_the_order() {
        let jitter = Span::from_millis(50);
        let mut link = link(
            LinkDelay::Exponential {
                base: jitter,
                jitter,
            },
            0.0,
        );
        let mut last = Time::default();
        for micros in 0..2_000 {
            let at = link.carry(Time::from_micros(micros), 10).at();
            assert!(at >= last);
            assert!(at >= Time::from_micros(micros) + jitter);
            last = at;
        }
        assert_eq!(link.bytes(), 20_000);
    }

    #[test]
    fn losses_come_at_their_rate() {
        let mut link = link(LinkDelay::Fixed(Span::ZERO), 0.02);
        let lost = (0..20_000)
            .filter(|micros| matches!(link.carry(Time::from_micros(*micros), 1), Passage::Lost(_)))
            .count();
        // Binomial(20000, 0.02): mean 400, standard deviation 19.8; four of them either way.
        assert!((321..=479).contains(&lost), "{lost}");
    }

    #[test]
    fn losses_do_not_move_the_delays() {
        let delay = LinkDelay::Uniform(Span::from_millis(10), Span::from_millis(30));
        let (mut clean, mut lossy) = (link(delay, 0.0), link(delay, 0.5));
        for seconds in 0..100 {
            let now = Time::from_micros(seconds * 1_000_000);
            assert_eq!(clean.carry(now, 1).at(), lossy.carry(now, 1).at());
        }
    }

    #[test]
    fn the_mean_delay_is_base_and_jitter() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let delay = LinkDelay::Exponential {
            base: Span::from_millis(20),
            jitter: Span::from_millis(10),
        };
        let sum: f64 = (0..20_000)
            .map(|_| delay.sample(&mut rng).as_secs_f64())
            .sum();
        // Standard error 10 ms / sqrt(20000) = 0.07 ms.
        assert!((sum / 20_000.0 - 0.030).abs() < 0.000_35);
    }
}
