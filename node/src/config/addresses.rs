//! The addresses of a node's configuration: where it listens, and what others dial.

use std::net::{IpAddr, SocketAddr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use shoal_topology::Address;

use super::error::{ConfigError, Problems};

/// What somebody meant who wrote an address and a port, or an address alone, where a multiaddress goes.
#[must_use]
pub fn meant(text: &str) -> Option<String> {
    let (ip, port) = match text.parse::<SocketAddr>() {
        Ok(socket) => (socket.ip(), socket.port().to_string()),
        Err(_) => {
            let bare = text.trim_start_matches('[').trim_end_matches(']');
            (bare.parse::<IpAddr>().ok()?, "4140".to_owned())
        }
    };
    let family = if ip.is_ipv4() { "ip4" } else { "ip6" };
    Some(format!(
        "/{family}/{ip}/tcp/{port} or /{family}/{ip}/udp/{port}/quic-v1"
    ))
}

/// What to write instead, if that can be told, else how such an address looks.
fn instead(text: &str) -> String {
    match meant(text) {
        Some(meant) => format!("; write {meant}"),
        None => {
            "; write /ip4/ADDRESS/tcp/PORT or /ip4/ADDRESS/udp/PORT/quic-v1 (or /ip6/…)".to_owned()
        }
    }
}

/// An address to listen on: like those of a descriptor, and port 0 leaves the choice to the
/// system.
fn listen_address(text: &str) -> Result<Multiaddr, ConfigError> {
    let invalid = |message| ConfigError::invalid("listen", message);
    let address: Multiaddr = text.parse().map_err(|error| {
        invalid(format!(
            "`{text}` is not a multiaddress: {error}{}",
            instead(text)
        ))
    })?;
    match socket_of(&address) {
        Some(_) => Ok(address),
        None => Err(invalid(format!(
            "`{text}` is neither TCP nor QUIC{}",
            instead(text)
        ))),
    }
}

/// Whether it is UDP, and the socket; none for other kinds.
fn socket_of(address: &Multiaddr) -> Option<(bool, SocketAddr)> {
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    let (ip, rest) = match parts.split_first()? {
        (Protocol::Ip4(ip), rest) => (IpAddr::V4(*ip), rest),
        (Protocol::Ip6(ip), rest) => (IpAddr::V6(*ip), rest),
        _ => return None,
    };
    match rest {
        [Protocol::Tcp(port)] => Some((false, SocketAddr::new(ip, *port))),
        [Protocol::Udp(port), Protocol::QuicV1] => Some((true, SocketAddr::new(ip, *port))),
        _ => None,
    }
}

/// Whether the one takes what the other wants. IPv4 and IPv6 never do: `::` is IPv6 alone.
fn clash(one: &Multiaddr, other: &Multiaddr) -> bool {
    let (Some((udp, a)), Some((also_udp, b))) = (socket_of(one), socket_of(other)) else {
        return false;
    };
    let same = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    udp == also_udp && a.is_ipv4() == b.is_ipv4() && same && a.port() == b.port() && a.port() != 0
}

pub(super) fn listened(texts: &[String], wrong: &mut Problems) -> Vec<Multiaddr> {
    if texts.is_empty() {
        wrong.push(ConfigError::invalid("listen", "needs at least one address"));
    }
    let mut addresses: Vec<Multiaddr> = Vec::new();
    for text in texts {
        let Some(address) = wrong.keep(listen_address(text)) else {
            continue;
        };
        match addresses.iter().find(|other| clash(other, &address)) {
            Some(other) => {
                let message =
                    format!("{address} and {other} take the same port; leave one of them out");
                wrong.push(ConfigError::invalid("listen", message));
            }
            None => addresses.push(address),
        }
    }
    addresses
}

pub(super) fn advertised(texts: &[String], wrong: &mut Problems) -> Vec<Address> {
    let mut addresses = Vec::new();
    for text in texts {
        let parsed = text.parse().map_err(|error| {
            let hint = meant(text).map_or_else(String::new, |meant| format!("; write {meant}"));
            ConfigError::invalid(
                "advertise",
                format!("`{text}` can't be dialled: {error}{hint}"),
            )
        });
        addresses.extend(wrong.keep(parsed));
    }
    addresses
}

/// What others can dial, unless it is every address of the machine, or any port.
pub(super) fn definite(listened: &Multiaddr) -> Option<Address> {
    let address: Address = listened.to_string().parse().ok()?;
    (!address.ip().is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_told() {
        for (text, meaning) in [
            (
                "[::1]:4140",
                "/ip6/::1/tcp/4140 or /ip6/::1/udp/4140/quic-v1",
            ),
            (
                "0.0.0.0:1",
                "/ip4/0.0.0.0/tcp/1 or /ip4/0.0.0.0/udp/1/quic-v1",
            ),
            ("[::]", "/ip6/::/tcp/4140 or /ip6/::/udp/4140/quic-v1"),
            (
                "9.9.9.9",
                "/ip4/9.9.9.9/tcp/4140 or /ip4/9.9.9.9/udp/4140/quic-v1",
            ),
        ] {
            assert_eq!(meant(text).as_deref(), Some(meaning));
        }
        assert_eq!(meant("example.org:4140"), None);
    }

    fn wrong_of(texts: &[&str]) -> String {
        let mut wrong = Problems::default();
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        listened(&texts, &mut wrong);
        wrong
            .finish()
            .err()
            .map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn only_addresses_that_take_the_same_port_clash() {
        for fit in [
            ["/ip4/0.0.0.0/tcp/1", "/ip6/::/tcp/1"],
            ["/ip4/192.0.2.1/tcp/1", "/ip6/::/tcp/1"],
            ["/ip4/0.0.0.0/tcp/1", "/ip4/0.0.0.0/udp/1/quic-v1"],
            ["/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.2/tcp/1"],
            ["/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/tcp/0"],
        ] {
            assert_eq!(wrong_of(&fit), "", "{fit:?}");
        }
        for clash in [
            ["/ip4/0.0.0.0/tcp/1", "/ip4/192.0.2.1/tcp/1"],
            ["/ip6/::1/udp/1/quic-v1", "/ip6/::/udp/1/quic-v1"],
            ["/ip6/::/tcp/1", "/ip6/::/tcp/1"],
        ] {
            assert!(wrong_of(&clash).contains("take the same port"), "{clash:?}");
        }
    }
}
