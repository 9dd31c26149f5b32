//! The `shoal` binary as a library: libp2p, threads and queues around the roles, the client
//! daemon with its local control socket, what a node keeps on disk, configuration, metrics and
//! the command line.
//!
//! It decides nothing about the protocol: that is the business of the crates to its left, whose
//! roles know neither sockets nor clocks.
//!
//! * [`config`]: [`config::NodeConfig`] and [`config::ClientConfig`], parsed once from defaults,
//!   file, environment and flags.
//! * [`state`]: key files, the replay log, the directory's state and the client's database.
//! * [`control`]: the local API of the client daemon, over a Unix domain socket.
//! * [`cli`]: one function for each command of `shoal`.
//! * [`metrics`], [`http`], [`logging`]: what an operator sees.
//!
//! ```
//! use shoal_node::config::ByteSize;
//!
//! assert_eq!("256 MiB".parse(), Ok(ByteSize::mebibytes(256)));
//! ```

pub mod cli;
pub mod config;
pub mod control;
pub mod demo;
#[doc(hidden)]
pub mod fuzz;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod runtime;
pub mod state;
