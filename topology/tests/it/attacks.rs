//! Attacks on who is a member and where, through the directories of a whole network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use shoal_proto::{Epoch, NodeId, Span, Time, wire};
use shoal_topology::{
    Descriptor, Document, FamilyKey, Identity, NetworkParameters, Refusal, SignedDescriptor,
};

use crate::harness::{Harness, Lie, loopback};
use crate::words::{self, gossip};

fn identity(number: u64) -> Identity {
    Identity::generate(&mut ChaCha20Rng::seed_from_u64(1_000_000 + number))
}

/// What a mix that nobody has heard of says of itself at any time that it likes to name.
fn describe(params: &NetworkParameters, number: u64, issued_at: Time, first: Epoch) -> Descriptor {
    let mut rng = ChaCha20Rng::seed_from_u64(number);
    Descriptor {
        issued_at,
        addresses: vec![loopback(20_000 + usize::try_from(number).unwrap())],
        ..words::describe(&identity(number), params, first, &mut rng)
    }
}

fn sign(params: &NetworkParameters, number: u64, descriptor: Descriptor) -> SignedDescriptor {
    SignedDescriptor::sign(&identity(number), params, descriptor).unwrap()
}

/// Tells this to all, at once.
pub(crate) fn tell_all(net: &mut Harness, from: usize, bytes: &[u8]) {
    for to in (0..net.nodes.len()).filter(|to| *to != from) {
        net.tell(to, from, bytes);
    }
}

/// A mix that nobody has heard of, in the epoch that is now.
pub(crate) fn newcomer(net: &Harness, number: u64, issued_at: Time) -> Vec<u8> {
    let epoch = net.params.epoch_at(net.now);
    let described = describe(&net.params, number, issued_at, epoch);
    gossip(sign(&net.params, number, described).encode())
}

fn layers(document: &Document, ids: &BTreeSet<NodeId>) -> BTreeMap<NodeId, u8> {
    let members = document.members().filter(|member| ids.contains(&member.id));
    members.map(|member| (member.id, member.layer)).collect()
}

/// The newest descriptor of each node, as a node has them.
fn heard(net: &Harness, at: usize) -> Vec<SignedDescriptor> {
    let directory = net.nodes[at].directory.as_ref().unwrap();
    let ids = net.nodes.iter().map(|node| &node.id);
    let found = ids.filter_map(|id| directory.descriptor(id));
    found.cloned().collect()
}

/// Identities with dates from before, shown when the document is in force already, and at the freeze: what is in
/// force stays, everywhere, and in the next one those who come are beside those who stand, whom they move
/// nowhere. Then the member has the first word, and proposes a document of its identities that leaves out two
/// mixes.
#[test]
fn identities_that_are_backdated_take_nobodys_place() {
    let mut net = Harness::new(200, 6, 2, 6);
    net.start_all();
    net.run_to(1, 20);
    let base = net.agreed(1);
    let liar = words::proposer(&net, &base, 0);
    net.nodes[liar].lie = Some(Lie::Silent);
    let honest: BTreeSet<NodeId> = net.nodes.iter().map(|node| node.id).collect();
    let standing = layers(&base, &honest);
    assert_eq!(standing.len(), 8);

    // As if they had been there from the epoch's first moment, or before it.
    let params = Arc::clone(&net.params);
    let dates = [
        (Span::from_secs(59), 0),
        (Span::from_secs(1), 1),
        (Span::ZERO, 1),
    ];
    let backdated = |number: u64| {
        let (ago, first) = dates[usize::try_from(number).unwrap() % 3];
        let issued_at = match first {
            0 => params.start_of(Epoch::new(1)) - ago,
            _ => params.start_of(Epoch::new(1)) + ago,
        };
        sign(
            &params,
            number,
            describe(&params, number, issued_at, Epoch::new(first)),
        )
    };
    let identities: Vec<SignedDescriptor> = (0..30).map(backdated).collect();
    for signed in &identities[..15] {
        tell_all(&mut net, liar, &gossip(signed.encode()));
    }
    net.run_until(params.freeze_time(Epoch::new(2)) - Span::from_millis(2));
    for signed in &identities[15..] {
        tell_all(&mut net, liar, &gossip(signed.encode()));
    }
    assert_eq!(net.agreed(1).hash(), base.hash());

    // What it proposes first: all of its identities, and all members but two mixes.
    let (one, two) = (base.mixes(1)[0], base.mixes(2)[0]);
    let mut listed = heard(&net, liar);
    listed.retain(|signed| ![one, two].contains(&signed.id()));
    let lasting = |signed: &&SignedDescriptor| signed.descriptor().key_for(Epoch::new(2)).is_some();
    listed.extend(identities.iter().filter(lasting).cloned());
    let place = words::place(&net, &base, 0);
    let (formed, _) = Document::form(&params, &place, &listed).unwrap();
    assert!(formed.member(&one).is_none() && formed.member(&two).is_none());
    assert!(formed.members().len() > 20);
    net.nodes[liar]
        .serves
        .insert(*formed.hash(), formed.encode().to_vec());
    net.run_until(params.freeze_time(Epoch::new(2)) + Span::from_millis(1));
    let proposal = words::proposal(&net, liar, (formed.height(), 0), (*formed.hash(), None));
    net.publish(liar, proposal);

    net.run_to(1, 999);
    assert_eq!(net.agreed(1).hash(), base.hash(), "what is in force stays");
    for epoch in 2..4 {
        net.run_to(epoch, 20);
        let document = net.agreed(epoch);
        assert_ne!(document.hash(), formed.hash());
        if epoch == 2 {
            let made_in = document.header().reveal.as_ref().unwrap().round;
            assert!(made_in > 0, "it had its turn");
            assert!(document.members().len() > 20, "the others may come");
        }
        assert_eq!(layers(&document, &honest), standing, "nobody is moved");
    }
}

fn position(document: &Document, id: &NodeId) -> Option<u8> {
    document.member(id)?.position()
}

/// The layer of a newcomer in the document after this one, as far as somebody can tell whose turn it is
/// not.
fn guess(net: &Harness, listed: &Arc<Document>, newcomer: &Identity) -> Option<u8> {
    let all = words::issued(net, listed, &[newcomer]);
    let next = words::foretell(net, listed, &identity(999_999), &all);
    position(&next, &newcomer.id())
}

/// A newcomer that tries many names, in league with who proposes the document that lists it first and knows
/// the seed after that; and that gives a name up when what it knows by then speaks against it. Each name it
/// then goes by gets the layer that it wants as often as any other.
#[test]
fn a_newcomer_does_not_choose_its_layer_by_its_name() {
    const NETWORKS: u32 = 36;
    let (mut as_chosen, mut as_told) = (0_u32, 0_u32);
    for seed in 0..NETWORKS {
        let mut net = Harness::new(300 + u64::from(seed), 6, 2, 6);
        net.start_all();
        net.run_to(1, 300);
        let base = net.agreed(1);
        let wanted = u8::try_from(1 + seed % 2).unwrap();
        let league = words::proposer(&net, &base, 0);
        let key = Arc::clone(&net.nodes[league].identity);
        // Of the names that it can think of, one that would get that layer for all it can know.
        let known = heard(&net, league);
        let issued_at = net.now;
        let name = (0..16).find(|number| {
            let number = 100 * u64::from(seed) + number;
            let described = describe(&net.params, number, issued_at, Epoch::new(1));
            let (name, id) = (identity(number), described.identity);
            let all = [&known[..], &[sign(&net.params, number, described)]].concat();
            let first = words::foretell(&net, &base, &key, &all);
            let layer = position(&first, &id).or_else(|| guess(&net, &first, &name));
            layer == Some(wanted)
        });
        let number = 100 * u64::from(seed) + name.unwrap_or(0);
        let own = identity(number);
        let id = own.id();
        let show = |net: &mut Harness, first: u64| {
            let issued_at = net.now;
            let mut described = describe(&net.params, number, issued_at, Epoch::new(first));
            described.sequence = first;
            let signed = sign(&net.params, number, described);
            tell_all(net, league, &gossip(signed.encode()));
        };
        show(&mut net, 1);
        net.run_to(2, 300);
        let listed = net.agreed(2);
        assert_eq!(position(&listed, &id), None, "who comes waits");
        // In the next epoch it knows one seed more, and what it could think of it.
        let told = guess(&net, &listed, &own);
        show(&mut net, 2);
        net.run_to(3, 100);
        let found = position(&net.agreed(3), &id).unwrap();
        as_chosen += u32::from(found == wanted);
        as_told += u32::from(Some(found) == told);
    }
    // Half of 36, within three and a half standard deviations.
    for hits in [as_chosen, as_told] {
        assert!((8..=28).contains(&hits), "{as_chosen}, {as_told}");
    }
}

/// A descriptor with the proof of another node's family in it, signed by who it is of.
fn with_proof(
    params: &NetworkParameters,
    number: u64,
    of: Descriptor,
    stolen: (&[u8], &[u8]),
) -> Vec<u8> {
    let outer = wire::SignedDescriptor::decode(sign(params, number, of).encode()).unwrap();
    let mut inner = wire::Descriptor::decode(outer.descriptor.as_slice()).unwrap();
    inner.family = stolen.0.to_vec();
    inner.family_signature = stolen.1.to_vec();
    let descriptor = inner.encode_to_vec();
    let network = params.hash();
    let signed = [&b"shoal descriptor 1"[..], network.as_bytes(), &descriptor].concat();
    let signature = identity(number).sign(&signed).to_vec();
    wire::SignedDescriptor {
        descriptor,
        signature,
    }
    .encode_to_vec()
}

/// An operator shows another's family as its own, with the signature that is for another node or one that it
/// made, so that it would stand in their layer, or they would be moved or left out with it: nobody takes its
/// descriptor, and the family stands as it stood.
#[test]
fn who_joins_anothers_family_is_heard_by_nobody() {
    let mut net = Harness::new(400, 8, 2, 8);
    let crew = [1, 4];
    for index in crew {
        net.nodes[index].family = Some(FamilyKey::from_bytes(&[1; 32]));
    }
    net.start_all();
    net.run_to(1, 300);
    let base = net.agreed(1);
    let honest: BTreeSet<NodeId> = net.nodes.iter().map(|node| node.id).collect();
    let standing = layers(&base, &honest);

    let (params, network) = (Arc::clone(&net.params), net.params.hash());
    let key = FamilyKey::from_bytes(&[1; 32]);
    let shown = key.prove(&network, &net.nodes[1].id);
    let own = FamilyKey::from_bytes(&[2; 32]).prove(&network, &identity(1).id());
    let family = shown.family.as_bytes();
    let stolen: [(&[u8], &[u8]); 2] = [(family, &shown.signature), (family, &own.signature)];
    for epoch in 1..3 {
        net.run_to(epoch, 300);
        for (number, stolen) in (0..).zip(stolen) {
            let first = Epoch::new(epoch);
            let mut described = describe(&params, number, net.now, first);
            described.sequence = epoch;
            let bytes = with_proof(&params, number, described, stolen);
            tell_all(&mut net, 0, &gossip(&bytes));
        }
    }
    for node in &net.nodes[1..] {
        let refusals = node.directory.as_ref().unwrap().refusals();
        assert_eq!(refusals.of(Refusal::Unproven), 4, "{refusals:?}");
    }
    for epoch in 3..5 {
        net.run_to(epoch, 20);
        let document = net.agreed(epoch);
        assert_eq!(document.members().len(), 10, "nobody else");
        assert_eq!(layers(&document, &honest), standing);
        let [one, other] = crew.map(|index| document.family(&net.nodes[index].id));
        assert_eq!(one, other);
    }
}
