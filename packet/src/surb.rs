use crate::build::{Hop, check_plaintext, initial_secret, reference_route};
use crate::bytes::boxed;
use crate::error::{PacketError, internal};
use crate::packet::{Packet, Payload};
use rand::CryptoRng;
use shoal_proto::size::{HEADER_BYTES, PAYLOAD_BYTES, SURB_BYTES};
use shoal_proto::{ClientHandle, NodeId, SurbId};
use sphinx_packet::route::{Destination, DestinationAddressBytes};
use sphinx_packet::version::SINGLE_SEED_SURB_VERSION;
use sphinx_packet::{SURB, SURBMaterial, SurbReplyRecovery};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// The fewest hops of a reply block. With one hop, that hop could read the reply.
const LEAST_HOPS: usize = 2;

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
        node.copy_from_slice(&self.0[HEADER_BYTES..HEADER_BYTES + NodeId::BYTES]);
        NodeId::new(node)
    }

    /// Uses it up: the packet that carries `plaintext` (at most 2031 bytes) to its creator, and
    /// the node to send it to.
    ///
    /// # Errors
    /// [`PacketError::Plaintext`].
    pub fn into_packet(self, plaintext: &[u8]) -> Result<(NodeId, Packet), PacketError> {
        check_plaintext(plaintext)?;
        let surb = SURB::from_bytes(self.0.as_slice()).map_err(internal)?;
        let (packet, first_hop) = surb.use_surb(plaintext, PAYLOAD_BYTES).map_err(internal)?;
        Ok((
            NodeId::new(*first_hop.as_bytes()),
            Packet::from_reference(&packet)?,
        ))
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
pub struct SurbKeys(SurbReplyRecovery);

impl SurbKeys {
    /// The identifier by which a reply is matched to these keys.
    #[must_use]
    pub fn id(&self) -> SurbId {
        SurbId::new(*self.0.identifier())
    }

    /// Opens a reply.
    ///
    /// # Errors
    /// [`PacketError::Unreadable`] if it was altered on its way or is not for these keys.
    pub fn open(&self, payload: &Payload) -> Result<Zeroizing<Vec<u8>>, PacketError> {
        let sealed =
            sphinx_packet::payload::Payload::from_bytes(payload.as_bytes()).map_err(internal)?;
        let opened = self.0.unseal(sealed).map_err(internal)?;
        let opened = Zeroizing::new(opened.into_bytes());
        Payload::from_bytes(&opened)?
            .plaintext()
            .ok_or(PacketError::Unreadable)
    }

    /// Identifier and one seed per hop: 32 + 16 * (hops - 1) bytes, to be kept secret.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The keys that [`SurbKeys::to_bytes`] gave.
    ///
    /// # Errors
    /// [`PacketError::Keys`] if the length is impossible.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PacketError> {
        SurbReplyRecovery::from_bytes(bytes)
            .map(Self)
            .map_err(|_| PacketError::Keys { found: bytes.len() })
    }
}

/// Makes a reply block. `route` is the way a reply takes, 2 to 5 hops, and ends at the provider
/// its creator is attached to; `handle` names the creator there. `id` comes back with the reply,
/// is visible to that provider and on the last link, and must not be all zeros.
///
/// # Errors
/// [`PacketError::Route`], [`PacketError::ZeroIdentifier`].
pub fn build_surb<R: CryptoRng + ?Sized>(
    rng: &mut R,
    route: &[Hop],
    handle: &ClientHandle,
    id: SurbId,
) -> Result<(Surb, SurbKeys), PacketError> {
    if *id.as_bytes() == [0; SurbId::BYTES] {
        return Err(PacketError::ZeroIdentifier);
    }
    let (nodes, delays) = reference_route(route, LEAST_HOPS)?;
    let destination = Destination::new(
        DestinationAddressBytes::from_bytes(*handle.as_bytes()),
        *id.as_bytes(),
    );
    let material = SURBMaterial::new(nodes, delays, destination, SINGLE_SEED_SURB_VERSION);
    let (surb, recovery) =
        SURB::new_recoverable(initial_secret(rng), material).map_err(internal)?;
    let surb = Surb::from_bytes(&Zeroizing::new(surb.to_bytes()))?;
    Ok((surb, SurbKeys(recovery)))
}
