//! Nodes on loopback, and waiting for what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use shoal_node::net::{
    FrameSink, Mode, Multiaddr, NetConfig, NetError, NetEvent, NetHandle, NetLimits, SendError,
    spawn,
};
use shoal_node::runtime::Clock;
use shoal_packet::Frame;
use shoal_proto::size::FRAME_BYTES;
use shoal_proto::{NetworkHash, NodeId};
use shoal_topology::Reach;
use tokio::sync::mpsc;
use tokio::time::timeout;
use zeroize::Zeroizing;

pub(crate) const NETWORK: NetworkHash = NetworkHash::new([1; 32]);
pub(crate) const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub(crate) const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
const LONG: Duration = Duration::from_secs(30);

/// What a sink was told.
#[derive(Clone, PartialEq)]
pub(crate) enum Got {
    Frame(NodeId, u64),
    Malformed(NodeId),
}

/// What a sink remembers at most; no test waits for more.
const REMEMBERED: usize = 100_000;

struct Sink(mpsc::Sender<Got>);

impl FrameSink for Sink {
    fn frame(&self, from: NodeId, frame: Frame) {
        let _ = self.0.try_send(Got::Frame(from, number(&frame)));
    }
    fn malformed(&self, from: NodeId) {
        let _ = self.0.try_send(Got::Malformed(from));
    }
}

/// A frame with a number in it.
pub(crate) fn frame(number: u64) -> Frame {
    let mut bytes = [0x5a; FRAME_BYTES];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[FRAME_BYTES - 8..].copy_from_slice(&number.to_be_bytes());
    Frame::from_bytes(&bytes).unwrap()
}

fn number(frame: &Frame) -> u64 {
    let bytes = frame.as_bytes();
    let (head, tail) = (&bytes[..8], &bytes[FRAME_BYTES - 8..]);
    assert_eq!(head, tail, "a frame is whole");
    u64::from_be_bytes(head.try_into().unwrap())
}

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) net: NetHandle,
    pub(crate) events: mpsc::Receiver<NetEvent>,
    pub(crate) got: mpsc::Receiver<Got>,
    pub(crate) addresses: Vec<Multiaddr>,
}

pub(crate) fn config(seed: u8, listen: &[&str]) -> NetConfig {
    NetConfig {
        secret: Zeroizing::new([seed; 32]),
        names: NETWORK.into(),
        reach: Reach::ANY,
        clock: Clock::start(),
        mode: Mode::Node,
        listen: listen
            .iter()
            .map(|address| address.parse().unwrap())
            .collect(),
        limits: NetLimits::default(),
    }
}

impl Node {
    pub(crate) async fn new(seed: u8, listen: &[&str]) -> Self {
        Self::start(config(seed, listen)).await.unwrap()
    }

    pub(crate) async fn start(config: NetConfig) -> Result<Self, NetError> {
        let listens = if config.mode == Mode::Node {
            config.listen.len()
        } else {
            0
        };
        let (sender, got) = mpsc::channel(REMEMBERED);
        let (net, events) = spawn(config, Arc::new(Sink(sender)))?;
        let mut node = Self {
            id: net.local(),
            net,
            events,
            got,
            addresses: Vec::new(),
        };
        while node.addresses.len() < listens {
            let address = node
                .event(|event| match event {
                    NetEvent::Listening(address) => Some(address),
                    _ => None,
                })
                .await;
            node.addresses.push(address);
        }
        Ok(node)
    }

    /// The next event that `wanted` takes; the others are skipped.
    pub(crate) async fn event<T>(&mut self, mut wanted: impl FnMut(NetEvent) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let event = self.events.recv().await.expect("networking runs");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        timeout(LONG, waiting)
            .await
            .expect("the event comes in time")
    }

    pub(crate) async fn link_up(&mut self, to: NodeId) {
        self.event(|event| {
            matches!(event, NetEvent::PacketLinkUp { peer } if peer == to).then_some(())
        })
        .await;
    }

    pub(crate) async fn link_down(&mut self, to: NodeId) {
        self.event(|event| {
            matches!(event, NetEvent::PacketLinkDown { peer } if peer == to).then_some(())
        })
        .await;
    }

    pub(crate) async fn connected(&mut self, to: NodeId) -> &'static str {
        self.event(|event| match event {
            NetEvent::Connected {
                peer, transport, ..
            } if peer == to => Some(transport),
            _ => None,
        })
        .await
    }

    /// Waits until so many substreams of peers are read no more.
    pub(crate) async fn until_ended(&self, streams: u64) {
        let ended = async {
            while self.net.stats().ended < streams {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LONG, ended).await.expect("they end in time");
    }

    /// The next thing that the sink is told.
    pub(crate) async fn next(&mut self) -> Got {
        timeout(LONG, self.got.recv())
            .await
            .expect("it comes in time")
            .expect("networking runs")
    }

    /// The number of the next frame; nothing else may come before it.
    pub(crate) async fn frame(&mut self, from: NodeId) -> u64 {
        match self.next().await {
            Got::Frame(peer, number) if peer == from => number,
            Got::Frame(..) => panic!("a frame of somebody else"),
            Got::Malformed(_) => panic!("malformed"),
        }
    }

    /// Sends, and waits while the ring is full.
    pub(crate) async fn send(&self, to: &NodeId, number: u64) {
        let mut frame = frame(number);
        let sending = async {
            while let Err(error) = self.net.try_send(to, frame) {
                assert!(matches!(error, SendError::Full(_)), "{error}");
                frame = error.into_frame();
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, sending).await.expect("the ring empties");
    }

    pub(crate) fn members(&self, nodes: &[&Self]) {
        let peers: BTreeMap<_, _> = nodes
            .iter()
            .map(|node| (node.id, node.addresses.clone()))
            .collect();
        self.net.set_peers(peers);
    }

    pub(crate) fn packets(&self, nodes: &[NodeId]) {
        self.net
            .set_packet_peers(nodes.iter().copied().collect::<BTreeSet<_>>());
    }
}

/// Two nodes with links both ways, over this kind of address.
pub(crate) async fn pair(listen: &str) -> (Node, Node) {
    let (mut a, mut b) = (Node::new(1, &[listen]).await, Node::new(2, &[listen]).await);
    a.packets(&[b.id]);
    b.packets(&[a.id]);
    a.net.dial(b.id, b.addresses.clone());
    a.link_up(b.id).await;
    b.link_up(a.id).await;
    (a, b)
}
