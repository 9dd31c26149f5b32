//! What providers ask for tokens, and the proof of work for one.
//!
//! A token opens one mailbox at its issuer (see [`shoal_packet::token`]). The keys that it is checked with stand in
//! the document, the same for everybody: an issuer with a key for each client would know them again.

use shoal_packet::command::TOKEN_WORK_BYTES;
use shoal_packet::token::{ELEMENT_BYTES, IssuerKey};
use shoal_proto::{NetworkHash, NodeId, Span, Time, wire};

use crate::canonical::Canonical;
use crate::work::{SOLVED_BYTES, Solution};
use crate::{DescriptorError, Role};

/// How long an issuer makes tokens with one key: 30 days. A token counts in that period and in the one after it.
pub const TOKEN_PERIOD: Span = Span::from_secs(30 * 24 * 60 * 60);
/// Most zero bits that an issuer may ask for: half as many tries, on average, as numbers of so many bits.
pub const MAX_TOKEN_WORK: u8 = 16;

const _: () = assert!(SOLVED_BYTES == TOKEN_WORK_BYTES);

/// The number of the period that a time is in: periods since the Unix epoch.
#[must_use]
pub fn token_period(now: Time) -> u32 {
    let number = now.as_micros() / TOKEN_PERIOD.as_micros();
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Until when tokens of a key count: the end of the period after the key's.
#[must_use]
pub fn tokens_expire(number: u32) -> Time {
    Time::default() + TOKEN_PERIOD.scale(u64::from(number) + 2, 1)
}

/// What an issuer wants to be shown for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenDemand {
    /// Nothing.
    Open,
    /// Work for this very request.
    Work {
        /// Zero bits that its hash has: 1 to [`MAX_TOKEN_WORK`].
        bits: u8,
    },
    /// A code that it has given to whom it wants to have.
    Code,
}

/// On what terms a provider issues tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenTerms {
    /// The key of the current period.
    pub key: IssuerKey,
    /// What it wants for a token.
    pub demand: TokenDemand,
}

const OPEN: u32 = 1;
const WORK: u32 = 2;
const CODE: u32 = 3;

impl TokenTerms {
    /// Whether anybody can have a token, by work at most.
    #[must_use]
    pub const fn for_anybody(&self) -> bool {
        matches!(self.demand, TokenDemand::Open | TokenDemand::Work { .. })
    }

    pub(crate) fn to_wire(self) -> wire::TokenTerms {
        let (demand, work) = match self.demand {
            TokenDemand::Open => (OPEN, 0),
            TokenDemand::Work { bits } => (WORK, bits.into()),
            TokenDemand::Code => (CODE, 0),
        };
        wire::TokenTerms {
            number: self.key.number(),
            key: self.key.as_bytes().to_vec(),
            demand,
            work,
        }
    }

    pub(crate) fn from_wire(terms: &wire::TokenTerms) -> Result<Self, DescriptorError> {
        let key = <[u8; ELEMENT_BYTES]>::try_from(terms.key.as_slice()).ok();
        let key = key.and_then(|key| IssuerKey::parse(terms.number, key).ok());
        let demand = match (terms.demand, u8::try_from(terms.work)) {
            (OPEN, Ok(0)) => TokenDemand::Open,
            (WORK, Ok(bits)) => TokenDemand::Work { bits },
            (CODE, Ok(0)) => TokenDemand::Code,
            _ => return Err(DescriptorError::Tokens),
        };
        let key = key.ok_or(DescriptorError::Tokens)?;
        Ok(Self { key, demand })
    }

    /// Only providers issue tokens, and for no more work than somebody can do.
    pub(crate) fn check(&self, role: Role) -> Result<(), DescriptorError> {
        let sound = match self.demand {
            TokenDemand::Work { bits } => (1..=MAX_TOKEN_WORK).contains(&bits),
            TokenDemand::Open | TokenDemand::Code => true,
        };
        let sound = sound && role == Role::Provider;
        sound.then_some(()).ok_or(DescriptorError::Tokens)
    }
}

/// What is worked for to get one token: the work is of use for no other, at no other issuer, and not before its key
/// is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenWork {
    /// The network.
    pub network: NetworkHash,
    /// The issuer.
    pub provider: NodeId,
    /// The number of its key.
    pub number: u32,
    /// What it is to evaluate.
    pub blinded: [u8; ELEMENT_BYTES],
}

impl TokenWork {
    fn input(&self) -> [u8; 32] {
        Canonical::new("shoal token work 1")
            .bytes(self.network.as_bytes())
            .bytes(self.provider.as_bytes())
            .number(self.number.into())
            .bytes(&self.blinded)
            .finish()
    }

    /// Looks for a proof with this nonce, of which about two in 2^`bits` are enough. Takes seconds, and about 200 MB:
    /// a job for a thread of its own.
    #[must_use]
    pub fn seek(&self, nonce: u32, bits: u8) -> Option<Box<[u8; TOKEN_WORK_BYTES]>> {
        let found = Solution::seek(&self.input(), nonce, bits)?;
        found.encode().into_boxed_slice().try_into().ok()
    }

    /// Whether so much work was done for it: about 20 µs.
    #[must_use]
    pub fn proves(&self, proof: &[u8; TOKEN_WORK_BYTES], bits: u8) -> bool {
        Solution::read(proof).is_some_and(|found| found.proves(&self.input(), bits))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use shoal_packet::token::IssuerSecret;

    use super::*;

    fn terms(demand: TokenDemand) -> TokenTerms {
        let key = IssuerSecret::derive(&[1; 32], 9).unwrap().public();
        TokenTerms { key, demand }
    }

    #[test]
    fn a_proof_is_for_one_request_at_one_issuer() {
        let work = TokenWork {
            network: NetworkHash::new([1; 32]),
            provider: NodeId::new([2; 32]),
            number: 3,
            blinded: [4; 32],
        };
        let proof = (0..).find_map(|nonce| work.seek(nonce, 1)).unwrap();
        assert!(work.proves(&proof, 1) && !work.proves(&proof, 40));
        let network = NetworkHash::new([2; 32]);
        assert!(!TokenWork { network, ..work }.proves(&proof, 0));
        let provider = NodeId::new([3; 32]);
        assert!(!TokenWork { provider, ..work }.proves(&proof, 0));
        assert!(!TokenWork { number: 4, ..work }.proves(&proof, 0));
        let blinded = [5; 32];
        assert!(!TokenWork { blinded, ..work }.proves(&proof, 0));
        let mut changed = proof.clone();
        changed[40] ^= 1;
        assert!(!work.proves(&changed, 0));
        assert!(!work.proves(&[0; TOKEN_WORK_BYTES], 0));
    }

    #[test]
    fn terms_round_trip_and_nothing_else_is_read() {
        let all = [
            TokenDemand::Open,
            TokenDemand::Work { bits: 1 },
            TokenDemand::Work {
                bits: MAX_TOKEN_WORK,
            },
            TokenDemand::Code,
        ];
        for demand in all {
            let terms = terms(demand);
            assert_eq!(TokenTerms::from_wire(&terms.to_wire()), Ok(terms));
            assert_eq!(terms.check(Role::Provider), Ok(()));
            assert_eq!(terms.check(Role::Mix), Err(DescriptorError::Tokens));
        }
        for bits in [0, MAX_TOKEN_WORK + 1] {
            let checked = terms(TokenDemand::Work { bits }).check(Role::Provider);
            assert_eq!(checked, Err(DescriptorError::Tokens));
        }
        let wrong: [fn(&mut wire::TokenTerms); 6] = [
            |it| it.demand = 0,
            |it| it.demand = 4,
            |it| it.work = 1,
            |it| it.work = 256,
            |it| it.key.truncate(31),
            |it| it.key.fill(0xff),
        ];
        for change in wrong {
            let mut wire = terms(TokenDemand::Code).to_wire();
            change(&mut wire);
            assert_eq!(TokenTerms::from_wire(&wire), Err(DescriptorError::Tokens));
        }
    }

    #[test]
    fn tokens_count_to_the_end_of_the_period_after_their_own() {
        let month = 30 * 24 * 60 * 60 * 1_000_000;
        let at = |micros| Time::from_micros(micros);
        assert_eq!((token_period(at(0)), token_period(at(month - 1))), (0, 0));
        assert_eq!(token_period(at(month)), 1);
        assert_eq!(
            token_period(Time::MAX),
            u32::try_from(u64::MAX / month).unwrap()
        );
        assert_eq!(tokens_expire(1), at(3 * month));
        let _ = tokens_expire(u32::MAX);
    }
}
