//! Whom members invite, and when those come in: of each member one in so many terms.

use std::collections::BTreeSet;

use prost::Message as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use shoal_proto::{Epoch, NodeId, Span, wire};
use shoal_topology::{
    Admission, DescriptorError, Document, Identity, Invitation, Invited, NetworkParameters,
    Refusal, SignedDescriptor, contents_hash,
};

use crate::harness::{Harness, Lie, loopback};
use crate::joining::{listed, network};
use crate::words;

/// Nine members that invite, one each in two terms of four documents, and so many strangers that are down.
fn inviting(seed: u64, strangers: usize) -> Harness {
    network(seed, strangers, |params| {
        params.admission = Admission::Invitation;
        params.newcomers = 0.5;
    })
}

fn invite(net: &mut Harness, by: usize, whom: usize, last: u64) {
    let (identity, id) = (&net.nodes[by].identity, net.nodes[whom].id);
    let signed = Invitation::sign(identity, &net.params.chain(), &id, Epoch::new(last));
    net.nodes[whom].invitation = Some(signed);
}

fn is_in(net: &Harness, epoch: u64, index: usize) -> bool {
    net.agreed(epoch).member(&net.nodes[index].id).is_some()
}

/// How a stranger's invitation stands, by its own account.
fn stands(net: &Harness, index: usize) -> Option<Invited> {
    let directory = net.nodes[index].directory.as_ref().unwrap();
    directory.waits()?.invited
}

fn is_known(net: &Harness, at: usize, of: usize) -> bool {
    let directory = net.nodes[at].directory.as_ref().unwrap();
    directory.descriptor(&net.nodes[of].id).is_some()
}

#[test]
fn who_is_invited_comes_in_and_nobody_else() {
    let mut net = inviting(460, 4);
    let by = net.nodes[0].id;
    invite(&mut net, 0, 9, 100);
    // One has none, one was invited by a stranger, and of one the time was over.
    invite(&mut net, 10, 11, 100);
    invite(&mut net, 1, 12, 1);
    net.run_to(1, 100);
    (9..13).for_each(|index| net.start(index));
    net.run_to(2, 100);
    assert_eq!(listed(&net, 2), BTreeSet::from([net.nodes[9].id]));
    let member = net.agreed(2).member(&net.nodes[9].id).cloned().unwrap();
    assert_eq!(member.invited_by, Some(by));
    net.run_to(4, 200);
    assert_eq!(listed(&net, 4), BTreeSet::from([net.nodes[9].id]));
    for node in &net.nodes[..9] {
        let directory = node.directory.as_ref().unwrap();
        let knows = |index: usize| directory.descriptor(&net.nodes[index].id);
        assert!((10..13).all(|index| knows(index).is_none()));
        assert!(directory.refusals().of(Refusal::Invitation) > 0);
        let shown = &knows(9).unwrap().descriptor().admission;
        assert!(shown.is_empty(), "a member shows none");
    }
    assert_eq!(stands(&net, 9), None);
    assert_eq!(stands(&net, 10), Some(Invited::No));
    let (by, last) = (net.nodes[10].id, Epoch::new(100));
    assert_eq!(stands(&net, 11), Some(Invited::ByNoMember { by, last }));
    let (by, last) = (net.nodes[1].id, Epoch::new(1));
    assert_eq!(stands(&net, 12), Some(Invited::Over { by, last }));
}

#[test]
fn two_of_one_member_come_in_different_terms() {
    let mut net = inviting(461, 3);
    let (by, last) = (net.nodes[0].id, Epoch::new(100));
    invite(&mut net, 0, 9, 100);
    invite(&mut net, 0, 10, 200);
    invite(&mut net, 1, 11, 100);
    net.run_to(1, 100);
    (9..12).for_each(|index| net.start(index));
    net.run_to(1, 600);
    // Of one member's the one waits whose invitation lasts longer.
    for at in 0..9 {
        assert!(is_known(&net, at, 10) && is_known(&net, at, 11));
        assert!(!is_known(&net, at, 9));
    }
    assert_eq!(stands(&net, 9), Some(Invited::Yes { by, last }));
    net.run_to(2, 100);
    let came = net.agreed(2).height();
    assert!(is_in(&net, 2, 10) && is_in(&net, 2, 11) && !is_in(&net, 2, 9));
    let from = Epoch::new(10);
    let later = Invited::Later { by, last, from };
    for epoch in 3..9 {
        net.run_to(epoch, 100);
        assert!(!is_in(&net, epoch, 9), "{epoch}");
        assert_eq!(stands(&net, 9), Some(later));
        assert!(!is_known(&net, 3, 9));
    }
    net.run_to(9, 100);
    assert!(!is_in(&net, 9, 9));
    assert_eq!(stands(&net, 9), Some(Invited::Yes { by, last }));
    net.run_to(10, 100);
    let document = net.agreed(10);
    assert_eq!(document.height().number(), came.number() + 8);
    let of = |index: usize| document.member(&net.nodes[index].id).unwrap();
    assert_eq!(of(9).invited_by, Some(by));
    assert_eq!(of(10).invited_by, None, "it is of no use any more");
}

/// Somebody has one of the members, and it and whom it has brought in invite as many as they like.
#[test]
fn who_has_some_of_the_members_has_twice_as_many_in_two_terms() {
    let mut net = inviting(462, 12);
    net.run_to(1, 100);
    let mut has = Vec::new();
    for epoch in 2..22 {
        // The last word of each is for another stranger.
        let own = listed(&net, epoch - 1);
        let inside = (0..net.nodes.len()).filter(|it| *it == 0 || own.contains(&net.nodes[*it].id));
        let outside = (9..21).filter(|it| !own.contains(&net.nodes[*it].id));
        let inside: Vec<usize> = inside.collect();
        let outside: Vec<usize> = outside.collect();
        for (place, whom) in outside.into_iter().enumerate() {
            if net.nodes[whom].directory.is_some() {
                net.stop(whom);
            }
            invite(&mut net, inside[place % inside.len()], whom, 1000 + epoch);
            net.start(whom);
        }
        net.run_to(epoch, 100);
        has.push(1 + listed(&net, epoch).len());
    }
    // Each brings in one at once or when it has been there for eight heights.
    let most = (0..20).map(|height| 2_usize << (height / 8));
    assert!(
        has.iter().zip(most).all(|(has, most)| *has <= most),
        "{has:?}"
    );
    assert_eq!([has[0], has[8], has[16]], [2, 4, 8], "{has:?}");
}

#[test]
fn who_was_away_comes_back_by_its_invitation_as_long_as_it_counts() {
    let mut net = inviting(463, 1);
    invite(&mut net, 0, 9, 9);
    net.run_to(1, 100);
    net.start(9);
    net.run_to(2, 100);
    assert!(is_in(&net, 2, 9));
    net.run_to(3, 100);
    net.stop(9);
    net.run_to(6, 100);
    assert!(!is_in(&net, 6, 9));
    // Its newest document lists it, so that it says nothing of an invitation before it knows more.
    net.start(9);
    net.run_to(7, 100);
    assert!(is_in(&net, 7, 9));
    net.stop(9);
    net.run_to(10, 100);
    net.start(9);
    net.run_to(13, 100);
    assert!(!is_in(&net, 13, 9));
    let (by, last) = (net.nodes[0].id, Epoch::new(9));
    assert_eq!(stands(&net, 9), Some(Invited::Over { by, last }));
}

/// The newest descriptor of each member, as a node has them.
fn heard(net: &Harness, at: usize) -> Vec<SignedDescriptor> {
    let directory = net.nodes[at].directory.as_ref().unwrap();
    let ids = net.nodes.iter().map(|node| &node.id);
    ids.filter_map(|id| directory.descriptor(id))
        .cloned()
        .collect()
}

/// Somebody whom these have invited, up to this epoch, in an epoch.
fn stranger(
    params: &NetworkParameters,
    epoch: Epoch,
    number: u8,
    invited: Option<(&Identity, u64)>,
) -> SignedDescriptor {
    let identity = Identity::from_bytes(&[100 + number; 32]);
    let mut rng = ChaCha20Rng::seed_from_u64(number.into());
    let mut descriptor = words::describe(&identity, params, epoch, &mut rng);
    descriptor.addresses = vec![loopback(5000 + usize::from(number))];
    if let Some((by, last)) = invited {
        let id = identity.id();
        descriptor.admission =
            Invitation::sign(by, &params.chain(), &id, Epoch::new(last)).encode();
    }
    SignedDescriptor::sign(&identity, params, descriptor).unwrap()
}

/// A descriptor as it was signed, with another invitation in it and signed anew by who it is of.
fn with_admission(
    params: &NetworkParameters,
    of: &SignedDescriptor,
    identity: &Identity,
    admission: Vec<u8>,
) -> Vec<u8> {
    let outer = wire::SignedDescriptor::decode(of.encode()).unwrap();
    let mut inner = wire::Descriptor::decode(&outer.descriptor[..]).unwrap();
    inner.admission = admission;
    let descriptor = inner.encode_to_vec();
    let network = params.chain();
    let signed = [&b"shoal descriptor 1"[..], network.as_bytes(), &descriptor].concat();
    let signature = identity.sign(&signed).to_vec();
    let made = wire::SignedDescriptor {
        descriptor,
        signature,
    };
    made.encode_to_vec()
}

#[test]
fn a_descriptor_with_an_invitation_for_somebody_else_is_refused() {
    let params = NetworkParameters {
        admission: Admission::Invitation,
        ..NetworkParameters::example()
    };
    let (by, own) = (
        Identity::from_bytes(&[1; 32]),
        Identity::from_bytes(&[101; 32]),
    );
    let (network, last) = (params.chain(), Epoch::new(9));
    let right = Invitation::sign(&by, &network, &own.id(), last);
    let signed = stranger(&params, Epoch::new(0), 1, Some((&by, 9)));
    let refused = |params: &NetworkParameters, admission: Vec<u8>| {
        let mut descriptor = signed.descriptor().clone();
        descriptor.admission.clone_from(&admission);
        let sent = with_admission(params, &signed, &own, admission);
        let start = params.genesis;
        let heard = SignedDescriptor::decode_verified(&sent, params, start).err();
        let said = SignedDescriptor::sign(&own, params, descriptor).err();
        assert_eq!(heard, said);
        said
    };
    assert_eq!(refused(&params, right.encode()), None);
    for wrong in [
        Invitation::sign(&by, &network, &by.id(), last),
        Invitation::sign(&by, &NetworkParameters::example().hash(), &own.id(), last),
        Invitation {
            last: last.next(),
            ..right
        },
        Invitation {
            by: own.id(),
            ..right
        },
    ] {
        let refused = refused(&params, wrong.encode());
        assert_eq!(refused, Some(DescriptorError::Invitation));
    }
    // What is none, and one where nobody is asked for it.
    let admission = Some(DescriptorError::Admission);
    assert_eq!(refused(&params, right.encode()[1..].to_vec()), admission);
    assert_eq!(
        refused(&NetworkParameters::example(), right.encode()),
        admission
    );
    assert_eq!(
        refused(&params, Vec::new()),
        None,
        "whether it counts is for others to say"
    );
}

/// A document with these beside its members, as its extracts would list them, whatever they are.
fn beside(
    params: &NetworkParameters,
    document: &Document,
    extra: &[(&SignedDescriptor, Option<NodeId>)],
) -> Document {
    let mut made = wire::Document::decode(document.encode()).unwrap();
    let mut header = made.header.take().unwrap();
    for (signed, by) in extra {
        let said = signed.descriptor();
        let key = |key: &[u8; 32]| key.to_vec();
        let extract = wire::Extract {
            identity: key(said.identity.as_bytes()),
            role: wire::Role::Mix.into(),
            sequence: said.sequence,
            sphinx_key: key(said.key_for(document.epoch()).unwrap().as_bytes()),
            seat_key: key(said.seat_key.as_bytes()),
            vrf_key: key(said.vrf_key.as_bytes()),
            addresses: said.addresses.iter().map(ToString::to_string).collect(),
            since: u32::try_from(document.height().number()).unwrap(),
            invited_by: by.map_or_else(Vec::new, |by| by.as_bytes().to_vec()),
            ..Default::default()
        };
        made.members.push(extract.encode_to_vec());
    }
    made.members
        .sort_by_key(|bytes| wire::Extract::decode(&bytes[..]).unwrap().identity);
    header.members = contents_hash(&made).to_vec();
    made.header = Some(header);
    Document::decode_verified(&made.encode_to_vec(), params).unwrap()
}

/// Whoever shows what: a document is formed of those that a member brings in that is free, and of each member's one.
#[test]
fn a_document_is_formed_without_who_is_not_invited() {
    let mut net = inviting(469, 0);
    net.run_to(1, 20);
    let (params, base) = (net.params.clone(), net.agreed(1));
    net.run_until(params.freeze_time(Epoch::new(2)) - Span::from_millis(2));
    let (by, nobody) = (&net.nodes[0].identity, Identity::from_bytes(&[50; 32]));
    let stranger = |number, by| stranger(&params, Epoch::new(1), number, by);
    let plain = stranger(1, None);
    let by_nobody = stranger(2, Some((&nobody, 9)));
    let of_one = [3, 4, 5].map(|number| stranger(number, Some((by, 9))));
    let mut all = heard(&net, 0);
    all.extend([plain.clone(), by_nobody.clone()]);
    all.extend(of_one.clone());
    let place = words::place(&net, &base, 0);
    let formed = Document::form(&params, &place, &all).unwrap().0;
    let lists = |signed: &SignedDescriptor| formed.member(&signed.id()).is_some();
    assert!(!lists(&plain) && !lists(&by_nobody));
    assert_eq!(of_one.iter().filter(|it| lists(it)).count(), 1);
    assert_eq!(formed.members().len(), 10);
}

/// What a member proposes that has the first word and whom it likes beside the members: who is not invited, who says
/// that it is, two of one member, who was invited up to an epoch that is over. Nobody votes for it, the next one's
/// document comes, and what is right is taken.
#[test]
fn a_document_with_who_is_not_invited_costs_a_round_and_nothing_else() {
    for (seed, case) in [(464, 0), (465, 1), (466, 2), (467, 3), (468, 4)] {
        let mut net = inviting(seed, 0);
        net.run_to(1, 20);
        let (params, base) = (net.params.clone(), net.agreed(1));
        let liar = words::proposer(&net, &base, 0);
        net.nodes[liar].lie = Some(Lie::Silent);
        let by = net.nodes[(liar + 1) % 9].identity.clone();
        let invited = |number, last| stranger(&params, Epoch::new(1), number, Some((&by, last)));
        let plain = stranger(&params, Epoch::new(1), 1, None);
        let (one, two, over) = (invited(2, 9), invited(3, 9), invited(4, 1));
        let named = Some(by.id());
        let extra = match case {
            0 => vec![(&plain, None)],
            1 => vec![(&plain, named)],
            2 => vec![(&one, named), (&two, named)],
            3 => vec![(&over, named)],
            _ => vec![(&one, named)],
        };
        for (signed, _) in &extra {
            for to in (0..9).filter(|to| *to != liar) {
                net.tell(to, liar, words::gossip(signed.encode()));
            }
        }
        net.run_until(params.freeze_time(Epoch::new(2)) - Span::from_millis(2));
        let place = words::place(&net, &base, 0);
        let honest = Document::form(&params, &place, &heard(&net, liar))
            .unwrap()
            .0;
        let listed = extra
            .iter()
            .filter(|(it, _)| honest.member(&it.id()).is_some());
        assert_eq!(listed.count(), 0, "it has not told itself");
        let proposed = beside(&params, &honest, &extra);
        let (hash, bytes) = (*proposed.hash(), proposed.encode().to_vec());
        net.nodes[liar].serves.insert(hash, bytes);
        net.run_until(params.freeze_time(Epoch::new(2)) + Span::from_millis(1));
        let words = words::proposal(&net, liar, (proposed.height(), 0), (hash, None));
        net.publish(liar, words);
        net.run_to(2, 20);
        let agreed = net.agreed(2);
        let round = agreed.header().reveal.as_ref().unwrap().round;
        // One of two of one member waits, and may come.
        assert_eq!(
            (round, *agreed.hash() == hash),
            (u32::from(case < 4), case == 4),
            "{case}"
        );
        let strangers = agreed.members().len() - 9;
        assert_eq!(strangers, usize::from(case == 2 || case == 4), "{case}");
    }
}
