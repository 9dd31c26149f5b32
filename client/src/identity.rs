//! Who this client is: its keys, its network and its mailbox, and what only they can make or open.

use rand::CryptoRng;
use shoal_packet::command::{CommandError, DropGrant, MailboxPacket, MailboxRequest, StreamEntry};
use shoal_packet::fragment::{self, Envelope, Fragment, MAX_TEXT_BYTES};
use shoal_proto::{DropId, MessageId, NetworkHash, NodeId, Span, Time};
use zeroize::Zeroizing;

use crate::address::Address;
use crate::config::ClientConfig;
use crate::contacts::Plan;
use crate::error::{SealError, SendError};
use crate::keys::{ClientKeys, PeerKey};
use crate::rows::OutboxRow;
use crate::seal::{self, Binding};

/// The keys, and where they count.
pub(crate) struct Identity {
    keys: ClientKeys,
    network: NetworkHash,
    mailbox: NodeId,
    address_validity: Span,
}

impl Identity {
    pub(crate) fn new(keys: ClientKeys, network: NetworkHash, config: &ClientConfig) -> Self {
        Self {
            keys,
            network,
            mailbox: config.mailbox_provider,
            address_validity: config.address_validity,
        }
    }

    pub(crate) fn keys(&self) -> &ClientKeys {
        &self.keys
    }

    /// Who holds the mailbox.
    pub(crate) fn mailbox_provider(&self) -> NodeId {
        self.mailbox
    }

    /// The address to hand out at `now`; its text stays the same within an hour.
    pub(crate) fn address(&self, now: Time) -> Address {
        let drop = self.keys.public_drop();
        let ends = (now + self.address_validity).as_secs().div_ceil(3600);
        let hour = u32::try_from(ends).unwrap_or(u32::MAX);
        let owner = self.keys.mailbox();
        let grant = DropGrant::issue(owner, &self.network, &self.mailbox, &drop, hour);
        Address {
            grant: Some(grant),
            ..self.address_of(self.keys.public(), self.mailbox, drop)
        }
    }

    /// Where somebody on this network is written to without a grant.
    pub(crate) fn address_of(&self, key: PeerKey, provider: NodeId, drop: DropId) -> Address {
        Address {
            network: Address::short_network(&self.network),
            provider,
            drop,
            key,
            grant: None,
        }
    }

    /// Cuts a text to somebody.
    pub(crate) fn cut(
        &self,
        now: Time,
        to: &Address,
        message: MessageId,
        plan: &Plan,
        text: &[u8],
    ) -> Result<Vec<Fragment>, SendError> {
        to.check_network(&self.network)
            .map_err(|_| SendError::OtherNetwork)?;
        let ended = |grant: &DropGrant| grant.expires() <= now;
        if to.grant.as_ref().is_some_and(ended) {
            return Err(SendError::AddressExpired);
        }
        let envelope = Envelope {
            message,
            sequence: plan.number,
            sent_at: now,
            reply_provider: self.mailbox,
            reply_drop: match plan.drop {
                Some(number) => self.keys.pool_drop(number),
                None => self.keys.public_drop(),
            },
        };
        fragment::split(&envelope, text).map_err(|_| SendError::TooLong {
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
        let binding = self.binding(to.drop, deposit);
        let blob = seal::seal(rng, &self.keys, &to.key, &binding, &plaintext)
            .map_err(|_| SendError::Seal)?;
        Ok(OutboxRow {
            provider: to.provider,
            drop: to.drop,
            grant: to.grant.clone(),
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

    /// Signs what the mailbox is asked.
    pub(crate) fn sign<R: CryptoRng>(
        &self,
        rng: &mut R,
        request: MailboxRequest,
    ) -> Result<MailboxPacket, CommandError> {
        MailboxPacket::sign(
            rng,
            self.keys.mailbox(),
            &self.network,
            &self.mailbox,
            request,
        )
    }

    fn binding(&self, drop: DropId, message: MessageId) -> Binding {
        Binding {
            network: self.network,
            drop,
            message,
        }
    }
}
