//! A family and an address prefix stand whole in one position, and who comes takes nobody's place.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use shoal_proto::{Epoch, NodeId};
use shoal_topology::{
    Document, DocumentError, FamilyKey, GenesisMember, NetworkParameters, NoPlace, ParameterError,
    Place, Role, SignedDescriptor, TieKind, path,
};

use crate::documents::{describe, identity, place};

const EPOCH: Epoch = Epoch::new(5);
const NEXT: Epoch = EPOCH.next();

/// A node: who, what, of which family, and in which /24s it has an address.
#[derive(Clone, Debug)]
struct Node {
    index: u32,
    role: Role,
    family: Option<u8>,
    prefixes: Vec<u8>,
}

impl Node {
    fn new(index: u32, role: Role, prefixes: &[u8]) -> Self {
        Self {
            index,
            role,
            family: None,
            prefixes: prefixes.to_vec(),
        }
    }

    fn id(&self) -> NodeId {
        identity(self.index).id()
    }

    fn sign(&self, params: &NetworkParameters) -> SignedDescriptor {
        let mut descriptor = describe(params, self.index, self.role);
        let address = |prefix: &u8| {
            let host = self.index % 250 + 1;
            format!("/ip4/9.9.{prefix}.{host}/tcp/4140")
                .parse()
                .unwrap()
        };
        descriptor.addresses = self.prefixes.iter().map(address).collect();
        let key = self.family.map(|byte| FamilyKey::from_bytes(&[byte; 32]));
        descriptor.family = key.map(|key| key.prove(&params.hash(), &descriptor.identity));
        SignedDescriptor::sign(&identity(self.index), params, descriptor).unwrap()
    }
}

/// A network of the internet, whose first members are these.
fn network(members: &[Node]) -> NetworkParameters {
    let mut params = NetworkParameters::example();
    let member = |node: &Node| GenesisMember {
        id: node.id(),
        role: node.role,
        addresses: vec![
            format!("/ip4/9.9.{}.9/tcp/{}", node.prefixes[0], node.index + 1)
                .parse()
                .unwrap(),
        ],
        family: None,
    };
    params.genesis_members = members.iter().map(member).collect();
    params
}

fn form(
    params: &NetworkParameters,
    base: Option<&Document>,
    nodes: &[Node],
) -> Result<Document, DocumentError> {
    let signed: Vec<_> = nodes.iter().map(|node| node.sign(params)).collect();
    Document::form(params, &place_after(params, base), &signed).map(|(document, _)| document)
}

/// The first place, or the one after the first document. Twenty-four have seats.
fn place_after(params: &NetworkParameters, base: Option<&Document>) -> Place<Document> {
    let first = place(params, EPOCH, None, 24);
    let Some(base) = base else { return first };
    let listed = |id: &NodeId| base.member(id).map(|it| it.vrf_key);
    let seats = first.seats.with_proofs(listed);
    place(params, NEXT, Some((base, &seats)), 24)
}

fn layers(document: &Document) -> BTreeMap<NodeId, u8> {
    document.members().map(|m| (m.id, m.layer)).collect()
}

/// Six mixes and two providers, each in a /24 of its own.
fn eight() -> Vec<Node> {
    let role = |index| if index < 2 { Role::Provider } else { Role::Mix };
    let prefix = |index: u32| u8::try_from(index).unwrap();
    (0..8)
        .map(|index| Node::new(index, role(index), &[prefix(index)]))
        .collect()
}

/// Of newcomers in one /24 one comes in a term, and the next one not beside it.
#[test]
fn one_newcomer_of_each_prefix_comes_in_a_term() {
    let first = eight();
    let mut params = network(&first);
    // Of eight members six may come.
    params.newcomers = 0.75;
    let base = form(&params, None, &first).unwrap();
    let strangers = (20..24).map(|index| Node::new(index, Role::Mix, &[50]));
    let alone = (24..26).map(|index| Node::new(index, Role::Mix, &[u8::try_from(index).unwrap()]));
    let all = Vec::from_iter(first.iter().cloned().chain(strangers).chain(alone));
    let document = form(&params, Some(&base), &all).unwrap();
    let listed = |nodes: &[Node]| {
        let listed = nodes
            .iter()
            .filter(|node| document.member(&node.id()).is_some());
        listed.count()
    };
    assert_eq!((listed(&all[8..12]), listed(&all[12..])), (1, 2));
    // Without a limit all come.
    params.newcomers = 1.0;
    let base = form(&params, None, &first).unwrap();
    let document = form(&params, Some(&base), &all).unwrap();
    assert_eq!(document.members().len(), 14);
}

/// A newcomer or a member at exactly this address.
fn at(params: &NetworkParameters, node: &Node, addresses: &[&str]) -> SignedDescriptor {
    let mut descriptor = describe(params, node.index, node.role);
    descriptor.addresses = addresses.iter().map(|it| it.parse().unwrap()).collect();
    SignedDescriptor::sign(&identity(node.index), params, descriptor).unwrap()
}

/// Of several that come to one address one comes in, whom the seed draws; and it stays when others come.
#[test]
fn two_newcomers_with_one_address_do_not_both_come_in() {
    let first = eight();
    let mut params = network(&first);
    let mut drawn = BTreeSet::new();
    for (limit, from) in [
        (1.0, 20),
        (0.75, 20),
        (1.0, 30),
        (1.0, 40),
        (1.0, 50),
        (1.0, 60),
    ] {
        params.newcomers = limit;
        let base = form(&params, None, &first).unwrap();
        let place = place_after(&params, Some(&base));
        let strangers: Vec<Node> = (from..from + 6)
            .map(|it| Node::new(it, Role::Mix, &[50]))
            .collect();
        let signed = |strangers: &[Node], address: &str| {
            let stranger = |node: &Node| at(&params, node, &[address]);
            let mut all: Vec<_> = first.iter().map(|node| node.sign(&params)).collect();
            all.extend(strangers.iter().map(stranger));
            all
        };
        let listed = |document: &Document| {
            let listed = strangers.iter().map(Node::id);
            let listed = listed.filter(|id| document.member(id).is_some());
            listed.collect::<Vec<_>>()
        };
        let one = "/ip4/9.9.50.1/tcp/4140";
        let document = |all: &[SignedDescriptor]| Document::form(&params, &place, all).unwrap().0;
        let next = document(&signed(&strangers, one));
        let [winner] = listed(&next)[..] else {
            panic!("{:?}", listed(&next));
        };
        let mut ids = Vec::from_iter(strangers.iter().map(Node::id));
        ids.sort_unstable();
        drawn.insert(ids.iter().position(|id| *id == winner));
        // Whoever has only those that are in comes to the same.
        let alone = strangers.iter().filter(|it| it.id() == winner).cloned();
        let alone = document(&signed(&Vec::from_iter(alone), one));
        assert_eq!(alone.hash(), next.hash());
        // What an address that is one port off says: it is not the same one.
        let mut all = signed(&strangers[..1], one);
        all.push(at(&params, &strangers[1], &["/ip4/9.9.50.1/tcp/4141"]));
        let both = listed(&document(&all)).len();
        assert_eq!(both, if limit < 1.0 { 1 } else { 2 });
        // Who is left out is told why.
        let addresses = [one.parse().unwrap()];
        let loser = strangers
            .iter()
            .map(Node::id)
            .find(|id| *id != winner)
            .unwrap();
        assert_eq!(
            next.address_of_another(&loser, &addresses),
            Some(&addresses[0])
        );
        assert_eq!(next.address_of_another(&winner, &addresses), None);
    }
    assert!(drawn.len() > 1, "always the same: {drawn:?}");
}

/// Who has an address keeps it: a newcomer at it does not come in, a member that takes it is left out.
#[test]
fn nobody_takes_the_address_of_a_member() {
    let mut first = eight();
    // A provider more, so that there is one left.
    first.push(Node::new(8, Role::Provider, &[8]));
    let params = network(&first);
    let base = form(&params, None, &first).unwrap();
    let place = place_after(&params, Some(&base));
    let theirs = "/ip4/9.9.0.1/tcp/4140";
    let document = |changed: &[SignedDescriptor]| {
        let mut all: Vec<_> = first.iter().map(|node| node.sign(&params)).collect();
        all.retain(|it| changed.iter().all(|changed| changed.id() != it.id()));
        all.extend_from_slice(changed);
        Document::form(&params, &place, &all).unwrap().0
    };
    for index in 100..106 {
        let stranger = Node::new(index, Role::Provider, &[50]);
        let next = document(&[at(&params, &stranger, &["/ip4/9.9.50.1/tcp/1", theirs])]);
        assert!(next.member(&first[0].id()).is_some());
        assert!(next.member(&stranger.id()).is_none());
    }
    // A provider, which the family of prefixes would not keep out.
    let taken = at(&params, &first[1], &[theirs]);
    let next = document(std::slice::from_ref(&taken));
    assert!(next.member(&first[0].id()).is_some() && next.member(&first[1].id()).is_none());
    // Each takes the other's: neither gives up its own, and one of them stays.
    let own = "/ip4/9.9.1.2/tcp/4140";
    let both = [
        at(&params, &first[0], &[theirs, own]),
        at(&params, &first[1], &[own, theirs]),
    ];
    let next = document(&both);
    let left = [0, 1].map(|it| next.member(&first[it].id()).is_some());
    assert!(left[0] != left[1], "{left:?}");
    // They change places: both are where nobody else is.
    let both = [
        at(&params, &first[0], &[own]),
        at(&params, &first[1], &[theirs]),
    ];
    let next = document(&both);
    assert_eq!(next.members().len(), 9);
}

/// A first member that comes at an address to which a stranger comes, too.
#[test]
fn a_first_member_comes_before_a_stranger_at_its_address() {
    let all = eight();
    let mut params = network(&all);
    let extra = Node::new(9, Role::Mix, &[9]);
    params.genesis_members =
        network(&[&all[..], std::slice::from_ref(&extra)].concat()).genesis_members;
    let base = form(&params, None, &all).unwrap();
    for index in 100..106 {
        let stranger = Node::new(index, Role::Mix, &[9]);
        let mut signed: Vec<_> = all.iter().map(|node| node.sign(&params)).collect();
        let one = "/ip4/9.9.9.77/tcp/4140";
        signed.extend([&extra, &stranger].map(|node| at(&params, node, &[one])));
        let place = place_after(&params, Some(&base));
        let next = Document::form(&params, &place, &signed).unwrap().0;
        assert!(next.member(&extra.id()).is_some() && next.member(&stranger.id()).is_none());
    }
}

#[test]
fn a_network_whose_first_members_have_one_address_is_refused() {
    let nodes = eight();
    let mut params = network(&nodes);
    params.validate().unwrap();
    let taken = params.genesis_members[3].addresses[0].clone();
    params.genesis_members[5].addresses = vec![taken.clone()];
    let expected = ParameterError::SharedAddress {
        member: nodes[5].id(),
        other: nodes[3].id(),
        address: taken,
    };
    let error = params.validate().unwrap_err();
    assert_eq!(error, expected);
    assert!(error.to_string().contains("give each its own"), "{error}");
    let file = shoal_topology::NetworkFile::read(&params.to_toml());
    let told = file.wrong()[0].to_string();
    assert!(told.starts_with("line "), "{told}");
}

/// A member of a layer of the document, and its place in the list.
fn in_layer(document: &Document, nodes: &[Node], layer: u8) -> usize {
    let found = nodes
        .iter()
        .position(|node| document.member(&node.id()).unwrap().layer == layer);
    found.unwrap()
}

fn left_out_and_nobody_moved(
    params: &NetworkParameters,
    first: &Document,
    nodes: &[Node],
    stranger: Node,
    why: NoPlace,
) {
    let ties = stranger.sign(params).descriptor().ties();
    assert_eq!(first.no_place(stranger.role, &ties), Some(why));
    let without = form(params, Some(first), nodes).unwrap();
    let all = [nodes, &[stranger]].concat();
    let next = form(params, Some(first), &all).unwrap();
    assert_eq!(layers(&next), layers(first));
    // Whoever has only the document comes to the same.
    assert_eq!(next.hash(), without.hash());
}

#[test]
fn a_stranger_beside_an_honest_member_of_another_kind_is_itself_left_out() {
    let nodes = eight();
    let params = network(&nodes);
    let first = form(&params, None, &nodes).unwrap();
    let why = NoPlace::OtherRole(TieKind::Prefix);
    for index in 0..8 {
        let node = &nodes[index];
        let other = match node.role {
            Role::Mix => Role::Provider,
            Role::Provider => Role::Mix,
        };
        let stranger = Node::new(100, other, &node.prefixes);
        left_out_and_nobody_moved(&params, &first, &nodes, stranger, why);
    }
}

#[test]
fn a_stranger_that_would_join_two_layers_is_itself_left_out() {
    let nodes = eight();
    let params = network(&nodes);
    let first = form(&params, None, &nodes).unwrap();
    let [one, two] = [1, 2].map(|layer| nodes[in_layer(&first, &nodes, layer)].prefixes[0]);
    let stranger = Node::new(100, Role::Mix, &[one, two]);
    left_out_and_nobody_moved(&params, &first, &nodes, stranger, NoPlace::TwoLayers);
    // Of two that come together, each with one foot in a layer, one is taken, and the other is not.
    let mut strangers = [
        Node::new(100, Role::Mix, &[one, 50]),
        Node::new(101, Role::Mix, &[50, two]),
    ];
    for _ in 0..2 {
        let all = [&nodes[..], &strangers].concat();
        let next = form(&params, Some(&first), &all).unwrap();
        assert_eq!(next.members().len(), 9);
        assert!(
            layers(&first)
                .iter()
                .all(|(id, layer)| layers(&next)[id] == *layer)
        );
        strangers.reverse();
    }
}

#[test]
fn strangers_beside_an_honest_member_wait_until_there_is_room_and_move_nobody() {
    let nodes = eight();
    let params = network(&nodes);
    let first = form(&params, None, &nodes).unwrap();
    let victim = nodes[in_layer(&first, &nodes, 1)].clone();
    let strangers: Vec<Node> = (100..120)
        .map(|index| Node::new(index, Role::Mix, &victim.prefixes))
        .collect();
    let all = [&nodes[..], &strangers].concat();
    let next = form(&params, Some(&first), &all).unwrap();
    assert_eq!(
        next.members().len(),
        9,
        "one mix more than in the emptiest layer"
    );
    assert!(
        layers(&first)
            .iter()
            .all(|(id, layer)| layers(&next)[id] == *layer)
    );
    let outside = strangers
        .iter()
        .find(|node| next.member(&node.id()).is_none())
        .unwrap();
    let ties = outside.sign(&params).descriptor().ties();
    assert_eq!(next.no_place(Role::Mix, &ties), Some(NoPlace::FullLayer));
    assert_eq!(first.no_place(Role::Mix, &ties), None);
}

#[test]
fn a_member_that_takes_an_address_in_anothers_prefix_does_not_take_its_place() {
    let nodes = eight();
    let params = network(&nodes);
    let first = form(&params, None, &nodes).unwrap();
    let (one, two) = (in_layer(&first, &nodes, 1), in_layer(&first, &nodes, 2));
    for (mover, beside) in [(one, two), (one, 0), (0, one)] {
        let mut moved = nodes.clone();
        moved[mover].prefixes = vec![nodes[beside].prefixes[0], 77];
        // With one in each layer more, nobody else depends on who is left out.
        let spare = (3..6).map(|index| {
            Node::new(
                200 + index,
                Role::Mix,
                &[100 + u8::try_from(index).unwrap()],
            )
        });
        moved.extend(spare);
        let next = form(&params, Some(&first), &moved).unwrap();
        let layer = |document: &Document, index: usize| {
            document
                .member(&nodes[index].id())
                .map(|member| member.layer)
        };
        assert_eq!(layer(&next, beside), layer(&first, beside));
        let found = layer(&next, mover);
        assert!(
            found.is_none() || found == layer(&first, beside),
            "{found:?}"
        );
    }
}

#[test]
fn an_operator_has_mixes_or_providers_in_a_family_and_the_kind_that_stands_stays() {
    let mut nodes = eight();
    let params = network(&nodes);
    for (first, second, kept) in [(0, 2, 0), (2, 0, 2)] {
        let mut before = nodes.clone();
        before[first].family = Some(1);
        let base = form(&params, None, &before).unwrap();
        let mut after = before.clone();
        after[second].family = Some(1);
        // A provider more, so that there is one.
        after.push(Node::new(50, Role::Provider, &[150]));
        let next = form(&params, Some(&base), &after).unwrap();
        assert!(next.member(&nodes[kept].id()).is_some());
        assert!(next.member(&nodes[second].id()).is_none());
    }
    // Neither stood: the provider.
    nodes[0].family = Some(1);
    nodes[2].family = Some(1);
    let first = form(&params, None, &nodes).unwrap();
    assert!(first.member(&nodes[0].id()).is_some());
    assert!(first.member(&nodes[2].id()).is_none());
}

#[test]
fn a_network_within_one_prefix_says_why_it_can_not_be() {
    let mut nodes = eight();
    let params = network(&nodes);
    for node in &mut nodes {
        node.prefixes = vec![1];
    }
    let error = form(&params, None, &nodes).unwrap_err();
    let expected = DocumentError::TiedTogether {
        position: 1,
        mixes: 6,
        groups: 0,
        left_out: 6,
    };
    assert_eq!(error, expected);
    assert!(
        error
            .to_string()
            .contains("run nodes of more families in more networks")
    );
    // Nor when only the mixes are beside each other.
    for node in &mut nodes[..2] {
        node.prefixes = vec![2];
    }
    let error = form(&params, None, &nodes).unwrap_err();
    assert!(
        matches!(
            error,
            DocumentError::TiedTogether {
                groups: 1,
                left_out: 0,
                ..
            }
        ),
        "{error}"
    );
    // With too few, that is what is said.
    let few = form(&params, None, &nodes[..4]).unwrap_err();
    assert!(matches!(few, DocumentError::EmptyLayer(_)), "{few}");

    // Whoever makes such a network's file is told at once.
    let error = network(&nodes).validate().unwrap_err();
    assert!(matches!(error, ParameterError::Places(_)), "{error}");
    nodes[0].prefixes = vec![1];
    let error = network(&nodes).validate().unwrap_err();
    assert!(
        error.to_string().contains("in common with a provider"),
        "{error}"
    );
    // On one machine, or at one site, there are no prefixes.
    for ip in ["127.0.0.1", "10.0.0.1"] {
        let mut params = network(&nodes);
        for (member, port) in params.genesis_members.iter_mut().zip(4140..) {
            member.addresses = vec![format!("/ip4/{ip}/tcp/{port}").parse().unwrap()];
        }
        params.validate().unwrap();
    }
}

#[test]
fn a_document_in_which_a_prefix_or_an_address_stands_twice_is_refused() {
    use prost::Message;
    let nodes = eight();
    let params = network(&nodes);
    let document = form(&params, None, &nodes).unwrap();
    let (one, two) = (
        in_layer(&document, &nodes, 1),
        in_layer(&document, &nodes, 2),
    );
    for (mover, beside) in [(one, two), (0, one)] {
        let mut moved = nodes[mover].clone();
        moved.prefixes = nodes[beside].prefixes.clone();
        let at = document
            .members()
            .position(|member| member.id == moved.id())
            .unwrap();
        let mut wire = shoal_proto::wire::Document::decode(document.encode()).unwrap();
        let said = moved.sign(&params).descriptor().addresses.clone();
        crate::change_extract(&mut wire.members[at], |extract| {
            extract.addresses = said.iter().map(ToString::to_string).collect();
        });
        let contents = shoal_topology::contents_hash(&wire).to_vec();
        wire.header.as_mut().unwrap().members = contents;
        assert_eq!(
            Document::decode_verified(&wire.encode_to_vec(), &params).err(),
            Some(DocumentError::Torn(TieKind::Prefix))
        );
    }
    let mut wire = shoal_proto::wire::Document::decode(document.encode()).unwrap();
    // Members stand by identity.
    let mut providers = document.members().enumerate();
    let mut provider = || {
        let found = providers.by_ref().find(|(_, it)| it.role == Role::Provider);
        found.unwrap()
    };
    let ((_, one), (at, _)) = (provider(), provider());
    crate::change_extract(&mut wire.members[at], |extract| {
        extract.addresses = one.addresses.iter().map(ToString::to_string).collect();
    });
    let contents = shoal_topology::contents_hash(&wire).to_vec();
    wire.header.as_mut().unwrap().members = contents;
    let decoded = Document::decode_verified(&wire.encode_to_vec(), &params);
    assert_eq!(decoded.err(), Some(DocumentError::SharedAddress));
}

/// Of all kinds, whoever the ends are: but for the two providers of a deposit, which one side chooses
/// without knowing of the other.
#[test]
fn no_route_has_two_of_a_family_or_a_prefix() {
    let prefix = |index: u32| u8::try_from(index / 2).unwrap();
    let role = |index| if index < 4 { Role::Provider } else { Role::Mix };
    let mut nodes: Vec<Node> = (0..28)
        .map(|i| Node::new(i, role(i), &[prefix(i)]))
        .collect();
    for node in nodes.iter_mut().filter(|node| node.index % 9 == 0) {
        node.family = Some(u8::from(node.role == Role::Mix));
    }
    let params = network(&[]);
    let document = form(&params, None, &nodes).unwrap();
    assert_eq!(document.members().len(), 28);
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut met = BTreeSet::new();
    let apart = |ids: &[NodeId]| {
        for (index, a) in ids.iter().enumerate() {
            for b in &ids[index + 1..] {
                let [a, b] = [a, b].map(|id| document.member(id).unwrap());
                let ends = a.role == Role::Provider && b.role == Role::Provider;
                assert!(ends || a.id == b.id || a.ties().meet(&b.ties()).is_none());
            }
        }
    };
    for _ in 0..300 {
        for entry in document.providers() {
            let mailbox = path::random_provider(&mut rng, &document);
            for hops in [
                path::deposit(&mut rng, &document, &params, entry, &mailbox).unwrap(),
                path::reply(&mut rng, &document, &params, entry).unwrap(),
                path::client_loop(&mut rng, &document, &params, entry).unwrap(),
            ] {
                let ids: Vec<NodeId> = hops.iter().map(|hop| hop.node).collect();
                apart(&ids);
                met.extend(ids);
            }
        }
    }
    assert_eq!(met.len(), 28, "everybody is exercised by clients");
    met.clear();
    for _ in 0..300 {
        for own in document.members() {
            let hops = path::node_loop(&mut rng, &document, &params, &own.id).unwrap();
            let ids: Vec<NodeId> = hops.iter().map(|hop| hop.node).collect();
            apart(&ids);
            met.extend(ids.iter().filter(|id| **id != own.id));
        }
    }
    assert_eq!(met.len(), 28, "and by nodes");
}

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    let node = (
        any::<bool>(),
        0_u8..12,
        prop::collection::vec(0_u8..20, 1..3),
    );
    prop::collection::vec(node, 10..24).prop_map(|drawn| {
        let node = |(index, (mix, family, prefixes)): (usize, (bool, u8, Vec<u8>))| Node {
            index: u32::try_from(index).unwrap(),
            role: if mix { Role::Mix } else { Role::Provider },
            family: (family < 3).then_some(family),
            prefixes,
        };
        drawn.into_iter().enumerate().map(node).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever the families and prefixes: no two positions share one, whoever stood in the document
    /// before and changed nothing is in the next unless its own layer has to be evened out, and the
    /// document is the one that its own members make.
    #[test]
    fn no_two_positions_have_anything_in_common(before in nodes(), after in nodes()) {
        let params = network(&[]);
        let Ok(first) = form(&params, None, &before) else { return Ok(()) };
        // Half of those that were there are as they were.
        let after: Vec<Node> = after.into_iter().zip(before.iter().cycle())
            .map(|(new, old)| if new.index % 2 == 0 && old.index == new.index { old.clone() } else { new })
            .collect();
        let Ok(next) = form(&params, Some(&first), &after) else { return Ok(()) };
        for document in [&first, &next] {
            for a in document.members() {
                for b in document.members() {
                    let (Some(one), Some(other)) = (a.position(), b.position()) else { continue };
                    prop_assert!(one == other || a.ties().meet(&b.ties()).is_none());
                }
            }
            let read = Document::decode_verified(document.encode(), &params);
            prop_assert!(read.as_ref() == Ok(document));
        }
        for (node, old) in after.iter().zip(&before) {
            let same = node.role == old.role && node.family == old.family && node.prefixes == old.prefixes;
            if same && first.member(&node.id()).is_some() {
                prop_assert!(next.member(&node.id()).is_some(), "who stood and changed nothing is in");
            }
        }
        let listed = |node: &&Node| next.member(&node.id()).is_some();
        let own: Vec<SignedDescriptor> =
            after.iter().filter(listed).map(|node| node.sign(&params)).collect();
        let (again, _) = Document::form(&params, &place_after(&params, Some(&first)), &own).unwrap();
        prop_assert_eq!(again.hash(), next.hash());
    }
}
