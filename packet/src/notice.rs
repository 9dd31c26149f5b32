//! What a provider has to say to its clients, in frames of the last link: in pieces, each of which takes the place of
//! filler.
//!
//! ```text
//! identifier 16, zeros │ random 332 │ number 8 │ piece 1 │ of 1 │ length 2 │ bytes │ random
//! ```
//!
//! To everybody but the client such a frame is like any other. What is said is the same for all clients.

use rand::CryptoRng;
use shoal_proto::SurbId;
use shoal_proto::size::PAYLOAD_BYTES;

use crate::Frame;
use crate::packet::Payload;

/// Number, piece, how many, length.
const HEAD: usize = 8 + 1 + 1 + 2;
/// Most bytes of a notice in one frame.
const PIECE: usize = PAYLOAD_BYTES - HEAD;
/// Most pieces of a notice.
const MOST: usize = 32;
/// Most bytes of a notice: 65,152.
pub const MAX_NOTICE_BYTES: usize = MOST * PIECE;

/// A part of a notice that fits into a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticePiece {
    number: u64,
    piece: u8,
    of: u8,
    bytes: Vec<u8>,
}

impl NoticePiece {
    /// The pieces of a notice with a number that no other has had lately. None of a notice without bytes, or one of more
    /// than [`MAX_NOTICE_BYTES`].
    #[must_use]
    pub fn all(number: u64, notice: &[u8]) -> Vec<Self> {
        if notice.len() > MAX_NOTICE_BYTES {
            return Vec::new();
        }
        let of = u8::try_from(notice.len().div_ceil(PIECE)).unwrap_or(u8::MAX);
        let pieces = notice.chunks(PIECE).zip(0_u8..);
        let piece = |(bytes, piece): (&[u8], u8)| Self {
            number,
            piece,
            of,
            bytes: bytes.to_vec(),
        };
        pieces.map(piece).collect()
    }

    /// The frame that carries it.
    #[must_use]
    pub fn frame<R: CryptoRng + ?Sized>(&self, rng: &mut R, epoch_byte: u8) -> Frame {
        let mut bytes = [0; PAYLOAD_BYTES];
        rng.fill_bytes(&mut bytes);
        let length = u16::try_from(self.bytes.len()).unwrap_or(u16::MAX);
        let head = [
            &self.number.to_be_bytes()[..],
            &[self.piece, self.of],
            &length.to_be_bytes(),
            &self.bytes,
        ];
        let said = head.concat();
        bytes
            .iter_mut()
            .zip(&said)
            .for_each(|(place, byte)| *place = *byte);
        let zeros = SurbId::new([0; SurbId::BYTES]);
        match Payload::from_bytes(&bytes) {
            Ok(payload) => Frame::last_link(rng, epoch_byte, zeros, payload),
            // It has the length of one.
            Err(_) => Frame::filler(rng, epoch_byte),
        }
    }

    /// The piece in a frame of the last link, if it carries one.
    #[must_use]
    pub fn of(frame: &Frame) -> Option<Self> {
        if *frame.last_link_id().as_bytes() != [0; SurbId::BYTES] {
            return None;
        }
        let payload = frame.as_bytes().last_chunk::<PAYLOAD_BYTES>()?;
        let (number, rest) = payload.split_first_chunk()?;
        let ([piece, of], rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let bytes = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
        let fits = piece < of && usize::from(*of) <= MOST && !bytes.is_empty();
        fits.then(|| Self {
            number: u64::from_be_bytes(*number),
            piece: *piece,
            of: *of,
            bytes: bytes.to_vec(),
        })
    }
}

/// Puts pieces together. Memory: one notice.
#[derive(Debug, Default)]
pub struct NoticePieces {
    number: u64,
    of: u8,
    /// By piece.
    pieces: std::collections::BTreeMap<u8, Vec<u8>>,
}

impl NoticePieces {
    /// Takes a piece, and gives the notice if it was the last that lacked. A piece of another notice takes the place of
    /// what was there.
    pub fn take(&mut self, piece: NoticePiece) -> Option<Vec<u8>> {
        if (self.number, self.of) != (piece.number, piece.of) {
            (self.number, self.of) = (piece.number, piece.of);
            self.pieces.clear();
        }
        self.pieces.insert(piece.piece, piece.bytes);
        if self.pieces.len() < usize::from(self.of) {
            return None;
        }
        let pieces = std::mem::take(&mut self.pieces);
        Some(pieces.into_values().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rand::SeedableRng as _;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    fn carried(piece: &NoticePiece) -> NoticePiece {
        let mut rng = ChaCha20Rng::seed_from_u64(piece.piece.into());
        let frame = piece.frame(&mut rng, 7);
        assert_eq!(frame.epoch_byte(), 7);
        NoticePiece::of(&frame).unwrap()
    }

    #[test]
    fn a_notice_comes_together_in_any_order() {
        for length in [1, PIECE - 1, PIECE, PIECE + 1, 18_000, MAX_NOTICE_BYTES] {
            let notice: Vec<u8> = (0..length).map(|byte| (byte % 251) as u8).collect();
            let pieces = NoticePiece::all(9, &notice);
            assert_eq!(pieces.len(), length.div_ceil(PIECE));
            let mut gather = NoticePieces::default();
            let mut got = Vec::new();
            for piece in pieces.iter().rev() {
                assert_eq!(carried(piece), *piece);
                got.extend(gather.take(carried(piece)));
            }
            assert_eq!(got, [notice]);
        }
        assert!(NoticePiece::all(9, &[]).is_empty());
        assert!(NoticePiece::all(9, &vec![1; MAX_NOTICE_BYTES + 1]).is_empty());
    }

    #[test]
    fn another_notice_takes_the_place_of_half_of_one() {
        let first = NoticePiece::all(1, &vec![1; 2 * PIECE]);
        let second = NoticePiece::all(2, &vec![2; 2 * PIECE]);
        let mut gather = NoticePieces::default();
        assert_eq!(gather.take(first[0].clone()), None);
        assert_eq!(gather.take(second[1].clone()), None);
        assert_eq!(gather.take(first[1].clone()), None);
        assert_eq!(gather.take(second[0].clone()), None);
        assert_eq!(gather.take(second[1].clone()), Some(vec![2; 2 * PIECE]));
    }

    #[test]
    fn filler_and_nonsense_are_no_pieces() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for _ in 0..100 {
            assert_eq!(NoticePiece::of(&Frame::filler(&mut rng, 1)), None);
        }
        for (piece, of, length) in [
            (1, 1, 5_u16),
            (0, 0, 5),
            (0, 33, 5),
            (0, 1, 0),
            (0, 1, 2037),
        ] {
            let mut bytes = [0; PAYLOAD_BYTES];
            bytes[8..10].copy_from_slice(&[piece, of]);
            bytes[10..12].copy_from_slice(&length.to_be_bytes());
            let payload = Payload::from_bytes(&bytes).unwrap();
            let zeros = SurbId::new([0; SurbId::BYTES]);
            let frame = Frame::last_link(&mut rng, 1, zeros, payload);
            assert_eq!(NoticePiece::of(&frame), None, "{piece} {of} {length}");
        }
    }
}
