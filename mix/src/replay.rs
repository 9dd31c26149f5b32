//! The replay filter of one epoch key.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use shoal_packet::ReplayTag;

/// What the filter says about a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Never before; it is remembered from now on.
    Fresh,
    /// Before.
    Replayed,
    /// Unknown, but there is no room to remember another one.
    Full,
}

/// The tags of one epoch key. Exact: no false positives, and nothing is forgotten before the key
/// is. A tree, so that no choice of tags makes it slow, and nothing depends on a hash seed. Locked
/// for a lookup or an insertion.
#[derive(Default)]
pub(crate) struct ReplayFilter {
    tags: Mutex<BTreeSet<ReplayTag>>,
}

impl ReplayFilter {
    /// Looks a tag up and remembers it, unless `bound` tags are remembered already.
    pub(crate) fn insert(&self, tag: &ReplayTag, bound: usize) -> Seen {
        let mut tags = self.lock();
        if tags.len() < bound {
            if tags.insert(*tag) {
                Seen::Fresh
            } else {
                Seen::Replayed
            }
        } else if tags.contains(tag) {
            Seen::Replayed
        } else {
            Seen::Full
        }
    }

    /// Remembers tags of packets that left before a restart: all of them, beyond any bound,
    /// because a forgotten one could be replayed.
    pub(crate) fn restore(&self, tags: impl IntoIterator<Item = ReplayTag>) {
        self.lock().extend(tags);
    }

    /// The set is whole after each change, so what a panicked thread left can be used.
    fn lock(&self) -> MutexGuard<'_, BTreeSet<ReplayTag>> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
