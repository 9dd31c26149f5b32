//! Tokens: issued to who shows what is asked for, and taken for opening a mailbox.
//!
//! The keys follow from one seed and the number of the period, so that nothing has to be kept of them. What was spent,
//! and which codes were used up, the store keeps.

use std::collections::BTreeMap;
use std::num::NonZeroU8;

use blake2::{Blake2b256, Digest as _};
use rand::CryptoRng;
use shoal_packet::command::{TokenAnswer, TokenAsk, TokenProof, TokenRefusal};
use shoal_packet::token::{IssuerSecret, Token, TokenCode};
use shoal_proto::{NetworkHash, NodeId, Time};
use shoal_topology::{TokenDemand, TokenTerms, TokenWork, token_period, tokens_expire};
use zeroize::Zeroizing;

use crate::hourly::Hourly;
use crate::store::{Claim, Opening, SpentToken};
use crate::{DropReason, Limits};

shoal_proto::counters! {
    /// Tokens.
    pub struct TokenCounters("provider") {
        /// Tokens that were issued.
        issued: counter "tokens",
            "It grows by tokens_per_hour at most. If it always does, somebody buys all there are: ask for work, or for more of it.";
    }
}

shoal_proto::labels! {
    /// Requests for tokens that were refused, by reason.
    pub enum RefusedToken("reason") counted by RefusedTokens as counter "shoal_provider_refused_tokens_total" in "tokens" {
        /// By the number of a key that this provider has not, or not any more; or it issues no tokens.
        UnknownKey = "unknown_key", "If it grows, look at the clock and whether documents arrive.";
        /// Without the work or the code that is asked for, or with a wrong one.
        Proof = "proof";
        /// With a code that has given all its tokens of this period.
        UsedUp = "used_up", "Somebody needs more, or has passed the code on: give each person a code of their own.";
        /// As many were issued in this hour as may be.
        NotNow = "not_now", "Ask for work, or for more of it; or raise tokens_per_hour if there is room for more mailboxes.";
    }
}

/// A code that a provider has given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerCode {
    /// What is shown.
    pub code: TokenCode,
    /// Tokens that it gives of each period, at most [`Claim::MOST_RIGHTS`]; none for as many as are asked for.
    pub most: Option<NonZeroU8>,
}

/// What a provider issues tokens with, and what it wants for them.
///
/// Memory: two keys, and the codes.
pub struct Issuer {
    seed: Zeroizing<[u8; 32]>,
    demand: TokenDemand,
    codes: Vec<IssuerCode>,
    /// By period: this one and the one before.
    secrets: BTreeMap<u32, IssuerSecret>,
}

impl Issuer {
    /// An issuer whose keys follow from this seed, which has to be the same after every restart: 32 random bytes that
    /// nobody else knows. The codes count if codes are demanded.
    #[must_use]
    pub const fn new(
        seed: Zeroizing<[u8; 32]>,
        demand: TokenDemand,
        codes: Vec<IssuerCode>,
    ) -> Self {
        Self {
            seed,
            demand,
            codes,
            secrets: BTreeMap::new(),
        }
    }

    /// On what terms it issues tokens now. They change with the period. None if no key follows from the seed.
    pub fn terms(&mut self, now: Time) -> Option<TokenTerms> {
        self.turn(now);
        let key = self.secrets.get(&token_period(now))?.public();
        let demand = self.demand;
        Some(TokenTerms { key, demand })
    }

    /// The keys of this period and of the one before, and no others. Who asks may go by a document of the last
    /// period, so both make tokens.
    fn turn(&mut self, now: Time) {
        let period = token_period(now);
        let first = period.saturating_sub(1);
        self.secrets
            .retain(|number, _| (first..=period).contains(number));
        for number in first..=period {
            if !self.secrets.contains_key(&number)
                && let Ok(secret) = IssuerSecret::derive(&self.seed, number)
            {
                self.secrets.insert(number, secret);
            }
        }
    }

    fn payment(&self, work: &TokenWork, proof: &TokenProof) -> Payment {
        let paid = |paid| if paid { Payment::Whole } else { Payment::None };
        match (self.demand, proof) {
            (TokenDemand::Open, _) => Payment::Whole,
            (TokenDemand::Work { bits }, TokenProof::Work(proof)) => paid(work.proves(proof, bits)),
            (TokenDemand::Code, TokenProof::Code(shown)) => {
                // All are looked at, so that the time tells nothing.
                let looked = self.codes.iter().filter(|known| known.code == *shown);
                let most = looked
                    .map(|known| known.most)
                    .fold(None, |_, most| Some(most));
                match most {
                    Some(Some(most)) => Payment::Claim(self.claim(work, shown, most)),
                    most => paid(most.is_some()),
                }
            }
            (TokenDemand::Work { .. } | TokenDemand::Code, _) => Payment::None,
        }
    }

    /// What one asks the store for who shows a code that gives so many. Who has the store and not the seed learns
    /// nothing from the names.
    fn claim(&self, work: &TokenWork, code: &TokenCode, most: NonZeroU8) -> Claim {
        let name = |what: &[u8]| {
            let hash = Blake2b256::new_with_prefix(USED_DOMAIN)
                .chain_update(self.seed.as_slice())
                .chain_update(code.as_bytes())
                .chain_update(work.number.to_le_bytes())
                .chain_update(what);
            hash.finalize().into()
        };
        Claim {
            request: name(&work.blinded),
            rights: (0..most.get()).map(|right| name(&[right])).collect(),
            expires: tokens_expire(work.number),
        }
    }
}

/// Begins what a name of a used code is the hash of.
const USED_DOMAIN: &[u8] = b"shoal token code used 1";

/// Whether what is shown for a token is what is asked for it.
enum Payment {
    None,
    Whole,
    /// If the store gives this.
    Claim(Claim),
}

/// What is said to who asks for a token.
pub(crate) enum Answering {
    /// This.
    Now(TokenAnswer),
    /// This, if the store gives that: see [`Tokens::claimed`].
    After(Claim, TokenAnswer),
}

/// How the store gave what was claimed.
pub(crate) enum Given {
    New,
    /// As before, for the same request.
    Again,
}

/// The tokens of a provider: what it issues them with, if it does, and how often.
pub(crate) struct Tokens {
    network: NetworkHash,
    local: NodeId,
    issuer: Option<Issuer>,
    hourly: Hourly,
    counters: TokenCounters,
    refused: RefusedTokens,
}

impl Tokens {
    pub(crate) fn new(network: NetworkHash, local: NodeId, limits: &Limits) -> Self {
        Self {
            network,
            local,
            issuer: None,
            hourly: Hourly::new(limits.tokens_per_hour),
            counters: TokenCounters::default(),
            refused: RefusedTokens::default(),
        }
    }

    pub(crate) fn issue_with(&mut self, issuer: Issuer) {
        self.issuer = Some(issuer);
    }

    pub(crate) const fn counters(&self) -> TokenCounters {
        self.counters
    }

    pub(crate) const fn refused(&self) -> RefusedTokens {
        self.refused
    }

    pub(crate) fn terms(&mut self, now: Time) -> Option<TokenTerms> {
        self.issuer.as_mut()?.terms(now)
    }

    /// Answers who asks for a token.
    ///
    /// # Errors
    /// What is to be evaluated is no element of the group.
    pub(crate) fn answer<R: CryptoRng>(
        &mut self,
        rng: &mut R,
        now: Time,
        ask: &TokenAsk,
    ) -> Result<Answering, DropReason> {
        let answering = self.evaluate(rng, now, ask)?;
        match &answering {
            Answering::Now(TokenAnswer::Issued { .. }) => self.issued(now),
            Answering::Now(TokenAnswer::Refused(why)) => self.refuse(match why {
                TokenRefusal::UnknownKey => RefusedToken::UnknownKey,
                TokenRefusal::Proof => RefusedToken::Proof,
                _ => RefusedToken::NotNow,
            }),
            Answering::After(..) => {}
        }
        Ok(answering)
    }

    /// The answer of [`Answering::After`], once the store has given what was claimed, or refused it.
    pub(crate) fn claimed(
        &mut self,
        now: Time,
        answer: TokenAnswer,
        given: Option<Given>,
    ) -> TokenAnswer {
        match given {
            Some(Given::New) => self.issued(now),
            // It is the same token.
            Some(Given::Again) => {}
            None => {
                self.refuse(RefusedToken::UsedUp);
                return TokenAnswer::Refused(TokenRefusal::NotNow);
            }
        }
        answer
    }

    fn issued(&mut self, now: Time) {
        self.hourly.count(now);
        self.counters.issued += 1;
    }

    fn refuse(&mut self, why: RefusedToken) {
        self.refused.add(why, 1);
    }

    fn evaluate<R: CryptoRng>(
        &mut self,
        rng: &mut R,
        now: Time,
        ask: &TokenAsk,
    ) -> Result<Answering, DropReason> {
        let refused = |why| Ok(Answering::Now(TokenAnswer::Refused(why)));
        let Some(issuer) = &mut self.issuer else {
            return refused(TokenRefusal::UnknownKey);
        };
        issuer.turn(now);
        let Some(secret) = issuer.secrets.get(&ask.number) else {
            return refused(TokenRefusal::UnknownKey);
        };
        let work = TokenWork {
            network: self.network,
            provider: self.local,
            number: ask.number,
            blinded: ask.blinded,
        };
        let payment = issuer.payment(&work, &ask.proof);
        if matches!(payment, Payment::None) {
            return refused(TokenRefusal::Proof);
        }
        if !self.hourly.has_room(now, 0) {
            return refused(TokenRefusal::NotNow);
        }
        let evaluation = secret.evaluate(rng, &ask.blinded);
        let answer = TokenAnswer::Issued {
            number: ask.number,
            evaluation: evaluation.map_err(|_| DropReason::BadCommand)?,
        };
        Ok(match payment {
            Payment::Claim(claim) => Answering::After(claim, answer),
            Payment::Whole | Payment::None => Answering::Now(answer),
        })
    }

    /// Whether who brings this, or nothing, may open a mailbox. A provider that issues no tokens asks for none.
    pub(crate) fn opening(&mut self, now: Time, token: Option<&Token>) -> Opening {
        let Some(issuer) = &mut self.issuer else {
            return Opening::Free;
        };
        issuer.turn(now);
        let good = token.filter(|token| {
            let secret = issuer.secrets.get(&token.number());
            secret.is_some_and(|secret| secret.verify(token))
        });
        good.map_or(Opening::Closed, |token| {
            Opening::Token(SpentToken {
                name: token.spent(),
                expires: tokens_expire(token.number()),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use shoal_packet::token::PendingToken;
    use shoal_topology::TOKEN_PERIOD;

    use super::*;

    #[test]
    fn keys_change_with_the_period_and_old_tokens_end_with_the_next() {
        let (network, local) = (NetworkHash::new([1; 32]), NodeId::new([2; 32]));
        let mut tokens = Tokens::new(network, local, &Limits::default());
        let seed = Zeroizing::new([3; 32]);
        tokens.issue_with(Issuer::new(seed, TokenDemand::Open, Vec::new()));
        let start = Time::default() + TOKEN_PERIOD.scale(700, 1);
        let at = |periods: u64| start + TOKEN_PERIOD.scale(periods, 1);
        let terms = tokens.terms(start).unwrap();
        assert_eq!(terms.key.number(), 700);
        let next = tokens.terms(at(1)).unwrap();
        assert_eq!(next.key.number(), 701);
        assert_ne!(terms.key.as_bytes(), next.key.as_bytes());
        // A clock that is set back makes the same keys again.
        assert_eq!(tokens.terms(start), Some(terms));

        let mut rng = ChaCha20Rng::seed_from_u64(4);
        let (pending, blinded) = PendingToken::blind(&mut rng).unwrap();
        let secret = IssuerSecret::derive(&[3; 32], 700).unwrap();
        let answer = secret.evaluate(&mut rng, &blinded).unwrap();
        let token = pending.finish(&terms.key, &answer).unwrap();
        let last = at(2) - shoal_proto::Span::from_micros(1);
        for now in [start, at(1), last] {
            let Opening::Token(spent) = tokens.opening(now, Some(&token)) else {
                panic!("not taken at {now:?}");
            };
            // It is remembered for exactly as long as it counts.
            assert_eq!((spent.name, spent.expires), (token.spent(), at(2)));
            let held = tokens.issuer.as_ref().unwrap().secrets.len();
            assert_eq!(held, 2);
        }
        assert_eq!(tokens.opening(at(2), Some(&token)), Opening::Closed);
        assert_eq!(
            tokens.opening(start - TOKEN_PERIOD, Some(&token)),
            Opening::Closed
        );
    }
}
