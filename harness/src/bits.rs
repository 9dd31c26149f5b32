//! Sets of small numbers.

/// A set of numbers from 0, a bit each up to the greatest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn contains(&self, number: usize) -> bool {
        let word = self.0.get(number / 64);
        word.is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    /// True if it is new.
    pub(crate) fn insert(&mut self, number: usize) -> bool {
        let (place, bit) = (number / 64, 1 << (number % 64));
        if place >= self.0.len() {
            self.0.resize(place + 1, 0);
        }
        let Some(word) = self.0.get_mut(place) else {
            return false; // it was just made
        };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// True if it was there.
    pub(crate) fn remove(&mut self, number: usize) -> bool {
        let was = self.contains(number);
        if let Some(word) = self.0.get_mut(number / 64) {
            *word &= !(1 << (number % 64));
        }
        was
    }

    /// All of them, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let words = self.0.iter().enumerate();
        words.flat_map(|(place, word)| {
            let bits = (0..64).filter(move |bit| word & (1 << bit) != 0);
            bits.map(move |bit| place * 64 + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(changes in proptest::collection::vec((0_usize..300, any::<bool>()), 0..200)) {
            let (mut bits, mut set) = (Bits::default(), BTreeSet::new());
            for (number, put) in changes {
                if put {
                    prop_assert_eq!(bits.insert(number), set.insert(number));
                } else {
                    prop_assert_eq!(bits.remove(number), set.remove(&number));
                }
                prop_assert_eq!(bits.contains(number), put);
            }
            prop_assert!(bits.iter().eq(set));
        }
    }
}
