//! Addresses as libp2p has them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use shoal_topology::{Address, Transport};

/// The address for dialling.
#[must_use]
pub fn multiaddr(address: &Address) -> Multiaddr {
    let whole = Multiaddr::from(address.ip());
    match address.transport() {
        Transport::Tcp => whole.with(Protocol::Tcp(address.port())),
        Transport::QuicV1 => whole
            .with(Protocol::Udp(address.port()))
            .with(Protocol::QuicV1),
    }
}

/// The machine of an address; nobody's for a kind of address that is not spoken here.
pub(super) fn ip_of(address: &Multiaddr) -> IpAddr {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// The network of so many leading bits that an address is in, by its first address. An IPv4 address is
/// in one network, however its socket shows it.
pub(super) fn network_of(ip: IpAddr, v4: u32, v6: u32) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & u32::MAX << (32 - v4)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & u128::MAX << (128 - v6)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_have_one_spelling() {
        for text in [
            "/ip4/192.0.2.1/tcp/4000",
            "/ip6/2001:db8::1/udp/65535/quic-v1",
            "/ip6/::1/tcp/80",
        ] {
            let address = text.parse::<Address>();
            let converted = address.map(|address| multiaddr(&address).to_string());
            assert_eq!(converted.as_deref(), Ok(text));
        }
    }
}
