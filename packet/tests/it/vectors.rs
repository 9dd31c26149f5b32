//! The frozen vectors of docs/vectors, which both implementations have to meet on every back
//! end.

mod make;

use crate::engines;
use crate::reference::{Judgement, judge};
use serde_json::Value;
use sha2::{Digest, Sha256};
use shoal_packet::{
    Hop, Job, Payload, ReplayTag, Routing, SphinxSecret, Surb, SurbKeys, UnwrapError,
};
use shoal_proto::size::{HEADER_BYTES, PACKET_BYTES, PAYLOAD_BYTES};
use shoal_proto::{ClientHandle, NodeId, Span, SurbId};
use sphinx_packet::{SURB, SurbReplyRecovery};
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

/// SHA-256 of the file: it never changes.
const FROZEN: &str = "3b54a224c0abdc8c4b51f8baaa006d8158ea16db690a90dc757f7fe68d45f3b1";

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors/sphinx-260.json")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap().as_bytes();
    let pairs = digits.chunks(2).map(|pair| str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    unhex(value).try_into().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn load() -> Value {
    serde_json::from_slice(&fs::read(file()).unwrap()).unwrap()
}

/// A node of the file.
fn secret(vectors: &Value, node: &Value) -> SphinxSecret {
    let node = usize::try_from(node.as_u64().unwrap()).unwrap();
    SphinxSecret::from_bytes(array(&vectors["nodes"][node]["secret"]))
}

/// The keys along a path, and the path.
fn path(vectors: &Value, item: &Value) -> (Vec<SphinxSecret>, Vec<Hop>) {
    list(&item["path"])
        .iter()
        .zip(list(&item["delays_nanos"]))
        .map(|(node, delay)| {
            let secret = secret(vectors, node);
            let id = &vectors["nodes"][usize::try_from(node.as_u64().unwrap()).unwrap()]["id"];
            let hop = Hop {
                node: NodeId::new(array(id)),
                key: secret.public(),
                delay: Span::from_micros(delay.as_u64().unwrap() / 1_000),
            };
            (secret, hop)
        })
        .unzip()
}

/// What the file says about one hop.
fn stated(hop: &Value) -> Judgement {
    let tag = Some(ReplayTag::new(array(&hop["tag"])));
    if hop.get("next").is_some() {
        let next = NodeId::new(array(&hop["next"]));
        let delay = Span::from_micros(hop["delay_nanos"].as_u64().unwrap() / 1_000);
        return Judgement {
            outcome: Ok(Routing::Forward { next, delay }),
            tag,
            after: unhex(&hop["packet"]),
        };
    }
    let routing = Routing::Final {
        destination: array(&hop["destination"]),
        id: SurbId::new(array(&hop["id"])),
    };
    Judgement {
        outcome: Ok(routing),
        tag,
        after: [vec![0; HEADER_BYTES], unhex(&hop["payload"])].concat(),
    }
}

/// Every packet of the file at every hop, with what has to become of it.
fn steps(vectors: &Value) -> Vec<(SphinxSecret, Vec<u8>, Judgement)> {
    let mut steps = Vec::new();
    for item in list(&vectors["forward"])
        .iter()
        .chain(list(&vectors["replies"]))
    {
        let mut bytes = unhex(&item["packet"]);
        for (secret, hop) in path(vectors, item).0.into_iter().zip(list(&item["hops"])) {
            let expected = stated(hop);
            let after = expected.after.clone();
            steps.push((secret, std::mem::replace(&mut bytes, after), expected));
        }
    }
    for item in list(&vectors["rejected"]) {
        let bytes = unhex(&item["packet"]);
        let reason = item["reason"].as_str().unwrap();
        let error = UnwrapError::ALL
            .into_iter()
            .find(|error| error.reason() == reason);
        let expected = Judgement {
            outcome: Err(error.unwrap()),
            tag: item.get("tag").map(|tag| ReplayTag::new(array(tag))),
            after: bytes.clone(),
        };
        steps.push((secret(vectors, &item["node"]), bytes, expected));
    }
    steps
}

#[test]
fn the_file_is_the_frozen_one() {
    let bytes = fs::read(file()).unwrap();
    assert_eq!(hex(&Sha256::digest(bytes)), FROZEN);
}

#[test]
fn the_reference_meets_the_vectors() {
    let vectors = load();
    for (secret, bytes, expected) in steps(&vectors) {
        let judgement = judge(&secret, &bytes);
        assert_eq!(judgement.outcome, expected.outcome);
        assert_eq!(judgement.tag, expected.tag);
        assert!(judgement.after == expected.after);
    }
    for item in list(&vectors["replies"]) {
        let surb = SURB::from_bytes(&unhex(&item["block"])).unwrap();
        let text = unhex(&item["plaintext"]);
        let (packet, _) = surb.use_surb(&text, PAYLOAD_BYTES).unwrap();
        assert!(packet.to_bytes() == unhex(&item["packet"]));
        let keys = SurbReplyRecovery::from_bytes(&unhex(&item["keys"])).unwrap();
        let payload = unhex(&list(&item["hops"]).last().unwrap()["payload"]);
        let payload = sphinx_packet::payload::Payload::from_bytes(&payload).unwrap();
        assert!(keys.recover_plaintext(payload).unwrap() == text);
    }
}

#[test]
fn every_back_end_meets_the_vectors() {
    let vectors = load();
    let steps = steps(&vectors);
    for engine in engines() {
        for size in [1, 2, 8, steps.len()] {
            for batch in steps.chunks(size) {
                let mut buffers: Vec<_> = batch.iter().map(|(_, bytes, _)| bytes.clone()).collect();
                let mut jobs: Vec<_> = batch
                    .iter()
                    .zip(&mut buffers)
                    .map(|((secret, ..), bytes)| Job::new(secret, bytes))
                    .collect();
                let mut asked = vec![None; batch.len()];
                engine.unwrap_in_place(PACKET_BYTES, &mut jobs, |place, tag| {
                    asked[place] = Some(*tag);
                    true
                });
                for ((job, asked), (_, _, expected)) in jobs.iter().zip(asked).zip(batch) {
                    assert_eq!(job.outcome(), expected.outcome, "{engine:?}");
                    assert_eq!(asked, expected.tag, "{engine:?}");
                }
                for (buffer, (_, _, expected)) in buffers.iter().zip(batch) {
                    assert!(*buffer == expected.after, "{engine:?}");
                }
            }
        }
    }
}

#[test]
fn what_arrives_is_what_was_said() {
    let vectors = load();
    for item in list(&vectors["forward"]) {
        let payload = unhex(&list(&item["hops"]).last().unwrap()["payload"]);
        let text = Payload::from_bytes(&payload).unwrap().plaintext().unwrap();
        assert!(*text == unhex(&item["plaintext"]));
    }
    for item in list(&vectors["replies"]) {
        let surb = Surb::from_bytes(&unhex(&item["block"])).unwrap();
        let keys = SurbKeys::from_bytes(&unhex(&item["keys"])).unwrap();
        let text = unhex(&item["plaintext"]);
        let (first, packet) = surb.into_packet(&text).unwrap();
        assert_eq!(first, path(&vectors, item).1[0].node);
        assert!(packet.as_bytes()[..] == unhex(&item["packet"]));
        let payload = unhex(&list(&item["hops"]).last().unwrap()["payload"]);
        let payload = Payload::from_bytes(&payload).unwrap();
        assert!(payload.plaintext().is_none());
        assert!(*keys.open(&payload).unwrap() == text);
        assert_eq!(keys.id(), SurbId::new(array(&item["id"])));
    }
}

/// Gives what it was told to give, to a builder that then has no choice.
struct Script(std::vec::IntoIter<u8>);

impl Script {
    fn new(parts: &[&Value]) -> Self {
        let bytes: Vec<_> = parts.iter().flat_map(|part| unhex(part)).collect();
        Self(bytes.into_iter())
    }
}

impl rand::TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("takes bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("takes bytes")
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        for byte in to {
            *byte = self.0.next().expect("as many as the file has");
        }
        Ok(())
    }
}

impl rand::TryCryptoRng for Script {}

#[test]
fn every_back_end_builds_the_vectors() {
    let vectors = load();
    for node in list(&vectors["nodes"]) {
        let secret = SphinxSecret::from_bytes(array(&node["secret"]));
        assert_eq!(secret.public().as_bytes(), &array(&node["public"]));
    }
    for engine in engines() {
        for item in list(&vectors["forward"]) {
            let drawn = ["destination", "id", "initial_secret", "padding"];
            let mut script = Script::new(&drawn.map(|name| &item[name]));
            let (_, route) = path(&vectors, item);
            let text = unhex(&item["plaintext"]);
            let packet = engine.build_forward(&mut script, &route, &text).unwrap();
            assert!(
                packet.as_bytes()[..] == unhex(&item["packet"]),
                "{engine:?}"
            );
        }
        for item in list(&vectors["replies"]) {
            let mut script = Script::new(&["initial_secret", "padding"].map(|name| &item[name]));
            let (_, route) = path(&vectors, item);
            let handle = ClientHandle::new(array(&item["destination"]));
            let id = SurbId::new(array(&item["id"]));
            let (surb, keys) = engine.build_surb(&mut script, &route, &handle, id).unwrap();
            assert!(surb.to_bytes()[..] == unhex(&item["block"]), "{engine:?}");
            assert!(*keys.to_bytes() == unhex(&item["keys"]), "{engine:?}");
        }
    }
}
