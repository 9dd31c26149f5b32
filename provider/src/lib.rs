//! The provider role of Shoal.

mod clock;
mod counters;
mod delivery;
mod entry;
mod error;
mod io;
mod limits;
mod mailboxes;
mod memory;
mod provider;
mod reason;
mod replies;
mod sqlite;
mod store;
mod window;

pub use counters::Counters;
pub use error::StoreError;
pub use io::{AttachAnswer, Delivered, ProviderAction, ProviderInput, SendKind};
pub use limits::{ENTRY_BYTES, Limits, REMEMBERED_BYTES, StoreLimits};
pub use memory::MemoryStore;
pub use provider::Provider;
pub use reason::DropReason;
pub use sqlite::{SqliteOptions, SqliteStore};
pub use store::{Change, EntryId, Store, StoreOp, StoreOutcome, StoreResult, StoredEntry, Usage};
pub use window::Window;
