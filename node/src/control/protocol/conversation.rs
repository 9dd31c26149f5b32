//! What was said with contacts, as the local API has it.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::MessageState;

/// The conversations: one with each contact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConversationList {
    /// They; those in which something was said last first.
    pub conversations: Vec<Conversation>,
}

/// A conversation, at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Conversation {
    /// The contact's key, base58.
    pub contact: String,
    /// What the contact is called here; may be empty.
    pub label: String,
    /// How many lines of it are unread.
    pub unread: u64,
    /// The last line, if there is one.
    pub last: Option<ConversationLine>,
}

/// A part of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConversationPage {
    /// Its lines, in the order in which they were said here or came.
    pub lines: Vec<ConversationLine>,
    /// There are lines before these: ask for those `before` the first one's number.
    pub earlier: bool,
}

/// Something that was said. Its text is redacted in logs.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConversationLine {
    /// Its place in the conversation; grows.
    pub number: u64,
    /// The message's id, base58.
    pub message: String,
    /// We said it; else the contact did.
    pub own: bool,
    /// The text. What is not UTF-8 in it is replaced.
    pub text: String,
    /// What was sent, in base64, if it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// The minute in which it was written, by its writer's clock; microseconds since the Unix epoch.
    pub at_us: u64,
    /// How it is.
    pub state: LineState,
    /// How many of the contact's messages right before this one had not come when it came. They may have come after it.
    #[serde(default)]
    pub gap_before: u64,
    /// When it is deleted on both sides, if its writer wants it so; microseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_us: Option<u64>,
    /// What keeps an own one from being stored, in words; none while nothing is known to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hindrance: Option<String>,
}

impl fmt::Debug for ConversationLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConversationLine")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// How a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LineState {
    /// An own one: it waits for its first packet.
    Queued,
    /// An own one: it is on its way to the contact's mailbox.
    Sent,
    /// An own one: it is on the disk of the contact's mailbox.
    Stored,
    /// An own one: the contact says that it is on its disk.
    Delivered,
    /// The contact says that it was read; or it is the contact's, and was read here.
    Read,
    /// An own one: its time was over before it was stored.
    Expired,
    /// The contact's: it was not read here.
    Unread,
}

impl From<MessageState> for LineState {
    fn from(state: MessageState) -> Self {
        match state {
            MessageState::Queued => Self::Queued,
            MessageState::Sent => Self::Sent,
            MessageState::Stored => Self::Stored,
            MessageState::Delivered => Self::Delivered,
            MessageState::Read => Self::Read,
            MessageState::Expired => Self::Expired,
        }
    }
}

/// Up to where a conversation was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadUpTo {
    /// The number of the last line that was.
    pub up_to: u64,
}
