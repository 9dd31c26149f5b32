//! What networking is told at its start: who it is, and its bounds.

use std::time::Duration;

use libp2p::Multiaddr;
use shoal_proto::{NetworkHash, Time};
use shoal_topology::agreement::MAX_MESSAGE_BYTES;
use shoal_topology::{NetworkParameters, Reach};
use zeroize::Zeroizing;

use crate::runtime::clock::Clock;

/// Whether this is a node, or a client of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Listens, gossips, answers requests, keeps connections to members.
    Node,
    /// Only dials. It neither listens nor gossips, and answers no requests.
    Client,
}

/// By what those who speak with each other know that they can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// Hash of the network parameters: part of every protocol name.
    pub network: NetworkHash,
    /// Hash of the network's first parameters: part of the handshake over TCP. It stays when values change, so that
    /// those of before can be answered.
    pub chain: NetworkHash,
    /// Hash of the parameters before, whose questions for the directory are asked and answered, too.
    pub before: Option<NetworkHash>,
}

impl Names {
    /// Those of a network at a time: the file before is answered for one term more.
    #[must_use]
    pub fn of(params: &NetworkParameters, now: Time) -> Self {
        let term = params.epoch.scale(params.term.into(), 1);
        let before = params.succession.as_ref();
        let before = before.filter(|it| now < params.start_of(it.epoch) + term);
        Self {
            network: params.hash(),
            chain: params.chain(),
            before: before.map(|it| it.follows),
        }
    }
}

/// Those of a network whose values never changed.
impl From<NetworkHash> for Names {
    fn from(network: NetworkHash) -> Self {
        Self {
            network,
            chain: network,
            before: None,
        }
    }
}

/// What [`spawn`](super::spawn) needs to know.
pub struct NetConfig {
    /// The Ed25519 secret key of the node. A client makes a new one for every connection, so that
    /// a provider cannot recognise it.
    pub secret: Zeroizing<[u8; 32]>,
    /// What the network is called.
    pub names: Names,
    /// Which addresses are dialled; others are as if they were not given.
    pub reach: Reach,
    /// What who asks over TCP for the network is told beside it, in whole seconds.
    pub clock: Clock,
    /// Node or client.
    pub mode: Mode,
    /// Addresses to listen on: `/ip4/…/tcp/…` and `/ip4/…/udp/…/quic-v1`, or the same with `ip6`.
    /// Ignored for clients.
    pub listen: Vec<Multiaddr>,
    /// Bounds and deadlines.
    pub limits: NetLimits,
}

/// Bounds and deadlines. The defaults suit a node with 1 GB of memory.
#[derive(Clone, Debug, PartialEq)]
pub struct NetLimits {
    /// Frames that wait for one peer before [`try_send`](super::NetHandle::try_send) answers
    /// `Full`. 256 by default: 614 kB. Must be at least 1.
    pub ring_frames: usize,
    /// Most bytes of frames in one write; clamped to 16 to 64 KiB. 48 KiB by default.
    pub write_bytes: usize,
    /// Most bytes that a reader takes at once; its buffer grows to this only while there is that
    /// much to read. 32 KiB by default, at least one frame.
    pub read_bytes: usize,
    /// Connections in all, those of members and strangers not counted. 1024 by default.
    pub connections: u32,
    /// Connections that are being made: by us, and by others over TCP and over QUIC. Each of the three
    /// has so many places. 128 by default.
    pub pending_connections: u32,
    /// Connections of others who are neither members nor have packets exchanged with. 256 by default.
    pub strangers: u32,
    /// A stranger that asked nothing and passed on no gossip for this long is closed, whatever it holds
    /// open. 5 min by default.
    pub stranger_deadline: Duration,
    /// Connections to one peer. Two by default: peers that dial each other at once have two.
    pub connections_per_peer: u32,
    /// Addresses of one peer that are dialled. 8 by default.
    pub addresses_per_peer: usize,
    /// Above this much memory of the whole process, in bytes, new connections are refused.
    /// 512 MiB by default.
    pub memory_bytes: usize,
    /// Largest directory request in bytes. 64 KiB by default.
    pub directory_request_bytes: usize,
    /// Largest directory response in bytes. 4 MiB by default.
    pub directory_response_bytes: usize,
    /// Largest attach request and response in bytes. 512 by default.
    pub attach_bytes: usize,
    /// How long a request may take until its response is here. 10 s by default.
    pub request_timeout: Duration,
    /// Requests of peers that wait for a response, from all peers, of each kind. 256 by default.
    pub waiting_requests: usize,
    /// Requests of one connection that are under way at a time. 16 by default.
    pub requests_per_connection: usize,
    /// Largest gossip message in bytes. 26 KiB by default: the longest is a certificate of all seats.
    pub gossip_bytes: usize,
    /// QUIC's receive window of one substream in bytes. 256 KiB by default, like Yamux: what a
    /// peer can make us hold, and what we send to a peer that does not read.
    pub quic_stream_bytes: u32,
    /// QUIC's receive window of one connection in bytes. 1 MiB by default.
    pub quic_connection_bytes: u32,
    /// A connection of a peer that is not to be kept connected is closed when no frame came for
    /// this long. 120 s by default.
    pub idle_deadline: Duration,
    /// A connection that did not take one write within this time is closed. 60 s by default.
    pub stall_deadline: Duration,
    /// A connection on which nothing is open closes after this. 20 s by default.
    pub unused_deadline: Duration,
    /// How long an incoming packet substream waits, unread, until its peer is allowed to have
    /// one. 10 s by default.
    pub waiting_deadline: Duration,
    /// The first wait before dialling again; doubles with every failure, with jitter. 250 ms by
    /// default.
    pub redial_first: Duration,
    /// The longest wait before dialling again. 30 s by default.
    pub redial_longest: Duration,
    /// How long the side with the larger id leaves the dialling to the other. 2 s by default.
    pub dial_grace: Duration,
    /// How long [`shutdown`](super::NetHandle::shutdown) lets rings empty themselves. 3 s by
    /// default.
    pub shutdown_deadline: Duration,
    /// Commands that wait for the networking task. 1024 by default.
    pub commands: usize,
    /// Events that wait for their reader; more than that pauses everything but the packets.
    /// 1024 by default.
    pub events: usize,
}

impl Default for NetLimits {
    fn default() -> Self {
        Self {
            ring_frames: 256,
            write_bytes: 48 * 1024,
            read_bytes: 32 * 1024,
            connections: 1024,
            pending_connections: 128,
            strangers: 256,
            stranger_deadline: Duration::from_secs(300),
            connections_per_peer: 2,
            addresses_per_peer: 8,
            memory_bytes: 512 * 1024 * 1024,
            directory_request_bytes: 64 * 1024,
            directory_response_bytes: 4 * 1024 * 1024,
            attach_bytes: 512,
            request_timeout: Duration::from_secs(10),
            waiting_requests: 256,
            requests_per_connection: 16,
            gossip_bytes: MAX_MESSAGE_BYTES + 64,
            quic_stream_bytes: 256 * 1024,
            quic_connection_bytes: 1024 * 1024,
            idle_deadline: Duration::from_secs(120),
            stall_deadline: Duration::from_secs(60),
            unused_deadline: Duration::from_secs(20),
            waiting_deadline: Duration::from_secs(10),
            redial_first: Duration::from_millis(250),
            redial_longest: Duration::from_secs(30),
            dial_grace: Duration::from_secs(2),
            shutdown_deadline: Duration::from_secs(3),
            commands: 1024,
            events: 1024,
        }
    }
}
