//! Looking whether a node can be reached at each address that it advertises: a connection of its own to each, with the
//! whole handshake, that is used for nothing else and closed at once.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use futures::FutureExt as _;
use libp2p::core::Endpoint;
use libp2p::core::transport::{Boxed, DialOpts, PortUse, Transport};
use libp2p::{Multiaddr, PeerId};
use shoal_proto::NodeId;
use shoal_topology::{Address, Dialled, Reach};
use tokio::task::JoinSet;

use super::address::multiaddr;
use super::id::peer_of;
use super::transport::{Parts, probing};
use super::{NetError, NetEvent};

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most nodes that are dialled at a time; more are asked for by nobody.
const MOST: usize = 64;

/// What dials.
pub(super) struct Prober {
    transport: Boxed<PeerId>,
    reach: Reach,
    /// They end with this.
    running: JoinSet<()>,
}

impl Prober {
    pub(super) fn new(parts: &Parts<'_>, reach: Reach) -> Result<Self, NetError> {
        Ok(Self {
            transport: probing(parts)?,
            reach,
            running: JoinSet::new(),
        })
    }

    /// Dials a node at all of these addresses at once, and says what came of it. False if too many are being dialled.
    pub(super) fn probe(
        &mut self,
        node: NodeId,
        addresses: Vec<Address>,
        said: tokio::sync::mpsc::Sender<NetEvent>,
    ) -> bool {
        while self.running.try_join_next().is_some() {}
        if self.running.len() >= MOST {
            return false;
        }
        let peer = peer_of(&node);
        let dials = addresses.into_iter().map(|address| {
            let dialled = self.dial(peer, &address);
            async move { (address, dialled.await) }
        });
        let dials = futures::future::join_all(dials.collect::<Vec<_>>());
        self.running.spawn(async move {
            let at = dials.await;
            // Whoever listened is gone when the node stops.
            let _ = said.send(NetEvent::Probed { peer: node, at }).await;
        });
        true
    }

    fn dial(
        &mut self,
        peer: Option<PeerId>,
        address: &Address,
    ) -> impl Future<Output = Dialled> + Send + use<> {
        let socket = SocketAddr::new(address.ip(), address.port());
        let outcome = match self.reach.check(address.ip()) {
            // What nobody dials is not tried either.
            Err(_) => Err(Dialled::Missed),
            Ok(()) if !has_way(socket) => Err(Dialled::NoWay),
            Ok(()) => self.begin(multiaddr(address)),
        };
        async move {
            let dial = match outcome {
                Ok(dial) => dial,
                Err(dialled) => return dialled,
            };
            match tokio::time::timeout(PATIENCE, dial).await {
                Ok(Ok(found)) if Some(found) == peer => Dialled::Reached,
                _ => Dialled::Missed,
            }
        }
    }

    fn begin(
        &mut self,
        address: Multiaddr,
    ) -> Result<futures::future::BoxFuture<'static, io::Result<PeerId>>, Dialled> {
        let options = DialOpts {
            role: Endpoint::Dialer,
            port_use: PortUse::New,
        };
        let dial = self.transport.dial(address, options);
        dial.map(|dial| dial.boxed()).map_err(|_| Dialled::Missed)
    }
}

/// Whether this machine has a way to addresses like this one. Connecting a datagram socket asks the system's routes
/// and sends nothing.
fn has_way(socket: SocketAddr) -> bool {
    let any: SocketAddr = match socket {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any).is_ok_and(|bound| bound.connect(socket).is_ok())
}
