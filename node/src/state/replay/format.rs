//! The bytes of a replay log.

use shoal_packet::ReplayTag;
use shoal_proto::Epoch;

const FILE_MAGIC: &[u8; 8] = b"shoalrl1";
const BATCH_MAGIC: &[u8; 4] = b"rlb1";
const TAG_BYTES: usize = 32;

/// Bytes of a public Sphinx key, which says whose tags a file holds.
pub const KEY_ID_BYTES: usize = 32;
/// Magic 8, epoch 8, key 32, check 4.
pub(super) const HEADER_BYTES: usize = 52;
/// Magic 4, count 4, number 8, check 4.
pub(super) const BATCH_HEADER_BYTES: usize = 20;
/// Most tags of one batch, so that a torn one has a bound: 128 KiB.
pub const MAX_BATCH_TAGS: usize = 4096;

/// What is wrong with a file, for its reader to decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The header is torn, damaged or none of ours.
    Header,
    /// The file is of another epoch or key.
    Key,
    /// A batch that is not the last is damaged: tags are lost.
    Batch { number: u64 },
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) tags: Vec<ReplayTag>,
    /// Bytes up to the end of the last whole batch.
    pub(super) length: usize,
    /// Whole batches, which is the number of the next.
    pub(super) batches: u64,
}

pub(crate) fn encode_header(epoch: Epoch, key: &[u8; KEY_ID_BYTES]) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(FILE_MAGIC);
    header.extend_from_slice(&epoch.number().to_le_bytes());
    header.extend_from_slice(key);
    let check = crc32(&[&header]);
    header.extend_from_slice(&check.to_le_bytes());
    header
}

/// Appends the encoding of one batch. The caller keeps to [`MAX_BATCH_TAGS`].
pub(super) fn encode_batch(number: u64, tags: &[ReplayTag], to: &mut Vec<u8>) {
    let count = u32::try_from(tags.len()).unwrap_or(u32::MAX).to_le_bytes();
    let number = number.to_le_bytes();
    let bodies: Vec<&[u8]> = tags.iter().map(|tag| tag.as_bytes().as_slice()).collect();
    let mut checked: Vec<&[u8]> = vec![&count, &number];
    checked.extend_from_slice(&bodies);
    let check = crc32(&checked).to_le_bytes();
    for part in [BATCH_MAGIC.as_slice(), &count, &number, &check] {
        to.extend_from_slice(part);
    }
    bodies.iter().for_each(|body| to.extend_from_slice(body));
}

/// Reads a file's bytes for fuzzing: how many tags it holds, if it is sound.
#[cfg(any(test, fuzzing))]
#[must_use]
pub fn decode(bytes: &[u8], epoch: Epoch, key: &[u8; KEY_ID_BYTES]) -> Option<usize> {
    read(bytes, epoch, key)
        .ok()
        .map(|decoded| decoded.tags.len())
}

pub(super) fn read(bytes: &[u8], epoch: Epoch, key: &[u8; KEY_ID_BYTES]) -> Result<Decoded, Fault> {
    let expected = encode_header(epoch, key);
    let (header, mut rest) = bytes.split_at_checked(HEADER_BYTES).ok_or(Fault::Header)?;
    if header != expected {
        let (body, check) = header
            .split_at_checked(HEADER_BYTES - 4)
            .ok_or(Fault::Header)?;
        let sound = header.starts_with(FILE_MAGIC) && crc32(&[body]).to_le_bytes() == check;
        return Err(if sound { Fault::Key } else { Fault::Header });
    }
    let mut tags = Vec::new();
    let mut batches = 0;
    while let Some((batch, after)) = read_batch(rest).filter(|(b, _)| b.number == batches) {
        tags.extend(batch.tags());
        batches += 1;
        rest = after;
    }
    if !is_torn_tail(rest, batches) {
        return Err(Fault::Batch { number: batches });
    }
    Ok(Decoded {
        tags,
        length: bytes.len() - rest.len(),
        batches,
    })
}

struct Batch<'a> {
    number: u64,
    bodies: &'a [u8],
}

impl Batch<'_> {
    fn tags(&self) -> impl Iterator<Item = ReplayTag> {
        let (tags, _) = self.bodies.as_chunks::<TAG_BYTES>();
        tags.iter().map(|tag| ReplayTag::new(*tag))
    }
}

/// The batch at the start of these bytes, if it is whole and sound, and what follows it.
fn read_batch(bytes: &[u8]) -> Option<(Batch<'_>, &[u8])> {
    let rest = bytes.strip_prefix(BATCH_MAGIC.as_slice())?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (check, rest) = rest.split_first_chunk::<4>()?;
    let tags = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    if tags == 0 || tags > MAX_BATCH_TAGS {
        return None;
    }
    let (bodies, after) = rest.split_at_checked(tags * TAG_BYTES)?;
    let sound = crc32(&[count, number, bodies]) == u32::from_le_bytes(*check);
    sound.then_some((
        Batch {
            number: u64::from_le_bytes(*number),
            bodies,
        },
        after,
    ))
}

/// Whether what follows the last whole batch can be what a crash left of one more: not more than
/// one batch has, and no later batch in it.
fn is_torn_tail(rest: &[u8], next: u64) -> bool {
    if rest.len() > BATCH_HEADER_BYTES + MAX_BATCH_TAGS * TAG_BYTES {
        return false;
    }
    let later = |at: usize| {
        let batch = rest.get(at..).and_then(read_batch);
        batch.is_some_and(|(batch, _)| batch.number >= next)
    };
    !(0..rest.len()).any(later)
}

/// CRC-32 (IEEE 802.3, reflected) over the concatenation: it finds torn and rotten data, and is
/// no protection against somebody who writes to our disk.
pub(in crate::state) fn crc32(parts: &[&[u8]]) -> u32 {
    let mut crc = u32::MAX;
    for byte in parts.iter().copied().flatten() {
        let index = (crc ^ u32::from(*byte)) & 0xff;
        crc = (crc >> 8) ^ TABLE[index as usize];
    }
    !crc
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    const EPOCH: Epoch = Epoch::new(7);
    const KEY: [u8; 32] = [9; 32];

    fn file(batches: &[Vec<[u8; 32]>]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = encode_header(EPOCH, &KEY);
        let mut ends = vec![bytes.len()];
        for (number, tags) in batches.iter().enumerate() {
            let tags: Vec<ReplayTag> = tags.iter().copied().map(ReplayTag::new).collect();
            encode_batch(number as u64, &tags, &mut bytes);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn batches() -> impl Strategy<Value = Vec<Vec<[u8; 32]>>> {
        proptest::collection::vec(proptest::collection::vec(any::<[u8; 32]>(), 1..5), 1..5)
    }

    #[test]
    fn crc_is_the_common_one() {
        assert_eq!(crc32(&[b"123456789"]), 0xcbf4_3926);
        assert_eq!(crc32(&[b"1234", b"56789"]), 0xcbf4_3926);
    }

    #[test]
    fn another_key_is_told_from_damage() {
        let (bytes, _) = file(&[]);
        assert_eq!(read(&bytes, Epoch::new(8), &KEY).unwrap_err(), Fault::Key);
        assert_eq!(read(&bytes, EPOCH, &[1; 32]).unwrap_err(), Fault::Key);
        assert_eq!(read(&bytes[..51], EPOCH, &KEY).unwrap_err(), Fault::Header);
    }

    proptest! {
        #[test]
        fn a_crash_loses_nothing_that_was_flushed(batches in batches(), cut in any::<prop::sample::Index>()) {
            let (bytes, ends) = file(&batches);
            // The last batch was being written: it is there in part.
            let last = ends[ends.len() - 2];
            let cut = last + cut.index(bytes.len() - last);
            let decoded = read(&bytes[..cut], EPOCH, &KEY).unwrap();
            let flushed: Vec<[u8; 32]> = batches[..batches.len() - 1].concat();
            let found: Vec<[u8; 32]> = decoded.tags.iter().map(|tag| *tag.as_bytes()).collect();
            prop_assert_eq!(found, flushed);
            prop_assert_eq!(decoded.length, last);
        }

        #[test]
        fn a_torn_batch_may_have_holes(batches in batches(), from in any::<prop::sample::Index>()) {
            let (mut bytes, ends) = file(&batches);
            let last = ends[ends.len() - 2];
            let from = last + from.index(bytes.len() - last);
            bytes[from..].fill(0);
            let decoded = read(&bytes, EPOCH, &KEY).unwrap();
            prop_assert!(decoded.length == last || decoded.length == bytes.len());
        }

        #[test]
        fn damage_before_the_last_batch_is_found(
            batches in proptest::collection::vec(
                proptest::collection::vec(any::<[u8; 32]>(), 1..5), 2..5),
            at in any::<prop::sample::Index>(),
            flip in 1u8..,
        ) {
            let (mut bytes, ends) = file(&batches);
            let at = at.index(ends[ends.len() - 2]);
            bytes[at] ^= flip;
            prop_assert!(read(&bytes, EPOCH, &KEY).is_err());
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, header: bool) {
            let mut all = if header { file(&[]).0 } else { Vec::new() };
            all.extend_from_slice(&bytes);
            let _ = read(&all, EPOCH, &KEY);
        }
    }
}
