//! What the user asks of the message box, over the local API.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shoal_client::PeerKey;

use super::auth::{IdentityKey, NotAKey};
use super::hub::Hub;
use super::store::StoreError;
use crate::control::protocol::{
    AllowedIdentity, BoxContents, BoxedMessage, MappedIdentity, MessageBoxSize, MessageBoxStatus,
    MessageBoxes, Refusal, RefusalCode,
};

/// Bytes of bodies in an answer, so that JSON of whatever they say fits one.
const CONTENTS: usize = 1 << 20;

/// Answers the user.
#[derive(Clone)]
pub(crate) struct Manager {
    hub: Arc<Hub>,
    address: Option<SocketAddr>,
}

impl Manager {
    pub(super) const fn new(hub: Arc<Hub>, address: Option<SocketAddr>) -> Self {
        Self { hub, address }
    }

    /// How it is, with what contacts are called by their keys.
    pub(crate) async fn status(
        &self,
        names: &BTreeMap<String, String>,
    ) -> Result<MessageBoxStatus, Refusal> {
        let allowed = self
            .hub
            .allowed()
            .into_iter()
            .map(|(identity, adopted)| AllowedIdentity {
                identity: identity.to_string(),
                adopted,
            });
        let mapped = self
            .hub
            .mapped()
            .await
            .map_err(internal)?
            .into_iter()
            .map(|it| {
                let contact = it.contact.to_string();
                MappedIdentity {
                    identity: it.identity.to_string(),
                    name: names.get(&contact).cloned().unwrap_or_default(),
                    contact,
                    learned: !it.by_user,
                }
            });
        let size = self.hub.size().await.map_err(internal)?;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.hub.counters;
        Ok(MessageBoxStatus {
            listen: self.address.map(|address| format!("http://{address}")),
            identity: self.hub.keyring().identity().to_string(),
            allowed: allowed.collect(),
            mapped: mapped.collect(),
            messages: size.messages,
            bytes: size.bytes,
            waiting: self.hub.waiting(),
            strangers: count(&counters.strangers),
            not_theirs: count(&counters.not_theirs),
            nobody: count(&counters.nobody),
            malformed: count(&counters.malformed),
            leaving: self.hub.leaving().await.map_err(internal)?,
            given_up: count(&counters.given_up),
        })
    }

    /// All boxes that are not empty.
    pub(crate) async fn boxes(&self) -> Result<MessageBoxes, Refusal> {
        let boxes = self.hub.boxes().await.map_err(internal)?;
        let boxes = boxes.into_iter().map(|it| MessageBoxSize {
            recipient: it.recipient.to_string(),
            name: it.name,
            messages: it.messages,
        });
        Ok(MessageBoxes {
            boxes: boxes.collect(),
        })
    }

    /// What is in the boxes of this name, whosever they are. Nothing is acknowledged by it.
    pub(crate) async fn contents(&self, name: &str) -> Result<BoxContents, Refusal> {
        let mut boxes = self.hub.boxes().await.map_err(internal)?;
        boxes.retain(|it| it.name == name);
        let there: u64 = boxes.iter().map(|it| it.messages).sum();
        if there == 0 {
            return Err(Refusal::new(
                RefusalCode::NotFound,
                "there is nothing in a box of this name",
            ));
        }
        let mut contents = BoxContents::default();
        let mut bytes = 0;
        'boxes: for of in boxes {
            let found = self.hub.list(of.recipient, of.name, false).await;
            for message in found.map_err(internal)? {
                bytes += message.body.len();
                if bytes > CONTENTS && !contents.messages.is_empty() {
                    break 'boxes;
                }
                contents.messages.push(BoxedMessage {
                    recipient: of.recipient.to_string(),
                    sender: message.sender.to_string(),
                    id: message.id,
                    body: message.body,
                    sent_at_us: message.sent.as_micros(),
                    stored_at_us: message.stored.as_micros(),
                });
            }
        }
        contents.more = there > contents.messages.len() as u64;
        Ok(contents)
    }

    pub(crate) async fn allow(&self, identity: &str) -> Result<(), Refusal> {
        done(self.hub.allow(parse(identity)?, false).await, many)
    }

    pub(crate) async fn disallow(&self, identity: &str) -> Result<(), Refusal> {
        let missing = || {
            Refusal::new(
                RefusalCode::NotFound,
                "this identity key is not allowed anyway",
            )
        };
        done(self.hub.disallow(parse(identity)?).await, missing)
    }

    pub(crate) async fn map(&self, identity: &str, contact: &str) -> Result<(), Refusal> {
        let bytes = bs58::decode(contact).into_vec().ok();
        let contact = bytes.and_then(|bytes| PeerKey::parse(bytes.try_into().ok()?).ok());
        let contact = contact
            .ok_or_else(|| Refusal::new(RefusalCode::Internal, "a contact's key is none"))?;
        done(self.hub.map(parse(identity)?, contact).await, many)
    }

    pub(crate) async fn unmap(&self, identity: &str) -> Result<(), Refusal> {
        let missing = || {
            Refusal::new(
                RefusalCode::NotFound,
                "this identity key maps to no contact",
            )
        };
        done(self.hub.unmap(parse(identity)?).await, missing)
    }
}

fn many() -> Refusal {
    Refusal::new(
        RefusalCode::Busy,
        "there are too many identity keys: take some away first",
    )
}

fn done(outcome: Result<bool, StoreError>, not: impl FnOnce() -> Refusal) -> Result<(), Refusal> {
    match outcome.map_err(internal)? {
        true => Ok(()),
        false => Err(not()),
    }
}

fn parse(identity: &str) -> Result<IdentityKey, Refusal> {
    let parsed = identity.parse();
    parsed.map_err(|error: NotAKey| Refusal::new(RefusalCode::Invalid, error.to_string()))
}

fn internal(error: StoreError) -> Refusal {
    tracing::error!(%error, "the message box can't be used");
    let code = match error {
        StoreError::Stopped => RefusalCode::Busy,
        StoreError::State(_) => RefusalCode::Internal,
    };
    Refusal::new(code, error.to_string())
}
