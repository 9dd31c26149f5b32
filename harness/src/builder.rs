//! How a network is described and built.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::sync::Arc;

use shoal_client::{ClientConfig, ClientKeys};
use shoal_proto::Span;
use shoal_topology::{
    Address, GenesisMember, Identity, MAX_MEMBERS, NetworkParameters, Profile, Role,
};

use crate::client::{self, ClientHost};
use crate::error::SimulationError;
use crate::link::LinkDelay;
use crate::network::Network;
use crate::node::{self, NodeHost};
use crate::party::Party;
use crate::world::{Physics, World, generator};

/// Every node's port.
const PORT: NonZeroU16 = NonZeroU16::MIN.saturating_add(3999);
/// From so many nodes on, neighbours are at a distance.
const LARGE: usize = 64;

/// Describes a network to be simulated. Every value has a default: three layers of two mixes,
/// three providers, no clients, links of 40 ms without losses, and the parameters of
/// [`NetworkParameters::example`].
#[derive(Clone, Debug)]
pub struct NetworkBuilder {
    seed: u64,
    params: NetworkParameters,
    width: usize,
    providers: usize,
    clients: Vec<ClientPlan>,
    delay: LinkDelay,
    loss: f64,
    fsync: LinkDelay,
    keep_trace: bool,
    observe: bool,
    follow: bool,
    client_template: ClientConfig,
}

#[derive(Clone, Debug)]
struct ClientPlan {
    profile: String,
    /// The place of the entry among the providers, if the user names one.
    entry: Option<usize>,
    /// The places of the mailboxes' providers: one or two.
    mailboxes: Vec<usize>,
}

impl Network {
    /// A network to be built from a seed.
    #[must_use]
    pub fn builder(seed: u64) -> NetworkBuilder {
        NetworkBuilder::new(seed)
    }
}

impl NetworkBuilder {
    pub(crate) fn new(seed: u64) -> Self {
        let params = NetworkParameters {
            name: "simulation".into(),
            ..NetworkParameters::example()
        };
        Self {
            seed,
            params,
            width: 2,
            providers: 3,
            clients: Vec::new(),
            delay: LinkDelay::Fixed(Span::from_millis(40)),
            loss: 0.0,
            fsync: LinkDelay::Uniform(Span::from_millis(1), Span::from_millis(8)),
            keep_trace: false,
            observe: false,
            follow: false,
            client_template: ClientConfig::new(shoal_proto::NodeId::new([0; 32])),
        }
    }

    /// So many layers of so many mixes each.
    #[must_use]
    pub fn mixes(mut self, layers: u8, width: usize) -> Self {
        self.params.layers = layers;
        self.width = width;
        self
    }

    /// So many providers. Before [`clients`](Self::clients), which divides clients among them.
    #[must_use]
    pub fn providers(mut self, count: usize) -> Self {
        self.providers = count;
        self
    }

    /// So many more clients of this profile, each with an entry and two other providers for its
    /// mailboxes, or one if there are no more than two, all pairs of providers in turn.
    #[must_use]
    pub fn clients(mut self, count: usize, profile: &str) -> Self {
        let others = self.providers.saturating_sub(1).max(1);
        for _ in 0..count {
            let index = self.clients.len();
            let entry = index % self.providers.max(1);
            let step = 1 + index / self.providers.max(1) % others;
            let at = |step: usize| (entry + step) % self.providers.max(1);
            let mut mailboxes = vec![at(step)];
            if others > 1 {
                mailboxes.push(at(1 + step % others));
            }
            self = self.client_with(profile, Some(entry), &mailboxes);
        }
        self
    }

    /// One more client of this profile, whose user names the entry. Its providers are given by
    /// their places among the providers, from 0; they have to differ.
    #[must_use]
    pub fn client(self, profile: &str, entry: usize, mailbox: usize) -> Self {
        self.client_with(profile, Some(entry), &[mailbox])
    }

    /// One more client of this profile, which chooses an entry each time that it goes online: any
    /// provider but the mailbox's, which is given by its place among the providers, from 0.
    #[must_use]
    pub fn free_client(self, profile: &str, mailbox: usize) -> Self {
        self.client_with(profile, None, &[mailbox])
    }

    /// One more client of this profile, with one or two mailboxes at these places among the providers, or with
    /// mailboxes where it draws them if there are none here, and this entry, or one that it chooses.
    #[must_use]
    pub fn client_with(mut self, profile: &str, entry: Option<usize>, mailboxes: &[usize]) -> Self {
        self.clients.push(ClientPlan {
            profile: profile.to_owned(),
            entry,
            mailboxes: mailboxes.to_vec(),
        });
        self
    }

    /// How long every link takes.
    #[must_use]
    pub const fn link_delay(mut self, delay: LinkDelay) -> Self {
        self.delay = delay;
        self
    }

    /// The probability that a link loses a frame, and a directory's link a message: 0 to 1.
    #[must_use]
    pub const fn loss(mut self, loss: f64) -> Self {
        self.loss = loss;
        self
    }

    /// How long a disk takes for one group of what is to be durable.
    #[must_use]
    pub const fn fsync(mut self, delay: LinkDelay) -> Self {
        self.fsync = delay;
        self
    }

    /// The length of an epoch: 10 s or more.
    #[must_use]
    pub const fn epoch(mut self, epoch: Span) -> Self {
        self.params.epoch = epoch;
        self
    }

    /// One more profile, or another one of this name.
    #[must_use]
    pub fn profile(mut self, name: &str, profile: Profile) -> Self {
        self.params.profiles.insert(name.to_owned(), profile);
        self
    }

    /// Loops that each node sends per second.
    #[must_use]
    pub const fn loop_rate(mut self, rate: f64) -> Self {
        self.params.loop_rate = rate;
        self
    }

    /// Changes any of the network's parameters. Members, and what the other methods set after it,
    /// are overwritten.
    #[must_use]
    pub fn parameters(mut self, change: impl FnOnce(&mut NetworkParameters)) -> Self {
        change(&mut self.params);
        self
    }

    /// Changes the waits and bounds of all clients. Providers and profile are overwritten.
    #[must_use]
    pub fn client_config(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        change(&mut self.client_template);
        self
    }

    /// Keeps the lines of the trace: 32 bytes each.
    #[must_use]
    pub const fn keep_trace(mut self) -> Self {
        self.keep_trace = true;
        self
    }

    /// Keeps what entries see of packets for their clients: about 2 KiB each.
    #[must_use]
    pub const fn observe(mut self) -> Self {
        self.observe = true;
        self
    }

    /// Follows every packet through the nodes: 32 bytes for each step.
    #[must_use]
    pub const fn follow(mut self) -> Self {
        self.follow = true;
        self
    }

    /// Builds the network and starts every process; clients are offline.
    ///
    /// # Errors
    /// [`SimulationError`] names the first value that makes no sense.
    pub fn build(self) -> Result<Network, SimulationError> {
        let mixes = usize::from(self.params.layers) * self.width;
        let nodes = mixes + self.providers;
        let parties = nodes + self.clients.len();
        if u32::try_from(parties).is_err() || nodes > MAX_MEMBERS {
            return Err(SimulationError::Range {
                what: "the number of parties",
            });
        }
        if !(0.0..=1.0).contains(&self.loss) {
            return Err(SimulationError::Range { what: "the loss" });
        }
        let mut params = self.params.clone();
        let identities = self.identities(nodes);
        params.genesis_members = members(&identities, mixes);
        params.validate()?;
        let (params, start) = (Arc::new(params), self.params.genesis);
        let physics = Physics {
            delay: self.delay,
            loss: self.loss,
            fsync: self.fsync,
        };
        let mut world = World::new(
            self.seed,
            start,
            Arc::clone(&params),
            physics,
            self.keep_trace,
            parties,
        );
        if self.follow {
            world.flow.enable();
        }
        let clients = self.client_hosts(&world, &params, mixes)?;
        let nodes = self.nodes(identities, &params);
        Network::assemble(world, nodes, clients, mixes, self.observe)
    }

    fn identities(&self, count: usize) -> Vec<Identity> {
        let identity = |index| Identity::generate(&mut generator(self.seed, "identity", index, 0));
        (0..count as u64).map(identity).collect()
    }

    fn nodes(&self, identities: Vec<Identity>, params: &NetworkParameters) -> Vec<NodeHost> {
        let count = identities.len();
        let plans = identities
            .into_iter()
            .zip(&params.genesis_members)
            .enumerate();
        let node = |(index, (identity, member)): (usize, (Identity, &GenesisMember))| {
            NodeHost::new(node::Plan {
                party: party(index),
                identity,
                role: member.role,
                addresses: member.addresses.clone(),
                neighbours: neighbours(index, count),
            })
        };
        plans.map(node).collect()
    }

    fn client_hosts(
        &self,
        world: &World,
        params: &NetworkParameters,
        mixes: usize,
    ) -> Result<Vec<ClientHost>, SimulationError> {
        let nodes = params.genesis_members.len();
        let mut hosts = Vec::new();
        for (index, plan) in self.clients.iter().enumerate() {
            let id = |place: usize| params.genesis_members.get(mixes + place).map(|m| m.id);
            let entry = plan.entry.map(id);
            let both = plan.entry.is_some_and(|it| plan.mailboxes.contains(&it));
            let different = !both && self.providers > plan.mailboxes.len();
            let mailboxes: Option<Vec<_>> = plan.mailboxes.iter().map(|it| id(*it)).collect();
            let (Some(mailboxes), true, true) = (mailboxes, different, entry != Some(None)) else {
                return Err(SimulationError::Providers {
                    client: index,
                    providers: self.providers,
                });
            };
            let mut rng = world.generator("client keys", index as u64, 0);
            let config = ClientConfig {
                entry: entry.flatten(),
                mailboxes,
                profile: plan.profile.clone(),
                ..self.client_template.clone()
            };
            hosts.push(ClientHost::new(client::Plan {
                party: party(nodes + index),
                pinned: plan.entry.map(|place| party(mixes + place)),
                config,
                keys: ClientKeys::generate(&mut rng),
            }));
        }
        Ok(hosts)
    }
}

/// Numbers of parties were checked to fit.
fn party(index: usize) -> Party {
    Party(u32::try_from(index).unwrap_or(u32::MAX))
}

fn members(identities: &[Identity], mixes: usize) -> Vec<GenesisMember> {
    let member = |(index, identity): (usize, &Identity)| GenesisMember {
        id: identity.id(),
        role: if index < mixes {
            Role::Mix
        } else {
            Role::Provider
        },
        addresses: vec![address(index)],
        family: None,
    };
    identities.iter().enumerate().map(member).collect()
}

/// Nobody dials it; in the documents it looks like one that could be.
fn address(index: usize) -> Address {
    let [_, b, c, d] = party(index).number().saturating_add(1).to_be_bytes();
    Address::tcp(Ipv4Addr::new(10, b, c, d).into(), PORT)
}

/// On a ring two to either side and the one across: enough that losses and crashes do not cut the
/// network in two. On a large ring, some at a distance to either side instead, so that a descriptor
/// reaches everybody in few steps; how many neighbours there are does not grow.
fn neighbours(index: usize, count: usize) -> Vec<Party> {
    let root = (1..).find(|side| side * side * side >= count).unwrap_or(1);
    let steps = if count < LARGE {
        [1, 2, count / 2]
    } else {
        [1, root, root * root]
    };
    let both = steps
        .into_iter()
        .flat_map(|step| [step, count.saturating_sub(step)]);
    let near: BTreeSet<usize> = both
        .map(|step| (index + step) % count.max(1))
        .filter(|other| *other != index)
        .collect();
    near.into_iter().map(party).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbourhood_is_mutual() {
        for count in (1..30).chain([LARGE - 1, LARGE, LARGE + 1, 1000]) {
            for index in 0..count {
                for other in neighbours(index, count) {
                    assert_ne!(other.index(), index);
                    assert!(neighbours(other.index(), count).contains(&party(index)));
                }
            }
        }
    }

    #[test]
    fn senseless_networks_are_refused() {
        let error = |builder: NetworkBuilder| builder.build().map(|_| ()).unwrap_err();
        assert!(matches!(
            error(Network::builder(1).loss(1.5)),
            SimulationError::Range { what: "the loss" }
        ));
        assert!(matches!(
            error(Network::builder(1).client("default", 1, 1)),
            SimulationError::Providers {
                client: 0,
                providers: 3
            }
        ));
        assert!(matches!(
            error(Network::builder(1).client("none such", 0, 1)),
            SimulationError::Client { .. }
        ));
        assert!(matches!(
            error(Network::builder(1).epoch(Span::from_secs(1))),
            SimulationError::Parameters(_)
        ));
    }
}
