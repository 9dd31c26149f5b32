//! What contacts are to be told of their messages: that one is here, and that it was read.
//!
//! Only contacts that were verified are told that one is here: whoever else could make us say when we are online. When
//! they are told is drawn when the first one comes that is not told of, within ten minutes; what comes until then is
//! told with it.

use std::collections::BTreeMap;

use rand::{CryptoRng, RngExt as _};
use shoal_proto::{MessageId, Span, Time};

use crate::clock::ClockStep;
use crate::error::ClientError;
use crate::keys::PeerKey;
use crate::note::{MOST_RECEIPTS, Note};
use crate::rows::{Change, ReceiptRow, Row};
use crate::table::Table;

/// Within which a contact is told.
const SPREAD: Span = Span::from_secs(600);
/// Messages of one contact that it is to be told of. Of more than that it is not told.
const MOST: usize = 1024;

/// What is to be told, by contact.
#[derive(Default)]
pub(crate) struct Receipts {
    owed: BTreeMap<PeerKey, Owed>,
}

struct Owed {
    at: Time,
    /// Whether each was read.
    messages: BTreeMap<MessageId, bool>,
}

impl Receipts {
    pub(crate) fn restore(&mut self, rows: &[Row], now: Time) -> Result<(), ClientError> {
        for row in rows.iter().filter(|row| row.table == Table::Receipt) {
            let (contact, message) = ReceiptRow::decode_key(&row.key).map_err(|e| row.fault(e))?;
            let ReceiptRow { at, read } =
                ReceiptRow::decode(&row.value).map_err(|e| row.fault(e))?;
            // The clock may have been another one when it was written.
            let at = at.min(now + SPREAD);
            let messages = BTreeMap::new();
            let owed = self.owed.entry(contact).or_insert(Owed { at, messages });
            owed.messages.insert(message, read);
        }
        Ok(())
    }

    /// A contact is to be told of a message, that it is here or that it was read. What is to be saved.
    pub(crate) fn owe<R: CryptoRng>(
        &mut self,
        (now, rng): (Time, &mut R),
        contact: &PeerKey,
        message: MessageId,
        read: bool,
    ) -> Option<Change> {
        let drawn = Span::from_micros(rng.random_range(0..=SPREAD.as_micros()));
        let owed = self.owed.entry(*contact).or_insert_with(|| Owed {
            at: now + drawn,
            messages: BTreeMap::new(),
        });
        if owed.messages.len() >= MOST && !owed.messages.contains_key(&message) {
            return None;
        }
        let known = owed.messages.entry(message).or_insert(read);
        *known |= read;
        let row = ReceiptRow {
            at: owed.at,
            read: *known,
        };
        Some(row.change(contact, &message))
    }

    /// Who is to be told first, and when.
    pub(crate) fn next(&self) -> Option<(Time, PeerKey)> {
        self.owed
            .iter()
            .map(|(contact, owed)| (owed.at, *contact))
            .min()
    }

    /// What a contact is told now, as much as fits; the rest is told later. What is to be saved with it.
    pub(crate) fn take<R: CryptoRng>(
        &mut self,
        (now, rng): (Time, &mut R),
        contact: &PeerKey,
    ) -> (Note, Vec<Change>) {
        let (mut note, mut changes) = (Note::default(), Vec::new());
        let Some(mut owed) = self.owed.remove(contact) else {
            return (note, changes);
        };
        for _ in 0..MOST_RECEIPTS {
            let Some((message, read)) = owed.messages.pop_first() else {
                break;
            };
            match read {
                true => note.read.push(message),
                false => note.delivered.push(message),
            }
            let key = ReceiptRow::key(contact, &message);
            changes.push(Change::delete(Table::Receipt, key));
        }
        for (message, read) in owed.messages {
            changes.extend(self.owe((now, rng), contact, message, read));
        }
        (note, changes)
    }

    /// It could not be told: some other time. What is to be saved.
    pub(crate) fn put_back<R: CryptoRng>(
        &mut self,
        (now, rng): (Time, &mut R),
        contact: &PeerKey,
        note: &Note,
    ) -> Vec<Change> {
        let delivered = note.delivered.iter().map(|message| (message, false));
        let all = delivered.chain(note.read.iter().map(|message| (message, true)));
        let changes = all.filter_map(|(id, read)| self.owe((now, rng), contact, *id, read));
        changes.collect()
    }

    /// Somebody is told nothing any more. What is to be saved.
    pub(crate) fn forget(&mut self, contact: &PeerKey) -> Vec<Change> {
        let owed = self.owed.remove(contact);
        let messages = owed.iter().flat_map(|owed| owed.messages.keys());
        let keys = messages.map(|message| ReceiptRow::key(contact, message));
        keys.map(|key| Change::delete(Table::Receipt, key))
            .collect()
    }

    /// What is told later is told as much later as before.
    pub(crate) fn clock_moved(&mut self, step: ClockStep) {
        for owed in self.owed.values_mut() {
            owed.at = step.apply(owed.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::keys::ClientKeys;

    fn id(number: u16) -> MessageId {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        MessageId::new(bytes)
    }

    #[test]
    fn what_comes_until_it_is_told_is_told_with_it_and_the_rest_later() {
        let rng = &mut ChaCha20Rng::seed_from_u64(3);
        let contact = ClientKeys::generate(rng).public();
        let now = Time::from_micros(1_000_000_000);
        let mut receipts = Receipts::default();
        let mut rows = BTreeMap::new();
        let mut save = |changes: Vec<Change>| {
            for change in changes {
                match change.value {
                    Some(value) => drop(rows.insert(change.key, value)),
                    None => assert!(rows.remove(&change.key).is_some(), "it was there"),
                }
            }
            rows.clone()
        };
        for number in 0..100 {
            save(Vec::from_iter(receipts.owe(
                (now, rng),
                &contact,
                id(number),
                false,
            )));
        }
        let read = receipts.owe((now, rng), &contact, id(1), true);
        let rows = save(Vec::from_iter(read));
        let (at, whom) = receipts.next().unwrap();
        assert!(whom == contact && at >= now && at <= now + SPREAD);

        let rows: Vec<Row> = rows
            .into_iter()
            .map(|(key, value)| Row {
                table: Table::Receipt,
                key,
                value,
            })
            .collect();
        let mut again = Receipts::default();
        again.restore(&rows, now).unwrap();
        assert_eq!(again.next(), receipts.next());

        let (note, changes) = again.take((at, rng), &contact);
        assert_eq!(note.delivered.len() + note.read.len(), MOST_RECEIPTS);
        assert_eq!(note.read, [id(1)]);
        save(changes);
        let (later, _) = again.next().unwrap();
        assert!(later > at && later <= at + SPREAD);
        // What could not be told comes again.
        save(again.put_back((at, rng), &contact, &note));
        let (more, changes) = again.take((later, rng), &contact);
        assert_eq!(more.delivered.len() + more.read.len(), MOST_RECEIPTS);
        assert_eq!(save(changes).len(), 100 - MOST_RECEIPTS);
        assert!(save(again.forget(&contact)).is_empty() && again.next().is_none());
    }

    #[test]
    fn nobody_makes_it_grow_for_ever() {
        let rng = &mut ChaCha20Rng::seed_from_u64(4);
        let contact = ClientKeys::generate(rng).public();
        let mut receipts = Receipts::default();
        let now = Time::from_micros(5);
        let owed = (0..2_000).filter_map(|it| receipts.owe((now, rng), &contact, id(it), false));
        assert_eq!(owed.count(), MOST);
    }
}
