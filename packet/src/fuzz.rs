//! Entry points for fuzzers, one for each decoder: none may panic on any bytes, and what decodes
//! encodes again. Compiled for tests, which replay the corpus in `corpus/`, and for fuzzing.

use crate::backend::Backend;
use crate::command::{Command, Reply};
use crate::engine::Engine;
use crate::error::UnwrapError;
use crate::fragment::{Fragment, join};
use crate::header::{BETA_BYTES, Routing, apply_stream, mac};
use crate::hop::Job;
use crate::key::{SphinxPublic, SphinxSecret};
use crate::keys::HopKeys;
use crate::packet::{Packet, Payload};
use crate::surb::{Surb, SurbKeys};
use crate::x25519::multiply;
use crate::{Frame, NoticePiece, NoticePieces, unwrap};
use shoal_proto::size::{PACKET_BYTES, PAYLOAD_BYTES};
use shoal_proto::{NetworkHash, NodeId};
use std::convert::Infallible;

/// The node key under which the packets of the corpus are valid.
#[must_use]
pub fn node_key() -> SphinxSecret {
    SphinxSecret::from_bytes([0x42; 32])
}

type Outcome = Result<Routing, UnwrapError>;

fn engines() -> impl Iterator<Item = Engine> {
    Backend::ALL
        .into_iter()
        .filter_map(|backend| Engine::with(backend).ok())
}

/// A packet from anybody.
pub fn fuzz_packet(data: &[u8]) {
    let mut bytes = data.to_vec();
    bytes.resize(PACKET_BYTES, 0);
    if let Ok(packet) = Packet::from_bytes(&bytes) {
        let _ = unwrap(&node_key(), packet, |_| true);
    }
    assert!(Packet::from_bytes(data).is_ok() == (data.len() == PACKET_BYTES));
    // Of any size, where it lies.
    let [(outcome, after)] = &in_place(Engine::best(), vec![data.to_vec()])[..] else {
        return;
    };
    assert!(outcome.is_ok() || after == data);
}

/// Packets from anybody in one batch: first a byte that says how many, then their bytes, which
/// come again until there are as many. What becomes of one is the same as if it came alone, on
/// every back end.
pub fn fuzz_batch(data: &[u8]) {
    let Some((count, bytes)) = data.split_first() else {
        return;
    };
    let mut packets: Vec<_> = bytes
        .chunks(PACKET_BYTES)
        .cycle()
        .take(1 + usize::from(*count) % 40)
        .map(<[u8]>::to_vec)
        .collect();
    for packet in &mut packets {
        packet.resize(PACKET_BYTES, 0);
    }
    let Ok(portable) = Engine::with(Backend::Portable) else {
        return;
    };
    let alone: Vec<_> = packets
        .iter()
        .flat_map(|packet| in_place(portable, vec![packet.clone()]))
        .collect();
    for engine in engines() {
        assert!(in_place(engine, packets.clone()) == alone);
    }
}

/// What becomes of packets for one node, which has seen some of the tags: outcome and bytes.
fn in_place(engine: Engine, mut packets: Vec<Vec<u8>>) -> Vec<(Outcome, Vec<u8>)> {
    let secret = node_key();
    let mut jobs: Vec<_> = packets
        .iter_mut()
        .map(|packet| Job::new(&secret, packet))
        .collect();
    engine.unwrap_in_place(PACKET_BYTES, &mut jobs, |_, tag| {
        !tag.as_bytes()[0].is_multiple_of(4)
    });
    let outcomes: Vec<_> = jobs.iter().map(Job::outcome).collect();
    outcomes.into_iter().zip(packets).collect()
}

/// Routing information and payload from a sender with valid keys, under a MAC that holds.
pub fn fuzz_sealed(data: &[u8]) {
    // Any point will do: the base point.
    let mut point = [0; 32];
    point[0] = 9;
    let mut shared = [[0; 32]];
    let secret = node_key();
    multiply(
        Backend::Portable,
        &[*secret.to_bytes()],
        &[point],
        &mut shared,
    );
    let mut keys = HopKeys::default();
    keys.derive(&shared[0]);
    let mut bytes = data.to_vec();
    bytes.resize(BETA_BYTES + PAYLOAD_BYTES, 0);
    let (routing, payload) = bytes.split_at_mut(BETA_BYTES);
    let stated = Routing::parse(routing);
    apply_stream(&keys.stream, routing);
    let packet = [&point[..], &mac(&keys.mac, routing), routing, payload].concat();
    for engine in engines() {
        let mut unwrapped = packet.clone();
        let mut asked = 0;
        let mut jobs = [Job::new(&secret, &mut unwrapped)];
        engine.unwrap_in_place(PACKET_BYTES, &mut jobs, |_, _| {
            asked += 1;
            true
        });
        let outcome = jobs[0].outcome();
        assert!(outcome == stated && asked == 1);
        assert!(outcome.is_ok() != (unwrapped == packet));
    }
}

/// Routing information from a sender with valid keys.
pub fn fuzz_routing(data: &[u8]) {
    let _ = Routing::parse(data);
}

/// A frame of the last link, from a provider.
pub fn fuzz_frame(data: &[u8]) {
    let mut gather = NoticePieces::default();
    let piece = Frame::from_bytes(data)
        .ok()
        .and_then(|it| NoticePiece::of(&it));
    let _ = piece.and_then(|piece| gather.take(piece));
    if let Ok(frame) = Frame::from_bytes(data) {
        assert!(frame.clone().into_packet().as_bytes().as_slice() == &data[1..]);
        let (_, payload) = frame.into_last_link();
        let _ = payload.plaintext();
    }
}

/// A public key from a descriptor.
pub fn fuzz_key(data: &[u8]) {
    if let Ok(bytes) = data.try_into()
        && let Ok(key) = SphinxPublic::parse(bytes)
    {
        assert!(*key.as_bytes() == bytes);
    }
}

/// A command from a sender.
pub fn fuzz_command(data: &[u8]) {
    let Ok(command) = Command::decode(data) else {
        return;
    };
    if let Command::Mailbox(packet) = &command {
        let _ = packet.verify(&NetworkHash::new([0; 32]), &NodeId::new([0; 32]));
    }
    assert!(Command::decode(&command.encode(&mut Zeros)).as_ref() == Ok(&command));
}

/// A reply from a provider.
pub fn fuzz_reply(data: &[u8]) {
    if let Ok(reply) = Reply::decode(data) {
        assert!(Reply::decode(&reply.encode(&mut Zeros)).as_ref() == Ok(&reply));
    }
}

/// What a sender sealed in a blob.
pub fn fuzz_fragment(data: &[u8]) {
    if let Ok(fragment) = Fragment::decode(data) {
        assert!(
            fragment
                .encode()
                .is_ok_and(|bytes| bytes.as_slice() == data)
        );
        // A message of such parts alone, as many as it takes.
        let parts = (0..fragment.shape.total()).rev();
        let parts = parts.take(usize::from(fragment.shape.count()));
        let parts = parts.map(|index| (index, fragment.part.clone())).collect();
        if let Ok(text) = join(fragment.shape, &parts) {
            assert!(text.len() == fragment.shape.bytes());
        }
    }
}

/// A reply block from its creator, and kept keys.
pub fn fuzz_surb(data: &[u8]) {
    if let Ok(surb) = Surb::from_bytes(data) {
        let first = surb.first_hop();
        assert!(
            surb.into_packet(b"text")
                .is_ok_and(|(node, _)| node == first)
        );
    }
    if let Ok(keys) = SurbKeys::from_bytes(data) {
        assert!(keys.to_bytes().as_slice() == data);
        let mut payload = data.to_vec();
        payload.resize(PAYLOAD_BYTES, 0);
        let _ = Payload::from_bytes(&payload).map(|payload| keys.open(&payload));
    }
}

/// Padding whose value does not matter.
struct Zeros;

impl rand::TryRng for Zeros {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        dst.fill(0);
        Ok(())
    }
}

impl rand::TryCryptoRng for Zeros {}

#[cfg(test)]
#[path = "../../fuzz/check.rs"]
mod check;

#[cfg(test)]
const TARGETS: &[check::Target] = &[
    ("batch", fuzz_batch),
    ("command", fuzz_command),
    ("fragment", fuzz_fragment),
    ("frame", fuzz_frame),
    ("key", fuzz_key),
    ("packet", fuzz_packet),
    ("reply", fuzz_reply),
    ("routing", fuzz_routing),
    ("sealed", fuzz_sealed),
    ("surb", fuzz_surb),
];

#[cfg(test)]
mod seeds;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fragment::FRAGMENT_BYTES;
    use proptest::prelude::*;
    use rand::Rng;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use shoal_proto::size::PLAINTEXT_BYTES;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn no_bytes_make_anything_panic(data in prop::collection::vec(any::<u8>(), 0..2_500)) {
            for (_, target) in TARGETS {
                target(&data);
            }
        }
    }

    fn random(seed: u64, bytes: &mut [u8]) {
        ChaCha20Rng::seed_from_u64(seed).fill_bytes(bytes);
    }

    proptest! {
        #[test]
        fn no_plaintext_makes_a_decoder_panic(kind in 0..8_u8, seed: u64, zeros: bool) {
            let mut bytes = [0; PLAINTEXT_BYTES];
            if !zeros {
                random(seed, &mut bytes);
            }
            bytes[0] = kind;
            fuzz_command(&bytes);
            fuzz_reply(&bytes);
        }

        #[test]
        fn no_bytes_make_the_decoder_of_fragments_panic(
            seed: u64,
            head in prop::collection::vec(0..=2_u8, 0..104),
        ) {
            let mut bytes = [0; FRAGMENT_BYTES];
            random(seed, &mut bytes);
            bytes[..head.len()].copy_from_slice(&head);
            fuzz_fragment(&bytes);
            bytes[104..].fill(0);
            fuzz_fragment(&bytes);
        }
    }
}
