//! How the daemon is, and how far messages are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the daemon is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The network's name.
    pub network: String,
    /// Hash of its parameters, base58.
    pub network_hash: String,
    /// The profile in use.
    pub profile: String,
    /// Whether the entry provider has this client attached.
    pub online: bool,
    /// The provider entered by, base58, if one is chosen.
    pub entry: Option<String>,
    /// The own key, by which contacts know who wrote, base58.
    #[serde(default)]
    pub key: String,
    /// The providers that keep the mailboxes, base58: none before there are documents.
    pub mailboxes: Vec<String>,
    /// Whether who is invited is heard.
    pub open: bool,
    /// The own places: those that are written to, those to come, and those that are left.
    #[serde(default)]
    pub places: Vec<Place>,
    /// The epoch now.
    pub epoch: u64,
    /// The epoch of the document in force, if there is one.
    pub document_epoch: Option<u64>,
    /// The network's clock less ours, in microseconds.
    pub clock_offset_us: i64,
    /// Seconds since the daemon started.
    pub uptime_secs: u64,
    /// How long a short text takes in the mean until the receiver's mailbox has it, in milliseconds; 0 where that can't be
    /// told.
    #[serde(default)]
    pub expected_stored_ms: u64,
    /// Messages accepted that are neither stored nor expired.
    pub on_the_way: u64,
    /// Packets of these that wait for the mailbox's receipt.
    pub on_the_way_packets: u64,
    /// Messages stored at their receiver's mailbox since the daemon started.
    pub stored: u64,
    /// Messages expired since the daemon started.
    pub expired: u64,
    /// Some of the messages sent, in the order of [`Request::Outgoing`](super::Request::Outgoing),
    /// which gives the others.
    pub outgoing: Vec<Outgoing>,
    /// Messages that are here and not read.
    pub unread: u64,
    /// Of these, those that wait for what their sender wrote before them: a minute, or longer while parts of
    /// that come.
    #[serde(default)]
    pub held: u64,
    /// Reply blocks at the mailbox, as it last said.
    pub stock: u64,
    /// Every counter of the client, by name.
    pub counters: BTreeMap<String, u64>,
    /// What is wrong now, in words; each thing once, for as long as it is.
    pub alarms: Vec<String>,
}

impl Status {
    /// What keeps the client from its work, in words; nothing if all is well.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let offline = "no entry provider has this client attached";
        let offline = (!self.online).then(|| offline.to_owned());
        offline.into_iter().collect()
    }
}

/// A place: two mailboxes, or one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// Who writes to it: `contacts`, `strangers` (whoever has the address) or `all`.
    pub audience: String,
    /// How far it has come: `coming`, `present`, `left` or `closing`.
    pub stage: String,
    /// Its mailboxes, the first one first.
    pub mailboxes: Vec<PlaceMailbox>,
}

/// One mailbox of a place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlaceMailbox {
    /// Its provider, base58.
    pub provider: String,
    /// Its provider opens it for a token only, which is being got.
    pub waits_for_token: bool,
    /// It takes what is sent to it.
    pub open: bool,
    /// It has answered this daemon since that was started.
    #[serde(default)]
    pub heard: bool,
    /// What it sends has stopped coming, or parts of it are lost.
    pub troubled: bool,
}

/// Messages sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OutgoingPage {
    /// The messages.
    pub messages: Vec<Outgoing>,
    /// How many there are, with those that are left out.
    pub total: u64,
}

/// How far one message has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// Its id, base58.
    pub message: String,
    /// How far it is.
    pub state: MessageState,
    /// If it came to be stored while the request waited: the time since it was accepted, in
    /// milliseconds.
    pub stored_ms: Option<u64>,
    /// What keeps it from being stored, in words; none while nothing is known to.
    #[serde(default)]
    pub hindrance: Option<String>,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Outgoing {
    /// Its id, base58.
    pub message: String,
    /// To which contact: its key, base58.
    #[serde(default)]
    pub to: String,
    /// How far it is.
    pub state: MessageState,
    /// When it was accepted, microseconds since the Unix epoch.
    pub accepted_at_us: u64,
    /// What keeps it from being stored, in words; none while nothing is known to.
    #[serde(default)]
    pub hindrance: Option<String>,
}

/// How far a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MessageState {
    /// On this machine's disk.
    Queued,
    /// A part of it left.
    Sent,
    /// All of it is on the disk of the receiver's mailbox.
    Stored,
    /// The receiver says that it is on its own disk.
    Delivered,
    /// The receiver says that it was read there.
    Read,
    /// Its time to live passed before.
    Expired,
}

impl MessageState {
    /// Whether nothing more is done for it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Stored | Self::Delivered | Self::Read | Self::Expired
        )
    }
}
