//! Addresses as libp2p has them.

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
