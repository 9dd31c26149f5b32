//! Messages of BRC-103, as JSON carries them.

use serde::{Deserialize, Serialize};

/// The only version there is.
pub(in crate::messagebox) const VERSION: &str = "0.1";

/// One message: a handshake's, or one with a payload. What else a client writes is ignored; texts and signatures are
/// nobody else's business, so it has no Debug.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::messagebox) struct AuthMessage {
    pub(in crate::messagebox) version: String,
    pub(in crate::messagebox) message_type: String,
    pub(in crate::messagebox) identity_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::messagebox) nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::messagebox) initial_nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::messagebox) your_nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::messagebox) payload: Option<Vec<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::messagebox) signature: Option<Vec<u8>>,
}
