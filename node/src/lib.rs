//! What the `shoal` binary is made of: libp2p, threads and queues around the roles, the client
//! daemon with its local API, what a node keeps on disk, configuration and metrics. The
//! command line is the binary's own.
//!
//! It decides nothing about the protocol: that is the business of the crates to its left, whose
//! roles know neither sockets nor clocks.
//!
//! * [`config`]: [`config::NodeConfig`] and [`config::ClientConfig`], parsed once from defaults,
//!   file, environment and flags.
//! * [`state`]: key files, the replay log, the directory's state and the client's database.
//! * [`control`]: the local API of the client daemon, and how a node is: HTTP on a Unix domain socket.
//! * [`doctor`]: what keeps a node from its work, looked for from outside.
//! * [`chat`]: the client daemon's face in a terminal, over the local API and nothing else; [`qr`] draws invitations.
//! * [`runtime`], [`demo`]: the daemons, and a network of them on one machine; [`bench`](mod@bench) measures one.
//! * `messagebox`: the client daemon as a server of message boxes, for programs of that world.
//! * [`directory`]: nodes asked by hand what they go by, and their answers verified.
//! * [`Exit`], [`Failure`]: how each of them ends, with the exit code.
//! * [`metrics`], [`http`], [`logging`]: what an operator sees.
//!
//! ```
//! use shoal_node::config::ByteSize;
//!
//! assert_eq!("256 MiB".parse(), Ok(ByteSize::mebibytes(256)));
//! ```

pub mod bench;
pub mod chat;
pub mod config;
pub mod control;
mod conversations;
pub mod demo;
pub mod directory;
pub mod doctor;
mod error;
mod files;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod http;
pub mod logging;
mod messagebox;
pub mod metrics;
pub mod net;
pub mod page;
pub mod profiles;
pub mod qr;
pub mod runtime;
mod seed;
pub mod state;
mod upnp;
pub mod userfile;

pub use error::{Exit, Failure};
pub use seed::seeded;
