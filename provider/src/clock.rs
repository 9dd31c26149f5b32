use rand::CryptoRng;
use shoal_proto::{Span, Time};
use shoal_topology::delay;

/// Beyond this lateness a clock starts anew instead of catching up, so that a node that was
/// suspended does not burst.
const LATE: Span = Span::from_secs(1);

/// The next tick of a Poisson clock after the one that was due; none if it never ticks.
///
/// Counted from when the tick was due and not from when it was done, or every delay of the
/// caller's would slow the clock.
pub(crate) fn next_tick<R: CryptoRng>(
    rng: &mut R,
    rate: f64,
    due: Time,
    now: Time,
) -> Option<Time> {
    if !(rate > 0.0 && rate.is_finite()) {
        return None;
    }
    let from = if now.since(due) > LATE { now } else { due };
    Some(from + Span::from_secs_f64(delay::unit(rng) / rate))
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_clock_that_was_suspended_does_not_burst() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (due, now) = (Time::from_micros(0), Time::from_micros(100_000_000));
        assert!(next_tick(&mut rng, 8.0, due, now) > Some(now));
    }

    #[test]
    fn a_rate_that_makes_no_sense_never_ticks() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(
                next_tick(&mut rng, rate, Time::default(), Time::default()),
                None
            );
        }
    }
}
