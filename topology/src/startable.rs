//! Whether a network can run with the values that it has. [`NetworkParameters::validate`] looks at each value
//! alone, so that a proposal without members, and a silent network in a test, have none that is wrong; who
//! starts a network, or joins one, wants to know this too.

use std::collections::BTreeSet;

use crate::identity::usable;
use crate::{Family, NetworkParameters, ParameterError, Profile, Role};

impl NetworkParameters {
    /// Checks that a network of these values could form its first document, and that its clients' messages
    /// would arrive.
    ///
    /// # Errors
    /// Everything that keeps it from that: alone, or as [`ParameterError::Several`].
    pub fn check_start(&self) -> Result<(), ParameterError> {
        let mut wrong = Vec::new();
        let (mixes, families) = self.first(Role::Mix);
        // Without a mix in each layer there is no document.
        if families < usize::from(self.layers) {
            wrong.push(ParameterError::Mixes {
                layers: self.layers,
                mixes,
                families,
            });
        }
        let (providers, families) = self.first(Role::Provider);
        if families < 2 {
            wrong.push(ParameterError::Providers {
                providers,
                families,
            });
        }
        let members = self.genesis_members.iter();
        let unsound = members.filter(|member| !usable(&member.id));
        wrong.extend(unsound.map(|member| ParameterError::Identity(member.id)));
        for (name, profile) in &self.profiles {
            wrong.extend(profile.standstill(name));
        }
        ParameterError::all(wrong)
    }

    /// How many genesis members have this role, and of how many families they are.
    #[must_use]
    pub fn first(&self, role: Role) -> (usize, usize) {
        let members = self.genesis_members.iter();
        let members = Vec::from_iter(members.filter(|member| member.role == role));
        let families = members
            .iter()
            .map(|member| Family::of(member.id, member.family));
        (members.len(), BTreeSet::from_iter(families).len())
    }
}

impl Profile {
    /// What of this profile makes its clients wait for ever.
    fn standstill<'a>(&self, name: &'a str) -> impl Iterator<Item = ParameterError> + use<'a> {
        let never = [
            (self.real <= 0.0, "real", "no message is ever sent"),
            (
                self.mailbox <= 0.0,
                "mailbox",
                "the mailbox never has a reply block to answer with",
            ),
            (
                self.mailbox_clock <= 0.0,
                "mailbox_clock",
                "the mailbox never sends a message on",
            ),
            (
                self.downlink <= self.offered(),
                "downlink",
                "not more than real + loops + 1.5625 times mailbox_clock, so that the queue at the entry provider \
                 grows without end; give it twice as much",
            ),
        ];
        let rates = self.rates();
        never
            .into_iter()
            .filter(|(is, ..)| *is)
            .map(move |(_, key, why)| {
                let rate = rates.iter().find(|(name, _)| *name == key);
                ParameterError::Standstill {
                    profile: name.to_owned(),
                    key,
                    value: rate.map_or_else(String::new, |(_, rate)| rate.to_string()),
                    why,
                }
            })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::{FamilyKey, GenesisMember, Identity};

    fn network(members: &[(Role, &str)]) -> NetworkParameters {
        let member = |(seed, (role, family)): (u8, &(Role, &str))| GenesisMember {
            id: Identity::from_bytes(&[seed; 32]).id(),
            role: *role,
            addresses: Vec::new(),
            family: (!family.is_empty()).then(|| {
                let first = family.as_bytes().first().copied().unwrap_or(0);
                FamilyKey::from_bytes(&[first; 32]).id()
            }),
        };
        NetworkParameters {
            genesis_members: (1..).zip(members).map(member).collect(),
            ..NetworkParameters::example()
        }
    }

    fn wrong(params: &NetworkParameters) -> Vec<ParameterError> {
        params
            .check_start()
            .err()
            .map_or_else(Vec::new, ParameterError::each)
    }

    const MIX: (Role, &str) = (Role::Mix, "");
    const PROVIDER: (Role, &str) = (Role::Provider, "");

    #[test]
    fn a_network_starts_with_a_mix_for_each_layer_and_two_providers() {
        assert_eq!(wrong(&network(&[MIX, MIX, MIX, PROVIDER, PROVIDER])), []);
        let crew = (Role::Mix, "crew");
        let none = wrong(&network(&[]));
        assert_eq!(none.len(), 2, "{none:?}");
        for (members, mixes, families) in [
            ([MIX, MIX, PROVIDER, PROVIDER, PROVIDER], 2, 2),
            ([MIX, crew, crew, PROVIDER, PROVIDER], 3, 2),
        ] {
            let layers = 3;
            let expected = ParameterError::Mixes {
                layers,
                mixes,
                families,
            };
            assert_eq!(wrong(&network(&members)), [expected]);
        }
        let both = (Role::Provider, "both");
        for (members, providers) in [
            ([MIX, MIX, MIX, both, both].as_slice(), 2),
            (&[MIX, MIX, MIX, PROVIDER], 1),
        ] {
            let expected = ParameterError::Providers {
                providers,
                families: 1,
            };
            assert_eq!(wrong(&network(members)), [expected]);
        }
    }

    #[test]
    fn a_profile_whose_messages_never_arrive_is_told_by_its_rate() {
        let started = || network(&[MIX, MIX, MIX, PROVIDER, PROVIDER]);
        let keys = |change: fn(&mut Profile)| {
            let mut params = started();
            change(params.profiles.get_mut("mobile").unwrap());
            params.validate().unwrap();
            let keys = wrong(&params).into_iter().map(|error| error.key().unwrap());
            keys.collect::<Vec<_>>()
        };
        assert_eq!(keys(|p| p.real = 0.0), ["profiles.mobile.real"]);
        assert_eq!(keys(|p| p.mailbox = 0.0), ["profiles.mobile.mailbox"]);
        let silent = keys(|p| p.mailbox_clock = 0.0);
        assert_eq!(silent, ["profiles.mobile.mailbox_clock"]);
        assert_eq!(
            keys(|p| p.downlink = p.offered()),
            ["profiles.mobile.downlink"]
        );
        // Less cover is unwise, and messages arrive.
        assert!(keys(|p| (p.loops, p.drops) = (0.0, 0.0)).is_empty());
    }

    #[test]
    fn an_identity_that_is_no_key_is_told() {
        let mut params = network(&[MIX, MIX, MIX, PROVIDER, PROVIDER]);
        let weak = shoal_proto::NodeId::new([0; 32]);
        params.genesis_members[0].id = weak;
        assert_eq!(wrong(&params), [ParameterError::Identity(weak)]);
    }
}
