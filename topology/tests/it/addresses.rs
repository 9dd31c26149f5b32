//! Nobody's descriptor makes the members of a network dial what is not of the network's kind.

use std::sync::Arc;

use prost::Message;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use shoal_proto::{NodeId, wire};
use shoal_topology::{
    DescriptorError, Directory, DirectoryAction, DirectoryInput, Document, DocumentError,
    GenesisMember, Misfit, NetworkParameters, ParameterError, Refusal, Restored, Role, Scope,
    SignedDescriptor, Ticket, Verdict,
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
