//! What of a client's contacts outlives it: who they are and what the user makes of them, and nothing that is used up by
//! being used.
//!
//! No session, prekey, drop id or mailbox is in it: two that are made from one export, or one that is made from an old
//! one, would use keys twice. A contact that was restored has no session: it can be written to once it has accepted a
//! new invitation, or its own was accepted.

use std::collections::BTreeMap;

use rand::CryptoRng;
use shoal_packet::Sites;
use shoal_proto::Time;

use crate::era;
use crate::error::ClientError;
use crate::keys::PeerKey;
use crate::rows::{
    Change, ContactRow, Label, OrderRow, Row, Standing, decode_number, encode_number,
};
use crate::table::Table;

/// A contact, as it is kept outside.
#[derive(Clone, PartialEq, Eq)]
pub struct SavedContact {
    /// The key by which it is known.
    pub key: PeerKey,
    /// What the user calls it.
    pub label: Label,
    /// The two have compared safety numbers.
    pub verified: bool,
    /// Nothing goes to it, and nothing from it is shown.
    pub blocked: bool,
    /// Both tell each other what they have read.
    pub reads: bool,
    /// The minute in which it became one.
    pub since: Time,
    /// Where it was written to last.
    pub sites: Sites,
    /// Messages to it had numbers below this one.
    pub sent: u64,
    /// Messages from it were told up to this number.
    pub heard: u64,
}

/// The contacts in a client's rows that its user has taken for such, or has blocked.
///
/// # Errors
/// [`ClientError::Row`] for a damaged row.
pub fn saved_contacts(rows: &[Row]) -> Result<Vec<SavedContact>, ClientError> {
    let of = |table| rows.iter().filter(move |row| row.table == table);
    let first = first_number(rows)?;
    let orders: BTreeMap<&[u8], &Row> = of(Table::Order).map(|row| (&row.key[..], row)).collect();
    let mut saved = Vec::new();
    for row in of(Table::Contact) {
        let key = ContactRow::decode_key(&row.key).map_err(|e| row.fault(e))?;
        let contact = ContactRow::decode(&row.value).map_err(|e| row.fault(e))?;
        if !contact.standing.known && !contact.standing.blocked {
            continue;
        }
        let order = orders.get(&row.key[..]);
        let heard = order.map(|order| OrderRow::decode(&order.value).map_err(|e| order.fault(e)));
        saved.push(SavedContact {
            key,
            label: contact.label,
            verified: contact.standing.verified,
            blocked: contact.standing.blocked,
            reads: contact.standing.reads,
            since: contact.since,
            sites: contact.sites,
            sent: contact.sequence.max(first),
            heard: heard.transpose()?.map_or(0, |order| order.next),
        });
    }
    Ok(saved)
}

/// The rows that a client is made anew with `now`, with these contacts, or with none.
pub fn restored_rows<R: CryptoRng>(
    now: Time,
    contacts: &[SavedContact],
    rng: &mut R,
) -> Vec<Change> {
    let above = contacts.iter().map(|contact| contact.sent).max();
    let first = era::draw(now, above.unwrap_or(0), rng);
    let mut changes = vec![Change::put(
        Table::Numbers,
        Vec::new(),
        encode_number(first),
    )];
    for contact in contacts {
        let key = contact.key.as_bytes().to_vec();
        let row = ContactRow {
            standing: Standing {
                known: true,
                verified: contact.verified,
                blocked: contact.blocked,
                reads: contact.reads,
            },
            since: contact.since,
            label: contact.label.clone(),
            // Whatever it says of where it is, is newer, and whichever invitation of its is accepted begins a session.
            ..ContactRow::new(now, 0, contact.sites, first)
        };
        changes.push(Change::put(Table::Contact, key.clone(), row.encode()));
        if contact.heard > 0 {
            let order = OrderRow {
                next: contact.heard,
                told: now,
            };
            changes.push(Change::put(Table::Order, key, order.encode()));
        }
    }
    changes
}

/// From which number on messages to contacts are counted.
pub(crate) fn first_number(rows: &[Row]) -> Result<u64, ClientError> {
    let row = rows.iter().find(|row| row.table == Table::Numbers);
    let number = row.map(|row| decode_number(&row.value).map_err(|e| row.fault(e)));
    Ok(number.transpose()?.unwrap_or(0))
}
