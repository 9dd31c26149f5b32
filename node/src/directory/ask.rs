//! A node that is asked: over a connection with an identity of its own for each time, as clients ask.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use shoal_packet::Frame;
use shoal_proto::{NetworkHash, NodeId, Span, Time};
use shoal_roles::RequestKind;
use shoal_topology::{Answers, NetworkParameters, Reach, Response, Transport, View, answer_time};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{Chain, Source};
use crate::net::{
    DialFailure, FrameSink, Names, NetEvent, NetHandle, RequestFailure, hello_at, multiaddr, spawn,
};
use crate::runtime::{Clock, dialling};
use crate::seed::seeded;

/// How long a connection may take to close in good order.
const CLOSE_PATIENCE: Duration = Duration::from_millis(500);

/// Why a node told nothing. The texts are for people, and say what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unheard {
    /// Nobody answers at its addresses.
    #[error(
        "nobody answers there: look whether the node runs, and whether this machine reaches its address"
    )]
    Unreachable,
    /// Somebody else answers.
    #[error("another node answers at its address: look up the id, which `shoal init` printed")]
    Another,
    /// It is of another network, as it says itself.
    #[error(
        "it is of another network, whose hash is {0}: compare the network's file with the node's"
    )]
    OtherNetwork(NetworkHash),
    /// It knows no such question.
    #[error(
        "it does not know the question, so it is of another network or another version: compare the \
         network's file with the node's"
    )]
    Unknowing,
    /// It took longer than it may.
    #[error(
        "it has not {what} within {within}: try again later or with a longer --timeout, or ask another node"
    )]
    Late {
        /// What it should have done.
        what: &'static str,
        /// What is allowed.
        within: Span,
    },
    /// It closed the connection, or gave no answer.
    #[error(
        "it refused to answer: it may be asked too much from here just now; try again in half a minute, or \
         ask another node"
    )]
    Refused,
    /// Its answer can't be read.
    #[error("its answer makes no sense: that is no node of this version; ask another one")]
    Nonsense,
    /// Networking failed here.
    #[error("this machine can't ask: {0}")]
    Here(String),
}

/// A node, and what it has shown so far.
pub struct Asked {
    source: Source,
    params: Arc<NetworkParameters>,
    chain: Chain,
    ahead: Option<i64>,
}

impl Asked {
    /// Nothing has been asked yet.
    #[must_use]
    pub const fn new(params: Arc<NetworkParameters>, source: Source, chain: Chain) -> Self {
        Self {
            source,
            params,
            chain,
            ahead: None,
        }
    }

    /// Who it is, and where.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// What follows from what it has shown.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// How many microseconds its clock was ahead of ours when it last answered; of a node of another network to
    /// a second, as it says itself.
    #[must_use]
    pub const fn ahead(&self) -> Option<i64> {
        self.ahead
    }

    /// Asks for what comes after what is known, again and again if it is more than one answer holds, and
    /// verifies it. The node may take `patience` to be connected, and as long for each answer.
    ///
    /// # Errors
    /// [`Unheard`]. What was answered but does not verify is the [`fault`](Chain::fault) of the chain.
    pub async fn ask(&mut self, clock: Clock, patience: Span) -> Result<(), Unheard> {
        let late = |what| Unheard::Late {
            what,
            within: patience,
        };
        let opening = Line::open(&self.params, &self.source);
        let mut line = match timeout(patience.into(), opening).await {
            Ok(Ok(line)) => line,
            Ok(Err(error)) => return Err(self.explained(error, clock).await),
            Err(_) => return Err(late("been connected")),
        };
        let asked = loop {
            let answer = line.ask(self.chain.question());
            let bytes = match timeout(patience.into(), answer).await {
                Ok(Ok(bytes)) => bytes,
                Ok(Err(error)) => break Err(self.explained(error, clock).await),
                Err(_) => break Err(late("answered")),
            };
            // Each time a handover further, of which there are as many as have been signed.
            match self.take(bytes, clock.now()).await {
                Ok(true) => {}
                other => break other.map(drop),
            }
        };
        line.close().await;
        asked
    }

    /// Verifies an answer. Whether there is more to ask for.
    async fn take(&mut self, bytes: Vec<u8>, came: Time) -> Result<bool, Unheard> {
        let now = answer_time(&bytes).ok_or(Unheard::Nonsense)?;
        let ahead = i128::from(now.as_micros()) - i128::from(came.as_micros());
        self.ahead = i64::try_from(ahead).ok();
        let from = self.source.id;
        let answer = Response { from, came, bytes };
        let answers = Answers::read(&[answer]).map_err(|_| Unheard::Nonsense)?;
        let more = answers.has_more();
        let (params, trust) = (Arc::clone(&self.params), self.chain.trust().clone());
        // The question is for whole documents, and what contradicts what was shown before is to be seen.
        let look = move || answers.look(&params, &trust, &View::default());
        let looking = tokio::task::spawn_blocking(look);
        let looked = looking.await;
        let looked = looked.map_err(|error| Unheard::Here(error.to_string()))?;
        Ok(self.chain.take(&looked) && more)
    }

    /// Who is of another network fails in the handshake or knows no question, and neither says why: over TCP
    /// it can be asked.
    async fn explained(&mut self, error: Unheard, clock: Clock) -> Unheard {
        if !matches!(error, Unheard::Unreachable | Unheard::Unknowing) {
            return error;
        }
        let addresses = self.source.addresses.iter();
        let tcp = addresses.filter(|address| address.transport() == Transport::Tcp);
        for address in tcp {
            let told = hello_at(SocketAddr::new(address.ip(), address.port()), clock).await;
            if let Some(hello) = told
                && hello.network != self.params.hash()
            {
                self.ahead = Some(hello.ahead_secs.saturating_mul(1_000_000));
                return Unheard::OtherNetwork(hello.network);
            }
        }
        error
    }
}

/// Asks all at once. They come back in the order in which they were given.
///
/// # Errors
/// One of the tasks panicked.
pub async fn ask_all(
    nodes: Vec<Asked>,
    clock: Clock,
    patience: Span,
) -> Result<Vec<(Asked, Result<(), Unheard>)>, JoinError> {
    let mut asking = JoinSet::new();
    for (place, mut node) in nodes.into_iter().enumerate() {
        asking.spawn(async move {
            let outcome = node.ask(clock, patience).await;
            (place, node, outcome)
        });
    }
    let mut asked = Vec::new();
    while let Some(ended) = asking.join_next().await {
        asked.push(ended?);
    }
    asked.sort_by_key(|(place, ..)| *place);
    let asked = asked.into_iter().map(|(_, node, outcome)| (node, outcome));
    Ok(asked.collect())
}

/// A connection to a node.
struct Line {
    to: NodeId,
    net: NetHandle,
    events: mpsc::Receiver<NetEvent>,
}

impl Line {
    async fn open(params: &NetworkParameters, source: &Source) -> Result<Self, Unheard> {
        let mut secret = Zeroizing::new([0; 32]);
        let mut rng = seeded().map_err(|error| Unheard::Here(error.to_string()))?;
        rng.fill_bytes(secret.as_mut());
        // Whoever asks says where, or the network's file does: any address will do.
        let config = dialling(Names::of(params, Clock::start().now()), Reach::ANY, secret);
        let spawned = spawn(config, Arc::new(NoFrames));
        let (net, events) = spawned.map_err(|error| Unheard::Here(error.to_string()))?;
        let to = source.id;
        net.dial(to, source.addresses.iter().map(multiaddr).collect());
        let mut line = Self { to, net, events };
        loop {
            match line.next().await? {
                NetEvent::Connected { peer, .. } if peer == to => return Ok(line),
                NetEvent::DialFailed { why, .. } => {
                    return Err(match why {
                        DialFailure::WrongPeer => Unheard::Another,
                        _ => Unheard::Unreachable,
                    });
                }
                _ => {}
            }
        }
    }

    async fn ask(&mut self, question: Vec<u8>) -> Result<Vec<u8>, Unheard> {
        let asked = self.net.request(self.to, RequestKind::Directory, question);
        asked.map_err(|error| Unheard::Here(error.to_string()))?;
        loop {
            match self.next().await? {
                NetEvent::Response { bytes, .. } => return Ok(bytes),
                NetEvent::RequestFailed { why, .. } => {
                    return Err(match why {
                        RequestFailure::Unsupported => Unheard::Unknowing,
                        _ => Unheard::Refused,
                    });
                }
                NetEvent::Disconnected { .. } => return Err(Unheard::Refused),
                _ => {}
            }
        }
    }

    async fn next(&mut self) -> Result<NetEvent, Unheard> {
        let event = self.events.recv().await;
        event.ok_or_else(|| Unheard::Here("networking ended".to_owned()))
    }

    /// Closes it in good order, if that does not take long.
    async fn close(mut self) {
        self.net.shutdown();
        let closing = async { while self.events.recv().await.is_some() {} };
        let _ = timeout(CLOSE_PATIENCE, closing).await;
    }
}

/// No packets are exchanged.
struct NoFrames;

impl FrameSink for NoFrames {
    fn frame(&self, _: NodeId, _: Frame) {}
    fn malformed(&self, _: NodeId) {}
}
