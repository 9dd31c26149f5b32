//! What it costs to ask for a place in an open network, or for a token: memory and time, by a proof that is checked
//! in a moment.
//!
//! The proof is a solution of Equihash (Biryukov and Khovratovich, NDSS 2016) with n = 120 and k = 5, which takes
//! about 200 MB to find and 32 hashes to check, whose hash has so many zero bits as it is asked for. That for a place is for
//! one identity, in one network, and rests on the hash of the seats of a term, which nobody knows long
//! before: a stock of proofs can't be laid up. That for a token is in `tokens.rs`.

use std::collections::BTreeSet;

use blake2b_simd::{Params, State};
use shoal_proto::{NetworkHash, NodeId};

use crate::canonical::Canonical;

/// Bytes of a salt.
const SALT_BYTES: usize = 16;
/// Bytes of an encoded solution: what a proof is without its salt.
pub(crate) const SOLVED_BYTES: usize = NONCE_BYTES + Equihash::ASKED.solution_bytes();
const NONCE_BYTES: usize = 4;

/// What a proof rests on: the beginning of a hash of seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Salt([u8; SALT_BYTES]);

impl Salt {
    /// That of the term that these seats decide.
    pub(crate) fn of(seats: &[u8; 32]) -> Self {
        let mut salt = [0; SALT_BYTES];
        salt.copy_from_slice(
            seats
                .first_chunk::<SALT_BYTES>()
                .unwrap_or(&[0; SALT_BYTES]),
        );
        Self(salt)
    }
}

/// For whom work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Applicant {
    pub(crate) network: NetworkHash,
    pub(crate) id: NodeId,
    pub(crate) salt: Salt,
}

impl Applicant {
    /// What the work is done on.
    pub(crate) fn input(&self) -> [u8; 32] {
        Canonical::new("shoal work 1")
            .bytes(self.network.as_bytes())
            .bytes(self.id.as_bytes())
            .bytes(&self.salt.0)
            .finish()
    }

    /// Looks for a proof with this nonce, of which about two in 2^`bits` are enough. Takes seconds, and about
    /// 200 MB.
    pub(crate) fn seek(&self, nonce: u32, bits: u8) -> Option<Work> {
        let found = Solution::seek(&self.input(), nonce, bits)?;
        let salt = self.salt;
        Some(Work { salt, found })
    }
}

/// A proof of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) salt: Salt,
    found: Solution,
}

impl Work {
    /// The encoding: salt 16, nonce 4 (big-endian), solution 84.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [&self.salt.0[..], &self.found.encode()].concat()
    }

    /// Reads an encoding. Whether it proves anything is for [`proves`](Self::proves).
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (salt, rest) = bytes.split_first_chunk()?;
        Some(Self {
            salt: Salt(*salt),
            found: Solution::read(rest)?,
        })
    }

    /// Whether this identity has done that work for this network: about 20 µs.
    pub(crate) fn proves(&self, network: NetworkHash, id: NodeId, bits: u8) -> bool {
        let salt = self.salt;
        let input = Applicant { network, id, salt }.input();
        self.found.proves(&input, bits)
    }
}

/// A solution for some input, and the nonce that it has been found with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Solution {
    nonce: u32,
    solution: Vec<u8>,
}

impl Solution {
    /// Looks for one with this nonce, of which about two in 2^`bits` are enough. Takes seconds, and about 200 MB.
    pub(crate) fn seek(input: &[u8; 32], nonce: u32, bits: u8) -> Option<Self> {
        let solutions = Equihash::ASKED.solve(input, nonce);
        let found = solutions
            .into_iter()
            .map(|solution| Self { nonce, solution });
        found
            .into_iter()
            .find(|found| found.zeros(input) >= u32::from(bits))
    }

    /// The encoding: nonce 4 (big-endian), solution 84.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [&self.nonce.to_be_bytes()[..], &self.solution].concat()
    }

    /// Reads an encoding. Whether it solves anything is for [`proves`](Self::proves).
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (nonce, solution) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        (bytes.len() == SOLVED_BYTES).then(|| Self {
            nonce: u32::from_be_bytes(*nonce),
            solution: solution.to_vec(),
        })
    }

    /// Whether it solves this input with so many zero bits: about 20 µs.
    pub(crate) fn proves(&self, input: &[u8; 32], bits: u8) -> bool {
        // The cheaper one first: most of what is made up fails there.
        self.zeros(input) >= u32::from(bits)
            && Equihash::ASKED.is_solution(input, self.nonce, &self.solution)
    }

    fn zeros(&self, input: &[u8; 32]) -> u32 {
        let hash = Canonical::new("shoal work hash 1")
            .bytes(input)
            .number(self.nonce.into())
            .bytes(&self.solution)
            .finish();
        let whole = hash.iter().take_while(|byte| **byte == 0).count();
        let next = hash.get(whole).map_or(0, |byte| byte.leading_zeros());
        u32::try_from(whole).unwrap_or(u32::MAX) * 8 + next
    }
}

/// An Equihash problem: 2^k of 2^(n/(k+1)+1) hashes of n bits each, whose sum is zero, found by collisions of
/// n/(k+1) bits at a time. n is at most 128.
#[derive(Clone, Copy)]
struct Equihash {
    n: u32,
    k: u32,
}

/// Bits of a place among the sums of a round, of which there are at most twice as many as hashes.
const PLACE_BITS: u32 = 24;

/// A sum of hashes, and how it was made: the places of two of the round before.
struct Round {
    sums: Vec<u128>,
    pairs: Vec<(u32, u32)>,
}

impl Equihash {
    /// What networks ask for.
    const ASKED: Self = Self { n: 120, k: 5 };

    /// Bits that collide in each round.
    const fn bits(self) -> u32 {
        self.n / (self.k + 1)
    }

    const fn solution_bytes(self) -> usize {
        ((1 << self.k) * (self.bits() as usize + 1)) / 8
    }

    /// Hashes that there are to choose from.
    const fn hashes(self) -> u32 {
        1 << (self.bits() + 1)
    }

    fn is_solution(self, input: &[u8], nonce: u32, solution: &[u8]) -> bool {
        let nonce = nonce.to_be_bytes();
        equihash::is_valid_solution(self.n, self.k, input, &nonce, solution).is_ok()
    }

    /// Of how many bytes one output of BLAKE2b is: as many hashes as fit into 512 bits.
    fn output(self) -> usize {
        ((512 / self.n) * self.n / 8) as usize
    }

    /// As Zcash makes them: BLAKE2b with n and k as its person, over the input, the nonce and the number.
    fn state(self, input: &[u8], nonce: u32) -> State {
        let mut person = *b"ZcashPoW\0\0\0\0\0\0\0\0";
        for (place, byte) in person
            .iter_mut()
            .skip(8)
            .zip(self.n.to_le_bytes().into_iter().chain(self.k.to_le_bytes()))
        {
            *place = byte;
        }
        let mut params = Params::new();
        let mut state = params
            .hash_length(self.output())
            .personal(&person)
            .to_state();
        state.update(input).update(&nonce.to_be_bytes());
        state
    }

    fn leaves(self, input: &[u8], nonce: u32) -> Vec<u128> {
        let state = self.state(input, nonce);
        let mut leaves = Vec::with_capacity(self.hashes() as usize);
        let bytes = (self.n / 8) as usize;
        for number in 0.. {
            let mut hash = state.clone();
            hash.update(&u32::to_le_bytes(number));
            for leaf in hash.finalize().as_bytes().chunks_exact(bytes) {
                if leaves.len() == self.hashes() as usize {
                    return leaves;
                }
                let value = leaf
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u128::from(*byte));
                leaves.push(value);
            }
        }
        leaves
    }

    /// All solutions with a nonce, encoded: two on average. Wagner's algorithm: in each round, what agrees in the
    /// first bits that are left is paired, and the bits are gone from the sum.
    fn solve(self, input: &[u8], nonce: u32) -> Vec<Vec<u8>> {
        let mut rounds: Vec<Round> = Vec::new();
        let mut sums = self.leaves(input, nonce);
        for round in 1..=self.k {
            let left = self.n - (round - 1) * self.bits();
            // In the last round all that is left has to agree.
            let same = if round == self.k { left } else { self.bits() };
            let next = self.pair(&sums, left - same);
            // The sums of a round are of no use any more, only how they were made.
            let Round { sums: made, pairs } = next;
            sums = made;
            rounds.push(Round {
                sums: Vec::new(),
                pairs,
            });
        }
        let count = rounds.last().map_or(0, |last| last.pairs.len());
        let found = (0..count).filter_map(|place| self.indices(&rounds, place));
        let found = BTreeSet::from_iter(found);
        found
            .into_iter()
            .map(|indices| self.encode(&indices))
            .collect()
    }

    /// Pairs of those whose bits above `rest` are the same, with the sums of what is below.
    fn pair(self, sums: &[u128], rest: u32) -> Round {
        // What has to agree, 40 bits at most, and the place, in one number: sorted without looking elsewhere.
        let key = |(place, sum): (u64, &u128)| ((sum >> rest) as u64) << PLACE_BITS | place;
        let mut order: Vec<u64> = (0..).zip(sums).map(key).collect();
        order.sort_unstable();
        let place = |key: u64| (key & ((1 << PLACE_BITS) - 1)) as u32;
        let of = |place: u32| sums.get(place as usize).copied().unwrap_or(0);
        let most = self.hashes() as usize * 2;
        let (mut made, mut pairs) = (Vec::new(), Vec::new());
        for same in order.chunk_by(|one, next| one >> PLACE_BITS == next >> PLACE_BITS) {
            for (at, one) in same.iter().enumerate() {
                let one = place(*one);
                for other in same.iter().skip(at + 1) {
                    let other = place(*other);
                    let sum = of(one) ^ of(other);
                    // A sum of nothing is of pairs that have a hash in common, but for the last round.
                    if made.len() < most && (sum > 0 || rest == 0) {
                        made.push(sum);
                        pairs.push((one, other));
                    }
                }
            }
        }
        Round { sums: made, pairs }
    }

    /// The hashes that a sum of the last round is made of, in their one order. None if one is in it twice.
    fn indices(self, rounds: &[Round], place: usize) -> Option<Vec<u32>> {
        let mut all = vec![u32::try_from(place).ok()?];
        for round in rounds.iter().rev() {
            let mut deeper = Vec::with_capacity(2 * all.len());
            for place in all {
                let (one, other) = *round.pairs.get(place as usize)?;
                deeper.extend([one, other]);
            }
            all = deeper;
        }
        let each = BTreeSet::from_iter(all.iter().copied());
        if each.len() != all.len() {
            return None;
        }
        // Of two halves the one that begins with the smaller one stands first, at every depth.
        for depth in 0..self.k {
            let half = 1 << depth;
            for pair in all.chunks_mut(2 * half) {
                let (one, other) = pair.split_at_mut(half);
                if one.first() > other.first() {
                    one.swap_with_slice(other);
                }
            }
        }
        Some(all)
    }

    /// Each in as many bits as there are hashes, one behind the other.
    fn encode(self, indices: &[u32]) -> Vec<u8> {
        let width = self.bits() + 1;
        let mut bytes = Vec::with_capacity(self.solution_bytes());
        let (mut held, mut bits) = (0_u64, 0);
        for index in indices {
            held = held << width | u64::from(*index);
            bits += width;
            while bits >= 8 {
                bits -= 8;
                bytes.push((held >> bits & 0xff) as u8);
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const SMALL: Equihash = Equihash { n: 48, k: 5 };

    /// Against the verifier that Zcash runs.
    #[test]
    fn what_is_found_is_a_solution_and_nothing_else_is() {
        let mut count = 0;
        for nonce in 0..200 {
            for solution in SMALL.solve(b"some input", nonce) {
                count += 1;
                assert!(SMALL.is_solution(b"some input", nonce, &solution));
                assert!(!SMALL.is_solution(b"some input", nonce + 1, &solution));
                assert!(!SMALL.is_solution(b"other input", nonce, &solution));
                let mut changed = solution.clone();
                changed[3] ^= 4;
                assert!(!SMALL.is_solution(b"some input", nonce, &changed));
            }
        }
        // Up to two for each nonce on average: of so small a problem many are of hashes that are in them twice.
        assert!((100..400).contains(&count), "{count}");
    }

    #[test]
    #[ignore = "measures: what docs/directory/joining.md says"]
    #[expect(clippy::disallowed_methods, reason = "it measures")]
    fn what_a_try_takes() {
        let applicant = Applicant {
            network: NetworkHash::new([1; 32]),
            id: NodeId::new([2; 32]),
            salt: Salt::of(&[3; 32]),
        };
        let since = std::time::Instant::now();
        let solutions = (0..20).map(|nonce| Equihash::ASKED.solve(&applicant.input(), nonce).len());
        let solutions: usize = solutions.sum();
        let took = since.elapsed() / 20;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find(|line| line.starts_with("VmHWM"));
        println!("{took:?} a try, {solutions} solutions of 20, {peak:?}");
        let work = (0..).find_map(|nonce| applicant.seek(nonce, 0)).unwrap();
        let since = std::time::Instant::now();
        let proven = (0..1000).all(|_| work.proves(applicant.network, applicant.id, 0));
        println!("{:?} a check, {proven}", since.elapsed() / 1000);
    }

    #[test]
    fn a_proof_is_for_one_identity_one_network_and_one_term() {
        let (network, id) = (NetworkHash::new([1; 32]), NodeId::new([2; 32]));
        let salt = Salt::of(&[3; 32]);
        let applicant = Applicant { network, id, salt };
        let found = (0..).find_map(|nonce| applicant.seek(nonce, 1)).unwrap();
        let bytes = found.encode();
        assert_eq!(bytes.len(), SALT_BYTES + SOLVED_BYTES);
        let work = Work::read(&bytes).unwrap();
        assert_eq!(work, found);
        assert!(work.proves(network, id, 1) && work.proves(network, id, 0));
        assert!(!work.proves(network, id, 40), "it is not that much");
        assert!(!work.proves(NetworkHash::new([2; 32]), id, 0));
        assert!(!work.proves(network, NodeId::new([3; 32]), 0));
        let salt = Salt::of(&[4; 32]);
        assert!(
            !Work {
                salt,
                ..work.clone()
            }
            .proves(network, id, 0)
        );
        let mut later = work.clone();
        later.found.nonce += 1;
        assert!(!later.proves(network, id, 0));
        assert!(Work::read(&bytes[1..]).is_none());
        assert!(Work::read(&[&bytes[..], &[0]].concat()).is_none());
    }
}
