//! Distributions, from fixed seeds, so that a failure is a change of the code and not bad luck.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use shoal_packet::Hop;
use shoal_proto::{Epoch, NodeId, Span};
use shoal_topology::sample::Network;
use shoal_topology::{Document, NetworkParameters, PathError, Role, capacity, delay, path};

const SAMPLES: u32 = 30_000;
/// Upper quantiles of chi-square at a thousandth divided by the 48 comparisons made below, for
/// 2 (three providers), 4 (five mixes in a layer) and 24 (pairs of mixes) degrees of freedom.
const CHI_SQUARE_2: f64 = 21.56;
const CHI_SQUARE_4: f64 = 26.90;
const CHI_SQUARE_24: f64 = 63.40;

/// Five mixes in each layer, of the classes that are given in turn, and three providers.
fn network(classes: &[u32]) -> (Network, std::sync::Arc<Document>) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut net = Network::new(&mut rng, NetworkParameters::example(), 5, 3);
    for (node, class) in net.nodes.values_mut().zip(classes.iter().cycle()) {
        node.capacity_class = *class;
    }
    let document = net.document(&mut rng, Epoch::new(1), None).unwrap();
    (net, document)
}

/// What each member of a position is chosen by: providers alike, mixes by their weights.
fn shares(document: &Document, layer: u8) -> BTreeMap<NodeId, f64> {
    let ids = match layer {
        0 => document.providers(),
        layer => document.mixes(layer),
    };
    let class = |id| document.member(id).unwrap().capacity_class;
    let weights = match layer {
        0 => vec![1.0; ids.len()],
        _ => capacity::weights(&ids.iter().map(class).collect::<Vec<_>>()),
    };
    let count = ids.len() as f64;
    ids.iter()
        .copied()
        .zip(weights.iter().map(|w| w / count))
        .collect()
}

/// Against the share that each cell has.
fn chi_square<K: Ord>(counts: &BTreeMap<K, u32>, shares: &BTreeMap<K, f64>) -> f64 {
    let total: u32 = counts.values().sum();
    assert!(
        counts.keys().all(|cell| shares.contains_key(cell)),
        "a cell of no share"
    );
    let cell = |(cell, share): (&K, &f64)| {
        let expected = share * f64::from(total);
        let found = counts.get(cell).copied().unwrap_or(0);
        (f64::from(found) - expected).powi(2) / expected
    };
    shares.iter().map(cell).sum()
}

/// Every kind of packet draws each layer's mix by the same weights, whatever its ends are: those of mixes
/// that are alike, those of classes that differ, and those of one that claims everything.
#[test]
fn all_kinds_of_packets_draw_mixes_alike() {
    for classes in [
        &[0][..],
        &[0, 1, 3, 2, 5, 1, 0],
        &[0, 0, 0, 0, 0, 0, u32::MAX],
    ] {
        let (net, document) = network(classes);
        let params = &net.params;
        let [a, b, _] = document.providers() else {
            panic!("three providers")
        };
        type Kind<'a> = Box<dyn FnMut(&mut ChaCha20Rng) -> Vec<Hop> + 'a>;
        let kinds: Vec<(&str, Kind<'_>)> = vec![
            (
                "deposit",
                Box::new(|rng| path::deposit(rng, &document, params, a, b).unwrap()),
            ),
            (
                "reply",
                Box::new(|rng| path::reply(rng, &document, params, a).unwrap()),
            ),
            (
                "loop",
                Box::new(|rng| path::client_loop(rng, &document, params, a).unwrap()),
            ),
            (
                "node loop",
                Box::new(|rng| path::node_loop(rng, &document, params, a).unwrap()),
            ),
        ];
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        for (name, mut kind) in kinds {
            draws_by_weight(&document, name, || kind(&mut rng));
        }
    }
}

fn draws_by_weight(document: &Document, name: &str, mut draw: impl FnMut() -> Vec<Hop>) {
    let layer = |id: &NodeId| document.member(id).unwrap().layer;
    let mut counts = vec![BTreeMap::<NodeId, u32>::new(); 4];
    let mut pairs = BTreeMap::<(NodeId, NodeId), u32>::new();
    for _ in 0..SAMPLES {
        let hops = draw();
        let ids = hops.iter().map(|hop| hop.node);
        let mixes: Vec<NodeId> = ids.filter(|id| layer(id) > 0).collect();
        for id in &mixes {
            *counts[usize::from(layer(id))].entry(*id).or_default() += 1;
        }
        *pairs.entry((mixes[0], mixes[1])).or_default() += 1;
    }
    for (layer, counts) in (0..).zip(&counts).skip(1) {
        let chi = chi_square(counts, &shares(document, layer));
        assert!(chi < CHI_SQUARE_4, "{name}, layer {layer}: {chi}");
        assert_eq!(counts.len(), 5, "everybody is exercised");
    }
    // Layers are independent: 25 pairs, 24 degrees of freedom.
    let (ones, twos) = (shares(document, 1), shares(document, 2));
    let both = |(one, a): (&NodeId, &f64)| {
        let (one, a) = (*one, *a);
        twos.iter()
            .map(move |(two, b)| ((one, *two), a * b))
            .collect::<Vec<_>>()
    };
    let chi = chi_square(&pairs, &ones.iter().flat_map(both).collect());
    assert!(chi < CHI_SQUARE_24, "{name}: {chi}");
}

/// Loops of a mix draw the other layers by the same weights, and the provider uniformly as others do.
#[test]
fn loops_of_a_mix_draw_the_rest_by_the_same_weights() {
    let (net, document) = network(&[0, 1, 3, 2, 5, 1, 0]);
    for layer in 1..=3_u8 {
        let own = document.mixes(layer)[3];
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let mut counts: Vec<BTreeMap<NodeId, u32>> = vec![BTreeMap::new(); 3];
        for _ in 0..SAMPLES {
            let hops = path::node_loop(&mut rng, &document, &net.params, &own).unwrap();
            for (count, hop) in counts.iter_mut().zip(&hops) {
                *count.entry(hop.node).or_default() += 1;
            }
        }
        for (after, counts) in (1..).zip(&counts) {
            let through = (layer + after) % 4;
            let bound = if through == 0 {
                CHI_SQUARE_2
            } else {
                CHI_SQUARE_4
            };
            let chi = chi_square(counts, &shares(&document, through));
            assert!(chi < bound, "from {layer} through {through}: {chi}");
        }
    }
}

/// Drops, and deposits of nothing, go to each provider alike, as mailboxes are.
#[test]
fn providers_are_drawn_alike_whatever_they_claim() {
    let (_, document) = network(&[7, 0, 3, 2, 5, 1, 0]);
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let mut counts = BTreeMap::new();
    for _ in 0..SAMPLES {
        *counts
            .entry(path::random_provider(&mut rng, &document))
            .or_default() += 1;
    }
    assert!(chi_square(&counts, &shares(&document, 0)) < CHI_SQUARE_2);
}

/// One that claims more than everybody gets twice what it would without classes, and no more.
#[test]
fn who_lies_about_its_class_gets_twice_its_share_at_most() {
    let (net, document) = network(&[0]);
    let liar = document.mixes(1)[0];
    let (mut net, mut rng) = (net, ChaCha20Rng::seed_from_u64(8));
    net.nodes.get_mut(&liar).unwrap().capacity_class = u32::MAX;
    let lied = net
        .document(&mut rng, Epoch::new(2), Some(&document))
        .unwrap();
    let layer = lied.member(&liar).unwrap().layer;
    assert!((shares(&lied, layer)[&liar] - 2.0 * shares(&document, 1)[&liar]).abs() < 1e-12);
    draws_by_weight(&lied, "deposit", || {
        let provider = lied.providers()[0];
        path::deposit(&mut rng, &lied, &net.params, &provider, &provider).unwrap()
    });
}

#[test]
fn paths_fit_the_layers() {
    let (net, document) = network(&[0]);
    let params = &net.params;
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let [entry, mailbox, _] = document.providers() else {
        panic!("three providers")
    };
    let follows = |start: Option<&NodeId>, hops: &[Hop]| {
        let ids: Vec<&NodeId> = start
            .into_iter()
            .chain(hops.iter().map(|hop| &hop.node))
            .collect();
        assert!(
            ids.windows(2)
                .all(|pair| document.position_ok(pair[0], pair[1]))
        );
        assert_eq!(hops.last().unwrap().delay, Span::ZERO);
        for hop in hops {
            assert!(document.member(&hop.node).unwrap().key == hop.key);
        }
    };
    for _ in 0..50 {
        let hops = path::deposit(&mut rng, &document, params, entry, mailbox).unwrap();
        assert_eq!(
            (hops.len(), hops[0].node, hops[4].node),
            (5, *entry, *mailbox)
        );
        follows(None, &hops);
        let hops = path::reply(&mut rng, &document, params, entry).unwrap();
        assert_eq!((hops.len(), hops[3].node), (4, *entry));
        follows(Some(mailbox), &hops);
        let hops = path::client_loop(&mut rng, &document, params, entry).unwrap();
        assert_eq!(
            (hops.len(), hops[0].node, hops[4].node),
            (5, *entry, *entry)
        );
        follows(None, &hops);
        for own in document.members() {
            let hops = path::node_loop(&mut rng, &document, params, &own.id).unwrap();
            assert_eq!((hops.len(), hops[3].node), (4, own.id));
            follows(Some(&own.id), &hops);
        }
    }
    let mix = document.mixes(1)[0];
    let nobody = NodeId::new([7; 32]);
    let deposit = |rng: &mut _, e, m| path::deposit(rng, &document, params, e, m).err();
    assert_eq!(deposit(&mut rng, &mix, mailbox), Some(PathError::Entry));
    assert_eq!(deposit(&mut rng, &nobody, mailbox), Some(PathError::Entry));
    assert_eq!(deposit(&mut rng, entry, &mix), Some(PathError::Mailbox));
    assert_eq!(
        path::reply(&mut rng, &document, params, &mix).err(),
        Some(PathError::Entry)
    );
    let lost = path::node_loop(&mut rng, &document, params, &nobody).err();
    assert_eq!(lost, Some(PathError::NotAMember));
    let providers: Vec<NodeId> = net.ids(Role::Provider).collect();
    assert!((0..50).all(|_| providers.contains(&path::random_provider(&mut rng, &document))));
}

/// Kolmogorov-Smirnov against the exponential distribution, at the 99.9 % level: 1.949 over the
/// root of the number of samples.
#[test]
fn delays_are_exponential() {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    for mean in [
        Span::from_millis(1),
        Span::from_millis(100),
        Span::from_secs(10),
    ] {
        let mut samples: Vec<f64> = (0..20_000)
            .map(|_| delay::sample(&mut rng, mean).as_secs_f64())
            .collect();
        samples.sort_by(f64::total_cmp);
        let n = 20_000.0_f64;
        let distance = (0_u32..).zip(&samples).map(|(index, sample)| {
            let expected = 1.0 - (-sample / mean.as_secs_f64()).exp();
            let (below, above) = (f64::from(index) / n, f64::from(index + 1) / n);
            (expected - below).abs().max((above - expected).abs())
        });
        let distance = distance.fold(0.0, f64::max);
        // Rounding to whole microseconds moves a mean of 1 ms by at most a two-thousandth.
        assert!(distance < 1.949 / n.sqrt(), "{mean}: {distance}");
    }
}

#[test]
fn delays_are_capped_far_out() {
    let mean = Span::from_millis(100);
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    assert_eq!(delay::sample(&mut rng, Span::ZERO), Span::ZERO);
    assert_eq!(delay::clamp(Span::MAX, mean), Span::from_millis(2764));
    assert_eq!(
        delay::clamp(Span::from_millis(2763), mean),
        Span::from_millis(2763)
    );
    // A generator that gives nothing but ones draws from the far tail.
    assert!((0..100_000).all(|_| delay::sample(&mut rng, mean) <= Span::from_millis(2763)));
}
