//! The places as their owner is told of them.

use shoal_proto::NodeId;

use super::Places;
use crate::mailbox::MailboxLink;
use crate::rows::{Audience, Stage};

/// One of the own places, for its owner's eyes. When it moves next is not in it: a user who knew would do something
/// about it, and could be seen to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceStatus {
    /// Who writes to it.
    pub audience: PlaceAudience,
    /// How far it has come.
    pub stage: PlaceStage,
    /// Its mailboxes: one or two, the first one first.
    pub mailboxes: Vec<PlaceMailbox>,
}

/// One mailbox of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceMailbox {
    /// Who has it.
    pub provider: NodeId,
    /// Its provider opens it for a token only, which is being got.
    pub waits_for_token: bool,
    /// It has confirmed that it takes what is sent to it.
    pub open: bool,
    /// It has listened to this client since that was made.
    pub heard: bool,
    /// What it sends has stopped coming, or parts of it are lost.
    pub troubled: bool,
}

/// Who writes to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlaceAudience {
    /// Contacts, who are told when it moves.
    Contacts,
    /// Who has an invitation.
    Strangers,
    /// Both: its providers are the user's choice.
    All,
}

/// How far a place has come in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlaceStage {
    /// It is on its way to take the place of the present one.
    Coming,
    /// It is given out.
    Present,
    /// It is read for those who do not know the present one yet.
    Left,
    /// It takes nothing more, and is read until it is empty.
    Closing,
}

impl PlaceAudience {
    /// The name for people and machines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contacts => "contacts",
            Self::Strangers => "strangers",
            Self::All => "all",
        }
    }
}

impl PlaceStage {
    /// The name for people and machines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Coming => "coming",
            Self::Present => "present",
            Self::Left => "left",
            Self::Closing => "closing",
        }
    }
}

impl Places {
    /// All places, in the order in which they were made.
    pub(crate) fn told(&self) -> Vec<PlaceStatus> {
        let places = self.places.iter().map(|(number, row)| PlaceStatus {
            audience: match row.audience {
                Audience::Contacts => PlaceAudience::Contacts,
                Audience::Strangers => PlaceAudience::Strangers,
                Audience::All => PlaceAudience::All,
            },
            stage: match row.stage {
                Stage::Buying | Stage::Bought | Stage::Opening | Stage::Ready => PlaceStage::Coming,
                Stage::Open => PlaceStage::Present,
                Stage::Fading | Stage::Left => PlaceStage::Left,
                Stage::Closing => PlaceStage::Closing,
            },
            mailboxes: self.of(*number).map(mailbox).collect(),
        });
        places.collect()
    }
}

fn mailbox(link: &MailboxLink) -> PlaceMailbox {
    PlaceMailbox {
        provider: link.provider(),
        waits_for_token: link.is_locked(),
        open: link.sets().is_open(),
        heard: link.is_heard(),
        troubled: link.watch().is_alarmed(),
    }
}
