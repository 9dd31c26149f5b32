//! By which transport and which family of addresses a connection goes.

use libp2p::Multiaddr;
use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;

shoal_proto::labels! {
    /// Connections that are open now, in or out, by transport and family of addresses.
    pub enum Way("way") counted by OpenConnections as gauge "shoal_node_open_connections" in "connections" {
        /// TCP over IPv4.
        Tcp4 = "tcp_ip4";
        /// TCP over IPv6.
        Tcp6 = "tcp_ip6", "If it stays 0 and the node advertises an IPv6 address, look at the machine's IPv6.";
        /// QUIC over IPv4.
        Quic4 = "quic_ip4", "If it stays 0, UDP may be blocked on the way: look at the firewall.";
        /// QUIC over IPv6.
        Quic6 = "quic_ip6";
    }
}

impl Way {
    /// That of a connection, by the peer's address.
    pub(super) fn of(endpoint: &ConnectedPoint) -> Self {
        Self::of_address(endpoint.get_remote_address())
    }

    #[allow(
        clippy::use_self,
        reason = "a test looks for the labels by their names"
    )]
    fn of_address(address: &Multiaddr) -> Self {
        // An IPv6 socket that takes IPv4 too would show mapped addresses; ours never do.
        let v6 = matches!(address.iter().next(), Some(Protocol::Ip6(_)));
        let quic = address.iter().any(|part| part == Protocol::QuicV1);
        match (quic, v6) {
            (false, false) => Way::Tcp4,
            (false, true) => Way::Tcp6,
            (true, false) => Way::Quic4,
            (true, true) => Way::Quic6,
        }
    }

    /// A word for the transport.
    pub(super) const fn transport(self) -> &'static str {
        match self {
            Self::Tcp4 | Self::Tcp6 => "tcp",
            Self::Quic4 | Self::Quic6 => "quic",
        }
    }
}
