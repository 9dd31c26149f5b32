//! A hop's work on a packet (Sphinx 2009, section 3.6), in the order in which it gets dearer.
//!
//! Key derivation and header are done here, on the reference's primitives, because the
//! reference shows the version only after the payload was paid for, and its first byte never.

use crate::bytes::Reader;
use crate::error::UnwrapError;
use crate::key::SphinxSecret;
use crate::packet::{Packet, Payload};
use hkdf::Hkdf;
use sha2::Sha256;
use shoal_proto::{NodeId, Span, SurbId};
use sphinx_packet::constants::{
    BLINDING_FACTOR_SIZE, EXPANDED_SHARED_SECRET_HKDF_INFO, EXPANDED_SHARED_SECRET_HKDF_SALT,
    EXPANDED_SHARED_SECRET_LENGTH, HEADER_INTEGRITY_MAC_SIZE, INTEGRITY_MAC_KEY_SIZE,
    PAYLOAD_KEY_SEED_SIZE, PAYLOAD_KEY_SIZE, REPLAY_TAG_SIZE, STREAM_CIPHER_OUTPUT_LENGTH,
};
use sphinx_packet::crypto::{
    STREAM_CIPHER_INIT_VECTOR, STREAM_CIPHER_KEY_SIZE, generate_pseudorandom_bytes,
};
use sphinx_packet::header::mac::HeaderIntegrityMac;
use sphinx_packet::header::routing::{ENCRYPTED_ROUTING_INFO_SIZE, FINAL_HOP, FORWARD_HOP};
use sphinx_packet::payload::key::{PayloadKey, derive_payload_key};
use sphinx_packet::version::SINGLE_SEED_SURB_VERSION;
use std::fmt;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Delays are nanoseconds on the wire.
const NANOS_PER_MICRO: u64 = 1_000;

/// Names a packet at one hop under one key: the same for every copy of it, and to nobody else a
/// link between hops.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplayTag([u8; REPLAY_TAG_SIZE]);

impl ReplayTag {
    /// The tag with these bytes, as read back from a log.
    #[must_use]
    pub const fn new(bytes: [u8; REPLAY_TAG_SIZE]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; REPLAY_TAG_SIZE] {
        &self.0
    }
}

/// Redacted.
impl fmt::Debug for ReplayTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplayTag(..)")
    }
}

/// What a packet turns out to be.
#[derive(Debug)]
pub enum Unwrapped {
    /// To be passed on.
    Forward {
        /// Where to. Chosen by the sender: send only to members that fit the layers.
        next: NodeId,
        /// How long to hold it, from its arrival. Chosen by the sender: clamp it. Parts of a
        /// microsecond are dropped.
        delay: Span,
        /// What to send.
        packet: Packet,
    },
    /// It ends here.
    Final {
        /// The handle of a client, or random.
        destination: [u8; 32],
        /// The identifier of the reply block, or random. All zeros only if the sender broke the
        /// rules.
        id: SurbId,
        /// What it carries: a command if the plaintext reads, else for the client.
        payload: Payload,
    },
}

/// Does this hop's work on a packet: removes one layer.
///
/// `fresh` is asked once, after the MAC held and before the costly half: it remembers the tag and
/// says whether it is new. It is not asked for packets that anybody could have made up, so
/// nobody can fill the filter without a valid header.
///
/// # Errors
/// [`UnwrapError`] says why the packet is dropped; no bytes make this panic.
pub fn unwrap(
    secret: &SphinxSecret,
    packet: Packet,
    fresh: impl FnOnce(&ReplayTag) -> bool,
) -> Result<Unwrapped, UnwrapError> {
    let header = Header::read(&packet).ok_or(UnwrapError::Malformed)?;
    let keys = HopKeys::derive(secret, &header.alpha)?;
    let mac = HeaderIntegrityMac::from_bytes(header.mac);
    if !mac
        .verify(&keys.mac, header.routing)
        .map_err(|_| UnwrapError::Malformed)?
    {
        return Err(UnwrapError::Mac);
    }
    if !fresh(&ReplayTag(keys.tag)) {
        return Err(UnwrapError::Replayed);
    }
    let routing = decrypt_routing(&keys, header.routing);
    match Routing::parse(&routing)? {
        Routing::Forward {
            next,
            delay,
            header: next_header,
        } => {
            let alpha = StaticSecret::from(keys.blinding).diffie_hellman(&header.alpha);
            let payload = peel(&keys, packet.payload())?;
            let parts = [alpha.as_bytes().as_slice(), next_header, &payload];
            let packet = Packet::from_bytes(&Zeroizing::new(parts.concat()))
                .map_err(|_| UnwrapError::Malformed)?;
            Ok(Unwrapped::Forward {
                next,
                delay,
                packet,
            })
        }
        Routing::Final { destination, id } => {
            let payload = Payload::from_bytes(&peel(&keys, packet.payload())?)
                .map_err(|_| UnwrapError::Malformed)?;
            Ok(Unwrapped::Final {
                destination,
                id,
                payload,
            })
        }
    }
}

/// The parts of a packet's header: alpha, gamma and beta in the paper.
struct Header<'a> {
    alpha: PublicKey,
    mac: [u8; HEADER_INTEGRITY_MAC_SIZE],
    routing: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(packet: &'a Packet) -> Option<Self> {
        let mut reader = Reader::new(packet.header());
        Some(Self {
            alpha: PublicKey::from(reader.array::<32>()?),
            mac: reader.array()?,
            routing: reader.take(ENCRYPTED_ROUTING_INFO_SIZE)?,
        })
    }
}

/// What a hop derives from the secret it shares with the sender.
#[derive(Zeroize, ZeroizeOnDrop)]
struct HopKeys {
    stream: [u8; STREAM_CIPHER_KEY_SIZE],
    mac: [u8; INTEGRITY_MAC_KEY_SIZE],
    payload_seed: [u8; PAYLOAD_KEY_SEED_SIZE],
    blinding: [u8; BLINDING_FACTOR_SIZE],
    tag: [u8; REPLAY_TAG_SIZE],
}

impl HopKeys {
    fn derive(secret: &SphinxSecret, alpha: &PublicKey) -> Result<Self, UnwrapError> {
        let shared = secret.inner().diffie_hellman(alpha);
        // RFC 7748, section 6.1: with a point of low order everybody knows the secret.
        if !shared.was_contributory() {
            return Err(UnwrapError::LowOrder);
        }
        let mut output = Zeroizing::new([0; EXPANDED_SHARED_SECRET_LENGTH]);
        Hkdf::<Sha256>::new(Some(EXPANDED_SHARED_SECRET_HKDF_SALT), shared.as_bytes())
            .expand(EXPANDED_SHARED_SECRET_HKDF_INFO, output.as_mut())
            .map_err(|_| UnwrapError::Malformed)?;
        Self::split(output.as_slice()).ok_or(UnwrapError::Malformed)
    }

    fn split(output: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(output);
        let (stream, mac) = (reader.array()?, reader.array()?);
        // Older versions used a whole payload key; 260 uses its first bytes as the seed of one.
        let payload_seed = reader.array()?;
        reader.take(PAYLOAD_KEY_SIZE - PAYLOAD_KEY_SEED_SIZE)?;
        Some(Self {
            stream,
            mac,
            payload_seed,
            blinding: reader.array()?,
            tag: reader.array()?,
        })
    }
}

/// Routing information of this hop and the next header, one hop's worth longer than what came in
/// because the next header gets its length back (the paper's rho and the zeros before it).
fn decrypt_routing(keys: &HopKeys, encrypted: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut routing = Zeroizing::new(generate_pseudorandom_bytes(
        &keys.stream,
        &STREAM_CIPHER_INIT_VECTOR,
        STREAM_CIPHER_OUTPUT_LENGTH,
    ));
    for (byte, encrypted) in routing.iter_mut().zip(encrypted) {
        *byte ^= encrypted;
    }
    routing
}

fn peel(keys: &HopKeys, payload: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
    let key = Zeroizing::new(derive_payload_key(&keys.payload_seed));
    let key: &PayloadKey = &key;
    sphinx_packet::payload::Payload::from_bytes(payload)
        .and_then(|payload| payload.unwrap(key))
        .map(|payload| Zeroizing::new(payload.into_bytes()))
        .map_err(|_| UnwrapError::Malformed)
}

/// What decrypted routing information says.
enum Routing<'a> {
    Forward {
        next: NodeId,
        delay: Span,
        /// MAC and routing information for the next hop.
        header: &'a [u8],
    },
    Final {
        destination: [u8; 32],
        id: SurbId,
    },
}

impl<'a> Routing<'a> {
    fn parse(routing: &'a [u8]) -> Result<Self, UnwrapError> {
        let mut reader = Reader::new(routing);
        let flag = reader.u8().ok_or(UnwrapError::Malformed)?;
        let version: [u8; 3] = reader.array().ok_or(UnwrapError::Malformed)?;
        if version != SINGLE_SEED_SURB_VERSION.to_bytes() {
            return Err(UnwrapError::Version);
        }
        match flag {
            FORWARD_HOP => Self::forward(reader).ok_or(UnwrapError::Malformed),
            FINAL_HOP => Self::last(reader).ok_or(UnwrapError::Malformed),
            _ => Err(UnwrapError::Routing),
        }
    }

    fn forward(mut reader: Reader<'a>) -> Option<Self> {
        Some(Self::Forward {
            next: NodeId::new(reader.array()?),
            delay: Span::from_micros(reader.u64()? / NANOS_PER_MICRO),
            header: reader.rest(),
        })
    }

    fn last(mut reader: Reader<'a>) -> Option<Self> {
        Some(Self::Final {
            destination: reader.array()?,
            id: SurbId::new(reader.array()?),
        })
    }
}

/// Reads bytes as decrypted routing information.
pub(crate) fn fuzz_routing(bytes: &[u8]) {
    let _ = Routing::parse(bytes);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;
    use crate::build::{Hop, build_forward};
    use curve25519_dalek::constants::EIGHT_TORSION;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use sphinx_packet::SphinxPacket;
    use sphinx_packet::crypto::compute_keyed_hmac;

    fn one_hop() -> (SphinxSecret, Packet) {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let secret = SphinxSecret::generate(&mut rng);
        let hop = Hop {
            node: NodeId::new([1; 32]),
            key: secret.public(),
            delay: Span::ZERO,
        };
        let packet = build_forward(&mut rng, &[hop], b"text").unwrap();
        (secret, packet)
    }

    /// Routing information and MAC as a sender makes them who knows these keys.
    fn seal(keys: &HopKeys, mut routing: Vec<u8>) -> Vec<u8> {
        let stream =
            generate_pseudorandom_bytes(&keys.stream, &STREAM_CIPHER_INIT_VECTOR, routing.len());
        routing
            .iter_mut()
            .zip(stream)
            .for_each(|(byte, key)| *byte ^= key);
        let mac = compute_keyed_hmac::<Sha256>(&keys.mac, &routing)
            .unwrap()
            .into_bytes();
        [&mac[..HEADER_INTEGRITY_MAC_SIZE], &routing].concat()
    }

    /// A packet whose routing information the sender chose as `change` says.
    fn with_routing(change: impl FnOnce(&mut [u8])) -> (SphinxSecret, Packet) {
        let (secret, packet) = one_hop();
        let header = Header::read(&packet).unwrap();
        let keys = HopKeys::derive(&secret, &header.alpha).unwrap();
        let mut routing = decrypt_routing(&keys, header.routing)[..300].to_vec();
        change(&mut routing);
        let sealed = seal(&keys, routing);
        let bytes = [header.alpha.as_bytes(), sealed.as_slice(), packet.payload()].concat();
        (secret, Packet::from_bytes(&bytes).unwrap())
    }

    #[test]
    fn versions_are_told_by_all_three_bytes() {
        for bytes in [
            [0, 1, 4],
            [1, 1, 4],
            [255, 1, 4],
            [0, 1, 3],
            [0, 1, 5],
            [0, 0, 4],
            [1, 0, 0],
        ] {
            let (secret, packet) = with_routing(|routing| routing[1..4].copy_from_slice(&bytes));
            let result = unwrap(&secret, packet, |_| true).map(|_| ());
            let expected = if bytes == [0, 1, 4] {
                Ok(())
            } else {
                Err(UnwrapError::Version)
            };
            assert_eq!(result, expected, "{bytes:?}");
        }
    }

    #[test]
    fn kinds_of_routing_information_are_two() {
        for flag in 0..=255 {
            let (secret, packet) = with_routing(|routing| routing[0] = flag);
            match (flag, unwrap(&secret, packet, |_| true)) {
                (FORWARD_HOP, Ok(Unwrapped::Forward { .. }))
                | (FINAL_HOP, Ok(Unwrapped::Final { .. }))
                | (0 | 3.., Err(UnwrapError::Routing)) => {}
                (flag, result) => panic!("{flag}: {result:?}"),
            }
        }
    }

    #[test]
    fn delays_are_read_whatever_the_sender_says() {
        for nanos in [0, 999, 1_000, u64::MAX] {
            let (secret, packet) = with_routing(|routing| {
                routing[0] = FORWARD_HOP;
                routing[36..44].copy_from_slice(&nanos.to_be_bytes());
            });
            let Ok(Unwrapped::Forward { delay, .. }) = unwrap(&secret, packet, |_| true) else {
                panic!("{nanos}");
            };
            assert_eq!(delay, Span::from_micros(nanos / 1_000));
        }
    }

    /// Every encoding of a point of low order: on the curve, on the twist, not canonical, and
    /// with the bit that X25519 ignores.
    fn low_order_encodings() -> Vec<[u8; 32]> {
        let mut found: Vec<_> = EIGHT_TORSION
            .iter()
            .map(|point| point.to_montgomery().to_bytes())
            .collect();
        let minus = |low: u8| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, 0x7f);
            bytes
        };
        // p - 1 (of order four on the twist), p and p + 1.
        found.extend([minus(0xec), minus(0xed), minus(0xee)]);
        found.sort_unstable();
        found.dedup();
        let masked = found.iter().map(|bytes| {
            let mut bytes = *bytes;
            bytes[31] |= 0x80;
            bytes
        });
        let masked: Vec<_> = masked.collect();
        found.extend(masked);
        found
    }

    #[test]
    fn nobody_sends_with_a_public_secret() {
        let encodings = low_order_encodings();
        assert_eq!(encodings.len(), 14);
        // What anybody can derive from a shared secret of zeros.
        let mut output = [0; EXPANDED_SHARED_SECRET_LENGTH];
        Hkdf::<Sha256>::new(Some(EXPANDED_SHARED_SECRET_HKDF_SALT), &[0; 32])
            .expand(EXPANDED_SHARED_SECRET_HKDF_INFO, &mut output)
            .unwrap();
        let keys = HopKeys::split(&output).unwrap();
        let (secret, packet) = one_hop();
        let mut routing = vec![0; ENCRYPTED_ROUTING_INFO_SIZE];
        routing[..4].copy_from_slice(&[FINAL_HOP, 0, 1, 4]);
        let sealed = seal(&keys, routing);
        for alpha in encodings {
            let bytes = [&alpha[..], &sealed, packet.payload()].concat();
            let reference = SphinxPacket::from_bytes(&bytes).unwrap();
            assert!(
                reference.process(secret.inner()).is_ok(),
                "the reference takes it"
            );
            let packet = Packet::from_bytes(&bytes).unwrap();
            let result = unwrap(&secret, packet, |_| panic!("asked about a forgery"));
            assert_eq!(result.err(), Some(UnwrapError::LowOrder));
        }
    }
}
