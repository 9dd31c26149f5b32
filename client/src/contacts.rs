//! Who this client has written to: the next number of a message to each, and the drop id for their
//! answers.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::IndexedRandom as _;
use rand::{CryptoRng, RngExt as _};

use crate::error::ClientError;
use crate::keys::PeerKey;
use crate::rows::{Change, ContactRow, Row};
use crate::sets::CONTACT_IDS;
use crate::table::Table;

/// All contacts, by key.
#[derive(Default)]
pub(crate) struct Contacts {
    rows: BTreeMap<PeerKey, ContactRow>,
}

/// What the next message to a contact takes.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Its number, from 0.
    pub(crate) number: u64,
    /// The number of the drop id for answers.
    pub(crate) drop: u16,
    /// The contact gets a drop id that another one has as well.
    pub(crate) shared: bool,
}

impl Contacts {
    pub(crate) fn restore(&mut self, rows: &[Row]) -> Result<(), ClientError> {
        for row in rows.iter().filter(|row| row.table == Table::Contact) {
            let key = ContactRow::decode_key(&row.key).map_err(|e| row.fault(e))?;
            let contact = ContactRow::decode(&row.value).map_err(|e| row.fault(e))?;
            self.rows.insert(key, contact);
        }
        Ok(())
    }

    /// Whether this client has written to somebody.
    pub(crate) fn contains(&self, contact: &PeerKey) -> bool {
        self.rows.contains_key(contact)
    }

    /// What the next message to a contact takes. A drop id stays the contact's. It is drawn, so that
    /// contacts of whom an old copy was restored meet by chance only what was given out since.
    pub(crate) fn plan<R: CryptoRng>(&self, contact: &PeerKey, rng: &mut R) -> Plan {
        if let Some(known) = self.rows.get(contact) {
            return Plan {
                number: known.sequence,
                drop: known.drop,
                shared: false,
            };
        }
        let taken: BTreeSet<u16> = self.rows.values().map(|row| row.drop).collect();
        let free: Vec<u16> = (0..CONTACT_IDS).filter(|id| !taken.contains(id)).collect();
        let own = free.choose(rng).copied();
        Plan {
            number: 0,
            drop: own.unwrap_or_else(|| rng.random_range(0..CONTACT_IDS)),
            shared: own.is_none(),
        }
    }

    /// Whether two contacts have the same drop id.
    pub(crate) fn share_drops(&self) -> bool {
        let mut seen = BTreeSet::new();
        let mut drops = self.rows.values().map(|row| row.drop);
        !drops.all(|drop| seen.insert(drop))
    }

    /// Uses a number up; the contact becomes one with it. Returns the row to save.
    pub(crate) fn use_up(&mut self, contact: PeerKey, plan: &Plan) -> Change {
        let row = ContactRow {
            sequence: plan.number.saturating_add(1),
            drop: plan.drop,
        };
        self.rows.insert(contact, row);
        Change::put(Table::Contact, contact.as_bytes().to_vec(), row.encode())
    }

    /// The message of this number could not be saved: the number is free again, unless one came
    /// after it.
    pub(crate) fn free_number(&mut self, contact: &PeerKey, number: u64) {
        if let Some(row) = self.rows.get_mut(contact)
            && row.sequence == number.saturating_add(1)
        {
            row.sequence = number;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    fn contact() -> PeerKey {
        // The base point: a sound key whose secret nobody needs here.
        let mut bytes = [0; 32];
        bytes[0] = 9;
        PeerKey::parse(bytes).unwrap()
    }

    fn plan(contacts: &Contacts) -> Plan {
        contacts.plan(&contact(), &mut ChaCha20Rng::seed_from_u64(2))
    }

    #[test]
    fn a_number_is_free_again_only_if_it_was_the_last() {
        let mut contacts = Contacts::default();
        for number in 0..2 {
            let plan = plan(&contacts);
            assert_eq!(plan.number, number);
            contacts.use_up(contact(), &plan);
        }
        contacts.free_number(&contact(), 0);
        assert_eq!(plan(&contacts).number, 2);
        contacts.free_number(&contact(), 1);
        assert_eq!(plan(&contacts).number, 1);
    }

    #[test]
    fn each_has_a_drop_id_of_its_own_while_there_are_some() {
        let rng = &mut ChaCha20Rng::seed_from_u64(2);
        let mut contacts = Contacts::default();
        let mut seen = BTreeSet::new();
        for n in 0..CONTACT_IDS + 1 {
            let keys = crate::ClientKeys::generate(rng);
            let plan = contacts.plan(&keys.public(), rng);
            assert_eq!(plan.shared, n == CONTACT_IDS);
            assert_eq!(seen.insert(plan.drop), n < CONTACT_IDS);
            contacts.use_up(keys.public(), &plan);
            assert_eq!(contacts.plan(&keys.public(), rng).drop, plan.drop);
        }
        assert!(contacts.share_drops());
    }
}
