//! Who is delivered when more owners come than can be.

use std::cmp::Reverse;

use shoal_proto::{Span, Time};

use super::stream::Stream;
use crate::times::{self, HOUR};

/// A mailbox of this age is somebody's who stays: one that is made to keep others out costs as much as one that is
/// used. For certain of this age: the store knows only the hour in which it was opened.
const OF_AGE: Span = Span::from_secs(24 * 60 * 60);

/// How much there is to lose if a mailbox is not delivered: least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It was opened lately, and is empty.
    Young,
    /// It was opened lately, and something waits. Its owner may have written that.
    Waiting,
    /// It has been there for a day.
    Old,
}

impl Standing {
    pub(super) fn of(now: Time, created: Time, waits: bool) -> Self {
        let day_ago = times::unused_for(now, OF_AGE);
        // By a clock that has been set back since, by more than the hour that nobody knows: how long ago, nobody knows
        // either, and an owner who was there before would have less than who comes now for as long as it was ahead. Nobody
        // can have it opened so from outside.
        let ahead = created > now + HOUR;
        if ahead || day_ago.is_some_and(|before| created <= before) {
            Self::Old
        } else if waits {
            Self::Waiting
        } else {
            Self::Young
        }
    }
}

/// In which order those that are delivered make room: first those without a reply block, to which nothing can be sent
/// anyhow. Of either kind first those with the least to lose, and of these who has been without for longest, or has
/// come last.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    served: bool,
    standing: Standing,
    dry_for: Reverse<Span>,
    created: Reverse<Time>,
}

impl Rank {
    /// None if it does not make room for a newcomer of this standing.
    pub(super) fn of(now: Time, stream: &Stream, newcomer: Standing) -> Option<Self> {
        let served = stream.stock().len() > 0;
        let standing = Standing::of(now, stream.created(), stream.waits());
        let stays = served && standing >= newcomer;
        let dry_for = if served {
            Span::ZERO
        } else {
            stream.stock().dry_for(now)
        };
        (!stays).then_some(Self {
            served,
            standing,
            dry_for: Reverse(dry_for),
            created: Reverse(stream.created()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_a_day_also_after_the_clock_was_set() {
        let hours = |n: u64| Time::from_micros((500_000 + n) * HOUR.as_micros());
        let of = |now, created| Standing::of(now, created, false);
        assert_eq!(of(hours(24), hours(0)), Standing::Young);
        assert_eq!(of(hours(25), hours(0)), Standing::Old);
        // Set back by less than an hour over its end, a new one is new.
        assert_eq!(
            of(hours(1) - Span::from_micros(1), hours(1)),
            Standing::Young
        );
        assert_eq!(of(hours(0), hours(1)), Standing::Young);
        // By a day, or by a year.
        for ahead in [24, 24 * 365] {
            assert_eq!(of(hours(0), hours(ahead)), Standing::Old, "{ahead}");
        }
        assert_eq!(of(Time::MAX, Time::MAX), Standing::Young);
        assert_eq!(of(Time::default(), Time::default()), Standing::Young);
    }
}
