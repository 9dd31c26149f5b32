//! What a sender leaves in a mailbox.

use super::read_surb;
use crate::bytes::{Reader, Writer, boxed};
use crate::error::PacketError;
use crate::surb::Surb;
use shoal_proto::size::BLOB_BYTES;
use shoal_proto::{DropId, MessageId};
use std::fmt;
use zeroize::Zeroize;

/// Something sealed for the receiver: to everybody else random bytes of one size. Zeroized on
/// drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob(Box<[u8; BLOB_BYTES]>);

impl Blob {
    /// The blob with these bytes, 1572.
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
/// message id 16, blob 1572. It says nothing of time: how long it is kept is the network's to say, the
/// same for all. It says nothing of the mailbox either: the drop id is bound to it.
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
    /// What is stored.
    pub blob: Box<Blob>,
}

impl Deposit {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer
            .put(&[self.surb_epoch])
            .put(self.surb.as_bytes())
            .put(self.drop.as_bytes())
            .put(self.message.as_bytes())
            .put(self.blob.as_bytes());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            surb_epoch: reader.u8()?,
            surb: read_surb(reader)?,
            drop: DropId::new(reader.array()?),
            message: MessageId::new(reader.array()?),
            blob: Box::new(Blob::from_bytes(reader.take(BLOB_BYTES)?).ok()?),
        })
    }
}
