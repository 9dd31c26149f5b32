//! Keys, routes and packets to measure with, and the reference's side of each measurement.

use rand::Rng;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use shoal_packet::{Hop, SphinxSecret};
use shoal_proto::{NodeId, Span};
use sphinx_packet::header::delays::Delay;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};
use sphinx_packet::version::SINGLE_SEED_SURB_VERSION;
use sphinx_packet::{ProcessedPacketData, SphinxPacket, SphinxPacketBuilder};
use std::error::Error;
use x25519_dalek::{PublicKey, StaticSecret};

/// Any failure ends the run.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// What a payload says.
pub(crate) const TEXT: &[u8] = b"measured";

/// A path of five nodes, for both sides.
pub(crate) struct Network {
    /// The nodes' keys, in the order of the path.
    pub(crate) secrets: Vec<SphinxSecret>,
    /// The path as this crate has it.
    pub(crate) route: Vec<Hop>,
    rng: ChaCha20Rng,
    nodes: Vec<Node>,
    delays: Vec<Delay>,
}

/// What a forward hop makes of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// The packet for the next node.
    pub(crate) packet: Vec<u8>,
    /// The next node.
    pub(crate) next: [u8; 32],
    /// The delay at this one.
    pub(crate) micros: u64,
}

impl Network {
    /// The same for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let secrets: Vec<_> = (0..5).map(|_| SphinxSecret::generate(&mut rng)).collect();
        let hops = || (1..=5_u8).zip(&secrets);
        Self {
            route: hops()
                .map(|(number, secret)| Hop {
                    node: NodeId::new([number; 32]),
                    key: secret.public(),
                    delay: Span::from_millis(u64::from(number)),
                })
                .collect(),
            nodes: hops()
                .map(|(number, secret)| {
                    let key = PublicKey::from(*secret.public().as_bytes());
                    Node::new(NodeAddressBytes::from_bytes([number; 32]), key)
                })
                .collect(),
            delays: hops()
                .map(|(number, _)| Delay::new_from_nanos(u64::from(number) * 1_000_000))
                .collect(),
            secrets,
            rng,
        }
    }

    /// The key of the first node, as the reference has it.
    pub(crate) fn static_secret(&self) -> StaticSecret {
        StaticSecret::from(*self.secrets[0].to_bytes())
    }

    /// A secret for the reference to start a packet from.
    pub(crate) fn initial_secret(&mut self) -> StaticSecret {
        let mut bytes = [0; 32];
        self.rng.fill_bytes(&mut bytes);
        StaticSecret::from(bytes)
    }

    /// A packet over the first `hops` nodes, built by the reference.
    pub(crate) fn reference_build(
        &self,
        initial: &StaticSecret,
        hops: usize,
        payload_bytes: usize,
    ) -> Outcome<SphinxPacket> {
        let destination = Destination::new(DestinationAddressBytes::from_bytes([9; 32]), [8; 16]);
        Ok(SphinxPacketBuilder::new()
            .with_version(SINGLE_SEED_SURB_VERSION)
            .with_payload_size(payload_bytes)
            .with_initial_secret(initial)
            .build_packet(
                TEXT,
                &self.nodes[..hops],
                &destination,
                &self.delays[..hops],
            )?)
    }

    /// So many packets for the first node to forward, no two the same.
    pub(crate) fn packets(&mut self, count: usize, payload_bytes: usize) -> Outcome<Vec<Vec<u8>>> {
        (0..count)
            .map(|_| {
                let initial = self.initial_secret();
                Ok(self.reference_build(&initial, 2, payload_bytes)?.to_bytes())
            })
            .collect()
    }
}

/// A forward hop's work by the reference.
pub(crate) fn reference_unwrap(secret: &StaticSecret, bytes: &[u8]) -> Outcome<Forwarded> {
    match SphinxPacket::from_bytes(bytes)?.process(secret)?.data {
        ProcessedPacketData::ForwardHop {
            next_hop_packet,
            next_hop_address,
            delay,
        } => Ok(Forwarded {
            packet: next_hop_packet.to_bytes(),
            next: *next_hop_address.as_bytes(),
            micros: delay.to_nanos() / 1_000,
        }),
        ProcessedPacketData::FinalHop { .. } => Err("the reference delivers".into()),
    }
}

/// Follows a packet over all nodes of a path with the reference, which must say of each hop what
/// the route says, and gives what arrives.
pub(crate) fn reference_travel(network: &Network, mut packet: SphinxPacket) -> Outcome<Vec<u8>> {
    for (index, (secret, hop)) in network.secrets.iter().zip(&network.route).enumerate() {
        let next = network.route.get(index + 1);
        let processed = packet.process(&StaticSecret::from(*secret.to_bytes()))?;
        match (processed.data, next) {
            (
                ProcessedPacketData::ForwardHop {
                    next_hop_packet,
                    next_hop_address,
                    delay,
                },
                Some(next),
            ) => {
                let told = (*next_hop_address.as_bytes(), delay.to_nanos() / 1_000);
                if told != (*next.node.as_bytes(), hop.delay.as_micros()) {
                    return Err("another next hop or delay".into());
                }
                packet = next_hop_packet;
            }
            (ProcessedPacketData::FinalHop { payload, .. }, None) => {
                return Ok(payload.recover_plaintext()?);
            }
            _ => return Err("another length of the path".into()),
        }
    }
    Err("no final hop".into())
}
