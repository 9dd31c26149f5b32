//! Messages on their way: what is sent next, and what is sent again.
//!
//! When a fragment is sent again is drawn when it is sent, from a generator of this outbox' own, and on
//! disk. A receipt ends it; nothing else moves it: not an answer that says nothing, not a connection
//! that breaks or comes back, not a restart. Whoever cuts a client off would see at its contacts'
//! mailboxes whose client it is, if anything left because it is back. So what fell due meanwhile is a
//! try that was missed: it waits for the next one, as if it had been sent in vain.
//!
//! The link carries as many packets with tries as without, so the first [`QUICK_TRIES`] of a fragment
//! follow each other at one wait, which is the same for everybody of a profile ([`first_wait`]): a
//! wait measured from receipts would let a mailbox steer it. Then the wait doubles, so that what
//! cannot be stored leaves the slots to the rest.
//!
//! A message is stored when as many of its fragments are as have text, whichever they are. What of it is parity
//! for the same provider is tried no more then: that is all that a receipt does to others. What is the second
//! copy, for another provider, is tried on, until it is stored as well or the message's time is over.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use rand::{CryptoRng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use shoal_packet::command::ReceiptStatus;
use shoal_packet::fragment::{Copies, Shape};
use shoal_proto::{MessageId, Span, Time};
use shoal_topology::{NetworkParameters, Profile};

use crate::clock::ClockStep;
use crate::config::ClientConfig;
use crate::error::{ClientError, SendError};
use crate::rows::{Change, MessageState, OutboxRow, RetryRow, Row, SentRow};
use crate::table::Table;

/// Tries of a fragment before the wait between them grows. With half of a layer gone a try comes
/// through, and its receipt back, one time in four: nine of ten fragments are stored within these.
const QUICK_TRIES: u32 = 8;

/// The wait, in the mean, between the first tries: longer than nearly every way to a mailbox and back
/// (nine delays in the mean), and a turn. The same for everybody of a profile.
pub(crate) fn first_wait(params: &NetworkParameters, profile: &Profile) -> Span {
    let way = params.mean_delay.scale(30, 1);
    match profile.real > 0.0 {
        true => way + Span::from_secs_f64(1.0 / profile.real),
        false => way,
    }
}

/// What keeps a message from being stored, as far as its sender can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Hindrance {
    /// The receiver's provider is not in the document in force: nothing can be sent to it.
    ProviderMissing,
    /// The receiver's mailbox refused it: it is full, its provider's disk is, or the address is void.
    Refused,
    /// The first eight tries were not answered: the provider is down, or packets are lost.
    NoAnswer,
}

/// How much of a message has to be stored.
#[derive(Clone, Copy)]
pub(crate) struct Needed {
    fragments: u16,
    /// How many more there are.
    more: u16,
    /// These are for another provider.
    both: bool,
}

impl From<Shape> for Needed {
    fn from(shape: Shape) -> Self {
        Self {
            fragments: shape.count(),
            more: shape.extra(),
            both: shape.copies() == Copies::Two,
        }
    }
}

/// A sealed message that waits to be saved. The outbox keeps room for it.
pub(crate) struct Prepared {
    message: MessageId,
    row: SentRow,
    parts: Vec<OutboxRow>,
}

/// A fragment that waits for its "stored" receipt.
struct Part {
    row: OutboxRow,
    retry: RetryRow,
    /// Tries that were sent since the client was made.
    sent: u32,
}

struct Outgoing {
    message: MessageId,
    row: SentRow,
    parts: BTreeMap<u16, Part>,
    hindrance: Option<Hindrance>,
}

/// A sent message and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageStatus {
    /// The message.
    pub message: MessageId,
    /// Its state.
    pub state: MessageState,
    /// When it was accepted.
    pub accepted_at: Time,
    /// When it is given up.
    pub expires: Time,
    /// How many of its fragments have to be stored: as many as have text, of these and those of parity.
    pub fragments: u16,
    /// Of that many, those on the disk of the receiver's mailbox.
    pub stored: u16,
    /// What keeps it from being stored; none while nothing is known to, and once it is over.
    pub hindrance: Option<Hindrance>,
}

/// The fragment to send now.
pub(crate) struct Due {
    pub(crate) message: MessageId,
    pub(crate) index: u16,
    pub(crate) row: OutboxRow,
    pub(crate) again: bool,
}

/// What a receipt changed.
pub(crate) enum Settled {
    /// Nothing: it was settled, or is no fragment of ours, or will be tried again later.
    Nothing,
    /// A fragment is stored.
    Fragment(Vec<Change>),
    /// With it, the message is.
    Message(Vec<Change>),
}

/// What goes before what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// It never left.
    New,
    /// It was tried, a few times.
    Again,
    /// It was tried often, or is the second copy of a message that is stored.
    Late,
}

/// Sent messages in the order of their acceptance.
pub(crate) struct Outbox {
    by_order: BTreeMap<u64, Outgoing>,
    orders: BTreeMap<MessageId, u64>,
    /// Served last; the next due one after it is next.
    served: u64,
    /// Tries that were made.
    turns: u32,
    next_order: u64,
    rng: ChaCha20Rng,
    waiting: usize,
    /// Fragments of messages that wait to be saved.
    prepared: usize,
    /// Messages with something new in their way; not told yet.
    hindered: BTreeSet<MessageId>,
    limit: usize,
    retry_after: Span,
    retry_max: Span,
    time_to_live: Span,
    history: usize,
}

impl Outbox {
    /// Empty. Its waits are drawn from a generator that `rng` seeds; the first ones are `first_wait` in
    /// the mean, unless the configuration says otherwise.
    pub(crate) fn new<R: CryptoRng>(config: &ClientConfig, first_wait: Span, rng: &mut R) -> Self {
        let retry_after = config.retry_after.unwrap_or(first_wait);
        Self {
            by_order: BTreeMap::new(),
            orders: BTreeMap::new(),
            served: 0,
            turns: 0,
            next_order: 1,
            rng: ChaCha20Rng::from_rng(rng),
            waiting: 0,
            prepared: 0,
            hindered: BTreeSet::new(),
            limit: config.limits.outbox_fragments,
            retry_after,
            retry_max: config.retry_max.max(retry_after),
            time_to_live: config.time_to_live,
            history: config.limits.sent_history,
        }
    }

    /// Fragments that wait for a receipt.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether so many fragments more fit.
    pub(crate) fn check_room(&self, fragments: usize) -> Result<(), SendError> {
        let (waiting, limit) = (self.waiting + self.prepared, self.limit);
        if waiting + fragments > limit {
            return Err(SendError::OutboxFull { waiting, limit });
        }
        Ok(())
    }

    /// Gives a sealed message its place, and keeps room for it until it is on disk or forgotten.
    pub(crate) fn prepare(
        &mut self,
        now: Time,
        message: MessageId,
        parts: Vec<OutboxRow>,
        needed: Needed,
    ) -> Result<Prepared, SendError> {
        let row = SentRow {
            order: self.next_order,
            accepted_at: now,
            expires: now + self.time_to_live,
            fragments: needed.fragments,
            state: MessageState::Queued,
            more: needed.more,
            both: needed.both,
        };
        self.next_order += 1;
        self.prepared += parts.len();
        Ok(Prepared {
            message,
            row,
            parts,
        })
    }

    /// Takes a message that is on disk.
    pub(crate) fn accept(&mut self, now: Time, prepared: Prepared) -> MessageId {
        self.prepared -= prepared.parts.len();
        let retry = self.first_try(now);
        let parts = (0..).zip(prepared.parts);
        let parts = parts.map(|(index, row)| {
            (
                index,
                Part {
                    row,
                    retry,
                    sent: 0,
                },
            )
        });
        self.add(prepared.message, prepared.row, parts.collect());
        prepared.message
    }

    /// The message could not be saved.
    pub(crate) fn forget(&mut self, prepared: &Prepared) {
        self.prepared -= prepared.parts.len();
    }

    /// A fragment that was never sent, of a message accepted then.
    fn first_try(&self, accepted_at: Time) -> RetryRow {
        RetryRow {
            tries: 0,
            due: accepted_at,
            wait: self.retry_after,
        }
    }

    fn add(&mut self, message: MessageId, row: SentRow, parts: BTreeMap<u16, Part>) {
        self.waiting += parts.len();
        self.orders.insert(message, row.order);
        self.next_order = self.next_order.max(row.order.saturating_add(1));
        self.by_order.insert(
            row.order,
            Outgoing {
                message,
                row,
                parts,
                hindrance: None,
            },
        );
    }

    /// Rebuilds messages from their rows. What is due stays due when it was.
    pub(crate) fn restore(&mut self, rows: &[Row], now: Time) -> Result<(), ClientError> {
        let of = |table| rows.iter().filter(move |row| row.table == table);
        let mut retries: BTreeMap<(MessageId, u16), (&Row, RetryRow)> = BTreeMap::new();
        for row in of(Table::Retry) {
            let key = OutboxRow::decode_key(&row.key).map_err(|e| row.fault(e))?;
            let mut retry = RetryRow::decode(&row.value).map_err(|e| row.fault(e))?;
            retry.wait = retry.wait.clamp(self.retry_after, self.retry_max);
            // The clock may have been another one when it was written.
            retry.due = retry.due.min(now + longest(self.retry_max));
            retries.insert(key, (row, retry));
        }
        let mut parts: BTreeMap<MessageId, Vec<(u16, &Row, OutboxRow)>> = BTreeMap::new();
        for row in of(Table::Outbox) {
            let (message, index) = OutboxRow::decode_key(&row.key).map_err(|e| row.fault(e))?;
            let part = OutboxRow::decode(&row.value).map_err(|e| row.fault(e))?;
            parts.entry(message).or_default().push((index, row, part));
        }
        for row in of(Table::Sent) {
            let message = MessageId::try_from(row.key.as_slice())
                .map_err(|_| row.fault("the key is no message's"))?;
            let sent = SentRow::decode(&row.value).map_err(|e| row.fault(e))?;
            if self.by_order.contains_key(&sent.order) {
                return Err(row.fault("another message has its place"));
            }
            let first = self.first_try(sent.accepted_at.min(now));
            let own = parts.remove(&message).unwrap_or_default();
            let own = own.into_iter().map(|(index, _, row)| {
                let retry = retries.remove(&(message, index));
                let retry = retry.map_or(first, |(_, retry)| retry);
                (
                    index,
                    Part {
                        row,
                        retry,
                        sent: 0,
                    },
                )
            });
            self.add(message, sent, own.collect());
        }
        let lost = parts.values().flatten().map(|(_, row, _)| *row).next();
        if let Some(row) = lost {
            return Err(row.fault("its message is missing"));
        }
        match retries.values().next() {
            Some((row, _)) => Err(row.fault("its fragment is missing")),
            None => Ok(()),
        }
    }

    /// The fragment whose turn it is: messages take turns, so that a long one holds up nobody,
    /// and within a message what never left goes before what did, text before parity: it is news to the
    /// receiver, where another try may be none. For the same reason what never left goes before all tries
    /// again, and these before what was often tried in vain and before the second copy of what is stored: a
    /// provider that is gone must not take the slots of one that is there. Of four turns one is for the
    /// latter first, so that it does not wait for ever.
    pub(crate) fn next_due(&self, now: Time) -> Option<Due> {
        let order = match self.turns % 4 {
            3 => [Class::Late, Class::New, Class::Again],
            _ => [Class::New, Class::Again, Class::Late],
        };
        order.into_iter().find_map(|class| self.due(now, class))
    }

    fn due(&self, now: Time, class: Class) -> Option<Due> {
        let after = self
            .by_order
            .range((Bound::Excluded(self.served), Bound::Unbounded));
        let before = self.by_order.range(..=self.served);
        after.chain(before).find_map(|(_, outgoing)| {
            let is_due =
                |part: &Part| part.retry.due <= now && outgoing.class(&part.retry) == class;
            let parts = outgoing.parts.iter().filter(|(_, part)| is_due(part));
            let (index, part) =
                parts.min_by_key(|(index, part)| (part.retry.tries > 0, **index))?;
            Some(Due {
                message: outgoing.message,
                index: *index,
                row: part.row.clone(),
                again: part.retry.tries > 0,
            })
        })
    }

    /// Notes a try, sent or not: the next one comes after the wait. Returns the rows to save.
    pub(crate) fn tried(
        &mut self,
        message: &MessageId,
        index: u16,
        sent: bool,
        now: Time,
    ) -> Vec<Change> {
        let Some(order) = self.orders.get(message).copied() else {
            return Vec::new();
        };
        self.served = order;
        self.turns = self.turns.wrapping_add(1);
        let Some(outgoing) = self.by_order.get_mut(&order) else {
            return Vec::new();
        };
        let Some(part) = outgoing.parts.get_mut(&index) else {
            return Vec::new();
        };
        put_off(&mut part.retry, now, self.retry_max, &mut self.rng);
        let key = OutboxRow::key(message, index);
        let mut changes = vec![Change::put(Table::Retry, key, part.retry.encode())];
        let often = part.sent >= QUICK_TRIES;
        part.sent = part.sent.saturating_add(u32::from(sent));
        let hindrance = match (sent, outgoing.hindrance) {
            (false, _) => Some(Hindrance::ProviderMissing),
            (true, Some(Hindrance::ProviderMissing) | None) => often.then_some(Hindrance::NoAnswer),
            (true, known) => known,
        };
        if outgoing.hinder(hindrance) {
            self.hindered.insert(*message);
        }
        if sent && outgoing.row.state == MessageState::Queued {
            outgoing.row.state = MessageState::Sent;
            changes.push(outgoing.change());
        }
        changes
    }

    /// The next message that something new keeps from being stored, and what.
    pub(crate) fn next_hindered(&mut self) -> Option<(MessageId, Hindrance)> {
        while let Some(message) = self.hindered.pop_first() {
            let hindrance = self.status(&message).and_then(|status| status.hindrance);
            if let Some(hindrance) = hindrance {
                return Some((message, hindrance));
            }
        }
        None
    }

    /// Nothing could be sent until now: what fell due meanwhile has missed its try.
    pub(crate) fn miss(&mut self, now: Time) {
        let longest = longest(self.retry_max);
        let parts = self
            .by_order
            .values_mut()
            .flat_map(|it| it.parts.values_mut());
        for retry in parts.map(|part| &mut part.retry) {
            // Of many misses in a row only the last few matter.
            if retry.due + longest.scale(16, 1) < now {
                let phase = self.retry_max.scale(unit(&mut self.rng), UNIT);
                retry.due = now - longest.scale(8, 1) - phase;
                retry.wait = self.retry_max;
                retry.tries = retry.tries.max(QUICK_TRIES);
            }
            while retry.due <= now {
                put_off(retry, retry.due, self.retry_max, &mut self.rng);
            }
        }
    }

    /// A receipt for a fragment came.
    pub(crate) fn receipt(
        &mut self,
        message: &MessageId,
        index: u16,
        status: ReceiptStatus,
    ) -> Settled {
        let outgoing = self
            .orders
            .get(message)
            .and_then(|order| self.by_order.get_mut(order));
        let Some(outgoing) = outgoing else {
            return Settled::Nothing;
        };
        if !outgoing.parts.contains_key(&index) {
            return Settled::Nothing;
        }
        if !matches!(status, ReceiptStatus::Stored) {
            // It is tried again like what was not answered: after the wait.
            if outgoing.hinder(Some(Hindrance::Refused)) {
                self.hindered.insert(*message);
            }
            return Settled::Nothing;
        }
        outgoing.parts.remove(&index);
        outgoing.hindrance = None;
        self.waiting -= 1;
        let mut changes = deletions(message, index).to_vec();
        let enough = outgoing.parts.len() <= usize::from(outgoing.row.more);
        let news = enough && outgoing.row.state != MessageState::Stored;
        if news {
            if !outgoing.row.both {
                // The receiver needs none of the rest.
                let rest = std::mem::take(&mut outgoing.parts);
                self.waiting -= rest.len();
                changes.extend(rest.keys().flat_map(|index| deletions(message, *index)));
            }
            outgoing.row.state = MessageState::Stored;
            changes.push(outgoing.change());
        }
        changes.extend(self.forget_old());
        match news {
            true => Settled::Message(changes),
            false => Settled::Fragment(changes),
        }
    }

    /// The earliest instant at which a message is given up.
    pub(crate) fn next_expiry(&self) -> Option<Time> {
        self.open().map(|outgoing| outgoing.row.expires).min()
    }

    /// Gives up one message whose time is over, or the second copy of one; whether nothing of it was stored in time.
    pub(crate) fn expire(&mut self, now: Time) -> Option<(MessageId, bool, Vec<Change>)> {
        let message = self
            .open()
            .find(|outgoing| outgoing.row.expires <= now)?
            .message;
        let outgoing = self.by_order.get_mut(self.orders.get(&message)?)?;
        let parts = std::mem::take(&mut outgoing.parts);
        let expired = outgoing.row.state != MessageState::Stored;
        if expired {
            outgoing.row.state = MessageState::Expired;
        }
        outgoing.hindrance = None;
        let mut changes = vec![outgoing.change()];
        self.waiting -= parts.len();
        changes.extend(parts.keys().flat_map(|index| deletions(&message, *index)));
        changes.extend(self.forget_old());
        Some((message, expired, changes))
    }

    /// What waits to be tried waits as long as before. A message's end stays: it is a date.
    pub(crate) fn clock_moved(&mut self, step: ClockStep) {
        for outgoing in self.by_order.values_mut() {
            for part in outgoing.parts.values_mut() {
                part.retry.due = step.apply(part.retry.due);
            }
        }
    }

    /// How far one message has come.
    pub(crate) fn status(&self, message: &MessageId) -> Option<MessageStatus> {
        self.orders
            .get(message)
            .and_then(|order| self.by_order.get(order))
            .map(Outgoing::status)
    }

    /// All that are remembered, oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = MessageStatus> + '_ {
        self.by_order.values().map(Outgoing::status)
    }

    fn open(&self) -> impl Iterator<Item = &Outgoing> {
        self.by_order
            .values()
            .filter(|outgoing| !outgoing.finished())
    }

    fn forget_old(&mut self) -> Vec<Change> {
        let finished: Vec<u64> = self
            .by_order
            .iter()
            .filter(|(_, outgoing)| outgoing.finished())
            .map(|(order, _)| *order)
            .collect();
        let excess = finished.len().saturating_sub(self.history);
        let mut changes = Vec::new();
        for order in finished.into_iter().take(excess) {
            if let Some(outgoing) = self.by_order.remove(&order) {
                self.orders.remove(&outgoing.message);
                let key = outgoing.message.as_bytes().to_vec();
                changes.push(Change::delete(Table::Sent, key));
            }
        }
        changes
    }
}

/// Parts of a wait that can be drawn.
const UNIT: u64 = 1000;

fn unit(rng: &mut ChaCha20Rng) -> u64 {
    rng.random_range(0..UNIT)
}

/// The longest that a wait of this mean can get.
fn longest(wait: Span) -> Span {
    wait.scale(3, 2)
}

/// A try is over, made or missed: the next one is half to one and a half of the wait later.
fn put_off(retry: &mut RetryRow, from: Time, most: Span, rng: &mut ChaCha20Rng) {
    retry.tries = retry.tries.saturating_add(1);
    if retry.tries >= QUICK_TRIES {
        retry.wait = retry.wait.scale(2, 1).min(most);
    }
    let share = UNIT / 2 + unit(rng);
    // Never nothing: a wait of no length would come again for ever.
    let wait = retry.wait.scale(share, UNIT).max(Span::from_micros(1));
    retry.due = from + wait;
}

/// A fragment's rows go.
fn deletions(message: &MessageId, index: u16) -> [Change; 2] {
    [Table::Outbox, Table::Retry].map(|table| Change::delete(table, OutboxRow::key(message, index)))
}

/// The row of a message to save.
fn saved(message: &MessageId, row: &SentRow) -> Change {
    Change::put(Table::Sent, message.as_bytes().to_vec(), row.encode())
}

impl Prepared {
    /// The rows to save.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let mut changes = vec![saved(&self.message, &self.row)];
        changes.extend((0..).zip(&self.parts).map(|(index, row)| {
            let key = OutboxRow::key(&self.message, index);
            Change::put(Table::Outbox, key, row.encode())
        }));
        changes
    }
}

impl Outgoing {
    /// What a part of it is to those of all others.
    fn class(&self, retry: &RetryRow) -> Class {
        let stored = self.row.state == MessageState::Stored;
        match retry.tries {
            0 => Class::New,
            tries if tries >= QUICK_TRIES || stored => Class::Late,
            _ => Class::Again,
        }
    }

    fn finished(&self) -> bool {
        self.parts.is_empty()
            && matches!(self.row.state, MessageState::Stored | MessageState::Expired)
    }

    fn change(&self) -> Change {
        saved(&self.message, &self.row)
    }

    /// What keeps it from being stored is this now; whether that is news.
    fn hinder(&mut self, by: Option<Hindrance>) -> bool {
        // The receiver has it, or will: that the other copy has not come is no news to the sender.
        if self.row.state == MessageState::Stored {
            return false;
        }
        let news = by.is_some() && by != self.hindrance;
        self.hindrance = by;
        news
    }

    fn status(&self) -> MessageStatus {
        let waiting = u16::try_from(self.parts.len()).unwrap_or(u16::MAX);
        let stored = match self.row.state {
            MessageState::Expired => 0,
            MessageState::Stored => self.row.fragments,
            _ => (self.row.fragments.saturating_add(self.row.more))
                .saturating_sub(waiting)
                .min(self.row.fragments),
        };
        MessageStatus {
            message: self.message,
            state: self.row.state,
            accepted_at: self.row.accepted_at,
            expires: self.row.expires,
            fragments: self.row.fragments,
            stored,
            hindrance: self.hindrance,
        }
    }
}

#[cfg(test)]
mod tests {
    use shoal_packet::command::Blob;
    use shoal_proto::size::BLOB_BYTES;
    use shoal_proto::{DropId, NodeId};

    use super::*;

    const MESSAGE: MessageId = MessageId::new([7; 16]);

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    fn part(number: u8) -> OutboxRow {
        OutboxRow {
            provider: NodeId::new([1; 32]),
            drop: DropId::new([2; 32]),
            deposit: MessageId::new([number; 16]),
            blob: Box::new(Blob::from_bytes(&[0; BLOB_BYTES]).unwrap()),
        }
    }

    fn outbox(limit: usize) -> Outbox {
        let mut config = ClientConfig::new(NodeId::new([1; 32]));
        config.limits.outbox_fragments = limit;
        let first_wait = Span::from_millis(3_500);
        Outbox::new(&config, first_wait, &mut ChaCha20Rng::seed_from_u64(1))
    }

    #[test]
    fn what_waits_to_be_saved_takes_up_room() {
        let mut outbox = outbox(3);
        let parts = || vec![part(1), part(2)];
        let first = outbox.prepare(at(0), MESSAGE, parts(), all(2)).unwrap();
        let full = SendError::OutboxFull {
            waiting: 2,
            limit: 3,
        };
        assert_eq!(outbox.check_room(2), Err(full.clone()));
        outbox.forget(&first);
        assert_eq!(outbox.check_room(2), Ok(()));
        let second = outbox.prepare(at(0), MESSAGE, parts(), all(2)).unwrap();
        assert_eq!(outbox.accept(at(1), second), MESSAGE);
        assert_eq!(outbox.check_room(2), Err(full));
        assert_eq!((outbox.waiting(), outbox.prepared), (2, 0));
    }

    #[test]
    fn a_retry_waits_as_long_when_the_clock_moves() {
        for ahead in [true, false] {
            let mut outbox = outbox(3);
            let prepared = outbox
                .prepare(at(1000), MESSAGE, vec![part(1)], all(1))
                .unwrap();
            outbox.accept(at(1000), prepared);
            let expires = outbox.next_expiry();
            outbox.tried(&MESSAGE, 0, true, at(1000));
            // Due in 1.75 to 5.25 s.
            outbox.clock_moved(ClockStep::new(ahead, Span::from_secs(500)));
            let now = if ahead { 1500 } else { 500 };
            assert!(outbox.next_due(at(now + 1)).is_none());
            assert!(outbox.next_due(at(now + 6)).is_some());
            assert_eq!(outbox.next_expiry(), expires, "a date stays");
        }
    }

    fn accepted(now: Time, parts: u8) -> Outbox {
        let mut outbox = outbox(99);
        let rows = (0..parts).map(part).collect();
        let prepared = outbox
            .prepare(now, MESSAGE, rows, all(parts.into()))
            .unwrap();
        outbox.accept(now, prepared);
        outbox
    }

    fn dues(outbox: &Outbox) -> Vec<Time> {
        let parts = outbox.by_order.values().flat_map(|it| it.parts.values());
        parts.map(|part| part.retry.due).collect()
    }

    #[test]
    fn eight_tries_follow_each_other_alike_and_then_the_wait_doubles() {
        let mut now = at(1000);
        let mut outbox = accepted(now, 1);
        for wait in [[3.5; 7].as_slice(), &[7.0, 14.0, 28.0, 56.0, 60.0, 60.0]].concat() {
            outbox.tried(&MESSAGE, 0, true, now);
            let due = dues(&outbox)[0];
            let waits = due.since(now).as_secs_f64() / wait;
            assert!((0.5..1.5).contains(&waits), "{waits} of {wait}");
            now = due;
        }
    }

    #[test]
    fn what_was_tried_in_vain_has_one_turn_in_four_beside_what_was_not() {
        let mut outbox = accepted(at(1000), 1);
        (0..20).for_each(|_| drop(outbox.tried(&MESSAGE, 0, true, at(1000))));
        let other = MessageId::new([8; 16]);
        let rows = (0..40).map(part).collect();
        let prepared = outbox.prepare(at(1000), other, rows, all(40)).unwrap();
        outbox.accept(at(1000), prepared);
        // Nothing of the other is ever stored, and all of both is due again and again.
        let mut served = [0, 0];
        for _ in 0..40 {
            for outgoing in outbox.by_order.values_mut() {
                outgoing
                    .parts
                    .values_mut()
                    .for_each(|it| it.retry.due = at(2000));
            }
            let due = outbox.next_due(at(2000)).unwrap();
            served[usize::from(due.message == MESSAGE)] += 1;
            outbox.tried(&due.message, due.index, true, at(2000));
        }
        assert_eq!(served, [30, 10]);
    }

    fn all(fragments: u16) -> Needed {
        Needed {
            fragments,
            more: 0,
            both: false,
        }
    }

    /// A message of so many parts, of which so many are more than are needed.
    fn coded(parts: u8, more: u16, both: bool) -> (Outbox, Vec<Change>) {
        let mut outbox = outbox(99);
        let rows = (0..parts).map(part).collect();
        let needed = Needed {
            fragments: u16::from(parts) - more,
            more,
            both,
        };
        let prepared = outbox.prepare(at(1000), MESSAGE, rows, needed).unwrap();
        let changes = prepared.changes();
        outbox.accept(at(1000), prepared);
        (outbox, changes)
    }

    fn stored(outbox: &mut Outbox, index: u16) -> Settled {
        outbox.receipt(&MESSAGE, index, ReceiptStatus::Stored)
    }

    /// How many are needed, how many are stored, and how many wait.
    fn progress(outbox: &Outbox) -> (u16, u16, usize) {
        let status = outbox.status(&MESSAGE).unwrap();
        (status.fragments, status.stored, outbox.waiting())
    }

    #[test]
    fn a_message_is_stored_with_as_many_as_it_needs_and_the_rest_is_dropped() {
        let (mut outbox, _) = coded(5, 2, false);
        assert_eq!(progress(&outbox), (3, 0, 5));
        let _ = outbox.tried(&MESSAGE, 1, true, at(1000));
        for index in [4, 0] {
            assert!(matches!(stored(&mut outbox, index), Settled::Fragment(_)));
        }
        // Once more is no more.
        assert!(matches!(stored(&mut outbox, 0), Settled::Nothing));
        // Two are stored, and the third is not because the others are refused.
        let _ = outbox.receipt(&MESSAGE, 1, ReceiptStatus::Refused);
        assert_eq!(progress(&outbox), (3, 2, 3));
        let Settled::Message(changes) = stored(&mut outbox, 3) else {
            panic!("three of five are stored");
        };
        assert_eq!(progress(&outbox), (3, 3, 0));
        assert_eq!((outbox.check_room(99), dues(&outbox)), (Ok(()), Vec::new()));
        for index in 1..4 {
            for change in deletions(&MESSAGE, index) {
                assert!(changes.contains(&change), "{index}");
            }
        }
        // What was on its way when it was dropped is answered, too.
        assert!(matches!(stored(&mut outbox, 1), Settled::Nothing));
        let refused = outbox.receipt(&MESSAGE, 2, ReceiptStatus::Refused);
        assert!(matches!(refused, Settled::Nothing));
        assert!(outbox.next_hindered().is_none() && outbox.next_due(at(9000)).is_none());
    }

    #[test]
    fn the_second_copy_is_tried_on_when_the_message_is_stored() {
        for first in [0, 1] {
            let (mut outbox, _) = coded(2, 1, true);
            assert!(matches!(stored(&mut outbox, first), Settled::Message(_)));
            assert_eq!(progress(&outbox), (1, 1, 1));
            // A refusal is no news: the message is stored.
            let _ = outbox.receipt(&MESSAGE, 1 - first, ReceiptStatus::Refused);
            assert!(outbox.next_hindered().is_none());
            let due = outbox.next_due(at(1000)).unwrap();
            assert_eq!(due.index, 1 - first);
            let Settled::Fragment(changes) = stored(&mut outbox, 1 - first) else {
                panic!("told again");
            };
            assert!(changes.contains(&deletions(&MESSAGE, 1 - first)[0]));
            assert_eq!(progress(&outbox), (1, 1, 0));
            assert_eq!(outbox.next_expiry(), None);
        }
        // One that never comes is given up when the message's time is over, and nobody is told.
        let (mut outbox, _) = coded(2, 1, true);
        let _ = stored(&mut outbox, 0);
        let end = outbox.next_expiry().unwrap();
        let (_, expired, changes) = outbox.expire(end).unwrap();
        assert!(!expired && changes.contains(&deletions(&MESSAGE, 1)[0]));
        assert_eq!(outbox.status(&MESSAGE).unwrap().state, MessageState::Stored);
        assert_eq!((outbox.waiting(), outbox.next_expiry()), (0, None));
    }

    /// One provider of a receiver is gone: what is tried in vain there waits for what never left.
    #[test]
    fn a_second_copy_that_is_tried_in_vain_holds_up_nothing_new() {
        let (mut outbox, _) = coded(2, 1, true);
        let _ = stored(&mut outbox, 0);
        let _ = outbox.tried(&MESSAGE, 1, true, at(1000));
        let other = MessageId::new([8; 16]);
        let rows = (0..30).map(part).collect();
        let prepared = outbox.prepare(at(1000), other, rows, all(30)).unwrap();
        outbox.accept(at(1000), prepared);
        let mut served = [0, 0];
        for turn in 0..28 {
            let due = outbox.next_due(at(9000 + turn)).unwrap();
            served[usize::from(due.message == other)] += 1;
            let _ = outbox.tried(&due.message, due.index, true, at(0));
        }
        assert_eq!(served, [7, 21]);
    }

    #[test]
    fn after_a_restart_as_many_are_needed() {
        let (_, changes) = coded(5, 2, false);
        let rows = changes.into_iter().map(|change| Row {
            table: change.table,
            key: change.key,
            value: change.value.unwrap(),
        });
        let mut again = outbox(99);
        again.restore(&rows.collect::<Vec<_>>(), at(1001)).unwrap();
        assert_eq!(progress(&again), (3, 0, 5));
        (0..2).for_each(|index| drop(stored(&mut again, index)));
        assert!(matches!(stored(&mut again, 4), Settled::Message(_)));
        assert_eq!(progress(&again), (3, 3, 0));
    }

    #[test]
    fn what_never_left_goes_first_and_text_before_parity() {
        let (mut outbox, _) = coded(5, 2, false);
        let mut order = Vec::new();
        for turn in 0..7 {
            // All that left is due again at each turn.
            let now = at(1000 + turn * 20);
            let due = outbox.next_due(now).unwrap();
            order.push((due.index, due.again));
            let _ = outbox.tried(&MESSAGE, due.index, true, now);
        }
        let first = (0..5).map(|index| (index, false));
        let expected: Vec<_> = first.chain([(0, true), (0, true)]).collect();
        assert_eq!(order, expected);
    }

    #[test]
    fn what_was_missed_waits_for_the_next_try_and_the_rest_stays() {
        let mut outbox = accepted(at(1000), 40);
        (0..20).for_each(|index| drop(outbox.tried(&MESSAGE, index, true, at(1000))));
        let before = dues(&outbox);
        let back = at(1010);
        outbox.miss(back);
        assert!(
            outbox.next_due(back).is_none(),
            "nothing is due because it is back"
        );
        let after = dues(&outbox);
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || *before <= back, "what was not due stays");
        }
        // It is spread: no second of the next half minute has more than a third.
        let in_second = |second: u64| {
            let from = back + Span::from_secs(second);
            let until = from + Span::from_secs(1);
            after
                .iter()
                .filter(|due| **due > from && **due <= until)
                .count()
        };
        assert!((0..30).all(|second| in_second(second) < 13));
        // However long it was, it takes no longer than the longest wait.
        let late = at(1000) + Span::from_secs(6 * 86_400);
        outbox.miss(late);
        let after = dues(&outbox);
        assert!(
            after
                .iter()
                .all(|due| *due > late && *due <= late + Span::from_secs(90))
        );
    }

    #[test]
    fn what_is_due_is_due_then_after_a_restart_too() {
        let mut outbox = accepted(at(1000), 2);
        let mut kept = outbox
            .prepare(at(1000), MESSAGE, vec![part(0), part(1)], all(2))
            .unwrap()
            .changes();
        kept.extend(outbox.tried(&MESSAGE, 1, true, at(1003)));
        let rows: Vec<Row> = kept
            .into_iter()
            .map(|change| Row {
                table: change.table,
                key: change.key,
                value: change.value.unwrap(),
            })
            .collect();
        // The message's row was written twice; the later one counts.
        let rows: Vec<Row> = rows.iter().skip(1).cloned().collect();
        let mut again = self::outbox(99);
        again.restore(&rows, at(1004)).unwrap();
        assert_eq!(dues(&again), dues(&outbox));
        assert!(
            again
                .next_due(at(1004))
                .is_some_and(|due| due.index == 0 && !due.again)
        );
        // Written by a clock that was a day ahead, it does not wait for a day.
        let mut early = self::outbox(99);
        early.restore(&rows, at(0)).unwrap();
        assert!(dues(&early).iter().all(|due| *due <= at(90)));
        // A fragment's row without its message, and a retry's without its fragment, are faults.
        for table in [Table::Sent, Table::Outbox] {
            let rest: Vec<Row> = rows
                .iter()
                .filter(|row| row.table != table)
                .cloned()
                .collect();
            assert!(self::outbox(99).restore(&rest, at(1004)).is_err());
        }
    }
}
