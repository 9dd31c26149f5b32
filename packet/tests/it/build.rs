//! Building against the reference, byte for byte. The reference draws the padding of the last
//! hop's routing information itself: it is recovered from what it built, and given to ours.

use crate::{engines, rng};
use aes::Aes128;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hkdf::Hkdf;
use rand::{CryptoRng, Rng as _, RngExt as _, TryCryptoRng, TryRng};
use sha2::Sha256;
use shoal_packet::{
    Backend, BackendMissing, Engine, Hop, Job, Payload, Routing, SphinxSecret, Surb, SurbKeys,
    build_forward, build_surb,
};
use shoal_proto::size::{HEADER_BYTES, PAYLOAD_BYTES, PLAINTEXT_BYTES};
use shoal_proto::{ClientHandle, NodeId, Span, SurbId};
use sphinx_packet::constants::EXPANDED_SHARED_SECRET_HKDF_INFO;
use sphinx_packet::header::delays::Delay;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};
use sphinx_packet::version::CURRENT_VERSION;
use sphinx_packet::{SURB, SURBMaterial, SphinxPacketBuilder, SurbReplyRecovery};
use std::convert::Infallible;
use x25519_dalek::{PublicKey, StaticSecret, x25519};

/// Routes of each length that are built, of each kind.
const CASES: u64 = 400;

/// A generator that says what it was given, and fails the test if asked for more.
struct Script(Vec<u8>);

impl Script {
    fn new(parts: &[&[u8]]) -> Self {
        Self(parts.concat())
    }
}

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("bytes only");
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("bytes only");
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        to.copy_from_slice(&self.0[..to.len()]);
        self.0.drain(..to.len());
        Ok(())
    }
}

impl TryCryptoRng for Script {}

struct World {
    nodes: Vec<(SphinxSecret, Hop)>,
}

impl World {
    fn new<R: CryptoRng>(rng: &mut R) -> Self {
        let nodes = (0..16).map(|index| {
            let secret = SphinxSecret::generate(rng);
            let hop = Hop {
                node: NodeId::new([index; 32]),
                key: secret.public(),
                delay: Span::ZERO,
            };
            (secret, hop)
        });
        Self {
            nodes: nodes.collect(),
        }
    }

    fn case<R: CryptoRng>(&self, rng: &mut R, hops: usize) -> Case {
        let (secrets, route) = (0..hops)
            .map(|_| {
                let (secret, mut hop) = self.nodes[rng.random_range(0..16)].clone();
                hop.node = NodeId::new(rng.random());
                hop.delay = match rng.random_range(0..4) {
                    0 => Span::ZERO,
                    1 => Span::MAX,
                    2 => Span::from_micros(rng.random()),
                    _ => Span::from_micros(rng.random_range(0..10_000_000)),
                };
                (secret, hop)
            })
            .unzip();
        let length = match rng.random_range(0..4) {
            0 => 0,
            1 => PLAINTEXT_BYTES,
            _ => rng.random_range(0..=PLAINTEXT_BYTES),
        };
        Case {
            secrets,
            route,
            initial: match rng.random_range(0..16) {
                0 => [0; 32],
                1 => [0xff; 32],
                _ => rng.random(),
            },
            address: rng.random(),
            id: rng.random(),
            text: (0..length).map(|_| rng.random()).collect(),
        }
    }
}

/// Each back end of this machine in turn.
fn engine_for(number: u64) -> Engine {
    let engines = engines();
    engines[usize::try_from(number).unwrap() % engines.len()]
}

/// All that goes into a packet or a reply block, but for the padding.
struct Case {
    secrets: Vec<SphinxSecret>,
    route: Vec<Hop>,
    initial: [u8; 32],
    address: [u8; 32],
    id: [u8; 16],
    text: Vec<u8>,
}

impl Case {
    fn nodes(&self) -> Vec<Node> {
        let node = |hop: &Hop| {
            let address = NodeAddressBytes::from_bytes(*hop.node.as_bytes());
            Node::new(address, PublicKey::from(*hop.key.as_bytes()))
        };
        self.route.iter().map(node).collect()
    }

    fn delays(&self) -> Vec<Delay> {
        let delays = self.route.iter().map(|hop| hop.delay.as_micros());
        delays
            .map(|micros| Delay::new_from_nanos(micros.saturating_mul(1_000)))
            .collect()
    }

    fn destination(&self) -> Destination {
        Destination::new(DestinationAddressBytes::from_bytes(self.address), self.id)
    }

    fn reference_packet(&self) -> Vec<u8> {
        SphinxPacketBuilder::new()
            .with_version(CURRENT_VERSION)
            .with_payload_size(PAYLOAD_BYTES)
            .with_initial_secret(&StaticSecret::from(self.initial))
            .build_packet(
                &self.text,
                &self.nodes(),
                &self.destination(),
                &self.delays(),
            )
            .unwrap()
            .to_bytes()
    }

    fn reference_surb(&self) -> (SURB, SurbReplyRecovery) {
        let (nodes, delays) = (self.nodes(), self.delays());
        let material = SURBMaterial::new(nodes, delays, self.destination(), CURRENT_VERSION);
        SURB::new_recoverable(StaticSecret::from(self.initial), material).unwrap()
    }

    fn surb_with(&self, engine: Engine, padding: &[u8]) -> (Surb, SurbKeys) {
        let mut script = Script::new(&[&self.initial, padding]);
        let (handle, id) = (ClientHandle::new(self.address), SurbId::new(self.id));
        let built = engine.build_surb(&mut script, &self.route, &handle, id);
        assert!(script.0.is_empty());
        built.unwrap()
    }

    /// What stands behind the identifier in the last hop's routing information.
    fn padding(&self, header: &[u8]) -> Vec<u8> {
        let (last, forward) = self.secrets.split_last().unwrap();
        let mut packet = [header, &[0; 64]].concat();
        let packet_bytes = packet.len();
        for secret in forward {
            let mut jobs = [Job::new(secret, &mut packet)];
            Engine::best().unwrap_in_place(packet_bytes, &mut jobs, |_, _| true);
            assert!(matches!(jobs[0].outcome(), Ok(Routing::Forward { .. })));
        }
        let shared = x25519(*last.to_bytes(), packet[..32].try_into().unwrap());
        let mut key = [0; 16];
        Hkdf::<Sha256>::new(None, &shared)
            .expand(EXPANDED_SHARED_SECRET_HKDF_INFO, &mut key)
            .unwrap();
        let routing = &mut packet[48..HEADER_BYTES];
        ctr::Ctr64BE::<Aes128>::new(&key.into(), &[0; 16].into()).apply_keystream(routing);
        assert_eq!(routing[..4], [2, 0, 1, 4]);
        assert_eq!(routing[4..36], self.address);
        assert_eq!(routing[36..52], self.id);
        routing[52..300 - 60 * forward.len()].to_vec()
    }
}

fn compare_packets(seed: u64, hops: usize) {
    let mut rng = rng(seed);
    let world = World::new(&mut rng);
    for number in 0..CASES {
        let case = world.case(&mut rng, hops);
        let expected = case.reference_packet();
        let padding = case.padding(&expected[..HEADER_BYTES]);
        let mut script = Script::new(&[&case.address, &case.id, &case.initial, &padding]);
        let built = engine_for(number).build_forward(&mut script, &case.route, &case.text);
        assert!(script.0.is_empty());
        assert!(*built.unwrap().as_bytes() == *expected, "case {number}");
    }
}

fn compare_surbs(seed: u64, hops: usize) {
    let mut rng = rng(seed);
    let world = World::new(&mut rng);
    for number in 0..CASES {
        let case = world.case(&mut rng, hops);
        let (expected, recovery) = case.reference_surb();
        let bytes = expected.to_bytes();
        let padding = case.padding(&bytes[..HEADER_BYTES]);
        let (surb, keys) = case.surb_with(engine_for(number), &padding);
        assert!(surb.to_bytes() == *bytes, "case {number}");
        assert!(*keys.to_bytes() == recovery.to_bytes(), "case {number}");
        let (_, packet) = surb.into_packet(&case.text).unwrap();
        let (expected, _) = expected.use_surb(&case.text, PAYLOAD_BYTES).unwrap();
        assert!(
            *packet.as_bytes() == *expected.to_bytes(),
            "reply of case {number}"
        );
    }
}

#[test]
fn packets_of_one_hop_are_the_references() {
    compare_packets(80, 1);
}

#[test]
fn packets_of_two_hops_are_the_references() {
    compare_packets(81, 2);
}

#[test]
fn packets_of_three_hops_are_the_references() {
    compare_packets(82, 3);
}

#[test]
fn packets_of_four_hops_are_the_references() {
    compare_packets(83, 4);
}

#[test]
fn packets_of_five_hops_are_the_references() {
    compare_packets(84, 5);
}

#[test]
fn reply_blocks_of_two_hops_are_the_references() {
    compare_surbs(85, 2);
}

#[test]
fn reply_blocks_of_three_hops_are_the_references() {
    compare_surbs(86, 3);
}

#[test]
fn reply_blocks_of_four_hops_are_the_references() {
    compare_surbs(87, 4);
}

#[test]
fn reply_blocks_of_five_hops_are_the_references() {
    compare_surbs(88, 5);
}

#[test]
fn kept_keys_are_taken_and_open_as_with_the_reference() {
    let mut rng = rng(89);
    for length in 0..=130 {
        let mut bytes = vec![0; length];
        rng.fill_bytes(&mut bytes);
        let (ours, reference) = (
            SurbKeys::from_bytes(&bytes),
            SurbReplyRecovery::from_bytes(&bytes),
        );
        assert_eq!(ours.is_ok(), reference.is_ok(), "{length}");
        let (Ok(keys), Ok(recovery)) = (ours, reference) else {
            continue;
        };
        assert_eq!(keys.id().as_bytes(), recovery.identifier());
        assert_eq!(*keys.to_bytes(), bytes);
        // What they open a reply to: all of what was in it, readable or not.
        let seeds = bytes[16..].as_chunks::<16>().0;
        let text = b"reply";
        let sealed = sphinx_packet::payload::Payload::encapsulate_message(
            text,
            &seeds[seeds.len() - 1..],
            PAYLOAD_BYTES,
        );
        let passed = seeds.iter().try_fold(sealed.unwrap(), |payload, seed| {
            payload.unwrap(sphinx_packet::payload::key::derive_payload_key(seed))
        });
        let passed = Payload::from_bytes(passed.unwrap().as_bytes()).unwrap();
        assert_eq!(keys.open(&passed).unwrap().as_slice(), text);
        let again = sphinx_packet::payload::Payload::from_bytes(passed.as_bytes()).unwrap();
        assert_eq!(recovery.recover_plaintext(again).unwrap(), text);
    }
}

#[test]
fn one_generator_gives_the_same_and_another_gives_others() {
    let (handle, id) = (ClientHandle::new([1; 32]), SurbId::new([2; 16]));
    let (_, route) = crate::route(&mut rng(90), 3);
    let packet = |seed| build_forward(&mut rng(seed), &route, b"text").unwrap();
    let surb = |seed| build_surb(&mut rng(seed), &route, &handle, id).unwrap();
    assert!(packet(91) == packet(91));
    assert!(packet(91) != packet(92));
    assert!(surb(91).0 == surb(91).0);
    assert!(surb(91).0 != surb(92).0);
}

#[test]
fn a_back_end_that_is_missing_is_refused() {
    for backend in Backend::ALL {
        match Engine::with(backend) {
            Ok(engine) => assert_eq!(engine.backend(), backend),
            Err(error) => {
                assert!(!backend.is_available());
                assert_eq!(error, BackendMissing(backend));
            }
        }
    }
    assert_eq!(Engine::default().backend(), Backend::best());
}
