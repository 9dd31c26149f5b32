//! Who this client has written to: the next number of a message to each, and whether the mailbox
//! knows the drop ids for their answers.

use std::collections::BTreeMap;

use shoal_proto::NodeId;

use crate::error::ClientError;
use crate::keys::PeerKey;
use crate::rows::{Change, ContactRow, Row};
use crate::table::Table;

/// All contacts, by key.
pub(crate) struct Contacts {
    /// Where the mailbox is; a registration at another provider is worth nothing.
    provider: NodeId,
    rows: BTreeMap<PeerKey, ContactRow>,
}

impl Contacts {
    pub(crate) fn new(provider: NodeId) -> Self {
        Self {
            provider,
            rows: BTreeMap::new(),
        }
    }

    pub(crate) fn restore(&mut self, rows: &[Row]) -> Result<(), ClientError> {
        for row in rows.iter().filter(|row| row.table == Table::Contact) {
            let key = ContactRow::decode_key(&row.key).map_err(|e| row.fault(e))?;
            let contact = ContactRow::decode(&row.value).map_err(|e| row.fault(e))?;
            self.rows.insert(key, contact);
        }
        Ok(())
    }

    /// Those whose drop ids the mailbox is not known to have.
    pub(crate) fn unregistered(&self) -> impl Iterator<Item = PeerKey> + '_ {
        let missing = |row: &ContactRow| row.registered_at != Some(self.provider);
        self.rows
            .iter()
            .filter(move |(_, row)| missing(row))
            .map(|(contact, _)| *contact)
    }

    /// The same of one.
    pub(crate) fn is_registered(&self, contact: &PeerKey) -> bool {
        self.rows
            .get(contact)
            .is_some_and(|row| row.registered_at == Some(self.provider))
    }

    /// The number of the next message to this one, from 0.
    pub(crate) fn next_number(&self, contact: &PeerKey) -> u64 {
        self.rows.get(contact).map_or(0, |row| row.sequence)
    }

    /// Uses a number up; the contact becomes one with it. Returns the row to save.
    pub(crate) fn use_number(&mut self, contact: PeerKey, number: u64) -> Change {
        let fresh = ContactRow {
            sequence: 0,
            registered_at: None,
        };
        let row = self.rows.entry(contact).or_insert(fresh);
        row.sequence = number.saturating_add(1);
        change(&contact, row)
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

    /// The mailbox has the contact's drop ids. Returns the row to save.
    pub(crate) fn registered(&mut self, contact: &PeerKey) -> Option<Change> {
        let row = self.rows.get_mut(contact)?;
        row.registered_at = Some(self.provider);
        Some(change(contact, row))
    }
}

fn change(contact: &PeerKey, row: &ContactRow) -> Change {
    Change::put(Table::Contact, contact.as_bytes().to_vec(), row.encode())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact() -> PeerKey {
        // The base point: a sound key whose secret nobody needs here.
        let mut bytes = [0; 32];
        bytes[0] = 9;
        PeerKey::parse(bytes).unwrap()
    }

    #[test]
    fn a_number_is_free_again_only_if_it_was_the_last() {
        let mut contacts = Contacts::new(NodeId::new([1; 32]));
        contacts.use_number(contact(), 0);
        contacts.use_number(contact(), 1);
        contacts.free_number(&contact(), 0);
        assert_eq!(contacts.next_number(&contact()), 2);
        contacts.free_number(&contact(), 1);
        assert_eq!(contacts.next_number(&contact()), 1);
    }

    #[test]
    fn a_registration_elsewhere_is_none() {
        let rows = |contacts: &mut Contacts| {
            let change = contacts.registered(&contact()).unwrap();
            [Row {
                table: change.table,
                key: change.key,
                value: change.value.unwrap(),
            }]
        };
        let mut here = Contacts::new(NodeId::new([1; 32]));
        here.use_number(contact(), 0);
        assert_eq!(here.unregistered().collect::<Vec<_>>(), [contact()]);
        let rows = rows(&mut here);
        assert!(here.is_registered(&contact()) && here.unregistered().next().is_none());
        let mut there = Contacts::new(NodeId::new([2; 32]));
        there.restore(&rows).unwrap();
        assert!(!there.is_registered(&contact()));
        assert_eq!(there.unregistered().count(), 1);
    }
}
