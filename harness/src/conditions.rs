//! What is wrong now: who is cut off from whom, what comes on top of the links' own delays and
//! losses, and whose disks fail.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha20Rng;
use shoal_proto::Span;

use crate::faults::LinkFault;
use crate::party::Party;

/// Some of the parties.
pub(crate) type Group = BTreeSet<Party>;

/// Faults of links that are in force, by their numbers.
#[derive(Default)]
pub(crate) struct Conditions {
    islands: BTreeMap<u64, Group>,
    links: BTreeMap<u64, LinkFault>,
    disks: BTreeMap<u64, Group>,
    /// Pairs of nodes, the lower first, of which each takes the other for gone.
    pub(crate) silent_pairs: BTreeSet<(Party, Party)>,
    /// Frames that were put on a link that is cut.
    pub(crate) cut_frames: u64,
}

impl Conditions {
    pub(crate) fn cut_off(&mut self, number: u64, island: Group) {
        self.islands.insert(number, island);
    }

    pub(crate) fn disturb(&mut self, number: u64, fault: LinkFault) {
        self.links.insert(number, fault);
    }

    pub(crate) fn break_disks(&mut self, number: u64, whose: Group) {
        self.disks.insert(number, whose);
    }

    pub(crate) fn end(&mut self, number: u64) {
        self.islands.remove(&number);
        self.links.remove(&number);
        self.disks.remove(&number);
    }

    /// Whether nothing can be written on this party's disk.
    pub(crate) fn disk_fails(&self, party: Party) -> bool {
        self.disks.values().any(|whose| whose.contains(&party))
    }

    /// These two take each other for gone from now on. False if they did already.
    pub(crate) fn silence(&mut self, a: Party, b: Party) -> bool {
        self.silent_pairs.insert((a.min(b), a.max(b)))
    }

    /// Whether these two take each other for gone.
    pub(crate) fn silent(&self, a: Party, b: Party) -> bool {
        self.silent_pairs.contains(&(a.min(b), a.max(b)))
    }

    /// Whether nothing gets from one to the other.
    pub(crate) fn cuts(&self, from: Party, to: Party) -> bool {
        let crosses = |island: &Group| island.contains(&from) != island.contains(&to);
        self.islands.values().any(crosses)
    }

    /// What comes on top of a link's delay, and the probability that a frame survives what comes
    /// on top of its losses.
    pub(crate) fn extra(&self, from: Party, to: Party, rng: &mut ChaCha20Rng) -> (Span, f64) {
        let mut extra = (Span::ZERO, 1.0);
        for fault in self.links.values().filter(|fault| fault.is_on(from, to)) {
            extra.0 = extra.0 + fault.delay.sample(rng);
            extra.1 *= 1.0 - fault.loss;
        }
        extra
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::link::LinkDelay;

    fn group(numbers: &[u32]) -> Group {
        numbers.iter().copied().map(Party).collect()
    }

    #[test]
    fn an_island_is_cut_off_in_both_directions_and_whole_within() {
        let mut conditions = Conditions::default();
        conditions.cut_off(1, group(&[0, 1]));
        conditions.cut_off(2, group(&[1, 2]));
        assert!(conditions.cuts(Party(0), Party(5)) && conditions.cuts(Party(5), Party(0)));
        assert!(conditions.cuts(Party(0), Party(1)));
        conditions.end(2);
        assert!(!conditions.cuts(Party(0), Party(1)));
        conditions.end(1);
        assert!(!conditions.cuts(Party(0), Party(5)));
    }

    #[test]
    fn faults_of_a_link_add_up() {
        let mut conditions = Conditions::default();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let fault = |who: &[u32], with: Option<&[u32]>| LinkFault {
            who: group(who),
            with: with.map(group),
            delay: LinkDelay::Fixed(Span::from_millis(10)),
            loss: 0.5,
        };
        conditions.disturb(1, fault(&[0], None));
        conditions.disturb(2, fault(&[0, 3], Some(&[1])));
        let mut extra = |from, to| conditions.extra(Party(from), Party(to), &mut rng);
        assert_eq!(extra(0, 1), (Span::from_millis(20), 0.25));
        assert_eq!(extra(1, 0), (Span::from_millis(20), 0.25));
        assert_eq!(extra(2, 0), (Span::from_millis(10), 0.5));
        assert_eq!(extra(3, 2), (Span::ZERO, 1.0));
    }
}
