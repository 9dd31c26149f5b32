//! In which order messages are told: as their sender numbered them. What comes before those that were
//! written before it waits for them, within a bound; then it is told with the gap.

use std::collections::BTreeMap;

use shoal_proto::{MessageId, Span, Time};

use crate::clock::ClockStep;
use crate::contacts::Contacts;
use crate::era;
use crate::error::ClientError;
use crate::keys::PeerKey;
use crate::rows::{Change, ContactRow, InboxKey, OrderRow, Row};
use crate::table::Table;

/// A message whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) key: InboxKey,
    /// How many right before it have not come; none if it was told before, or comes late.
    pub(super) gap: Option<u64>,
}

/// As long as parts of it come, a message is waited for so many times the patience.
const LONGEST: u64 = 10;

/// How long a message waits.
#[derive(Clone, Copy)]
struct Wait {
    until: Time,
    most: Time,
}

/// What one sender's next message is, for all that are remembered, and what waits. What waits is
/// unread, and bounded with that.
pub(super) struct Order {
    senders: BTreeMap<PeerKey, OrderRow>,
    /// Until when each waits, by its number. Never empty for a sender.
    waiting: BTreeMap<PeerKey, BTreeMap<(u64, MessageId), Wait>>,
    patience: Span,
    /// Strangers remembered.
    limit: usize,
}

impl Order {
    pub(super) fn new(patience: Span, limit: usize) -> Self {
        Self {
            senders: BTreeMap::new(),
            waiting: BTreeMap::new(),
            patience,
            limit,
        }
    }

    pub(super) fn restore(&mut self, rows: &[Row]) -> Result<(), ClientError> {
        for row in rows.iter().filter(|row| row.table == Table::Order) {
            let sender = ContactRow::decode_key(&row.key).map_err(|e| row.fault(e))?;
            let order = OrderRow::decode(&row.value).map_err(|e| row.fault(e))?;
            self.senders.insert(sender, order);
        }
        Ok(())
    }

    /// A whole message is here since `arrived`: it waits for its turn.
    pub(super) fn wait(&mut self, key: InboxKey, number: u64, arrived: Time) {
        let waits = Wait {
            until: arrived + self.patience,
            most: arrived + self.patience.scale(LONGEST, 1),
        };
        let waiting = self.waiting.entry(key.sender).or_default();
        waiting.insert((number, key.message), waits);
    }

    /// A part of a sender's message of this number came: more of it is on its way, and what was written
    /// after it waits for that.
    pub(super) fn heard(&mut self, now: Time, sender: &PeerKey, number: u64) {
        let until = now + self.patience;
        let Some(waiting) = self.waiting.get_mut(sender) else {
            return;
        };
        for ((after, _), waits) in waiting {
            if *after > number {
                waits.until = waits.until.max(until.min(waits.most));
            }
        }
    }

    /// The next message whose turn it is: none before it is missing, or it has waited long enough, or
    /// one behind it has. Of several senders the one whose message has waited longest comes first.
    pub(super) fn next(&mut self, now: Time) -> Option<Turn> {
        let ready = self.waiting.iter().filter_map(|(sender, waiting)| {
            let ((number, message), waits) = waiting.first_key_value()?;
            let follows = *number <= self.expected(sender, *number);
            let has = follows || waiting.values().any(|waits| waits.until <= now);
            has.then_some((waits.until, *sender, *number, *message))
        });
        let (_, sender, number, message) = ready.min()?;
        let waiting = self.waiting.get_mut(&sender)?;
        waiting.remove(&(number, message));
        if waiting.is_empty() {
            self.waiting.remove(&sender);
        }
        Some(Turn {
            key: InboxKey { sender, message },
            gap: number.checked_sub(self.expected(&sender, number)),
        })
    }

    /// Nothing is known of a sender any more; what waits of his is told in its turn. Returns the row to save.
    pub(super) fn forget(&mut self, sender: &PeerKey) -> Option<Change> {
        self.senders.remove(sender)?;
        Some(Change::delete(Table::Order, sender.as_bytes().to_vec()))
    }

    /// A message of this number is told now. Returns the rows to save.
    pub(super) fn told(
        &mut self,
        now: Time,
        sender: PeerKey,
        number: u64,
        contacts: &Contacts,
    ) -> Vec<Change> {
        let next = number.saturating_add(1);
        if next <= self.next_of(&sender) {
            return Vec::new();
        }
        let row = OrderRow { next, told: now };
        self.senders.insert(sender, row);
        let key = |sender: &PeerKey| sender.as_bytes().to_vec();
        let mut changes = vec![Change::put(Table::Order, key(&sender), row.encode())];
        // Whose number is forgotten is expected to start anew: what he writes next waits once, and seems to
        // come after a gap. So those go first who wrote least, as everybody of a flood does.
        if self.senders.len() > self.limit {
            let is_strange = |(it, _): &(&PeerKey, &OrderRow)| !contacts.is_known(it);
            let strangers = self.senders.iter().filter(is_strange);
            let others = strangers.clone().filter(|(it, _)| **it != sender);
            let oldest = others.min_by_key(|(_, row)| (row.next, row.told));
            let oldest = oldest.map(|(it, _)| *it);
            let excess = strangers.count() > self.limit;
            if let Some(oldest) = oldest.filter(|_| excess) {
                self.senders.remove(&oldest);
                changes.push(Change::delete(Table::Order, key(&oldest)));
            }
        }
        changes
    }

    /// A message of this number is told to nobody. If it is the next one, nothing waits for it. Returns the rows
    /// to save.
    pub(super) fn pass(
        &mut self,
        now: Time,
        sender: PeerKey,
        number: u64,
        contacts: &Contacts,
    ) -> Vec<Change> {
        match number == self.expected(&sender, number) {
            true => self.told(now, sender, number, contacts),
            false => Vec::new(),
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.values().map(BTreeMap::len).sum()
    }

    /// When the next one has waited long enough.
    pub(super) fn deadline(&self) -> Option<Time> {
        let waiting = self.waiting.values().flat_map(BTreeMap::values);
        waiting.map(|waits| waits.until).min()
    }

    /// What waits, waits as long as before.
    pub(super) fn clock_moved(&mut self, step: ClockStep) {
        let waiting = self.waiting.values_mut().flat_map(BTreeMap::values_mut);
        for waits in waiting {
            waits.until = step.apply(waits.until);
            waits.most = step.apply(waits.most);
        }
    }

    /// What is expected of a sender when a message of this number is here.
    fn expected(&self, sender: &PeerKey, number: u64) -> u64 {
        era::expected(self.next_of(sender), number)
    }

    fn next_of(&self, sender: &PeerKey) -> u64 {
        self.senders.get(sender).map_or(0, |row| row.next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::keys::ClientKeys;

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    fn order() -> Order {
        Order::new(Span::from_secs(60), 3)
    }

    fn sender(seed: u64) -> PeerKey {
        ClientKeys::generate(&mut ChaCha20Rng::seed_from_u64(seed)).public()
    }

    fn key(sender: PeerKey, number: u8) -> InboxKey {
        InboxKey {
            sender,
            message: MessageId::new([number; 16]),
        }
    }

    /// Everything whose turn it is: its number and its gap.
    fn tell(order: &mut Order, now: Time) -> Vec<(u8, Option<u64>)> {
        let contacts = Contacts::default();
        let mut told = Vec::new();
        while let Some(turn) = order.next(now) {
            let [number, ..] = *turn.key.message.as_bytes();
            let _ = order.told(now, turn.key.sender, u64::from(number), &contacts);
            told.push((number, turn.gap));
        }
        told
    }

    #[test]
    fn what_overtook_waits_for_what_was_written_before() {
        let (mut order, alice) = (order(), sender(1));
        let mut arrive = |number: u8, secs| {
            order.wait(key(alice, number), number.into(), at(secs));
            tell(&mut order, at(secs))
        };
        assert_eq!(arrive(1, 10), []);
        assert_eq!(arrive(3, 11), []);
        assert_eq!(arrive(0, 12), [(0, Some(0)), (1, Some(0))]);
        assert_eq!(arrive(2, 13), [(2, Some(0)), (3, Some(0))]);
    }

    #[test]
    fn what_does_not_come_is_a_gap_after_the_wait_and_may_come_late() {
        let (mut order, alice) = (order(), sender(1));
        for (number, secs) in [(5, 10), (2, 30)] {
            order.wait(key(alice, number), number.into(), at(secs));
        }
        assert_eq!(order.deadline(), Some(at(70)));
        assert_eq!(tell(&mut order, at(69)), []);
        // The one before it came later, and does not come after it.
        assert_eq!(tell(&mut order, at(70)), [(2, Some(2)), (5, Some(2))]);
        assert_eq!(order.deadline(), None);
        order.wait(key(alice, 3), 3, at(80));
        order.wait(key(alice, 6), 6, at(80));
        assert_eq!(tell(&mut order, at(80)), [(3, None), (6, Some(0))]);
    }

    #[test]
    fn while_parts_come_what_waits_waits_on_but_not_for_ever() {
        let (mut order, alice) = (order(), sender(1));
        order.wait(key(alice, 1), 1, at(0));
        for secs in (30..590).step_by(30) {
            order.heard(at(secs), &alice, 0);
            assert_eq!(tell(&mut order, at(secs + 29)), []);
        }
        (600..700).for_each(|secs| order.heard(at(secs), &alice, 0));
        assert_eq!(tell(&mut order, at(600)), [(1, Some(1))]);
        // Others' parts, and those of what she wrote later, say nothing of what is missing.
        order.wait(key(alice, 3), 3, at(1000));
        order.heard(at(1050), &sender(2), 0);
        order.heard(at(1050), &alice, 3);
        order.heard(at(1050), &alice, 4);
        assert_eq!(tell(&mut order, at(1060)), [(3, Some(1))]);
    }

    #[test]
    fn a_number_that_nobody_reaches_holds_up_nothing() {
        let (mut order, alice) = (order(), sender(1));
        order.wait(key(alice, 255), u64::MAX, at(1));
        let turn = order.next(at(61)).unwrap();
        // The gap is as long as an era at most.
        assert_eq!(turn.gap, Some((1 << 13) - 1));
        let _ = order.told(at(61), alice, u64::MAX, &Contacts::default());
        order.wait(key(alice, 7), 7, at(62));
        assert_eq!(tell(&mut order, at(62)), [(7, None)]);
    }

    #[test]
    fn the_stranger_who_wrote_least_and_longest_ago_is_forgotten() {
        let mut order = order();
        let told = |order: &mut Order, seed: u64| {
            order.told(at(seed), sender(seed), 0, &Contacts::default())
        };
        let many = order.told(at(0), sender(9), 7, &Contacts::default());
        assert_eq!(many.len(), 1);
        for seed in 1..=2 {
            assert_eq!(told(&mut order, seed).len(), 1);
        }
        let changes = told(&mut order, 4);
        let gone = Change::delete(Table::Order, sender(1).as_bytes().to_vec());
        assert!(changes.contains(&gone) && changes.len() == 2);
        assert_eq!(order.senders.len(), 3);
    }

    #[test]
    fn the_wait_is_as_long_when_the_clock_moves() {
        let (mut order, alice) = (order(), sender(1));
        order.wait(key(alice, 1), 1, at(1000));
        order.clock_moved(ClockStep::new(false, Span::from_secs(500)));
        assert_eq!(order.deadline(), Some(at(560)));
    }

    proptest! {
        /// Whatever overtakes: each comes once, and in order if all come within the wait.
        #[test]
        fn any_arrival_within_the_wait_is_told_in_order(
            arrivals in Just((0..40u8).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let (mut order, alice) = (order(), sender(1));
            let mut told = Vec::new();
            for (second, number) in (0..).zip(arrivals) {
                order.wait(key(alice, number), number.into(), at(second));
                told.extend(tell(&mut order, at(second)));
            }
            prop_assert_eq!(told, (0..40).map(|number| (number, Some(0))).collect::<Vec<_>>());
        }
    }
}
