//! What can go wrong in networking.

use std::io;

use libp2p::Multiaddr;
use shoal_packet::Frame;
use thiserror::Error;

/// Why networking could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NetError {
    /// Called outside a Tokio runtime.
    #[error("networking needs a Tokio runtime")]
    NoRuntime,
    /// The secret key is not an Ed25519 key.
    #[error("the identity is not an Ed25519 secret key")]
    Identity,
    /// A listen address is of a kind that is not spoken here.
    #[error("cannot listen on {0}: neither /ip…/tcp/… nor /ip…/udp/…/quic-v1")]
    ListenAddress(Multiaddr),
    /// Another program listens there already.
    #[error("cannot listen on {0}: the port is taken; another node may be running")]
    PortTaken(Multiaddr),
    /// Only privileged programs may listen on this port.
    #[error(
        "cannot listen on {0}: ports below 1024 are for privileged programs; choose a port of 1024 or \
         more, or allow this one with `setcap cap_net_bind_service=+ep` on the shoal binary or, in a \
         service that may gain no rights, with `sysctl net.ipv4.ip_unprivileged_port_start=PORT`"
    )]
    Privileged(Multiaddr),
    /// The machine has no such address.
    #[error(
        "cannot listen on {0}: this machine has no such address; `ip address` shows which it has. Behind \
         a NAT, listen on /ip4/0.0.0.0/… and name the outside's address with --advertise"
    )]
    NoSuchAddress(Multiaddr),
    /// The operating system refused to listen.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address from the configuration.
        address: Multiaddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// A transport or protocol could not be set up.
    #[error("cannot set up {what}: {why}")]
    Setup {
        /// The part that failed.
        what: &'static str,
        /// What it said.
        why: String,
    },
}

impl NetError {
    /// What the operating system said about listening on an address.
    pub(super) fn listen(address: &Multiaddr, source: io::Error) -> Self {
        let address = address.clone();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortTaken(address),
            io::ErrorKind::PermissionDenied => Self::Privileged(address),
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress(address),
            _ => Self::Listen { address, source },
        }
    }

    /// Whether it stays so until somebody changes what the node was told.
    #[must_use]
    pub const fn is_mistake(&self) -> bool {
        matches!(self, Self::ListenAddress(_) | Self::Privileged(_))
    }
}

/// Why a frame was not taken; the frame is given back.
#[derive(Clone, Error)]
#[non_exhaustive]
pub enum SendError {
    /// No packet link to this peer is up.
    #[error("no packet link to this peer")]
    NotConnected(Frame),
    /// The peer's ring is full.
    #[error("the peer's ring is full")]
    Full(Frame),
}

impl SendError {
    /// The frame that was not taken.
    #[must_use]
    pub fn into_frame(self) -> Frame {
        match self {
            Self::NotConnected(frame) | Self::Full(frame) => frame,
        }
    }
}

/// Without the frame.
impl std::fmt::Debug for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotConnected(_) => "NotConnected",
            Self::Full(_) => "Full",
        })
    }
}

/// Why a request was not even started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Longer than the limit of its kind.
    #[error("the request is {bytes} bytes long, at most {most} are allowed")]
    TooLarge {
        /// Length of the request.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// Too many commands wait already, or networking has stopped.
    #[error("networking is busy or stopped")]
    Busy,
}

/// Why a request got no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestFailure {
    /// There is no connection to the peer.
    #[error("not connected")]
    NotConnected,
    /// The response did not come in time.
    #[error("timed out")]
    Timeout,
    /// The connection closed first.
    #[error("connection closed")]
    Closed,
    /// The peer does not speak this protocol: another network, or a client.
    #[error("the peer does not answer such requests")]
    Unsupported,
    /// The peer gave no answer, or one that is malformed or too long.
    #[error("refused, malformed or too long")]
    Malformed,
}

/// Why dialling a peer failed. Says no address and no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DialFailure {
    /// None of the addresses is of a kind that can be dialled.
    #[error("no usable address")]
    NoAddress,
    /// Somebody else answers there.
    #[error("another identity answers at the address")]
    WrongPeer,
    /// Nobody answers, or the handshake failed.
    #[error("unreachable")]
    Unreachable,
    /// One of our own limits forbids it now.
    #[error("refused by a limit of ours")]
    Limit,
}
