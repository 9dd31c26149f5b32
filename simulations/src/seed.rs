//! Generators of a run. Each purpose has one of its own, derived from the run's seed, so that what
//! one part draws never moves another: scenarios that differ in one key keep their other random
//! numbers in common.

use blake2::{Blake2b, Digest, digest::consts::U32};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The generator for a purpose, as `"mix delays"`, and an index among several of that purpose, in
/// a repetition of the run with this seed. ChaCha with 8 rounds: the same stream on every machine.
#[must_use]
pub fn generator(seed: u64, repetition: u32, purpose: &str, index: u64) -> ChaCha8Rng {
    let mut hash = Blake2b::<U32>::new();
    hash.update(b"shoal-sim generator 1");
    hash.update(seed.to_le_bytes());
    hash.update(repetition.to_le_bytes());
    hash.update(index.to_le_bytes());
    hash.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::generator;

    #[test]
    fn every_part_of_the_name_gives_another_stream() {
        let first = |seed, repetition, purpose, index| {
            generator(seed, repetition, purpose, index).next_u64()
        };
        let base = first(1, 0, "a", 0);
        assert_eq!(base, first(1, 0, "a", 0));
        for other in [
            first(2, 0, "a", 0),
            first(1, 1, "a", 0),
            first(1, 0, "b", 0),
            first(1, 0, "a", 1),
        ] {
            assert_ne!(base, other);
        }
    }
}
