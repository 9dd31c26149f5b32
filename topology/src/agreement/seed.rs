//! What the members of a term and the order of proposers are drawn by: a chain of VRF outputs of the
//! proposers whose documents were decided, as in Algorand.
//!
//! ```text
//! network ──> Seed ── height ──> input ── key ──> VrfProof ──> VrfOutput ── height ──> next Seed ──> …
//! ```
//!
//! The input is the last seed and the height, never the round, so a member has one output for a height,
//! however often it is its turn. A document carries the [`Reveal`] of the proposer who made it and keeps
//! it when others propose it again: else who comes later could choose between that output and its own.
//! What choice withholding leaves is computed in `docs/directory/seats.md`.

use std::fmt;

use shoal_proto::NetworkHash;

use super::height::Height;
use super::seats::Seat;
use super::vrf::{VrfKey, VrfOutput, VrfProof, VrfPublic};
use crate::canonical::Canonical;

/// What is drawn by it nobody could choose. Everybody knows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed([u8; 32]);

impl Seed {
    /// From its bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The first of a network. Who writes the network's file can try many: it gives nothing but who
    /// proposes first, as long as the members whom the file names all sit.
    #[must_use]
    pub fn first(network: &NetworkHash) -> Self {
        let first = Canonical::new("shoal first seed 1").bytes(network.as_bytes());
        Self(first.finish())
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the proposers of the height after this seed prove.
    #[must_use]
    pub fn input(&self, height: Height) -> [u8; 32] {
        Canonical::new("shoal seed input 1")
            .bytes(&self.0)
            .number(height.number())
            .finish()
    }

    /// The seed after this height, whose document had this output. The proof is no part of it: there
    /// can be several.
    #[must_use]
    pub fn next(&self, height: Height, output: &VrfOutput) -> Self {
        let next = Canonical::new("shoal seed 1")
            .bytes(&self.0)
            .number(height.number())
            .bytes(output.as_bytes());
        Self(next.finish())
    }

    /// Where something comes in a draw: whoever ranks lowest is drawn first. Uniform among things that
    /// were fixed before the seed was known.
    pub(crate) fn rank(&self, draw: &str, thing: &[u8]) -> [u8; 32] {
        Canonical::new("shoal draw 1")
            .bytes(draw.as_bytes())
            .bytes(&self.0)
            .bytes(thing)
            .finish()
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Seed({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// What a document says for the next seed: its first proposer's proof, and the round whose proposer that
/// was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reveal {
    /// The round in which the document was proposed first.
    pub round: u32,
    /// Of the proposer of that round.
    pub proof: VrfProof,
}

impl Reveal {
    /// For a document that is made now.
    #[must_use]
    pub fn new(key: &VrfKey, last: &Seed, (height, round): (Height, u32)) -> Self {
        let proof = key.prove(&last.input(height));
        Self { round, proof }
    }

    /// Whose proof it has to be. `order` is that of [`Seats::proposers`](super::Seats::proposers), and
    /// is not empty.
    #[must_use]
    pub fn proposer(&self, order: &[Seat]) -> Seat {
        super::machine::proposer(order, self.round)
    }

    /// The next seed, if this is the proof of who has this key: the [`proposer`](Self::proposer), by the
    /// document in which its key stood before the last seed was known.
    #[must_use]
    pub fn verify(&self, last: &Seed, height: Height, key: &VrfPublic) -> Option<Seed> {
        let output = self.proof.verify(key, &last.input(height))?;
        Some(last.next(height, &output))
    }

    /// Whether a proposal of this round may be for the document that has this. A new document is of the
    /// round that it is proposed in; one that is proposed again, because more than two thirds of the
    /// seats prevoted it in round `locked`, is of that round or one before. Without this a proposer could
    /// take whichever output it likes best of those that were shown in earlier rounds.
    #[must_use]
    pub const fn fits(&self, round: u32, locked: Option<u32>) -> bool {
        fits(self.round, round, locked)
    }
}

/// See [`Reveal::fits`]; `made` is the round of the reveal.
pub(super) const fn fits(made: u32, round: u32, locked: Option<u32>) -> bool {
    match locked {
        None => made == round,
        Some(locked) => made <= locked && locked < round,
    }
}

#[cfg(test)]
mod tests {
    use super::super::seats::tests::seats;
    use super::*;

    const HEIGHT: Height = Height::new(7);

    fn last() -> Seed {
        Seed::first(&NetworkHash::new([1; 32]))
    }

    #[test]
    fn the_next_seed_is_the_output_of_who_was_to_propose() {
        let key = VrfKey::from_bytes(&[1; 32]);
        let reveal = Reveal::new(&key, &last(), (HEIGHT, 0));
        let next = reveal.verify(&last(), HEIGHT, &key.public()).unwrap();
        let output = reveal.proof.verify(&key.public(), &last().input(HEIGHT));
        assert_eq!(next, last().next(HEIGHT, &output.unwrap()));
        // Not for another height, after another seed, or by somebody else.
        assert_eq!(reveal.verify(&last(), HEIGHT.next(), &key.public()), None);
        assert_eq!(reveal.verify(&next, HEIGHT, &key.public()), None);
        let other = VrfKey::from_bytes(&[2; 32]);
        assert_eq!(reveal.verify(&last(), HEIGHT, &other.public()), None);
        let others = Reveal::new(&other, &last(), (HEIGHT, 0));
        assert_ne!(others.verify(&last(), HEIGHT, &other.public()), Some(next));
        assert_ne!(
            last().next(
                HEIGHT.next(),
                &key.prove(b"").verify(&key.public(), b"").unwrap()
            ),
            next
        );
    }

    #[test]
    fn another_turn_gives_no_other_output_and_who_proposes_again_keeps_the_first() {
        let (seats, _) = seats(7);
        let order = seats.proposers(&last());
        let keys: Vec<VrfKey> = (0..7).map(|byte| VrfKey::from_bytes(&[byte; 32])).collect();
        let of = |seat: Seat| &keys[usize::from(seat.0)];
        let made_in =
            |round: u32| Reveal::new(of(order[round as usize % 7]), &last(), (HEIGHT, round));
        let seed = |reveal: &Reveal| {
            let key = of(reveal.proposer(&order)).public();
            reveal.verify(&last(), HEIGHT, &key)
        };
        let first = made_in(1);
        assert_eq!(first.proposer(&order), order[1]);
        assert!(seed(&first).is_some());
        assert_eq!(
            seed(&made_in(8)),
            seed(&first),
            "the same proposer, a second turn"
        );
        assert_ne!(seed(&made_in(2)), seed(&first));
        // Who says that it made it in its own round has to prove it with its own key.
        let stolen = Reveal {
            round: 2,
            ..first.clone()
        };
        assert_eq!(seed(&stolen), None);
    }

    #[test]
    fn a_document_of_an_earlier_round_is_proposed_only_under_a_lock() {
        let key = VrfKey::from_bytes(&[1; 32]);
        let reveal = Reveal::new(&key, &last(), (HEIGHT, 3));
        let fitting: Vec<(u32, Option<u32>)> = (0..7)
            .flat_map(|round| {
                let locks = (0..7).map(Some).chain([None]);
                locks.map(move |locked| (round, locked))
            })
            .filter(|(round, locked)| reveal.fits(*round, *locked))
            .collect();
        let (three, four, five) = (Some(3), Some(4), Some(5));
        let expected = [
            (3, None),
            (4, three),
            (5, three),
            (5, four),
            (6, three),
            (6, four),
            (6, five),
        ];
        assert_eq!(fitting, expected);
    }

    #[test]
    fn draws_do_not_depend_on_each_other() {
        let ranks = [("a", "b"), ("b", "a"), ("ab", ""), ("", "ab")];
        let mut ranks =
            Vec::from_iter(ranks.map(|(draw, thing)| last().rank(draw, thing.as_bytes())));
        ranks.push(Seed::new([0; 32]).rank("a", b"b"));
        ranks.sort_unstable();
        ranks.dedup();
        assert_eq!(ranks.len(), 5);
    }
}
