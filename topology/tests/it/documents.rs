use crate::{change_extract, layer_of};
use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use shoal_packet::SphinxSecret;
use shoal_proto::{Epoch, FamilyId, NodeId, Span};
use shoal_topology::agreement::{Reveal, Seat, Seats};
use shoal_topology::sample::Network;
use shoal_topology::{
    Descriptor, DescriptorError, Document, DocumentError, FamilyKey, Identity, NetworkParameters,
    Offences, PACKET_VERSION, Place, Role, SignedDescriptor, View,
};

const EPOCH: Epoch = Epoch::new(5);

pub(crate) fn identity(index: u32) -> Identity {
    Identity::generate(&mut ChaCha20Rng::seed_from_u64(u64::from(index)))
}

pub(crate) fn describe(params: &NetworkParameters, index: u32, role: Role) -> Descriptor {
    let mut rng = ChaCha20Rng::seed_from_u64(1_000_000 + u64::from(index));
    let key = SphinxSecret::generate(&mut rng).public();
    Descriptor {
        identity: identity(index).id(),
        role,
        sequence: 1,
        issued_at: params.start_of(EPOCH),
        expires_at: params.start_of(EPOCH.next().next()),
        first_epoch: EPOCH,
        keys: vec![key, key],
        addresses: vec![
            format!("/ip4/192.0.2.1/tcp/{}", 4000 + index)
                .parse()
                .unwrap(),
        ],
        versions: vec![PACKET_VERSION],
        capacity_class: 3,
        storage_mib: 100,
        family: None,
        admission: Vec::new(),
        vrf_key: identity(index).vrf_key().public(),
        seat_key: identity(index).id(),
        leaving: false,
        tokens: None,
    }
}

/// A place in the chain: the first one, or the one after a document, proposed by whose turn it is.
pub(crate) fn place(
    params: &NetworkParameters,
    epoch: Epoch,
    base: Option<(&Document, &Seats)>,
    count: u32,
) -> Place<Document> {
    let Some((base, seats)) = base else {
        let ids = (0..count).map(|index| identity(index).id());
        return Place {
            epoch,
            base: None,
            seats: Seats::first(params.hash(), ids).unwrap(),
            reveal: None,
            offences: Offences::default(),
        };
    };
    // The first whose key for proofs is known.
    let order = seats.proposers(base.seed());
    let holder = |(round, seat): (u32, &Seat)| Some((round, *seats.holder(*seat)?));
    let mut holders = (0..).zip(&order).filter_map(holder);
    let (round, proposer) = holders.find(|(_, holder)| holder.vrf.is_some()).unwrap();
    let mut all = (0..count).map(identity);
    let key = all.find(|it| it.id() == proposer.id).unwrap().vrf_key();
    let reveal = Reveal::new(&key, base.seed(), (base.height().next(), round));
    Place {
        epoch,
        base: Some(base.clone()),
        seats: seats.clone(),
        reveal: Some(reveal),
        offences: Offences::default(),
    }
}

/// The first document of these descriptors, and the seats after it.
fn first(
    params: &NetworkParameters,
    all: &[SignedDescriptor],
) -> Result<(Document, Seats), DocumentError> {
    let count = u32::try_from(all.len()).unwrap();
    Document::form(params, &place(params, EPOCH, None, count), all)
}

fn next<'a>(
    params: &NetworkParameters,
    (base, seats): (&Document, &Seats),
    all: impl IntoIterator<Item = &'a SignedDescriptor>,
) -> (Document, Seats) {
    let count = u32::try_from(seats.count()).unwrap();
    let place = place(params, EPOCH.next(), Some((base, seats)), count);
    Document::form(params, &place, all).unwrap()
}

fn sign(params: &NetworkParameters, index: u32, descriptor: Descriptor) -> SignedDescriptor {
    SignedDescriptor::sign(&identity(index), params, descriptor).unwrap()
}

/// Two providers, and a mix for each family that is named.
fn descriptors(params: &NetworkParameters, families: &[u8]) -> Vec<SignedDescriptor> {
    let mut all = Vec::new();
    for index in 0..2 {
        all.push(sign(params, index, describe(params, index, Role::Provider)));
    }
    for (index, family) in (2..).zip(families) {
        let mut descriptor = describe(params, index, Role::Mix);
        // Most have no family.
        let key = FamilyKey::from_bytes(&[*family; 32]);
        let proof = key.prove(&params.hash(), &descriptor.identity);
        descriptor.family = (*family < 4).then_some(proof);
        all.push(sign(params, index, descriptor));
    }
    all
}

fn layers(document: &Document) -> BTreeMap<NodeId, u8> {
    document
        .members()
        .map(|member| (member.id, member.layer))
        .collect()
}

fn sizes(document: &Document) -> Vec<usize> {
    (1..=document.layers())
        .map(|layer| document.mixes(layer).len())
        .collect()
}

fn spread(document: &Document) -> usize {
    let sizes = sizes(document);
    sizes.iter().max().unwrap() - sizes.iter().min().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn order_of_arrival_does_not_matter(
        families in prop::collection::vec(0_u8..12, 12..24),
        shuffle in any::<u64>(),
    ) {
        let params = NetworkParameters::example();
        let mut all = descriptors(&params, &families);
        let Ok((one, seats)) = first(&params, &all) else { return Ok(()) };
        let (base, _) = next(&params, (&one, &seats), &all);
        // Ordering by a hash of the key and the seed is a shuffle.
        let mut rank = shuffle;
        all.sort_by_cached_key(|signed| {
            rank = rank.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (rank, signed.id())
        });
        let (again, _) = first(&params, &all).unwrap();
        prop_assert_eq!(again.encode(), one.encode());
        let (two, _) = next(&params, (&again, &seats), &all);
        prop_assert_eq!(two.hash(), base.hash());
    }

    #[test]
    fn families_stay_together_and_the_rest_is_balanced(
        families in prop::collection::vec(0_u8..12, 6..24),
    ) {
        let params = NetworkParameters::example();
        let all = descriptors(&params, &families);
        let Ok((document, _)) = first(&params, &all) else { return Ok(()) };
        let mut seen: BTreeMap<FamilyId, u8> = BTreeMap::new();
        let mut largest = 1;
        for member in document.members().filter(|member| member.role == Role::Mix) {
            if let Some(family) = member.family {
                let layer = *seen.entry(family).or_insert(member.layer);
                prop_assert_eq!(layer, member.layer);
                let size = document.members().filter(|m| m.family == member.family).count();
                largest = largest.max(size);
            }
        }
        // Units of one are as many as it takes to fill up whatever the largest family leaves.
        prop_assert!(spread(&document) <= largest, "{:?}", sizes(&document));
        let alone = document.members().filter(|m| m.layer > 0 && m.family.is_none()).count();
        if alone >= 3 * largest {
            prop_assert!(spread(&document) <= 1, "{:?}", sizes(&document));
        }
    }

    #[test]
    fn joins_and_leaves_move_few(count in 6_usize..24, gone in any::<prop::sample::Index>()) {
        let params = NetworkParameters::example();
        let all = descriptors(&params, &vec![9; count]);
        let (one, seats) = first(&params, &all[..all.len() - 1]).unwrap();
        prop_assert!(spread(&one) <= 1);
        let (came, seats) = next(&params, (&one, &seats), &all);
        let new = all.last().unwrap().id();
        prop_assert_eq!(came.member(&new).unwrap().position(), None, "it has just come");
        prop_assert!(came.after(&new).is_empty() && came.before(&new).is_empty());
        let (joined, seats) = next(&params, (&came, &seats), &all);
        prop_assert!(joined.member(&new).unwrap().position().is_some());
        prop_assert!(spread(&joined) <= 1);
        let (before, after) = (layers(&one), layers(&joined));
        prop_assert!(before.iter().all(|(id, layer)| after[id] == *layer), "a join moves nobody");

        let gone = 2 + gone.index(all.len() - 2);
        let left = all.iter().enumerate().filter(|(index, _)| *index != gone).map(|(_, d)| d);
        let (left, _) = next(&params, (&joined, &seats), left);
        prop_assert!(spread(&left) <= 1);
        let moved = layers(&left).iter().filter(|(id, layer)| after[id] != **layer).count();
        prop_assert!(moved <= 1, "a leave moves one at most: {}", moved);
    }
}

fn resign(bytes: &[u8], change: impl FnOnce(&mut shoal_proto::wire::Document)) -> Vec<u8> {
    use prost::Message;
    let mut wire = shoal_proto::wire::Document::decode(bytes).unwrap();
    change(&mut wire);
    // As somebody would do it who knows the format.
    let members = shoal_topology::contents_hash(&wire);
    if let Some(header) = &mut wire.header {
        header.members = members.to_vec();
    }
    wire.encode_to_vec()
}

#[test]
fn documents_are_verified() {
    let params = NetworkParameters::example();
    let (document, _) = first(&params, &descriptors(&params, &[9; 6])).unwrap();
    let bytes = document.encode();
    assert!(Document::decode_verified(bytes, &params).unwrap() == document);
    let check = |change: &dyn Fn(&mut shoal_proto::wire::Document)| {
        Document::decode_verified(&resign(bytes, change), &params).unwrap_err()
    };
    assert_eq!(check(&|d| d.members.swap(0, 1)), DocumentError::Order);
    assert_eq!(
        check(&|d| d.members[1] = d.members[0].clone()),
        DocumentError::Order
    );
    let head = |change: &dyn Fn(&mut shoal_proto::wire::DocumentHeader)| {
        check(&|d| change(d.header.as_mut().unwrap()))
    };
    assert_eq!(head(&|h| h.previous.clear()), DocumentError::Malformed);
    assert_eq!(head(&|h| h.seed.push(0)), DocumentError::Malformed);
    assert_eq!(head(&|h| h.round = 1), DocumentError::Malformed);
    assert_eq!(head(&|h| h.height = 0), DocumentError::Malformed);
    assert_eq!(head(&|h| h.height = 2), DocumentError::Malformed);
    assert_eq!(head(&|h| h.proof = vec![0xff; 80]), DocumentError::Proof);
    assert_eq!(check(&|d| d.header = None), DocumentError::Malformed);
    assert_eq!(
        check(&|d| d.members.retain(|m| layer_of(m) != 0)),
        DocumentError::NoProvider
    );
    assert_eq!(
        check(&|d| d.members.retain(|m| layer_of(m) != 2)),
        DocumentError::EmptyLayer(2)
    );
    let mix = |d: &mut shoal_proto::wire::Document, layer| {
        let mix = d.members.iter_mut().find(|m| layer_of(m) > 0).unwrap();
        change_extract(mix, |extract| extract.layer = layer);
    };
    for layer in [4, 255, 256, u32::MAX] {
        assert_eq!(check(&|d| mix(d, layer)), DocumentError::Layer(layer));
    }
    let extract = |change: &dyn Fn(&mut shoal_proto::wire::Extract)| {
        check(&|d| change_extract(&mut d.members[0], change))
    };
    let of = DocumentError::Descriptor;
    assert_eq!(
        extract(&|e| e.identity.clear()),
        of(DescriptorError::Identity)
    );
    assert_eq!(extract(&|e| e.role = 3), of(DescriptorError::Role));
    assert_eq!(
        extract(&|e| e.sphinx_key = vec![0; 32]),
        of(DescriptorError::Keys)
    );
    assert_eq!(
        extract(&|e| e.seat_key = vec![0; 31]),
        of(DescriptorError::SeatKeys)
    );
    assert_eq!(
        extract(&|e| e.vrf_key.clear()),
        of(DescriptorError::SeatKeys)
    );
    assert_eq!(
        extract(&|e| e.family = vec![1]),
        of(DescriptorError::Family)
    );
    assert_eq!(
        extract(&|e| e.addresses.clear()),
        of(DescriptorError::AddressCount(0))
    );
    let far = |e: &mut shoal_proto::wire::Extract| {
        e.addresses = vec!["/ip4/192.0.2.1/tcp/1".to_owned(); 6]
    };
    assert_eq!(extract(&far), of(DescriptorError::AddressCount(6)));
    assert_eq!(
        extract(&|e| e.addresses = vec![String::new(); 2000]),
        DocumentError::Malformed
    );
    assert_eq!(
        check(&|d| d.members[0].extend([0x78, 1])),
        DocumentError::Malformed
    );
    let many = |d: &mut shoal_proto::wire::Document| {
        d.members = vec![Vec::new(); 10_001];
    };
    assert_eq!(check(&many), DocumentError::TooManyMembers(10_001));
    assert!(matches!(
        Document::decode_verified(&vec![0; 4_000_000], &params),
        Err(DocumentError::Size(4_000_000))
    ));
    // One encoding only: an unknown field makes it another text.
    let longer = [bytes, &[0x78, 1]].concat();
    assert_eq!(
        Document::decode_verified(&longer, &params),
        Err(DocumentError::Malformed)
    );
    let other = NetworkParameters {
        name: "other".to_owned(),
        ..params
    };
    // Its hash says of which network it is.
    let elsewhere = Document::decode_verified(bytes, &other).unwrap();
    assert_ne!(elsewhere.hash(), document.hash());
}

#[test]
fn packets_go_round_in_one_direction() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut net = Network::new(&mut rng, NetworkParameters::example(), 2, 2);
    let document = net.document(&mut rng, EPOCH, None).unwrap();
    let at = |layer: usize| match layer {
        0 => document.providers()[0],
        layer => document.mixes(u8::try_from(layer).unwrap())[0],
    };
    for from in 0..4 {
        for to in 0..4 {
            let ok = (from + 1) % 4 == to;
            assert_eq!(
                document.position_ok(&at(from), &at(to)),
                ok,
                "{from} to {to}"
            );
        }
    }
    for member in document.members() {
        for after in document.after(&member.id) {
            assert!(document.position_ok(&member.id, after));
            assert!(document.before(after).contains(&member.id));
        }
        assert_eq!(document.after(&member.id).len(), 2);
    }
    let stranger = NodeId::new([1; 32]);
    assert!(!document.position_ok(&stranger, &at(1)));
    assert!(document.after(&stranger).is_empty());
}

#[test]
fn views_accept_two_epochs_around_a_switch() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let mut net = Network::new(&mut rng, NetworkParameters::example(), 1, 1);
    let epochs = [EPOCH, EPOCH.next(), EPOCH.next().next()];
    let view = net.view(&mut rng, epochs).unwrap();
    let params = &net.params;
    let margin = params.switch_margin();
    let tick = Span::from_micros(1);
    let accepted = |now| {
        view.accepted(params, now)
            .map(|d| d.epoch().number())
            .collect::<Vec<_>>()
    };
    let start = params.start_of(EPOCH.next());
    assert_eq!(accepted(start - margin - tick), [5]);
    assert_eq!(accepted(start - margin), [5, 6]);
    assert_eq!(accepted(start - tick), [5, 6]);
    assert_eq!(accepted(start), [5, 6]);
    assert_eq!(accepted(start + margin - tick), [5, 6]);
    assert_eq!(accepted(start + margin), [6]);
    assert_eq!(view.by_epoch_byte(params, start, 5).unwrap().epoch(), EPOCH);
    assert!(view.by_epoch_byte(params, start + margin, 5).is_none());
    assert!(view.by_epoch_byte(params, start, 7).is_none());
    assert_eq!(view.counts_until(params, EPOCH), start + margin);

    // The last document stays in force for three further epochs.
    let last = params.start_of(Epoch::new(11));
    assert_eq!(accepted(last - tick), [7]);
    assert_eq!(accepted(last), [7], "and a margin");
    assert!(accepted(last + margin).is_empty());
    assert_eq!(view.counts_until(params, Epoch::new(7)), last + margin);
    assert!(View::default().current(params, last).is_none());
}
