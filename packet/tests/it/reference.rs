//! The crate `sphinx-packet`, which is the reference: its packets, and its judgement of any.

use crate::layer::Layer;
use rand::{CryptoRng, RngExt};
use shoal_packet::{Hop, ReplayTag, Routing, SphinxSecret, UnwrapError};
use shoal_proto::size::{HEADER_BYTES, PAYLOAD_BYTES};
use shoal_proto::{NodeId, Span, SurbId};
use sphinx_packet::header::delays::Delay;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};
use sphinx_packet::version::{CURRENT_VERSION, Version};
use sphinx_packet::{ProcessedPacketData, SphinxPacket, SphinxPacketBuilder};
use std::sync::LazyLock;
use x25519_dalek::{PublicKey, StaticSecret};

pub(crate) fn static_secret(secret: &SphinxSecret) -> StaticSecret {
    StaticSecret::from(*secret.to_bytes())
}

pub(crate) fn nodes(route: &[Hop]) -> Vec<Node> {
    route
        .iter()
        .map(|hop| {
            let address = NodeAddressBytes::from_bytes(*hop.node.as_bytes());
            Node::new(address, PublicKey::from(*hop.key.as_bytes()))
        })
        .collect()
}

/// A packet built by the reference.
pub(crate) fn reference_packet(route: &[Hop], version: Version, text: &[u8]) -> SphinxPacket {
    // Finer than our microseconds.
    let delays: Vec<_> = (1..=route.len() as u64)
        .map(|hop| hop * 1_234_567)
        .collect();
    let initial = StaticSecret::from([0x33; 32]);
    build(route, version, PAYLOAD_BYTES, text, &delays, &initial)
}

/// One with delays of any number of nanoseconds.
pub(crate) fn random_packet<R: CryptoRng>(rng: &mut R, route: &[Hop], text: &[u8]) -> Vec<u8> {
    let delays: Vec<_> = route
        .iter()
        .map(|_| match rng.random_range(0..6) {
            0 => 0,
            1 => 999,
            2 => u64::MAX,
            _ => rng.random(),
        })
        .collect();
    let initial = StaticSecret::from(rng.random::<[u8; 32]>());
    build(
        route,
        CURRENT_VERSION,
        PAYLOAD_BYTES,
        text,
        &delays,
        &initial,
    )
    .to_bytes()
}

pub(crate) fn build(
    route: &[Hop],
    version: Version,
    payload_bytes: usize,
    text: &[u8],
    delays: &[u64],
    initial: &StaticSecret,
) -> SphinxPacket {
    let delays: Vec<_> = delays.iter().copied().map(Delay::new_from_nanos).collect();
    let destination = Destination::new(DestinationAddressBytes::from_bytes([9; 32]), [8; 16]);
    SphinxPacketBuilder::new()
        .with_version(version)
        .with_payload_size(payload_bytes)
        .with_initial_secret(initial)
        .build_packet(text, &nodes(route), &destination, &delays)
        .unwrap()
}

/// What has to become of a packet.
#[derive(Clone)]
pub(crate) struct Judgement {
    pub(crate) outcome: Result<Routing, UnwrapError>,
    /// What the replay decision is asked about, if it is.
    pub(crate) tag: Option<ReplayTag>,
    /// The bytes in the packet's buffer afterwards.
    pub(crate) after: Vec<u8>,
}

/// The tag of those who share a secret of zeros: the reference works with it.
static PUBLIC_TAG: LazyLock<[u8; 32]> = LazyLock::new(|| {
    let packet = SphinxPacket::from_bytes(&[0; HEADER_BYTES + PAYLOAD_BYTES]).unwrap();
    let secret = StaticSecret::from([1; 32]);
    let expanded = packet.header.compute_expanded_shared_secret(&secret);
    *expanded.replay_tag()
});

/// The reference's judgement of a packet, but for what we refuse beyond: points of low order,
/// and other versions than 260.
pub(crate) fn judge(secret: &SphinxSecret, bytes: &[u8]) -> Judgement {
    let refused = |error, tag| Judgement {
        outcome: Err(error),
        tag,
        after: bytes.to_vec(),
    };
    let packet = SphinxPacket::from_bytes(bytes).unwrap();
    let expanded = packet
        .header
        .compute_expanded_shared_secret(&static_secret(secret));
    let authentic = packet.header.ensure_header_integrity(&expanded).is_ok();
    let processed = packet.process_with_expanded_secret(&expanded);
    if *expanded.replay_tag() == *PUBLIC_TAG {
        return refused(UnwrapError::LowOrder, None);
    }
    if !authentic {
        assert!(processed.is_err());
        return refused(UnwrapError::Mac, None);
    }
    let tag = Some(ReplayTag::new(*expanded.replay_tag()));
    let routing = Layer::of(secret, bytes).open(bytes);
    let version = [routing[1], routing[2], routing[3]];
    if let Ok(processed) = &processed {
        // It does not look at the first byte.
        assert_eq!(
            processed.version,
            Version::from_bytes([0, version[1], version[2]])
        );
    }
    if version != CURRENT_VERSION.to_bytes() {
        return refused(UnwrapError::Version, tag);
    }
    match processed {
        Err(_) => refused(UnwrapError::Routing, tag),
        Ok(processed) => {
            let (outcome, after) = accepted(processed.data);
            Judgement {
                outcome: Ok(outcome),
                tag,
                after,
            }
        }
    }
}

fn accepted(data: ProcessedPacketData) -> (Routing, Vec<u8>) {
    match data {
        ProcessedPacketData::ForwardHop {
            next_hop_packet,
            next_hop_address,
            delay,
        } => {
            let next = NodeId::new(*next_hop_address.as_bytes());
            let delay = Span::from_micros(delay.to_nanos() / 1_000);
            (Routing::Forward { next, delay }, next_hop_packet.to_bytes())
        }
        ProcessedPacketData::FinalHop {
            destination,
            identifier,
            payload,
        } => {
            let routing = Routing::Final {
                destination: destination.as_bytes(),
                id: SurbId::new(identifier),
            };
            let header = [0; HEADER_BYTES];
            (routing, [&header[..], payload.as_bytes()].concat())
        }
    }
}
