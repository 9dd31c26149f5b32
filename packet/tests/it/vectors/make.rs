//! How the file was made: by the reference, which draws the padding itself, so that it can't be
//! made a second time.

use super::{file, hex};
use crate::layer::{Layer, reseal};
use crate::reference::{judge, nodes, reference_packet, static_secret};
use crate::rng;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha20Rng;
use serde_json::{Value, json};
use shoal_packet::{Hop, Routing, SphinxSecret};
use shoal_proto::size::{HEADER_BYTES, PAYLOAD_BYTES, PLAINTEXT_BYTES};
use shoal_proto::{NodeId, Span};
use sphinx_packet::header::delays::Delay;
use sphinx_packet::route::{Destination, DestinationAddressBytes};
use sphinx_packet::version::{CURRENT_VERSION, PAYLOAD_KEYS_SEEDS_VERSION};
use sphinx_packet::{SURB, SURBMaterial, SphinxPacketBuilder};
use std::fs;
use x25519_dalek::StaticSecret;

/// The nodes, and the choices of a seed.
struct Maker {
    rng: ChaCha20Rng,
    secrets: Vec<SphinxSecret>,
    hops: Vec<Hop>,
}

impl Maker {
    fn new() -> Self {
        let mut rng = rng(260);
        let (secrets, hops) = (0..5)
            .map(|_| {
                let secret = SphinxSecret::generate(&mut rng);
                let hop = Hop {
                    node: NodeId::new(rng.random()),
                    key: secret.public(),
                    delay: Span::ZERO,
                };
                (secret, hop)
            })
            .unzip();
        Self { rng, secrets, hops }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    fn delays(&mut self, hops: usize) -> Vec<u64> {
        let mut delays: Vec<_> = (1..hops)
            .map(|_| 1_000 * self.rng.random_range(0..1_000_000))
            .collect();
        delays.push(0);
        delays
    }

    fn destination(&mut self) -> Destination {
        let address = DestinationAddressBytes::from_bytes(self.rng.random());
        Destination::new(address, self.rng.random())
    }

    fn forward(&mut self, nodes_of_path: &[usize], text: &[u8]) -> Value {
        let (destination, delays) = (self.destination(), self.delays(nodes_of_path.len()));
        let initial = StaticSecret::from(self.rng.random::<[u8; 32]>());
        let route: Vec<_> = nodes_of_path
            .iter()
            .map(|node| self.hops[*node].clone())
            .collect();
        let nanos: Vec<_> = delays.iter().copied().map(Delay::new_from_nanos).collect();
        let packet = SphinxPacketBuilder::new()
            .with_version(CURRENT_VERSION)
            .with_payload_size(PAYLOAD_BYTES)
            .with_initial_secret(&initial)
            .build_packet(text, &nodes(&route), &destination, &nanos)
            .unwrap()
            .to_bytes();
        let mut item = json!({
            "path": nodes_of_path,
            "delays_nanos": delays,
            "destination": hex(&destination.address.as_bytes()),
            "id": hex(&destination.identifier),
            "initial_secret": hex(initial.as_bytes()),
            "plaintext": hex(text),
            "packet": hex(&packet),
        });
        self.follow(nodes_of_path, packet, &mut item);
        item
    }

    fn reply(&mut self, nodes_of_path: &[usize], text: &[u8]) -> Value {
        let (destination, delays) = (self.destination(), self.delays(nodes_of_path.len()));
        let initial = StaticSecret::from(self.rng.random::<[u8; 32]>());
        let route: Vec<_> = nodes_of_path
            .iter()
            .map(|node| self.hops[*node].clone())
            .collect();
        let nanos = delays.iter().copied().map(Delay::new_from_nanos).collect();
        let (address, id) = (destination.address, destination.identifier);
        let material = SURBMaterial::new(nodes(&route), nanos, destination, CURRENT_VERSION);
        let (surb, keys) = SURB::new_recoverable(initial.clone(), material).unwrap();
        let block = surb.to_bytes();
        let packet = surb.use_surb(text, PAYLOAD_BYTES).unwrap().0.to_bytes();
        let mut item = json!({
            "path": nodes_of_path,
            "delays_nanos": delays,
            "destination": hex(&address.as_bytes()),
            "id": hex(&id),
            "initial_secret": hex(initial.as_bytes()),
            "block": hex(&block),
            "keys": hex(&keys.to_bytes()),
            "plaintext": hex(text),
            "packet": hex(&packet),
        });
        self.follow(nodes_of_path, packet, &mut item);
        item
    }

    /// Adds what the reference does to a packet at each hop, and the padding that it drew.
    fn follow(&self, nodes_of_path: &[usize], mut bytes: Vec<u8>, item: &mut Value) {
        let mut hops = Vec::new();
        for node in nodes_of_path {
            let judgement = judge(&self.secrets[*node], &bytes);
            let tag = hex(judgement.tag.unwrap().as_bytes());
            hops.push(match judgement.outcome.unwrap() {
                Routing::Forward { next, delay } => json!({
                    "tag": tag,
                    "next": hex(next.as_bytes()),
                    "delay_nanos": delay.as_micros() * 1_000,
                    "packet": hex(&judgement.after),
                }),
                Routing::Final { destination, id } => {
                    let opened = Layer::of(&self.secrets[*node], &bytes).open(&bytes);
                    let end = 300 - 60 * (nodes_of_path.len() - 1);
                    item["padding"] = hex(&opened[52..end]).into();
                    json!({
                        "tag": tag,
                        "destination": hex(&destination),
                        "id": hex(id.as_bytes()),
                        "payload": hex(&judgement.after[HEADER_BYTES..]),
                    })
                }
            });
            bytes = judgement.after;
        }
        item["hops"] = hops.into();
    }

    /// Packets that the first node drops.
    fn rejected(&self) -> Vec<Value> {
        let secret = &self.secrets[0];
        let good = |version| reference_packet(&self.hops[..2], version, b"dropped").to_bytes();
        let current = good(CURRENT_VERSION);
        let altered = |change: &dyn Fn(&mut [u8])| {
            let mut bytes = current.clone();
            change(&mut bytes);
            bytes
        };
        let resealed = |at: usize, value: u8| {
            altered(&|bytes| reseal(secret, bytes, |routing| routing[at] = value))
        };
        let low_order = altered(&|bytes| {
            bytes[..32].fill(0);
            let mut routing = [0; 300];
            routing[..4].copy_from_slice(&[2, 0, 1, 4]);
            Layer::from_shared(&[0; 32]).seal(bytes, &routing);
        });
        [
            ("a bit of the MAC flipped", altered(&|bytes| bytes[32] ^= 1)),
            (
                "the last bit of the header flipped",
                altered(&|bytes| bytes[347] ^= 0x80),
            ),
            (
                "a group element of zeros, sealed with what everybody can derive",
                low_order,
            ),
            ("version 259", good(PAYLOAD_KEYS_SEEDS_VERSION)),
            ("version 65536 + 260", resealed(1, 1)),
            ("a flag of 0", resealed(0, 0)),
            ("a flag of 3", resealed(0, 3)),
        ]
        .map(|(what, bytes)| {
            let judgement = judge(secret, &bytes);
            let mut item = json!({
                "what": what,
                "node": 0,
                "reason": judgement.outcome.unwrap_err().reason(),
                "packet": hex(&bytes),
            });
            if let Some(tag) = judgement.tag {
                item["tag"] = hex(tag.as_bytes()).into();
            }
            item
        })
        .into()
    }
}

#[test]
#[ignore = "writes the vectors, once"]
fn write_the_vectors() {
    assert!(!file().exists(), "the vectors never change");
    let mut maker = Maker::new();
    let longest = maker.bytes(PLAINTEXT_BYTES);
    let nodes: Vec<_> = maker
        .secrets
        .iter()
        .zip(&maker.hops)
        .map(|(secret, hop)| {
            json!({
                "id": hex(hop.node.as_bytes()),
                "secret": hex(static_secret(secret).as_bytes()),
                "public": hex(hop.key.as_bytes()),
            })
        })
        .collect();
    let vectors = json!({
        "about": "Sphinx packets and reply blocks of version 260; see docs/packet-format.md",
        "version": 260,
        "payload_bytes": PAYLOAD_BYTES,
        "nodes": nodes,
        "forward": [
            maker.forward(&[0], b""),
            maker.forward(&[1, 2, 3], b"to the provider"),
            maker.forward(&[4, 3, 2, 1, 0], &longest),
        ],
        "replies": [
            maker.reply(&[2, 4], b""),
            maker.reply(&[0, 1, 2, 3], b"to the client"),
            maker.reply(&[4, 0, 3, 1, 4], &longest),
        ],
        "rejected": maker.rejected(),
    });
    fs::create_dir_all(file().parent().unwrap()).unwrap();
    let text = serde_json::to_string_pretty(&vectors).unwrap() + "\n";
    fs::write(file(), text).unwrap();
}
