//! Packets, and what they carry.

use crate::buffer::Buffer;
use crate::error::PacketError;
use shoal_proto::size::{HEADER_BYTES, PACKET_BYTES, PAYLOAD_BYTES};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Zeros in front of a plaintext that could be recovered (Sphinx's security parameter).
pub(crate) const ZEROS: usize = 16;

/// A Sphinx packet: header (348 bytes) and payload (2048). Zeroized on drop.
#[derive(Clone)]
pub struct Packet(Buffer);

impl Packet {
    /// The packet with these bytes. Only its size is checked.
    ///
    /// # Errors
    /// [`PacketError::Length`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PacketError> {
        let mut buffer = Buffer::new();
        copy_exactly(buffer.packet_mut(), bytes)?;
        Ok(Self(buffer))
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; PACKET_BYTES] {
        self.0.packet()
    }

    pub(crate) const fn as_bytes_mut(&mut self) -> &mut [u8; PACKET_BYTES] {
        self.0.packet_mut()
    }

    /// With this header, and a payload of zeros.
    pub(crate) fn with_header(header: &[u8; HEADER_BYTES]) -> Self {
        let mut buffer = Buffer::new();
        buffer.packet_mut()[..HEADER_BYTES].copy_from_slice(header);
        Self(buffer)
    }

    pub(crate) fn payload_mut(&mut self) -> &mut [u8] {
        self.0.payload_mut()
    }

    pub(crate) const fn from_buffer(buffer: Buffer) -> Self {
        Self(buffer)
    }

    pub(crate) fn into_buffer(self) -> Buffer {
        self.0
    }

    pub(crate) fn into_payload(self) -> Payload {
        Payload(self.0)
    }
}

/// What a packet carries, once unwrapped at its final hop. Zeroized on drop.
#[derive(Clone)]
pub struct Payload(Buffer);

impl Payload {
    /// The payload with these bytes. Only its size is checked.
    ///
    /// # Errors
    /// [`PacketError::Length`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PacketError> {
        let mut buffer = Buffer::new();
        copy_exactly(buffer.payload_mut(), bytes)?;
        Ok(Self(buffer))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PAYLOAD_BYTES] {
        self.0.payload()
    }

    pub(crate) fn as_bytes_mut(&mut self) -> &mut [u8] {
        self.0.payload_mut()
    }

    pub(crate) const fn from_buffer(buffer: Buffer) -> Self {
        Self(buffer)
    }

    pub(crate) fn into_buffer(self) -> Buffer {
        self.0
    }

    /// What the sender said, if that can be recovered here: 16 zeros, then everything up to the
    /// last byte of one, which starts the padding. A reply looks like noise and gives nothing,
    /// and so does a payload that was altered on its way. At most
    /// [`PLAINTEXT_BYTES`](shoal_proto::size::PLAINTEXT_BYTES).
    #[must_use]
    pub fn plaintext(&self) -> Option<Zeroizing<Vec<u8>>> {
        let (zeros, padded) = self.as_bytes().split_at(ZEROS);
        if zeros.iter().any(|byte| *byte != 0) {
            return None;
        }
        // The reference takes any padding after the marker; so do we.
        let end = padded.iter().rposition(|byte| *byte == 1)?;
        padded.get(..end).map(|text| Zeroizing::new(text.to_vec()))
    }
}

/// In constant time.
impl PartialEq for Packet {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().as_slice().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Packet {}

/// In constant time.
impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().as_slice().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Payload {}

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

pub(crate) fn copy_exactly(to: &mut [u8], from: &[u8]) -> Result<(), PacketError> {
    if to.len() != from.len() {
        return Err(PacketError::Length {
            expected: to.len(),
            found: from.len(),
        });
    }
    to.copy_from_slice(from);
    Ok(())
}
