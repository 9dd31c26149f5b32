//! `shoal bench store` without the rest of `shoal`, which takes long to build with `--release`:
//! `cargo run --release -p shoal-provider --example bench_store -- DIRECTORY [MAILBOXES [ROUNDS]]`, where the directory
//! is empty and on the disk to measure. Afterwards, `… --example bench_store -- DIRECTORY --memory [ATTENDED]` has so many
//! mailboxes of the larger store attended, and prints what the process holds in memory.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example")]

use std::time::Instant;

use shoal_provider::{StoreEngine, bench};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory: std::path::PathBuf = arguments.next().ok_or("which directory?")?.into();
    let many = match arguments.next().as_deref() {
        Some("--memory") => {
            let attended = arguments.next().map_or(Ok(2000), |text| text.parse())?;
            return memory(&directory, attended);
        }
        many => many.map_or(Ok(1_000_000), str::parse)?,
    };
    let rounds = arguments.next().map_or(Ok(200), |text| text.parse())?;
    for engine in StoreEngine::ALL {
        let plan = bench::BenchPlan {
            engine,
            directory: directory.clone(),
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

fn memory(directory: &std::path::Path, attended: u64) -> Result<(), Box<dyn std::error::Error>> {
    for engine in StoreEngine::ALL {
        let mailboxes = bench::attend(
            &engine.within(directory, "many", &bench::key()),
            attended,
            5,
        )?;
        // Only Linux tells it so.
        let status = std::fs::read_to_string("/proc/self/status")?;
        let held = status
            .lines()
            .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"));
        println!(
            "{}: {mailboxes} mailboxes, {attended} attended",
            engine.as_str()
        );
        held.for_each(|line| println!("{line}"));
    }
    Ok(())
}
