//! How the corpus of what seats say was made: signed bytes as `src/agreement` describes them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use prost::Message as _;
use rand::SeedableRng as _;
use shoal_proto::{DocumentHash, Epoch, wire};

use crate::agreement::{Height, Reveal, Seat, Seats};
use crate::{
    DocumentHeader, Identity, Kept, Mark, NetworkParameters, Recovery, RecoveryFile, Trust,
};

fn seats() -> Seats {
    super::seats().unwrap()
}

fn key(seat: Seat) -> Identity {
    let id = seats().holder(seat).unwrap().id;
    let keys = (1..5).map(|byte| Identity::from_bytes(&[byte; 32]));
    keys.into_iter().find(|key| key.id() == id).unwrap()
}

/// A vote of a seat, or with `lock` a proposal.
fn said(kind: u8, document: u8, seat: Seat, lock: &[u8]) -> Vec<u8> {
    let number = seats().all().position(|other| other == seat).unwrap();
    let number = u16::try_from(number).unwrap().to_be_bytes();
    let place = [&2_u64.to_be_bytes()[..], &0_u32.to_be_bytes()].concat();
    let body = [&[1, kind][..], &place, &[document; 32], &[1], lock, &number].concat();
    let network = NetworkParameters::example().hash();
    let signed = [
        &b"shoal agreement 2"[..],
        network.as_bytes(),
        &seats().hash(),
        &body,
    ]
    .concat();
    [&body[..], &key(seat).sign(&signed)].concat()
}

/// Writes seeds that decode, after a change of the formats: run with `--ignored`.
#[test]
#[ignore = "writes into the source tree"]
fn write_words() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(root.join(target)).unwrap();
        std::fs::write(root.join(target).join(name), bytes).unwrap();
    };
    let seat = seats().all().next().unwrap();
    let (prevote, precommit) = (said(2, 5, seat, &[]), said(3, 5, seat, &[]));
    write("message", "prevote", &prevote);
    write("message", "precommit", &precommit);
    write(
        "message",
        "proposal",
        &said(1, 5, seat, &u32::MAX.to_be_bytes()),
    );
    let (by, node) = (
        Identity::from_bytes(&[1; 32]),
        shoal_proto::NodeId::new([6; 32]),
    );
    let network = NetworkParameters::example().hash();
    let shown = crate::Invitation::sign(&by, &network, &node, Epoch::new(720));
    write("invitation", "signed", &shown.encode());
    write("invitation", "text", shown.to_string().as_bytes());
    let place = [&2_u64.to_be_bytes()[..], &0_u32.to_be_bytes(), &[5; 32]].concat();
    let mut certificate = [&place[..], &3_u16.to_be_bytes()].concat();
    for seat in seats().all().take(3) {
        let vote = said(3, 5, seat, &[]);
        certificate.extend_from_slice(&vote[47..]);
    }
    assert!(
        crate::agreement::Certificate::decode(&certificate)
            .unwrap()
            .verify(&seats())
            .is_ok()
    );
    write(
        "message",
        "certificate",
        &[&[1, 4][..], &certificate].concat(),
    );
    let two = [prevote.clone(), said(2, 6, seat, &[])];
    let two =
        two.map(|vote| [&u16::try_from(vote.len()).unwrap().to_be_bytes()[..], &vote].concat());
    assert!(crate::agreement::Evidence::verify(&two.concat(), &seats()).is_ok());
    write("evidence", "two-prevotes", &two.concat());
    write("evidence", "one-prevote", &two[0]);
    let gossip = |what| {
        wire::Gossip {
            what: Some(what),
            again: 7,
        }
        .encode_to_vec()
    };
    write(
        "gossip",
        "prevote",
        &gossip(wire::gossip::What::Agreement(prevote)),
    );
    let descriptor = std::fs::read(root.join("descriptor/valid")).unwrap();
    write(
        "gossip",
        "descriptor",
        &gossip(wire::gossip::What::Descriptor(descriptor)),
    );

    let params = NetworkParameters::example();
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(9);
    let mut net = crate::sample::Network::new(&mut rng, params, 1, 1);
    let first = net.document(&mut rng, Epoch::new(1), None).unwrap();
    write("header", "first", &first.header().encode());
    let identity = Identity::from_bytes(&[1; 32]);
    let later = DocumentHeader {
        height: Height::new(2),
        previous: DocumentHash::new([5; 32]),
        reveal: Some(Reveal::new(
            &identity.vrf_key(),
            first.seed(),
            (Height::new(2), 3),
        )),
        ..first.header().clone()
    };
    write("header", "later", &later.encode());
    let network = net.params.hash();
    let members = Vec::from_iter(first.members().map(|member| member.id));
    let mut recovery = Recovery::new(network, &first, &members).unwrap();
    let file = |recovery: &Recovery| RecoveryFile {
        network,
        recovery: recovery.clone(),
    };
    write("recovery", "unsigned", file(&recovery).to_toml().as_bytes());
    for node in net.nodes.values() {
        recovery.sign(&network, &node.identity).unwrap();
    }
    write("recovery", "signed", file(&recovery).to_toml().as_bytes());
    let mark = Mark::of(&first);
    let params = super::params();
    let sitting = Seats::first(params.hash(), super::identities()).unwrap();
    let kept = |since: Height, newest| Kept {
        trust: Trust::again(&params, since, sitting.clone()),
        newest,
    };
    write(
        "kept",
        "begun",
        &kept(Height::new(1), Some(mark)).encode(&params),
    );
    write(
        "kept",
        "nothing",
        &kept(Height::default(), None).encode(&params),
    );
    let (handovers, documents) = net.answer(&[first]);
    write("handover", "first", &handovers[0]);
    write("handover", "seats", &seats().encode());
    write("chain", "certified", &documents[0]);
    let answer = wire::SyncResponse {
        handovers,
        documents,
        now_us: 1,
        ..Default::default()
    };
    write("chain", "answer", &answer.encode_to_vec());
}
