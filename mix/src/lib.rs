//! What every node of Shoal does with packets, mix or provider: admission, unwrapping, the replay
//! filter, the delay pool, loops of its own, and books in which no packet is missing.
//!
//! This crate opens no socket, reads no clock and draws no ambient randomness. It never reads
//! what a provider is told (that is `shoal-provider`), and never sends to who is not in the
//! position after its own: provider, layer 1, 2, .. L, provider.
//!
//! One packet's way:
//! 1. [`Gate::admit`], on the thread that reads the link: cheap checks. From here on a
//!    [`Passage`] goes with the packet and tells the books ([`Accounting`]) where it is.
//! 2. [`UnwrapQueue`]: a line for each sender, served in turn.
//! 3. [`Gate::unwrap_batch`], on a worker: cryptography, replay filter, next hop.
//! 4. [`Relay`], on one thread: the pool. The packet's replay tag goes to the log
//!    ([`RelayAction::LogTag`]); once that is durable and the packet's delay since its arrival is
//!    over, it leaves as [`RelayAction::Send`] or [`RelayAction::Deliver`].
//! 5. The link takes the frame ([`Passage::sent`]), or it is dropped ([`Passage::drop_as`]).
//!
//! Nobody uses up for others what there is of places in the queue, tags in the replay filter and
//! packets in the pool: each sender has its part of them.
//!
//! After a restart: keys that outlived it need their tags back ([`Gate::restore_tags`]) before
//! the first frame comes in. A packet leaves only after its tag is durable, so no crash opens a
//! window for replays.
//!
//! ```
//! use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//! use shoal_mix::{Accounting, DropReason, Gate, Origin, Relay, RelayAction, RelayInput, RelayLimits};
//! use shoal_packet::Frame;
//! use shoal_proto::{NodeId, Time, size::FRAME_BYTES};
//! use shoal_topology::{NetworkParameters, Role};
//! use std::sync::Arc;
//!
//! let params = Arc::new(NetworkParameters::example());
//! let (local, limits, books) = (NodeId::new([1; 32]), RelayLimits::default(), Accounting::new());
//! let gate = Gate::new(params.clone(), local, Role::Mix, limits.clone(), books.clone());
//! let [rng, drops] = [1, 2].map(ChaCha20Rng::seed_from_u64);
//! let (mut queue, now) = (gate.queue(drops), params.genesis);
//! let mut relay = Relay::new(params, local, limits, books.clone(), rng, now);
//!
//! let peer = Origin::Member(NodeId::new([2; 32]));
//! match gate.admit(now, peer, Frame::from_bytes(&[0; FRAME_BYTES])?) {
//!     Ok(admitted) => {
//!         queue.push(admitted)?;
//!         for packet in gate.unwrap_batch(now, queue.take(now)).into_iter().flatten() {
//!             relay.handle_input(now, RelayInput::Processed(packet));
//!         }
//!     }
//!     Err(reason) => assert_eq!(reason, DropReason::NoView), // there is no document yet
//! }
//! while let Some(action) = relay.poll_action(now) {
//!     match action {
//!         RelayAction::Send { to: _, frame: _, passage } => passage.sent(),
//!         RelayAction::LogTag { sequence, .. } => {
//!             relay.handle_input(now, RelayInput::TagsDurable { upto: sequence });
//!         }
//!         _ => {}
//!     }
//! }
//! let snapshot = books.snapshot();
//! assert!(snapshot.balanced());
//! assert_eq!(snapshot.dropped(DropReason::NoView), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Sources: A. Piotrowska et al., "The Loopix Anonymity System", 2017 (Poisson mixing, loops and
//! what they detect: sections 4.1 and 4.2); G. Danezis and I. Goldberg, "Sphinx", 2009 (replay
//! tags: section 3.6).

mod accounting;
mod admission;
mod alarm;
mod config;
mod error;
mod excess;
mod gate;
mod hearing;
mod keys;
mod loops;
mod pool;
mod queue;
mod reason;
mod relay;
mod replay;
mod share;
mod snapshot;

pub use accounting::{Accounting, Passage};
pub use admission::{Admitted, Origin};
pub use alarm::{LoopAlarm, LoopReturns, LoopVerdict};
pub use config::RelayLimits;
pub use error::LimitError;
pub use excess::Excess;
pub use gate::{Gate, Processed, ProcessedKind};
pub use queue::UnwrapQueue;
pub use reason::DropReason;
pub use relay::{Relay, RelayAction, RelayInput};
pub use snapshot::{Counters, METRICS, OwnKind, OwnTraffic, Snapshot, Stage};
