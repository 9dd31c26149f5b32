//! The test vectors of RFC 9497, appendix A.1.2: mode VOPRF, suite ristretto255-SHA512. What tokens are made of gives, for the
//! RFC's inputs, the RFC's outputs: the key from its seed, what is blinded, what is evaluated, the proof, the output.
//!
//! The third vector proves two elements at once, which tokens never do; its elements and outputs are those of the first
//! two, and its second is blinded by another scalar.

use super::*;
use std::convert::Infallible;

use rand::{TryCryptoRng, TryRng};

const SEED: [u8; 32] = [0xa3; 32];
const KEY_INFO: &str = "74657374206b6579";
const SECRET: &str = "e6f73f344b79b379f1a0dd37e07ff62e38d9f71345ce62ae3a9bc60b04ccd909";
const PUBLIC: &str = "c803e2cc6b05fc15064549b5920659ca4a77b2cca6f04f6b357009335476ad4e";
const BLIND: &str = "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706";
const PROOF_SCALAR: &str = "222a5e897cf59db8145db8d16e597e8facb80ae7d4e26d9881aa6f61d645fc0e";

struct Vector {
    input: &'static str,
    blind: &'static str,
    blinded: &'static str,
    evaluated: &'static str,
    proof: &'static str,
    output: &'static str,
}

const VECTORS: [Vector; 2] = [
    Vector {
        input: "00",
        blind: BLIND,
        blinded: "863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945",
        evaluated: "aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e",
        proof: "ddef93772692e535d1a53903db24367355cc2cc78de93b3be5a8ffcc6985dd06\
                6d4346421d17bf5117a2a1ff0fcb2a759f58a539dfbe857a40bce4cf49ec600d",
        output: "b58cfbe118e0cb94d79b5fd6a6dafb98764dff49c14e1770b566e42402da1a7d\
                 a4d8527693914139caee5bd03903af43a491351d23b430948dd50cde10d32b3c",
    },
    Vector {
        input: "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a",
        blind: BLIND,
        blinded: "cc0b2a350101881d8a4cba4c80241d74fb7dcbfde4a61fde2f91443c2bf9ef0c",
        evaluated: "60a59a57208d48aca71e9e850d22674b611f752bed48b36f7a91b372bd7ad468",
        proof: "401a0da6264f8cf45bb2f5264bc31e109155600babb3cd4e5af7d181a2c9dc0a\
                67154fabf031fd936051dec80b0b6ae29c9503493dde7393b722eafdf5a50b02",
        output: "8a9a2f3c7f085b65933594309041fc1898d42d0858e59f90814ae90571a6df60\
                 356f4610bf816f27afdd84f47719e480906d27ecd994985890e5f539e7ea74b6",
    },
];

/// The second element of the third vector.
const OTHER_BLIND: &str = PROOF_SCALAR;
const OTHER_BLINDED: &str = "90a0145ea9da29254c3a56be4fe185465ebb3bf2a1801f7124bbbadac751e654";
const OTHER_EVALUATED: &str = "cc5ac221950a49ceaa73c8db41b82c20372a4c8d63e5dded2db920b7eee36a2a";

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn array<const N: usize>(hex: &str) -> [u8; N] {
    bytes(hex).try_into().unwrap()
}

fn scalar(hex: &str) -> Scalar {
    Scalar::from_canonical_bytes(array(hex)).unwrap()
}

/// Gives these bytes whenever so many are asked for: the scalar that a proof is made with.
struct Fixed([u8; 32]);

impl TryRng for Fixed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("bytes are asked for")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("bytes are asked for")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.0);
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

fn issuer() -> IssuerSecret {
    IssuerSecret::derive_from(&SEED, &bytes(KEY_INFO), 7).unwrap()
}

#[test]
fn the_key_is_the_one_of_the_seed() {
    let issuer = issuer();
    assert_eq!(*issuer.public().as_bytes(), array(PUBLIC));
    // By its secret part, it is the same key.
    let public = Ristretto255::base_elem() * scalar(SECRET);
    assert_eq!(
        <[u8; 32]>::from(Ristretto255::serialize_elem(public)),
        array(PUBLIC)
    );
}

#[test]
fn tokens_are_those_of_the_rfc() {
    let issuer = issuer();
    for vector in &VECTORS {
        let input = bytes(vector.input);
        let (client, blinded) = blind_input(&input, scalar(vector.blind)).unwrap();
        let blinded: [u8; ELEMENT_BYTES] = blinded.serialize().into();
        assert_eq!(blinded, array(vector.blinded));
        let answer = issuer
            .evaluate(&mut Fixed(array(PROOF_SCALAR)), &blinded)
            .unwrap();
        assert_eq!(answer.evaluated, array(vector.evaluated));
        assert_eq!(answer.proof, array(vector.proof));
        let output = finish_input(&client, &input, &issuer.public(), &answer).unwrap();
        assert_eq!(output, array(vector.output));
        // And as the issuer finds it when it is shown.
        assert_eq!(*issuer.output_of(&input).unwrap(), array(vector.output));
        // What the RFC's issuer has answered is taken, and by no other key.
        let other = IssuerSecret::derive(&SEED, 7).unwrap().public();
        let refused = finish_input(&client, &input, &other, &answer);
        assert_eq!(refused, Err(TokenError::Proof));
    }
}

#[test]
fn another_blinding_gives_the_same_output() {
    let issuer = issuer();
    let input = bytes(VECTORS[1].input);
    let (client, blinded) = blind_input(&input, scalar(OTHER_BLIND)).unwrap();
    let blinded: [u8; ELEMENT_BYTES] = blinded.serialize().into();
    assert_eq!(blinded, array(OTHER_BLINDED));
    let answer = issuer
        .evaluate(&mut Fixed(array(PROOF_SCALAR)), &blinded)
        .unwrap();
    assert_eq!(answer.evaluated, array(OTHER_EVALUATED));
    let output = finish_input(&client, &input, &issuer.public(), &answer).unwrap();
    assert_eq!(output, array(VECTORS[1].output));
}
