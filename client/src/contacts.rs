//! Who this client has written to: the next number of a message to each, and the drop id for their
//! answers.

use std::collections::{BTreeMap, BTreeSet};

use rand::CryptoRng;

use crate::error::ClientError;
use crate::keys::PeerKey;
use crate::pool::{Assigned, Pool};
use crate::rows::{Change, ContactRow, Row};
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
    /// The drop id for answers; none for the one in the address.
    pub(crate) drop: Option<u16>,
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

    /// What the next message to a contact takes. A drop id stays the contact's, unless the mailbox
    /// has refused it since.
    pub(crate) fn plan<R: CryptoRng>(&self, contact: &PeerKey, pool: &Pool, rng: &mut R) -> Plan {
        let known = self.rows.get(contact);
        let number = known.map_or(0, |row| row.sequence);
        let kept = known.and_then(|row| row.drop);
        if let Some(drop) = kept.filter(|drop| pool.is_good(*drop)) {
            return Plan {
                number,
                drop: Some(drop),
                shared: false,
            };
        }
        let others = self.rows.iter().filter(|(key, _)| *key != contact);
        let taken: BTreeSet<u16> = others.filter_map(|(_, row)| row.drop).collect();
        let assigned = pool.assign(rng, &taken);
        Plan {
            number,
            drop: match assigned {
                Assigned::Own(drop) | Assigned::Shared(drop) => Some(drop),
                Assigned::Public => None,
            },
            shared: matches!(assigned, Assigned::Shared(_)),
        }
    }

    /// Whether two contacts have the same drop id.
    pub(crate) fn share_drops(&self) -> bool {
        let mut seen = BTreeSet::new();
        let mut drops = self.rows.values().filter_map(|row| row.drop);
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
    use shoal_proto::NodeId;

    use super::*;

    fn contact() -> PeerKey {
        // The base point: a sound key whose secret nobody needs here.
        let mut bytes = [0; 32];
        bytes[0] = 9;
        PeerKey::parse(bytes).unwrap()
    }

    fn plan(contacts: &Contacts, pool: &Pool) -> Plan {
        contacts.plan(&contact(), pool, &mut ChaCha20Rng::seed_from_u64(2))
    }

    #[test]
    fn a_number_is_free_again_only_if_it_was_the_last() {
        let pool = Pool::new(NodeId::new([1; 32]), &mut ChaCha20Rng::seed_from_u64(1));
        let mut contacts = Contacts::default();
        for number in 0..2 {
            let plan = plan(&contacts, &pool);
            assert_eq!(plan.number, number);
            contacts.use_up(contact(), &plan);
        }
        contacts.free_number(&contact(), 0);
        assert_eq!(plan(&contacts, &pool).number, 2);
        contacts.free_number(&contact(), 1);
        assert_eq!(plan(&contacts, &pool).number, 1);
    }

    #[test]
    fn a_drop_id_stays_until_the_mailbox_refuses_it() {
        let mut pool = Pool::new(NodeId::new([1; 32]), &mut ChaCha20Rng::seed_from_u64(1));
        let mut contacts = Contacts::default();
        let first = plan(&contacts, &pool);
        contacts.use_up(contact(), &first);
        pool.settle(30, false);
        assert_eq!(plan(&contacts, &pool).drop, first.drop);
        // Its set is the first.
        pool.settle(0, true);
        let second = plan(&contacts, &pool).drop.unwrap();
        assert!(crate::pool::numbers(30).any(|number| number == second));
    }
}
