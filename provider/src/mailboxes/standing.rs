//! Who is delivered when more owners come than can be.

use std::cmp::Reverse;

use shoal_proto::{Span, Time};

use super::stream::Stream;
use crate::times;

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
        if times::unused_for(now, OF_AGE).is_some_and(|before| created <= before) {
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
