//! Where the swarm listens.

use std::io;
use std::net::SocketAddr;

use libp2p::core::transport::TransportError;
use libp2p::{Multiaddr, Swarm};
use socket2::{Domain, Protocol, Socket, Type};

use super::error::NetError;
use super::transport::{Kind, Protocols, parse};

/// Listens on all of these addresses, or says why it can't on one of them.
///
/// Whether a port is free is asked of the operating system for all of them before the first is taken:
/// libp2p's TCP shares ports, so a second node would get half of the first one's connections. It is asked
/// by the same bind that libp2p does, so that `::` is IPv6 alone and leaves IPv4 to another address.
pub(super) fn listen(
    swarm: &mut Swarm<Protocols>,
    addresses: &[Multiaddr],
) -> Result<(), NetError> {
    for address in addresses {
        can_listen(address)?;
    }
    for address in addresses {
        match swarm.listen_on(address.clone()) {
            Ok(_) => {}
            Err(TransportError::MultiaddrNotSupported(address)) => {
                return Err(NetError::ListenAddress(address));
            }
            Err(TransportError::Other(error)) => return Err(NetError::listen(address, error)),
        }
    }
    Ok(())
}

/// Whether a node could listen there now: takes the port and lets go of it.
///
/// # Errors
/// Why not, with what to do.
pub fn can_listen(address: &Multiaddr) -> Result<(), NetError> {
    let parsed = parse(address).filter(|(_, _, peer)| peer.is_none());
    let (kind, socket, _) = parsed.ok_or_else(|| NetError::ListenAddress(address.clone()))?;
    free(kind, socket).map_err(|error| NetError::listen(address, error))
}

/// Takes a socket as libp2p does, but for TCP alone, and lets go of it.
fn free(kind: Kind, address: SocketAddr) -> io::Result<()> {
    let (shape, protocol) = match kind {
        Kind::Tcp => (Type::STREAM, Protocol::TCP),
        Kind::Quic => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(address), shape, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Kind::Tcp {
        // What lingers of connections that were closed does not take the port.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    if kind == Kind::Tcp {
        socket.listen(1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn a_port_that_only_the_other_family_has_is_free() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let (all, same) = (
            format!("[::]:{port}").parse().unwrap(),
            format!("0.0.0.0:{port}").parse().unwrap(),
        );
        free(Kind::Tcp, all).unwrap();
        let error = free(Kind::Tcp, same).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);

        let taken = UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        free(Kind::Quic, format!("[::]:{port}").parse().unwrap()).unwrap();
        let error = free(Kind::Quic, taken.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
