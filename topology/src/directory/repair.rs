//! What two neighbours lack of each other's descriptors: Negentropy over the hashes of all that they have,
//! which costs what differs and not what there is. Nothing is kept between two messages.

use negentropy::{Id, Negentropy, NegentropyStorageVector};

use super::pool::Pool;

/// Most bytes of a message, of either side.
pub(super) const MAX_MESSAGE_BYTES: usize = 48 * 1024;

/// What to say next, and what the other one has that is not here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Ascending, so that a run can be repeated.
    pub(super) lacking: Vec<[u8; 32]>,
    pub(super) next: Option<Vec<u8>>,
}

type Set = Negentropy<'static, NegentropyStorageVector>;

fn of(pool: &Pool) -> Option<Set> {
    set(pool.iter().map(|signed| *signed.digest()))
}

fn set(hashes: impl Iterator<Item = [u8; 32]>) -> Option<Set> {
    let mut set = NegentropyStorageVector::new();
    for hash in hashes {
        set.insert(0, Id::from_byte_array(hash)).ok()?;
    }
    set.seal().ok()?;
    Negentropy::owned(set, MAX_MESSAGE_BYTES as u64).ok()
}

/// How to begin.
pub(super) fn begin(pool: &Pool) -> Option<Vec<u8>> {
    of(pool)?.initiate().ok()
}

/// The answer to who has begun, or goes on. None if that is no message.
pub(super) fn answer(pool: &Pool, message: &[u8]) -> Option<Vec<u8>> {
    of(pool)?.reconcile(message).ok()
}

/// Goes on with an answer. None if that is no message.
pub(super) fn go_on(pool: &Pool, message: &[u8]) -> Option<Step> {
    step(of(pool)?, message)
}

fn step(mut set: Set, message: &[u8]) -> Option<Step> {
    set.set_initiator();
    let (mut have, mut need) = (Vec::new(), Vec::new());
    let next = set.reconcile_with_ids(message, &mut have, &mut need).ok()?;
    let mut lacking: Vec<[u8; 32]> = need.into_iter().map(Id::to_bytes).collect();
    lacking.sort_unstable();
    lacking.dedup();
    Some(Step { lacking, next })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    /// What the first one lacks of the second, found by as many messages and bytes.
    fn reconcile(
        one: &BTreeSet<[u8; 32]>,
        other: &BTreeSet<[u8; 32]>,
    ) -> (BTreeSet<[u8; 32]>, usize, usize) {
        let set = |hashes: &BTreeSet<[u8; 32]>| set(hashes.iter().copied()).unwrap();
        let mut lacking = BTreeSet::new();
        let mut message = Some(set(one).initiate().unwrap());
        let (mut messages, mut bytes) = (0, 0);
        while let Some(asked) = message {
            let answered = set(other).reconcile(&asked).unwrap();
            assert!(asked.len().max(answered.len()) <= MAX_MESSAGE_BYTES);
            (messages, bytes) = (messages + 2, bytes + asked.len() + answered.len());
            let step = step(set(one), &answered).unwrap();
            lacking.extend(step.lacking);
            message = step.next;
        }
        (lacking, messages, bytes)
    }

    fn hashes(rng: &mut ChaCha20Rng, count: usize) -> BTreeSet<[u8; 32]> {
        (0..count).map(|_| rng.random()).collect()
    }

    #[test]
    fn what_differs_is_found_among_ten_thousand() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let both = hashes(&mut rng, 10_000);
        let (extra, own) = (hashes(&mut rng, 30), hashes(&mut rng, 20));
        let (one, other) = (&both | &own, &both | &extra);
        let (lacking, messages, bytes) = reconcile(&one, &other);
        assert_eq!(lacking, extra);
        // All names at once would be 320 kB.
        assert!(messages <= 8 && bytes < 64_000, "{messages} {bytes}");
        let (lacking, messages, bytes) = reconcile(&both, &both);
        assert_eq!((lacking.len(), messages), (0, 2));
        assert!(bytes < 1000, "{bytes}");
    }

    #[test]
    fn who_has_nothing_hears_of_all() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let all = hashes(&mut rng, 5000);
        let (lacking, messages, _) = reconcile(&BTreeSet::new(), &all);
        assert_eq!(lacking, all);
        assert!(messages <= 10, "{messages}");
    }

    proptest! {
        #[test]
        fn any_two_sets_are_reconciled(seed: u64, sizes in prop::array::uniform3(0_usize..200)) {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let [both, one, other] = sizes.map(|size| hashes(&mut rng, size));
            let (lacking, ..) = reconcile(&(&both | &one), &(&both | &other));
            prop_assert_eq!(lacking, other);
        }

        #[test]
        fn nonsense_is_no_message(
            seed: u64,
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            version: bool,
        ) {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let all = hashes(&mut rng, 100);
            let mut bytes = bytes;
            if version {
                bytes.insert(0, 0x61);
            }
            let of = || set(all.iter().copied()).unwrap();
            let _ = of().reconcile(&bytes);
            if let Some(step) = step(of(), &bytes) {
                prop_assert!(step.lacking.len() <= bytes.len() / 32);
            }
        }
    }
}
