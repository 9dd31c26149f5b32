//! Blind tokens: what opening a mailbox costs. Their issuer can tell that it made one, and not for whom.
//!
//! A client blinds a random nonce; the issuer evaluates what it gets under its key and proves that it was that key;
//! the client takes the blinding off and has a token, which the issuer finds to be its own by evaluating the nonce
//! again. Between what it evaluated and what it is shown nothing can be seen to belong together, for as long as
//! it has one key for everybody: that is what the proof is for, against the key that everybody sees.
//!
//! Source: RFC 9497, "Oblivious Pseudorandom Functions", mode VOPRF, suite ristretto255-SHA512; its test vectors are in
//! `token/vectors.rs`.

#[cfg(test)]
mod vectors;

use crate::bytes::{Reader, Writer};
use blake2::{Blake2b256, Digest};
use curve25519_dalek::Scalar;
use rand::CryptoRng;
use shoal_proto::NodeId;
use shoal_proto::size::TOKEN_BYTES;
use std::fmt;
use subtle::ConstantTimeEq;
use thiserror::Error;
use voprf_ng::{
    BlindedElement, EvaluationElement, Group, Proof, Ristretto255, VoprfClient, VoprfServer,
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of an encoded group element: an issuer's key, what a client sends, what it gets back.
pub const ELEMENT_BYTES: usize = 32;
/// Bytes of the proof that an issuer has used its key: two scalars.
pub const ISSUER_PROOF_BYTES: usize = 64;
/// Bytes of an encoded [`PendingToken`].
pub const PENDING_TOKEN_BYTES: usize = NONCE_BYTES + SCALAR_BYTES;

const NONCE_BYTES: usize = 32;
const SCALAR_BYTES: usize = 32;
const OUTPUT_BYTES: usize = 64;
const _: () = assert!(TOKEN_BYTES == 4 + NONCE_BYTES + OUTPUT_BYTES);

/// Separates issuers' keys from whatever else follows from their seed.
const ISSUER_DOMAIN: &[u8] = b"shoal issuer key 1";
/// Separates codes from every other hash.
const CODE_DOMAIN: &[u8] = b"shoal token code 1";
/// Separates the names of spent tokens from every other hash.
const SPENT_DOMAIN: &[u8] = b"shoal spent token 1";

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Whoever sent it is at fault: the identity, or no element of the group at all.
    #[error("not an element of the group")]
    Element,
    /// The issuer is at fault: it used another key than the one that it shows, or answered another request.
    #[error("the issuer does not prove that it used its key")]
    Proof,
    /// What was kept is damaged.
    #[error("{found} bytes are not a token, or not what was kept for one")]
    Kept {
        /// Bytes that were given.
        found: usize,
    },
    /// No key follows from this seed and number: one of 2^1000.
    #[error("no key follows from this seed")]
    Seed,
}

/// What tokens of one period are checked against: public, and the same for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuerKey {
    number: u32,
    key: [u8; ELEMENT_BYTES],
}

impl IssuerKey {
    /// The key with this number and these bytes.
    ///
    /// # Errors
    /// [`TokenError::Element`].
    pub fn parse(number: u32, key: [u8; ELEMENT_BYTES]) -> Result<Self, TokenError> {
        Ristretto255::deserialize_elem(&key).map_err(|_| TokenError::Element)?;
        Ok(Self { number, key })
    }

    /// Which of its issuer's keys it is: that of the period with this number.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; ELEMENT_BYTES] {
        &self.key
    }

    /// Whether its issuer takes tokens of the key with this number: that of this period and that of the one before.
    #[must_use]
    pub const fn takes(&self, number: u32) -> bool {
        number == self.number || number.wrapping_add(1) == self.number && self.number > 0
    }
}

/// What an issuer makes the tokens of one period with, and tells them by. Zeroized on drop.
pub struct IssuerSecret {
    number: u32,
    server: VoprfServer<Ristretto255>,
}

/// What an issuer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The blinded element under the issuer's key.
    pub evaluated: [u8; ELEMENT_BYTES],
    /// That it was that key.
    pub proof: [u8; ISSUER_PROOF_BYTES],
}

impl IssuerSecret {
    /// That of the period with this number, by `DeriveKeyPair` of RFC 9497: whoever has the seed has the keys of all
    /// periods.
    ///
    /// # Errors
    /// [`TokenError::Seed`].
    pub fn derive(seed: &[u8; 32], number: u32) -> Result<Self, TokenError> {
        let info = [ISSUER_DOMAIN, &number.to_be_bytes()].concat();
        Self::derive_from(seed, &info, number)
    }

    fn derive_from(seed: &[u8; 32], info: &[u8], number: u32) -> Result<Self, TokenError> {
        let server = VoprfServer::new_from_seed(seed, info).map_err(|_| TokenError::Seed)?;
        Ok(Self { number, server })
    }

    /// What everybody may know of it.
    #[must_use]
    pub fn public(&self) -> IssuerKey {
        let key = Ristretto255::serialize_elem(self.server.get_public_key());
        IssuerKey {
            number: self.number,
            key: key.into(),
        }
    }

    /// Evaluates what a client has blinded: four multiplications.
    ///
    /// # Errors
    /// [`TokenError::Element`].
    pub fn evaluate<R: CryptoRng>(
        &self,
        rng: &mut R,
        blinded: &[u8; ELEMENT_BYTES],
    ) -> Result<Evaluation, TokenError> {
        let blinded = BlindedElement::deserialize(blinded).map_err(|_| TokenError::Element)?;
        let result = self.server.blind_evaluate(rng, &blinded);
        let result = result.map_err(|_| TokenError::Element)?;
        Ok(Evaluation {
            evaluated: result.message.serialize().into(),
            proof: result.proof.serialize().into(),
        })
    }

    fn output_of(&self, input: &[u8]) -> Option<Zeroizing<[u8; OUTPUT_BYTES]>> {
        let output = self.server.evaluate(input).ok()?;
        Some(Zeroizing::new(output.into()))
    }

    /// Whether a token is one of this key's, in constant time: one multiplication. Whether it was spent is not asked.
    #[must_use]
    pub fn verify(&self, token: &Token) -> bool {
        let Some(output) = self.output_of(&token.nonce) else {
            return false;
        };
        token.number == self.number && bool::from(output.ct_eq(&token.output))
    }
}

/// What a client keeps and sends to have this input evaluated.
fn blind_input(
    input: &[u8],
    blind: Scalar,
) -> Result<(VoprfClient<Ristretto255>, BlindedElement<Ristretto255>), TokenError> {
    let blinded = VoprfClient::deterministic_blind_unchecked(input, blind);
    let blinded = blinded.map_err(|_| TokenError::Element)?;
    Ok((blinded.state, blinded.message))
}

/// The output for this input, if the answer was made with this key.
fn finish_input(
    client: &VoprfClient<Ristretto255>,
    input: &[u8],
    key: &IssuerKey,
    answer: &Evaluation,
) -> Result<[u8; OUTPUT_BYTES], TokenError> {
    let evaluated = EvaluationElement::deserialize(&answer.evaluated);
    let evaluated = evaluated.map_err(|_| TokenError::Element)?;
    let proof = Proof::deserialize(&answer.proof).map_err(|_| TokenError::Proof)?;
    let public = Ristretto255::deserialize_elem(&key.key).map_err(|_| TokenError::Element)?;
    let output = client.finalize(input, &evaluated, &proof, public);
    output.map(Into::into).map_err(|_| TokenError::Proof)
}

/// A token that was asked for: what a client keeps until its issuer has answered. Zeroized on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PendingToken {
    nonce: [u8; NONCE_BYTES],
    blind: Scalar,
}

impl PendingToken {
    /// A new one, and the blinded element to ask with.
    ///
    /// # Errors
    /// [`TokenError::Element`]: one of 2^252.
    pub fn blind<R: CryptoRng + ?Sized>(
        rng: &mut R,
    ) -> Result<(Self, [u8; ELEMENT_BYTES]), TokenError> {
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let mut wide = Zeroizing::new([0; 64]);
        rng.fill_bytes(wide.as_mut());
        let blind = Scalar::from_bytes_mod_order_wide(&wide);
        let pending = Self { nonce, blind };
        let blinded = pending.blinded()?;
        Ok((pending, blinded))
    }

    /// The blinded element to ask with, again the same.
    ///
    /// # Errors
    /// [`TokenError::Element`]: never for one that was made or read here.
    pub fn blinded(&self) -> Result<[u8; ELEMENT_BYTES], TokenError> {
        Ok(self.client()?.1.serialize().into())
    }

    fn client(
        &self,
    ) -> Result<(VoprfClient<Ristretto255>, BlindedElement<Ristretto255>), TokenError> {
        if self.blind == Scalar::ZERO {
            return Err(TokenError::Element);
        }
        blind_input(&self.nonce, self.blind)
    }

    /// The token, of what the issuer has answered. The key has to come from where everybody has it from, an epoch
    /// document: an issuer with a key for each client would know them again by their tokens.
    ///
    /// # Errors
    /// [`TokenError::Proof`] if it was made with another key; [`TokenError::Element`].
    pub fn finish(&self, key: &IssuerKey, answer: &Evaluation) -> Result<Token, TokenError> {
        let (client, _) = self.client()?;
        let output = finish_input(&client, &self.nonce, key, answer)?;
        Ok(Token {
            number: key.number,
            nonce: self.nonce,
            output,
        })
    }

    /// What is kept: nonce 32, blinding scalar 32.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; PENDING_TOKEN_BYTES]> {
        let mut bytes = Zeroizing::new([0; PENDING_TOKEN_BYTES]);
        let (nonce, blind) = bytes.split_at_mut(NONCE_BYTES);
        nonce.copy_from_slice(&self.nonce);
        blind.copy_from_slice(self.blind.as_bytes());
        bytes
    }

    /// What was kept.
    ///
    /// # Errors
    /// [`TokenError::Kept`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenError> {
        let damaged = TokenError::Kept { found: bytes.len() };
        let mut reader = Reader::new(bytes);
        let nonce = reader.array().ok_or(damaged)?;
        let blind = Zeroizing::new(reader.array::<SCALAR_BYTES>().ok_or(damaged)?);
        let blind: Option<Scalar> = Scalar::from_canonical_bytes(*blind).into();
        let blind = blind.filter(|blind| *blind != Scalar::ZERO);
        match reader.rest() {
            [] => Ok(Self {
                nonce,
                blind: blind.ok_or(damaged)?,
            }),
            _ => Err(damaged),
        }
    }
}

/// Redacted.
impl fmt::Debug for PendingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PendingToken(..)")
    }
}

/// What opens one mailbox at its issuer. 100 bytes: number of the key 4, nonce 32, output 64. Zeroized on drop, and
/// compared in constant time.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Token {
    number: u32,
    nonce: [u8; NONCE_BYTES],
    output: [u8; OUTPUT_BYTES],
}

impl Token {
    /// Which of its issuer's keys made it.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// What an issuer keeps of one that was spent: from it nobody makes the token.
    #[must_use]
    pub fn spent(&self) -> [u8; 32] {
        let hash = Blake2b256::new_with_prefix(SPENT_DOMAIN)
            .chain_update(self.number.to_be_bytes())
            .chain_update(self.nonce);
        hash.finalize().into()
    }

    /// Its encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; TOKEN_BYTES]> {
        let mut writer = Writer::new(TOKEN_BYTES);
        self.write(&mut writer);
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        bytes.copy_from_slice(writer.written());
        bytes
    }

    /// Reads an encoding. Whether it is a good one, only its issuer can tell.
    ///
    /// # Errors
    /// [`TokenError::Kept`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenError> {
        let damaged = TokenError::Kept { found: bytes.len() };
        let mut reader = Reader::new(bytes);
        let token = Self::read(&mut reader).ok_or(damaged)?;
        reader.rest().is_empty().then_some(token).ok_or(damaged)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer
            .put(&self.number.to_be_bytes())
            .put(&self.nonce)
            .put(&self.output);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            number: reader.u32()?,
            nonce: reader.array()?,
            output: reader.array()?,
        })
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        let same = self.nonce.ct_eq(&other.nonce) & self.output.ct_eq(&other.output);
        self.number == other.number && bool::from(same)
    }
}

impl Eq for Token {}

/// Redacted.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What shows that somebody knows a code of a provider: the hash of the provider and the code. Zeroized on drop, and
/// compared in constant time.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct TokenCode([u8; 32]);

impl TokenCode {
    /// That of this text, which a provider gives to whom it wants to have as an owner.
    #[must_use]
    pub fn of(provider: &NodeId, text: &str) -> Self {
        let hash = Blake2b256::new_with_prefix(CODE_DOMAIN)
            .chain_update(provider.as_bytes())
            .chain_update(text);
        Self(hash.finalize().into())
    }

    /// As it travels.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for TokenCode {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenCode {}

/// Redacted.
impl fmt::Debug for TokenCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenCode(..)")
    }
}
