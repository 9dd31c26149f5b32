//! Payloads as their makers see them: padded, then encrypted in layers (Sphinx 2009, sections
//! 3.4 and 3.5).

use crate::backend::Backend;
use crate::keys::{SEED_BYTES, payload_key};
use crate::lioness::{self, PayloadKey};
use crate::packet::ZEROS;
use shoal_proto::size::PLAINTEXT_BYTES;
use std::slice::from_ref;

/// Puts a plaintext in a packet's payload of zeros: behind [`ZEROS`] of them, and before the
/// marker and the rest. One longer than [`PLAINTEXT_BYTES`], which callers have refused, would be cut.
pub(crate) fn pad(payload: &mut [u8], plaintext: &[u8]) {
    let text = &plaintext[..plaintext.len().min(PLAINTEXT_BYTES)];
    let (room, padding) = payload[ZEROS..].split_at_mut(text.len());
    room.copy_from_slice(text);
    padding[0] = 1;
}

/// Adds the layer of a hop with this seed.
pub(crate) fn add(backend: Backend, seed: &[u8; SEED_BYTES], payload: &mut [u8]) {
    let mut key = PayloadKey::default();
    payload_key(seed, &mut key);
    lioness::encrypt(backend, from_ref(&key), &mut [payload]);
}

/// Removes it.
pub(crate) fn remove(backend: Backend, seed: &[u8; SEED_BYTES], payload: &mut [u8]) {
    let mut key = PayloadKey::default();
    payload_key(seed, &mut key);
    lioness::decrypt(backend, from_ref(&key), &mut [payload]);
}
