//! A whole network of Shoal in virtual time: the compositions of `shoal-roles`, run from a seed and
//! without sockets.
//!
//! [`Network`] hosts nodes and clients: the `Node` and `Session` that the real hosts carry, and
//! nothing of its own that a protocol would have to say. What the node does with libp2p, threads and
//! SQLite is replaced: links have a delay and lose what they lose, disks are memory that survives a
//! crash and take a while to write, gossip is a flood among neighbours, jobs are done at once and
//! each distinct one once, and time jumps from one event to the next. It decides on no rate, no
//! patience and no retry, and chooses nobody.
//!
//! - Reproducible: every part draws from a generator of its own. A seed gives one [trace](TraceHash)
//!   of events, not the same ciphertext, because some libraries draw randomness of their own; so the
//!   trace holds none.
//! - Accounted for: [`Network::check`] compares what links counted with what the cores counted,
//!   frame by frame.
//! - Broken on purpose: [`Network::schedule`] cuts links, ends processes and fails disks.
//!
//! It never opens a socket, holds a second copy of protocol logic, or lets a clock into a result.
//!
//! ```
//! use shoal_client::ClientEvent;
//! use shoal_harness::Network;
//! use shoal_proto::Span;
//!
//! let mut network = Network::builder(1).mixes(3, 1).clients(2, "default").build()?;
//! assert!(network.bring_up(Span::from_secs(60))?);
//! let clients: Vec<_> = network.clients().collect();
//!
//! network.send(clients[0], clients[1], "hello")?;
//! let received = |network: &Network| {
//!     let mut events = network.happenings().iter().filter_map(|h| h.client_event());
//!     events.any(|e| matches!(e, ClientEvent::Received { text, .. } if **text == b"hello"))
//! };
//! assert!(network.run_until_done(Span::from_secs(60), received)?);
//! network.check()?;
//! # Ok::<(), shoal_harness::SimulationError>(())
//! ```
//!
//! Size: a network has at most [`MAX_MEMBERS`](shoal_topology::MAX_MEMBERS) nodes. Every node hears
//! of every other's descriptor, so that work grows with their square, once in each epoch;
//! `examples/large.rs` says what a network of a given size takes.
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

mod audit;
mod bits;
mod builder;
mod client;
mod conditions;
mod disk;
mod error;
mod event;
mod faults;
mod flow;
mod inspect;
mod ledger;
mod link;
mod memo;
mod mesh;
mod network;
mod node;
mod observe;
mod party;
mod queue;
mod report;
mod trace;
mod trouble;
mod world;

pub use audit::Audit;
pub use builder::NetworkBuilder;
pub use error::{Imbalance, SimulationError};
pub use faults::{Fault, FaultCounts, LinkFault, Trouble};
pub use flow::{Flow, FlowEvent, PacketKind};
pub use ledger::Ledger;
pub use link::LinkDelay;
pub use network::Network;
pub use observe::{Observation, Truth};
pub use party::Party;
pub use report::{Happening, Notice};
pub use trace::{Kind, TraceEvent, TraceHash};
