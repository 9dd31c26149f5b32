//! The one allocation that a packet lives in.

use shoal_proto::size::{FRAME_BYTES, PACKET_BYTES, PAYLOAD_BYTES};
use zeroize::Zeroize;

/// Where the payload starts.
const PAYLOAD: usize = FRAME_BYTES - PAYLOAD_BYTES;

/// The one buffer a packet lives in from the link it comes from to the link it leaves on: epoch
/// byte, header, payload. Frames, packets and payloads are views of it, so a hop allocates
/// nothing and copies nothing. Zeroized on drop.
#[derive(Clone)]
pub(crate) struct Buffer(Box<[u8; FRAME_BYTES]>);

impl Buffer {
    pub(crate) fn new() -> Self {
        Self(Box::new([0; FRAME_BYTES]))
    }

    pub(crate) const fn frame(&self) -> &[u8; FRAME_BYTES] {
        &self.0
    }

    pub(crate) const fn frame_mut(&mut self) -> &mut [u8; FRAME_BYTES] {
        &mut self.0
    }

    pub(crate) const fn packet(&self) -> &[u8; PACKET_BYTES] {
        let [_, packet @ ..] = &*self.0;
        packet
    }

    pub(crate) const fn packet_mut(&mut self) -> &mut [u8; PACKET_BYTES] {
        let [_, packet @ ..] = &mut *self.0;
        packet
    }

    pub(crate) fn payload(&self) -> &[u8; PAYLOAD_BYTES] {
        // A frame is longer than a payload.
        self.0.last_chunk().unwrap_or(&[0; PAYLOAD_BYTES])
    }

    pub(crate) fn payload_mut(&mut self) -> &mut [u8] {
        &mut self.0[PAYLOAD..]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}
