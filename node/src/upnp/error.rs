//! What can go wrong with a router.

use std::io;

use thiserror::Error;

/// Why a router did not do what it was asked. Nothing that it wrote is repeated but numbers.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(super) enum UpnpError {
    /// Nobody answered, or nobody who could be asked.
    #[error(
        "no router answers: UPnP may be off there, or a firewall of this machine keep its answers out"
    )]
    NoRouter,
    /// It can't be connected to, or the pipe to it fails.
    #[error("the router can't be reached: {0}")]
    Io(#[from] io::Error),
    /// It took too long.
    #[error("the router does not answer in time")]
    Late,
    /// It says no: the status of its answer, or UPnP's code in it.
    #[error("the router refuses (code {0})")]
    Refused(u16),
    /// Its answer can't be read, or is too long.
    #[error("what the router answers can't be read")]
    Nonsense,
    /// It has nothing that forwards ports, or is not connected to the outside.
    #[error("the router has no connection to the outside that it forwards ports of")]
    NoOutside,
}

impl From<rupnp::Error> for UpnpError {
    fn from(error: rupnp::Error) -> Self {
        match error {
            rupnp::Error::UPnPError(error) => Self::Refused(error.err_code()),
            rupnp::Error::HttpErrorCode(status) => Self::Refused(status.as_u16()),
            rupnp::Error::IO(error) => Self::Io(error),
            _ => Self::Nonsense,
        }
    }
}
