//! What crosses a link.

use crate::buffer::Buffer;
use crate::bytes::nonzero;
use crate::error::PacketError;
use crate::packet::{Packet, Payload, copy_exactly};
use rand::CryptoRng;
use shoal_proto::size::{FRAME_BYTES, PAYLOAD_BYTES};
use shoal_proto::{Epoch, SurbId};
use std::fmt;
use std::ops::Range;
use subtle::ConstantTimeEq;

/// Parts of a frame on the last link: identifier, random bytes in the header's place, payload.
const ID: Range<usize> = 1..1 + SurbId::BYTES;
const RANDOM: Range<usize> = ID.end..FRAME_BYTES - PAYLOAD_BYTES;

/// What crosses a link: the byte that names the epoch, and a packet. Always the same size.
///
/// On the last link, from an entry provider to its client, the packet's place is taken by
/// identifier (16), random bytes (332) and payload: there is no header any more, and nobody on
/// the link can tell. Zeroized on drop.
#[derive(Clone)]
pub struct Frame(Buffer);

impl Frame {
    /// A frame for a packet whose keys are of this epoch, in the packet's buffer.
    #[must_use]
    pub fn new(epoch: Epoch, packet: Packet) -> Self {
        let mut buffer = packet.into_buffer();
        buffer.frame_mut()[0] = epoch.byte();
        Self(buffer)
    }

    /// The frame with these bytes. Only its size is checked.
    ///
    /// # Errors
    /// [`PacketError::Length`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PacketError> {
        let mut buffer = Buffer::new();
        copy_exactly(buffer.frame_mut(), bytes)?;
        Ok(Self(buffer))
    }

    /// The byte that names the epoch.
    #[must_use]
    pub const fn epoch_byte(&self) -> u8 {
        self.0.frame()[0]
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; FRAME_BYTES] {
        self.0.frame()
    }

    /// The packet in it, in the same buffer.
    #[must_use]
    pub fn into_packet(self) -> Packet {
        Packet::from_buffer(self.0)
    }

    /// The frame in which a provider hands a payload to its client, in the payload's buffer.
    #[must_use]
    pub fn last_link<R: CryptoRng + ?Sized>(
        rng: &mut R,
        epoch_byte: u8,
        id: SurbId,
        payload: Payload,
    ) -> Self {
        let mut buffer = payload.into_buffer();
        let frame = buffer.frame_mut();
        frame[0] = epoch_byte;
        frame[ID].copy_from_slice(id.as_bytes());
        rng.fill_bytes(&mut frame[RANDOM]);
        Self(buffer)
    }

    /// A frame of random bytes for a tick of a downlink with nothing to send: to everybody but
    /// the client like any other. Its identifier is never all zeros.
    #[must_use]
    pub fn filler<R: CryptoRng + ?Sized>(rng: &mut R, epoch_byte: u8) -> Self {
        let mut buffer = Buffer::new();
        let frame = buffer.frame_mut();
        frame[0] = epoch_byte;
        frame[ID].copy_from_slice(&nonzero::<{ SurbId::BYTES }, _>(rng));
        rng.fill_bytes(&mut frame[ID.end..]);
        Self(buffer)
    }

    /// The identifier in a frame of the last link.
    #[must_use]
    pub fn last_link_id(&self) -> SurbId {
        let mut id = [0; SurbId::BYTES];
        id.copy_from_slice(&self.0.frame()[ID]);
        SurbId::new(id)
    }

    /// Reads a frame of the last link: the payload stays in its buffer.
    #[must_use]
    pub fn into_last_link(self) -> (SurbId, Payload) {
        (self.last_link_id(), Payload::from_buffer(self.0))
    }
}

/// In constant time.
impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().as_slice().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Frame {}

/// Redacted.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Frame(..)")
    }
}
