use std::collections::BTreeMap;

use shoal_packet::Surb;
use shoal_packet::command::{ReceiptStatus, Reply};
use shoal_proto::{MessageId, Time};

/// Replies that are held until their moment, which was drawn when the packet came in and does not
/// move: whatever is known by then is said.
pub(crate) struct Replies {
    held: BTreeMap<(Time, u64), Held>,
    due: BTreeMap<u64, Time>,
    next: u64,
}

/// One reply.
pub(crate) struct Held {
    pub(crate) surb_epoch: u8,
    pub(crate) surb: Surb,
    /// The message of a deposit; none for a dummy.
    pub(crate) message: Option<MessageId>,
    status: Option<ReceiptStatus>,
}

impl Held {
    pub(crate) const fn new(surb_epoch: u8, surb: Surb, message: Option<MessageId>) -> Self {
        Self {
            surb_epoch,
            surb,
            message,
            status: None,
        }
    }

    /// What is said: a receipt only if the store has finished.
    pub(crate) const fn reply(&self) -> Reply {
        match (self.message, self.status) {
            (Some(message), Some(status)) => Reply::Receipt { message, status },
            _ => Reply::Dummy,
        }
    }
}

impl Replies {
    pub(crate) const fn new() -> Self {
        Self {
            held: BTreeMap::new(),
            due: BTreeMap::new(),
            next: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// Holds a reply; the number is for [`settle`](Self::settle).
    pub(crate) fn hold(&mut self, due: Time, reply: Held) -> u64 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.held.insert((due, number), reply);
        self.due.insert(number, due);
        number
    }

    /// The store has finished. If the reply has left already, nothing happens: never two answers.
    pub(crate) fn settle(&mut self, number: u64, status: ReceiptStatus) {
        if let Some(due) = self.due.get(&number)
            && let Some(held) = self.held.get_mut(&(*due, number))
        {
            held.status = Some(status);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.held.first_key_value().map(|((due, _), _)| *due)
    }

    /// One reply that is due.
    pub(crate) fn pop(&mut self, now: Time) -> Option<Held> {
        let first = self
            .held
            .first_entry()
            .filter(|first| first.key().0 <= now)?;
        self.due.remove(&first.key().1);
        Some(first.remove())
    }
}
