//! The test vectors of docs/directory.md.

use std::fmt::Write as _;

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use serde_json::{Value, json};
use shoal_packet::token::IssuerSecret;
use shoal_proto::Epoch;
use shoal_topology::agreement::{Height, Seats, Seed};
use shoal_topology::sample::Network;
use shoal_topology::{
    Answers, Document, Identity, Invitation, NetworkParameters, Response, Role, SignedDescriptor,
    TokenDemand, TokenTerms, Trust, View, chain_request,
};

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/vectors/directory.json"
);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// A network of six mixes in three layers and two providers, its first two documents, and what leads there.
fn make() -> Value {
    let mut rng = ChaCha20Rng::seed_from_u64(9381);
    let mut net = Network::new(&mut rng, NetworkParameters::example(), 2, 2);
    let (first, second) = (Epoch::new(5), Epoch::new(6));
    // One of the providers issues tokens, from the second document on.
    let issuer = net.ids(Role::Provider).next().unwrap();
    let key = IssuerSecret::derive(&[1; 32], 690).unwrap().public();
    let demand = TokenDemand::Work { bits: 3 };
    let descriptors = net.descriptors(&mut rng, first).unwrap();
    let one = net.document(&mut rng, first, None).unwrap();
    net.nodes.get_mut(&issuer).unwrap().tokens = Some(TokenTerms { key, demand });
    let two = net.document(&mut rng, second, Some(&one)).unwrap();
    let network = net.params.hash();
    let seed = Seed::first(&network);
    let ids = net.nodes.keys().copied();
    let seats = Seats::first(network, ids).unwrap();
    let (handovers, documents) = net.answer(&[one.clone(), two.clone()]);
    let document = |document: &Document| {
        json!({
            "encoded": hex(document.encode()),
            "hash": hex(document.hash().as_bytes()),
            "seed_after": hex(document.seed().as_bytes()),
        })
    };
    let encoded = |signed: &SignedDescriptor| hex(signed.encode());
    let all = |list: &[Vec<u8>]| list.iter().map(|bytes| hex(bytes)).collect::<Vec<_>>();
    let (member, node) = (Identity::from_bytes(&[1; 32]), descriptors[0].id());
    let invitation = Invitation::sign(&member, &network, &node, Epoch::new(720));
    json!({
        "about": "documents, seats and seeds; see docs/directory.md",
        "parameters": net.params.to_toml(),
        "network": hex(network.as_bytes()),
        "descriptors": descriptors.iter().map(encoded).collect::<Vec<_>>(),
        "first_seed": hex(seed.as_bytes()),
        "input_of_height_2": hex(&seed.input(Height::new(2))),
        "first_seats": hex(&seats.encode()),
        "first_seats_hash": hex(&seats.hash()),
        "documents": [document(&one), document(&two)],
        "handovers": all(&handovers),
        "certified": all(&documents),
        "invitation": {
            "secret_of_the_member": hex(&[1; 32]),
            "node": hex(node.as_bytes()),
            "last_epoch": 720,
            "encoded": hex(&invitation.encode()),
            "text": invitation.to_string(),
        },
        "question_for_the_chain": hex(&chain_request(Height::new(0), Height::new(0), network)),
    })
}

#[test]
fn the_vectors_are_what_the_code_makes() {
    let made = serde_json::to_string_pretty(&make()).unwrap() + "\n";
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(FILE, &made).unwrap();
    }
    let written = std::fs::read_to_string(FILE).unwrap();
    assert!(
        written == made,
        "write it anew with UPDATE_DOCS=1, and say so to who has the old one"
    );
}

/// From the file alone, as another implementation would.
#[test]
fn the_vectors_lead_from_the_parameters_to_the_second_document() {
    use prost::Message;
    let file: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    let params = NetworkParameters::from_toml(file["parameters"].as_str().unwrap()).unwrap();
    assert_eq!(
        hex(params.hash().as_bytes()),
        file["network"].as_str().unwrap()
    );
    let list = |name: &str| file[name].as_array().unwrap().iter().map(unhex).collect();
    let now = params.start_of(Epoch::new(6));
    let answer = shoal_proto::wire::SyncResponse {
        handovers: list("handovers"),
        documents: list("certified"),
        now_us: now.as_micros(),
        ..Default::default()
    };
    let from = params.genesis_members[0].id;
    let response = Response {
        from,
        came: now,
        bytes: answer.encode_to_vec(),
    };
    let answers = Answers::read(&[response]).unwrap();
    let looked = answers.look(&params, &Trust::first(&params).unwrap(), &View::default());
    let taken = answers
        .adopt(&params, &looked, &View::default(), None, now)
        .unwrap();
    let document = &taken.documents[&Epoch::new(6)];
    let told = &file["documents"][1];
    assert_eq!(
        hex(document.hash().as_bytes()),
        told["hash"].as_str().unwrap()
    );
    assert_eq!(document.encode(), unhex(&told["encoded"]));
}
