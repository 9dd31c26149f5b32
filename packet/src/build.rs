//! Making packets (Sphinx 2009, section 3.2).

use crate::agreement::{Factor, agree};
use crate::bytes::nonzero;
use crate::engine::Engine;
use crate::error::PacketError;
use crate::keys::HopKeys;
use crate::layer;
use crate::packet::Packet;
use crate::route::Hop;
use crate::seal::{Destination, seal};
use rand::CryptoRng;
use shoal_proto::SurbId;
use shoal_proto::size::{HEADER_BYTES, MAX_HOPS, PLAINTEXT_BYTES};
use zeroize::Zeroizing;

impl Engine {
    /// Makes a packet whose plaintext the last hop of `route` can read. Destination and
    /// identifier, which only that hop sees, are random. Costs one multiplication for each hop and
    /// one for the packet.
    ///
    /// `route` has 1 to 5 hops, the first of which the packet is sent to; `plaintext` at most
    /// [`PLAINTEXT_BYTES`]. Allocates nothing but the packet.
    ///
    /// # Errors
    /// [`PacketError::Route`], [`PacketError::Plaintext`].
    pub fn build_forward<R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        route: &[Hop],
        plaintext: &[u8],
    ) -> Result<Packet, PacketError> {
        check_plaintext(plaintext)?;
        let mut keys = <[HopKeys; MAX_HOPS]>::default();
        let keys = places(&mut keys, route, 1)?;
        let destination = Destination {
            address: nonzero(rng),
            id: SurbId::new(nonzero(rng)),
        };
        let header = self.make_header(rng, route, keys, &destination);
        let mut packet = Packet::with_header(&header);
        let payload = packet.payload_mut();
        layer::pad(payload, plaintext);
        for keys in keys.iter().rev() {
            layer::add(self.backend(), &keys.payload_seed, payload);
        }
        Ok(packet)
    }

    /// The header of a packet for this route. Leaves the keys of its hops in `keys`, which has a
    /// place for each.
    pub(crate) fn make_header<R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        route: &[Hop],
        keys: &mut [HopKeys],
        destination: &Destination,
    ) -> [u8; HEADER_BYTES] {
        let mut secret: Zeroizing<Factor> = Zeroizing::new([0; 32]);
        rng.fill_bytes(secret.as_mut());
        let alpha = agree(self.backend(), &secret, route, keys);
        seal(rng, &alpha, route, keys, destination)
    }
}

/// [`Engine::build_forward`] with the fastest back end of this machine.
///
/// # Errors
/// [`PacketError::Route`], [`PacketError::Plaintext`].
pub fn build_forward<R: CryptoRng + ?Sized>(
    rng: &mut R,
    route: &[Hop],
    plaintext: &[u8],
) -> Result<Packet, PacketError> {
    Engine::best().build_forward(rng, route, plaintext)
}

pub(crate) const fn check_plaintext(plaintext: &[u8]) -> Result<(), PacketError> {
    if plaintext.len() > PLAINTEXT_BYTES {
        return Err(PacketError::Plaintext {
            found: plaintext.len(),
        });
    }
    Ok(())
}

/// One place for each hop of a route of `least` to 5.
pub(crate) fn places<'k>(
    keys: &'k mut [HopKeys; MAX_HOPS],
    route: &[Hop],
    least: usize,
) -> Result<&'k mut [HopKeys], PacketError> {
    let found = route.len();
    match keys.get_mut(..found) {
        Some(keys) if found >= least => Ok(keys),
        _ => Err(PacketError::Route { least, found }),
    }
}
