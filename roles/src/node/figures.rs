//! Everything that a node counts, at one instant.

use shoal_mix::Snapshot;
use shoal_proto::{Metric, Sample};
use shoal_topology::{DirectoryCounters, Refusals};

use super::trouble::TroubleKinds;

shoal_proto::counters! {
    /// What the composition itself counts.
    pub struct NodeCounters("node") {
        /// Failed writes of the replay log; packets are dropped until it works again.
        replay_log: counter "failures", "Check the disk of the state directory: space, and errors in the system's log.";
        /// Changes of the directory's state that could not be saved, each try.
        directory_state: counter "failures", "Check the disk of the state directory: space, and errors in the system's log.";
        /// Requests that were refused because too many waited.
        refused: counter "requests", "Somebody asks very often, or the disk is slow to save the directory's state.";
        /// Requests that were refused because who asked, or strangers from where it is, had been answered enough.
        over_budget: counter "requests", "Somebody asks far more than nodes and clients do. It costs nobody else anything.";
        /// Commands for the provider role that were dropped because too many waited to be checked.
        unchecked: counter "packets", "The machine is too slow for its traffic: give it more cores.";
        /// Clients that asked to be attached and were.
        attached: counter "clients";
        /// Clients that asked to be attached and were not.
        turned_away: counter "clients", "Raise connections.clients, and queues.packets_per_second of which clients get half, if the machine can carry more.";
        /// Clients whose connection was closed because they sent more than their profile says and a quarter of that for half a minute.
        overdone: counter "clients", "Somebody misuses the node. Nobody else loses by it.";
        /// The epoch now.
        epoch: gauge "number";
        /// Members of the document in force.
        members: gauge "nodes", "0 means that there is no document: see the log for what is missing.";
        /// How far this machine's clock is off what most neighbours say, at least; 0 while that is
        /// tolerable.
        clock_off: gauge "seconds", "Set the machine's clock, and see that it is kept right (NTP): the node goes on by itself.";
        /// 1 while the node does its work, as /healthz says.
        ready: gauge "nodes", "Ask /healthz for the reason.";
        /// Members that the node sends to and has no link with.
        unlinked: gauge "members", "Single ones are down now and then. If it is most of them, look at the machine's network and firewall.";
        /// Neighbours in the layers, not linked, without an address of a family (IPv4, IPv6) that this node advertises.
        apart: gauge "members", "Give the node an address of the other family, and advertise it.";
        /// Nodes that dial this one to see whether it is there, and are not suspended themselves.
        watchers: gauge "nodes";
        /// Those of them that reach it at none of its addresses, as they say.
        missed_by: gauge "nodes", "More than two thirds of the watchers: look at the machine's firewall, the router's forwarded ports, and the addresses that the node advertises.";
        /// Members of the document in force that no new route leads over.
        out: gauge "members", "They are down or leave; the log names them.";
    }
}

/// How descriptors that were refused are exported.
static REFUSED: Metric = Refusals::METRIC;
/// How reasons for not being ready are exported.
static TROUBLE: Metric = TroubleKinds::METRIC;

/// Everything that a node counts, at one instant. By default that of a provider to which nothing has
/// happened yet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Figures {
    /// The relay's books.
    pub books: Snapshot,
    /// The part of the last own loops that came back, 0 to 1.
    pub loop_ratio: f64,
    /// The provider role's.
    pub provider: Option<shoal_provider::Counters>,
    /// The directory's.
    pub directory: DirectoryCounters,
    /// Descriptors that it refused, by reason.
    pub refusals: Refusals,
    /// The composition's.
    pub node: NodeCounters,
    /// What keeps the node from its work.
    pub troubles: TroubleKinds,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            books: Snapshot::default(),
            loop_ratio: 1.0,
            provider: Some(shoal_provider::Counters::default()),
            directory: DirectoryCounters::default(),
            refusals: Refusals::default(),
            node: NodeCounters::default(),
            troubles: TroubleKinds::default(),
        }
    }
}

impl Figures {
    /// Every metric that a node has beside those of its host.
    pub fn metrics() -> impl Iterator<Item = &'static Metric> {
        let relay = shoal_mix::METRICS.iter().copied().flatten();
        relay
            .chain(shoal_provider::Counters::metrics())
            .chain(DirectoryCounters::METRICS)
            .chain([&REFUSED])
            .chain(NodeCounters::METRICS)
            .chain([&TROUBLE])
    }

    /// The numbers for a page.
    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        let provider = self
            .provider
            .iter()
            .flat_map(shoal_provider::Counters::samples);
        let books = self.books.samples().chain(provider);
        let directory = self.directory.samples().chain(self.refusals.samples());
        let node = self.node.samples().chain(self.troubles.samples());
        books.chain(directory).chain(node)
    }
}
