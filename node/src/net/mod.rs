//! Networking: libp2p connections over TCP and QUIC, packet links, gossip and requests.
//!
//! Frames never pass the swarm loop. A behaviour of our own negotiates one long-lived, one-way
//! substream per direction and peer, and gives it to a task of its own: a *reader* that hands
//! whole frames to the [`FrameSink`], or a *writer* that empties the peer's bounded *ring* with
//! coalesced writes. A peer that does not read fills its own ring and nothing else.
//!
//! [`spawn`] starts it; [`NetHandle`] is how the rest of the node speaks to it, and [`NetEvent`]s
//! are what it says. Nobody runs libp2p's identify: addresses come from descriptors. Protocol
//! names carry the hash of the network parameters, so nodes of other networks never have links.
//!
//! It never decides who is a member or what a message means: that is said by `set_peers`,
//! `set_packet_peers` and the verdicts. Anybody can connect, so connections in their handshake and
//! strangers have places of their own, shared out among the parts of the internet that they come from;
//! and any member can name any address, so dials of one target are bounded.

mod address;
mod alive;
mod backoff;
mod clock;
mod closing;
mod codec;
mod config;
mod dialer;
mod driver;
mod error;
mod event;
mod gossip;
mod handle;
mod handshakes;
mod id;
mod links;
mod listen;
mod metered;
mod network;
mod packets;
#[cfg(test)]
mod pieces;
mod place;
mod places;
mod probe;
mod reader;
mod rings;
mod shared;
mod sink;
mod standing;
mod stats;
mod strangers;
mod targets;
mod transport;
mod way;
mod writer;

use std::sync::Arc;

pub use address::multiaddr;
pub use config::{Mode, Names, NetConfig, NetLimits};
pub use error::{DialFailure, NetError, RequestError, RequestFailure, SendError};
pub use event::{Channel, GossipToken, NetEvent, RequestId};
pub use handle::NetHandle;
pub use id::node_named;
pub use libp2p::Multiaddr;
pub use listen::can_listen;
pub use network::{Hello, hello_at};
pub use sink::FrameSink;
pub use stats::NetStats;
use tokio::sync::mpsc;
pub use way::{OpenConnections, Way};

/// Starts networking: binds the listen addresses and runs until
/// [`shutdown`](NetHandle::shutdown), or until the receiver of events is dropped.
///
/// # Errors
/// If there is no Tokio runtime, the identity is no key, or an address cannot be listened on
/// (a port that is taken is said as such).
pub fn spawn(
    config: NetConfig,
    frames: Arc<dyn FrameSink>,
) -> Result<(NetHandle, mpsc::Receiver<NetEvent>), NetError> {
    driver::spawn(config, frames)
}
