//! A whole network of Shoal in virtual time: the harness that runs the same role cores as the
//! node, from a seed and without sockets.
//!
//! [`Network`] hosts mixes, providers and clients: the `Directory`, `Gate`, `Relay`, `Provider`
//! and `Client` of the other crates, and nothing of its own that a protocol would have to say.
//! What the node does with libp2p, threads and SQLite is replaced: links have a delay and lose
//! what they lose, disks are memory that survives a crash and take a while to write, gossip is a
//! flood among neighbours, and time jumps from one event to the next.
//!
//! - Reproducible: every party, link and disk draws from a generator of its own, and events at one
//!   instant happen in the order in which they were caused. One seed gives one [trace](TraceHash)
//!   of events. It does not give the same ciphertext, because some libraries draw randomness of
//!   their own; so the trace holds none.
//! - Accounted for: [`Network::check`] compares what links counted with what the cores counted,
//!   frame by frame.
//! - [`stats`] holds the statistics that tests of timing need.
//!
//! It never opens a socket, reads a clock, or holds a second copy of protocol logic.
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
pub mod math;
pub mod measure;
pub mod metrics;
pub mod network;
pub mod plot;
pub mod reproduce;
pub mod run;
pub mod scenario;
pub mod seed;
pub mod stats;
pub mod sweep;
pub mod table;
pub mod theory;

pub use harness::{
    Audit, Fault, FaultCounts, Flow, FlowEvent, Happening, Imbalance, Kind, Ledger, LinkDelay,
    LinkFault, Network, NetworkBuilder, Observation, PacketKind, Party, SimulationError,
    TraceEvent, TraceHash, Trouble, Truth,
};
