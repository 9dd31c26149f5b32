//! Which fragments are here already, so that each is delivered once.

use std::collections::{BTreeMap, BTreeSet};

use shoal_proto::DropId;

use crate::error::ClientError;
use crate::rows::{self, Change, Row, SeenKey};
use crate::table::Table;

/// How far a fragment is that came before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is being saved.
    Saving,
    /// It is on disk.
    Safe,
}

/// The fragments remembered; at most `limit`. Beyond it, the oldest of the drop id with the most is
/// forgotten, so that who floods one makes others' no more likely to be told twice.
pub(super) struct Seen {
    by_key: BTreeMap<SeenKey, (u64, State)>,
    by_drop: BTreeMap<DropId, BTreeSet<(u64, SeenKey)>>,
    next_age: u64,
    limit: usize,
}

impl Seen {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            by_key: BTreeMap::new(),
            by_drop: BTreeMap::new(),
            next_age: 0,
            limit: limit.max(1),
        }
    }

    pub(super) fn restore(&mut self, rows: &[Row]) -> Result<(), ClientError> {
        let mut seen = Vec::new();
        for row in rows.iter().filter(|row| row.table == Table::Seen) {
            let key = SeenKey::decode(&row.key).map_err(|e| row.fault(e))?;
            let time = rows::decode_number(&row.value).map_err(|e| row.fault(e))?;
            seen.push((time, key));
        }
        seen.sort_unstable();
        for (_, key) in seen {
            self.add(key, State::Safe);
        }
        Ok(())
    }

    pub(super) fn state(&self, key: &SeenKey) -> Option<State> {
        self.by_key.get(key).map(|(_, state)| *state)
    }

    /// Remembers a fragment that was not; the row of one that has to be forgotten for it.
    pub(super) fn add(&mut self, key: SeenKey, state: State) -> Option<Change> {
        self.next_age += 1;
        self.by_key.insert(key, (self.next_age, state));
        let under = self.by_drop.entry(key.drop).or_default();
        under.insert((self.next_age, key));
        if self.by_key.len() <= self.limit {
            return None;
        }
        let oldest = self.oldest_of_most()?;
        self.forget(&oldest);
        Some(Change::delete(Table::Seen, oldest.to_bytes()))
    }

    fn oldest_of_most(&self) -> Option<SeenKey> {
        let most = self.by_drop.values().max_by_key(|under| under.len())?;
        most.first().map(|(_, key)| *key)
    }

    /// It is on disk now.
    pub(super) fn safe(&mut self, key: &SeenKey) {
        if let Some((_, state)) = self.by_key.get_mut(key) {
            *state = State::Safe;
        }
    }

    /// When it comes again, it is new again.
    pub(super) fn forget(&mut self, key: &SeenKey) {
        let Some((age, _)) = self.by_key.remove(key) else {
            return;
        };
        if let Some(under) = self.by_drop.get_mut(&key.drop) {
            under.remove(&(age, *key));
            if under.is_empty() {
                self.by_drop.remove(&key.drop);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shoal_proto::{DropId, MessageId};

    use super::*;

    fn key(number: u8) -> SeenKey {
        SeenKey {
            drop: DropId::new([1; 32]),
            deposit: MessageId::new([number; 16]),
        }
    }

    #[test]
    fn the_oldest_is_forgotten_first_with_its_row() {
        let mut seen = Seen::new(2);
        assert!(seen.add(key(1), State::Safe).is_none());
        assert!(seen.add(key(2), State::Saving).is_none());
        let change = seen.add(key(3), State::Saving).unwrap();
        assert_eq!((change.key, change.value), (key(1).to_bytes(), None));
        assert!(seen.state(&key(1)).is_none());
        seen.safe(&key(3));
        seen.forget(&key(2));
        assert!(seen.state(&key(2)).is_none());
        assert!(seen.state(&key(3)) == Some(State::Safe));
        // The place of what was forgotten is free.
        assert!(seen.add(key(4), State::Safe).is_none());
        let change = seen.add(key(5), State::Safe).unwrap();
        assert_eq!(change.key, key(3).to_bytes());
    }

    #[test]
    fn who_floods_one_drop_id_makes_no_other_forget() {
        let mut seen = Seen::new(10);
        let of = |drop: u8, number: u8| SeenKey {
            drop: DropId::new([drop; 32]),
            deposit: MessageId::new([number; 16]),
        };
        (0..3).for_each(|number| drop(seen.add(of(1, number), State::Safe)));
        for number in 0..100 {
            seen.add(of(2, number), State::Safe);
        }
        assert!((0..3).all(|number| seen.state(&of(1, number)).is_some()));
        assert!(seen.state(&of(2, 92)).is_none() && seen.state(&of(2, 93)).is_some());
    }
}
