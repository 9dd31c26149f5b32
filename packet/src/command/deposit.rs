//! What a sender leaves in a mailbox.

use super::{read_surb, signed};
use crate::bytes::{Reader, Writer, boxed};
use crate::error::PacketError;
use crate::surb::Surb;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use shoal_proto::size::{BLOB_BYTES, TOKEN_BYTES};
use shoal_proto::{DropId, MailboxId, MessageId, NetworkHash, NodeId, Time};
use std::fmt;
use zeroize::Zeroize;

/// Separates grants from everything else that a mailbox's key signs.
const GRANT_DOMAIN: &[u8] = b"shoal drop grant 1";
const SECS_PER_HOUR: u64 = 3_600;
const MICROS_PER_SEC: u64 = 1_000_000;

/// Something sealed for the receiver: to everybody else random bytes of one size. Zeroized on
/// drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob(Box<[u8; BLOB_BYTES]>);

impl Blob {
    /// The blob with these bytes, 1472.
    ///
    /// # Errors
    /// [`PacketError::Length`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PacketError> {
        boxed(bytes).map(Self).ok_or(PacketError::Length {
            expected: BLOB_BYTES,
            found: bytes.len(),
        })
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; BLOB_BYTES] {
        &self.0
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

/// Redacted.
impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blob(..)")
    }
}

/// A blob for somebody's mailbox. 2018 bytes with its kind: epoch 1, reply block 396, drop id 32,
/// message id 16, grant 100, blob 1472. It says nothing of time: how long it is kept is the
/// provider's to say, the same for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deposit {
    /// The byte that names the epoch of the reply block.
    pub surb_epoch: u8,
    /// For the receipt.
    pub surb: Surb,
    /// Where it goes.
    pub drop: DropId,
    /// Makes the put idempotent, together with `drop`.
    pub message: MessageId,
    /// Proof that the mailbox's owner accepts deposits under this drop id, for ids that the
    /// provider hasn't been told yet.
    pub grant: Option<DropGrant>,
    /// What is stored.
    pub blob: Box<Blob>,
}

impl Deposit {
    pub(super) fn write(&self, writer: &mut Writer) {
        let token = self
            .grant
            .as_ref()
            .map_or([0; TOKEN_BYTES], DropGrant::to_bytes);
        writer
            .put(&[self.surb_epoch])
            .put(self.surb.as_bytes())
            .put(self.drop.as_bytes())
            .put(self.message.as_bytes())
            .put(&token)
            .put(self.blob.as_bytes());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            surb_epoch: reader.u8()?,
            surb: read_surb(reader)?,
            drop: DropId::new(reader.array()?),
            message: MessageId::new(reader.array()?),
            grant: DropGrant::from_token(&reader.array()?),
            blob: Box::new(Blob::from_bytes(reader.take(BLOB_BYTES)?).ok()?),
        })
    }
}

/// A mailbox owner's word that deposits under one drop id belong into the mailbox, until a given
/// hour. It is bound to the network, the provider and the drop id, and travels with the address
/// and in each deposit: 100 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropGrant {
    /// The mailbox: the public key that signed.
    pub mailbox: MailboxId,
    /// The end, in whole hours since the Unix epoch. Whether it has come is the caller's to say.
    pub expires_hour: u32,
    /// Ed25519.
    pub signature: [u8; 64],
}

impl DropGrant {
    /// Signs a grant.
    #[must_use]
    pub fn issue(
        owner: &SigningKey,
        network: &NetworkHash,
        provider: &NodeId,
        drop: &DropId,
        expires_hour: u32,
    ) -> Self {
        let mailbox = MailboxId::new(owner.verifying_key().to_bytes());
        let message = Self::message(network, provider, drop, &mailbox, expires_hour);
        Self {
            mailbox,
            expires_hour,
            signature: owner.sign(&message).to_bytes(),
        }
    }

    /// Whether the mailbox's owner signed this for the given network, provider and drop id.
    /// Strict: keys of low order and ambiguous signatures fail.
    #[must_use]
    pub fn verify(&self, network: &NetworkHash, provider: &NodeId, drop: &DropId) -> bool {
        let message = Self::message(network, provider, drop, &self.mailbox, self.expires_hour);
        VerifyingKey::from_bytes(self.mailbox.as_bytes()).is_ok_and(|key| {
            key.verify_strict(&message, &Signature::from_bytes(&self.signature))
                .is_ok()
        })
    }

    /// When it ends.
    #[must_use]
    pub const fn expires(&self) -> Time {
        Time::from_micros(self.expires_hour as u64 * SECS_PER_HOUR * MICROS_PER_SEC)
    }

    /// Mailbox 32, hour 4, signature 64.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; TOKEN_BYTES] {
        let mut token = [0; TOKEN_BYTES];
        token[..32].copy_from_slice(self.mailbox.as_bytes());
        token[32..36].copy_from_slice(&self.expires_hour.to_be_bytes());
        token[36..].copy_from_slice(&self.signature);
        token
    }

    /// Reads what [`DropGrant::to_bytes`] gave; all zeros are no grant. It is not verified.
    #[must_use]
    pub fn from_token(token: &[u8; TOKEN_BYTES]) -> Option<Self> {
        if token.iter().all(|byte| *byte == 0) {
            return None;
        }
        let mut reader = Reader::new(token);
        Some(Self {
            mailbox: MailboxId::new(reader.array()?),
            expires_hour: reader.u32()?,
            signature: reader.array()?,
        })
    }

    fn message(
        network: &NetworkHash,
        provider: &NodeId,
        drop: &DropId,
        mailbox: &MailboxId,
        expires_hour: u32,
    ) -> Vec<u8> {
        signed(
            GRANT_DOMAIN,
            &[
                network.as_bytes(),
                provider.as_bytes(),
                drop.as_bytes(),
                mailbox.as_bytes(),
                &expires_hour.to_be_bytes(),
            ],
        )
    }
}
