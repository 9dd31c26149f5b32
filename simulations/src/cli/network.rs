//! `shoal-sim network`.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use shoal_simulations::input::{MAX_SCENARIO_BYTES, read_text};
use shoal_simulations::memory;
use shoal_simulations::network::{
    self, Failure, Linking, Movers, PRESET, Phase, Progress, Report, Scenario, Summary, Unsettled,
};

use super::check::{bytes, time};
use super::progress::Lines;
use super::run::TOLD;
use super::{CommandResult, Exit};

/// Runs the real clients, mixes, providers and directory in virtual time, with loss, delay, churn,
/// partitions and crashes, and checks that they keep their promises.
#[derive(Args)]
#[command(after_help = "\
Examples:
  shoal-sim network --new net.toml && shoal-sim network net.toml
  shoal-sim network net.toml --seed 7 --out results/ --json | jq .faults
  shoal-sim network --places --daemons 1000 --providers 20

With --places no packets are simulated, but owners of mailboxes who move from place to place as clients do, and what
a provider that keeps everything can tell of who moved where.")]
pub(crate) struct NetworkArgs {
    /// The scenario, a TOML file.
    #[arg(required_unless_present_any = ["new", "places"])]
    scenario: Option<PathBuf>,
    /// Everything random follows from it; the scenario's by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Writes summary.json and the table of messages into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Prints the summary as JSON.
    #[arg(long)]
    json: bool,
    /// Writes a commented scenario with every key into this new file, and does nothing else.
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    new: Option<PathBuf>,
    /// Tells how well providers link the places of an owner, and does nothing else.
    #[arg(long, conflicts_with_all = ["scenario", "new", "out"])]
    places: bool,
    #[command(flatten)]
    movers: MoversArgs,
}

#[derive(Args)]
struct MoversArgs {
    /// Owners: 2 to 100000.
    #[arg(long, requires = "places", default_value_t = 1000)]
    daemons: u32,
    /// Providers: 3 to 200.
    #[arg(long, requires = "places", default_value_t = 20)]
    providers: u8,
    /// How long it is watched, in lives of a place, which is a month: 2 to 100.
    #[arg(long, requires = "places", default_value_t = 12)]
    lives: u32,
    /// Texts to an owner in a day, in the median.
    #[arg(long, requires = "places", default_value_t = 20.0)]
    texts: f64,
    /// How much that differs between owners: the standard deviation of its logarithm, 0 to 5.
    #[arg(long, requires = "places", default_value_t = 0.0)]
    spread: f64,
    /// Contacts of an owner: 1 to 256.
    #[arg(long, requires = "places", default_value_t = 8)]
    contacts: u32,
    /// Hours of each day in which an owner is there, at times of his own: 24 for always.
    #[arg(long, requires = "places", default_value_t = 24.0)]
    hours: f64,
}

pub(crate) fn run(args: &NetworkArgs) -> CommandResult {
    if args.places {
        return link(args);
    }
    match (&args.new, &args.scenario) {
        (Some(path), _) => write_preset(path),
        (None, Some(path)) => simulate(args, path),
        (None, None) => Ok(Exit::Refused),
    }
}

fn link(args: &NetworkArgs) -> CommandResult {
    let it = &args.movers;
    let movers = Movers {
        daemons: it.daemons,
        providers: it.providers,
        lives: it.lives,
        texts: it.texts,
        spread: it.spread,
        contacts: it.contacts,
        hours: it.hours,
    };
    let seed = args.seed.unwrap_or(1);
    let linked = match network::link_places(&movers, seed) {
        Ok(linked) => linked,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(Exit::Refused);
        }
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&linked)?);
        return Ok(Exit::Done);
    }
    println!(
        "{} owners, {} providers, {} lives of a place; seed {seed}\n",
        it.daemons, it.providers, it.lives
    );
    println!("{:<26}{:>14}{:>16}", "", "one provider", "all together");
    let columns = |it: &Linking| {
        [
            it.pairs as f64,
            it.candidates,
            it.auc_volume,
            it.auc_hours,
            it.auc,
            it.first,
        ]
    };
    let names = [
        "moves it could link",
        "others it could be",
        "AUC by volume",
        "AUC by hours",
        "AUC by both",
        "best guess is right",
    ];
    let (one, all) = (columns(&linked.one), columns(&linked.all));
    for ((name, one), all) in names.into_iter().zip(one).zip(all) {
        println!("{name:<26}{one:>14.3}{all:>16.3}");
    }
    Ok(Exit::Done)
}

fn write_preset(path: &Path) -> CommandResult {
    let opened = OpenOptions::new().write(true).create_new(true).open(path);
    match opened {
        Ok(mut file) => file.write_all(PRESET.as_bytes())?,
        Err(error) => {
            eprintln!("error: {}: {error} (name a new file)", path.display());
            return Ok(Exit::Refused);
        }
    }
    Ok(Exit::Done)
}

fn simulate(args: &NetworkArgs, path: &Path) -> CommandResult {
    let refused = |error: &dyn Error| {
        eprintln!("error: {}: {error}", path.display());
        let mut source = error.source();
        while let Some(error) = source {
            eprintln!("  because: {error}");
            source = error.source();
        }
        Ok(Exit::Refused)
    };
    let text = match read_text(path, MAX_SCENARIO_BYTES) {
        Ok(text) => text,
        Err(error) => return refused(&error),
    };
    let scenario = match Scenario::parse(&text) {
        Ok(scenario) => scenario,
        Err(error) => return refused(&error),
    };
    let seed = args.seed.unwrap_or(scenario.seed);
    for warning in scenario.warnings() {
        eprintln!("warning: {warning}");
    }
    if let Err(reason) = tell_size(&scenario) {
        eprintln!("error: {}: {reason}", path.display());
        return Ok(Exit::Refused);
    }
    let mut shown = Shown::new(args.json);
    let report = match network::run(&scenario, seed, |progress| shown.tell(progress)) {
        Ok(report) => report,
        Err(error) => return refused(&error),
    };
    shown.bar.finish_and_clear();
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder)?;
        report.write(folder)?;
    }
    if args.json {
        println!("{}", report.summary.to_json());
    } else {
        print(&report.summary);
    }
    if let Some(failure) = &report.failure {
        return Err(complaint(failure, &report, path, seed).into());
    }
    match &report.unsettled {
        None => Ok(Exit::Done),
        Some(unsettled) => Err(too_early(unsettled, &report, path, seed).into()),
    }
}

/// Says how much a network is before it is built, if it is much.
fn tell_size(scenario: &Scenario) -> Result<(), String> {
    let size = network::size(scenario);
    if let Some(available) = memory::available()
        && !available.holds(size.bytes)
    {
        return Err(format!(
            "the network needs about {} of memory, perhaps a quarter more, and {} are {}: take fewer nodes or clients, or raise the limit",
            bytes(size.bytes),
            bytes(available.bytes),
            available.limit
        ));
    }
    if size.seconds > TOLD {
        eprintln!(
            "{} nodes and {} clients for {}: about {} on one core, and {} of memory",
            scenario.node_count(),
            scenario.client_count(),
            scenario.duration,
            time(size.seconds),
            bytes(size.bytes),
        );
    }
    Ok(())
}

fn too_early(unsettled: &Unsettled, report: &Report, path: &Path, seed: u64) -> String {
    let Unsettled {
        what,
        settle,
        needed,
        ..
    } = unsettled;
    format!(
        "it is too early to tell: {what}\n  no promise is broken: run.settle = {settle}, and {needed} are enough to tell\n  \
         seed: {seed}\n  trace: {}\n  replay: shoal-sim network {} --seed {seed}",
        report.summary.trace_hash,
        path.display(),
    )
}

fn complaint(failure: &Failure, report: &Report, path: &Path, seed: u64) -> String {
    let Failure {
        what, after, epoch, ..
    } = failure;
    format!(
        "a promise was not kept: {what}\n  after: {:.3} s of virtual time, in epoch {}\n  seed: \
         {seed}\n  trace: {}\n  replay: shoal-sim network {} --seed {seed}",
        after.as_secs_f64(),
        epoch.number(),
        report.summary.trace_hash,
        path.display(),
    )
}

/// A bar on a terminal; elsewhere a line now and then.
struct Shown {
    bar: ProgressBar,
    lines: Lines,
}

impl Shown {
    fn new(quiet: bool) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(0)
        } else {
            ProgressBar::hidden()
        };
        let template = "{bar:30} {pos}/{len} s  {msg}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self {
            bar,
            lines: Lines::new(quiet),
        }
    }

    fn tell(&mut self, progress: Progress) {
        let secs = |span: shoal_proto::Span| span.as_micros() / 1_000_000;
        let (done, duration) = (secs(progress.done), secs(progress.duration));
        let received = format!(
            "{} of {} messages received",
            progress.received, progress.sent
        );
        let what = match progress.phase {
            Phase::Starting => "the network comes up".to_owned(),
            Phase::Sending => received,
            Phase::Settling => format!("waiting for the rest: {received}"),
            _ => format!("waiting for what comes twice: {received}"),
        };
        self.bar.set_length(duration.max(done));
        self.bar.set_position(done);
        self.lines
            .say(|| format!("{done} s of virtual time, {duration} s of sending; {what}"));
        self.bar.set_message(what);
    }
}

fn print(summary: &Summary) {
    let count = |name: &str| summary.messages.get(name).copied().unwrap_or(0);
    println!(
        "{} messages sent: {} accepted, {} stored, {} received, {} expired",
        count("sent"),
        count("accepted"),
        count("stored"),
        count("received"),
        count("expired"),
    );
    for (name, times) in [
        ("stored", summary.stored_after_s),
        ("received", summary.received_after_s),
    ] {
        if let Some(times) = times {
            println!(
                "{name} after: p50 {:.2} s, p90 {:.2} s, p99 {:.2} s",
                times.p50, times.p90, times.p99
            );
        }
    }
    println!(
        "{:.0} s of virtual time, {} epochs, {} documents, {} crashes, {} times offline",
        summary.virtual_s,
        summary.epochs,
        summary.documents,
        summary.faults.get("crashes").copied().unwrap_or(0),
        summary.faults.get("offline").copied().unwrap_or(0),
    );
    println!(
        "books {} at {} checks; seed {}, trace {} of {} lines",
        summary.books, summary.checks, summary.seed, summary.trace_hash, summary.trace_lines
    );
}
