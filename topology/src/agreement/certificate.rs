//! The end of a height: that more than two thirds of the seats hold to one document.

use shoal_proto::DocumentHash;

use super::height::Height;
use super::seats::{Seat, Seats};
use super::vote::{
    MessageError, Reader, SIGNATURE, Signatures, Vote, VoteKind, check, put_signatures,
};
use crate::Identity;

/// Precommits of one round for one document, of more than two thirds of the seats. It proves to anybody
/// who knows the seats that the document is the height's; there is none for another, as long as fewer than
/// a third are dishonest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The height.
    pub height: Height,
    /// The round that decided.
    pub round: u32,
    /// The document.
    pub document: DocumentHash,
    /// By seat, ascending.
    pub(super) signatures: Signatures,
}

impl Certificate {
    /// From the votes of a round, as many as there are for this document.
    pub(super) fn of<'a>(
        (height, round, document): (Height, u32, DocumentHash),
        votes: impl IntoIterator<Item = &'a Vote>,
    ) -> Self {
        let counts = |vote: &&Vote| {
            (vote.kind, vote.height, vote.round, vote.document)
                == (VoteKind::Precommit, height, round, Some(document))
        };
        let votes = votes.into_iter().filter(counts);
        let mut signatures: Vec<_> = votes.map(|vote| (vote.seat, vote.signature)).collect();
        signatures.sort_unstable();
        signatures.dedup_by_key(|(seat, _)| *seat);
        Self {
            height,
            round,
            document,
            signatures,
        }
    }

    /// As these seats sign it with these keys: for networks that exist in memory only.
    pub(crate) fn sign(
        seats: &Seats,
        (height, round, document): (Height, u32, DocumentHash),
        signers: &[(Seat, &Identity)],
    ) -> Self {
        let place = (VoteKind::Precommit, height, round);
        let sign = |(seat, identity): &(Seat, &Identity)| {
            Vote::sign(seats, identity, place, Some(document), *seat)
        };
        let votes: Vec<Vote> = signers.iter().map(sign).collect();
        Self::of((height, round, document), &votes)
    }

    /// The seats that signed, ascending.
    pub fn seats(&self) -> impl Iterator<Item = Seat> + '_ {
        self.signatures.iter().map(|(seat, _)| *seat)
    }

    /// The encoding: height 8, round 4, document 32, how many 2, and of each seat 2 and its signature 64.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(46 + self.signatures.len() * (2 + SIGNATURE));
        bytes.extend_from_slice(&self.height.number().to_be_bytes());
        bytes.extend_from_slice(&self.round.to_be_bytes());
        bytes.extend_from_slice(self.document.as_bytes());
        put_signatures(&mut bytes, &self.signatures);
        bytes
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        let (height, round) = reader.place()?;
        let document = DocumentHash::new(*reader.take()?);
        Ok(Self {
            height,
            round,
            document,
            signatures: reader.signatures()?,
        })
    }

    /// Reads an encoding, of which each certificate has one.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader(bytes);
        let certificate = Self::read(&mut reader)?;
        reader.end()?;
        Ok(certificate)
    }

    /// Whether more than two thirds of these seats have signed. Each signature counts: one that is wrong makes the whole wrong, so that nobody can have us check
    /// many in vain and still pass it on. Takes about 50 µs for each.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn verify(&self, seats: &Seats) -> Result<(), MessageError> {
        let (needed, found) = (seats.quorum(), self.signatures.len());
        if found < needed {
            return Err(MessageError::Quorum { needed, found });
        }
        for (seat, signature) in &self.signatures {
            let vote = Vote {
                kind: VoteKind::Precommit,
                height: self.height,
                round: self.round,
                document: Some(self.document),
                seat: *seat,
                signature: *signature,
            };
            check(seats, *seat, &vote.body(), signature)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Message;
    use super::super::seats::tests::seats;
    use super::*;

    #[test]
    fn it_takes_more_than_two_thirds_and_no_signature_of_another() {
        let (seats, identities) = seats(7);
        let document = DocumentHash::new([5; 32]);
        let place = (Height::new(7), 1, document);
        let votes: Vec<Vote> = seats
            .all()
            .zip(&identities)
            .map(|(seat, identity)| {
                let place = (VoteKind::Precommit, Height::new(7), 1);
                Vote::sign(&seats, identity, place, Some(document), seat)
            })
            .collect();
        for count in 0..=7 {
            let certificate = Certificate::of(place, &votes[..count]);
            let message = Message::Certificate(certificate);
            let read = Message::decode(&message.encode()).unwrap();
            assert_eq!(read, message);
            assert_eq!(read.verify(&seats).is_ok(), count >= 5, "{count}");
        }
        // Votes for something else, of another round, and the same one twice are not counted.
        let other = Vote::sign(
            &seats,
            &identities[5],
            (VoteKind::Prevote, Height::new(7), 1),
            Some(document),
            Seat(5),
        );
        let few = [&votes[..4], &[votes[0].clone(), other]].concat();
        assert_eq!(Certificate::of(place, &few).seats().count(), 4);
        let mut forged = Certificate::of(place, &votes[..5]);
        forged.signatures[4].0 = Seat(6);
        let forged = Message::Certificate(forged).verify(&seats);
        assert_eq!(forged.err(), Some(MessageError::Signature));
    }
}
