//! Transports and protocols of the swarm: TCP and QUIC, and what is spoken over them.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::StreamMuxer;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Transport as _;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::upgrade::Version;
use libp2p::core::{ConnectedPoint, transport};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{self, NetworkBehaviour};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, memory_connection_limits, noise, quic, tcp, yamux,
};
use shoal_proto::{NodeId, name};
use shoal_topology::Reach;

use super::closing::Closing;
use super::codec::Codec;
use super::config::Names;
use super::config::{Mode, NetLimits};
use super::error::NetError;
use super::gossip::{self, Gossip};
use super::handshakes::{Handshakes, Secured};
use super::metered::{Counted, Hearing};
use super::network::{ListenOnly, Telling};
use super::stats::Stats;
use super::way::Way;
use super::{alive, packets, standing};
use crate::runtime::clock::Clock;

/// Substreams of one connection at a time: packets, gossip and requests, with room to spare.
const SUBSTREAMS: u16 = 128;
/// Events and commands of one connection that wait; the swarm's defaults are 7 and 32.
const CONNECTION_BUFFER: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a peer may take to let a connection end.
const GOOD_BYE: Duration = Duration::from_secs(3);
const QUIC_KEEP_ALIVE: Duration = Duration::from_secs(8);
const QUIC_IDLE_MILLIS: u32 = 30_000;

/// Every protocol that is spoken on a connection.
#[derive(NetworkBehaviour)]
pub(super) struct Protocols {
    pub(super) limits: connection_limits::Behaviour,
    pub(super) memory: memory_connection_limits::Behaviour,
    pub(super) packets: packets::Behaviour,
    pub(super) directory: request_response::Behaviour<Codec>,
    pub(super) attach: request_response::Behaviour<Codec>,
    pub(super) alive: Toggle<request_response::Behaviour<Codec>>,
    pub(super) gossip: Toggle<Gossip>,
}

/// What the swarm is built from.
pub(super) struct Parts<'a> {
    pub(super) keypair: Keypair,
    pub(super) local: NodeId,
    pub(super) names: &'a Names,
    pub(super) clock: Clock,
    pub(super) mode: Mode,
    pub(super) limits: &'a NetLimits,
    pub(super) stats: Arc<Stats>,
    pub(super) hearing: Arc<Hearing>,
    pub(super) seed: u64,
}

fn setup(what: &'static str) -> impl Fn(String) -> NetError {
    move |why| NetError::Setup { what, why }
}

/// A swarm that listens nowhere yet.
pub(super) fn swarm(parts: &Parts<'_>) -> Result<Swarm<Protocols>, NetError> {
    let places = usize::try_from(parts.limits.pending_connections).unwrap_or(usize::MAX);
    // A source address over UDP can be made up, so what fills one's places leaves the other's alone.
    let guarded = |transport| Handshakes::new(transport, places, Arc::clone(&parts.stats));
    let transport = guarded(tcp(parts)?).or_transport(guarded(quic(parts)));
    let transport = transport.map(|secured, _| secured.into_inner());
    let config = swarm::Config::with_tokio_executor()
        .with_notify_handler_buffer_size(CONNECTION_BUFFER)
        .with_per_connection_event_buffer_size(CONNECTION_BUFFER.get())
        .with_max_negotiating_inbound_streams(usize::from(SUBSTREAMS) / 4)
        .with_idle_connection_timeout(parts.limits.unused_deadline)
        // QUIC before TCP: its key exchange withstands a recording's later decryption.
        .with_smart_dial();
    Ok(Swarm::new(
        TransportTimeout::new(transport, HANDSHAKE).boxed(),
        protocols(parts)?,
        parts.keypair.public().to_peer_id(),
        config,
    ))
}

/// Makes a connection that is authenticated what all have in common, and counts it.
fn secured<M>(
    parts: &Parts<'_>,
) -> impl FnOnce((PeerId, M), ConnectedPoint) -> Secured + Clone + Send + 'static + use<M>
where
    M: StreamMuxer + Unpin + Send + 'static,
    M::Substream: Unpin + Send + 'static,
    M::Error: Send + Sync + 'static,
{
    let (stats, hearing) = (Arc::clone(&parts.stats), Arc::clone(&parts.hearing));
    move |(peer, muxer), endpoint| {
        let counted = Counted::new(muxer, stats, hearing.of(peer), Way::of(&endpoint));
        (peer, StreamMuxerBox::new(Closing::new(counted, GOOD_BYE)))
    }
}

/// What makes a connection to look whether somebody is there, and lets go of it: it gives who it was.
pub(super) fn probing(parts: &Parts<'_>) -> Result<transport::Boxed<PeerId>, NetError> {
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let tcp = tcp
        .upgrade(Version::V1Lazy)
        .authenticate(noise_of(parts)?)
        .multiplex(yamux::Config::default());
    let quic = quic::tokio::Transport::new(quic_config(parts));
    let tcp = tcp.map(|(peer, _), _| peer).boxed();
    let quic = quic.map(|(peer, _), _| peer).boxed();
    Ok(tcp
        .or_transport(quic)
        .map(|peer, _| peer.into_inner())
        .boxed())
}

fn noise_of(parts: &Parts<'_>) -> Result<noise::Config, NetError> {
    let noise = noise::Config::new(&parts.keypair);
    let noise = noise.map_err(|error| setup("TCP")(error.to_string()))?;
    // Nodes of other networks fail in the handshake already.
    Ok(noise.with_prologue(parts.names.chain.as_bytes().to_vec()))
}

fn tcp(parts: &Parts<'_>) -> Result<transport::Boxed<Secured>, NetError> {
    let noise = noise_of(parts)?;
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(usize::from(SUBSTREAMS));
    let tcp = || tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let telling = Telling {
        noise: noise.clone(),
        network: parts.names.network,
        clock: parts.clock,
    };
    let listening = tcp()
        .upgrade(Version::V1Lazy)
        .authenticate(telling)
        .multiplex(yamux.clone());
    let dialling = tcp()
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux);
    let secured = secured(parts);
    let listening = ListenOnly(listening.map(secured.clone()).boxed());
    let both = listening.or_transport(dialling.map(secured).boxed());
    Ok(both.map(|secured, _| secured.into_inner()).boxed())
}

fn quic(parts: &Parts<'_>) -> transport::Boxed<Secured> {
    let quic = quic::tokio::Transport::new(quic_config(parts));
    quic.map(secured(parts)).boxed()
}

fn quic_config(parts: &Parts<'_>) -> quic::Config {
    let mut config = quic::Config::new(&parts.keypair);
    config.max_stream_data = parts.limits.quic_stream_bytes;
    config.max_connection_data = parts.limits.quic_connection_bytes;
    config.max_concurrent_stream_limit = u32::from(SUBSTREAMS);
    config.handshake_timeout = HANDSHAKE;
    config.keep_alive_interval = QUIC_KEEP_ALIVE;
    config.max_idle_timeout = QUIC_IDLE_MILLIS;
    config
}

fn protocols(parts: &Parts<'_>) -> Result<Protocols, NetError> {
    let Parts {
        local,
        names,
        mode,
        limits,
        ..
    } = parts;
    let network = &names.network;
    let protocol = |name: String| {
        StreamProtocol::try_from_owned(name).map_err(|error| setup("protocols")(error.to_string()))
    };
    let support = match mode {
        Mode::Node => ProtocolSupport::Full,
        Mode::Client => ProtocolSupport::Outbound,
    };
    let requests = |names: Vec<String>, request_bytes, response_bytes, timeout| {
        let each = names.into_iter();
        let spoken = each.map(|name| Ok((protocol(name)?, support.clone())));
        let spoken = spoken.collect::<Result<Vec<_>, NetError>>()?;
        let config = request_response::Config::default()
            .with_request_timeout(timeout)
            .with_max_concurrent_streams(limits.requests_per_connection);
        let codec = Codec {
            request_bytes,
            response_bytes,
        };
        Ok(request_response::Behaviour::with_codec(
            codec, spoken, config,
        ))
    };
    // Incoming ones have places of their own until they are no strangers any more, and some are being
    // closed: see `handshakes` and `strangers`.
    let strangers = limits.strangers.saturating_mul(2);
    let connections = ConnectionLimits::default()
        .with_max_pending_outgoing(Some(limits.pending_connections))
        .with_max_established(Some(limits.connections.saturating_add(strangers)))
        .with_max_established_per_peer(Some(limits.connections_per_peer.saturating_add(2)));
    let packet_protocol = protocol(name::packets(network))?;
    Ok(Protocols {
        limits: connection_limits::Behaviour::new(connections),
        memory: memory_connection_limits::Behaviour::with_max_bytes(limits.memory_bytes),
        packets: packets::Behaviour::new(
            packet_protocol,
            *local,
            limits,
            parts.seed,
            Arc::clone(&parts.stats),
        ),
        directory: requests(
            [Some(network), names.before.as_ref()]
                .into_iter()
                .flatten()
                .map(name::directory)
                .collect(),
            limits.directory_request_bytes,
            limits.directory_response_bytes,
            limits.request_timeout,
        )?,
        attach: requests(
            vec![name::attach(network)],
            limits.attach_bytes,
            limits.attach_bytes,
            limits.request_timeout,
        )?,
        alive: match mode {
            Mode::Node => Some(requests(vec![name::alive(network)], 0, 0, alive::PATIENCE)?).into(),
            Mode::Client => None.into(),
        },
        gossip: match mode {
            Mode::Node => {
                let mut gossip = gossip::gossip(network, limits)?;
                standing::keep(&mut gossip, gossip::topic(network).hash())?;
                Some(gossip).into()
            }
            Mode::Client => None.into(),
        },
    })
}

/// The kinds of addresses that are spoken here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Tcp,
    Quic,
}

/// What an address means, if it is of a kind that is spoken here. A peer's name at its end is
/// given apart.
pub(super) fn parse(address: &Multiaddr) -> Option<(Kind, SocketAddr, Option<PeerId>)> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    let (kind, port) = match parts.next()? {
        Protocol::Tcp(port) => (Kind::Tcp, port),
        Protocol::Udp(port) if parts.next()? == Protocol::QuicV1 => (Kind::Quic, port),
        _ => return None,
    };
    let peer = match parts.next() {
        None => None,
        Some(Protocol::P2p(peer)) => Some(peer),
        Some(_) => return None,
    };
    parts
        .next()
        .is_none()
        .then_some((kind, SocketAddr::new(ip, port), peer))
}

/// The socket of an address that is spoken to over TCP.
pub(super) fn tcp_socket(address: &Multiaddr) -> Option<SocketAddr> {
    let (kind, socket, _) = parse(address)?;
    (kind == Kind::Tcp).then_some(socket)
}

/// The addresses that can be dialled and may be, at most so many, without the names of peers. One that
/// names another peer is left out.
pub(super) fn dialable(
    addresses: &[Multiaddr],
    peer: &PeerId,
    reach: Reach,
    most: usize,
) -> Vec<Multiaddr> {
    let usable = addresses.iter().filter_map(|address| {
        let (_, socket, named) = parse(address)?;
        let fits = socket.port() != 0 && reach.check(socket.ip()).is_ok();
        if !fits || named.is_some_and(|named| named != *peer) {
            return None;
        }
        let mut address = address.clone();
        if named.is_some() {
            address.pop();
        }
        Some(address)
    });
    usable.take(most).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn usable(address: &str, peer: &PeerId) -> Vec<String> {
        let addresses = [address.parse().unwrap()];
        dialable(&addresses, peer, Reach::ANY, 8)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn only_tcp_and_quic_to_plain_addresses_are_dialled() {
        let peer = PeerId::random();
        for address in ["/ip4/127.0.0.1/tcp/1", "/ip6/::1/udp/9/quic-v1"] {
            assert_eq!(usable(address, &peer), [address]);
            assert_eq!(usable(&format!("{address}/p2p/{peer}"), &peer), [address]);
            let other = PeerId::random();
            assert!(usable(&format!("{address}/p2p/{other}"), &peer).is_empty());
        }
        for address in [
            "/dns/localhost/tcp/1",
            "/ip4/169.254.169.254/tcp/80",
            "/ip6/::ffff:127.0.0.1/tcp/1",
            "/ip4/127.0.0.1/tcp/0",
            "/ip4/127.0.0.1/udp/1",
            "/ip4/127.0.0.1/tcp/1/ws",
            "/unix/tmp",
            "/memory/1",
        ] {
            assert!(usable(address, &peer).is_empty(), "{address}");
        }
    }

    #[test]
    fn a_long_list_of_addresses_is_cut() {
        let addresses: Vec<Multiaddr> = (1..=100)
            .map(|port| format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap())
            .collect();
        let dialled = dialable(&addresses, &PeerId::random(), Reach::ANY, 8);
        assert_eq!(dialled.len(), 8);
    }

    #[test]
    fn what_the_network_does_not_reach_is_not_dialled() {
        let reach = Reach::of([[9, 9, 9, 9].into()]);
        let addresses = ["9.9.9.8", "127.0.0.1", "10.0.0.1", "169.254.169.254"];
        let addresses = addresses.map(|ip| format!("/ip4/{ip}/tcp/80").parse().unwrap());
        let dialled = dialable(&addresses, &PeerId::random(), reach, 8);
        assert_eq!(dialled, addresses[..1]);
    }
}
