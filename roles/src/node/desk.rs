//! Requests that wait for their answer, and clients on their way in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use prost::Message as _;
use shoal_proto::{ClientHandle, NodeId, Time, wire};
use shoal_provider::AttachAnswer;
use shoal_topology::{NetworkParameters, Profile, Ticket};

/// Requests that may wait for the directory's answer.
const MOST_QUESTIONS: usize = 1024;
/// Clients that may wait for the provider's answer.
const MOST_ATTACHING: usize = 1024;

/// Who waits for what.
#[derive(Default)]
pub(super) struct Desk {
    /// Questions for the directory, oldest first.
    questions: VecDeque<Ticket>,
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
    /// Notes a question for the directory. Gives the one that has waited longest if there are too
    /// many: it is refused.
    pub(super) fn ask(&mut self, ticket: Ticket) -> Option<Ticket> {
        self.questions.push_back(ticket);
        let crowded = self.questions.len() > MOST_QUESTIONS;
        self.questions.pop_front_if(|_| crowded)
    }

    /// The question is answered. False if it was refused meanwhile.
    pub(super) fn answer(&mut self, ticket: Ticket) -> bool {
        let place = self.questions.iter().position(|waiting| *waiting == ticket);
        place.is_some_and(|place| self.questions.remove(place).is_some())
    }

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
    fn the_oldest_question_makes_room() {
        let mut desk = Desk::default();
        for number in 0..MOST_QUESTIONS as u64 {
            assert_eq!(desk.ask(Ticket(number)), None);
        }
        assert_eq!(desk.ask(Ticket(5000)), Some(Ticket(0)));
        assert!(!desk.answer(Ticket(0)), "refused already");
        assert!(desk.answer(Ticket(5000)));
        assert_eq!(desk.ask(Ticket(5001)), None, "an answer makes room");
    }

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
