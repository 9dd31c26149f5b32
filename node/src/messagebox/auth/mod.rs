//! BRC-103 and BRC-104: who asks is proven by signatures, and so is who answers.

mod keys;
mod message;
mod sessions;
mod wire;

pub(in crate::messagebox) use keys::{IdentityKey, NotAKey, Secret};
pub(super) use message::{AuthMessage, VERSION};
pub(super) use sessions::{Claim, Denied, Keyring, Limits, Proven, Sessions};
pub(super) use wire::{SignedRequest, response_payload};
