//! The compositions of Shoal: what joins the roles into a whole node, and a client with its session.
//!
//! The roles (`shoal-mix`, `shoal-provider`, `shoal-client` and the directory in `shoal-topology`) are
//! cores; what stands between them is protocol too, and stands here, once: who may send packets, how
//! much, what is answered to whom, what has to be on disk first, whom a client asks and believes, and
//! when it tries again. The libp2p node, the network in virtual time and a browser carry the same
//! compositions.
//!
//! This crate opens no socket, reads no clock, writes no disk and draws no ambient randomness.
//!
//! - [`node::Node`]: relay, provider role, directory, attachments, rate limits, requests and answers,
//!   health, drain. [`node::Intake`] is the way of frames into it, from any thread.
//! - [`client::Session`]: documents, clock correction, choice of entry, attaching, waiting between
//!   tries, and the client role inside.
//!
//! # The contract with a host
//!
//! A host carries bytes, time, disk and heavy work, and decides nothing.
//!
//! 1. It gives what happens with `handle_input(now, …)`, then calls `poll_action(now)` until that gives
//!    nothing, and does each action in the order in which it comes.
//! 2. It comes back at `poll_deadline()`, if nothing happens before: a node by polling again, a session
//!    by `handle_timeout(now)` and polling. `now` is the host's clock and never goes back.
//! 3. **Bytes.** A frame that came goes through [`node::Intake::admit`], the queue that
//!    [`node::Intake::queue`] gives and, on a thread of its own, [`node::Intake::unwrap`]. A frame that leaves is put on its link at once or
//!    dropped at once, and its passage says which. Where a peer is, is told before that it is connected. A
//!    request is answered, refused, or its ticket is dropped with the connection.
//! 4. **Disk.** What is to be durable comes back as an input when it is, and not before: replay tags,
//!    groups of changes of the directory, operations of the store, a client's rows. Each of these four
//!    goes in order; among each other they may overtake. Failing is an answer too.
//! 5. **Heavy work.** A [`node::NodeJob`] or [`client::SessionJob`] is pure, and may run anywhere: `run` it
//!    and bring what it gives. No job may be lost while the process lives.
//! 6. Nothing else. A host that has to decide something has found a hole in this contract.
//!
//! ```
//! use std::sync::Arc;
//!
//! use rand::SeedableRng;
//! use rand_chacha::ChaCha20Rng;
//! use shoal_mix::DropReason;
//! use shoal_packet::Engine;
//! use shoal_roles::node::{Node, NodeAction, NodeEvent, NodeInput, NodeSetup, Trouble};
//! use shoal_topology::{Identity, LocalNode, NetworkParameters, Restored, Role};
//!
//! let mut rng = ChaCha20Rng::seed_from_u64(1);
//! let params = Arc::new(NetworkParameters::example());
//! let local = LocalNode {
//!     identity: Arc::new(Identity::generate(&mut rng)),
//!     role: Role::Mix,
//!     addresses: vec!["/ip4/192.0.2.1/tcp/4000".parse()?],
//!     family: None,
//!     invitation: None,
//!     capacity_class: 0,
//!     storage_mib: 0,
//!     tokens: None,
//! };
//! let setup = NodeSetup {
//!     params: params.clone(),
//!     local,
//!     relay: Default::default(),
//!     provider: Default::default(),
//!     engine: Engine::best(),
//!     restored: Restored::default(),
//!     tags: Vec::new(),
//! };
//! let now = params.genesis;
//! let mut node = Node::new(setup, &mut rng, now);
//!
//! let mut published = 0;
//! let mut troubles = Vec::new();
//! while let Some(action) = node.poll_action(now) {
//!     match action {
//!         // Here the disk is quick.
//!         NodeAction::Persist { ticket, .. } => {
//!             node.handle_input(now, NodeInput::Persisted { ticket });
//!         }
//!         NodeAction::Job(job) => node.handle_input(now, NodeInput::Done(job.run())),
//!         NodeAction::Publish(_descriptor) => published += 1,
//!         NodeAction::Event(NodeEvent::NotReady(why)) => troubles = why,
//!         _ => {}
//!     }
//! }
//! // It has told who it is, and waits for the others.
//! assert_eq!(published, 1);
//! assert_eq!(troubles, [Trouble::NoDocument { missing: 0, of: 0 }]);
//! assert!(node.poll_deadline().is_some_and(|at| at > now));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Sources: the run loop of str0m's `Rtc` and the two layers of quinn-proto, for the form; "The Loopix
//! Anonymity System" (2017), for what is composed.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )
)]

pub mod client;
pub mod node;
mod request;

pub use request::RequestKind;
