//! Which addresses the members of a network dial. A descriptor makes every member dial what it names, so
//! in a network of the internet nobody's descriptor may name a machine behind a member's firewall, or the
//! member itself.
//!
//! Source: the IANA registries of special-purpose addresses (RFC 6890 and its updates).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// How far an address can be dialled from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// From the same machine.
    Loopback,
    /// Within a site: private, shared and unique local addresses, and those for documentation and
    /// benchmarks.
    Private,
    /// From everywhere.
    Public,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::Public => "public",
        })
    }
}

/// Why an address is not dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Misfit {
    /// Unspecified, link-local, multicast or reserved.
    #[error("is not the address of one machine that others can dial")]
    Unusable,
    /// An IPv4 address in IPv6 clothes: mapped, NAT64, 6to4 or Teredo. What it reaches depends on who
    /// dials, and one target would have several names.
    #[error("is another form of an IPv4 address; give /ip4/…")]
    Translated,
    /// Of another kind than those of the first members.
    #[error("is a {found} address, and this network's first members have {network} ones")]
    Scope {
        /// The address's.
        found: Scope,
        /// The network's.
        network: Scope,
    },
}

/// Which addresses are dialled in a network: those that reach as far as the widest of its first members'.
/// A network on one machine or at one site stays there, and one of the internet stays out of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach(Option<Scope>);

impl Reach {
    /// A network whose first members have no addresses, so that nobody finds it: anything that can be
    /// dialled.
    pub const ANY: Self = Self(None);

    /// That of a network whose first members have these addresses.
    #[must_use]
    pub fn of(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut widest = None;
        for scope in addresses.into_iter().flat_map(scope) {
            widest = widest.max(Some(scope));
            if scope == Scope::Public {
                break;
            }
        }
        Self(widest)
    }

    /// How far the network goes; none if that is open.
    #[must_use]
    pub const fn scope(self) -> Option<Scope> {
        self.0
    }

    /// Whether members dial this address.
    ///
    /// # Errors
    /// Why they don't.
    pub fn check(self, ip: IpAddr) -> Result<(), Misfit> {
        let found = scope(ip)?;
        match self.0 {
            Some(network) if network != found => Err(Misfit::Scope { found, network }),
            _ => Ok(()),
        }
    }
}

pub(crate) fn scope(ip: IpAddr) -> Result<Scope, Misfit> {
    match ip {
        IpAddr::V4(ip) => scope_v4(ip),
        IpAddr::V6(ip) => scope_v6(ip),
    }
}

fn scope_v4(ip: Ipv4Addr) -> Result<Scope, Misfit> {
    match ip.octets() {
        [127, ..] => Ok(Scope::Loopback),
        [10, ..]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        | [100, 64..=127, ..]
        | [192, 0, 2, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [198, 18..=19, ..] => Ok(Scope::Private),
        // This network, link-local, protocol assignments, relays of 6to4, multicast and above.
        [0, ..] | [169, 254, ..] | [192, 0, 0, _] | [192, 88, 99, _] | [224..=255, ..] => {
            Err(Misfit::Unusable)
        }
        _ => Ok(Scope::Public),
    }
}

fn scope_v6(ip: Ipv6Addr) -> Result<Scope, Misfit> {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Err(Misfit::Unusable),
        [0, 0, 0, 0, 0, 0, 0, 1] => Ok(Scope::Loopback),
        // Compatible, mapped and translated; NAT64, well known and local; Teredo; 6to4.
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _]
        | [0, 0, 0, 0, 0xffff, 0, _, _]
        | [0x64, 0xff9b, ..]
        | [0x2001, 0, ..]
        | [0x2002, ..] => Err(Misfit::Translated),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] | [0x2001, 2, 0, ..] => Ok(Scope::Private),
        [0xfc00..=0xfdff, ..] => Ok(Scope::Private),
        // Protocol assignments.
        [0x2001, 0..=0x1ff, ..] => Err(Misfit::Unusable),
        [0x2000..=0x3fff, ..] => Ok(Scope::Public),
        _ => Err(Misfit::Unusable),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn of(text: &str) -> Result<Scope, Misfit> {
        scope(text.parse().unwrap())
    }

    #[test]
    fn every_special_address_has_its_scope() {
        for (scope, texts) in [
            (
                Ok(Scope::Loopback),
                ["127.0.0.1", "127.255.255.254", "::1"].as_slice(),
            ),
            (
                Ok(Scope::Private),
                &[
                    "10.0.0.1",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.1.1",
                    "100.64.0.1",
                    "192.0.2.1",
                    "198.18.0.1",
                    "203.0.113.9",
                    "fd12::1",
                    "fc00::1",
                    "2001:db8::1",
                    "3fff::1",
                ],
            ),
            (
                Ok(Scope::Public),
                &[
                    "1.2.3.4",
                    "172.15.0.1",
                    "172.32.0.1",
                    "100.128.0.1",
                    "192.0.1.1",
                    "223.255.255.255",
                    "2a00:1450::1",
                    "2001:4860::8888",
                ],
            ),
            (
                Err(Misfit::Unusable),
                &[
                    "0.0.0.0",
                    "0.1.2.3",
                    "169.254.169.254",
                    "192.0.0.8",
                    "192.88.99.1",
                    "224.0.0.1",
                    "240.0.0.1",
                    "255.255.255.255",
                    "::",
                    "fe80::1",
                    "fec0::1",
                    "ff02::1",
                    "100::1",
                    "2001:20::1",
                    "4000::1",
                ],
            ),
            (
                Err(Misfit::Translated),
                &[
                    "::7f00:1",
                    "::ffff:127.0.0.1",
                    "::ffff:1.2.3.4",
                    "::ffff:0:10.0.0.1",
                    "64:ff9b::a9fe:a9fe",
                    "64:ff9b:1::a00:1",
                    "2002:a9fe:a9fe::1",
                    "2001:0:4136:e378::1",
                ],
            ),
        ] {
            for text in texts {
                assert_eq!(of(text), scope, "{text}");
            }
        }
    }

    #[test]
    fn a_network_reaches_as_far_as_its_first_members() {
        let reach = |texts: &[&str]| Reach::of(texts.iter().map(|text| text.parse().unwrap()));
        let fits = |reach: Reach, text: &str| reach.check(text.parse().unwrap()).is_ok();
        let hosts = ["127.0.0.1", "10.0.0.1", "1.2.3.4"];
        for (members, fitting) in [
            (&["127.0.0.1"][..], [true, false, false]),
            (&["10.1.1.1"], [false, true, false]),
            (&["9.9.9.9"], [false, false, true]),
            (&["127.0.0.1", "9.9.9.9", "10.0.0.1"], [false, false, true]),
            (&[], [true, true, true]),
        ] {
            let reach = reach(members);
            assert_eq!(hosts.map(|host| fits(reach, host)), fitting, "{members:?}");
            for never in ["0.0.0.0", "169.254.169.254", "::ffff:1.2.3.4", "fe80::1"] {
                assert!(!fits(reach, never), "{members:?} {never}");
            }
        }
        let why = reach(&["9.9.9.9"]).check([10, 0, 0, 1].into()).unwrap_err();
        assert_eq!(
            why.to_string(),
            "is a private address, and this network's first members have public ones"
        );
    }
}
