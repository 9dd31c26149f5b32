//! The message box, as the user sees it.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the message box is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageBoxStatus {
    /// Where programs reach it, `http://127.0.0.1:…`; nothing if it is not served now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// The identity key by which programs know this daemon, 66 hexadecimal digits.
    pub identity: String,
    /// Who may ask. With none, the first that comes may, and no other from then on.
    pub allowed: Vec<AllowedIdentity>,
    /// Which contact an identity key belongs to.
    pub mapped: Vec<MappedIdentity>,
    /// Messages in boxes.
    pub messages: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Messages that have come and find no room in a box.
    pub waiting: u64,
    /// Requests refused since the start, because their identity key is not allowed.
    pub strangers: u64,
    /// Messages refused since the start, because they came under an identity key that is somebody else's.
    pub not_theirs: u64,
    /// Messages refused since the start, because they were for an identity key that is not allowed here.
    pub nobody: u64,
    /// Data refused since the start, because it is no message.
    pub malformed: u64,
    /// Messages to several recipients that were taken and are not in the outbox yet.
    #[serde(default)]
    pub leaving: u64,
    /// Such messages given up since the start, because the outbox refused them for a week.
    #[serde(default)]
    pub given_up: u64,
}

/// An identity key that may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AllowedIdentity {
    /// It, 66 hexadecimal digits.
    pub identity: String,
    /// It came first; nobody has named it.
    #[serde(default)]
    pub adopted: bool,
}

/// An identity key, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MappedIdentity {
    /// It, 66 hexadecimal digits.
    pub identity: String,
    /// The contact's key, base58.
    pub contact: String,
    /// What the contact is called; may be empty.
    #[serde(default)]
    pub name: String,
    /// The contact's daemon has said so, and not the user.
    #[serde(default)]
    pub learned: bool,
}

/// An identity key that is to be allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowIdentity {
    /// It, 66 hexadecimal digits.
    pub identity: String,
}

/// Whose an identity key is said to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MapIdentity {
    /// It, 66 hexadecimal digits.
    pub identity: String,
    /// The contact's key, base58, or what it is called, if nobody else is.
    pub contact: String,
}

/// All boxes that are not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageBoxes {
    /// They.
    pub boxes: Vec<MessageBoxSize>,
}

/// A box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageBoxSize {
    /// Whose it is: an identity key, 66 hexadecimal digits.
    pub recipient: String,
    /// Its name.
    #[serde(rename = "box")]
    pub name: String,
    /// Messages in it.
    pub messages: u64,
}

/// What is in a box.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BoxContents {
    /// Messages, oldest first.
    pub messages: Vec<BoxedMessage>,
    /// There are more than fit an answer.
    #[serde(default)]
    pub more: bool,
}

/// A message in a box.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BoxedMessage {
    /// Whose it is: an identity key, 66 hexadecimal digits.
    pub recipient: String,
    /// Who has sent it: an identity key, 66 hexadecimal digits. That it is its contact's is what counts.
    pub sender: String,
    /// The id that its sender has given it.
    pub id: String,
    /// What it says: JSON, as `listMessages` gives it; usually encrypted by the programs.
    pub body: String,
    /// The minute in which it was sent, microseconds since the Unix epoch.
    pub sent_at_us: u64,
    /// When it came, microseconds since the Unix epoch.
    pub stored_at_us: u64,
}

impl fmt::Debug for BoxedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxedMessage(..)")
    }
}
