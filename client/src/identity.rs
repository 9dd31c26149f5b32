//! Who this client is: its key and its network, and what only they can make or open.

use rand::CryptoRng;
use shoal_packet::Sites;
use shoal_packet::command::{Blob, CommandError, MailboxPacket, MailboxRequest, StreamEntry};
use shoal_packet::fragment::{self, Copies, Envelope, Fragment, Kind, MAX_TEXT_BYTES};
use shoal_proto::{DropId, MessageId, NetworkHash, Time};
use zeroize::Zeroizing;

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

    pub(crate) const fn network(&self) -> &NetworkHash {
        &self.network
    }

    /// Cuts a text to somebody, or a notice.
    pub(crate) fn cut(
        now: Time,
        (kind, message): (Kind, MessageId),
        expires: Option<Time>,
        (plan, answers): (&Plan, &Sites),
        (text, copies): (&[u8], Copies),
    ) -> Result<Vec<Fragment>, SendError> {
        let envelope = Envelope {
            kind,
            message,
            sequence: plan.number,
            sent_at: now,
            expires,
            reply: *answers,
        };
        fragment::split(&envelope, text, copies).map_err(|_| SendError::TooLong {
            bytes: text.len(),
            limit: MAX_TEXT_BYTES,
        })
    }

    /// A fragment that waits to leave, as its session has sealed it, under a deposit id of its own: the mailbox must not
    /// see which belong together.
    pub(crate) fn address<R: CryptoRng>(
        rng: &mut R,
        sites: &Sites,
        fragment: &Fragment,
        content: Zeroizing<Vec<u8>>,
    ) -> OutboxRow {
        let both = fragment.shape.copies() == Copies::Two;
        let goes = sites_of(sites, both, fragment.shape.is_second(fragment.index));
        OutboxRow {
            site: goes.first,
            other: goes.second,
            deposit: deposit_id(rng),
            content,
        }
    }

    /// Seals what leaves for whom it is to.
    pub(crate) fn seal<R: CryptoRng>(
        &self,
        rng: &mut R,
        to: &PeerKey,
        row: &OutboxRow,
    ) -> Result<Box<Blob>, SealError> {
        let binding = self.binding(row.site.drop, row.deposit);
        seal::seal(rng, to, &binding, &row.content)
    }

    /// Opens what was deposited for this client: a message of a session.
    pub(crate) fn open(&self, entry: &StreamEntry) -> Result<Zeroizing<Vec<u8>>, SealError> {
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

/// Where a fragment goes: of two copies each to its own mailbox, should there be two, and nowhere else; what there is
/// one copy of to the first, and to the second if that does not answer.
pub(crate) fn sites_of(sites: &Sites, both: bool, is_second: bool) -> Sites {
    let own = sites.second.filter(|_| is_second);
    Sites {
        first: own.unwrap_or(sites.first),
        second: sites.second.filter(|_| !both),
    }
}

/// A name for a deposit that tells nothing.
pub(crate) fn deposit_id<R: CryptoRng>(rng: &mut R) -> MessageId {
    let mut id = [0; MessageId::BYTES];
    rng.fill_bytes(&mut id);
    MessageId::new(id)
}
