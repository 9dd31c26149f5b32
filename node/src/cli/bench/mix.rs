//! `shoal bench mix`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, anyhow};
use serde::Serialize;
use shoal_node::Failure;
use shoal_node::bench::{self, Accounts, Benched, Measured, MixPlan};

use super::super::args::BenchMix;
use super::super::output;
use super::is_memory;

/// What `shoal bench mix --json` prints. Rates are packets a second.
#[derive(Serialize)]
struct Shown {
    /// What unwraps.
    backend: String,
    /// Whether this is a debug build, whose figures say little.
    debug_build: bool,
    transport: &'static str,
    peers: u8,
    stalled: u8,
    mean_delay_ms: f64,
    /// The load of the machine at the end, over one minute.
    load: Option<f64>,
    /// What passed before peers stalled, or before too much was offered; else none.
    before: Option<Part>,
    measured: Part,
    memory_peak_bytes: u64,
    /// Since the mix began, when all that was sent had left.
    accounts: Books,
}

#[derive(Serialize)]
struct Part {
    seconds: f64,
    /// None if it was as many as passed.
    offered_per_second: Option<f64>,
    sent_per_second: f64,
    /// What could not be written, because the mix did not read or this process was too slow.
    unwritten_per_second: f64,
    forwarded_per_second: f64,
    /// What came at the peers that read.
    readers_per_second: f64,
    /// Of the mix's process alone, user and system.
    cpu_micros_per_packet: f64,
    cpu_micros_by_part: BTreeMap<&'static str, f64>,
    /// `SphinxPacket::process` of the reference, on its own.
    reference_micros: f64,
    /// `cpu_micros_per_packet` over `reference_micros`.
    ratio: f64,
    frames_per_write: f64,
    /// Later than asked for, seen by the peers: both links are in it.
    excess_outside_ms: Quantiles<f64>,
    /// Later than asked for, at most, by the mix's own histogram; none above its bounds.
    excess_inside_at_most_ms: Quantiles<Option<u64>>,
    timed: usize,
    /// Of 2,000 realised delays that were drawn, against the exponential distribution (Kolmogorov and Smirnov).
    ks_p: Option<f64>,
    drops: BTreeMap<&'static str, u64>,
    /// Packets that were not made before.
    made_meanwhile: u64,
}

#[derive(Serialize)]
struct Quantiles<T> {
    p50: T,
    p99: T,
    p999: T,
}

#[derive(Serialize)]
struct Books {
    received: u64,
    forwarded: u64,
    delivered: u64,
    dropped: u64,
    inside: u64,
    /// Whether received = forwarded + delivered + dropped + inside.
    balanced: bool,
}

pub(super) async fn run(args: BenchMix, json: bool) -> Result<(), Failure> {
    if args.stall >= args.peers {
        return Err(Failure::Usage(anyhow!(
            "--stall {}: of {} peers at least one has to read",
            args.stall,
            args.peers
        )));
    }
    let within = args.r#in.clone();
    let within = within.unwrap_or_else(|| Path::new(".").to_owned());
    if is_memory(&within) {
        return Err(Failure::Usage(anyhow!(
            "{} is kept in memory (tmpfs), where no replay log is durable: name a directory on a disk (--in)",
            within.display()
        )));
    }
    let directory = tempfile::Builder::new()
        .prefix(".shoal-bench-")
        .tempdir_in(&within)
        .with_context(|| format!("can't make a directory in {}", within.display()))
        .map_err(Failure::Usage)?;
    let path = directory.path().canonicalize().map_err(Failure::failed)?;
    let plan = plan(&args);
    let mut progress = output::note;
    let benched = tokio::select! {
        biased;
        benched = bench::mix(&plan, &path, &mut progress) => benched,
        interrupted = tokio::signal::ctrl_c() => match interrupted {
            Ok(()) => Err(Failure::Interrupted),
            Err(error) => Err(Failure::failed(error)),
        },
    };
    // Also after Ctrl-C.
    directory
        .close()
        .with_context(|| format!("can't delete the mix's directory in {}", within.display()))
        .map_err(Failure::Failed)?;
    let shown = shown(&args, benched?);
    output::show(json, &shown, &in_words(&shown))
}

fn plan(args: &BenchMix) -> MixPlan {
    MixPlan {
        peers: args.peers,
        rate: args.rate.map(f64::from),
        duration: args.duration,
        stall: args.stall,
        overload: args.overload,
        quic: args.quic,
        mean_delay: args.mean_delay,
        pool: usize::try_from(args.pool).unwrap_or(usize::MAX),
    }
}

fn shown(args: &BenchMix, benched: Benched) -> Shown {
    Shown {
        backend: benched.backend,
        debug_build: cfg!(debug_assertions),
        transport: if args.quic { "quic" } else { "tcp" },
        peers: args.peers,
        stalled: args.stall,
        mean_delay_ms: args.mean_delay.as_secs_f64() * 1e3,
        load: load(),
        before: benched.before.map(part),
        measured: part(benched.measured),
        memory_peak_bytes: benched.memory_peak,
        accounts: books(&benched.accounts),
    }
}

/// How many want to run, as Linux tells it.
fn load() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn part(measured: Measured) -> Part {
    let [p50, p99, p999] = measured.excess_inside_at_most;
    Part {
        seconds: measured.seconds,
        offered_per_second: measured.offered_per_second,
        sent_per_second: measured.sent_per_second,
        unwritten_per_second: measured.unwritten_per_second,
        forwarded_per_second: measured.forwarded_per_second,
        readers_per_second: measured.readers_per_second,
        cpu_micros_per_packet: measured.cpu_micros,
        cpu_micros_by_part: measured.cpu_by_part,
        reference_micros: measured.reference_micros,
        ratio: measured.cpu_micros / measured.reference_micros,
        frames_per_write: measured.frames_per_write,
        excess_outside_ms: Quantiles {
            p50: measured.excess.p50,
            p99: measured.excess.p99,
            p999: measured.excess.p999,
        },
        excess_inside_at_most_ms: Quantiles { p50, p99, p999 },
        timed: measured.timed,
        ks_p: measured.ks_p,
        drops: measured.drops,
        made_meanwhile: measured.made_late,
    }
}

const fn books(accounts: &Accounts) -> Books {
    Books {
        received: accounts.received,
        forwarded: accounts.forwarded,
        delivered: accounts.delivered,
        dropped: accounts.dropped,
        inside: accounts.inside,
        balanced: accounts.balanced(),
    }
}

fn in_words(shown: &Shown) -> String {
    let mut words = format!(
        "A mix with {} peers over {}, unwrapping with {}, mean delay {} ms{}\n",
        shown.peers,
        shown.transport,
        shown.backend,
        shown.mean_delay_ms,
        match shown.debug_build {
            true => " (a debug build: a release build is faster)",
            false => "",
        }
    );
    if let Some(before) = &shown.before {
        words.push_str("\nFirst, for comparison:\n");
        tell(&mut words, before);
        words.push_str(match shown.stalled {
            0 => "\nWith more offered than passes:\n",
            _ => "\nWith peers that read nothing:\n",
        });
    } else {
        words.push('\n');
    }
    tell(&mut words, &shown.measured);
    let Books {
        received,
        forwarded,
        delivered,
        dropped,
        inside,
        balanced,
    } = shown.accounts;
    let holds = if balanced {
        ""
    } else {
        ", WHICH DOES NOT ADD UP"
    };
    // Writing to a string does not fail, here and below.
    let _ = write!(
        words,
        "\nin all: {received} received = {forwarded} forwarded + {delivered} delivered + {dropped} dropped + {inside} \
         inside{holds}; at most {} MB of memory",
        shown.memory_peak_bytes / 1_000_000
    );
    words
}

fn tell(words: &mut String, part: &Part) {
    let offered = match part.offered_per_second {
        Some(rate) => format!("{rate:.0} offered"),
        None => "as many as pass".to_owned(),
    };
    let _ = writeln!(
        words,
        "{:>12} packets/s forwarded in {:.1} s ({offered}, {:.0} sent, {:.0} could not be written; {:.0} came at \
         peers that read)",
        format!("{:.0}", part.forwarded_per_second),
        part.seconds,
        part.sent_per_second,
        part.unwritten_per_second,
        part.readers_per_second
    );
    let parts = part.cpu_micros_by_part.iter();
    let parts: Vec<String> = parts
        .map(|(part, micros)| format!("{part} {micros:.1}"))
        .collect();
    let _ = writeln!(
        words,
        "{:>12} µs of the processor for each ({}); the reference's bare process takes {:.1}: {:.2} of it",
        format!("{:.1}", part.cpu_micros_per_packet),
        parts.join(", "),
        part.reference_micros,
        part.ratio
    );
    let outside = &part.excess_outside_ms;
    let _ = writeln!(
        words,
        "{:>12} ms more than asked for in the median, {:.2} p99, {:.2} p99.9 (seen by the peers, {} packets)",
        format!("{:.2}", outside.p50),
        outside.p99,
        outside.p999,
        part.timed
    );
    let at_most = |bound: Option<u64>| bound.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
    let inside = &part.excess_inside_at_most_ms;
    let _ = writeln!(
        words,
        "{:>12} ms at most in the median, {} p99, {} p99.9 (by the mix's own histogram); delays are exponential with \
         p = {}",
        at_most(inside.p50),
        at_most(inside.p99),
        at_most(inside.p999),
        part.ks_p
            .map_or_else(|| "-".to_owned(), |p| format!("{p:.3}"))
    );
    let drops = part.drops.iter();
    let drops: Vec<String> = drops
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    if !drops.is_empty() {
        let _ = writeln!(words, "{:>12} {}", "dropped:", drops.join(", "));
    }
}
