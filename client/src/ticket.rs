//! What a mailbox is opened with: a token of its provider's, where that asks for one.
//!
//! A token is asked for in the place of a dummy and answered like one, so that nobody sees it but its issuer, which
//! does not know it again when it is spent: it evaluates what is blinded. For a client's first place that happens
//! at once; for the others hours apart, at times that are drawn (see [`crate::places`]).

use rand::CryptoRng;
use shoal_packet::command::{TokenAnswer, TokenProof, TokenRefusal};
use shoal_packet::token::{PendingToken, Token, TokenCode};
use shoal_proto::{NetworkHash, NodeId, Span, Time};
use shoal_topology::{TokenDemand, TokenTerms, TokenWork};
use zeroize::Zeroizing;

use crate::clock::ClockStep;
use crate::rows::TicketRow;

/// How far a token is had.
enum State {
    /// There is none.
    None,
    /// It is asked for, of the key of this number.
    Asked { number: u32, pending: PendingToken },
    /// It is here.
    Held(Token),
}

/// The token for one mailbox, as far as it is needed.
pub(crate) struct Ticket {
    state: State,
    /// What its provider asks for, as the document says.
    terms: Option<TokenTerms>,
    /// What is shown for it, once it is known.
    proof: Option<TokenProof>,
    /// Somebody works on the proof.
    working: bool,
    due: Time,
    wait: Span,
}

/// A token to ask for now.
pub(crate) struct Asking {
    pub(crate) number: u32,
    pub(crate) blinded: [u8; 32],
    pub(crate) proof: TokenProof,
}

/// Work that is to be done for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labour {
    /// What is worked for.
    pub work: TokenWork,
    /// How many zero bits the proof has.
    pub bits: u8,
}

/// What came of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// A token.
    Token,
    /// Nothing.
    Nothing,
    /// An answer that its issuer's key in the document did not make.
    Forged,
}

impl Ticket {
    /// As it was saved; asked for from `due` on.
    pub(crate) fn new(row: &TicketRow, due: Time) -> Self {
        let state = match row {
            TicketRow::None => State::None,
            // What is damaged is asked for anew.
            TicketRow::Asked(number, pending) => match PendingToken::from_bytes(pending.as_slice())
            {
                Ok(pending) => State::Asked {
                    number: *number,
                    pending,
                },
                Err(_) => State::None,
            },
            TicketRow::Held(token) => {
                Token::from_bytes(token.as_slice()).map_or(State::None, State::Held)
            }
        };
        Self {
            state,
            terms: None,
            proof: None,
            working: false,
            due,
            wait: Span::ZERO,
        }
    }

    pub(crate) fn row(&self) -> TicketRow {
        match &self.state {
            State::None => TicketRow::None,
            State::Asked { number, pending } => {
                TicketRow::Asked(*number, Zeroizing::new(*pending.to_bytes()))
            }
            State::Held(token) => TicketRow::Held(Zeroizing::new(*token.to_bytes())),
        }
    }

    /// The document in force says so. What is had or asked for of a key that does not count any more is void.
    pub(crate) fn see(&mut self, terms: Option<TokenTerms>) {
        self.terms = terms;
        let number = match &self.state {
            State::None => return,
            State::Asked { number, .. } => *number,
            State::Held(token) => token.number(),
        };
        if terms.is_some_and(|terms| !terms.key.takes(number)) {
            self.state = State::None;
            (self.proof, self.working) = (None, false);
        }
    }

    /// Whether it is needed and not here.
    pub(crate) fn is_missing(&self) -> bool {
        self.terms.is_some() && !matches!(self.state, State::Held(_))
    }

    /// The token, if it is here.
    pub(crate) fn token(&self) -> Option<Token> {
        match &self.state {
            State::Held(token) => Some(token.clone()),
            State::None | State::Asked { .. } => None,
        }
    }

    /// It has opened its mailbox.
    pub(crate) fn spent(&mut self) {
        self.state = State::None;
        (self.proof, self.working) = (None, false);
    }

    /// Makes ready to ask. Whether there is something new to save, and work to be done first, if some `may` be
    /// done now.
    pub(crate) fn prepare<R: CryptoRng>(
        &mut self,
        rng: &mut R,
        (network, provider): (NetworkHash, NodeId),
        code: Option<TokenCode>,
        may: bool,
    ) -> (bool, Option<Labour>) {
        let Some(terms) = self.terms.filter(|_| self.is_missing()) else {
            return (false, None);
        };
        let mut fresh = false;
        if matches!(self.state, State::None) {
            let Ok((pending, _)) = PendingToken::blind(rng) else {
                return (false, None);
            };
            let number = terms.key.number();
            self.state = State::Asked { number, pending };
            fresh = true;
        }
        let labour = match terms.demand {
            TokenDemand::Open => {
                self.proof = Some(TokenProof::None);
                None
            }
            TokenDemand::Code => {
                self.proof = code.map(TokenProof::Code);
                None
            }
            TokenDemand::Work { bits } if may => self.labour(network, provider, bits),
            TokenDemand::Work { .. } => None,
        };
        (fresh, labour)
    }

    fn labour(&mut self, network: NetworkHash, provider: NodeId, bits: u8) -> Option<Labour> {
        if self.working || matches!(self.proof, Some(TokenProof::Work(_))) {
            return None;
        }
        let work = self.work(network, provider)?;
        self.working = true;
        Some(Labour { work, bits })
    }

    fn work(&self, network: NetworkHash, provider: NodeId) -> Option<TokenWork> {
        let State::Asked { number, pending } = &self.state else {
            return None;
        };
        Some(TokenWork {
            network,
            provider,
            number: *number,
            blinded: pending.blinded().ok()?,
        })
    }

    /// Whether somebody works for it.
    pub(crate) fn is_worked_for(&self) -> bool {
        self.working
    }

    /// Work was done, perhaps for this one.
    pub(crate) fn worked(&mut self, done: &TokenWork, proof: &TokenProof) {
        if self.work(done.network, done.provider).as_ref() == Some(done) {
            self.proof = Some(proof.clone());
            self.working = false;
        }
    }

    /// What to ask now, if anything. If nothing comes of it, it is asked again after a wait that doubles, up to
    /// `most`; the first is `least`.
    pub(crate) fn ask(&mut self, now: Time, (least, most): (Span, Span)) -> Option<Asking> {
        if now < self.due || !self.is_missing() {
            return None;
        }
        let State::Asked { number, pending } = &self.state else {
            return None;
        };
        let asking = Asking {
            number: *number,
            blinded: pending.blinded().ok()?,
            proof: self.proof.clone()?,
        };
        self.wait = self.wait.scale(2, 1).clamp(least, most.max(least));
        self.due = now + self.wait;
        Some(asking)
    }

    /// What the issuer said.
    pub(crate) fn answered(&mut self, answer: &TokenAnswer) -> Got {
        let State::Asked { number, pending } = &self.state else {
            return Got::Nothing;
        };
        let evaluation = match answer {
            TokenAnswer::Issued { evaluation, .. } => evaluation,
            TokenAnswer::Refused(TokenRefusal::UnknownKey) => {
                self.spent();
                return Got::Nothing;
            }
            TokenAnswer::Refused(_) => return Got::Nothing,
        };
        // By the key that everybody sees: one for this client alone would know it again.
        let key = self.terms.map(|terms| terms.key);
        let Some(key) = key.filter(|key| key.number() == *number) else {
            self.spent();
            return Got::Nothing;
        };
        match pending.finish(&key, evaluation) {
            Ok(token) => {
                self.state = State::Held(token);
                Got::Token
            }
            Err(_) => Got::Forged,
        }
    }

    /// It is asked for as much later as before.
    pub(crate) fn clock_moved(&mut self, step: ClockStep) {
        self.due = step.apply(self.due);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;
    use shoal_packet::token::{Evaluation, IssuerSecret};

    use super::*;

    const NETWORK: NetworkHash = NetworkHash::new([1; 32]);
    const PROVIDER: NodeId = NodeId::new([2; 32]);
    const WAITS: (Span, Span) = (Span::from_secs(4), Span::from_secs(10));

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    fn secret(number: u32) -> IssuerSecret {
        IssuerSecret::derive(&[7; 32], number).unwrap()
    }

    fn terms(number: u32, demand: TokenDemand) -> Option<TokenTerms> {
        let key = secret(number).public();
        Some(TokenTerms { key, demand })
    }

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(1)
    }

    fn ticket(demand: TokenDemand) -> Ticket {
        let mut ticket = Ticket::new(&TicketRow::None, at(0));
        assert!(!ticket.is_missing(), "nobody asks for one");
        ticket.see(terms(5, demand));
        ticket
    }

    fn prepare(ticket: &mut Ticket, code: Option<TokenCode>) -> (bool, Option<Labour>) {
        ticket.prepare(&mut rng(), (NETWORK, PROVIDER), code, true)
    }

    fn answer(secret: &IssuerSecret, asking: &Asking) -> TokenAnswer {
        let evaluation: Evaluation = secret.evaluate(&mut rng(), &asking.blinded).unwrap();
        TokenAnswer::Issued {
            number: asking.number,
            evaluation,
        }
    }

    fn restart(ticket: &Ticket, demand: TokenDemand) -> Ticket {
        let bytes = ticket.row().encode();
        let row = TicketRow::decode(&bytes).unwrap();
        let mut again = Ticket::new(&row, at(0));
        again.see(terms(5, demand));
        again
    }

    #[test]
    fn a_token_is_asked_for_until_it_is_here_and_survives_restarts() {
        let open = TokenDemand::Open;
        let mut ticket = ticket(open);
        assert!(ticket.is_missing() && ticket.ask(at(0), WAITS).is_none());
        assert_eq!(prepare(&mut ticket, None), (true, None));
        assert_eq!(prepare(&mut ticket, None), (false, None));
        let first = ticket.ask(at(0), WAITS).unwrap();
        // After 4, 8 and 10 s.
        for (early, due) in [(3, 4), (11, 12), (21, 22), (31, 32)] {
            assert!(ticket.ask(at(early), WAITS).is_none());
            assert_eq!(ticket.ask(at(due), WAITS).unwrap().blinded, first.blinded);
        }
        let mut ticket = restart(&ticket, open);
        let _ = prepare(&mut ticket, None);
        let again = ticket.ask(at(0), WAITS).unwrap();
        assert_eq!(
            again.blinded, first.blinded,
            "what was asked before is answered now"
        );
        let refused = TokenAnswer::Refused(TokenRefusal::NotNow);
        assert_eq!(ticket.answered(&refused), Got::Nothing);
        let forged = answer(&IssuerSecret::derive(&[8; 32], 5).unwrap(), &again);
        assert_eq!(ticket.answered(&forged), Got::Forged);
        assert!(ticket.is_missing());
        let good = answer(&secret(5), &again);
        assert_eq!(ticket.answered(&good), Got::Token);
        assert_eq!(ticket.answered(&good), Got::Nothing);
        let mut ticket = restart(&ticket, open);
        let token = ticket.token().unwrap();
        assert!(secret(5).verify(&token) && !ticket.is_missing());
        assert!(ticket.ask(at(99), WAITS).is_none());
        ticket.spent();
        assert!(ticket.token().is_none() && restart(&ticket, open).is_missing());
    }

    #[test]
    fn what_is_of_a_key_that_does_not_count_is_void() {
        let mut ticket = ticket(TokenDemand::Open);
        let _ = prepare(&mut ticket, None);
        let asking = ticket.ask(at(0), WAITS).unwrap();
        let _ = ticket.answered(&answer(&secret(5), &asking));
        ticket.see(terms(6, TokenDemand::Open));
        assert!(
            !ticket.is_missing(),
            "it counts in the period after its own"
        );
        ticket.see(None);
        ticket.see(terms(7, TokenDemand::Open));
        assert!(ticket.is_missing());
        // The provider has another key than the document.
        let _ = prepare(&mut ticket, None);
        let first = ticket.ask(at(50), WAITS).unwrap();
        let unknown = TokenAnswer::Refused(TokenRefusal::UnknownKey);
        assert_eq!(ticket.answered(&unknown), Got::Nothing);
        assert_eq!(prepare(&mut ticket, None), (true, None));
        let again = ticket.ask(at(99), WAITS).unwrap();
        assert_eq!((first.number, again.number), (7, 7));
    }

    #[test]
    fn what_is_asked_for_is_shown() {
        let mut ticket = ticket(TokenDemand::Code);
        assert_eq!(prepare(&mut ticket, None), (true, None));
        assert!(ticket.ask(at(0), WAITS).is_none(), "nobody told it a code");
        let code = TokenCode::of(&PROVIDER, "friend");
        let _ = prepare(&mut ticket, Some(code.clone()));
        assert_eq!(
            ticket.ask(at(0), WAITS).unwrap().proof,
            TokenProof::Code(code)
        );
        ticket.see(terms(5, TokenDemand::Work { bits: 3 }));
        let (_, labour) = prepare(&mut ticket, None);
        let Labour { work, bits } = labour.unwrap();
        assert_eq!((work.number, work.provider, bits), (5, PROVIDER, 3));
        assert_eq!(
            prepare(&mut ticket, None),
            (false, None),
            "it is being done"
        );
        let proof = TokenProof::Work(Box::new([9; 88]));
        let other = TokenWork { number: 6, ..work };
        ticket.worked(&other, &proof);
        assert_ne!(
            ticket.ask(at(50), WAITS).map(|it| it.proof),
            Some(proof.clone())
        );
        ticket.worked(&work, &proof);
        assert_eq!(ticket.ask(at(99), WAITS).unwrap().proof, proof);
    }
}
