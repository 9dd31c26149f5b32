//! Safety numbers: what two people compare to know that nobody stands between them.

use blake2::{Blake2b512, Digest};
use shoal_proto::NetworkHash;

use crate::keys::PeerKey;

/// Groups of five digits.
const GROUPS: usize = 12;
/// Bytes that a group is drawn from: 40 bits over 10^5 are even to 1 in 10^7.
const GROUP_BYTES: usize = 5;
const _: () = assert!(GROUPS * GROUP_BYTES <= 64);

/// What two people see when nobody stands between them: 12 groups of five digits, the same at both ends. It depends on
/// their two keys and the network and on nothing else. A third party who wants to have the same shown for a key of his
/// own tries about 2^199 keys.
#[must_use]
pub fn safety_number(network: &NetworkHash, one: &PeerKey, other: &PeerKey) -> String {
    let (low, high) = match one <= other {
        true => (one, other),
        false => (other, one),
    };
    let hash = Blake2b512::new_with_prefix(b"shoal safety number")
        .chain_update(network.as_bytes())
        .chain_update(low.as_bytes())
        .chain_update(high.as_bytes())
        .finalize();
    let group = |bytes: &[u8]| {
        let number = bytes
            .iter()
            .fold(0, |all: u64, byte| all << 8 | u64::from(*byte));
        format!("{:05}", number % 100_000)
    };
    let groups: Vec<String> = hash
        .chunks_exact(GROUP_BYTES)
        .take(GROUPS)
        .map(group)
        .collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::keys::ClientKeys;

    #[test]
    fn both_ends_see_the_same_and_others_something_else() {
        let rng = &mut ChaCha20Rng::seed_from_u64(5);
        let [one, two, three] = [(); 3].map(|()| ClientKeys::generate(rng).public());
        let network = NetworkHash::new([1; 32]);
        let number = safety_number(&network, &one, &two);
        assert_eq!(number, safety_number(&network, &two, &one));
        let groups: Vec<&str> = number.split(' ').collect();
        assert_eq!(groups.len(), GROUPS);
        assert!(
            groups
                .iter()
                .all(|it| it.len() == 5 && it.bytes().all(|b| b.is_ascii_digit()))
        );
        assert_ne!(number, safety_number(&network, &one, &three));
        assert_ne!(number, safety_number(&network, &three, &two));
        assert_ne!(
            number,
            safety_number(&NetworkHash::new([2; 32]), &one, &two)
        );
    }
}
