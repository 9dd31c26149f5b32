//! Which bytes are a node's key.

use crate::rng;
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::scalar::Scalar;
use proptest::prelude::*;
use shoal_packet::{KeyFault, PacketError, SphinxPublic, SphinxSecret};

fn fault(bytes: [u8; 32]) -> Option<KeyFault> {
    match SphinxPublic::parse(bytes) {
        Ok(_) => None,
        Err(PacketError::Key(fault)) => Some(fault),
        Err(error) => panic!("{error}"),
    }
}

/// 2^255 - 1 with another low byte: p is 0xed.
fn near_the_top(low: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    (bytes[0], bytes[31]) = (low, 0x7f);
    bytes
}

#[test]
fn points_of_low_order_are_refused() {
    for point in EIGHT_TORSION {
        assert_eq!(
            fault(point.to_montgomery().to_bytes()),
            Some(KeyFault::LowOrder)
        );
    }
    assert_eq!(fault(near_the_top(0xec)), Some(KeyFault::LowOrder));
}

#[test]
fn second_encodings_are_refused() {
    for low in 0xed..=0xff {
        assert_eq!(fault(near_the_top(low)), Some(KeyFault::NotCanonical));
    }
    let mut masked = *SphinxSecret::generate(&mut rng(50)).public().as_bytes();
    masked[31] |= 0x80;
    assert_eq!(fault(masked), Some(KeyFault::NotCanonical));
    // The last below p is canonical, whatever else is wrong with it.
    assert_ne!(fault(near_the_top(0xeb)), Some(KeyFault::NotCanonical));
}

proptest! {
    #[test]
    fn a_torsion_component_is_found(scalar in 2_u64.., torsion in 1..8_usize) {
        let point = EdwardsPoint::mul_base(&Scalar::from(scalar));
        prop_assert_eq!(fault(point.to_montgomery().to_bytes()), None);
        let mixed = point + EIGHT_TORSION[torsion];
        prop_assert_eq!(fault(mixed.to_montgomery().to_bytes()), Some(KeyFault::Torsion));
    }

    #[test]
    fn any_bytes_are_judged(bytes: [u8; 32]) {
        let on_curve = MontgomeryPoint(bytes).to_edwards(0).is_some();
        match fault(bytes) {
            None | Some(KeyFault::Torsion) => prop_assert!(on_curve),
            Some(KeyFault::Twist) => prop_assert!(!on_curve),
            Some(KeyFault::NotCanonical) => prop_assert!(bytes[31] & 0x80 != 0),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn own_keys_are_good(bytes: [u8; 32]) {
        let secret = SphinxSecret::from_bytes(bytes);
        prop_assert_eq!(fault(*secret.public().as_bytes()), None);
        let again = SphinxSecret::from_bytes(*secret.to_bytes());
        prop_assert_eq!(again.public(), secret.public());
    }
}
