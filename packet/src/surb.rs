//! Single-use reply blocks, and the keys to their replies.

use crate::backend::Backend;
use crate::build::{check_plaintext, places};
use crate::bytes::boxed;
use crate::engine::Engine;
use crate::error::PacketError;
use crate::keys::{HopKeys, SEED_BYTES};
use crate::layer;
use crate::packet::{Packet, Payload};
use crate::route::Hop;
use crate::seal::Destination;
use rand::CryptoRng;
use shoal_proto::size::{HEADER_BYTES, MAX_HOPS, SURB_BYTES};
use shoal_proto::{ClientHandle, NodeId, SurbId};
use std::fmt;
use std::ops::Range;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// The fewest hops of a reply block. With one hop, that hop could read the reply.
const LEAST_HOPS: usize = 2;
/// Where a reply block has what.
const HEADER: Range<usize> = 0..HEADER_BYTES;
const FIRST_HOP: Range<usize> = HEADER.end..HEADER.end + NodeId::BYTES;
const SEED: Range<usize> = FIRST_HOP.end..SURB_BYTES;

const _: () = assert!(SEED.end - SEED.start == SEED_BYTES);

/// A single-use reply block: lets its holder send one packet to its creator without learning
/// where that is. 396 bytes: header, first hop, seed of the last hop's payload key. Valid for
/// the epoch it was made for only, which travels beside it. Zeroized on drop; compares in
/// constant time.
#[derive(Clone)]
pub struct Surb(Box<[u8; SURB_BYTES]>);

impl Surb {
    /// The reply block with these bytes. Only its size is checked: one that leads nowhere is
    /// dropped by the node it is sent to.
    ///
    /// # Errors
    /// [`PacketError::Length`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PacketError> {
        boxed(bytes).map(Self).ok_or(PacketError::Length {
            expected: SURB_BYTES,
            found: bytes.len(),
        })
    }

    /// Its bytes: what is sent to who shall answer.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SURB_BYTES] {
        *self.0
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; SURB_BYTES] {
        &self.0
    }

    /// The node that a packet made from it is sent to. Chosen by the creator: send only to
    /// members of the epoch's document.
    #[must_use]
    pub fn first_hop(&self) -> NodeId {
        let mut node = [0; NodeId::BYTES];
        node.copy_from_slice(&self.0[FIRST_HOP]);
        NodeId::new(node)
    }

    /// Uses it up: the packet that carries `plaintext` (at most 2031 bytes) to its creator, and
    /// the node to send it to.
    ///
    /// # Errors
    /// [`PacketError::Plaintext`].
    pub fn into_packet(self, plaintext: &[u8]) -> Result<(NodeId, Packet), PacketError> {
        self.into_packet_on(Backend::best(), plaintext)
    }

    /// The same with this back end, or the next slower one that there is.
    #[doc(hidden)]
    pub fn into_packet_on(
        self,
        backend: Backend,
        plaintext: &[u8],
    ) -> Result<(NodeId, Packet), PacketError> {
        check_plaintext(plaintext)?;
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&self.0[HEADER]);
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        seed.copy_from_slice(&self.0[SEED]);
        let mut packet = Packet::with_header(&header);
        layer::pad(packet.payload_mut(), plaintext);
        layer::add(backend, &seed, packet.payload_mut());
        Ok((self.first_hop(), packet))
    }
}

impl Drop for Surb {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl PartialEq for Surb {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for Surb {}

/// Redacted.
impl fmt::Debug for Surb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Surb(..)")
    }
}

/// What the creator of a reply block keeps in order to read the reply. Zeroized on drop; has no
/// Debug.
#[derive(Clone)]
pub struct SurbKeys(Zeroizing<Vec<u8>>);

impl SurbKeys {
    fn new(id: SurbId, keys: &[HopKeys]) -> Self {
        // As large as it gets, so that no copy is left behind.
        let size = SurbId::BYTES + keys.len() * SEED_BYTES;
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        bytes.extend_from_slice(id.as_bytes());
        for keys in keys {
            bytes.extend_from_slice(&keys.payload_seed);
        }
        Self(bytes)
    }

    /// The identifier by which a reply is matched to these keys.
    #[must_use]
    pub fn id(&self) -> SurbId {
        SurbId::new(self.0.first_chunk().copied().unwrap_or_default())
    }

    /// One for each hop, in order.
    fn seeds(&self) -> &[[u8; SEED_BYTES]] {
        let seeds = self.0.get(SurbId::BYTES..).unwrap_or_default();
        seeds.as_chunks().0
    }

    /// Opens a reply: puts the layer back that each hop removed, and takes off the replier's.
    ///
    /// # Errors
    /// [`PacketError::Unreadable`] if it was altered on its way or is not for these keys.
    pub fn open(&self, payload: &Payload) -> Result<Zeroizing<Vec<u8>>, PacketError> {
        self.open_on(Backend::best(), payload)
    }

    /// The same with this back end, or the next slower one that there is.
    #[doc(hidden)]
    pub fn open_on(
        &self,
        backend: Backend,
        payload: &Payload,
    ) -> Result<Zeroizing<Vec<u8>>, PacketError> {
        let mut payload = payload.clone();
        for seed in self.seeds().iter().rev() {
            layer::add(backend, seed, payload.as_bytes_mut());
        }
        if let Some(last) = self.seeds().last() {
            layer::remove(backend, last, payload.as_bytes_mut());
        }
        payload.plaintext().ok_or(PacketError::Unreadable)
    }

    /// Identifier and one seed per hop: 32 + 16 * (hops - 1) bytes, to be kept secret.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.0.clone()
    }

    /// The keys that [`SurbKeys::to_bytes`] gave.
    ///
    /// # Errors
    /// [`PacketError::Keys`] if the length is impossible.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PacketError> {
        let found = bytes.len();
        let seeds = found.saturating_sub(SurbId::BYTES);
        if !(1..=MAX_HOPS).contains(&(seeds / SEED_BYTES)) || !seeds.is_multiple_of(SEED_BYTES) {
            return Err(PacketError::Keys { found });
        }
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }
}

impl Engine {
    /// Makes a reply block. `route` is the way a reply takes, 2 to 5 hops, and ends at the
    /// provider its creator is attached to; `handle` names the creator there. `id` comes back
    /// with the reply, is visible to that provider and on the last link, and must not be all
    /// zeros.
    ///
    /// # Errors
    /// [`PacketError::Route`], [`PacketError::ZeroIdentifier`].
    pub fn build_surb<R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        route: &[Hop],
        handle: &ClientHandle,
        id: SurbId,
    ) -> Result<(Surb, SurbKeys), PacketError> {
        if *id.as_bytes() == [0; SurbId::BYTES] {
            return Err(PacketError::ZeroIdentifier);
        }
        let mut keys = <[HopKeys; MAX_HOPS]>::default();
        let keys = places(&mut keys, route, LEAST_HOPS)?;
        let destination = Destination {
            address: *handle.as_bytes(),
            id,
        };
        let mut surb = Surb(Box::new([0; SURB_BYTES]));
        surb.0[HEADER].copy_from_slice(&self.make_header(rng, route, keys, &destination));
        if let (Some(first), Some(last)) = (route.first(), keys.last()) {
            surb.0[FIRST_HOP].copy_from_slice(first.node.as_bytes());
            surb.0[SEED].copy_from_slice(&last.payload_seed);
        }
        Ok((surb, SurbKeys::new(id, keys)))
    }
}

/// [`Engine::build_surb`] with the fastest back end of this machine.
///
/// # Errors
/// [`PacketError::Route`], [`PacketError::ZeroIdentifier`].
pub fn build_surb<R: CryptoRng + ?Sized>(
    rng: &mut R,
    route: &[Hop],
    handle: &ClientHandle,
    id: SurbId,
) -> Result<(Surb, SurbKeys), PacketError> {
    Engine::best().build_surb(rng, route, handle, id)
}
