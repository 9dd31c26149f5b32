//! Distributions, from fixed seeds, so that a failure is a change of the code and not bad luck.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use shoal_packet::Hop;
use shoal_proto::{Epoch, NodeId, Span};
use shoal_topology::sample::Network;
use shoal_topology::{Document, NetworkParameters, PathError, Role, delay, path};

const SAMPLES: u32 = 30_000;
/// Upper quantiles of chi-square at a thousandth divided by the 16 comparisons made below, for
/// 2 (three providers), 4 (five mixes in a layer) and 24 (pairs of mixes) degrees of freedom.
const CHI_SQUARE_2: f64 = 19.36;
const CHI_SQUARE_4: f64 = 24.53;
const CHI_SQUARE_24: f64 = 60.07;

fn network() -> (Network, std::sync::Arc<Document>) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut net = Network::new(&mut rng, NetworkParameters::example(), 5, 3);
    let document = net.document(&mut rng, Epoch::new(1), None).unwrap();
    (net, document)
}

fn chi_square(counts: &BTreeMap<NodeId, u32>, cells: usize) -> f64 {
    let total: u32 = counts.values().sum();
    let expected = f64::from(total) / f64::from(u32::try_from(cells).unwrap());
    let empty = f64::from(u32::try_from(cells - counts.len()).unwrap()) * expected;
    counts
        .values()
        .map(|n| (f64::from(*n) - expected).powi(2) / expected)
        .sum::<f64>()
        + empty
}

/// Every kind of packet draws each layer's mix uniformly, whatever its ends are.
#[test]
fn all_kinds_of_packets_draw_mixes_alike() {
    let (net, document) = network();
    let params = &net.params;
    let [a, b, _] = document.providers() else {
        panic!("three providers")
    };
    let mut rng = ChaCha20Rng::seed_from_u64(2);
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
    for (name, mut kind) in kinds {
        let mut counts = vec![BTreeMap::<NodeId, u32>::new(); 4];
        let mut pairs = BTreeMap::<(NodeId, NodeId), u32>::new();
        for _ in 0..SAMPLES {
            let hops = kind(&mut rng);
            let mixes: Vec<NodeId> = hops
                .iter()
                .map(|h| h.node)
                .filter(|id| document.member(id).unwrap().layer > 0)
                .collect();
            for id in &mixes {
                *counts[usize::from(document.member(id).unwrap().layer)]
                    .entry(*id)
                    .or_default() += 1;
            }
            *pairs.entry((mixes[0], mixes[1])).or_default() += 1;
        }
        for (layer, counts) in counts.iter().enumerate().skip(1) {
            let chi = chi_square(counts, 5);
            assert!(chi < CHI_SQUARE_4, "{name}, layer {layer}: {chi}");
        }
        // Layers are independent: 25 pairs, 24 degrees of freedom.
        let expected = f64::from(SAMPLES) / 25.0;
        let chi: f64 = pairs
            .values()
            .map(|n| (f64::from(*n) - expected).powi(2) / expected)
            .sum();
        assert!(pairs.len() == 25 && chi < CHI_SQUARE_24, "{name}: {chi}");
    }
}

/// Loops of a mix draw the other layers and the provider uniformly too.
#[test]
fn loops_of_a_mix_draw_the_rest_uniformly() {
    let (net, document) = network();
    let own = document.mixes(2)[3];
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let mut counts: Vec<BTreeMap<NodeId, u32>> = vec![BTreeMap::new(); 3];
    for _ in 0..SAMPLES {
        let hops = path::node_loop(&mut rng, &document, &net.params, &own).unwrap();
        for (count, hop) in counts.iter_mut().zip(&hops) {
            *count.entry(hop.node).or_default() += 1;
        }
    }
    assert!(chi_square(&counts[0], 5) < CHI_SQUARE_4);
    assert!(chi_square(&counts[1], 3) < CHI_SQUARE_2);
    assert!(chi_square(&counts[2], 5) < CHI_SQUARE_4);
}

#[test]
fn paths_fit_the_layers() {
    let (net, document) = network();
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
