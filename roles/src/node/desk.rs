//! Clients on their way in, and those that are attached.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use shoal_proto::{ClientHandle, NodeId, Time, wire};
use shoal_provider::AttachAnswer;
use shoal_topology::{NetworkParameters, Profile, Ticket};

/// Clients that may wait for the provider's answer.
const MOST_ATTACHING: usize = 1024;

/// Who waits for what.
#[derive(Default)]
pub(super) struct Desk {
    attaching: BTreeMap<ClientHandle, Attaching>,
    /// The connections of those that are attached.
    clients: BTreeMap<ClientHandle, NodeId>,
    /// The connections of both: each attaches once.
    peers: BTreeSet<NodeId>,
}

/// A client that the provider has not accepted yet.
pub(super) struct Attaching {
    pub(super) peer: NodeId,
    pub(super) ticket: Ticket,
    /// What its profile makes it send, frames per second.
    pub(super) rate: f64,
}

/// A client's wish, as far as it can be read.
pub(super) struct Wish {
    pub(super) handle: ClientHandle,
    pub(super) profile: String,
}

impl Desk {
    /// Reads a client's wish to be attached. A connection has one client, which attaches once: else each
    /// new handle would bring a new budget.
    ///
    /// # Errors
    /// What the client is told.
    pub(super) fn read(&self, peer: &NodeId, bytes: &[u8]) -> Result<Wish, wire::AttachStatus> {
        use wire::AttachStatus::{Full, Malformed};
        let request = wire::AttachRequest::decode(bytes).map_err(|_| Malformed)?;
        let handle = ClientHandle::try_from(request.handle.as_slice()).map_err(|_| Malformed)?;
        let taken = self.clients.contains_key(&handle) || self.attaching.contains_key(&handle);
        if taken || self.peers.contains(peer) {
            return Err(Malformed);
        }
        if self.attaching.len() >= MOST_ATTACHING {
            return Err(Full);
        }
        let profile = request.profile;
        Ok(Wish { handle, profile })
    }

    /// The client waits for the provider's answer.
    pub(super) fn begin(&mut self, handle: ClientHandle, attaching: Attaching) {
        self.peers.insert(attaching.peer);
        self.attaching.insert(handle, attaching);
    }

    /// What those send who wait for the provider's answer, frames per second.
    pub(super) fn rate_of_waiting(&self) -> f64 {
        self.attaching.values().map(|waiting| waiting.rate).sum()
    }

    /// The provider has answered. Gives who waited.
    pub(super) fn decided(&mut self, handle: &ClientHandle) -> Option<Attaching> {
        let attaching = self.attaching.remove(handle)?;
        self.peers.remove(&attaching.peer);
        Some(attaching)
    }

    /// The client is attached from now on.
    pub(super) fn admit(&mut self, handle: ClientHandle, peer: NodeId) {
        self.clients.insert(handle, peer);
        self.peers.insert(peer);
    }

    /// The client is not attached any more.
    pub(super) fn dismiss(&mut self, handle: &ClientHandle) {
        if let Some(peer) = self.clients.remove(handle) {
            self.peers.remove(&peer);
        }
    }

    /// The connections of all attached clients.
    pub(super) fn connections(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.clients.values().copied()
    }

    /// The connection of an attached client.
    pub(super) fn connection(&self, handle: &ClientHandle) -> Option<NodeId> {
        self.clients.get(handle).copied()
    }
}

/// What a client of this profile sends, frames per second; 0 for a profile that there is not.
pub(super) fn uplink(params: &NetworkParameters, profile: &str) -> f64 {
    params.profile(profile).map_or(0.0, Profile::uplink)
}

/// What a client is told of the provider's answer.
pub(super) const fn status(answer: AttachAnswer) -> wire::AttachStatus {
    match answer {
        AttachAnswer::Accepted => wire::AttachStatus::Accepted,
        AttachAnswer::UnknownProfile => wire::AttachStatus::UnknownProfile,
        _ => wire::AttachStatus::Full,
    }
}

/// An answer to a client, with the time.
pub(super) fn response(now: Time, status: wire::AttachStatus) -> Vec<u8> {
    let response = wire::AttachResponse {
        status: status.into(),
        now_us: now.as_micros(),
    };
    response.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_that_make_no_sense_are_told_so() {
        use wire::AttachStatus::Malformed;
        let mut desk = Desk::default();
        let peer = NodeId::new([1; 32]);
        let wish = |handle: Vec<u8>| {
            let profile = "default".to_owned();
            wire::AttachRequest { handle, profile }.encode_to_vec()
        };
        let read = |desk: &Desk, bytes: &[u8]| desk.read(&peer, bytes).map(|w| w.handle);
        let handle = ClientHandle::new([2; 32]);
        assert_eq!(read(&desk, &wish(vec![2; 32])), Ok(handle));
        assert_eq!(read(&desk, &wish(vec![2; 31])), Err(Malformed));
        assert_eq!(read(&desk, b"\xff\xff"), Err(Malformed));
        desk.admit(handle, peer);
        assert_eq!(read(&desk, &wish(vec![2; 32])), Err(Malformed), "taken");
        assert_eq!(
            read(&desk, &wish(vec![3; 32])),
            Err(Malformed),
            "attached already"
        );
        desk.dismiss(&handle);
        assert_eq!(read(&desk, &wish(vec![2; 32])), Ok(handle));
    }
}
