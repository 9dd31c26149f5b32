//! Parity: of a message's `k` shards of text, `m` more are made, and any `k` of all give the text back
//! (Reed-Solomon over GF(2^16), `reed-solomon-simd`). What is computed here lies in memory that is not
//! wiped, and the coder's tables (8 MB) are made when a process first needs them.

use std::collections::BTreeMap;

use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};
use shoal_proto::size::TEXT_BYTES_PER_PACKET;
use zeroize::Zeroizing;

/// A shard: the text of a packet, one byte longer, because the coder asks for an even number.
pub const SHARD_BYTES: usize = TEXT_BYTES_PER_PACKET.next_multiple_of(2);

/// How many parity fragments follow so many fragments with text where all go to one provider: three for ten, rounded up, and none
/// for a message of one packet, which travels as it always did.
///
/// With 5% of packets lost on the way to the mailbox, a message of 20 fragments is short of one or more
/// with 64% (1 - 0.95^20), and waits for a try. With its 6 more it is only if 7 or more of 26 are lost:
/// 0.02%. If 5% are lost on the way from the mailbox as well, it is 1%, against 87%. The worst are 3
/// fragments and 1: 1.4% on the way there against 14%. A share of a fifth (20 and 4) would leave 0.6%
/// and 8%; a half (20 and 10) 0.00001% and 0.007%, for 4 packets more.
#[must_use]
pub const fn parity(count: u16) -> u16 {
    match count {
        0 | 1 => 0,
        more => more.saturating_mul(3).div_ceil(10),
    }
}

/// The parity shards of these, which are padded with zeros.
pub(crate) fn encode(shards: &[&[u8]], parity: u16) -> Option<Vec<Zeroizing<Vec<u8>>>> {
    if parity == 0 {
        return Some(Vec::new());
    }
    // Of one shard, any parity is the shard.
    if let [only] = shards {
        return Some(vec![padded(only); usize::from(parity)]);
    }
    let mut coder = ReedSolomonEncoder::new(shards.len(), usize::from(parity), SHARD_BYTES).ok()?;
    for shard in shards {
        coder.add_original_shard(&*padded(shard)).ok()?;
    }
    let made = coder.encode().ok()?;
    let shards = made.recovery_iter().map(|it| Zeroizing::new(it.to_vec()));
    Some(shards.collect())
}

/// The shards among the first `count` that are missing, from `count` of these and `parity` more. What the
/// parts say is all one: whatever bytes they hold are some message's.
pub(crate) fn restore(
    (count, parity): (u16, u16),
    parts: &BTreeMap<u16, Zeroizing<Vec<u8>>>,
) -> Option<BTreeMap<u16, Zeroizing<Vec<u8>>>> {
    if parts.range(..count).count() == usize::from(count) {
        return Some(BTreeMap::new());
    }
    if count == 1 {
        let copy = parts.values().next()?;
        return Some(BTreeMap::from([(0, copy.clone())]));
    }
    let (texts, more) = (usize::from(count), usize::from(parity));
    let mut coder = ReedSolomonDecoder::new(texts, more, SHARD_BYTES).ok()?;
    for (index, part) in parts {
        match index.checked_sub(count) {
            None => coder.add_original_shard(usize::from(*index), &*padded(part)),
            Some(behind) => coder.add_recovery_shard(usize::from(behind), &*padded(part)),
        }
        .ok()?;
    }
    let restored = coder.decode().ok()?;
    restored
        .restored_original_iter()
        .map(|(index, shard)| {
            let index = u16::try_from(index).ok()?;
            Some((index, Zeroizing::new(shard.to_vec())))
        })
        .collect()
}

/// A part, filled up to a shard.
fn padded(part: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut shard = Zeroizing::new(Vec::with_capacity(SHARD_BYTES));
    shard.extend_from_slice(part);
    shard.resize(SHARD_BYTES, 0);
    shard
}
