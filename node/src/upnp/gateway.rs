//! A router that is asked: where it is, and what it does for us.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use rupnp::http::Uri;
use rupnp::http::uri::PathAndQuery;
use rupnp::ssdp::URN;
use rupnp::{Device, Service};

use super::error::UpnpError;
use super::pipe::exchange;
use super::ports::Port;

/// What the router shows to who looks at it.
const DESCRIPTION: &str = "shoal";
/// What forwards ports, by the standard's name.
const SERVICES: [&str; 2] = ["WANIPConnection", "WANPPPConnection"];
/// Connections of a router that are looked at; it has one or two.
const CONNECTIONS_MOST: usize = 4;

/// Where a router says that its description is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) router: SocketAddrV4,
    pub(super) path: PathAndQuery,
}

impl Location {
    /// Only what can be a router of a home: a private address, written as one. Else whoever answers could send this
    /// machine anywhere, to itself too.
    pub(super) fn of(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let ip: Ipv4Addr = uri.host()?.parse().ok()?;
        let is_near = ip.is_private() || ip.is_link_local();
        (is_near && uri.scheme_str() == Some("http")).then(|| Self {
            router: SocketAddrV4::new(ip, uri.port_u16().unwrap_or(80)),
            path: uri.path_and_query().cloned().unwrap_or_else(slash),
        })
    }
}

fn slash() -> PathAndQuery {
    PathAndQuery::from_static("/")
}

/// A router with a connection to the outside.
pub(super) struct Gateway {
    location: Location,
    service: Service,
    /// Its address of the outside.
    pub(super) outside: Ipv4Addr,
    /// This machine's, as the router sees it.
    inside: Ipv4Addr,
    patience: Duration,
}

impl Gateway {
    /// Asks what is there for its description and its address of the outside.
    ///
    /// # Errors
    /// It does not answer as a router does, or is not connected.
    pub(super) async fn open(location: Location, patience: Duration) -> Result<Self, UpnpError> {
        let inside = inside(location.router)?;
        let device = exchange(location.router, patience, async |at| {
            Device::from_url(url(at, &location.path)).await
        });
        let device = device.await?;
        let forwards = |service: &&Service| {
            let kind = service.service_type();
            matches!(kind, URN::Service(..)) && SERVICES.contains(&kind.typ())
        };
        let services = device.services_iter().filter(forwards);
        let mut last = UpnpError::NoOutside;
        for service in services.take(CONNECTIONS_MOST) {
            let mut gateway = Self {
                location: location.clone(),
                service: service.clone(),
                outside: Ipv4Addr::UNSPECIFIED,
                inside,
                patience,
            };
            match gateway.asked_outside().await {
                Ok(outside) => {
                    gateway.outside = outside;
                    return Ok(gateway);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    async fn asked_outside(&self) -> Result<Ipv4Addr, UpnpError> {
        let answer = self.ask("GetExternalIPAddress", "").await?;
        let text = answer
            .get("NewExternalIPAddress")
            .ok_or(UpnpError::NoOutside)?;
        let outside: Ipv4Addr = text.trim().parse().map_err(|_| UpnpError::Nonsense)?;
        match outside.is_unspecified() {
            true => Err(UpnpError::NoOutside),
            false => Ok(outside),
        }
    }

    /// Has it forward a port for so many seconds, from now; 0 for always.
    pub(super) async fn map(&self, port: &Port, lease_secs: u64) -> Result<(), UpnpError> {
        let arguments = format!(
            "{}<NewInternalPort>{}</NewInternalPort><NewInternalClient>{}</NewInternalClient>\
             <NewEnabled>1</NewEnabled><NewPortMappingDescription>{DESCRIPTION}</NewPortMappingDescription>\
             <NewLeaseDuration>{lease_secs}</NewLeaseDuration>",
            outer(port),
            port.number,
            port.ip.unwrap_or(self.inside),
        );
        self.ask("AddPortMapping", &arguments).await.map(drop)
    }

    /// Has it forward a port no more.
    pub(super) async fn unmap(&self, port: &Port) -> Result<(), UpnpError> {
        self.ask("DeletePortMapping", &outer(port)).await.map(drop)
    }

    async fn ask(
        &self,
        action: &str,
        arguments: &str,
    ) -> Result<HashMap<String, String>, UpnpError> {
        let asking = async |at| {
            let at = url(at, &self.location.path);
            self.service.action(&at, action, arguments).await
        };
        exchange(self.location.router, self.patience, asking).await
    }
}

/// The arguments that name a port outside, in the order of the standard.
fn outer(port: &Port) -> String {
    format!(
        "<NewRemoteHost></NewRemoteHost><NewExternalPort>{}</NewExternalPort><NewProtocol>{}</NewProtocol>",
        port.number,
        port.protocol()
    )
}

fn url(at: SocketAddr, path: &PathAndQuery) -> Uri {
    let url = Uri::builder().scheme("http").authority(at.to_string());
    // A socket's address and a path make a URL.
    url.path_and_query(path.clone()).build().unwrap_or_default()
}

/// The address of this machine by which it speaks to the router. Connecting a datagram socket asks the system's routes
/// and sends nothing.
fn inside(router: SocketAddrV4) -> io::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(router)?;
    match socket.local_addr()?.ip() {
        IpAddr::V4(ip) => Ok(ip),
        IpAddr::V6(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_a_router_of_a_home_is_asked() {
        let near = Location::of("http://192.168.1.1:5000/rootDesc.xml?x=1");
        assert_eq!(
            near,
            Some(Location {
                router: SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 1), 5000),
                path: PathAndQuery::from_static("/rootDesc.xml?x=1"),
            })
        );
        assert!(Location::of("http://10.0.0.1").is_some_and(|at| at.router.port() == 80));
        for far in [
            "http://127.0.0.1:9464/metrics",
            "http://0.0.0.0:80/",
            "http://9.9.9.9/",
            "http://239.255.255.250/",
            "http://router.lan/",
            "http://[fe80::1]/",
            "https://192.168.1.1/",
            "ftp://192.168.1.1/",
            "192.168.1.1",
            "/rootDesc.xml",
            "",
        ] {
            assert_eq!(Location::of(far), None, "{far}");
        }
    }
}
