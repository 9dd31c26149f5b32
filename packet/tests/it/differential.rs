//! Against the crate `sphinx-packet`, which is the reference.

use crate::reference::{reference_packet, static_secret};
use crate::{rng, route};
use proptest::prelude::*;
use shoal_packet::{
    Packet, Payload, ReplayTag, SphinxSecret, UnwrapError, Unwrapped, build_forward, build_surb,
    unwrap,
};
use shoal_proto::size::{HEADER_BYTES, PAYLOAD_BYTES};
use shoal_proto::{ClientHandle, Span, SurbId};
use sphinx_packet::version::{CURRENT_VERSION, KNOWN_VERSIONS, Version};
use sphinx_packet::{ProcessedPacketData, SURB, SphinxPacket};

/// Unwraps with both, demands the same of both, and gives the packet for the next hop.
fn unwrap_both(secret: &SphinxSecret, bytes: &[u8]) -> Option<Packet> {
    let reference = SphinxPacket::from_bytes(bytes).unwrap();
    let expanded = reference
        .header
        .compute_expanded_shared_secret(&static_secret(secret));
    let reference = reference.process_with_expanded_secret(&expanded).unwrap();
    assert_eq!(reference.version, CURRENT_VERSION);
    let mut asked = None;
    let ours = unwrap(secret, Packet::from_bytes(bytes).unwrap(), |tag| {
        asked = Some(*tag);
        true
    });
    assert_eq!(asked, Some(ReplayTag::new(*expanded.replay_tag())));
    match (reference.data, ours.unwrap()) {
        (
            ProcessedPacketData::ForwardHop {
                next_hop_packet,
                next_hop_address,
                delay: nanos,
            },
            Unwrapped::Forward {
                next,
                delay,
                packet,
            },
        ) => {
            assert_eq!(next_hop_packet.to_bytes(), packet.as_bytes());
            assert_eq!(next_hop_address.as_bytes(), next.as_bytes());
            assert_eq!(Span::from_micros(nanos.to_nanos() / 1_000), delay);
            Some(packet)
        }
        (
            ProcessedPacketData::FinalHop {
                destination: address,
                identifier,
                payload: expected,
            },
            Unwrapped::Final {
                destination,
                id,
                payload,
            },
        ) => {
            assert_eq!(address.as_bytes(), destination);
            assert_eq!(identifier, *id.as_bytes());
            assert_eq!(expected.as_bytes(), payload.as_bytes());
            let text = expected.recover_plaintext().ok();
            assert_eq!(text.as_ref(), payload.plaintext().as_deref());
            None
        }
        _ => panic!("one forwards, the other delivers"),
    }
}

#[test]
fn what_the_reference_builds_we_take_with_the_same_result() {
    let mut rng = rng(20);
    for hops in 1..=5 {
        let (secrets, route) = route(&mut rng, hops);
        let mut bytes = reference_packet(&route, CURRENT_VERSION, b"text").to_bytes();
        for (position, secret) in secrets.iter().enumerate() {
            match unwrap_both(secret, &bytes) {
                Some(packet) => bytes = packet.as_bytes().to_vec(),
                None => assert_eq!(position + 1, usize::from(hops)),
            }
        }
    }
}

#[test]
fn what_we_build_the_reference_takes() {
    let mut rng = rng(21);
    for hops in 1..=5 {
        let (secrets, route) = route(&mut rng, hops);
        let packet = build_forward(&mut rng, &route, b"text").unwrap();
        let mut packet = SphinxPacket::from_bytes(packet.as_bytes()).unwrap();
        for (index, secret) in secrets.iter().enumerate() {
            match packet.process(&static_secret(secret)).unwrap().data {
                ProcessedPacketData::ForwardHop {
                    next_hop_packet,
                    next_hop_address,
                    delay,
                } => {
                    assert_eq!(
                        next_hop_address.as_bytes(),
                        route[index + 1].node.as_bytes()
                    );
                    let micros = route[index].delay.as_micros();
                    assert_eq!(delay.to_nanos(), micros * 1_000);
                    packet = next_hop_packet;
                }
                ProcessedPacketData::FinalHop { payload, .. } => {
                    assert_eq!(index + 1, secrets.len());
                    assert_eq!(payload.recover_plaintext().unwrap(), b"text");
                    break;
                }
            }
        }
    }
}

#[test]
fn reply_blocks_work_across() {
    let mut rng = rng(22);
    for hops in 2..=5 {
        let (secrets, route) = route(&mut rng, hops);
        let handle = ClientHandle::new([7; 32]);
        let (surb, keys) = build_surb(&mut rng, &route, &handle, SurbId::new([6; 16])).unwrap();
        let reference = SURB::from_bytes(&surb.to_bytes()).unwrap();
        assert_eq!(reference.materials_count(), 1);
        let (by_reference, first) = reference.use_surb(b"reply", PAYLOAD_BYTES).unwrap();
        let (next, by_us) = surb.into_packet(b"reply").unwrap();
        assert_eq!(first.as_bytes(), next.as_bytes());
        assert_eq!(by_reference.to_bytes(), by_us.as_bytes());

        let mut packet = by_us;
        for secret in &secrets {
            match unwrap_both(secret, packet.as_bytes()) {
                Some(inner) => packet = inner,
                None => break,
            }
        }
        let Ok(Unwrapped::Final { payload, .. }) =
            unwrap(&secrets[secrets.len() - 1], packet, |_| true)
        else {
            panic!("not final");
        };
        let recovery = sphinx_packet::SurbReplyRecovery::from_bytes(&keys.to_bytes()).unwrap();
        let sealed = sphinx_packet::payload::Payload::from_bytes(payload.as_bytes()).unwrap();
        assert_eq!(recovery.recover_plaintext(sealed).unwrap(), b"reply");
        assert_eq!(keys.open(&payload).unwrap().as_slice(), b"reply");
    }
}

#[test]
fn other_versions_are_dropped() {
    let mut rng = rng(23);
    for hops in [1, 3] {
        let (secrets, route) = route(&mut rng, hops);
        let unknown = [Version::new(0), Version::new(261), Version::new(u16::MAX)];
        for version in KNOWN_VERSIONS.iter().chain(&unknown) {
            if *version == CURRENT_VERSION {
                continue;
            }
            let packet = reference_packet(&route, *version, b"text").to_bytes();
            let result = unwrap(&secrets[0], Packet::from_bytes(&packet).unwrap(), |_| true);
            assert_eq!(result.err(), Some(UnwrapError::Version), "{version:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn altered_headers_are_dropped_by_both(
        seed: u64,
        position in 0..HEADER_BYTES,
        mask in 1..=255_u8,
    ) {
        prop_assume!(!(position == 31 && mask == 0x80));
        let mut rng = rng(seed);
        let (secrets, route) = route(&mut rng, 2);
        let mut bytes = reference_packet(&route, CURRENT_VERSION, b"text").to_bytes();
        bytes[position] ^= mask;
        let reference = SphinxPacket::from_bytes(&bytes).unwrap();
        prop_assert!(reference.process(&static_secret(&secrets[0])).is_err());
        let packet = Packet::from_bytes(&bytes).unwrap();
        prop_assert!(unwrap(&secrets[0], packet, |_| panic!("asked")).is_err());
    }

    #[test]
    fn payloads_are_read_alike(
        spoiled in prop::option::of(0..17_usize),
        tail in prop::collection::vec(0..=2_u8, 1..40),
        fill in 0..=2_u8,
    ) {
        let mut bytes = vec![fill; PAYLOAD_BYTES];
        bytes[..16].fill(0);
        if let Some(position) = spoiled {
            bytes[position] = 1;
        }
        let start = PAYLOAD_BYTES - tail.len();
        bytes[start..].copy_from_slice(&tail);
        let expected = sphinx_packet::payload::Payload::from_bytes(&bytes).unwrap();
        let expected = expected.recover_plaintext().ok();
        let ours = Payload::from_bytes(&bytes).unwrap().plaintext();
        prop_assert_eq!(expected.as_ref(), ours.as_deref());
    }
}

#[test]
fn each_of_the_zeros_counts() {
    for position in 0..16 {
        let mut bytes = vec![0; PAYLOAD_BYTES];
        bytes[PAYLOAD_BYTES - 1] = 1;
        assert!(Payload::from_bytes(&bytes).unwrap().plaintext().is_some());
        bytes[position] = 0x80;
        assert!(Payload::from_bytes(&bytes).unwrap().plaintext().is_none());
    }
}
