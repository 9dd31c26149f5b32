//! Where a node listens: a text with one spelling, parsed once where it comes in.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::AddressError;

/// Most bytes of an address.
pub(crate) const MAX_ADDRESS_BYTES: usize = 128;

/// Where a node listens, as a libp2p multiaddress: `/ip4/192.0.2.1/tcp/4000` or
/// `/ip6/2001:db8::1/udp/4000/quic-v1`. Parsing is strict: one spelling for each address, at most
/// 128 bytes long. In TOML and JSON it is that text.
///
/// A name is no address. A look-up tells a resolver who is about to be spoken to, and whoever owns the
/// name could send each member and each client somewhere else, at any time, without signing anything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    ip: IpAddr,
    transport: Transport,
    port: NonZeroU16,
}

impl Address {
    /// The machine.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// How it is spoken to.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// The port, 1 to 65535.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port.get()
    }

    /// A port of a machine that is spoken to over TCP.
    #[must_use]
    pub const fn tcp(ip: IpAddr, port: NonZeroU16) -> Self {
        Self {
            ip,
            transport: Transport::Tcp,
            port,
        }
    }
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
            ip: parse_ip(kind, host)?,
            transport,
            port: parse_port(port)?,
        })
    }
}

fn parse_ip(kind: &str, host: &str) -> Result<IpAddr, AddressError> {
    match kind {
        "ip4" => host.parse().map(IpAddr::V4).map_err(|_| AddressError::Host),
        "ip6" => {
            let ip: Ipv6Addr = host.parse().map_err(|_| AddressError::Host)?;
            if ip.to_string() == host {
                Ok(IpAddr::V6(ip))
            } else {
                Err(AddressError::Host)
            }
        }
        "dns" | "dns4" | "dns6" | "dnsaddr" => Err(AddressError::Name),
        _ => Err(AddressError::Form),
    }
}

fn parse_port(text: &str) -> Result<NonZeroU16, AddressError> {
    // One spelling only: no sign, no leading zero; and a port that can be dialled.
    let port: NonZeroU16 = text.parse().map_err(|_| AddressError::Port)?;
    if port.to_string() == text {
        Ok(port)
    } else {
        Err(AddressError::Port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            IpAddr::V4(ip) => write!(f, "/ip4/{ip}")?,
            IpAddr::V6(ip) => write!(f, "/ip6/{ip}")?,
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
        let text = "address = \"/ip4/192.0.2.7/udp/9/quic-v1\"\n";
        let file: File = toml::from_str(text).unwrap();
        assert_eq!(file.address.ip(), IpAddr::from([192, 0, 2, 7]));
        assert_eq!(toml::to_string(&file).unwrap(), text);
        let error = toml::from_str::<File>("address = \"a.example:9\"").unwrap_err();
        assert!(error.to_string().contains("not of the form"), "{error}");
    }

    #[test]
    fn addresses_made_of_parts_are_as_if_parsed() {
        let port = NonZeroU16::MAX;
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
            "/ip6/::1/tcp/1",
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
        let long = format!("/ip6/{}/tcp/1", "a:".repeat(64));
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
            ("/dns/a.example/tcp/1", E::Name),
            ("/dns4/localhost/tcp/1", E::Name),
            ("/dns6/a/udp/1/quic-v1", E::Name),
            ("/dnsaddr/a/tcp/1", E::Name),
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
