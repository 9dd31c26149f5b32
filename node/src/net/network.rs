//! Which network a node is of, for who can't speak to it: a node with other parameters fails in the
//! handshake, or understands nothing, and neither says why.
//!
//! Over TCP, before anything is encrypted, whoever asks by a protocol whose name carries no network is told
//! the hash of the network's parameters and the node's clock in whole seconds, which are both public, and nothing
//! else; then the connection is closed. The answer has 40 bytes: the hash (32), and the seconds since 1970 (8, the
//! highest first). It takes one of the places of handshakes, for as long as a handshake may take, and what it says
//! is not authenticated: it explains to an operator why there is no connection, and decides nothing. A node asks
//! those of its members whom it has just failed to speak to, each once a minute at most, and no machine or
//! network more often than it may be dialled. Clients neither ask nor are asked.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt as _, FutureExt as _, TryFutureExt as _};
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::{Multiaddr, PeerId, noise};
use shoal_proto::{NetworkHash, NodeId, name};
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::runtime::clock::Clock;

/// How long a member may take to be connected and to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often one member is asked at most.
const EVERY: Duration = Duration::from_secs(60);
/// Members that are asked at a time.
const MOST: usize = 4;
/// Members that are remembered as asked.
const REMEMBERED: usize = 4096;
/// The first line of multistream-select, after its length.
const HEADER: &str = "/multistream/1.0.0";

/// What who listens says of itself, unauthenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The hash of its network's parameters.
    pub network: NetworkHash,
    /// How many seconds its clock is ahead of ours; below 0 if it is behind. Both are cut to whole seconds, so one
    /// says nothing.
    pub ahead_secs: i64,
}

/// Why a connection did not become one.
#[derive(Debug, Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Noise(#[from] noise::Error),
    #[error("it asked for the network, and was told")]
    Asked,
}

/// The handshake of who listens: Noise, or an answer.
#[derive(Clone)]
pub(super) struct Telling {
    pub(super) noise: noise::Config,
    pub(super) network: NetworkHash,
    pub(super) clock: Clock,
}

impl UpgradeInfo for Telling {
    type Info = &'static str;
    type InfoIter = std::array::IntoIter<&'static str, 2>;

    fn protocol_info(&self) -> Self::InfoIter {
        let noise = self.noise.protocol_info().next().unwrap_or("/noise");
        [noise, name::HELLO].into_iter()
    }
}

impl<T> InboundConnectionUpgrade<T> for Telling
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Output = (PeerId, noise::Output<T>);
    type Error = Refused;
    type Future = BoxFuture<'static, Result<Self::Output, Refused>>;

    fn upgrade_inbound(self, mut io: T, info: &'static str) -> Self::Future {
        if info != name::HELLO {
            return self.noise.upgrade_inbound(io, info).err_into().boxed();
        }
        async move {
            let mut answer = self.network.as_bytes().to_vec();
            answer.extend(self.clock.now().as_secs().to_be_bytes());
            // Who asked may be gone.
            let _ = io.write_all(&answer).await;
            let _ = io.close().await;
            Err(Refused::Asked)
        }
        .boxed()
    }
}

/// Never asked: who dials offers Noise alone. See [`ListenOnly`].
impl<T> OutboundConnectionUpgrade<T> for Telling
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Output = (PeerId, noise::Output<T>);
    type Error = Refused;
    type Future = BoxFuture<'static, Result<Self::Output, Refused>>;

    fn upgrade_outbound(self, io: T, info: &'static str) -> Self::Future {
        self.noise.upgrade_outbound(io, info).err_into().boxed()
    }
}

/// A transport that dials nobody: another one does.
pub(super) struct ListenOnly<T>(pub(super) T);

impl<T: Transport + Unpin> Transport for ListenOnly<T> {
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<T::Error>> {
        self.0.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.0.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        _: DialOpts,
    ) -> Result<T::Dial, TransportError<T::Error>> {
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<T::ListenerUpgrade, T::Error>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// Members that are asked for their network.
pub(super) struct Asking {
    network: NetworkHash,
    clock: Clock,
    asked: BTreeMap<NodeId, Instant>,
    tasks: JoinSet<Option<(NodeId, Hello)>>,
}

impl Asking {
    pub(super) fn new(network: NetworkHash, clock: Clock) -> Self {
        Self {
            network,
            clock,
            asked: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Whether a member may be asked: it was not a moment ago, and not many are.
    pub(super) fn may(&mut self, now: Instant, node: &NodeId) -> bool {
        self.asked.retain(|_, at| now - *at < EVERY);
        self.tasks.len() < MOST && self.asked.len() < REMEMBERED && !self.asked.contains_key(node)
    }

    /// Asks a member that may be asked, at this address.
    pub(super) fn ask(&mut self, now: Instant, node: NodeId, address: SocketAddr) {
        self.asked.insert(node, now);
        let clock = self.clock;
        self.tasks
            .spawn(async move { Some((node, hello_at(address, clock).await?)) });
    }

    /// Waits for the next member that says that it is of another network; for ever while none is asked.
    pub(super) async fn other(&mut self) -> (NodeId, Hello) {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Some((node, hello)))) if hello.network != self.network => {
                    return (node, hello);
                }
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}

/// The network and the clock of who listens there, as it says itself; none if nobody says. It explains a failure
/// to an operator, and decides nothing.
pub async fn hello_at(address: SocketAddr, clock: Clock) -> Option<Hello> {
    let (network, theirs) = timeout(PATIENCE, ask(address)).await.ok()?.ok()?;
    let ahead = i128::from(theirs) - i128::from(clock.now().as_secs());
    let ahead_secs = i64::try_from(ahead).ok()?;
    Some(Hello {
        network,
        ahead_secs,
    })
}

/// Asks who listens there. Both lines of multistream-select are sent at once, and come back.
async fn ask(address: SocketAddr) -> io::Result<(NetworkHash, u64)> {
    let mut lines = Vec::new();
    for line in [HEADER, name::HELLO] {
        lines.extend(u8::try_from(line.len() + 1));
        lines.extend_from_slice(line.as_bytes());
        lines.push(b'\n');
    }
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&lines).await?;
    let mut agreed = vec![0; lines.len()];
    stream.read_exact(&mut agreed).await?;
    if agreed != lines {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let (mut hash, mut seconds) = ([0; 32], [0; 8]);
    stream.read_exact(&mut hash).await?;
    stream.read_exact(&mut seconds).await?;
    Ok((NetworkHash::new(hash), u64::from_be_bytes(seconds)))
}
