//! The rows of places.

use shoal_proto::Time;
use zeroize::Zeroizing;

use super::Change;
use super::codec::{Fault, Reader, Writer};
use crate::table::Table;

/// Who writes to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Contacts, who are told when it moves.
    Contacts,
    /// Who has an invitation.
    Strangers,
    /// Both: its providers are the user's choice.
    All,
}

/// How far a place has come in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The tokens that open its mailboxes are being got; no mailbox knows of it.
    Buying,
    /// They are here.
    Bought,
    /// Its mailboxes are being opened; nobody knows it.
    Opening,
    /// They are open. The place before it has lost a part of its share, and this one does not have it yet: who
    /// serves both does not see the one go down when the other goes up.
    Ready,
    /// It is given out.
    Open,
    /// It is not given out any more, and keeps a part of its share for a while.
    Fading,
    /// It is read for those who do not know its successor.
    Left,
    /// It takes nothing more, and is read until it is empty.
    Closing,
}

/// A row of [`Table::Place`](crate::Table::Place); its key is the place's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlaceRow {
    pub(crate) audience: Audience,
    pub(crate) stage: Stage,
    /// When it was made; once it is given out, since when it has been.
    pub(crate) made: Time,
    /// When it is looked at next: drawn when the time before had come.
    pub(crate) next: Time,
    /// When it ends at the latest, once it is left.
    pub(crate) until: Time,
}

impl Audience {
    pub(crate) const fn has_contacts(self) -> bool {
        matches!(self, Self::Contacts | Self::All)
    }

    pub(crate) const fn has_strangers(self) -> bool {
        matches!(self, Self::Strangers | Self::All)
    }

    /// Whether places of both are for some of the same people.
    pub(crate) const fn meets(self, other: Self) -> bool {
        (self.has_contacts() && other.has_contacts())
            || (self.has_strangers() && other.has_strangers())
    }
}

impl PlaceRow {
    /// Whether it is on its way to be given out.
    pub(crate) const fn is_coming(&self) -> bool {
        matches!(
            self.stage,
            Stage::Buying | Stage::Bought | Stage::Opening | Stage::Ready
        )
    }

    /// The row of this number to save.
    pub(crate) fn saved(&self, number: u32) -> Change {
        Change::put(Table::Place, Self::key(number), self.encode())
    }

    pub(crate) fn key(number: u32) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    pub(crate) fn decode_key(key: &[u8]) -> Result<u32, Fault> {
        let mut reader = Reader::key(key);
        let number = u32::from_be_bytes(*reader.take()?);
        reader.end()?;
        Ok(number)
    }

    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let audience = match self.audience {
            Audience::Contacts => 0,
            Audience::Strangers => 1,
            Audience::All => 2,
        };
        let stage = match self.stage {
            Stage::Opening => 0,
            Stage::Open => 1,
            Stage::Left => 2,
            Stage::Closing => 3,
            Stage::Buying => 4,
            Stage::Bought => 5,
            Stage::Ready => 6,
            Stage::Fading => 7,
        };
        let writer = Writer::new().bytes(&[audience, stage]).time(self.made);
        writer.time(self.next).time(self.until).done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let [audience, stage] = *reader.take()?;
        let row = Self {
            audience: match audience {
                0 => Audience::Contacts,
                1 => Audience::Strangers,
                2 => Audience::All,
                _ => return Err("unknown audience"),
            },
            stage: match stage {
                0 => Stage::Opening,
                1 => Stage::Open,
                2 => Stage::Left,
                3 => Stage::Closing,
                4 => Stage::Buying,
                5 => Stage::Bought,
                6 => Stage::Ready,
                7 => Stage::Fading,
                _ => return Err("unknown stage of a place"),
            },
            made: reader.time()?,
            next: reader.time()?,
            until: reader.time()?,
        };
        reader.end()?;
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_round_trip() {
        let all = [Audience::Contacts, Audience::Strangers, Audience::All];
        let stages = [
            Stage::Fading,
            Stage::Buying,
            Stage::Bought,
            Stage::Opening,
            Stage::Ready,
            Stage::Open,
            Stage::Left,
            Stage::Closing,
        ];
        for (audience, stage) in all
            .into_iter()
            .flat_map(|it| stages.map(|stage| (it, stage)))
        {
            let row = PlaceRow {
                audience,
                stage,
                made: Time::from_micros(1),
                next: Time::from_micros(2),
                until: Time::MAX,
            };
            let bytes = row.encode();
            assert_eq!(PlaceRow::decode(&bytes), Ok(row));
            for at in 1..=2 {
                let mut bytes = bytes.clone();
                bytes[at] = 9;
                assert!(PlaceRow::decode(&bytes).is_err());
            }
            assert!(PlaceRow::decode(&bytes[1..]).is_err());
        }
        assert_eq!(PlaceRow::decode_key(&PlaceRow::key(7)), Ok(7));
    }
}
