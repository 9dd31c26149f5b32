//! How the corpus was made.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

/// Writes seeds that decode, after a change of the formats: run with `--ignored`.
#[test]
#[ignore = "writes into the source tree"]
fn write_seeds() {
    use crate::{Document, NetworkParameters, Role, SignedDescriptor};
    use prost::Message;
    use rand::SeedableRng;
    use shoal_proto::{Epoch, wire};
    let params = NetworkParameters::example();
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(9);
    let net = crate::sample::Network::new(&mut rng, params.clone(), 1, 1);
    let signed: Vec<SignedDescriptor> = net
        .nodes
        .values()
        .zip(4000_u16..)
        .map(|(node, port)| {
            let issuer = shoal_packet::token::IssuerSecret::derive(&[1; 32], 9).unwrap();
            let terms = crate::TokenTerms {
                key: issuer.public(),
                demand: crate::TokenDemand::Work { bits: 3 },
            };
            let key = shoal_packet::SphinxSecret::generate(&mut rng).public();
            let descriptor = crate::Descriptor {
                identity: node.identity.id(),
                role: node.role,
                sequence: 1,
                issued_at: params.genesis,
                expires_at: params.start_of(Epoch::new(2)),
                first_epoch: Epoch::new(0),
                keys: vec![key, key],
                addresses: vec![
                    format!("/ip6/2001:db8::1/udp/{port}/quic-v1")
                        .parse()
                        .unwrap(),
                ],
                versions: vec![260],
                capacity_class: 1,
                storage_mib: if node.role == Role::Provider { 512 } else { 0 },
                family: None,
                admission: Vec::new(),
                vrf_key: node.identity.vrf_key().public(),
                seat_key: node.identity.id(),
                leaving: false,
                tokens: (node.role == Role::Provider).then_some(terms),
            };
            SignedDescriptor::sign(&node.identity, &params, descriptor).unwrap()
        })
        .collect();
    let seats = crate::agreement::Seats::first(params.hash(), net.nodes.keys().copied());
    let place = crate::Place::<Document> {
        epoch: Epoch::new(1),
        base: None,
        seats: seats.unwrap(),
        reveal: None,
        offences: crate::Offences::default(),
    };
    let (document, _) = Document::form(&params, &place, &signed).unwrap();
    let mut net = net;
    let first = net.document(&mut rng, Epoch::new(1), None).unwrap();
    let response = wire::SyncResponse {
        descriptors: signed.iter().map(|s| s.encode().to_vec()).collect(),
        documents: vec![net.certify(&first).encode()],
        now_us: params.start_of(Epoch::new(1)).as_micros(),
        more: true,
        tip: Some(wire::Tip {
            height: 1,
            epoch: 1,
            hash: first.hash().as_bytes().to_vec(),
        }),
        evidence: vec![vec![0; 9]],
        handovers: net.handover(&first).iter().map(|it| it.encode()).collect(),
        delta: Vec::new(),
        amendments: vec![vec![0; 9]],
        reconcile: vec![0x61],
        file: vec![7; 32],
        successor: b"name = \"next\"".to_vec(),
    }
    .encode_to_vec();
    let request = wire::SyncRequest {
        reconcile: vec![0x61],
        ..Default::default()
    }
    .encode_to_vec();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(root.join(target)).unwrap();
        std::fs::write(root.join(target).join(name), bytes).unwrap();
    };
    write("descriptor", "valid", signed[0].encode());
    write("descriptor", "empty", b"");
    write("document", "valid", document.encode());
    write("document", "empty", b"");
    write("response", "valid", &response);
    write(
        "response",
        "documents-twice",
        &[response.clone(), response.clone()].concat(),
    );
    write("parameters", "valid", params.to_toml().as_bytes());
    write("parameters", "unknown-key", b"name = \"x\"\nnose = 1\n");
    write("address", "tcp", b"/ip4/192.0.2.1/tcp/4000");
    write("address", "leading-zero", b"/ip4/192.0.2.1/tcp/04000");
    write("address", "quic", b"/ip6/2001:db8::1/udp/4000/quic-v1");
    write("directory", "descriptor", signed[0].encode());
    write("directory", "request", &request);
    write("directory", "response", &response);
    let identity = crate::Identity::from_bytes(&[1; 32]);
    let found = |alive, missed| crate::Found { alive, missed };
    let report = crate::Report {
        watcher: identity.id(),
        at: 7,
        found: [
            (shoal_proto::NodeId::new([1; 32]), found(false, 3)),
            (shoal_proto::NodeId::new([2; 32]), found(true, 0)),
        ]
        .into(),
    };
    write("report", "valid", &report.sign(&params.hash(), &identity));
    write("report", "empty", b"");
    let out = first.providers().iter().copied().take(1).collect();
    let amendment = crate::agreement::Amendment::new(crate::Slot::new(9), &first, &out).unwrap();
    let seats = crate::agreement::Seats::first(params.hash(), [identity.id()]).unwrap();
    let seat = seats.of(&identity.id()).unwrap();
    let vote = crate::agreement::AmendmentVote::sign(&seats, &identity, amendment.clone(), seat);
    let certified = crate::agreement::CertifiedAmendment::of(&seats, &amendment, [&vote]).unwrap();
    write("amendment", "vote", &vote.encode());
    write("amendment", "certified", &certified.encode());
}
