//! The local API of a client's daemon, and how a node is: HTTP on a Unix domain socket in the state directory, of mode
//! 0600, that only processes of the same user may speak to; of a client also on loopback, if it is asked for, for who
//! has the token. A node says on it how it is, and nothing else.
//!
//! [`ControlServer`] listens, for the routes of [`api`] with a [`Handler`] behind them; [`ControlClient`] is the side of
//! the commands. [`protocol`] has what goes over it.

pub mod api;
mod appear;
mod client;
mod events;
mod guard;
mod links;
mod patient;
mod places;
pub mod protocol;
mod server;
mod socket;
mod sse;
mod token;
mod wire;

pub use api::{Page, PageLink};
pub use client::{ControlClient, ControlError, unexpected};
pub use events::{EventId, Events, Follower};
pub(crate) use server::serve_open;
pub use server::{ControlServer, Handler, Limits, TcpDoor};
pub use socket::SOCKET_FILE;
#[cfg(any(test, fuzzing))]
pub(crate) use sse::Parser as EventParser;
pub use token::{TOKEN_FILE, Token};
