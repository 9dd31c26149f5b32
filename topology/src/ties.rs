//! What ties nodes to one position: a family, and the prefix of an address.
//!
//! One operator may see what its family's nodes see, and one hoster or wiretap what those of a prefix do.
//! So a family and a prefix stand whole in one position (the providers are one, each layer is one), and
//! what goes once around through the positions meets no two of either.

use std::collections::BTreeSet;
use std::net::IpAddr;

use shoal_proto::FamilyId;

use crate::reach::{Scope, scope};
use crate::{Address, Document, GenesisMember, Member, Role};

/// The first bits of a public address, which one owner mostly has: 24 of IPv4, 48 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Prefix {
    V4([u8; 3]),
    V6([u8; 6]),
}

impl Prefix {
    /// None for an address that is not of the internet: all of one machine, or of one site, are in one
    /// prefix, and whoever runs that sees all of them anyway.
    fn of(ip: IpAddr) -> Option<Self> {
        if scope(ip) != Ok(Scope::Public) {
            return None;
        }
        Some(match ip {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, ..] = ip.octets();
                Self::V6([a, b, c, d, e, f])
            }
        })
    }
}

/// One thing that nodes can have in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tie {
    Family(FamilyId),
    Prefix(Prefixed),
}

/// A prefix, whose form is for this file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefixed(Prefix);

impl Tie {
    pub(crate) const fn kind(self) -> TieKind {
        match self {
            Self::Family(_) => TieKind::Family,
            Self::Prefix(_) => TieKind::Prefix,
        }
    }
}

/// What kind of thing nodes have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TieKind {
    /// A family's key has signed for both.
    Family,
    /// Two of their addresses have one prefix: /24 for IPv4, /48 for IPv6.
    Prefix,
}

/// Everything by which a node is tied to others: its family, and the prefixes of its public addresses.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Ties(BTreeSet<Tie>);

impl Ties {
    /// Those of a node of this family with these addresses.
    #[must_use]
    pub fn of(family: Option<FamilyId>, addresses: &[Address]) -> Self {
        let prefixes = addresses.iter().filter_map(|a| Prefix::of(a.ip()));
        let prefixes = prefixes.map(|prefix| Tie::Prefix(Prefixed(prefix)));
        Self(
            family
                .map(Tie::Family)
                .into_iter()
                .chain(prefixes)
                .collect(),
        )
    }

    /// Whether two nodes with these ties must not be on one route. The family comes first.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Option<TieKind> {
        self.0.intersection(&other.0).next().map(|tie| tie.kind())
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tie> {
        self.0.iter()
    }

    /// Whether there is nothing here that is not there.
    pub(crate) fn are_within(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }
}

impl GenesisMember {
    /// By what it is tied to others, as far as the network's file says.
    #[must_use]
    pub fn ties(&self) -> Ties {
        Ties::of(self.family, &self.addresses)
    }
}

/// Why a document has no place for a node: what it shares, with members that stand where it can't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoPlace {
    /// With members of the other role.
    OtherRole(TieKind),
    /// With mixes of two layers or more.
    TwoLayers,
    /// A prefix with a mix of a layer that is fuller than the others.
    FullLayer,
}

impl Document {
    /// Why no document that follows from this one has a place for a node with this role and these ties;
    /// none if one can.
    #[must_use]
    pub fn no_place(&self, role: Role, ties: &Ties) -> Option<NoPlace> {
        let tied = |member: &&Member| ties.meet(&member.ties()).is_some();
        let tied: Vec<&Member> = self.members().filter(tied).collect();
        if let Some(other) = tied.iter().find(|member| member.role != role) {
            return ties.meet(&other.ties()).map(NoPlace::OtherRole);
        }
        let layers = tied.iter().filter_map(|member| member.position());
        let layers: BTreeSet<u8> = layers.collect();
        if role == Role::Provider || layers.is_empty() {
            return None;
        }
        let [layer] = layers.into_iter().collect::<Vec<_>>()[..] else {
            return Some(NoPlace::TwoLayers);
        };
        let family = |member: &&Member| ties.meet(&member.ties()) == Some(TieKind::Family);
        let sizes = (1..=self.layers()).map(|layer| self.mixes(layer).len());
        // Those that have just come have no layer yet, and go where they are tied to.
        let coming = tied.iter().filter(|member| member.position().is_none());
        let there = self.mixes(layer).len() + coming.count();
        let full = there > sizes.min().unwrap_or(0);
        (full && !tied.iter().any(family)).then_some(NoPlace::FullLayer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn ties(family: Option<u8>, ips: &[&str]) -> Ties {
        let address = |ip: &&str| {
            let kind = if ip.contains(':') { "ip6" } else { "ip4" };
            format!("/{kind}/{ip}/tcp/4140").parse().unwrap()
        };
        let addresses: Vec<Address> = ips.iter().map(address).collect();
        Ties::of(family.map(|byte| FamilyId::new([byte; 32])), &addresses)
    }

    #[test]
    fn a_family_or_a_prefix_ties_nodes() {
        let one = ties(Some(1), &["9.8.7.1", "2a00:1:2:3::1"]);
        for (other, expected) in [
            (ties(Some(1), &["1.1.1.1"]), Some(TieKind::Family)),
            (ties(Some(1), &["9.8.7.9"]), Some(TieKind::Family)),
            (ties(None, &["9.8.7.255"]), Some(TieKind::Prefix)),
            (ties(Some(2), &["2a00:1:2:ffff::9"]), Some(TieKind::Prefix)),
            (ties(Some(2), &["9.8.6.1", "2a00:1:3::1"]), None),
            (ties(None, &[]), None),
        ] {
            assert_eq!(one.meet(&other), expected);
            assert_eq!(other.meet(&one), expected);
        }
    }

    #[test]
    fn there_are_no_prefixes_on_one_machine_or_at_one_site() {
        for ip in ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "fd00::1"] {
            assert_eq!(ties(None, &[ip]).meet(&ties(None, &[ip])), None, "{ip}");
        }
    }
}
