//! `cargo bench -p shoal-packet`: how long packets take on every back end of this machine, in
//! batches of different sizes, and what the reference takes. About two minutes.
//!
//! The example `compare` sets both sides against each other more strictly.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros, and measurements"
)]

#[path = "../examples/compare/setup.rs"]
#[allow(dead_code, reason = "shared with the example")]
mod setup;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use setup::{Network, TEXT, reference_unwrap};
use shoal_packet::{
    Backend, Batch, Engine, Job, Packet, Payload, ReplayTag, SphinxSecret, Unwrapped,
};
use shoal_proto::size::{HEADER_BYTES, PAYLOAD_BYTES};
use shoal_proto::{ClientHandle, SurbId};
use std::collections::HashSet;
use std::time::Duration;

const LARGE_PAYLOAD_BYTES: usize = 32 * 1024;
/// Different packets that the inputs are copies of.
const POOL: usize = 128;

fn engines() -> Vec<Engine> {
    let engines = Backend::ALL.into_iter().map(Engine::with);
    engines.filter_map(Result::ok).collect()
}

/// Gives packets of a pool in turns, as many as asked for.
struct Pool<T> {
    packets: Vec<T>,
    next: usize,
}

impl<T: Clone> Pool<T> {
    const fn new(packets: Vec<T>) -> Self {
        Self { packets, next: 0 }
    }

    fn take(&mut self, count: usize) -> Vec<T> {
        let taken = (0..count).map(|index| &self.packets[(self.next + index) % self.packets.len()]);
        let taken = taken.cloned().collect();
        self.next = (self.next + count) % self.packets.len();
        taken
    }
}

fn pool(network: &mut Network) -> Pool<Packet> {
    let packets = network.packets(POOL, PAYLOAD_BYTES).unwrap();
    let packets = packets
        .iter()
        .map(|bytes| Packet::from_bytes(bytes).unwrap());
    Pool::new(packets.collect())
}

/// A replay decision, which says yes because the pool comes round again.
fn decide(seen: &mut HashSet<ReplayTag>, tag: &ReplayTag) -> bool {
    seen.insert(*tag);
    true
}

fn unwrap_forward(criterion: &mut Criterion) {
    let mut network = Network::new(1);
    let mut pool = pool(&mut network);
    let secret = &network.secrets[0];
    let mut seen = HashSet::with_capacity(POOL);
    let mut group = criterion.benchmark_group("unwrap, forward hop");
    for engine in engines() {
        for size in [1, 2, 4, 8, 16, 32] {
            group.throughput(Throughput::Elements(size as u64));
            let name = BenchmarkId::new(engine.backend().name(), size);
            group.bench_function(name, |bencher| {
                bencher.iter_batched(
                    || pool.take(size),
                    |packets| forward(engine, secret, packets, &mut seen),
                    BatchSize::LargeInput,
                );
            });
        }
    }
    let reference = network.static_secret();
    group.throughput(Throughput::Elements(1));
    group.bench_function("reference", |bencher| {
        bencher.iter_batched(
            || pool.take(1)[0].as_bytes().to_vec(),
            |bytes| reference_unwrap(&reference, &bytes).unwrap(),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn forward(
    engine: Engine,
    secret: &SphinxSecret,
    packets: Vec<Packet>,
    seen: &mut HashSet<ReplayTag>,
) -> Vec<Unwrapped> {
    let mut done = Vec::with_capacity(packets.len());
    let mut packets = packets.into_iter().map(|packet| (secret, packet));
    while packets.len() > 0 {
        let outcomes = engine.unwrap_batch(Batch::fill(&mut packets), |_, tag| decide(seen, tag));
        done.extend(outcomes.into_iter().flatten());
    }
    done
}

/// What somebody makes a node work who has no valid header.
fn refuse(criterion: &mut Criterion) {
    let mut network = Network::new(2);
    let mut pool = pool(&mut network);
    // For another node.
    let secret = &network.secrets[1];
    let mut group = criterion.benchmark_group("refuse, MAC does not hold");
    for engine in engines() {
        for size in [1, 32] {
            group.throughput(Throughput::Elements(size as u64));
            let name = BenchmarkId::new(engine.backend().name(), size);
            group.bench_function(name, |bencher| {
                let mut seen = HashSet::new();
                bencher.iter_batched(
                    || pool.take(size),
                    |packets| forward(engine, secret, packets, &mut seen),
                    BatchSize::LargeInput,
                );
            });
        }
    }
    group.finish();
}

fn unwrap_large(criterion: &mut Criterion) {
    const SIZE: usize = 32;
    let mut network = Network::new(3);
    let mut pool = Pool::new(network.packets(SIZE, LARGE_PAYLOAD_BYTES).unwrap());
    let secret = &network.secrets[0];
    let mut seen = HashSet::with_capacity(SIZE);
    let mut group = criterion.benchmark_group("unwrap, 32 KiB payload");
    for engine in engines() {
        group.throughput(Throughput::Elements(SIZE as u64));
        let name = BenchmarkId::new(engine.backend().name(), SIZE);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || pool.take(SIZE),
                |mut buffers| {
                    let jobs = buffers.iter_mut().map(|bytes| Job::new(secret, bytes));
                    let mut jobs: Vec<_> = jobs.collect();
                    engine.unwrap_in_place(
                        HEADER_BYTES + LARGE_PAYLOAD_BYTES,
                        &mut jobs,
                        |_, tag| decide(&mut seen, tag),
                    );
                    buffers
                },
                BatchSize::LargeInput,
            );
        });
    }
    let reference = network.static_secret();
    group.throughput(Throughput::Elements(1));
    group.bench_function("reference", |bencher| {
        bencher.iter_batched(
            || pool.take(1),
            |buffers| reference_unwrap(&reference, &buffers[0]).unwrap(),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn build(criterion: &mut Criterion) {
    let mut network = Network::new(4);
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let mut group = criterion.benchmark_group("build, 5 hops");
    for engine in engines() {
        let name = engine.backend().name();
        group.bench_function(BenchmarkId::new("forward", name), |bencher| {
            bencher.iter(|| engine.build_forward(&mut rng, &network.route, TEXT));
        });
    }
    group.bench_function("reference", |bencher| {
        let initial = network.initial_secret();
        bencher.iter(|| network.reference_build(&initial, 5, PAYLOAD_BYTES).unwrap());
    });
    group.finish();
}

fn reply(criterion: &mut Criterion) {
    let network = Network::new(6);
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let (handle, id) = (ClientHandle::new([5; 32]), SurbId::new([4; 16]));
    let engine = Engine::best();
    let mut make = || {
        engine
            .build_surb(&mut rng, &network.route, &handle, id)
            .unwrap()
    };
    let mut group = criterion.benchmark_group("reply, 5 hops");
    group.bench_function("make a block", |bencher| bencher.iter(&mut make));
    let (block, keys) = make();
    group.bench_function("use it", |bencher| {
        bencher.iter(|| block.clone().into_packet(TEXT).unwrap());
    });
    let (_, packet) = block.into_packet(TEXT).unwrap();
    // It opens as noise, after the same work.
    let payload = Payload::from_bytes(&packet.as_bytes()[HEADER_BYTES..]).unwrap();
    group.bench_function("open what came", |bencher| {
        bencher.iter(|| keys.open(&payload))
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1_500))
        .sample_size(50);
    targets = unwrap_forward, refuse, unwrap_large, build, reply
}
criterion_main!(benches);
