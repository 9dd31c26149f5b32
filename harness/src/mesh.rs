//! Packet links between members: there when both ends are up and allow each other.

use std::collections::BTreeSet;

use crate::bits::Bits;
use crate::party::Party;

/// Who exchanges packets with whom, as each node says, and of which changes nodes have not heard.
#[derive(Default)]
pub(crate) struct Mesh {
    allowed: Vec<Bits>,
    news: Vec<BTreeSet<Party>>,
}

impl Mesh {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            allowed: vec![Bits::default(); nodes],
            news: vec![BTreeSet::new(); nodes],
        }
    }

    /// Whether a node takes packets from another.
    pub(crate) fn allows(&self, party: Party, other: Party) -> bool {
        let allowed = self.allowed.get(party.index());
        allowed.is_some_and(|allowed| allowed.contains(other.index()))
    }

    /// Whether both want the link.
    pub(crate) fn both(&self, a: Party, b: Party) -> bool {
        self.allows(a, b) && self.allows(b, a)
    }

    /// A node allows another from now on, or does not any more. True if that makes or ends a link.
    pub(crate) fn allow(&mut self, party: Party, other: Party, may: bool) -> bool {
        let Some(allowed) = self.allowed.get_mut(party.index()) else {
            return false;
        };
        let changed = match may {
            true => allowed.insert(other.index()),
            false => allowed.remove(other.index()),
        };
        changed && self.allows(other, party)
    }

    /// Those whom a node allows.
    pub(crate) fn allowed(&self, party: Party) -> Vec<Party> {
        let allowed = self.allowed.get(party.index());
        let numbers = allowed.into_iter().flat_map(Bits::iter);
        numbers.filter_map(Party::at).collect()
    }

    /// A node's process ended. Gives those that it had links with.
    pub(crate) fn leave(&mut self, party: Party) -> Vec<Party> {
        let mut linked = self.allowed(party);
        linked.retain(|other| self.allows(*other, party));
        if let Some(allowed) = self.allowed.get_mut(party.index()) {
            *allowed = Bits::default();
        }
        self.take_news(party);
        linked
    }

    /// A node will be told of its link with another. True if there was nothing to tell it before.
    pub(crate) fn tell(&mut self, party: Party, other: Party) -> bool {
        let Some(news) = self.news.get_mut(party.index()) else {
            return false;
        };
        let first = news.is_empty();
        news.insert(other);
        first
    }

    /// Those whose links with a node may have changed.
    pub(crate) fn take_news(&mut self, party: Party) -> BTreeSet<Party> {
        let news = self.news.get_mut(party.index());
        news.map(std::mem::take).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_takes_two() {
        let mut mesh = Mesh::new(3);
        let [a, b, c] = [Party(0), Party(1), Party(2)];
        assert!(!mesh.allow(a, b, true));
        assert!(!mesh.both(a, b));
        assert!(mesh.allow(b, a, true));
        assert!(mesh.both(a, b) && mesh.both(b, a) && !mesh.both(a, c));
        assert!(!mesh.allow(b, a, true), "nothing new");
        assert!(mesh.allow(b, a, false));
        assert!(!mesh.both(a, b));
        mesh.allow(b, a, true);
        assert_eq!(mesh.leave(a), [b]);
        assert!(!mesh.both(a, b) && mesh.allows(b, a));
    }

    #[test]
    fn news_is_told_together() {
        let mut mesh = Mesh::new(3);
        let [a, b, c] = [Party(0), Party(1), Party(2)];
        assert!(mesh.tell(a, b));
        assert!(!mesh.tell(a, c));
        assert_eq!(mesh.take_news(a), BTreeSet::from([b, c]));
        assert!(mesh.tell(a, b));
        mesh.leave(a);
        assert!(mesh.take_news(a).is_empty());
    }
}
