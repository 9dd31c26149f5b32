//! Thousands of packets, good and bad, in batches of every size and on every back end, against
//! the reference's judgement.

use crate::layer::reseal;
use crate::reference::{Judgement, build, judge, random_packet};
use crate::{batches, engines, rng, route};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha20Rng;
use shoal_packet::{
    Engine, Hop, Job, Packet, ReplayTag, Routing, SphinxSecret, UnwrapError, Unwrapped,
    build_forward, build_surb,
};
use shoal_proto::size::{HEADER_BYTES, PACKET_BYTES, PLAINTEXT_BYTES};
use shoal_proto::{ClientHandle, Span, SurbId};
use sphinx_packet::version::CURRENT_VERSION;
use x25519_dalek::StaticSecret;

/// Paths, for 9,900 packets: three positions on average, and altered copies.
const PATHS: usize = 660;
const ALTERED: usize = 4;

struct Case {
    key: usize,
    bytes: Vec<u8>,
    expected: Judgement,
}

impl Case {
    fn new(nodes: &Nodes, key: usize, bytes: Vec<u8>) -> Self {
        let expected = judge(&nodes.secrets[key], &bytes);
        Self {
            key,
            bytes,
            expected,
        }
    }
}

struct Nodes {
    secrets: Vec<SphinxSecret>,
    hops: Vec<Hop>,
}

impl Nodes {
    fn new(rng: &mut ChaCha20Rng) -> Self {
        let (secrets, hops) = route(rng, 7);
        Self { secrets, hops }
    }

    /// A path of so many hops, on which nodes may come more than once.
    fn path(&self, rng: &mut ChaCha20Rng, hops: usize) -> (Vec<usize>, Vec<Hop>) {
        let delays = [0, 1, 80_000, u64::MAX / 1_000, u64::MAX];
        (0..hops)
            .map(|_| {
                let key = rng.random_range(0..self.hops.len());
                let delay = Span::from_micros(*delays.choose(rng).unwrap());
                let hop = self.hops[key].clone();
                (key, Hop { delay, ..hop })
            })
            .unzip()
    }
}

/// A packet of one of three kinds: built by the reference, by us, and a reply.
fn fresh_packet(rng: &mut ChaCha20Rng, kind: usize, path: &[Hop]) -> Vec<u8> {
    let mut text = vec![0; rng.random_range(0..=PLAINTEXT_BYTES)];
    rng.fill_bytes(&mut text);
    match kind {
        0 => random_packet(rng, path, &text),
        1 if path.len() >= 2 => {
            let handle = ClientHandle::new(rng.random());
            let (surb, _) = build_surb(rng, path, &handle, SurbId::new([1; 16])).unwrap();
            surb.into_packet(&text).unwrap().1.as_bytes().to_vec()
        }
        _ => build_forward(rng, path, &text).unwrap().as_bytes().to_vec(),
    }
}

/// Every packet at every position of its path, and altered copies of it.
fn cases(rng: &mut ChaCha20Rng, nodes: &Nodes, paths: usize) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for number in 0..paths {
        let (keys, path) = nodes.path(rng, 1 + number % 5);
        let mut bytes = fresh_packet(rng, number / 5 % 3, &path);
        for (position, key) in keys.iter().enumerate() {
            let good = Case::new(nodes, *key, bytes);
            let last = position + 1 == path.len();
            assert_eq!(
                last,
                matches!(good.expected.outcome, Ok(Routing::Final { .. }))
            );
            for _ in 0..ALTERED {
                let other = cases.choose(rng).unwrap_or(&good);
                let (key, bytes) = alter(rng, nodes, &good, other);
                cases.push(Case::new(nodes, key, bytes));
            }
            bytes = good.expected.after.clone();
            cases.push(good);
        }
    }
    cases.shuffle(rng);
    cases
}

fn alter(rng: &mut ChaCha20Rng, nodes: &Nodes, good: &Case, other: &Case) -> (usize, Vec<u8>) {
    let (mut key, mut bytes) = (good.key, good.bytes.clone());
    match rng.random_range(0..13) {
        0 => flip(rng, &mut bytes[..32]),
        1 => flip(rng, &mut bytes[32..48]),
        2 => flip(rng, &mut bytes[48..HEADER_BYTES]),
        3 => flip(rng, &mut bytes[HEADER_BYTES..]),
        4 => bytes[31] ^= 0x80,
        5 => rng.fill_bytes(&mut bytes),
        6 => bytes[..32].copy_from_slice(&other.bytes[..32]),
        7 => bytes[HEADER_BYTES..].copy_from_slice(&other.bytes[HEADER_BYTES..]),
        8 => key = (key + 1) % nodes.secrets.len(),
        // The same packet again, with a tag that has been seen.
        9 => {}
        10 => reseal(&nodes.secrets[key], &mut bytes, |routing| {
            routing[0] = rng.random();
        }),
        11 => reseal(&nodes.secrets[key], &mut bytes, |routing| {
            flip(rng, &mut routing[1..4])
        }),
        _ => reseal(&nodes.secrets[key], &mut bytes, |routing| {
            rng.fill_bytes(&mut routing[4..]);
        }),
    }
    (key, bytes)
}

fn flip(rng: &mut ChaCha20Rng, bytes: &mut [u8]) {
    let position = rng.random_range(0..bytes.len());
    bytes[position] ^= 1 << rng.random_range(0..8);
}

/// Takes some tags for known, always the same ones.
fn fresh(tag: &ReplayTag) -> bool {
    !tag.as_bytes()[0].is_multiple_of(8)
}

fn expected(case: &Case) -> Result<Routing, UnwrapError> {
    match case.expected.tag {
        Some(tag) if !fresh(&tag) => Err(UnwrapError::Replayed),
        _ => case.expected.outcome,
    }
}

/// What the replay decision is to be asked about, in this order.
fn questions(batch: &[Case]) -> Vec<(usize, ReplayTag)> {
    let tags = batch.iter().map(|case| case.expected.tag);
    tags.enumerate()
        .filter_map(|(place, tag)| Some((place, tag?)))
        .collect()
}

/// Cuts all cases into batches of 1, 2, … 70, 1, … packets.
fn in_batches(mut cases: &[Case], mut check: impl FnMut(&[Case])) {
    for size in (1..=70).cycle() {
        if cases.is_empty() {
            return;
        }
        let (batch, rest) = cases.split_at(size.min(cases.len()));
        check(batch);
        cases = rest;
    }
}

fn check_in_place(engine: Engine, nodes: &Nodes, batch: &[Case]) {
    let mut buffers: Vec<_> = batch.iter().map(|case| case.bytes.clone()).collect();
    let mut jobs: Vec<_> = batch
        .iter()
        .zip(&mut buffers)
        .map(|(case, buffer)| Job::new(&nodes.secrets[case.key], buffer))
        .collect();
    let mut asked = Vec::new();
    engine.unwrap_in_place(batch[0].bytes.len(), &mut jobs, |place, tag| {
        asked.push((place, *tag));
        fresh(tag)
    });
    let outcomes: Vec<_> = jobs.iter().map(Job::outcome).collect();
    assert_eq!(asked, questions(batch));
    for ((case, outcome), buffer) in batch.iter().zip(outcomes).zip(buffers) {
        assert_eq!(outcome, expected(case), "{engine:?}");
        let after = if outcome.is_ok() {
            &case.expected.after
        } else {
            &case.bytes
        };
        assert!(
            buffer == *after,
            "{engine:?}: other bytes after {outcome:?}"
        );
    }
}

fn check_outcome(case: &Case, outcome: Result<Unwrapped, UnwrapError>) {
    match (outcome, expected(case)) {
        (
            Ok(Unwrapped::Forward {
                next,
                delay,
                packet,
            }),
            Ok(routing),
        ) => {
            assert_eq!(routing, Routing::Forward { next, delay });
            assert!(packet.as_bytes()[..] == case.expected.after);
        }
        (
            Ok(Unwrapped::Final {
                destination,
                id,
                payload,
            }),
            Ok(routing),
        ) => {
            assert_eq!(routing, Routing::Final { destination, id });
            assert!(payload.as_bytes()[..] == case.expected.after[HEADER_BYTES..]);
        }
        (outcome, expected) => assert_eq!(outcome.map(|_| ()).err(), expected.err()),
    }
}

fn check_typed(engine: Engine, nodes: &Nodes, batch: &[Case]) {
    let packets = batch.iter().map(|case| {
        let packet = Packet::from_bytes(&case.bytes).unwrap();
        (&nodes.secrets[case.key], packet)
    });
    let (mut asked, mut done) = (Vec::new(), 0);
    for some in batches(packets) {
        let first = done;
        let outcomes = engine.unwrap_batch(some, |place, tag| {
            asked.push((first + place, *tag));
            fresh(tag)
        });
        for outcome in outcomes {
            check_outcome(&batch[done], outcome);
            done += 1;
        }
    }
    assert_eq!(done, batch.len());
    assert_eq!(asked, questions(batch));
}

#[test]
fn every_back_end_does_to_every_packet_what_the_reference_does() {
    let mut rng = rng(80);
    let nodes = Nodes::new(&mut rng);
    let cases = cases(&mut rng, &nodes, PATHS);
    assert!(cases.len() >= 9_900, "{}", cases.len());
    // Each outcome is there often enough for the mixtures to be mixtures.
    for error in UnwrapError::ALL {
        let count = cases
            .iter()
            .filter(|case| expected(case) == Err(error))
            .count();
        let rare = matches!(error, UnwrapError::Malformed | UnwrapError::LowOrder);
        assert!(rare || count > 200, "{error:?}: {count}");
    }
    let accepted = cases.iter().filter(|case| expected(case).is_ok()).count();
    assert!(accepted > 4_000, "{accepted}");
    for engine in engines() {
        in_batches(&cases, |batch| check_in_place(engine, &nodes, batch));
        in_batches(&cases[..cases.len() / 2], |batch| {
            check_typed(engine, &nodes, batch);
        });
    }
}

#[test]
fn one_at_a_time_is_the_same() {
    let mut rng = rng(81);
    let nodes = Nodes::new(&mut rng);
    let cases = cases(&mut rng, &nodes, 60);
    for engine in engines() {
        for case in &cases {
            let packet = Packet::from_bytes(&case.bytes).unwrap();
            let mut asked = Vec::new();
            let outcome = engine.unwrap(&nodes.secrets[case.key], packet, |tag| {
                asked.push(*tag);
                fresh(tag)
            });
            assert_eq!(asked, Vec::from_iter(case.expected.tag));
            check_outcome(case, outcome);
        }
    }
}

#[test]
fn a_packet_that_is_there_twice_is_asked_about_twice() {
    let mut rng = rng(82);
    let nodes = Nodes::new(&mut rng);
    let (keys, path) = nodes.path(&mut rng, 3);
    let packet = build_forward(&mut rng, &path, b"text").unwrap();
    let secret = &nodes.secrets[keys[0]];
    for engine in engines() {
        for size in [2, 8, 9, 33, 70] {
            let (mut seen, mut outcomes) = (std::collections::HashSet::new(), Vec::new());
            for batch in batches((0..size).map(|_| (secret, packet.clone()))) {
                let done = engine.unwrap_batch(batch, |_, tag| seen.insert(*tag));
                outcomes.extend(done.into_iter().map(Result::err));
            }
            let replays = vec![Some(UnwrapError::Replayed); size - 1];
            assert_eq!(outcomes, [vec![None], replays].concat());
        }
    }
}

#[test]
fn payloads_of_every_size_are_done_alike() {
    let mut rng = rng(83);
    let nodes = Nodes::new(&mut rng);
    for payload_bytes in [
        33, 34, 63, 64, 95, 96, 97, 128, 160, 161, 1_024, 2_049, 32_768,
    ] {
        let cases: Vec<_> = (0..9)
            .map(|_| {
                let (keys, path) = nodes.path(&mut rng, 2);
                let initial = StaticSecret::from(rng.random::<[u8; 32]>());
                let packet = build(
                    &path,
                    CURRENT_VERSION,
                    payload_bytes,
                    b"small",
                    &[1_000, 0],
                    &initial,
                );
                Case::new(&nodes, keys[0], packet.to_bytes())
            })
            .collect();
        for engine in engines() {
            for size in 1..=cases.len() {
                check_in_place(engine, &nodes, &cases[..size]);
            }
        }
    }
}

#[test]
fn other_lengths_are_malformed_and_harm_nobody() {
    let mut rng = rng(84);
    let nodes = Nodes::new(&mut rng);
    let (keys, path) = nodes.path(&mut rng, 2);
    let secret = &nodes.secrets[keys[0]];
    let good = random_packet(&mut rng, &path, b"text");
    let lengths = [
        0,
        31,
        HEADER_BYTES,
        HEADER_BYTES + 32,
        PACKET_BYTES - 1,
        PACKET_BYTES + 1,
    ];
    for engine in engines() {
        let mut opened = [good.clone()];
        let mut jobs = opened.each_mut().map(|bytes| Job::new(secret, bytes));
        engine.unwrap_in_place(PACKET_BYTES, &mut jobs, |_, _| true);
        let expected = jobs[0].outcome();
        assert!(expected.is_ok());
        for (length, odd_place) in lengths
            .iter()
            .flat_map(|length| [(*length, 0), (*length, 1), (*length, 2)])
        {
            let mut buffers = [good.clone(), good.clone(), good.clone()];
            buffers[odd_place].resize(length, 7);
            let before = buffers[odd_place].clone();
            let mut jobs = buffers.each_mut().map(|bytes| Job::new(secret, bytes));
            engine.unwrap_in_place(PACKET_BYTES, &mut jobs, |place, _| {
                assert_ne!(place, odd_place);
                true
            });
            for (place, job) in jobs.iter().enumerate() {
                let malformed = Err(UnwrapError::Malformed);
                assert_eq!(
                    job.outcome(),
                    if place == odd_place {
                        malformed
                    } else {
                        expected
                    }
                );
            }
            for (place, buffer) in buffers.iter().enumerate() {
                assert!(
                    *buffer
                        == if place == odd_place {
                            before.clone()
                        } else {
                            opened[0].clone()
                        }
                );
            }
        }
        // Too short, all of them.
        for length in &lengths[..4] {
            let mut buffers = vec![vec![7; *length]; 3];
            let before = buffers.clone();
            let mut jobs: Vec<_> = buffers
                .iter_mut()
                .map(|bytes| Job::new(secret, bytes))
                .collect();
            engine.unwrap_in_place(*length, &mut jobs, |_, _| panic!("asked about noise"));
            for job in &jobs {
                assert_eq!(job.outcome(), Err(UnwrapError::Malformed));
            }
            assert_eq!(buffers, before);
        }
        engine.unwrap_in_place(PACKET_BYTES, &mut [], |_, _| panic!("asked about nothing"));
    }
}
