//! What entries see of packets for their clients.

use std::collections::{BTreeMap, BTreeSet};

use shoal_packet::Payload;
use shoal_proto::{ClientHandle, SurbId, Time};

use crate::party::Party;

/// What a packet for a client was, as only the client can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// A loop of the client's own.
    Loop,
    /// A reply: receipt, dummy, or an item of the mailbox's stream.
    Reply,
}

/// Everything that the core of an entry provider can see of one packet that it hands to a client,
/// and, for the judge only, what it was.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The entry.
    pub entry: Party,
    /// Who handed the packet to the entry.
    pub from: Party,
    /// When its frame came in.
    pub arrival: Time,
    /// The epoch byte of its frame.
    pub epoch_byte: u8,
    /// What the packet says is its destination: the client's handle.
    pub destination: [u8; 32],
    /// The identifier for the client.
    pub id: SurbId,
    /// The payload as the entry has it.
    pub payload: Payload,
    /// Whether the entry can read a plaintext in it.
    pub readable: bool,
    /// What it was; none if it did not reach the client, or meant nothing to it.
    pub truth: Option<Truth>,
}

/// Keeps what entries see, if wanted.
#[derive(Default)]
pub(crate) struct Observer {
    enabled: bool,
    seen: Vec<Observation>,
    places: BTreeMap<SurbId, usize>,
    /// What clients were ever called by their entries.
    handles: BTreeSet<ClientHandle>,
}

impl Observer {
    pub(crate) fn new(enabled: bool) -> Self {
        Self {
            enabled,
            ..Self::default()
        }
    }

    pub(crate) const fn enabled(&self) -> bool {
        self.enabled
    }

    /// A client is attached under this handle.
    pub(crate) fn attached(&mut self, handle: ClientHandle) {
        if self.enabled {
            self.handles.insert(handle);
        }
    }

    /// Whether a client was ever attached under this handle.
    pub(crate) fn knows(&self, handle: &ClientHandle) -> bool {
        self.handles.contains(handle)
    }

    pub(crate) fn saw(&mut self, observation: Observation) {
        self.places.insert(observation.id, self.seen.len());
        self.seen.push(observation);
    }

    /// What the client made of the packet with this identifier.
    pub(crate) fn learn(&mut self, id: &SurbId, truth: Option<Truth>) {
        if let Some(seen) = self
            .places
            .get(id)
            .and_then(|place| self.seen.get_mut(*place))
        {
            seen.truth = truth;
        }
    }

    pub(crate) fn seen(&self) -> &[Observation] {
        &self.seen
    }
}
