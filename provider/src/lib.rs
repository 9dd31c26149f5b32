//! The provider role of Shoal: what happens at the final hop. Two jobs in one role.
//!
//! - **Entry**: the live connection of a client. Payloads for it wait in a bounded queue, and a
//!   Poisson clock at the rate of its profile sends one frame for each tick: what waits, or
//!   random filler. An entry can't tell a client's loops from replies to it.
//! - **Mailbox**: storage for people who are away. Deposits are stored and answered, each once
//!   20 ms and an exponential time after it came in. Owners bring reply blocks; a Poisson clock for
//!   each mailbox spends one for each tick, on an entry or on nothing.
//!
//! This crate opens no socket, reads no clock, draws no ambient randomness, and reads no message:
//! what it stores is sealed for somebody else. The one kind of IO is that of the stores, [`SqliteStore`]
//! and, with the feature `postgres`, `PostgresStore`.
//!
//! - [`Provider`] is the core: [`ProviderInput`] and the time go in, [`ProviderAction`] and the
//!   next deadline come out. [`Limits`] bounds all it holds, [`Counters`] tells what it did.
//! - [`Issuer`] is what mailboxes are opened for: with it, a provider issues blind tokens, and takes each once.
//! - [`Checker`] decodes and verifies what is delivered, before the core and outside its loop.
//! - [`Store`] is where mailboxes are kept: [`SqliteStore`] on disk, [`MemoryStore`] for virtual
//!   time. The caller runs it, on a thread of its own, and carries [`StoreOp`]s to it and
//!   [`StoreResult`]s back.
//! - [`OfflineStore`] is a store that no provider has open, to be looked at, verified ([`Report`]) and copied
//!   ([`export`], [`import`]).
//!
//! ```
//! use std::sync::Arc;
//! use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//! use shoal_proto::{ClientHandle, NodeId, Span};
//! use shoal_provider::{
//!     Limits, MemoryStore, Provider, ProviderAction, ProviderInput, Store, StoreLimits,
//! };
//! use shoal_topology::NetworkParameters;
//!
//! let params = Arc::new(NetworkParameters::example());
//! let mut now = params.genesis;
//! let mut store = MemoryStore::new(StoreLimits::default());
//! let rng = ChaCha20Rng::seed_from_u64(1);
//! let local = NodeId::new([1; 32]);
//! let mut provider = Provider::new(params, local, Limits::default(), rng, now);
//!
//! let handle = ClientHandle::new([2; 32]);
//! let attached = ProviderInput::Attached { handle, profile: "default".to_owned() };
//! provider.handle_input(now, attached);
//! let end = now + Span::from_secs(10);
//! let mut frames = 0;
//! while now < end {
//!     while let Some(action) = provider.poll_action(now) {
//!         match action {
//!             ProviderAction::ToClient { .. } => frames += 1,
//!             ProviderAction::Store { ticket, op } => {
//!                 for result in store.apply(now, vec![op]) {
//!                     let done = ProviderInput::StoreDone { ticket, result };
//!                     provider.handle_input(now, done);
//!                 }
//!             }
//!             _ => {}
//!         }
//!     }
//!     now = provider.poll_deadline().unwrap_or(end);
//! }
//! assert!((40..120).contains(&frames), "about 8 a second: {frames}");
//! ```
//!
//! Sources: "The Loopix Anonymity System" (2017), sections 3 and 4 (providers, loops, Poisson
//! traffic); single-use reply blocks: "Sphinx" (2009), section 3.2; anti-replay windows: RFC 4303.

pub mod bench;
mod check;
mod clocks;
mod counters;
mod desk;
mod documents;
mod entry;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod hourly;
mod inventory;
mod io;
mod limits;
pub mod load;
mod mailboxes;
mod memory;
mod offline;
#[cfg(feature = "postgres")]
mod postgres;
mod provider;
mod reason;
mod replies;
mod seal;
mod sqlite;
mod store;
mod times;
mod tokens;
mod window;

pub use check::{Checked, Checker};
pub use counters::{Counters, PacketCounters};
pub use desk::StoreCounters;
pub use entry::EntryCounters;
pub use error::StoreError;
pub use inventory::{Due, DueRow, INVENTORY_DAYS, by_day};
pub use io::{AttachAnswer, ProviderAction, ProviderInput};
pub use limits::{ENTRY_BYTES, Limits, REMEMBERED_BYTES, StoreLimits};
pub use mailboxes::MailboxCounters;
pub use memory::MemoryStore;
pub use offline::copy::{Copied, CopyError, export, import};
pub use offline::record::{DropRecord, EntryRecord, MailboxRecord, Record};
pub use offline::report::{Exceeded, Fault, Report, Step};
pub use offline::{OfflineStore, StoreAt, StoreEngine, StoreStats};
#[cfg(feature = "postgres")]
pub use postgres::{
    LoadedTags, PostgresOptions, PostgresState, PostgresStore, StateChange, StateLane, StateRow,
    TagBatch, Takeover,
};
pub use provider::Provider;
pub use reason::{DropReason, Drops};
pub use replies::ReplyCounters;
pub use seal::StoreKey;
pub use sqlite::{SqliteOptions, SqliteStore};
pub use store::{
    Claim, EntryId, Opening, SpentToken, Store, StoreOp, StoreOutcome, StoreResult, StoredEntry,
    Usage,
};
pub use tokens::{Issuer, IssuerCode, RefusedToken, RefusedTokens, TokenCounters};
pub use window::Window;
