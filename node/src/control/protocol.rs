//! What goes over the local API, as JSON. The same types are what the commands of a client, and `shoal node
//! status`, print with `--json`; the OpenAPI document is made of them.
//!
//! [`Request`] is what can be asked, and [`Response`] what comes back, each in a form of its own: how the two look in
//! HTTP is the business of [`super::api`] and [`super::ControlClient`].

mod conversation;
mod file;
mod key;
mod messagebox;
mod node;
mod people;
mod profiles;
mod status;

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use conversation::{
    Conversation, ConversationLine, ConversationList, ConversationPage, LineState, ReadUpTo,
};
pub use file::{Content, FileList, FileState, FileStatus};
pub use key::{BadKey, IdempotencyKey};
pub use messagebox::{
    AllowIdentity, AllowedIdentity, BoxContents, BoxedMessage, MapIdentity, MappedIdentity,
    MessageBoxSize, MessageBoxStatus, MessageBoxes,
};
pub use node::{
    BesideStatus, ClockStatus, DiskStatus, EpochStatus, InvitationStatus, LinkStatus, MemoryStatus,
    NextStatus, NodeStatus, NodeTrouble, ReachStatus, RouterStatus, SuccessorStatus, WaitingStatus,
};
pub use people::{
    Accept, ChangeOfContact, Contact, Contacts, Invite, OwnInvitation, OwnInvitations,
};
pub use profiles::{Anonymity, CurvePoint, ExpectedDelay, ProfileInfo, ProfileRates, Profiles};
pub use status::{MessageState, Outgoing, OutgoingPage, Place, PlaceMailbox, Progress, Status};

/// Most bytes of a request's body. A message of the longest text fits, even if JSON escapes each of its bytes.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;

/// Most bytes of an answer: a page of [`MAX_PAGE`] messages fits only if they are not
/// all of the longest, so the daemon ends a page before it.
pub const MAX_RESPONSE_BYTES: usize = 8 << 20;

/// Most bytes of a file: 16 MiB, which takes a day and a half at a network's usual rates.
pub const MAX_FILE_BYTES: usize = 16 << 20;

/// Most messages in one answer to `messages`.
pub const MAX_PAGE: u32 = 256;

/// Most messages in one answer to `outgoing`.
pub const MAX_OUTGOING: u32 = 4096;

/// What an application asks of the daemon. Redacted in logs.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Request {
    /// Send a text. Answered with [`Response::Accepted`] once the message is on disk.
    Send {
        /// The key of a contact, base58, or what it is called, if nobody else is.
        to: String,
        /// The text.
        text: String,
        /// How long it is worth anything, in milliseconds, if that is shorter than the network keeps it: it is
        /// tried no longer, and from then on it is shown to nobody, also if it has come.
        life_ms: Option<u64>,
        /// A name of the application's for this message. The same message with the same key is sent
        /// once: the answer names the message that was accepted first. Another message with the key
        /// is refused as [`RefusalCode::Conflict`]. A key is good as long as its message is
        /// remembered: until it is stored or expired, and a thousand messages have been after it.
        idempotency_key: Option<IdempotencyKey>,
    },
    /// How far a message has come. Answered with [`Response::Progress`].
    Progress {
        /// From [`Accepted::message`].
        message: String,
        /// If it is neither stored nor expired, wait this long for that, or for something new that keeps
        /// it from being stored, in milliseconds.
        wait_ms: u64,
    },
    /// Messages sent that are remembered: those on their way first, then the others; of each, the one
    /// accepted last first. Answered with [`Response::Outgoing`].
    Outgoing {
        /// How many of them to leave out.
        skip: u64,
        /// At most this many; [`MAX_OUTGOING`] if more.
        limit: u32,
    },
    /// Messages received, oldest first. Answered with [`Response::Messages`].
    Messages {
        /// Only those after this cursor; 0 for all that are unread.
        after: u64,
        /// At most this many; [`MAX_PAGE`] if more.
        limit: u32,
        /// If there are none, wait this long for one, in milliseconds.
        wait_ms: u64,
    },
    /// The user has this message: the daemon deletes its copy. Answered with [`Response::Done`].
    Read {
        /// From [`Received::message`].
        message: String,
    },
    /// How the daemon is. Answered with [`Response::Status`], or by a node, which answers nothing else, with
    /// [`Response::Node`].
    Status,
    /// The network's profiles. Answered with [`Response::Profiles`].
    Profiles {
        /// Users online to say the bits for.
        users: Option<u32>,
    },
    /// Invite somebody. Answered with [`Response::Invited`] once the invitation is on disk.
    Invite(Invite),
    /// The own invitations that may still be good. Answered with [`Response::Invitations`].
    Invitations,
    /// Have an invitation let nobody in any more. Answered with [`Response::Done`].
    Revoke {
        /// From [`OwnInvitation::id`].
        id: String,
    },
    /// Have new invitations lead elsewhere: those that there are go on for the network's time to live once there is
    /// another place. Answered with [`Response::Done`].
    RenewInvitations,
    /// Accept an invitation. Answered with [`Response::Contact`].
    Accept(Accept),
    /// All contacts. Answered with [`Response::Contacts`].
    Contacts,
    /// One contact. Answered with [`Response::Contact`].
    Contact {
        /// Its key, base58, or what it is called.
        contact: String,
    },
    /// Have something be another way with a contact. Answered with [`Response::Contact`].
    ChangeContact {
        /// Its key, base58, or what it is called.
        contact: String,
        /// What.
        change: ChangeOfContact,
    },
    /// Forget a contact. Answered with [`Response::Done`].
    RemoveContact {
        /// Its key, base58, or what it is called.
        contact: String,
    },
    /// The conversations. Answered with [`Response::Conversations`].
    Conversations,
    /// What was said with a contact. Answered with [`Response::Conversation`].
    Conversation {
        /// Its key, base58, or what it is called.
        contact: String,
        /// Only lines whose number is below this; the last ones, if there is none.
        before: Option<u64>,
        /// At most this many, and at most [`MAX_PAGE`].
        limit: u32,
    },
    /// The user has read what a contact said. Answered with [`Response::Done`].
    ReadConversation {
        /// Its key, base58, or what it is called.
        contact: String,
        /// The number of the last line that was read.
        up_to: u64,
    },
    /// Forget what was said with a contact, but what is unread or on its way. Answered with [`Response::Done`].
    ClearConversation {
        /// Its key, base58, or what it is called.
        contact: String,
    },
    /// Send a file. Answered with [`Response::File`] once all of it is on disk.
    SendFile {
        /// The key of a contact, base58, or what it is called, if nobody else is.
        to: String,
        /// What the contact is told that it is called.
        name: String,
        /// What is in it, at most [`MAX_FILE_BYTES`].
        content: Content,
        /// A name of the application's for this sending. The same file with the same key is sent once: the answer is how
        /// the first one is. Another one with the key is refused as [`RefusalCode::Conflict`]. A key is good as long as the
        /// file is listed.
        idempotency_key: Option<IdempotencyKey>,
    },
    /// The files that are sent, or have come. Answered with [`Response::Files`].
    Files,
    /// One of them. Answered with [`Response::File`].
    File {
        /// From [`FileStatus::file`].
        file: String,
    },
    /// What is in a file that has come. Answered with [`Response::FileContent`].
    FileContent {
        /// From [`FileStatus::file`].
        file: String,
    },
    /// Delete a file that has come, or send no more of one. Answered with [`Response::Done`].
    RemoveFile {
        /// From [`FileStatus::file`].
        file: String,
    },
    /// How the message box is. Answered with [`Response::MessageBox`].
    MessageBox,
    /// The message boxes that are not empty. Answered with [`Response::MessageBoxes`].
    MessageBoxes,
    /// What is in the message boxes of a name. Answered with [`Response::BoxContents`].
    BoxContents {
        /// The name.
        name: String,
    },
    /// Let programs of an identity key use the message box. Answered with [`Response::Done`].
    AllowIdentity {
        /// It, 66 hexadecimal digits.
        identity: String,
    },
    /// Let them no more. Answered with [`Response::Done`].
    DisallowIdentity {
        /// It, 66 hexadecimal digits.
        identity: String,
    },
    /// Say which contact an identity key belongs to. Answered with [`Response::Done`].
    MapIdentity {
        /// It, 66 hexadecimal digits.
        identity: String,
        /// The contact's key, base58, or what it is called.
        contact: String,
    },
    /// Have an identity key belong to nobody. Answered with [`Response::Done`].
    UnmapIdentity {
        /// It, 66 hexadecimal digits.
        identity: String,
    },
    /// Stop in good order. Answered with [`Response::Done`].
    Stop,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Request(..)")
    }
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "response", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Response {
    /// The message is on this machine's disk and will be sent.
    Accepted(Accepted),
    /// How far a message has come.
    Progress(Progress),
    /// Messages sent.
    Outgoing(OutgoingPage),
    /// Messages.
    Messages(Messages),
    /// Done; there is nothing to tell.
    Done,
    /// How the daemon is.
    Status(Box<Status>),
    /// The network's profiles.
    Profiles(Box<Profiles>),
    /// How the node is, if it is one that runs here.
    Node(Box<NodeStatus>),
    /// An invitation that was made.
    Invited(OwnInvitation),
    /// All own invitations.
    Invitations(OwnInvitations),
    /// A contact.
    Contact(Contact),
    /// All contacts.
    Contacts(Contacts),
    /// The conversations.
    Conversations(ConversationList),
    /// What was said with a contact.
    Conversation(ConversationPage),
    /// A file.
    File(FileStatus),
    /// Files that are sent, or have come.
    Files(FileList),
    /// What is in a file. It has no JSON.
    #[serde(skip)]
    FileContent(Content),
    /// How the message box is.
    MessageBox(Box<MessageBoxStatus>),
    /// The message boxes that are not empty.
    MessageBoxes(MessageBoxes),
    /// What is in message boxes of a name.
    BoxContents(BoxContents),
}

/// A message that was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// The message's id, base58; its receiver sees the same one.
    pub message: String,
    /// Packets that it takes.
    pub fragments: u32,
    /// How long it takes in the mean until the receiver's mailbox has it, in milliseconds.
    pub expected_stored_ms: u64,
    /// It was accepted before, with the same idempotency key: nothing more is sent.
    #[serde(default)]
    pub repeated: bool,
}

/// A page of messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Messages {
    /// The messages, oldest first.
    pub messages: Vec<Received>,
    /// Where the next page starts: the `after` of the next request.
    pub next: u64,
    /// Messages that are here and wait for what their sender wrote before them.
    #[serde(default)]
    pub held: u64,
}

/// A message that was received. Redacted in logs.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Received {
    /// Where it stands among the messages received; grows.
    pub cursor: u64,
    /// Its id, base58.
    pub message: String,
    /// The sender's key, base58: proven. Answers go to it.
    pub from: String,
    /// What the sender was called here when it came; may be empty.
    #[serde(default)]
    pub name: String,
    /// Whether safety numbers had been compared with the sender when it came.
    #[serde(default)]
    pub verified: bool,
    /// The text. What is not UTF-8 in it is replaced.
    pub text: String,
    /// What was sent, in base64, if it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// The sender's count of messages to us, from 0. One sender's come in this order, but for what comes
    /// more than a minute after those that were written after it.
    #[serde(default)]
    pub sequence: u64,
    /// How many of the sender's messages right before this one have not come. They may still.
    #[serde(default)]
    pub gap_before: u64,
    /// The minute in which it was written by the sender's clock, microseconds since the Unix epoch.
    pub sent_at_us: u64,
    /// When it is deleted here, read or not, if its sender wants it so; microseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_us: Option<u64>,
    /// When it was complete here, microseconds since the Unix epoch; after a restart, that of the
    /// restart.
    pub received_at_us: u64,
    /// The way of the packet that completed it, from our mailbox to here.
    #[serde(default)]
    pub hops: Vec<Hop>,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Received {
    /// Nothing but a text at this place among those received.
    pub(crate) fn of_text(cursor: u64, text: String) -> Self {
        Self {
            cursor,
            message: String::new(),
            from: String::new(),
            name: String::new(),
            verified: false,
            text,
            bytes: None,
            sequence: 0,
            gap_before: 0,
            sent_at_us: 0,
            expires_at_us: None,
            received_at_us: 0,
            hops: Vec::new(),
        }
    }
}

/// One hop of a packet's way. Local knowledge: it never leaves the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Hop {
    /// The node's id, base58.
    pub node: String,
    /// Its layer; 0 for a provider.
    pub layer: u8,
    /// How long it was asked to hold the packet, in microseconds.
    pub delay_us: u64,
}

/// Whether the daemon does its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthReport {
    /// It does.
    pub well: bool,
    /// What keeps it from its work, in words; nothing if all is well.
    pub reasons: Vec<String>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A message was accepted.
    Accepted {
        /// Its id, base58.
        message: String,
    },
    /// A part of a message left, for the first time or again.
    Sent {
        /// Its id, base58.
        message: String,
        /// Which part, from 0.
        fragment: u16,
        /// The way to the receiver's mailbox.
        hops: Vec<Hop>,
    },
    /// All of a message is on the disk of the receiver's mailbox.
    Stored {
        /// Its id, base58.
        message: String,
        /// Time since it was accepted, in milliseconds; none if that was before a restart.
        after_ms: Option<u64>,
    },
    /// Something keeps a message from being stored. It is tried again all the same.
    Hindered {
        /// Its id, base58.
        message: String,
        /// What, in words.
        reason: String,
    },
    /// A message's time to live passed before all of it was stored.
    Expired {
        /// Its id, base58.
        message: String,
    },
    /// The contact says that a message is on its disk, or was read there.
    Delivered {
        /// Its id, base58.
        message: String,
        /// It was read.
        read: bool,
    },
    /// A message is here.
    Received(Box<Received>),
    /// A message that was not read is deleted, because its time is over.
    Vanished {
        /// Its id, base58.
        message: String,
        /// Who wrote it, base58.
        from: String,
    },
    /// Somebody has come by an own invitation and is a contact now.
    Met {
        /// Its key, base58.
        contact: String,
        /// The invitation's id.
        invitation: String,
    },
    /// Another one came with an invitation that was for one person: somebody else has seen it. Compare safety numbers
    /// with the contact that was let in.
    Leaked {
        /// The key of who was let in, base58.
        contact: String,
        /// The invitation's id.
        invitation: String,
    },
    /// A file is accepted, is further than before, or is done with.
    File(Box<FileStatus>),
    /// Who is invited is heard from now on.
    Opened,
    /// The entry provider has attached this client.
    Attached {
        /// The provider, base58.
        entry: String,
    },
    /// The connection to the entry provider is gone; it is made again by itself.
    Detached {
        /// Why, in words.
        reason: String,
    },
    /// There are new documents of the network.
    Documents {
        /// The epoch of the one in force.
        in_force: u64,
        /// The newest epoch that there is one of.
        newest: u64,
    },
    /// Something is wrong.
    Alarm {
        /// What, in words.
        text: String,
    },
    /// What an alarm told is over.
    AlarmOver {
        /// What, in words.
        text: String,
    },
    /// Events were lost: the application read too slowly, or was away for too long.
    Missed {
        /// How many; none if that is not known, because the daemon was started again meanwhile.
        events: Option<u64>,
    },
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people.
    pub message: String,
}

/// The kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalCode {
    /// The request is not written as it should be: no JSON, for one thing.
    Malformed,
    /// Over TCP, a request needs the token.
    Unauthorized,
    /// It comes from where requests are not taken from: a page in a browser, or another name than this machine's.
    Forbidden,
    /// The path is there, and does not do that.
    Method,
    /// The body did not come in time.
    Late,
    /// The body is too long.
    TooLarge,
    /// The body is not said to be JSON.
    MediaType,
    /// A value in it is not valid: an address, an id, a text that is too long.
    Invalid,
    /// A queue is full; later it may work.
    Busy,
    /// There is no such message, or no such path.
    NotFound,
    /// The idempotency key is another message's.
    Conflict,
    /// Another copy of the client has its keys and has taken the mailbox over: nothing comes here any
    /// more, and nothing new is taken to send.
    Superseded,
    /// The daemon stopped meanwhile: whether it was done is not known.
    Stopped,
    /// The daemon failed; its log says more.
    Internal,
}

impl Refusal {
    /// A refusal of this kind.
    #[must_use]
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}
