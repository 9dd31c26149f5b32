//! Who this client is: its key and its network, and what only they can make or open.

use rand::CryptoRng;
use shoal_packet::Sites;
use shoal_packet::command::{CommandError, MailboxPacket, MailboxRequest, StreamEntry};
use shoal_packet::fragment::{self, Copies, Envelope, Fragment, MAX_TEXT_BYTES};
use shoal_proto::{DropId, MessageId, NetworkHash, Time};
use zeroize::Zeroizing;

use crate::address::Address;
use crate::contacts::Plan;
use crate::error::{SealError, SendError};
use crate::keys::{ClientKeys, PeerKey};
use crate::mailbox::MailboxLink;
use crate::rows::OutboxRow;
use crate::seal::{self, Binding};

/// The keys, and where they count.
pub(crate) struct Identity {
    keys: ClientKeys,
    network: NetworkHash,
}

impl Identity {
    pub(crate) fn new(keys: ClientKeys, network: NetworkHash) -> Self {
        Self { keys, network }
    }

    pub(crate) fn keys(&self) -> &ClientKeys {
        &self.keys
    }

    /// Where somebody on this network is written to.
    pub(crate) fn address_of(&self, key: PeerKey, sites: Sites) -> Address {
        Address {
            network: Address::short_network(&self.network),
            key,
            sites,
        }
    }

    /// Cuts a text to somebody.
    pub(crate) fn cut(
        &self,
        now: Time,
        to: &Address,
        message: MessageId,
        (plan, answers): (&Plan, &Sites),
        text: &[u8],
    ) -> Result<Vec<Fragment>, SendError> {
        to.check_network(&self.network)
            .map_err(|_| SendError::OtherNetwork)?;
        let envelope = Envelope {
            message,
            sequence: plan.number,
            sent_at: now,
            reply: *answers,
        };
        let copies = match to.sites.second {
            Some(_) => Copies::Two,
            None => Copies::One,
        };
        fragment::split(&envelope, text, copies).map_err(|_| SendError::TooLong {
            bytes: text.len(),
            limit: MAX_TEXT_BYTES,
        })
    }

    /// Seals a fragment, under a deposit id of its own: the mailbox must not see which belong
    /// together.
    pub(crate) fn seal<R: CryptoRng>(
        &self,
        rng: &mut R,
        to: &Address,
        fragment: &Fragment,
    ) -> Result<OutboxRow, SendError> {
        let plaintext = fragment.encode().map_err(|_| SendError::Seal)?;
        let mut deposit = [0; MessageId::BYTES];
        rng.fill_bytes(&mut deposit);
        let deposit = MessageId::new(deposit);
        let second = to.sites.second;
        let second = second.filter(|_| fragment.shape.is_second(fragment.index));
        let site = second.unwrap_or(to.sites.first);
        let binding = self.binding(site.drop, deposit);
        let blob = seal::seal(rng, &self.keys, &to.key, &binding, &plaintext)
            .map_err(|_| SendError::Seal)?;
        Ok(OutboxRow {
            provider: site.provider,
            drop: site.drop,
            deposit,
            blob,
        })
    }

    /// Opens what was deposited for this client: who wrote it, and a fragment as it was sealed.
    pub(crate) fn open(
        &self,
        entry: &StreamEntry,
    ) -> Result<(PeerKey, Zeroizing<Vec<u8>>), SealError> {
        let binding = self.binding(entry.drop, entry.message);
        seal::open(&self.keys, &binding, &entry.blob)
    }

    /// Signs what a mailbox is asked.
    pub(crate) fn sign<R: CryptoRng>(
        &self,
        rng: &mut R,
        mailbox: &MailboxLink,
        request: MailboxRequest,
    ) -> Result<MailboxPacket, CommandError> {
        let provider = mailbox.provider();
        MailboxPacket::sign(rng, mailbox.key(), &self.network, &provider, request)
    }

    fn binding(&self, drop: DropId, message: MessageId) -> Binding {
        Binding {
            network: self.network,
            drop,
            message,
        }
    }
}
