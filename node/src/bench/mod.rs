//! A mix under load, measured: the real program in a process of its own, between peers over real connections
//! on loopback, which the benching process is.
//!
//! The mix is given a directory as if a network of it and its peers had agreed on a document in which it is alone in
//! its layer, so that each peer may send to it, and it to each of them. Packets are made for it, so that none is a
//! replay; every eighth is timed, which the peer that gets it knows by its blinded key.

mod ends;
mod load;
mod machine;
mod page;
mod phase;
mod place;
mod reference;
mod stock;

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use shoal_proto::Span;
use tokio::time::timeout;

use self::ends::Ends;
use self::load::Pace;
pub use self::page::Accounts;
use self::phase::Bench;
pub use self::phase::{ExcessMs, Measured};
use self::place::Place;
use self::stock::Stock;
use crate::Failure;
use crate::demo::children::Process;
use crate::runtime::Clock;

/// How long the mix may take to have its links.
const PATIENCE: Duration = Duration::from_secs(40);

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct MixPlan {
    /// Who sends to the mix, and is sent to: 1 to 32.
    pub peers: u8,
    /// Packets a second in all; none for as many as it passes on.
    pub rate: Option<f64>,
    /// How long it is measured.
    pub duration: Span,
    /// So many of the peers read nothing, in a second part.
    pub stall: u8,
    /// In a second part, so many times of what it was found to pass on is offered.
    pub overload: Option<f64>,
    /// QUIC in place of TCP.
    pub quic: bool,
    /// The mean of the delays that packets ask for.
    pub mean_delay: Span,
    /// Places in the mix's pool.
    pub pool: usize,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Benched {
    /// What unwrapped.
    pub backend: String,
    /// Before others stalled or too much was offered, if that was to be.
    pub before: Option<Measured>,
    /// What was asked for.
    pub measured: Measured,
    /// Since the mix began, when all that was sent had left.
    pub accounts: Accounts,
    /// The most that it ever had in memory, in bytes.
    pub memory_peak: u64,
}

/// Measures a mix, whose files are made in this directory. `progress` is told a line now and then.
///
/// # Errors
/// [`Failure`]: what it could not be measured for.
pub async fn mix(
    plan: &MixPlan,
    within: &Path,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<Benched, Failure> {
    let clock = Clock::start();
    let mut place = Place::make(within, plan, clock.now())?;
    let stock = Stock::new(&place)?;
    let mut ends = Ends::start(&mut place, clock)?;
    let log = within.join("mix.log");
    let dir = place.dir.display().to_string();
    let arguments = ["node", "run", "--dir", &dir];
    let mut process = Process::start("the mix", &arguments, &log).map_err(Failure::failed)?;
    let ready = async {
        process.wait_for("ready").await.map_err(Failure::failed)?;
        ends.linked().await
    };
    let ready = timeout(PATIENCE, ready).await;
    ready
        .unwrap_or_else(|_| Err(Failure::failed(anyhow!("the mix did not come up in time"))))
        .map_err(|error| with_log(&error, &log))?;
    let id = process
        .id()
        .ok_or_else(|| Failure::failed(anyhow!("the mix has ended")))?;
    let mut bench = Bench {
        place,
        ends,
        clock,
        process: id,
        stock: Some(stock),
        progress,
    };
    let benched = run(plan, &mut bench).await;
    let stopped = process.stop().await.map_err(Failure::failed)?;
    let benched = benched.map_err(|error| with_log(&error, &log))?;
    match stopped.success() {
        true => Ok(benched),
        false => Err(with_log(&anyhow!("the mix ended badly: {stopped}"), &log)),
    }
}

async fn run(plan: &MixPlan, bench: &mut Bench<'_>) -> Result<Benched, Failure> {
    let pace = plan.rate.map_or(Pace::Flat, Pace::Rate);
    let (before, measured) = if let Some(times) = plan.overload {
        let before = bench.measure("flat out", pace, plan, 0).await?;
        let rate = before.forwarded_per_second * times;
        let measured = bench
            .measure("overload", Pace::Rate(rate), plan, usize::from(plan.stall))
            .await?;
        (Some(before), measured)
    } else if plan.stall > 0 {
        let before = bench.measure("all peers read", pace, plan, 0).await?;
        // What is offered stays the same, or it would be the window that is measured.
        let pace = plan.rate.unwrap_or(before.forwarded_per_second * 0.5);
        let before = match plan.rate {
            Some(_) => before,
            None => {
                bench
                    .measure("half of that", Pace::Rate(pace), plan, 0)
                    .await?
            }
        };
        let measured = bench
            .measure(
                "some stall",
                Pace::Rate(pace),
                plan,
                usize::from(plan.stall),
            )
            .await?;
        (Some(before), measured)
    } else {
        (None, bench.measure("the mix", pace, plan, 0).await?)
    };
    let page = bench.page().await?;
    Ok(Benched {
        backend: page.backend().unwrap_or_default(),
        before,
        measured,
        accounts: page.accounts(),
        memory_peak: machine::memory_peak(bench.process).map_err(Failure::failed)?,
    })
}

/// What the mix said of itself at last stands in its log, which goes with its directory.
fn with_log(error: &dyn std::fmt::Display, log: &Path) -> Failure {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    let last: String = lines
        .into_iter()
        .rev()
        .map(|line| format!("\n  {line}"))
        .collect();
    Failure::failed(anyhow!("{error}; the mix said at last:{last}"))
}
