//! Messages that applications hand over, until each is accepted or refused.

use std::collections::BTreeMap;

use shoal_client::{Change, PeerKey};
use shoal_proto::MessageId;
use tokio::sync::oneshot;

use super::keyed::{Conflict, Keyed, Known};
use crate::control::protocol::{Accepted, IdempotencyKey, Refusal, RefusalCode, Response};

/// Where the answer to a request goes.
pub(super) type Answer = oneshot::Sender<Result<Response, Refusal>>;

/// What to do with a message that was handed over.
pub(super) enum Next {
    /// Give it to the session under this number.
    Send(u64),
    /// It is accepted already.
    Repeat(MessageId, Answer),
    /// Nothing.
    Nothing,
}

/// What is told once something that was asked for is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// That it is.
    Nothing,
    /// How it is with this contact then.
    Contact(PeerKey),
    /// That it is none any more.
    Forgotten(PeerKey),
}

/// Requests under way. Each connection has one at most, so connections bound them.
pub(super) struct Sending {
    next_request: u64,
    /// What is no message, and who waits for it.
    asked: BTreeMap<u64, (Wanted, Option<Answer>)>,
    /// Who waits for each: the first handed it over, others the same message with the same key.
    waiting: BTreeMap<u64, Vec<Answer>>,
    keyed: Keyed,
}

impl Sending {
    pub(super) fn new(keyed: Keyed) -> Self {
        Self {
            next_request: 0,
            asked: BTreeMap::new(),
            waiting: BTreeMap::new(),
            keyed,
        }
    }

    /// Whether nobody waits for a word of what was handed over.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_empty()
    }

    /// A number that no other request has.
    pub(super) fn number(&mut self) -> u64 {
        let request = self.next_request;
        self.next_request = request.saturating_add(1);
        request
    }

    /// Something else is asked of the session: under this number. Somebody may wait for it.
    pub(super) fn ask(&mut self, wanted: Wanted, answer: Option<Answer>) -> u64 {
        let request = self.number();
        self.asked.insert(request, (wanted, answer));
        request
    }

    /// It is done: what is to be told, and to whom.
    pub(super) fn done(&mut self, request: u64) -> Option<(Wanted, Option<Answer>)> {
        self.asked.remove(&request)
    }

    /// A message is handed over.
    pub(super) fn take(
        &mut self,
        to: &PeerKey,
        text: &[u8],
        key: Option<IdempotencyKey>,
        answer: Answer,
    ) -> Next {
        let known = key.as_ref().map(|key| self.keyed.find(key, to, text));
        match known.unwrap_or(Ok(None)) {
            Ok(None) => {}
            Ok(Some(Known {
                pending: Some(request),
                ..
            })) => {
                self.waiting.entry(request).or_default().push(answer);
                return Next::Nothing;
            }
            Ok(Some(Known { message, .. })) => return Next::Repeat(message, answer),
            Err(Conflict) => {
                let message = "another message was sent with this idempotency key; take a new key \
                               for a new message";
                // Who asked may be gone.
                let _ = answer.send(Err(Refusal::new(RefusalCode::Conflict, message)));
                return Next::Nothing;
            }
        }
        let request = self.number();
        self.waiting.insert(request, vec![answer]);
        if let Some(key) = key {
            self.keyed.compose(request, key, *to, text);
        }
        Next::Send(request)
    }

    /// The session has done what it does at once with the message that it was given.
    pub(super) fn given(&mut self) {
        self.keyed.composed();
    }

    /// What has to be saved together with these changes.
    pub(super) fn accompany(
        &mut self,
        changes: &mut Vec<Change>,
        known: impl Fn(&MessageId) -> bool,
    ) {
        self.keyed.accompany(changes, known);
    }

    /// A message is accepted, whether or not somebody still listens.
    pub(super) fn accepted(&mut self, request: u64, message: &MessageId, accepted: &Accepted) {
        self.keyed.accepted(message);
        let waiting = self.waiting.remove(&request).unwrap_or_default();
        for (index, answer) in waiting.into_iter().enumerate() {
            let repeated = index > 0;
            let accepted = Accepted {
                repeated,
                ..accepted.clone()
            };
            let _ = answer.send(Ok(Response::Accepted(accepted)));
        }
    }

    /// A message is not accepted.
    pub(super) fn refused(&mut self, request: u64, refusal: &Refusal) {
        self.keyed.refused(request);
        if let Some((_, Some(answer))) = self.asked.remove(&request) {
            let _ = answer.send(Err(refusal.clone()));
        }
        for answer in self.waiting.remove(&request).unwrap_or_default() {
            let _ = answer.send(Err(refusal.clone()));
        }
    }
}
