//! Every bit counts of headers at the next hop, and a bit of every byte of payloads at the end.

use crate::{batches, engines, rng, route};
use rand::RngExt;
use shoal_packet::{
    Engine, Job, Packet, Payload, ReplayTag, SphinxSecret, SurbKeys, UnwrapError, Unwrapped,
    build_forward, build_surb,
};
use shoal_proto::size::{HEADER_BYTES, PACKET_BYTES, PAYLOAD_BYTES, PLAINTEXT_BYTES};
use shoal_proto::{ClientHandle, SurbId};

/// X25519 ignores it (RFC 7748, section 5).
const IGNORED: usize = 255;

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

#[test]
fn every_bit_of_a_header_counts_but_one() {
    let mut rng = rng(100);
    let (secrets, route) = route(&mut rng, 3);
    let secret = &secrets[0];
    let packet = build_forward(&mut rng, &route, b"text").unwrap();
    let bits: Vec<_> = (0..8 * HEADER_BYTES).collect();
    for engine in engines() {
        let (tag, output) = unaltered(engine, secret, &packet);
        for batch in bits.chunks(29) {
            let mut buffers: Vec<_> = batch
                .iter()
                .map(|bit| flipped(packet.as_bytes(), *bit))
                .collect();
            let mut jobs: Vec<_> = buffers
                .iter_mut()
                .map(|bytes| Job::new(secret, bytes))
                .collect();
            engine.unwrap_in_place(PACKET_BYTES, &mut jobs, |place, asked| {
                // The same tag as without it: no way around the replay filter.
                assert_eq!((batch[place], *asked), (IGNORED, tag));
                true
            });
            let outcomes: Vec<_> = jobs.iter().map(|job| job.outcome().err()).collect();
            for ((bit, outcome), buffer) in batch.iter().zip(outcomes).zip(&buffers) {
                if *bit == IGNORED {
                    assert_eq!(outcome, None);
                    assert!(buffer == output.as_bytes());
                } else {
                    assert_eq!(outcome, Some(UnwrapError::Mac), "{engine:?}: bit {bit}");
                    assert!(*buffer == flipped(packet.as_bytes(), *bit));
                }
            }
        }
    }
}

fn unaltered(engine: Engine, secret: &SphinxSecret, packet: &Packet) -> (ReplayTag, Packet) {
    let mut tags = Vec::new();
    let unwrapped = engine.unwrap(secret, packet.clone(), |tag| {
        tags.push(*tag);
        true
    });
    let Ok(Unwrapped::Forward { packet, .. }) = unwrapped else {
        panic!("not forward");
    };
    (tags[0], packet)
}

/// What arrives of packets that set out together over one path.
fn arrivals(engine: Engine, secrets: &[SphinxSecret], mut packets: Vec<Packet>) -> Vec<Payload> {
    let mut payloads = Vec::new();
    for secret in secrets {
        let mut inner = Vec::new();
        for batch in batches(packets.into_iter().map(|packet| (secret, packet))) {
            for outcome in engine.unwrap_batch(batch, |_, _| true) {
                match outcome.unwrap() {
                    Unwrapped::Forward { packet, .. } => inner.push(packet),
                    Unwrapped::Final { payload, .. } => payloads.push(payload),
                }
            }
        }
        packets = inner;
    }
    payloads
}

/// Copies of a packet, each with one bit of its payload flipped: of every byte one, and all of
/// the first and the last.
fn altered_payloads(seed: u64, packet: &Packet) -> Vec<Packet> {
    let mut rng = rng(seed);
    let one_of_each = (0..PAYLOAD_BYTES).map(|byte| 8 * byte + rng.random_range(0..8));
    let edges = (0..8).chain(8 * PAYLOAD_BYTES - 8..8 * PAYLOAD_BYTES);
    one_of_each
        .chain(edges)
        .map(|bit| {
            let bytes = flipped(packet.as_bytes(), 8 * HEADER_BYTES + bit);
            Packet::from_bytes(&bytes).unwrap()
        })
        .collect()
}

fn is_noise(payload: &Payload) -> bool {
    // 8 zeros are to be expected; more than 40 come once in 10^14 payloads of noise.
    let zeros = payload.as_bytes().iter().filter(|byte| **byte == 0).count();
    zeros <= 40
}

#[test]
fn an_altered_payload_is_noise_at_the_end_and_rejected() {
    let mut rng = rng(101);
    let (secrets, route) = route(&mut rng, 2);
    let packet = build_forward(&mut rng, &route, &[0; PLAINTEXT_BYTES]).unwrap();
    for engine in engines() {
        let arrived = arrivals(engine, &secrets, vec![packet.clone()]);
        assert!(arrived[0].plaintext().is_some() && !is_noise(&arrived[0]));
        let altered = altered_payloads(102, &packet);
        let count = altered.len();
        let arrived = arrivals(engine, &secrets, altered);
        assert_eq!(arrived.len(), count);
        for payload in &arrived {
            assert!(payload.plaintext().is_none() && is_noise(payload));
        }
    }
}

fn opens(keys: &SurbKeys, payload: &Payload) -> bool {
    keys.open(payload).is_ok()
}

#[test]
fn an_altered_reply_is_rejected_by_who_asked_for_it() {
    let mut rng = rng(103);
    let (secrets, route) = route(&mut rng, 2);
    let handle = ClientHandle::new([5; 32]);
    let (surb, keys) = build_surb(&mut rng, &route, &handle, SurbId::new([4; 16])).unwrap();
    let (_, packet) = surb.into_packet(&[0; PLAINTEXT_BYTES]).unwrap();
    for engine in engines() {
        let arrived = arrivals(engine, &secrets, vec![packet.clone()]);
        assert!(opens(&keys, &arrived[0]));
        for payload in arrivals(engine, &secrets, altered_payloads(104, &packet)) {
            assert!(!opens(&keys, &payload) && is_noise(&payload));
        }
        // Between the provider and its client.
        for byte in (0..PAYLOAD_BYTES).step_by(64).chain([PAYLOAD_BYTES - 1]) {
            let altered = flipped(arrived[0].as_bytes(), 8 * byte + byte % 8);
            assert!(!opens(&keys, &Payload::from_bytes(&altered).unwrap()));
        }
    }
}
