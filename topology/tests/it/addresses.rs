//! Nobody's descriptor makes the members of a network dial what is not of the network's kind.

use std::sync::Arc;

use prost::Message;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use shoal_proto::{NodeId, wire};
use shoal_topology::{
    Address, DescriptorError, Directory, DirectoryAction, DirectoryInput, Document, DocumentError,
    Families, GenesisMember, Misfit, NetworkParameters, ParameterError, Refusal, Restored, Role,
    Scope, SignedDescriptor, Ticket, Verdict,
};

use crate::documents::{describe, identity};

/// A network whose first member is there.
fn network(first: &str) -> NetworkParameters {
    let mut params = NetworkParameters::example();
    params.genesis_members = vec![GenesisMember {
        id: identity(100).id(),
        role: Role::Mix,
        addresses: vec![first.parse().unwrap()],
        family: None,
    }];
    params.validate().unwrap();
    params
}

/// A descriptor that names this address, signed by hand: who is hostile does not ask first.
fn signed(params: &NetworkParameters, address: &str) -> Vec<u8> {
    let mut descriptor = describe(params, 1, Role::Mix);
    descriptor.addresses = vec![params.genesis_members[0].addresses[0].clone()];
    let honest = SignedDescriptor::sign(&identity(1), params, descriptor).unwrap();
    let honest = wire::SignedDescriptor::decode(honest.encode()).unwrap();
    let mut inner = wire::Descriptor::decode(honest.descriptor.as_slice()).unwrap();
    inner.addresses = vec![address.to_owned()];
    let descriptor = inner.encode_to_vec();
    let network = params.hash();
    let message = [
        b"shoal descriptor 1".as_slice(),
        network.as_bytes(),
        &descriptor,
    ]
    .concat();
    wire::SignedDescriptor {
        signature: identity(1).sign(&message).to_vec(),
        descriptor,
    }
    .encode_to_vec()
}

const PUBLIC: &str = "/ip4/9.9.9.9/tcp/4140";
/// What members of a public network are not to be made to dial: metadata services, routers, the
/// member itself, in every spelling.
const HOSTILE: [&str; 10] = [
    "/ip4/169.254.169.254/tcp/80",
    "/ip4/127.0.0.1/tcp/22",
    "/ip4/192.168.0.1/tcp/443",
    "/ip4/100.100.100.200/tcp/80",
    "/ip4/0.0.0.0/tcp/22",
    "/ip6/::1/tcp/22",
    "/ip6/fd00:ec2::254/tcp/80",
    "/ip6/::ffff:169.254.169.254/tcp/80",
    "/ip6/64:ff9b::a9fe:a9fe/tcp/80",
    "/ip6/2002:a9fe:a9fe::1/udp/80/quic-v1",
];

#[test]
fn a_public_network_takes_no_descriptor_that_points_into_its_members() {
    let params = Arc::new(network(PUBLIC));
    let now = params.start_of(shoal_proto::Epoch::new(5));
    let mut directory = Directory::new(
        Arc::clone(&params),
        None,
        ChaCha20Rng::seed_from_u64(1),
        Restored::default(),
        now,
    );
    let mut gossip = |address: &str| {
        let input = DirectoryInput::Gossip {
            from: NodeId::new([7; 32]),
            ticket: Ticket(1),
            bytes: wire::Gossip {
                what: Some(wire::gossip::What::Descriptor(signed(&params, address))),
                again: 0,
            }
            .encode_to_vec(),
        };
        directory.handle_input(now, input);
        let mut verdict = None;
        while let Some(action) = directory.poll_action(now) {
            match action {
                DirectoryAction::Job(job) => {
                    directory.handle_input(now, DirectoryInput::Done(job.run()));
                }
                DirectoryAction::Verdict { verdict: v, .. } => verdict = Some(v),
                _ => {}
            }
        }
        (
            verdict,
            directory.refusals().of(Refusal::Misfit),
            directory.known_nodes(),
        )
    };
    for (count, address) in (1..).zip(HOSTILE) {
        assert_eq!(
            gossip(address),
            (Some(Verdict::Reject), count, 0),
            "{address}"
        );
    }
    let refused = HOSTILE.len() as u64;
    let name = gossip("/dns/node.example/tcp/80");
    assert_eq!(
        name,
        (Some(Verdict::Reject), refused, 0),
        "a name is no address"
    );
    assert_eq!(gossip(PUBLIC), (Some(Verdict::Accept), refused, 1));
}

#[test]
fn nobody_signs_or_takes_a_document_with_what_does_not_fit() {
    let params = network(PUBLIC);
    let mut descriptor = describe(&params, 1, Role::Mix);
    descriptor.addresses = vec!["/ip4/10.0.0.1/tcp/1".parse().unwrap()];
    let why = Misfit::Scope {
        found: Scope::Private,
        network: Scope::Public,
    };
    let misfit = DescriptorError::Misfit([10, 0, 0, 1].into(), why);
    let own = SignedDescriptor::sign(&identity(1), &params, descriptor);
    assert_eq!(own.err(), Some(misfit.clone()));

    let fits = describe(&params, 1, Role::Mix);
    let key = |key: &[u8; 32]| key.to_vec();
    let members = vec![
        wire::Extract {
            identity: key(fits.identity.as_bytes()),
            role: wire::Role::Mix.into(),
            layer: 1,
            sphinx_key: key(fits.keys[0].as_bytes()),
            seat_key: key(fits.seat_key.as_bytes()),
            vrf_key: key(fits.vrf_key.as_bytes()),
            addresses: vec!["/ip4/10.0.0.1/tcp/1".to_owned()],
            ..Default::default()
        }
        .encode_to_vec(),
    ];
    let mut document = wire::Document {
        members,
        ..wire::Document::default()
    };
    document.header = Some(wire::DocumentHeader {
        height: 1,
        epoch: 5,
        previous: vec![0; 32],
        round: 0,
        proof: Vec::new(),
        seed: vec![0; 32],
        seats: vec![0; 32],
        members: shoal_topology::contents_hash(&document).to_vec(),
    });
    let taken = Document::decode_verified(&document.encode_to_vec(), &params);
    assert_eq!(taken.err(), Some(DocumentError::Descriptor(misfit)));
}

#[test]
fn networks_on_one_machine_and_at_one_site_stay_easy_and_stay_there() {
    for (first, fits, misfits) in [
        (
            "/ip4/127.0.0.1/tcp/1",
            "/ip6/::1/tcp/2",
            "/ip4/10.0.0.1/tcp/1",
        ),
        (
            "/ip4/192.168.1.1/tcp/1",
            "/ip4/10.0.0.1/tcp/1",
            "/ip4/127.0.0.1/tcp/1",
        ),
        ("/ip6/fd00::1/tcp/1", "/ip4/172.30.40.11/tcp/1", PUBLIC),
    ] {
        let params = network(first);
        let now = params.start_of(shoal_proto::Epoch::new(5));
        let taken = |address: &str| {
            let bytes = signed(&params, address);
            SignedDescriptor::decode_verified(&bytes, &params, now).err()
        };
        assert_eq!(taken(fits), None, "{first}");
        assert!(
            matches!(taken(misfits), Some(DescriptorError::Misfit(..))),
            "{first}"
        );
    }
}

#[test]
fn first_members_of_two_kinds_are_refused_with_the_reason() {
    let mut params = network(PUBLIC);
    let id = identity(101).id();
    params.genesis_members.push(GenesisMember {
        id,
        role: Role::Mix,
        addresses: vec!["/ip4/192.168.1.1/tcp/1".parse().unwrap()],
        family: None,
    });
    let error = params.validate().unwrap_err();
    assert!(matches!(error, ParameterError::Address { member, .. } if member == id));
    assert_eq!(
        error.to_string(),
        format!(
            "genesis_members.{id}.addresses: 192.168.1.1 is a private address, and this network's \
             first members have public ones"
        )
    );
}

/// In a network that asks for both families, who has one alone is refused, and the node itself issues none.
#[test]
fn a_network_that_asks_for_both_families_takes_nobody_with_one() {
    let any = network(PUBLIC);
    let mut params = any.clone();
    params.families = Families::Both;
    assert_ne!(params.hash(), any.hash(), "it is another network");
    let error = params.validate().unwrap_err();
    let id = identity(100).id();
    let member = ParameterError::Families {
        member: id,
        missing: "IPv6",
    };
    assert_eq!(error, member);
    assert!(error.to_string().contains("add one"), "{error}");
    let v6 = "/ip6/2620:fe::9/tcp/4140";
    params.genesis_members[0]
        .addresses
        .push(v6.parse().unwrap());
    params.validate().unwrap();
    let now = params.start_of(shoal_proto::Epoch::new(5));
    let refused = |params: &NetworkParameters, addresses: &[&str]| {
        let mut descriptor = describe(params, 1, Role::Mix);
        let parsed = addresses.iter().map(|it| it.parse::<Address>().unwrap());
        descriptor.addresses = parsed.collect();
        SignedDescriptor::sign(&identity(1), params, descriptor).err()
    };
    let missing = |family| Some(DescriptorError::Families(family));
    assert_eq!(refused(&params, &[PUBLIC]), missing("IPv6"));
    assert_eq!(refused(&params, &[v6]), missing("IPv4"));
    assert_eq!(refused(&params, &[PUBLIC, v6]), None);
    assert_eq!(refused(&params, &[v6, PUBLIC]), None);
    assert_eq!(refused(&any, &[PUBLIC]), None);
    // Documents say the first ones only: what stands behind helps nobody who knows those.
    let long = "/ip6/2620:fe:1111:2222:3333:4444:5555:6666/udp/65535/quic-v1";
    assert_eq!(
        refused(&params, &[PUBLIC, PUBLIC, PUBLIC, PUBLIC, v6]),
        missing("IPv6")
    );
    let most = "/ip4/199.199.199.199/tcp/65535";
    assert_eq!(refused(&params, &[most, long]), None);
    assert_eq!(refused(&params, &[long, most]), None);

    // Who does not ask first is refused by all.
    let taken = |params: &NetworkParameters, address: &str| {
        let mut by = any.clone();
        by.genesis_members = params.genesis_members.clone();
        let mut descriptor = describe(&by, 1, Role::Mix);
        descriptor.addresses = vec![address.parse().unwrap()];
        let honest = SignedDescriptor::sign(&identity(1), &by, descriptor).unwrap();
        let inner = wire::SignedDescriptor::decode(honest.encode())
            .unwrap()
            .descriptor;
        let network = params.hash();
        let message = [b"shoal descriptor 1".as_slice(), network.as_bytes(), &inner].concat();
        let bytes = wire::SignedDescriptor {
            signature: identity(1).sign(&message).to_vec(),
            descriptor: inner,
        };
        SignedDescriptor::decode_verified(&bytes.encode_to_vec(), params, now).err()
    };
    assert_eq!(taken(&params, PUBLIC), missing("IPv6"));
    assert_eq!(
        DescriptorError::Families("IPv6").reason(),
        Refusal::Families
    );
    assert_eq!(taken(&any, PUBLIC), None);

    // The file says it, and only where it is asked for.
    assert!(params.to_toml().contains("\nfamilies = \"both\"\n"));
    assert!(!any.to_toml().contains("families ="));
    let read = NetworkParameters::from_toml(&params.to_toml()).unwrap();
    assert_eq!(
        (read.families, read.hash()),
        (Families::Both, params.hash())
    );
    let spoilt = params.to_toml().replace("\"both\"", "\"all\"");
    let error = NetworkParameters::from_toml(&spoilt)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("line ") && error.contains("families"),
        "{error}"
    );
}

/// Networks that there are keep their name.
#[test]
fn what_a_network_does_not_ask_for_is_not_in_its_name() {
    let hash = NetworkParameters::example().hash();
    let hex: String = hash
        .as_bytes()
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect();
    assert_eq!(
        hex,
        "876d226797c32c297870e102aa23c7b3fa1b3b9e981cee2b68b32c85630bee90"
    );
}
