//! The simulator behind `shoal-sim`, and a whole network of Shoal in virtual time.
//!
//! Two ways to simulate share one crate, and a test holds them against each other.
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
//! **The harness** runs the real roles from a seed and without sockets. [`Network`] hosts mixes,
//! providers and clients: the `Directory`, `Gate`, `Relay`, `Provider` and `Client` of the other
//! crates, and nothing of its own that a protocol would have to say. What the node does with libp2p,
//! threads and SQLite is replaced: links have a delay and lose what they lose, disks are memory that
//! survives a crash and take a while to write, gossip is a flood among neighbours, and time jumps
//! from one event to the next. [`network`] reads scenarios for it, with faults.
//!
//! - Reproducible: every part draws from a generator of its own. A scenario's seed gives the same
//!   bytes on any machine at any number of threads. A seed of the harness gives one
//!   [trace](TraceHash) of events, not the same ciphertext, because some libraries draw randomness
//!   of their own; so the trace holds none.
//! - Honest: each value carries a [`Claim`](measure::Claim): exact, an approximation by name, a
//!   bound, an attack, a count, or nothing where no inference is sound.
//! - Accounted for: [`Network::check`] compares what links counted with what the cores counted,
//!   frame by frame.
//!
//! It never opens a socket, holds a second copy of protocol logic, or lets a clock into a result.
//!
//! ```
//! use shoal_client::ClientEvent;
//! use shoal_proto::Span;
//! use shoal_simulations::Network;
//!
//! let mut network = Network::builder(1).mixes(3, 1).clients(2, "default").build()?;
//! assert!(network.bring_up(Span::from_secs(60))?);
//! let clients: Vec<_> = network.clients().collect();
//!
//! network.send(clients[0], clients[1], "hello")?;
//! let received = |network: &Network| {
//!     let mut happenings = network.happenings().iter();
//!     happenings.any(|h| matches!(&h.event, ClientEvent::Received { text, .. } if **text == b"hello"))
//! };
//! assert!(network.run_until_done(Span::from_secs(60), received)?);
//! network.check()?;
//! # Ok::<(), shoal_simulations::SimulationError>(())
//! ```
//!
//! Sources: the seeded network emulators of quinn-proto and str0m; "The Loopix Anonymity System"
//! (2017) for what is simulated.

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
mod harness;
pub mod measure;
pub mod metrics;
pub mod network;
pub mod plot;
pub mod reproduce;
pub mod run;
pub mod scenario;
pub mod seed;
pub mod sweep;
pub mod table;
pub mod theory;

pub use shoal_stats as stats;
pub use shoal_stats::math;

pub use harness::{
    Audit, Fault, FaultCounts, Flow, FlowEvent, Happening, Imbalance, Kind, Ledger, LinkDelay,
    LinkFault, Network, NetworkBuilder, Observation, PacketKind, Party, SimulationError,
    TraceEvent, TraceHash, Trouble, Truth,
};
