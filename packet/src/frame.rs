use crate::bytes::{boxed, nonzero};
use crate::error::PacketError;
use crate::packet::{Packet, Payload};
use rand::CryptoRng;
use shoal_proto::size::{FRAME_BYTES, PACKET_BYTES, PAYLOAD_BYTES};
use shoal_proto::{Epoch, SurbId};
use std::fmt;
use std::ops::Range;
use zeroize::Zeroize;

/// Parts of a frame on the last link: identifier, random bytes in the header's place, payload.
const ID: Range<usize> = 1..1 + SurbId::BYTES;
const RANDOM: Range<usize> = ID.end..FRAME_BYTES - PAYLOAD_BYTES;
const PAYLOAD: Range<usize> = RANDOM.end..FRAME_BYTES;

/// What crosses a link: the byte that names the epoch, and a packet. Always the same size.
///
/// On the last link, from an entry provider to its client, the packet's place is taken by
/// identifier (16), random bytes (332) and payload: there is no header any more, and nobody on
/// the link can tell. Zeroized on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame(Box<[u8; FRAME_BYTES]>);

impl Frame {
    /// A frame for a packet whose keys are of this epoch.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a packet is sent once")]
    pub fn new(epoch: Epoch, packet: Packet) -> Self {
        let mut frame = Self::empty(epoch.byte());
        frame.0[1..].copy_from_slice(packet.as_bytes());
        frame
    }

    /// The frame with these bytes. Only its size is checked.
    ///
    /// # Errors
    /// [`PacketError::Length`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PacketError> {
        boxed(bytes).map(Self).ok_or(PacketError::Length {
            expected: FRAME_BYTES,
            found: bytes.len(),
        })
    }

    /// The byte that names the epoch.
    #[must_use]
    pub const fn epoch_byte(&self) -> u8 {
        self.0[0]
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; FRAME_BYTES] {
        &self.0
    }

    /// The packet in it.
    #[must_use]
    pub fn into_packet(self) -> Packet {
        let mut packet = Box::new([0; PACKET_BYTES]);
        packet.copy_from_slice(&self.0[1..]);
        Packet::from_array(packet)
    }

    /// The frame in which a provider hands a payload to its client.
    #[must_use]
    pub fn last_link<R: CryptoRng + ?Sized>(
        rng: &mut R,
        epoch_byte: u8,
        id: SurbId,
        payload: &Payload,
    ) -> Self {
        let mut frame = Self::empty(epoch_byte);
        frame.0[ID].copy_from_slice(id.as_bytes());
        rng.fill_bytes(&mut frame.0[RANDOM]);
        frame.0[PAYLOAD].copy_from_slice(payload.as_bytes());
        frame
    }

    /// A frame of random bytes for a tick of a downlink with nothing to send: to everybody but
    /// the client like any other. Its identifier is never all zeros.
    #[must_use]
    pub fn filler<R: CryptoRng + ?Sized>(rng: &mut R, epoch_byte: u8) -> Self {
        let mut frame = Self::empty(epoch_byte);
        frame.0[ID].copy_from_slice(&nonzero::<{ SurbId::BYTES }, _>(rng));
        rng.fill_bytes(&mut frame.0[RANDOM]);
        rng.fill_bytes(&mut frame.0[PAYLOAD]);
        frame
    }

    /// Reads a frame of the last link.
    #[must_use]
    pub fn parse_last_link(&self) -> (SurbId, Payload) {
        let mut id = [0; SurbId::BYTES];
        id.copy_from_slice(&self.0[ID]);
        let mut payload = Box::new([0; PAYLOAD_BYTES]);
        payload.copy_from_slice(&self.0[PAYLOAD]);
        (SurbId::new(id), Payload::from_array(payload))
    }

    fn empty(epoch_byte: u8) -> Self {
        let mut bytes = Box::new([0; FRAME_BYTES]);
        bytes[0] = epoch_byte;
        Self(bytes)
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

/// Redacted.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Frame(..)")
    }
}
