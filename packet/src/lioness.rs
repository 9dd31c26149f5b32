//! LIONESS (Anderson and Biham 1996) over ChaCha20 and keyed BLAKE2b-256: the cipher of payloads.

use crate::backend::Backend;
use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{FixedOutput, KeyInit, Mac};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of a block's left half, which is one digest and one stream key.
const LEFT: usize = 32;
/// A payload key: stream, hash, stream and hash key.
pub(crate) const KEY_BYTES: usize = 192;
const K1: std::ops::Range<usize> = 0..32;
const K2: std::ops::Range<usize> = 32..96;
const K3: std::ops::Range<usize> = 96..128;
const K4: std::ops::Range<usize> = 128..192;

/// A hop's payload key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct PayloadKey(pub(crate) [u8; KEY_BYTES]);

impl Default for PayloadKey {
    fn default() -> Self {
        Self([0; KEY_BYTES])
    }
}

/// Removes a layer from each block, in place: `blocks[i]` under `keys[i]`. Blocks have more than
/// 32 bytes and all the same length.
pub(crate) fn decrypt(_backend: Backend, keys: &[PayloadKey], blocks: &mut [&mut [u8]]) {
    for (key, block) in keys.iter().zip(blocks) {
        let (left, right) = block.split_at_mut(LEFT);
        hash(&key.0[K4], left, right);
        stream(&key.0[K3], left, right);
        hash(&key.0[K2], left, right);
        stream(&key.0[K1], left, right);
    }
}

/// Adds a layer to each block, in place: the inverse of [`decrypt`].
pub(crate) fn encrypt(_backend: Backend, keys: &[PayloadKey], blocks: &mut [&mut [u8]]) {
    for (key, block) in keys.iter().zip(blocks) {
        let (left, right) = block.split_at_mut(LEFT);
        stream(&key.0[K1], left, right);
        hash(&key.0[K2], left, right);
        stream(&key.0[K3], left, right);
        hash(&key.0[K4], left, right);
    }
}

/// `left ^= BLAKE2b-256(key, right)`.
fn hash(key: &[u8], left: &mut [u8], right: &[u8]) {
    let Ok(mut mac) = <Blake2bMac<U32> as KeyInit>::new_from_slice(key) else {
        return;
    };
    Mac::update(&mut mac, right);
    let mut digest = mac.finalize_fixed();
    xor(left, &digest);
    digest.as_mut_slice().zeroize();
}

/// `right ^= ChaCha20(key ^ left)`, from a nonce of zeros.
fn stream(key: &[u8], left: &[u8], right: &mut [u8]) {
    let mut mixed = [0; LEFT];
    mixed.copy_from_slice(key);
    xor(&mut mixed, left);
    ChaCha20::new(&mixed.into(), &[0; 12].into()).apply_keystream(right);
    mixed.zeroize();
}

fn xor(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to ^= from);
}
