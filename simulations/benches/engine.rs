//! The engine beside a plain binary-heap event loop, on the networks of `shoal-sim bench`, shorter.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros, and measurements"
)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shoal_simulations::engine::bench::{Case, time};

fn engine_and_heap(criterion: &mut Criterion) {
    for (name, case) in [
        ("few targets", Case::Small),
        ("many targets", Case::ManyTargets),
        ("uniform delays", Case::UniformDelays),
        ("random links", Case::RandomLinks),
    ] {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10);
        group.throughput(Throughput::Elements(
            time(case, true, 1, false).unwrap().hops,
        ));
        group.bench_function("engine", |b| {
            b.iter(|| time(case, true, 1, false).unwrap().hops)
        });
        group.bench_function("heap", |b| {
            b.iter(|| time(case, true, 1, true).unwrap().hops)
        });
        group.finish();
    }
}

criterion_group!(benches, engine_and_heap);
criterion_main!(benches);
