//! Where a peer is: the prefix of its address that one owner usually has, /24 for IPv4, /48 for IPv6.

use std::net::{IpAddr, Ipv6Addr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use shoal_roles::node::Place;

/// The place of a peer with this address. None if it is no address of a machine.
pub(super) fn place_of(address: &Multiaddr) -> Option<Place> {
    let ip = address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(ip.to_canonical()),
        _ => None,
    })?;
    let prefix = match ip {
        IpAddr::V4(ip) => u64::from(ip.to_bits() >> 8),
        IpAddr::V6(ip) => prefix_of(ip),
    };
    Some(Place(prefix))
}

/// The first 48 bits, and a bit above them that no prefix of IPv4 has.
fn prefix_of(ip: Ipv6Addr) -> u64 {
    let [a, b, c, ..] = ip.segments();
    [a, b, c]
        .into_iter()
        .fold(1, |prefix, part| prefix << 16 | u64::from(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        let place = |text: &str| place_of(&text.parse().expect("an address"));
        place(a) == place(b)
    }

    #[test]
    fn neighbours_of_an_address_are_in_one_place() {
        assert!(same(
            "/ip4/192.0.2.1/tcp/1",
            "/ip4/192.0.2.254/udp/9/quic-v1"
        ));
        assert!(!same("/ip4/192.0.2.1/tcp/1", "/ip4/192.0.3.1/tcp/1"));
        assert!(same(
            "/ip6/2001:db8:1:2::3/tcp/1",
            "/ip6/2001:db8:1:ff::4/tcp/1"
        ));
        assert!(!same("/ip6/2001:db8:1::/tcp/1", "/ip6/2001:db8:2::/tcp/1"));
        assert!(same("/ip4/192.0.2.1/tcp/1", "/ip6/::ffff:192.0.2.7/tcp/1"));
        assert!(!same("/ip4/0.0.0.1/tcp/1", "/ip6/::1/tcp/1"));
        assert!(place_of(&"/dns/example.org/tcp/1".parse().expect("a name")).is_none());
    }
}
