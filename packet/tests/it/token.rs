//! Tokens: who can make, read, tell apart and change them.

use crate::rng;
use curve25519_dalek::Scalar;
use curve25519_dalek::ristretto::CompressedRistretto;
use sha2::{Digest, Sha512};
use shoal_packet::token::{
    Evaluation, IssuerKey, IssuerSecret, PENDING_TOKEN_BYTES, PendingToken, Token, TokenCode,
    TokenError,
};
use shoal_proto::NodeId;
use shoal_proto::size::TOKEN_BYTES;

fn issuer(number: u32) -> IssuerSecret {
    IssuerSecret::derive(&[1; 32], number).unwrap()
}

fn pending(seed: u64) -> (PendingToken, [u8; 32]) {
    PendingToken::blind(&mut rng(seed)).unwrap()
}

fn issued(by: &IssuerSecret, seed: u64) -> Token {
    let (pending, blinded) = pending(seed);
    let answer = by.evaluate(&mut rng(100 + seed), &blinded).unwrap();
    pending.finish(&by.public(), &answer).unwrap()
}

#[test]
fn a_token_is_its_issuers_of_one_period_and_nobody_elses() {
    let token = issued(&issuer(5), 1);
    assert_eq!(token.number(), 5);
    assert!(issuer(5).verify(&token));
    assert!(!issuer(4).verify(&token) && !issuer(6).verify(&token));
    let other = IssuerSecret::derive(&[2; 32], 5).unwrap();
    assert!(!other.verify(&token));
    // No other number makes it one of another period's.
    let mut renamed = token.to_bytes();
    renamed[3] = 6;
    assert!(!issuer(6).verify(&Token::from_bytes(renamed.as_slice()).unwrap()));
}

#[test]
fn every_byte_of_a_token_counts() {
    let issuer = issuer(5);
    let token = issued(&issuer, 1).to_bytes();
    for position in 0..TOKEN_BYTES {
        let mut altered = token.clone();
        altered[position] ^= 1;
        let altered = Token::from_bytes(altered.as_slice()).unwrap();
        assert!(!issuer.verify(&altered), "byte {position}");
    }
    assert!(issuer.verify(&Token::from_bytes(token.as_slice()).unwrap()));
}

/// An independent reading of RFC 9497, section 3.3.2: the blinding is taken off, and the nonce and the element are
/// hashed, each with its length before it, and "Finalize" after.
#[test]
fn a_token_is_what_the_rfc_says() {
    let issuer = issuer(5);
    let (pending, blinded) = pending(1);
    let answer = issuer.evaluate(&mut rng(2), &blinded).unwrap();
    let token = pending
        .finish(&issuer.public(), &answer)
        .unwrap()
        .to_bytes();
    let kept = pending.to_bytes();
    let (nonce, blind) = kept.split_at(32);
    let blind = Scalar::from_canonical_bytes(blind.try_into().unwrap()).unwrap();
    let evaluated = CompressedRistretto(answer.evaluated).decompress().unwrap();
    let element = (evaluated * blind.invert()).compress();
    let hashed = [&[0, 32], nonce, &[0, 32], element.as_bytes(), b"Finalize"].concat();
    let expected = [&[0, 0, 0, 5], nonce, &Sha512::digest(&hashed)[..]].concat();
    assert_eq!(token.as_slice(), expected);
}

#[test]
fn an_issuer_with_a_key_of_its_own_for_somebody_is_noticed() {
    let (all, one) = (issuer(5), IssuerSecret::derive(&[2; 32], 5).unwrap());
    let (pending, blinded) = pending(1);
    let answer = one.evaluate(&mut rng(2), &blinded).unwrap();
    assert_eq!(
        pending.finish(&all.public(), &answer),
        Err(TokenError::Proof)
    );
    assert!(pending.finish(&one.public(), &answer).is_ok());
    // The same with what belongs to another request, and with every bit that is changed.
    let (other, _) = self::pending(3);
    assert_eq!(other.finish(&one.public(), &answer), Err(TokenError::Proof));
    for position in (0..64).step_by(5) {
        let mut proof = answer.proof;
        proof[position] ^= 4;
        let answer = Evaluation { proof, ..answer };
        assert_eq!(
            pending.finish(&one.public(), &answer),
            Err(TokenError::Proof)
        );
    }
    let evaluated = all.evaluate(&mut rng(2), &blinded).unwrap().evaluated;
    let answer = Evaluation {
        evaluated,
        ..answer
    };
    assert_eq!(
        pending.finish(&one.public(), &answer),
        Err(TokenError::Proof)
    );
}

#[test]
fn what_is_asked_for_and_what_is_spent_have_nothing_in_common() {
    let (pending, blinded) = pending(1);
    let kept = pending.to_bytes();
    let (again, other) = PendingToken::blind(&mut rng(2)).unwrap();
    assert_ne!(blinded, other);
    assert_ne!(kept.as_slice(), again.to_bytes().as_slice());
    // One nonce under two blindings is two elements and one token.
    let mixed = [&kept[..32], &again.to_bytes()[32..]].concat();
    let mixed = PendingToken::from_bytes(&mixed).unwrap();
    let (issuer, element) = (issuer(5), mixed.blinded().unwrap());
    assert!(element != blinded && element != other);
    let finish = |pending: &PendingToken, blinded| {
        let answer = issuer.evaluate(&mut rng(3), blinded).unwrap();
        pending.finish(&issuer.public(), &answer).unwrap()
    };
    assert!(finish(&pending, &blinded) == finish(&mixed, &element));
    assert!(finish(&pending, &blinded) != finish(&again, &other));
}

#[test]
fn a_request_that_was_kept_is_finished_after_a_restart() {
    let issuer = issuer(5);
    let (pending, blinded) = pending(1);
    let kept = pending.to_bytes();
    assert_eq!(kept.len(), PENDING_TOKEN_BYTES);
    let restored = PendingToken::from_bytes(kept.as_slice()).unwrap();
    assert_eq!(restored.blinded(), Ok(blinded));
    let answer = issuer.evaluate(&mut rng(2), &blinded).unwrap();
    let token = restored.finish(&issuer.public(), &answer).unwrap();
    assert!(issuer.verify(&token));
    // Too short, too long, no scalar, and the scalar that would blind nothing.
    let no_scalar = [&kept[..32], &[0xff; 32]].concat();
    let zero = [&kept[..32], &[0; 32]].concat();
    let long = [&kept[..], &[0]].concat();
    for damaged in [&kept[1..], &long, &no_scalar, &zero, &[]] {
        let found = damaged.len();
        let error = PendingToken::from_bytes(damaged).err();
        assert_eq!(error, Some(TokenError::Kept { found }));
    }
    let bytes = token.to_bytes();
    let long = [&bytes[..], &[0]].concat();
    for damaged in [&bytes[1..], &long] {
        let found = damaged.len();
        assert_eq!(Token::from_bytes(damaged), Err(TokenError::Kept { found }));
    }
}

#[test]
fn what_is_no_element_is_neither_evaluated_nor_a_key() {
    let issuer = issuer(5);
    let (pending, blinded) = pending(1);
    let answer = issuer.evaluate(&mut rng(2), &blinded).unwrap();
    // The identity, what is not canonical, and what is no point.
    for bad in [[0; 32], [0xff; 32], [1; 32]] {
        assert_eq!(issuer.evaluate(&mut rng(2), &bad), Err(TokenError::Element));
        assert_eq!(IssuerKey::parse(5, bad), Err(TokenError::Element));
        let answer = Evaluation {
            evaluated: bad,
            ..answer
        };
        let finished = pending.finish(&issuer.public(), &answer);
        assert_eq!(finished, Err(TokenError::Element));
    }
    let key = issuer.public();
    assert_eq!(IssuerKey::parse(5, *key.as_bytes()), Ok(key));
}

#[test]
fn keys_differ_from_period_to_period_and_the_last_two_are_taken() {
    assert_ne!(issuer(5).public().as_bytes(), issuer(6).public().as_bytes());
    assert_eq!(issuer(5).public(), issuer(5).public());
    let taken: Vec<u32> = (0..10).filter(|it| issuer(5).public().takes(*it)).collect();
    assert_eq!(taken, [4, 5]);
    let first = issuer(0).public();
    assert!(first.takes(0) && !first.takes(1) && !first.takes(u32::MAX));
}

#[test]
fn neither_tokens_nor_codes_show_in_debug_output() {
    let token = issued(&issuer(5), 1);
    let code = TokenCode::of(&NodeId::new([1; 32]), "letmein");
    assert_eq!(format!("{token:?} {code:?}"), "Token(..) TokenCode(..)");
    assert_eq!(format!("{:?}", pending(1).0), "PendingToken(..)");
}

#[test]
fn a_code_is_one_providers_and_one_text() {
    let code = |node, text| TokenCode::of(&NodeId::new([node; 32]), text);
    assert!(code(1, "letmein") == code(1, "letmein"));
    assert!(code(1, "letmein") != code(2, "letmein"));
    assert!(code(1, "letmein") != code(1, "letmein "));
}

#[test]
fn what_was_spent_has_a_name_of_its_own() {
    let one = issued(&issuer(5), 1);
    assert_eq!(one.spent(), issued(&issuer(5), 1).spent());
    assert_ne!(one.spent(), issued(&issuer(5), 2).spent());
    assert_ne!(one.spent(), issued(&issuer(6), 1).spent());
}
