//! Messages that were whole before all of their fragments had come, so that what comes late is not the
//! begin of a message that never becomes whole.

use std::collections::{BTreeMap, BTreeSet};

use shoal_proto::MessageId;

use crate::error::ClientError;
use crate::keys::PeerKey;
use crate::rows::{self, Change, InboxKey, Row};
use crate::table::Table;

/// The messages remembered; at most `limit`. Beyond it, the oldest of the sender with the most is
/// forgotten: what comes late of it is kept as parts of a message, within the bound of these, and told
/// to nobody.
pub(super) struct Done {
    ages: BTreeMap<InboxKey, u64>,
    by_sender: BTreeMap<PeerKey, BTreeSet<(u64, MessageId)>>,
    next_age: u64,
    limit: usize,
}

impl Done {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            ages: BTreeMap::new(),
            by_sender: BTreeMap::new(),
            next_age: 0,
            limit: limit.max(1),
        }
    }

    pub(super) fn restore(&mut self, rows: &[Row]) -> Result<(), ClientError> {
        let mut done = Vec::new();
        for row in rows.iter().filter(|row| row.table == Table::Done) {
            let key = InboxKey::decode(&row.key).map_err(|e| row.fault(e))?;
            let time = rows::decode_number(&row.value).map_err(|e| row.fault(e))?;
            done.push((time, key));
        }
        done.sort_unstable();
        for (_, key) in done {
            self.add(key);
        }
        Ok(())
    }

    pub(super) fn contains(&self, key: &InboxKey) -> bool {
        self.ages.contains_key(key)
    }

    /// Remembers a message; the row of one that has to be forgotten for it.
    pub(super) fn add(&mut self, key: InboxKey) -> Option<Change> {
        self.next_age += 1;
        if let Some(age) = self.ages.insert(key, self.next_age)
            && let Some(own) = self.by_sender.get_mut(&key.sender)
        {
            own.remove(&(age, key.message));
        }
        let own = self.by_sender.entry(key.sender).or_default();
        own.insert((self.next_age, key.message));
        if self.ages.len() <= self.limit {
            return None;
        }
        let oldest = self.forget_oldest_of_most()?;
        Some(Change::delete(Table::Done, oldest.to_bytes()))
    }

    /// Nothing is known of a sender any more. Returns the rows to save.
    pub(super) fn forget(&mut self, sender: &PeerKey) -> Vec<Change> {
        let own = self.by_sender.remove(sender).unwrap_or_default();
        let gone = own.into_iter().map(|(_, message)| {
            let key = InboxKey {
                sender: *sender,
                message,
            };
            self.ages.remove(&key);
            Change::delete(Table::Done, key.to_bytes())
        });
        gone.collect()
    }

    fn forget_oldest_of_most(&mut self) -> Option<InboxKey> {
        let most = self.by_sender.iter_mut().max_by_key(|(_, own)| own.len());
        let (sender, own) = most?;
        let (sender, (_, message)) = (*sender, own.pop_first()?);
        if own.is_empty() {
            self.by_sender.remove(&sender);
        }
        let key = InboxKey { sender, message };
        self.ages.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::keys::ClientKeys;

    #[test]
    fn who_floods_makes_no_others_message_forgotten() {
        let sender = |seed| ClientKeys::generate(&mut ChaCha20Rng::seed_from_u64(seed)).public();
        let (honest, flooder) = (sender(1), sender(2));
        let key = |sender, number: u8| InboxKey {
            sender,
            message: MessageId::new([number; 16]),
        };
        let mut done = Done::new(5);
        for number in 0..2 {
            assert!(done.add(key(honest, number)).is_none());
        }
        for number in 0..3 {
            assert!(done.add(key(flooder, number)).is_none());
        }
        // Once more is no more.
        assert!(done.add(key(flooder, 0)).is_none());
        let change = done.add(key(flooder, 3)).unwrap();
        assert_eq!(change.key, key(flooder, 1).to_bytes());
        assert!(change.value.is_none() && !done.contains(&key(flooder, 1)));
        assert!((0..2).all(|number| done.contains(&key(honest, number))));
        assert!([0, 2, 3].iter().all(|it| done.contains(&key(flooder, *it))));
    }
}
