//! A header's layer as its sender makes it, written down a second time, so that tests can seal
//! what no honest sender would, and see what a hop sees.

use aes::Aes128;
use ctr::Ctr64BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use shoal_packet::SphinxSecret;
use shoal_proto::size::HEADER_BYTES;

pub(crate) const BETA_BYTES: usize = 300;
/// Routing information as a hop decrypts it: with what it appends.
pub(crate) const OPENED_BYTES: usize = 360;

const INFO: &[u8] =
    b"Dwste mou enan moxlo arketa makru kai ena upomoxlio gia na ton topothetisw kai tha kinisw thn gh.";

pub(crate) struct Layer {
    stream: [u8; 16],
    mac: [u8; 16],
}

impl Layer {
    /// Of the node with this secret, for a packet with this group element.
    pub(crate) fn of(secret: &SphinxSecret, packet: &[u8]) -> Self {
        let alpha = packet[..32].try_into().unwrap();
        Self::from_shared(&x25519_dalek::x25519(*secret.to_bytes(), alpha))
    }

    pub(crate) fn from_shared(shared: &[u8; 32]) -> Self {
        let mut keys = [0; 32];
        Hkdf::<Sha256>::new(None, shared)
            .expand(INFO, &mut keys)
            .unwrap();
        let (stream, mac) = keys.split_at(16);
        Self {
            stream: stream.try_into().unwrap(),
            mac: mac.try_into().unwrap(),
        }
    }

    /// The routing information of a packet, decrypted.
    pub(crate) fn open(&self, packet: &[u8]) -> [u8; OPENED_BYTES] {
        let mut opened = [0; OPENED_BYTES];
        opened[..BETA_BYTES].copy_from_slice(&packet[48..HEADER_BYTES]);
        self.apply_stream(&mut opened);
        opened
    }

    /// Puts MAC and routing information into a packet.
    pub(crate) fn seal(&self, packet: &mut [u8], routing: &[u8; BETA_BYTES]) {
        let mut beta = *routing;
        self.apply_stream(&mut beta);
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.mac).unwrap();
        mac.update(&beta);
        packet[32..48].copy_from_slice(&mac.finalize().into_bytes()[..16]);
        packet[48..HEADER_BYTES].copy_from_slice(&beta);
    }

    fn apply_stream(&self, bytes: &mut [u8]) {
        Ctr64BE::<Aes128>::new(&self.stream.into(), &[0; 16].into()).apply_keystream(bytes);
    }
}

/// Changes what a packet tells the node with this secret, under a MAC that holds.
pub(crate) fn reseal(
    secret: &SphinxSecret,
    packet: &mut [u8],
    change: impl FnOnce(&mut [u8; BETA_BYTES]),
) {
    let layer = Layer::of(secret, packet);
    let opened = layer.open(packet);
    let mut routing = *opened.first_chunk().unwrap();
    change(&mut routing);
    layer.seal(packet, &routing);
}
