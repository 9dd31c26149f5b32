//! Operations of a made-up load, for what measures stores and for what kills them: the one place that knows what
//! such operations are made of.

use shoal_packet::command::{Blob, DropChange, DropSet, SetSize};
use shoal_proto::size::BLOB_BYTES;
use shoal_proto::{DropId, MailboxId, MessageId, Time};

use crate::store::{EntryId, Opening, StoreOp};

/// The one set of drop ids that a mailbox of the load has.
#[must_use]
pub const fn set() -> DropSet {
    // An id is the hash of its mailbox too, so one secret serves for all.
    DropSet::new([0xd0; 32], SetSize::Small)
}

/// The drop id with this index of a mailbox, from 0 to 63.
#[must_use]
pub fn drop_id(mailbox: &MailboxId, index: u8) -> DropId {
    set().id(mailbox, index.into())
}

/// A blob that no other number has, and that does not compress.
#[must_use]
#[expect(clippy::expect_used, reason = "the array has a blob's length")]
pub fn blob(number: u64) -> Box<Blob> {
    let mut bytes = [0; BLOB_BYTES];
    let mut state = number;
    for chunk in bytes.chunks_mut(8) {
        // SplitMix64: different for each number and place, and the same wherever it runs.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let random = (mixed ^ (mixed >> 31)).to_le_bytes();
        chunk
            .iter_mut()
            .zip(random)
            .for_each(|(to, from)| *to = from);
    }
    Box::new(Blob::from_bytes(&bytes).expect("its length"))
}

/// The message id of a number.
#[must_use]
pub fn message(number: u64) -> MessageId {
    let mut bytes = [0x6d; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    MessageId::new(bytes)
}

/// An owner's first command of a generation, its counter is 1: the mailbox has its drop ids from then on.
#[must_use]
pub fn open(mailbox: MailboxId, generation: u64) -> StoreOp {
    StoreOp::Attend {
        mailbox,
        generation,
        counter: 1,
        stream: 0,
        acks: Vec::new(),
        changes: vec![DropChange::Register(set())],
        opening: Opening::Free,
    }
}

/// An owner's command that acknowledges entries by their numbers.
#[must_use]
pub fn attend(
    mailbox: MailboxId,
    (generation, counter): (u64, u64),
    stream: u64,
    acks: &[u64],
) -> StoreOp {
    StoreOp::Attend {
        mailbox,
        generation,
        counter,
        stream,
        acks: acks.iter().copied().map(EntryId::new).collect(),
        changes: Vec::new(),
        opening: Opening::Free,
    }
}

/// A deposit under a drop id that was opened, with the message id and the blob of a number.
#[must_use]
pub fn put(mailbox: MailboxId, index: u8, number: u64, expires: Time) -> StoreOp {
    StoreOp::Put {
        drop: drop_id(&mailbox, index),
        message: message(number),
        blob: blob(number),
        expires,
    }
}

/// What waits under a drop id, after a number.
#[must_use]
pub fn list(mailbox: MailboxId, index: u8, after: u64, limit: u32) -> StoreOp {
    StoreOp::List {
        mailbox,
        drop: drop_id(&mailbox, index),
        after: EntryId::new(after),
        limit,
    }
}
