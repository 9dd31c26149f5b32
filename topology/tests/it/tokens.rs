//! On what terms providers issue tokens: from what they say of themselves to the document that everybody goes by.

use std::collections::BTreeMap;

use shoal_packet::token::IssuerSecret;
use shoal_proto::NodeId;
use shoal_topology::{
    DescriptorError, DirectoryInput, Role, SignedDescriptor, TokenDemand, TokenTerms,
};

use crate::documents::{describe, identity};
use crate::harness::Harness;

fn terms(number: u32, demand: TokenDemand) -> TokenTerms {
    let key = IssuerSecret::derive(&[1; 32], number).unwrap().public();
    TokenTerms { key, demand }
}

#[test]
fn what_providers_ask_for_stands_in_the_document_and_changes_with_their_keys() {
    let mut net = Harness::new(721, 6, 3, 9);
    net.start_all();
    let providers: Vec<usize> = (0..net.nodes.len())
        .filter(|index| net.nodes[*index].role == Role::Provider)
        .collect();
    let [work, code, none] = providers[..] else {
        panic!("three providers");
    };
    let id = |net: &Harness, index: usize| net.nodes[index].id;
    let (worker, coder, silent) = (id(&net, work), id(&net, code), id(&net, none));
    let asked = terms(7, TokenDemand::Work { bits: 2 });
    net.hand_in(work, DirectoryInput::Tokens(Some(asked)));
    let closed = terms(7, TokenDemand::Code);
    net.hand_in(code, DirectoryInput::Tokens(Some(closed)));
    net.run_to(2, 100);
    let document = net.agreed(2);
    let said = |id: &NodeId| document.member(id).unwrap().tokens;
    assert_eq!(said(&worker), Some(asked));
    assert_eq!(said(&coder), Some(closed));
    assert_eq!(said(&silent), None);
    // To anybody: not for a code.
    assert_eq!(document.issuers().collect::<Vec<_>>(), [(worker, asked)]);
    // The next period's key, and one that opens.
    let next = terms(8, TokenDemand::Work { bits: 2 });
    net.hand_in(work, DirectoryInput::Tokens(Some(next)));
    let open = terms(8, TokenDemand::Open);
    net.hand_in(code, DirectoryInput::Tokens(Some(open)));
    net.run_to(4, 100);
    let issuers = net.agreed(4).issuers().collect::<BTreeMap<_, _>>();
    assert_eq!(issuers, BTreeMap::from([(worker, next), (coder, open)]));
}

#[test]
fn only_providers_issue_tokens_and_for_work_that_somebody_can_do() {
    let params = shoal_topology::NetworkParameters::example();
    let sign = |role, demand| {
        let mut descriptor = describe(&params, 1, role);
        descriptor.tokens = Some(terms(7, demand));
        SignedDescriptor::sign(&identity(1), &params, descriptor)
    };
    let signed = sign(Role::Provider, TokenDemand::Work { bits: 16 }).unwrap();
    let now = signed.descriptor().issued_at;
    let read = SignedDescriptor::decode_verified(signed.encode(), &params, now).unwrap();
    assert!(read == signed);
    for (role, demand) in [
        (Role::Mix, TokenDemand::Open),
        (Role::Provider, TokenDemand::Work { bits: 0 }),
        (Role::Provider, TokenDemand::Work { bits: 17 }),
    ] {
        let refused = sign(role, demand).err();
        assert_eq!(refused, Some(DescriptorError::Tokens));
    }
}
