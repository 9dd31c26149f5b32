//! Which heights the same seats decide.

use std::sync::Arc;

use crate::NetworkParameters;
use crate::agreement::Height;

/// The terms of a network. The first height has seats of its own; then a term ends with each height that is a
/// multiple of its length. A recovery ends one before its time: other seats go on with the rest of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    length: u64,
    /// The heights after which a recovery names the seats, ascending.
    recovered: Arc<[Height]>,
}

impl Terms {
    /// Those of a network, with the recoveries that its file has.
    #[must_use]
    pub fn of(params: &NetworkParameters) -> Self {
        let recovered = params.recoveries.iter().map(|recovery| recovery.height);
        Self {
            length: u64::from(params.term.max(1)),
            recovered: recovered.collect(),
        }
    }

    /// The height after which those sit that decide this one; 0 for the first.
    #[must_use]
    pub fn since(&self, height: Height) -> Height {
        let before = height.number().saturating_sub(1);
        let begun = Height::new((before - before % self.length).max(before.min(1)));
        let recovered = self.recovered.iter().rfind(|it| **it < height);
        recovered.map_or(begun, |recovered| begun.max(*recovered))
    }

    /// The last height that those decide that decide this one.
    #[must_use]
    pub fn until(&self, height: Height) -> Height {
        let recovered = self.recovered.iter().find(|it| **it >= height);
        recovered.map_or(self.end(height), |it| self.end(height).min(*it))
    }

    /// The last height of the term, as if there were no recovery: what a document of before one says.
    #[must_use]
    pub fn end(&self, height: Height) -> Height {
        match height.number() {
            0 | 1 => Height::FIRST,
            number => Height::new(number.div_ceil(self.length).saturating_mul(self.length)),
        }
    }

    /// Whether the document of this height draws the seats of the next.
    #[must_use]
    pub const fn draws(&self, height: Height) -> bool {
        height.number().is_multiple_of(self.length)
    }

    /// Whether other seats, or the same with other keys, decide the next height.
    #[must_use]
    pub fn hands_over(&self, height: Height) -> bool {
        self.until(height) == height
    }

    /// The number of the term of a height, from 1.
    #[must_use]
    pub const fn number(&self, height: Height) -> u64 {
        height.number().saturating_sub(1) / self.length + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(length: u64, recovered: &[u64]) -> Terms {
        Terms {
            length,
            recovered: recovered.iter().copied().map(Height::new).collect(),
        }
    }

    /// By walking: those sit until somebody hands over.
    #[test]
    fn seats_decide_what_lies_between_two_handovers() {
        for (length, recovered) in [
            (2, &[][..]),
            (3, &[]),
            (4, &[2, 3, 8, 13]),
            (24, &[1, 5, 48]),
        ] {
            let terms = terms(length, recovered);
            let mut begun = Height::default();
            for number in 1..100 {
                let height = Height::new(number);
                assert_eq!(terms.since(height), begun, "{length} {number}");
                let ends = number == 1 || number.is_multiple_of(length);
                assert_eq!(ends, terms.end(height) == height, "{length} {number}");
                let hands_over = ends || recovered.contains(&number);
                assert_eq!(terms.hands_over(height), hands_over, "{length} {number}");
                if hands_over {
                    begun = height;
                } else {
                    assert!(terms.until(height) > height && terms.end(height) > height);
                }
            }
        }
    }

    #[test]
    fn a_term_has_a_number_and_an_end() {
        let terms = terms(24, &[]);
        let of = |number| {
            let height = Height::new(number);
            (terms.number(height), terms.end(height).number())
        };
        assert_eq!([of(1), of(2), of(24)], [(1, 1), (1, 24), (1, 24)]);
        assert_eq!([of(25), of(48)], [(2, 48), (2, 48)]);
        assert_eq!(of(u64::MAX).1, u64::MAX);
    }
}
