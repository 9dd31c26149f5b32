//! The simulator behind `shoal-sim`.
//!
//! There are two ways to simulate, and a test holds them against each other.
//!
//! **Scenarios** are for research: thousands to millions of clients whose packets are times and
//! places and nothing else. A [`Scenario`](scenario::Scenario) is read from TOML and becomes an
//! [`engine::Plan`]; [`engine::run`] simulates it and shows it to an [`engine::Observer`];
//! [`adversary`] and [`metrics`] make of it what each adversary can; [`run::execute`] repeats it on
//! all cores and gives a [`run::Report`]. Path choice, delay sampling and client schedules are those
//! of the network's own crates. [`theory`] has the closed forms, [`reproduce`] the published figures,
//! [`sweep`] and [`advise`] are built from runs.
//!
//! ```
//! use shoal_simulations::run::{self, Options, Unwatched};
//! use shoal_simulations::scenario::{Preset, Scenario};
//!
//! let preset = Preset::find("single-mix").ok_or("no such preset")?;
//! let mut scenario = Scenario::parse(preset.text)?;
//! scenario.set("run.measure", "200s".into())?;
//! let options = Options { repetitions: Some(3), ..Options::default() };
//! let report = run::execute(&scenario, &options, &Unwatched)?;
//! let entropy = report.summary("entropy_forward_messages", Some("global"));
//! // 3.7549 bits is exact at rho = 5.
//! assert!(entropy.and_then(|e| e.mean).is_some_and(|bits| (bits - 3.75).abs() < 0.5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`network`] reads scenarios for the real roles in virtual time, with faults: see `shoal-harness`.
//!
//! - Reproducible: every part draws from a generator of its own. A scenario's seed gives the same
//!   bytes on any machine at any number of threads.
//! - Honest: each value carries a [`Claim`](measure::Claim): exact, an approximation by name, a
//!   bound, an attack, a count, or nothing where no inference is sound.
//!
//! It never opens a socket, holds a second copy of protocol logic, or lets a clock into a result.
//!
//! Sources: "The Loopix Anonymity System" (2017) for what is simulated; each module names its own.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )
)]

pub mod adversary;
pub mod advise;
pub mod clock;
pub mod engine;
pub mod input;
pub mod measure;
pub mod memory;
pub mod metrics;
pub mod network;
pub mod plot;
pub mod profiles;
pub mod reproduce;
pub mod run;
pub mod scenario;
pub mod seed;
pub mod sweep;
pub mod table;
pub mod theory;

pub use shoal_stats as stats;
pub use shoal_stats::math;
