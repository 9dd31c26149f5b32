//! What can be asked of a network.

use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use shoal_client::PeerKey;
use shoal_proto::{ClientHandle, NodeId, Time};
use shoal_provider::Usage;
use shoal_topology::View;

use crate::audit::{Audit, Parts};
use crate::error::{Imbalance, SimulationError};
use crate::flow::FlowEvent;
use crate::network::Network;
use crate::node::NodeHost;
use crate::observe::Observation;
use crate::party::Party;
use crate::trace::{Kind, TraceEvent, TraceHash};

impl Network {
    /// What the trace is so far, in 32 bytes.
    #[must_use]
    pub fn trace_hash(&self) -> TraceHash {
        self.world.trace.hash()
    }

    /// How many lines the trace has so far.
    #[must_use]
    pub fn trace_lines(&self) -> u64 {
        self.world.trace.count()
    }

    /// How many lines of this kind the trace has so far, kept or not.
    #[must_use]
    pub fn trace_count(&self, kind: Kind) -> u64 {
        self.world.trace.count_of(kind)
    }

    /// A generator for something that is done to a party, from the network's seed.
    #[must_use]
    pub fn generator(&self, purpose: &str, party: Party) -> ChaCha20Rng {
        self.world.generator(purpose, u64::from(party.0), 0)
    }

    /// The trace so far; empty unless [`NetworkBuilder::keep_trace`](crate::NetworkBuilder::keep_trace) was called.
    #[must_use]
    pub fn trace(&self) -> &[TraceEvent] {
        self.world.trace.kept()
    }

    /// When frames were put on the link from one party to another: from the trace, which has to be
    /// kept.
    #[must_use]
    pub fn sent_at(&self, from: Party, to: Party) -> Vec<Time> {
        let sent = |line: &&TraceEvent| {
            line.kind == Kind::FrameSent && (line.party, line.other) == (from.0, to.0)
        };
        self.trace()
            .iter()
            .filter(sent)
            .map(|line| line.at)
            .collect()
    }

    /// Bytes of frames put on the link from one party to another.
    #[must_use]
    pub fn bytes(&self, from: Party, to: Party) -> u64 {
        self.world.bytes(from, to)
    }

    /// What entries saw; empty unless [`NetworkBuilder::observe`](crate::NetworkBuilder::observe) was called.
    #[must_use]
    pub fn observations(&self) -> &[Observation] {
        self.observer.seen()
    }

    /// The steps of packets between clients' uplinks and the nodes where they end, in order of
    /// time; empty unless [`NetworkBuilder::follow`](crate::NetworkBuilder::follow) was called.
    #[must_use]
    pub fn flow(&self) -> &[FlowEvent] {
        self.world.flow.events()
    }

    /// The books of a node, one for each process it had, the last one's last; none for a client.
    #[must_use]
    pub fn books(&self, node: Party) -> Vec<shoal_mix::Snapshot> {
        self.nodes
            .get(node.index())
            .map(NodeHost::books)
            .unwrap_or_default()
    }

    /// What the provider role of a node did, one for each process it had.
    #[must_use]
    pub fn provider_counters(&self, node: Party) -> Vec<shoal_provider::Counters> {
        self.nodes
            .get(node.index())
            .map(NodeHost::provider_counters)
            .unwrap_or_default()
    }

    /// What the store of a provider holds.
    #[must_use]
    pub fn store_usage(&self, node: Party) -> Option<Usage> {
        self.nodes.get(node.index()).map(NodeHost::usage)
    }

    /// The books of the whole network.
    #[must_use]
    pub fn audit(&self) -> Audit {
        Audit::of(&Parts {
            world: &self.world,
            nodes: &self.nodes,
            clients: &self.clients,
        })
    }

    /// Whether every packet is accounted for, by the links and by those at their ends.
    ///
    /// # Errors
    /// The first sum that does not come out.
    pub fn check(&self) -> Result<Audit, Imbalance> {
        let audit = self.audit();
        audit.check().map(|()| audit)
    }

    /// The identity of a node; none for a client.
    #[must_use]
    pub fn id(&self, party: Party) -> Option<NodeId> {
        self.world.ids.get(party.index()).copied()
    }

    /// The node of this identity.
    #[must_use]
    pub fn party(&self, id: &NodeId) -> Option<Party> {
        self.world.parties.get(id).copied()
    }

    /// The documents that a node knows; none while it is down, and for clients.
    #[must_use]
    pub fn view(&self, party: Party) -> Option<&Arc<View>> {
        self.nodes.get(party.index())?.view()
    }

    /// The entry provider that a client is attached to, or that its user names.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] for a node, and for a client that has no entry now.
    pub fn entry(&self, client: Party) -> Result<Party, SimulationError> {
        let entry = self.client(client)?.entry();
        entry.ok_or(SimulationError::WrongParty {
            party: client,
            expected: "a client with an entry",
        })
    }

    /// The handle of the connection that a client is attached by; none if it is not attached.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] for a node.
    pub fn handle(&self, client: Party) -> Result<Option<ClientHandle>, SimulationError> {
        Ok(self.client(client)?.attached().map(|(_, handle)| handle))
    }

    /// What a client's runs did, the one under way last.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] unless it is a client.
    pub fn client_counters(
        &self,
        client: Party,
    ) -> Result<Vec<shoal_client::Counters>, SimulationError> {
        Ok(self.client(client)?.counters())
    }

    /// Whether a party's process is up.
    #[must_use]
    pub fn is_up(&self, party: Party) -> bool {
        self.world.is_up(party)
    }

    /// The key by which others know a client.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] unless it is a client that is up.
    pub fn public_key(&self, client: Party) -> Result<PeerKey, SimulationError> {
        let key = self.client(client)?.public_key();
        key.ok_or(SimulationError::WrongParty {
            party: client,
            expected: "a client that is up",
        })
    }

    /// Who keeps the first mailbox that a client's invitations lead to.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] unless it is a client that is up and has a mailbox.
    pub fn mailbox(&self, client: Party) -> Result<NodeId, SimulationError> {
        let provider = self.client(client)?.mailbox();
        provider.ok_or(SimulationError::WrongParty {
            party: client,
            expected: "a client that is up, and has a mailbox",
        })
    }

    /// Whether who has a client's invitation is heard.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] unless it is a client.
    pub fn is_open(&self, client: Party) -> Result<bool, SimulationError> {
        Ok(self.client(client)?.is_open())
    }
}
