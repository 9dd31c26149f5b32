//! Configuration: defaults, then the file, then the environment, then flags; each later one wins.
//! It is parsed once, into [`NodeConfig`] or [`ClientConfig`], and nothing reads it afterwards.

mod addresses;
mod client;
mod distance;
mod error;
mod layers;
mod log;
mod mailboxes;
mod network;
mod node;
mod ranges;
mod read;
mod store;
mod units;

pub use addresses::meant;
pub use client::{ClientConfig, ClientFile, ClientFlags, DEFAULT_CLIENT_FILE};
pub use error::ConfigError;
pub use layers::{Layered, Origins, Override, Source, environment_name, known_keys};
pub use log::{LogConfig, LogFormat, LogLevel};
pub use mailboxes::{MailboxAdmission, MailboxesConfig, TokenPolicy};
pub use network::{load_network, read_network, read_recovery, with_recovery};
pub use node::{DEFAULT_NODE_FILE, FamilyClaim, LinkLimits, NodeConfig, NodeFile, NodeFlags};
pub use read::ReadError;
pub use shoal_topology::Role;
pub use store::{PostgresPlace, StoreEngine, StorePlace};
pub use units::{ByteSize, UnitError};
