//! Where a node listens: a text with one spelling, parsed once where it comes in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::AddressError;

/// Most bytes of an address.
pub(crate) const MAX_ADDRESS_BYTES: usize = 128;

/// Where a node listens, as a libp2p multiaddress: `/ip4/192.0.2.1/tcp/4000` or
/// `/dns/mix.example/udp/4000/quic-v1`. Parsing is strict: one spelling for each address, at most
/// 128 bytes long. In TOML and JSON it is that text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    host: Host,
    transport: Transport,
    port: u16,
}

impl Address {
    /// The host.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// How it is spoken to.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// The port, 1 to 65535.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// A port of a machine that is spoken to over TCP.
    #[must_use]
    pub const fn tcp(ip: IpAddr, port: std::num::NonZeroU16) -> Self {
        let host = match ip {
            IpAddr::V4(ip) => Host::Ip4(ip),
            IpAddr::V6(ip) => Host::Ip6(ip),
        };
        Self {
            host,
            transport: Transport::Tcp,
            port: port.get(),
        }
    }
}

/// The host of an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// `/ip4/…`
    Ip4(Ipv4Addr),
    /// `/ip6/…`
    Ip6(Ipv6Addr),
    /// `/dns/…`: either family.
    Dns(String),
    /// `/dns4/…`
    Dns4(String),
    /// `/dns6/…`
    Dns6(String),
}

/// The transport of an [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// `/tcp/PORT`
    Tcp,
    /// `/udp/PORT/quic-v1`
    QuicV1,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_ADDRESS_BYTES {
            return Err(AddressError::TooLong);
        }
        let rest = text.strip_prefix('/').ok_or(AddressError::Form)?;
        let parts: Vec<&str> = rest.split('/').collect();
        let (kind, host, transport, port) = match parts.as_slice() {
            [kind, host, "tcp", port] => (*kind, *host, Transport::Tcp, *port),
            [kind, host, "udp", port, "quic-v1"] => (*kind, *host, Transport::QuicV1, *port),
            _ => return Err(AddressError::Form),
        };
        Ok(Self {
            host: parse_host(kind, host)?,
            transport,
            port: parse_port(port)?,
        })
    }
}

fn parse_host(kind: &str, host: &str) -> Result<Host, AddressError> {
    let name = || {
        let valid = is_dns_name(host).then(|| host.to_owned());
        valid.ok_or(AddressError::Host)
    };
    match kind {
        "ip4" => host.parse().map(Host::Ip4).map_err(|_| AddressError::Host),
        "ip6" => {
            let ip: Ipv6Addr = host.parse().map_err(|_| AddressError::Host)?;
            if ip.to_string() == host {
                Ok(Host::Ip6(ip))
            } else {
                Err(AddressError::Host)
            }
        }
        "dns" => name().map(Host::Dns),
        "dns4" => name().map(Host::Dns4),
        "dns6" => name().map(Host::Dns6),
        _ => Err(AddressError::Form),
    }
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    let port: u16 = text.parse().map_err(|_| AddressError::Port)?;
    // One spelling only: no sign, no leading zero; and a port that can be dialled.
    if port == 0 || port.to_string() != text {
        Err(AddressError::Port)
    } else {
        Ok(port)
    }
}

/// RFC 1123 host names, in lower case, without the final dot.
fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    name.len() <= 100 && name.split('.').all(label)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip4(ip) => write!(f, "/ip4/{ip}")?,
            Host::Ip6(ip) => write!(f, "/ip6/{ip}")?,
            Host::Dns(name) => write!(f, "/dns/{name}")?,
            Host::Dns4(name) => write!(f, "/dns4/{name}")?,
            Host::Dns6(name) => write!(f, "/dns6/{name}")?,
        }
        match self.transport {
            Transport::Tcp => write!(f, "/tcp/{}", self.port),
            Transport::QuicV1 => write!(f, "/udp/{}/quic-v1", self.port),
        }
    }
}

/// As its text.
impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|error| de::Error::custom(format_args!("{text:?}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn serde_goes_by_the_text() {
        #[derive(Debug, PartialEq, Deserialize, Serialize)]
        struct File {
            address: Address,
        }
        let text = "address = \"/dns/a.example/udp/9/quic-v1\"\n";
        let file: File = toml::from_str(text).unwrap();
        assert_eq!(*file.address.host(), Host::Dns("a.example".to_owned()));
        assert_eq!(toml::to_string(&file).unwrap(), text);
        let error = toml::from_str::<File>("address = \"a.example:9\"").unwrap_err();
        assert!(error.to_string().contains("not of the form"), "{error}");
    }

    #[test]
    fn addresses_made_of_parts_are_as_if_parsed() {
        let port = std::num::NonZeroU16::MAX;
        for (ip, text) in [
            ("192.0.2.1", "/ip4/192.0.2.1/tcp/65535"),
            ("2001:db8::1", "/ip6/2001:db8::1/tcp/65535"),
        ] {
            let address = Address::tcp(ip.parse().unwrap(), port);
            assert_eq!(text.parse(), Ok(address));
        }
    }

    #[test]
    fn addresses_round_trip() {
        for text in [
            "/ip4/192.0.2.1/tcp/4000",
            "/ip6/2001:db8::1/udp/65535/quic-v1",
            "/dns/mix-1.example.org/tcp/1",
            "/dns4/a/tcp/80",
            "/dns6/a.b/udp/80/quic-v1",
        ] {
            assert_eq!(
                text.parse::<Address>().map(|a| a.to_string()).as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        use AddressError as E;
        let long = format!("/dns/{}/tcp/1", "a.".repeat(64));
        for (text, error) in [
            ("", E::Form),
            ("ip4/1.2.3.4/tcp/1", E::Form),
            ("/ip4/1.2.3.4/udp/1", E::Form),
            ("/ip4/1.2.3.4/udp/1/quic", E::Form),
            ("/ip4/1.2.3.4/tcp/1/p2p/x", E::Form),
            ("/memory/1/tcp/1", E::Form),
            ("/ip4/1.2.3/tcp/1", E::Host),
            ("/ip4/01.2.3.4/tcp/1", E::Host),
            ("/ip6/2001:DB8::1/tcp/1", E::Host),
            ("/ip6/0:0:0:0:0:0:0:1/tcp/1", E::Host),
            ("/dns/-a/tcp/1", E::Host),
            ("/dns/a..b/tcp/1", E::Host),
            ("/dns/A/tcp/1", E::Host),
            ("/ip4/1.2.3.4/tcp/0", E::Port),
            ("/ip4/1.2.3.4/tcp/01", E::Port),
            ("/ip4/1.2.3.4/tcp/+1", E::Port),
            ("/ip4/1.2.3.4/tcp/65536", E::Port),
            (long.as_str(), E::TooLong),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
    }
}
