use crate::bytes::boxed;
use crate::error::PacketError;
use shoal_proto::size::{HEADER_BYTES, PACKET_BYTES, PAYLOAD_BYTES};
use sphinx_packet::SphinxPacket;
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// Zeros in front of a plaintext that could be recovered (Sphinx's security parameter).
const ZEROS: usize = 16;

/// A Sphinx packet: header (348 bytes) and payload (2048). Zeroized on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet(Box<[u8; PACKET_BYTES]>);

impl Packet {
    /// The packet with these bytes. Only its size is checked.
    ///
    /// # Errors
    /// [`PacketError::Length`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PacketError> {
        boxed(bytes).map(Self).ok_or(PacketError::Length {
            expected: PACKET_BYTES,
            found: bytes.len(),
        })
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; PACKET_BYTES] {
        &self.0
    }

    pub(crate) fn from_reference(packet: &SphinxPacket) -> Result<Self, PacketError> {
        Self::from_bytes(&Zeroizing::new(packet.to_bytes()))
    }

    pub(crate) const fn from_array(bytes: Box<[u8; PACKET_BYTES]>) -> Self {
        Self(bytes)
    }

    pub(crate) fn header(&self) -> &[u8] {
        &self.0[..HEADER_BYTES]
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.0[HEADER_BYTES..]
    }
}

/// What a packet carries, once unwrapped at its final hop. Zeroized on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Box<[u8; PAYLOAD_BYTES]>);

impl Payload {
    /// The payload with these bytes. Only its size is checked.
    ///
    /// # Errors
    /// [`PacketError::Length`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PacketError> {
        boxed(bytes).map(Self).ok_or(PacketError::Length {
            expected: PAYLOAD_BYTES,
            found: bytes.len(),
        })
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; PAYLOAD_BYTES] {
        &self.0
    }

    pub(crate) const fn from_array(bytes: Box<[u8; PAYLOAD_BYTES]>) -> Self {
        Self(bytes)
    }

    /// What the sender said, if that can be recovered here: 16 zeros, then everything up to the
    /// last byte of one, which starts the padding. A reply looks like noise and gives nothing,
    /// and so does a payload that was altered on its way. At most
    /// [`PLAINTEXT_BYTES`](shoal_proto::size::PLAINTEXT_BYTES).
    #[must_use]
    pub fn plaintext(&self) -> Option<Zeroizing<Vec<u8>>> {
        let (zeros, padded) = self.0.split_at(ZEROS);
        if zeros.iter().any(|byte| *byte != 0) {
            return None;
        }
        // The reference takes any padding after the marker; so do we.
        let end = padded.iter().rposition(|byte| *byte == 1)?;
        padded.get(..end).map(|text| Zeroizing::new(text.to_vec()))
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

/// Redacted.
impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packet(..)")
    }
}

/// Redacted.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payload(..)")
    }
}
