//! A family is a key: nobody joins one that has not signed for him.

use prost::Message;
use shoal_proto::size::MAX_DESCRIPTOR_BYTES;
use shoal_proto::{Epoch, NetworkHash, wire};
use shoal_topology::{
    Descriptor, DescriptorError, DirectoryInput, FamilyKey, FamilyProof, MAX_ADDRESSES, MAX_KEYS,
    NetworkParameters, ParameterError, Refusal, Role, SignedDescriptor, Ticket, Verdict,
};

use crate::documents::{describe, identity};
use crate::harness::Harness;

const CREW: [u8; 32] = [7; 32];

/// A mix whose descriptor claims to be of a family.
fn claims(params: &NetworkParameters, index: u32, proof: FamilyProof) -> Descriptor {
    let family = Some(proof);
    Descriptor {
        family,
        ..describe(params, index, Role::Mix)
    }
}

/// The bytes of a descriptor that its issuer signs although others refuse it.
fn signed_anyway(params: &NetworkParameters, index: u32, descriptor: &Descriptor) -> Vec<u8> {
    let honest = Descriptor {
        family: None,
        ..descriptor.clone()
    };
    let honest = SignedDescriptor::sign(&identity(index), params, honest).unwrap();
    let outer = wire::SignedDescriptor::decode(honest.encode()).unwrap();
    let mut inner = wire::Descriptor::decode(outer.descriptor.as_slice()).unwrap();
    let proof = descriptor.family.expect("a claim");
    inner.family = proof.family.as_bytes().to_vec();
    inner.family_signature = proof.signature.to_vec();
    sealed(params, index, &inner)
}

fn sealed(params: &NetworkParameters, index: u32, inner: &wire::Descriptor) -> Vec<u8> {
    let descriptor = inner.encode_to_vec();
    let network = params.hash();
    let signed = [
        b"shoal descriptor 1",
        network.as_bytes().as_slice(),
        &descriptor,
    ]
    .concat();
    let signature = identity(index).sign(&signed).to_vec();
    wire::SignedDescriptor {
        descriptor,
        signature,
    }
    .encode_to_vec()
}

#[test]
fn who_names_a_family_without_its_key_is_refused() {
    let params = NetworkParameters::example();
    let (crew, own) = (
        FamilyKey::from_bytes(&CREW),
        FamilyKey::from_bytes(&[8; 32]),
    );
    let (network, id) = (params.hash(), identity(1).id());
    let right = crew.prove(&network, &id);
    let forged = FamilyProof {
        family: crew.id(),
        ..own.prove(&network, &id)
    };
    let elsewhere = crew.prove(&NetworkHash::new([9; 32]), &id);
    let of_another = crew.prove(&network, &identity(2).id());
    let now = params.start_of(Epoch::new(5));
    let decode = |bytes: &[u8]| SignedDescriptor::decode_verified(bytes, &params, now);
    for proof in [forged, elsewhere, of_another] {
        let descriptor = claims(&params, 1, proof);
        let bytes = signed_anyway(&params, 1, &descriptor);
        assert_eq!(decode(&bytes).err(), Some(DescriptorError::Unproven));
        // Nor does a node issue one.
        let signed = SignedDescriptor::sign(&identity(1), &params, descriptor);
        assert_eq!(signed.err(), Some(DescriptorError::Unproven));
    }
    let descriptor = claims(&params, 1, right);
    let signed = SignedDescriptor::sign(&identity(1), &params, descriptor.clone()).unwrap();
    assert_eq!(signed.encode(), signed_anyway(&params, 1, &descriptor));
    let read = decode(signed.encode()).unwrap();
    assert!(read.descriptor().family == Some(right));
}

#[test]
fn a_family_is_a_key_with_a_signature_or_nothing() {
    let params = NetworkParameters::example();
    let proof = FamilyKey::from_bytes(&CREW).prove(&params.hash(), &identity(1).id());
    let good = signed_anyway(&params, 1, &claims(&params, 1, proof));
    let outer = wire::SignedDescriptor::decode(good.as_slice()).unwrap();
    let inner = wire::Descriptor::decode(outer.descriptor.as_slice()).unwrap();
    let now = params.start_of(Epoch::new(5));
    type Change = fn(&mut wire::Descriptor);
    let changes: [Change; 6] = [
        |d| d.family.clear(),
        |d| d.family_signature.clear(),
        |d| d.family.push(0),
        |d| d.family_signature.truncate(63),
        |d| d.family = b"crew".to_vec(),
        |d| d.family_signature.push(0),
    ];
    for change in changes {
        let mut inner = inner.clone();
        change(&mut inner);
        let bytes = sealed(&params, 1, &inner);
        let read = SignedDescriptor::decode_verified(&bytes, &params, now);
        assert_eq!(read.err(), Some(DescriptorError::Family));
    }
}

/// What a name was taken for: a stranger says that it is of the crew, and is put beside it.
#[test]
fn a_stranger_does_not_stand_beside_a_family_by_naming_it() {
    let mut net = Harness::new(62, 8, 2, 8);
    let crew = || FamilyKey::from_bytes(&CREW);
    for index in [1, 4] {
        net.nodes[index].family = Some(crew());
    }
    net.start_all();
    net.run_to(2, 10);
    let params = net.params.clone();
    let mut stranger = describe(&params, 99, Role::Mix);
    let epoch = params.epoch_at(net.now);
    stranger.issued_at = net.now;
    stranger.first_epoch = epoch;
    stranger.expires_at = params.start_of(epoch.next().next());
    stranger.addresses = vec!["/ip4/127.0.0.1/tcp/4999".parse().unwrap()];
    let id = stranger.identity;
    let proof = FamilyProof {
        family: crew().id(),
        ..FamilyKey::from_bytes(&[8; 32]).prove(&params.hash(), &id)
    };
    stranger.family = Some(proof);
    let bytes = signed_anyway(&params, 99, &stranger);
    let from = net.nodes[1].id;
    let now = net.now;
    let ticket = Ticket(77);
    let directory = net.nodes[0].directory.as_mut().unwrap();
    let refused = |d: &shoal_topology::Directory<_>| d.refusals().of(Refusal::Unproven);
    assert_eq!(refused(directory), 0);
    let gossip = DirectoryInput::Gossip {
        from,
        ticket,
        bytes: wire::Gossip {
            what: Some(wire::gossip::What::Descriptor(bytes)),
            again: 0,
        }
        .encode_to_vec(),
    };
    directory.handle_input(now, gossip);
    let mut verdict = None;
    while let Some(action) = directory.poll_action(now) {
        match action {
            shoal_topology::DirectoryAction::Job(job) => {
                directory.handle_input(now, DirectoryInput::Done(job.run()));
            }
            shoal_topology::DirectoryAction::Verdict { verdict: said, .. } => verdict = Some(said),
            _ => {}
        }
    }
    assert_eq!(verdict, Some(Verdict::Reject));
    assert_eq!(refused(net.nodes[0].directory.as_ref().unwrap()), 1);
    net.run_to(3, 10);
    assert!(net.agreed(3).member(&id).is_none());
}

/// A family's member with all that a descriptor may say.
fn largest(params: &NetworkParameters) -> Descriptor {
    let proof = FamilyKey::from_bytes(&CREW).prove(&params.hash(), &identity(1).id());
    let mut descriptor = claims(params, 1, proof);
    let longest = "/ip6/2a00:1111:2222:3333:4444:5555:6666:777/udp/65535/quic-v1";
    let address = |index: usize| format!("{}{index}{}", &longest[..43], &longest[43..]);
    descriptor.addresses = (1..=MAX_ADDRESSES)
        .map(|index| address(index).parse().unwrap())
        .collect();
    descriptor.keys = vec![descriptor.keys[0]; MAX_KEYS];
    descriptor.expires_at = params.start_of(Epoch::new(9));
    descriptor.sequence = u64::MAX;
    descriptor.capacity_class = u32::MAX;
    descriptor.storage_mib = u64::MAX;
    descriptor.versions = vec![u32::MAX, 260, 261, 262, 263, 264, 265, 266];
    descriptor
}

#[test]
fn the_largest_descriptor_with_a_family_fits() {
    let params = NetworkParameters::example();
    let signed = SignedDescriptor::sign(&identity(1), &params, largest(&params)).unwrap();
    let size = signed.encode().len();
    assert!(size <= MAX_DESCRIPTOR_BYTES, "{size}");
}

/// With the terms for tokens there is room for one key fewer than may be: for three, where a node says two.
#[test]
fn the_largest_descriptor_with_a_family_and_terms_for_tokens_fits() {
    let params = NetworkParameters::example();
    let mut descriptor = largest(&params);
    descriptor.role = Role::Provider;
    descriptor.keys.pop();
    descriptor.expires_at = params.start_of(Epoch::new(8));
    let issuer = shoal_packet::token::IssuerSecret::derive(&[1; 32], u32::MAX);
    descriptor.tokens = Some(shoal_topology::TokenTerms {
        key: issuer.unwrap().public(),
        demand: shoal_topology::TokenDemand::Work { bits: 16 },
    });
    let signed = SignedDescriptor::sign(&identity(1), &params, descriptor).unwrap();
    let size = signed.encode().len();
    assert!(size <= MAX_DESCRIPTOR_BYTES, "{size}");
}

#[test]
fn a_networks_file_names_families_by_key() {
    let mut params = NetworkParameters::example();
    let member = |index| shoal_topology::GenesisMember {
        id: identity(index).id(),
        role: Role::Mix,
        addresses: Vec::new(),
        family: Some(FamilyKey::from_bytes(&CREW).id()),
    };
    params.genesis_members = vec![member(1)];
    let text = params.to_toml();
    assert_eq!(NetworkParameters::from_toml(&text), Ok(params.clone()));
    let family = FamilyKey::from_bytes(&CREW).id().to_string();
    let named = NetworkParameters::from_toml(&text.replace(&family, "crew"));
    let error = named.unwrap_err().to_string();
    assert!(error.contains("not a family's public key"), "{error}");
    // A point of small order, for which anybody can sign.
    let mut weak = [0; 32];
    weak[0] = 1;
    params.genesis_members[0].family = Some(shoal_proto::FamilyId::new(weak));
    let refused = params.validate();
    assert!(matches!(refused, Err(ParameterError::Range { .. })));
}
