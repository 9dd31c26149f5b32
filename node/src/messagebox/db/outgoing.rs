//! What was taken for several recipients at once, until the client role has it: the one commit that takes all of it or
//! nothing is here, and that of the client role is of each of them.

use std::collections::BTreeMap;

use shoal_client::PeerKey;
use shoal_proto::Time;
use zeroize::Zeroizing;

use super::super::parcel::Parcel;
use super::rows::{self, Leaving};
use super::{Batch, BoxDb, Outcome};
use crate::state::StateError;

/// Most parcels that wait for the client role, and their bytes.
const MOST: usize = 1024;
const MOST_BYTES: u64 = 64 << 20;

/// Parcels that the client role does not have yet.
#[derive(Default)]
pub(super) struct Outgoing(BTreeMap<u64, Leaving>);

impl Outgoing {
    pub(super) fn put(&mut self, number: u64, leaving: Leaving) {
        self.0.insert(number, leaving);
    }

    fn next(&self) -> u64 {
        let last = self.0.last_key_value();
        last.map_or(1, |(number, _)| number.saturating_add(1))
    }

    fn fits(&self, more: &[(u64, Leaving)]) -> bool {
        let all = || self.0.values().chain(more.iter().map(|(_, it)| it));
        all().count() <= MOST && all().map(|it| u64::from(it.bytes)).sum::<u64>() <= MOST_BYTES
    }
}

/// Where a parcel of a request goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::messagebox) enum To {
    /// A box here.
    Here,
    /// A contact.
    Contact(PeerKey),
}

impl BoxDb {
    /// Takes all of these, the user's own, or none: with the outcome of the first that is in the way. When this
    /// returns, they survive a crash. Gives the numbers of those that are in a box here, by their place among all.
    #[expect(
        clippy::type_complexity,
        reason = "a refusal and a fault of the disk are told apart"
    )]
    pub(in crate::messagebox) fn take_all(
        &mut self,
        parcels: &[(To, Parcel)],
        now: Time,
    ) -> Result<Result<Vec<(usize, u64)>, (usize, Outcome)>, StateError> {
        let mut batch = Batch::default();
        let mut here = Vec::new();
        for (place, (to, parcel)) in parcels.iter().enumerate() {
            match to {
                To::Here => match self.add(&mut batch, None, parcel, (now, now)) {
                    Outcome::Stored(number) => here.push((place, number)),
                    refused => return Ok(Err((place, refused))),
                },
                To::Contact(contact) => {
                    let hash = parcel.hash(true);
                    if self.knows(&batch, &hash) {
                        return Ok(Err((place, Outcome::Duplicate)));
                    }
                    self.remember(&mut batch, hash);
                    let Some(data) = parcel.encode() else {
                        return Ok(Err((place, Outcome::Full)));
                    };
                    let number = self.outgoing.next() + batch.outgoing.len() as u64;
                    let leaving = Leaving {
                        to: *contact,
                        since: now,
                        bytes: u32::try_from(data.len()).unwrap_or(u32::MAX),
                    };
                    batch.outgoing.push((number, leaving));
                    if !self.outgoing.fits(&batch.outgoing) {
                        return Ok(Err((place, Outcome::Full)));
                    }
                    batch.changes.extend(rows::outgoing(number, &leaving, data));
                }
            }
        }
        self.commit(batch)?;
        Ok(Ok(here))
    }

    /// The numbers of all that the client role does not have yet.
    pub(in crate::messagebox) fn leaving(&self) -> Vec<u64> {
        self.outgoing.0.keys().copied().collect()
    }

    /// One of them: to whom, since when, and what.
    #[expect(clippy::type_complexity, reason = "they go on one by one")]
    pub(in crate::messagebox) fn parcel(
        &self,
        number: u64,
    ) -> Result<Option<(PeerKey, Time, Zeroizing<Vec<u8>>)>, StateError> {
        let Some(leaving) = self.outgoing.0.get(&number) else {
            return Ok(None);
        };
        let data = self.rows.get(rows::PARCEL, &number.to_be_bytes())?;
        let data =
            data.ok_or_else(|| self.rows.corrupt("a message that is to be sent is missing"))?;
        Ok(Some((leaving.to, leaving.since, data)))
    }

    /// The client role has it, or it is given up.
    pub(in crate::messagebox) fn left(&mut self, number: u64) -> Result<(), StateError> {
        self.rows.apply(&rows::not_outgoing(number))?;
        self.outgoing.0.remove(&number);
        self.rows.forget()
    }
}
