//! What a delivered packet says, and whether who says it may: decoded and verified before it comes
//! to the core, because a signature takes longer to check than all that the core does with it.

use shoal_packet::Delivery;
use shoal_packet::Surb;
use shoal_packet::command::{Command, Deposit, MailboxRequest, TokenAsk};
use shoal_proto::{NetworkHash, NodeId, Time};

use crate::DropReason;

/// Decodes and verifies what is delivered to one provider. Pure: it has no clock, no randomness and
/// no state, so any number of threads may check at once.
#[derive(Clone, Copy, Debug)]
pub struct Checker {
    network: NetworkHash,
    local: NodeId,
}

/// A delivery that was checked, for [`ProviderInput::Delivered`](crate::ProviderInput::Delivered).
///
/// It has no `Debug`: it holds what a packet says. Payload, blob and reply blocks are zeroized on
/// drop; of the plaintext nothing else is left but numbers and identifiers.
pub struct Checked {
    arrival: Time,
    content: Result<Content, DropReason>,
}

/// What is asked of the provider.
pub(crate) enum Content {
    /// A reply or a loop: all that is looked at is which client it is for.
    ForClient(Delivery),
    Deposit(Box<Deposit>),
    Dummy {
        surb_epoch: u8,
        surb: Surb,
    },
    Drop,
    /// Signed by the mailbox's owner, for this provider.
    Mailbox(Box<MailboxRequest>),
    Token(Box<TokenAsk>),
}

impl Checker {
    pub(crate) const fn new(network: NetworkHash, local: NodeId) -> Self {
        Self { network, local }
    }

    /// Checks one delivery. Takes about as long as one Ed25519 verification if the packet is signed,
    /// and microseconds if not.
    #[must_use]
    pub fn check(&self, delivery: Delivery) -> Checked {
        let arrival = delivery.arrival;
        let content = match delivery.plaintext.as_ref() {
            None => Ok(Content::ForClient(delivery)),
            Some(plaintext) => match Command::decode(plaintext) {
                Ok(command) => self.command(command),
                Err(_) => Err(DropReason::BadCommand),
            },
        };
        Checked { arrival, content }
    }

    fn command(&self, command: Command) -> Result<Content, DropReason> {
        match command {
            Command::Deposit(deposit) => Ok(Content::Deposit(deposit)),
            Command::Dummy { surb_epoch, surb } => Ok(Content::Dummy { surb_epoch, surb }),
            Command::Drop => Ok(Content::Drop),
            Command::Mailbox(packet) if packet.verify(&self.network, &self.local) => {
                Ok(Content::Mailbox(Box::new(packet.into_request())))
            }
            Command::Token(ask) => Ok(Content::Token(ask)),
            Command::Mailbox(_) => Err(DropReason::MailboxSignature),
            Command::NodeLoop(_) => Err(DropReason::ForeignLoop),
            _ => Err(DropReason::BadCommand),
        }
    }
}

impl Checked {
    /// When its frame came in, and what it asks; or why it is dropped.
    pub(crate) fn into_content(self) -> (Time, Result<Content, DropReason>) {
        (self.arrival, self.content)
    }
}
