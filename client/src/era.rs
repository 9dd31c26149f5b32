//! From which number on messages to contacts are counted.
//!
//! A client counts from 0. One that was made anew, from words or from an export, counts from a number that neither it
//! nor another copy can have come to before: of the minute in which it was made, and drawn within that. So no number is
//! used twice for one contact; what it says of itself is newer to its contacts than what it said before; and who reads
//! it knows that the numbers between were never used, and takes nothing for missing.
//!
//! Numbers stay below 2^53, so that programs which have only floating-point numbers can read them.

use rand::{CryptoRng, RngExt as _};
use shoal_proto::Time;

/// Of a number, these many bits count messages. Who writes more of them goes on into the next era.
const COUNT_BITS: u32 = 13;
/// These many are drawn.
const DRAWN_BITS: u32 = 14;
/// These many are minutes since 1970: until 2097.
const MINUTE_BITS: u32 = 26;
/// The eras that there are.
const MOST: u64 = 1 << (MINUTE_BITS + DRAWN_BITS);

/// The first number of a client that is made anew `now`, after one that has used numbers below `above`.
pub(crate) fn draw<R: CryptoRng>(now: Time, above: u64, rng: &mut R) -> u64 {
    let minute = u64::from(now.minutes()).min((1 << MINUTE_BITS) - 1);
    // At least two above what it was: by one more, numbers go on by themselves.
    let drawn = rng.random_range(2..1 << DRAWN_BITS);
    let by_time = minute << DRAWN_BITS | drawn;
    // Of a clock that was ahead, or is behind now.
    let by_numbers = era_of(above).min(MOST) + drawn;
    by_time.max(by_numbers).min(MOST - 1) << COUNT_BITS
}

/// The number of the message that is to come next, if one of this `number` has come and `next` was expected before: the
/// first of its era, if its sender was made anew.
pub(crate) const fn expected(next: u64, number: u64) -> u64 {
    match era_of(number) > era_of(next).saturating_add(1) {
        true => era_of(number) << COUNT_BITS,
        false => next,
    }
}

const fn era_of(number: u64) -> u64 {
    number >> COUNT_BITS
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    const MICROS_PER_MINUTE: u64 = 60_000_000;
    /// Minutes since 1970, in 2026.
    const NOW: u64 = 29_500_000;

    fn drawn(minute: u64, above: u64, seed: u64) -> u64 {
        let now = Time::from_micros(minute * MICROS_PER_MINUTE + 17);
        draw(now, above, &mut ChaCha20Rng::seed_from_u64(seed))
    }

    #[test]
    fn who_is_made_anew_counts_from_where_nobody_was() {
        let first = drawn(NOW, 700, 1);
        assert!(first > 700 && first.trailing_zeros() >= COUNT_BITS && first < 1 << 53);
        // Later, whatever is drawn; in the same minute, but for a chance of one in 16,000.
        assert!((2..200).all(|seed| drawn(NOW + 1, 700, seed) > first + (1 << COUNT_BITS)));
        assert!((2..200).all(|seed| drawn(NOW, 700, seed).abs_diff(first) >= 1 << COUNT_BITS));
        // With a clock that is behind.
        for minute in [0, 1, NOW - 1, NOW] {
            let again = drawn(minute, first + 5000, 3);
            assert!(again > first + 5000 && expected(first + 5000, again) == again);
        }
        // And with nonsense.
        for (minute, above) in [(u64::MAX / MICROS_PER_MINUTE - 1, 0), (NOW, u64::MAX)] {
            assert!(drawn(minute, above, 4) < 1 << 53);
        }
    }

    #[test]
    fn a_new_era_is_expected_from_its_beginning_and_the_next_one_is_counted_on_into() {
        let first = drawn(NOW, 0, 1);
        assert_eq!(expected(57, first), first);
        assert_eq!(expected(57, first + 3), first);
        assert_eq!(expected(first + 3, first + 9), first + 3);
        // What comes late from before.
        assert_eq!(expected(first + 3, 56), first + 3);
        let end = 1 << COUNT_BITS;
        assert_eq!(expected(end - 2, end + 1), end - 2);
        assert_eq!(expected(0, 5), 0);
    }
}
