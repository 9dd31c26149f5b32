//! `shoal-sim advise`.

use std::{io::IsTerminal, path::PathBuf};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use shoal_simulations::advise::{
    self, Answer, Latencies, Proposal, Request, Thoroughness, network_parameters,
};

use super::{CommandResult, Exit};

/// Propose layers, widths, delays and rates that fit what users need.
///
/// The objective is the 5th percentile, over messages, of the min-entropy over users against
/// somebody who sees every link and has corrupted a share of the mixes. Exits with 3 if nothing
/// fits.
#[derive(Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Advise {
    /// Users in all.
    #[arg(long)]
    users: u64,
    /// Latency that 99% of the messages keep, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    p99: f64,
    /// Bytes per second of each client, both directions together.
    #[arg(long, value_name = "BYTES_PER_S")]
    bandwidth: f64,
    /// The share of the mixes that is corrupt, 0 to 0.95.
    #[arg(long, value_name = "SHARE")]
    corrupt: f64,
    /// Bound on the probability that a path is corrupt throughout.
    #[arg(long, value_name = "P", default_value_t = 0.01)]
    max_corrupt_path: f64,
    /// Which latency is bounded.
    #[arg(long, value_enum, default_value_t = Latency::Delivery)]
    latency: Latency,
    /// Delay of every link, as 40ms.
    #[arg(long, value_name = "TIME", default_value = "40ms", value_parser = seconds)]
    link: f64,
    /// The share of the users that is online at a time.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    active: f64,
    /// Messages that a user sends per second while online; fifty a day by default.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 50.0 / 86_400.0)]
    message_rate: f64,
    /// People whom a user writes to.
    #[arg(long, default_value_t = 20)]
    contacts: u32,
    /// Most mixes in all; as many as it takes by default.
    #[arg(long, value_name = "MAX")]
    mixes: Option<u32>,
    /// Packets per second that a mix can carry.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 5000.0)]
    mix_capacity: f64,
    /// Least mixes of a layer.
    #[arg(long, value_name = "MIXES", default_value_t = 2)]
    min_width: u32,
    /// Most layers: up to 12, though networks take at most 3.
    #[arg(long, value_name = "LAYERS", default_value_t = 8)]
    max_layers: u32,
    /// Seed of the simulations.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulate less.
    #[arg(long)]
    quick: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Write the proposal as network parameters.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Latency {
    /// From the sender's client to the receiver's, with the waits for their clocks.
    Delivery,
    /// From leaving the sender's client to the receiver's provider.
    Path,
}

pub(crate) fn run(args: &Advise) -> CommandResult {
    let request = args.request();
    if let Err(error) = request.validate() {
        eprintln!("error: {error}");
        return Ok(Exit::Refused);
    }
    let progress = Progress::new();
    let answer = advise::advise(&request, &mut |text| progress.say(text))?;
    progress.bar.finish_and_clear();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        print!("{answer}");
    }
    match (&answer, &args.write) {
        (Answer::Infeasible(_), _) => Ok(Exit::No),
        (Answer::Proposal(proposal), Some(file)) => write(proposal, file),
        (Answer::Proposal(_), None) => Ok(Exit::Done),
    }
}

fn write(proposal: &Proposal, file: &std::path::Path) -> CommandResult {
    let parameters = match network_parameters(&proposal.network) {
        Ok(parameters) => parameters,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(Exit::Refused);
        }
    };
    std::fs::write(file, parameters.to_toml())
        .map_err(|error| format!("{} can't be written: {error}", file.display()))?;
    eprintln!(
        "wrote {}: fill in its name, genesis_time and genesis_members",
        file.display()
    );
    Ok(Exit::Done)
}

impl Advise {
    fn request(&self) -> Request {
        Request {
            max_corrupt_path: self.max_corrupt_path,
            latency: match self.latency {
                Latency::Delivery => Latencies::Delivery,
                Latency::Path => Latencies::Path,
            },
            link: self.link,
            active: self.active,
            message_rate: self.message_rate,
            contacts: self.contacts,
            max_mixes: self.mixes,
            mix_capacity: self.mix_capacity,
            min_width: self.min_width,
            max_layers: self.max_layers,
            seed: self.seed,
            thoroughness: if self.quick {
                Thoroughness::QUICK
            } else {
                Thoroughness::FULL
            },
            ..Request::new(self.users, self.p99, self.bandwidth, self.corrupt)
        }
    }
}

/// A line that is rewritten on a terminal; elsewhere a line for each part of the work.
struct Progress {
    bar: ProgressBar,
    terminal: bool,
    part: std::cell::RefCell<String>,
}

impl Progress {
    fn new() -> Self {
        Self {
            bar: ProgressBar::new_spinner(),
            terminal: std::io::stderr().is_terminal(),
            part: std::cell::RefCell::new(String::new()),
        }
    }

    fn say(&self, text: &str) {
        if self.terminal {
            self.bar.set_message(text.to_owned());
            self.bar.tick();
            return;
        }
        let part = text.split(": ").next().unwrap_or(text);
        if *self.part.borrow() != part {
            eprintln!("{part}");
            part.clone_into(&mut self.part.borrow_mut());
        }
    }
}

/// A number of seconds, or one with the unit `us`, `ms`, `s` or `m`.
fn seconds(text: &str) -> Result<f64, String> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    let (number, unit) = units
        .into_iter()
        .find_map(|(name, unit)| text.strip_suffix(name).map(|number| (number, unit)))
        .unwrap_or((text, 1.0));
    number
        .trim()
        .parse::<f64>()
        .map(|number| number * unit)
        .map_err(|_| format!("{text:?} is no time: give seconds, or a unit as in 40ms"))
}
