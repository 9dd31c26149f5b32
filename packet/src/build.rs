use crate::agreement::{Factor, Multiplier};
use crate::backend::Backend;
use crate::bytes::nonzero;
use crate::error::{BackendMissing, PacketError};
use crate::key::SphinxPublic;
use crate::keys::HopKeys;
use crate::layer;
use crate::packet::Packet;
use crate::seal::{Destination, seal};
use crate::tables::KeyTables;
use rand::CryptoRng;
use shoal_proto::size::{HEADER_BYTES, MAX_HOPS, PLAINTEXT_BYTES};
use shoal_proto::{NodeId, Span, SurbId};
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

/// Makes packets and reply blocks, with the work of one multiplication for each hop and one for
/// the packet. A setting rather than a state: copy it, or make it anew for each packet.
#[derive(Clone, Copy, Debug)]
pub struct Builder<'t> {
    multiplier: Multiplier<'t>,
}

impl Default for Builder<'_> {
    fn default() -> Self {
        Self::best()
    }
}

impl<'t> Builder<'t> {
    /// With the fastest back end of this machine, and no tables.
    #[must_use]
    pub fn best() -> Self {
        Self::on(Backend::best())
    }

    /// With this back end, and no tables.
    ///
    /// # Errors
    /// [`BackendMissing`] if this machine or this build has not got it.
    pub fn with(backend: Backend) -> Result<Self, BackendMissing> {
        if backend.is_available() {
            Ok(Self::on(backend))
        } else {
            Err(BackendMissing(backend))
        }
    }

    const fn on(backend: Backend) -> Self {
        let multiplier = Multiplier {
            backend,
            tables: None,
        };
        Self { multiplier }
    }

    /// The same, but for keys that have tables it uses these.
    #[must_use]
    pub const fn with_tables(self, tables: &'t KeyTables) -> Self {
        let multiplier = Multiplier {
            backend: self.multiplier.backend,
            tables: Some(tables),
        };
        Self { multiplier }
    }

    /// Its back end.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.multiplier.backend
    }

    /// Makes a packet whose plaintext the last hop of `route` can read. Destination and
    /// identifier, which only that hop sees, are random.
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
        let alpha = self.multiplier.agree(&secret, route, keys);
        seal(rng, &alpha, route, keys, destination)
    }
}

/// [`Builder::build_forward`] with the fastest back end of this machine, and no tables.
///
/// # Errors
/// [`PacketError::Route`], [`PacketError::Plaintext`].
pub fn build_forward<R: CryptoRng + ?Sized>(
    rng: &mut R,
    route: &[Hop],
    plaintext: &[u8],
) -> Result<Packet, PacketError> {
    Builder::best().build_forward(rng, route, plaintext)
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
