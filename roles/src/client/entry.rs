//! The connection to the entry provider, from dialling to the end.

use prost::Message as _;
use rand::Rng as _;
use rand_chacha::ChaCha20Rng;
use shoal_proto::{ClientHandle, NodeId, Span, Time, wire};

use super::error::{Refusal, SessionError};
use super::io::ConnectionId;

/// How long dialling and attaching may take.
const PATIENCE: Span = Span::from_secs(15);

/// A connection to an entry that has not accepted us yet, or has.
pub(super) struct Entry {
    pub(super) connection: ConnectionId,
    pub(super) node: NodeId,
    pub(super) handle: ClientHandle,
    accepted: bool,
    linked: bool,
    until: Time,
}

impl Entry {
    /// A connection that is being made, under a handle of its own.
    pub(super) fn new(
        now: Time,
        connection: ConnectionId,
        node: NodeId,
        rng: &mut ChaCha20Rng,
    ) -> Self {
        let mut handle = [0; ClientHandle::BYTES];
        rng.fill_bytes(&mut handle);
        Self {
            connection,
            node,
            handle: ClientHandle::new(handle),
            accepted: false,
            linked: false,
            until: now + PATIENCE,
        }
    }

    /// The question to the entry.
    pub(super) fn request(&self, profile: &str) -> Vec<u8> {
        let request = wire::AttachRequest {
            handle: self.handle.as_bytes().to_vec(),
            profile: profile.to_owned(),
        };
        request.encode_to_vec()
    }

    /// Its answer.
    pub(super) fn answered(&mut self, answer: &[u8]) -> Result<(), SessionError> {
        use wire::AttachStatus as Status;
        let answer = wire::AttachResponse::decode(answer)
            .map_err(|_| SessionError::Refused(Refusal::Nonsense))?;
        let refusal = match answer.status() {
            Status::Accepted => {
                self.accepted = true;
                return Ok(());
            }
            Status::UnknownProfile => Refusal::Profile,
            Status::Full => Refusal::Full,
            Status::NotAProvider => Refusal::NotAProvider,
            Status::Malformed | Status::Unspecified => Refusal::Malformed,
        };
        Err(SessionError::Refused(refusal))
    }

    pub(super) fn link(&mut self, up: bool) {
        self.linked = up;
    }

    /// Whether frames can pass: the entry has accepted us, and the link is up.
    pub(super) const fn is_attached(&self) -> bool {
        self.accepted && self.linked
    }

    /// When it takes too long to attach.
    pub(super) fn deadline(&self) -> Option<Time> {
        (!self.is_attached()).then_some(self.until)
    }

    /// The clock moved.
    pub(super) fn shift(&mut self, shift: impl Fn(Time) -> Time) {
        self.until = shift(self.until);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn every_answer_but_acceptance_is_a_reason() {
        use wire::AttachStatus as Status;
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let id = NodeId::new([1; 32]);
        let mut entry = Entry::new(Time::default(), ConnectionId(1), id, &mut rng);
        let answer = |status: Status| {
            let now_us = 0;
            let status = status.into();
            wire::AttachResponse { status, now_us }.encode_to_vec()
        };
        for (status, refusal) in [
            (Status::UnknownProfile, Refusal::Profile),
            (Status::Full, Refusal::Full),
            (Status::NotAProvider, Refusal::NotAProvider),
            (Status::Malformed, Refusal::Malformed),
            (Status::Unspecified, Refusal::Malformed),
        ] {
            let refused = entry.answered(&answer(status));
            assert_eq!(refused, Err(SessionError::Refused(refusal)));
        }
        let refused = entry.answered(b"\xff\xff");
        assert_eq!(refused, Err(SessionError::Refused(Refusal::Nonsense)));
        entry.link(true);
        assert!(!entry.is_attached());
        assert_eq!(entry.answered(&answer(Status::Accepted)), Ok(()));
        assert!(entry.is_attached());
        assert_eq!(entry.deadline(), None);
    }
}
