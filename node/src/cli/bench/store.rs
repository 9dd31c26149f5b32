//! `shoal bench store`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::Serialize;
use shoal_node::Failure;
use shoal_node::runtime::Clock;
use shoal_node::state::free_bytes;
use shoal_provider::bench::{self, BenchPlan, Benched, Measured};

use super::super::args::BenchStore;
use super::super::output;
use super::super::patient::interruptible;
use super::is_memory;

/// Mailboxes of the smaller store.
const FEW: u64 = 1000;
/// What a mailbox with its entry takes up at most while it is filled, its log included.
const ROOM: u64 = 4096;
/// What is kept free beside it.
const SPARE: u64 = 256 << 20;

/// What `shoal bench store --json` prints. Rates are operations a second, one after the other; times are those until a
/// group of 64, or one alone, is answered.
#[derive(Serialize)]
struct Shown {
    engine: &'static str,
    directory: String,
    /// Whether this is a debug build, whose figures say little.
    debug_build: bool,
    rounds: u32,
    group: u32,
    few: Store,
    many: Store,
    /// Times as long with many mailboxes as with few.
    list_growth: f64,
    ack_growth: f64,
}

#[derive(Serialize)]
struct Store {
    mailboxes: u64,
    filled_in_secs: f64,
    opened_in_ms: f64,
    bytes_per_message: u64,
    bytes_per_mailbox: u64,
    puts: Rate,
    /// One transaction for each message.
    puts_alone: Rate,
    /// `puts` over `puts_alone`.
    gain: f64,
    lists: Rate,
    acks: Rate,
    expiries: Rate,
}

#[derive(Serialize)]
struct Rate {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

pub(super) async fn run(args: BenchStore, json: bool) -> Result<(), Failure> {
    let within = args
        .r#in
        .clone()
        .unwrap_or_else(|| Path::new(".").to_owned());
    check_disk(&within, args.mailboxes)?;
    let directory = tempfile::Builder::new()
        .prefix(".shoal-bench-")
        .tempdir_in(&within)
        .with_context(|| format!("can't make a directory in {}", within.display()))
        .map_err(Failure::Usage)?;
    let plan = plan(&args, directory.path());
    let planned = plan.clone();
    let benched = interruptible(move || {
        let clock = Clock::start();
        let start = clock.now();
        let now = || Duration::from(clock.now().since(start));
        bench::bench(&planned, &now, &mut output::note)
            .map_err(|error| Failure::Failed(anyhow!("{error}")))
    })
    .await;
    // Also after Ctrl-C.
    directory
        .close()
        .with_context(|| format!("can't delete the stores in {}", within.display()))
        .map_err(Failure::Failed)?;
    let shown = shown(&plan, &within, &benched?);
    output::show(json, &shown, &in_words(&shown))
}

fn plan(args: &BenchStore, directory: &Path) -> BenchPlan {
    BenchPlan {
        engine: args.engine.into(),
        directory: directory.to_owned(),
        few: FEW.min(args.mailboxes),
        many: args.mailboxes,
        rounds: args.rounds,
    }
}

/// Memory is no disk, and a disk that becomes full is no measurement.
fn check_disk(within: &Path, mailboxes: u64) -> Result<(), Failure> {
    let name = within.display();
    let free = free_bytes(within)
        .with_context(|| format!("can't look at {name}"))
        .map_err(Failure::Usage)?;
    if is_memory(within) {
        return Err(Failure::Usage(anyhow!(
            "{name} is kept in memory (tmpfs), where nothing is durable: name a directory on the disk to measure (--in)"
        )));
    }
    let needed = mailboxes.saturating_mul(ROOM).saturating_add(SPARE);
    if free < needed {
        return Err(Failure::Usage(anyhow!(
            "{name} has {} MiB free, and {mailboxes} mailboxes may take {} MiB: name another disk (--in), or measure \
             with fewer (--mailboxes)",
            free >> 20,
            needed >> 20
        )));
    }
    Ok(())
}

fn shown(plan: &BenchPlan, within: &Path, benched: &Benched) -> Shown {
    Shown {
        engine: plan.engine.as_str(),
        directory: within.display().to_string(),
        debug_build: cfg!(debug_assertions),
        rounds: plan.rounds,
        group: bench::GROUP,
        few: store(&benched.few),
        many: store(&benched.many),
        list_growth: benched.list_growth(),
        ack_growth: benched.ack_growth(),
    }
}

fn store(measured: &Measured) -> Store {
    Store {
        mailboxes: measured.mailboxes,
        filled_in_secs: measured.filled_in.as_secs_f64(),
        opened_in_ms: measured.opened_in.as_secs_f64() * 1e3,
        bytes_per_message: measured.bytes_per_message,
        bytes_per_mailbox: measured.bytes_per_mailbox,
        puts: rate(measured.puts),
        puts_alone: rate(measured.puts_alone),
        gain: measured.gain(),
        lists: rate(measured.lists),
        acks: rate(measured.acks),
        expiries: rate(measured.expiries),
    }
}

const fn rate(rate: bench::Rate) -> Rate {
    Rate {
        per_second: rate.per_second,
        p50_ms: rate.p50_ms,
        p99_ms: rate.p99_ms,
    }
}

fn in_words(shown: &Shown) -> String {
    let mut words = format!(
        "{} in {}, {} rounds, groups of {}{}\n\n",
        shown.engine,
        shown.directory,
        shown.rounds,
        shown.group,
        match shown.debug_build {
            true => " (a debug build: a release build is faster)",
            false => "",
        }
    );
    // Writing to a string does not fail, here and below.
    let _ = writeln!(
        words,
        "{:>9} mailboxes {:>10} {:>9} {:>9}",
        "", "a second", "p50 ms", "p99 ms"
    );
    for store in [&shown.few, &shown.many] {
        for (what, rate) in [
            ("puts", &store.puts),
            ("one each", &store.puts_alone),
            ("lists", &store.lists),
            ("acks", &store.acks),
            ("expiries", &store.expiries),
        ] {
            let _ = writeln!(
                words,
                "{:>9} {what:<9} {:>10.0} {:>9.2} {:>9.2}",
                store.mailboxes, rate.per_second, rate.p50_ms, rate.p99_ms
            );
        }
        let _ = writeln!(
            words,
            "{:>9} filled in {:.1} s, opened in {:.0} ms; {} bytes on disk per message, {} per mailbox; \
             {:.1} times the deposits of one transaction each\n",
            store.mailboxes,
            store.filled_in_secs,
            store.opened_in_ms,
            store.bytes_per_message,
            store.bytes_per_mailbox,
            store.gain
        );
    }
    let _ = write!(
        words,
        "with {} mailboxes, looking through one takes {:.2} times as long as with {}, acknowledging {:.2} times",
        shown.many.mailboxes, shown.list_growth, shown.few.mailboxes, shown.ack_growth
    );
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_is_refused_with_what_to_do() {
        let place = tempfile::tempdir().expect("a directory");
        let refused = check_disk(place.path(), u64::MAX).expect_err("no disk is so large");
        let words = refused.to_string();
        assert!(
            words.contains("tmpfs") || words.contains("--mailboxes"),
            "{words}"
        );
    }
}
