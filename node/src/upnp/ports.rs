//! What a router is asked to forward.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;

use libp2p::Multiaddr;
use shoal_topology::{Address, Transport};

/// A port that the node listens on. It is the same one outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port {
    transport: Transport,
    pub(super) number: NonZeroU16,
    /// The one address of this machine that the node listens on there; none for all.
    pub(super) ip: Option<Ipv4Addr>,
}

impl Port {
    /// As UPnP names what carries it.
    pub(super) const fn protocol(&self) -> &'static str {
        match self.transport {
            Transport::Tcp => "TCP",
            Transport::QuicV1 => "UDP",
        }
    }

    /// Where others dial it, if the router has this address outside.
    pub(super) fn outside(&self, ip: Ipv4Addr) -> Option<Address> {
        let number = self.number;
        let text = match self.transport {
            Transport::Tcp => format!("/ip4/{ip}/tcp/{number}"),
            Transport::QuicV1 => format!("/ip4/{ip}/udp/{number}/quic-v1"),
        };
        text.parse().ok()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol(), self.number)
    }
}

/// The ports of these listeners that a router can forward, each once: those of IPv4 that other machines reach. What is
/// listened on by IPv6 needs no forwarding, and a port that the system chooses is not known.
pub(super) fn ports_of(listen: &[Multiaddr]) -> Vec<Port> {
    let mut ports: Vec<Port> = Vec::new();
    for listener in listen {
        let Some(port) = port_of(listener) else {
            continue;
        };
        let same = |other: &Port| (other.transport, other.number) == (port.transport, port.number);
        if !ports.iter().any(same) {
            ports.push(port);
        }
    }
    ports
}

fn port_of(listener: &Multiaddr) -> Option<Port> {
    let address: Address = listener.to_string().parse().ok()?;
    let IpAddr::V4(ip) = address.ip() else {
        return None;
    };
    (!ip.is_loopback()).then_some(Port {
        transport: address.transport(),
        number: NonZeroU16::new(address.port())?,
        ip: (!ip.is_unspecified()).then_some(ip),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn ports_that_a_router_can_forward_are_asked_for_once() {
        let listen = [
            "/ip4/0.0.0.0/tcp/4140",
            "/ip4/0.0.0.0/udp/4141/quic-v1",
            "/ip4/192.168.1.5/tcp/4142",
            // Outside there is one port of each number.
            "/ip4/192.168.1.6/tcp/4142",
            "/ip4/127.0.0.1/tcp/4143",
            "/ip4/0.0.0.0/tcp/0",
            "/ip6/::/tcp/4144",
        ];
        let ports = ports_of(&listen.map(|text| text.parse().unwrap()));
        let told: Vec<_> = ports
            .iter()
            .map(|port| (port.to_string(), port.ip))
            .collect();
        let alone = Some("192.168.1.5".parse().unwrap());
        let expected = [("TCP 4140", None), ("UDP 4141", None), ("TCP 4142", alone)];
        assert_eq!(told, expected.map(|(text, ip)| (text.to_owned(), ip)));
    }
}
