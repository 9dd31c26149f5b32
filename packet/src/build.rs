use crate::bytes::nonzero;
use crate::error::{PacketError, internal};
use crate::key::SphinxPublic;
use crate::packet::Packet;
use rand::CryptoRng;
use shoal_proto::size::{MAX_HOPS, PAYLOAD_BYTES, PLAINTEXT_BYTES};
use shoal_proto::{NodeId, Span};
use sphinx_packet::SphinxPacketBuilder;
use sphinx_packet::header::delays::Delay;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};
use sphinx_packet::version::SINGLE_SEED_SURB_VERSION;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

/// One hop of a route, as its sender picks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The node.
    pub node: NodeId,
    /// Its key in the epoch the packet is made for.
    pub key: SphinxPublic,
    /// How long it is to hold the packet, from arrival. The last hop's is not on the wire.
    pub delay: Span,
}

/// Makes a packet whose plaintext the last hop of `route` can read. Destination and identifier,
/// which only that hop sees, are random.
///
/// `route` has 1 to 5 hops, the first of which the packet is sent to; `plaintext` at most
/// [`PLAINTEXT_BYTES`].
///
/// # Errors
/// [`PacketError::Route`], [`PacketError::Plaintext`].
pub fn build_forward<R: CryptoRng + ?Sized>(
    rng: &mut R,
    route: &[Hop],
    plaintext: &[u8],
) -> Result<Packet, PacketError> {
    check_plaintext(plaintext)?;
    let (nodes, delays) = reference_route(route, 1)?;
    let destination = Destination::new(
        DestinationAddressBytes::from_bytes(nonzero(rng)),
        nonzero(rng),
    );
    let packet = SphinxPacketBuilder::new()
        .with_version(SINGLE_SEED_SURB_VERSION)
        .with_payload_size(PAYLOAD_BYTES)
        .with_initial_secret(&initial_secret(rng))
        .build_packet(plaintext, &nodes, &destination, &delays)
        .map_err(internal)?;
    Packet::from_reference(&packet)
}

pub(crate) const fn check_plaintext(plaintext: &[u8]) -> Result<(), PacketError> {
    if plaintext.len() > PLAINTEXT_BYTES {
        return Err(PacketError::Plaintext {
            found: plaintext.len(),
        });
    }
    Ok(())
}

/// The secret a header starts from; fresh for each.
pub(crate) fn initial_secret<R: CryptoRng + ?Sized>(rng: &mut R) -> StaticSecret {
    let mut bytes = Zeroizing::new([0; 32]);
    rng.fill_bytes(bytes.as_mut());
    StaticSecret::from(*bytes)
}

/// The route as the reference wants it: as many delays as hops, of which it drops the last.
pub(crate) fn reference_route(
    route: &[Hop],
    least: usize,
) -> Result<(Vec<Node>, Vec<Delay>), PacketError> {
    if route.len() < least || route.len() > MAX_HOPS {
        return Err(PacketError::Route {
            least,
            found: route.len(),
        });
    }
    Ok(route
        .iter()
        .map(|hop| {
            let address = NodeAddressBytes::from_bytes(*hop.node.as_bytes());
            let nanos = hop.delay.as_micros().saturating_mul(1_000);
            (
                Node::new(address, hop.key.inner()),
                Delay::new_from_nanos(nanos),
            )
        })
        .unzip())
}
