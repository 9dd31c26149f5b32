//! Messages on their way: what is sent next, and what is sent again.

use std::collections::BTreeMap;
use std::ops::Bound;

use shoal_packet::command::ReceiptStatus;
use shoal_proto::{MessageId, Span, Time};

use crate::clock::ClockStep;
use crate::config::ClientConfig;
use crate::error::{ClientError, SendError};
use crate::rows::{Change, MessageState, OutboxRow, Row, SentRow};
use crate::table::Table;

/// A sealed message that waits to be saved. The outbox keeps room for it.
pub(crate) struct Prepared {
    message: MessageId,
    row: SentRow,
    parts: Vec<OutboxRow>,
}

/// A fragment that waits for its "stored" receipt.
struct Part {
    row: OutboxRow,
    attempts: u32,
    due: Time,
    wait: Span,
}

struct Outgoing {
    message: MessageId,
    row: SentRow,
    parts: BTreeMap<u16, Part>,
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
    /// Its fragments.
    pub fragments: u16,
    /// Fragments of it on the disk of the receiver's mailbox.
    pub stored: u16,
}

/// The fragment to send now.
pub(crate) struct Due {
    pub(crate) message: MessageId,
    pub(crate) index: u16,
    pub(crate) row: OutboxRow,
    pub(crate) expires: Time,
    pub(crate) again: bool,
}

/// What a receipt changed.
pub(crate) enum Settled {
    /// Nothing: it was settled, or is no fragment of ours.
    Nothing,
    /// It will be tried again later.
    Refused,
    /// A fragment is stored.
    Fragment(Vec<Change>),
    /// With it, the message is.
    Message(Vec<Change>),
}

/// Sent messages in the order of their acceptance.
pub(crate) struct Outbox {
    by_order: BTreeMap<u64, Outgoing>,
    orders: BTreeMap<MessageId, u64>,
    /// Served last; the next due one after it is next.
    served: u64,
    next_order: u64,
    waiting: usize,
    /// Fragments of messages that wait to be saved.
    prepared: usize,
    limit: usize,
    retry_after: Span,
    retry_max: Span,
    time_to_live: Span,
    history: usize,
}

impl Outbox {
    pub(crate) fn new(config: &ClientConfig) -> Self {
        Self {
            by_order: BTreeMap::new(),
            orders: BTreeMap::new(),
            served: 0,
            next_order: 1,
            waiting: 0,
            prepared: 0,
            limit: config.limits.outbox_fragments,
            retry_after: config.retry_after,
            retry_max: config.retry_max,
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
    ) -> Result<Prepared, SendError> {
        let row = SentRow {
            order: self.next_order,
            accepted_at: now,
            expires: now + self.time_to_live,
            fragments: u16::try_from(parts.len()).map_err(|_| SendError::Seal)?,
            state: MessageState::Queued,
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
        let parts = (0..).zip(prepared.parts);
        self.add(prepared.message, prepared.row, parts, now);
        prepared.message
    }

    /// The message could not be saved.
    pub(crate) fn forget(&mut self, prepared: &Prepared) {
        self.prepared -= prepared.parts.len();
    }

    fn add(
        &mut self,
        message: MessageId,
        row: SentRow,
        parts: impl IntoIterator<Item = (u16, OutboxRow)>,
        now: Time,
    ) {
        let wait = self.retry_after;
        let parts: BTreeMap<u16, Part> = parts
            .into_iter()
            .map(|(index, row)| {
                (
                    index,
                    Part {
                        row,
                        attempts: 0,
                        due: now,
                        wait,
                    },
                )
            })
            .collect();
        self.waiting += parts.len();
        self.orders.insert(message, row.order);
        self.next_order = self.next_order.max(row.order.saturating_add(1));
        self.by_order.insert(
            row.order,
            Outgoing {
                message,
                row,
                parts,
            },
        );
    }

    /// Rebuilds messages from their rows. Fragments are due at once.
    pub(crate) fn restore(&mut self, rows: &[Row], now: Time) -> Result<(), ClientError> {
        let mut parts: BTreeMap<MessageId, Vec<(u16, OutboxRow)>> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.table == Table::Outbox) {
            let (message, index) = OutboxRow::decode_key(&row.key).map_err(|e| row.fault(e))?;
            let part = OutboxRow::decode(&row.value).map_err(|e| row.fault(e))?;
            parts.entry(message).or_default().push((index, part));
        }
        for row in rows.iter().filter(|row| row.table == Table::Sent) {
            let message = MessageId::try_from(row.key.as_slice())
                .map_err(|_| row.fault("the key is no message's"))?;
            let sent = SentRow::decode(&row.value).map_err(|e| row.fault(e))?;
            if self.by_order.contains_key(&sent.order) {
                return Err(row.fault("another message has its place"));
            }
            let parts = parts.remove(&message).unwrap_or_default();
            self.add(message, sent, parts, now);
        }
        match rows.iter().find(|row| {
            row.table == Table::Outbox
                && OutboxRow::decode_key(&row.key).is_ok_and(|(id, _)| parts.contains_key(&id))
        }) {
            Some(row) => Err(row.fault("its message is missing")),
            None => Ok(()),
        }
    }

    /// The fragment whose turn it is: messages take turns, so that a long one holds up nobody,
    /// and within a message the first that is due goes first.
    pub(crate) fn next_due(&self, now: Time) -> Option<Due> {
        let after = self
            .by_order
            .range((Bound::Excluded(self.served), Bound::Unbounded));
        let before = self.by_order.range(..=self.served);
        after.chain(before).find_map(|(_, outgoing)| {
            let (index, part) = outgoing.parts.iter().find(|(_, part)| part.due <= now)?;
            Some(Due {
                message: outgoing.message,
                index: *index,
                row: part.row.clone(),
                expires: outgoing.row.expires,
                again: part.attempts > 0,
            })
        })
    }

    /// Notes a try, sent or not: the next one comes after the wait, and the wait doubles.
    /// Returns the message's row if this changes it.
    pub(crate) fn tried(
        &mut self,
        message: &MessageId,
        index: u16,
        sent: bool,
        now: Time,
    ) -> Option<Change> {
        let order = *self.orders.get(message)?;
        self.served = order;
        let outgoing = self.by_order.get_mut(&order)?;
        let part = outgoing.parts.get_mut(&index)?;
        part.due = now + part.wait;
        part.wait = Span::from_micros(part.wait.as_micros().saturating_mul(2)).min(self.retry_max);
        if !sent {
            return None;
        }
        part.attempts = part.attempts.saturating_add(1);
        if outgoing.row.state != MessageState::Queued {
            return None;
        }
        outgoing.row.state = MessageState::Sent;
        Some(outgoing.change())
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
            return Settled::Refused;
        }
        outgoing.parts.remove(&index);
        self.waiting -= 1;
        let mut changes = vec![Change::delete(
            Table::Outbox,
            OutboxRow::key(message, index),
        )];
        if !outgoing.parts.is_empty() {
            return Settled::Fragment(changes);
        }
        outgoing.row.state = MessageState::Stored;
        changes.push(outgoing.change());
        changes.extend(self.forget_old());
        Settled::Message(changes)
    }

    /// The answer to a fragment came before the mailbox's disk was done, so it says nothing. Another
    /// try fetches the receipt; it need not wait as long as for an answer that is lost, but waits
    /// longer each time too.
    pub(crate) fn undecided(&mut self, message: &MessageId, index: u16, now: Time) {
        let outgoing = self
            .orders
            .get(message)
            .and_then(|order| self.by_order.get_mut(order));
        if let Some(part) = outgoing.and_then(|outgoing| outgoing.parts.get_mut(&index)) {
            part.due = part.due.min(now + part.wait.scale(1, 16));
        }
    }

    /// The earliest instant at which a message is given up.
    pub(crate) fn next_expiry(&self) -> Option<Time> {
        self.open().map(|outgoing| outgoing.row.expires).min()
    }

    /// Gives up one message whose time is over.
    pub(crate) fn expire(&mut self, now: Time) -> Option<(MessageId, Vec<Change>)> {
        let message = self
            .open()
            .find(|outgoing| outgoing.row.expires <= now)?
            .message;
        let outgoing = self.by_order.get_mut(self.orders.get(&message)?)?;
        let parts = std::mem::take(&mut outgoing.parts);
        outgoing.row.state = MessageState::Expired;
        let mut changes = vec![outgoing.change()];
        self.waiting -= parts.len();
        changes.extend(
            parts
                .keys()
                .map(|i| Change::delete(Table::Outbox, OutboxRow::key(&message, *i))),
        );
        changes.extend(self.forget_old());
        Some((message, changes))
    }

    /// Everything that waits is due: the answers on their way to the last handle are lost.
    pub(crate) fn hurry(&mut self, now: Time) {
        for outgoing in self.by_order.values_mut() {
            for part in outgoing.parts.values_mut() {
                part.due = now;
                part.wait = self.retry_after;
            }
        }
    }

    /// What waits to be tried waits as long as before. A message's end stays: it is a date.
    pub(crate) fn clock_moved(&mut self, step: ClockStep) {
        for outgoing in self.by_order.values_mut() {
            for part in outgoing.parts.values_mut() {
                part.due = step.apply(part.due);
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
    fn finished(&self) -> bool {
        matches!(self.row.state, MessageState::Stored | MessageState::Expired)
    }

    fn change(&self) -> Change {
        saved(&self.message, &self.row)
    }

    fn status(&self) -> MessageStatus {
        let waiting = u16::try_from(self.parts.len()).unwrap_or(u16::MAX);
        let stored = match self.row.state {
            MessageState::Expired => 0,
            _ => self.row.fragments.saturating_sub(waiting),
        };
        MessageStatus {
            message: self.message,
            state: self.row.state,
            accepted_at: self.row.accepted_at,
            expires: self.row.expires,
            fragments: self.row.fragments,
            stored,
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
            grant: None,
            deposit: MessageId::new([number; 16]),
            blob: Box::new(Blob::from_bytes(&[0; BLOB_BYTES]).unwrap()),
        }
    }

    fn outbox(limit: usize) -> Outbox {
        let mut config = ClientConfig::new(NodeId::new([1; 32]));
        config.limits.outbox_fragments = limit;
        Outbox::new(&config)
    }

    #[test]
    fn what_waits_to_be_saved_takes_up_room() {
        let mut outbox = outbox(3);
        let parts = || vec![part(1), part(2)];
        let first = outbox.prepare(at(0), MESSAGE, parts()).unwrap();
        let full = SendError::OutboxFull {
            waiting: 2,
            limit: 3,
        };
        assert_eq!(outbox.check_room(2), Err(full.clone()));
        outbox.forget(&first);
        assert_eq!(outbox.check_room(2), Ok(()));
        let second = outbox.prepare(at(0), MESSAGE, parts()).unwrap();
        assert_eq!(outbox.accept(at(1), second), MESSAGE);
        assert_eq!(outbox.check_room(2), Err(full));
        assert_eq!((outbox.waiting(), outbox.prepared), (2, 0));
    }

    #[test]
    fn a_retry_waits_as_long_when_the_clock_moves() {
        for ahead in [true, false] {
            let mut outbox = outbox(3);
            let prepared = outbox.prepare(at(1000), MESSAGE, vec![part(1)]).unwrap();
            outbox.accept(at(1000), prepared);
            let expires = outbox.next_expiry();
            outbox.tried(&MESSAGE, 0, true, at(1000));
            // Due in 8 s.
            outbox.clock_moved(ClockStep::new(ahead, Span::from_secs(500)));
            let now = if ahead { 1500 } else { 500 };
            assert!(outbox.next_due(at(now + 7)).is_none());
            assert!(outbox.next_due(at(now + 8)).is_some());
            assert_eq!(outbox.next_expiry(), expires, "a date stays");
        }
    }
}
