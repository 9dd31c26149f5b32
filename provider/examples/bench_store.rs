//! `shoal bench store` without the rest of `shoal`, which takes long to build with `--release`:
//! `cargo run --release -p shoal-provider --example bench_store -- DIRECTORY [MAILBOXES [ROUNDS]]`, where the directory
//! is empty and on the disk to measure.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example")]

use std::time::Instant;

use shoal_provider::{StoreEngine, bench};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("which directory?")?.into();
    let many = arguments
        .next()
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let rounds = arguments.next().map_or(Ok(200), |text| text.parse())?;
    for engine in StoreEngine::ALL {
        let plan = bench::BenchPlan {
            engine,
            directory: std::path::PathBuf::clone(&directory),
            few: 1000,
            many,
            rounds,
        };
        #[expect(clippy::disallowed_methods, reason = "this is the host that measures")]
        let start = Instant::now();
        let benched = bench::bench(&plan, &|| start.elapsed(), &mut |words| {
            eprintln!("{words}")
        })?;
        println!("{}: {benched:#?}", engine.as_str());
        println!(
            "gain {:.1} and {:.1}, growth of lists {:.2}, of acknowledgements {:.2}",
            benched.few.gain(),
            benched.many.gain(),
            benched.list_growth(),
            benched.ack_growth()
        );
    }
    Ok(())
}
