//! A piece of a file as it goes to another daemon across the mixnet, and what is said of pieces that are there.
//!
//! Without gaps, numbers big-endian. A piece: 1 (1 byte), the file's id (16), the number of the piece from 0 (2), how many
//! bytes the file has (4), and the piece to the end. All pieces one after the other are a head and what is in the file. The
//! head: BLAKE2b-256 of what is in the file (32), the length of its name (1), its name in UTF-8 and zeros up to 255 bytes.
//! Each piece but the last has [`PIECE_BYTES`]. What is said of them: 2 (1 byte), the file's id (16), and 32 bytes of which
//! the bits say which pieces are on the disk of who says it, the highest bit of the first byte for piece 0.

use blake2::digest::consts::U32;
use blake2::{Blake2b, Blake2s256, Digest as _};
use shoal_client::MAX_TEXT_BYTES;
use zeroize::Zeroizing;

use crate::control::protocol::MAX_FILE_BYTES;

const PIECE: u8 = 1;
const HAVE: u8 = 2;
/// Bytes of the program's tag, which come before it.
const TAG: usize = 1;
const FRAME: usize = 1 + 16 + 2 + 4;

/// Longest name of a file, in bytes.
pub(crate) const MAX_NAME: usize = 255;
const HASH: usize = 32;
/// Bytes of a file's head.
const HEAD: usize = HASH + 1 + MAX_NAME;

/// Bytes of each piece but the last: 74,792, which are as many as a message has room for.
pub(crate) const PIECE_BYTES: usize = MAX_TEXT_BYTES - TAG - FRAME;

/// A piece.
pub(super) struct Piece {
    /// The sender's id of the file.
    pub(super) id: [u8; 16],
    /// Its number, from 0.
    pub(super) number: u16,
    /// Bytes of the whole file: 0 to [`MAX_FILE_BYTES`].
    pub(super) size: u32,
    /// What it carries of head and file.
    pub(super) part: Zeroizing<Vec<u8>>,
}

impl Piece {
    /// Its bytes.
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(FRAME + self.part.len()));
        out.push(PIECE);
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend_from_slice(&self.part);
        out
    }

    /// The piece of these bytes; none if no sender makes such a one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, bytes) = bytes.split_first()?;
        let (id, bytes) = bytes.split_first_chunk()?;
        let (number, bytes) = bytes.split_first_chunk()?;
        let (size, part) = bytes.split_first_chunk()?;
        let (number, size) = (u16::from_be_bytes(*number), u32::from_be_bytes(*size));
        let sound = *kind == PIECE
            && size as usize <= MAX_FILE_BYTES
            && part.len() == part_bytes(size, number)?;
        sound.then(|| Self {
            id: *id,
            number,
            size,
            part: Zeroizing::new(part.to_vec()),
        })
    }
}

/// Which pieces of a file are on the disk of who says it.
pub(super) struct Have {
    /// The sender's id of the file.
    pub(super) id: [u8; 16],
    pieces: [u8; HAVE_BYTES],
}

/// Bits for each piece that there can be, and some more.
const HAVE_BYTES: usize = 32;

impl Have {
    pub(super) fn new(id: [u8; 16], pieces: impl Iterator<Item = u16>) -> Self {
        let mut own = Self {
            id,
            pieces: [0; HAVE_BYTES],
        };
        for piece in pieces {
            if let Some(byte) = own.pieces.get_mut(usize::from(piece / 8)) {
                *byte |= 0x80 >> (piece % 8);
            }
        }
        own
    }

    pub(super) fn has(&self, piece: u16) -> bool {
        let byte = self.pieces.get(usize::from(piece / 8));
        byte.is_some_and(|byte| byte & (0x80 >> (piece % 8)) != 0)
    }

    /// Its bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        [&[HAVE][..], &self.id, &self.pieces].concat()
    }

    /// What these bytes say; none if they say nothing of pieces.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, bytes) = bytes.split_first()?;
        let (id, bytes) = bytes.split_first_chunk()?;
        let pieces = bytes.try_into().ok()?;
        (*kind == HAVE).then_some(Self { id: *id, pieces })
    }
}

/// How many pieces a file of so many bytes has: 1 to 225.
pub(super) const fn count(size: u32) -> u16 {
    // Not more than 225, as the size is bounded.
    (HEAD + size as usize).div_ceil(PIECE_BYTES) as u16
}

/// How many bytes a piece has; none if there is no such piece.
fn part_bytes(size: u32, number: u16) -> Option<usize> {
    let whole = HEAD + size as usize;
    let before = usize::from(number) * PIECE_BYTES;
    (number < count(size)).then(|| PIECE_BYTES.min(whole.saturating_sub(before)))
}

/// What a file is called, and what its content has to be.
pub(super) struct Head {
    pub(super) hash: [u8; HASH],
    /// As the sender has it: it may be anything.
    pub(super) name: String,
}

impl Head {
    /// The head that the first piece of a file begins with; none if it is none.
    pub(super) fn of(first: &[u8]) -> Option<Self> {
        let (hash, rest) = first.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let name = rest.get(..usize::from(*length))?.to_vec();
        Some(Self {
            hash: *hash,
            name: String::from_utf8(name).ok()?,
        })
    }
}

/// A file that is cut: its pieces as they are sent.
pub(crate) struct Cut {
    pub(super) id: [u8; 16],
    pub(super) size: u32,
    pub(super) pieces: Vec<Zeroizing<Vec<u8>>>,
    /// Of its name and content.
    pub(super) digest: [u8; 32],
}

impl Cut {
    /// Of a file with this id, which is drawn for it; none if it or its name is too long. It takes some time.
    pub(crate) fn new(id: [u8; 16], name: &str, content: &[u8]) -> Option<Self> {
        let (size, pieces) = cut(id, name, content)?;
        let pieces = pieces.iter().map(Piece::encode).collect();
        let digest = Blake2s256::new()
            .chain_update(hash(content))
            .chain_update(name.as_bytes())
            .finalize();
        Some(Self {
            id,
            size,
            pieces,
            digest: digest.into(),
        })
    }
}

/// Cuts a file; none if it or its name is too long.
pub(super) fn cut(id: [u8; 16], name: &str, content: &[u8]) -> Option<(u32, Vec<Piece>)> {
    let size = u32::try_from(content.len()).ok()?;
    if content.len() > MAX_FILE_BYTES {
        return None;
    }
    let length = u8::try_from(name.len()).ok()?;
    let mut whole = Zeroizing::new(Vec::with_capacity(HEAD + content.len()));
    whole.extend_from_slice(&hash(content));
    whole.push(length);
    whole.extend_from_slice(name.as_bytes());
    whole.resize(HEAD, 0);
    whole.extend_from_slice(content);
    let pieces = (0..).zip(whole.chunks(PIECE_BYTES)).map(|(number, part)| {
        let part = Zeroizing::new(part.to_vec());
        Piece {
            id,
            number,
            size,
            part,
        }
    });
    Some((size, pieces.collect()))
}

/// What is in the file of these parts, if it is what its head says.
pub(super) fn join(parts: &[Zeroizing<Vec<u8>>]) -> Option<Zeroizing<Vec<u8>>> {
    let head = Head::of(parts.first()?)?;
    let length = parts.iter().map(|part| part.len()).sum();
    let mut whole = Zeroizing::new(Vec::with_capacity(length));
    for part in parts {
        whole.extend_from_slice(part);
    }
    let content = Zeroizing::new(whole.get(HEAD..)?.to_vec());
    (hash(&content) == head.hash).then_some(content)
}

fn hash(content: &[u8]) -> [u8; HASH] {
    Blake2b::<U32>::digest(content).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn parts(pieces: Vec<Piece>) -> Vec<Zeroizing<Vec<u8>>> {
        pieces.into_iter().map(|piece| piece.part).collect()
    }

    #[test]
    fn files_of_every_size_are_cut_and_joined() {
        let edge = PIECE_BYTES - HEAD;
        for size in [0, 1, edge - 1, edge, edge + 1, 3 * PIECE_BYTES] {
            let content: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let (told, pieces) = cut([7; 16], "a name", &content).unwrap();
            assert_eq!(pieces.len(), usize::from(count(told)), "{size}");
            let mut read = Vec::new();
            for piece in &pieces {
                let bytes = piece.encode();
                assert!(bytes.len() + TAG <= MAX_TEXT_BYTES);
                let again = Piece::decode(&bytes).unwrap();
                assert_eq!((again.id, again.number), ([7; 16], piece.number));
                read.push(again.part);
            }
            assert_eq!(Head::of(&read[0]).unwrap().name, "a name");
            assert_eq!(**join(&read).unwrap(), content);
        }
    }

    #[test]
    fn the_largest_file_has_225_pieces_and_a_larger_one_none() {
        let most = vec![0; MAX_FILE_BYTES];
        let (size, pieces) = cut([0; 16], &"n".repeat(MAX_NAME), &most).unwrap();
        assert_eq!((pieces.len(), count(size)), (225, 225));
        assert!(cut([0; 16], "n", &vec![0; MAX_FILE_BYTES + 1]).is_none());
        assert!(cut([0; 16], &"n".repeat(MAX_NAME + 1), b"").is_none());
    }

    #[test]
    fn what_is_not_as_it_was_sent_is_not_joined() {
        let content = vec![5; 2 * PIECE_BYTES];
        let (_, pieces) = cut([0; 16], "n", &content).unwrap();
        let mut parts = parts(pieces);
        parts[1][9] ^= 1;
        assert!(join(&parts).is_none());
        parts[1][9] ^= 1;
        assert!(join(&parts).is_some());
        parts.swap(0, 1);
        assert!(join(&parts).is_none());
        assert!(join(&[]).is_none());
    }

    #[test]
    fn what_is_said_of_pieces_is_read() {
        let said = [0, 7, 8, 224];
        let bytes = Have::new([7; 16], said.into_iter()).encode();
        let have = Have::decode(&bytes).unwrap();
        assert_eq!(have.id, [7; 16]);
        let has: Vec<u16> = (0..300).filter(|piece| have.has(*piece)).collect();
        assert_eq!(has, said);
        assert!(Have::decode(&bytes[1..]).is_none() && Have::decode(&bytes[..48]).is_none());
        assert!(Piece::decode(&bytes).is_none());
    }

    #[test]
    fn what_no_sender_makes_is_no_piece() {
        let (_, pieces) = cut([0; 16], "n", b"content").unwrap();
        let good = pieces[0].encode();
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.to_vec();
            change(&mut bytes);
            Piece::decode(&bytes).is_none()
        };
        assert!(!refused(&|_| {}));
        assert!(refused(&|bytes| bytes[0] = 2), "another kind");
        assert!(refused(&|bytes| bytes[18] = 1), "there is no second");
        assert!(refused(&|bytes| bytes[22] += 1), "another size");
        assert!(refused(&|bytes| bytes[19] = 255), "too large");
        assert!(refused(&|bytes| bytes.push(0)));
        assert!(refused(&|bytes| bytes.truncate(bytes.len() - 1)));
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            for bytes in [bytes.clone(), [&[PIECE][..], &bytes].concat()] {
                let _ = Have::decode(&bytes);
                if let Some(piece) = Piece::decode(&bytes) {
                    let _ = Head::of(&piece.part);
                    let _ = join(&[piece.part]);
                }
            }
        }
    }
}
