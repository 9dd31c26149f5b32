//! Invitations and contacts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An invitation to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// It lets in one person, who comes first with it; else everybody who has it.
    #[serde(default = "yes")]
    pub once: bool,
    /// How long it is good, in milliseconds, to the minute: a week unless given, a year at most.
    #[serde(default = "week")]
    pub life_ms: u64,
    /// Whom it is for, in your own words; who comes alone is called so. At most 64 bytes, may be empty.
    #[serde(default)]
    pub label: String,
}

const fn yes() -> bool {
    true
}

const fn week() -> u64 {
    7 * 86_400_000
}

impl Default for Invite {
    fn default() -> Self {
        Self {
            once: yes(),
            life_ms: week(),
            label: String::new(),
        }
    }
}

/// An own invitation, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OwnInvitation {
    /// Its id, 8 hexadecimal digits.
    pub id: String,
    /// What is handed out, `shoal:…`. Who has it can write to you.
    pub invitation: String,
    /// Whom it is for, in your own words; may be empty.
    pub label: String,
    /// It lets in one person.
    pub once: bool,
    /// When it was made, microseconds since the Unix epoch.
    pub made_at_us: u64,
    /// Until when it is good, microseconds since the Unix epoch.
    pub expires_at_us: u64,
    /// The key of who came, base58, if it is for one person and somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<String>,
    /// Another one came with it and was not let in: somebody else has seen it, so compare safety numbers with who was.
    #[serde(default)]
    pub leaked: bool,
}

/// All own invitations that may still be good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OwnInvitations {
    /// They, those made first first.
    pub invitations: Vec<OwnInvitation>,
}

/// An invitation of somebody else's, to be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// It, `shoal:…`.
    pub invitation: String,
    /// What its maker is called here: at most 64 bytes, may be empty.
    #[serde(default)]
    pub label: String,
}

/// A contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Contact {
    /// Its key, base58: proven for everything that comes from it.
    pub key: String,
    /// What it is called here; may be empty.
    pub label: String,
    /// You have taken it for a contact: accepted its invitation, written to it, verified it, or invited it alone. Else
    /// it came with an invitation that is for many, and is forgotten when too many do.
    pub known: bool,
    /// You have compared safety numbers.
    pub verified: bool,
    /// Nothing goes to it, and nothing that it writes is shown.
    pub blocked: bool,
    /// Both ends are told what was read, if the other one wants it, too.
    pub reads: bool,
    /// The minute in which it became one, microseconds since the Unix epoch.
    pub since_us: u64,
    /// Nothing can be written to it before one of the two has accepted a new invitation of the other: there is no
    /// session with it, as after a restore.
    #[serde(default)]
    pub needs_invitation: bool,
    /// What the other end sees as well, if nobody stands between you.
    pub safety_number: String,
}

/// All contacts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Contacts {
    /// They, those who came first first.
    pub contacts: Vec<Contact>,
}

/// What is to be another way with a contact: what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeOfContact {
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether safety numbers were compared, and were the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// Whether it is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<bool>,
    /// Whether both tell each other what they have read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<bool>,
}
