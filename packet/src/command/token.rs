//! What a client asks an issuer of tokens, and what it is answered.

use super::{CommandError, read_surb};
use crate::bytes::{Reader, Writer};
use crate::surb::Surb;
use crate::token::{ELEMENT_BYTES, Evaluation, TokenCode};
use rand::CryptoRng;

/// Bytes of a proof of work: nonce 4, solution 84.
pub const TOKEN_WORK_BYTES: usize = 88;
/// Bytes of the longest proof; shorter ones are filled up.
const PROOF_BYTES: usize = TOKEN_WORK_BYTES;

const NONE: u8 = 0;
const WORK: u8 = 1;
const CODE: u8 = 2;

const ISSUED: u8 = 0;
const UNKNOWN_KEY: u8 = 1;
const PROOF: u8 = 2;
const NOT_NOW: u8 = 3;

/// What a client shows for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenProof {
    /// Nothing.
    None,
    /// That it has worked for this very request.
    Work(Box<[u8; TOKEN_WORK_BYTES]>),
    /// That somebody who may has told it a code.
    Code(TokenCode),
}

/// Asks for a token. 523 bytes with its kind: epoch 1, reply block 396, number of the key 4, blinded element 32, kind of
/// proof 1, proof 88.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAsk {
    /// The byte that names the epoch of the reply block.
    pub surb_epoch: u8,
    /// For the answer.
    pub surb: Surb,
    /// The number of the key that it is to be made with.
    pub number: u32,
    /// What is to be evaluated.
    pub blinded: [u8; ELEMENT_BYTES],
    /// What its issuer asks for.
    pub proof: TokenProof,
}

impl TokenAsk {
    pub(super) fn write<R: CryptoRng + ?Sized>(&self, rng: &mut R, writer: &mut Writer) {
        writer
            .put(&[self.surb_epoch])
            .put(self.surb.as_bytes())
            .put(&self.number.to_be_bytes())
            .put(&self.blinded);
        let end = writer.written().len() + 1 + PROOF_BYTES;
        match &self.proof {
            TokenProof::None => writer.put(&[NONE]),
            TokenProof::Work(work) => writer.put(&[WORK]).put(work.as_slice()),
            TokenProof::Code(code) => writer.put(&[CODE]).put(code.as_bytes()),
        };
        writer.pad_random(rng, end);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CommandError> {
        let (mut ask, kind, proof) = Self::read_all(reader).ok_or(CommandError::Length)?;
        ask.proof = match kind {
            NONE => TokenProof::None,
            WORK => TokenProof::Work(Box::new(proof)),
            CODE => {
                let code = proof.first_chunk().ok_or(CommandError::Length)?;
                TokenProof::Code(TokenCode::from_bytes(*code))
            }
            _ => return Err(CommandError::Field("kind of proof")),
        };
        Ok(ask)
    }

    /// Without its proof, and the kind and the bytes of that.
    fn read_all(reader: &mut Reader<'_>) -> Option<(Self, u8, [u8; PROOF_BYTES])> {
        let ask = Self {
            surb_epoch: reader.u8()?,
            surb: read_surb(reader)?,
            number: reader.u32()?,
            blinded: reader.array()?,
            proof: TokenProof::None,
        };
        Some((ask, reader.u8()?, reader.array()?))
    }
}

/// What an issuer says to who asks for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAnswer {
    /// What makes the token.
    Issued {
        /// The number of the key.
        number: u32,
        /// The blinded element under it, and that it was that key.
        evaluation: Evaluation,
    },
    /// There is none.
    Refused(TokenRefusal),
}

/// Why somebody gets no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenRefusal {
    /// The provider has no such key: it issues no tokens, or the period is over. The newest document has the key.
    UnknownKey,
    /// Without the proof that is asked for, or with a wrong one. The newest document has what is asked for.
    Proof,
    /// It has issued as many as it does in an hour.
    NotNow,
}

impl TokenAnswer {
    pub(super) fn write(&self, writer: &mut Writer) {
        match self {
            Self::Issued { number, evaluation } => {
                writer
                    .put(&[ISSUED])
                    .put(&number.to_be_bytes())
                    .put(&evaluation.evaluated)
                    .put(&evaluation.proof);
            }
            Self::Refused(why) => {
                let why = match why {
                    TokenRefusal::UnknownKey => UNKNOWN_KEY,
                    TokenRefusal::Proof => PROOF,
                    TokenRefusal::NotNow => NOT_NOW,
                };
                writer.put(&[why]);
            }
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CommandError> {
        Ok(match reader.u8().ok_or(CommandError::Length)? {
            ISSUED => Self::read_issued(reader).ok_or(CommandError::Length)?,
            UNKNOWN_KEY => Self::Refused(TokenRefusal::UnknownKey),
            PROOF => Self::Refused(TokenRefusal::Proof),
            NOT_NOW => Self::Refused(TokenRefusal::NotNow),
            _ => return Err(CommandError::Field("whether a token was issued")),
        })
    }

    fn read_issued(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self::Issued {
            number: reader.u32()?,
            evaluation: Evaluation {
                evaluated: reader.array()?,
                proof: reader.array()?,
            },
        })
    }
}
