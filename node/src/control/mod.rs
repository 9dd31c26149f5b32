//! The local control socket of a client's daemon or a node: a Unix domain socket in the state directory, of
//! mode 0600, that only processes of the same user may speak to. A node says on it how it is, and nothing else.
//!
//! [`ControlServer`] is the daemon's side, with a [`Handler`] behind it; [`ControlClient`] is that of the
//! commands. [`protocol`] has what goes over it.

mod appear;
mod client;
mod line;
mod places;
pub mod protocol;
mod server;
mod socket;

pub use client::{ControlClient, ControlError, unexpected};
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use server::is_request;
pub use server::{ControlServer, Handler};
pub use socket::SOCKET_FILE;
