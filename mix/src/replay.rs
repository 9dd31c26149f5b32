use shoal_packet::ReplayTag;
use std::collections::BTreeSet;

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
/// is. A tree, so that no choice of tags makes it slow, and nothing depends on a hash seed.
#[derive(Default)]
pub(crate) struct ReplayFilter {
    tags: BTreeSet<ReplayTag>,
}

impl ReplayFilter {
    /// Looks a tag up and remembers it, unless `bound` tags are remembered already.
    pub(crate) fn insert(&mut self, tag: &ReplayTag, bound: usize) -> Seen {
        if self.tags.len() < bound {
            if self.tags.insert(*tag) {
                Seen::Fresh
            } else {
                Seen::Replayed
            }
        } else if self.tags.contains(tag) {
            Seen::Replayed
        } else {
            Seen::Full
        }
    }

    /// Remembers tags of packets that left before a restart: all of them, beyond any bound,
    /// because a forgotten one could be replayed.
    pub(crate) fn restore(&mut self, tags: impl IntoIterator<Item = ReplayTag>) {
        self.tags.extend(tags);
    }
}
