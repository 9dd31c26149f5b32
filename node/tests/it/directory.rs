//! What is told of a directory, of one round of questions after the other, without a network.

use std::sync::Arc;

use prost::Message as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use shoal_node::directory::{Chain, Clash, Move, Source, Told, Unheard, Watch, clashes};
use shoal_proto::{Epoch, NodeId, Span, Time, wire};
use shoal_topology::sample::{Network, Node};
use shoal_topology::{
    Answers, Document, DocumentError, Identity, NetworkParameters, Response, Role, View,
};

/// A network of six mixes and two providers, and the documents of its first epochs.
pub(crate) struct Made {
    pub(crate) network: Network,
    pub(crate) documents: Vec<Arc<Document>>,
    rng: ChaCha20Rng,
}

impl Made {
    /// The genesis is such that the last of so many epochs is the one at `now`.
    pub(crate) fn new(now: Time, epochs: u64, term: u32) -> Self {
        let epoch = Span::from_secs(3600);
        let before = epoch.scale(2 * epochs - 1, 2).as_micros() / 1_000_000;
        let genesis = Time::from_micros((now.as_secs() - before) * 1_000_000);
        let params = NetworkParameters {
            genesis,
            epoch,
            term,
            ..NetworkParameters::example()
        };
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        let network = Network::new(&mut rng, params, 2, 2);
        let mut made = Self {
            network,
            documents: Vec::new(),
            rng,
        };
        for epoch in 0..epochs {
            made.next(epoch);
        }
        made
    }

    /// The document that follows the last one.
    pub(crate) fn next(&mut self, epoch: u64) -> Arc<Document> {
        let document = self.after(self.documents.last().cloned(), epoch);
        self.documents.push(Arc::clone(&document));
        document
    }

    /// Another one that follows this one.
    pub(crate) fn after(&mut self, before: Option<Arc<Document>>, epoch: u64) -> Arc<Document> {
        let epoch = Epoch::new(epoch);
        let made = self
            .network
            .document(&mut self.rng, epoch, before.as_deref());
        made.expect("a document")
    }

    /// A mix leaves; it is back when this is put in its place again.
    pub(crate) fn remove(&mut self, id: &NodeId) -> Node {
        self.network.nodes.remove(id).expect("a node")
    }

    pub(crate) fn mix(&self) -> NodeId {
        self.network.ids(Role::Mix).next().expect("a mix")
    }

    /// What a node answers that has these documents.
    pub(crate) fn answer(&self, now: Time, documents: &[Arc<Document>]) -> wire::SyncResponse {
        let (handovers, documents) = self.network.answer(documents);
        wire::SyncResponse {
            handovers,
            documents,
            now_us: now.as_micros(),
            ..Default::default()
        }
    }

    fn chain(&self) -> Chain {
        Chain::new(&self.network.params).expect("seats")
    }

    fn take(&self, chain: &mut Chain, answer: &wire::SyncResponse) -> bool {
        let response = Response {
            from: NodeId::new([1; 32]),
            came: Time::default(),
            bytes: answer.encode_to_vec(),
        };
        let answers = Answers::read(&[response]).expect("an answer");
        chain.take(&answers.look(&self.network.params, chain.trust(), &View::default()))
    }
}

fn now() -> Time {
    Time::from_micros(1_790_000_000_000_000)
}

const NODES: [NodeId; 2] = [NodeId::new([1; 32]), NodeId::new([2; 32])];

#[test]
fn a_node_is_named_by_its_address_and_its_id_in_either_spelling() {
    let id = Identity::from_bytes(&[1; 32]).id();
    let key = libp2p::identity::ed25519::PublicKey::try_from_bytes(id.as_bytes()).unwrap();
    let peer = libp2p::identity::PublicKey::from(key).to_peer_id();
    for spelling in [id.to_string(), peer.to_string()] {
        let text = format!("/ip4/192.0.2.1/tcp/4140/p2p/{spelling}");
        let source: Source = text.parse().unwrap();
        assert_eq!(source.id, id);
        assert_eq!(source.addresses[0].to_string(), "/ip4/192.0.2.1/tcp/4140");
    }
    for (text, words) in [
        ("/ip4/192.0.2.1/tcp/4140", "the node's id is missing"),
        ("/ip4/192.0.2.1/tcp/4140/p2p/me", "`me` is not a node id"),
        (
            &format!("/dns4/a/tcp/1/p2p/{id}"),
            "`/dns4/a/tcp/1` can't be dialled",
        ),
    ] {
        let error = text.parse::<Source>().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// Through two handovers, asked anew from each answer on: what was known stays known.
#[test]
fn a_chain_is_followed_from_one_answer_to_the_next() {
    let made = Made::new(now(), 6, 2);
    let mut chain = made.chain();
    let all = &made.documents;
    // Heights 1, 2, 4 and 6 hand over.
    assert!(made.take(&mut chain, &made.answer(now(), &all[..2])));
    assert_eq!((chain.handovers(), chain.trust().since().number()), (2, 2));
    assert!(made.take(&mut chain, &made.answer(now(), &all[1..5])));
    assert!(!made.take(&mut chain, &made.answer(now(), &all[1..5])));
    assert_eq!((chain.handovers(), chain.trust().since().number()), (3, 4));
    assert_eq!(chain.fault(), None);
    let known = Vec::from_iter(chain.documents().map(|it| Arc::clone(&it.document)));
    assert_eq!(known, all[..5]);
    for (place, document) in known.iter().enumerate() {
        let seats = chain.seats(document).expect("its seats");
        assert_eq!(seats.count(), 8);
        let term = chain.term(document.height());
        assert_eq!(term.number, document.height().number().div_ceil(2));
        assert_eq!(term.last.number(), term.number * 2);
        // All are there, so it is the first in the order that the document before draws.
        let expected = place.checked_sub(1).and_then(|before| known.get(before));
        let expected = expected.map(|before| {
            let first = seats.proposers(before.seed())[0];
            seats.holder(first).expect("a seat").id
        });
        assert_eq!(chain.proposer(document), expected, "{place}");
    }
    let in_force = |epoch| {
        let found = chain.in_force(Epoch::new(epoch));
        found.map(|it| it.document.epoch().number())
    };
    assert_eq!([4, 7, 8].map(in_force), [Some(4), Some(4), None]);
}

#[test]
fn what_changes_is_told_once() {
    let mut made = Made::new(now(), 1, 24);
    let mix = made.mix();
    let first = Arc::clone(&made.documents[0]);
    let node = made.remove(&mix);
    let second = made.next(1);
    made.network.nodes.insert(mix, node);
    let third = made.next(2);
    let fourth = made.next(3);
    let params = Arc::clone(&made.network.params);
    let mut watch = Watch::new(Arc::clone(&params));
    let mut chain = made.chain();
    let mut round = |chain: &Chain, epoch| {
        let now = params.start_of(Epoch::new(epoch));
        watch.round(now, [(NODES[0], Ok(()), chain)])
    };
    made.take(&mut chain, &made.answer(now(), &made.documents[..1]));
    let told = round(&chain, 0);
    let [
        Told::Document {
            certified,
            came,
            gone,
            moved,
            ..
        },
    ] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!(certified.document, first);
    assert_eq!((came.len(), gone.len(), moved.len()), (8, 0, 0));
    assert_eq!(round(&chain, 0), []);
    made.take(&mut chain, &made.answer(now(), &made.documents));
    let told = round(&chain, 1);
    let changes = told.iter().map(|told| match told {
        Told::Document {
            certified,
            came,
            gone,
            moved,
            ..
        } => {
            let mut moved = moved.clone();
            // Others may make room for it.
            moved.retain(|it| it.node == mix);
            (
                certified.document.epoch().number(),
                came.clone(),
                gone.clone(),
                moved,
            )
        }
        other => panic!("{other:?}"),
    });
    let layer = fourth.member(&mix).and_then(|member| member.position());
    assert_eq!(
        third.member(&mix).map(|member| member.position()),
        Some(None)
    );
    assert!(second.member(&mix).is_none() && layer.is_some());
    let placed = Move {
        node: mix,
        from: None,
        to: layer,
    };
    assert_eq!(
        Vec::from_iter(changes),
        [
            (1, vec![], vec![mix], vec![]),
            (2, vec![mix], vec![], vec![]),
            (3, vec![], vec![], vec![placed]),
        ]
    );
    assert_eq!(round(&chain, 1), []);
    // The last one is for epoch 3, and counts for three more.
    for (epoch, in_force) in [(4, Some(3)), (6, Some(3)), (7, None)] {
        let in_force = in_force.map(Epoch::new);
        let epoch_then = Epoch::new(epoch);
        let missing = Told::Missing {
            epoch: epoch_then,
            in_force,
        };
        assert_eq!(round(&chain, epoch), [missing]);
        assert_eq!(round(&chain, epoch), []);
    }
}

#[test]
fn a_node_that_is_silent_or_wrong_is_told_of_until_it_is_right_again() {
    let made = Made::new(now(), 2, 24);
    let params = Arc::clone(&made.network.params);
    let mut watch = Watch::new(Arc::clone(&params));
    let mut chain = made.chain();
    let mut round = |outcome, chain: &Chain| {
        let told = watch.round(params.start_of(Epoch::new(1)), [(NODES[0], outcome, chain)]);
        let documents = told
            .iter()
            .filter(|told| matches!(told, Told::Document { .. }));
        let documents = documents.count();
        let missing = told
            .iter()
            .filter(|told| matches!(told, Told::Missing { .. }));
        let missing = missing.count();
        let rest = told
            .into_iter()
            .filter(|told| !matches!(told, Told::Document { .. } | Told::Missing { .. }));
        (documents, missing, Vec::from_iter(rest))
    };
    let node = NODES[0];
    let silent = |why| vec![Told::Silent { node, why }];
    assert_eq!(
        round(Err(Unheard::Refused), &chain),
        (0, 0, silent(Unheard::Refused)),
        "nobody who is silent says that there is no document"
    );
    assert_eq!(round(Err(Unheard::Refused), &chain), (0, 0, vec![]));
    assert_eq!(
        round(Err(Unheard::Unreachable), &chain),
        (0, 0, silent(Unheard::Unreachable))
    );
    let mut answer = made.answer(now(), &made.documents);
    // The last byte of a certificate is of a signature.
    *answer.documents[1].last_mut().unwrap() ^= 1;
    made.take(&mut chain, &answer);
    let (documents, missing, told) = round(Ok(()), &chain);
    assert!(
        matches!(
            &told[..],
            [Told::Fault {
                why: DocumentError::Certificate(_),
                ..
            }]
        ),
        "{told:?}"
    );
    assert_eq!((documents, missing), (1, 1), "what came before it counts");
    assert_eq!(round(Ok(()), &chain), (0, 0, vec![]));
    made.take(&mut chain, &made.answer(now(), &made.documents));
    assert_eq!(round(Ok(()), &chain), (1, 0, vec![]));
    assert_eq!(
        round(Err(Unheard::Refused), &chain).2,
        silent(Unheard::Refused)
    );
    assert_eq!(round(Ok(()), &chain).2, [Told::Back { node }]);
}

/// Two documents of one height, two that follow other ones, and two successions.
#[test]
fn what_is_signed_twice_contradicts_whoever_shows_it() {
    let mut made = Made::new(now(), 2, 24);
    let one = made.documents.clone();
    let mix = made.mix();
    made.network
        .nodes
        .get_mut(&mix)
        .expect("a node")
        .capacity_class = 7;
    let other = made.after(Some(Arc::clone(&one[0])), 1);
    let after = made.after(Some(Arc::clone(&other)), 2);
    let show = |documents: &[Arc<Document>]| {
        let mut chain = made.chain();
        made.take(&mut chain, &made.answer(now(), documents));
        assert_eq!(chain.fault(), None);
        chain
    };
    let honest = show(&one);
    assert!(clashes(NODES.map(|node| (node, &honest))).is_empty());
    let behind = show(&one[..1]);
    assert!(clashes([(NODES[0], &honest), (NODES[1], &behind)]).is_empty());
    let seen = [(NODES[0], *one[1].hash()), (NODES[1], *other.hash())];
    let (height, epoch) = (other.height(), Epoch::new(1));
    let forked = show(&[Arc::clone(&one[0]), Arc::clone(&other)]);
    let found = clashes([(NODES[0], &honest), (NODES[1], &forked)]);
    let expected = [Clash::Height { height, seen }, Clash::Epoch { epoch, seen }];
    assert_eq!(Vec::from_iter(found), expected);
    let later = show(&[after]);
    let found = clashes([(NODES[0], &honest), (NODES[1], &later)]);
    assert_eq!(Vec::from_iter(found), [Clash::Height { height, seen }]);
    let both = show(&[Arc::clone(&one[1]), other]);
    let found = clashes([(NODES[0], &both)]);
    assert_eq!(found.len(), 2, "one node alone: {found:?}");
    // Other seats from the first height on: other keys for proofs stand in another first document.
    let mut made = Made::new(now(), 1, 24);
    let first = show_first(&made);
    let left = made.network.ids(Role::Mix).last().expect("a mix");
    made.remove(&left);
    let without = made.after(None, 0);
    made.documents = vec![without];
    let found = clashes([(NODES[0], &first), (NODES[1], &show_first(&made))]);
    let seats = |clash: &Clash| matches!(clash, Clash::Seats { nodes, .. } if *nodes == NODES);
    assert!(found.iter().any(seats), "{found:?}");
}

fn show_first(made: &Made) -> Chain {
    let mut chain = made.chain();
    made.take(&mut chain, &made.answer(now(), &made.documents[..1]));
    assert_eq!((chain.fault(), chain.handovers()), (None, 1));
    chain
}
