//! Packets along whole paths.

use crate::{open, rng, route, travel};
use proptest::prelude::*;
use shoal_packet::{Packet, PacketError, UnwrapError, Unwrapped, build_forward, unwrap};
use shoal_proto::size::{HEADER_BYTES, PACKET_BYTES, PLAINTEXT_BYTES};
use std::cell::Cell;

#[test]
fn every_length_of_path_arrives() {
    let mut rng = rng(10);
    for hops in 1..=5 {
        let (secrets, route) = route(&mut rng, hops);
        for length in [0, 1, 2_030, PLAINTEXT_BYTES] {
            let text = vec![1; length];
            let packet = build_forward(&mut rng, &route, &text).unwrap();
            let Unwrapped::Final {
                destination,
                id,
                payload,
            } = travel(&secrets, &route, packet)
            else {
                panic!("not final");
            };
            assert_eq!(payload.plaintext().unwrap().as_slice(), text);
            assert_ne!(destination, [0; 32]);
            assert_ne!(id.as_bytes(), &[0; 16]);
        }
    }
}

#[test]
fn impossible_routes_and_texts_are_refused() {
    let mut rng = rng(11);
    let (_, six) = route(&mut rng, 6);
    assert_eq!(
        build_forward(&mut rng, &six, b""),
        Err(PacketError::Route { least: 1, found: 6 })
    );
    assert_eq!(
        build_forward(&mut rng, &[], b""),
        Err(PacketError::Route { least: 1, found: 0 })
    );
    assert_eq!(
        build_forward(&mut rng, &six[..3], &[0; PLAINTEXT_BYTES + 1]),
        Err(PacketError::Plaintext {
            found: PLAINTEXT_BYTES + 1
        })
    );
}

#[test]
fn a_delay_that_does_not_fit_saturates() {
    let mut rng = rng(12);
    let (secrets, mut route) = route(&mut rng, 2);
    route[0].delay = shoal_proto::Span::MAX;
    let packet = build_forward(&mut rng, &route, b"").unwrap();
    let Unwrapped::Forward { delay, .. } = open(&secrets[0], packet).unwrap() else {
        panic!("final");
    };
    assert_eq!(delay.as_micros(), u64::MAX / 1_000);
}

#[test]
fn tags_are_asked_about_once_and_only_after_the_mac() {
    let mut rng = rng(13);
    let (secrets, route) = route(&mut rng, 3);
    let packet = build_forward(&mut rng, &route, b"").unwrap();
    let asked = Cell::new(0);
    let count = |fresh| {
        let asked = &asked;
        move |_: &_| {
            asked.set(asked.get() + 1);
            fresh
        }
    };
    assert!(unwrap(&secrets[0], packet.clone(), count(true)).is_ok());
    assert_eq!(asked.get(), 1);
    assert_eq!(
        unwrap(&secrets[0], packet.clone(), count(false)).err(),
        Some(UnwrapError::Replayed)
    );
    assert_eq!(asked.get(), 2);
    // For another key, or altered: nothing to ask about.
    assert_eq!(
        unwrap(&secrets[1], packet.clone(), count(true)).err(),
        Some(UnwrapError::Mac)
    );
    let mut altered = *packet.as_bytes();
    altered[40] ^= 1;
    let altered = Packet::from_bytes(&altered).unwrap();
    assert_eq!(
        unwrap(&secrets[0], altered, count(true)).err(),
        Some(UnwrapError::Mac)
    );
    assert_eq!(asked.get(), 2);
}

#[test]
fn each_packet_and_hop_has_a_tag_of_its_own() {
    let mut rng = rng(14);
    let (secrets, route) = route(&mut rng, 3);
    let mut tags = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let mut packet = build_forward(&mut rng, &route, b"same").unwrap();
        for secret in &secrets {
            let unwrapped = unwrap(secret, packet.clone(), |tag| tags.insert(*tag)).unwrap();
            // Again: the same tag.
            let again = unwrap(secret, packet.clone(), |tag| tags.insert(*tag));
            assert_eq!(again.err(), Some(UnwrapError::Replayed));
            if let Unwrapped::Forward { packet: inner, .. } = unwrapped {
                packet = inner;
            }
        }
    }
    assert_eq!(tags.len(), 15);
}

#[test]
fn an_altered_payload_ends_as_noise() {
    let mut rng = rng(15);
    let (secrets, route) = route(&mut rng, 5);
    for bit in [0, 1, 8 * 1_000, 8 * 2_048 - 1] {
        let packet = build_forward(&mut rng, &route, &[0; PLAINTEXT_BYTES]).unwrap();
        let mut bytes = *packet.as_bytes();
        bytes[HEADER_BYTES + bit / 8] ^= 1 << (bit % 8);
        let packet = Packet::from_bytes(&bytes).unwrap();
        let Unwrapped::Final { payload, .. } = travel(&secrets, &route, packet) else {
            panic!("not final");
        };
        assert!(payload.plaintext().is_none(), "bit {bit}");
        // A wide-block cipher leaves nothing in place.
        let zeros = payload.as_bytes().iter().filter(|byte| **byte == 0).count();
        assert!(zeros < 40, "{zeros} zeros of 2048 after flipping bit {bit}");
    }
}

#[test]
fn an_altered_payload_on_the_way_ends_as_noise() {
    let mut rng = rng(16);
    let (secrets, route) = route(&mut rng, 3);
    let packet = build_forward(&mut rng, &route, b"text").unwrap();
    let Unwrapped::Forward { packet, .. } = open(&secrets[0], packet).unwrap() else {
        panic!("final");
    };
    let mut bytes = *packet.as_bytes();
    bytes[PACKET_BYTES - 1] ^= 0x80;
    let packet = Packet::from_bytes(&bytes).unwrap();
    let Unwrapped::Final { payload, .. } = travel(&secrets[1..], &route[1..], packet) else {
        panic!("not final");
    };
    assert!(payload.plaintext().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_packets_are_dropped(seed: u64) {
        let mut rng = rng(seed);
        let (secrets, _) = route(&mut rng, 1);
        let mut bytes = [0; PACKET_BYTES];
        rand::Rng::fill_bytes(&mut rng, &mut bytes);
        let packet = Packet::from_bytes(&bytes).unwrap();
        let result = unwrap(&secrets[0], packet, |_| panic!("asked about noise"));
        prop_assert_eq!(result.err(), Some(UnwrapError::Mac));
    }

    #[test]
    fn plaintexts_round_trip(seed: u64, text in prop::collection::vec(any::<u8>(), 0..=PLAINTEXT_BYTES)) {
        let mut rng = rng(seed);
        let (secrets, route) = route(&mut rng, 2);
        let packet = build_forward(&mut rng, &route, &text).unwrap();
        let Unwrapped::Final { payload, .. } = travel(&secrets, &route, packet) else {
            panic!("not final");
        };
        let read = payload.plaintext().unwrap();
        prop_assert_eq!(read.as_slice(), &text);
    }
}
