//! Who gives way when places run out: a fixed number of places, shared out among parts of the internet.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::address::network_of;

/// Bits that addresses of one neighbourhood, one network and one machine have in common, for IPv4 and for
/// IPv6: what a provider, a site and a household or server are usually given.
const LEVELS: [(u32, u32); 3] = [(16, 32), (24, 56), (32, 64)];

/// Places for what anybody can ask for, a connection for one. Whoever comes gets one. If there are more
/// than `most` then, the one that gives way is of the neighbourhood that has most places, in it of the
/// network that has most, in it of the machine that has most, and there the oldest. So who fills the
/// places from somewhere only pushes out their own, and needs many neighbourhoods to push out others.
pub(super) struct Places<K, V> {
    most: usize,
    taken: BTreeMap<K, Place<V>>,
    /// Numbers places in the order in which they were taken.
    next: u64,
}

struct Place<V> {
    number: u64,
    /// Where it is, as in [`LEVELS`].
    home: [IpAddr; LEVELS.len()],
    value: V,
}

impl<K: Ord + Copy, V> Places<K, V> {
    /// So many places, at least one.
    pub(super) const fn new(most: usize) -> Self {
        Self {
            most: if most == 0 { 1 } else { most },
            taken: BTreeMap::new(),
            next: 0,
        }
    }

    /// Takes a place, and says who gives way for it.
    pub(super) fn enter(&mut self, key: K, from: IpAddr, value: V) -> Option<(K, V)> {
        let place = Place {
            number: self.next,
            home: LEVELS.map(|(v4, v6)| network_of(from, v4, v6)),
            value,
        };
        self.next = self.next.wrapping_add(1);
        self.taken.insert(key, place);
        if self.taken.len() <= self.most {
            return None;
        }
        let key = self.last_in_line()?;
        Some((key, self.leave(&key)?))
    }

    /// The number of the place that is taken next.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Gives a place back. None if it is not taken.
    pub(super) fn leave(&mut self, key: &K) -> Option<V> {
        self.taken.remove(key).map(|place| place.value)
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.taken.contains_key(key)
    }

    pub(super) fn len(&self) -> usize {
        self.taken.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.taken.iter().map(|(key, place)| (*key, &place.value))
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.taken.values_mut().map(|place| &mut place.value)
    }

    /// Who gives way next.
    fn last_in_line(&self) -> Option<K> {
        let mut line: Vec<(&K, &Place<V>)> = self.taken.iter().collect();
        for level in 0..LEVELS.len() {
            let of = |place: &Place<V>| place.home.get(level).copied();
            // How many there are, and the first of them; with as many, the older ones give way.
            let mut crowds: BTreeMap<Option<IpAddr>, (usize, u64)> = BTreeMap::new();
            for (_, place) in &line {
                let (count, first) = crowds.entry(of(place)).or_insert((0, place.number));
                *count += 1;
                *first = (*first).min(place.number);
            }
            let crowds = crowds.into_iter();
            let (most, _) = crowds.max_by_key(|(_, (count, first))| (*count, u64::MAX - first))?;
            line.retain(|(_, place)| of(place) == most);
        }
        let oldest = line.into_iter().min_by_key(|(_, place)| place.number);
        oldest.map(|(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Takes places in turn, and says who gave way.
    fn take(places: &mut Places<u32, ()>, from: &[(u32, &str)]) -> Vec<Option<u32>> {
        let enter = |(key, from): &(u32, &str)| places.enter(*key, ip(from), ());
        let left = from.iter().map(enter);
        left.map(|gone| gone.map(|(key, ())| key)).collect()
    }

    #[test]
    fn who_comes_in_crowds_pushes_out_its_own() {
        let mut places = Places::new(4);
        let line = [
            (1, "198.51.100.1"),
            (2, "203.0.113.1"),
            (3, "203.0.113.2"),
            (4, "203.0.113.3"),
        ];
        assert_eq!(take(&mut places, &line), [None; 4]);
        // The crowd pushes out its oldest, however long it goes on.
        for key in 5..100 {
            assert_eq!(take(&mut places, &[(key, "203.0.113.9")]).len(), 1);
            assert!(places.contains(&1), "{key}");
        }
        // A newcomer from elsewhere finds a place too.
        take(&mut places, &[(200, "192.0.2.1")]);
        for key in 201..300 {
            take(&mut places, &[(key, "203.0.113.77")]);
        }
        assert!(places.contains(&1) && places.contains(&200) && places.len() == 4);
    }

    #[test]
    fn the_oldest_of_the_most_crowded_gives_way() {
        let mut places = Places::new(3);
        let line = [(1, "10.1.1.1"), (2, "10.1.1.1"), (3, "10.2.1.1")];
        take(&mut places, &line);
        assert_eq!(take(&mut places, &[(4, "10.3.1.1")]), [Some(1)]);
        // All have one: the oldest.
        assert_eq!(take(&mut places, &[(5, "10.4.1.1")]), [Some(2)]);
        assert_eq!(places.leave(&3), Some(()));
        assert_eq!(take(&mut places, &[(6, "10.4.1.1")]), [None]);
    }

    #[test]
    fn crowds_are_those_of_a_neighbourhood_then_a_network_then_a_machine() {
        for (crowd, alone) in [
            // Many networks of one neighbourhood.
            (["10.1.1.1", "10.1.2.1", "10.1.3.1"], "10.2.1.1"),
            // Many machines of one network.
            (["10.1.1.1", "10.1.1.2", "10.1.1.3"], "10.1.2.1"),
            // One machine in a network of many.
            (["10.1.1.1", "10.1.1.1", "10.1.1.1"], "10.1.1.2"),
            (
                ["2001:db8:1::1", "2001:db8:2::1", "2001:db8:3::1"],
                "2001:db9::1",
            ),
            (
                ["2001:db8:0:1::", "2001:db8:0:2::", "2001:db8:0:3::"],
                "2001:db8:1::",
            ),
            // Addresses that one machine gives itself.
            (
                ["2001:db8::1", "2001:db8::2", "2001:db8::3"],
                "2001:db8:0:1::",
            ),
            (["10.1.1.1", "::ffff:10.1.1.1", "10.1.1.1"], "10.1.1.2"),
        ] {
            let mut places = Places::new(3);
            take(&mut places, &[(0, alone), (1, crowd[0]), (2, crowd[1])]);
            assert_eq!(take(&mut places, &[(3, crowd[2])]), [Some(1)], "{alone}");
        }
    }

    #[test]
    fn there_is_always_a_place() {
        let mut places = Places::new(0);
        assert_eq!(take(&mut places, &[(1, "10.1.1.1")]), [None]);
        assert_eq!(take(&mut places, &[(2, "10.1.1.1")]), [Some(1)]);
        assert_eq!(places.len(), 1);
    }
}
